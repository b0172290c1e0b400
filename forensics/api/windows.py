"""Questions about all decisions of a window at once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, overload

from forensics.api.opened import Opened
from forensics.api.times import instants
from forensics.errors import UsageError

if TYPE_CHECKING:
    from forensics.explain.stored import Window as Contributions
    from forensics.reconstruct.audit_answer import Audit, Class
    from forensics.reconstruct.check import Check
    from forensics.reconstruct.whatif import WhatIfOne
    from forensics.replay.bulk.answer import BulkReplay
    from forensics.replay.bulk.radius import BlastRadius
    from forensics.replay.bulk.run import Window


class Windows(Opened):
    """Questions about all decisions of a window at once."""

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
            return what_if(snapshot, identifier, asked, workers=self.workers())
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

    def attributions(
        self,
        decision_point: str,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        *,
        store: bool = False,
        progress: Callable[[int, str], None] | None = None,
    ) -> Contributions:
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
        from forensics.records.times import to_micros

        ends = [None if time is None else to_micros(time) for time in instants(since, until)]
        return attributions(
            self.snapshot(), self.artifacts, decision_point, *ends, store=store, progress=progress
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

        start, end = instants(since, until)
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

        start, end = instants(since, until)
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


def _window(
    decision_point: str,
    since: datetime | str | None,
    until: datetime | str | None,
    where: str | None,
    limit: int | None,
) -> Window:
    from forensics.replay.bulk.run import Window

    start, end = instants(since, until)
    return Window(decision_point, start, end, where, limit)
