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

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from forensics.explain.explanation import Explanation
    from forensics.explain.explanation import Options as Options_
    from forensics.explain.stored import Window
    from forensics.incident.files import Postmortem
    from forensics.ingest.forget import Erasure
    from forensics.ingest.interface import Options
    from forensics.ingest.run import Report
    from forensics.lake.compact import Compaction
    from forensics.lake.counting import Tally
    from forensics.lineage.nodes import Direction, Lineage
    from forensics.reconstruct.as_of import Evidence, State
    from forensics.reconstruct.audit import Audit, Class
    from forensics.reconstruct.changes import Change
    from forensics.reconstruct.check import Check
    from forensics.reconstruct.diff import Diff
    from forensics.reconstruct.reconstruction import Reconstruction
    from forensics.reconstruct.timeline import Timeline
    from forensics.reconstruct.whatif import WhatIfOne
    from forensics.replay.bulk.answer import BulkReplay
    from forensics.replay.bulk.radius import BlastRadius
    from forensics.replay.bulk.run import Window as Window_
    from forensics.replay.client import Workers
    from forensics.report.bundle import Bundle
    from forensics.report.document import Document
    from forensics.report.postmortem import Report as PostmortemReport


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

    def count(self) -> Tally:
        """How many there are, about how many subjects, and with which outcomes."""
        from forensics.lake.counting import tally

        return tally(self.lake.snapshot(), self.query)

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
        self._evidence: Evidence | None = None

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
        snapshot = self.snapshot()
        snapshot.connect_ahead()  # while what asks it is loaded
        from forensics.reconstruct.trace import trace

        if replay and self._workers is None:
            from forensics.replay.client import Workers

            self._workers = Workers()
        return trace(
            snapshot,
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
            time_s: how much to look for the nearest and for a proof that none is nearer, as the
                seconds that it takes an idle core; the answer depends on neither clock nor load.

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

    def check(
        self,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        decision_point: str | None = None,
        kinds: Iterable[str] = (),
        examples: int = 3,
        replay: bool = False,
        progress: Callable[[int, int], None] | None = None,
    ) -> Check:
        """Judge all decisions of a window with every detector, by their columns.

        Args:
            since: from this time on.
            until: before this time.
            decision_point: only this one's decisions; those of all where None.
            kinds: only these detectors, by name; all where empty.
            examples: how many decisions to name of each thing that is found.
            replay: run the decisions again too.
            progress: told how many decisions are behind us, and of about how many.

        Raises:
            NotFoundError: when the window holds no decision.
            UsageError: when there is no such decision point or detector.
            IntegrityError: when a data file cannot be read.
        """
        from forensics.reconstruct.check import check

        start, end = (None if time is None else instant(time) for time in (since, until))
        return check(
            self.snapshot(),
            since=start,
            until=end,
            decision_point=decision_point,
            kinds=tuple(kinds),
            examples=examples,
            replay=replay,
            progress=progress,
        )

    def audit(
        self,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        days: int | None = None,
        decision_point: str | None = None,
        counts: Iterable[str | PathLike[str]] = (),
        metric: str | None = None,
        require: Class | None = None,
        progress: Callable[[int, int], None] | None = None,
    ) -> Audit:
        """Class every decision of a window by its evidence, and look for those that never came.

        Args:
            since: from this time on.
            until: before this time; the end of the last decision's day where None.
            days: so many days before the end, where ``since`` is None.
            decision_point: only this one's decisions; those of all where None.
            counts: files of what somebody else counted.
            metric: the counter's name, where a file has several.
            require: the class that every decision is to have.
            progress: told how many decisions are behind us, and of about how many.

        Raises:
            NotFoundError: when the window holds no decision.
            UsageError: when there is no such decision point, or a file holds no counts.
            IntegrityError: when a data file cannot be read.
        """
        from forensics.reconstruct.audit import audit
        from forensics.reconstruct.counts import read_counts

        start, end = (None if time is None else instant(time) for time in (since, until))
        return audit(
            self.snapshot(),
            since=start,
            until=end,
            days=days,
            decision_point=decision_point,
            counts=[one for path in counts for one in read_counts(Path(path), metric)],
            require=require,
            progress=progress,
        )

    def accesses(
        self,
        decision: str | None = None,
        *,
        subject: str | None = None,
        actor: str | None = None,
        case: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Looks at decisions, newest first; those that wait are taken in first.

        Args:
            decision: only looks at what this request or decision id names.
            subject: only looks at decisions about this one.
            actor: only looks of this user or token.
            case: only looks for this case.
            since: from this time on.
            until: before this time.
            limit: at most so many, the newest.

        Raises:
            NotFoundError: when no decision has that id.
            IntegrityError: when a data file cannot be read.
        """
        from forensics.ingest.looks import land
        from forensics.lake.accesses import Asked, accesses, decisions_of
        from forensics.reconstruct.trace import decisions, trace

        land(self.root)
        snapshot = self.snapshot()
        ids: frozenset[str] | None = None
        if decision is not None:
            found = decisions(snapshot, snapshot.locate(decision), decision, look=False)
            if not found:
                trace(snapshot, decision, replay=False)  # which names the nearest ids
            ids = frozenset(one.decision_id for _, one in found)
        if subject is not None:
            theirs = decisions_of(snapshot, subject)
            ids = theirs if ids is None else ids & theirs
        start, end = (None if time is None else instant(time) for time in (since, until))
        return list(accesses(snapshot, Asked(ids, actor, case, start, end, limit)))

    def erase(self, subject: str, order: str, *, reason: str | None = None) -> Erasure:
        """Erase what the lake says of a person; see :func:`forensics.ingest.forget.erase`."""
        from forensics.ingest.forget import erase

        return erase(self.root, subject, order, reason=reason)

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

    def as_of(
        self,
        time: datetime | str,
        *,
        decision_point: str | None = None,
        known_by: datetime | str | None = None,
    ) -> State:
        """Which versions, pipelines, flags and controls were in force at ``time``, and where.

        Args:
            time: when.
            decision_point: only this one.
            known_by: answer from what was recorded, else received, by then.

        Raises:
            UsageError: when there is no such decision point.
        """
        from forensics.reconstruct.as_of import Evidence, as_of

        snapshot = self._snapshot_with(decision_point)
        known = None if known_by is None else instant(known_by)
        last = self._evidence
        if last is None or last.snapshot is not snapshot or last.known_by != known:
            last = self._evidence = Evidence(snapshot, known)
        return as_of(
            snapshot,
            instant(time),
            decision_point=decision_point,
            known_by=known,
            evidence=last,
        )

    def changes(
        self,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        *,
        decision_point: str | None = None,
        known_by: datetime | str | None = None,
        overrides: bool = False,
    ) -> list[Change]:
        """Every change of a window, newest first: announced ones, and those that evidence shows.

        Args:
            since: from this time on.
            until: before this time.
            decision_point: leave out what names another one.
            known_by: leave out what was recorded, else received, later.
            overrides: single decisions that people overrode too.

        Raises:
            UsageError: when there is no such decision point.
        """
        from forensics.reconstruct.changes import between

        start, end, known = (
            None if time is None else instant(time) for time in (since, until, known_by)
        )
        return between(
            self._snapshot_with(decision_point),
            start,
            end,
            decision_point=decision_point,
            known_by=known,
            overrides=overrides,
        )

    def timeline(
        self,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        *,
        decision_point: str | None = None,
        outcome: str | None = None,
        bins: int | None = None,
        at_most: int = 60,
    ) -> Timeline:
        """The rate of an outcome over time, with the changes and the jumps beside them.

        Args:
            since: from this time on; the first decision where None.
            until: before this time; to the last decision where None.
            decision_point: whose decisions; may be left out where there is one.
            outcome: which; the second most frequent one where None.
            bins: how many of equal length; some of a round length where None.
            at_most: how many of a round length at most.

        Raises:
            NotFoundError: when the lake holds no decisions.
            UsageError: when there is no such decision point, or several and none is named, or the
                window ends before it begins.
        """
        from forensics.reconstruct.timeline import timeline

        start, end = (None if time is None else instant(time) for time in (since, until))
        return timeline(
            self._snapshot_with(decision_point),
            start,
            end,
            decision_point=decision_point,
            outcome=outcome,
            bins=bins,
            at_most=at_most,
        )

    def _snapshot_with(self, decision_point: str | None) -> Snapshot:
        """The lake as it is now, which must have the decision point, where one is named."""
        snapshot = self.snapshot()
        points = snapshot.points()
        if decision_point is not None and decision_point not in points:
            raise UsageError(
                f"No decision point {decision_point!r} in this lake.",
                f"It has: {', '.join(points) or 'none yet'}.",
            )
        return snapshot

    def lineage(
        self,
        node: str,
        *,
        direction: Direction = "both",
        depth: int | None = None,
        as_of: datetime | str | None = None,
        known_by: datetime | str | None = None,
        all_time: bool = False,
        columns: bool = False,
        namespace: str | None = None,
    ) -> Lineage:
        """What a dataset, column, job, run or feature came from, and what came of it.

        Args:
            node: ``dataset:NAMESPACE/NAME``, ``column:NAMESPACE/NAME#COLUMN``,
                ``job:NAMESPACE/NAME``, ``run:ID``, ``version:NAMESPACE/NAME@VERSION``,
                ``feature:POINT.NAME``, or a name alone where it is that of one thing.
            direction: ``upstream``, ``downstream``, ``both`` or ``connected``.
            depth: how many jobs may lie between; no limit where None.
            as_of: only events that had occurred by then count.
            known_by: only events that the lake had received by then count.
            all_time: every edge ever declared, not what each job declared last.
            columns: of a dataset or a job, walk its columns.
            namespace: look only in this one, for ``node`` as a name in it.

        Raises:
            NotFoundError: when nothing is known by that name; it names the nearest.
            UsageError: when it names several things.
            IntegrityError: when a data file cannot be read.
        """
        from forensics.lineage.lookup import lineage

        then, known = (None if time is None else instant(time) for time in (as_of, known_by))
        return lineage(
            self.snapshot(), node, direction=direction, depth=depth, as_of=then, known_by=known,
            all_time=all_time, columns=columns, namespace=namespace,
        )  # fmt: skip

    def diff(self, a: str, b: str) -> Diff:
        """What differs between two decisions, named by request or decision id.

        Where an id names several decisions, the first is taken.

        Raises:
            NotFoundError: when one of them is not in the lake.
        """
        from forensics.reconstruct.compare import compare

        return compare(self.snapshot(), a, b)

    def new_postmortem(
        self,
        since: datetime | str,
        until: datetime | str,
        *,
        decision_point: str | None = None,
        title: str | None = None,
        path: str | PathLike[str] | None = None,
        folder: str | PathLike[str] | None = None,
    ) -> Postmortem:
        """Write a new postmortem of a window, with what can be counted as pins.

        Args:
            since: when the incident began.
            until: when it was over.
            decision_point: whose decisions; may be left out where there is one.
            title: what it is called; else what moved.
            path: of the file, which must not be there; else one in ``folder``.
            folder: of the lake's postmortems; beside the lake where None.

        Raises:
            NotFoundError: when the window holds no decision.
            UsageError: when the window is none, or the file is there already.
        """
        from forensics.incident import files
        from forensics.incident.template import template

        start, end = instant(since), instant(until)
        made = template(self.snapshot(), start, end, decision_point, title=title)
        where = files.folder(self.root, None if folder is None else Path(folder))
        name = f"{start:%Y-%m-%d-%H%M}-{made.front['decision_point']}"
        target = files.new_path(where, name) if path is None else Path(path)
        return files.Postmortem(target, made, None).save()

    def postmortem(
        self,
        file: Postmortem | str | PathLike[str],
        *,
        tell: Callable[[int], None] | None = None,
        now: datetime | None = None,
    ) -> PostmortemReport:
        """A postmortem with every pinned statement asked again.

        Args:
            file: its file, read or not.
            tell: told how many statements are behind us.
            now: when it is asked; the present time where None.

        Raises:
            NotFoundError: when there is no such file.
            UsageError: when it is of another lake.
        """
        from forensics.incident import files
        from forensics.report.postmortem import report

        read = file if isinstance(file, files.Postmortem) else files.read(Path(file))
        files.check_lake(read, self.root)
        at = now or datetime.now(UTC)
        return report(read.path.name, read.document, self.snapshot(), at, tell)

    def subject_report(
        self,
        subject: str,
        *,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        days: int | None = None,
        everything: bool = False,
        audit: bool = False,
        counts: Iterable[str | PathLike[str]] = (),
        templates: str | PathLike[str] | None = None,
        reference: str | None = None,
        adverse: Iterable[str] = (),
        progress: Callable[[int, int], None] | None = None,
        now: datetime | None = None,
    ) -> Document:
        """Everything about a person in a window, as a document for that person.

        Args:
            subject: the person's id.
            since: from this time on.
            until: before this time; the end of the last decision's day where None.
            days: so many days before the end, where ``since`` is None.
            everything: run all decisions again and explain them, not only the newest.
            audit: say whether decisions of the window are missing, which reads all of it.
            counts: files of what somebody else counted, for the audit.
            templates: a ``reasons.toml``, for the principal reasons of adverse outcomes.
            reference: the population that they are relative to; else the one that it names.
            adverse: the adverse outcomes; else those that it names.
            progress: told how many decisions are behind us, and of how many.
            now: when it is made; the present time where None.

        Raises:
            NotFoundError: when there is no decision about the person in the window.
            UsageError: when the window is none, or templates or reference do not fit.
            IntegrityError: when a data file cannot be read.
        """
        from forensics.records.looker import looking
        from forensics.report.decision_words import options_of_reasons
        from forensics.report.subject import EXPLAINED, document, gather

        start, end = (None if time is None else instant(time) for time in (since, until))
        wanted = self._reasons(templates, reference, tuple(adverse))
        snapshot = self.snapshot()
        snapshot.connect_ahead()
        with looking(how="report"):
            found = gather(
                snapshot,
                subject,
                start,
                end,
                days=days,
                most=None if everything else EXPLAINED,
                wanted=wanted if wanted.adverse or wanted.templates.adverse else None,
                options=options_of_reasons(templates, reference, tuple(adverse)),
                workers=self._running(),
                tell=progress,
            )
        coverage = None
        if audit or counts:
            coverage = self.audit(since=found.since, until=found.until, counts=counts)
        return document(found, coverage, now or datetime.now(UTC))

    def decision_report(
        self, identifier: str, *, counterfactuals: int = 1, now: datetime | None = None
    ) -> Document:
        """The decisions that a request id or decision id names, in full, as a document.

        Raises:
            NotFoundError: when there is none; it names the nearest ids.
        """
        from forensics.records.looker import looking
        from forensics.report.decision_report import document

        with looking(how="report"):
            found = self.trace(identifier, counterfactuals=counterfactuals)
        return document(found, now or datetime.now(UTC), counterfactuals=counterfactuals)

    def adverse_action(
        self,
        identifier: str,
        *,
        templates: str | PathLike[str] | None = None,
        reference: str | None = None,
        adverse: Iterable[str] = (),
        now: datetime | None = None,
    ) -> Document:
        """The notice of an adverse decision, with its principal reasons.

        Args:
            identifier: a request id or decision id, of one decision.
            templates: a ``reasons.toml`` with the lender's words.
            reference: the population that reasons are relative to; else the one that it names.
            adverse: the adverse outcomes; else those that it names.
            now: when it is made; the present time where None.

        Raises:
            NotFoundError: when there is no such decision, artifact or file.
            UsageError: when the outcome is not adverse, nothing says which are, the id names
                several decisions, or templates or reference do not fit.
            ReplayError: when principal reasons cannot be had.
        """
        from forensics.reconstruct.explained import explained
        from forensics.records.looker import looking
        from forensics.report.adverse_action import document, one_of
        from forensics.report.decision_words import options_of_reasons

        wanted = self._reasons(templates, reference, tuple(adverse))
        if not (wanted.adverse or wanted.templates.adverse):
            raise UsageError(
                "Nothing says which outcomes are adverse.",
                "A notice must not be written of one that is not.",
                'Say it: --adverse OUTCOME, or adverse = ["OUTCOME"] in the templates.',
            )
        with looking(how="report"):
            found = one_of(explained(self.snapshot(), identifier, wanted, workers=self._running()))
            traced = self.trace(found.decision.decision_id, counterfactuals=0)
        options = options_of_reasons(templates, reference, tuple(adverse))
        wrong = [one.statement for one in traced[0].findings if one.severity == "error"]
        return document(found, options, now or datetime.now(UTC), wrong)

    def bundle_of(self, report: Document, out: str | PathLike[str]) -> Bundle:
        """Write the evidence of a report's decisions to a zip, with the report in it.

        Args:
            report: of a person or of a decision.
            out: the zip; what is there is replaced.

        Raises:
            IntegrityError: when a record is not what was sealed: no bundle is made of it.
            LakeError: when the file cannot be written, or the look cannot be recorded.
        """
        from forensics.records.jsontext import dumps
        from forensics.records.looker import looking
        from forensics.report.bundle import bundle
        from forensics.report.forms import written

        forms = {
            "report.html": written(report, "html"),
            "report.json": f"{dumps(report.to_dict())}\n".encode(),
        }
        with looking(how="report"):
            return bundle(
                self.snapshot(),
                report.data["decision_ids"],
                Path(out),
                report=forms,
                made_at=report.made_at,
            )

    def audit_report(
        self, audit: Audit, options: Iterable[str] = (), *, now: datetime | None = None
    ) -> Document:
        """An audit as a document.

        Args:
            audit: the answer of :meth:`audit`.
            options: those of the command line that it was asked with, besides the window.
            now: when it is made; the present time where None.
        """
        from forensics.report.audit_report import document

        return document(audit, now or datetime.now(UTC), tuple(options))

    def _reasons(
        self,
        templates: str | PathLike[str] | None,
        reference: str | None,
        adverse: tuple[str, ...],
    ) -> Options_:
        """How principal reasons are found; nothing else is looked for."""
        from forensics.explain.explanation import Options
        from forensics.explain.templates import NO_TEMPLATES
        from forensics.reconstruct.explained import reference_named, templates_at

        words = NO_TEMPLATES if templates is None else templates_at(Path(templates))
        named = reference or words.reference
        return Options(
            reasons=True,
            templates=words,
            reference=reference_named(named, self.root) if named else None,
            adverse=adverse,
            counterfactuals=0,
        )

    def _running(self) -> Workers:
        """The model processes, which stay for the next question."""
        if self._workers is None:
            from forensics.replay.client import Workers

            self._workers = Workers()
        return self._workers

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
