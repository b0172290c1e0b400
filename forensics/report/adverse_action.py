"""An adverse action notice: the principal reasons, in the form of Regulation B (12 CFR 1002.9).

The form is that of the sample notices in its Appendix C. What the evidence does not say is left for
the lender to fill in, and what the lender has to know before sending it stands apart from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from forensics.errors import ReplayError, UsageError
from forensics.explain.explanation import Explanation
from forensics.explain.reasons import Reasons
from forensics.reconstruct.reconstruction import Reconstruction
from forensics.report.decision_words import explained, moment, plain
from forensics.report.document import Document, FillIn, Item, Note, Reference, Section, Statement

#: 12 CFR 1002.9(b)(1).
_ECOA = (
    "The Federal Equal Credit Opportunity Act prohibits creditors from discriminating against "
    "credit applicants on the basis of race, color, religion, national origin, sex, marital "
    "status, age (provided the applicant has the capacity to enter into a binding contract); "
    "because all or part of the applicant's income derives from any public assistance program; or "
    "because the applicant has in good faith exercised any right under the Consumer Credit "
    "Protection Act. The Federal agency that administers compliance with this law concerning this "
    "creditor is:"
)
_AGREES = ("bit_exact", "within_ulp")


def document(
    found: Explanation, options: Sequence[str], now: datetime, wrong: Sequence[str] = ()
) -> Document:
    """The notice of one decision.

    Args:
        found: the decision explained, with its principal reasons.
        options: those of ``forensics explain`` that it was asked with.
        now: when it is made.
        wrong: what went wrong in the decision itself, a sentence each without its full stop.

    Raises:
        ReplayError: when there are no reasons that could be given.
    """
    reasons = found.reasons
    if reasons is None or not reasons.items:
        why = found.reasons_reason if reasons is None else "; ".join(reasons.warnings)
        raise ReplayError(
            "No notice can be written: principal reasons cannot be had.",
            f"{(why or 'none was found').rstrip('.')}.",
            "A notice names only factors that were actually scored; see forensics trace.",
        )
    decision = found.decision
    source = explained(decision.decision_id, options)
    gaps = (*_not_ready(found, reasons), *(f"something went wrong: {one}" for one in wrong))
    return Document(
        kind="adverse-action",
        title="Notice of action taken and statement of reasons",
        facts=(
            ("decision", decision.decision_id),
            ("request", decision.request_id),
            ("decided", moment(decision.occurred_at)),
        ),
        verdict="draft; the lender completes and checks it before it is sent",
        note=f"Not ready to be sent: {'; '.join(gaps)}" if gaps else
        "Its reasons are factors that were scored, worked out again from the recorded decision",
        sections=(
            Section("Notice", tuple(_notice(found, source))),
            Section("Principal reasons for the action", tuple(_reasons(reasons, source))),
            Section("Your rights", tuple(_rights())),
            Section(
                "For the lender, not for the applicant", tuple(_lender(found, reasons, source))
            ),
        ),
        made_at=now,
        gaps=gaps,
        data={
            "decision_id": decision.decision_id,
            "outcome": decision.outcome,
            "reasons": [reason.to_dict() for reason in reasons.items],
        },
        explains=False,
    )  # fmt: skip


def refuse_erased(found: Reconstruction) -> None:
    """See that the decision still says why it was made.

    Raises:
        ReplayError: when what it said was erased, with the order that it was erased on.
    """
    for finding in found.findings:
        if finding.kind == "erased":
            raise ReplayError(
                "No notice can be written: what the decision said was erased.",
                f"It was {finding.statement}.",
                f"What stays of it: forensics trace {found.decision.decision_id}",
            )


def one_of(found: list[Explanation]) -> Explanation:
    """The one decision that an id named.

    Raises:
        UsageError: when it named several: a notice is of one.
    """
    if len(found) > 1:
        ids = ", ".join(one.decision.decision_id for one in found)
        raise UsageError(
            "This id names several decisions, and a notice is of one.", "", f"Name one: {ids}."
        )
    return found[0]


def _not_ready(found: Explanation, reasons: Reasons) -> Iterator[str]:
    """Why the lender must not send it as it is."""
    if found.verified is False:
        yield "the record or an artifact is not what was sealed"
    if found.replay.verdict not in _AGREES:
        said = found.replay.verdict.replace("_", " ")
        yield f"replay is {said}, so these may not be the reasons of what was decided"
    if any(reason.prohibited for reason in reasons.items):
        yield "a reason may stand for a prohibited basis"
    if any(not reason.template for reason in reasons.items):
        yield "a reason has no wording of the lender's (--templates FILE)"


def _notice(found: Explanation, source: Reference) -> Iterator[Item]:
    decision = found.decision
    yield FillIn("name and address of the creditor")
    yield FillIn("name and address of the applicant")
    yield FillIn("date of this notice")
    yield FillIn("the account, transaction or terms that were applied for")
    yield Statement(
        "action",
        f"Action taken on {decision.occurred_at.day} {decision.occurred_at:%B %Y}: "
        f"{decision.outcome}.",
        "recorded",
        source.at("/decision/outcome"),
        value=decision.outcome,
        strong=True,
    )


def _reasons(reasons: Reasons, source: Reference) -> Iterator[Item]:
    for number, reason in enumerate(reasons.items):
        yield Statement(
            "principal_reason",
            f"{number + 1}. {reason.text}{f' (code {reason.code})' if reason.code else ''}",
            "recorded" if reason.kind == "rule" else "recomputed",
            source.at(f"/reasons/items/{number}"),
            value=reason.code,
        )


def _rights() -> Iterator[Item]:
    yield Note(_ECOA)
    yield FillIn("name and address of that Federal agency")
    yield FillIn(
        "where information came from a consumer reporting agency or another third party: its name "
        "and address, and the disclosures of the Fair Credit Reporting Act, among them the credit "
        "score where one was used"
    )


def _lender(found: Explanation, reasons: Reasons, source: Reference) -> Iterator[Item]:
    if reasons.decided_by != "score":
        yield Statement(
            "decided_by", f"The rule {reasons.decided_by} decided; no score would have changed it.",
            "recomputed", source.at("/reasons/decided_by"), value=reasons.decided_by,
        )  # fmt: skip
    if reasons.reference is not None:
        digest = f" ({reasons.reference_digest})" if reasons.reference_digest else ""
        yield Statement(
            "method", f"Factors of the score are {reasons.method}: {reasons.reference}{digest}.",
            "recomputed", source.at("/reasons/reference"), value=reasons.reference_digest,
        )  # fmt: skip
    unit = reasons.unit.replace("_", "-")
    for number, reason in enumerate(reasons.items):
        if reason.points is None:
            continue
        names = ", ".join(plain(name) for name in reason.features)
        yield Statement(
            "factor",
            f"Reason {number + 1} is {names}: {reason.points:+.3g} {unit} towards this outcome.",
            "recomputed",
            source.at(f"/reasons/items/{number}/points"),
            value=reason.points,
        )
    yield Statement(
        "replay", f"Replay: {found.replay.verdict.replace('_', ' ')}.", "recomputed",
        source.at("/replay/verdict"), value=found.replay.verdict,
    )  # fmt: skip
    for number, text in enumerate(reasons.recorded):
        yield Statement(
            "given_reason", f"Given at the time: {text}", "recorded",
            source.at(f"/reasons/recorded/{number}"),
        )  # fmt: skip
    for number, text in enumerate(reasons.warnings):
        yield Statement(
            "warning", f"Warning: {text}.", "inferred", source.at(f"/reasons/warnings/{number}")
        )
