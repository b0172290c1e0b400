"""Pinning: any fact of any place goes to a postmortem, with a note, and can be asked again."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import ForensicsError
from forensics.incident import files
from forensics.incident.document import Document
from forensics.incident.pins import pin, recheck
from forensics.incident.pointers import resolve
from forensics.lake.snapshot import take
from forensics.reconstruct.trace import trace
from forensics.testing import decision_record

SHOWCASE = "7f3a-c1"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Where nobody has written a postmortem yet."""
    return tmp_path / "postmortems"


async def _begin(seat: Any) -> None:
    await seat.press("p")
    await seat.see("pin to a postmortem")
    await seat.press("enter")
    await seat.see("a new postmortem")
    await seat.press("enter")
    await seat.see("pinned to")


def test_the_first_pin_of_a_session_asks_where_and_the_next_goes_there_too(
    sample_lake: Path, folder: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(
            sample_lake, postmortems=folder, size=(120, 40), identifier=SHOWCASE
        ) as seat:
            await seat.see("bit exact ·")
            await _begin(seat)
            (path,) = files.listed(folder)
            count = len(files.read(path).document.pins)
            assert f"pinned to {path.stem} ({count} pins)" in seat.text
            await seat.press("p")
            await seat.see(f"pin to {path.stem}")
            await seat.press("down", "down")
            await seat.type("as the client said")
            await seat.press("enter")
            await seat.see(f"({count + 1} pins)")
            last = files.read(path).document.pins[-1]
            assert last.note == "as the client said"
            assert "100 × its usual scale" in last.statement
            assert recheck(take(sample_lake), last).status == "holds"

    asyncio.run(session())


def test_a_new_session_offers_the_postmortems_that_are_there(
    sample_lake: Path, folder: Path, seated: Any
) -> None:
    async def first() -> None:
        async with seated(sample_lake, postmortems=folder, identifier=SHOWCASE) as seat:
            await seat.see("bit exact ·")
            await _begin(seat)

    async def second() -> None:
        async with seated(sample_lake, postmortems=folder, identifier=SHOWCASE) as seat:
            await seat.see("bit exact ·")
            await seat.press("p", "enter")
            await seat.see("which postmortem")
            assert files.listed(folder)[0].stem in seat.text
            await seat.press("enter")
            await seat.see("pinned to")

    asyncio.run(first())
    asyncio.run(second())
    assert len(files.listed(folder)) == 1


def test_escape_pins_nothing_at_any_step(sample_lake: Path, folder: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, postmortems=folder, identifier=SHOWCASE) as seat:
            await seat.see("bit exact ·")
            await seat.press("p")
            await seat.see("pin to a postmortem")
            await seat.press("escape")
            await seat.press("p", "enter")
            await seat.see("a new postmortem")
            await seat.press("escape")
            assert "[summary]" in await seat.see("bit exact ·")
            assert not files.listed(folder)

    asyncio.run(session())


def test_the_lists_keys_choose_and_the_mouse_does_too(
    sample_lake: Path, folder: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(
            sample_lake, postmortems=folder, size=(80, 24), identifier=SHOWCASE
        ) as seat:
            from textual.widgets import OptionList

            await seat.see("bit exact ·")
            await seat.press("p")
            await seat.see("pin to a postmortem")
            statements = seat.app.screen.query_one(OptionList)
            await seat.press("down", "down", "up")
            assert statements.highlighted == 1
            await seat.click(OptionList, offset=(3, 0))
            await seat.type("x")
            assert statements.highlighted == 0
            assert seat.app.screen.query_one("#note").value == "x"
            await seat.press("pagedown")
            assert statements.highlighted == 8
            await seat.press("pageup")
            assert statements.highlighted == 0

    asyncio.run(session())


def test_decisions_offer_the_row_the_count_and_the_share_of_the_matches(
    sample_lake: Path, folder: Path, seated: Any
) -> None:
    snapshot = take(sample_lake)

    async def session() -> list[Any]:
        async with seated(
            sample_lake, postmortems=folder, size=(120, 40), where="utilisation_3m > 5"
        ) as seat:
            await seat.see("1 of 68")
            await seat.see(lambda text: "bars up to" in text and "counted" not in text)
            return list(seat.app.screen.pinnables())

    row, count, share = asyncio.run(session())
    assert row.question.command == "trace"
    assert count.statement.startswith("68 decisions from 2026-10-01")
    assert pin(snapshot, count).value.text == "68"
    hits = int(pin(snapshot, share).value.text or "")
    assert f"DECLINE {hits / 68:.1%} of 68 decisions" in share.statement


def test_the_window_that_one_looks_at_is_in_the_questions(
    sample_lake: Path, folder: Path, seated: Any
) -> None:
    async def session() -> list[Any]:
        since = 1_792_540_800_000_000  # 2026-10-21
        async with seated(
            sample_lake, postmortems=folder, since_us=since, until_us=since + 86_400_000_000
        ) as seat:
            await seat.see("1 of 1,048")
            await seat.see(lambda text: "bars up to" in text and "counted" not in text)
            return list(seat.app.screen.pinnables())

    snapshot = take(sample_lake)
    _, count, rate, chart = asyncio.run(session())
    share = float(pin(snapshot, rate).value.text or "")
    assert f"{share:.1%} of 1,048 decisions" in rate.statement
    assert (chart.question, chart.pointer) == (rate.question, "")
    for one in (count, rate):
        assert one.question.arguments["since"] == "2026-10-21T00:00:00Z"
        assert one.question.arguments["until"] == "2026-10-22T00:00:00Z"
    assert pin(snapshot, count).value.text == "1048"


def test_every_fact_of_a_decision_is_what_its_question_answers(sample_lake: Path) -> None:
    from forensics_tui.pinnables import COUNTERFACTUALS, of_decision

    snapshot = take(sample_lake)
    (found,) = trace(snapshot, SHOWCASE, counterfactuals=COUNTERFACTUALS)
    offered = of_decision(found, "summary")
    from forensics.incident.asking import Answers

    with Answers(snapshot) as answers:
        for one in offered:
            value = resolve(answers.ask(one.question), one.pointer)
            if isinstance(value, str) and one.pointer.startswith(("/findings", "/decision/out")):
                assert value[:40] in one.statement
            assert "\n" not in one.statement
    pointers = {one.pointer.split("/")[1] for one in offered}
    assert pointers >= {
        "decision", "findings", "replay", "features", "attributions", "counterfactuals",
        "changes", "integrity", "completeness",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("tab", "first"),
    [
        ("summary", "/decision/outcome"),
        ("features", "/features/0/value"),
        ("why", "/attributions/values"),
        ("what if", "/counterfactuals/0/outcome"),
        ("changes", "/changes/0/statement"),
        ("record", "/decision"),
        ("gaps", "/completeness/class"),
    ],
)
def test_what_a_tab_shows_is_offered_first(sample_lake: Path, tab: str, first: str) -> None:
    from forensics_tui.pinnables import of_decision

    (found,) = trace(take(sample_lake), SHOWCASE, counterfactuals=3)
    assert of_decision(found, tab)[0].pointer == first


def test_a_pin_goes_to_the_section_of_evidence_and_all_else_stays(sample_lake: Path) -> None:
    from forensics_tui.pinnables import of_decision
    from forensics_tui.pinning import with_evidence

    snapshot = take(sample_lake)
    (found,) = trace(snapshot, SHOWCASE, replay=False)
    one, other = (pin(snapshot, each) for each in of_decision(found, "features")[:2])
    text = "+++\ntitle = 'x'\n+++\n\n# A\n\nwords\n"
    first = with_evidence(Document.of(text), one)
    assert first.text.startswith(text)
    assert first.text.count("## Evidence\n") == 1
    told = Document.of(first.text + "\n## Later\n\nmore\n")
    second = with_evidence(told, other)
    assert [each.id for each in second.pins] == [one.id, other.id]
    assert second.text.endswith("\n## Later\n\nmore\n")
    assert second.text.index(other.id) < second.text.index("## Later")


def test_a_question_that_cannot_be_asked_is_said_and_nothing_is_written(
    sample_lake: Path, folder: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics_tui import pinning

    def refused(*_: Any, **__: Any) -> Any:
        raise ForensicsError("The lake is on fire.", "", "Run.")

    async def session() -> None:
        async with seated(
            sample_lake, postmortems=folder, size=(120, 40), identifier=SHOWCASE
        ) as seat:
            await seat.see("bit exact ·")
            await _begin(seat)
            (path,) = files.listed(folder)
            before = path.read_bytes()
            monkeypatch.setattr(pinning.pins, "pin", refused)
            await seat.press("p", "enter")
            await seat.see("not pinned: The lake is on fire. Run.")
            assert path.read_bytes() == before

    asyncio.run(session())


def test_hostile_statements_and_notes_are_inert(
    lake: Path,
    take_in: Callable[..., Any],
    seated: Any,
    assert_inert: Callable[[str], None],
) -> None:
    hostile = "[@click=app.quit]x[/] \x1b]52;c;eA==\x07 \u202eb"
    take_in(
        [
            decision_record(
                decision_id="d-1", request_id="r-1", outcome=hostile, features={"x": hostile}
            )
        ]
    )

    async def session() -> None:
        from textual.events import Paste

        async with seated(lake, size=(120, 40), identifier="d-1") as seat:
            await seat.see("[summary]")
            await seat.see(lambda text: "replaying" not in text)
            await seat.press("p")
            assert "[@click=app.quit]x[/]" in await seat.see("pin to a postmortem")
            assert_inert(seat.text)
            seat.app.screen.focused.post_message(Paste(hostile))
            assert "[@click=app.quit]" in await seat.see("\\u202eb")
            assert_inert(seat.text)
            await seat.press("enter")
            await seat.see("a new postmortem")
            await seat.press("enter")
            await seat.see("pinned to")
            assert_inert(seat.text)
            await seat.press("P")
            await seat.see("all still hold")
            for _ in range(8):
                assert_inert(seat.text)
                await seat.press("n", "v")
            assert seat.app.is_running

    asyncio.run(session())
    (path,) = files.listed(files.folder(lake))
    assert_inert(path.read_text(encoding="utf-8"))
    shutil.rmtree(path.parent)
