"""A new postmortem is of the incident that one looks at, from what began it to what ended it."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.testing import change_record, decision_record

pytest.importorskip("textual")

SHOWCASE = "7f3a-c1"
INCIDENT = ("since  2026-10-21 02:13:00", "until  2026-10-21 05:41:00")


def written(seat: Any) -> list[str]:
    """The lines of the prompt."""
    return [seat.app.screen.query_one(f"#new-{name}").value for name in ("since", "until")]


def slowly(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let the changes be known only once this is set."""
    from forensics_tui import pinning

    known, extent_at = threading.Event(), pinning.extent_at

    def slow(*arguments: Any) -> Any:
        assert known.wait(60)
        return extent_at(*arguments)

    monkeypatch.setattr(pinning, "extent_at", slow)
    return known


def test_it_ends_with_the_change_that_ended_the_incident_and_says_so(
    sample_lake: Path, tmp_path: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake, postmortems=tmp_path, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await seat.press("P")
            await seat.see(lambda text: all(line in text for line in INCIDENT))
            words = " ".join(seat.text.replace("│", " ").split())
            assert "it ends with pipeline billing_features 3e1f → 88ac, roll back 3e1f." in words
            since = seat.app.screen.query_one("#new-since")
            since.value = "2026-10-21 02:00"
            await seat.see(lambda text: "it ends with" not in " ".join(text.split()))

    asyncio.run(session())


def test_what_somebody_has_written_stays_when_more_is_known(
    sample_lake: Path, tmp_path: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = slowly(monkeypatch)

    async def session() -> None:
        async with seated(sample_lake, postmortems=tmp_path, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await seat.press("P")
            await seat.see("looking for what began it")
            seat.app.screen.query_one("#new-until").value = "2026-10-21 04:00"
            known.set()
            await seat.see(lambda _: written(seat)[0] == "2026-10-21 02:13:00")
            assert written(seat)[1] == "2026-10-21 04:00"

    asyncio.run(session())


def test_enter_before_it_is_known_makes_the_one_that_is_found(
    sample_lake: Path, tmp_path: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = slowly(monkeypatch)

    async def session() -> None:
        async with seated(sample_lake, postmortems=tmp_path, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await seat.press("P")
            await seat.see("looking for what began it")
            await seat.press("enter")
            assert "a new postmortem" in seat.text
            known.set()
            await seat.see("pins ·")

    asyncio.run(session())
    (made,) = tmp_path.glob("*.md")
    text = made.read_text(encoding="utf-8")
    assert "since = 2026-10-21T02:13:00Z\nuntil = 2026-10-21T05:41:00Z\n" in text


def test_one_that_is_left_before_it_is_known_is_none(
    sample_lake: Path, tmp_path: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    known = slowly(monkeypatch)

    async def session() -> None:
        async with seated(sample_lake, postmortems=tmp_path, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await seat.press("P")
            await seat.see("looking for what began it")
            await seat.press("escape")
            await seat.see("[summary]")
            known.set()
            await seat.worked()
            assert "[summary]" in seat.text

    asyncio.run(session())
    assert not list(tmp_path.glob("*.md"))


def test_of_several_decision_points_it_is_of_the_one_under_the_cursor(
    lake: Path, tmp_path: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in([
        decision_record(decision_point="alpha", occurred_at="2026-09-09T12:00:00Z"),
        decision_record(decision_point="beta", occurred_at="2026-09-09T13:00:00Z"),
        change_record(
            component="a", decision_point="alpha", occurred_at="2026-09-09T12:30:00Z"
        ),
        change_record(component="b", decision_point="beta", occurred_at="2026-09-09T12:15:00Z"),
    ])  # fmt: skip

    async def session() -> None:
        async with seated(lake, postmortems=tmp_path / "postmortems") as seat:
            await seat.see("1 of 2")
            assert "beta" in seat.at_cursor(seat.text)
            await seat.press("P")
            await seat.see("point  beta")
            await seat.see("since  2026-09-09 12:15:00")

    asyncio.run(session())


def test_a_window_that_somebody_chose_stays(sample_lake: Path, tmp_path: Path, seated: Any) -> None:
    window = {"since_us": 1792548000_000000, "until_us": 1792551600_000000}

    async def session() -> None:
        async with seated(sample_lake, postmortems=tmp_path, **window) as seat:
            await seat.see("1 of 21")
            await seat.press("P")
            await seat.see("It is the window that one looks at.")
            assert written(seat) == ["2026-10-21 02:00:00", "2026-10-21 03:00:00"]

    asyncio.run(session())
