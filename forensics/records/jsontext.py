"""JSON text that keeps every number as it was written.

The standard encoder cannot write a number that no Python type holds, and writes NaN as a token that
strict readers refuse. Here exact numbers are written digit by digit, and non-finite ones either as
Python writes them (to keep received values as they were) or, for strict readers, as the strings
"NaN", "Infinity" and "-Infinity", as ProtoJSON does.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any

from forensics.records.decision import ExactNumber

#: Up to here a double holds every whole number.
INTEGER_MAX = 1 << 53


def _quoted(text: str) -> str:
    """``text`` as a JSON string in which nothing is active on a terminal, nor breaks a line."""
    quoted = json.encoder.encode_basestring(text)
    if quoted.isprintable():
        return quoted
    return "".join(c if c.isprintable() else json.dumps(c)[1:-1] for c in quoted)


def dumps(value: Any, *, strict: bool = True) -> str:
    """``value`` as compact JSON.

    Args:
        value: mappings, sequences, text, numbers, booleans, None, times, bytes (as hexadecimal).
        strict: write non-finite numbers as strings, so that any JSON reader takes the text.
    """
    if value is None:
        return "null"
    if value is True or value is False:
        return "true" if value else "false"
    if isinstance(value, ExactNumber):
        return str(value)
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return (
            number_text(value) if math.isfinite(value) or not strict else f'"{number_text(value)}"'
        )
    if isinstance(value, datetime):
        return f'"{time_text(value)}"'
    if isinstance(value, date):
        return f'"{value.isoformat()}"'
    if isinstance(value, bytes):
        return f'"{value.hex()}"'
    if isinstance(value, Mapping):
        items = (f"{_quoted(str(key))}:{dumps(item, strict=strict)}" for key, item in value.items())
        return "{" + ",".join(items) + "}"
    return "[" + ",".join(dumps(item, strict=strict) for item in value) + "]"


def number_text(value: float) -> str:
    """The shortest text that reads back as ``value``; whole numbers without a point, but -0.0."""
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    if value.is_integer() and abs(value) < 1e16 and (value or math.copysign(1, value) > 0):
        return str(int(value))
    return repr(value)


def time_text(time: datetime) -> str:
    """A time in UTC as ISO 8601 with a Z, with as many digits as it needs."""
    time = time.astimezone(UTC).replace(tzinfo=None)
    return time.isoformat(timespec="auto") + "Z"


#: Half of a surrogate pair: a JSON escape can write one, UTF-8 cannot.
HALF_PAIR = re.compile("[\ud800-\udfff]")


def is_text(value: str) -> bool:
    """Whether UTF-8 can say ``value``: it has no half of a surrogate pair."""
    return value.isascii() or HALF_PAIR.search(value) is None


def exact_float(text: str) -> float:
    """``text``, a JSON number with a point or exponent, as a float; exact where that is rounded."""
    value = float(text)
    written = repr(value)
    if written == text:
        return value
    from decimal import Decimal

    if math.isfinite(value) and Decimal(written) == Decimal(text):
        return value  # the same number in other words, as 1.50 or 1e2
    return ExactNumber(text)


def exact_int(text: str) -> int | float:
    """``text``, a JSON number without point or exponent, as the number it says."""
    if text == "-0":
        return -0.0
    if len(text) > 4000:  # Python refuses to convert integers of more digits
        return ExactNumber(text)
    return int(text)


def loads(text: str) -> Any:
    """What ``text`` says, with numbers that no built-in type holds as :class:`ExactNumber`."""
    return json.loads(text, parse_float=exact_float, parse_int=exact_int)
