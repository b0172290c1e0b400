"""The reference population of principal reasons: its mean contributions, pinned by digest.

    {"type": "reference", "decision_point": "credit_line", "model_digest": "sha256:…",
     "method": "xgboost pred_contribs (path-dependent TreeSHAP)", "unit": "log_odds",
     "output": null, "decisions": 7412, "adverse_score": "high",
     "statement": "7,412 decisions of credit_line with outcome APPROVE from … to …",
     "contributions": {"income": 0.21, …}, "medians": {"income": 41000, …}}

``forensics explain --decision-point P --adverse OUTCOME --pin`` makes one. It is an artifact like a
model or a rule set: whoever has its digest can tell which population a reason was relative to.
"""

from __future__ import annotations

from collections.abc import Mapping
from math import isfinite
from typing import Any, NamedTuple

from forensics.errors import UsageError
from forensics.records.jsontext import dumps
from forensics.records.replay import Attribution


class Reference(NamedTuple):
    """Mean contributions of a population.

    ``contributions`` are by feature in ``unit``, of the model ``model_digest`` by ``method`` to
    ``output``; ``medians`` are of the features' values, where they are numbers. ``digest`` is that
    of the artifact; None for a reference that no artifact holds.
    """

    statement: str
    contributions: Mapping[str, float]
    medians: Mapping[str, float]
    decisions: int
    digest: str | None = None
    decision_point: str | None = None
    model_digest: str | None = None
    method: str | None = None
    unit: str | None = None
    output: str | None = None
    higher_is_adverse: bool | None = None

    def to_bytes(self) -> bytes:
        """The artifact."""
        side = self.higher_is_adverse
        fields: dict[str, Any] = {
            "type": "reference",
            "decision_point": self.decision_point,
            "model_digest": self.model_digest,
            "method": self.method,
            "unit": self.unit,
            "output": self.output,
            "decisions": self.decisions,
            "statement": self.statement,
            "adverse_score": None if side is None else "high" if side else "low",
            "contributions": dict(self.contributions),
            "medians": dict(self.medians),
        }
        return dumps(fields).encode()


def read_reference(data: bytes, digest: str) -> Reference:
    """The reference in an artifact.

    Raises:
        UsageError: when it is not one.
    """
    import json

    def wrong(why: str) -> UsageError:
        return UsageError(
            f"{digest[:19]}… is no reference population.",
            why,
            "Make one: forensics explain --decision-point P --adverse OUTCOME --pin",
        )

    try:
        document = json.loads(data)
    except (ValueError, RecursionError) as error:
        raise wrong(f"It is not JSON: {str(error)[:100]}.") from error
    if not isinstance(document, dict) or document.get("type") != "reference":
        raise wrong("Its type is not reference.")
    side = document.get("adverse_score")
    try:
        found = Reference(
            statement=str(document["statement"]),
            contributions=_numbers(document["contributions"]),
            medians=_numbers(document.get("medians") or {}),
            decisions=int(document["decisions"]),
            digest=digest,
            decision_point=document.get("decision_point"),
            model_digest=document["model_digest"],
            method=document["method"],
            unit=document["unit"],
            output=document.get("output"),
            higher_is_adverse=None if side is None else side == "high",
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise wrong(f"It is not whole: {type(error).__name__} {error}.") from error
    return found


def check_fits(
    reference: Reference, attribution: Attribution, model_digest: str | None, point: str
) -> None:
    """Refuse a reference whose contributions answer another question than the decision's.

    Raises:
        UsageError: when decision point, model, method, unit or explained output differ.
    """
    for what, theirs, ours in (
        ("decision point", reference.decision_point, point),
        ("model", reference.model_digest, model_digest),
        ("method", reference.method, attribution.method),
        ("unit", reference.unit, attribution.unit),
        ("output", reference.output, attribution.output),
    ):
        if theirs != ours:
            raise UsageError(
                f"The reference population is of another {what} than this decision.",
                f"It has {theirs}, the decision {ours}.",
                "Pin one for it: forensics explain --decision-point P --adverse OUTCOME --pin",
            )


def base_value(attribution: Attribution) -> Reference | None:
    """The population that the base value stands for, where the method and the model pin one."""
    if "path-dependent" in attribution.method:
        return Reference(
            "the model's base value: all of its training data, as its trees count them", {}, {}, 0
        )
    if attribution.background is not None:
        background = attribution.background
        return Reference(
            f"the base value over the background's {background.rows:,} rows",
            {}, {}, background.rows, background.digest,
        )  # fmt: skip
    return None


def _numbers(table: Mapping[str, Any]) -> dict[str, float]:
    found = {str(name): float(value) for name, value in table.items()}
    for name, value in found.items():
        if not isfinite(value):
            raise ValueError(f"{name} is {value}")
    return found
