"""The postmortem: written and read side by side, its pins asked again, nothing ever lost."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from forensics.incident import files
from forensics.incident.asking import Answers
from forensics.incident.document import Document
from forensics.incident.pin_text import pin_text
from forensics.incident.pins import Pinnable, Value, pin
from forensics.incident.questions import Question
from forensics.lake.snapshot import take

SHOWCASE = "7f3a-c1"
Opened = Callable[..., AbstractAsyncContextManager[Any]]


WINDOW: dict[str, Any] = {
    "decision-point": "credit_line", "since": "2026-10-21T02:13Z", "until": "2026-10-21T03:13Z",
}  # fmt: skip
COUNT = Question("find", {**WINDOW, "count": True})
DECLINED = Question("find", {**WINDOW, "where": "outcome = 'DECLINE'", "count": True})
TRACE = Question("trace", {"id": SHOWCASE, "no-replay": True})
PINS = [
    Pinnable(COUNT, "/decisions", "so many decisions of credit_line"),
    Pinnable(COUNT, "/outcomes", "their outcomes"),
    Pinnable(Question("timeline", {**WINDOW, "outcome": "DECLINE"}), "", "the rate"),
    Pinnable(DECLINED, "/decisions", "so many were declined"),
    Pinnable(TRACE, "/decision/outcome", "DECLINE"),
]
#: The same with one that takes half a second to ask.
OF_EACH_KIND = [*PINS, Pinnable(Question("check", WINDOW), "/decisions", "so many were checked")]
of_each_kind = pytest.mark.parametrize("text", ["of each kind"], indirect=True)


@pytest.fixture(scope="module")
def asked(sample_lake: Path) -> dict[str, str]:
    """What is written of each pin, by its statement."""
    snapshot = take(sample_lake)
    with Answers(snapshot) as answers:
        return {
            one.statement: pin_text(pin(snapshot, one, answers=answers)) for one in OF_EACH_KIND
        }


@pytest.fixture
def text(request: pytest.FixtureRequest, asked: dict[str, str]) -> str:
    """A postmortem of the incident, with five pins or with one of each kind."""
    wanted = OF_EACH_KIND if getattr(request, "param", None) else PINS
    head = (
        '+++\ntitle = "The night of the scale"\ndecision_point = "credit_line"\n'
        "since = 2026-10-21T02:13:00Z\nuntil = 2026-10-21T03:13:00Z\n+++\n"
    )
    blocks = [asked[one.statement] for one in wanted]
    sections = ["## Summary\n\n*what happened*\n", "## Impact\n", *blocks, "## Actions\n\n- none\n"]
    return "\n".join([head, *sections])


@pytest.fixture
def path(tmp_path: Path, text: str) -> Path:
    """Its file, the only one of its folder."""
    folder = tmp_path / "postmortems"
    folder.mkdir()
    there = folder / "night.md"
    there.write_text(text, encoding="utf-8")
    return there


@pytest.fixture
def opened(sample_lake: Path, path: Path, seated: Any) -> Opened:
    """Take a seat before the postmortem."""

    @asynccontextmanager
    async def opened(size: tuple[int, int] = (140, 40), *, checked: bool = True) -> Any:
        async with seated(sample_lake, size=size, postmortems=path.parent) as seat:
            await seat.see("1 of 30,000")
            await seat.press("P")
            await seat.see("which postmortem")
            await seat.press("enter")
            await seat.see("The night of the scale")
            if checked:
                await seat.until(lambda: not seat.app.screen._asking and bool(checks(seat)))
            yield seat

    return opened


def checks(seat: Any) -> list[str]:
    return [getattr(one, "status", one) for one in seat.app.screen._checks.values()]


def editor(seat: Any) -> Any:
    return seat.app.screen._editor


def pins(path: Path) -> list[str]:
    return [pin.id for pin in files.read(path).document.pins]


async def settled(seat: Any) -> None:
    """Until what was written is laid out."""
    await seat.until(lambda: seat.app.screen._text == editor(seat).text)


@of_each_kind
@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_pins_read_as_statements_that_still_hold(opened: Opened, size: tuple[int, int]) -> None:
    async def session() -> None:
        async with opened(size) as seat:
            assert set(checks(seat)) == {"holds"}
            shown = await seat.see("✓")
            assert "so many decisions of credit_line" in shown
            assert all(len(line) == size[0] for line in seat.lines)
            assert ("[pin p-" in shown) == (size[0] >= 110)
            assert "pins ·" in seat.lines[0]

    asyncio.run(session())


def test_the_text_and_how_it_reads_take_turns_where_it_is_narrow(opened: Opened) -> None:
    async def session() -> None:
        async with opened((80, 24)) as seat:
            assert "[pin p-" not in seat.text
            await seat.press("v")
            await seat.see("[pin p-")
            await seat.press("i")
            assert seat.app.screen.writing
            await seat.press("ctrl+t")
            await seat.see("✓")
            assert not seat.app.screen.writing
            await seat.press("ctrl+t")
            await seat.see("[pin p-")

    asyncio.run(session())


def test_where_it_is_wide_how_it_reads_can_be_put_away(opened: Opened) -> None:
    async def session() -> None:
        async with opened((140, 40)) as seat:
            await seat.see("═══")
            await seat.press("v")
            await seat.see(lambda text: "═══" not in text)
            await seat.press("v")
            await seat.see("═══")

    asyncio.run(session())


def test_what_is_written_is_shown_saved_and_the_rest_stays_to_the_byte(
    opened: Opened, path: Path, text: str
) -> None:
    async def session() -> None:
        async with opened() as seat:
            await seat.press("n", "i")
            await seat.see("writing")
            await seat.press("up")
            await seat.type("Two runs wrote percents")
            await seat.see("not saved")
            await seat.press("ctrl+s")
            await seat.see("saved: ")
            await seat.press("escape")
            await seat.see("5 pins · all still hold · saved")
            assert not seat.app.screen.writing
            written = path.read_text(encoding="utf-8")
            assert written == text.replace(
                "## Impact\n\n", "## Impact\nTwo runs wrote percents\n", 1
            )
            preview = seat.app.screen._preview
            await seat.see(
                lambda _: any("Two runs wrote percents" in line for line in preview.text)
            )

    asyncio.run(session())


def test_escape_leaves_writing_and_the_next_one_leaves_and_saves(
    opened: Opened, path: Path
) -> None:
    async def session() -> None:
        async with opened() as seat:
            await seat.press("G", "i")
            await seat.type("epq")
            await seat.press("escape")
            await seat.see("i write")
            assert "postmortem" in seat.lines[0]
            await seat.press("escape")
            await seat.see("1 of 30,000")
            assert path.read_text(encoding="utf-8").rstrip().endswith("epq")

    asyncio.run(session())


def test_quitting_saves_too(opened: Opened, path: Path) -> None:
    async def session() -> None:
        async with opened() as seat:
            await seat.press("G", "i")
            await seat.type("last words")
            await seat.press("escape", "q")

    asyncio.run(session())
    assert "last words" in path.read_text(encoding="utf-8")


def test_pins_are_gone_through_cut_and_undone(opened: Opened, path: Path) -> None:
    async def session() -> None:
        async with opened() as seat:
            before = pins(path)
            await seat.press("n")
            assert seat.app.screen._pin.id == before[0]
            await seat.press("n", "n")
            assert seat.app.screen._pin.id == before[2]
            await seat.press("N")
            assert seat.app.screen._pin.id == before[1]
            await seat.press("y")
            assert seat.app.clipboard == seat.app.screen._pin.statement
            await seat.press("d")
            await seat.see("cut: u undoes it")
            await seat.press("ctrl+s")
            assert pins(path) == [before[0], *before[2:]]
            await seat.press("u")
            await settled(seat)
            await seat.press("ctrl+s")
            assert pins(path) == before
            await seat.press("U")
            await settled(seat)
            await seat.press("ctrl+s")
            assert pins(path) == [before[0], *before[2:]]

    asyncio.run(session())


def test_the_list_of_pins_moves_cuts_inserts_and_shows(opened: Opened, path: Path) -> None:
    async def session() -> None:
        async with opened() as seat:
            a, b, c, d, e = pins(path)
            await seat.press("p")
            await seat.see("enter shows")
            await seat.press("J", "escape", "ctrl+s")  # the first is now the second
            assert pins(path) == [b, a, c, d, e]
            await seat.press("p", "j", "K", "escape", "ctrl+s")
            assert pins(path) == [a, b, c, d, e]
            await seat.press("p", "j", "d")
            await seat.see("cut: ")
            await seat.press("escape", "ctrl+s")
            assert pins(path) == [a, c, d, e]
            await seat.press("G", "p", "j", "j", "j", "j", "enter", "ctrl+s")
            assert pins(path) == [a, c, d, e, b]
            await seat.press(
                "p", "j", "j", "enter"
            )  # from the one under the cursor, around the end
            assert seat.app.screen._pin.id == c
            await seat.press("g", "p", "j", "j", "j", "j", "i", "ctrl+s")
            assert pins(path) == [b, a, c, d, e]

    asyncio.run(session())


def test_a_note_is_written_and_kept(opened: Opened, path: Path) -> None:
    async def session() -> None:
        async with opened() as seat:
            await seat.press("n", "a")
            await seat.see("the note of")
            await seat.type("counted twice")
            await seat.press("enter")
            await seat.see("not saved")
            await seat.press("ctrl+s")
            assert files.read(path).document.pins[0].note == "counted twice"
            assert any("counted twice" in line for line in seat.app.screen._preview.text)

    asyncio.run(session())


def test_a_statement_that_is_no_longer_so_says_what_it_is_now(
    opened: Opened, path: Path, text: str
) -> None:
    told = Document.of(text).pins[0]
    assert told.value.text is not None
    other = Document.of(text).replaced(replace(told, value=Value.of(1)))
    path.write_text(other.text, encoding="utf-8")

    async def session() -> None:
        async with opened() as seat:
            assert checks(seat).count("differs") == 1
            await seat.see("1 differs")
            await seat.see("✗")
            await seat.see(f"1 as pinned, {told.value.text} now")

    asyncio.run(session())


def test_all_pins_are_asked_again_and_that_can_be_ended(
    opened: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from forensics_tui.screens import asks_pins

    asked = asks_pins.recheck
    allowed = threading.Event()

    def slow(*arguments: Any, **options: Any) -> Any:
        allowed.wait(30)
        return asked(*arguments, **options)

    async def session() -> None:
        async with opened() as seat:
            monkeypatch.setattr(asks_pins, "recheck", slow)
            await seat.press("r")
            await seat.see("checking, 0 of")
            await seat.see("…")
            await seat.press("escape")
            await seat.see("ended: the other pins are not checked")
            assert "not re-checked" in seat.text
            allowed.set()
            await seat.press("r")
            await seat.see("all still hold")

    try:
        asyncio.run(session())
    finally:
        allowed.set()


@pytest.mark.parametrize(
    ("command", "there", "text"),
    [
        ("trace", "[summary]", None),
        ("timeline", "› timeline", None),
        ("check", "› findings", "of each kind"),
        ("find", "of 107", None),
    ],
    indirect=["text"],
)
def test_a_pin_leads_to_the_place_that_it_comes_from(
    opened: Opened, path: Path, command: str, there: str
) -> None:
    found = files.read(path).document.pins
    at = next(n for n, pin in enumerate(found) if pin.question.command == command)
    if command == "find":
        there = f"of {found[at].value.text}"

    async def session() -> None:
        async with opened() as seat:
            await seat.press(*["n"] * (at + 1), "enter")
            await seat.see(there)
            if command == "check":
                await seat.see("checked in")  # until then escape ends the check
            await seat.press("escape")
            await seat.see("pins ·")

    asyncio.run(session())


def test_a_click_picks_a_pin_and_a_second_one_follows_it(opened: Opened, path: Path) -> None:
    async def session() -> None:
        async with opened() as seat:
            lines = seat.app.screen._preview.text
            y = next(at for at, line in enumerate(lines) if "decisions of credit_line" in line)
            await seat.click("#preview", offset=(10, y))
            await seat.see("> ✓")
            assert seat.app.screen._pin.id == pins(path)[0]
            await seat.click("#preview", offset=(10, y))
            await seat.see("› decisions  ")

    asyncio.run(session())


def test_two_clicks_in_the_text_begin_to_write(opened: Opened) -> None:
    async def session() -> None:
        async with opened() as seat:
            await seat.click("#editor", offset=(3, 3), times=2)
            await seat.see("writing")

    asyncio.run(session())


def test_a_file_that_others_changed_is_read_again_where_nothing_was_written(
    opened: Opened, path: Path, text: str
) -> None:
    async def session() -> None:
        async with opened() as seat:
            path.write_text(text.replace("## Summary", "## What happened"), encoding="utf-8")
            await seat.see("What happened")
            await seat.see("read again")

    asyncio.run(session())


@pytest.mark.parametrize("answer", ["mine", "theirs"])
def test_where_both_wrote_it_asks_and_keeps_both(
    opened: Opened, path: Path, text: str, answer: str
) -> None:
    theirs = text.replace("## Summary", "## Theirs")

    async def session() -> None:
        async with opened() as seat:
            await seat.press("G", "i")
            await seat.type("mine too")
            path.write_text(theirs, encoding="utf-8")
            await seat.see("was changed on disk meanwhile")
            await seat.press("ctrl+s")
            await seat.see("keep mine")
            await seat.press(*(["j"] if answer == "theirs" else ["j", "k"]), "enter")
            await seat.see("the other is kept in")

    asyncio.run(session())
    (aside,) = (one for one in path.parent.glob("night.*-*.md"))
    kept = {"mine": path, "theirs": aside} if answer == "mine" else {"mine": aside, "theirs": path}
    assert "mine too" in kept["mine"].read_text(encoding="utf-8")
    assert kept["theirs"].read_text(encoding="utf-8") == theirs


def test_leaving_where_both_wrote_keeps_mine_beside(opened: Opened, path: Path, text: str) -> None:
    theirs = text.replace("## Summary", "## Theirs")

    async def session() -> None:
        async with opened() as seat:
            await seat.press("G", "i")
            await seat.type("mine too")
            path.write_text(theirs, encoding="utf-8")
            await seat.press("escape", "escape")
            await seat.see("1 of 30,000")
            await seat.see("yours is kept in")

    asyncio.run(session())
    assert path.read_text(encoding="utf-8") == theirs
    (aside,) = path.parent.glob("night.mine-*.md")
    assert "mine too" in aside.read_text(encoding="utf-8")


@pytest.mark.parametrize(("form", "downs"), [("html", 0), ("md", 1), ("pdf", 2)])
def test_it_is_exported_as_the_command_writes_it(
    opened: Opened, path: Path, form: str, downs: int
) -> None:
    if form == "pdf":
        pytest.importorskip("typst")

    async def session() -> None:
        async with opened() as seat:
            await seat.press("i", "ctrl+e")
            await seat.see("export the postmortem")
            await seat.press(*["j"] * downs, "enter")
            await seat.see("pinned statements still hold")
            await seat.press("y")
            assert seat.app.clipboard.endswith(f"night.{form}")
            await seat.press("enter")
            await seat.see("writing")

    asyncio.run(session())
    data = (path.parent / "reports" / f"night.{form}").read_bytes()
    begins = {"html": b"<!DOCTYPE html>", "md": b"# The night of the scale", "pdf": b"%PDF"}
    assert data.startswith(begins[form])
    assert files.listed(path.parent) == [path]


def test_the_command_that_exports_it_is_copied(opened: Opened, path: Path) -> None:
    async def session() -> None:
        async with opened() as seat:
            await seat.press("ctrl+y")
            await seat.see("copied: forensics report postmortem")
            assert str(path) in seat.app.clipboard

    asyncio.run(session())


def test_another_postmortem_can_be_chosen_and_a_new_one_made(
    opened: Opened, path: Path, text: str
) -> None:
    other = path.with_name("other.md")
    other.write_text(text.replace("The night", "The day"), encoding="utf-8")

    async def session() -> None:
        async with opened() as seat:
            await seat.press("c")
            await seat.see("which postmortem")
            await seat.press("j", "k", "j", "enter")
            await seat.see("The day of the scale")
            await seat.press("c", "j", "j", "enter")
            await seat.see("a new postmortem")
            await seat.type("Third")
            await seat.press("down", "up", "enter")
            await seat.see("Third")
            await seat.see("2026-10-21-0213-credit_line")

    # The newer file is offered first.
    import os

    os.utime(other, ns=(1, 1))
    asyncio.run(session())
    assert len(files.listed(path.parent)) == 3


def test_a_window_that_is_none_is_refused_in_words(opened: Opened) -> None:
    async def session() -> None:
        async with opened() as seat:
            await seat.press("c", "j", "enter")
            await seat.see("a new postmortem")
            since = seat.app.screen.query_one("#new-since")
            since.value = "yesterday"
            await seat.press("enter")
            await seat.see("A time is written as")
            since.value = "2026-10-21 09:00"
            seat.app.screen.query_one("#new-until").value = "08:00"
            await seat.press("enter")
            await seat.see("It must begin before it ends.")

    asyncio.run(session())


def test_with_no_postmortem_it_offers_to_make_one_and_escape_goes_back(
    sample_lake: Path, tmp_path: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake, postmortems=tmp_path / "none", identifier=SHOWCASE) as seat:
            await seat.see("[summary]")
            await seat.press("P")
            await seat.see("a new postmortem")
            await seat.see("since  2026-10-21 02:13:00")
            assert "until  2026-10-21 05:41:00" in seat.text
            await seat.press("escape")
            await seat.see("[summary]")
            await seat.see(lambda text: "postmortem" not in text.splitlines()[0])
            await seat.press("P")
            await seat.see("a new postmortem")
            await seat.press("enter")
            await seat.see("pins ·")

    asyncio.run(session())
    assert len(files.listed(tmp_path / "none")) == 1


HOSTILE = "\x1b[2J \x1b]52;c;eA==\x07 \u202eback [@click=app.quit]x[/] <script> \x9b31m 漢字"


def test_hostile_text_is_inert_on_both_sides_and_in_what_is_pasted(
    opened: Opened, path: Path, text: str, assert_inert: Callable[[str], None]
) -> None:
    path.write_text(
        text.replace("## Summary", f"## {HOSTILE}\n\n- {HOSTILE}\n\n```\n{HOSTILE}\n```\n", 1),
        encoding="utf-8",
    )

    async def session() -> None:
        from textual.events import Paste

        async with opened() as seat:
            shown = await seat.see("[@click=app.quit]x[/]")
            assert_inert(shown)
            await seat.press("i")
            editor(seat).post_message(Paste(f"{HOSTILE}\nnext"))
            await seat.see("next")
            assert_inert(seat.text)
            await settled(seat)
            for key in ("escape", "v", "v", "p", "escape", "e", "escape"):
                await seat.press(key)
                assert_inert(seat.text)
            assert seat.app.is_running

    asyncio.run(session())


def test_a_front_matter_or_pin_that_cannot_be_read_is_said_and_can_be_mended(
    opened: Opened, path: Path, text: str
) -> None:
    async def session() -> None:
        async with opened() as seat:
            broken = text.replace('ask = "find"', 'ask = "dig"', 1)
            path.write_text(broken, encoding="utf-8")
            await seat.see("This pin cannot be read")
            assert path.read_text(encoding="utf-8") == broken
            path.write_text(text.replace("since = ", "since ", 1), encoding="utf-8")
            await seat.see("front matter is no TOML")
            path.write_text(text, encoding="utf-8")
            await seat.see("The night of the scale")

    asyncio.run(session())


def _lines(text: str) -> Iterator[str]:
    return iter(text.splitlines())


def test_a_text_folds_and_unfolds_to_the_byte(text: str) -> None:
    from forensics_tui.draft import Draft

    for each in (text, text.replace("\n", "\r\n"), text.rstrip("\n"), f"{text}[pin none] x\n"):
        draft = Draft()
        folded = draft.folded(each)
        assert folded.count("[pin p-") == len(draft.pins) == 5
        assert draft.whole(folded) == each


def test_a_statement_that_is_worded_anew_is_the_pins_and_nothing_else_changes(text: str) -> None:
    from forensics_tui.draft import Draft

    draft = Draft()
    folded = draft.folded(text)
    told = folded.replace("so many were declined", "every one of them was looked at")
    before, after = Document.of(text), Document.of(draft.whole(told))
    assert after.pins[3].statement == "every one of them was looked at"
    assert after.pins[3].value == before.pins[3].value
    assert after.text == text.replace("so many were declined", "every one of them was looked at")


def test_a_pin_that_is_named_twice_is_there_twice(text: str) -> None:
    from forensics_tui.draft import Draft

    draft = Draft()
    folded = draft.folded(text)
    line = next(one for one in _lines(folded) if one.startswith("[pin "))
    doubled = Document.of(draft.whole(f"{folded}\n{line}\n"))
    ids = [pin.id for pin in doubled.pins]
    assert len(ids) == len(set(ids)) == len(draft.pins) + 1


def test_every_key_of_the_place_is_said_and_bound(opened: Opened) -> None:
    from forensics_tui.keys import POSTMORTEM

    async def session() -> None:
        async with opened() as seat:
            bound = seat.app.screen._bindings.key_to_bindings
            for key in POSTMORTEM:
                assert all(each in bound for each in key.keys.split(",")), key
            await seat.press("question_mark")
            await seat.see("keys · postmortem")

    asyncio.run(session())
