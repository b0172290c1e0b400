"""``forensics access``, ``hold`` and ``erase``: what they print, and their exit status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.lake import looks
from forensics.testing import decision_record

Run = Callable[..., Any]
TakeIn = Callable[..., Any]


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    looks._last.clear()


@pytest.fixture
def held(lake: Path, take_in: TakeIn) -> Path:
    take_in([decision_record(decision_id="d", request_id="r", subject={"id": "anna"})])
    return lake


def test_who_looked_for_which_case_is_answered(held: Path, run: Run) -> None:
    run("--case", "INC-7", "--reason", "at night", "trace", "r", "--no-replay", "--lake", held)
    ran = run("access", "r", "--lake", held)
    assert ran.code == 0
    assert ran.out.splitlines()[0].split() == [
        "when", "who", "how", "case", "reason", "decisions",
    ]  # fmt: skip
    assert "INC-7" in ran.out
    (row,) = run("access", "--subject", "anna", "--json", "--lake", held).rows
    assert (row["how"], row["case"], row["reason"]) == ("trace", "INC-7", "at night")
    assert row["decision_ids"] == ["d"]


def test_that_nobody_looked_is_status_3(held: Path, run: Run) -> None:
    ran = run("access", "--lake", held)
    assert (ran.code, ran.out) == (3, "")
    assert "Nobody looked" in ran.err
    assert run("access", "x", "--lake", held).code == 3


def test_erase_asks_unless_told_and_a_hold_forbids_it(held: Path, run: Run) -> None:
    ran = run("erase", "anna", "--order", "DSAR-7", "--lake", held)
    assert ran.code == 2
    assert "Say --yes" in ran.err
    run("hold", "anna", "--order", "court 12", "--reason", "appeal", "--lake", held)
    ran = run("erase", "anna", "--order", "DSAR-7", "--yes", "--lake", held)
    assert ran.code == 1
    assert "court 12" in ran.err
    (row,) = run("hold", "anna", "--list", "--json", "--lake", held).rows
    ran = run("hold", "anna", "--order", "court 13", "--release", row["hold_id"], "--lake", held)
    assert (ran.code, ran.out) == (0, "")
    ran = run("erase", "anna", "--order", "DSAR-7", "--yes", "--json", "--lake", held)
    assert ran.code == 0
    assert (ran.json["decisions"], ran.json["left"]) == (1, [])
    ran = run("trace", "r", "--lake", held)
    assert ran.code == 4
    assert "on the order DSAR-7" in ran.out
    assert run("erase", "bo", "--order", "x", "--yes", "--lake", held).code == 3


def test_what_stands_in_the_clear_elsewhere_is_named(held: Path, run: Run) -> None:
    (held / "notes.txt").write_text("call anna", encoding="utf-8")
    ran = run("erase", "anna", "--order", "DSAR-7", "--yes", "--lake", held)
    assert ran.code == 4
    assert "notes.txt" in ran.err


def test_a_hold_rests_on_an_order(held: Path, run: Run) -> None:
    assert run("hold", "anna", "--lake", held).code == 2
    assert run("hold", "anna", "--order", "x", "--release", "h-0", "--lake", held).code == 3
    assert run("hold", "anna", "--list", "--lake", held).out == ""
