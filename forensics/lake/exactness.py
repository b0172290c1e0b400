"""The ``exact`` column: what records say beyond what their columns hold."""

from __future__ import annotations

from collections.abc import Collection
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]

#: What an entry says of its path: the record does not have it, has it as null without a type, or
#: wrote it in a form that the column cannot hold.
ABSENT, NULL, WRITTEN = range(3)


class Exact(NamedTuple):
    """Entries of the ``exact`` column of a batch: ``names[codes[at]]`` is a path in ``rows[at]``.

    ``kinds`` says what of it, by one of the constants above.
    """

    rows: Longs
    codes: NDArray[np.int32]
    names: list[str]
    kinds: NDArray[np.int8]

    def written(self, paths: Collection[str]) -> Longs:
        """Rows that wrote one of ``paths`` in a form that its column does not hold."""
        if not len(self.rows):
            return self.rows
        wanted = [at for at, name in enumerate(self.names) if name in paths]
        found: Longs = self.rows[np.isin(self.codes, wanted) & (self.kinds == WRITTEN)]
        return found
