"""Which inputs drove the score: as recorded then, else recomputed by the model's own library.

The libraries' own contributions of trees are path-dependent TreeSHAP values (Lundberg et al. 2020,
doi:10.1038/s42256-019-0138-9), bit-identical to those of ``shap``'s TreeExplainer without a
background. They answer "compared with the paths of the training data", not "with a population";
interventional values, over the rows of a background, answer the latter. Which one is said in the
method. Nothing here needs numpy or shap but what is compared with a background.
"""

from __future__ import annotations

from dataclasses import replace
from math import exp, fsum, inf, isfinite, log
from typing import TYPE_CHECKING

from forensics.errors import ReplayError, UsageError
from forensics.records.decision import Decision
from forensics.records.replay import Agreement, Attribution
from forensics.replay.loaded import output_position

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from forensics.explain.background import BackgroundRows
    from forensics.replay.client import ModelDescription
    from forensics.replay.loaded import LoadedModel
    from forensics.replay.session import ReplaySession

#: Its margin is log-odds although nothing is made of it.
_RAW_LOG_ODDS = ("binary:logitraw",)
_UNITS = {"logit": "log_odds", "log": "log"}
_TREES = {
    "xgboost": "xgboost pred_contribs (path-dependent TreeSHAP)",
    "lightgbm": "lightgbm pred_contrib (path-dependent TreeSHAP)",
    "catboost": "catboost ShapValues (path-dependent TreeSHAP)",
}
#: How many of the largest are compared in their order.
_TOP = 4
#: Smaller than this, relative to the largest value, a contribution has no sign worth comparing.
_SIGN_MIN = 1e-4


def attribution(
    session: ReplaySession,
    *,
    background: BackgroundRows | None = None,
    interventional: bool = False,
) -> Attribution:
    """Contribution of each feature to the score of ``session``'s decision.

    What was recorded at the time comes first. Where the model can be run it is checked against the
    margin, and compared with recomputed values in ``agreement``.

    Args:
        session: the decision.
        background: rows to compare with, for a model without contributions of its own.
        interventional: compare with the background whatever the model, and show that even where
            something was recorded.

    Raises:
        ReplayError: when none was recorded and the model cannot be run, or has no contributions and
            there is no background; says what is missing.
        UsageError: when the background does not fit the model.
        DependencyError: when shap is needed and not installed.
    """
    has_record = bool(session.decision.explanation.get("attributions"))
    if not has_record:
        return recomputed(session, background=background, interventional=interventional)
    found = recorded(session.decision)
    if interventional:
        new = recomputed(session, background=background, interventional=True)
        return replace(new, agreement=agreement(new, found))
    try:
        over = _is_over_rows(found) and background is not None
        new = recomputed(session, background=background, interventional=over)
    except ReplayError:
        return replace(
            found,
            threshold_value=_recorded_threshold(session.threshold, found.unit),
            additivity_error=_recorded_error(session, found),
        )
    threshold = _recorded_threshold(session.threshold, found.unit)
    if found.unit == new.unit:
        threshold = new.threshold_value
    return replace(
        found,
        threshold_value=threshold,
        additivity_error=_recorded_error(session, found),
        agreement=agreement(found, new),
    )


def recomputed(
    session: ReplaySession,
    *,
    background: BackgroundRows | None = None,
    interventional: bool = False,
) -> Attribution:
    """Contributions by the model itself, or over a background; arguments and errors as above."""
    if interventional and background is None:
        raise UsageError(
            "Interventional attributions compare with rows, which are not named here.",
            "The decision records no background, and its configuration declares none.",
            "Name one: --background DIGEST|FILE",
        )
    model = session.scoring
    if model.use.features:
        _ = session.answer  # fills in what the decision logic computes for the model
    _ = model.score  # settles how many rounds are used
    if not model.ready() or model.description is None:
        raise ReplayError("The model cannot be run.", "; ".join(model.missing))
    native = "contributions" in model.description.kinds
    if background is not None and (interventional or not native):
        return _over_background(session, model, model.description, background)
    if not native:
        raise ReplayError(
            f"{model.description.runtime} gives no contributions for this model.",
            "They can be computed over background rows, which are not named here.",
            "forensics explain ID --background DIGEST|FILE",
        )
    base, values, margin = session.contributions()
    if margin != margin:
        raise ReplayError("The model gives no answer to these inputs, so nothing drove it.")
    unit = unit_of(model.description)
    return Attribution(
        method=method_of(model.description),
        unit=unit,
        base_value=base,
        values=_largest_first(values),
        additivity_error=abs(base + fsum(values.values()) - margin),
        threshold_value=_threshold(session, model, model.description),
        output=output_label_of(model.description, output_position(model.use, model.description)),
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
        threshold_value=_recorded_threshold(decision.threshold, unit),
        evidence="recorded",
    )


def agreement(shown: Attribution, other: Attribution) -> Agreement:
    """How far ``other``, the recorded or the recomputed of the two, is from what is shown.

    Only features that both name are compared: an explanation may have kept a few.
    """
    both = [name for name in shown.values if name in other.values]
    difference, feature = None, None
    if shown.unit == other.unit:
        apart = [(abs(shown.values[name] - other.values[name]), name) for name in both]
        difference, feature = max(apart, default=(None, None), key=lambda item: item[0] or 0.0)
    least = _SIGN_MIN * max(
        (abs(value) for each in (shown, other) for value in each.values.values()), default=0.0
    )
    signed = [
        (shown.values[name] > 0) == (other.values[name] > 0)
        for name in both
        if min(abs(shown.values[name]), abs(other.values[name])) > least
    ]
    theirs = [name for name in other.values if name in shown.values]
    return Agreement(
        method=other.method,
        unit=other.unit,
        max_difference=difference,
        feature=feature,
        same_sign=all(signed) if signed else None,
        top_order=both[:_TOP] == theirs[:_TOP],
    )


def method_of(description: ModelDescription) -> str:
    """The method of a model's own contributions, with the question that it answers."""
    library = description.runtime.split(" ", 1)[0]
    if library in _TREES and any(description.cuts):
        return _TREES[library]
    if description.objective == "scorecard":
        return "scorecard points of each feature (compared with zero points)"
    return f"{library} coefficient times value, as the model prepares it (compared with zeros)"


def unit_of(description: ModelDescription) -> str:
    """The unit of a model's margin: ``log_odds``, ``log``, ``points``, or its own, ``margin``."""
    if description.objective in _RAW_LOG_ODDS:
        return "log_odds"
    if description.objective == "scorecard" and description.link == "identity":
        return "points"
    return _UNITS.get(description.link, "margin")


def output_label_of(description: ModelDescription, position: int) -> str | None:
    """The class or number of the output at ``position``; None for the only one without a name."""
    classes = description.classes
    if description.outputs == 1:
        return classes[-1] if len(classes) == 2 else None
    return classes[position] if len(classes) == description.outputs else str(position)


def _over_background(
    session: ReplaySession,
    model: LoadedModel,
    description: ModelDescription,
    background: BackgroundRows,
) -> Attribution:
    from forensics.explain.over_rows import over_background
    from forensics.replay.client import ModelWorker

    assert model.digest is not None
    path = session.artifacts.path(model.digest)
    assert path is not None
    # As many answers as this may need take longer than one replay may.
    with ModelWorker(path, cpu_s=7_200, timeout_s=900) as worker:
        found = over_background(
            worker,
            model.names,
            model.inputs,
            background,
            output=output_position(model.use, description),
            trees=model.trees,
        )
    values = dict(zip(model.names, found.values, strict=True))
    unit = unit_of(description)
    threshold = _threshold(session, model, description)
    if found.kind == "value":
        unit = "probability" if description.classes else "value"
        threshold = session.threshold if _is_score(session, model) else None
    return Attribution(
        method=found.method,
        unit=unit,
        base_value=found.base,
        values=_largest_first(values),
        additivity_error=abs(found.base + fsum(found.values) - found.target),
        threshold_value=threshold,
        output=output_label_of(description, output_position(model.use, description)),
        background=found.background,
        standard_error=found.standard_error,
        seed=found.seed,
    )


def _threshold(
    session: ReplaySession, model: LoadedModel, description: ModelDescription
) -> float | None:
    """The decision's threshold on the scale of the explained margin; None where it has no place.

    Where later steps make the score of the model's output, it is sought through them.
    """
    value = session.threshold
    if value is None or not isfinite(value):
        return None
    if not _is_score(session, model):
        from forensics.explain.crossing import threshold_margin

        return threshold_margin(session, model, description, value)
    if model.use.kind == "margin" or description.link == "identity":
        return value
    if description.link == "log":
        return log(value) if value > 0 else None
    if description.link not in ("logit", "softmax") or not 0 < value < 1:
        return None
    odds = log(value / (1 - value))
    if description.link == "logit":
        return odds
    margins = model.predict(("margin",))[0]
    at = output_position(model.use, description)
    # The margin that this output would need with those of the others as they are.
    return odds + _log_sum_exp([m for k, m in enumerate(margins) if k != at])


def _is_score(session: ReplaySession, model: LoadedModel) -> bool:
    """Whether the threshold compares the model's own output, and not what was made of it."""
    return session.logic is None or session.logic.logic.score == model.use.step


def _recorded_threshold(threshold: float | None, unit: str) -> float | None:
    """The threshold in the unit that an explanation says it has, where that can be told."""
    if threshold is None or not isfinite(threshold) or unit == "margin":
        return None
    if unit == "log_odds":
        return log(threshold / (1 - threshold)) if 0 < threshold < 1 else None
    return threshold


def _recorded_error(session: ReplaySession, found: Attribution) -> float | None:
    """How far recorded values are from adding up to the model's margin; None if that is unknown."""
    if found.additivity_error is not None:
        return found.additivity_error
    if found.unit not in ("log_odds", "margin") or not isfinite(found.base_value):
        return None
    model = session.scoring
    try:
        _ = model.score  # settles how many rounds are used
        margin = model.values(kind="margin")[0]
    except ReplayError:
        return None
    return abs(found.base_value + fsum(found.values.values()) - margin)


def _is_over_rows(found: Attribution) -> bool:
    return "interventional" in found.method.lower()


def _log_sum_exp(values: Sequence[float]) -> float:
    most = max(values, default=-inf)
    return most + log(fsum(exp(value - most) for value in values)) if isfinite(most) else most


def _largest_first(values: Mapping[str, float]) -> dict[str, float]:
    return dict(sorted(values.items(), key=lambda item: (-abs(item[1]), item[0])))
