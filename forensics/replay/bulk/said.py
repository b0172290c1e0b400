"""What recorded steps answered, as columns: outcome and rule, or the value of a step between."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forensics.lake.arrow import numbers as arrow_numbers
from forensics.lake.batches import Batch
from forensics.replay.steps import same_value, value_said

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]

OUTPUTS = "steps.outputs"


class Said(NamedTuple):
    """The outputs of one step: ``values[codes[row]]`` is what they say, parsed; -1 for nothing."""

    codes: NDArray[np.int32]
    values: list[Mapping[str, Any]]


def said_by(batch: Batch, place: int, rows: Longs | None) -> Said:
    """What the step that stands at ``place`` in all of ``rows`` answered."""
    batch.load([OUTPUTS])
    texts = batch.item_texts(OUTPUTS, place, rows)
    return Said(texts.codes, [_parsed(text) for text in texts.values])


def _parsed(text: str) -> Mapping[str, Any]:
    try:
        found = json.loads(text)
    except (ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}


def said_rule(outputs: Mapping[str, Any]) -> str | None:
    """The rule that a step says has decided; None where it says none."""
    rule = outputs.get("rule", outputs.get("rule_id"))
    return rule if isinstance(rule, str) else None


def differs(said: Said, replayed: Any) -> NDArray[np.bool_]:
    """Where a step's recorded value is not the replayed one; nothing recorded differs from none.

    Args:
        said: by row.
        replayed: a column: an Arrow array, a numpy array or a list.
    """
    values = [value_said(outputs) for outputs in said.values]
    count = len(said.codes)
    numbers = np.full(len(values) + 1, np.nan)
    is_number = np.zeros(len(values) + 1, np.bool_)
    known = np.zeros(len(values) + 1, np.bool_)
    for at, value in enumerate(values):
        known[at] = value is not None
        if isinstance(value, (int, float)) and not isinstance(value, bool):
            numbers[at], is_number[at] = value, True
    if not known.any():
        return np.zeros(count, np.bool_)
    column = replayed.to_pylist() if hasattr(replayed, "to_pylist") else replayed
    floats = _floats(replayed)
    if floats is not None and is_number[: len(values)][known[: len(values)]].all():
        mine = numbers[said.codes]
        with np.errstate(over="ignore", invalid="ignore"):
            same = (mine == floats) | _same_bits(mine, floats)
        found: NDArray[np.bool_] = known[said.codes] & ~same
        return found
    return np.array(
        [
            code >= 0 and known[code] and not same_value(values[code], value)
            for code, value in zip(said.codes, column, strict=True)
        ],
        np.bool_,
    )


def _floats(column: Any) -> NDArray[np.float64] | None:
    """A column of floating-point numbers without nulls; None for any other."""
    if isinstance(column, np.ndarray):
        return column.astype(np.float64) if column.dtype.kind == "f" else None
    if hasattr(column, "null_count") and not column.null_count and str(column.type) == "double":
        found: NDArray[np.float64] = arrow_numbers(column)
        return found
    return None


def _same_bits(left: NDArray[np.float64], right: NDArray[np.float64]) -> NDArray[np.bool_]:
    bits = (np.ascontiguousarray(of.astype(np.float32)).view(np.int32) for of in (left, right))
    found: NDArray[np.bool_] = np.equal(*bits)
    return found
