"""Whether what a record says of its score agrees: the number, its exact bytes and their type.

The bytes are the value as computed. The number beside them says the same when it is that value, or
the float32 nearest to it, either in full or rounded to six or more digits: in all, or after the
point. Anything else is a contradiction, as are bytes that are not as many as the type has, and a
number that no value of the type is written as. Without a type four bytes are a float32 and eight a
float64; others say nothing. The sign of a zero and the bits of a NaN do not count.
"""

from __future__ import annotations

import math
import struct

_CODES = {"float32": "<f", "float64": "<d", "int64": "<q"}
SIZES = {"float32": 4, "float64": 8, "int64": 8}
_BY_SIZE = {4: "float32", 8: "float64"}
#: A number with fewer digits than these is no rendering of a score, unless it is exact.
_DIGITS = 6


def contradiction(number: float | None, raw: bytes | None, dtype: str | None) -> str | None:
    """Which two of a score's number, bytes and type contradict each other; None where none do.

    Args:
        number: the recorded score.
        raw: its recorded bytes, little-endian.
        dtype: its recorded type: ``float32``, ``float64`` or ``int64``.
    """
    if raw is None:
        if number is None or dtype is None or _is_written(number, dtype):
            return None
        return f"score is {number}, which no {dtype} is"
    if dtype in SIZES and len(raw) != SIZES[dtype]:
        return f"score_bytes has {len(raw)} bytes, and score_dtype {dtype} has {SIZES[dtype]}"
    held = dtype or _BY_SIZE.get(len(raw))
    if number is None or held not in SIZES:
        return None
    (value,) = struct.unpack(_CODES[held], raw)
    if _says(number, value, held):
        return None
    return f"score is {number}, and score_bytes are those of {value} as {held}"


def _is_written(number: float, dtype: str) -> bool:
    """Whether a value of a type may be written as ``number``."""
    if dtype == "int64":
        exact = _whole(number)
        return exact is not None and -(1 << 63) <= exact < 1 << 63
    return dtype != "float32" or math.isfinite(_float32(number)) or not math.isfinite(number)


def _says(number: float, value: float, dtype: str) -> bool:
    if dtype == "int64":
        return _whole(number) == value
    as_double = float(number)
    if as_double == value or (as_double != as_double and value != value):
        return True
    if not (math.isfinite(as_double) and math.isfinite(value)):
        return False
    nearest = _float32(value)
    if dtype == "float32" and _float32(as_double) == value:
        return True
    return as_double == nearest or _is_rounded(as_double, value) or _is_rounded(as_double, nearest)


def _is_rounded(number: float, value: float) -> bool:
    """Whether ``number`` is ``value`` rounded to where it ends, or to more digits than it has."""
    from decimal import Decimal

    if not math.isfinite(value):
        return False
    written, exact = Decimal(repr(number)).normalize(), Decimal(value)
    ends = written.as_tuple().exponent
    assert isinstance(ends, int)  # of what is finite
    coarsest = max(-_DIGITS, exact.adjusted() - _DIGITS + 1)
    return abs(written - exact) <= Decimal(5).scaleb(min(ends, coarsest) - 1)


def _whole(number: float) -> int | None:
    """The whole number that ``number`` is, by its written form where that says more."""
    from decimal import Decimal

    if not math.isfinite(number):
        return None
    exact = Decimal(str(number))
    return int(exact) if exact == exact.to_integral_value() else None


def _float32(value: float) -> float:
    try:
        (found,) = struct.unpack("<f", struct.pack("<f", value))
    except OverflowError:
        return math.copysign(math.inf, value)
    return float(found)
