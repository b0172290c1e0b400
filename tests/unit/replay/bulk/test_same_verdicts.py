"""What is said of many decisions at once is what is said of each alone."""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout, read
from forensics.lake.snapshot import Location, take
from forensics.records.jsontext import dumps
from forensics.testing import write_lines

from both import Said, at_once, one_by_one  # isort: skip
from lakes import any_score, lake_of  # isort: skip
from mutations import changes, mutated  # isort: skip

POINT = "credit_line"


@pytest.fixture(scope="module")
def records(sample_lake: Path) -> list[dict[str, Any]]:
    """Received records of the sample, from all over it."""
    snapshot = take(sample_lake)
    table = f"decisions/{POINT}"
    places = [
        Location(table, file.name, row)
        for file in snapshot.files(table)
        for row in range(0, file.rows, max(1, file.rows // 30))
    ]
    connection = snapshot.connection
    found = []
    for place in places:
        path = snapshot.root / place.table / place.file
        ((raw,),) = connection.execute(
            f"SELECT raw FROM read_parquet('{path}', file_row_number = true) "
            f"WHERE file_row_number = {place.row}"
        ).fetchall()
        found.append(json.loads(raw))
    return found


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    folder = tmp_path_factory.mktemp("mutated")
    yield folder
    shutil.rmtree(folder)


def test_the_samples_decisions_have_the_same_verdicts_alone_and_together(
    sample_lake: Path,
) -> None:
    together = at_once(sample_lake, POINT)
    assert len(together) == 30_000
    for place, said in one_by_one(sample_lake, POINT, every=97):
        assert together[place] == said


@given(data=st.data())
@settings(max_examples=12, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
def test_changed_decisions_have_the_same_verdicts_alone_and_together(
    data: st.DataObject, records: list[dict[str, Any]], sample_lake: Path, empty: Path
) -> None:
    check(data, records, sample_lake, empty, 40)


@pytest.mark.torture
@given(data=st.data())
@settings(max_examples=400, suppress_health_check=list(HealthCheck))
def test_very_many_changed_decisions_have_the_same_verdicts_alone_and_together(
    data: st.DataObject, records: list[dict[str, Any]], sample_lake: Path, empty: Path
) -> None:
    check(data, records, sample_lake, empty, 60)


def check(
    data: st.DataObject, records: list[dict[str, Any]], sample: Path, folder: Path, count: int
) -> None:
    digests = {
        group: sorted({record[group]["digest"] for record in records})
        for group in ("model", "config")
    }
    change = changes(digests["model"], digests["config"], list(records[0]["features"]))
    drawn = data.draw(mutated(records, change, count))
    lake = folder / "lake"
    shutil.rmtree(lake, ignore_errors=True)
    layout.create(lake)
    shutil.rmtree(lake / "artifacts")
    (lake / "artifacts").symlink_to(sample.resolve() / "artifacts")
    with any_score():
        ingest(lake, open_source(write_lines(folder / "records.jsonl", map(dumps, drawn))))
    if f"decisions/{POINT}" not in take(lake).tables:
        return
    together = at_once(lake, POINT)
    alone = dict(one_by_one(lake, POINT))
    assert alone.keys() == together.keys()
    different = [
        (_brief(lake, place), together[place], said)
        for place, said in alone.items()
        if together[place] != said
    ]
    assert not different, different


def test_a_score_that_contradicts_itself_is_bit_exact_neither_alone_nor_together(
    logic_records: list[dict[str, Any]], artifacts: list[bytes], tmp_path: Path
) -> None:
    """In a lake of before such scores were refused; the bytes alone are what replay gives."""
    changes_ = [
        {"score": 0.123},
        {"score": 0.123, "score_dtype": None},
        {"score": "NaN"},
        {"score_dtype": "float32"},
        {"score_dtype": "int64"},
        {"score_bytes": None, "score_dtype": "int64"},
    ]
    honest = [{}, {"score": None}, {"score_dtype": None}]
    records = copy.deepcopy(logic_records[: 3 * len(changes_) + len(honest)])
    for number, record in enumerate(records):
        record |= (changes_ * 3 + honest)[number]
    with any_score():
        lake = lake_of(tmp_path / "old", artifacts, map(_without_nulls, records))
    together = at_once(lake, POINT)
    assert dict(one_by_one(lake, POINT)) == together
    verdicts = [said for _, said in sorted(together.items())]
    assert verdicts[: -len(honest)] == [Said("same_outcome", "pd", frozenset())] * 18
    assert {said.verdict for said in verdicts[-len(honest) :]} == {"bit_exact"}


def _without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


def _brief(lake: Path, place: tuple[str, int]) -> dict[str, Any]:
    (kept,) = read.records(take(lake), [Location(f"decisions/{POINT}", *place)])
    record = kept.record
    names = ("outcome", "score", "score_bytes", "score_dtype", "threshold", "model", "config",
             "cache", "features")  # fmt: skip
    steps = [
        {name: step.get(name) for name in ("id", "kind", "digest", "outputs", "status")}
        for step in record.get("steps", ())
        if step.get("kind") in ("cache", "model", "rules")
    ]
    return {"steps": steps} | {name: record.get(name) for name in names}
