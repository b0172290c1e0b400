"""What is kept of a session for the next one, and what is not."""

from __future__ import annotations

import asyncio
import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import ForensicsError
from forensics.lake.layout import identity
from forensics_tui.kept import NOTHING, Kept, Store

SHOWCASE = "7f3a-c1"
_FILE = Path("decision-forensics", "tui.json")


@pytest.fixture
def state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    return tmp_path / _FILE


FULL = Kept(
    since_us=1, until_us=2, where="score > 0.5", order="score", descending=False,
    columns=("outcome", "features.x"), outcome="DECLINE", theme="forensics-light",
    marks=((3, "p", "d", "r"),), postmortem="a", decision=(3, "p", "d", "r"), tab="why",
)  # fmt: skip


def test_everything_comes_back_for_the_same_lake_only(state: Path) -> None:
    assert Store("a").load() == (NOTHING, "")
    Store("a").save(FULL)
    Store("b").save(NOTHING)
    assert Store("a").load() == (FULL, "")
    assert Store("b").load() == (NOTHING, "")
    assert Store("c").load() == (NOTHING, "")
    assert stat.S_IMODE(state.stat().st_mode) == 0o600
    assert [path.name for path in state.parent.iterdir()] == ["tui.json"]


def test_what_did_not_change_is_not_written_again(state: Path) -> None:
    store = Store("a")
    store.save(FULL)
    before = state.stat().st_ino
    store.save(FULL)
    assert state.stat().st_ino == before
    again = Store("a")
    again.load()
    again.save(FULL)
    assert state.stat().st_ino == before


@pytest.mark.parametrize(
    "content",
    [
        b"", b"{", b"[]", b"null", b"\xff\xfe", b'{"version": 1}',
        b'{"version": 2, "lakes": {}}', b'{"version": 1, "lakes": {"a": {"kept": {}}}}',
        b'{"version": 1, "lakes": {"a": {"saved_at": 1, "kept": {"marks": ["x"]}}}}',
        b'{"version": 1, "lakes": {"a": {"saved_at": 1, "kept": {"where": 7}}}}',
        b"[" * 100_000, b" " * (5 << 20), b'{"other": "program"}',
    ],
    ids=str,
)  # fmt: skip
def test_a_file_that_is_not_ours_is_set_aside_with_a_word(state: Path, content: bytes) -> None:
    state.parent.mkdir()
    for number in (1, 2):
        state.write_bytes(content)
        kept, word = Store("a").load()
        aside = state.with_name(f"tui.json.unreadable-{number}")
        assert kept == NOTHING
        assert str(aside) in word
        assert aside.read_bytes() == content
        assert not state.exists()
    Store("a").save(FULL)
    assert Store("a").load() == (FULL, "")


def test_what_is_no_file_is_set_aside_and_not_waited_for(state: Path) -> None:
    import os

    state.parent.mkdir()
    state.mkdir()
    assert "unreadable-1" in Store("a").load()[1]
    os.mkfifo(state)
    assert "unreadable-2" in Store("a").load()[1]
    assert list(state.parent.glob(".tui-*")) == []


def test_what_cannot_be_kept_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "file"))
    assert Store("a").load() == (NOTHING, "")
    with pytest.raises(ForensicsError, match="could not be kept"):
        Store("a").save(FULL)


def test_without_the_variable_it_is_in_the_usual_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("XDG_STATE_HOME", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    Store("a").save(FULL)
    assert (tmp_path / ".local" / "state" / _FILE).is_file()


def test_a_session_ends_and_the_next_begins_where_it_was(sample_lake: Path, seated: Any) -> None:
    async def first() -> Kept:
        async with seated(sample_lake, size=(120, 40)) as seat:
            await seat.see("bars up to")
            await seat.press("@", "ctrl+u")
            await seat.type("2026-10-21 02:41:07.318")
            await seat.press("enter")
            await seat.see("> 10-21 02:41:07.318")
            await seat.press("m", "+", "+", "+", "/")
            await seat.type("score > 0.2")
            await seat.press("enter")
            await seat.see(lambda text: "of the matches" in text and "counted" not in text)
            await seat.press("c", "/")
            await seat.type("utilisation_3m")
            await seat.press("enter", "space", "c")
            await seat.see("utilisation_3m")
            await seat.press("l", "l", "l", "S", "S")
            await seat.see(lambda text: "score ▲" in text and "esc ends" not in text)
            await seat.press("o")
            await seat.app.run_action("theme")
            await seat.press("enter")
            await seat.see("[summary]")
            await seat.press("]", "]")
            await seat.see("[why]")
            shown: Kept = seat.app.remember()
            return shown

    async def second(kept: Kept) -> None:
        async with seated(sample_lake, size=(120, 40), kept=kept) as seat:
            await seat.see("[why]")
            await seat.press("escape")
            text = await seat.see("score ▲")
            assert "features.utilisation_3m"[:10] in text or "utilisation_3m" in text
            assert "score > 0.2" in text
            assert "1 marked" in text
            assert seat.app.theme == "forensics-light"
            await seat.see("of the matches")
            assert seat.app.screen.remember().outcome == kept.outcome
            assert seat.app.remember() == replace(kept, decision=None, tab=None)

    from msgspec.structs import replace

    kept = asyncio.run(first())
    assert kept.since_us is not None
    assert kept.outcome is not None
    assert len(kept.marks) == 1
    assert kept.marks[0][3] == SHOWCASE
    asyncio.run(second(kept))


def test_options_win_over_what_was_kept(sample_lake: Path, seated: Any) -> None:
    kept = Kept(
        since_us=1_792_540_800_000_000, until_us=1_792_550_000_000_000, where="score > 0.9",
        decision=(0, "credit_line", "d", SHOWCASE), theme="forensics-light",
    )  # fmt: skip

    async def session() -> None:
        async with seated(sample_lake, kept=kept, where="score > 0.2") as seat:
            await seat.see("score > 0.2")
            assert seat.app.screen.name == "decisions"
        async with seated(sample_lake, kept=kept, since_us=0, theme="nord") as seat:
            text = await seat.see("of 30,000 decisions")
            assert "score > 0.9" in text
            assert seat.app.theme == "forensics-light"
        async with seated(sample_lake, kept=kept, identifier=SHOWCASE) as seat:
            await seat.see(f"request {SHOWCASE}")

    asyncio.run(session())


def test_what_is_no_longer_there_is_left_out(
    lake: Path, take_in: Callable[..., Any], seated: Any
) -> None:
    from forensics.testing import decision_record

    take_in([decision_record(request_id="r-1", features={"x": 1.0})])
    kept = Kept(
        where="gone > 1", order="features.gone", columns=("request_id", "features.gone"),
        outcome="GONE", theme="gone", marks=((5, "gone", "gone", "gone"),),
        decision=(5, "gone", "gone", "gone"), tab="gone",
    )  # fmt: skip

    async def session() -> None:
        async with seated(lake, kept=kept) as seat:
            await seat.see("No decision 'gone'")
            await seat.press("escape")
            text = await seat.see("1 of 1")
            assert "r-1" in text
            await seat.press("apostrophe")
            await seat.see("no further mark")

    asyncio.run(session())


def test_no_value_of_a_record_is_kept_but_ids(
    lake: Path, take_in: Callable[..., Any], seated: Any, state: Path
) -> None:
    from forensics.testing import decision_record

    take_in([
        decision_record(
            request_id="r-1", decision_id="d-1", outcome="SECRET", score=0.123456,
            subject={"id": "subject-secret"}, features={"x": 98.76}, region="region-secret",
        )
    ])  # fmt: skip

    async def session() -> Kept:
        async with seated(lake) as seat:
            await seat.see("1 of 1")
            await seat.press("m", "enter")
            await seat.see("[summary]")
            kept: Kept = seat.app.remember()
            return kept

    Store(identity(lake)).save(asyncio.run(session()))
    text = state.read_text(encoding="utf-8")
    assert json.loads(text)["lakes"][identity(lake)]["kept"]["marks"][0][1:] == [
        "credit_line", "d-1", "r-1"
    ]  # fmt: skip
    for secret in ("secret", "SECRET", "0.123456", "98.76"):
        assert secret not in text
