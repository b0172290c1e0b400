"""From one line of JSON to a record, strictly, without losing what was written.

Two parsers, one meaning. msgspec is fast and strict, but keeps the last of duplicate keys silently
and rounds long decimals. So a line is only taken from it when a count of its keys shows that none
was lost and a scan shows no number that it would change; every other line goes to the slow parser,
which sees each key and each number as written.
"""

from __future__ import annotations

import json
import math
from typing import Any

import msgspec

from forensics.records.jsontext import exact_float, exact_int

RECORD_BYTES_MAX = 1 << 20
DEPTH_MAX = 64

#: Lines that the fast parser would not keep as written, or whose keys cannot be counted: a decimal
#: of 18 or more digits, an exponent below -99, an integer minus zero, a space before a colon. Each
#: alternative begins where a number begins, which keeps RE2's automaton small and fast.
CAREFUL = r"[^0-9.](?:0\.0*[1-9][0-9]{17}|[1-9][0-9.]{18})|[eE]-[0-9]{3}|-0[,}\]\s]|\s:"

_fast = msgspec.json.Decoder()


class Refused(Exception):
    """A line that cannot become a record; the message says why."""


def too_long(size: int) -> str:
    """Why a record of ``size`` bytes is none."""
    return f"the record has {size:,} bytes, more than {RECORD_BYTES_MAX:,}"


def decode(
    line: bytes, *, careful: bool = True, bytes_max: int = RECORD_BYTES_MAX
) -> dict[str, Any]:
    """The record that ``line`` holds.

    Args:
        line: one JSON object, without its line end.
        careful: take the slow parser; False only for a line that :data:`CAREFUL` does not match.
        bytes_max: how long it may be.

    Raises:
        Refused: when the line is too long, no JSON, no object, nested deeper than
            :data:`DEPTH_MAX`, or has a key twice in one object.
    """
    if len(line) > bytes_max:
        raise Refused(too_long(len(line)))
    if careful:
        return _decode_slowly(line)
    try:
        record = _fast.decode(line)
    except RecursionError:
        raise Refused(f"nested deeper than {DEPTH_MAX}") from None
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return _decode_slowly(line)
    # Every key is followed by a colon; a key that was lost, or a quote and colon that only look
    # like a key, makes the counts differ, and then the slow parser decides.
    if type(record) is dict and line.count(b'":') == _keys(record, 1):
        return record
    return _decode_slowly(line)


def _keys(value: Any, depth: int) -> int:
    """Number of keys in all objects within ``value``."""
    if depth > DEPTH_MAX:
        raise Refused(f"nested deeper than {DEPTH_MAX}")
    if type(value) is dict:
        count = len(value)
        children = value.values()
    else:
        count = 0
        children = value
    for child in children:
        if type(child) is dict or type(child) is list:
            count += _keys(child, depth + 1)
    return count


def _decode_slowly(line: bytes) -> dict[str, Any]:
    try:
        text = line.decode("utf-8")
    except UnicodeDecodeError as error:
        raise Refused(f"not UTF-8 at byte {error.start}: 0x{line[error.start]:02x}") from None
    try:
        record = _slow.decode(text)
    except RecursionError:
        raise Refused(f"nested deeper than {DEPTH_MAX}") from None
    except json.JSONDecodeError as error:
        problem = error.msg.removesuffix(" at")
        raise Refused(f"not JSON: {problem} at character {error.pos + 1}") from None
    if type(record) is not dict:
        raise Refused(f"a JSON {_TYPE_NAMES.get(type(record), 'value')}, expected an object")
    _keys(record, 1)
    return record


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        names = [name for name, _ in pairs]
        twice = next(name for name in names if names.count(name) > 1)
        raise Refused(f"the key {printable(twice)} stands twice in one object")
    return result


#: Decimals of up to so many digits are taken as the nearest double, as the fast parser takes them;
#: their written form stands in the received bytes alone.
DOUBLE_DIGITS = 17


def _kept_float(text: str) -> float:
    value = exact_float(text)
    digits = text.lower().split("e")[0].replace(".", "").lstrip("-0").rstrip("0")
    plain = len(digits) <= DOUBLE_DIGITS and math.isfinite(value) and (value != 0 or not digits)
    return float(text) if plain else value


_slow = json.JSONDecoder(
    object_pairs_hook=_unique, parse_float=_kept_float, parse_int=exact_int, strict=True
)

_TYPE_NAMES = {list: "array", str: "string", int: "number", float: "number", bool: "boolean"}


def printable(text: str, limit: int = 60) -> str:
    """``text`` in quotes for a message: escaped, and cut at ``limit`` characters."""
    shown = text if len(text) <= limit else text[: limit - 1] + "…"
    return json.dumps(shown, ensure_ascii=not shown.isprintable())
