"""The catalog is derived: without it, with a wrong one, with an old one, answers are the same."""

from __future__ import annotations

import shutil
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

import forensics
from forensics.errors import LakeError
from forensics.ingest.run import Report
from forensics.lake import catalog
from forensics.lake.snapshot import take
from forensics.testing import decision_record

TakeIn = Callable[..., Report]
POINT = "decisions/credit_line"


@pytest.fixture
def decisions(take_in: TakeIn) -> list[dict[str, Any]]:
    """Forty decisions in four commits."""
    made = [decision_record() for _ in range(40)]
    for start in range(0, 40, 10):
        take_in(made[start : start + 10])
    return made


def answers(lake: Path, decisions: list[dict[str, Any]]) -> tuple[Any, Any]:
    """What the lake says: all decisions found, and each one traced by its request id."""
    asked = forensics.open(lake)
    found = [row["decision_id"] for row in asked.find(oldest_first=True)]
    traced = [
        [r.decision.decision_id for r in asked.trace(d["request_id"], replay=False)]
        for d in decisions
    ]
    return found, traced


def right(decisions: list[dict[str, Any]]) -> tuple[Any, Any]:
    names = [decision["decision_id"] for decision in decisions]
    return names, [[name] for name in names]


def test_a_settled_lake_answers_from_the_catalog_alone(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    assert not take(lake).unindexed
    assert answers(lake, decisions) == right(decisions)


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda p: p.unlink(), id="deleted"),
        pytest.param(lambda p: p.write_bytes(b""), id="empty"),
        pytest.param(lambda p: p.write_bytes(p.read_bytes()[:200]), id="cut"),
        pytest.param(lambda p: p.write_bytes(b"\xff\xfe\x00garbage"), id="not text"),
        pytest.param(lambda p: p.write_bytes(b"[]"), id="another shape"),
        pytest.param(lambda p: p.write_bytes(b"7"), id="a number"),
        pytest.param(lambda p: p.write_bytes(b'{"format":99}'), id="of another format"),
        pytest.param(
            lambda p: p.write_bytes(
                b'{"format":1,"tables":[],"runs":[],"profiles":[],"usages":[]}'
            ),
            id="a list for a mapping",
        ),
        pytest.param(lambda p: p.write_bytes(b"[" * 100_000), id="deep"),
    ],
)
def test_a_damaged_catalog_costs_time_and_changes_no_answer(
    lake: Path, decisions: list[dict[str, Any]], take_in: TakeIn, damage: Callable[[Path], Any]
) -> None:
    damage(catalog.path_of(lake))
    assert answers(lake, decisions) == right(decisions)
    more = decision_record()
    take_in([more])
    assert not take(lake).unindexed, "the next writer has made the catalog anew"
    assert answers(lake, [*decisions, more]) == right([*decisions, more])


def test_a_catalog_from_before_the_last_commits_hides_nothing(
    lake: Path, decisions: list[dict[str, Any]], take_in: TakeIn
) -> None:
    old = catalog.path_of(lake).read_bytes()
    more = [decision_record() for _ in range(5)]
    take_in(more)
    catalog.path_of(lake).write_bytes(old)
    assert len(take(lake).unindexed) == 1
    assert answers(lake, [*decisions, *more]) == right([*decisions, *more])


def test_a_catalog_from_before_a_compaction_shows_nothing_twice(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    old = catalog.path_of(lake).read_bytes()
    forensics.open(lake).compact()
    catalog.path_of(lake).write_bytes(old)
    assert answers(lake, decisions) == right(decisions)


def test_the_index_folder_can_be_removed_and_is_made_again(
    lake: Path, decisions: list[dict[str, Any]], take_in: TakeIn
) -> None:
    shutil.rmtree(lake / "index")
    (lake / "index").mkdir()
    assert answers(lake, decisions) == right(decisions)
    take_in([more := decision_record()])
    assert not take(lake).unindexed
    assert answers(lake, [*decisions, more]) == right([*decisions, more])


def test_files_that_no_commit_names_are_never_seen(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    folder = lake / POINT
    stray = folder / f"part-{uuid.uuid4().hex}.parquet"
    shutil.copy(next(folder.glob("part-*.parquet")), stray)
    assert answers(lake, decisions) == right(decisions)
    catalog.path_of(lake).unlink()
    assert answers(lake, decisions) == right(decisions)


def test_files_that_a_commit_removed_are_not_seen_by_look_ups(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    before = {path.name for path in (lake / POINT).glob("part-*.parquet")}
    forensics.open(lake).compact()
    still_there = {path.name for path in (lake / POINT).glob("part-*.parquet")}
    assert before < still_there, "replaced files are kept for a while"
    assert answers(lake, decisions) == right(decisions)


def test_what_another_program_appends_to_the_delta_table_is_found(
    lake: Path, decisions: list[dict[str, Any]], take_in: TakeIn
) -> None:
    theirs = decision_record(decision_id="d-theirs", request_id="r-theirs")
    table = pq.read_table(next((lake / POINT).glob("part-*.parquet"))).slice(0, 1)
    for column in ("decision_id", "request_id"):
        at = table.schema.get_field_index(column)
        table = table.set_column(at, column, pa.array([theirs[column]]))
    write_deltalake(
        str(lake / POINT), table.drop(["raw", "salt", "leaf"]), mode="append", schema_mode="merge"
    )
    found, _ = answers(lake, decisions)
    assert sorted(found) == sorted([*right(decisions)[0], "d-theirs"])
    (traced,) = forensics.open(lake).trace("r-theirs", replay=False)
    assert traced.decision.decision_id == "d-theirs"
    assert traced.integrity.verified is None, "another program's row has no bytes to prove"
    take_in([decision_record()])
    assert not take(lake).unindexed, "the next writer has indexed it"
    assert forensics.open(lake).trace("r-theirs", replay=False)


def test_columns_that_name_another_record_than_the_received_bytes_are_found_out(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    table = pq.read_table(next((lake / POINT).glob("part-*.parquet"))).slice(0, 1)
    for column in ("decision_id", "request_id"):
        at = table.schema.get_field_index(column)
        table = table.set_column(at, column, pa.array(["forged"]))
    write_deltalake(str(lake / POINT), table, mode="append")
    (traced,) = forensics.open(lake).trace("forged", replay=False)
    assert traced.integrity.verified is False


def test_any_delta_reader_sees_exactly_what_the_lake_answers(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    forensics.open(lake).compact()
    table = DeltaTable(str(lake / POINT)).to_pyarrow_table(columns=["decision_id"])
    assert sorted(table["decision_id"].to_pylist()) == right(decisions)[0]


def test_a_table_whose_log_is_gone_is_an_error_and_not_an_empty_answer(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    for path in (lake / POINT / "_delta_log").glob("*.json"):
        path.write_bytes(b"not a commit")
    catalog.path_of(lake).unlink()
    with pytest.raises(LakeError, match="credit_line"):
        list(forensics.open(lake).find())


@pytest.mark.parametrize("kind", ["run", "profile", "usage"])
def test_an_index_file_that_is_gone_changes_no_answer_and_is_made_again(
    lake: Path, decisions: list[dict[str, Any]], take_in: TakeIn, kind: str
) -> None:
    for path in (lake / "index").glob(f"{kind}-*.parquet"):
        path.unlink()
    assert answers(lake, decisions) == right(decisions)
    take_in([more := decision_record()])
    assert answers(lake, [*decisions, more]) == right([*decisions, more])
    when = forensics.open(lake).trace(more["request_id"], replay=False)[0].decision.occurred_at
    (live,) = [v for v in forensics.open(lake).as_of(when).live if v.kind == "model"]
    assert (live.name, live.version) == ("pd", "v1")
