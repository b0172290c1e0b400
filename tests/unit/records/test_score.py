"""A score recorded as a number, as bytes and with a type says one thing, or contradicts itself."""

from __future__ import annotations

import math
import struct
from decimal import ROUND_HALF_EVEN, ROUND_HALF_UP, Decimal

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from forensics.records.decision import ExactNumber
from forensics.records.score import contradiction

FLOAT32 = st.floats(width=32)
FINITE32 = st.floats(width=32, allow_nan=False, allow_infinity=False)
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def f32(value: float) -> bytes:
    return struct.pack("<f", value)


def f64(value: float) -> bytes:
    return struct.pack("<d", value)


@given(FLOAT32, st.sampled_from([None, "float32"]))
def test_a_float32_may_be_written_widened_or_as_its_shortest_decimal(
    value: float, dtype: str | None
) -> None:
    for number in (value, float(str(np.float32(value)))):
        assert contradiction(number, f32(value), dtype) is None


@given(st.floats(), st.sampled_from([None, "float64"]))
def test_a_float64_may_be_written_in_full_or_as_the_float32_nearest_to_it(
    value: float, dtype: str | None
) -> None:
    with np.errstate(over="ignore"):
        narrow = np.float32(value)
    numbers = [value]
    if math.isfinite(narrow) == math.isfinite(value):
        numbers += [float(narrow), float(str(narrow))]
    for number in numbers:
        assert contradiction(number, f64(value), dtype) is None


@given(st.one_of(FINITE32.map(lambda v: (v, f32(v))), FINITE.map(lambda v: (v, f64(v)))),
       st.integers(6, 30), st.sampled_from([ROUND_HALF_EVEN, ROUND_HALF_UP]))  # fmt: skip
def test_a_score_rounded_to_six_or_more_digits_is_the_same_score(
    both: tuple[float, bytes], digits: int, way: str
) -> None:
    value, raw = both
    exact = Decimal(value)
    significant = exact.adjusted() - digits + 1
    for place in {-digits, significant}:
        if exact.adjusted() - place < 27:  # what decimals of 28 digits hold
            written = exact.quantize(Decimal(1).scaleb(place), rounding=way)
            assume(math.isfinite(float(written)))  # the greatest of all may be rounded beyond
            assert contradiction(float(written), raw, None) is None
            assert contradiction(ExactNumber(str(written)), raw, None) is None


@given(st.floats(2.0**-7, 8, width=32), st.sampled_from([2, 3, 9, -2, -7]))
def test_a_number_some_units_off_is_another_score(value: float, steps: int) -> None:
    (whole,) = struct.unpack("<i", f32(value))
    (near,) = struct.unpack("<f", struct.pack("<i", whole + steps))
    assume(len(repr(near)) > 9)  # else it may be the value rounded
    assert contradiction(near, f32(value), "float32") is not None
    assert contradiction(float(np.nextafter(value, 11) + 1e-12), f64(value), None) is not None


@pytest.mark.parametrize(
    ("number", "raw", "dtype", "why"),
    [
        (0.7, f32(0.5), "float32", "score is 0.7, and score_bytes are those of 0.5 as float32"),
        (0.7, f64(0.5), None, "score is 0.7, and score_bytes are those of 0.5 as float64"),
        (0.612, f32(0.61234), "float32", "score is 0.612, and score_bytes are those of"),
        (math.nan, f32(0.5), None, "score is nan, and score_bytes are those of 0.5"),
        (0.5, f32(math.nan), None, "score is 0.5, and score_bytes are those of nan"),
        (math.inf, f64(-math.inf), None, "score is inf, and score_bytes are those of -inf"),
        (1e39, f32(math.inf), "float32", "score is 1e\\+39, and score_bytes are those of inf"),
        (-0.5, f32(0.5), None, "score is -0.5, and score_bytes are those of 0.5"),
        (0.5, f32(0.5), "float64", "score_bytes has 4 bytes, and score_dtype float64 has 8"),
        (None, f64(0.5), "float32", "score_bytes has 8 bytes, and score_dtype float32 has 4"),
        (0.5, None, "int64", "score is 0.5, which no int64 is"),
        (math.nan, None, "int64", "score is nan, which no int64 is"),
        (2.0**63, None, "int64", "which no int64 is"),
        (1e39, None, "float32", "score is 1e\\+39, which no float32 is"),
        (8, struct.pack("<q", 7), "int64", "score is 8, and score_bytes are those of 7 as int64"),
        (ExactNumber("9007199254740993"), struct.pack("<q", 1 << 53), "int64", "as int64"),
    ],
)  # fmt: skip
def test_the_two_that_contradict_each_other_are_named(
    number: float | None, raw: bytes | None, dtype: str | None, why: str
) -> None:
    import re

    found = contradiction(number, raw, dtype)
    assert found is not None
    assert re.search(why, found)


@pytest.mark.parametrize(
    ("number", "raw", "dtype"),
    [
        (0.0, f32(-0.0), "float32"),
        (-0.0, f64(0.0), "float64"),
        (0, f32(-0.0), None),
        (1, f64(1.0), "float64"),
        (math.nan, struct.pack("<I", 0xFFC01234), "float32"),
        (ExactNumber("0.100000000000000000000000000001"), f64(0.1), "float64"),
        (ExactNumber("0.100000001490116119384765625000"), f32(0.1), "float32"),
        (ExactNumber("9007199254740993"), struct.pack("<q", (1 << 53) + 1), "int64"),
        (7.0, struct.pack("<q", 7), "int64"),
        (0.5, b"\x00\x38", None),
        (0.5, None, None),
        (None, f32(0.5), None),
        (None, None, "float32"),
    ],
)
def test_what_says_the_same_or_less_contradicts_nothing(
    number: float | None, raw: bytes | None, dtype: str | None
) -> None:
    assert contradiction(number, raw, dtype) is None
