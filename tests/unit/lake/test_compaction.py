"""Compaction: fewer files, and every byte of evidence as it was."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

import forensics
from forensics.errors import IntegrityError
from forensics.ingest.run import Report
from forensics.integrity.leaf import leaf_hash
from forensics.lake.compact import compact
from forensics.lake.snapshot import take
from forensics.testing import (
    change_record,
    decision_record,
    outcome_record,
    override_record,
)

TakeIn = Callable[..., Report]
POINT = "decisions/credit_line"


def evidence(lake: Path, table: str = POINT) -> list[tuple[Any, ...]]:
    """All that a proof needs of each record, and where in its segment it stands."""
    columns = ["raw", "salt", "leaf", "segment", "leaf_index", "source", "ingested_at"]
    rows = [
        tuple(row.values())
        for path in take(lake).paths(table)
        for row in pq.read_table(path, columns=columns).to_pylist()
    ]
    return sorted(rows)


@pytest.fixture
def decisions(take_in: TakeIn) -> list[dict[str, Any]]:
    """Sixty decisions in ten commits whose times overlap, every third with a further feature."""
    made = [
        decision_record(features={"a": at, **({"b": "x"} if at % 3 else {})}) for at in range(60)
    ]
    shuffled = random.Random(7).sample(made, 60)
    for start in range(0, 60, 6):
        take_in(shuffled[start : start + 6])
    return made


def test_every_raw_salt_and_leaf_byte_survives(lake: Path, decisions: list[dict[str, Any]]) -> None:
    before = evidence(lake)
    done = compact(lake)
    assert (done.merged, done.written, done.rows) == (10, 1, 60)
    assert len(take(lake).paths(POINT)) == 1
    assert evidence(lake) == before
    assert all(leaf_hash(salt, raw) == leaf for raw, salt, leaf, *_ in evidence(lake))


def test_look_ups_find_each_decision_once_afterwards(
    lake: Path, decisions: list[dict[str, Any]], take_in: TakeIn
) -> None:
    compact(lake)
    take_in([later := decision_record()])
    compact(lake)
    assert not take(lake).unindexed
    for decision in [*decisions, later]:
        (found,) = forensics.open(lake).trace(decision["request_id"], replay=False)
        assert found.decision.decision_id == decision["decision_id"]
        assert found.integrity.verified


def test_merged_files_are_in_time_order(lake: Path, decisions: list[dict[str, Any]]) -> None:
    compact(lake)
    (path,) = take(lake).paths(POINT)
    times = pq.read_table(path, columns=["occurred_at"])["occurred_at"].to_pylist()
    assert times == sorted(times)


def test_summaries_count_each_decision_once_afterwards(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    asked = forensics.open(lake)
    last = max(row["occurred_at"] for row in asked.find())
    before = [(v.kind, v.name, v.decisions) for v in asked.as_of(last).live]
    compact(lake)
    compact(lake)
    assert [(v.kind, v.name, v.decisions) for v in asked.as_of(last).live] == before
    assert ("model", "pd", 60) in before


def test_compacting_again_does_nothing(lake: Path, decisions: list[dict[str, Any]]) -> None:
    compact(lake)
    done = compact(lake)
    assert (done.merged, done.written, done.rows) == (0, 0, 0)


def test_what_was_taken_in_before_is_still_known_afterwards(
    lake: Path, decisions: list[dict[str, Any]], take_in: TakeIn
) -> None:
    compact(lake)
    assert take_in(decisions).already_present == 60


def test_all_tables_are_compacted(lake: Path, take_in: TakeIn) -> None:
    for _ in range(3):
        take_in([decision_record(), change_record(), override_record(), outcome_record()])
    before = {name: evidence(lake, name) for name in take(lake).tables}
    assert len(before) == 4
    compact(lake)
    assert {name: evidence(lake, name) for name in take(lake).tables} == before
    assert all(len(table.files) == 1 for table in take(lake).tables.values())


def test_a_lake_of_no_tables_and_one_of_a_single_file_are_left_alone(
    lake: Path, take_in: TakeIn
) -> None:
    assert compact(lake).merged == 0
    take_in([decision_record()])
    assert compact(lake).merged == 0


def test_files_as_large_as_the_target_are_left_alone(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    before = take(lake).paths(POINT)
    compact(lake, target_rows=12)
    assert take(lake).paths(POINT) == before


def test_replaced_files_go_once_their_grace_is_over(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    compact(lake)
    assert len(list((lake / POINT).glob("*.parquet"))) == 11
    assert compact(lake, grace_hours=0).removed == 10
    assert len(list((lake / POINT).glob("*.parquet"))) == 1
    assert len(evidence(lake)) == 60


def test_a_damaged_file_stops_compaction_and_nothing_is_changed(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    paths = take(lake).paths(POINT)
    damaged = Path(paths[3])
    data = bytearray(damaged.read_bytes())
    column = pq.read_metadata(damaged).row_group(0).column(0)
    data[column.data_page_offset + column.total_compressed_size - 1] ^= 0x10
    damaged.write_bytes(data)
    with pytest.raises(IntegrityError, match=damaged.name):
        compact(lake)
    assert take(lake).paths(POINT) == paths
