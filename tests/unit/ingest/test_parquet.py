"""Parquet as a source: the same evidence as JSON lines, taken in by columns."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import forensics
from forensics.errors import UsageError
from forensics.ingest.run import Report
from forensics.testing import decision_record

TakeIn = Callable[..., Report]


def write(path: Path, records: list[dict[str, Any]], **columns: pa.Array) -> Path:
    table = pa.Table.from_pylist(records)
    for name, column in columns.items():
        table = (
            table.set_column(table.schema.get_field_index(name), name, column)
            if name in table.schema.names
            else table.append_column(name, column)
        )
    pq.write_table(table, path)
    return path


def test_rows_land_once_and_are_traced_by_id(lake: Path, tmp_path: Path, take_in: TakeIn) -> None:
    made = [decision_record() for _ in range(20)]
    file = write(tmp_path / "log.parquet", made)
    assert take_in(file).landed_total == 20
    assert take_in(file).already_present == 20
    for record in made:
        (found,) = forensics.open(lake).trace(record["request_id"], replay=False)
        assert dict(found.decision.features) == record["features"]
        assert found.decision.score == record["score"]
        assert found.integrity.verified


def test_numbers_that_a_double_cannot_hold_are_kept(
    lake: Path, tmp_path: Path, take_in: TakeIn
) -> None:
    values = [2**63 + 1, 2**64 - 1, 7]
    made = [decision_record() for _ in values]
    features = pa.StructArray.from_arrays([pa.array(values, pa.uint64())], names=["big"])
    take_in(write(tmp_path / "log.parquet", made, features=features))
    asked = forensics.open(lake)
    said = [asked.trace(r["request_id"], replay=False)[0].decision.features["big"] for r in made]
    assert [int(str(value).removesuffix(".0")) for value in said] == values


def test_bad_rows_go_to_quarantine_by_row_and_the_rest_lands(
    lake: Path, tmp_path: Path, take_in: TakeIn
) -> None:
    made = [decision_record() for _ in range(4)]
    made[1]["occurred_at"] = "yesterday"
    made[2]["request_id"] = "a\x1bb"
    report = take_in(write(tmp_path / "log.parquet", made))
    assert report.landed_total == 2
    assert sorted(item.line for item in report.examples) == [2, 3]
    assert [json.loads(item.raw)["decision_id"] for item in report.examples] == [
        made[1]["decision_id"], made[2]["decision_id"],
    ]  # fmt: skip


def test_a_changed_type_is_refused_with_both_types_named(tmp_path: Path, take_in: TakeIn) -> None:
    take_in([decision_record(features={"amount": 1})])
    file = write(tmp_path / "log.parquet", [decision_record(features={"amount": "much"})])
    (reason,) = take_in(file).quarantined
    assert all(word in reason for word in ('"amount"', "float64", "string"))


def test_times_without_a_zone_are_refused(tmp_path: Path, take_in: TakeIn) -> None:
    naive = pa.array([datetime(2026, 10, 1)], pa.timestamp("us"))  # noqa: DTZ001
    report = take_in(write(tmp_path / "log.parquet", [decision_record()], occurred_at=naive))
    (reason,) = report.quarantined
    assert "without a zone" in reason


def test_times_with_a_zone_come_back_in_utc(lake: Path, tmp_path: Path, take_in: TakeIn) -> None:
    east = pa.array([datetime(2026, 10, 1, 12, tzinfo=UTC)], pa.timestamp("ms", "Asia/Tokyo"))
    record = decision_record()
    take_in(write(tmp_path / "log.parquet", [record], occurred_at=east))
    (found,) = forensics.open(lake).trace(record["request_id"], replay=False)
    assert found.decision.occurred_at == datetime(2026, 10, 1, 12, tzinfo=UTC)


def test_dictionaries_large_strings_and_views_are_text(
    lake: Path, tmp_path: Path, take_in: TakeIn
) -> None:
    made = [decision_record() for _ in range(2)]
    outcome = pa.array(["APPROVE", "DECLINE"]).dictionary_encode()
    region = pa.array(["eu", "us"], pa.large_string())
    take_in(write(tmp_path / "log.parquet", made, outcome=outcome, region=region))
    rows = list(forensics.open(lake).find(oldest_first=True))
    assert [row["outcome"] for row in rows] == ["APPROVE", "DECLINE"]


def test_a_row_over_the_limit_of_a_record_is_quarantined(tmp_path: Path, take_in: TakeIn) -> None:
    made = [decision_record(note="x" * (1 << 20)), decision_record(note="x" * 1000)]
    report = take_in(write(tmp_path / "log.parquet", made))
    assert report.landed_total == 1
    assert "bytes, more than 1,048,576" in report.examples[0].reason


def test_a_small_file_that_unpacks_to_gigabytes_is_refused_before_it_is_unpacked(
    corpus: Path, take_in: TakeIn
) -> None:
    with pytest.raises(UsageError, match="2,147,483,827 bytes unpacked"):
        take_in(corpus / "hostile" / "parquet_odd_but_valid" / "large_string_map.brotli.parquet")


def test_columns_outside_the_contract_are_kept_as_extra(
    lake: Path, tmp_path: Path, take_in: TakeIn
) -> None:
    record = decision_record(own={"a": [1, 2]}, note="x")
    take_in(write(tmp_path / "log.parquet", [record]))
    (found,) = forensics.open(lake).trace(record["request_id"], replay=False)
    assert dict(found.decision.extra) == {"own": {"a": [1, 2]}, "note": "x"}
