"""The decision's logic over boxes: may the outcome be a wanted one somewhere, is it one everywhere?

Expressions become functions of ranges. A condition on one lever alone is looked up in a table over
that lever's positions, so that it is exact whatever it says.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from forensics.errors import UsageError
from forensics.explain.search import intervals as iv
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
from forensics.explain.search.intervals import Flags, Floats, Number, Truth
from forensics.explain.search.problem import Problem

Positions = npt.NDArray[np.int32]

_COMPARISONS = ("=", "<>", "<", "<=", ">", ">=", "distinct")
_FUNCTIONS = ("negative", "abs", "floor", "ceil", "round", "whole", "exp", "ln", "log2", "log10", "sqrt")
_BOOLEAN = (*_COMPARISONS, "and", "or", "not", "isnull")


class Box(NamedTuple):
    """Boxes to judge: first and last position by box and lever, range by box and score."""

    low: Positions
    high: Positions
    score_low: Floats
    score_high: Floats


Run = Callable[["_Scene"], Any]


class Part(NamedTuple):
    """A compiled expression and what it depends on; ``loose`` levers matter value by value."""

    run: Run
    levers: frozenset[int]
    scores: frozenset[int]
    loose: frozenset[int]
    text: bool
    truth: bool


_NONE: frozenset[int] = frozenset()


class _Scene:
    """Boxes, and what was worked out for them so far."""

    def __init__(self, box: Box, axes: Sequence[Axis]) -> None:
        self.box = box
        self.axes = axes
        self.known: dict[int, Any] = {}


class Atom:
    """A condition on one lever: what it may be at each position."""

    def __init__(self, lever: int, truth: Truth, size: int) -> None:
        self.lever = lever
        flags = np.stack([np.broadcast_to(part, size) for part in truth])
        self.flags = flags
        self._sums = _sums(flags)

    def codes(self) -> npt.NDArray[np.int64]:
        """By position a number that tells what it is there; another for each where it is unknown."""
        known = self.flags[0] + 2 * self.flags[1] + 4 * self.flags[2]
        unknown = self.flags.sum(axis=0) > 1
        return np.where(unknown, 8 + np.arange(len(known)), known)

    def settle(self, chosen: npt.NDArray[np.int64]) -> None:
        """Keeps some positions only."""
        self.flags = self.flags[:, chosen]
        self._sums = _sums(self.flags)

    def over(self, low: Positions, high: Positions) -> Truth:
        """What is possible within ranges of positions."""
        some = self._sums[:, high + 1] > self._sums[:, low]
        return Truth(some[0], some[1], some[2])


def _sums(flags: Flags) -> npt.NDArray[np.int64]:
    return np.concatenate([np.zeros((3, 1), np.int64), np.cumsum(flags, axis=1)], axis=1)


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
        #: Conditions that depend on one score alone.
        self.score_atoms: list[Part] = []
        # With the expression, since its id is only its own while it lives.
        self._compiled: dict[int, tuple[Expression, Part]] = {}
        known: dict[str, Expression] = {}
        for name, expression in _in_order(problem.derived):
            known[name] = replace(expression, known)
        derived = dict(known)
        for name, expression in problem.logic.steps:
            known[name] = replace(expression, known)
        self.derived = {name: self._compile(each) for name, each in derived.items()}
        self._rules = [
            (None if when is None else self._truth(replace(when, known)), outcome in wanted)
            for when, outcome in problem.logic.rules
        ]
        self._constraints = [self._truth(replace(each, derived)) for each in problem.constraints]
        every = [part for part, _ in self._rules if part is not None]
        every += [*self._constraints, *self.derived.values()]
        #: Levers whose every value matters, not only on which side of a boundary it is.
        self.loose = _NONE.union(*(part.loose for part in every))
        #: Scores that the logic uses.
        self.scores = _NONE.union(*(part.scores for part in every))

    def verdict(self, box: Box) -> tuple[Flags, Flags]:
        """For each box whether an answer may be in it, and whether all of it surely are answers."""
        scene = _Scene(box, self.axes)
        size = len(box.low)
        met_surely, met_maybe = np.ones(size, bool), np.ones(size, bool)
        for part in self._constraints:
            truth: Truth = part.run(scene)
            met_maybe = met_maybe & truth.true
            met_surely = met_surely & ~(truth.false | truth.null)
        reached = np.ones(size, bool)
        good, bad = np.zeros(size, bool), np.zeros(size, bool)
        for when, wanted in self._rules:
            if when is None:
                hit, reached_next = reached, np.zeros(size, bool)
            else:
                truth = when.run(scene)
                hit = reached & truth.true
                reached_next = reached & (truth.false | truth.null)
            if wanted:
                good = good | hit
            else:
                bad = bad | hit
            reached = reached_next
        return good & met_maybe, ~(bad | reached) & met_surely

    def number(self, name: str, low: Positions, high: Positions) -> Number:
        """The range of a derived feature over boxes."""
        empty = np.zeros((len(low), 0))
        return iv.as_number(self.derived[name].run(_Scene(Box(low, high, empty, empty), self.axes)))

    def score_truth(self, part: Part, low: Floats, high: Floats) -> Truth:
        """What a condition on one score alone may be over ranges of that score."""
        (score,) = part.scores
        shape = (len(low), len(self._scores))
        scores_low, scores_high = np.zeros(shape), np.zeros(shape)
        scores_low[:, score], scores_high[:, score] = low, high
        none = np.zeros((len(low), len(self.axes)), np.int32)
        truth: Truth = part.run(_Scene(Box(none, none, scores_low, scores_high), self.axes))
        return truth

    def settle(self, axes: Sequence[Axis], chosen: Sequence[npt.NDArray[np.int64] | None]) -> None:
        """Goes over to axes of which some positions were kept; None keeps all."""
        self.axes = axes
        for atom in self.atoms:
            kept = chosen[atom.lever]
            if kept is not None:
                atom.settle(kept)

    def _truth(self, expression: Expression) -> Part:
        part = self._compile(expression)
        if part.truth:
            return part
        turned = part._replace(run=lambda scene: iv.as_truth(part.run(scene)), truth=True)
        return self._sharpened(turned)

    def _compile(self, expression: Expression) -> Part:
        if id(expression) not in self._compiled:
            part = self._sharpened(self._node(expression))
            self._compiled[id(expression)] = (expression, part)
        return self._compiled[id(expression)][1]

    def _sharpened(self, part: Part) -> Part:
        """Constants are worked out and conditions on one lever put in a table."""
        if not part.levers and not part.scores:
            empty, none = np.zeros((1, len(self.axes)), np.int32), np.zeros((1, len(self._scores)))
            value = part.run(_Scene(Box(empty, empty, none, none), self.axes))
            value = type(value)(*(np.reshape(flag, -1)[0] for flag in value))
            return part._replace(run=lambda scene: value)
        if not part.truth:
            return part
        if len(part.levers) == 1 and not part.scores:
            return self._tabled(part)
        if len(part.scores) == 1 and not part.levers:
            self.score_atoms.append(part)
        return part

    def _tabled(self, part: Part) -> Part:
        (lever,) = part.levers
        size = self.axes[lever].size
        every = np.zeros((size, len(self.axes)), np.int32)
        every[:, lever] = np.arange(size)
        none = np.zeros((size, len(self._scores)))
        atom = Atom(lever, part.run(_Scene(Box(every, every, none, none), self.axes)), size)
        self.atoms.append(atom)

        def run(scene: _Scene) -> Truth:
            return atom.over(scene.box.low[:, lever], scene.box.high[:, lever])

        return part._replace(run=_once(run), loose=_NONE)

    def _node(self, node: Expression) -> Part:
        if isinstance(node, Constant):
            return self._fixed(node.value)
        if isinstance(node, Name):
            return self._name(node.name)
        if isinstance(node, Opaque):
            parts = [self._name(name) for name in node.names]
            run, text, truth = _unknown_truth, False, True
        else:
            parts = [self._compile(argument) for argument in node.arguments]
            run, text, truth = _operation(node, parts)
            run = _once(run)
        return Part(
            run,
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
            return Part(lambda scene: known, _NONE, _NONE, _NONE, False, False)
        return Part(_unknown_truth, _NONE, _NONE, _NONE, False, True)

    def _name(self, name: str) -> Part:
        if name in self._levers:
            lever = self._levers[name]
            categories = self.axes[lever].lever.categories
            text = bool(categories) and isinstance(categories[0], str)
            one = frozenset([lever])
            return Part(_once(_lever_run(lever)), one, _NONE, one, text, False)
        if name in self._scores:
            score = self._scores[name]
            return Part(_once(_score_run(score)), _NONE, frozenset([score]), _NONE, False, False)
        if name not in self._values:
            raise UsageError(f"A condition uses {name!r}, and the decision has no such value.")
        return self._fixed(self._values[name])


def _unknown_truth(scene: _Scene) -> Truth:
    return iv.UNKNOWN_TRUTH


def _once(run: Run) -> Run:
    def remembered(scene: _Scene) -> Any:
        key = id(remembered)
        if key not in scene.known:
            scene.known[key] = run(scene)
        return scene.known[key]

    return remembered


def _lever_run(lever: int) -> Run:
    def run(scene: _Scene) -> Number:
        axis = scene.axes[lever]
        low, high = scene.box.low[:, lever], scene.box.high[:, lever]
        if not axis.null:
            return iv.between(axis.values[low], axis.values[high])
        some = high > 0
        return Number(
            np.where(some, axis.values[np.maximum(low, 1) if axis.size > 1 else low], np.inf),
            np.where(some, axis.values[high], -np.inf),
            low == 0, some,
        )  # fmt: skip

    return run


def _score_run(score: int) -> Run:
    def run(scene: _Scene) -> Number:
        return iv.between(scene.box.score_low[:, score], scene.box.score_high[:, score])

    return run


def _operation(node: Call, parts: Sequence[Part]) -> tuple[Run, bool, bool]:
    """What runs an operation, and whether it gives a text or a truth."""
    name = node.operation
    if name in ("and", "or"):
        combine = iv.conjunction if name == "and" else iv.disjunction
        return lambda s: combine([iv.as_truth(part.run(s)) for part in parts]), False, True
    if name == "not":
        return lambda s: iv.negation(iv.as_truth(parts[0].run(s))), False, True
    if name == "isnull":
        return lambda s: _is_null(parts[0].run(s)), False, True
    if name in _COMPARISONS:
        a, b = parts
        if a.text != b.text and not any(_is_null_constant(each) for each in node.arguments):
            return lambda s: iv.UNKNOWN_TRUTH, False, True
        return lambda s: iv.compare(name, iv.as_number(a.run(s)), iv.as_number(b.run(s))), False, True
    if name == "case":
        return _case(parts)
    text = any(part.text for part in parts)
    if name in ("coalesce", "nullif"):
        same = len({part.text for part in parts}) == 1
        if not same:
            return lambda s: iv.UNKNOWN_NUMBER, False, False
        combined = _coalesce if name == "coalesce" else _nullif
        return lambda s: combined([iv.as_number(part.run(s)) for part in parts]), text, False
    if text:
        return lambda s: iv.UNKNOWN_NUMBER, False, False
    if name in ("least", "greatest"):
        return lambda s: iv.extreme(name, [iv.as_number(part.run(s)) for part in parts]), False, False
    if name in _FUNCTIONS:
        places = node.arguments[1] if len(node.arguments) == 2 else Constant(0.0)
        digits = places.value if isinstance(places, Constant) else None
        if not isinstance(digits, float):
            return lambda s: iv.UNKNOWN_NUMBER, False, False
        return lambda s: iv.function(name, iv.as_number(parts[0].run(s)), digits), False, False
    a, b = parts
    return lambda s: iv.arithmetic(name, iv.as_number(a.run(s)), iv.as_number(b.run(s))), False, False


def _is_null_constant(expression: Expression) -> bool:
    return isinstance(expression, Constant) and expression.value is None


def _is_null(part: Number | Truth) -> Truth:
    value = part.value if isinstance(part, Number) else part.true | part.false
    return Truth(part.null, value, np.asarray(False))


def _case(parts: Sequence[Part]) -> tuple[Run, bool, bool]:
    conditions, values = parts[0:-1:2], [*parts[1::2], parts[-1]]
    truth = all(value.truth for value in values)
    text = any(value.text for value in values)

    def run(scene: _Scene) -> Any:
        if truth:
            decided: Truth = values[-1].run(scene)
            for condition, value in zip(conditions[::-1], values[-2::-1], strict=True):
                decided = iv.either_truth(iv.as_truth(condition.run(scene)), value.run(scene), decided)
            return decided
        found = iv.as_number(values[-1].run(scene))
        for condition, value in zip(conditions[::-1], values[-2::-1], strict=True):
            chosen = iv.as_number(value.run(scene))
            found = iv.either(iv.as_truth(condition.run(scene)), chosen, found)
        return found

    return run, text, truth


def _coalesce(parts: Sequence[Number]) -> Number:
    found = parts[-1]
    for part in parts[-2::-1]:
        null = np.asarray(part.null)
        present = Truth(np.asarray(part.value), null, np.asarray(False))
        found = iv.either(present, part._replace(null=np.asarray(False)), found)
    return found


def _nullif(parts: Sequence[Number]) -> Number:
    a, b = parts
    same = iv.compare("=", a, b)
    return Number(a.low, a.high, a.null | same.true, a.value & (same.false | same.null))


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
