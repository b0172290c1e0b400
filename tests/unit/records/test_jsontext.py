"""JSON text: numbers come back as they were written, and any strict reader takes it."""

from __future__ import annotations

import json
import math
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.records.decision import ExactNumber
from forensics.records.jsontext import dumps, exact_float, loads, number_text, time_text

NUMBERS = st.one_of(
    st.integers(-(2**200), 2**200),
    st.floats(allow_nan=False, allow_infinity=False),
    st.decimals(allow_nan=False, allow_infinity=False, places=25).map(lambda d: format(d, "f")),
)


def refuse(token: str) -> Any:
    raise AssertionError(f"{token} is no JSON")


@given(st.recursive(st.none() | st.booleans() | st.text() | st.integers() | st.floats(),
                    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
                    max_leaves=20))  # fmt: skip
def test_any_json_reader_takes_what_is_written(value: Any) -> None:
    json.loads(dumps(value), parse_constant=refuse)


@given(
    st.one_of(
        st.integers(-(2**200), 2**200).map(str),
        st.decimals(-(10**30), 10**30, places=20).map("{:f}".format),
    )
)
def test_numbers_of_any_length_mean_the_same_after_a_round_trip(text: str) -> None:
    again = dumps(loads(text))
    assert Decimal(again) == Decimal(text)


@pytest.mark.parametrize(
    "text", ["1e400", "-1e400", "1e-400", "0.1234567890123456789012345678901", "1" * 5000]
)
def test_a_number_that_no_double_holds_is_kept_digit_by_digit(text: str) -> None:
    assert isinstance(loads(text), (ExactNumber, int))
    assert dumps(loads(text)) == text


@pytest.mark.parametrize("text", ["0.1", "1e5", "123456789.25", "1e-5", "0.0", "-0.0", "0e10"])
def test_a_number_that_a_double_holds_is_a_plain_float(text: str) -> None:
    assert type(exact_float(text)) is float


def test_minus_zero_keeps_its_sign() -> None:
    assert math.copysign(1, loads("-0")) == math.copysign(1, loads("-0.0")) == -1
    assert dumps(loads("-0")) == dumps(-0.0) == "-0.0"


@pytest.mark.parametrize(
    ("value", "text"), [(math.nan, "NaN"), (math.inf, "Infinity"), (-math.inf, "-Infinity")]
)
def test_non_finite_numbers_are_strings_for_strict_readers(value: float, text: str) -> None:
    assert dumps([value]) == f'["{text}"]'
    assert dumps([value], strict=False) == f"[{text}]"


@given(st.floats(allow_nan=False))
def test_the_text_of_a_double_gives_the_same_bits_back(value: float) -> None:
    again = float(number_text(value))
    assert (again, math.copysign(1, again)) == (value, math.copysign(1, value))


def test_times_are_in_utc_whatever_zone_they_come_in() -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    assert time_text(datetime(2026, 10, 21, 8, 11, 7, 318, east)) == "2026-10-21T02:41:07.000318Z"
    assert time_text(datetime(2026, 10, 21, tzinfo=UTC)) == "2026-10-21T00:00:00Z"


def test_bytes_are_hexadecimal() -> None:
    assert dumps({"leaf": b"\x00\xff"}) == '{"leaf":"00ff"}'
