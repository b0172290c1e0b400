"""What a query matches is counted as listing it would count it; a window's leaves say which."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from forensics.errors import UsageError
from forensics.lake import find
from forensics.lake.counting import tally
from forensics.lake.find import Query
from forensics.lake.leaves import leaves
from forensics.lake.snapshot import take
from forensics.records.times import to_micros
from forensics.testing import decision_record

Run = Callable[..., Any]
DAY = Query(since=datetime(2026, 10, 21, tzinfo=UTC), until=datetime(2026, 10, 22, tzinfo=UTC))


@pytest.mark.parametrize(
    "query",
    [DAY, Query(where="utilisation_3m > 5"), Query(outcome="REFER"), Query(subject="nobody")],
    ids=["a day", "an expression", "an outcome", "nothing"],
)
def test_it_counts_what_is_listed(query: Query, sample_lake: Path) -> None:
    snapshot = take(sample_lake)
    rows = list(find.rows(snapshot, query))
    found = tally(snapshot, query)
    assert found.decisions == len(rows)
    assert found.subjects == len({row["subject"] for row in rows if row["subject"]})
    assert found.outcomes == Counter(row["outcome"] for row in rows)
    times = [row["occurred_at"] for row in rows]
    assert (found.first, found.last) == ((min(times), max(times)) if times else (None, None))


def test_decisions_without_a_subject_are_counted_apart(
    lake: Path, take_in: Callable[..., Any]
) -> None:
    take_in([decision_record(subject=None), decision_record(subject={"id": "s"})])
    found = tally(take(lake), Query())
    assert (found.decisions, found.subjects, found.without_subject) == (2, 1, 1)


def test_an_empty_lake_has_none_and_an_unknown_name_is_refused(
    lake: Path, sample_lake: Path
) -> None:
    assert tally(take(lake), Query()).to_dict()["decisions"] == 0
    with pytest.raises(UsageError):
        tally(take(sample_lake), Query(where="no_such > 1"))


def test_the_command_counts_for_people_and_programs(sample_lake: Path, run: Run) -> None:
    asked = ("find", "--lake", sample_lake, "--count", "--since", "2026-10-21T02:13:04Z",
             "--until", "2026-10-21T05:40:05Z")  # fmt: skip
    told = run(*asked, "--json").json
    assert (told["decisions"], told["subjects"]) == (107, 104)
    screen = run(*asked).out
    assert screen.startswith("107 decisions about 104 subjects\n")
    assert " 40.2%  DECLINE" in screen
    assert run(*asked, "--limit", 3).code == 2


def test_leaves_tell_one_set_of_decisions_from_another(
    lake: Path, take_in: Callable[..., Any]
) -> None:
    begin = datetime(2026, 10, 5, tzinfo=UTC)
    take_in(
        decision_record(occurred_at=begin.replace(hour=hour).isoformat(), decision_id=f"d{hour}")
        for hour in range(6)
    )

    def window(first: int, end: int) -> Any:
        ends = (to_micros(begin.replace(hour=hour)) for hour in (first, end))
        return leaves(take(lake), ["credit_line"], *ends, received=True)

    three = window(0, 3)
    assert (three.decisions, three.altered) == (3, ())
    assert window(0, 3) == three
    assert window(1, 4).digest != three.digest
    assert window(10, 12).decisions == 0
    whole = leaves(take(lake), ["credit_line"], None, None)
    assert whole is not None
    assert (whole.decisions, whole.altered) == (6, None)
    late = begin.replace(hour=2, minute=30)
    take_in([decision_record(occurred_at=late.isoformat(), decision_id="late")])
    assert window(0, 3).decisions == 4
    take_in([])
    assert window(3, 6).digest == window(3, 6).digest


def test_received_bytes_that_do_not_match_are_named(
    lake: Path, take_in: Callable[..., Any]
) -> None:
    take_in(decision_record(decision_id=f"d{number}") for number in range(3))
    before = leaves(take(lake), ["credit_line"], None, None, received=True)
    (path,) = (lake / "decisions" / "credit_line").glob("*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    rows[1]["raw"] = rows[1]["raw"] + b" "
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)
    after = leaves(take(lake), ["credit_line"], None, None, received=True)
    assert before is not None
    assert after is not None
    assert after.digest == before.digest
    assert after.altered == (rows[1]["decision_id"],)
