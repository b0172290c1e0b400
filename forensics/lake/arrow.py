"""Arrow columns as numpy arrays and back, by their buffers.

pyarrow's own conversions import pandas wherever it is installed, which takes 0.25 s.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

if TYPE_CHECKING:
    from numpy.typing import NDArray

_WIDTHS = {
    "int8": np.int8,
    "int16": np.int16,
    "int32": np.int32,
    "int64": np.int64,
    "uint8": np.uint8,
    "uint16": np.uint16,
    "uint32": np.uint32,
    "uint64": np.uint64,
    "float": np.float32,
    "double": np.float64,
}


def numbers(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """A column of numbers as a numpy array of its type: NaN where a float is null, 0 an integer.

    Booleans become uint8, decimals and other numbers float64. Not copied where it need not be.
    """
    if isinstance(column, pa.ChunkedArray):
        if column.num_chunks == 1:
            return numbers(column.chunk(0))
        parts = [numbers(chunk) for chunk in column.chunks]
        return np.concatenate(parts) if parts else np.zeros(0)
    if pa.types.is_boolean(column.type):
        column = column.cast(pa.uint8())
    kind = _WIDTHS.get(str(column.type))
    if kind is None:
        column = column.cast(pa.float64(), safe=False)
        kind = np.float64
    data = column.buffers()[1]
    if data is None:
        return np.full(len(column), np.nan if kind in (np.float32, np.float64) else 0, kind)
    found: NDArray[Any] = np.frombuffer(
        data, kind, len(column), column.offset * np.dtype(kind).itemsize
    )
    if not column.null_count:
        return found
    nothing = np.nan if pa.types.is_floating(column.type) else 0
    return np.where(valid(column), found, np.array(nothing, kind))


def floats(column: pa.Array | pa.ChunkedArray) -> NDArray[Any]:
    """As :func:`numbers`, with NaN wherever there is none; what has nulls is float64 at least."""
    if column.null_count and not pa.types.is_floating(column.type):
        column = column.cast(pa.uint8()) if pa.types.is_boolean(column.type) else column
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
    types = {np.dtype(kind): name for name, kind in _WIDTHS.items()}
    kind = pa.type_for_alias(types[values.dtype])
    return pa.Array.from_buffers(kind, len(values), [None, pa.py_buffer(values)])
