"""Contributions of all decisions in a window: computed in batches, kept for reuse where wanted.

Memory does not grow with the window: data files are worked on one after another, and what comes of
each is written down before the next is opened.
"""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from forensics.errors import UsageError
from forensics.explain.scorers import Scorer
from forensics.explain.window import Scoring, Share
from forensics.lake import derived
from forensics.lake.catalog import DataFile
from forensics.lake.derived import Piece
from forensics.lake.protect import require_columns
from forensics.lake.snapshot import Snapshot
from forensics.replay.evidence import Artifacts


class Part(NamedTuple):
    """Attributions of one model's decisions in one data file."""

    path: Path
    key: dict[str, Any]


@dataclass(slots=True)
class ModelWindow:
    """All decisions of a window that one model scored, in ``parts`` by data file."""

    scorer: Scorer
    #: Of the scorer among those of the decision point.
    place: int
    parts: list[Part] = field(default_factory=list)

    def pieces(self) -> Iterator[Piece]:
        """All attributions, file by file.

        Raises:
            IntegrityError: when stored ones are not what was written.
        """
        for part in self.parts:
            yield from derived.read(part.path, part.key)


@dataclass(slots=True)
class Window:
    """The attributions of a decision point in a window of time. Use as a context manager.

    ``decisions`` are all in the window; those that have no attributions are in ``not_explained`` by
    reason. ``computed`` and ``reused`` count files of attributions, ``removed`` those that were
    swept since their data files are gone. ``stored`` is where they are kept; None where they were
    not to be.
    """

    root: Path
    point: str
    since_us: int
    until_us: int
    models: list[ModelWindow] = field(default_factory=list)
    decisions: int = 0
    not_explained: dict[str, int] = field(default_factory=dict)
    computed: int = 0
    reused: int = 0
    removed: int = 0
    stored: Path | None = None
    #: Holds what is not stored; gone with :meth:`close`.
    scratch: Path | None = None

    def __enter__(self) -> Window:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Remove what was computed and not to be stored; nothing can be read from it then."""
        if self.scratch is not None:
            shutil.rmtree(self.scratch, ignore_errors=True)

    @property
    def span(self) -> tuple[int, int]:
        """First time, and the one before which it ends, in microseconds since 1970."""
        return self.since_us, self.until_us

    def path_of(self, name: str) -> Path:
        """Where a data file of the decision point lies."""
        return self.root / "decisions" / self.point / name

    def export(self, target: Path) -> int:
        """Write all as one Parquet file; how many there are."""
        return derived.export(
            [(part.path, model.scorer.digest) for model in self.models for part in model.parts],
            target,
        )


def attributions(
    snapshot: Snapshot,
    artifacts: Artifacts,
    point: str,
    since_us: int | None = None,
    until_us: int | None = None,
    *,
    store: bool = False,
    progress: Callable[[int, str], None] | None = None,
) -> Window:
    """Contributions for every decision of a point in a window.

    Those that are stored already are used again, whether more are to be stored or not.

    Args:
        snapshot: the lake.
        artifacts: its models.
        point: the decision point.
        since_us: first time, in microseconds since 1970; the first decision's where None.
        until_us: the time before which it ends; after the last decision where None.
        store: keep what is computed in the lake, and remove what was kept of files that are gone.
        progress: told how many decisions are done.

    Raises:
        UsageError: when there is no such decision point, or the window ends before it begins.
        IntegrityError: when a data file is not what was written.
        ReplayError: when a model's process fails on the way.
    """
    snapshot.points(point)  # refuses one that is not there
    files = snapshot.files(f"decisions/{point}", since_us, until_us)
    first = min((file.first_us for file in files), default=0) if since_us is None else since_us
    end = max((file.last_us for file in files), default=0) + 1 if until_us is None else until_us
    require_columns(snapshot, point)
    if since_us is not None and until_us is not None and since_us > until_us:
        raise UsageError("The window ends before it begins.")
    window = Window(snapshot.root, point, first, end)
    if not store:
        window.scratch = Path(tempfile.mkdtemp(prefix="forensics-"))
    try:
        with Scoring(snapshot, artifacts, point) as scoring:
            run = _Run(snapshot, scoring, window, progress)
            for file in files:
                run.explain(file)
    except BaseException:
        window.close()
        raise
    if store:
        window.stored = derived.folder(snapshot.root, point)
        used = [part.key for model in window.models for part in model.parts]
        window.removed = derived.sweep(snapshot, [point], used)
    return window


class _Run:
    def __init__(
        self,
        snapshot: Snapshot,
        scoring: Scoring,
        window: Window,
        progress: Callable[[int, str], None] | None,
    ) -> None:
        self.window = window
        self._snapshot = snapshot
        self._scoring = scoring
        self._progress = progress
        self._models: dict[int, ModelWindow] = {}
        self._done = 0

    def explain(self, file: DataFile) -> None:
        """Add one data file to the window."""
        window = self.window
        path = window.path_of(file.name)
        for place, share in sorted(self._scoring.shares(path, window.span).items()):
            window.decisions += share.decisions
            scorer = self._scoring.found[place]
            if isinstance(scorer, str):
                self._leave(scorer, share.decisions)
                continue
            if place not in self._models:
                self._models[place] = ModelWindow(scorer, place)
                window.models.append(self._models[place])
            part = self._part(file, place, scorer, share)
            self._models[place].parts.append(part)
            for why, number in derived.skipped(part.path).items():
                self._leave(why, number)

    def _part(self, file: DataFile, place: int, scorer: Scorer, share: Share) -> Part:
        window = self.window
        path = window.path_of(file.name)
        key = {
            **scorer.key,
            "point": window.point,
            "data_file": file.name,
            # Which they are also depends on the window, and on the artifacts that are at hand.
            "rows": share.rows,
        }
        kept = derived.path_of(self._snapshot.root, key)
        if derived.holds(kept, key):
            window.reused += 1
            return Part(kept, key)
        target = kept if window.scratch is None else derived.path_of(window.scratch, key)
        skipped: dict[str, int] = {}
        pieces = self._scoring.pieces(path, window.span, place, skipped, self._tell)
        derived.write(target, key, scorer.names, pieces, skipped)
        window.computed += 1
        return Part(target, key)

    def _leave(self, why: str, count: int) -> None:
        self.window.not_explained[why] = self.window.not_explained.get(why, 0) + count

    def _tell(self, count: int) -> None:
        self._done += count
        if self._progress is not None:
            self._progress(self._done, f"{self._done:,} decisions")
