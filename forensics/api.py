"""The library's front: a lake, and the questions it answers; the command line stands on it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from forensics.errors import NotFoundError, UsageError
from forensics.lake import find as find_
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.find import Query
from forensics.lake.snapshot import Snapshot, take
from forensics.reconstruct.reconstruction import Reconstruction

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from forensics.explain.explanation import Explanation
    from forensics.explain.stored import Window
    from forensics.ingest.interface import Options
    from forensics.ingest.run import Report
    from forensics.lake.compact import Compaction
    from forensics.reconstruct.as_of import State
    from forensics.reconstruct.diff import Diff
    from forensics.reconstruct.whatif import WhatIfOne
    from forensics.replay.bulk.answer import BulkReplay
    from forensics.replay.bulk.radius import BlastRadius
    from forensics.replay.bulk.run import Window as Window_
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


def _exact(runtime: str | None, version: str | None) -> Path:
    from forensics.replay.environments import exact_environment, requirements

    return exact_environment(requirements(runtime, version))


def _window(
    decision_point: str,
    since: datetime | str | None,
    until: datetime | str | None,
    where: str | None,
    limit: int | None,
) -> Window_:
    from forensics.replay.bulk.run import Window

    start, end = (None if time is None else instant(time) for time in (since, until))
    return Window(decision_point, start, end, where, limit)


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
        self,
        identifier: str,
        *,
        replay: bool = True,
        counterfactuals: int = 1,
        exact_runtime: bool = False,
    ) -> list[Reconstruction]:
        """All decisions that a request id or decision id names, reconstructed, oldest first.

        Args:
            identifier: the id.
            replay: run the recorded artifacts again.
            counterfactuals: how many to look for.
            exact_runtime: run models with the recorded versions of their libraries, which are
                installed in a cache of their own where that has not been done yet.

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
            environment=_exact if exact_runtime else None,
        )

    def explain(
        self,
        identifier: str,
        *,
        background: str | None = None,
        interventional: bool = False,
        reasons: bool = False,
        templates: str | PathLike[str] | None = None,
        reference: str | None = None,
        adverse: Iterable[str] = (),
        counterfactuals: int = 1,
        target: Iterable[str] = (),
        time_s: float = 2.0,
    ) -> list[Explanation]:
        """All decisions that a request id or decision id names, explained, oldest first.

        Args:
            identifier: the id.
            background: rows to compare with: a digest in the lake, or a file.
            interventional: compare with the background whatever the model.
            reasons: find the principal reasons too.
            templates: a ``reasons.toml`` with the words for them.
            reference: the population that reasons are relative to: a digest in the lake, or a file;
                else the one that the templates name.
            adverse: outcomes for which reasons are given; else those that the templates name.
            counterfactuals: how many to look for.
            target: outcomes that they must give; any other where empty.
            time_s: how long to look for the nearest and for a proof that none is nearer.

        Raises:
            NotFoundError: when there is no such decision, artifact or file.
            UsageError: when background, reference or templates do not fit the decision.
            DependencyError: when shap is needed and not installed.
        """
        from forensics.explain.explanation import Options
        from forensics.explain.templates import NO_TEMPLATES
        from forensics.reconstruct.explained import explained, reference_named, templates_at

        words = NO_TEMPLATES if templates is None else templates_at(Path(templates))
        named = reference or words.reference
        options = Options(
            background=background,
            interventional=interventional,
            reasons=reasons,
            templates=words,
            reference=reference_named(named, self.root) if named and reasons else None,
            adverse=tuple(adverse),
            counterfactuals=counterfactuals,
            time_s=time_s,
            target=tuple(target),
        )
        if self._workers is None:
            from forensics.replay.client import Workers

            self._workers = Workers()
        return explained(self.snapshot(), identifier, options, workers=self._workers)

    def attributions(
        self,
        decision_point: str,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        *,
        store: bool = False,
        progress: Callable[[int, str], None] | None = None,
    ) -> Window:
        """Contributions for every decision of a point in a window: a context manager.

        Args:
            decision_point: its name.
            since: first time; the first decision's where None.
            until: the time before which it ends; after the last decision where None.
            store: keep them in the lake for the next to use.
            progress: told how many decisions are done.

        Raises:
            UsageError: when there is no such decision point, or the window ends before it begins.
            IntegrityError: when a data file is not what was written.
            ReplayError: when a model's process fails on the way.
        """
        from forensics.explain.stored import attributions
        from forensics.lake.read import to_micros

        ends = [None if time is None else to_micros(instant(time)) for time in (since, until)]
        return attributions(
            self.snapshot(), self.artifacts, decision_point, *ends, store=store, progress=progress
        )

    def replay(
        self,
        decision_point: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        where: str | None = None,
        limit: int | None = None,
        workers: int | None = None,
        export: str | PathLike[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> BulkReplay:
        """Run all decisions of a window again, and say what diverges and what it has in common.

        Args:
            decision_point: whose decisions.
            since: from this time on.
            until: before this time.
            where: an SQL expression as in :meth:`find`.
            limit: at most so many, the oldest files first.
            workers: threads; one per processor where None.
            export: a CSV or Parquet file to list the decisions in that are not bit-exact.
            progress: told how many decisions are behind us, and of how many.

        Raises:
            NotFoundError: when the window holds no decision.
            UsageError: when there is no such decision point, or ``where`` is no expression over it.
            IntegrityError: when a data file is not what was written.
        """
        from forensics.replay.bulk.answer import replay_window

        return replay_window(
            self.snapshot(),
            _window(decision_point, since, until, where, limit),
            workers=workers,
            export=None if export is None else Path(export),
            progress=progress,
        )

    @overload
    def whatif(
        self,
        identifier: str,
        *,
        model: str | None = ...,
        config: str | None = ...,
        rules: str | None = ...,
        settings: Iterable[str] = ...,
    ) -> list[WhatIfOne]: ...

    @overload
    def whatif(
        self,
        identifier: None = None,
        *,
        decision_point: str,
        since: datetime | str | None = ...,
        until: datetime | str | None = ...,
        where: str | None = ...,
        limit: int | None = ...,
        model: str | None = ...,
        config: str | None = ...,
        rules: str | None = ...,
        settings: Iterable[str] = ...,
        by: Iterable[str] | None = ...,
        workers: int | None = ...,
        export: str | PathLike[str] | None = ...,
        progress: Callable[[int, int], None] | None = ...,
    ) -> BlastRadius: ...

    def whatif(
        self,
        identifier: str | None = None,
        *,
        decision_point: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        where: str | None = None,
        limit: int | None = None,
        model: str | None = None,
        config: str | None = None,
        rules: str | None = None,
        settings: Iterable[str] = (),
        by: Iterable[str] | None = None,
        workers: int | None = None,
        export: str | PathLike[str] | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> list[WhatIfOne] | BlastRadius:
        """What another model, configuration, rule set or input would have done.

        Args:
            identifier: one decision by its request id or decision id; all of a window where None.
            decision_point: whose decisions.
            since: from this time on.
            until: before this time.
            where: an SQL expression as in :meth:`find`.
            limit: at most so many, the oldest files first.
            model: instead of the recorded one: a file, a digest, or ``NAME@VERSION``.
            config: a configuration, likewise.
            rules: a rule set or decision logic, likewise.
            settings: single values, as ``NAME=VALUE`` of the configuration or a feature.
            by: fields and features to group the answer by; a few usual ones where None.
            workers: threads; one per processor where None.
            export: a CSV or Parquet file to list the changed decisions in.
            progress: told how many decisions are behind us, and of how many.

        Raises:
            NotFoundError: when there is no such decision, or none in the window.
            UsageError: when nothing is to be different, or something that is named is not known.
            IntegrityError: when a data file is not what was written.
        """
        from forensics.reconstruct.whatif import what_if
        from forensics.replay.bulk.resolve import Asked, change_of, recorded_values

        asked = Asked(model, config, rules, tuple(settings))
        snapshot = self.snapshot()
        if identifier is not None:
            if self._workers is None:
                from forensics.replay.client import Workers

                self._workers = Workers()
            return what_if(snapshot, identifier, asked, workers=self._workers)
        if decision_point is None:
            raise UsageError("Name one decision, or a decision point.")
        from forensics.replay.bulk.answer import empty
        from forensics.replay.bulk.radius import what_if_window
        from forensics.replay.bulk.run import check, files

        window = _window(decision_point, since, until, where, limit)
        types = snapshot.tables[check(snapshot, window)].features
        if not files(snapshot, window):  # which knows no names that could be set
            raise empty(window)
        change = change_of(snapshot, asked, types, recorded_values(snapshot, window))
        return what_if_window(
            snapshot,
            window,
            change,
            by=by,
            workers=workers,
            progress=progress,
            export=None if export is None else Path(export),
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
