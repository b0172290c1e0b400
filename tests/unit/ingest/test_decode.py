"""One line, one record: strict, and what was written is what is kept."""

from __future__ import annotations

import json
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from forensics.ingest.decode import CAREFUL, DEPTH_MAX, RECORD_BYTES_MAX, Refused, decode
from forensics.ingest.json_lines import decode_lines
from forensics.records.jsontext import dumps

_KEYS = st.text(max_size=6)
_NUMBERS = st.one_of(
    st.integers(-(2**200), 2**200).map(str),
    st.floats(allow_nan=False, allow_infinity=False).map(repr),
    st.decimals(-(10**12), 10**12, places=25).map(lambda d: format(d, "f")),
    st.sampled_from(["-0", "-0.0", "0e0", "1E400", "-1e-400", "1e-99", "1e-100", "1e+5", "0.10"]),
)
_LEAVES = st.one_of(
    st.sampled_from(["null", "true", "false"]), _NUMBERS, st.text(max_size=8).map(json.dumps),
    st.text(max_size=8).map(lambda text: json.dumps(text, ensure_ascii=False)),
)  # fmt: skip


@st.composite
def json_texts(draw: Any, depth: int = 0) -> str:
    """JSON as different writers write it: with blanks, escapes and numbers of all kinds."""
    blank = draw(st.sampled_from(["", "", " ", "\t"]))
    if depth >= 3 or (depth and draw(st.booleans())):
        return f"{blank}{draw(_LEAVES)}{blank}"
    inner = json_texts(depth=depth + 1)
    if depth and draw(st.booleans()):
        return f"[{blank}" + ",".join(draw(st.lists(inner, max_size=3))) + "]"
    pairs = draw(st.lists(st.tuples(_KEYS.map(json.dumps), inner), max_size=3))
    return f"{{{blank}" + ",".join(f"{k}{blank}:{v}" for k, v in pairs) + f"}}{blank}"


def outcome(line: bytes, careful: bool) -> str:
    """What a line decodes to, as text that tells all numbers apart, or why it is refused."""
    try:
        return dumps(decode(line, careful=careful), strict=False)
    except Refused as refusal:
        return f"refused: {refusal}"


@given(json_texts())
@example('{"a":"\\":"}')
@example('{"a":1,"a":1}')
@example('{"a":{"b":1,"b":2},"c":"\\":\\":"}')
@example('{"a":-0}')
@example('{"a":12345678901234567890.5}')
@example('{"a":0.00000000000000000000000000000000012345678901234567890}')
def test_the_fast_and_the_careful_parser_agree(text: str) -> None:
    line = text.encode("utf-8", "surrogatepass")
    fast = bool(re.search(CAREFUL.encode(), line)) is False
    if fast:
        assert outcome(line, careful=False) == outcome(line, careful=True)


@given(_KEYS, json_texts(depth=1), json_texts(depth=1), st.integers(0, 5), st.booleans())
def test_a_key_that_stands_twice_is_always_refused(
    key: str, a: str, b: str, depth: int, escaped: bool
) -> None:
    again = json.dumps(key)[1:-1]
    if escaped and key.isascii():
        again = "".join(f"\\u{ord(character):04x}" for character in key)
    text = f'{{{json.dumps(key)}:{a},"between\\":":0,"{again}":{b}}}'
    line = ('{"x":' * depth + text + "}" * depth).encode("utf-8", "surrogatepass")
    records, rejects = decode_lines(list(enumerate(line.split(b"\n"), 1)))
    assert records == []
    assert len(rejects) == 1
    with pytest.raises(Refused):
        decode(line)


@pytest.mark.parametrize("careful", [True, False])
@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"[1]", "an array"), (b'"text"', "a JSON string"), (b"7", "a JSON number"),
        (b"null", "expected an object"), (b"true", "expected an object"),
        (b"{", "not JSON"), (b'{"a":}', "not JSON"), (b'{"a":1}}', "not JSON"),
        (b'{"a":01}', "not JSON"), (b"{'a':1}", "not JSON"), (b'{"a":1,}', "not JSON"),
        (b'{"a":"\x01"}', "not JSON"), (b'{"a":"tab\t"}', "not JSON"),
        (b'{"a":"\xff"}', "not UTF-8 at byte 6: 0xff"), (b'{"a\xc0\x80":1}', "not UTF-8"),
        (b'{"a":1}\x00', "not JSON"), (b'\xef\xbb\xbf{"a":1}', "not JSON"),
        (b'{"a":"\xed\xa0\x80"}', "not UTF-8"),
    ],
)  # fmt: skip
def test_a_line_that_is_no_record_is_refused_with_what_it_is(
    line: bytes, why: str, careful: bool
) -> None:
    with pytest.raises(Refused) as refusal:
        decode(line, careful=careful)
    assert why.removeprefix("an ") in str(refusal.value)


@pytest.mark.parametrize("careful", [True, False])
@pytest.mark.parametrize(("open_", "close"), [('{"a":', "}"), ("[", "]")])
@pytest.mark.parametrize("deep", [DEPTH_MAX + 1, 500, 100_000])
def test_what_is_nested_deeper_than_the_limit_is_refused(
    open_: str, close: str, deep: int, careful: bool
) -> None:
    line = '{"x":' + open_ * (deep - 1) + "1" + close * (deep - 1) + "}"
    with pytest.raises(Refused, match=f"nested deeper than {DEPTH_MAX}"):
        decode(line.encode(), careful=careful)


@pytest.mark.parametrize("careful", [True, False])
def test_what_is_nested_as_deep_as_the_limit_is_taken(careful: bool) -> None:
    line = '{"a":' * DEPTH_MAX + "1" + "}" * DEPTH_MAX
    assert decode(line.encode(), careful=careful)


def test_a_record_may_be_as_long_as_the_limit_and_not_a_byte_longer() -> None:
    line = b'{"a":"' + b"x" * (RECORD_BYTES_MAX - 8) + b'"}'
    assert len(line) == RECORD_BYTES_MAX
    assert decode(line)
    with pytest.raises(Refused, match="1,048,577 bytes"):
        decode(line + b" ")
