"""The decisions that a query matches, in whatever form one goes on with them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.api.opened import Opened
from forensics.lake import find
from forensics.lake.find import Query

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from forensics.lake.counting import Tally


@dataclass(frozen=True, slots=True)
class Found:
    """Decisions that a query matches; run anew each time it is asked for rows."""

    lake: Opened
    query: Query

    def to_dict(self) -> dict[str, Any]:
        """All as plain mappings under ``decisions``."""
        return {"decisions": list(self)}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each decision as a mapping, times as datetimes."""
        return find.rows(self.lake.snapshot(), self.query)

    def to_arrow(self) -> pa.Table:
        """All as one Arrow table."""
        return find.table(self.lake.snapshot(), self.query)

    def count(self) -> Tally:
        """How many there are, about how many subjects, and with which outcomes."""
        from forensics.lake.counting import tally

        return tally(self.lake.snapshot(), self.query)

    def write_parquet(self, path: Path) -> int:
        """Write all to a Parquet file; how many there are."""
        return find.write_parquet(self.lake.snapshot(), self.query, path)

    def to_polars(self) -> pl.DataFrame:
        """All as one Polars frame; needs the extra ``polars``."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def _repr_html_(self) -> str:
        from forensics.reconstruct.notebook import table_html

        return table_html([row for _, row in zip(range(50), self, strict=False)])
