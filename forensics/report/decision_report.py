"""One decision in full, as a document: all that a trace has, each with its evidence and source."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from forensics.reconstruct.reconstruction import Reconstruction
from forensics.report import decision_parts as parts
from forensics.report.document import Document, Section


def document(
    found: Sequence[Reconstruction], now: datetime, *, counterfactuals: int = 1
) -> Document:
    """All decisions that an id names.

    Args:
        found: them, oldest first; at least one.
        now: when it is made.
        counterfactuals: how many were asked for.
    """
    first = found[0]
    gaps = tuple(f"{one.decision.decision_id}: {why}" for one in found for why in parts.gaps(one))
    title = f"Decision {first.asked_for}" if len(found) == 1 else f"Decisions of {first.asked_for}"
    note = (
        f"The evidence is incomplete: {'; '.join(gaps)}"
        if gaps
        else "The record is what was sealed, and the evidence reproduces the decision"
    )
    wrong = "; ".join(
        finding.statement
        for one in found
        for finding in one.findings
        if finding.severity == "error"
    )
    outcomes = ", ".join(one.decision.outcome for one in found)
    return Document(
        kind="decision",
        title=title,
        facts=(
            ("decision point", first.decision.decision_point),
            ("decided", parts.moment(first.decision.occurred_at)),
            ("person", str(first.decision.subject.get("id") or "not recorded")),
            ("environment", first.decision.environment),
            ("made", parts.moment(now)),
        ),
        verdict=f"the outcome was {outcomes}",
        note=note + (f"; {wrong}" if wrong else ""),
        sections=tuple(
            section
            for one in found
            for section in _sections(one, counterfactuals, several=len(found) > 1)
        ),
        made_at=now,
        gaps=gaps,
        sound=not wrong,
        data={"decision_ids": [one.decision.decision_id for one in found]},
    )  # fmt: skip


def _sections(one: Reconstruction, counterfactuals: int, *, several: bool) -> list[Section]:
    ref = parts.reference(one, counterfactuals=counterfactuals)
    sections = [
        Section("What was decided", (*parts.decided(one, ref), *parts.decided_by(one, ref))),
        Section(
            "Why",
            (*parts.chart(one), *parts.drove(one, ref, main=8), *parts.given_reasons(one, ref)),
        ),
        Section("What would have changed it", tuple(parts.would_have_changed(one, ref))),
        Section(
            "What is odd, complete and proven",
            (*parts.reliability(one, ref, full=True), *parts.retention(one, ref)),
        ),
        Section("What had changed before", tuple(parts.full_changes(one, ref))),
        Section("Steps", tuple(parts.full_steps(one, ref))),
        Section("Data", tuple(parts.data(one, ref, full=True))),
        Section("Who received it, and why data was used", tuple(parts.passed_on(one, ref))),
    ]
    if not several:
        return sections
    return [Section(f"{one.decision.decision_id}: {parts.title(one)}", (), tuple(sections))]
