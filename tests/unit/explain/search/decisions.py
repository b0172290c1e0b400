"""Small whole decisions, made at random or by hand, and what they decide, worked out plainly.

Trees are walked node by node and conditions are run by DuckDB on every combination of lever values:
nothing here shares code with the search, so that it can disagree with it.
"""

from __future__ import annotations

import itertools
import json
import math
import random
from array import array
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from forensics.explain.search.conditions import Expression, condition_of
from forensics.explain.search.problem import Lever, Logic, Model, Problem, Verify
from forensics.lake.sql import Connection
from forensics.replay.ensemble import Ensemble

MARGIN = 1e-6
Tree = dict[str, Any] | float


def expression(sql: str, names: Sequence[str], connection: Connection) -> Expression:
    """SQL text as the search wants it."""
    ((text,),) = connection.execute("SELECT json_serialize_sql(?)", ["SELECT " + sql]).fetchall()
    tree = json.loads(text)
    assert not tree["error"], tree
    node = tree["statements"][0]["node"]["select_list"][0]
    return condition_of(node, {name.lower(): name for name in names})


def ensemble(
    trees: Sequence[Tree], *, base: Sequence[float] = (0.0,), outputs: Sequence[int] | None = None,
    coefficients: Sequence[float] = (), below: bool = True, dtype: str = "f",
) -> Ensemble:  # fmt: skip
    """Trees given as nested dictionaries; a number is a leaf.

    They have feature, threshold or set, default, missing, left and right.
    """
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
        array("i", columns["feature"]), array("d", columns["threshold"]),
        array("i", columns["left"]), array("i", columns["right"]),
        array("b", columns["default"]), array("b", columns["missing"]),
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
                tuple((when and read(when), outcome) for when, outcome in self.rules),
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
        texts = {
            lever.name
            for lever in self.levers
            if lever.categories and isinstance(lever.categories[0], str)
        }
        ask = _Asker(columns, len(settings), texts, connection)
        for name, sql in self.derived.items():
            columns[name] = ask.values(sql)
        for model in self.models:
            columns[model.score] = [
                _off(self._score(model, columns, at), off) for at in range(len(settings))
            ]
        for name, sql in self.steps:
            columns[name] = ask.values(sql)
        whens = [when for when, _ in self.rules if when is not None]
        default = next((outcome for when, outcome in self.rules if when is None), None)
        hits = ask.first(whens)
        found = [default if at is None else self.rules[at][1] for at in hits]
        for constraint in self.constraints:
            met = ask.first([constraint])
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
            if lever.direction != "any":
                up = lever.direction == "up"
                every = [v for v in every if now is not None and (v > now) == up]
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

    def verifier(self, connection: Connection) -> Verify:
        """A callback that runs the whole decision."""

        def verify(settings: Sequence[Mapping[str, Any]]) -> list[str | None]:
            found = self.outcomes(settings, connection)
            return [own[0] if len(set(own)) == 1 else None for own in found]

        return verify


def _off(score: float, off: float) -> float:
    return score + off * max(1.0, abs(score))


class _Asker(NamedTuple):
    """Expressions over rows, by DuckDB."""

    columns: Mapping[str, list[Any]]
    count: int
    texts: set[str]
    connection: Connection

    def values(self, sql: str) -> list[Any]:
        parameters: list[Any] = [list(range(self.count))]
        parts = ["unnest(?::BIGINT[]) AS row_number_"]
        for name, column in self.columns.items():
            if name in sql:
                parts.append(f'unnest(?::{self._type(name)}[]) AS "{name}"')
                parameters.append(column)
        query = f"SELECT {sql} FROM (SELECT {', '.join(parts)}) ORDER BY row_number_"
        return [row[0] for row in self.connection.execute(query, parameters).fetchall()]

    def first(self, whens: Sequence[str]) -> list[int | None]:
        """By row, which of the conditions is the first true one."""
        cases = " ".join(f"WHEN ({when}) THEN {at}" for at, when in enumerate(whens))
        return self.values(f"CASE {cases} END" if cases else "NULL")

    def _type(self, name: str) -> str:
        known = [value for value in self.columns[name] if value is not None]
        if name in self.texts or any(isinstance(value, str) for value in known):
            return "VARCHAR"
        return "BIGINT" if known and all(type(value) is int for value in known) else "DOUBLE"


_TEXTS = ("car", "home", "trip", "other")


def random_decision(seed: int, *, long: bool = False) -> Written:
    """A decision with levers of all kinds, one or two models, rules, bands and constraints.

    Args:
        seed: of its choices.
        long: few levers with grids of up to 150 values, instead of some with up to 8.
    """
    return _Maker(random.Random(seed), long).decision()


def forest(seed: int) -> Written:
    """Sixty trees over five levers, one of them a text, with a ratio and a constraint."""
    rng = random.Random(seed)
    names = ["a", "b", "c", "d", "purpose", "ratio"]

    def tree(depth: int) -> Tree:
        if depth == 0:
            return round(rng.gauss(0, 0.3), 3)
        feature = rng.randrange(len(names))
        found: dict[str, Any] = {"feature": feature}
        if names[feature] == "purpose":
            found["set"] = rng.sample(range(4), 2)
        else:
            found["threshold"] = round(rng.uniform(0, 2 if feature == 5 else 10), 1) + 0.05
        return {**found, "left": tree(depth - 1), "right": tree(depth - 1)}

    values = {name: round(rng.uniform(0, 10), 1) for name in "abcd"}
    row = [*values.values(), 0.0, values["a"] / (1 + values["b"])]
    codes = {"purpose": {text: float(at) for at, text in enumerate(_TEXTS)}}
    trees = ensemble([tree(4) for _ in range(60)], dtype="d")
    return Written(
        {**values, "purpose": "car"},
        (
            *(Lever(name, 0, 0.1, 100, 1) for name in "abcd"),
            Lever("purpose", categories=_TEXTS, weight=2.0),
        ),
        (Model(trees, tuple(names), row, link="logit", codes=codes),),
        (("score > 0.05 AND purpose <> 'trip'", "DECLINE"), (None, "APPROVE")),
        derived={"ratio": "a / (1 + b)"},
        constraints=("c + d <= 15",),
        sparsity=0.01,
    )


class _Maker:
    def __init__(self, rng: random.Random, long: bool) -> None:
        self.rng = rng
        self.long = long
        self.names = ["a", "b", "c"] if long else ["a", "b", "c", "d", "e"]
        self.kinds: dict[str, str] = {}
        self.values: dict[str, Any] = {}
        self.derived: dict[str, str] = {}

    def decision(self) -> Written:
        rng = self.rng
        levers = [lever for name in self.names if (lever := self.lever(name)) is not None][:4]
        numbers = [name for name in self.names if self.kinds[name] in ("number", "whole", "fixed")]
        if rng.random() < 0.4 and len(numbers) >= 2:
            x, y = rng.sample(numbers, 2)
            ratio = (f"{x} / {y}", f"{x} - {y}", f"{x} * 2 + {y}", f"greatest({x}, {y})",
                     f"coalesce({x}, 1) / (1 + abs({y}))")  # fmt: skip
            self.derived["ratio"] = rng.choice(ratio)
        models = [self.model(f"score{at or ''}") for at in range(rng.choice([1, 1, 1, 2]))]
        threshold = {"identity": rng.gauss(0, 1), "log": math.exp(rng.gauss(0, 1))}
        self.values["t"] = round(threshold.get(models[0].link, rng.random()), 2)
        rules: list[tuple[str | None, str]] = [
            (
                self.condition(numbers, models),
                rng.choice(["DECLINE", "DECLINE", "REFER", "APPROVE"]),
            )
            for _ in range(rng.randrange(3))
        ]
        rules.append((rng.choice(["score >= t", "score < t"]), rng.choice(["DECLINE", "APPROVE"])))
        rules.append((None, rng.choice(["APPROVE", "REFER", "DECLINE"])))
        steps: list[tuple[str, str]] = []
        if rng.random() < 0.25:
            stairs = "CASE WHEN score < 0.3 THEN 0.1 WHEN score < 0.6 THEN 0.5 ELSE 0.9 END"
            calibrations = ("score * 0.5 + 0.1", "ln(score + 1)", stairs)
            band = "CASE WHEN cal < 0.2 THEN 'A' WHEN cal < t THEN 'B' ELSE 'C' END"
            steps = [("cal", rng.choice(calibrations)), ("band", band)]
            rules.insert(
                0, (rng.choice(["band = 'C'", "cal >= 0.5", "band IN ('B', 'C')"]), "DECLINE")
            )
        constraints = [
            self.condition(numbers, models) for _ in range(rng.choice([0, 0, 0, 1, 1, 2]))
        ]
        return Written(
            self.values, tuple(levers), tuple(models), tuple(rules), tuple(steps), self.derived,
            tuple(each for each in constraints if "score" not in each), rng.choice([0.0, 0.0, 0.1]),
        )  # fmt: skip

    def lever(self, name: str) -> Lever | None:
        rng = self.rng
        kinds = ["number", "number", "whole", "number", "category"]
        if not self.long:
            kinds += ["text", "fixed"]
        elif name == "c":
            kinds = ["fixed", "number"]
        kind = self.kinds[name] = rng.choice(kinds)
        if kind == "category":
            self.values[name] = rng.choice([0, 1, 2, 3, None])
            return Lever(
                name, categories=tuple(rng.sample(range(4), 3)), weight=rng.choice([1, 0.5])
            )
        if kind == "text":
            self.values[name] = rng.choice(_TEXTS)
            return Lever(name, categories=tuple(rng.sample(_TEXTS, 3)), weight=rng.choice([1, 0.5]))
        step = rng.choice([0.1, 0.05, 0.25] if self.long else [1, 0.5, 0.25])
        step = step if kind == "number" else 1
        low, last = rng.choice([0, -1, 1]), rng.randrange(2, 8)
        if self.long and name != "c":
            last = rng.randrange(40, 150)
        on_grid = round(low + step * rng.randrange(last + 1), 2)
        current = rng.choice([None, *[on_grid] * 6, *[round(rng.random() * 6 - 1, 2)] * 2])
        if current is not None:
            current = int(current) if kind == "whole" else float(current)
        self.values[name] = current
        if kind == "fixed":
            return None
        return Lever(
            name, low, step, last, 2, rng.choice(["any", "any", "up", "down"]), kind == "whole", (),
            rng.choice([1, 1, 2.5]), rng.choice([1, 2.0, 0.7]),
        )  # fmt: skip

    def model(self, score: str) -> Model:
        rng = self.rng
        names = [*self.names, *(["ratio"] if self.derived and rng.random() < 0.7 else [])]
        rng.shuffle(names)
        kind = rng.choice(
            ["identity", "logit", "log", "softmax"] if rng.random() < 0.3 else ["logit"]
        )
        outputs = 3 if kind == "softmax" else 1
        sets = [self.kinds.get(name) in ("category", "text") for name in names]
        coefficients: list[float] = []
        count = rng.randrange(1, 9)
        if rng.random() < (0.4 if self.long else 0.2):
            coefficients = [round(rng.gauss(0, 0.5), 2) for _ in range(outputs * len(names))]
        trees = [self.tree(sets, rng.randrange(1, 4)) for _ in range(count)]
        codes = {text: float(at) for at, text in enumerate(_TEXTS)}
        row = [self.values.get(name) for name in names]
        numbers = [codes[value] if isinstance(value, str) else value for value in row]
        return Model(
            ensemble(
                trees,  base=[round(rng.gauss(0, 0.5), 2)] * outputs,
                outputs=[rng.randrange(outputs) for _ in trees], coefficients=coefficients,
                below=rng.random() < 0.5, dtype=rng.choice("fd"),
            ),
            tuple(names),
            tuple(float("nan") if value is None else float(value) for value in numbers),
            score, rng.randrange(outputs), kind,
            {name: codes for name in names if self.kinds.get(name) == "text"},
        )  # fmt: skip

    def tree(self, sets: Sequence[bool], depth: int) -> Tree:
        rng = self.rng
        if depth == 0 or rng.random() < 0.15:
            return round(rng.gauss(0, 1), 3)
        feature = rng.randrange(len(sets))
        found: dict[str, Any] = {
            "feature": feature,
            "default": rng.random() < 0.5,
            "missing": rng.choice([1, 1, 1, 0, 2]),
        }
        if sets[feature] and rng.random() < 0.6:
            found["set"] = rng.sample(range(4), 2)
        else:
            points = (rng.randrange(-1, 6), rng.randrange(-1, 6) + 0.5, rng.random() * 5)
            found["threshold"] = float(np.float32(rng.choice(points)))
        return {**found, "left": self.tree(sets, depth - 1), "right": self.tree(sets, depth - 1)}

    def condition(self, numbers: Sequence[str], models: Sequence[Model]) -> str:
        rng = self.rng
        x = rng.choice(self.names)
        kind = self.kinds[x]
        found = ["score >= t", "score < t", "score >= t + 0.1", "score BETWEEN t AND t + 0.3"]
        if len(models) > 1:
            found += ["score1 >= t", "score + score1 > 1", "score1 < 0.5 OR score < t"]
        if x in numbers:
            y = rng.choice(numbers)
            found += [
                f"{x} >= {rng.randrange(5)}", f"{x} < {rng.randrange(5)}", f"{x} IS NULL",
                f"{x} IN (1, 2)", f"NOT ({x} BETWEEN 1 AND 3)", f"abs({x} - 2) > 1",
                f"score >= t AND {x} > 1", f"score > t - 0.1 * {x}", f"{x} > {y}",
                f"{x} + {y} <= {rng.randrange(8)}", f"{x} / {y} > 0.5", f"{x} <= {y} * 2",
                f"{x} >= 2 AND {y} < 2", f"CASE WHEN {x} > 2 THEN 'A' ELSE 'B' END = 'A'",
                f"round({x}) % 2 = 1", f"{x} IS DISTINCT FROM {y}", f"nullif({x}, 2) > {y}",
            ]  # fmt: skip
        if kind == "text":
            found += [
                f"{x} = '{rng.choice(_TEXTS)}'", f"{x} IN ('car', 'trip')", f"{x} <> 'home'",
                f"{x} IS NULL OR score > t", f"lower({x}) = 'car'", f"{x} > 'home'",
            ]  # fmt: skip
        if kind == "category":
            found += [f"{x} = 1", f"{x} IN (0, 2)", f"{x} IS NOT NULL AND score > t"]
        if self.derived:
            found += ["ratio > 1", "ratio < 0.5 OR score > t", "ratio IS NULL"]
        return rng.choice(found)
