"""Opening a lake: the first rows, or the decision asked for, before there is anything to show.

It runs in a thread while Textual is being imported, and imports nothing of it.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from msgspec.structs import replace

from forensics.errors import UsageError
from forensics.lake import scan, sql
from forensics.lake.find import points_with_names
from forensics.lake.pages import known_spans
from forensics.lake.snapshot import Snapshot, take
from forensics.lake.window import Reader, Row, View, names_of
from forensics_tui.kept import NOTHING, Kept
from forensics_tui.looked import saw

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
    #: A theme that wins over the one of the last session, and over the config file's.
    theme: str | None = None
    #: Begin as if it were the first time.
    fresh: bool = False
    #: The folder of postmortems; beside the lake where None.
    postmortems: Path | None = None

    @property
    def anything(self) -> bool:
        """Whether it says what to show."""
        return any(
            value is not None
            for value in (self.identifier, self.point, self.since_us, self.until_us, self.where)
        )


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
    #: Where one was in the last session.
    kept: Kept = NOTHING
    #: Something that a person should be told at the start.
    word: str = ""

    @property
    def snapshot(self) -> Snapshot:
        """The lake as it was when it was last looked at."""
        return self.reader.snapshot

    def names(self) -> list[str]:
        """All columns that the view's rows can have."""
        return names_of(self.snapshot, self.view.points)


def open_lake(asked: Asked, kept: Kept = NOTHING) -> Opened:
    """Open the lake and read what comes first.

    Args:
        asked: what the command was asked for.
        kept: where one was in the last session; what was asked for wins over it.

    Raises:
        LakeError: when there is no lake, or a look that it wants recorded cannot be.
        NotFoundError: when it has no decision of that id.
        UsageError: when it has no such decision point.
    """
    snapshot = take(asked.root)
    reader = Reader(snapshot)
    patient = Reader(snapshot, sql.connect([snapshot.root], threads=1, footers=False))
    points = snapshot.points(asked.point)
    if asked.anything:
        kept = replace(kept, decision=None, tab=None)
    view = _view(snapshot, asked, kept, points)
    opened = Opened(asked, reader, patient, view, kept=kept)
    if asked.identifier is not None:
        from forensics.reconstruct.trace import trace

        opened.traced = trace(reader.snapshot, asked.identifier, replay=False)
    elif known_spans(reader.another(), view) is not None:
        opened.found = next(scan.look(reader.another(), view))
        opened.rows = opened.found.pages.rows(0, AHEAD)
        saw(reader, view, opened.found, opened.rows)
    return opened


def _view(snapshot: Snapshot, asked: Asked, kept: Kept, points: list[str]) -> View:
    """What is looked at first: as asked, else as in the last session, as far as it can still be."""
    names = names_of(snapshot, points)
    where = asked.where
    if where is None and kept.where is not None:
        with suppress(UsageError):  # its names may be of another decision point
            points_with_names(snapshot, points, kept.where)
            where = kept.where
    asks_times = asked.since_us is not None or asked.until_us is not None
    return View(
        tuple(points),
        tuple(name for name in kept.columns if name in names) or first_columns(points),
        where,
        order=kept.order if kept.order in names else "occurred_at",
        descending=kept.descending,
        since_us=asked.since_us if asks_times else kept.since_us,
        until_us=asked.until_us if asks_times else kept.until_us,
    )


def first_columns(points: list[str]) -> tuple[str, ...]:
    """The columns that are shown until others are chosen."""
    if len(points) < 2:
        return _COLUMNS
    return (*_COLUMNS[:2], "decision_point", *_COLUMNS[2:])
