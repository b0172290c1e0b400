"""Part of a data file under a change: which outcomes would be others, in which direction, of whom.

A plain function over a task, like replay itself. Only decisions whose replay gives the recorded
outcome are compared; the others are counted apart, since what they would have been cannot be said.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from forensics.errors import ReplayError
from forensics.lake.batches import Batch
from forensics.lake.changed import ChangedRows
from forensics.lake.frames import TableFrame
from forensics.lake.grouping import grouped
from forensics.lake.sql import literal
from forensics.replay.bulk.after import After
from forensics.replay.bulk.blast import Blast, Groups, add_groups
from forensics.replay.bulk.change import Change, apply
from forensics.replay.bulk.claims import CLASSES, classes
from forensics.replay.bulk.engine import Engine
from forensics.replay.bulk.judge import Judge, Judged, odd_rows, received
from forensics.replay.bulk.lacks import Lacks
from forensics.replay.bulk.one import names_in, what_if_one
from forensics.replay.bulk.plan import Plan, planned
from forensics.replay.bulk.segment import recorded_columns
from forensics.replay.bulk.slices import Slice
from forensics.replay.bulk.tally import EXAMPLES_MAX, Example
from forensics.replay.bulk.task import SegmentTask, Told, asked_for
from forensics.replay.session import ReplaySession

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]
    Ints = NDArray[np.int32]
    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float64]


def what_if_segment(task: SegmentTask, change: Change, by: tuple[Slice, ...] = ()) -> Blast:
    """Part of a data file under a change.

    Raises:
        IntegrityError: when the file is not what was written.
        UsageError: when a condition cannot be evaluated.
    """
    with Engine(task.root, task.point, task.types) as engine:
        return WhatIf(engine, change, by).run(task)


class WhatIf:
    """Runs one task after another with the means of one thread."""

    def __init__(self, engine: Engine, change: Change, by: tuple[Slice, ...] = ()) -> None:
        self._engine, self._change, self._by = engine, change, by
        self._judge = Judge(engine)
        self._plans: dict[Hashable, Plan] = {}
        self._names: dict[frozenset[str], frozenset[str]] = {}

    def run(self, task: SegmentTask, told: Told | None = None) -> Blast:
        """As :func:`what_if_segment`, telling of each batch."""
        found = Blast()
        for batch, wanted in asked_for(self._engine, task):
            rows = batch.rows if wanted is None else len(wanted)
            if rows:
                self._batch(batch, wanted, task.listed, found)
            if told is not None:
                told(batch.rows, rows)
        return found

    def _batch(self, batch: Batch, wanted: Longs | None, listed: bool, found: Blast) -> None:
        judged = self._judge.judge(batch, wanted)
        every = np.arange(batch.rows) if wanted is None else wanted
        kinds = self._judge.kinds.values
        agrees = np.array([k.verdict not in ("diverged", "not_replayable") for k in kinds])
        replayable = np.array([k.verdict != "not_replayable" for k in kinds])
        for code, count in enumerate(np.bincount(judged.kinds[every], minlength=len(kinds))):
            if count:
                found.verdicts[kinds[code].verdict] += int(count)
                if kinds[code].verdict == "not_replayable":
                    found.lacking[kinds[code].reason] += int(count)
        rows = every[agrees[judged.kinds[every]]]
        if not len(rows):
            return
        after = After(batch.rows)
        identity, plans = self._engine.plans(batch)
        for group, (key, plan) in enumerate(zip(identity.keys, plans, strict=True)):
            some = rows[identity.groups.codes[rows] == group]
            if len(some):
                self._group(self._changed(key, plan), plan, batch, some, judged, after)
        for code, reason in enumerate(after.reasons):
            count = int((after.lacks[rows] == code).sum())
            if count:
                found.unanswered[reason] += count
        rows = rows[after.outcomes[rows] >= 0]
        if len(rows):
            counted = classes(batch, identity, plans, replayable[judged.kinds])[rows]
            for code, count in enumerate(np.bincount(counted, minlength=len(CLASSES))):
                if count:
                    found.classes[CLASSES[code]] += int(count)
            self._count(batch, rows, judged, after, listed, found)

    def _changed(self, key: Hashable, plan: Plan) -> Plan:
        """The plan of a group under the change."""
        found = self._plans.get(key)
        if found is None:
            engine = self._engine
            with ReplaySession(
                plan.decision,
                engine.artifacts,
                connection=engine.connection,
                workers=engine.workers,
            ) as session:
                applied = apply(self._change, session)
                names = self._uses(session.values)
                lost = [name for name in sorted(names) if not _has(plan, name)]
            features = dict.fromkeys(applied.decision.features)
            decision = replace(applied.decision, features=features)
            found = planned(decision, applied.artifacts, engine.connection, engine.workers)
            missing = list(found.missing)
            for digest, named in applied.replaced.items():
                missing = [text.replace(digest, named.digest) for text in missing]
            missing += [f"{name}, used by the change" for name in lost]
            if missing:
                found = found._replace(missing=tuple(missing), logic=None)
            self._plans[key] = found
        return found

    def _group(
        self, plan: Plan, before: Plan, batch: Batch, rows: Longs, judged: Judged, after: After
    ) -> None:
        """What rows of one group would be."""
        if plan.missing:
            after.lack(rows, plan.missing)
            return
        needed = plan.columns | before.columns | self._expression_names(before)
        needed |= {n for n in plan.recorded if n in batch.features and not batch.is_number(n)}
        batch.load((f"features.{name}" for name in sorted(needed)), seldom=True)
        odd = odd_rows(plan, batch)
        if odd is not None and odd[rows].any():
            self._one_by_one(batch, rows[odd[rows]], after)
            rows = rows[~odd[rows]]
        lacks = Lacks(plan, batch, rows, None, self._change.features.keys())
        if lacks.flags.any():
            for some, reason in lacks.patterns():
                after.lack(rows[some], reason)
            rows = rows[~lacks.flags]
        if len(rows):
            self._answer(plan, before, batch, rows, judged, after)

    def _answer(
        self, plan: Plan, before: Plan, batch: Batch, rows: Longs, judged: Judged, after: After
    ) -> None:
        """The changed plan's answers; in halves where a row makes all fail."""
        engine = self._engine
        stopped = {step: flags[rows] for step, flags in judged.stopped.items()}
        try:
            columns = self._columns(plan, before, batch, rows)
            changed = ChangedRows(batch, rows, columns)
            after.take(rows, engine.answer_changed(plan, changed, stopped))
        except ReplayError as error:
            engine.check()
            if len(rows) == 1:
                after.lack(rows, (str(error),))
                return
            half = len(rows) // 2
            for part in (rows[:half], rows[half:]):
                self._answer(plan, before, batch, part, judged, after)

    def _columns(self, plan: Plan, before: Plan, batch: Batch, rows: Longs) -> dict[str, Any]:
        """The changed features, with those that the logic derives from them."""
        features = self._change.features
        if not features:
            return {}
        types = self._engine.types
        named = [
            (
                f"#{name}",
                f"({s.expression or _sql(s.value)}\n)::{_SQL_TYPES.get(types[name], 'VARCHAR')}",
            )
            for name, s in features.items()
        ]
        names = self._uses(before.values)
        table = batch.table(sorted(self._expression_names(before)), rows)
        frame = TableFrame(self._engine.connection, table, before.values)
        frame.evaluate(named, [name for name, _ in named], sorted(names))
        found = {name: frame.column(f"#{name}").combine_chunks() for name in features}
        assert plan.logic is not None
        follow = {
            name: parsed.names
            for name, parsed in plan.logic.derived.items()
            if any(used.removeprefix("features.") in found for used in parsed.names)
        }
        if follow:
            uses = frozenset().union(*follow.values())
            needed = {name.removeprefix("features.") for name in uses} & set(types)
            batch.load((f"features.{name}" for name in sorted(needed)), seldom=True)
            changed = ChangedRows(batch, rows, found)
            frame = TableFrame(self._engine.connection, changed.table(sorted(needed)), plan.values)
            derived = [(f"#{name}", plan.logic.logic.derived[name]) for name in follow]
            frame.evaluate(derived, [name for name, _ in derived], sorted(uses))
            for name in follow:
                found[name] = frame.column(f"#{name}").combine_chunks()
        return found

    def _expression_names(self, plan: Plan) -> frozenset[str]:
        """Features that the change's expressions use."""
        plain = (name.removeprefix("features.") for name in self._uses(plan.values))
        return frozenset(name for name in plain if name in self._engine.types)

    def _uses(self, values: Mapping[str, Any]) -> frozenset[str]:
        """The names that the change's expressions use, beside values of a configuration."""
        key = frozenset(values)
        if key not in self._names:
            engine = self._engine
            self._names[key] = names_in(self._change, engine.types, values, engine.connection)
        return self._names[key]

    def _one_by_one(self, batch: Batch, rows: Longs, after: After) -> None:
        """Rows that only their received bytes tell the whole of."""
        engine = self._engine
        for row, decision in received(engine, batch, rows):
            with ReplaySession(
                decision, engine.artifacts, connection=engine.connection, workers=engine.workers
            ) as session:
                found = what_if_one(session, self._change, engine.connection, engine.workers)
            if found.missing:
                after.lack(np.array([row]), found.missing)
            else:
                after.put(row, found.outcome_after, found.score_after, found.rule_after)

    def _count(
        self,
        batch: Batch,
        rows: Longs,
        judged: Judged,
        after: After,
        listed: bool,
        found: Blast,
    ) -> None:
        """Add answered rows to the counts."""
        outcome = batch.texts("outcome")
        assert outcome is not None
        old, new = outcome.codes[rows], after.outcomes[rows]
        moves = grouped((old, new), len(rows))
        pairs = [
            (outcome.values[old[first]], after.texts.values[new[first]]) for first in moves.first
        ]
        for pair, count in zip(pairs, np.bincount(moves.codes), strict=True):
            found.moves[pair] += int(count)
        scores, changed_scores = judged.scores[rows], after.scores[rows]
        shift = changed_scores - scores
        found.before.take(scores)
        found.after.take(changed_scores)
        found.shift.take(shift)
        found.rescored += int((np.nan_to_num(shift) != 0).sum())
        for slice_ in self._by:
            column = slice_.column(batch)
            groups = grouped((column.codes[rows], moves.codes), len(rows))
            counts: Groups = Counter()
            for first, count in zip(groups.first, np.bincount(groups.codes), strict=True):
                before, now = pairs[moves.codes[first]]
                counts[column.at(int(rows[first])), before, now] += int(count)
            add_groups(found.by.setdefault(slice_.name, Counter()), counts)
        moved = np.array([before != now for before, now in pairs], np.bool_)[moves.codes]
        for pair, code in zip(pairs, range(len(pairs)), strict=True):
            if pair[0] != pair[1]:
                known = found.examples.setdefault(pair, [])
                for row in rows[moves.codes == code][: EXAMPLES_MAX - len(known)]:
                    known.append(Example(batch.path.name, batch.first_row + int(row)))
        if listed and moved.any():
            self._list(batch, rows[moved], judged, after, found)

    def _list(self, batch: Batch, rows: Longs, judged: Judged, after: After, found: Blast) -> None:
        columns = recorded_columns(batch, rows)
        for at, row in enumerate(rows):
            rule = int(judged.rules[row])
            score, now = float(judged.scores[row]), float(after.scores[row])
            found.rows.append(
                (
                    columns["request_id"][at],
                    columns["decision_id"][at],
                    columns["occurred_at"][at],
                    columns["outcome"][at],
                    after.texts.values[after.outcomes[row]],
                    None if score != score else score,
                    None if now != now else now,
                    None if rule < 0 else self._judge.rules.values[rule],
                    after.rules.values[after.rule_codes[row]],
                )
            )


_SQL_TYPES: Mapping[str, str] = {
    "float64": "DOUBLE",
    "double": "DOUBLE",
    "int64": "BIGINT",
    "bool": "BOOLEAN",
    "list<float64>": "DOUBLE[]",
}


def _sql(value: Any) -> str:
    if value is None:
        return "NULL"
    return str(value).lower() if isinstance(value, bool) else literal(value)


def _has(plan: Plan, name: str) -> bool:
    if name.partition(".")[0] == "config":
        return name.partition(".")[2] in plan.values
    return name.removeprefix("features.") in plan.decision.features or name in plan.values
