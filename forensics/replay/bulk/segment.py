"""Replay of one part of a data file: a plain function, which any engine may call anywhere.

What goes in and what comes out can be pickled; who runs it needs no more than the lake's folder.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from forensics.lake.batches import BATCH_ROWS, Batch, Texts
from forensics.lake.condition import Condition
from forensics.replay.bulk.engine import Engine
from forensics.replay.bulk.identity import TEXTS
from forensics.replay.bulk.judge import Judge, Judged
from forensics.replay.bulk.plan import Plan
from forensics.replay.bulk.said import OUTPUTS
from forensics.replay.bulk.tally import EXAMPLES_MAX, Example, Group, Tally, Values

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]

#: What decisions may have in common, by the column that tells it.
ATTRIBUTES = {
    "environment": "environment",
    "region": "region",
    "replica": "replica",
    "tenant": "tenant",
    "code version": "execution.code_version",
}
_HOUR_US = 3_600_000_000
#: Features that a batch of the usual size may have: 64 MiB as doubles.
_FEATURES = 64


@dataclass(frozen=True, slots=True)
class SegmentTask:
    """Part of a data file of decisions, and which of its rows are asked for.

    ``first`` to before ``end`` are row groups. Times are microseconds since 1970; the window does
    not include its end. ``where`` is an SQL expression as in ``find``. ``rows_max`` ends the task
    after so many decisions. ``listed`` asks for a list of the decisions that are not bit-exact.
    """

    root: Path
    point: str
    file: str
    types: Mapping[str, str]
    first: int = 0
    end: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    where: str | None = None
    rows_max: int | None = None
    listed: bool = False

    @property
    def path(self) -> Path:
        """The data file."""
        return self.root / "decisions" / self.point / self.file


@dataclass(slots=True)
class SegmentReplay:
    """What came of a task: counts, and the rows of the list if one was asked for."""

    tally: Tally = field(default_factory=Tally)
    rows: list[tuple[Any, ...]] = field(default_factory=list)


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

#: Told after each batch how many decisions it had, and how many of them were asked for.
Told = Callable[[int, int], None]


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

    def replay(self, task: SegmentTask, told: Told | None = None) -> SegmentReplay:
        """As :func:`replay_segment`, telling of each batch."""
        done = SegmentReplay()
        for batch, wanted in asked_for(self._engine, task):
            count = batch.rows if wanted is None else len(wanted)
            if count:
                judged = self._judge.judge(batch, wanted)
                self._count(batch, wanted, judged, done.tally)
                if task.listed:
                    done.rows.extend(self._list(batch, wanted, judged))
            self._engine.forget()
            if told is not None:
                told(batch.rows, count)
        return done

    def _count(self, batch: Batch, wanted: Longs | None, judged: Judged, tally: Tally) -> None:
        """Add a batch to the counts."""
        micros = batch.micros("occurred_at")
        kinds = judged.kinds if wanted is None else judged.kinds[wanted]
        hours = (micros if wanted is None else micros[wanted]) // _HOUR_US
        tally.hours.update(_counted(hours))
        columns = self._attributes(batch, judged, tally)
        for name, column in columns.items():
            tally.attributes.setdefault(name, Counter()).update(_values(column, wanted))
        plain = self._judge.kinds.code("bit_exact")
        if (kinds == plain).all():
            tally.exact += len(kinds)
            return
        for code in np.unique(kinds):
            kind = self._judge.kinds.values[code]
            rows = np.flatnonzero(judged.kinds == code)
            if wanted is not None:
                rows = rows[np.isin(rows, wanted)]
            if code == plain:
                tally.exact += len(rows)
                continue
            examples = [
                Example(batch.path.name, batch.first_row + int(row)) for row in rows[:EXAMPLES_MAX]
            ]
            values = {name: _values(column, rows) for name, column in columns.items()}
            times = micros[rows]
            tally.group(kind).add(
                Group(len(rows), int(times.min()), int(times.max()), examples, values)
            )

    def _attributes(self, batch: Batch, judged: Judged, tally: Tally) -> dict[str, Texts]:
        """What rows may have in common, by name."""
        found = {}
        for name, path in ATTRIBUTES.items():
            column = batch.texts(path)
            if column is not None:
                found[name] = column
        groups, plans = self._engine.plans(batch)
        for plan in plans:
            tally.names |= _names(plan)
        for name, value in _OF_PLANS.items():
            values = [value(plan) for plan in plans]
            texts = list(dict.fromkeys(text for text in values if text is not None))
            codes = np.array([-1 if v is None else texts.index(v) for v in values], np.int32)
            if texts:
                found[name] = Texts(codes[groups.groups.codes], texts)
        if len(self._judge.rules.values):
            found["rule"] = Texts(judged.rules, self._judge.rules.values)
        return found

    def _list(
        self, batch: Batch, wanted: Longs | None, judged: Judged
    ) -> Iterator[tuple[Any, ...]]:
        """Rows of :data:`LISTED` for the decisions that are not bit-exact."""
        plain = self._judge.kinds.code("bit_exact")
        rows = np.flatnonzero(judged.kinds != plain)
        if wanted is not None:
            rows = rows[np.isin(rows, wanted)]
        if not len(rows):
            return
        columns = recorded_columns(batch, rows)
        for at, row in enumerate(rows):
            kind = self._judge.kinds.values[judged.kinds[row]]
            replayed, rule = int(judged.outcomes[row]), int(judged.rules[row])
            score = float(judged.scores[row])
            yield (
                columns["request_id"][at], columns["decision_id"][at], columns["occurred_at"][at],
                kind.verdict, kind.step, "; ".join(kind.reason), columns["outcome"][at],
                None if replayed < 0 else self._judge.outcomes.values[replayed],
                columns["score"][at], None if score != score else score,
                None if rule < 0 else self._judge.rules.values[rule],
            )  # fmt: skip


def recorded_columns(batch: Batch, rows: Longs) -> dict[str, list[Any]]:
    """Ids, times, outcomes and scores of some rows, as Python values by column."""
    names = ("request_id", "decision_id", "occurred_at", "outcome", "score")
    batch.load(names, seldom=True)
    return batch.columns(names).take(rows).to_pydict()


def asked_for(engine: Engine, task: SegmentTask) -> Iterator[tuple[Batch, Longs | None]]:
    """The batches of a task, and which rows of each are asked for; None where all are.

    Raises:
        IntegrityError: when the file is not what was written.
        UsageError: when the condition cannot be evaluated.
    """
    condition = None
    if task.where is not None:
        condition = Condition(task.where, task.types, engine.connection)
    left = task.rows_max
    texts = [*TEXTS, *ATTRIBUTES.values(), "outcome", "score_dtype", OUTPUTS]
    file = engine.reader.open(task.path, texts)
    for batch in file.batches(task.first, task.end, _batch_rows(len(task.types))):
        engine.check()
        if left == 0:
            return
        batch.load(("occurred_at", *ATTRIBUTES.values()))
        flags = np.ones(batch.rows, np.bool_)
        micros = batch.micros("occurred_at")
        if task.since_us is not None:
            flags &= micros >= task.since_us
        if task.until_us is not None:
            flags &= micros < task.until_us
        if condition is not None and flags.any():
            flags &= condition.holds(batch)
        wanted = None if flags.all() else np.flatnonzero(flags)
        if left is not None:
            wanted = np.flatnonzero(flags)[:left]
            left -= len(wanted)
        yield batch, wanted


def _batch_rows(features: int) -> int:
    """Rows of a batch, so that one of many features takes no more memory than one of few."""
    return max(BATCH_ROWS // 16, min(BATCH_ROWS, BATCH_ROWS * _FEATURES // max(1, features)))


def _model(plan: Plan) -> str | None:
    model = plan.decision.model
    named = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
    digest: str | None = model.get("digest")
    return digest or named or None


def _config(plan: Plan) -> str | None:
    config = plan.decision.config
    found: str | None = config.get("digest") or config.get("revision")
    return found


def _entry(field_: str, live: Callable[[Plan], str | None]) -> Callable[[Plan], str | None]:
    """What made the cache entry that answered, where that was not what is live."""

    def of(plan: Plan) -> str | None:
        cache = plan.decision.cache
        found: str | None = cache.get(field_) if cache.get("hit") else None
        return found if found != live(plan) else None

    return of


def _names(plan: Plan) -> dict[str, str]:
    """How the plan's decisions call their model and configuration, by digest."""
    model, config = plan.decision.model, plan.decision.config
    named = " ".join(str(model[key]) for key in ("name", "version") if model.get(key))
    found = {model.get("digest"): named, config.get("digest"): config.get("revision")}
    return {digest: name for digest, name in found.items() if digest and name}


#: Attributes that all rows of a plan share. Models and configurations go by their digests.
_OF_PLANS: dict[str, Callable[[Plan], str | None]] = {
    "model": _model,
    "configuration": _config,
    "cache entry of model": _entry("model_digest", _model),
    "cache entry of configuration": _entry("config_digest", _config),
}


def _values(column: Texts, rows: Longs | None) -> Values:
    codes = column.codes if rows is None else column.codes[rows]
    if len(codes) and (codes == codes[0]).all():
        return Counter({None if codes[0] < 0 else column.values[codes[0]]: len(codes)})
    counts = np.bincount(codes + 1, minlength=1)
    return Counter(
        {
            None if code == 0 else column.values[code - 1]: int(counts[code])
            for code in np.flatnonzero(counts)
        }
    )


def _counted(numbers: Longs) -> dict[int, int]:
    low = int(numbers.min())
    if int(numbers.max()) - low < len(numbers):
        counts = np.bincount(numbers - low)
        return {low + int(at): int(counts[at]) for at in np.flatnonzero(counts)}
    values, counts = np.unique(numbers, return_counts=True)
    return dict(zip(values.tolist(), counts.tolist(), strict=True))
