"""A decision whose score contradicts itself goes to quarantine; the rest of its file lands."""

from __future__ import annotations

import json
import math
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.ingest import quarantine
from forensics.ingest.columns import Gathered
from forensics.ingest.run import Report
from forensics.ingest.scores import refuse_contradictions
from forensics.records.score import contradiction
from forensics.testing import decision_record, write_lines

TakeIn = Callable[..., Report]


def scored(score: Any, raw: str | None = None, dtype: str | None = None) -> dict[str, Any]:
    return decision_record(score=score, score_bytes=raw, score_dtype=dtype)


def f32(value: float) -> str:
    return struct.pack("<f", value).hex()


def f64(value: float) -> str:
    return struct.pack("<d", value).hex()


GOOD = [
    scored(float(np.float32(0.1)), f32(0.1), "float32"),
    scored(0.1, f32(0.1), "float32"),
    scored(0.1, f32(0.1)),
    scored(0.1, f64(0.1), "float64"),
    scored(0.612003, f32(0.61200345), "float32"),
    scored(-0.0, f32(0.0), "float32"),
    scored(0.0, f32(-0.0)),
    scored(None, f64(0.1), "float64"),
    scored(0.25),
]
BAD = [
    (scored(0.7, f32(0.5), "float32"), "score is 0.7, and score_bytes are those of 0.5"),
    (scored(0.7, f64(0.5)), "score is 0.7, and score_bytes are those of 0.5 as float64"),
    (scored(0.5, f32(0.5), "float64"), "score_bytes has 4 bytes, and score_dtype float64 has 8"),
    (scored(0.5, None, "int64"), "score is 0.5, which no int64 is"),
]


def as_lines(folder: Path, records: list[dict[str, Any]]) -> Path:
    return write_lines(folder / "log.jsonl", records)


def as_parquet(folder: Path, records: list[dict[str, Any]]) -> Path:
    pq.write_table(pa.Table.from_pylist(records), folder / "log.parquet")
    return folder / "log.parquet"


@pytest.mark.parametrize("written", [as_lines, as_parquet])
def test_decisions_that_contradict_their_score_are_kept_aside_with_the_reason(
    lake: Path, take_in: TakeIn, tmp_path: Path, written: Callable[..., Path]
) -> None:
    mixed = [*GOOD[:4], *(record for record, _ in BAD), *GOOD[4:]]
    report = take_in(written(tmp_path, mixed))
    assert (report.landed_total, report.quarantined_total) == (len(GOOD), len(BAD))
    kept = sorted(quarantine.load(lake), key=lambda item: item.line)
    for item, (record, why) in zip(kept, BAD, strict=True):
        assert why in item.reason
        assert json.loads(item.raw)["request_id"] == record["request_id"]


@pytest.mark.parametrize("written", [as_lines, as_parquet])
def test_scores_that_say_the_same_in_other_words_all_land(
    lake: Path, take_in: TakeIn, tmp_path: Path, written: Callable[..., Path]
) -> None:
    report = take_in(written(tmp_path, GOOD))
    assert (report.landed_total, report.quarantined_total) == (len(GOOD), 0)


def test_a_score_of_thirty_digits_and_scores_that_are_no_numbers_are_read_as_they_are(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    def line(score: str, raw: str, dtype: str) -> str:
        record = scored("?", raw, dtype)
        return json.dumps(record).replace('"?"', score)

    digits = "0.100000000000000000000000000001"
    good = [
        line(digits, f64(0.1), "float64"),
        line(digits, f32(0.1), "float32"),
        line("NaN", f32(math.nan), "float32"),
        line('"NaN"', f32(math.nan), "float32"),
        line('"-Infinity"', f64(-math.inf), "float64"),
        line("9007199254740993", struct.pack("<q", 9007199254740993).hex(), "int64"),
    ]
    bad = [
        line("0.600000000000000000000000000001", f64(0.1), "float64"),
        line('"NaN"', f32(0.5), "float32"),
        line("9007199254740993", struct.pack("<q", 9007199254740992).hex(), "int64"),
    ]
    report = take_in(write_lines(tmp_path / "log.jsonl", [*good, *bad]))
    assert (report.landed_total, report.quarantined_total) == (len(good), len(bad))
    reasons = " ".join(item.reason for item in quarantine.load(lake))
    assert "score is 0.600000000000000000000000000001, and" in reasons
    assert "score is nan, and score_bytes are those of 0.5" in reasons
    assert "score is 9007199254740993, and score_bytes are those of 9007199254740992" in reasons


def test_a_parquet_column_of_float32_may_stand_beside_the_bytes_of_a_double(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    scores = [0.1, 0.61200345678, 1 / 3]
    made = [scored(0.0, f64(score), "float64") for score in scores]
    table = pa.Table.from_pylist(made)
    column = pa.array(scores, pa.float32())
    table = table.set_column(table.schema.get_field_index("score"), "score", column)
    pq.write_table(table, tmp_path / "log.parquet")
    assert take_in(tmp_path / "log.parquet").landed_total == 3


_NUMBERS = st.floats() | st.floats(width=32) | st.sampled_from([0.1, 0.25, 1e39, -0.0, 2.0])
_DIGITS = st.one_of(
    st.floats(width=32).map(f32),
    st.floats().map(f64),
    st.sampled_from([f32(0.1), f64(0.1), f32(math.inf), f64(0.25), f32(0.25), "00"]),
    st.integers(-3, 3).map(lambda whole: struct.pack("<q", whole).hex()),
)
_TYPES = st.sampled_from(["float32", "float64", "int64"])


@given(st.lists(st.tuples(st.none() | _NUMBERS, st.none() | _DIGITS, st.none() | _TYPES)))
def test_whole_columns_are_refused_as_each_record_alone_would_be(
    rows: list[tuple[float | None, str | None, str | None]],
) -> None:
    columns = {
        "score": pa.array([number for number, _, _ in rows], pa.float64()),
        "score_bytes": pa.array([text for _, text, _ in rows], pa.string()),
        "score_dtype": pa.array([dtype for _, _, dtype in rows], pa.string()),
    }
    found = Gathered()
    refuse_contradictions(columns, found)
    alone = {
        at: contradiction(number, None if text is None else bytes.fromhex(text), dtype)
        for at, (number, text, dtype) in enumerate(rows)
    }
    assert found.problems == {at: why for at, why in alone.items() if why is not None}
