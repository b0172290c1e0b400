"""Decisions whose score contradicts itself: they are refused, since no verdict on one would hold.

What a contradiction is, :mod:`forensics.records.score` says; here whole columns are looked at, so
that only rows which are not at a glance free of it are asked one by one.
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc

from forensics.ingest.columns import Gathered
from forensics.records.decision import ExactNumber
from forensics.records.score import SIZES, contradiction

_FLOATS = {"float32": pa.float32(), "float64": pa.float64()}
_FLOAT32_MAX = 3.4028234663852886e38


def refuse_contradictions(columns: Mapping[str, pa.Array], found: Gathered) -> None:
    """Name the rows whose score, its bytes and its type contradict each other.

    Args:
        columns: of decisions; ``score``, ``score_bytes`` and ``score_dtype`` are looked at.
        found: rows that are wrong already are left as they are.
    """
    number, digits, dtype = (columns[name] for name in ("score", "score_bytes", "score_dtype"))
    if digits.null_count == len(digits) and dtype.null_count == len(dtype):
        return
    for row in pc.indices_nonzero(_suspects(number, digits, dtype)).to_pylist():
        if row in found.problems:
            continue
        written = found.exact.get(row, {}).get("score")
        said = number[row].as_py() if written is None else ExactNumber(written)
        text = digits[row].as_py()
        raw = None if text is None else bytes.fromhex(text)
        why = contradiction(said, raw, dtype[row].as_py())
        if why is not None:
            found.problem(row, why)


def _suspects(number: pa.Array, digits: pa.Array, dtype: pa.Array) -> pa.BooleanArray:
    """Rows that are not at a glance free of contradictions."""
    size = pc.fill_null(pc.binary_length(digits), 0)
    held = pc.coalesce(
        dtype, pc.case_when(pc.make_struct(pc.equal(size, 8), pc.equal(size, 16)), *_FLOATS)
    )
    beyond = pc.fill_null(pc.greater(pc.abs(number), _FLOAT32_MAX), False)
    suspects = pc.or_(pc.greater(size, 0), pc.and_(dtype.is_valid(), beyond))
    suspects = pc.or_(suspects, pc.fill_null(pc.equal(dtype, "int64"), False))
    for name, type_ in _FLOATS.items():
        own = pc.fill_null(pc.and_(pc.equal(held, name), pc.equal(size, 2 * SIZES[name])), False)
        if own.true_count:
            suspects = pc.replace_with_mask(
                suspects, own, _odd(number.filter(own), digits.filter(own), type_)
            )
    return suspects


def _odd(number: pa.Array, digits: pa.Array, type_: pa.DataType) -> pa.BooleanArray:
    """Rows whose number is not at a glance what their bytes are, in full or as float32."""
    try:
        raw = bytes.fromhex("".join(digits.to_pylist()))
    except ValueError:  # one of them is no hexadecimal, which was named already
        return pa.repeat(True, len(number))
    values = pa.Array.from_buffers(type_, len(number), [None, pa.py_buffer(raw)])
    same = pc.equal(values.cast(pa.float64()), number)
    if pa.types.is_float32(type_) and not pc.all(same).as_py():
        as_float32 = pc.equal(number.cast(type_, safe=False), values)
        same = pc.or_(same, pc.and_(as_float32, pc.is_finite(values)))
    return pc.invert(pc.fill_null(same, True))  # without a number there is nothing to contradict
