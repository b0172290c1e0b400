"""The state at a time that one moves: what the command prints, and what differs on the way."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.incident import pins
from forensics.lake.snapshot import take
from forensics.reconstruct.as_of import Evidence, as_of
from forensics.records.times import from_micros, to_micros
from forensics.report import state as report
from forensics.report.spans import plain

JUMP = datetime(2026, 10, 21, 2, 13, 4, tzinfo=UTC)
SHOWCASE = "7f3a-c1"
_SECOND = 1_000_000


async def shown(seat: Any) -> str:
    """Wait until the state of the time that one has gone to is there."""
    await seat.until(lambda: seat.app.screen._shown == seat.app.screen._asked)
    text: str = seat.text
    return text


async def opened(seat: Any, time: str = "2026-10-21 02:13") -> Any:
    """The state of the sample at a time."""
    await seat.see("1 of 30,000")
    await seat.press("s")
    await seat.see("as of 2026-10-30")
    await shown(seat)
    await seat.to_time(time)
    await seat.see(f"as of {time}")
    await shown(seat)
    return seat.app.screen


def body(seat: Any) -> list[str]:
    """What is said of the state, all of it, without what differs."""
    lines = [line.rstrip() for line in seat.app.screen.query_one("#state-lines").text]
    if lines and lines[0].startswith("different"):
        lines = lines[lines.index("") + 1 :]
    return [line.replace("≠", " ") for line in lines]


def differences(seat: Any) -> list[str]:
    """What is said to differ."""
    lines = seat.app.screen.query_one("#state-lines").text
    if not lines or not lines[0].startswith("different"):
        return []
    return [line for line in lines[1 : lines.index("")] if line]


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        ((80, 24), "forensics-light"),
        ((80, 24), "ansi-dark"),
        ((120, 40), "forensics-dark"),
        ((200, 60), "forensics-light"),
    ],
)
def test_it_says_what_the_command_says(
    sample_lake: Path, seated: Any, size: Any, theme: str
) -> None:
    lake = take(sample_lake)

    async def session() -> None:
        async with seated(sample_lake, size=size, theme=theme) as seat:
            screen = await opened(seat)
            for key in ("right", "n", "N", "left"):
                await seat.press(key)
                await shown(seat)
                state = as_of(lake, from_micros(screen.time_us))
                lines = report.screen(state, max(size[0] - 2, 20), headed=False)
                told = [plain(line).rstrip() for line in lines]
                width = screen.query_one("#state-lines").size.width
                if width == size[0] - 1:
                    assert body(seat) == told
                else:
                    again = report.screen(state, width - 1, headed=False)
                    assert body(seat) == [plain(line).rstrip() for line in again]
            assert all(len(line) == size[0] for line in seat.lines)

    asyncio.run(session())


def test_arrows_move_by_the_step_that_a_key_chooses(sample_lake: Path, seated: Any) -> None:
    lengths = {"minute": 60, "hour": 3_600, "day": 86_400, "second": 1}

    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            start = to_micros(datetime(2026, 10, 21, 2, 13, tzinfo=UTC))
            for name, seconds in lengths.items():
                await seat.see(f"one {name}")
                for keys, steps in ((("right", "l"), 2), (("left", "h"), 0), (("h",), -1)):
                    await seat.press(*keys)
                    assert screen.time_us == start + steps * seconds * _SECOND
                await seat.press("l")
                assert screen.time_us == start
                await seat.press("w")
            await seat.see("one minute")
            await seat.press("W")
            await seat.see("one second")

    asyncio.run(session())


def test_the_step_across_the_change_shows_what_it_changed(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            await opened(seat, "2026-10-21 02:12")
            await seat.press("right")
            text = await shown(seat)
            assert "different from 2026-10-21 02:12:00 UTC, 60 s later: nothing" in text
            assert differences(seat) == []
            await seat.press("right")
            await shown(seat)
            found = differences(seat)
            assert "≠ fetch billing_features · production  88ac → 88ac, 3e1f announced" in found
            assert "≠ change  pipeline billing_features 88ac → 3e1f" in found
            text = seat.text
            assert "4 differences" in text.splitlines()[0]
            (marked,) = (line for line in text.splitlines() if "≠ fetch billing_features  " in line)
            assert "3e1f" in marked
            assert "t.wern" in marked
            assert "56 s after pipeline billing_features 88ac → 3e1f" in text
            await seat.press("y")
            assert "88ac → 88ac, 3e1f announced" in seat.app.clipboard

    asyncio.run(session())


def test_next_and_previous_stop_at_every_change(sample_lake: Path, seated: Any) -> None:
    evidence = Evidence(take(sample_lake))
    times = sorted({to_micros(one.true_from) for one in evidence.account("credit_line").changes})
    bounds = take(sample_lake).window_us() or (0, 0)
    times = [us for us in times if bounds[0] - 86_400 * _SECOND <= us]

    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat, "2026-10-01 00:02")
            seen = []
            for at, _ in enumerate(times):
                await seat.press("n" if at % 2 else "right_square_bracket")
                seen.append(screen.time_us)
            assert seen == times
            await seat.press("n")
            await seat.see("There is no later change.")
            await shown(seat)
            for us in times[-2::-1]:
                await seat.press("N" if us % 2 else "left_square_bracket")
                assert screen.time_us == us
            await shown(seat)

    asyncio.run(session())


def test_who_hurries_gets_the_state_where_one_ends(sample_lake: Path, seated: Any) -> None:
    lake = take(sample_lake)

    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            chance = ["right", "n", "left", "N", "w", "right", "K", "left", "K", "W"]
            for turn in range(3):
                for key in chance:
                    screen.run_worker(asyncio.sleep(0))
                    await seat.press(key)
                for _ in range(5 * turn):
                    await seat.press("right")
                await shown(seat)
                assert screen.state.time == from_micros(screen.time_us)
                assert screen.state.live == as_of(lake, screen.state.time).live

    asyncio.run(session())


def test_a_time_that_was_pinned_stays_what_one_compares_with(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            await opened(seat, "2026-10-21 02:00")
            await seat.press("r")
            await seat.see("compared with 2026-10-21 02:00:00")
            assert differences(seat) == []
            await seat.press("w", "right")
            await shown(seat)
            first = differences(seat)
            assert any("3e1f" in line for line in first)
            await seat.press("right")
            await shown(seat)
            text = seat.text
            assert "different from 2026-10-21 02:00:00 UTC, 2 h later" in text
            assert any("3e1f" in line for line in differences(seat))
            for _ in range(3):
                await seat.press("right")
                await shown(seat)
            # By 07:00 it had been rolled back: only runs and what happened between are new.
            assert not any("3e1f" in line for line in differences(seat) if "fetch" in line)
            await seat.press("r")
            await seat.see(lambda text: "compared with 2026" not in text)
            await seat.press("right")
            await seat.see("different from 2026-10-21 07:00:00 UTC")

    asyncio.run(session())


def test_what_we_knew_then_is_told_apart_from_what_we_know_now(
    sample_lake: Path, seated: Any
) -> None:
    lake = take(sample_lake)

    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            screen = await opened(seat, "2026-10-21 02:13:05")
            await seat.see("as we know it now")
            assert "3e1f" in seat.text
            await seat.press("K")
            await seat.see("as we knew it then")
            await shown(seat)
            time = from_micros(screen.time_us)
            assert screen.state.live == as_of(lake, time, known_by=time).live
            found = differences(seat)
            assert any("3e1f announced → 88ac" in line for line in found), found
            assert "different from what we know now" in seat.text
            await seat.press("ctrl+y")
            assert "--known-by" in seat.app.clipboard
            await seat.press("K")
            await seat.see("as we know it now")
            await shown(seat)
            assert "different from what we knew then" in seat.text

    asyncio.run(session())


def test_the_copied_command_prints_the_same(sample_lake: Path, seated: Any, run: Any) -> None:
    async def session() -> tuple[str, Any]:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            await seat.press("right", "right")
            await shown(seat)
            await seat.press("ctrl+y")
            return seat.app.clipboard, screen.state

    command, state = asyncio.run(session())
    words = shlex.split(command)
    assert words[:2] == ["forensics", "as-of"]
    answer = run(*words[1:], "--json").json
    assert [one["version"] for one in answer["live"]] == [one.version for one in state.live]
    assert datetime.fromisoformat(answer["time"]) == state.time


def test_what_differs_can_be_pinned_first_and_everything_pinned_is_true(
    sample_lake: Path, seated: Any
) -> None:
    lake = take(sample_lake)

    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            await seat.press("right")
            await shown(seat)
            offered = screen.pinnables()
            first = offered[0]
            assert "fetch billing_features of credit_line in production" in first.statement.replace(
                "feature_fetch", "fetch"
            )
            assert "announced to be 3e1f" in first.statement
            assert "announced by t.wern" in first.statement
            versions = [one.version for one in (*screen.state.live,)]
            assert len(offered) == len(versions) + len(screen.state.pipelines) + len(
                screen.state.controls
            )
            for pinnable in (first, offered[1], offered[-1], offered[len(offered) // 2]):
                value = pins.pin(lake, pinnable, "").value
                assert value.preview.startswith("{")
                if pinnable is first:
                    assert '"version":"3e1f"' in str(value.text or value.preview) or value.parts

    asyncio.run(session())


def test_it_opens_at_the_time_of_the_decision(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await seat.press("s")
            await seat.see("as of 2026-10-21 02:41:")
            await shown(seat)
            assert "3e1f" in seat.text
            await seat.press("t")
            await seat.see("at 2026-10-21 02:41:")
            await seat.press("escape", "escape")
            await seat.see("[summary]")

    asyncio.run(session())


def test_a_click_on_the_axis_goes_there_and_on_a_change_to_its_very_time(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat, "2026-10-21 02:12")
            row = next(at for at, line in enumerate(seat.lines) if line.startswith(" changes"))
            marks = [at for at, sign in enumerate(seat.lines[row]) if sign == "▲"]
            assert len(marks) == 2
            await seat.click(offset=(marks[0], row))
            assert from_micros(screen.time_us) == JUMP
            await shown(seat)
            await seat.click(offset=(9, row))
            assert from_micros(screen.time_us) < JUMP - timedelta(hours=4)
            await shown(seat)

    asyncio.run(session())


def test_the_axis_zooms_and_lines_scroll(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            before = screen._period
            await seat.press("plus")
            assert screen._period.span_us == before.span_us // 2
            await seat.press("minus", "minus")
            assert screen._period.span_us == before.span_us * 2
            await seat.press("0")
            assert (screen._period.since_us, screen._period.until_us) == before.bounds
            assert "credit_line" in seat.text
            await seat.press("G")
            await seat.see("changed before")
            await seat.press("k", "j", "pageup", "pagedown", "ctrl+u", "ctrl+d", "g")
            await seat.see("credit_line")

    asyncio.run(session())


def test_a_key_leads_to_the_decisions_at_this_time(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await opened(seat, "2026-10-21 02:41")
            await seat.press("d")
            await seat.see(lambda text: "state › decisions" in text and "> 10-21 02:41:07" in text)
            await seat.press("escape")
            await seat.see("as of 2026-10-21 02:41")

    asyncio.run(session())


def test_a_time_out_of_reach_is_said_and_a_lake_without_decisions_too(
    sample_lake: Path, lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            await seat.to_time("2030-01-01")
            await seat.see("There are no decisions as early or as late as that.")
            assert screen.time_us == screen._period.bounds[1] - 1
        async with seated(lake) as seat:
            await seat.press("s")
            await seat.see("This lake holds no decisions yet.")

    asyncio.run(session())


def test_it_can_be_left_at_any_moment(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            for _ in range(8):
                await seat.press("s", "left", "n", "K", "escape")
                assert seat.app.screen.name == "decisions"
            await seat.press("s")
            await shown(seat)

    asyncio.run(session())


def test_nothing_that_was_logged_does_anything(
    hostile_history: Path, seated: Any, assert_inert: Callable[[str], None]
) -> None:
    async def session() -> None:
        async with seated(hostile_history) as seat:
            await seat.see("1 of 9")
            await seat.press("s")
            for size, key in (((80, 24), "N"), ((200, 60), "n")):
                await seat.resize(*size)
                await shown(seat)
                for _ in range(18):
                    await seat.press(key)
                    await shown(seat)
                    for other in ("G", "g", "y", "ctrl+y"):
                        await seat.press(other)
                        assert_inert(seat.text)
                        assert_inert(seat.app.clipboard)
                    for pinnable in seat.app.screen.pinnables():
                        assert_inert(pinnable.statement)
                assert seat.app.is_running

    asyncio.run(session())
