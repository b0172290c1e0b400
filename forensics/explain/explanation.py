"""One decision explained: what drove its score, its principal reasons, what would have changed it.

This joins the parts that stand on their own: attribution, reasons, counterfactuals, each with the
verdict of the replay that they rest on.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from forensics.errors import NotFoundError, ReplayError, UsageError
from forensics.explain import reasons as reasons_
from forensics.explain.attribution import attribution, recomputed, recorded
from forensics.explain.background import BackgroundRows, declared, load
from forensics.explain.reasons import Reason, Reasons
from forensics.explain.reference import Reference, base_value, check_fits
from forensics.explain.templates import NO_TEMPLATES, Templates
from forensics.records.decision import Decision
from forensics.records.replay import Attribution, CounterfactualChange, CounterfactualSearch, Replay
from forensics.replay.logic import Rule
from forensics.replay.replay import replay_session
from forensics.replay.session import ReplaySession

_AGREES = ("bit_exact", "within_ulp")
#: Scores that lie beyond every threshold.
_BEYOND = (-1e30, 1e30)
#: Sampled contributions may be off by this many standard errors.
_STANDARD_ERRORS = 2.0


@dataclass(frozen=True, slots=True)
class Options:
    """What is to be explained, and against what.

    ``background`` is a digest or a file. ``adverse`` are outcomes for which reasons are given; the
    templates' where empty. ``medians`` are what is usual for features, where the reference does not
    say it.
    """

    background: str | None = None
    interventional: bool = False
    reasons: bool = False
    templates: Templates = NO_TEMPLATES
    reference: Reference | None = None
    adverse: tuple[str, ...] = ()
    counterfactuals: int = 1
    #: How much the search for them may do, see :func:`~forensics.explain.counterfactual.
    #: counterfactuals`, and the outcomes that count; any other where empty.
    time_s: float | None = None
    target: tuple[str, ...] = ()
    medians: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Explanation:
    """One decision explained. What could not be computed is None, with its reason beside it."""

    asked_for: str
    decision: Decision
    replay: Replay
    attribution: Attribution | None
    attribution_reason: str | None
    reasons: Reasons | None
    reasons_reason: str | None
    counterfactuals: CounterfactualSearch | None
    counterfactuals_reason: str | None
    #: Whether the received bytes are those of the leaf; None where there are none.
    verified: bool | None = None

    def to_dict(self) -> dict[str, Any]:
        """This as plain mappings: what ``forensics explain --json`` prints."""
        decision, replay = self.decision, self.replay
        wanted = ("decision_id", "request_id", "decision_point", "occurred_at", "environment",
                  "outcome", "score", "threshold")  # fmt: skip
        first = replay.first_divergence
        reasons = self.reasons.to_dict() if self.reasons is not None else None
        return {
            "request_id": self.asked_for,
            "decision": {
                **{name: getattr(decision, name) for name in wanted},
                "model_digest": decision.model.get("digest"),
                "evidence": "recorded",
            },
            "replay": {
                "verdict": replay.verdict,
                "first_divergence": None if first is None else first.statement,
                "missing": list(replay.missing),
                "runtime_recorded": replay.runtime_recorded,
                "runtime_replayed": replay.runtime_replayed,
                "evidence": "recomputed",
            },
            "attributions": attribution_to_dict(self.attribution, self.attribution_reason),
            "reasons": reasons,
            "reasons_reason": self.reasons_reason,
            "counterfactuals": [
                {**asdict(item), "changes": [_change(each) for each in item.changes],
                 "evidence": "recomputed"}
                for item in (self.counterfactuals.found if self.counterfactuals else ())
            ],
            "counterfactual_search": search_to_dict(
                self.counterfactuals, self.counterfactuals_reason
            ),
        }  # fmt: skip


def search_to_dict(search: CounterfactualSearch | None, reason: str | None) -> dict[str, Any]:
    """What a search proved, in the terms of the contract.

    Args:
        search: the search.
        reason: why there was none.
    """
    if search is None:
        names = ("status", "lower_bound", "statement")
        why = reason or "it was not asked for"
        return {**dict.fromkeys(names), "evidence": "missing", "reason": why}
    return {
        "status": search.status,
        "lower_bound": search.lower_bound,
        "statement": search.statement,
        "evidence": "recomputed",
        "reason": None,
    }


def attribution_to_dict(found: Attribution | None, reason: str | None) -> dict[str, Any]:
    """An attribution in the terms of the contract; all null, with the reason, where there is none.

    Args:
        found: the attribution.
        reason: why there is none.
    """
    if found is None:
        names = [name for name in Attribution.__slots__ if name not in ("values", "evidence")]
        return {**dict.fromkeys(names), "values": [], "evidence": "missing", "reason": reason}
    values = [{"feature": name, "value": value} for name, value in found.values.items()]
    return {**asdict(found), "values": values, "reason": None}


def explain(session: ReplaySession, asked_for: str, options: Options) -> Explanation:
    """Explain ``session``'s decision.

    Args:
        session: the decision with its artifacts.
        asked_for: the id that named it.
        options: what is wanted.

    Raises:
        UsageError: when background, reference or templates do not fit the decision.
        NotFoundError: when a background that was asked for is not there.
        DependencyError: when shap is needed and not installed.
    """
    from forensics.explain.counterfactual import prepare_search, search_changes

    if options.counterfactuals:
        prepare_search()  # while the model is loaded
    replay = replay_session(session)
    background = _background(session, options)
    shown, reason = _attribution(session, background, options)
    reasons, no_reasons = None, None
    if options.reasons:
        try:
            reasons = principal_reasons(session, replay, shown, background, options)
        except ReplayError as error:
            no_reasons = str(error)
    search, no_search = search_changes(
        session, options.counterfactuals, time_s=options.time_s, target=options.target
    )
    return Explanation(
        asked_for,
        session.decision,
        replay,
        shown,
        reason,
        reasons,
        no_reasons,
        search,
        no_search,
    )


def principal_reasons(
    session: ReplaySession,
    replay: Replay,
    shown: Attribution | None,
    background: BackgroundRows | None,
    options: Options,
) -> Reasons:
    """The principal reasons for the decision, from recomputed contributions where there are any.

    Args:
        session: the decision.
        replay: its verdict.
        shown: its attribution as shown.
        background: rows to compare with, where the method needs some.
        options: templates, reference and adverse outcomes.

    Raises:
        UsageError: when the decision is not adverse, there is no population to compare with, or the
            reference or a template does not fit.
        ReplayError: when there are no attributions and no rule decided.
    """
    decision, templates = session.decision, options.templates
    adverse = options.adverse or templates.adverse
    reasons_.check_adverse(decision.outcome, adverse)
    warnings: list[str] = []
    if not adverse:
        warnings.append(f"{decision.outcome} is taken for adverse, since no outcome is named so")
    if replay.verdict not in _AGREES:
        said = replay.verdict.replace("_", " ")
        warnings.append(f"replay is {said}: these may not be the reasons of what was recorded")
    higher, rule = _decided(session, {*adverse, decision.outcome})
    items: list[Reason] = []
    facts = {"outcome": decision.outcome, "score": decision.score, "threshold": session.threshold}
    if rule is not None:
        items.append(reasons_.of_rule(rule.id, rule.when, rule.reason, templates, facts))
    reference, unit = None, ""
    higher = _side(session, options, higher, is_needed=rule is None, warnings=warnings)
    if rule is None or _is_adverse_too(session, higher):
        found = _contributions(session, shown, background, options)
        if found is not None:
            reference = _reference(session, found, options, warnings)
            unit = found.unit
            assert higher is not None
            more, about = reasons_.of_score(
                found.values,
                decision.features,
                reference,
                higher_is_adverse=higher,
                noise=_noise(found),
                templates=templates,
                facts=facts,
                most=reasons_.MOST - len(items),
            )
            items += more
            warnings += about
        elif rule is None:
            raise ReplayError("Reasons need attributions, and there are none.")
    if not items:
        warnings.append("no factor counts more towards this outcome than in the reference")
    given = decision.explanation.get("reasons") or ()
    return Reasons(
        items=tuple(items),
        outcome=decision.outcome,
        decided_by="score" if rule is None else rule.id,
        method=reasons_.METHOD,
        reference=reference.statement if reference is not None else None,
        reference_digest=reference.digest if reference is not None else None,
        unit=unit,
        warnings=tuple(warnings),
        recorded=tuple(str(text) for text in given),
    )


def _background(session: ReplaySession, options: Options) -> BackgroundRows | None:
    """The rows to compare with, where anything is to be compared with rows."""
    decision, model = session.decision, session.scoring
    native = (
        model.ready()
        and model.description is not None
        and "contributions" in model.description.kinds
    )
    if options.background is not None:
        if native and not options.interventional:
            raise UsageError(
                "The model's own library gives contributions, which need no background.", "",
                "Add --interventional to compare with its rows instead.",
            )  # fmt: skip
        return load(options.background, session.artifacts)
    named = declared(decision, session.config.values)
    method = str(decision.explanation.get("method") or "")
    if named is None or (native and not options.interventional and "interv" not in method.lower()):
        return None
    try:
        return load(named, session.artifacts)
    except NotFoundError:
        if options.interventional:
            raise
        return None


def _attribution(
    session: ReplaySession, background: BackgroundRows | None, options: Options
) -> tuple[Attribution | None, str | None]:
    try:
        found = attribution(session, background=background, interventional=options.interventional)
    except ReplayError as error:
        if session.decision.explanation.get("attributions"):
            return recorded(session.decision), None
        return None, str(error)
    return found, None


def _decided(session: ReplaySession, adverse: set[str]) -> tuple[bool | None, Rule | None]:
    """On which side of the score the outcome is adverse, or the rule that no score could change."""
    try:
        own = session.rule
        if own is None:
            return None, None
        low, high = session.judge({}, _BEYOND, 2).rules
    except ReplayError:
        return None, None
    if low.id == high.id == own.id and low.outcome == high.outcome == own.outcome:
        return None, own
    if (low.outcome in adverse) == (high.outcome in adverse):
        return None, None
    return high.outcome in adverse, None


def _side(
    session: ReplaySession,
    options: Options,
    replayed: bool | None,
    *,
    is_needed: bool,
    warnings: list[str],
) -> bool | None:
    """Whether a higher score is adverse: by replay, else as declared, else by the threshold."""
    reference = options.reference.higher_is_adverse if options.reference is not None else None
    said = options.templates.higher_is_adverse
    if said is None:
        said = reference
    if replayed is not None:
        if said is not None and said != replayed:
            side = "higher" if replayed else "lower"
            warnings.append(f"by replay a {side} score is adverse; declared is the other side")
        return replayed
    score, threshold = session.decision.score, session.threshold
    if said is None and is_needed and score is not None and threshold is not None:
        said = score >= threshold
        warnings.append("which side of the score is adverse is told by the threshold alone")
    if said is None and is_needed:
        raise UsageError(
            "On which side of the score the adverse outcome lies is not known.",
            "The decision logic cannot be replayed, and no threshold was recorded.",
            'Say it in the templates: adverse_score = "high" or "low".',
        )
    return said


def _is_adverse_too(session: ReplaySession, higher: bool | None) -> bool:
    """Whether the score alone would have led to an adverse outcome, beside the rule that did."""
    score, threshold = session.decision.score, session.threshold
    if higher is None or score is None or threshold is None:
        return False
    return score >= threshold if higher else score < threshold


def _contributions(
    session: ReplaySession,
    shown: Attribution | None,
    background: BackgroundRows | None,
    options: Options,
) -> Attribution | None:
    """Recomputed contributions where there are any: their method is known; else the recorded."""
    if shown is None or shown.evidence == "recomputed":
        return shown
    try:
        return recomputed(session, background=background, interventional=options.interventional)
    except ReplayError:
        return shown


def _reference(
    session: ReplaySession, found: Attribution, options: Options, warnings: list[str]
) -> Reference:
    reference = options.reference
    if reference is not None:
        check_fits(reference, found, session.scoring.digest, session.decision.decision_point)
    elif found.evidence == "recorded":
        reference = Reference("the recorded base value", {}, {}, 0)
        warnings.append("the recorded base value stands for a population that was not recorded")
    else:
        reference = base_value(found)
        if reference is None:
            raise UsageError(
                "Reasons of this model need a reference population.",
                f"Its contributions ({found.method}) stand for none.",
                "Pin one: forensics explain --decision-point P --adverse OUTCOME --pin",
            )
    return reference if reference.medians else reference._replace(medians=options.medians)


def _noise(found: Attribution) -> float:
    """How far contributions may be off; recorded ones are taken at their word."""
    if found.evidence == "recorded":
        return 0.0
    return max(found.additivity_error or 0.0, _STANDARD_ERRORS * found.standard_error)


def _change(change: CounterfactualChange) -> dict[str, Any]:
    return {
        "feature": change.feature,
        "from": change.from_value,
        "to": change.to_value,
        "statement": change.statement,
    }
