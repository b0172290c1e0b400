"""Typed columns in batches: what pyarrow reads in one piece, in parts, verified and by places."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.lake import arrow
from forensics.lake.batches import batches
from forensics.lake.datafile import DataReader
from forensics.lake.exactness import ABSENT, NULL, WRITTEN
from forensics.lake.grouping import distinct, grouped
from forensics.lake.parquet import write_table

ROWS = 40_000
TEXTS = ("model.digest", "outcome", "steps.kind", "steps.outputs", "steps.error")


@pytest.fixture(scope="module")
def table() -> pa.Table:
    random = np.random.default_rng(1)
    numbers = random.normal(size=ROWS)
    steps = [
        None
        if row % 50 == 0
        else [
            {
                "kind": kind,
                "outputs": f'{{"row":{row}}}' if kind == "model" else "{}",
                "error": None,
            }
            for kind in (("model", "rules") if row % 3 else ("model", "cache", "rules"))
        ]
        for row in range(ROWS)
    ]
    features = [
        None if row % 97 == 0 else {"x": None if row % 7 == 0 else float(numbers[row]),
                                    "a.b": float(row), "is": bool(row % 2), "t": f"t{row % 5}"}
        for row in range(ROWS)
    ]  # fmt: skip
    exact = [
        None
        if row % 1000
        else [("features.x", "absent"), ("features.z", "null"), ("score", "1e400")]
        for row in range(ROWS)
    ]
    return pa.table(
        {
            "outcome": pa.array([("APPROVE", "DECLINE", None)[row % 3] for row in range(ROWS)]),
            "score_bytes": pa.array([("00ff", "0A0b0c0d", None)[row % 3] for row in range(ROWS)]),
            "occurred_at": pa.array(range(ROWS), pa.timestamp("us", "UTC")),
            "model": pa.array([{"digest": "d1" if row < 30_000 else "d2"} for row in range(ROWS)]),
            "steps": pa.array(steps),
            "features": pa.array(features),
            "exact": pa.array(exact, pa.map_(pa.string(), pa.string())),
        }
    )


@pytest.fixture(scope="module")
def path(table: pa.Table, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("batches") / "file.parquet"
    write_table(table, path)
    return path


def test_every_way_to_read_gives_the_columns_that_were_written(table: pa.Table, path: Path) -> None:
    reader = DataReader()
    file = reader.open(path, TEXTS)
    assert len(file.groups) == 3
    seen = 0
    for rows in (16_384, 40_000):
        for batch in batches(file, rows=rows):
            batch.load(
                ("outcome", "score_bytes", "model.digest", "steps.kind", "steps.outputs",
                 "occurred_at", "features.x", "features.t", "nothing", "model.nothing")
            )  # fmt: skip
            part = table.slice(batch.first_row, batch.rows)
            outcome, digest = batch.texts("outcome"), batch.texts("model.digest")
            assert outcome is not None
            assert digest is not None
            assert [outcome.at(row) for row in range(batch.rows)] == part["outcome"].to_pylist()
            assert digest.at(0) == part["model"][0]["digest"].as_py()
            assert batch.texts("nothing") is None
            assert batch.texts("model.nothing") is None
            assert batch.micros("occurred_at").tolist() == list(
                range(batch.first_row, batch.first_row + batch.rows)
            )
            steps = part["steps"].to_pylist()
            some = np.array([row for row, of in enumerate(steps) if of])
            for place in (0, 1):
                outputs = batch.item_texts("steps.outputs", place, some)
                wanted = [steps[row][place]["outputs"] for row in some]
                assert [outputs.values[code] for code in outputs.codes] == wanted
            seen += batch.rows
    assert seen == 2 * ROWS
    reader.close()


def test_a_matrix_has_numbers_and_nan_for_what_is_null_absent_or_text(
    table: pa.Table, path: Path
) -> None:
    reader = DataReader()
    for batch in batches(reader.open(path, TEXTS), rows=20_000):
        batch.load(("features.t",))
        found = batch.matrix(("a.b", "x", "is", "t", "unknown"), np.float32)
        part = table["features"].combine_chunks().slice(batch.first_row, batch.rows).to_pylist()
        for row in range(0, batch.rows, 333):
            given = part[row]
            if given is None:
                assert np.isnan(found[row]).all()
                continue
            wanted = [given["a.b"], given["x"], float(given["is"]), None, None]
            expected = np.array([np.nan if v is None else v for v in wanted], np.float32)
            assert np.array_equal(found[row], expected, equal_nan=True)
        nulls = batch.nulls("features.t")
        assert nulls is not None
        assert nulls.tolist() == [given is None for given in part]
    reader.close()


def test_parts_of_a_matrix_are_its_row_groups_in_turn(path: Path) -> None:
    reader = DataReader()
    names = ("a.b", "x", "is", "t", "unknown")
    for loaded in ((), ("features.x", "features.is")):
        for rows, wanted in (
            (1, [16_384, 16_384, 7_232]),
            (24_000, [16_384, 23_616]),
            (32_768, [32_768, 7_232]),
            (ROWS, [ROWS]),
            (10**6, [ROWS]),
        ):
            (batch,) = batches(reader.open(path, TEXTS), rows=ROWS)
            batch.load(loaded)
            parts = [part.copy() for part in batch.parts(names, np.float32, rows)]
            assert [len(part) for part in parts] == wanted
            matrix = batch.matrix(names, np.float32)
            assert np.array_equal(np.concatenate(parts), matrix, equal_nan=True)
            (whole,) = batch.parts(names, np.float32, rows)
            assert whole is matrix, "what is there already is not read again"
    reader.close()


def test_the_first_text_of_a_row_group_is_read_alone(path: Path) -> None:
    reader = DataReader()
    file = reader.open(path, TEXTS)
    found = [file.first_text(group, "model.digest") for group in range(4)]
    assert found == ["d1", "d1", "d2", None]
    assert file.first_text(0, "model.nothing") is None
    assert file.first_text(0, "score_bytes") == "00ff"
    assert file.first_text(0, "occurred_at") is None
    reader.close()


def test_hexadecimal_of_any_length_and_case_is_bytes(table: pa.Table, path: Path) -> None:
    reader = DataReader()
    (batch,) = batches(reader.open(path, ()), rows=ROWS)
    batch.load(("score_bytes",))
    found = {raw.shape[1]: (rows, raw) for rows, raw in batch.hexadecimal("score_bytes")}
    assert set(found) == {2, 4}
    assert found[2][1][0].tobytes().hex() == "00ff"
    assert found[4][1][7].tobytes().hex() == "0a0b0c0d"
    assert found[4][0].tolist() == list(range(1, ROWS, 3))
    reader.close()


def test_lists_are_told_apart_by_the_fields_that_count(path: Path) -> None:
    reader = DataReader()
    for batch in batches(reader.open(path, TEXTS), rows=20_000):
        batch.load(("steps.kind", "steps.error"))
        shapes = batch.shapes("steps", ("kind", "error?"))
        kinds = {tuple(item[0] for item in shapes.values[code]) for code in set(shapes.codes)}
        assert kinds == {(), ("model", "rules"), ("model", "cache", "rules")}
        assert all(item[1] is None for value in shapes.values for item in value)
    reader.close()


def test_what_records_say_beyond_their_columns_is_told_by_row_and_path(path: Path) -> None:
    reader = DataReader()
    (batch,) = batches(reader.open(path, TEXTS), rows=ROWS)
    batch.load(("exact.key_value.key", "exact.key_value.value"))
    exact = batch.exact
    said = {
        (int(row), exact.names[code], int(kind))
        for row, code, kind in zip(exact.rows, exact.codes, exact.kinds, strict=True)
    }
    rows = range(0, ROWS, 1000)
    assert said == {
        item
        for row in rows
        for item in (
            (row, "features.x", ABSENT),
            (row, "features.z", NULL),
            (row, "score", WRITTEN),
        )
    }
    assert exact.written({"score", "features.x"}).tolist() == list(rows)
    reader.close()


def test_nothing_of_this_imports_pandas_which_would_take_a_quarter_of_a_second() -> None:
    code = (
        "import sys, numpy as np, pyarrow as pa; from forensics.lake import arrow; "
        "a = arrow.column(np.arange(3.0)); arrow.numbers(pa.chunked_array([a, a])); "
        "arrow.numbers(pa.nulls(2, pa.float64())); arrow.valid(pa.nulls(2)); "
        "arrow.different(a); assert 'pandas' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


@given(
    st.lists(st.one_of(st.none(), st.floats(), st.integers(-5, 5).map(float)), max_size=40),
    st.integers(0, 10),
)
def test_columns_of_numbers_come_over_as_they_are(values: list[float | None], cut: int) -> None:
    for type_ in (pa.float64(), pa.float32()):
        column = pa.array(values, type_)
        for some in (column, column.slice(min(cut, len(values)))):
            wanted = np.array([np.nan if v is None else v for v in some.to_pylist()])
            assert np.array_equal(arrow.numbers(some), wanted.astype(type_.to_pandas_dtype()),
                                  equal_nan=True)  # fmt: skip
            assert np.array_equal(arrow.floats(some), arrow.numbers(some), equal_nan=True)
            assert arrow.valid(some).tolist() == [v is not None for v in some.to_pylist()]


def test_what_is_null_is_nan_whatever_the_type() -> None:
    for column in (pa.array([True, None]), pa.array([1, None]), pa.array([1.0, None])):
        assert np.array_equal(arrow.floats(column), [1.0, np.nan], equal_nan=True)
        assert arrow.floats(column.slice(0, 1)).tolist() == [1]


@given(
    st.lists(
        st.tuples(st.integers(-1, 3), st.integers(-1, 1 << 20), st.integers(-1, 2)), max_size=60
    )
)
def test_groups_are_the_rows_that_have_the_same_everywhere(
    rows: list[tuple[int, int, int]],
) -> None:
    columns = [np.array([row[at] for row in rows], np.int64) for at in range(3)]
    found = grouped(columns, len(rows))
    for group, first in enumerate(found.first):
        same = [at for at, row in enumerate(rows) if row == rows[first]]
        assert np.flatnonzero(found.codes == group).tolist() == same
        assert same[0] == first
    assert len(found.first) == len(set(rows))


def test_numbers_are_told_apart_bit_by_bit() -> None:
    codes = distinct(np.array([0.0, -0.0, np.nan, np.nan, 1.0]))
    assert codes[2] == codes[3]
    assert len(set(codes.tolist())) == 4
