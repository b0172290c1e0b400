"""Rows that were replayed beside what was recorded of them: verdict and first divergent step.

For many rows what :mod:`forensics.replay.replay` says of one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forensics.errors import ReplayError
from forensics.lake.batches import Batch
from forensics.lake.grouping import grouped
from forensics.lake.texts import Texts, Vocabulary
from forensics.replay.bulk import scores as scores_
from forensics.replay.bulk.engine import Answered, Engine
from forensics.replay.bulk.kinds import Kinds
from forensics.replay.bulk.plan import Plan
from forensics.replay.bulk.said import Said, differs, said_by, said_rule
from forensics.replay.bulk.scores import APART, EXACT, NONE, Scores

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from forensics.records.replay import Verdict

    Longs = NDArray[np.int64]
    Ints = NDArray[np.int32]
    Flags = NDArray[np.bool_]

#: Of an outcome: it was not said, or it is none that was recorded.
_NOT_SAID, _ELSE = -3, -2
_VERDICTS: tuple[Verdict, ...] = (
    "bit_exact", "within_ulp", "same_outcome", "diverged", "not_replayable",
)  # fmt: skip


class _Layer(NamedTuple):
    """One thing that may diverge: its step, which rows do, and in which of several ways."""

    step: str
    flags: Flags
    reasons: Sequence[tuple[str, ...]]
    codes: Ints | None = None


class Comparison:
    """Some rows of a batch that one plan replayed."""

    def __init__(
        self,
        engine: Engine,
        plan: Plan,
        batch: Batch,
        rows: Longs | None,
        scores: Scores,
        answered: Answered,
    ) -> None:
        self._engine, self._plan, self._batch, self._rows = engine, plan, batch, rows
        self._scores, self._answered = scores, answered
        self._count = len(answered.scores)
        outcome = batch.texts("outcome")
        assert outcome is not None
        codes = outcome.codes if rows is None else outcome.codes[rows]
        self._recorded = Texts(codes, outcome.values)
        self._near = scores.closeness(answered.scores, rows)
        self._contradicts = scores.contradicts
        if self._contradicts is not None and rows is not None:
            self._contradicts = self._contradicts[rows]
        if answered.unscored is not None:
            self._near[answered.unscored] = NONE
        replayed = self._outcomes(answered.outcomes)
        self._same: Flags = replayed[answered.outcome_codes] == codes

    def kinds(self, kinds: Kinds) -> Ints:
        """The kind of each row."""
        plan, near = self._plan, self._near
        for_verdict = near if plan.needs_score else np.full(self._count, EXACT, np.int8)
        rules = self._rules()
        steps = [layer for layer in self._steps() if layer.flags.any()]
        plain = kinds.code("bit_exact")
        found = np.full(self._count, plain, np.int32)
        contradicts = self._contradicts
        if contradicts is None:
            contradicts = np.zeros(self._count, np.bool_)
        simple = plan.config is None and not steps and not rules.flags.any()
        simple = simple and not contradicts.any()
        if simple and bool((for_verdict == EXACT).all()) and self._same.all():
            return found
        layers = [*self._config(), *self._cache(), *steps]
        diverged = ~self._same | rules.flags
        for layer in layers:
            diverged |= layer.flags
        verdicts = np.select(
            [
                for_verdict == NONE,
                diverged,
                contradicts,
                for_verdict == EXACT,
                for_verdict == scores_.ULP,
            ],
            [4, 3, 2, 0, 1],
            2,
        )
        layers += [*self._model(contradicts), rules]
        first = np.full(self._count, -1, np.int64)
        reason = np.zeros(self._count, np.int64)
        for at, layer in enumerate(layers):
            new = np.flatnonzero(layer.flags & (first < 0))
            first[new] = at
            if layer.codes is not None:
                reason[new] = layer.codes[new]
        combined = (verdicts * (len(layers) + 1) + first + 1) * (int(reason.max()) + 1) + reason
        for code in np.unique(combined):
            where = np.flatnonzero(combined == code)
            verdict = _VERDICTS[verdicts[where[0]]]
            if verdict == "not_replayable":
                found[where] = kinds.code(verdict, "", self._no_score(int(where[0])))
            elif first[where[0]] < 0:
                found[where] = kinds.code(verdict)
            else:
                layer = layers[first[where[0]]]
                found[where] = kinds.code(verdict, layer.step, layer.reasons[reason[where[0]]])
        return found

    def _no_score(self, row: int) -> tuple[str, ...]:
        unscored = self._answered.unscored
        if unscored is not None and unscored[row]:
            return ("a score: the decision logic gives none",)
        return ("score",)

    def _config(self) -> list[_Layer]:
        if self._plan.config is None:
            return []
        return [_Layer("config", np.ones(self._count, np.bool_), [(self._plan.config,)])]

    def _cache(self) -> list[_Layer]:
        """A score from another model's cache entry, and an outcome from another configuration's."""
        plan, found = self._plan, []
        theirs: Flags | None = None
        if plan.entry_digest is not None:
            apart = self._near != EXACT
            if self._answered.unscored is not None and plan.entry is None:
                apart &= ~self._answered.unscored
            theirs = self._entry_is_exact(np.flatnonzero(apart))
            named = f"cache entry of model {plan.entry_digest}"
            reasons = [
                (named, "which could not be run"),
                (named, "which gives another score"),
                (named, "which gives the recorded score"),
            ]
            codes = np.zeros(self._count, np.int32)
            if theirs is not None:
                codes += 1 + theirs
            found.append(_Layer(plan.cache_step, apart, reasons, codes))
        if plan.cached_values is not None and not self._same.all():
            digest = plan.decision.cache.get("config_digest")
            reason = (f"cache entry of configuration {digest}",)
            found.append(_Layer(plan.cache_step, self._cached_outcomes(theirs), [reason]))
        return found

    def _entry_values(self, some: Longs) -> Any:
        """What the cache entry's model gives for some of our rows; None where it cannot be run."""
        if self._plan.entry is None:
            return None
        rows = some if self._rows is None else self._rows[some]
        try:
            return self._engine.models.values(
                self._plan.entry, self._batch, rows, self._scores
            ).values
        except ReplayError:
            return None

    def _entry_is_exact(self, some: Longs) -> Flags | None:
        values = self._entry_values(some)
        if values is None:
            return None
        rows = some if self._rows is None else self._rows[some]
        found = np.zeros(self._count, np.bool_)
        found[some] = self._scores.closeness(values, rows) == EXACT
        return found

    def _cached_outcomes(self, theirs: Flags | None) -> Flags:
        """Rows whose recorded outcome is what the cache entry's configuration gives."""
        plan = self._plan
        assert plan.logic is not None
        found = np.zeros(self._count, np.bool_)
        some = np.flatnonzero(~self._same)
        rows = some if self._rows is None else self._rows[some]
        given: dict[str, Any] = {}
        score = plan.logic.logic.score
        if plan.needs_model and score is not None and plan.live is not None:
            values = np.asarray(self._answered.models[plan.live].values)[some].astype(np.float64)
            if theirs is not None and theirs[some].any():
                replaced = theirs[some] & (self._scores.closeness(values, rows) != EXACT)
                entry = self._entry_values(some[replaced])
                if entry is not None:
                    values[replaced] = entry
            given[score] = values
        try:
            cached = self._engine.answer(
                plan, self._batch, rows, self._scores, values=plan.cached_values, given=given
            )
        except ReplayError:
            return found
        outcomes = self._outcomes(cached.outcomes)[cached.outcome_codes]
        found[some] = outcomes == self._recorded.codes[some]
        return found

    def _steps(self) -> list[_Layer]:
        found = []
        for step in self._plan.compared:
            said = said_by(self._batch, self._plan.places[step], self._rows)
            flags = differs(said, self._answered.values[step])
            found.append(_Layer(step, flags, [(f"step {step}",)]))
        return found

    def _model(self, contradicts: Flags) -> tuple[_Layer, _Layer]:
        """Recorded scores that contradict themselves, and those that the model does not give."""
        live = self._plan.models.get(self._plan.live or "")
        reason = (f"model {live.digest}",) if live is not None else ("model",)
        step, itself = self._plan.model_step, ("the recorded score contradicts itself",)
        return _Layer(step, contradicts, [itself]), _Layer(step, self._near == APART, [reason])

    def _rules(self) -> _Layer:
        """Rows whose outcome or rule is not what the decision and its step say."""
        plan, answered = self._plan, self._answered
        assert plan.logic is not None
        place = plan.places.get(plan.logic.logic.outcome)
        if place is None:
            nothing = np.full(self._count, -1, np.int32)
            said = Said(nothing, [])
        else:
            said = said_by(self._batch, place, self._rows)
        outcomes = np.full(len(said.values) + 1, _NOT_SAID, np.int64)
        rules = np.full(len(said.values) + 1, -1, np.int64)
        names = list(answered.rules)
        for at, outputs in enumerate(said.values):
            if "outcome" in outputs:
                outcomes[at] = self._outcome(outputs["outcome"])
            rule = said_rule(outputs)
            if rule is not None:
                rules[at] = names.index(rule) if rule in names else _ELSE
        first = np.array([names.index(name) for name in names], np.int64)
        said_outcomes, said_rules = outcomes[said.codes], rules[said.codes]
        agree = (said_outcomes == _NOT_SAID) | (said_outcomes == self._recorded.codes)
        agree &= (said_rules == -1) | (said_rules == first[answered.rule_codes])
        flags = ~(agree & self._same)
        if not flags.any():
            return _Layer(plan.rules_step, flags, [()])
        reasons: dict[tuple[str, ...], int] = {}
        codes = np.zeros(self._count, np.int32)
        rows = np.flatnonzero(flags)
        by = Vocabulary()
        words = np.array([by.code(_by(outputs)) for outputs in (*said.values, {})], np.int64)
        groups = grouped(
            (
                answered.rule_codes[rows],
                answered.outcome_codes[rows],
                self._recorded.codes[rows],
                words[said.codes[rows]],
            ),
            len(rows),
        )
        table = np.empty(len(groups.first), np.int32)
        for group, place in enumerate(groups.first):
            at = int(rows[place])
            decided = answered.outcomes[answered.outcome_codes[at]]
            reason = (
                f"the rules decide {decided} by {names[answered.rule_codes[at]]}",
                f"recorded is {self._recorded.at(at)}{by.values[words[said.codes[at]]]}",
            )
            table[group] = reasons.setdefault(reason, len(reasons))
        codes[rows] = table[groups.codes]
        return _Layer(plan.rules_step, flags, list(reasons), codes)

    def _outcomes(self, labels: Any) -> Longs:
        return np.array([self._outcome(label) for label in labels], np.int64)

    def _outcome(self, outcome: Any) -> int:
        """Place of an outcome among the recorded ones."""
        values = self._recorded.values
        return values.index(outcome) if isinstance(outcome, str) and outcome in values else _ELSE


def _by(outputs: Mapping[str, Any]) -> str:
    rule = said_rule(outputs)
    return f" by {rule}" if rule is not None else ""
