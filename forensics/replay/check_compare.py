"""A model's answers beside the expected ones, column by column."""

from __future__ import annotations

import math
import struct
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from forensics.errors import UsageError
from forensics.replay.check_rows import Table
from forensics.replay.client import ModelDescription

#: Largest difference that is no difference, by type of the answer; relative to the expected value,
#: absolute where that is below 1.
TOLERANCE = {"f": 1e-6, "d": 1e-12}

#: Columns whose values are labels where there are columns of probabilities beside them.
_LABELS = ("_target", "label", "predicted", "prediction", "target", "y")
#: Columns of the one value that a model answers.
_VALUES = ("_target", "expected", "prediction", "score", "value", "y")


@dataclass(frozen=True, slots=True)
class Comparison:
    """One column of the expected values beside the answers.

    ``largest_absolute``, ``largest_relative`` and ``largest_ulps`` (units in the last place of the
    answer's type) are None for labels, and ``worst_row`` where all are equal. Rows count from 1.
    """

    column: str
    count: int
    bit_equal: int
    within: bool
    largest_absolute: float | None
    largest_relative: float | None
    largest_ulps: int | None
    worst_row: int | None
    expected: float | str | None
    answered: float | str | None


def compare(
    expected: Table,
    answers: Sequence[array[float]],
    description: ModelDescription,
    tolerance: float,
) -> tuple[tuple[Comparison, ...], tuple[str, ...]]:
    """A comparison for each column of ``expected`` that the model answers, and names of the others.

    Args:
        expected: a row for each answer.
        answers: one array for each of the model's outputs.
        description: the model's.
        tolerance: see :data:`TOLERANCE`.

    Raises:
        UsageError: when the model answers none of the columns, or one is not of numbers.
    """
    found, passed_over = [], []
    classes = _classes(description)
    probabilities = any(name.startswith("probability(") for name in expected.columns)
    for name, column in expected.columns.items():
        is_label = name.lower() in _LABELS and bool(classes)
        if is_label and (probabilities or _are_labels(column, classes)):
            found.append(_labels(name, column, answers, classes))
            continue
        answered = _answered(name, answers, classes, len(expected.columns) == 1)
        if answered is None:
            passed_over.append(name)
        else:
            code = description.score_dtype
            found.append(_differences(name, column, answered, code, tolerance))
    if not found:
        known = f" for the classes {', '.join(classes)}" if classes else ""
        raise UsageError(
            f"No column of the expected values is known: {', '.join(passed_over)}.",
            f"The model has {len(answers)} outputs{known}.",
            "Name them probability(LABEL), output(N), score or prediction.",
        )
    return tuple(found), tuple(passed_over)


def _classes(description: ModelDescription) -> tuple[str, ...]:
    """Labels by output, two for the probability of the second; numbers where the file has none."""
    if description.classes:
        return description.classes
    if description.outputs == 1:
        return ("0", "1") if description.link == "logit" else ()
    if description.link == "softmax":
        return tuple(str(at) for at in range(description.outputs))
    return ()


def _answered(
    name: str, answers: Sequence[array[float]], classes: Sequence[str], alone: bool
) -> Sequence[float] | None:
    """What the model answered to a column of the expected values; None if it is none."""
    inner = name[name.find("(") + 1 : -1] if name.endswith(")") else ""
    if name.startswith("output(") and inner.isdigit() and int(inner) < len(answers):
        return answers[int(inner)]
    label = inner if name.startswith("probability(") else name
    for at, known in enumerate(classes):
        if _same_label(label, known):
            if len(classes) == len(answers):
                return answers[at]
            return answers[0] if at else array(answers[0].typecode, [1 - p for p in answers[0]])
    if len(answers) == 1 and (alone or name.lower() in _VALUES):
        return answers[0]
    return None


def _same_label(left: str, right: str) -> bool:
    """Whether two labels are the same text, or the same number: 0 and 0.0."""
    try:
        return left == right or float(left) == float(right)
    except ValueError:
        return False


def _are_labels(column: Sequence[Any], classes: Sequence[str]) -> bool:
    return all(any(_same_label(str(cell), known) for known in classes) for cell in set(column))


def _labels(
    name: str, column: Sequence[Any], answers: Sequence[array[float]], classes: Sequence[str]
) -> Comparison:
    """The most probable class beside the expected one."""
    if len(answers) == 1:
        found = [classes[value > 0.5] for value in answers[0]]
    else:
        rows = zip(*answers, strict=True)
        found = [classes[max(range(len(row)), key=row.__getitem__)] for row in rows]
    wrong = [
        row for row, (cell, label) in enumerate(zip(column, found, strict=True))
        if not _same_label(str(cell), label)
    ]  # fmt: skip
    first = wrong[0] if wrong else None
    return Comparison(
        column=name,
        count=len(found),
        bit_equal=len(found) - len(wrong),
        within=not wrong,
        largest_absolute=None,
        largest_relative=None,
        largest_ulps=None,
        worst_row=None if first is None else first + 1,
        expected=None if first is None else str(column[first]),
        answered=None if first is None else found[first],
    )


def _differences(
    name: str, column: Sequence[Any], answered: Sequence[float], code: str, tolerance: float
) -> Comparison:
    equal, worst, within = 0, -1, True
    largest, relative, ulps = 0.0, 0.0, 0
    for row, (cell, found) in enumerate(zip(column, answered, strict=True)):
        expected = _expected(name, row, cell)
        if expected == found or (expected != expected and found != found):
            equal += 1
            continue
        steps = abs(_ordered(expected, code) - _ordered(found, code))
        if steps == 0:  # the same number of the answer's type, written with more digits
            equal += 1
            continue
        apart = abs(found - expected)
        if apart != apart:  # one of them is NaN
            apart = math.inf
        within = within and apart <= tolerance * max(1.0, abs(expected))
        if worst < 0 or apart > largest:
            worst, largest = row, apart
        relative = max(relative, apart / abs(expected) if expected else math.inf)
        ulps = max(ulps, steps)
    differs = worst >= 0
    return Comparison(
        column=name,
        count=len(answered),
        bit_equal=equal,
        within=within,
        largest_absolute=largest,
        largest_relative=relative,
        largest_ulps=ulps,
        worst_row=worst + 1 if differs else None,
        expected=float(column[worst]) if differs else None,
        answered=answered[worst] if differs else None,
    )


def _expected(name: str, row: int, cell: Any) -> float:
    try:
        return float(cell)
    except ValueError:
        raise UsageError(
            f"Column {name} of the expected values is not of numbers.",
            f"Row {row + 1:,} has {str(cell)[:40]!r}.",
        ) from None


def _ordered(value: float, code: str) -> int:
    """A whole number for each number of a type, in their order."""
    integer = "<i" if code == "f" else "<q"
    try:
        packed = struct.pack(f"<{code}", value)
    except OverflowError:
        packed = struct.pack(f"<{code}", float("inf") if value > 0 else float("-inf"))
    (bits,) = struct.unpack(integer, packed)
    lowest = -(1 << (31 if code == "f" else 63))
    return int(bits) if bits >= 0 else lowest - int(bits)
