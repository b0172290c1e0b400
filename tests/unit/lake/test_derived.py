"""Stored attributions: what is read is what was written for exactly this question, or nothing."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.errors import IntegrityError
from forensics.lake import derived
from forensics.lake.derived import Piece
from forensics.lake.texts import Texts

KEY = {"point": "credit_line", "data_file": "part-1.parquet", "rows": "all", "method": "m"}
NAMES = ["income", "limit.balance", "übrig"]


def pieces(count: int, dtype: Any = np.float32) -> Iterator[Piece]:
    """Pieces of seven rows each."""
    for at in range(count):
        rows = np.arange(7 * at, 7 * at + 7)
        values = (rows[:, None] * np.array([0.1, -0.2, 0.3])).astype(dtype)
        yield Piece(
            rows,
            pa.array([f"d-{row}" for row in rows]),
            rows * 1_000_000,
            Texts(np.array([0, 1, -1, 0, 1, 0, 0], "i4"), ["APPROVE", "DECLINE"]),
            values.sum(axis=1) - 1,
            np.full(7, -1.0),
            rows % 2 == 0,
            values,
        )


def joined(found: Iterator[Piece]) -> dict[str, Any]:
    every = list(found)
    return {
        "rows": np.concatenate([p.rows for p in every]).tolist(),
        "ids": [p.decision_ids[at].as_py() for p in every for at in range(len(p.rows))],
        "times": np.concatenate([p.times_us for p in every]).tolist(),
        "outcomes": [p.outcomes.at(at) for p in every for at in range(len(p.rows))],
        "margins": np.concatenate([p.margins for p in every]).astype("f8").tolist(),
        "base": np.concatenate([p.base for p in every]).tolist(),
        "confirmed": np.concatenate([p.confirmed for p in every]).tolist(),
        "values": np.concatenate([p.values for p in every]).tolist(),
    }


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_what_is_written_reads_back(tmp_path: Path, dtype: Any) -> None:
    path = derived.path_of(tmp_path, KEY)
    skipped: dict[str, int] = {}

    def source() -> Iterator[Piece]:
        yield from pieces(3, dtype)
        skipped["features.age"] = 2

    assert derived.write(path, KEY, NAMES, source(), skipped) == 21
    assert joined(derived.read(path, KEY)) == joined(pieces(3, dtype))
    assert derived.skipped(path) == {"features.age": 2}
    assert derived.holds(path, KEY)


def test_no_attributions_are_an_answer_too(tmp_path: Path) -> None:
    path = derived.path_of(tmp_path, KEY)
    assert derived.write(path, KEY, NAMES, iter(()), {"why": 5}) == 0
    assert list(derived.read(path, KEY)) == []
    assert derived.skipped(path) == {"why": 5}
    assert derived.holds(path, KEY)


def test_a_file_says_what_it_was_made_from_in_its_name_and_within(tmp_path: Path) -> None:
    path = derived.path_of(tmp_path, KEY)
    derived.write(path, KEY, NAMES, pieces(1), {})
    assert derived.path_of(tmp_path, dict(reversed(KEY.items()))) == path
    for name in KEY:
        other = {**KEY, name: "other"}
        assert derived.path_of(tmp_path, other) != path
        assert not derived.holds(path, other)
        with pytest.raises(IntegrityError, match="other attributions than its name says"):
            list(derived.read(path, other))


def test_every_flipped_bit_of_a_page_is_noticed(tmp_path: Path) -> None:
    path = derived.path_of(tmp_path, KEY)
    derived.write(path, KEY, NAMES, pieces(40), {})
    raw = path.read_bytes()
    group = pq.read_metadata(path).row_group(0)
    columns = [group.column(at) for at in range(group.num_columns)]
    first = min(column.data_page_offset for column in columns)
    last = max(column.data_page_offset + column.total_compressed_size for column in columns)
    draws = np.random.default_rng(2)
    for offset in draws.integers(first, min(last, len(raw)), 40).tolist():
        damaged = bytearray(raw)
        damaged[offset] ^= 1 << int(draws.integers(8))
        path.write_bytes(damaged)
        assert not derived.holds(path, KEY)


def test_a_writer_that_dies_leaves_nothing_that_could_be_read(tmp_path: Path) -> None:
    path = derived.path_of(tmp_path, KEY)

    def dies() -> Iterator[Piece]:
        yield from pieces(2)
        raise RuntimeError("killed")

    with pytest.raises(RuntimeError):
        derived.write(path, KEY, NAMES, dies(), {})
    assert list(path.parent.iterdir()) == []
    assert not derived.holds(path, KEY)


def test_an_export_has_every_feature_of_every_model(tmp_path: Path) -> None:
    other = {**KEY, "method": "other"}
    paths = [derived.path_of(tmp_path, key) for key in (KEY, other)]
    derived.write(paths[0], KEY, NAMES, pieces(1), {})
    derived.write(paths[1], other, ["income", "age", "score"], pieces(1), {})
    target = tmp_path / "all.parquet"
    assert derived.export(list(zip(paths, ["sha256:a", "sha256:b"], strict=True)), target) == 14
    table = pq.read_table(target)
    assert table["model_digest"].to_pylist() == ["sha256:a"] * 7 + ["sha256:b"] * 7
    assert table["contributions.übrig"].null_count == 7
    assert table["contributions.age"].null_count == 7
    assert table["contributions.income"].null_count == 0
