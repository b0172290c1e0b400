"""A rule set as an artifact: which outcome follows from features, configuration and score.

    {"type": "rules", "name": "credit_line", "version": "7", "hit_policy": "first",
     "rules": [{"id": "R1", "when": "months_late_max >= max_months_late", "outcome": "DECLINE"},
               {"id": "R2", "when": "score >= threshold", "outcome": "DECLINE"}],
     "default": {"id": "R0", "outcome": "APPROVE"},
     "levers": {"utilisation_3m": {"min": 0, "max": 3, "step": 0.01}}}

The first rule that is true decides, as in DMN's hit policy "first". Conditions are SQL over feature
names, names of configuration values, and ``score``; NULL and NaN mean what they mean in SQL. Where
a feature and a config value share a name, ``features.x`` and ``config.x`` tell them apart.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import Any, NamedTuple

from forensics.errors import ReplayError
from forensics.lake.expressions import evaluate_table, parse
from forensics.lake.sql import Connection

_DIRECTIONS = ("any", "up", "down")


class Rule(NamedTuple):
    """One rule; ``when`` is None for the default, which always holds."""

    id: str
    when: str | None
    outcome: str
    reason: str | None


class Lever(NamedTuple):
    """How its subject may change a feature: from ``min`` in steps of ``step`` up to ``max``."""

    min: float
    max: float
    step: float
    direction: str
    integer: bool


class RuleSet(NamedTuple):
    """A parsed rule set, default last in ``rules``."""

    name: str
    version: str | None
    rules: tuple[Rule, ...]
    levers: Mapping[str, Lever]

    def bind(
        self, features: Collection[str], config: Collection[str], connection: Connection | None
    ) -> BoundRules:
        """The rule set checked against the names that a decision has.

        Raises:
            UsageError: when a condition is malformed or uses a name that nothing has.
        """
        both = {name.lower() for name in features} & {name.lower() for name in config}
        names = [name for name in (*features, *config) if name.lower() not in {*both, "score"}]
        names += [f"features.{name}" for name in features]
        names += [f"config.{name}" for name in config]
        names.append("score")
        used, numbers = [], []
        for rule in self.rules:
            if rule.when is not None:
                parsed = parse(rule.when, names, connection=connection)
                used.append(parsed.names)
                numbers.append(parsed.numbers)
        return BoundRules(self, tuple(used), tuple(numbers), connection)


class BoundRules(NamedTuple):
    """A rule set whose names are known: by rule, the names it uses and the numbers it contains."""

    rule_set: RuleSet
    names: tuple[frozenset[str], ...]
    numbers: tuple[tuple[float, ...], ...]
    connection: Connection | None

    @property
    def used(self) -> frozenset[str]:
        """Every name that some rule uses."""
        return frozenset().union(*self.names)

    def decide(
        self, features: Mapping[str, Any], config: Mapping[str, Any], score: Any, count: int = 1
    ) -> list[Rule]:
        """The rule that decides, for each of ``count`` rows.

        Args:
            features: by name, one value for all rows or a list with one for each.
            config: values of the configuration.
            score: the score as a double, or a list or array with one for each row.

        Raises:
            ReplayError: when a condition cannot be evaluated on these values.
        """
        values: dict[str, Any] = {}
        for name in self.used:
            group, _, field = name.partition(".")
            if name == "score":
                values[name] = score
            elif name in features:
                values[name] = features[name]
            elif name in config:
                values[name] = config[name]
            else:
                values[name] = (features if group == "features" else config)[field]
        rules = self.rule_set.rules
        whens = [rule.when for rule in rules if rule.when is not None]
        found = evaluate_table(whens, values, connection=self.connection)
        if len(found) != count:  # no rule looks at anything that differs by row
            found = found * count
        return [rules[-1] if at is None else rules[at] for at in found]


def read_rules(data: bytes) -> RuleSet:
    """The rule set in a rules artifact.

    Raises:
        ReplayError: when it is not one, or asks for what is not known here.
    """
    import json

    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise ReplayError(f"it is not JSON: {str(error)[:100]}") from error
    try:
        if document.get("type") != "rules":
            raise ReplayError(f"its type is {document.get('type')!r}, expected 'rules'")
        if document.get("hit_policy", "first") != "first":
            raise ReplayError(f"hit policy {document['hit_policy']!r} is not known, only 'first'")
        rules = [_rule(rule, str(rule["when"])) for rule in document["rules"]]
        rules.append(_rule(document["default"], None))
        levers = {
            str(name): _lever(str(name), lever)
            for name, lever in (document.get("levers") or {}).items()
        }
        version = document.get("version")
        return RuleSet(
            str(document.get("name", "rules")),
            None if version is None else str(version),
            tuple(rules),
            levers,
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ReplayError(f"it is not a whole rule set: {type(error).__name__} {error}") from error


def _rule(rule: Mapping[str, Any], when: str | None) -> Rule:
    outcome, reason = rule["outcome"], rule.get("reason")
    if not isinstance(outcome, str):
        raise ReplayError(f"rule {rule['id']} has an outcome that is not text")
    return Rule(str(rule["id"]), when, outcome, None if reason is None else str(reason))


def _lever(name: str, lever: Mapping[str, Any]) -> Lever:
    integer = bool(lever.get("integer", False))
    low, high = float(lever["min"]), float(lever["max"])
    step = float(lever.get("step", 1.0 if integer else (high - low) / 1000))
    direction = str(lever.get("direction", "any"))
    if not (low < high and step > 0) or direction not in _DIRECTIONS:
        raise ReplayError(f"lever {name} needs min < max, step > 0 and direction any, up or down")
    if integer and step != int(step):
        raise ReplayError(f"lever {name} is of whole numbers and has step {step:g}")
    return Lever(low, high, step, direction, integer)
