"""Arrow columns as numpy arrays and back, by their buffers.

pyarrow's own conversions import pandas wherever it is installed, which takes 0.25 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Looked up by number: comparing types by name takes as long as all else here.
_KINDS: dict[int, type[np.generic]] = {
    pa.from_numpy_dtype(kind).id: kind
    for kind in (
        np.int8, np.int16, np.int32, np.int64, np.uint8, np.uint16, np.uint32, np.uint64,
        np.float32, np.float64,
    )
}  # fmt: skip
_BOOLEAN = pa.bool_().id


def numbers(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """A column of numbers as a numpy array of its type: NaN where a float is null, 0 an integer.

    Booleans become uint8, decimals and other numbers float64. Not copied where it need not be.
    """
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks == 1:
            return numbers(column.chunk(0))
        parts = [numbers(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.zeros(0)
    kind = _KINDS.get(column.type.id)
    if kind is None:
        is_boolean = column.type.id == _BOOLEAN
        column = column.cast(pa.uint8() if is_boolean else pa.float64(), safe=False)
        kind = np.uint8 if is_boolean else np.float64
    data = column.buffers()[1]
    nothing = np.nan if issubclass(kind, np.floating) else 0
    if data is None:
        return np.full(len(column), nothing, kind)
    offset = column.offset * np.dtype(kind).itemsize if column.offset else 0
    found: NDArray[Any] = np.frombuffer(data, kind, len(column), offset)
    if not column.null_count:
        return found
    return np.where(valid(column), found, np.array(nothing, kind))


def floats(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """As :func:`numbers`, with NaN wherever there is none; what has nulls is float64 at least."""
    if column.null_count and not pa.types.is_floating(column.type):
        column = column.cast(pa.uint8()) if column.type.id == _BOOLEAN else column
        column = column.cast(pa.float64(), safe=False)
    return numbers(column)


def valid(array: pa.Array) -> NDArray[np.bool_]:
    """Where an array is not null."""
    bitmap = array.buffers()[0]
    if bitmap is None or not array.null_count:
        return np.full(len(array), array.null_count == 0)
    bits = np.unpackbits(np.frombuffer(bitmap, np.uint8), bitorder="little")
    return bits[array.offset : array.offset + len(array)].astype(np.bool_)


def places(column: pa.DictionaryArray) -> NDArray[Any]:
    """The places of a column's values in its dictionary; the place after the last one for null."""
    found = numbers(column.indices)
    if column.indices.null_count:
        found = np.where(valid(column.indices), found, len(column.dictionary))
    return found


def different(column: pa.Array) -> tuple[NDArray[np.int32], list[Any]]:
    """The different values of a column, and the place of each row's, -1 for null."""
    encoded = column.dictionary_encode()
    values = encoded.dictionary.to_pylist()
    codes = places(encoded)
    return np.where(codes == len(values), -1, codes).astype(np.int32), values


def column(values: NDArray[Any]) -> pa.Array:
    """A numpy array of numbers as an Arrow array that shares its memory; NaN stays NaN."""
    values = np.ascontiguousarray(values)
    kind = pa.from_numpy_dtype(values.dtype)
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
