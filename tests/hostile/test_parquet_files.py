"""Odd Parquet files: valid or nearly so, each a trap for some reader. None may take us down."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

FOLDER = Path("hostile") / "parquet_odd_but_valid"


def files() -> list[str]:
    """Names are known without the corpus, so that each file is a test of its own."""
    return [
        "alltypes_plain", "binary_truncated_min_max", "column_chunk_key_value_metadata",
        "concatenated_gzip_members", "datapage_v2_empty_datapage.snappy", "dict-page-offset-zero",
        "encrypt_columns_plaintext_footer", "float16_nonzeros_and_nans",
        "floating_orders_nan_count", "geospatial-with-nan", "hadoop_lz4_compressed",
        "incorrect_map_schema", "int32_with_null_pages", "int96_from_spark",
        "large_string_map.brotli", "map_no_value", "nan_in_stats", "nation.dict-malformed",
        "nested_structs.rust", "non_hadoop_lz4_compressed", "nonnullable.impala",
        "null_list", "nullable.impala", "old_list_structure", "page_v2_empty_compressed",
        "repeated_no_annotation", "repeated_primitive_no_list", "single_nan", "sort_columns",
        "uniform_encryption", "unknown-logical-type",
    ]  # fmt: skip


def test_the_list_of_files_is_whole(corpus: Path) -> None:
    assert {path.name.split(".parquet")[0] for path in (corpus / FOLDER).iterdir()} == set(files())


@pytest.mark.parametrize("name", files())
def test_each_is_quarantined_or_refused_with_a_clear_message(
    corpus: Path, lake: Path, run: Callable[..., Any], name: str
) -> None:
    (path,) = (p for p in (corpus / FOLDER).iterdir() if p.name.split(".parquet")[0] == name)
    if path.stat().st_size == 0:
        pytest.skip("empty in this corpus")
    ran = run("ingest", path, "--lake", lake)
    if name == "column_chunk_key_value_metadata":  # of all of them the only one without rows
        assert (ran.code, ran.out.split()) == (
            0,
            ["0", "landed,", "0", "already", "present,", "0", "quarantined"],
        )
        return
    assert ran.code in (1, 2, 4), ran
    if ran.code == 4:
        assert "0  landed" in ran.out
        assert "missing" in ran.out or "expected" in ran.out, ran.out
    else:
        assert path.name in ran.err
        assert ran.out == ""


def test_a_broken_one_leaves_no_traceback(
    corpus: Path, lake: Path, forensics_command: Callable[..., Any]
) -> None:
    (path,) = (corpus / FOLDER).glob("nation.dict-malformed*")
    ran = forensics_command("ingest", path, "--lake", lake)
    assert ran.code in (1, 2, 4), ran
    assert "Traceback" not in ran.err


@pytest.mark.parametrize("name", files())
def test_each_is_survived_when_its_rows_are_made_decisions(
    corpus: Path, lake: Path, run: Callable[..., Any], name: str
) -> None:
    """With the required fields given, all columns of the file are kept outside the contract."""
    (path,) = (p for p in (corpus / FOLDER).iterdir() if p.name.split(".parquet")[0] == name)
    constants = {"decision_point": "odd", "outcome": "X", "occurred_at": "2026-10-01T00:00:00Z",
                 "request_id": "r-1"}  # fmt: skip
    options = [f"--set={field}={value}" for field, value in constants.items()]
    ran = run("ingest", path, "--lake", lake, *options)
    assert ran.code in (0, 1, 2, 4), ran
    if ran.code == 0:
        found = run("find", "--lake", lake, "--json")
        assert found.code == 0
        assert all(row["outcome"] == "X" for row in found.rows)
