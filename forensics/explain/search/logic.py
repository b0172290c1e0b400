"""The decision's logic over boxes: may the outcome be a wanted one somewhere, is it one everywhere?

Expressions become functions of ranges. A condition on one lever alone is looked up in a table over
that lever's positions, so that it is exact whatever it says.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from forensics.errors import UsageError
from forensics.explain.search import intervals as iv
from forensics.explain.search.arrays import Flags, Floats, Ints
from forensics.explain.search.axes import Axis
from forensics.explain.search.conditions import (
    Call,
    Constant,
    Expression,
    Name,
    Opaque,
    names_of,
    replace,
    walk,
)
from forensics.explain.search.intervals import Number, Truth
from forensics.explain.search.operations import operation
from forensics.explain.search.problem import Problem
from forensics.explain.search.scenes import (
    Atom,
    Box,
    Part,
    Run,
    Scene,
    lever_value,
    once,
    score_value,
    unknown_truth,
)
from forensics.explain.search.turns import ScoreAtom

_NONE: frozenset[int] = frozenset()


class Judge:
    """The logic of one problem, for one set of wanted outcomes.

    Args:
        problem: with its names complete.
        wanted: outcomes that count.
        axes: of the levers, every position a cell of its own; they are settled later.
        ranks: of all texts.
    """

    def __init__(
        self,
        problem: Problem,
        wanted: Collection[str],
        axes: Sequence[Axis],
        ranks: Mapping[str, int],
    ) -> None:
        self.axes: Sequence[Axis] = axes
        self._ranks = ranks
        self._levers = {axis.lever.name: at for at, axis in enumerate(axes)}
        self._scores = {model.score: at for at, model in enumerate(problem.models)}
        self._values = problem.values
        self.atoms: list[Atom] = []
        #: Conditions that depend on one score alone, and are part of no other such one.
        self.score_atoms: list[ScoreAtom] = []
        self._of_score: dict[Run, ScoreAtom] = {}
        # With the expression, since its id is only its own while it lives.
        self._compiled: dict[int, tuple[Expression, Part]] = {}
        known: dict[str, Expression] = {}
        for name, expression in _in_order(problem.derived):
            known[name] = replace(expression, known)
        derived = dict(known)
        for name, expression in problem.logic.steps:
            known[name] = replace(expression, known)
        self.derived = {name: self._compile(each) for name, each in derived.items()}
        self._asked: list[tuple[Expression, Part]] = []
        self._rules = [
            (None if when is None else self._truth(replace(when, known)), outcome)
            for when, outcome in problem.logic.rules
        ]
        self._wanted = frozenset(wanted)
        self._constraints = [self._truth(replace(each, derived)) for each in problem.constraints]
        self._asked += [(each, self._compile(each)) for each in derived.values()]
        every = [part for part, _ in self._rules if part is not None]
        every += [*self._constraints, *self.derived.values()]
        #: Levers whose every value matters, not only on which side of a boundary it is.
        self.loose = _NONE.union(*(part.loose for part in every))
        #: How many parts the conditions have, those apart that are looked up.
        self.size = self._follow_down()
        #: Scores that the logic uses.
        self.scores = _NONE.union(*(part.scores for part in every))

    @contextmanager
    def only(self, outcome: str) -> Iterator[None]:
        """Within, this one of the wanted outcomes alone counts."""
        every, self._wanted = self._wanted, self._wanted & {outcome}
        try:
            yield
        finally:
            self._wanted = every

    @property
    def wanted(self) -> list[str]:
        """The outcomes that count."""
        return sorted(self._wanted)

    def verdict(self, box: Box) -> tuple[Flags, Flags]:
        """For each box whether an answer may be in it, and whether all of it surely are answers."""
        scene = Scene(box, self.axes)
        size = len(box.low)
        met_surely, met_maybe = np.ones(size, np.bool_), np.ones(size, np.bool_)
        for part in self._constraints:
            truth: Truth = part.run(scene)
            met_maybe = met_maybe & truth.true
            met_surely = met_surely & ~(truth.false | truth.null)
        reached = np.ones(size, np.bool_)
        good, bad = np.zeros(size, np.bool_), np.zeros(size, np.bool_)
        for when, outcome in self._rules:
            if when is None:
                hit, reached_next = reached, np.zeros(size, np.bool_)
            else:
                truth = when.run(scene)
                hit = reached & truth.true
                reached_next = reached & (truth.false | truth.null)
            if outcome in self._wanted:
                good = good | hit
            else:
                bad = bad | hit
            reached = reached_next
        return good & met_maybe, ~(bad | reached) & met_surely

    def number(self, name: str, low: Ints, high: Ints) -> Number:
        """The range of a derived feature over boxes."""
        empty = np.zeros((len(low), 0))
        return iv.as_number(self.derived[name].run(Scene(Box(low, high, empty, empty), self.axes)))

    def follow_scores(self, low: Floats, high: Floats) -> int:
        """Works out where along the scores the conditions on one alone turn.

        Args:
            low: the least that each score can be.
            high: the most.

        Returns:
            how many ranges of scores had to be asked about, times the parts of what was asked.
        """
        asked = 0
        for atom in self.score_atoms:
            score = atom.score

            def ask(below: Floats, above: Floats, atom: ScoreAtom = atom) -> Truth:
                shape = (len(below), len(self._scores))
                ends = np.zeros(shape), np.zeros(shape)
                ends[0][:, atom.score], ends[1][:, atom.score] = below, above
                none = np.zeros((len(below), len(self.axes)), np.int32)
                return atom.run(Scene(Box(none, none, *ends), self.axes))

            asked += atom.size * atom.settle(float(low[score]), float(high[score]), ask)
        return asked

    def settle(self, axes: Sequence[Axis], chosen: Sequence[Ints | None]) -> None:
        """Goes over to axes of which some positions were kept; None keeps all."""
        self.axes = axes
        for atom in self.atoms:
            kept = chosen[atom.lever]
            if kept is not None:
                atom.settle(kept)

    def _truth(self, expression: Expression) -> Part:
        part = self._compile(expression)
        if not part.truth:
            number = part
            turned = number._replace(run=lambda scene: iv.as_truth(number.run(scene)), truth=True)
            part = self._sharpened(turned)
        self._asked.append((expression, part))
        return part

    def _follow_down(self) -> int:
        """Finds the conditions on one score that are part of no other; how many parts there are."""
        left, seen = list(self._asked), set[int]()
        while left:
            expression, part = left.pop()
            if id(expression) in seen:
                continue
            seen.add(id(expression))
            atom = self._of_score.get(part.run)
            if atom is not None:
                atom.size = len({id(node) for node in walk(expression)})
                self.score_atoms.append(atom)
            elif isinstance(expression, Call):
                left += [(each, self._compile(each)) for each in expression.arguments]
        return len(seen)

    def _compile(self, expression: Expression) -> Part:
        if id(expression) not in self._compiled:
            part = self._sharpened(self._node(expression))
            self._compiled[id(expression)] = (expression, part)
        return self._compiled[id(expression)][1]

    def _sharpened(self, part: Part) -> Part:
        """Constants are worked out and conditions on one lever put in a table."""
        if not part.levers and not part.scores:
            empty, none = np.zeros((1, len(self.axes)), np.int32), np.zeros((1, len(self._scores)))
            value = part.run(Scene(Box(empty, empty, none, none), self.axes))
            value = type(value)(*(np.reshape(flag, -1)[0] for flag in value))
            return part._replace(run=lambda scene: value)
        if not part.truth:
            return part
        if len(part.levers) == 1 and not part.scores:
            return self._tabled(part)
        if len(part.scores) == 1 and not part.levers:
            (score,) = part.scores
            atom = ScoreAtom(score, part.run)
            part = part._replace(run=once(atom.run))
            self._of_score[part.run] = atom
        return part

    def _tabled(self, part: Part) -> Part:
        (lever,) = part.levers
        size = self.axes[lever].size
        every = np.zeros((size, len(self.axes)), np.int32)
        every[:, lever] = np.arange(size)
        none = np.zeros((size, len(self._scores)))
        atom = Atom(lever, part.run(Scene(Box(every, every, none, none), self.axes)), size)
        self.atoms.append(atom)

        def run(scene: Scene) -> Truth:
            return atom.over(scene.box.low[:, lever], scene.box.high[:, lever])

        return part._replace(run=once(run), loose=_NONE)

    def _node(self, node: Expression) -> Part:
        if isinstance(node, Constant):
            return self._fixed(node.value)
        if isinstance(node, Name):
            return self._name(node.name)
        if isinstance(node, Opaque):
            parts = [self._name(name) for name in node.names]
            found: tuple[Run, bool, bool] = unknown_truth, False, True
        else:
            parts = [self._compile(argument) for argument in node.arguments]
            found = operation(node, parts)
        run, text, truth = found
        return Part(
            once(run),
            _NONE.union(*(part.levers for part in parts)),
            _NONE.union(*(part.scores for part in parts)),
            _NONE.union(*(part.loose for part in parts)),
            text,
            truth,
        )

    def _fixed(self, value: Any) -> Part:
        if isinstance(value, str):
            found = iv.number(float(self._ranks[value]))
            return Part(lambda scene: found, _NONE, _NONE, _NONE, True, False)
        if value is None or isinstance(value, (bool, int, float)):
            if isinstance(value, float) and np.isnan(value):
                return Part(lambda scene: iv.UNKNOWN_NUMBER, _NONE, _NONE, _NONE, False, False)
            known = iv.number(None if value is None else float(value))
            return Part(lambda scene: known, _NONE, _NONE, _NONE, False, False, value is None)
        return Part(unknown_truth, _NONE, _NONE, _NONE, False, True)

    def _name(self, name: str) -> Part:
        if name in self._levers:
            lever = self._levers[name]
            categories = self.axes[lever].lever.categories
            text = bool(categories) and isinstance(categories[0], str)
            one, now = frozenset([lever]), self._values[name]
            nan = isinstance(now, float) and now != now
            return Part(once(lever_value(lever, nan)), one, _NONE, one, text, False)
        if name in self._scores:
            score = self._scores[name]
            return Part(once(score_value(score)), _NONE, frozenset([score]), _NONE, False, False)
        if name not in self._values:
            raise UsageError(f"A condition uses {name!r}, and the decision has no such value.")
        return self._fixed(self._values[name])


def _in_order(derived: Mapping[str, Expression]) -> list[tuple[str, Expression]]:
    """Derived features, those first that others use.

    Raises:
        UsageError: when one depends on itself.
    """
    done: dict[str, Expression] = {}
    left = dict(derived)
    while left:
        ready = [name for name, each in left.items() if not names_of(each) & (left.keys() - {name})]
        ready = [name for name in ready if name not in names_of(left[name])]
        if not ready:
            raise UsageError(f"Derived features depend on each other: {', '.join(sorted(left))}.")
        for name in ready:
            done[name] = left.pop(name)
    return list(done.items())


def texts_of(problem: Problem) -> dict[str, int]:
    """All texts that can be compared, ranked as SQL orders them."""
    found: set[str] = {value for value in problem.values.values() if isinstance(value, str)}
    for lever in problem.levers:
        found.update(value for value in lever.categories if isinstance(value, str))
    logic = problem.logic
    expressions: list[Expression | None] = [when for when, _ in logic.rules]
    expressions += [step for _, step in logic.steps]
    expressions += [*problem.derived.values(), *problem.constraints]
    for expression in expressions:
        for node in walk(expression):
            if isinstance(node, Constant) and isinstance(node.value, str):
                found.add(node.value)
    return {text: at for at, text in enumerate(sorted(found, key=str.encode))}
