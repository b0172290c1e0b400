"""Two decisions side by side: what differed in outcome, versions, config, inputs and path."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensics.reconstruct.reconstruction import Evidence
from forensics.records.decision import Decision


@dataclass(frozen=True, slots=True)
class Difference:
    """One fact that is not the same in both.

    A value that is None may have been recorded so; ``a_evidence`` and ``b_evidence`` tell that from
    one that was not recorded, and from one that may not be seen: then it is not said whether the
    two are the same, and ``rule`` says by what.
    """

    section: str
    name: str
    a: Any
    b: Any
    a_evidence: Evidence
    b_evidence: Evidence
    #: How much of the feature's usual spread lies between them, for numeric features.
    distance: float | None = None
    rule: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "section": self.section,
            "name": self.name,
            "a": self.a,
            "b": self.b,
            "a_evidence": self.a_evidence,
            "b_evidence": self.b_evidence,
            "distance": self.distance,
            "rule": self.rule,
        }


@dataclass(frozen=True, slots=True)
class Diff:
    """What differs between decisions ``a`` and ``b``; ``same`` counts the facts that do not."""

    a: Decision
    b: Decision
    differences: tuple[Difference, ...]
    same: Mapping[str, int]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "a": _identity(self.a),
            "b": _identity(self.b),
            "differences": [difference.to_dict() for difference in self.differences],
            "same": dict(self.same),
        }

    def _repr_html_(self) -> str:
        from forensics.reconstruct.notebook import table_html

        return table_html([difference.to_dict() for difference in self.differences])


def diff(a: Decision, b: Decision, spreads: Mapping[str, float] | None = None) -> Diff:
    """Compare two decisions, of the same decision point or not.

    Args:
        a: one decision.
        b: the other.
        spreads: usual spread of numeric features, to say how far apart two values are.
    """
    differences: list[Difference] = []
    same: dict[str, int] = {}
    for section, left, right in sections(a, b):
        same[section] = 0
        hidden = (name for one in (a, b) for of, name in _masked(one) if of == section)
        for name in dict.fromkeys((*left, *right, *hidden)):
            x, y = left.get(name), right.get(name)
            rules = [
                None if name in side else _rule(decision, section, name)
                for side, decision in ((left, a), (right, b))
            ]
            known: list[Evidence] = [
                "recorded" if name in side else "redacted" if rule else "missing"
                for side, rule in zip((left, right), rules, strict=True)
            ]
            if any(rules):
                rule = rules[0] or rules[1]
                said = "all" if name == "*" else name
                differences.append(Difference(section, said, x, y, known[0], known[1], rule=rule))
                continue
            if _equal(x, y) and known[0] == known[1]:
                same[section] += 1
                continue
            distance = None
            if section == "features":
                distance = _distance(x, y, (spreads or {}).get(name))
            differences.append(Difference(section, name, x, y, known[0], known[1], distance))
    order = [section for section, _, _ in sections(a, b)]
    differences.sort(key=lambda d: (order.index(d.section), -(d.distance or 0.0)))
    return Diff(a, b, tuple(differences), same)


#: Where fields are compared that are not sections of their own: section, and their name there.
_COMPARED = {
    "consumer": ("outcome", "consumer."),
    "steps": ("path", "steps."),
    "feature_sources": ("sources", "feature_sources."),
}


def _masked(decision: Decision) -> dict[tuple[str, str], str]:
    """What of a decision is compared and may not be seen, by section and name, with the rule."""
    found: dict[tuple[str, str], str] = {}
    redacted: Mapping[str, str] = decision.sealed.get("redacted") or {}
    for path, rule in redacted.items():
        first, dot, rest = path.rpartition(":")[2].partition(".")
        if first in ("features", "execution", "cache"):
            found[first, rest or "*"] = rule
        elif first in ("score", "threshold", "region", "replica") and not dot:
            found["outcome", first] = rule
        elif first in _COMPARED:
            section, prefix = _COMPARED[first]
            found[section, f"{prefix}{rest or '*'}"] = rule
        elif path == "*":  # erased
            found["features", "*"] = rule
    return found


def _rule(decision: Decision, section: str, name: str) -> str | None:
    """By what rule a fact that is compared was taken out; None where it was not."""
    masked = _masked(decision)
    whole = masked.get((section, "*")) if section in ("features", "execution", "cache") else None
    return masked.get((section, name)) or whole


def sections(
    a: Decision, b: Decision
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """The facts that are compared, by section: those of ``a`` and those of ``b``, by name."""
    yield "outcome", _result(a), _result(b)
    yield "model", a.model, b.model
    yield "config", _config(a), _config(b)
    yield "execution", _flat(a.execution), _flat(b.execution)
    yield "features", a.features, b.features
    yield "sources", _sources(a), _sources(b)
    yield "path", _path(a), _path(b)
    yield "cache", a.cache, b.cache


def _result(decision: Decision) -> dict[str, Any]:
    return _present(
        {
            "decision_point": decision.decision_point,
            "environment": decision.environment,
            "outcome": decision.outcome,
            "score": decision.score,
            "threshold": decision.threshold,
            "consumer.received": decision.consumer.get("received"),
            "consumer.action": decision.consumer.get("action"),
            "region": decision.other.get("region"),
            "replica": decision.other.get("replica"),
        }
    )


def _config(decision: Decision) -> dict[str, Any]:
    group = {key: value for key, value in decision.config.items() if key != "values"}
    values = decision.config.get("values")
    if isinstance(values, dict):
        group |= {f"values.{key}": value for key, value in values.items()}
    return group


def _sources(decision: Decision) -> dict[str, Any]:
    facts: dict[str, Any] = {}
    for source in decision.feature_sources:
        view = source.get("view") or source.get("dataset") or "?"
        for key in ("dataset", "event_time", "status", "job", "run_id"):
            facts[f"{view}.{key}"] = source.get(key)
    return _present(facts)


def _path(decision: Decision) -> dict[str, Any]:
    """The steps, without the times at which they ran: those always differ."""
    facts: dict[str, Any] = {"steps": " → ".join(str(s.get("kind")) for s in decision.steps)}
    for step in decision.steps:
        name = step.get("id") or step.get("kind")
        for key in ("component", "version", "digest", "status", "error"):
            facts[f"{name}.{key}"] = step.get(key)
        outputs = step.get("outputs")
        if isinstance(outputs, dict):
            facts |= {f"{name}.outputs.{key}": value for key, value in outputs.items()}
    return _present(facts)


def _present(facts: dict[str, Any]) -> dict[str, Any]:
    """Without what was not recorded; only features tell a recorded null from an absent one."""
    return {name: value for name, value in facts.items() if value is not None}


def _flat(group: Mapping[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in group.items() if not isinstance(value, (dict, list))}


def _identity(decision: Decision) -> dict[str, Any]:
    return {
        "request_id": decision.request_id,
        "decision_id": decision.decision_id,
        "decision_point": decision.decision_point,
        "occurred_at": decision.occurred_at,
        "outcome": decision.outcome,
        "score": decision.score,
    }


def _equal(x: Any, y: Any) -> bool:
    if isinstance(x, float) and isinstance(y, float) and x != x and y != y:
        return True  # NaN in both
    return bool(x == y) and isinstance(x, bool) == isinstance(y, bool)


def _distance(x: Any, y: Any, spread: float | None) -> float | None:
    numeric = all(isinstance(v, (int, float)) and not isinstance(v, bool) for v in (x, y))
    if not numeric or not spread or isinstance(x, datetime):
        return None
    return abs(float(x) - float(y)) / spread
