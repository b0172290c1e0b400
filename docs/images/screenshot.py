"""Takes the README's picture: ``forensics trace`` of the sample's showcase, as a terminal shows it.

Run it in the repository after ``make lake``; it needs ``rich``, which the development tools bring.
"""

from __future__ import annotations

import fcntl
import os
import pty
import shutil
import struct
import subprocess
import termios
from pathlib import Path

from rich.console import Console
from rich.terminal_theme import MONOKAI
from rich.text import Text

ROOT = Path(__file__).parents[2]
COMMAND = ["forensics", "trace", "7f3a-c1"]
COLUMNS = 100
#: Rich's own frame fetches a font from elsewhere; a picture in a page may not.
SVG = """<svg xmlns="http://www.w3.org/2000/svg" xml:space="preserve"
viewBox="0 0 {width} {height}">
<style>.{unique_id}-matrix {{ font-family: "DejaVu Sans Mono", Menlo, Consolas, monospace;
font-size: {char_height}px; line-height: {line_height}px; }} {styles}</style>
<defs><clipPath id="{unique_id}-clip-terminal"><rect x="0" y="0" width="{terminal_width}"
height="{terminal_height}"/></clipPath>{lines}</defs>
{chrome}<g transform="translate({terminal_x}, {terminal_y})"
clip-path="url(#{unique_id}-clip-terminal)">{backgrounds}<g class="{unique_id}-matrix">{matrix}</g>
</g></svg>
"""


def run_on_a_terminal(command: list[str]) -> str:
    """What ``command`` writes to a terminal of :data:`COLUMNS` columns, with its colours."""
    reader, writer = pty.openpty()
    fcntl.ioctl(writer, termios.TIOCSWINSZ, struct.pack("HHHH", 50, COLUMNS, 0, 0))
    names = {"FORENSICS_LAKE": "build/sample-lake", "TERM": "xterm-256color"}
    environment = {key: value for key, value in os.environ.items() if key != "NO_COLOR"} | names
    program = shutil.which(command[0], path=str(ROOT / ".venv" / "bin")) or command[0]
    child = subprocess.Popen(
        [program, *command[1:]], cwd=ROOT, env=environment, stdout=writer, stderr=writer
    )
    os.close(writer)
    found = bytearray()
    try:
        while part := os.read(reader, 65_536):
            found += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(reader)
    child.wait()
    return found.decode().replace("\r\n", "\n")


def main() -> None:
    """Write ``trace.svg`` beside this file."""
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=COLUMNS, file=nowhere, force_terminal=True)
        console.print(Text(f"$ {' '.join(COMMAND)}"))
        console.print(Text.from_ansi(run_on_a_terminal(COMMAND)))
    target = Path(__file__).with_name("trace.svg")
    console.save_svg(str(target), title="", theme=MONOKAI, code_format=SVG, unique_id="trace")
    print(target)


if __name__ == "__main__":
    main()
