"""Two decisions side by side: what differs, in order, and everything that can be done with it."""

from __future__ import annotations

import asyncio
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rich.cells import cell_len

from forensics.testing import decision_record

SHOWCASE = "7f3a-c1"


async def two(seat: Any) -> None:
    """Mark the first two rows, and look at their difference."""
    await seat.see("1 of")
    await seat.press("m", "j", "m", "x")
    await seat.see("are equal")


def pair(**b: Any) -> list[dict[str, Any]]:
    """Two decisions that differ in what is given."""
    one = {"subject": {"id": "s"}, "features": {"x": 1.0, "y": 2.0}, "config": {"revision": "c1"}}
    return [
        decision_record(
            decision_id="d-a", request_id="r-a", occurred_at="2026-10-01T00:01:00Z", **one
        ),
        decision_record(
            decision_id="d-b", request_id="r-b", occurred_at="2026-10-01T00:02:00Z", **{**one, **b}
        ),
    ]


def test_without_two_marks_it_says_what_to_do(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 24)) as seat:
            await seat.see("1 of 30,000")
            await seat.press("x")
            await seat.see("No decision is marked. Mark two with m, then press x.")
            await seat.press("m", "x")
            await seat.see("One decision is marked. Mark two")
            assert "1 of 30,000" in seat.text

    asyncio.run(session())


def test_it_shows_all_that_the_command_prints(
    sample_lake: Path, seated: Any, run: Callable[..., Any]
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(200, 60)) as seat:
            await two(seat)
            await seat.press("ctrl+y")
            await seat.see("copied: forensics diff")
            answer = run(*shlex.split(seat.app.clipboard)[1:], "--json").json
            assert answer["differences"]
            lines = seat.app.screen.outline.text
            for said in answer["differences"]:
                assert any(line.split()[:1] == [said["name"]] and "≠" in line for line in lines)
            count, same = len(answer["differences"]), sum(answer["same"].values())
            assert f"{count} differ, {same} are equal" in seat.text

    asyncio.run(session())


def test_features_stand_in_the_order_of_how_far_they_are_apart(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 60)) as seat:
            await two(seat)
            lines = seat.app.screen.outline.text
            first = next(at for at, line in enumerate(lines) if line.startswith("features"))
            apart = []
            for line in lines[first + 1 :]:
                if not line.endswith("×"):
                    break
                apart.append(float(line.split()[-2].replace(",", "")))
            assert len(apart) > 3
            assert apart == sorted(apart, reverse=True)

    asyncio.run(session())


def test_what_is_equal_is_shown_when_asked_for_and_after_what_differs(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(pair(features={"x": 5.0, "y": 2.0}))

    async def session() -> None:
        async with seated(lake, size=(120, 40)) as seat:
            await two(seat)
            assert "1 differ, 1 equal" in seat.text
            text = seat.app.screen.outline.text
            assert not any(line.split()[:1] == ["y"] for line in text)
            await seat.press("a")
            await seat.see(" = 2")
            text = [line.split()[0] for line in seat.app.screen.outline.text if line.split()]
            assert text.index("x") < text.index("y")
            await seat.press("a")
            await seat.see(lambda screen: " = 2" not in screen)

    asyncio.run(session())


def test_two_that_are_equal_say_so(lake: Path, take_in: Callable[..., Any], seated: Any) -> None:
    take_in(pair())

    async def session() -> None:
        async with seated(lake) as seat:
            await two(seat)
            await seat.see("Nothing that was recorded differs.")

    asyncio.run(session())


def test_from_a_decision_it_is_that_one_and_the_other_mark(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(pair(outcome="DECLINE"))

    async def session() -> None:
        async with seated(lake) as seat:
            await seat.see("1 of 2")
            await seat.press("m", "j", "enter")
            await seat.see("[summary]")
            await seat.press("x")
            await seat.see("r-a ≠ r-b")
            await seat.press("escape")
            await seat.see("[summary]")

    asyncio.run(session())


def test_enter_opens_the_decision_of_the_column_and_back_leads_here(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(pair(outcome="DECLINE"))

    async def session() -> None:
        async with seated(lake) as seat:
            await two(seat)
            await seat.see("r-b ≠ r-a")
            for keys, request in ((("enter",), "r-b"), (("l", "enter"), "r-a"),
                                  (("h", "enter"), "r-b"), (("right", "enter"), "r-a"),
                                  (("left", "enter"), "r-b")):  # fmt: skip
                await seat.press(*keys)
                await seat.see(f"request {request}")
                await seat.press("escape")
                await seat.see("r-b ≠ r-a")

    asyncio.run(session())


def test_a_decision_that_one_came_through_can_be_opened_again(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(pair(outcome="DECLINE"))

    async def session() -> None:
        async with seated(lake) as seat:
            await seat.see("1 of 2")
            await seat.press("m", "j", "enter")
            await seat.see("[summary]")
            await seat.press("x")
            await seat.see("are equal")
            await seat.press("enter")
            await seat.see("r-a ≠ r-b › r-a")

    asyncio.run(session())


def test_swap_turns_the_two_round_and_the_cursor_stays_on_its_decision(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(pair(outcome="DECLINE"))

    async def session() -> None:
        async with seated(lake) as seat:
            await two(seat)
            await seat.press("X")
            await seat.see("r-a ≠ r-b")
            await seat.see("are equal")
            await seat.press("y")
            assert seat.app.clipboard == '"DECLINE"'
            await seat.press("ctrl+y")
            await seat.see("copied: forensics diff d-a d-b")
            await seat.press("enter")
            await seat.see("request r-b")

    asyncio.run(session())


def test_values_are_copied_to_the_letter_and_shown_in_full(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(pair(features={"x": 1.00000001, "y": 2.0}))

    async def session() -> None:
        async with seated(lake) as seat:
            await two(seat)
            text = await seat.see("1.00000001")
            assert "≠" in text
            await seat.press("y")
            assert seat.app.clipboard == "1.00000001"
            await seat.press("l", "y")
            assert seat.app.clipboard == "1"

    asyncio.run(session())


def test_attributions_are_compared_once_both_are_replayed(
    sample_lake: Path, seated: Any, run: Callable[..., Any]
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 60)) as seat:
            await two(seat)
            await seat.see("attribution ·")
            await seat.see(lambda text: "replaying" not in text)
            await seat.press("a", "ctrl+y")
            ids = shlex.split(seat.app.clipboard)[2:4]
            screen = seat.app.screen
            words = [pin for pin in screen.pinnables() if "moved the score" in pin.statement]
            assert len(words) > 10
            for at in (0, 1):
                answer = run("trace", ids[at], "--lake", sample_lake, "--json").json
                found = {v["feature"]: v["value"] for v in answer["attributions"]["values"]}
                for name, value in found.items():
                    (line,) = (
                        line
                        for line in screen.outline.text
                        if line.split()[:1] == [name] and line.split()[1][0] in "+-"
                        and "." in line.split()[-1]
                    )  # fmt: skip
                    assert line.split()[1 + 2 * at] == f"{value:+.3f}"

    asyncio.run(session())


def test_why_there_is_no_attribution_is_said(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(pair(features={"x": 3.0, "y": 2.0}))

    async def session() -> None:
        async with seated(lake, size=(100, 40)) as seat:
            await two(seat)
            text = await seat.see("b  missing: ")
            assert "a  missing: " in text

    asyncio.run(session())


def test_what_can_be_pinned_can_be_asked_again(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        from forensics.incident.asking import Answers
        from forensics.incident.pointers import ABSENT, resolve
        from forensics.lake.snapshot import take

        async with seated(sample_lake, size=(120, 60)) as seat:
            await two(seat)
            await seat.see("attribution ·")
            await seat.press("j")
            pins = seat.app.screen.pinnables()
            fact = seat.app.screen.outline.data
            assert fact.name in pins[0].statement
            assert fact.values[0] in pins[0].statement
            await seat.press("a", "G")
            assert "are equal in" in seat.app.screen.pinnables()[0].statement
            pins = [seat.app.screen.pinnables()[0], *pins]
        with Answers(take(sample_lake)) as answers:
            for pin in pins:
                assert resolve(answers.ask(pin.question), pin.pointer) is not ABSENT
                assert "\n" not in pin.statement

    asyncio.run(session())


def test_a_click_picks_the_row_and_the_column_and_a_second_opens(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(pair(features={"x": 5.0, "y": 7.0}))

    async def session() -> None:
        async with seated(lake, size=(80, 24)) as seat:
            await two(seat)
            (y,) = (at for at, line in enumerate(seat.lines) if line.split()[:1] == ["y"])
            left, right = seat.lines[y].index("7"), seat.lines[y].index("≠") + 2
            await seat.click(offset=(right, y))
            await seat.press("y")
            await seat.see("copied: 2")
            await seat.click(offset=(left, y))
            await seat.press("y")
            await seat.see("copied: 7")
            await seat.click(offset=(left, y), times=2)
            await seat.see("request r-b")

    asyncio.run(session())


def test_the_facts_can_be_gone_to(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await two(seat)
            await seat.press("tab")
            assert seat.app.focused.id == "facts"
            await seat.press("tab")
            assert seat.app.focused.id == "outline"
            await seat.press("G", "g", "ctrl+d", "ctrl+u", "space", "b", "end", "home")
            assert seat.app.screen.outline.data.section == "outcome"

    asyncio.run(session())


def test_it_fits_every_screen(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("m", "j", "m", "x")
            await seat.see("differ")
            async for size in seat.sizes((40, 16)):
                assert all(cell_len(line) == size[0] for line in seat.lines)
                text = await seat.see("score")
                assert "≠ 0." in text or size[0] < 56
                assert "a  " in text

    asyncio.run(session())


def test_a_decision_that_is_gone_is_said(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    take_in(pair(outcome="DECLINE"))

    async def session() -> None:
        async with seated(lake) as seat:
            await seat.see("1 of 2")
            row = seat.app.screen.table.row
            seat.app.mark(row)
            seat.app.mark((*row[:2], "d-gone", "r-gone", *row[4:]))
            await seat.press("x")
            await seat.see("No decision 'd-gone'")
            await seat.press("escape")
            await seat.see("1 of 2")

    asyncio.run(session())


def test_logged_text_does_nothing(
    lake: Path, take_in: Callable[..., Any], seated: Any, assert_inert: Callable[[str], None]
) -> None:
    texts = ["\x1b[2J\x1b]52;c;cm0=\x07", "[@click=app.quit]x[/]", "a\u202eb\u2066", "漢字" * 30,
             "x\u2028y\x00"]  # fmt: skip
    for number, text in enumerate(texts):
        take_in(
            decision_record(
                decision_id=f"d-{number}-{side}",
                request_id=f"r-{number}-{side}",
                occurred_at=f"2026-10-01T00:0{number}:0{side}Z",
                outcome=text * (side + 1),
                model={"name": text, "version": text * (side + 1)},
                config={"name": text, "values": {text: text * (side + 1)}},
                features={"x": text * (side + 1), "n": side},
                feature_sources=[{"view": text, "features": ["n"], "status": text * (side + 1)}],
                steps=[{"id": text, "kind": text, "error": text * (side + 1)}],
                cache={text: text * (side + 1)},
            )
            for side in (0, 1)
        )
    ids = ["[@click=app.quit]x[/]", "漢字" * 30]
    take_in(
        decision_record(
            decision_id=f"d {text}", request_id=text, features={text: 1.0}, outcome=text,
            occurred_at=f"2026-10-01T00:09:0{number}Z",
        )
        for number, text in enumerate(ids)
    )  # fmt: skip

    async def session() -> None:
        async with seated(lake, size=(120, 40)) as seat:
            await seat.see("1 of 12")
            for _ in (*texts, ids):
                await seat.press("m", "j", "m", "x")
                await seat.see("are equal")
                await seat.press("a")
                for _ in range(6):
                    await seat.press("y", "l", "j", "y", "h", "j")
                    assert_inert(seat.text)
                    assert_inert(seat.app.clipboard)
                await seat.press("ctrl+y")
                assert_inert(seat.app.clipboard)
                for pin in seat.app.screen.pinnables():
                    assert_inert(pin.statement)
                await seat.press("escape", "j")
            assert seat.app.is_running

    asyncio.run(session())
