"""Reads the UBJSON that XGBoost writes, as far as it writes it.

UBJSON draft 12 with XGBoost's signed and strongly typed arrays; numbers are big-endian. Read here,
rather than asking the library for JSON, because the file must be judged before it is loaded.
"""

from __future__ import annotations

import sys
from array import array

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

#: Marker of a number, and the code of :mod:`array` that holds it.
_NUMBERS = {b"i": "b", b"U": "B", b"I": "h", b"l": "i", b"L": "q", b"d": "f", b"D": "d"}
_LITERALS = {b"T": True, b"F": False, b"Z": None}
_DEPTH_MAX = 32
_CUT_SHORT = "the file is cut short"


def loads(data: bytes) -> Any:
    """The value in ``data``; typed arrays as :class:`array.array`, others as lists.

    Raises:
        ValueError: when ``data`` is not UBJSON, or is cut short.
    """
    value, end = _value(data, 0, 0)
    if end != len(data):
        raise ValueError(f"{len(data) - end} bytes follow the model")
    return value


def _value(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    marker = data[at : at + 1]
    at += 1
    if marker == b"[":
        return _array(data, at, depth + 1)
    if marker == b"{":
        return _object(data, at, depth + 1)
    if marker == b"S":
        text, at = _bytes(data, at)
        return text.decode(), at
    if marker in _NUMBERS:
        numbers, at = _numbers(data, at, marker, 1)
        return numbers[0], at
    if marker in _LITERALS:
        return _LITERALS[marker], at
    raise ValueError(f"unexpected byte {marker!r} at {at - 1}" if marker else _CUT_SHORT)


def _object(data: bytes, at: int, depth: int) -> tuple[dict[str, Any], int]:
    if depth > _DEPTH_MAX:
        raise ValueError("nested too deeply")
    found: dict[str, Any] = {}
    while data[at : at + 1] != b"}":
        key, at = _bytes(data, at)
        found[key.decode()], at = _value(data, at, depth)
    return found, at + 1


def _array(data: bytes, at: int, depth: int) -> tuple[Any, int]:
    if depth > _DEPTH_MAX:
        raise ValueError("nested too deeply")
    kind = b""
    if data[at : at + 1] == b"$":
        kind, at = data[at + 1 : at + 2], at + 2
    if data[at : at + 1] == b"#":
        count, at = _count(data, at + 1)
        if kind:
            return _numbers(data, at, kind, count)
        items = []
        for _ in range(count):
            item, at = _value(data, at, depth)
            items.append(item)
        return items, at
    items = []
    while data[at : at + 1] != b"]":
        item, at = _value(data, at, depth)
        items.append(item)
    return items, at + 1


def _bytes(data: bytes, at: int) -> tuple[bytes, int]:
    size, at = _count(data, at)
    end = at + size
    if end > len(data):
        raise ValueError(_CUT_SHORT)
    return data[at:end], end


def _count(data: bytes, at: int) -> tuple[int, int]:
    if data[at : at + 1] == b"L" and len(data) >= at + 9:  # all that XGBoost writes
        count, at = int.from_bytes(data[at + 1 : at + 9]), at + 9
    else:
        marker = data[at : at + 1]
        if marker not in _NUMBERS or marker in b"dD":
            raise ValueError(f"a length is expected at {at}" if marker else _CUT_SHORT)
        numbers, at = _numbers(data, at + 1, marker, 1)
        count = numbers[0]
    if not 0 <= count <= len(data):
        raise ValueError(f"a length of {count} at {at}")
    return count, at


def _numbers(data: bytes, at: int, kind: bytes, count: int) -> tuple[array[Any], int]:
    if kind not in _NUMBERS:
        raise ValueError(f"unexpected number type {kind!r} at {at}")
    found: array[Any] = array(_NUMBERS[kind])
    end = at + count * found.itemsize
    if end > len(data):
        raise ValueError(_CUT_SHORT)
    found.frombytes(data[at:end])
    if sys.byteorder == "little":
        found.byteswap()
    return found, end
