"""Replay of one part of a data file: a plain function, which any engine may call anywhere.

What goes in and what comes out can be pickled; who runs it needs no more than the lake's folder.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from forensics.lake.batches import Batch
from forensics.lake.texts import Texts
from forensics.replay.bulk import attributes
from forensics.replay.bulk.engine import Engine
from forensics.replay.bulk.judge import Judge, Judged
from forensics.replay.bulk.tally import EXAMPLES_MAX, Example, Group, Tally, add_values
from forensics.replay.bulk.task import SegmentTask, Told, asked_for, opened

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]

#: What a row of the list has, and what kind of value.
LISTED = {
    "request_id": "text",
    "decision_id": "text",
    "occurred_at": "time",
    "verdict": "text",
    "step": "text",
    "reason": "text",
    "outcome": "text",
    "replayed_outcome": "text",
    "score": "number",
    "replayed_score": "number",
    "replayed_rule": "text",
}


@dataclass(slots=True)
class SegmentReplay:
    """What came of a task: counts, and the rows of the list if one was asked for."""

    tally: Tally = field(default_factory=Tally)
    rows: list[tuple[Any, ...]] = field(default_factory=list)


def replay_segment(task: SegmentTask) -> SegmentReplay:
    """Replay part of a data file.

    Raises:
        IntegrityError: when the file is not what was written.
        UsageError: when the condition cannot be evaluated.
    """
    with Engine(task.root, task.point, task.types) as engine:
        return SegmentReplayer(engine).replay(task)


class SegmentReplayer:
    """Runs one task after another with the means of one thread."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._judge = Judge(engine)
        self._plain = self._judge.kinds.code("bit_exact")

    def replay(self, task: SegmentTask, told: Told | None = None) -> SegmentReplay:
        """As :func:`replay_segment`, telling of each batch."""
        done = SegmentReplay()
        self._engine.start(opened(self._engine, task), task.first)
        for batch, wanted in asked_for(self._engine, task):
            count = batch.rows if wanted is None else len(wanted)
            if count:
                judged = self._judge.judge(batch, wanted)
                rest = np.flatnonzero(judged.kinds != self._plain)
                if wanted is not None and len(rest):
                    rest = rest[np.isin(rest, wanted)]
                self._count(batch, wanted, judged, rest, done.tally)
                if task.listed and len(rest):
                    done.rows.extend(self._list(batch, rest, judged))
            if told is not None:
                told(batch.rows, count)
        return done

    def _count(
        self, batch: Batch, wanted: Longs | None, judged: Judged, rest: Longs, tally: Tally
    ) -> None:
        """Add a batch to the counts, with those of its rows that are not bit-exact apart."""
        identity, plans = self._engine.plans(batch)
        columns = dict(attributes.of_plans(identity, plans))
        for plan in plans:
            tally.names |= attributes.names(plan)
        if self._judge.rules.values:
            columns["rule"] = Texts(judged.rules, self._judge.rules.values)
        counts = {name: attributes.values(column, wanted) for name, column in columns.items()}
        add_values(tally.attributes, counts)
        tally.exact += (batch.rows if wanted is None else len(wanted)) - len(rest)
        if not len(rest):
            return
        columns |= attributes.recorded(batch)
        batch.load(("occurred_at",), seldom=True)
        micros = batch.micros("occurred_at")
        kinds = judged.kinds[rest]
        for code in np.unique(kinds):
            rows = rest[kinds == code]
            examples = [
                Example(batch.path.name, batch.first_row + int(row)) for row in rows[:EXAMPLES_MAX]
            ]
            values = {name: attributes.values(column, rows) for name, column in columns.items()}
            times = micros[rows]
            tally.group(self._judge.kinds.values[code]).add(
                Group(len(rows), int(times.min()), int(times.max()), examples, values)
            )

    def _list(self, batch: Batch, rows: Longs, judged: Judged) -> Iterator[tuple[Any, ...]]:
        """Rows of :data:`LISTED`."""
        judge = self._judge
        columns = recorded_columns(batch, rows)
        for at, row in enumerate(rows):
            kind = judge.kinds.values[judged.kinds[row]]
            outcome, rule = int(judged.outcomes[row]), int(judged.rules[row])
            score = float(judged.scores[row])
            yield (
                columns["request_id"][at],
                columns["decision_id"][at],
                columns["occurred_at"][at],
                kind.verdict,
                kind.step,
                "; ".join(kind.reason),
                columns["outcome"][at],
                None if outcome < 0 else judge.outcomes.values[outcome],
                columns["score"][at],
                None if score != score else score,
                None if rule < 0 else judge.rules.values[rule],
            )


def recorded_columns(batch: Batch, rows: Longs) -> dict[str, list[Any]]:
    """Ids, times, outcomes and scores of some rows, as Python values by column."""
    names = ("request_id", "decision_id", "occurred_at", "outcome", "score")
    batch.load(names, seldom=True)
    return batch.take(names, rows)
