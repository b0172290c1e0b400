"""The decisions of a window: moving, filtering, sorting, choosing columns, marking, copying."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.lake.find import Query, rows
from forensics.lake.snapshot import take
from forensics.testing import decision_record

SHOWCASE = "7f3a-c1"


def find(root: Path, where: str) -> Iterator[dict[str, Any]]:
    return rows(take(root), Query(where=where))


@pytest.mark.parametrize("size", [(80, 24), (120, 40), (200, 60)])
def test_it_opens_on_the_newest_decisions(sample_lake: Path, seated: Any, size: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=size) as seat:
            text = await seat.see("bars up to")
            assert "30,000 decisions" in text
            assert "1 of 30,000" in text
            assert seat.at_cursor(text).startswith("> 10-30 23:57:46.575  ba99-59")
            assert all(len(line) == size[0] for line in seat.lines)

    asyncio.run(session())


def test_every_move_ends_where_it_says(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            page = seat.app.screen.table.in_sight
            place = 1
            for key, to in (
                ("j", 2), ("down", 3), ("k", 2), ("up", 1), ("k", 1),
                ("pagedown", 1 + page), ("space", 1 + 2 * page), ("pageup", 1 + page),
                ("b", 1), ("ctrl+d", 1 + page // 2), ("ctrl+u", 1),
                ("G", 30_000), ("j", 30_000), ("home", 1), ("end", 30_000), ("g", 1),
            ):  # fmt: skip
                await seat.press(key)
                place = to
                await seat.see(f" {place:,} of 30,000")
                text = await seat.see(lambda text: any(x.startswith(">") for x in text.split("\n")))
                assert "·" not in seat.at_cursor(text)

    asyncio.run(session())


def test_a_filter_narrows_the_rows_and_escape_takes_it_away(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.search("utilisation_3m > 5")
            await seat.see(lambda text: "of 30,000" not in text.split("filter")[1])
            matches = list(find(sample_lake, "utilisation_3m > 5"))
            text = await seat.see(f"1 of {len(matches):,}")
            assert matches[0]["request_id"] in seat.at_cursor(text)
            await seat.press("escape")
            await seat.see("of 30,000")

    asyncio.run(session())


def test_what_is_wrong_with_a_condition_stands_under_it_and_the_rows_stay(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            before = seat.at_cursor(await seat.see("1 of 30,000"))
            await seat.search("utilisation_3n > 5")
            text = await seat.see("Nearest names")
            assert "utilisation_3m" in text
            assert seat.at_cursor(text) == before
            await seat.press("escape")
            await seat.see(lambda text: "Nearest names" not in text)

    asyncio.run(session())


def test_names_are_completed(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("slash")
            await seat.type("pay_status_l")
            await seat.see("pay_status_last")
            await seat.press("tab")
            assert seat.app.screen.bar.text == "pay_status_last"

    asyncio.run(session())


def test_keys_that_come_faster_than_the_focus_moves_go_where_it_moves(
    sample_lake: Path, seated: Any
) -> None:
    from textual.events import Key

    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            keys = [("slash", "/"), *((c, c) for c in "score"), ("enter", "\r"), ("j", "j")]
            for key, character in keys:
                seat.app.post_message(Key(key, character))
            await seat.see("2 of")
            assert seat.app.screen.bar.text == "score"
            assert seat.app.focused is seat.app.screen.table

    asyncio.run(session())


def test_keys_behind_one_that_opens_a_screen_go_to_that_screen(
    sample_lake: Path, seated: Any
) -> None:
    from textual.events import Key

    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            for key, character in (("enter", "\r"), ("right_square_bracket", "]")):
                seat.app.post_message(Key(key, character))
            await seat.see("[features]")
            for key, character in (("escape", None), ("at", "@"), ("ctrl+u", None)):
                seat.app.post_message(Key(key, character))
            for character in "2026":
                seat.app.post_message(Key(character, character))
            await seat.see("2026  ")

    asyncio.run(session())


def test_the_wheel_scrolls_and_the_cursor_stays_in_sight(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            for _ in range(5):
                seat.app.screen.table.scroll_relative(y=7, animate=False)
                await seat.press()
            await seat.see("36 of 30,000")

    asyncio.run(session())


def test_any_column_sorts_and_time_sorts_again(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("l", "l", "l", "S")
            text = await seat.see("score ▼")
            assert "of the first 10,000 of 30,000" in text
            highest = float(seat.at_cursor(text).split()[5])
            await seat.press("S")
            text = await seat.see("score ▲")
            assert float(seat.at_cursor(text).split()[5]) < highest
            await seat.press("T")
            await seat.see("1 of 30,000")

    asyncio.run(session())


def test_it_goes_to_a_time(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("at")
            await seat.see("go to a time")
            await seat.press("ctrl+u")
            await seat.type("2026-10-21 02:41:07.318")
            await seat.press("enter")
            assert SHOWCASE in seat.at_cursor(await seat.see("> 10-21"))
            await seat.press("at")
            await seat.type("-1h")
            await seat.press("enter")
            await seat.see("> 10-21 01:")

    asyncio.run(session())


def test_the_window_narrows_around_the_row_and_widens_again(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, where=f"request_id = '{SHOWCASE}'") as seat:
            await seat.see(SHOWCASE)
            await seat.see(lambda text: "bars up to" in text and "counted" not in text)
            await seat.press("plus", "plus")
            text = await seat.see("of 30,000 decisions")
            assert SHOWCASE in seat.at_cursor(text)
            await seat.press("0")
            await seat.see("2026-10-01 to 2026-10-30")

    asyncio.run(session())


def test_columns_are_chosen(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 40)) as seat:
            await seat.see("1 of 30,000")
            await seat.press("c")
            await seat.see("part of a name")
            await seat.search("utilisation_3m")
            await seat.see("[ ] features.utilisation_3m")
            await seat.press("space")
            await seat.see("[x] features.utilisation_3m")
            await seat.press("c")
            text = await seat.see(lambda text: "part of" not in text and "utilisation_3m" in text)
            assert "environment" in text

    asyncio.run(session())


def test_marks_and_copies(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("m")
            assert seat.at_cursor(await seat.see("1 marked")).startswith(">*")
            await seat.press("m")
            await seat.see(lambda text: "marked" not in text)
            await seat.press("l", "y")
            await seat.see("copied")
            assert seat.app.clipboard == "ba99-59"
            await seat.press("Y")
            await seat.see("copied: 2026")
            assert seat.app.clipboard.split("\t")[1:3] == ["ba99-59", "APPROVE"]
            await seat.press("ctrl+y")
            await seat.see("copied: forensics")
            assert seat.app.clipboard == f"forensics find --lake {sample_lake}"

    asyncio.run(session())


def test_help_tells_the_keys_of_the_place_and_the_palette_does_them(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(100, 50)) as seat:
            await seat.see("1 of 30,000")
            await seat.press("question_mark")
            text = await seat.see("keys · decisions")
            assert "go to a time" in text
            await seat.press("escape", "colon")
            await seat.see(lambda text: "keys · " not in text and "Search" in text)
            await seat.type("go to a time")
            await seat.see("key @ ^g")
            await seat.press("down", "enter")
            await seat.see("go to a time (UTC)")

    asyncio.run(session())


def test_the_histogram_shows_the_rise_and_a_click_goes_there(
    sample_lake: Path, seated: Any
) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            text = await seat.see(lambda text: "DECLINE" in text.splitlines()[1])
            assert "▲" in text.splitlines()[4]
            await seat.click("#histogram", offset=(54, 2))
            await seat.see("> 10-21")
            await seat.press("o")
            await seat.see(lambda text: not text.splitlines()[1].startswith("DECLINE"))

    asyncio.run(session())


def test_the_mouse_moves_sorts_and_opens(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.click("#table", offset=(10, 3))
            await seat.see("3 of 30,000")
            await seat.click("#table", offset=(25, 0))
            await seat.see("request ▼")
            await seat.click("#table", offset=(25, 2), times=2)
            await seat.see("[summary]")

    asyncio.run(session())


def test_the_rate_is_that_of_the_rows_and_says_so(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 30)) as seat:
            await seat.see("of all · bars up to")
            await seat.search("utilisation_3m > 40")
            text = await seat.see(lambda text: "of the matches" in text and "counted" not in text)
            found = list(find(sample_lake, "utilisation_3m > 40"))
            declined = sum(row["outcome"] == "DECLINE" for row in found)
            assert text.splitlines()[1].startswith(f"DECLINE {declined / len(found):.0%} of the ")
            await seat.press("escape")
            await seat.see("of all · bars up to")

    asyncio.run(session())


def test_it_goes_from_change_to_change(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake, size=(120, 30)) as seat:
            await seat.see("of all · bars up to")
            await seat.press("n")
            await seat.see("no later change")
            times = []
            for key, end in (("N", "no earlier change"), ("n", "no later change")):
                there: list[str] = []
                while True:
                    await seat.press(key)
                    before = there[-1] if there else ""

                    def there_or_over(text: str, end: str = end, before: str = before) -> bool:
                        said = text.splitlines()[-1].rstrip()
                        if end in said:
                            return True
                        if not said.startswith("▲ ") or said == before or "\n>" not in text:
                            return False
                        # The row is the first that was decided after the change.
                        return bool(seat.at_cursor(text)[2:20] >= said[7:25])

                    said = (await seat.see(there_or_over)).splitlines()[-1].rstrip()
                    if end in said:
                        break
                    there.append(said)
                times.append([words[2:25] for words in there])
            assert len(times[0]) > 5
            assert times[0] == sorted(times[0], reverse=True)
            assert times[1] == sorted(times[0])[1:]
            assert any("2026-10-21 02:13" in time for time in times[0])
            await seat.press("l", "S")
            await seat.see("request ▼")
            await seat.press("n")
            await seat.see("T sorts by time again")

    asyncio.run(session())


def test_it_goes_from_mark_to_mark(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("apostrophe")
            await seat.see("Nothing is marked")
            await seat.press("m", "G")
            await seat.see("\n> 10-01")
            await seat.press("m", "at", "ctrl+u")
            await seat.type("2026-10-21 02:41:07.318")
            await seat.press("enter")
            assert SHOWCASE in seat.at_cursor(await seat.see("> 10-21"))
            await seat.press("m", "apostrophe")
            await seat.see("30,000 of 30,000")
            await seat.press("apostrophe")
            await seat.see("no further mark below")
            await seat.press("quotation_mark")
            assert SHOWCASE in seat.at_cursor(await seat.see(">*10-21"))
            await seat.press("quotation_mark")
            await seat.see("1 of 30,000")
            await seat.press("quotation_mark")
            await seat.see("no further mark above")
            # One that is not among the rows is passed by, and another order has its own places.
            await seat.search(f"request_id <> '{SHOWCASE}'")
            await seat.see("1 of 29,999")
            await seat.press("apostrophe")
            await seat.see("29,999 of 29,999")
            await seat.press("escape")
            await seat.see("30,000 of 30,000")
            await seat.search("utilisation_3m > 5")
            await seat.see(lambda text: "ends" not in text and "1 of 30,000" not in text)
            await seat.press("g", "l", "S")
            await seat.see("request ▼")
            await seat.press("g", "apostrophe")
            assert SHOWCASE in seat.at_cursor(await seat.see("\n>*"))

    asyncio.run(session())


def test_marks_are_listed_opened_and_taken_away(sample_lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("M")
            await seat.see("Nothing is marked")
            await seat.press("m", "j", "m", "j", "m", "M")
            text = await seat.see("enter opens")
            listed = [line.split()[2] for line in text.splitlines() if "│ 2026" in line]
            await seat.press("j", "m")
            await seat.see(lambda text: text.count("│ 2026") == 2)
            await seat.press("k", "enter")
            await seat.see("[summary]")
            await seat.press("apostrophe")
            await seat.see(listed[2] if len(listed) > 2 else "credit_line")
            await seat.press("apostrophe")
            await seat.see("no further mark")
            await seat.press("quotation_mark")
            await seat.press("M", "U")
            await seat.see(lambda text: "enter opens" not in text)
            assert seat.app.marks == {}
            await seat.press("quotation_mark")
            await seat.see("Nothing is marked")
            await seat.press("escape")
            await seat.see(lambda text: "of 30,000" in text and "marked" not in text)

    asyncio.run(session())


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    place = tmp_path / "place"
    place.mkdir()
    monkeypatch.chdir(place)
    return place


def test_rows_are_written_as_they_are_shown(sample_lake: Path, seated: Any, folder: Path) -> None:
    import pyarrow.parquet as pq

    condition = "utilisation_3m > 5"
    names = ["occurred_at", "request_id", "outcome", "score", "features.utilisation_3m"]

    async def session() -> None:
        async with seated(sample_lake, where=condition) as seat:
            await seat.see("of the matches")
            seat.app.screen._columns_chosen(tuple(names))
            await seat.see("score    utilisation_3m")
            for suffix in ("csv", "parquet", "jsonl"):
                await seat.press("e")
                await seat.see("the columns that are shown")
                await seat.press("ctrl+u")
                await seat.type(f"rows.{suffix}")
                await seat.press("enter")
                await seat.see(f"rows in rows.{suffix}")

    asyncio.run(session())
    wanted = [
        [row["occurred_at"], row["request_id"], row["outcome"], row["score"]]
        for row in find(sample_lake, condition)
    ]
    table = pq.read_table(folder / "rows.parquet")
    assert table.column_names == names
    assert [str(field.type) for field in table.schema] == [
        "timestamp[us, tz=UTC]", "string", "string", "double", "double"
    ]  # fmt: skip
    assert [list(row.values())[:4] for row in table.to_pylist()] == wanted
    lines = (folder / "rows.jsonl").read_text(encoding="utf-8").splitlines()
    assert [json.loads(line)["request_id"] for line in lines] == [row[1] for row in wanted]
    assert [json.loads(line)["features.utilisation_3m"] for line in lines] == table.column(
        "features.utilisation_3m"
    ).to_pylist()
    text = (folder / "rows.csv").read_text(encoding="utf-8").splitlines()
    assert text[0] == ",".join(names)
    assert [line.split(",")[1] for line in text[1:]] == [row[1] for row in wanted]


def test_a_file_that_is_there_is_only_replaced_on_purpose(
    sample_lake: Path, seated: Any, folder: Path
) -> None:
    (folder / "rows.csv").write_text("mine")

    async def session() -> None:
        async with seated(sample_lake, where=f"request_id = '{SHOWCASE}'") as seat:
            await seat.see("1 of 1")
            await seat.press("e")
            await seat.see("write 1 row,")
            for name, says in (
                ("rows.txt", "has to end in"),
                ("none/rows.csv", "no folder none"),
                ("rows.csv", "is there already"),
            ):
                await seat.press("ctrl+u")
                await seat.type(name)
                await seat.press("enter")
                await seat.see(says)
            await seat.press("escape")
            await seat.see(lambda text: "is there already" not in text)
            assert (folder / "rows.csv").read_text() == "mine"
            await seat.press("e", "ctrl+u")
            await seat.type("rows.csv")
            await seat.press("enter")
            await seat.see("is there already")
            await seat.press("enter")
            await seat.see("1 row in rows.csv")
            assert SHOWCASE in (folder / "rows.csv").read_text()

    asyncio.run(session())


def test_writing_can_be_ended_and_leaves_nothing(
    sample_lake: Path, seated: Any, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import threading

    from forensics.lake.pages import TimePages

    began, allowed = threading.Event(), threading.Event()
    read = TimePages.rows

    def slow(self: TimePages, first: int, count: int) -> Any:
        if count > 1_000 and first:
            began.set()
            assert allowed.wait(60)
        return read(self, first, count)

    monkeypatch.setattr(TimePages, "rows", slow)

    async def session() -> None:
        async with seated(sample_lake) as seat:
            await seat.see("1 of 30,000")
            await seat.press("e", "enter")
            await seat.see("writing")
            await seat.until(began.is_set)
            await seat.press("e")
            await seat.see("being written already")
            await seat.press("escape")
            await seat.see("ended: no file was written")
            allowed.set()
            await seat.until(lambda: not list(folder.iterdir()))
            await seat.see("1 of 30,000")

    try:
        asyncio.run(session())
    finally:
        allowed.set()


@pytest.fixture
def growing(lake: Path, take_in: Callable[..., Any]) -> Path:
    random_ = random.Random(1)
    start = datetime(2026, 10, 1, tzinfo=UTC)
    take_in(
        decision_record(
            request_id=f"r-{number}",
            occurred_at=(start + timedelta(minutes=number)).isoformat(),
            outcome=random_.choice(["APPROVE", "DECLINE"]),
        )
        for number in range(200)
    )
    return lake


def test_it_follows_what_lands(growing: Path, take_in: Callable[..., Any], seated: Any) -> None:
    async def session() -> None:
        async with seated(growing) as seat:
            await seat.see("1 of 200")
            await seat.press("F")
            await seat.see("following")
            time = datetime(2026, 10, 2, tzinfo=UTC).isoformat()
            take_in([decision_record(request_id="r-late", occurred_at=time)])
            text = await seat.see("1 of 201")
            assert "r-late" in seat.at_cursor(text)

    asyncio.run(session())


def test_a_lake_without_decisions_says_so(lake: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(lake) as seat:
            await seat.see("0 of 0")
            await seat.press("j", "G", "enter", "S", "m", "y", "plus", "o", "at", "escape")
            await seat.see("0 decisions")

    asyncio.run(session())
