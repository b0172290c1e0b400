"""What the detectors find in a window: all of it, by severity, down to one decision."""

from __future__ import annotations

import asyncio
import shlex
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from rich.cells import cell_len

from forensics.lake.snapshot import take
from forensics.reconstruct.check import check
from forensics.testing import decision_record

SHOWCASE = "7f3a-c1"
#: The hour around the showcase, whose decisions are soon checked.
HOUR = {"since_us": 1792548000_000000, "until_us": 1792551600_000000}  # 2026-10-21 02:00 to 03:00


async def checked(seat: Any, *keys: str) -> str:
    """Go to the findings, and wait for them."""
    await seat.press(*keys, "f")
    text: str = await seat.see("checked in")
    return text


def test_it_lists_what_the_command_prints_and_no_more(
    sample_lake: Path, seated: Any, run: Callable[..., Any]
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(200, 60), **HOUR) as seat:
            await seat.see("1 of 21")
            await checked(seat)
            await seat.press("ctrl+y")
            await seat.see("copied: forensics check")
            answer = run(*shlex.split(seat.app.clipboard)[1:], "--json").json
            assert answer["decisions"] == 21
            await seat.press("G")
            await seat.press(*["l", "k"] * 40)  # unfold everything, from the last to the first
            text = "\n".join(seat.app.screen.outline.text)
            for said in answer["found"] + answer["not_checkable"]:
                (line,) = (one for one in text.splitlines() if said["statement"][:40] in one)
                assert f" {said['count']} " in line
            for kind in answer["nothing_found"]:
                assert f"✓ {kind.replace('_', ' ')}" in text
            assert text.count("✓") == len(answer["nothing_found"])

    asyncio.run(session())


def test_what_nobody_can_tell_is_never_called_clean(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in([decision_record(request_id="r-1", steps=[], model={}, config={})])

    async def session() -> None:
        async with seated(lake, size=(120, 50)) as seat:
            await seat.see("1 of 1")
            text = await checked(seat)
            found = check(take(lake))
            assert found.not_checkable
            head = text.index("not checkable · neither clean nor wrong")
            clean = text.index("nothing found · each looked at all of 1 decision")
            assert head < clean
            for one in found.not_checkable:
                words = f"{one.kind.replace('_', ' ')}, because"
                assert head < text.index(words) < clean
                assert f"✓ {one.kind.replace('_', ' ')}" not in text
            looked = len(found.clean_kinds)
            assert f"nothing, as far as {looked} of {len(found.kinds)} detectors can tell" in text

    asyncio.run(session())


def test_it_leads_from_a_detector_to_a_decision_and_back(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40), **HOUR) as seat:
            await seat.see("1 of 21")
            await checked(seat)
            text = await seat.see("7 min before: pipeline billing_features")
            assert "16 of 21 (76 %)" in text
            await seat.press("enter")
            await seat.see("048b-d5")
            for _ in range(30):
                if seat.app.screen.row is not None and seat.app.screen.row[3] == SHOWCASE:
                    break
                await seat.press("j")
            await seat.see("said of it")
            await seat.press("y")
            assert seat.app.clipboard == SHOWCASE
            await seat.press("enter")
            await seat.see(f"request {SHOWCASE}")
            await seat.press("escape")
            await seat.see("checked in")
            assert seat.app.screen.row[3] == SHOWCASE
            await seat.press("h", "h", "h")
            assert seat.app.screen.outline.data.kind == "scale_jump"
            await seat.see(lambda text: "10-21 02:19:46  048b-d5" not in text)
            await seat.press("l", "left", "right")
            await seat.see("10-21 02:19:46  048b-d5")

    asyncio.run(session())


def test_from_a_decision_it_is_the_hour_around_it(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            text = await checked(seat)
            assert "2026-10-21 02:11 to 03:12" in text
            assert "part of about 30,000 decisions" in text
            assert seat.app.screen.time_us is not None

    asyncio.run(session())


def test_the_window_is_made_smaller_and_larger(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await checked(seat)
            await seat.press("-")
            await seat.see(lambda text: "to 03:" in text and "02:11" not in text)
            await seat.see("checked in")
            await seat.press("+")
            await seat.see("checked in")
            await seat.press("0")
            await seat.see("30,000 decisions")
            await seat.see("30,000 checked in")
            await seat.press("ctrl+y")
            assert "--since" not in seat.app.clipboard

    asyncio.run(session())


def test_it_can_be_sent_to_a_time(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await checked(seat)
            await seat.press("@")
            await seat.see("go to a time")
            await seat.press("escape", "@")
            await seat.press("ctrl+a", "ctrl+k")
            await seat.type("10:00")
            await seat.press("enter")
            await seat.see("2026-10-21 09:29 to 10:31")
            await seat.see("checked in")
            await seat.press("ctrl+y")
            assert "--since 2026-10-21T09:29:00" in seat.app.clipboard

    asyncio.run(session())


def test_of_a_large_lake_it_begins_with_a_part_and_says_so(
    sample_lake: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics_tui.screens import findings

    monkeypatch.setattr(findings, "START_ROWS", 2_000)

    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            text = await checked(seat)
            assert "part of about 30,000 decisions" in text
            await seat.press("0")
            await seat.see("30,000 checked in")
            assert "part of" not in seat.text

    asyncio.run(session())


def test_a_check_can_be_ended_and_what_was_shown_stays(
    sample_lake: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics_tui.screens import findings

    ended, whole = threading.Event(), findings.check

    def slow(*arguments: Any, progress: Any, **options: Any) -> Any:
        if options["until"].day != 21:
            try:
                for done in range(1, 6_000):
                    progress(min(done, 30), 100)
                    threading.Event().wait(0.01)
            finally:
                ended.set()
        return whole(*arguments, progress=progress, **options)

    monkeypatch.setattr(findings, "check", slow)

    async def session() -> None:
        async with seated(sample_lake, identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await checked(seat)
            await seat.press("0")
            text = await seat.see("30%, esc ends")
            assert "utilisation_3m was written" in text  # what was shown, with its own window
            assert "2026-10-21 02:11 to 03:12" in text
            await seat.press("escape")
            await seat.see("checked in")
            assert await asyncio.to_thread(ended.wait, 30)
            assert "2026-10-21 02:11 to 03:12" in seat.text
            await seat.press("escape")
            await seat.see("[summary]")

    asyncio.run(session())


def test_one_that_is_ended_before_anything_is_told_says_so(
    sample_lake: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics_tui.screens import findings

    def never(*_arguments: Any, progress: Any, **_options: Any) -> Any:
        while True:
            progress(1, 100)
            threading.Event().wait(0.01)

    monkeypatch.setattr(findings, "check", never)

    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("f")
            await seat.see("1%, esc ends")
            await seat.press("escape")
            await seat.see("Ended before anything was told.")
            await seat.press("escape")
            await seat.see("1 of 30,000")

    asyncio.run(session())


def test_a_window_without_decisions_is_no_clean_one(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(
        decision_record(request_id=f"r-{day}", occurred_at=f"2026-10-0{day}T00:00:00Z")
        for day in (1, 5)
    )

    async def session() -> None:
        async with seated(lake, identifier="r-1") as seat:
            await seat.see("[summary]")
            await checked(seat)
            await seat.press("@", "ctrl+a", "ctrl+k")
            await seat.type("2026-10-03 00:00")
            await seat.press("enter")
            text = await seat.see("No decision in this window. Nothing was checked.")
            assert "✓" not in text

    asyncio.run(session())


def test_the_decisions_of_a_finding_are_shown_as_rows(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40), **HOUR) as seat:
            await seat.see("1 of 21")
            await checked(seat)
            await seat.press("G", "v")
            await seat.see("Put the cursor on a finding")
            await seat.press("g", "v")
            await seat.see("1 of 16")
            assert seat.app.screen.view.where.startswith("request_id IN ('048b-d5', ")
            await seat.press("escape")  # takes the filter away
            await seat.until(lambda: seat.app.screen.view.where is None)
            await seat.see(lambda text: "esc ends" not in text)
            await seat.press("escape")
            await seat.see("checked in")

    asyncio.run(session())


def test_where_no_filter_tells_them_it_says_so(
    sample_lake: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics_tui.screens import findings

    monkeypatch.setattr(findings, "_EXAMPLES", 5)

    async def session() -> None:
        async with seated(sample_lake, size=(120, 40), **HOUR) as seat:
            await seat.see("1 of 21")
            await checked(seat)
            await seat.press("v")
            await seat.see("16 decisions, and no filter tells them")
            kinds = [one.kind for one in seat.app.screen._found.check.not_checkable]
            while getattr(seat.app.screen.outline.data, "kind", "") not in kinds:
                await seat.press("j")
            await seat.press("v")  # all of the window, so that it takes no filter
            await seat.see("1 of 21")

    asyncio.run(session())


def test_two_decisions_of_a_finding_can_be_marked_and_compared(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40), **HOUR) as seat:
            await seat.see("1 of 21")
            await checked(seat)
            await seat.press("enter")
            await seat.see("048b-d5")
            await seat.press("j", "m", "j", "m", "j", "m")
            await seat.see("* 10-21 02:19:46  048b-d5")
            await seat.press("m", "x")
            await seat.see("048b-d5 ≠ 3fe2-b4")

    asyncio.run(session())


def test_what_can_be_pinned_can_be_asked_again(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        from forensics.incident.asking import Answers
        from forensics.incident.pointers import ABSENT, resolve

        async with seated(sample_lake, size=(120, 40), **HOUR) as seat:
            await seat.see("1 of 21")
            await checked(seat)
            firsts = []
            await seat.press("enter")
            await seat.see("048b-d5")
            screen = seat.app.screen
            pins = list(screen.pinnables())
            assert "16 of 21 decisions (76 %)" in pins[0].statement
            await seat.press("y")
            assert seat.app.clipboard == pins[0].statement
            await seat.press("j")
            firsts.append(screen.pinnables()[0])
            assert "048b-d5 was decided DECLINE" in firsts[0].statement
            await seat.press("G", *["k"] * 4)
            firsts.append(screen.pinnables()[0])
            assert "nothing found by" in firsts[1].statement
        with Answers(take(sample_lake)) as answers:
            for pin in (*pins, *firsts):
                value = resolve(answers.ask(pin.question), pin.pointer)
                assert value is not ABSENT
                if isinstance(value, dict):
                    assert value["statement"] in pin.statement

    asyncio.run(session())


def test_a_click_unfolds_and_opens(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(80, 24), **HOUR) as seat:
            await seat.see("1 of 21")
            text = await checked(seat)
            (y,) = (at for at, line in enumerate(text.splitlines()) if "▸ ✗ scale jump: " in line)
            await seat.click(offset=(20, y), times=2)
            await seat.see("048b-d5")
            await seat.click(offset=(20, y + 1), times=2)
            await seat.see("request 048b-d5")

    asyncio.run(session())


def test_it_fits_every_screen(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, **HOUR) as seat:
            await seat.see("1 of 21")
            await checked(seat)
            await seat.press("enter")
            await seat.see("048b-d5")
            async for size in seat.sizes():
                text = seat.text
                assert all(cell_len(line) == size[0] for line in seat.lines)
                assert "✗" in text
                assert "048b-d5" in text
                await seat.press("tab", "j", "tab", "G", "g", "ctrl+d", "ctrl+u", "space", "b")

    asyncio.run(session())


def test_an_empty_lake_has_nothing_to_check(lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(lake) as seat:
            await seat.see("0 decisions")
            await seat.press("f")
            await seat.see("There is no decision to check.")

    asyncio.run(session())


def test_logged_text_does_nothing(
    lake: Path, take_in: Callable[..., Any], seated: Any, assert_inert: Callable[[str], None]
) -> None:
    texts = ["[@click=app.quit]x[/]", "a\u202eb\u2066", "漢字" * 30, "' OR 1=1 --", "\x1b[2J"]
    report = take_in(
        decision_record(
            decision_id=f"{text} d" if text.isprintable() else f"d-{number}",
            request_id=text if text.isprintable() else f"r-{number}",
            outcome=text,
            model={"name": text, "version": text},
            config={"name": text, "revision": text},
            features={text if text.isprintable() else "x": 1.0},
            steps=[{"id": text, "kind": text, "component": text, "error": text}],
            feature_sources=[{"view": text, "features": ["x"], "status": "NOT_FOUND"}],
            occurred_at=f"2026-10-01T00:00:0{number}Z",
        )
        for number, text in enumerate(texts)
    )
    assert not report.quarantined

    async def session() -> None:
        async with seated(lake, size=(120, 50)) as seat:
            await seat.see(f"1 of {len(texts)}")
            await checked(seat)
            await seat.press("G")
            screen = seat.app.screen
            before = None
            while screen.outline.data != before:  # up to the first
                before = screen.outline.data
                await seat.press("l", "y", "k")
                assert_inert(seat.app.clipboard)
            await seat.resize(120, 400)  # all of it
            assert_inert(await seat.see(lambda text: "looking for the first" not in text))
            await seat.resize(120, 50)
            await seat.press("G")
            seen, before = 0, None
            while screen.outline.data != before and seen < 2 * len(texts):
                before = screen.outline.data
                await seat.press("k")
                if screen.row is not None:
                    seen += 1
                    assert_inert(seat.text)
                    assert_inert(screen.pinnables()[0].statement)
            assert seen
            one = seat.app.screen
            await seat.press("g", "v")
            await seat.until(lambda: seat.app.screen is not one)
            await seat.see(lambda text: " of " in text)
            assert_inert(seat.text)
            assert seat.app.is_running

    asyncio.run(session())
