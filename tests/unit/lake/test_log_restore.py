"""The log says everything twice: what is damaged once is named, told again, and accuses nobody."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.integrity.tiles import Tile
from forensics.lake import layout, seal_keys, sealed, tables
from forensics.lake.log import Log
from forensics.lake.log_restore import mended, restored
from forensics.testing import change_record, decision_record

POINT = "decisions/credit_line"


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(tmp_path / "keys"))


@pytest.fixture
def filled(lake: Path, take_in: Any) -> Path:
    for _ in range(3):
        take_in([decision_record() for _ in range(20)] + [change_record()])
    return lake


def log_of(lake: Path) -> Log:
    return Log(lake, seal_keys.origin_of(layout.identity(lake)))


def last(lake: Path, level: int | None) -> Path:
    ours = log_of(lake)
    return ours.folder / Tile(level, 0, ours.size).path


def flip(path: Path, at: int, bit: int = 3) -> None:
    data = bytearray(path.read_bytes())
    data[at % len(data)] ^= 1 << bit
    path.write_bytes(data)


def a_list(lake: Path) -> Path:
    segments = (path for path in (lake / "log" / "segments").glob("??/*"))
    return max(segments, key=lambda path: path.stat().st_size)


def only_defect(run: Any, lake: Path) -> dict[str, Any]:
    done = run("verify", "--lake", lake, "--json")
    assert done.code == 5
    assert (done.json["sealed_records"], done.json["gaps"]) == (63, []), done.out
    (defect,) = done.json["defects"]
    return dict(defect)


DAMAGE: dict[str, Callable[[Path, random.Random], Path]] = {
    "a tile of hashes": lambda lake, _: last(lake, 0),
    "a bundle of entries": lambda lake, _: last(lake, None),
    "an older state of a tile": lambda lake, _: min(last(lake, 0).parent.iterdir()),
    "an older state of a bundle": lambda lake, _: min(last(lake, None).parent.iterdir()),
    "a list of leaves": lambda lake, _: a_list(lake),
}


@pytest.mark.parametrize("seed", range(6))
@pytest.mark.parametrize("name", DAMAGE)
def test_damage_to_the_log_is_named_alone_and_mended(
    filled: Path, run: Any, name: str, seed: int
) -> None:
    chosen = random.Random(f"{name} {seed}")
    path = DAMAGE[name](filled, chosen)
    right = path.read_bytes()
    flip(path, chosen.randrange(len(right)), chosen.randrange(8))
    defect = only_defect(run, filled)
    assert defect["file"].endswith(path.relative_to(filled / "log").as_posix())
    assert "compact --mend-log" in defect["statement"]
    done = run("compact", "--mend-log", "--lake", filled, "--json")
    assert done.json["log_mended"] == [path.relative_to(filled).as_posix()]
    assert path.read_bytes() == right
    assert run("verify", "--lake", filled).code == 0


@pytest.mark.parametrize("at", range(2))
def test_a_length_in_a_bundle_is_told_by_the_hashes(filled: Path, run: Any, at: int) -> None:
    for path in last(filled, None).parent.iterdir():
        flip(path, at)  # in all bundles that have the entry
    found = restored(log_of(filled))
    assert found.vouched
    assert None not in found.entries


def test_an_entry_beyond_telling_is_no_evidence_against_a_record(filled: Path, run: Any) -> None:
    """Of what it may have sealed nothing is proven, and nothing is claimed."""
    for path in last(filled, None).parent.iterdir():
        data = path.read_bytes()
        at = data.find(b"/segment/")
        path.write_bytes(data[:at] + os.urandom(9) + data[at + 9 :])
    done = run("verify", "--lake", filled, "--json")
    assert done.code == 5
    assert {defect["kind"] for defect in done.json["defects"]} == {"altered"}
    assert all("entries" in defect["file"] for defect in done.json["defects"])
    (gap,) = done.json["gaps"]
    assert (gap["statement"], gap["records"]) == (
        "Sealed by an entry of the log that is lost, or never", 20,
    )  # fmt: skip


def test_an_altered_record_is_named_although_the_list_of_its_segment_is_damaged(
    filled: Path, run: Any
) -> None:
    file = next(file for file in tables.state(filled, POINT).files)
    path = filled / POINT / file.name
    records = pq.read_table(path)
    victim, other = records.slice(7, 1).to_pylist()[0], records["leaf_index"][3].as_py()
    raws = records["raw"].to_pylist()
    raws[7] = raws[7].replace(b"APPROVE", b"DECLINE")
    at = records.schema.get_field_index("raw")
    field = records.schema.field(at)
    pq.write_table(records.set_column(at, field, pa.array(raws, field.type)), path)
    flip(sealed.path_of(filled, victim["segment"]), (other - 1) * 32 + 5)
    done = run("verify", "--lake", filled, "--json")
    named = {defect["id"] for defect in done.json["defects"] if "leaf_index" in defect}
    assert (done.code, named) == (5, {victim["decision_id"]})


def test_the_proof_of_one_record_needs_no_tile_that_is_damaged(filled: Path, run: Any) -> None:
    flip(last(filled, 0), 40)
    (row, *_) = run("find", "--lake", filled, "--json").rows
    assert run("verify", row["decision_id"], "--lake", filled).code == 0


@pytest.mark.parametrize("level", [0, None])
def test_nothing_is_built_on_a_damaged_edge(
    filled: Path, take_in: Any, run: Any, level: int | None
) -> None:
    """Else the next checkpoint would sign a root that its entries do not give."""
    flip(last(filled, level), 100)
    take_in([decision_record()])
    done = run("verify", "--lake", filled, "--json")
    assert done.json["sealed_records"] == 64
    flips = [path.name for path in (filled / "log" / "tile").rglob("*") if path.is_file()]
    assert done.code == 0, (done.out, flips)


def test_what_cannot_be_told_again_is_not_built_on_and_waits_unsealed(
    filled: Path, take_in: Any, run: Any
) -> None:
    flip(last(filled, 0), 100)
    for path in last(filled, None).parent.iterdir():
        flip(path, 100)
    take_in([decision_record()])
    done = run("verify", "--lake", filled, "--json")
    assert done.code == 5
    assert any("could not sign" in gap["statement"] for gap in done.json["gaps"])


def test_no_other_bytes_are_taken_for_the_right_ones() -> None:
    from forensics.integrity import tree

    data = bytes(range(200))
    hash_ = tree.leaf_hash(data)
    assert mended(data, hash_) is None, "nothing is wrong with it"
    assert mended(data[:50] + b"\0" + data[51:], hash_) == data
    assert mended(data[:50] + b"\0\0" + data[52:], hash_) is None
    assert mended(b"", hash_) is None
