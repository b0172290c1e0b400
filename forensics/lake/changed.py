"""Rows of a batch with other values of some features."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from forensics.lake.arrow import column as to_arrow
from forensics.lake.arrow import different, floats
from forensics.lake.batches import Batch

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]


class ChangedRows:
    """Some rows of a batch with other values of some features.

    Args:
        batch: where the rest comes from.
        rows: which rows.
        columns: for each changed feature, an Arrow array with a value for each row.
    """

    def __init__(self, batch: Batch, rows: Longs, columns: Mapping[str, pa.Array]) -> None:
        self._batch, self._rows, self._columns = batch, rows, columns

    def matrix(self, names: tuple[str, ...], dtype: type[np.floating[Any]]) -> NDArray[Any]:
        """Numeric features as the rows of a matrix."""
        found = self._batch.matrix(names, dtype)[self._rows]
        with np.errstate(over="ignore"):
            for at, name in enumerate(names):
                if name in self._columns and not pa.types.is_string(self._columns[name].type):
                    found[:, at] = floats(self._columns[name])
        return found

    def different(self, name: str, rows: Longs | None) -> tuple[Ints, list[Any]]:
        """The different values of a feature in some of the rows, and which each row has."""
        chosen = self._rows if rows is None else self._rows[rows]
        if name not in self._columns:
            return self._batch.different(name, chosen)
        column = self._columns[name]
        if rows is not None:
            column = column.take(to_arrow(rows))
        return different(column)

    def table(self, names: Iterable[str]) -> pa.Table:
        """Features as an Arrow table."""
        names = list(names)
        kept = [name for name in names if name not in self._columns]
        found = self._batch.table(kept, self._rows)
        for name in names:
            if name in self._columns:
                found = found.append_column(name, self._columns[name])
        return found
