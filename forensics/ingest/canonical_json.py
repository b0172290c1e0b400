"""Canonical JSON (RFC 8785): one text for all spellings of one value, to tell equal ones by.

Keys are sorted by their UTF-16 code units, nothing stands between tokens, text is escaped only
where it must be, and numbers are written as ECMAScript writes doubles. What the RFC leaves out is
kept apart too: a number that no double holds stays as it was written, since rounding would make
different ones equal; NaN and the infinities, which Python writes, stand as bare words; and half a
surrogate pair is escaped, as ECMAScript has done since 2019.
"""

from __future__ import annotations

import json
import math
import re
from typing import Any

import msgspec

from forensics.records.decision import ExactNumber
from forensics.records.jsontext import HALF_PAIR, is_text, number_text

#: First bytes of UTF-8 characters from U+E000 on, where the orders by code point and by UTF-16
#: code unit part.
_HIGH = bytes(range(0xEE, 0x100))
#: Up to here a double and an integer of the same value have the same digits.
_WHOLE_MAX = 1 << 53
#: Sizes of fractions that every program writes without an exponent.
_PLAIN = (1e-4, 1e15)
_sorting = msgspec.json.Encoder(order="sorted")
_keeping = msgspec.json.Encoder()


def canonical(value: Any) -> bytes:
    """``value``, decoded JSON, as canonical JSON in UTF-8.

    Raises:
        ValueError: when a key has half a surrogate pair.
    """
    plain = _with_numbers(value)
    try:
        text = _sorting.encode(plain)
    except UnicodeEncodeError:
        plain = _escaped(plain)
        text = _sorting.encode(plain)
    if not text.isascii() and len(text.translate(None, _HIGH)) != len(text):
        text = _keeping.encode(_in_order(plain))
    return text


def _with_numbers(value: Any) -> Any:
    """``value`` with each number that the encoder would write otherwise as what is to be written.

    It is ``value`` itself where there is none.
    """
    kind = type(value)
    if kind is dict:
        items, changed = value.items(), None
    elif kind is list:
        items, changed = enumerate(value), None
    else:
        return _number(value) if isinstance(value, float) else value
    for key, child in items:
        kind = type(child)
        if kind is dict or kind is list:
            new = _with_numbers(child)
            if new is child:
                continue
        elif kind is float:
            if child.is_integer() and -_WHOLE_MAX <= child <= _WHOLE_MAX:
                new = int(child)
            elif _PLAIN[0] <= abs(child) < _PLAIN[1]:
                continue
            else:
                new = _number(child)
        elif kind is ExactNumber:
            new = _number(child)
        else:
            continue
        if changed is None:
            changed = value.copy()
        changed[key] = new
    return value if changed is None else changed


def _number(value: float) -> msgspec.Raw:
    if isinstance(value, ExactNumber):
        return msgspec.Raw(str(value).encode())
    text = _ecmascript(value) if math.isfinite(value) else number_text(value)
    return msgspec.Raw(text.encode())


def _ecmascript(value: float) -> str:
    """``value`` as ECMAScript's Number::toString writes it: the shortest digits that read back."""
    if value == 0:
        return "0"
    sign = "-" if value < 0 else ""
    mantissa, _, exponent = repr(abs(value)).partition("e")
    whole, _, fraction = mantissa.partition(".")
    fraction = "" if fraction == "0" else fraction
    point = len(whole) + int(exponent or 0)
    digits = whole + fraction
    leading = len(digits) - len(digits.lstrip("0"))
    digits, point = digits[leading:].rstrip("0"), point - leading
    count = len(digits)
    if count <= point <= 21:
        return sign + digits + "0" * (point - count)
    if 0 < point <= 21:
        return f"{sign}{digits[:point]}.{digits[point:]}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    rest = f".{digits[1:]}" if count > 1 else ""
    return f"{sign}{digits[0]}{rest}e{point - 1:+d}"


def _escaped(value: Any) -> Any:
    """``value`` with halves of surrogate pairs in its texts escaped."""
    if type(value) is str:
        if is_text(value):
            return value
        return msgspec.Raw(HALF_PAIR.sub(_escape, json.encoder.encode_basestring(value)).encode())
    if type(value) is dict:
        if not all(map(is_text, value)):
            raise ValueError("a key has half a surrogate pair, which is no text")
        return {key: _escaped(item) for key, item in value.items()}
    return [_escaped(item) for item in value] if type(value) is list else value


def _escape(half: re.Match[str]) -> str:
    return f"\\u{ord(half.group()):04x}"


def _in_order(value: Any) -> Any:
    if type(value) is dict:
        return {key: _in_order(value[key]) for key in sorted(value, key=_utf16)}
    return [_in_order(item) for item in value] if type(value) is list else value


def _utf16(text: str) -> bytes:
    return text.encode("utf-16-be", "surrogatepass")
