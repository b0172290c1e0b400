"""A body's records come out byte for byte, within limits, however they were sent."""

from __future__ import annotations

import contextlib
import gzip
import json
import zlib

import hypothesis
import hypothesis.strategies as st
import pytest
import zstandard

from forensics.server import bodies
from forensics.server.bodies import (
    BrokenDocument,
    decompressed,
    encoding_of,
    is_lines,
    records_of,
)
from forensics.server.refusal import Refusal

MB = 1 << 20


@pytest.mark.parametrize(
    ("kind", "lines"),
    [
        (None, False),
        ("application/json", False),
        ("application/json; charset=utf-8", False),
        ("Application/JSON;charset=UTF-8", False),
        ("application/vnd.openlineage+json", False),
        ("application/x-ndjson", True),
        ("application/jsonl; charset=utf8", True),
    ],
)
def test_json_types_are_known(kind: str | None, lines: bool) -> None:
    assert is_lines(kind) is lines


@pytest.mark.parametrize(
    "kind",
    ["text/html", "application/x-www-form-urlencoded", "application/json; charset=utf-16", ";"],
)
def test_other_types_are_refused_with_415(kind: str) -> None:
    with pytest.raises(Refusal) as caught:
        is_lines(kind)
    assert caught.value.status == 415


@pytest.mark.parametrize("encoding", ["br", "deflate", "gzip, gzip", "compress"])
def test_other_encodings_are_refused_with_415(encoding: str) -> None:
    with pytest.raises(Refusal) as caught:
        encoding_of(encoding)
    assert caught.value.status == 415


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("parts", [1, 3])
def test_compressed_bodies_are_what_they_were(encoding: str, parts: int) -> None:
    text = b'{"a":1}\n' * 5_000
    body = b"".join(_compressed(encoding, text) for _ in range(parts))
    assert decompressed(body, encoding, MB) == text * parts


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_is_refused_before_it_is_unpacked(encoding: str) -> None:
    bomb = _compressed(encoding, bytes(256 * MB))
    assert len(bomb) < MB
    with pytest.raises(Refusal) as caught:
        decompressed(bomb, encoding, 4 * MB)
    assert caught.value.status == 413


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
def test_a_bomb_of_many_small_parts_is_refused(encoding: str) -> None:
    with pytest.raises(Refusal) as caught:
        decompressed(_compressed(encoding, b"x") * 10_000, encoding, MB)
    assert caught.value.status == 400


@pytest.mark.parametrize("encoding", ["gzip", "zstd"])
@pytest.mark.parametrize("damage", ["cut", "flipped", "followed", "none of it"])
def test_damaged_compression_is_refused(encoding: str, damage: str) -> None:
    whole = _compressed(encoding, bytes(range(256)) * 100)
    body = {
        "cut": whole[:-6],
        "flipped": bytes([*whole[:2], whole[2] ^ 255, *whole[3:]]),
        "followed": whole + b"garbage",
        "none of it": b'{"a":1}',
    }[damage]
    with pytest.raises(Refusal) as caught:
        decompressed(body, encoding, MB)
    assert caught.value.status == 400


def test_zstd_with_a_huge_window_is_refused() -> None:
    parameters = zstandard.ZstdCompressionParameters(window_log=27, compression_level=1)
    compressor = zstandard.ZstdCompressor(compression_params=parameters).compressobj()
    body = compressor.compress(b"x" * 1000) + compressor.flush()
    with pytest.raises(Refusal) as caught:
        decompressed(body, "zstd", MB)
    assert caught.value.status == 400


def test_lines_keep_their_bytes_and_numbers() -> None:
    body = b'\xef\xbb\xbf{"a": 1.50}\r\n\n  \n{"b":"\xc3\xa9"} \nbroken\n'
    assert records_of(body, lines=True) == [
        (1, b'{"a": 1.50}'),
        (4, b'{"b":"\xc3\xa9"} '),
        (5, b"broken"),
    ]


def test_lines_are_understood_without_being_announced() -> None:
    assert records_of(b'{"a":1}\n{"a":2}', lines=False) == [(1, b'{"a":1}'), (2, b'{"a":2}')]


def test_a_record_over_several_lines_changes_its_line_ends_only() -> None:
    body = b'{\n  "a" : 1.0e+05,\r\n  "a": "x\\n y",\n\n "n": NaN\n}\n'
    ((number, line),) = records_of(body, lines=False)
    assert number == 1
    assert line == body.strip().replace(b"\n", b" ")


@pytest.mark.parametrize(
    "item", [b'{"a":1}', b'{\n"a": [1,\n{}]\n}', b'{"x":NaN}', b'{"s":"]},{["}', b"7", b"{broken}"]
)
def test_an_array_gives_the_bytes_of_each_item(item: bytes) -> None:
    body = b"[ " + item + b' ,\n{"b":"]"},' + item + b"]\n"
    line = item.replace(b"\n", b" ")
    assert records_of(body, lines=False) == [(1, line), (2, b'{"b":"]"}'), (3, line)]


_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@hypothesis.given(
    st.lists(st.dictionaries(st.text(), _values, max_size=4), min_size=1, max_size=4),
    st.sampled_from([None, 1, 4]),
    st.booleans(),
)
def test_whatever_is_sent_says_the_same_afterwards(
    records: list[dict[str, object]], indent: int | None, ascii_only: bool
) -> None:
    def text(value: object) -> bytes:
        return json.dumps(value, indent=indent, ensure_ascii=ascii_only).encode(
            "utf-8", "surrogatepass"
        )

    def same(lines: list[tuple[int, bytes]], expected: list[dict[str, object]]) -> bool:
        assert all(b"\n" not in line for _, line in lines)
        found = [json.loads(line.decode("utf-8", "surrogatepass")) for _, line in lines]
        return repr(found) == repr(expected)

    assert same(records_of(text(records), lines=False), records)
    assert same(records_of(text(records[0]), lines=False), records[:1])


@pytest.mark.parametrize(
    "body",
    [
        b'[{"a":1}',
        b"[[",
        b'[{"a":1}] x',
        b'{\n"a": "line\nend"\n}',
        b'["\\',
        b'[{"a":1},"',
    ],
)
def test_a_broken_text_is_refused_with_its_bytes(body: bytes) -> None:
    with pytest.raises(BrokenDocument) as caught:
        records_of(body, lines=False)
    assert caught.value.status == 400
    assert caught.value.raw == body


@pytest.mark.parametrize(
    ("body", "lines"),
    [
        (b"", True), (b"", False), (b" \n\r\n ", True), (b" \n\r\n ", False),
        (b"[]", False), (b"[ \n ]", False), (b"\xef\xbb\xbf", True),
    ],
)  # fmt: skip
def test_nothing_is_refused(body: bytes, lines: bool) -> None:
    with pytest.raises(Refusal) as caught:
        records_of(body, lines=lines)
    assert caught.value.status == 400


@pytest.mark.parametrize(
    "body",
    [
        b"{}\n" * (bodies.RECORDS_MAX + 1),
        b"[" + b"{}," * bodies.RECORDS_MAX + b"{}]",
        b"[" + b"NaN," * bodies.RECORDS_MAX + b"{}]",
        b"[" + b" " * bodies.TEXT_BYTES_MAX + b"{}]",
    ],
    ids=["lines", "array", "odd array", "long array"],
)
def test_too_many_records_are_refused_with_413(body: bytes) -> None:
    with pytest.raises(Refusal) as caught:
        records_of(body, lines=False)
    assert caught.value.status == 413


@pytest.mark.parametrize(
    "body",
    [b'{"' * 700_000, b'"\\' * 900_000, b'\n{"\\\\' * 500_000, b"\n[" * 900_000],
    ids=["quotes", "escapes", "lines", "brackets"],
)
def test_hostile_text_takes_no_more_than_its_length(body: bytes) -> None:
    # Each of these is quadratic, hours rather than seconds, for a scanner that looks back.
    with contextlib.suppress(Refusal):
        found = records_of(b"{" + body, lines=False)
        assert all(b"\n" not in line for _, line in found)


def _compressed(encoding: str, text: bytes) -> bytes:
    if encoding == "gzip":
        return gzip.compress(text)
    return zstandard.ZstdCompressor(level=3, write_checksum=True).compress(text)


def test_zlib_is_not_gzip() -> None:
    with pytest.raises(Refusal):
        decompressed(zlib.compress(b"{}"), "gzip", MB)
