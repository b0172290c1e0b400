"""Any page of a window is what sorting all its decisions would give, whatever files hold them."""

from __future__ import annotations

import random
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import UsageError
from forensics.lake import pages, scan
from forensics.lake.pages import KeptPages, known_spans
from forensics.lake.snapshot import take
from forensics.lake.window import KEY, TIME, Cancelled, Reader, Row, View, names_of
from forensics.records.times import to_micros
from forensics.testing import decision_record

START = datetime(2026, 10, 1, tzinfo=UTC)
TakeIn = Callable[..., Any]


def record(random_: random.Random, time: datetime, **changes: Any) -> dict[str, Any]:
    return decision_record(
        occurred_at=time.isoformat(),
        outcome=random_.choice(["APPROVE", "DECLINE"]),
        score=round(random_.random(), 3),
        subject={"id": f"s-{random_.randrange(40)}"},
        features={"amount": random_.randrange(1000), "channel": "app"},
        **changes,
    )


@pytest.fixture(scope="module")
def records() -> list[dict[str, Any]]:
    """Decisions of two points whose files overlap, with more at one moment than a block holds."""
    random_ = random.Random(7)
    moment = START + timedelta(hours=30)
    found = [record(random_, moment) for _ in range(2_500)]
    for _ in range(3_000):
        time = START + timedelta(seconds=random_.randrange(4 * 86_400))
        other = random_.random() < 0.3
        changes = {"decision_point": "fraud"} if other else {}
        found.append(record(random_, time, **changes))
    for _ in range(3_000):  # a burst: several blocks within one hour
        time = START + timedelta(hours=50, milliseconds=random_.randrange(3_000_000))
        found.append(record(random_, time))
    random_.shuffle(found)
    return found


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory, records: list[dict[str, Any]]) -> Path:
    from forensics.ingest.run import run
    from forensics.ingest.sources import open_source
    from forensics.lake import layout
    from forensics.testing import write_lines

    folder = tmp_path_factory.mktemp("window")
    root = folder / "lake"
    layout.create(root)
    for number in range(4):
        lines = write_lines(folder / f"{number}.jsonl", records[number::4])
        run(root, open_source(lines))
    return root


@pytest.fixture
def reader(full: Path) -> Reader:
    return Reader(take(full))


def key(record: dict[str, Any]) -> tuple[int, str, str]:
    time = to_micros(datetime.fromisoformat(record["occurred_at"]))
    return time, record["decision_point"], record["decision_id"]


def view(reader: Reader, **changes: Any) -> View:
    points = changes.pop("points", tuple(reader.snapshot.points()))
    return View(points, ("outcome", "score", "features.amount"), **changes)


def whole(reader: Reader, view: View) -> scan.Found:
    return list(scan.look(reader, view))[-1]


def keys(rows: list[Row]) -> list[tuple[int, str, str]]:
    return [row[: len(KEY) - 1] for row in rows]


@pytest.mark.parametrize("descending", [True, False])
def test_every_page_is_what_sorting_everything_would_give(
    reader: Reader, records: list[dict[str, Any]], descending: bool
) -> None:
    pages = whole(reader, view(reader, descending=descending)).pages
    expected = sorted(map(key, records), reverse=descending)
    assert pages.total == len(expected)
    for first in range(0, len(expected), 487):
        assert keys(pages.rows(first, 60)) == expected[first : first + 60]
    assert keys(pages.rows(pages.total - 10, 60)) == expected[-10:]


@pytest.mark.parametrize("descending", [True, False])
def test_a_time_is_found_where_it_is(
    reader: Reader, records: list[dict[str, Any]], descending: bool
) -> None:
    pages = whole(reader, view(reader, descending=descending)).pages
    times = [time for time, _, _ in sorted(map(key, records), reverse=descending)]
    random_ = random.Random(3)
    for _ in range(40):
        asked = to_micros(START) + random_.randrange(4 * 86_400) * 1_000_000
        before = sum(time > asked if descending else time < asked for time in times)
        assert pages.place(asked) == before
    assert pages.place(to_micros(START) - 1) == (len(times) if descending else 0)


def test_rows_hold_what_was_asked_for(reader: Reader, records: list[dict[str, Any]]) -> None:
    by_key = {key(record): record for record in records}
    for row in whole(reader, view(reader)).pages.rows(4_000, 20):
        record = by_key[row[: len(KEY) - 1]]
        assert row[len(KEY) :] == (
            record["outcome"], record["score"], record["features"]["amount"],
        )  # fmt: skip


@pytest.mark.parametrize(
    ("where", "holds"),
    [
        ("score >= 0.5", lambda r: r["score"] >= 0.5),
        ("outcome = 'DECLINE' and amount < 5", lambda r: (
            r["outcome"] == "DECLINE" and r["features"]["amount"] < 5)),
        ("false", lambda r: False),
    ],
)  # fmt: skip
def test_a_filter_finds_what_holds_and_nothing_else(
    reader: Reader, records: list[dict[str, Any]], where: str, holds: Callable[[Any], bool]
) -> None:
    found = whole(reader, view(reader, where=where))
    expected = sorted((key(record) for record in records if holds(record)), reverse=True)
    assert found.matches == found.pages.total == len(expected)
    assert keys(found.pages.rows(0, len(expected))) == expected


def test_a_filter_with_more_matches_than_are_kept_is_counted_and_read_where_one_looks(
    reader: Reader, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scan, "KEPT_ROWS", 100)
    found = whole(reader, view(reader, where="score >= 0.5"))
    expected = sorted((key(record) for record in records if record["score"] >= 0.5), reverse=True)
    assert not isinstance(found.pages, KeptPages)
    assert found.matches == len(expected)
    for first in range(0, len(expected), 333):
        assert keys(found.pages.rows(first, 40)) == expected[first : first + 40]


@pytest.mark.parametrize("kept", [100, 100_000])
def test_what_is_shown_while_a_filter_runs_stays_where_it_is(
    reader: Reader, monkeypatch: pytest.MonkeyPatch, kept: int
) -> None:
    monkeypatch.setattr(scan, "KEPT_ROWS", kept)
    monkeypatch.setattr(scan, "_CHUNK_ROWS", 500)
    asked = view(reader, where="score >= 0.2")
    answers = list(scan.look(reader, asked))
    assert len(answers) > 2
    final = answers[-1].pages.rows(0, answers[-1].matches)
    for found in answers:
        assert found.pages.rows(0, found.pages.total) == final[: found.pages.total]
    assert [found.done for found in answers] == sorted(found.done for found in answers)


@pytest.mark.parametrize("descending", [True, False])
def test_another_order_gives_the_first_rows_of_it(
    reader: Reader, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, descending: bool
) -> None:
    monkeypatch.setattr(scan, "KEPT_ROWS", 200)
    monkeypatch.setattr(scan, "_CHUNK_ROWS", 500)
    found = whole(reader, view(reader, order="score", descending=descending))
    scores = sorted((record["score"] for record in records), reverse=descending)
    assert found.matches == len(records)
    assert [row[len(KEY) + 1] for row in found.pages.rows(0, 500)] == scores[:200]
    assert found.pages.place(to_micros(START)) is None


def test_a_window_within_hours_is_counted_to_the_second(
    reader: Reader, records: list[dict[str, Any]]
) -> None:
    since, until = (
        to_micros(START + timedelta(hours=50, minutes=10)),
        to_micros(START + timedelta(hours=50, minutes=20)),
    )
    asked = view(reader, since_us=since, until_us=until)
    expected = sorted((k for k in map(key, records) if since <= k[0] < until), reverse=True)
    assert known_spans(reader, asked) is not None
    found = whole(reader, asked)
    assert found.matches == len(expected)
    assert keys(found.pages.rows(0, 10_000)) == expected


def test_files_that_the_summaries_do_not_know_are_counted(
    full: Path, records: list[dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    copy = tmp_path / "copy"
    shutil.copytree(full, copy)
    (copy / "index" / "catalog.json").unlink()
    other = Reader(take(copy))
    asked = view(other)
    assert known_spans(other, asked) is not None
    assert whole(other, asked).matches == len(records)
    monkeypatch.setattr(pages, "_UNKNOWN_ROWS_MAX", 100)
    assert known_spans(other, asked) is None
    assert whole(other, asked).matches == len(records)


def test_what_is_wrong_with_a_condition_is_said(reader: Reader) -> None:
    with pytest.raises(UsageError, match="amuont"):
        whole(reader, view(reader, where="amuont > 5"))
    with pytest.raises(UsageError, match="cannot be evaluated"):
        whole(reader, view(reader, where="cast(outcome as integer) > 5"))


def test_a_pass_can_be_ended_from_another_thread(reader: Reader) -> None:
    answers = scan.look(reader, view(reader, order="score"))
    canceller = threading.Thread(target=reader.cancel)
    canceller.start()
    canceller.join()
    with pytest.raises(Cancelled):
        list(answers)


def test_rates_count_every_decision_once(reader: Reader, records: list[dict[str, Any]]) -> None:
    *_, rates = scan.rates(reader, view(reader))
    declined = sum(record["outcome"] == "DECLINE" for record in records)
    columns = rates.columns("DECLINE", 80)
    assert sum(hits for hits, _ in columns) == declined
    assert sum(decisions for _, decisions in columns) == len(records)
    assert rates.done == 1


def test_the_outcome_whose_rate_rose_comes_first() -> None:
    rates = scan.Rates(0, 1, 100)
    rates.counts = {
        "APPROVE": {at: 70 if at < 90 else 30 for at in range(100)},
        "DECLINE": {at: 20 if at < 90 else 60 for at in range(100)},
        "REFER": dict.fromkeys(range(100), 10),
    }
    assert rates.outcomes()[0] == "DECLINE"


def test_a_handful_of_a_rare_outcome_does_not_stand_out() -> None:
    chance, rates = random.Random(5), scan.Rates(0, 1, 60)
    paid = [sum(chance.random() < 0.58 for _ in range(18)) for _ in range(60)]
    rates.counts = {
        "PAY": dict(enumerate(paid)),
        "INVESTIGATE": {at: 18 - count for at, count in enumerate(paid)},
        "ADJUSTER": {4: 1, 8: 1, 36: 1, 52: 1, 54: 1, 57: 1},
    }
    assert rates.outcomes()[-1] == "ADJUSTER"
    rates.counts["ADJUSTER"] = {52: 9, 53: 8}
    assert rates.outcomes()[0] == "ADJUSTER"


@pytest.mark.parametrize("forward", [True, False])
def test_the_next_decision_of_a_subject_is_the_next(
    reader: Reader, records: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch, forward: bool
) -> None:
    monkeypatch.setattr(scan, "_CHUNK_ROWS", 500)
    mine = sorted(
        (to_micros(datetime.fromisoformat(r["occurred_at"])), r["decision_id"], r["decision_point"])
        for r in records
        if r["subject"]["id"] == "s-7"
    )
    points = tuple(reader.snapshot.points())
    for at, (time, decision, point) in enumerate(mine):
        row = (time, point, decision, "")
        found = [
            step
            for step in scan.neighbour(reader, "s-7", points, row, forward=forward)
            if not isinstance(step, float)
        ]
        following = mine[at + 1 : at + 2] if forward else mine[max(at - 1, 0) : at]
        assert [(r[TIME], r[2]) for r in found] == [(time, id_) for time, id_, _ in following]


def test_a_subject_is_only_text(reader: Reader) -> None:
    row = (0, "credit_line", "", "")
    hostile = "x' or true or 'a' = '"
    steps = list(scan.neighbour(reader, hostile, ("credit_line",), row, forward=True))
    assert all(isinstance(step, float) for step in steps)


def test_every_field_and_feature_has_a_name(reader: Reader) -> None:
    names = names_of(reader.snapshot, reader.snapshot.points())
    assert {"occurred_at", "region", "features.amount", "features.channel"} <= set(names)
