"""The blast radius of a change over a window: how many decisions, in which direction, of whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensics.lake import read
from forensics.lake.export import RowWriter
from forensics.lake.snapshot import Location, Snapshot
from forensics.records.replay import Verdict
from forensics.replay.bulk.answer import VERDICTS, empty
from forensics.replay.bulk.blast import LISTED, Blast, Groups, Move
from forensics.replay.bulk.change import Change
from forensics.replay.bulk.claims import CLASSES
from forensics.replay.bulk.engine import Engine
from forensics.replay.bulk.run import Progress, Threads, Window, check, tasks
from forensics.replay.bulk.slices import USUAL, Slice, slices
from forensics.replay.bulk.tally import Example
from forensics.replay.bulk.task import SegmentTask, Told
from forensics.replay.bulk.whatif import WhatIf

_QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)


@dataclass(frozen=True, slots=True)
class Part:
    """One group of an answer: of ``answered`` decisions with ``value``, those that change."""

    value: str | None
    answered: int
    changed: int
    moves: Mapping[Move, int]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "value": self.value,
            "answered": self.answered,
            "changed": self.changed,
            "moves": _moves(self.moves, {}),
        }


@dataclass(frozen=True, slots=True)
class BlastRadius:
    """What a change would have done to the decisions of a window.

    ``answered`` decisions replay to the recorded outcome and could be run under the change; of the
    others ``verdicts`` and ``unanswered`` say why not. ``scores`` has quantiles of the score before
    and after and of the shift, by share. ``limits`` says where the evidence ends.
    """

    window: Window
    change: Change
    count: int
    verdicts: Mapping[Verdict, int]
    answered: int
    moves: Mapping[Move, int]
    unanswered: Mapping[tuple[str, ...], int]
    lacking: Mapping[tuple[str, ...], int]
    by: Mapping[str, tuple[Part, ...]]
    examples: Mapping[Move, tuple[str, ...]]
    rescored: int
    scores: Mapping[str, Mapping[float, float]]
    classes: Mapping[str, int]
    limits: tuple[str, ...]

    @property
    def changed(self) -> int:
        """Decisions whose outcome would be another."""
        return sum(count for (before, after), count in self.moves.items() if before != after)

    @property
    def is_whole(self) -> bool:
        """Whether every decision of the window is answered for."""
        return self.answered == self.count

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        window = self.window
        return {
            "decision_point": window.decision_point,
            "since": window.since,
            "until": window.until,
            "where": window.where,
            "change": self.change.to_dict(),
            "decisions": self.count,
            "verdicts": dict(self.verdicts),
            "answered": self.answered,
            "changed": self.changed,
            "moves": _moves(self.moves, self.examples),
            "by": {name: [part.to_dict() for part in parts] for name, parts in self.by.items()},
            "rescored": self.rescored,
            "scores": {
                name: {f"p{share * 100:02.0f}": value for share, value in quantiles.items()}
                for name, quantiles in self.scores.items()
            },
            "not_answered": {
                "diverged": self.verdicts["diverged"],
                "not_replayable": _reasons(self.lacking),
                "under_the_change": _reasons(self.unanswered),
            },
            "completeness": dict(self.classes),
            "limits": list(self.limits),
        }


def what_if_window(
    snapshot: Snapshot,
    window: Window,
    change: Change,
    *,
    by: Iterable[str] | None = None,
    workers: int | None = None,
    progress: Progress | None = None,
    export: Path | None = None,
) -> BlastRadius:
    """What ``change`` would have done to the decisions of a window.

    Args:
        snapshot: the lake.
        window: which decisions.
        change: what is to be different.
        by: fields and features to group by; a few usual ones where None.
        workers: how many threads; as many as there are processors where None.
        progress: told how far it is.
        export: a CSV or Parquet file to list the changed decisions in.

    Raises:
        NotFoundError: when the window holds no decision.
        UsageError: when there is no such decision point or field, or ``where`` is no expression.
        IntegrityError: when a data file is not what was written.
    """
    types = snapshot.tables[check(snapshot, window)].features
    grouped = slices(snapshot, window, USUAL if by is None else by, types)

    def make(engine: Engine) -> Callable[[SegmentTask, Told], Blast]:
        return WhatIf(engine, change, grouped).run

    threads = Threads(snapshot, window, make, workers)
    todo = tasks(snapshot, window, listed=export is not None, workers=threads.count)
    blast = Blast()
    with (
        nullcontext() if export is None else RowWriter(export, LISTED) as writer,
        closing(threads.run(todo, progress)) as parts,
    ):
        for part in parts:
            blast.add(part)
            if writer is not None:
                writer.write(part.rows)
    if not blast.verdicts.total():
        raise empty(window)
    return _radius(snapshot, window, change, blast, grouped, usual=by is None)


def _radius(
    snapshot: Snapshot,
    window: Window,
    change: Change,
    blast: Blast,
    grouped: tuple[Slice, ...],
    *,
    usual: bool,
) -> BlastRadius:
    verdicts = {verdict: blast.verdicts[verdict] for verdict in VERDICTS}
    parts = {slice_.name: _parts(blast.by.get(slice_.name, Counter())) for slice_ in grouped}
    if usual:  # a group of all says nothing
        parts = {name: of for name, of in parts.items() if len(of) > 1}
    scores = {}
    for name, sketch in (("before", blast.before), ("after", blast.after), ("shift", blast.shift)):
        if sketch.count:
            values = {share: sketch.quantile(share) for share in _QUANTILES}
            scores[name] = {share: value for share, value in values.items() if value is not None}
    moves = dict(sorted(blast.moves.items(), key=lambda item: (item[0][0], -item[1])))
    answered = blast.moves.total()
    return BlastRadius(
        window=window,
        change=change,
        count=blast.verdicts.total(),
        verdicts=verdicts,
        answered=answered,
        moves=moves,
        unanswered=dict(blast.unanswered.most_common()),
        lacking=dict(blast.lacking.most_common()),
        by=parts,
        examples={
            move: tuple(_request_id(snapshot, window, one) for one in some)
            for move, some in blast.examples.items()
        },
        rescored=blast.rescored,
        scores=scores,
        classes={name: blast.classes[name] for name in CLASSES if blast.classes[name]},
        limits=tuple(_limits(blast, verdicts, answered)),
    )


def _parts(groups: Groups) -> tuple[Part, ...]:
    by_value: dict[str | None, Counter[Move]] = {}
    for (value, before, after), count in groups.items():
        by_value.setdefault(value, Counter())[before, after] += count
    parts = [
        Part(
            value,
            moves.total(),
            sum(count for (before, after), count in moves.items() if before != after),
            dict(moves),
        )
        for value, moves in by_value.items()
    ]
    return tuple(sorted(parts, key=lambda part: (-part.changed, -part.answered, part.value or "")))


def _limits(blast: Blast, verdicts: Mapping[Verdict, int], answered: int) -> Iterable[str]:
    """Where the evidence ends, in sentences."""
    some = {name: count for name, count in blast.classes.items() if count}
    if some:
        lowest = next(name for name in CLASSES if name in some)
        lower = sum(count for name, count in some.items() if name == lowest)
        who = "every answered decision is" if lower == answered else f"{lower:,} decisions are"
        yield f"Evidence: {who} of class {lowest}: {_CLAIMS[lowest]}"
        if lowest != "C2":
            yield (
                "Where the change is looser than what ran, the alternatives that were not taken"
                " would count, and their values were not all recorded."
            )
    yield (
        "Only the decisions themselves are run again. What a changed one would have set off"
        " downstream, in later requests, data or behaviour, is not certified."
    )
    if verdicts["diverged"]:
        yield (
            f"{verdicts['diverged']:,} decisions do not replay to what was recorded; what they"
            " would have been is not said. See: forensics replay"
        )
    if verdicts["not_replayable"]:
        yield (
            f"{verdicts['not_replayable']:,} decisions cannot be replayed; they are not taken for"
            " unchanged."
        )
    if blast.unanswered:
        yield (
            f"{blast.unanswered.total():,} decisions lack what the change needs; they are not taken"
            " for unchanged."
        )
    if verdicts["same_outcome"]:
        yield (
            f"{verdicts['same_outcome']:,} answered decisions replay to the recorded outcome with"
            " another score."
        )


_CLAIMS = {
    "none": "not even that their outcome followed from what was recorded alone is certain.",
    "C0": "what happened can be reproduced; another rule's outcome rests on values that were not"
    " recorded.",
    "C1": "what happened can be reproduced, and what a stricter rule would have done.",
    "C2": "what happened can be reproduced, and what stricter and looser rules would have done.",
}


def _request_id(snapshot: Snapshot, window: Window, example: Example) -> str:
    place = Location(f"decisions/{window.decision_point}", *example)
    (kept,) = read.records(snapshot, [place])
    return str(kept.record["request_id"])


def _moves(
    moves: Mapping[Move, int], examples: Mapping[Move, tuple[str, ...]]
) -> list[dict[str, Any]]:
    return [
        {
            "before": before,
            "after": after,
            "decisions": count,
            **({"examples": list(examples[before, after])} if (before, after) in examples else {}),
        }
        for (before, after), count in moves.items()
    ]


def _reasons(reasons: Mapping[tuple[str, ...], int]) -> list[dict[str, Any]]:
    return [{"missing": list(reason), "decisions": count} for reason, count in reasons.items()]
