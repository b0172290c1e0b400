"""A window checked: how often each detector finds something, since when, and what nobody can tell.

Nothing is traced one by one: detectors judge by SQL over the columns. What takes more than columns
is either asked for, as replay is, or said to be beyond them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from difflib import get_close_matches
from typing import TYPE_CHECKING, Any

from forensics.errors import NotFoundError, UsageError
from forensics.lake import sql
from forensics.lake.protect import hidden_features
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct import changes as changes_
from forensics.reconstruct import fed
from forensics.reconstruct.changes import Change
from forensics.reconstruct.detectors import DETECTORS
from forensics.reconstruct.detectors.base import Detector
from forensics.reconstruct.findings import RANK
from forensics.reconstruct.judging import Code, Count, counts
from forensics.reconstruct.reconstruction import Severity
from forensics.reconstruct.stretches import ROWS_MAX, Span, spans, stretches
from forensics.records.times import from_micros, to_micros

if TYPE_CHECKING:
    from forensics.replay.bulk.answer import BulkReplay

#: What came within this time before something was seen first may be why; so many are named.
_SHORTLY = timedelta(hours=2)
_CHANGES_MAX = 2
#: Runs so long before a window tell what the first ones in it were before.
_RUNS = timedelta(days=7)
#: Told how many decisions are behind us, and of about how many.
Progress = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class Noticed:
    """What one detector says of some decisions of a window, or why it cannot tell of them.

    ``share`` is that of all decisions checked. ``examples`` are request ids, the first ones.
    ``changes_before`` are what became different shortly before the first of them, newest first.
    """

    kind: str
    about: str
    severity: Severity
    statement: str
    count: int
    share: float
    first: datetime
    last: datetime
    examples: tuple[str, ...]
    changes_before: tuple[Change, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {name: getattr(self, name) for name in self.__slots__} | {
            "examples": list(self.examples),
            "changes_before": [change.to_dict() for change in self.changes_before],
        }


@dataclass(frozen=True, slots=True)
class Check:
    """The answer to a check."""

    decision_points: tuple[str, ...]
    since: datetime | None
    until: datetime | None
    decisions: int
    #: Kinds of the detectors that looked, in their order.
    kinds: tuple[str, ...]
    #: What was found, worst first.
    found: tuple[Noticed, ...]
    #: What nobody can tell of some decisions, and why.
    not_checkable: tuple[Noticed, ...]
    #: What columns alone do not tell, by kind.
    beyond_columns: Mapping[str, str]
    #: Replays by decision point, where they were asked for.
    replays: Mapping[str, BulkReplay]

    @property
    def is_clean(self) -> bool:
        """Whether all could be checked and nothing of warning severity or above was found."""
        return (
            not self.not_checkable
            and not any(RANK[one.severity] <= RANK["warning"] for one in self.found)
            and all(replay.is_exact for replay in self.replays.values())
        )

    @property
    def clean_kinds(self) -> tuple[str, ...]:
        """Detectors that could look at every decision and found nothing at all."""
        named = {one.kind for one in (*self.found, *self.not_checkable)}
        return tuple(
            kind for kind in self.kinds if kind not in named and kind not in self.beyond_columns
        )

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "decision_points": list(self.decision_points),
            "since": self.since,
            "until": self.until,
            "decisions": self.decisions,
            "clean": self.is_clean,
            "found": [one.to_dict() for one in self.found],
            "not_checkable": [one.to_dict() for one in self.not_checkable],
            "nothing_found": list(self.clean_kinds),
            "beyond_columns": dict(self.beyond_columns),
            "replays": {point: replay.to_dict() for point, replay in self.replays.items()},
        }


def check(
    snapshot: Snapshot,
    *,
    since: datetime | None = None,
    until: datetime | None = None,
    decision_point: str | None = None,
    kinds: Collection[str] = (),
    examples: int = 3,
    replay: bool = False,
    progress: Progress | None = None,
    rows_max: int = ROWS_MAX,
    connection: sql.Connection | None = None,
) -> Check:
    """Check the decisions of a window with all detectors.

    Args:
        snapshot: the lake.
        since: from this time on.
        until: before this time.
        decision_point: only this one's decisions; those of all where None.
        kinds: only these detectors; all where empty.
        examples: how many decisions to name of each thing that is found.
        replay: run the decisions again too.
        progress: told how far it is.
        rows_max: how many decisions to take at a time, about.
        connection: to be asked for nothing else meanwhile, so that it can be interrupted; one of
            its own where None.

    Raises:
        NotFoundError: when the window holds no decision.
        UsageError: when there is no such decision point or detector, or the window is no window.
        IntegrityError: when a data file or an index cannot be read, or a declaration is altered.
    """
    detectors = _chosen(kinds)
    points = snapshot.points(decision_point)
    ends = (None if time is None else to_micros(time) for time in (since, until))
    window = spans(snapshot, points, *ends)
    total = sum(_rows(snapshot, span.point, span.first_us, span.end_us) for span in window)
    decisions = 0
    found: dict[Code, Count] = {}
    changes: dict[str, Change] = {}
    for span in window:
        jobs: set[str] = set()
        for stretch in stretches(snapshot, span, rows_max, connection):
            changes |= {change.change_id: change for change in stretch.changes}
            jobs |= fed.jobs(stretch)
            count, said = counts(stretch, detectors, examples)
            decisions += count
            for code, more in said.items():
                if code in found:
                    found[code].add(more, examples)
                else:
                    found[code] = more
            if progress is not None:
                progress(decisions, max(total, decisions))
        changes |= {change.change_id: change for change in _ran(snapshot, span, jobs)}
    if not decisions:
        raise NotFoundError(
            "No decision in this window.",
            "Nothing was checked.",
            "Look what there is: forensics find",
        )
    noticed = _noticed(found, detectors, decisions, list(changes.values()))
    return Check(
        decision_points=tuple(span.point for span in window),
        since=since,
        until=until,
        decisions=decisions,
        kinds=tuple(detector.kind for detector in detectors),
        found=tuple(one for one in noticed if one.severity != "not_checkable"),
        not_checkable=tuple(one for one in noticed if one.severity == "not_checkable"),
        beyond_columns={
            detector.kind: detector.beyond_columns
            for detector in detectors
            if detector.beyond_columns and not (replay and detector.replay_tells)
        }
        | _personal(snapshot, [span.point for span in window]),
        replays=_replays(snapshot, [span.point for span in window], since, until) if replay else {},
    )


def _personal(snapshot: Snapshot, points: Collection[str]) -> dict[str, str]:
    """That columns do not have what is personal, where something is."""
    names = sorted({name for point in points for name in hidden_features(snapshot, point)})
    if not names:
        return {}
    some = ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
    return {"personal_features": f"Columns do not have {some}: `forensics trace`, one by one."}


def _chosen(kinds: Collection[str]) -> tuple[Detector, ...]:
    known = {detector.kind: detector for detector in DETECTORS}
    for kind in kinds:
        if kind not in known:
            near = get_close_matches(kind, known, n=3)
            raise UsageError(
                f"No detector {kind!r}.",
                f"Nearest: {', '.join(near)}." if near else "",
                f"There are: {', '.join(known)}.",
            )
    return tuple(one for one in DETECTORS if not kinds or one.kind in kinds)


def _rows(snapshot: Snapshot, point: str, first_us: int, end_us: int) -> int:
    return sum(file.rows for file in snapshot.files(f"decisions/{point}", first_us, end_us - 1))


def _noticed(
    found: Mapping[Code, Count],
    detectors: Collection[Detector],
    decisions: int,
    changes: Collection[Change],
) -> list[Noticed]:
    by_kind = {detector.kind: (at, detector) for at, detector in enumerate(detectors)}
    noticed = []
    for (kind, about), count in found.items():
        code, _, detail = about.partition(":")
        said = by_kind[kind][1].says[code]
        noticed.append(
            Noticed(
                kind=kind,
                about=about,
                severity=said.severity,
                statement=said.words.format(detail),
                count=count.count,
                share=count.count / decisions,
                first=from_micros(count.first_us),
                last=from_micros(count.last_us),
                examples=tuple(count.examples),
                changes_before=_before(from_micros(count.first_us), changes)
                if RANK[said.severity] <= RANK["warning"]
                else (),
            )
        )
    return sorted(
        noticed, key=lambda one: (RANK[one.severity], by_kind[one.kind][0], -one.count, one.about)
    )


def _ran(snapshot: Snapshot, span: Span, jobs: Collection[str]) -> list[Change]:
    """The changes of a window of which runs of the pipelines that fed it tell too."""
    if not jobs:
        return []
    found, _ = changes_.with_runs(
        snapshot,
        from_micros(span.end_us),
        decision_point=span.point,
        jobs=jobs,
        runs_from=from_micros(span.first_us) - _RUNS,
        limit=None,
    )
    return found


def _before(first: datetime, changes: Collection[Change]) -> tuple[Change, ...]:
    """The changes that came shortly before something was seen first."""
    near = [c for c in changes if first - _SHORTLY <= c.occurred_at <= first]
    return tuple(sorted(near, key=lambda c: c.occurred_at, reverse=True)[:_CHANGES_MAX])


def _replays(
    snapshot: Snapshot, points: Collection[str], since: datetime | None, until: datetime | None
) -> dict[str, BulkReplay]:
    from forensics.replay.bulk.answer import replay_window
    from forensics.replay.bulk.run import Window

    return {point: replay_window(snapshot, Window(point, since, until)) for point in points}
