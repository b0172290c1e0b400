"""Keys for rows that have not come yet are kept for them, or it is said that they were not."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual")


def is_at(text: str, request: str) -> bool:
    """Whether the cursor is on a request."""
    return any(line.startswith(">") and request in line for line in text.splitlines())


@pytest.fixture
def held(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Rows come only while this is set."""
    from forensics.lake.pages import TimePages

    come, rows = threading.Event(), TimePages.rows
    come.set()

    def slow(self: TimePages, first: int, count: int) -> Any:
        assert come.wait(60)
        return rows(self, first, count)

    monkeypatch.setattr(TimePages, "rows", slow)
    return come


def test_a_mark_is_made_once_its_row_has_come(
    sample_lake: Path, seated: Any, held: threading.Event
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("bars up to")
            await seat.worked()
            held.clear()
            await seat.press("G", "m")
            await seat.see("\n  ·")
            assert "marked" not in seat.text
            held.set()
            await seat.see("1 marked")
            assert seat.at_cursor(seat.text).startswith(">*")

    asyncio.run(session())


def test_a_decision_is_opened_once_its_row_has_come(
    sample_lake: Path, seated: Any, held: threading.Event
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("bars up to")
            await seat.worked()
            held.clear()
            await seat.press("G", "enter")
            held.set()
            await seat.see("[summary]")
            assert seat.app.screen.row == seat.app.screen_stack[1].table.row

    asyncio.run(session())


def test_where_there_is_no_row_it_is_said(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, where="score > 5") as seat:
            await seat.see("0 of 0")
            for key in ("m", "y", "enter"):
                await seat.press(key)
                await seat.see("There is no row here yet.")
            assert not seat.app.marks

    asyncio.run(session())


@pytest.mark.parametrize("descending", [True, False])
def test_a_time_leads_to_the_first_row_at_it_or_after(
    sample_lake: Path, seated: Any, descending: bool
) -> None:
    from msgspec.structs import replace

    from forensics_tui.kept import NOTHING

    kept = replace(NOTHING, descending=descending)

    async def session() -> None:
        async with seated(sample_lake, kept=kept) as seat:
            await seat.see("bars up to")
            for time, row in (("02:41:07.318", "7f3a-c1"), ("02:41:07.319", "cf23-3e")):
                await seat.to_time(f"2026-10-21 {time}")
                await seat.see(lambda text, row=row: is_at(text, row))
            await seat.to_time("2027-01-01 00:00")
            await seat.see("No row is as late as 2027-01-01 00:00:00.000: this is the last.")
            await seat.see(lambda text: is_at(text, "ba99-59"))

    asyncio.run(session())


def test_a_column_that_the_edge_cuts_shows_that_it_is_cut(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(80, 24)) as seat:
            text = await seat.see("bars up to")
            row = seat.at_cursor(text)
            assert row.rstrip().endswith("…")
            await seat.press(*["l"] * 6)
            await seat.see("s_9834")

    asyncio.run(session())
