"""One decision in full, as a document: all that a trace has, each with its evidence and source."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime

from forensics.reconstruct.contract import to_dict
from forensics.reconstruct.reconstruction import Reconstruction
from forensics.report import decision_evidence as evidence
from forensics.report import decision_parts as parts
from forensics.report import decision_words as words
from forensics.report.decision_words import gone, missing
from forensics.report.document import Document, Item, Note, Reference, Row, Rows, Section
from forensics.report.words import few, number_words, value_words


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
    gaps = tuple(
        f"{one.decision.decision_id}: {why}" for one in found for why in evidence.gaps(one)
    )
    title = f"Decision {first.asked_for}" if len(found) == 1 else f"Decisions of {first.asked_for}"
    note = (
        f"The evidence is incomplete: {few(gaps)}"
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
            ("decided", words.moment(first.decision.occurred_at)),
            ("person", str(first.decision.subject.get("id") or "not recorded")),
            ("environment", first.decision.environment),
            ("made", words.moment(now)),
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
    ref = words.reference(one, counterfactuals=counterfactuals)
    sections = [
        Section("What was decided", (*parts.decided(one, ref), *parts.decided_by(one, ref))),
        Section(
            "Why",
            (*parts.chart(one), *parts.drove(one, ref, main=8), *parts.given_reasons(one, ref)),
        ),
        Section("What would have changed it", tuple(parts.would_have_changed(one, ref))),
        Section(
            "What is odd, complete and proven",
            (*evidence.reliability(one, ref, full=True), *evidence.retention(one, ref)),
        ),
        Section("What had changed before", tuple(_changes(one, ref))),
        Section("Steps", tuple(_steps(one, ref))),
        Section("Data", tuple(parts.data(one, ref, full=True))),
        Section("Who received it, and why data was used", tuple(parts.passed_on(one, ref))),
    ]
    if not several:
        return sections
    return [Section(f"{one.decision.decision_id}: {words.title(one)}", (), tuple(sections))]


def _steps(found: Reconstruction, ref: Reference) -> Iterator[Item]:
    """The steps, with what they were given and answered."""
    rows = []
    for number, step in enumerate(to_dict(found)["steps"]):
        took = step["duration_ms"]
        told = value_words(step["outputs"]) if step["outputs"] is not None else "not recorded"
        cells = (
            f"{step['id'] or ''} {step['kind'] or ''}".strip() or "–",
            " ".join(str(step[key]) for key in ("component", "version") if step[key]) or "–",
            f"{number_words(took, 3)} ms" if took is not None else "–",
            f"{step['status'] or ''} {step['error'] or ''} {told}".strip(),
        )
        rows.append(Row(cells, "recorded", ref.at(f"/steps/{number}")))
    if rows:
        yield Rows("steps", ("step", "what ran", "took", "answered"), tuple(rows))
    else:
        yield gone(found, "steps", "No steps are known.", ref.at("/steps"))


def _changes(found: Reconstruction, ref: Reference, most: int = 20) -> Iterator[Item]:
    """What had changed before the decision, newest first."""
    rows = tuple(
        Row(
            (f"{change.occurred_at:%Y-%m-%d %H:%M:%S}", change.kind, change.statement),
            change.evidence,
            ref.at(f"/changes/{number}"),
        )
        for number, change in enumerate(found.changes[:most])
    )
    if rows:
        yield Rows("changes", ("when", "kind", "what"), rows)
        if len(found.changes) > most:
            yield Note(f"And {len(found.changes) - most:,} before these.")
    else:
        yield missing("changes", "No change before it is known.", ref.at("/changes"),
                       "the lake holds none that concerns it")  # fmt: skip
