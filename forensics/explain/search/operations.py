"""What each operation of an expression does with what its arguments can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from forensics.explain.search import intervals as iv
from forensics.explain.search.conditions import Call, Constant, Expression
from forensics.explain.search.intervals import Number, Truth
from forensics.explain.search.scenes import Part, Run, Scene, unknown_truth

_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "distinct")
_FUNCTIONS = frozenset(
    ["negative", "abs", "floor", "ceil", "round", "whole", "single", "exp", "ln", "log2", "log10",
     "sqrt"]
)  # fmt: skip


def operation(node: Call, parts: Sequence[Part]) -> tuple[Run, bool, bool]:
    """What runs an operation, and whether it gives a text or a truth."""
    name = node.operation
    if name in ("and", "or"):
        combine = iv.conjunction if name == "and" else iv.disjunction
        return lambda s: combine([iv.as_truth(part.run(s)) for part in parts]), False, True
    if name == "not":
        return lambda s: iv.negation(iv.as_truth(parts[0].run(s))), False, True
    if name == "isnull":
        return lambda s: _is_null(parts[0].run(s)), False, True
    if name in _COMPARISONS:
        a, b = parts
        singles = [is_single(argument) for argument in node.arguments]
        if a.text != b.text and not (a.nothing or b.nothing):
            return unknown_truth, False, True

        def compared(scene: Scene) -> Truth:
            left, right = iv.as_number(a.run(scene)), iv.as_number(b.run(scene))
            # A literal beside a float32 is taken for one, and a value of another type is not.
            if singles[0] and isinstance(node.arguments[1], Constant):
                right = iv.about_single(right)
            if singles[1] and isinstance(node.arguments[0], Constant):
                left = iv.about_single(left)
            return iv.compare(name, left, right)

        return compared, False, True
    if name == "case":
        return _case(parts)
    text = any(part.text for part in parts)
    if name in ("coalesce", "nullif"):
        if len({part.text for part in parts if not part.nothing}) > 1:
            return lambda s: iv.UNKNOWN_NUMBER, False, False
        combined = _coalesce if name == "coalesce" else _nullif
        return lambda s: combined(_numbers(parts, s)), text, False
    if text:
        return lambda s: iv.UNKNOWN_NUMBER, False, False
    if name in ("least", "greatest"):
        return lambda s: iv.extreme(name, _numbers(parts, s)), False, False
    if name in _FUNCTIONS:
        places = node.arguments[1] if len(node.arguments) == 2 else Constant(0.0)
        digits = places.value if isinstance(places, Constant) else None
        if not isinstance(digits, float):
            return lambda s: iv.UNKNOWN_NUMBER, False, False
        return lambda s: iv.function(name, iv.as_number(parts[0].run(s)), digits), False, False
    if _in_single(node):
        return lambda s: iv.about_single(iv.arithmetic(name, *_numbers(parts, s))), False, False
    return lambda s: iv.arithmetic(name, *_numbers(parts, s)), False, False


def is_single(node: Expression) -> bool:
    """Whether an expression may give a float32, with which SQL calculates as such."""
    if not isinstance(node, Call) or node.operation in _COMPARISONS:
        return False
    if node.operation == "single":
        return True
    if node.operation == "case":
        return any(map(is_single, (*node.arguments[1::2], node.arguments[-1])))
    return not _is_double(node) and any(map(is_single, node.arguments))


def _in_single(node: Call) -> bool:
    return not _is_double(node) and any(map(is_single, node.arguments))


def _is_double(node: Call) -> bool:
    """Whether this is how a cast to DOUBLE is written."""
    return node.operation == "+" and node.arguments[-1] == Constant(0.0)


def _numbers(parts: Sequence[Part], scene: Scene) -> list[Number]:
    return [iv.as_number(part.run(scene)) for part in parts]


def _is_null(part: Number | Truth) -> Truth:
    value = part.value if isinstance(part, Number) else part.true | part.false
    return Truth(part.null, value, np.asarray(False))


def _case(parts: Sequence[Part]) -> tuple[Run, bool, bool]:
    conditions, values = parts[0:-1:2], [*parts[1::2], parts[-1]]
    truth = all(value.truth for value in values)
    text = any(value.text for value in values)
    if text and not all(value.text or value.nothing for value in values):
        return lambda s: iv.UNKNOWN_NUMBER, True, False

    def run(scene: Scene) -> Any:
        reached: list[tuple[Truth, Part]] = []
        last = values[-1]
        for condition, value in zip(conditions, values[:-1], strict=True):
            holds = iv.as_truth(condition.run(scene))
            if not np.any(holds.false | holds.null):  # whatever comes after has no part
                last = value
                break
            if np.any(holds.true):
                reached.append((holds, value))
        if truth:
            decided: Truth = last.run(scene)
            for holds, value in reached[::-1]:
                decided = iv.either_truth(holds, value.run(scene), decided)
            return decided
        found = iv.as_number(last.run(scene))
        for holds, value in reached[::-1]:
            found = iv.either(holds, iv.as_number(value.run(scene)), found)
        return found

    return run, text, truth


def _coalesce(parts: Sequence[Number]) -> Number:
    found = parts[-1]
    for part in parts[-2::-1]:
        null = np.asarray(part.null)
        present = Truth(np.asarray(part.value), null, np.asarray(False))
        found = iv.either(present, part._replace(null=np.asarray(False)), found)
    return found


def _nullif(parts: Sequence[Number]) -> Number:
    a, b = parts
    same = iv.compare("=", a, b)
    return Number(a.low, a.high, a.null | same.true, a.value & (same.false | same.null))
