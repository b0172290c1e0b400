"""Arithmetic and logic over ranges: what an expression may be while its inputs vary.

A number is a range that may also be NULL; a truth is the set of true, false and NULL that may come
out. Both hold arrays, one entry a box, or scalars that are the same for all boxes. The rules are
SQL's as DuckDB applies them: NaN is above every number, ``x / 0`` is infinite, ``least`` and
``greatest`` ignore NULL. Ranges never leave out a value that can occur.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

_YES, _NO = np.asarray(True), np.asarray(False)
#: Arithmetic here and in the real decision may differ in the last digits.
_SLACK = 1e-12
#: Likewise of a float32: half of its last digit's worth, and a little more.
_SINGLE_SLACK = 6.1e-8


class Number(NamedTuple):
    """From ``low`` to ``high`` unless it has no value; ``null`` where it may be NULL."""

    low: Any
    high: Any
    null: Any
    value: Any


class Truth(NamedTuple):
    """Which of true, false and NULL are possible."""

    true: Any
    false: Any
    null: Any


UNKNOWN_TRUTH = Truth(_YES, _YES, _YES)
UNKNOWN_NUMBER = Number(np.asarray(-np.inf), np.asarray(np.inf), _YES, _YES)


def number(value: float | None) -> Number:
    """A constant."""
    if value is None:
        return Number(np.asarray(np.inf), np.asarray(-np.inf), _YES, _NO)
    return Number(np.asarray(float(value)), np.asarray(float(value)), _NO, _YES)


def between(low: Any, high: Any) -> Number:
    """A number that is never NULL."""
    return Number(low, high, _NO, _YES)


def as_truth(part: Number | Truth) -> Truth:
    """A number is true unless it is 0."""
    if isinstance(part, Truth):
        return part
    never_zero = (part.low > 0) | (part.high < 0)
    only_zero = (part.low == 0) & (part.high == 0)
    return Truth(part.value & ~only_zero, part.value & ~never_zero, part.null)


def as_number(part: Number | Truth) -> Number:
    """True is 1 and false is 0."""
    if isinstance(part, Number):
        return part
    return Number(
        np.where(part.false, 0.0, 1.0), np.where(part.true, 1.0, 0.0), part.null,
        part.true | part.false,
    )  # fmt: skip


def negation(part: Truth) -> Truth:
    """NOT."""
    return Truth(part.false, part.true, part.null)


def conjunction(parts: Sequence[Truth]) -> Truth:
    """AND: false if any is, else NULL if any is."""
    true, false, nonfalse, null = _YES, _NO, _YES, _NO
    for part in parts:
        true = true & part.true
        false = false | part.false
        nonfalse = nonfalse & (part.true | part.null)
        null = null | part.null
    return Truth(true, false, null & nonfalse)


def disjunction(parts: Sequence[Truth]) -> Truth:
    """OR."""
    return negation(conjunction([negation(part) for part in parts]))


def compare(operation: str, a: Number, b: Number) -> Truth:
    """A comparison: NULL if a side is, but for ``distinct``."""
    both = a.value & b.value
    if operation in ("=", "<>", "distinct"):
        meet = (a.low <= b.high) & (b.low <= a.high)
        differ = ~((a.low == a.high) & (b.low == b.high) & (a.low == b.low))
        same, other = both & meet, both & differ
        if operation == "=":
            return Truth(same, other, a.null | b.null)
        if operation == "<>":
            return Truth(other, same, a.null | b.null)
        return Truth(other | (a.null & b.value) | (b.null & a.value), same | (a.null & b.null), _NO)
    if operation in (">", ">="):
        return compare("<" if operation == ">" else "<=", b, a)
    if operation == "<":
        true, false = a.low < b.high, a.high >= b.low
    else:
        true, false = a.low <= b.high, a.high > b.low
    return Truth(both & true, both & false, a.null | b.null)


def arithmetic(operation: str, a: Number, b: Number) -> Number:
    """Sum, difference, product or quotient, a little wider than exact unless all is whole."""
    whole = operation != "/"
    with np.errstate(all="ignore"):
        if operation == "+":
            low, high = a.low + b.low, a.high + b.high
        elif operation == "-":
            low, high = a.low - b.high, a.high - b.low
        elif operation == "*":
            low, high = _products(a, b)
        else:
            inverse = Number(1.0 / b.high, 1.0 / b.low, b.null, b.value)
            low, high = _products(a, inverse)
            # Through zero anything may come out; x / 0 is endless, and 0 / 0 above everything.
            zero = (b.low <= 0) & (b.high >= 0)
            only = (b.low == 0) & (b.high == 0) & ~np.signbit(b.low) & ~np.signbit(b.high)
            low = np.where(zero & ~(only & (a.low > 0)), -np.inf, np.where(zero, np.inf, low))
            high = np.where(zero & ~(only & (a.high < 0)), np.inf, np.where(zero, -np.inf, high))
    low = np.where(np.isnan(low), -np.inf, low)
    high = np.where(np.isnan(high), np.inf, high)
    slack = _SLACK * np.maximum(abs(low), abs(high))
    slack = np.where(np.isfinite(slack), slack, 0.0)
    if whole:
        exact = (np.rint(low) == low) & (np.rint(high) == high) & (slack < 1.0)
        slack = np.where(exact, 0.0, slack)
    # Rounding does not change signs.
    low, high = (
        np.where(low >= 0, np.maximum(low - slack, 0.0), low - slack),
        np.where(high <= 0, np.minimum(high + slack, 0.0), high + slack),
    )
    if operation in ("+", "-"):
        low, high = _kept_order(a, b if operation == "+" else function("negative", b), low, high)
    return Number(low, high, a.null | b.null, a.value & b.value)


def _kept_order(a: Number, b: Number, low: Any, high: Any) -> tuple[Any, Any]:
    """The ends of a sum, given that rounding keeps order: x + y is at least x where y is 0 or more.

    So a straight line that begins at a threshold does not fall below it.
    """
    for x, y in ((a, b), (b, a)):
        low = np.where(y.low >= 0, np.maximum(low, x.low), low)
        high = np.where(y.high <= 0, np.minimum(high, x.high), high)
    return low, high


def about_single(a: Number) -> Number:
    """A number that may have been rounded to float32 on its way."""
    low, high = (_SINGLE_SLACK * abs(np.asarray(end)) for end in (a.low, a.high))
    return Number(
        a.low - np.where(np.isfinite(low), low, 0.0),
        a.high + np.where(np.isfinite(high), high, 0.0),
        a.null, a.value,
    )  # fmt: skip


def _products(a: Number, b: Number) -> tuple[Any, Any]:
    corners = [a.low * b.low, a.low * b.high, a.high * b.low, a.high * b.high]
    corners = [np.where(np.isnan(corner), 0.0, corner) for corner in corners]
    return (
        np.minimum(np.minimum(corners[0], corners[1]), np.minimum(corners[2], corners[3])),
        np.maximum(np.maximum(corners[0], corners[1]), np.maximum(corners[2], corners[3])),
    )


def function(operation: str, a: Number, places: float = 0.0) -> Number:
    """A function of one number: rising ones by their ends, others by their shape."""
    with np.errstate(all="ignore"):
        if operation == "negative":
            return Number(-a.high, -a.low, a.null, a.value)
        if operation == "abs":
            crosses = (a.low <= 0) & (a.high >= 0)
            ends = abs(a.low), abs(a.high)
            return Number(
                np.where(crosses, 0.0, np.minimum(*ends)), np.maximum(*ends), a.null, a.value
            )
        if operation in ("floor", "ceil"):
            rounded = getattr(np, operation)
            return Number(rounded(a.low), rounded(a.high), a.null, a.value)
        if operation == "single":
            low, high = np.asarray(a.low, np.float32), np.asarray(a.high, np.float32)
            return Number(np.float64(low), np.float64(high), a.null, a.value)
        if operation in ("round", "whole"):
            unit = 10.0**-places
            low = np.floor(a.low / unit + 0.5 - 1e-9) * unit
            high = np.floor(a.high / unit + 0.5 + 1e-9) * unit
            slack = 0.0 if places <= 0 else _SLACK * np.maximum(abs(low), abs(high))
            return Number(low - slack, high + slack, a.null, a.value)
        rising = {"ln": np.log, "sqrt": np.sqrt}.get(operation) or getattr(np, operation)
        low, high = rising(a.low), rising(a.high)
    low = np.where(np.isnan(low), -np.inf, low)
    high = np.where(np.isnan(high) | np.isnan(low), np.inf, high)
    undefined = (operation != "exp") & np.asarray(a.low < 0)
    high = np.where(undefined, np.inf, high)  # NaN there, which is above every number
    slack_low, slack_high = _SLACK * abs(low), _SLACK * abs(high)
    return Number(
        low - np.where(np.isfinite(slack_low), slack_low, 0.0),
        high + np.where(np.isfinite(slack_high), slack_high, 0.0),
        a.null, a.value,
    )  # fmt: skip


def extreme(operation: str, parts: Sequence[Number]) -> Number:
    """``least`` or ``greatest``, which ignore NULL."""
    found = parts[0]
    pick = np.minimum if operation == "least" else np.maximum
    for part in parts[1:]:
        both_low, both_high = pick(found.low, part.low), pick(found.high, part.high)
        low = np.where(
            found.value & part.value, both_low, np.where(found.value, found.low, part.low)
        )
        high = np.where(
            found.value & part.value, both_high, np.where(found.value, found.high, part.high)
        )
        # Where one may be NULL the other alone may be what is left.
        low = np.where(part.null & found.value, np.minimum(low, found.low), low)
        low = np.where(found.null & part.value, np.minimum(low, part.low), low)
        high = np.where(part.null & found.value, np.maximum(high, found.high), high)
        high = np.where(found.null & part.value, np.maximum(high, part.high), high)
        found = Number(low, high, found.null & part.null, found.value | part.value)
    return found


def either(condition: Truth, a: Number, b: Number) -> Number:
    """``a`` where the condition is true, else ``b``."""
    first, second = condition.true, condition.false | condition.null
    take_a, take_b = first & a.value, second & b.value
    low = np.minimum(np.where(take_a, a.low, np.inf), np.where(take_b, b.low, np.inf))
    high = np.maximum(np.where(take_a, a.high, -np.inf), np.where(take_b, b.high, -np.inf))
    return Number(low, high, (first & a.null) | (second & b.null), take_a | take_b)


def either_truth(condition: Truth, a: Truth, b: Truth) -> Truth:
    """``a`` where the condition is true, else ``b``."""
    first, second = condition.true, condition.false | condition.null
    return Truth(
        (first & a.true) | (second & b.true),
        (first & a.false) | (second & b.false),
        (first & a.null) | (second & b.null),
    )
