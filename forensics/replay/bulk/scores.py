"""Recorded scores as columns, how near replayed ones are to them, and which contradict themselves.

The same comparison as :func:`forensics.replay.evidence.closeness`, and the same contradictions as
:func:`forensics.records.score.contradiction`, for many rows at once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forensics.lake.batches import Batch
from forensics.lake.texts import Texts
from forensics.records.score import contradiction

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Flags = NDArray[np.bool_]
    Near = NDArray[np.int8]

#: How near a replayed score is; ``NONE`` where no score was recorded.
NONE, EXACT, ULP, APART = range(4)
_FLOAT32, _FLOAT64, _INT64 = range(3)
_BYTES = np.array([4, 8, -1])
_FLOAT32_MAX = float(np.finfo(np.float32).max)


class Scores(NamedTuple):
    """The recorded scores of a batch.

    Rows of one type in which scores are compared: ``kinds`` has a type for each row, or is the type
    of all; ``bits`` holds the recorded bits, as int32 where all are float32, else as int64.
    ``misfits`` are rows whose bytes are not as many as their type has, ``unscored`` those without
    any score, ``contradicts`` those whose number, bytes and type do not agree; None where there
    are none. ``whole`` has the scores of rows of type int64.
    """

    kinds: NDArray[np.int8] | int
    bits: NDArray[np.int32] | NDArray[np.int64]
    misfits: Flags | None
    unscored: Flags | None
    contradicts: Flags | None
    whole: dict[int, int | float]

    def closeness(self, replayed: NDArray[Any], rows: NDArray[np.int64] | None = None) -> Near:
        """One of the constants above for each of ``rows`` (all where None), in their order."""
        bits = self.bits if rows is None else self.bits[rows]
        if isinstance(self.kinds, int):
            found = _near(bits, replayed, self.kinds)
        else:
            kinds = self.kinds if rows is None else self.kinds[rows]
            found = np.empty(len(bits), np.int8)
            for kind in (_FLOAT32, _FLOAT64):
                some = np.flatnonzero(kinds == kind)
                found[some] = _near(bits[some], replayed[some], kind)
            for at in np.flatnonzero(kinds == _INT64):
                whole = self.whole.get(int(at if rows is None else rows[at]))
                found[at] = EXACT if whole == replayed[at] else APART
        for flags, near in ((self.misfits, APART), (self.unscored, NONE)):
            if flags is not None:
                found[flags if rows is None else flags[rows]] = near
        return found


def recorded(batch: Batch) -> Scores:
    """The recorded scores of a batch; loads the columns that it needs."""
    batch.load(("score_bytes", "score_dtype", "score"))
    by_length = batch.hexadecimal("score_bytes")
    dtype = batch.texts("score_dtype")
    if len(by_length) == 1 and len(by_length[0][0]) == batch.rows:
        raw = by_length[0][1]
        numbers, there = _numbers(batch)
        constant = dtype is None or dtype.constant
        name = dtype.at(0) if dtype is not None and constant else None
        if constant and raw.shape[1] == 4 and name in (None, "float32"):
            bits = _bits(raw, "<i4")
            odd = _odd(numbers, there, bits)
            contradicts = _contradicting(odd, numbers, there, by_length, dtype)
            return Scores(_FLOAT32, bits, None, None, contradicts, {})
        if constant and raw.shape[1] == 8 and name in (None, "float64"):
            bits = _bits(raw, "<i8")
            odd = _odd(numbers, there, bits)
            contradicts = _contradicting(odd, numbers, there, by_length, dtype)
            return Scores(_FLOAT64, bits, None, None, contradicts, {})
    held = np.zeros(batch.rows, np.int64)  # bytes of each score
    for rows, raw in by_length:
        held[rows] = raw.shape[1]
    kinds = _kinds(dtype, held)
    numbers, there = _numbers(batch)
    bits = np.where(kinds == _FLOAT64, numbers.view(np.int64), 0)
    with np.errstate(over="ignore"):
        bits = np.where(kinds == _FLOAT32, numbers.astype(np.float32).view(np.int32), bits)
    whole: dict[int, int | float] = {int(row): numbers[row] for row in np.flatnonzero(kinds == 2)}
    for rows, raw in by_length:
        if raw.shape[1] in (4, 8):
            own = kinds[rows] == (_FLOAT32 if raw.shape[1] == 4 else _FLOAT64)
            bits[rows[own]] = _bits(raw[own], f"<i{raw.shape[1]}")
        for row, item in zip(rows, raw, strict=True) if whole else ():
            if int(row) in whole:
                whole[int(row)] = int.from_bytes(item.tobytes(), "little", signed=True)
    scored = (held > 0) | there
    misfits = (held > 0) & (kinds != _INT64) & (held != _BYTES[kinds])
    unscored = None if scored.all() else ~scored
    odd = (held > 0) | (kinds == _INT64) | (there & (np.abs(numbers) > _FLOAT32_MAX))
    for rows, raw in by_length:
        if raw.shape[1] in (4, 8):
            own = rows[kinds[rows] == (_FLOAT32 if raw.shape[1] == 4 else _FLOAT64)]
            held_bits = bits[own].astype(f"<i{raw.shape[1]}")
            odd[own] = _odd(numbers[own], there[own], held_bits)
    contradicts = _contradicting(odd & scored, numbers, there, by_length, dtype)
    return Scores(kinds, bits, misfits, unscored, contradicts, whole)


def _numbers(batch: Batch) -> tuple[NDArray[np.float64], Flags]:
    """The recorded scores as numbers, and which rows have one."""
    found = batch.numbers("score")
    if found is None:
        return np.full(batch.rows, np.nan), np.zeros(batch.rows, np.bool_)
    numbers, there = found
    return numbers, np.ones(batch.rows, np.bool_) if there is None else there


def _odd(
    numbers: NDArray[np.float64], there: Flags, bits: NDArray[np.int32] | NDArray[np.int64]
) -> Flags:
    """Rows whose number is not at a glance what their bits are."""
    values = bits.view(np.float32 if bits.itemsize == 4 else np.float64)
    odd: Flags = there & (numbers != values)
    if bits.itemsize == 4 and odd.any():
        with np.errstate(over="ignore"):
            odd &= (numbers.astype(np.float32) != values) | np.isinf(values)
    return odd


def _contradicting(
    odd: Flags,
    numbers: NDArray[np.float64],
    there: Flags,
    by_length: list[tuple[NDArray[np.int64], NDArray[np.uint8]]],
    dtype: Texts | None,
) -> Flags | None:
    """Of some rows those whose score contradicts itself; None where none does."""
    if not odd.any():
        return None
    held: dict[int, bytes] = {}
    for rows, raw in by_length:
        some = odd[rows]
        held.update(zip(rows[some].tolist(), map(bytes, raw[some]), strict=True))
    found = np.zeros(len(odd), np.bool_)
    for row in np.flatnonzero(odd).tolist():
        number = float(numbers[row]) if there[row] else None
        named = None if dtype is None else dtype.at(row)
        found[row] = contradiction(number, held.get(row), named) is not None
    return found if found.any() else None


def _kinds(dtype: Texts | None, held: NDArray[np.int64]) -> NDArray[np.int8]:
    """The type that each row's score is compared in: as recorded, else by the bytes it has."""
    by_bytes = np.where(held == 8, _FLOAT64, _FLOAT32).astype(np.int8)
    if dtype is None:
        return by_bytes
    named = {"float64": _FLOAT64, "int64": _INT64}
    table = np.array([*(named.get(text, _FLOAT32) for text in dtype.values), -1], np.int8)
    kinds = table[dtype.codes]
    return np.where(kinds < 0, by_bytes, kinds)


def _bits(raw: NDArray[np.uint8], type_: str) -> NDArray[np.int32] | NDArray[np.int64]:
    found: NDArray[np.int32] | NDArray[np.int64] = np.ascontiguousarray(raw).view(type_).reshape(-1)
    return found


def _near(bits: NDArray[np.int32] | NDArray[np.int64], replayed: NDArray[Any], kind: int) -> Near:
    """How near each of ``replayed`` is to the recorded bits of a type."""
    mine = replayed.astype(np.float64, copy=False)
    if kind == _FLOAT32:
        bits = bits.astype(np.int32, copy=False)
        with np.errstate(over="ignore"):
            mine = replayed.astype(np.float32, copy=False)
    mine_bits = np.ascontiguousarray(mine).view(bits.dtype)
    same = bits == mine_bits
    found = np.full(len(bits), EXACT, np.int8)
    if same.all():
        return found
    rows = np.flatnonzero(~same)
    left, right = bits[rows].view(mine.dtype), mine[rows]
    one = np.abs(bits[rows] - mine_bits[rows]) == 1
    one &= ((left < 0) == (right < 0)) & ~np.isnan(left) & ~np.isnan(right)
    found[rows] = np.where(one | (left == right), ULP, APART)  # zeros of both signs are equal
    return found
