"""The timeline: a month on one axis, and every key that leads from a jump to what explains it."""

from __future__ import annotations

import asyncio
import re
import shlex
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.incident import pins
from forensics.lake.snapshot import take
from forensics.reconstruct.changes import between
from forensics.reconstruct.timeline import timeline
from forensics.records.times import from_micros, to_micros
from forensics.testing import decision_record

JUMP = datetime(2026, 10, 21, 2, 13, 4, tzinfo=UTC)
BACK = datetime(2026, 10, 21, 5, 40, 5, tzinfo=UTC)
COUNTED = "2 jumps"


async def opened(seat: Any) -> Any:
    """The timeline of the sample, once all of it has come."""
    await seat.see("1 of 30,000")
    await seat.press("t")
    await seat.see(COUNTED)
    return seat.app.screen


def lane(text: str, name: str) -> str:
    (line,) = (line for line in text.splitlines() if line[:9].strip() == name)
    return line[9:]


async def settled(seat: Any) -> str:
    """Wait until what is in sight has been counted as finely as it is shown."""
    screen = seat.app.screen

    def fine() -> bool:
        columns = screen.period.span_us // screen._axis.columns
        counted, near = screen._counted, screen._near
        return bool(
            counted is not None
            and counted.has_outcomes
            and counted.done >= 1
            and counted.is_fine(columns)
            and near is not None
            and near.number == screen._near_number
        )

    await seat.rest()
    await seat.until(fine)
    text: str = seat.text
    return text


@pytest.mark.parametrize(
    ("size", "theme"),
    [
        ((80, 24), "forensics-light"),
        ((80, 24), "ansi-dark"),
        ((120, 40), "forensics-dark"),
        ((200, 60), "forensics-light"),
    ],
)
def test_a_month_shows_both_jumps_with_their_changes_at_once(
    sample_lake: Path, seated: Any, size: Any, theme: str
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=size, theme=theme) as seat:
            await opened(seat)
            text = await settled(seat)
            assert "DECLINE 16.7% of 30,000" in text
            assert "10-21 02:13 19.4% → 40.2% +20.8 pipeline" in text
            assert "10-21 05:40 40.2% → 17.8% -22.4 pipeline" in text
            assert lane(text, "changes").count("◆") == 2
            assert lane(text, "runs").count("✗") == 1
            assert "not checked yet: F" in lane(text, "findings")
            assert all(len(line) == size[0] for line in seat.lines)
            assert seat.app.is_running

    asyncio.run(session())


def test_next_and_previous_go_through_every_change(sample_lake: Path, seated: Any) -> None:
    changes = between(take(sample_lake), decision_point="credit_line")
    first, end = take(sample_lake).window_us() or (0, 0)
    times = sorted(to_micros(change.true_from) for change in changes)
    times = [us for us in times if first <= us <= end]
    assert len(times) == 15

    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            seen = []
            for _ in times:
                await seat.press("N")
                seen.append(screen.time_us)
                assert seat.at_cursor(seat.text)
            assert seen == times[::-1]
            await seat.press("N")
            assert screen.time_us == times[0]
            await seat.see("There is no earlier change.")
            for us in times[1:]:
                await seat.press("n")
                assert screen.time_us == us
            await seat.press("n")
            await seat.see("There is no later change.")

    asyncio.run(session())


def test_zooming_goes_from_a_month_to_seconds_around_the_cursor_and_back(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            screen = await opened(seat)
            await seat.to_time("2026-10-21 02:19:46")
            whole = screen.period
            for key in ("plus", "equals_sign") * 11:
                await seat.press(key)
                assert screen.period.holds(screen.time_us)
            assert screen.period.span_us == 1_000_000
            text = await settled(seat)
            assert re.search(
                r"(no decision|0%, 0 of 1|100%, 1 of 1) in [89]\.\d+ ms", text.splitlines()[2]
            )
            assert re.search(r"╵02:19:4\d\.\d", text)
            for _ in range(22):
                await seat.press("minus")
            assert screen.period == whole
            await seat.press("plus", "plus", "0")
            assert screen.period == whole

    asyncio.run(session())


def test_numbers_at_the_cursor_are_those_of_the_lake_at_every_zoom(
    sample_lake: Path, seated: Any
) -> None:
    lake = take(sample_lake)

    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            screen = await opened(seat)
            await seat.to_time("2026-10-21 03:00")
            for _ in range(8):
                text = await settled(seat)
                head, here = text.splitlines()[1:3]
                *_, at_cursor, in_sight = screen.pinnables()
                for pinnable, line in ((at_cursor, here), (in_sight, head)):
                    if "decisions of" not in pinnable.statement:
                        continue
                    asked = pinnable.question.arguments
                    whole = timeline(
                        lake,
                        datetime.fromisoformat(str(asked["since"])),
                        datetime.fromisoformat(str(asked["until"])),
                        outcome="DECLINE",
                        bins=1,
                    ).whole
                    assert f"of {whole.decisions:,} decisions" in pinnable.statement
                    assert f"of {whole.decisions:,}" in line
                await seat.press("plus", "plus")

    asyncio.run(session())


def test_every_statement_that_can_be_pinned_is_true(sample_lake: Path, seated: Any) -> None:
    lake = take(sample_lake)

    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            screen = await opened(seat)
            await seat.to_time("2026-10-21 02:13:04")
            change, moved, here, whole = screen.pinnables()
            assert "by t.wern" in change.statement
            assert "19.4% → 40.2% (+20.8 points)" in moved.statement
            assert float(pins.pin(lake, moved, "").value.text or 0) == pytest.approx(0.2076, 1e-3)
            words = pins.pin(lake, change, "").value.text
            assert "align with the new statement" in str(words)
            for rate in (here, whole):
                value = float(pins.pin(lake, rate, "").value.text or 0)
                shown = re.match(r"([\d.]+)%", rate.statement)
                assert shown is not None
                assert float(shown[1]) == pytest.approx(100 * value, abs=0.05)
            for _ in range(5):
                await seat.press("plus")
            await settled(seat)
            await seat.press("j")
            assert "run billing_features 89e582bf" in seat.at_cursor(seat.text)
            run = screen.pinnables()[0]
            assert "3e1f: complete" in run.statement
            assert pins.pin(lake, run, "").value.preview
            await seat.press("F")
            await seat.see("scale jump: 107")
            while screen.event.lane != "findings":
                await seat.press("j")
            finding = screen.pinnables()[0]
            assert finding.statement.startswith("107 decisions of credit_line")
            assert pins.pin(lake, finding, "").value.text == "107"

    asyncio.run(session())


def test_up_and_down_go_through_events_of_every_lane(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            screen = await opened(seat)
            await seat.to_time("2026-10-21 03:00")
            for _ in range(6):
                await seat.press("plus")
            await settled(seat)
            times = [screen.time_us]
            kinds = set()
            for _ in range(12):
                await seat.press("j")
                await settled(seat)
                times.append(screen.time_us)
                kinds.add(screen.event.lane)
                assert screen.event.at_us == screen.time_us
            assert times == sorted(times)
            assert kinds == {"changes", "runs", "controls"}
            for _ in range(3):
                await seat.press("k")
                await settled(seat)
                assert screen.time_us <= times.pop()
            await seat.press("0")
            await settled(seat)
            await seat.press("g")
            assert screen.time_us == screen._events[0].at_us
            await seat.press("G")
            assert screen.time_us == screen._events[-1].at_us
            await seat.press("home", "end", "up", "down")
            assert screen.time_us == screen._events[-1].at_us

    asyncio.run(session())


def test_the_cursor_moves_by_columns_and_what_is_in_sight_moves_with_it(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            await seat.to_time("2026-10-15 00:00")
            for _ in range(5):
                await seat.press("plus")
            column = screen.period.span_us // screen._axis.columns
            before = screen.time_us
            await seat.press("l", "right")
            assert screen.time_us == before + 2 * column
            await seat.press("h", "left")
            assert screen.time_us == before
            period = screen.period
            await seat.press(*"l" * 60)
            assert screen.period.since_us > period.since_us
            assert screen.period.holds(screen.time_us)
            period = screen.period
            for key, sign in (("pagedown", 1), ("space", 1), ("pageup", -1), ("b", -1)):
                at = screen.time_us
                await seat.press(key)
                assert (screen.time_us - at) * sign > 0
            assert screen.period == period
            await seat.to_time("2020-01-01")
            await seat.see("No decision is as early or as late as that.")
            assert screen.time_us == screen.period.bounds[0]
            await seat.press("h")
            assert screen.time_us == screen.period.bounds[0]

    asyncio.run(session())


def test_a_change_opens_with_who_did_it_and_the_rates_before_and_after(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await opened(seat)
            await seat.to_time("2026-10-21 02:13")
            await seat.press("enter")
            text = await seat.see("before and after")
            assert "timeline › 10-21 02:13:04" in text
            for words in (
                "t.wern",
                "data_platform",
                "align with the new statement",
                "+20.8 points",
            ):
                assert words in text
            assert "19.4%: 163 of 839 decisions" in text
            assert "40.2%: 43 of 107 decisions" in text
            screen = seat.app.screen
            assert screen.time_us == to_micros(JUMP)
            assert screen.node == "run:89e582bf-bd17-596c-a91f-cfd65ea189e9"
            assert screen.point == "credit_line"
            assert len(screen.pinnables()) == 2
            await seat.press("y")
            assert "19.4% → 40.2% +20.8" in seat.app.clipboard
            await seat.press("ctrl+y")
            assert "timeline" in shlex.split(seat.app.clipboard)
            await seat.press("d")
            await seat.see(lambda shown: "\n> 10-21 02:1" in shown)
            await seat.press("escape", "escape")
            await seat.see("not checked yet")

    asyncio.run(session())


def test_runs_overrides_and_findings_open_too(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            screen = await opened(seat)
            await seat.to_time("2026-10-21 02:13")
            for _ in range(5):
                await seat.press("plus")
            await settled(seat)
            await seat.press("F")
            await seat.see("scale jump: 107")
            wanted = {
                "runs": ("lineage of run", "lineage"),
                "controls": ("override d-", "trace"),
                "findings": ("said of", "check"),
            }
            for _ in range(20):
                await seat.press("j")
                await settled(seat)
                if screen.event.lane in wanted:
                    words, command = wanted.pop(screen.event.lane)
                    assert screen.pinnables()[0].question.command == command
                    await seat.press("enter")
                    await seat.see(words)
                    await seat.press("ctrl+y")
                    assert f"forensics {command} " in seat.app.clipboard
                    await seat.press("escape")
                    await seat.see("findings")
            assert not wanted

    asyncio.run(session())


def test_a_check_tells_what_is_in_sight_and_escape_ends_it(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            screen = await opened(seat)
            await seat.press("F")
            assert "checking" in lane(seat.text, "findings")
            await seat.press("escape")
            assert "not checked yet" in lane(seat.text, "findings")
            assert seat.app.screen is screen
            await seat.to_time("2026-10-21 02:13")
            for _ in range(4):
                await seat.press("plus")
            await settled(seat)
            await seat.press("F")
            text = await seat.see("scale jump: 107")
            assert "✗" in lane(text, "findings")
            assert "━" in lane(text, "findings")
            assert "?" not in lane(text, "findings")
            await seat.press("minus", "minus")
            await settled(seat)
            assert lane(seat.text, "findings").count("?") > 20
            assert "✗" in lane(seat.text, "findings")
            await seat.to_time("2026-10-03 12:00")
            await seat.press("plus", "plus", "plus", "plus", "plus", "plus", "F")
            await seat.see(lambda text: "neither errors nor warnings" in lane(text, "findings"))

    asyncio.run(session())


def test_a_window_without_decisions_cannot_be_checked_and_says_so(
    lake: Path, take_in: Any, seated: Any
) -> None:
    take_in(
        decision_record(request_id=f"r{hour}", occurred_at=f"2026-10-0{1 + hour}T00:00:00Z")
        for hour in range(5)
    )

    async def session() -> None:
        async with seated(lake) as seat:
            await seat.see("1 of 5")
            await seat.press("t")
            await seat.see("of 5 ·")
            await seat.to_time("2026-10-02 11:00")
            for _ in range(10):
                await seat.press("plus")
            await seat.press("F")
            await seat.see("No decision in this window.")

    asyncio.run(session())


def test_keys_lead_to_the_decisions_and_the_state_at_the_cursor(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            await seat.to_time("2026-10-21 02:30")
            await seat.press("plus", "plus", "plus", "plus")
            await settled(seat)
            await seat.press("d")
            await seat.see("timeline › decisions")
            await seat.see("\n> 10-21 02:33:43")  # the first at this time or after
            rows = timeline(
                take(sample_lake),
                from_micros(screen.period.since_us),
                from_micros(screen.period.until_us),
                bins=1,
            ).whole.decisions
            await seat.see(f" of {rows:,}")
            await seat.press("escape")
            await seat.see("not checked yet")
            await seat.press("s")
            await seat.see("as of 2026-10-21 02:30:00.000 UTC")
            assert seat.app.screen.time_us == screen.time_us
            await seat.press("escape", "escape")
            await seat.see("1 of 30,000")

    asyncio.run(session())


def test_it_opens_at_the_decision_that_one_looks_at(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, identifier="7f3a-c1") as seat:
            await seat.see("[summary]")
            await seat.press("t")
            await seat.see(COUNTED)
            assert "at 2026-10-21 02:41:" in seat.text
            assert "billing_features 88ac → 3e1f" in seat.at_cursor(await seat.see("\n>"))

    asyncio.run(session())


def test_other_outcomes_have_jumps_of_their_own(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            await opened(seat)
            seen = []
            for _ in range(3):
                await seat.press("o")
                name = seat.text.splitlines()[1].split()[0]
                seen.append(name)
                await seat.see(lambda text: "jump" in text.splitlines()[0])
                asked = timeline(take(sample_lake), outcome=name, bins=60)
                jumps = sum(moment.jump for moment in asked.moments)
                words = f"{jumps} jump" if jumps == 1 else f"{jumps} jumps"
                await seat.see(lambda text, words=words: words in text.splitlines()[0])
            assert sorted(seen) == ["APPROVE", "DECLINE", "REFER"]

    asyncio.run(session())


def test_the_copied_command_prints_what_is_in_sight(
    sample_lake: Path, seated: Any, run: Any
) -> None:
    async def session() -> tuple[str, str]:
        async with seated(sample_lake, size=(120, 40)) as seat:
            await opened(seat)
            await seat.to_time("2026-10-21 03:00")
            for _ in range(5):
                await seat.press("plus")
            text = await settled(seat)
            await seat.press("ctrl+y")
            command = seat.app.clipboard
            await seat.press("N", "y")
            assert "pipeline billing_features" in seat.app.clipboard
            return command, text.splitlines()[1]

    command, head = asyncio.run(session())
    words = shlex.split(command)
    assert words[0] == "forensics"
    answer = run(*words[1:], "--json").json
    assert f"{100 * answer['rate']:.1f}% of {answer['decisions']:,}" in head


def test_a_click_sets_the_time_and_a_second_one_opens_the_event(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            rows = seat.lines
            y = next(at for at, line in enumerate(rows) if line.startswith(" changes"))
            x = rows[y].index("◆")
            await seat.click(offset=(x, y))
            assert abs(screen.time_us - to_micros(JUMP)) < 12 * 3_600_000_000
            period = screen.period
            assert screen.period.column(screen.time_us, screen._axis.columns) == x - 9
            await seat.click(offset=(2, y))  # a name is no time
            assert screen.period == period
            await settled(seat)
            y = next(at for at, line in enumerate(seat.lines) if "05:40:05" in line)
            await seat.click(offset=(20, y))
            assert screen.time_us == to_micros(BACK)
            await settled(seat)
            y = next(at for at, line in enumerate(seat.lines) if line.startswith(">"))
            await seat.click(offset=(20, y))
            await seat.see("roll back 3e1f")
            await seat.see("before and after")

    asyncio.run(session())


def test_the_wheel_zooms_around_the_pointer(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            screen = await opened(seat)
            before = screen.period
            under = before.edge(40, screen._axis.columns)
            screen._axis._turned(49, nearer=True)
            await seat.press()
            assert screen.period.span_us == before.span_us // 2
            assert screen.period.holds(under)
            screen._axis._turned(49, nearer=False)
            await seat.press()
            assert abs(screen.period.span_us - before.span_us) <= 1

    asyncio.run(session())


def test_decision_points_are_told_apart(lake: Path, take_in: Any, seated: Any) -> None:
    begin = datetime(2026, 10, 1, tzinfo=UTC)

    def records() -> Any:
        for minute in range(600):
            for point, often in (("loans", 4), ("cards", 2)):
                yield decision_record(
                    decision_point=point,
                    request_id=f"{point}-{minute}",
                    outcome="no" if minute % often == 0 else "yes",
                    occurred_at=(begin + timedelta(minutes=minute)).isoformat(),
                )

    take_in(records())

    async def session() -> None:
        async with seated(lake) as seat:
            await seat.see("1 of 1,200")
            await seat.press("t")
            await seat.see("of 600")
            found = set()
            for _ in range(2):
                await seat.press("D")
                text = await seat.see(lambda text: "% of 600" in text)
                point = seat.app.screen.point
                while "no " not in text.splitlines()[1]:
                    await seat.press("o")
                    text = seat.text
                found.add((point, re.search(r"no ([\d.]+%)", text.splitlines()[1])[1]))  # type: ignore[index]
            assert found == {("loans", "25%"), ("cards", "50%")}
            for _ in range(20):  # late answers are of the one before
                await seat.press("D")
            await seat.see("% of 600")

    asyncio.run(session())


def test_a_single_point_says_that_it_is_the_only_one(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await opened(seat)
            await seat.press("D")
            await seat.see("credit_line is the only decision point.")

    asyncio.run(session())


def test_a_lake_without_decisions_says_so(lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(lake) as seat:
            await seat.press("t")
            await seat.see("This lake holds no decisions yet.")

    asyncio.run(session())


def test_it_can_be_left_while_it_counts(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            for _ in range(10):
                await seat.press("t", "plus", "n", "h", "escape")
                assert seat.app.screen.name == "decisions"
            await seat.press("t")
            await seat.see(COUNTED)

    asyncio.run(session())


def test_nothing_that_was_logged_does_anything(
    hostile_history: Path, seated: Any, assert_inert: Callable[[str], None]
) -> None:
    async def session() -> None:
        async with seated(hostile_history) as seat:
            await seat.see("1 of 9")
            await seat.press("t")
            await seat.see("changes")
            for size in ((80, 24), (200, 60)):
                await seat.resize(*size)
                await settled(seat)
                await seat.press("g")
                for _ in range(27):
                    assert_inert(seat.text)
                    assert all(line.isprintable() for line in seat.lines)
                    await seat.press("enter", "y")
                    assert_inert(seat.text)
                    assert_inert(seat.app.clipboard)
                    await seat.press("escape", "y", "ctrl+y", "o", "j")
                    assert_inert(seat.app.clipboard)
                    for pinnable in seat.app.screen.pinnables():
                        assert_inert(pinnable.statement)
                assert seat.app.is_running

    asyncio.run(session())


def test_one_decision_is_a_timeline_too(lake: Path, take_in: Any, seated: Any) -> None:
    take_in([decision_record(request_id="r1", outcome="no")])

    async def session() -> None:
        async with seated(lake) as seat:
            await seat.see("1 of 1")
            await seat.press("t")
            await seat.see("no 100% of 1")
            for key in ("plus", "minus", "h", "l", "j", "k", "n", "N", "g", "G", "space", "b", "0"):
                await seat.press(key)
            await seat.press("enter", "y", "F")
            await seat.see(lambda text: "checking" not in text and "not checked" not in text)
            assert "no 100% of 1" in seat.text
            await seat.press("d")
            await seat.see("timeline › decisions")
            await seat.press("escape", "s")
            await seat.see("as of 2026-")
            assert seat.app.is_running

    asyncio.run(session())
