"""Which inputs drove the score: as recorded then, else recomputed by the model's own library.

XGBoost's ``pred_contribs`` are path-dependent TreeSHAP values (Lundberg et al. 2020,
doi:10.1038/s42256-019-0138-9), bit-identical to those of ``shap``'s TreeExplainer without a
background. They answer "compared with the paths of the training data", not "with a population".
"""

from __future__ import annotations

from dataclasses import replace
from math import fsum, isfinite, log
from typing import TYPE_CHECKING

from forensics.errors import ReplayError
from forensics.records.decision import Decision
from forensics.records.replay import Attribution

if TYPE_CHECKING:
    from forensics.replay.session import LoadedModel, ReplaySession

_LOG_ODDS = ("binary:logistic", "reg:logistic", "binary:logitraw")
_PLAIN = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror")


def attribution(session: ReplaySession) -> Attribution:
    """Contribution of each feature to the score of ``session``'s decision.

    What was recorded at the time comes first; it is checked against the model's margin where that
    can be run.

    Raises:
        ReplayError: when none was recorded and the model cannot be run; says what is missing.
    """
    if session.decision.explanation.get("attributions"):
        found = recorded(session.decision)
        threshold = _in_unit(session.threshold, found.unit, None)
        error = found.additivity_error
        if error is None:
            error = _margin_error(session, found)
        return replace(found, threshold_value=threshold, additivity_error=error)
    base, values, margin = session.contributions()
    model = session.scoring
    unit = _unit(model)
    method = "xgboost pred_contribs (path-dependent TreeSHAP)"
    if model is session.entry:
        method += " of the cache entry's model"
    return Attribution(
        method=method,
        unit=unit,
        base_value=base,
        values=_largest_first(values),
        additivity_error=abs(base + fsum(values.values()) - margin),
        threshold_value=_in_unit(session.threshold, unit, model),
    )


def recorded(decision: Decision) -> Attribution:
    """The explanation as given at the time, without running anything.

    The base value is NaN where none was recorded. It adds up, or not, against the recorded score
    where it explains a probability; other units need the model's margin.
    """
    explanation = decision.explanation
    # A map may come from the lake as pairs.
    values = {str(k): float(v) for k, v in dict(explanation["attributions"]).items()}
    unit = str(explanation.get("unit") or "the score's own unit")
    base = explanation.get("base_value")
    error = None
    if base is not None and unit == "probability" and decision.score is not None:
        error = abs(base + fsum(values.values()) - decision.score)
    return Attribution(
        method=str(explanation.get("method") or "not recorded"),
        unit=unit,
        base_value=float("nan") if base is None else float(base),
        values=_largest_first(values),
        additivity_error=error,
        threshold_value=_in_unit(decision.threshold, unit, None),
        evidence="recorded",
    )


def _margin_error(session: ReplaySession, found: Attribution) -> float | None:
    """How far recorded values are from adding up to the model's margin; None if that is unknown."""
    if found.unit not in ("log_odds", "margin") or not isfinite(found.base_value):
        return None
    model = session.scoring
    try:
        _ = model.score  # settles how many rounds are used
        margin = model.predict(("margin",))[0][0]
    except ReplayError:
        return None
    return abs(found.base_value + fsum(found.values.values()) - margin)


def _unit(model: LoadedModel) -> str:
    description = model.description
    return "log_odds" if description and description.objective in _LOG_ODDS else "margin"


def _in_unit(threshold: float | None, unit: str, model: LoadedModel | None) -> float | None:
    """The decision threshold in ``unit``, where the score's scale can be turned into it."""
    if threshold is None or not isfinite(threshold):
        return None
    objective = model.description.objective if model and model.description else None
    if unit == "log_odds" and objective != "binary:logitraw":
        return log(threshold / (1 - threshold)) if 0 < threshold < 1 else None
    if unit == "margin" and objective not in _PLAIN:
        return None
    return threshold


def _largest_first(values: dict[str, float]) -> dict[str, float]:
    return dict(sorted(values.items(), key=lambda item: (-abs(item[1]), item[0])))
