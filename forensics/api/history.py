"""Questions about what decisions were made under: what was in force, changed and flowed in."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.api.opened import Opened
from forensics.api.times import instant, instants

if TYPE_CHECKING:
    from forensics.lineage.nodes import Direction, Lineage
    from forensics.reconstruct.as_of import Evidence, State
    from forensics.reconstruct.changes import Change
    from forensics.reconstruct.timeline import Timeline


class History(Opened):
    """Questions about what decisions were made under."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self._evidence: Evidence | None = None

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

        snapshot = self.snapshot_with(decision_point)
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

        start, end, known = instants(since, until, known_by)
        return between(
            self.snapshot_with(decision_point),
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

        start, end = instants(since, until)
        return timeline(
            self.snapshot_with(decision_point),
            start,
            end,
            decision_point=decision_point,
            outcome=outcome,
            bins=bins,
            at_most=at_most,
        )

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

        then, known = instants(as_of, known_by)
        return lineage(
            self.snapshot(), node, direction=direction, depth=depth, as_of=then, known_by=known,
            all_time=all_time, columns=columns, namespace=namespace,
        )  # fmt: skip
