"""Opening a lake: the first rows, or the decision asked for, before there is anything to show.

It runs in a thread while Textual is being imported, and imports nothing of it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.errors import UsageError
from forensics.lake import scan, sql
from forensics.lake.snapshot import Snapshot, take
from forensics.lake.window import Reader, Row, View, known_spans, names_of

if TYPE_CHECKING:
    from forensics.reconstruct.reconstruction import Reconstruction

#: Rows that are read ahead of those on the screen, and behind.
AHEAD = 200
_COLUMNS = (
    "occurred_at", "request_id", "outcome", "score", "model", "model_version", "subject",
    "environment",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command was asked to show first."""

    root: Path
    identifier: str | None = None
    point: str | None = None
    since_us: int | None = None
    until_us: int | None = None
    where: str | None = None


@dataclass(slots=True)
class Opened:
    """An open lake: what it is asked through, and what is shown first.

    ``found`` is None where the rows have still to be counted.
    """

    asked: Asked
    reader: Reader
    #: For long passes that nobody waits for: leaves the other cores to those that somebody does.
    patient: Reader
    view: View
    found: scan.Found | None = None
    rows: list[Row] = field(default_factory=list)
    traced: list[Reconstruction] = field(default_factory=list)

    @property
    def snapshot(self) -> Snapshot:
        """The lake as it was when it was last looked at."""
        return self.reader.snapshot

    def names(self) -> list[str]:
        """All columns that the view's rows can have."""
        return names_of(self.snapshot, self.view.points)


def open_lake(asked: Asked) -> Opened:
    """Open the lake and read what comes first.

    Raises:
        LakeError: when there is no lake.
        NotFoundError: when it has no decision of that id.
        UsageError: when it has no such decision point.
    """
    snapshot = take(asked.root)
    reader = Reader(snapshot)
    patient = Reader(snapshot, sql.connect([snapshot.root], threads=1, footers=False))
    points = snapshot.points()
    if asked.point is not None and asked.point not in points:
        raise UsageError(
            f"No decision point {asked.point!r} in this lake.",
            f"It has: {', '.join(points) or 'none yet'}.",
        )
    view = View(
        (asked.point,) if asked.point else tuple(points),
        first_columns(points if asked.point is None else [asked.point]),
        asked.where,
        since_us=asked.since_us,
        until_us=asked.until_us,
    )
    opened = Opened(asked, reader, patient, view)
    if asked.identifier is not None:
        from forensics.reconstruct.trace import trace

        opened.traced = trace(reader.snapshot, asked.identifier, replay=False)
    elif known_spans(reader.another(), view) is not None:
        opened.found = next(scan.look(reader.another(), view))
        opened.rows = opened.found.pages.rows(0, AHEAD)
    return opened


def first_columns(points: list[str]) -> tuple[str, ...]:
    """The columns that are shown until others are chosen."""
    if len(points) < 2:
        return _COLUMNS
    return (*_COLUMNS[:2], "decision_point", *_COLUMNS[2:])
