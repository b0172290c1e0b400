"""``forensics tui`` in a real terminal, and what it loads."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

SHOWCASE = "7f3a-c1"


def test_from_launch_to_a_decision_and_back(
    sample_lake: Path, terminal: Callable[..., Any]
) -> None:
    seat = terminal("--lake", sample_lake)
    seat.see("1 of 30,000")
    seat.press("/")
    seat.type(f"request_id = '{SHOWCASE}'")
    seat.press("Enter")
    seat.see("1 of 1\n")
    seat.press("Enter")
    text = seat.see("bit exact: these artifacts")
    assert "DECLINE" in text
    seat.press("]", "]")
    seat.see("base value")
    seat.press("Escape")
    seat.see("1 of 1\n")
    seat.press("q")
    seat.see("left with 0")


def test_it_opens_on_a_decision(sample_lake: Path, terminal: Callable[..., Any]) -> None:
    seat = terminal(SHOWCASE, "--lake", sample_lake)
    seat.see(f"request {SHOWCASE}")
    seat.press("q")
    seat.see("left with 0")


def test_without_colour_nothing_is_coloured_and_all_can_be_told_apart(
    sample_lake: Path, terminal: Callable[..., Any]
) -> None:
    seat = terminal("--lake", sample_lake, NO_COLOR="1")
    seat.see("bars up to")
    seat.press("m")
    seat.see("1 marked")
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", seat.screen("-e")))
    colours = [
        c for code in codes for c in code.split(";") if re.fullmatch(r"[349][0-8]|10[0-7]", c)
    ]
    assert colours == []
    assert "\n>*10-30 23:57" in seat.screen()


@pytest.mark.parametrize("term", ["xterm", "linux", "dumb"])
def test_sixteen_colours_are_enough(
    sample_lake: Path, terminal: Callable[..., Any], term: str
) -> None:
    seat = terminal(SHOWCASE, "--lake", sample_lake, TERM=term, COLORTERM="")
    seat.see(f"request {SHOWCASE}")
    seat.press("]")
    seat.see("[features]")
    codes = set(re.findall(r"\x1b\[([0-9;]*)m", seat.screen("-e")))
    assert not any("38;" in code or "48;" in code for code in codes)


def test_what_is_wrong_is_said_as_every_command_says_it(
    sample_lake: Path, tmp_path: Path, terminal: Callable[..., Any]
) -> None:
    seat = terminal("r-none", "--lake", sample_lake)
    text = seat.see("left with 3")
    assert "No decision 'r-none'" in text
    seat = terminal("--lake", tmp_path / "none")
    text = seat.see("left with 1")
    assert "No lake at" in text


def test_the_config_file_gives_keys_and_a_theme(
    sample_lake: Path, tmp_path: Path, terminal: Callable[..., Any]
) -> None:
    config = tmp_path / "decision-forensics" / "config.toml"
    config.parent.mkdir()
    config.write_text('[tui]\ntheme = "forensics-light"\n[tui.keys]\nmark = "x"\n')
    seat = terminal("--lake", sample_lake, XDG_CONFIG_HOME=str(tmp_path))
    seat.see("1 of 30,000")
    seat.press("m", "x")
    seat.see("1 marked")
    seat.press("?")
    seat.see("x                  mark the row")
    config.write_text('[tui.keys]\nmrak = "x"\n')
    seat = terminal("--lake", sample_lake, XDG_CONFIG_HOME=str(tmp_path))
    text = seat.see("left with 2")
    assert "mrak" in text
    assert "page-down" in text.replace("\n", "")


def test_the_next_session_begins_where_the_last_one_ended(
    sample_lake: Path, tmp_path: Path, terminal: Callable[..., Any]
) -> None:
    seat = terminal("--lake", sample_lake)
    seat.see("1 of 30,000")
    seat.press("m", "/")
    seat.type("score > 0.9")
    seat.press("Enter")
    seat.see("of the matches")
    seat.press("Enter")
    seat.see("[summary]")
    seat.press("]", "q")
    seat.see("left with 0")
    seat = terminal("--lake", sample_lake)
    seat.see("[features]")
    seat.press("Escape")
    assert "1 marked" in seat.see("filter score > 0.9")
    seat.press("q")
    seat.see("left with 0")
    seat = terminal("--fresh", "--lake", sample_lake)
    assert "marked" not in seat.see("1 of 30,000")
    seat.press("q")
    seat.see("left with 0")
    file = tmp_path / "state" / "decision-forensics" / "tui.json"
    file.write_text("no JSON")
    seat = terminal("--lake", sample_lake)
    seat.see("cannot be read: it is now")
    assert file.with_name("tui.json.unreadable-1").read_text() == "no JSON"
    seat.press("q")
    seat.see("left with 0")
    file.unlink()
    file.parent.rename(tmp_path / "elsewhere")
    file.parent.write_text("no folder")
    seat = terminal("--where", "score > 0.5", "--lake", sample_lake)
    seat.see("filter score > 0.5")
    seat.press("q")
    assert "could not be kept" in seat.see("left with 0")


def test_without_a_terminal_it_says_what_to_use_instead(
    sample_lake: Path, forensics_command: Callable[..., Any]
) -> None:
    ran = forensics_command("tui", "--lake", sample_lake)
    assert ran.code == 2
    assert "forensics find" in ran.err


def test_opening_a_lake_loads_neither_textual_nor_what_replays() -> None:
    code = (
        "import sys; from forensics_tui.opening import open_lake; import forensics.lake.scan;"
        "print(sorted({m.partition('.')[0] for m in sys.modules}"
        " & {'textual', 'rich', 'numpy', 'pyarrow', 'pandas', 'deltalake', 'polars'}))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"


def test_the_first_screen_loads_nothing_of_the_later_ones() -> None:
    code = (
        "import sys; import forensics_tui.app;"
        "print(sorted(m for m in sys.modules if m in ("
        "'forensics_tui.screens.decision', 'forensics_tui.screens.columns', 'numpy', 'pyarrow',"
        "'forensics.replay.session', 'forensics.reconstruct.trace', 'textual.widgets._text_area',"
        "'textual.widgets._markdown', 'textual.widgets._data_table')))"
    )
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "[]"
