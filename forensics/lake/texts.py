"""Columns of text, kept as places in a list of the different texts.

Most of a record's text is the same in thousands of rows.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import pyarrow as pa

from forensics.lake.arrow import places
from forensics.lake.grouping import is_constant

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]


class Texts(NamedTuple):
    """A column of text: ``values[codes[row]]``, with code -1 where there is none."""

    codes: Ints
    values: list[str]

    @property
    def constant(self) -> bool:
        """Whether all rows have the same."""
        return is_constant(self.codes)

    def at(self, row: int) -> str | None:
        """The text of one row."""
        code = int(self.codes[row])
        return None if code < 0 else self.values[code]


class Vocabulary:
    """The different texts of a column, by place; grows with what is read."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, text: str) -> int:
        """The place of a text, added where it is new."""
        found = self._codes.get(text)
        if found is None:
            found = self._codes[text] = len(self.values)
            self.values.append(text)
        return found

    def codes(self, column: pa.Array) -> Ints:
        """The places of a column's texts, -1 for null."""
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        table = np.empty(len(column.dictionary) + 1, np.int32)
        table[-1] = -1
        for at, text in enumerate(column.dictionary.to_pylist()):
            table[at] = -1 if text is None else self.code(text)
        found: Ints = table[places(column)]
        return found


#: The texts of some fields of one item.
Item = tuple[str | None, ...]


class Shapes(NamedTuple):
    """Lists of items: ``values[codes[row]]`` has the texts of each item's fields."""

    codes: Ints
    values: list[tuple[Item, ...]]
