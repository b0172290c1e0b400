"""What is damaged is said, and what is derived is made again."""

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.errors import IntegrityError
from forensics.lake import catalog
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.snapshot import take
from forensics.testing import decision_record

POINT = "decisions/credit_line"


@pytest.fixture
def one(take_in: Any) -> dict[str, Any]:
    record = decision_record()
    take_in([record])
    return record


def test_a_flipped_bit_in_the_catalog_hides_nothing(lake: Path, one: dict[str, Any]) -> None:
    path = catalog.path_of(lake)
    text = path.read_text()
    number = re.search(r"\d{16}", text)
    assert number is not None
    path.write_text(text.replace(number[0], str(int(number[0]) - 10**13)))
    assert catalog.read(lake) == catalog.Catalog()
    assert [row["request_id"] for row in forensics.open(lake).find()] == [one["request_id"]]


@pytest.mark.parametrize("gone", ["the newest commit", "the whole log"])
def test_a_lost_commit_is_never_taken_for_an_empty_table(
    lake: Path, one: dict[str, Any], gone: str
) -> None:
    log = lake / POINT / "_delta_log"
    if gone == "the whole log":
        shutil.rmtree(log)
    else:
        max(log.glob("*.json")).unlink()
    with pytest.raises(IntegrityError, match="lost commits"):
        take(lake)


def test_a_compaction_makes_a_damaged_index_again(lake: Path, one: dict[str, Any]) -> None:
    run = next((lake / "index").glob("run-*.parquet"))
    data = bytearray(run.read_bytes())
    data[10] ^= 0xFF
    run.write_bytes(data)
    assert forensics.open(lake).compact().index_rebuilt
    assert not forensics.open(lake).compact().index_rebuilt
    (traced,) = forensics.open(lake).trace(one["request_id"], replay=False)
    assert traced.integrity.verified


def test_a_data_file_that_is_gone_stops_a_compaction(lake: Path, one: dict[str, Any]) -> None:
    next((lake / POINT).glob("part-*.parquet")).unlink()
    with pytest.raises(IntegrityError, match="is gone"):
        forensics.open(lake).compact()


def test_adding_an_artifact_again_mends_a_damaged_one(lake: Path) -> None:
    store = ArtifactStore(lake)
    digest = store.put(b"rules")
    path = store.path(digest)
    assert path is not None
    path.write_bytes(b"other")
    assert store.put(b"rules") == digest
    assert store.read(digest) == b"rules"


def test_a_number_that_is_none_comes_first_and_the_feature_is_still_a_number(
    lake: Path, take_in: Any
) -> None:
    take_in([decision_record(features={"x": "NaN"})])
    report = take_in([decision_record(features={"x": 1.5})])
    assert take(lake).tables[POINT].features == {"x": "float64"}
    assert not report.quarantined_total
