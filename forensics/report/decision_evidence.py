"""How sure what is said of a decision is: replay, completeness, what is odd, proof, erasure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from forensics.reconstruct.reconstruction import Evidence, Finding, Reconstruction
from forensics.report.decision_words import (
    said_value,
)
from forensics.report.document import Reference, Statement, joined

_VERDICTS = {
    "bit_exact": "The recorded programs were run again now on the recorded data, and gave exactly "
    "the same result, to the last digit.",
    "within_ulp": "The recorded programs were run again now on the recorded data, and gave the "
    "same result but for a rounding in the last digit.",
    "same_outcome": "The recorded programs were run again now on the recorded data, and gave the "
    "same outcome with another score.",
    "diverged": "The recorded programs were run again now on the recorded data, and did not give "
    "the recorded result.",
    "not_replayable": "The decision cannot be run again.",
}
_CLASSES = {
    "C0": "The evidence is enough to run this decision again.",
    "C1": "The evidence is enough to run this decision again, and to say what a stricter rule "
    "would have decided.",
    "C2": "The evidence is enough to run this decision again, and to say what a stricter or a "
    "looser rule would have decided.",
    "none": "The evidence is not enough to run this decision again.",
}
_AGREES = ("bit_exact", "within_ulp")


def reliability(
    found: Reconstruction, ref: Reference, *, full: bool = False
) -> Iterator[Statement]:
    """How complete the evidence is, what is missing, whether replay agrees, and what is odd."""
    yield from _findings(found, ref, {"error": "Something went wrong"})
    replay = found.replay
    if replay is not None:
        evidence: Evidence = "missing" if replay.verdict == "not_replayable" else "recomputed"
        reason = f"it lacks {joined(replay.missing)}" if replay.missing else None
        yield Statement(
            "replay", _VERDICTS[replay.verdict], evidence, ref.at("/replay"), reason,
            value=replay.verdict,
        )  # fmt: skip
    class_ = found.completeness.class_
    named = f" (class {class_})" if class_ != "none" else ""
    yield Statement(
        "completeness", f"{_CLASSES[class_][:-1]}{named}.", "inferred", ref.at("/completeness"),
        value=class_,
    )  # fmt: skip
    lost = "it was erased" if erasure(found) is not None else "it was not recorded"
    for number, (name, why) in enumerate(found.completeness.missing):
        yield Statement(
            "missing", f"Not in the evidence: {name}; so {why}.", "missing",
            ref.at(f"/completeness/missing/{number}"), lost, value=name,
        )  # fmt: skip
    for path, rule in _withheld(found):
        yield Statement(
            "withheld", f"Withheld here: {path}.", "redacted", ref, rule, value=path
        )  # fmt: skip
    yield _proof(found, ref)
    yield from _findings(found, ref, _LEADS if full else {"warning": "Odd"})


#: What a finding is led in by; errors come before all else.
_LEADS = {"warning": "Odd", "info": "To know", "not_checkable": "Could not be checked"}


def _mended(finding: Finding) -> str:
    """What the outcome is with what went wrong put right, where that was replayed."""
    mended = finding.detail.get("mended")
    if not isinstance(mended, Mapping) or mended.get("outcome") is None:
        return ""
    given = said_value(mended.get("value"))
    return f" With {given} instead, run again, the outcome is {mended['outcome']}."


def _findings(
    found: Reconstruction, ref: Reference, leads: Mapping[str, str]
) -> Iterator[Statement]:
    """What was found odd, of those severities that have a lead."""
    for number, finding in enumerate(found.findings):
        lead = leads.get(finding.severity)
        if lead is not None and finding.kind != "erased":
            yield Statement(
                "finding",
                f"{lead}: {finding.statement}.{_mended(finding)}",
                finding.evidence,
                ref.at(f"/findings/{number}"),
                "there is nothing to check it with" if finding.evidence == "missing" else None,
                value=finding.kind,
                strong=finding.severity == "error",
            )


def _proof(found: Reconstruction, ref: Reference) -> Statement:
    integrity = found.integrity
    said = {
        True: "The record is unaltered: its bytes are the ones that were sealed.",
        False: "The record is NOT what was sealed.",
        None: "Whether the record is unaltered cannot be shown.",
    }[integrity.verified]
    return Statement(
        "integrity", said, "missing" if integrity.verified is None else "recomputed",
        ref.at("/integrity"), integrity.reason, value=integrity.verified,
    )  # fmt: skip


def erasure(found: Reconstruction) -> str | None:
    """What is known of its erasure; None where it was not erased."""
    return next((one.statement for one in found.findings if one.kind == "erased"), None)


def retention(found: Reconstruction, ref: Reference) -> Iterator[Statement]:
    """Whether the record is kept or was erased."""
    for number, finding in enumerate(found.findings):
        if finding.kind == "erased":
            yield Statement(
                "erasure",
                f"What the record said was erased: {finding.statement}.",
                finding.evidence,
                ref.at(f"/findings/{number}"),
                "no such erasure is recorded" if finding.evidence == "missing" else None,
            )
            return
    yield Statement(
        "erasure", "The record is kept; it was not erased.", "inferred", ref.at("/findings")
    )


def gaps(found: Reconstruction) -> Iterator[str]:
    """Why what is said of a decision is not the whole of it, in words after its name."""
    if erasure(found) is not None:
        return  # what is gone by order is no gap of the evidence
    if found.integrity.verified is False:
        yield "its record is not what was sealed"
    if found.replay is not None and found.replay.verdict not in _AGREES:
        yield f"replay: {found.replay.verdict.replace('_', ' ')}"
    elif found.completeness.class_ == "none":
        yield "the evidence is not enough to run it again"


def _withheld(found: Reconstruction) -> Iterator[tuple[str, str]]:
    redacted: Mapping[str, str] = found.decision.sealed.get("redacted") or {}
    for path, rule in redacted.items():
        yield ("all that it said" if path == "*" else path), rule
