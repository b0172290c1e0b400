"""The library's front: a lake, and the questions it answers; the command line stands on it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.errors import NotFoundError, UsageError
from forensics.lake import find as find_
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.find import Query
from forensics.lake.snapshot import Snapshot, take
from forensics.reconstruct.reconstruction import Reconstruction

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from forensics.ingest.interface import Options
    from forensics.ingest.run import Report
    from forensics.lake.compact import Compaction
    from forensics.reconstruct.as_of import State
    from forensics.reconstruct.diff import Diff
    from forensics.replay.client import Workers


def open_lake(path: str | PathLike[str]) -> Lake:
    """Open the lake at ``path``.

    Raises:
        LakeError: when there is none, or a newer version of this program made it.
    """
    from forensics.lake.layout import identity

    root = Path(path)
    identity(root)
    return Lake(root)


@dataclass(frozen=True, slots=True)
class Found:
    """Decisions that a query matches; run anew each time it is asked for rows."""

    lake: Lake
    query: Query

    def to_dict(self) -> dict[str, Any]:
        """All as plain mappings under ``decisions``."""
        return {"decisions": list(self)}

    def __iter__(self) -> Iterator[dict[str, Any]]:
        """Each decision as a mapping, times as datetimes."""
        return find_.rows(self.lake.snapshot(), self.query)

    def to_arrow(self) -> pa.Table:
        """All as one Arrow table."""
        return find_.table(self.lake.snapshot(), self.query)

    def write_parquet(self, path: Path) -> int:
        """Write all to a Parquet file; how many there are."""
        return find_.write_parquet(self.lake.snapshot(), self.query, path)

    def to_polars(self) -> pl.DataFrame:
        """All as one Polars frame; needs the extra ``polars``."""
        import polars as pl

        frame = pl.from_arrow(self.to_arrow())
        assert isinstance(frame, pl.DataFrame)
        return frame

    def _repr_html_(self) -> str:
        from forensics.reconstruct.notebook import table_html

        return table_html([row for _, row in zip(range(50), self, strict=False)])


def instant(time: datetime | str) -> datetime:
    """A time with its zone; ISO 8601 text is read, and what names no zone is UTC.

    Raises:
        UsageError: when the text is no time.
    """
    try:
        read = datetime.fromisoformat(time) if isinstance(time, str) else time
    except ValueError as error:
        raise UsageError(f"{time!r} is no time.", "", "Use 2026-10-21T02:13Z.") from error
    return read.replace(tzinfo=UTC) if read.tzinfo is None else read


class Lake:
    """The evidence in one folder. Every question sees the newest committed state.

    Answers that replay leave a few model processes running for the next ones; :meth:`close`, or
    using the lake as a context manager, ends them. Use one lake object per thread.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artifacts = ArtifactStore(root)
        self._last: Snapshot | None = None
        self._workers: Workers | None = None

    def snapshot(self) -> Snapshot:
        """The lake as it is now; the last one again where nothing was committed since."""
        new = take(self.root)
        if self._last is None or new != self._last:
            self._last = new
        return self._last

    def trace(
        self, identifier: str, *, replay: bool = True, counterfactuals: int = 3
    ) -> list[Reconstruction]:
        """All decisions that a request id or decision id names, reconstructed, oldest first.

        Raises:
            NotFoundError: when there is none; it names the nearest ids.
        """
        from forensics.reconstruct.trace import trace

        if replay and self._workers is None:
            from forensics.replay.client import Workers

            self._workers = Workers()
        return trace(
            self.snapshot(),
            identifier,
            replay=replay,
            counterfactuals=counterfactuals,
            workers=self._workers,
        )

    def close(self) -> None:
        """End the model processes that answers have left running."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def __enter__(self) -> Lake:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def find(self, query: Query | None = None, /, **fields: Any) -> Found:
        """Decisions that match.

        Args:
            query: what to look for; everything where None.
            fields: the same as keywords, e.g. ``outcome="DECLINE", limit=10``.

        Raises:
            UsageError: when the query names a decision point or a field that there is not; raised
                when rows are asked for.
        """
        from dataclasses import replace

        times = {name: instant(fields[name]) for name in ("since", "until") if fields.get(name)}
        return Found(self, replace(query or Query(), **fields | times))

    def as_of(self, time: datetime | str, *, decision_point: str | None = None) -> State:
        """Which versions were live at ``time``, where, since when and instead of what."""
        from forensics.reconstruct.as_of import as_of

        return as_of(self.snapshot(), instant(time), decision_point=decision_point)

    def diff(self, a: str, b: str) -> Diff:
        """What differs between two decisions, named by request or decision id.

        Where an id names several decisions, the first is taken.

        Raises:
            NotFoundError: when one of them is not in the lake.
        """
        from forensics.reconstruct.compare import compare

        return compare(self.snapshot(), a, b)

    def ingest(self, path: str | PathLike[str], options: Options | None = None) -> Report:
        """Take a file of records in; its form is told by its content."""
        from forensics.ingest.interface import NO_OPTIONS
        from forensics.ingest.run import run
        from forensics.ingest.sources import open_source

        return run(self.root, open_source(Path(path)), options or NO_OPTIONS)

    def compact(self) -> Compaction:
        """Merge small files, so that scans stay fast; look-ups are so already."""
        from forensics.lake.compact import compact

        return compact(self.root)


__all__ = ["Found", "Lake", "NotFoundError", "Query", "open_lake"]
