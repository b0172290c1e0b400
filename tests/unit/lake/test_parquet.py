"""How data files are written: every page with a checksum, and in a form that any engine reads."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.errors import IntegrityError
from forensics.lake.parquet import read_checked, write_table

ROWS = 20_000
DIFFERENCES = "DELTA_BINARY_PACKED"
BY_BYTE = "BYTE_STREAM_SPLIT"


@pytest.fixture(scope="module")
def table() -> pa.Table:
    random = np.random.default_rng(4)
    start = datetime(2026, 10, 1, tzinfo=UTC)
    features = {
        "income": random.integers(-(2**62), 2**62, ROWS),
        "age": random.integers(18, 90, ROWS),
        "ratio": random.normal(size=ROWS),
        "single": random.normal(size=ROWS).astype("f4").astype("f8"),
        "share": random.integers(0, 100, ROWS) / 100,
        "known": random.integers(0, 2, ROWS).astype(bool),
        "text": np.array(["a", "b"])[random.integers(0, 2, ROWS)],
    }
    mask = random.integers(0, 50, ROWS) == 0
    struct = pa.StructArray.from_arrays(
        [pa.array(values, mask=np.roll(mask, at)) for at, values in enumerate(features.values())],
        names=list(features),
        mask=pa.array(np.roll(mask, 9)),
    )
    return pa.table(
        {
            "occurred_at": pa.array(
                [start + timedelta(microseconds=977 * at) for at in range(ROWS)],
                pa.timestamp("us", "UTC"),
            ),
            "score": random.normal(size=ROWS).astype("f4").astype("f8"),
            "outcome": np.array(["APPROVE", "DECLINE"])[random.integers(0, 2, ROWS)],
            "leaf_index": np.arange(ROWS, dtype=np.uint64),
            "raw": [random.bytes(20) for _ in range(ROWS)],
            "features": struct,
        }
    )


@pytest.fixture(scope="module")
def path(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("parquet") / "file.parquet"
    write_table(table, path)
    return path


def columns(path: Path, group: int = 0) -> dict[str, Any]:
    found = pq.read_metadata(path).row_group(group)
    every = [found.column(at) for at in range(found.num_columns)]
    return {column.path_in_schema: column for column in every}


def test_scores_and_numeric_features_are_lz4_and_all_else_is_zstd(path: Path) -> None:
    found = columns(path)
    fast = {name for name, column in found.items() if column.compression == "LZ4"}
    numbers = ("income", "age", "ratio", "single", "share", "known")
    assert fast == {"score", *(f"features.{name}" for name in numbers)}
    assert {found[name].compression for name in found.keys() - fast} == {"ZSTD"}


def test_nearly_unique_numbers_have_no_dictionary_and_others_have(path: Path) -> None:
    for group in (0, 1):
        found = columns(path, group)
        with_dictionary = {n for n, column in found.items() if column.has_dictionary_page}
        assert with_dictionary == {"outcome", "features.age", "features.share", "features.text"}
        differences = {n for n, column in found.items() if DIFFERENCES in column.encodings}
        assert differences == {"occurred_at", "leaf_index", "features.income"}
        split = {n for n, column in found.items() if BY_BYTE in column.encodings}
        assert split == {"score", "features.single"}


def test_pyarrow_and_duckdb_read_the_same_rows_from_it(table: pa.Table, path: Path) -> None:
    assert pq.read_table(path).equals(table)
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        found = connection.sql(f"FROM '{path}'").to_arrow_table()
        assert found.to_pylist() == table.to_pylist()
        one = connection.sql(f"SELECT leaf_index, features FROM '{path}' LIMIT 1 OFFSET 17000")
        row = table.slice(17_000, 1).to_pylist()[0]
        assert one.fetchall() == [(row["leaf_index"], row["features"])]


@pytest.mark.parametrize(
    "leaf", ["features.income", "features.age", "features.ratio", "features.single", "leaf_index"]
)
def test_a_flipped_bit_is_told_whatever_way_a_column_was_written(
    path: Path, tmp_path: Path, leaf: str
) -> None:
    column = columns(path)[leaf]
    changed = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    changed[start + column.total_compressed_size - 2] ^= 4  # before it stand headers
    (tmp_path / "changed.parquet").write_bytes(changed)
    with pytest.raises(IntegrityError, match="changed"):
        read_checked(tmp_path / "changed.parquet")


@settings(deadline=None)
@given(
    st.lists(
        st.none()
        | st.fixed_dictionaries(
            {
                "whole": st.none() | st.integers(-(2**63), 2**63 - 1),
                "big": st.none() | st.integers(0, 2**64 - 1),
                "double": st.none() | st.floats(allow_nan=False),
                "flag": st.none() | st.booleans(),
                "text": st.none() | st.text(max_size=3),
            }
        ),
        max_size=40,
    )
)
def test_any_features_come_back_as_they_were(
    tmp_path_factory: pytest.TempPathFactory, rows: list[Any]
) -> None:
    types = {
        "whole": pa.int64(),
        "big": pa.uint64(),
        "double": pa.float64(),
        "flag": pa.bool_(),
        "text": pa.string(),
    }
    table = pa.table({"features": pa.array(rows, pa.struct(list(types.items())))})
    path = tmp_path_factory.mktemp("any") / "file.parquet"
    write_table(table, path)
    assert read_checked(path).equals(table)
    found = duckdb.sql(f"SELECT features FROM '{path}'").fetchall()
    assert [row for (row,) in found] == rows
