"""One decision: every tab, what has to be replayed, the next of the same request or subject."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import NotFoundError
from forensics.testing import decision_record

SHOWCASE = "7f3a-c1"
TABS = {
    "summary": "received bytes match",
    "features": "requested_limit",
    "why": "base value",
    "what if": "what would have changed it ·",
    "steps": "feature_fetch",
    "lineage": "warehouse/features.b",
    "changes": "billing_features",
    "record": "ingested_at",
    "gaps": "class C1",
}


@pytest.mark.parametrize("size", [(80, 24), (200, 60)])
def test_every_tab_says_what_it_is_for(sample_lake: Path, seated: Any, size: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=size, identifier=SHOWCASE) as seat:
            for name, says in TABS.items():
                await seat.see(f"[{name}]")
                await seat.see("bit exact ·")
                if name in ("summary", "record"):
                    await seat.press("end")
                await seat.see(says)
                assert all(len(line) == size[0] for line in seat.lines)
                await seat.press("right_square_bracket")
            await seat.press("left_square_bracket")
            assert SHOWCASE in await seat.see("[gaps]")

    asyncio.run(session())


def test_the_summary_is_what_trace_prints(
    sample_lake: Path, seated: Any, run: Callable[..., Any]
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(101, 60), identifier=SHOWCASE) as seat:
            await seat.see("bit exact")
            await seat.see("what would have changed it")
            from forensics_tui.widgets.lines import Lines

            shown = seat.app.screen.query_one(Lines).text
            printed = run("trace", SHOWCASE, "--lake", sample_lake, "--counterfactuals", "3")
            head = printed.out.splitlines()[:3]
            assert [line.split() for line in shown[:3]] == [line.split() for line in head]

    asyncio.run(session())


def test_what_was_recorded_is_there_before_the_replay(
    sample_lake: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from forensics_tui.screens import decision

    allowed = threading.Event()
    traced = decision.trace

    def slow(*arguments: Any, replay: bool, **options: Any) -> Any:
        if replay:
            assert allowed.wait(60)
        return traced(*arguments, replay=replay, **options)

    monkeypatch.setattr(decision, "trace", slow)

    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("enter")
            text = await seat.see("config c14")
            assert "replaying" in text
            await seat.press("right_square_bracket", "right_square_bracket")
            await seat.see("replaying ·")
            allowed.set()
            await seat.see("base value")

    try:
        asyncio.run(session())
    finally:
        allowed.set()


def test_back_leads_to_the_row_one_came_from(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("j", "j", "enter")
            await seat.see("[summary]")
            await seat.press("m", "less_than_sign")
            text = await seat.see("3 of 30,000")
            (line,) = (line for line in text.splitlines() if line.startswith(">"))
            assert line.startswith(">*")

    asyncio.run(session())


def test_the_next_of_the_request_and_of_the_subject(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    def made(number: int, request: str, subject: str) -> dict[str, Any]:
        return decision_record(
            decision_id=f"d-{number}",
            request_id=request,
            subject={"id": subject},
            occurred_at=f"2026-10-01T00:0{number}:00Z",
        )

    take_in(
        [made(1, "r-1", "s"), made(2, "r-2", "other"), made(3, "r-2", "s"), made(4, "r-4", "s")]
    )

    async def session() -> None:
        async with seated(lake, identifier="d-1") as seat:
            await seat.see("request r-1")
            await seat.press("o")
            await seat.see("decision d-3")
            await seat.press("O")  # of the same request first
            await seat.see("decision d-2")
            await seat.press("o")
            await seat.see("decision d-3")
            await seat.press("o")
            await seat.see("decision d-4")
            await seat.press("o")
            await seat.see("no further one")

    asyncio.run(session())


def test_an_id_that_is_not_there_is_said_before_anything_is_drawn(sample_lake: Path) -> None:
    from forensics_tui.opening import Asked, open_lake

    with pytest.raises(NotFoundError, match="r-none"):
        open_lake(Asked(sample_lake, "r-none"))


def test_the_command_and_the_id_are_copied(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await seat.press("y")
            await seat.see("copied")
            assert seat.app.clipboard == SHOWCASE
            await seat.press("ctrl+y")
            await seat.see("copied: forensics trace")
            assert seat.app.clipboard.endswith(f"--lake {sample_lake}")

    asyncio.run(session())


def test_what_nobody_foresaw_is_said_and_the_screen_stays(
    sample_lake: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics_tui.screens import decision

    def broken(*_arguments: Any) -> Any:
        raise KeyError("[@click=app.quit]x[/]")

    monkeypatch.setattr(decision, "_record", broken)

    async def session() -> None:
        async with seated(sample_lake, identifier=SHOWCASE) as seat:
            from textual.widgets._toast import Toast

            await seat.see("[summary]")
            await seat.until(lambda: bool(seat.app.screen.query(Toast)))
            await seat.see("KeyError: '[@click=app.quit]x[/]'")
            await seat.press("escape")
            await seat.see("30,000 decisions")

    asyncio.run(session())
