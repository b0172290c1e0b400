"""The tutorial works: its blocks run in order and print what the page says."""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

TUTORIAL = Path(__file__).parents[1] / "docs" / "tutorial.md"


class Block(NamedTuple):
    """A block of the page: its language, its text, and the line where it begins."""

    language: str
    text: str
    line: int

    @property
    def status(self) -> int:
        """The exit status it should end with, which the page names where it is not 0."""
        named = re.findall(r"# exit status (\d+)$", self.text, re.MULTILINE)
        return int(named[-1]) if named else 0


def blocks() -> list[Block]:
    page = TUTORIAL.read_text(encoding="utf-8")
    fences = re.finditer(r"^```(\w+)\n(.*?)^```$", page, re.MULTILINE | re.DOTALL)
    return [Block(fence[1], fence[2], page.count("\n", 0, fence.start()) + 1) for fence in fences]


def run(block: Block, folder: Path) -> subprocess.CompletedProcess[str]:
    hidden = ("FORENSICS_LAKE", "NO_COLOR", "COLUMNS")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    environment["XDG_CONFIG_HOME"] = str(folder)
    command = {"sh": ["bash", "-e"], "python": [sys.executable, "-"]}[block.language]
    return subprocess.run(
        command,
        input=block.text,
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=120,
    )


def missing_line(shown: str, printed: str) -> str | None:
    """The first line of ``shown`` that ``printed`` lacks, in order; `…` is whatever is left out."""
    rest = iter(printed.splitlines())
    for line in shown.splitlines():
        if line.strip() == "…":
            continue
        pattern = re.compile(".*".join(map(re.escape, line.rstrip().split("…"))))
        if not any(pattern.fullmatch(candidate.rstrip()) for candidate in rest):
            return line
    return None


def test_every_block_of_the_tutorial_does_what_the_page_says(tmp_path: Path) -> None:
    pytest.importorskip("xgboost")
    printed = ""
    for block in blocks():
        where = f"docs/tutorial.md:{block.line}"
        if block.language == "text":
            missing = missing_line(block.text, printed)
            assert missing is None, f"{where} shows {missing!r}; printed was\n{printed}"
            continue
        done = run(block, tmp_path)
        printed = done.stdout
        assert done.returncode == block.status, f"{where}\n{printed}\n{done.stderr}"


@pytest.mark.parametrize(
    ("shown", "printed", "missing"),
    [
        ("a\nc\n", "a\nb\nc\n", None),
        ("a…c\n", "abc\n", None),
        ("c\na\n", "a\nb\nc\n", "a"),
        ("ab\n", "abc\n", "ab"),
    ],
)
def test_a_shown_line_is_looked_for_in_order(shown: str, printed: str, missing: str | None) -> None:
    assert missing_line(shown, printed) == missing
