"""Features: each decision point owns typed ones, and only ever gains new ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.ingest.run import Report
from forensics.lake.snapshot import take
from forensics.testing import decision_record

TakeIn = Callable[..., Report]
POINT = "decisions/credit_line"


def features(lake: Path, decision: dict[str, Any]) -> dict[str, Any]:
    (found,) = forensics.open(lake).trace(decision["request_id"], replay=False)
    return dict(found.decision.features)


def test_a_new_feature_is_added_without_rewriting_old_files(lake: Path, take_in: TakeIn) -> None:
    old, new = decision_record(features={"a": 1.5}), decision_record(features={"a": 2.5, "b": "x"})
    take_in([old])
    before = {path: path.read_bytes() for path in (lake / POINT).glob("*.parquet")}
    take_in([new])
    assert {path: path.read_bytes() for path in before} == before
    assert len(list((lake / POINT).glob("*.parquet"))) == 2
    assert features(lake, old) == {"a": 1.5}
    assert features(lake, new) == {"a": 2.5, "b": "x"}
    assert take(lake).tables[POINT].features == {"a": "float64", "b": "string"}


@pytest.mark.parametrize(
    ("first", "then", "named"),
    [
        (1.5, "high", ("float64", "string")),
        ("high", 1.5, ("string", "float64")),
        ("high", 7, ("string", "int64")),
        (True, 1, ("bool", "int64")),
        (1, True, ("float64", "bool")),
        ([1.0, 2.0], 3.0, ("float64", "list")),
        (1.0, [1.0], ("float64", "list")),
        (1.0, {"a": 1}, ("float64", "object")),
    ],
)
@pytest.mark.parametrize("together", [True, False], ids=["in one file", "in two files"])
def test_a_changed_type_is_refused_with_both_types_named_and_the_rest_lands(
    take_in: TakeIn, first: Any, then: Any, named: tuple[str, str], together: bool
) -> None:
    old, bad = decision_record(features={"a": first}), decision_record(features={"a": then})
    good = decision_record(features={"a": first})
    reports = [take_in([old, bad, good])] if together else [take_in([old]), take_in([bad, good])]
    assert sum(report.landed_total for report in reports) == 2
    (reason,) = reports[-1].quarantined
    assert all(name in reason for name in ('"a"', *named)), reason


def test_null_and_absent_are_different_evidence(lake: Path, take_in: TakeIn) -> None:
    null, absent, full = (
        decision_record(features=given)
        for given in ({"a": None, "b": 1}, {"b": 1}, {"a": 2, "b": 1})
    )
    take_in([null, absent, full])
    assert features(lake, null) == {"a": None, "b": 1}
    assert features(lake, absent) == {"b": 1}
    assert features(lake, full) == {"a": 2, "b": 1}
    (traced,) = forensics.open(lake).trace(absent["request_id"], replay=False)
    (missing,) = [item for item in traced.features if item.evidence == "missing"]
    assert (missing.name, missing.reason) == ("a", "the record does not have it")


def test_a_feature_that_was_only_ever_null_is_null_and_not_absent(
    lake: Path, take_in: TakeIn
) -> None:
    null, absent = decision_record(features={"a": None, "b": 1}), decision_record(features={"b": 1})
    take_in([null])
    take_in([absent])
    assert features(lake, null) == {"a": None, "b": 1}
    assert features(lake, absent) == {"b": 1}


def test_a_feature_absent_from_a_whole_file_is_absent_in_each_of_its_records(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([decision_record(features={"a": 1, "b": 1})])
    later = decision_record(features={"b": 1})
    take_in([later])
    assert features(lake, later) == {"b": 1}


def test_null_and_absent_stay_different_through_compaction(lake: Path, take_in: TakeIn) -> None:
    kinds = [{"a": None, "b": 1}, {"b": 1}, {"a": 2, "b": 1}, {"b": 2, "c": "new"}]
    made = [decision_record(features=given) for given in kinds]
    for decision in made:
        take_in([decision])
    forensics.open(lake).compact()
    assert [features(lake, decision) for decision in made] == kinds


def test_features_that_differ_only_in_case_are_refused_since_sql_cannot_tell_them_apart(
    take_in: TakeIn,
) -> None:
    take_in([decision_record(features={"Age": 1})])
    (reason,) = take_in([decision_record(features={"age": 1})]).quarantined
    assert "differs only in case" in reason


def test_a_decision_without_features_lands(lake: Path, take_in: TakeIn) -> None:
    bare, empty = decision_record(features=None), decision_record(features={})
    assert take_in([bare, empty]).landed_total == 2
    assert features(lake, bare) == features(lake, empty) == {}


def test_decision_points_own_their_features(lake: Path, take_in: TakeIn) -> None:
    one = decision_record(decision_point="limits", features={"a": 1})
    two = decision_record(decision_point="fraud", features={"a": "text"})
    assert take_in([one, two]).landed_total == 2
    assert features(lake, one) == {"a": 1}
    assert features(lake, two) == {"a": "text"}


def test_two_writers_that_bring_one_feature_in_two_types_leave_one_type(
    lake: Path, tmp_path: Path, take_in: TakeIn
) -> None:
    """The second stages before the first commits: it must look again under the lock."""
    from forensics.ingest.interface import Options
    from forensics.ingest.run import _commit, _features
    from forensics.ingest.sources import open_source
    from forensics.lake import writer
    from forensics.testing import write_lines

    file = write_lines(tmp_path / "late.jsonl", [decision_record(features={"a": "text"})])
    source = open_source(file)
    (chunk,) = source.chunks()
    snapshot = take(lake)
    parsed = source.parse(chunk, _features(snapshot), Options())
    staged = writer.stage(snapshot, POINT, parsed.tables[POINT])
    take_in([decision_record(features={"a": 1.5})])
    landed, late = _commit(lake, source, chunk, Options(), staged)
    assert landed.file.rows == 0
    assert "float64" in late[0].reason
    assert "string" in late[0].reason
    assert take(lake).tables[POINT].features == {"a": "float64"}
