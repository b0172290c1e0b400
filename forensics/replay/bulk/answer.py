"""The replay of a window: counts by verdict, and what diverges with what it has in common."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from forensics.errors import NotFoundError
from forensics.lake import read
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.export import RowWriter
from forensics.lake.snapshot import Location, Snapshot
from forensics.lake.summaries import in_use
from forensics.records.replay import Verdict
from forensics.records.times import from_micros
from forensics.replay.bulk.census import Census, count
from forensics.replay.bulk.common import Common, in_common
from forensics.replay.bulk.engine import Engine
from forensics.replay.bulk.kinds import Kind
from forensics.replay.bulk.run import Progress, Threads, Window, files, tasks
from forensics.replay.bulk.segment import LISTED, SegmentReplay, SegmentReplayer
from forensics.replay.bulk.tally import Group, Tally
from forensics.replay.bulk.task import SegmentTask, Told
from forensics.replay.client import Workers
from forensics.replay.replay import replay_session
from forensics.replay.session import ReplaySession

VERDICTS: tuple[Verdict, ...] = (
    "bit_exact", "within_ulp", "same_outcome", "diverged", "not_replayable",
)  # fmt: skip
#: Kinds of one step that are told apart in an answer, with an example each.
_WAYS_MAX = 5


@dataclass(frozen=True, slots=True)
class Way:
    """One way in which decisions diverge at a step, or one thing that they lack.

    ``statement`` is what the replay of ``example``, a request id, says of it.
    """

    verdict: Verdict
    count: int
    reason: tuple[str, ...]
    example: str | None
    statement: str

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "verdict": self.verdict,
            "decisions": self.count,
            "reason": list(self.reason),
            "example": self.example,
            "statement": self.statement,
        }


@dataclass(frozen=True, slots=True)
class Diverging:
    """The decisions that first diverge at one step, or (empty ``step``) cannot be replayed."""

    step: str
    count: int
    verdicts: Mapping[Verdict, int]
    first_us: int
    last_us: int
    common: tuple[Common, ...]
    ways: tuple[Way, ...]
    #: Ways beyond those that are listed.
    more: int

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "step": self.step or None,
            "decisions": self.count,
            "verdicts": dict(self.verdicts),
            "first": from_micros(self.first_us),
            "last": from_micros(self.last_us),
            "common": [one.to_dict() for one in self.common],
            "ways": [one.to_dict() for one in self.ways],
            "more_ways": self.more,
        }


@dataclass(frozen=True, slots=True)
class BulkReplay:
    """What replaying a window gave.

    ``diverging`` has the decisions whose replay is not what was recorded, by first divergent step,
    and ``missing`` those that cannot be replayed, by what is missing; most of them first.
    """

    window: Window
    count: int
    verdicts: Mapping[Verdict, int]
    diverging: tuple[Diverging, ...]
    missing: Diverging | None

    @property
    def is_exact(self) -> bool:
        """Whether all decisions replay bit by bit, or within one unit in the last place."""
        return self.count == self.verdicts["bit_exact"] + self.verdicts["within_ulp"]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        window = self.window
        return {
            "decision_point": window.decision_point,
            "since": window.since,
            "until": window.until,
            "where": window.where,
            "decisions": self.count,
            "verdicts": dict(self.verdicts),
            "diverging": [one.to_dict() for one in self.diverging],
            "not_replayable": self.missing.to_dict() if self.missing else None,
        }


def replay_window(
    snapshot: Snapshot,
    window: Window,
    *,
    workers: int | None = None,
    progress: Progress | None = None,
    export: Path | None = None,
) -> BulkReplay:
    """Replay the decisions of a window.

    Args:
        snapshot: the lake.
        window: which decisions.
        workers: how many threads; as many as there are processors where None.
        progress: told how far it is.
        export: a CSV or Parquet file to list the decisions in that are not bit-exact.

    Raises:
        NotFoundError: when the window holds no decision.
        UsageError: when there is no such decision point, or ``where`` is no expression over it.
        IntegrityError: when a data file is not what was written.
    """
    tally = Tally()

    def replays(engine: Engine) -> Callable[[SegmentTask, Told], SegmentReplay]:
        return SegmentReplayer(engine).replay

    threads = Threads(snapshot, window, replays, workers)
    todo = tasks(snapshot, window, listed=export is not None, workers=threads.count)
    with (
        nullcontext() if export is None else RowWriter(export, LISTED) as writer,
        closing(threads.run(todo, progress)) as parts,
    ):
        for part in parts:
            tally.add(part.tally)
            if writer is not None:
                writer.write(part.rows)
    if not tally.count:
        raise empty(window)
    census = Census()
    if tally.kinds:
        census = census_of(snapshot, window, workers)
        tally.names = names_of(snapshot, window, tally)
    return _answer(snapshot, window, tally, census)


def census_of(snapshot: Snapshot, window: Window, workers: int | None = None) -> Census:
    """What the decisions of a window are like; see :func:`replay_window`."""

    def counts(engine: Engine) -> Callable[[SegmentTask, Told], Census]:
        return partial(count, engine)

    found = Census()
    threads = Threads(snapshot, window, counts, workers)
    with closing(threads.run(tasks(snapshot, window, workers=threads.count))) as parts:
        for part in parts:
            found.add(part)
    return found


def empty(window: Window) -> NotFoundError:
    """The error for a window without decisions."""
    since = f" since {window.since:%Y-%m-%d %H:%M}" if window.since else ""
    until = f" until {window.until:%Y-%m-%d %H:%M}" if window.until else ""
    where = f" where {window.where}" if window.where else ""
    return NotFoundError(
        f"No decision of {window.decision_point}{since}{until}{where}.",
        "Nothing was replayed.",
        "Look what there is: forensics find",
    )


def _answer(snapshot: Snapshot, window: Window, tally: Tally, census: Census) -> BulkReplay:
    verdicts: Counter[Verdict] = Counter(dict.fromkeys(VERDICTS, 0))
    verdicts["bit_exact"] = tally.exact
    by_step: dict[str, list[tuple[Kind, Group]]] = {}
    for kind, group in tally.kinds.items():
        verdicts[kind.verdict] += group.count
        if kind.step or kind.verdict == "not_replayable":
            by_step.setdefault(kind.step, []).append((kind, group))
    workers = Workers()
    try:
        found = [
            _step(snapshot, window, tally, census, workers, step, of)
            for step, of in by_step.items()
        ]
    finally:
        workers.close()
    found.sort(key=lambda one: -one.count)
    return BulkReplay(
        window=window,
        count=tally.count,
        verdicts=dict(verdicts),
        diverging=tuple(one for one in found if one.step),
        missing=next((one for one in found if not one.step), None),
    )


def _step(
    snapshot: Snapshot,
    window: Window,
    tally: Tally,
    census: Census,
    workers: Workers,
    step: str,
    kinds: list[tuple[Kind, Group]],
) -> Diverging:
    """Everything that first diverges at one step."""
    whole = Group()
    verdicts: Counter[Verdict] = Counter()
    for kind, group in kinds:
        whole.add(group)
        verdicts[kind.verdict] += group.count
    kinds.sort(key=lambda item: -item[1].count)
    ways = [
        _way(snapshot, window, tally, workers, kind, group) for kind, group in kinds[:_WAYS_MAX]
    ]
    return Diverging(
        step=step,
        count=whole.count,
        verdicts=dict(verdicts),
        first_us=whole.first_us,
        last_us=whole.last_us,
        common=tuple(in_common(whole, tally, census)),
        ways=tuple(ways),
        more=max(0, len(kinds) - _WAYS_MAX),
    )


def _way(
    snapshot: Snapshot,
    window: Window,
    tally: Tally,
    workers: Workers,
    kind: Kind,
    group: Group,
) -> Way:
    """One kind with an example, replayed alone for its words."""
    file, row = group.examples[0]
    table = f"decisions/{window.decision_point}"
    (kept,) = read.records(snapshot, [Location(table, file, row)])
    decision = read.decision(kept, snapshot.tables[table].features)
    with ReplaySession(
        decision,
        ArtifactStore(snapshot.root),
        connection=snapshot.connection,
        workers=workers,
    ) as session:
        replay = replay_session(session, model_names=tally.names)
    if kind.verdict == "not_replayable":
        statement = f"missing: {'; '.join(replay.missing or kind.reason)}"
    else:
        first = replay.first_divergence
        statement = first.statement if first is not None else "; ".join(kind.reason)
    return Way(kind.verdict, group.count, kind.reason, decision.request_id, statement)


def names_of(snapshot: Snapshot, window: Window, tally: Tally) -> dict[str, str]:
    """How models and configurations are called, by digest: in the window, else before it."""
    found: dict[str, str] = {}
    last = max(file.last_us for file in files(snapshot, window))
    for usage in in_use(snapshot, until_us=last, point=window.decision_point):
        if usage.digest is None or usage.kind not in ("model", "config"):
            continue
        parts = [usage.name, usage.version] if usage.kind == "model" else [usage.version]
        if name := " ".join(part for part in parts if part):
            found[usage.digest] = name
    return found | tally.names
