"""What is ended ends at once: what the database was asked is interrupted within, and again."""

from __future__ import annotations

import asyncio
import threading
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual")


def test_a_check_is_ended_within_a_query_and_not_at_the_next_stretch(
    sample_lake: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics_tui.screens import findings

    asked, ended = threading.Event(), threading.Event()

    def endless(_snapshot: Any, *, connection: Any, **_options: Any) -> Any:
        asked.set()
        try:
            connection.execute("SELECT sum(a.range * b.range) FROM range(1e9::BIGINT) a, "
                               "range(1e9::BIGINT) b").fetchall()  # fmt: skip
        finally:
            ended.set()

    monkeypatch.setattr(findings, "check", endless)

    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("f")
            assert await asyncio.to_thread(asked.wait, 60)
            await seat.press("escape")
            assert await asyncio.to_thread(ended.wait, 60)
            await seat.see("Ended before anything was told.")
            await seat.worked()

    asyncio.run(session())


def test_one_that_is_ended_between_two_queries_is_interrupted_again(
    sample_lake: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics_tui.screens import findings

    between, go_on, ended = threading.Event(), threading.Event(), threading.Event()

    def late(_snapshot: Any, *, connection: Any, **_options: Any) -> Any:
        between.set()
        assert go_on.wait(60)
        try:
            connection.execute("SELECT sum(a.range * b.range) FROM range(1e9::BIGINT) a, "
                               "range(1e9::BIGINT) b").fetchall()  # fmt: skip
        finally:
            ended.set()

    monkeypatch.setattr(findings, "check", late)

    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("f")
            assert await asyncio.to_thread(between.wait, 60)
            await seat.press("escape")
            go_on.set()
            assert await asyncio.to_thread(ended.wait, 60)
            await seat.worked()

    asyncio.run(session())


def test_a_question_that_fails_unforeseen_is_not_waited_for(
    sample_lake: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics_tui.screens import findings

    def broken(*_arguments: Any, **_options: Any) -> Any:
        raise AttributeError("no such thing")

    monkeypatch.setattr(findings, "check", broken)

    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            await seat.see("1 of 30,000")
            await seat.press("f")
            text = await seat.see("This has failed.")
            assert "esc ends" not in text.splitlines()[0]

    asyncio.run(session())
