"""Which inputs drove the score: as recorded then, else recomputed by the model's own library.

XGBoost's ``pred_contribs`` are path-dependent TreeSHAP values (Lundberg et al. 2020,
doi:10.1038/s42256-019-0138-9), bit-identical to those of ``shap``'s TreeExplainer without a
background. They answer "compared with the paths of the training data", not "with a population".
"""

from __future__ import annotations

from math import fsum, isfinite, log

from forensics.errors import ReplayError
from forensics.records.decision import Decision
from forensics.records.replay import Attribution
from forensics.replay.session import LoadedModel, ReplaySession

_LOG_ODDS = ("binary:logistic", "reg:logistic", "binary:logitraw")
_PLAIN = ("reg:squarederror", "reg:absoluteerror", "reg:pseudohubererror", "reg:quantileerror")


def attribution(session: ReplaySession) -> Attribution:
    """Contribution of each feature to the score of ``session``'s decision.

    The base value of a recorded attribution is NaN where none was recorded.

    Raises:
        ReplayError: when none was recorded and the model cannot be run; says what is missing.
    """
    if session.decision.explanation.get("attributions"):
        return _recorded(session)
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
        threshold_value=_threshold(session, unit, model),
    )


def _recorded(session: ReplaySession) -> Attribution:
    decision: Decision = session.decision
    explanation = decision.explanation
    # A map may come from the lake as pairs.
    values = {str(k): float(v) for k, v in dict(explanation["attributions"]).items()}
    unit = str(explanation.get("unit") or "the score's own unit")
    base = explanation.get("base_value")
    return Attribution(
        method=str(explanation.get("method") or "not recorded"),
        unit=unit,
        base_value=float("nan") if base is None else float(base),
        values=_largest_first(values),
        additivity_error=None if base is None else _error(session, unit, base, values),
        threshold_value=_threshold(session, unit, None),
        evidence="recorded",
    )


def _error(
    session: ReplaySession, unit: str, base: float, values: dict[str, float]
) -> float | None:
    """How far the recorded values are from adding up to what the model gives in their unit."""
    total = base + fsum(values.values())
    if unit == "probability" and session.decision.score is not None:
        return abs(total - session.decision.score)
    if unit not in ("log_odds", "margin"):
        return None
    model = session.scoring
    try:
        _ = model.score
        margin = model.predict(("margin",))[0][0]
    except ReplayError:
        return None
    return abs(total - margin)


def _unit(model: LoadedModel) -> str:
    description = model.description
    return "log_odds" if description and description.objective in _LOG_ODDS else "margin"


def _threshold(session: ReplaySession, unit: str, model: LoadedModel | None) -> float | None:
    """The decision threshold in ``unit``, where the score's scale can be turned into it."""
    threshold = session.threshold
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
