"""Canonical JSON: the vectors of RFC 8785, and one text for every spelling of a value."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.ingest.canonical_json import canonical
from forensics.records.jsontext import loads

#: RFC 8785, appendix B.
NUMBERS = [
    ("0000000000000000", "0"), ("8000000000000000", "0"), ("0000000000000001", "5e-324"),
    ("8000000000000001", "-5e-324"), ("7fefffffffffffff", "1.7976931348623157e+308"),
    ("ffefffffffffffff", "-1.7976931348623157e+308"), ("4340000000000000", "9007199254740992"),
    ("c340000000000000", "-9007199254740992"), ("4430000000000000", "295147905179352830000"),
    ("44b52d02c7e14af5", "9.999999999999997e+22"), ("44b52d02c7e14af6", "1e+23"),
    ("44b52d02c7e14af7", "1.0000000000000001e+23"), ("444b1ae4d6e2ef4e", "999999999999999700000"),
    ("444b1ae4d6e2ef4f", "999999999999999900000"), ("444b1ae4d6e2ef50", "1e+21"),
    ("3eb0c6f7a0b5ed8c", "9.999999999999997e-7"), ("3eb0c6f7a0b5ed8d", "0.000001"),
    ("41b3de4355555553", "333333333.3333332"), ("41b3de4355555554", "333333333.33333325"),
    ("41b3de4355555555", "333333333.3333333"), ("41b3de4355555556", "333333333.3333334"),
    ("41b3de4355555557", "333333333.33333343"), ("becbf647612f3696", "-0.0000033333333333333333"),
    ("43143ff3c1cb0959", "1424953923781206.2"),
]  # fmt: skip


@pytest.mark.parametrize(("bits", "text"), NUMBERS)
def test_numbers_are_written_as_the_rfc_has_them(bits: str, text: str) -> None:
    (value,) = struct.unpack(">d", bytes.fromhex(bits))
    assert canonical([value]) == f"[{text}]".encode()


def test_the_rfcs_object_comes_out_as_in_the_rfc() -> None:
    text = (
        '{"numbers": [333333333.33333329, 1E30, 4.50, 2e-3, 0.000000000000000000000000001],'
        '"string": "\\u20ac$\\u000F\\u000aA\'\\u0042\\u0022\\u005c\\\\\\"\\/",'
        '"literals": [null, true, false]}'
    )
    assert (
        canonical(json.loads(text))
        == (
            '{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
            '"string":"€$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
        ).encode()
    )


def test_keys_are_sorted_by_their_utf_16_code_units() -> None:
    keys = ["\u20ac", "\r", "\ufb33", "1", "\U0001f600", "\x80", "\u00f6"]
    ordered = ["\r", "1", "\x80", "\u00f6", "\u20ac", "\U0001f600", "\ufb33"]
    inner = canonical([dict.fromkeys(keys, 0)])
    assert list(json.loads(inner)[0]) == ordered


def test_what_the_rfc_leaves_out_has_one_text_too() -> None:
    assert canonical(json.loads('["\\ud800\\u0041\\uDFFF", "\\ud83d\\ude00"]')) == (
        '["\\ud800A\\udfff","\U0001f600"]'.encode()
    )
    assert canonical(json.loads('[NaN, {"x": -Infinity}]')) == b'[NaN,{"x":-Infinity}]'


def test_a_key_that_is_no_text_is_refused() -> None:
    with pytest.raises(ValueError, match="half a surrogate pair"):
        canonical({"a": [{"\udfff": 1}]})


def test_numbers_that_no_double_holds_stay_different() -> None:
    texts = [
        "[9007199254740993]",
        "[9007199254740992]",
        "[1.00000000000000000001]",
        "[1]",
        "[1e400]",
    ]
    assert len({canonical(loads(text)) for text in texts}) == len(texts)
    assert canonical(loads("[1.0]")) == canonical(loads("[1]")) == canonical(loads("[10e-1]"))


TEXTS = st.text(st.characters(exclude_categories=["Cs"]), max_size=5)
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53), 2**53) | TEXTS
    | st.floats(-(2.0**53), 2.0**53),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=12,
)  # fmt: skip


def shuffled(value: Any, draw: st.DrawFn) -> Any:
    if isinstance(value, dict):
        keys = draw(st.permutations(list(value)))
        return {key: shuffled(value[key], draw) for key in keys}
    return [shuffled(item, draw) for item in value] if isinstance(value, list) else value


@given(st.data(), VALUES)
def test_every_spelling_of_a_value_gives_the_same_text_and_it_says_the_value(
    data: st.DataObject, value: Any
) -> None:
    other = shuffled(value, data.draw)
    spelt = json.dumps(other, indent=data.draw(st.sampled_from([None, 1])),
                       ensure_ascii=data.draw(st.booleans()))  # fmt: skip
    assert canonical(json.loads(spelt)) == canonical(value)
    assert json.loads(canonical(value)) == value


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_a_number_is_written_with_an_exponent_where_ecmascript_has_one(value: float) -> None:
    text = canonical([value])[1:-1].decode()
    assert float(text) == value
    assert ("e" in text) == (value != 0 and not 1e-6 <= abs(value) < 1e21)
    assert not text.endswith(".0")
    assert text != "-0"
    assert canonical({"a": value}) == f'{{"a":{text}}}'.encode()
    assert canonical(value) == text.encode()
