"""An audit classes every decision as a trace classes it, and sees what never came."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Callable
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.api import open_lake
from forensics.errors import NotFoundError, UsageError
from forensics.lake import coverage
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.coverage import Numbers
from forensics.reconstruct.audit_answer import Audit
from forensics.reconstruct.counts import read_counts
from forensics.testing import decision_record

TakeIn = Callable[..., Any]
DAY = datetime(2026, 10, 5, tzinfo=UTC)
KEPT = b'{"kept": true}'
RULES = b'{"type": "rules", "rules": [], "default": {"id": "R0", "outcome": "APPROVE"}}'
LOST = "sha256:" + "b" * 64


def at(seconds: float) -> datetime:
    return DAY + timedelta(seconds=seconds)


def stamp(seconds: float) -> str:
    return at(seconds).isoformat()


def asked(lake: Path, **how: Any) -> Audit:
    with open_lake(lake) as opened:
        return opened.audit(**how)


def some_decision(random_: random.Random, number: int, kept: str, rules: str) -> dict[str, Any]:
    """A decision that lacks whatever it may lack."""
    pick = random_.choice
    values = pick([None, {}, {"threshold": 0.5}, {"limit": 3}, {"threshold": None}])
    return decision_record(
        decision_id=f"d-{number}",
        request_id=f"r-{number}",
        occurred_at=stamp(number * 1800),
        features=pick(
            [None, {}, {"amount": 3}, {"amount": None, "channel": "app"}, {"amount": None}]
        ),
        score=pick([0.25, None]),
        threshold=pick([0.5, None]),
        model={"name": "pd", "digest": pick([kept, LOST, None])},
        config=pick([None, {"revision": "c1"}, {"values": values}]),
        execution=pick(
            [None, {"pure": True}, {"pure": False}, {"calls": {}}, {"calls": {"clock": 3}},
             {"calls": []}, {"pure": False, "calls": [1]}, {"calls": None}]
        ),
        candidates_coverage=pick([None, "exhaustive", "partial", "taken_only"]),
        steps=pick(
            [None, [], [{"id": "m", "kind": "model", "digest": kept}],
             [{"id": "r", "kind": "rules", "digest": LOST}],
             [{"id": "r", "kind": "rules", "digest": kept}],
             *[[{"id": "r", "kind": "rules", "digest": rules}, {"id": "c", "kind": "cache"}]] * 9]
        ),
    )  # fmt: skip


@pytest.mark.parametrize("seed", [1, 2])
def test_each_decision_is_classed_as_its_trace_classes_it(
    lake: Path, take_in: TakeIn, seed: int
) -> None:
    random_ = random.Random(seed)
    kept, rules = map(ArtifactStore(lake).put, (KEPT, RULES))
    records = [some_decision(random_, number, kept, rules) for number in range(150)]
    take_in(records)
    expected: Counter[tuple[date, str]] = Counter()
    with open_lake(lake) as opened:
        for record in records:
            (found,) = opened.trace(record["decision_id"], replay=False)
            day = found.decision.occurred_at.date()
            expected[day, found.completeness.class_] += 1
        audit = opened.audit()
    (point,) = audit.points
    said = {
        (day.day, class_): count for day in point.days for class_, count in day.classes.items()
        if count
    }  # fmt: skip
    assert said == dict(expected)
    assert audit.decisions == len(records)


def test_a_feature_that_older_files_have_no_column_for_is_no_reason_to_fail(
    lake: Path, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(coverage, "_ROWS", 1)  # each file is looked at by itself
    take_in([decision_record(features={"amount": 3, "channel": "app"})])
    take_in([decision_record(features={"since_then": 1.5}, occurred_at=stamp(60))])
    take_in([decision_record(features={"amount": None}, occurred_at=stamp(120))])
    take_in([decision_record(features=None, occurred_at=stamp(180))])
    audit = asked(lake)
    assert audit.decisions == 4
    (point,) = audit.points
    lacking = {gap.field: gap.decisions for gap in point.gaps}
    assert lacking["features"] == 2


def test_a_gap_costs_what_filling_it_alone_would_win(lake: Path, take_in: TakeIn) -> None:
    kept, rules = map(ArtifactStore(lake).put, (KEPT, RULES))
    whole = {
        "model": {"name": "pd", "digest": kept},
        "steps": [{"id": "r", "kind": "rules", "digest": rules}],
        "config": {"values": {"threshold": 0.5}},
        "execution": {"pure": True},
        "candidates_coverage": "exhaustive",
    }
    take_in(
        [
            *(decision_record(**whole) for _ in range(3)),
            *(decision_record(**whole | {"execution": None}) for _ in range(4)),
            *(decision_record(**whole | {"execution": None, "score": None}) for _ in range(2)),
            decision_record(**whole | {"config": None}),
        ]
    )
    (point,) = asked(lake).points
    assert point.classes == {"C2": 3, "C1": 0, "C0": 1, "none": 6}
    gaps = {gap.field: (gap.keeps_from, gap.decisions, gap.alone) for gap in point.gaps}
    assert gaps == {
        "execution.pure": ("C0", 6, 4),
        "score": ("C0", 2, 0),
        "config.values": ("C1", 1, 1),
    }
    assert next(gap.field for gap in point.gaps) == "execution.pure"


def test_a_day_without_a_decision_is_there(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(occurred_at=stamp(0)), decision_record(occurred_at=stamp(2 * 86_400))])
    (point,) = asked(lake).points
    assert [day.decisions for day in point.days] == [1, 0, 1]


class TestWriters:
    def numbered(
        self, numbers: list[int], writer: str = "w", boot: str | None = "b", **how: Any
    ) -> list[dict[str, Any]]:
        return [
            decision_record(
                occurred_at=stamp(number),
                writer={"id": writer, "sequence": number, "boot_id": boot},
                **how,
            )
            for number in numbers
        ]

    def test_numbers_that_never_came_are_missing_records(self, lake: Path, take_in: TakeIn) -> None:
        take_in(self.numbered([5, 6, 9, 10, 20]))
        audit = asked(lake)
        (writer,) = audit.writers
        assert (writer.first, writer.last, writer.records) == (5, 20, 5)
        assert (writer.missing, writer.twice) == (11, 0)
        assert [(hole.after, hole.before, hole.missing) for hole in writer.holes] == [
            (6, 9, 2),
            (10, 20, 9),
        ]
        assert audit.coverage == "contradicted"
        assert not audit.is_whole

    def test_a_writer_counts_through_its_decision_points(self, lake: Path, take_in: TakeIn) -> None:
        take_in(
            [
                *self.numbered([1, 3, 5]),
                *self.numbered([2, 4], decision_point="triage"),
            ]
        )
        assert asked(lake).missing == 0
        assert asked(lake, decision_point="triage").missing == 0

    def test_after_a_restart_it_counts_anew(self, lake: Path, take_in: TakeIn) -> None:
        take_in([*self.numbered([7, 8]), *self.numbered([1, 2, 3], boot="c"),
                 *self.numbered([4, 5], boot=None)])  # fmt: skip
        assert asked(lake).missing == 0

    def test_a_number_that_came_twice_does_not_hide_one_that_did_not(
        self, lake: Path, take_in: TakeIn
    ) -> None:
        take_in(self.numbered([1, 2, 2, 4, 5]))
        (writer,) = asked(lake).writers
        assert (writer.missing, writer.twice) == (1, 1)

    def test_records_without_a_number_are_counted(self, lake: Path, take_in: TakeIn) -> None:
        take_in([*self.numbered([1, 2]), decision_record(occurred_at=stamp(9))])
        audit = asked(lake)
        assert audit.points[0].unnumbered == 1
        assert audit.coverage == "assumed"

    def test_what_a_writer_says_it_lost_is_told(self, lake: Path, take_in: TakeIn) -> None:
        take_in(self.numbered([1, 2], capture={"dropped": 3}))
        assert asked(lake).writers[0].dropped == 6

    @pytest.mark.parametrize("seed", range(20))
    def test_sums_tell_whether_every_number_came_once(self, seed: int) -> None:
        random_ = random.Random(seed)
        low = random_.choice([0, 1, -4, 2**40])
        given = [low + random_.randrange(12) for _ in range(random_.randrange(1, 13))]
        if random_.random() < 0.4:
            given = list(range(low, low + random_.randrange(1, 12)))
        numbers = Numbers("w", None, min(given), max(given), len(given), sum(given),
                          sum(one * one for one in given), 0)  # fmt: skip
        whole = sorted(given) == list(range(min(given), max(given) + 1))
        assert numbers.is_whole == whole


class TestCounts:
    @pytest.fixture
    def hourly(self, lake: Path, take_in: TakeIn) -> Path:
        """Ten decisions an hour over two days at one point, one an hour at another."""
        take_in(
            [decision_record(occurred_at=stamp(360 * n)) for n in range(480)]
            + [decision_record(occurred_at=stamp(3600 * n), decision_point="triage")
               for n in range(48)]
        )  # fmt: skip
        return lake

    def counted(self, lake: Path, text: str, **how: Any) -> Audit:
        path = lake.with_name("counts")
        path.write_text(text, encoding="utf-8")
        return asked(lake, counts=[path], **how)

    def test_counts_that_agree_over_the_whole_window_prove_that_none_is_missing(
        self, hourly: Path
    ) -> None:
        text = (
            "decision_point,day,count\ncredit_line,2026-10-05,240\ncredit_line,2026-10-06,240\n"
            "triage,2026-10-05,24\ntriage,2026-10-06,24\n"
        )
        assert self.counted(hourly, text).coverage == "proven"
        assert self.counted(hourly, text[: text.index("triage")]).coverage == "assumed"
        assert self.counted(hourly, "day,count\n2026-10-05,264\n2026-10-06,264\n").coverage == (
            "proven"
        )

    def test_a_count_that_is_more_than_the_lake_holds_says_how_many_are_missing(
        self, hourly: Path
    ) -> None:
        text = json.dumps({"day": "2026-10-05", "count": 243, "decision_point": "credit_line"})
        audit = self.counted(hourly, text)
        assert [(one.held, one.missing) for one in audit.compared] == [(240, 3)]
        assert audit.coverage == "contradicted"

    def test_a_span_of_any_length_can_be_counted(self, hourly: Path) -> None:
        row = {"since": "2026-10-05T10:30Z", "until": "2026-10-05T11:00:01+00:00", "count": 6,
               "decision_point": "credit_line"}  # fmt: skip
        (one,) = self.counted(hourly, json.dumps([row])).compared
        assert (one.held, one.missing) == (6, 0)

    def test_a_counter_of_prometheus_is_read_through_restarts_and_new_replicas(
        self, hourly: Path
    ) -> None:
        def sample(replica: str, hours: float, value: float) -> str:
            time = int((DAY + timedelta(hours=hours)).timestamp() * 1000)
            labels = f'decision_point="credit_line",replica="{replica}"'
            return f"decisions_total{{{labels}}} {value} {time}"

        text = "\n".join(
            [
                "# HELP decisions_total Decisions, by replica.",
                "# TYPE decisions_total counter",
                sample("a", 0, 1000), sample("a", 12, 1060), sample("a", 24, 40),
                sample("a", 48, 140),
                sample("b", 12, 60), sample("b", 24, 140), sample("b", 48, 280),
            ]
        )  # fmt: skip
        audit = self.counted(hourly, text, decision_point="credit_line")
        assert [(one.counted.decisions, one.missing) for one in audit.compared] == [
            (240, 0),
            (240, 0),
        ]
        assert audit.coverage == "proven"

    def test_what_prometheus_answers_to_query_range_is_read(self, hourly: Path) -> None:
        values = [[(DAY + timedelta(hours=6 * n)).timestamp(), str(7 + 6 * n)] for n in range(9)]
        series = {"metric": {"__name__": "decisions_total", "point": "triage"}, "values": values}
        answer = {"status": "success", "data": {"resultType": "matrix", "result": [series]}}
        audit = self.counted(hourly, json.dumps(answer), decision_point="triage")
        assert [one.missing for one in audit.compared] == [0, 0]

    def test_counts_that_cannot_be_used_are_named(self, hourly: Path) -> None:
        text = "decision_point,day,count\nother,2026-10-05,1\ntriage,2026-10-04,3\n"
        first, second = self.counted(hourly, text).unused_counts
        assert "other" in first
        assert "1 counts lie outside" in second

    @pytest.mark.parametrize(
        ("text", "said"),
        [
            ("day,count\n2026-10-05,many\n", "its count is 'many'"),
            ("day,count\n2026-10-05,-3\n", "its count is -3"),
            ("day,count\n2026-13-05,3\n", "month"),
            ("count\n3\n", "neither day nor since"),
            ('{"since": "2026-10-06", "until": "2026-10-05", "count": 1}', "ends before"),
            ('{"day": ', "no JSON"),
            ("[3]", "no count"),
            ('a_total{point="x"} 3\n', "no time"),
            ('a_total{point="x} 3 1759276800000\n', "labels"),
            ("a_total 3 1759276800000\n", "one time only"),
            ("a_total 3 1759276800000\nb_total 3 1759276800000\n", "several metrics"),
            ("a_total NaN 1759276800000\na_total 3 1759276900000\n", "no number"),
            ('{"data": {"resultType": "matrix", "result": [{}]}}', "query_range"),
            ("# nothing\n", "no sample"),
            ("2026-10-01,3\n", "'2026-10-01,3'"),
            ("credit_line,2026-10-01,3\ncredit_line,2026-10-02,3\n", "does not say what it"),
            ("day,count\n", "no counts"),
            ("", "empty"),
        ],
    )
    def test_what_is_no_count_is_refused_with_the_reason(
        self, tmp_path: Path, text: str, said: str
    ) -> None:
        path = tmp_path / "counts"
        path.write_text(text, encoding="utf-8")
        with pytest.raises(UsageError) as refused:
            read_counts(path)
        assert said in f"{refused.value.what} {refused.value.why}"


def test_a_window_without_a_decision_is_not_found(lake: Path, take_in: TakeIn) -> None:
    with pytest.raises(NotFoundError, match="holds no decision"):
        asked(lake)
    take_in([decision_record(occurred_at=stamp(0))])
    with pytest.raises(NotFoundError, match="No decision in this window"):
        asked(lake, since=at(86_400 * 3), until=at(86_400 * 4))
    with pytest.raises(UsageError, match="ends before it begins"):
        asked(lake, since=at(86_400 * 3))


def test_days_end_with_the_day_of_the_last_decision(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(occurred_at=stamp(86_400 * n + 40_000)) for n in range(40)])
    audit = asked(lake, days=30)
    assert (audit.since, audit.until) == (at(86_400 * 10), at(86_400 * 40))
    assert audit.decisions == 30
