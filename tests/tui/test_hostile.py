"""Text that was logged does nothing on any screen: no escape, no markup, no action."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.testing import change_record, decision_record, override_record

HOSTILE = [
    "\x1b[2J\x1b[1;1H", "\x1b]0;title\x07", "\x1b]52;c;cm0gLXJmIC8=\x07", "\x1b]8;;http://x\x1b\\",
    "\x9b31mred", "a\rb\x08c", "a\u202eb\u202c\u2066x", "\u200e\u200f", "x\u2028y", "\ufeff",
    "[@click=app.quit]press[/]", "[@click=app.bell()]x[/@click]", "[bold red on blue]x[/]", "[/]",
    "[link=http://x]y[/link]", "$primary", "\x00", "\U000e0041", "\t=1+1", "漢字" * 40,
    "e\u0301" * 30,
]  # fmt: skip


def record(number: int, text: str) -> dict[str, Any]:
    step = {"id": text, "kind": text, "component": text, "version": text, "error": text,
            "inputs": {text: text}, "outputs": {"x": text}}  # fmt: skip
    return decision_record(
        decision_id=f"d-{number}",
        request_id=f"r-{number}",
        outcome=text,
        environment=text,
        region=text,
        subject={"id": "s", "purpose": text},
        model={"name": text, "version": text},
        config={"name": text, "revision": text, "values": {"note": text}},
        features={"x": text, "n": 1},
        feature_sources=[{"view": text, "features": ["x"], "dataset": text, "status": text}],
        consumer={"name": text, "received": text, "action": text},
        steps=[step],
        my_own={text: [text]},
    )


@pytest.fixture
def hostile(lake: Path, take_in: Callable[..., Any]) -> Path:
    report = take_in(record(number, text) for number, text in enumerate(HOSTILE))
    assert not report.quarantined
    return lake


def test_no_screen_obeys_what_was_logged(
    hostile: Path, seated: Any, assert_inert: Callable[[str], None]
) -> None:
    async def session() -> None:
        async with seated(hostile, size=(200, 60)) as seat:
            text = await seat.see(f"1 of {len(HOSTILE)}")
            assert_inert(text)
            assert "[@click=app.quit]press[/]" in text
            assert "\\x1b[2J" in text
            for _ in HOSTILE:
                await seat.press("l", "y", "h", "o", "j")
                assert_inert(seat.text)
                assert_inert(seat.app.clipboard)
            await seat.press("c", "escape")
            await seat.press("g", "enter")
            for _ in HOSTILE:
                await seat.see(lambda text: "replaying" not in text and "reading" not in text)
                for _ in range(8):
                    await seat.press("right_square_bracket")
                    assert_inert(seat.text)
                await seat.press("O")
            assert seat.app.is_running

    asyncio.run(session())


def test_a_click_on_markup_does_nothing(hostile: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(hostile, size=(200, 60)) as seat:
            text = await seat.see("press[/]")
            (y,) = (at for at, line in enumerate(text.splitlines()) if "press[/]" in line)
            x = text.splitlines()[y].index("press")
            await seat.click(offset=(x + 1, y))
            await seat.press("j")
            assert seat.app.is_running
            assert seat.app.return_code in (None, 0)

    asyncio.run(session())


def test_what_a_person_types_is_no_markup_either(hostile: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(hostile) as seat:
            await seat.see(f"1 of {len(HOSTILE)}")
            seat.app.screen.bar.query_one("#condition").value = "'[@click=app.quit]x[/]' ="
            text = await seat.see("Not an expression")
            assert "[@click=app.quit]" in text

    asyncio.run(session())


def test_ids_and_features_full_of_it_open(
    lake: Path, take_in: Callable[..., Any], seated: Any, assert_inert: Callable[[str], None]
) -> None:
    ids = ["[@click=app.quit]x[/]", "a' or 1=1 --", "%s{0}$x", "[/]", "漢字" * 20]
    take_in(
        decision_record(
            request_id=text,
            decision_id=f"{text} decision",
            subject={"id": text},
            features={text: 1.5, "[bold]": "[/]"},
        )
        for text in ids
    )

    async def session() -> None:
        async with seated(lake, size=(120, 40)) as seat:
            await seat.see(f"1 of {len(ids)}")
            for place in range(len(ids)):
                await seat.press("enter")
                await seat.see("[summary]")
                await seat.see(lambda text: "replaying" not in text)
                for _ in range(7):
                    await seat.press("right_square_bracket")
                    assert_inert(seat.text)
                await seat.press("o", "y", "ctrl+y")
                await seat.worked()
                await seat.press("escape")
                await seat.see(f"{place + 1} of")
                await seat.press("j")

    asyncio.run(session())


#: Places that keys lead to from a decision, and what each takes before it is left.
PLACES = {"t": "timeline", "s": "state", "f": "findings", "L": "lineage", "x": "diff"}
_CHUNK = 90


@pytest.fixture(scope="module")
def naughty(corpus: Path) -> list[str]:
    file = corpus / "hostile" / "blns" / "blns.json"
    listed = json.loads(file.read_text(encoding="utf-8"))
    assert len(listed) > 400
    return list(dict.fromkeys([*filter(None, listed), *HOSTILE]))


def all_of(number: int, texts: list[str]) -> list[dict[str, Any]]:
    """A decision that is full of some texts, and what happened to it."""
    # A feature's name has to be printable and short; a value may be anything.
    fit = [f"{at}{text if text.isprintable() and len(text) < 100 else ''}"
           for at, text in enumerate(texts)]  # fmt: skip
    names = dict(zip(fit, texts, strict=True))
    first = texts[0]
    steps = [
        {"id": text, "kind": text, "component": text, "version": text, "error": text,
         "inputs": {text: text}, "outputs": {"x": text}}
        for text in texts
    ]  # fmt: skip
    sources = [
        {"view": text, "features": [name], "dataset": text, "status": text, "job": text,
         "run_id": text}
        for name, text in names.items()
    ]  # fmt: skip
    identifier = f"{first} {number}"
    return [
        decision_record(
            decision_id=identifier,
            request_id=identifier,
            outcome=first,
            environment=first,
            region=first,
            subject={"id": first, "purpose": first},
            model={"name": first, "version": first},
            config={"name": first, "revision": first, "values": names},
            features=names,
            feature_sources=sources,
            consumer={"name": first, "received": first, "action": first},
            steps=steps,
            my_own=names,
        ),
        *(
            change_record(
                change_id=f"{identifier} {at}", component=text, from_version=text,
                to_version=text, actor=text, reason=text,
            )
            for at, text in enumerate(texts)
        ),
        override_record(
            override_id=identifier, decision_id=identifier, actor=first, reason=first,
            original_outcome=first, final_outcome=first,
        ),
    ]  # fmt: skip


def test_no_place_obeys_the_naughty_strings(
    lake: Path,
    take_in: Callable[..., Any],
    naughty: list[str],
    seated: Any,
    assert_inert: Callable[[str], None],
) -> None:
    chunks = [naughty[at : at + _CHUNK] for at in range(0, len(naughty), _CHUNK)]
    records = [record for at, texts in enumerate(chunks) for record in all_of(at, texts)]
    plain = [record(at + 1_000, text) for at, text in enumerate(naughty)]
    report = take_in([*records, *plain])
    assert not report.quarantined

    async def session() -> None:
        async with seated(lake, size=(200, 60)) as seat:
            total = len(chunks) + len(naughty)
            await seat.see(f"1 of {total:,}")
            for _ in range(total // 50 + 1):
                assert_inert(seat.text)
                await seat.press("space", "y", "o")
                await seat.see(lambda text: any(line[:1] == ">" for line in text.split("\n")))
                assert_inert(seat.app.clipboard)
            await seat.press("G", "m")
            for _ in chunks:
                await seat.press("m", "enter")
                await seat.see("[summary]")
                await seat.see(lambda text: "replaying" not in text.split("\n")[0])
                for _ in range(9):
                    assert_inert(seat.text)
                    await seat.press("G")
                    assert_inert(seat.text)
                    await seat.press("right_square_bracket")
                await seat.press("escape", "k")
            await seat.press("enter")
            await seat.see("[summary]")
            for key, name in PLACES.items():
                await seat.press(key)
                await seat.see(lambda text, name=name: name in text.split("\n")[0])
                for _ in range(15):
                    await seat.press(*"jjjj")
                    assert_inert(seat.text)
                await seat.press("enter")
                await seat.press()
                assert_inert(seat.text)
                while seat.app.screen.name != "decision" or seat.app.screen_stack[-2].name == name:
                    await seat.press("escape")
                    await seat.press()
            assert seat.app.is_running

    asyncio.run(session())
