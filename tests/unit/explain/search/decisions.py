"""Small whole decisions, made at random or by hand, and what they decide, worked out plainly.

Trees are walked node by node, conditions are run by DuckDB on every combination of lever values:
nothing here shares code with the search, so that it can disagree with it.
"""

from __future__ import annotations

import itertools
import json
import math
from array import array
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from forensics.explain.search.conditions import Expression, condition_of
from forensics.explain.search.problem import Lever, Logic, Model, Problem
from forensics.lake.sql import Connection
from forensics.replay.ensemble import Ensemble

MARGIN = 1e-6
Tree = dict[str, Any] | float


def expression(sql: str, names: Mapping[str, Any] | Sequence[str], connection: Connection) -> Expression:
    """SQL text as the search wants it."""
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", ["SELECT " + sql]).fetchall()
    tree = json.loads(text)
    assert not tree["error"], tree
    node = tree["statements"][0]["node"]["select_list"][0]
    return condition_of(node, {name.lower(): name for name in names})


def ensemble(
    trees: Sequence[Tree], *, width: int, base: Sequence[float] = (0.0,), outputs: Sequence[int] | None = None,
    coefficients: Sequence[float] = (), below: bool = True, dtype: str = "f",
) -> Ensemble:  # fmt: skip
    """Trees given as nested dictionaries: feature, threshold or set, default, missing, left, right."""
    columns: dict[str, list[Any]] = {
        key: [] for key in ("feature", "threshold", "left", "right", "default", "missing", "value")
    }
    sets: dict[int, frozenset[float]] = {}

    def add(tree: Tree) -> int:
        at = len(columns["feature"])
        for column, nothing in zip(columns.values(), (-1, 0.0, -1, -1, 1, 1, 0.0), strict=True):
            column.append(nothing)
        if not isinstance(tree, dict):
            columns["value"][at] = tree
            return at
        columns["feature"][at] = tree["feature"]
        columns["threshold"][at] = tree.get("threshold", 0.0)
        columns["default"][at] = int(tree.get("default", True))
        columns["missing"][at] = tree.get("missing", 1)
        if "set" in tree:
            sets[at] = frozenset(tree["set"])
        columns["left"][at] = add(tree["left"])
        columns["right"][at] = add(tree["right"])
        return at

    roots = [add(tree) for tree in trees]
    return Ensemble(
        array("i", columns["feature"]), array("d", columns["threshold"]), array("i", columns["left"]),
        array("i", columns["right"]), array("b", columns["default"]), array("b", columns["missing"]),
        array("d", columns["value"]), array("i", roots),
        array("i", outputs if outputs is not None else [0] * len(roots)), array("d", base),
        array("d", coefficients), below, dtype, sets,
    )  # fmt: skip


def margins(model: Ensemble, row: Sequence[float]) -> list[float]:
    """The model's outputs before its link, one node at a time."""
    found = list(model.base)
    values = [float(np.float32(value)) if model.dtype == "f" else float(value) for value in row]
    for tree, root in enumerate(model.roots):
        node = root
        while model.feature[node] >= 0:
            node = (model.left if _left(model, node, values) else model.right)[node]
        found[model.output[tree]] += model.value[node]
    for at in range(len(found)) if len(model.coefficients) else ():
        own = model.coefficients[at * len(row) : (at + 1) * len(row)]
        found[at] += sum(c * v for c, v in zip(own, values, strict=True) if not math.isnan(v))
    return found


def _left(model: Ensemble, node: int, values: Sequence[float]) -> bool:
    value, missing = values[model.feature[node]], model.missing[node]
    if math.isnan(value) and missing == 0:
        value = 0.0
    if math.isnan(value) or (missing == 2 and abs(value) <= 1e-35):
        return bool(model.default_left[node])
    if node in model.sets:
        return value in model.sets[node]
    return value < model.threshold[node] if model.below else value <= model.threshold[node]


def link(name: str, found: Sequence[float], output: int) -> float:
    if name == "logit":
        return 1 / (1 + math.exp(-found[output]))
    if name == "log":
        return math.exp(found[output])
    if name == "softmax":
        return math.exp(found[output]) / sum(math.exp(value) for value in found)
    return found[output]


class Written(NamedTuple):
    """A decision with its logic as SQL text."""

    values: Mapping[str, Any]
    levers: tuple[Lever, ...]
    models: tuple[Model, ...]
    rules: tuple[tuple[str | None, str], ...]
    steps: tuple[tuple[str, str], ...] = ()
    derived: Mapping[str, str] = {}
    constraints: tuple[str, ...] = ()
    sparsity: float = 0.0

    def problem(self, connection: Connection) -> Problem:
        names = [*self.values, *(model.score for model in self.models)]
        names += [*(name for name, _ in self.steps), *self.derived]

        def read(sql: str) -> Expression:
            return expression(sql, names, connection)

        return Problem(
            self.values, self.levers, self.models,
            Logic(
                tuple((None if when is None else read(when), outcome) for when, outcome in self.rules),
                tuple((name, read(sql)) for name, sql in self.steps),
            ),
            {name: read(sql) for name, sql in self.derived.items()},
            tuple(read(sql) for sql in self.constraints),
            self.sparsity,
        )  # fmt: skip

    def outcomes(
        self, settings: Sequence[Mapping[str, Any]], connection: Connection
    ) -> list[tuple[str | None, ...]]:
        """For each setting the outcome at its score, and with all scores a little lower and higher.

        None where a constraint is not fulfilled.
        """
        found = [self._outcomes(settings, connection, off) for off in (0.0, -MARGIN, MARGIN)]
        return list(zip(*found, strict=True))

    def _outcomes(
        self, settings: Sequence[Mapping[str, Any]], connection: Connection, off: float
    ) -> list[str | None]:
        columns: dict[str, list[Any]] = {
            name: [setting.get(name, value) for setting in settings]
            for name, value in self.values.items()
        }
        for name, sql in self.derived.items():
            columns[name] = _run(sql, columns, len(settings), connection)
        for model in self.models:
            columns[model.score] = [
                _off(self._score(model, columns, at), off) for at in range(len(settings))
            ]
        for name, sql in self.steps:
            columns[name] = _run(sql, columns, len(settings), connection)
        whens = [when for when, _ in self.rules if when is not None]
        default = next((outcome for when, outcome in self.rules if when is None), None)
        hits = _table(whens, columns, len(settings), connection)
        found = [default if at is None else self.rules[at][1] for at in hits]
        for constraint in self.constraints:
            met = _table([constraint], columns, len(settings), connection)
            found = [outcome if at == 0 else None for outcome, at in zip(found, met, strict=True)]
        return found

    def _score(self, model: Model, columns: Mapping[str, list[Any]], at: int) -> float:
        row = []
        for name, recorded in zip(model.names, model.row, strict=True):
            value = columns[name][at]
            if isinstance(value, str):
                value = model.codes[name].get(value, recorded)
            row.append(float("nan") if value is None else float(value))
        return link(model.link, margins(model.ensemble, row), model.output)

    def choices(self, lever: Lever) -> list[Any]:
        """Every value that a lever may take, the current one first."""
        now = self.values[lever.name]
        if lever.categories:
            every: list[Any] = list(lever.categories)
        else:
            every = [round(lever.low + k * lever.step, lever.digits) for k in range(lever.last + 1)]
            every = [int(value) if lever.integer else float(value) for value in every]
            if now is not None and lever.direction != "any":
                every = [v for v in every if (v > now) == (lever.direction == "up")]
        return [now, *(value for value in every if value != now)]

    def cost(self, setting: Mapping[str, Any]) -> float:
        """What a setting costs by the declared distance."""
        found = 0.0
        for lever in self.levers:
            now, new = self.values[lever.name], setting.get(lever.name, self.values[lever.name])
            if new == now:
                continue
            steps = 1.0 if lever.categories or now is None else abs(new - now) / lever.scale
            found += lever.weight * steps + self.sparsity
        return found

    def every_setting(self) -> list[dict[str, Any]]:
        """Every combination of lever values, as changes."""
        lists = [self.choices(lever) for lever in self.levers]
        return [
            {
                lever.name: value
                for lever, value in zip(self.levers, values, strict=True)
                if value != self.values[lever.name]
            }
            for values in itertools.product(*lists)
        ]

    def cheapest(self, wanted: set[str], connection: Connection) -> float | None:
        """By trying everything, what the cheapest answer costs; None if there is none."""
        settings = self.every_setting()
        outcomes = self.outcomes(settings, connection)
        costs = [
            self.cost(setting)
            for setting, found in zip(settings, outcomes, strict=True)
            if all(outcome in wanted for outcome in found)
        ]
        return min(costs, default=None)

    def verifier(self, connection: Connection) -> Callable[[Sequence[Mapping[str, Any]]], list[str | None]]:
        """A callback that runs the whole decision."""

        def verify(settings: Sequence[Mapping[str, Any]]) -> list[str | None]:
            found = self.outcomes(settings, connection)
            return [own[0] if len(set(own)) == 1 else None for own in found]

        return verify


def _off(score: float, off: float) -> float:
    return score + off * max(1.0, abs(score))


def _run(sql: str, columns: Mapping[str, list[Any]], count: int, connection: Connection) -> list[Any]:
    """A scalar expression over rows, by DuckDB."""
    parameters: list[Any] = [list(range(count))]
    parts = ["unnest(?::BIGINT[]) AS row_number_"]
    for name, value in columns.items():
        if name in sql:
            parts.append(f'{_placeholder(value, parameters)} AS "{name}"')
    query = f"SELECT {sql} FROM (SELECT {', '.join(parts)}) ORDER BY row_number_"
    return [row[0] for row in connection.execute(query, parameters).fetchall()]


def _placeholder(column: list[Any], parameters: list[Any]) -> str:
    known = [each for each in column if each is not None]
    kind = "DOUBLE"
    if known and all(isinstance(each, str) for each in known):
        kind = "VARCHAR"
    elif known and all(type(each) is int for each in known):
        kind = "BIGINT"
    elif known and all(type(each) is bool for each in known):
        kind = "BOOLEAN"
    parameters.append(column)
    return f"unnest(?::{kind}[])"


def _table(
    whens: Sequence[str], columns: Mapping[str, list[Any]], count: int, connection: Connection
) -> list[int | None]:
    cases = " ".join(f"WHEN ({when}) THEN {at}" for at, when in enumerate(whens))
    return _run(f"CASE {cases} END" if cases else "NULL", columns, count, connection)
