"""Records read again from their bytes: what was taken in agrees, and each edit is named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.ingest.reread import differences
from forensics.testing import decision_record

POINT = "decisions/credit_line"


@pytest.fixture
def records(lake: Path, take_in: Any) -> pa.Table:
    """Records that are hard to keep: wide numbers, gaps, nulls, names outside the contract."""
    take_in(
        [
            decision_record(),
            decision_record(score="NaN", features={"amount": "Infinity", "channel": None}),
            decision_record(score=None, features=None, subject=None),
            decision_record(features={"amount": 12345678901234567890123, "list": [1, None, 2.5]}),
            decision_record(unheard_of={"deep": [1, {"x": None}]}, threshold=-0.0),
            decision_record(steps=[{"id": "s", "kind": "model", "inputs": {"a": 1}}]),
            decision_record(explanation={"attributions": {"amount": 0.5}}, config={"values": {}}),
        ]
    )
    (path,) = (lake / "decisions" / "credit_line").glob("*.parquet")
    return pq.read_table(path)


def put(records: pa.Table, row: int, name: str, value: Any) -> pa.Table:
    column = records[name].to_pylist()
    column[row] = value
    at = records.schema.get_field_index(name)
    field = records.schema.field(at)
    return records.set_column(at, field, pa.array(column, field.type))


def test_what_was_taken_in_agrees_with_its_bytes(records: pa.Table) -> None:
    assert list(differences(POINT, records)) == []


@pytest.mark.parametrize(
    ("row", "name", "value", "column"),
    [
        (0, "score", 0.9, "score"),
        (0, "score", None, "score"),
        (2, "score", 0.9, "score"),
        (0, "outcome", "DECLINE", "outcome"),
        (0, "features", {"amount": 1.0, "channel": "app"}, "features.amount"),
        (0, "subject", {"id": "somebody"}, "subject.id"),
        (0, "region", "eu", "region"),
        (5, "steps", [{"id": "s", "kind": "rules", "inputs": '{"a":1}'}], "steps"),
        (3, "exact", [("features.amount", "1")], "exact"),
        (4, "extra", "{}", "extra"),
        (0, "reading", "nonsense", "reading"),
        (0, "reading", '{"paths": 1}', "reading"),
        (0, "raw", b"[]", "record"),
        (0, "raw", b'{"record":"change"}', "record"),
    ],
)
def test_each_edit_is_named(
    records: pa.Table, row: int, name: str, value: Any, column: str
) -> None:
    found = list(differences(POINT, put(records, row, name, value)))
    assert (row, column) in found
    assert {at for at, _ in found} == {row}


def test_records_without_bytes_are_passed_over(records: pa.Table) -> None:
    edited = put(put(records, 1, "raw", None), 2, "outcome", "OTHER")
    assert list(differences(POINT, edited)) == [(2, "outcome")]
