"""The verdict on each row of a batch.

The order and the rules of comparison are those of :mod:`forensics.replay.replay`, which is asked
itself for rows whose record says more than the lake's columns hold, and for those on which an
expression fails.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from forensics.errors import ReplayError
from forensics.lake import read
from forensics.lake.batches import Batch
from forensics.lake.snapshot import Location
from forensics.lake.texts import Vocabulary
from forensics.records.decision import Decision
from forensics.replay.bulk import scores as scores_
from forensics.replay.bulk.compare import Comparison
from forensics.replay.bulk.engine import Engine
from forensics.replay.bulk.kinds import Kinds
from forensics.replay.bulk.lacks import Lacks
from forensics.replay.bulk.plan import Plan
from forensics.replay.bulk.scores import Scores
from forensics.replay.replay import replay_session
from forensics.replay.session import ReplaySession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]
    Ints = NDArray[np.int32]
    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float64]

#: Rows that are replayed one by one are fetched as many at a time.
_ONE_BY_ONE = 256


class Judged(NamedTuple):
    """The verdicts on a batch, and what replay gave; -1 and NaN where it gave nothing.

    ``stopped`` are rows for which a model stops early, by step of the logic.
    """

    kinds: Ints
    scores: Floats
    outcomes: Ints
    rules: Ints
    stopped: dict[str, Flags]


class Judge:
    """Judges batches with one thread's means.

    ``outcomes`` and ``rules`` are the texts that :class:`Judged` has the places of.
    """

    def __init__(self, engine: Engine) -> None:
        self.engine = engine
        self.kinds = Kinds()
        self.outcomes = Vocabulary()
        self.rules = Vocabulary()
        self._plain = self.kinds.code("bit_exact")

    def judge(self, batch: Batch, wanted: Longs | None = None) -> Judged:
        """The verdict on each row; of rows that are not ``wanted`` it means nothing.

        Raises:
            IntegrityError: when the file is not what was written.
        """
        identity, plans = self.engine.plans(batch)
        batch.load(("outcome",))
        scores = scores_.recorded(batch)
        found = Judged(
            np.full(batch.rows, self._plain, np.int32),
            np.full(batch.rows, np.nan),
            np.full(batch.rows, -1, np.int32),
            np.full(batch.rows, -1, np.int32),
            {},
        )
        for group, plan in enumerate(plans):
            rows = identity.groups.rows(group)
            if wanted is not None:
                rows = wanted if rows is None else rows[np.isin(rows, wanted)]
            if rows is None or len(rows):
                self._group(plan, batch, rows, scores, found)
        return found

    def _group(
        self, plan: Plan, batch: Batch, rows: Longs | None, scores: Scores, found: Judged
    ) -> None:
        odd = odd_rows(plan, batch)
        if odd is not None:
            every = np.arange(batch.rows) if rows is None else rows
            self._one_by_one(batch, every[odd[every]], found)
            rows = every[~odd[every]]
            if not len(rows):
                return
        lacks = Lacks(plan, batch, rows, _of(scores.unscored, rows))
        if lacks.flags.any():
            every = np.arange(batch.rows) if rows is None else rows
            for some, reason in lacks.patterns():
                found.kinds[every[some]] = self.kinds.code("not_replayable", "", reason)
            rows = every[~lacks.flags]
            if not len(rows):
                return
        self._answered(plan, batch, rows, scores, found)

    def _answered(
        self, plan: Plan, batch: Batch, rows: Longs | None, scores: Scores, found: Judged
    ) -> None:
        """Verdicts on rows for which nothing is missing; in halves where a row makes all fail."""
        try:
            answered = self.engine.answer(plan, batch, rows, scores)
        except ReplayError:
            self.engine.check()  # an interrupt kills the models' processes too
            every = np.arange(batch.rows) if rows is None else rows
            if len(every) <= 1 or self._cannot_run(batch, every, found):
                self._one_by_one(batch, every[:1], found)
                found.kinds[every] = found.kinds[every[:1]]
                return
            half = len(every) // 2
            for part in (every[:half], every[half:]):
                self._answered(plan, batch, part, scores, found)
            return
        at = slice(None) if rows is None else rows
        compared = Comparison(self.engine, plan, batch, rows, scores, answered)
        found.kinds[at] = compared.kinds(self.kinds)
        found.scores[at] = answered.scores
        found.outcomes[at] = _places(answered.outcomes, self.outcomes)[answered.outcome_codes]
        found.rules[at] = _places(answered.rules, self.rules)[answered.rule_codes]
        for step, ran in answered.models.items():
            if ran.stopped is not None:
                flags = found.stopped.setdefault(step, np.zeros(batch.rows, np.bool_))
                flags[at] = ran.stopped

    def _cannot_run(self, batch: Batch, rows: Longs, found: Judged) -> bool:
        """Whether a model fails on the first, the middle and the last row in the same way.

        Then it is taken to fail on all: each try starts a new process.
        """
        some = rows[[0, len(rows) // 2, -1]]
        self._one_by_one(batch, some, found)
        kinds = {self.kinds.values[code] for code in found.kinds[some]}
        return len(kinds) == 1 and any("(model file)" in text for text in kinds.pop().reason)

    def _one_by_one(self, batch: Batch, rows: Longs, found: Judged) -> None:
        """Rows replayed from their received bytes."""
        engine = self.engine
        for row, decision in received(engine, batch, rows):
            with ReplaySession(
                decision, engine.artifacts, connection=engine.connection, workers=engine.workers
            ) as session:
                replay = replay_session(session)
            first = replay.first_divergence
            reason: tuple[str, ...] = ("as received",)
            if replay.verdict == "not_replayable":
                first, reason = None, replay.missing
            step = first.step if first is not None else ""
            found.kinds[row] = self.kinds.code(replay.verdict, step, reason)
            found.scores[row] = replay.replayed.get("score", np.nan)
            for target, texts, name in (
                (found.outcomes, self.outcomes, "outcome"),
                (found.rules, self.rules, "rule"),
            ):
                said = replay.replayed.get(name)
                target[row] = -1 if said is None else texts.code(str(said))


def received(engine: Engine, batch: Batch, rows: Longs) -> Iterator[tuple[int, Decision]]:
    """Some rows of a batch as decisions, read from their received bytes.

    Raises:
        IntegrityError: when these cannot be read.
    """
    table = f"decisions/{engine.point}"
    for start in range(0, len(rows), _ONE_BY_ONE):
        engine.check()
        some = rows[start : start + _ONE_BY_ONE]
        places = [Location(table, batch.path.name, batch.first_row + int(row)) for row in some]
        kept = {one.location.row: one for one in read.records(engine.snapshot, places)}
        for row, place in zip(some, places, strict=True):
            yield int(row), read.decision(kept[place.row], dict(engine.types))


def odd_rows(plan: Plan, batch: Batch) -> Flags | None:
    """Rows that only their received bytes tell the whole of."""
    odd = [
        batch.present(name)
        for name in plan.columns | plan.recorded
        if name in batch.features and not (batch.is_number(name) or batch.is_text(name))
    ]
    paths = {f"features.{name}" for name in plan.columns} | {"score", "threshold"}
    written = [batch.exact.written(paths), *_vast(plan, batch)]
    if any(map(len, written)):
        flags = np.zeros(batch.rows, np.bool_)
        flags[np.concatenate(written)] = True
        odd.append(flags)
    return np.logical_or.reduce(odd) if odd else None


def _vast(plan: Plan, batch: Batch) -> Iterator[Longs]:
    """Rows with whole numbers beyond all doubles, which a model is not given; others it is."""
    if not len(batch.exact.rows):
        return
    for name in frozenset().union(*(model.recorded for model in plan.models.values())):
        rows = batch.exact.written({f"features.{name}"})
        if len(rows) and batch.is_number(name):
            yield rows[np.isinf(batch.numeric(name)[rows])]


def _of(flags: Flags | None, rows: Longs | None) -> Flags | None:
    return flags if flags is None or rows is None else flags[rows]


def _places(labels: Sequence[str | None], texts: Vocabulary) -> Ints:
    return np.array([-1 if one is None else texts.code(one) for one in labels], np.int32)
