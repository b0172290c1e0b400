"""What a reconstruction says: every part a frozen record, every fact with its evidence status."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from forensics.lake.usual import Usual
from forensics.lineage.provenance import Origin
from forensics.reconstruct.changes import Change
from forensics.records.decision import Decision
from forensics.records.replay import Attribution, Counterfactual, CounterfactualSearch, Replay

Evidence = Literal["recorded", "recomputed", "inferred", "missing", "redacted"]
Severity = Literal["error", "warning", "info", "not_checkable"]


@dataclass(frozen=True, slots=True)
class Feature:
    """One input with where it came from; ``reason`` says why it is missing.

    ``origin`` and ``usual`` are None where nothing is known of them.
    """

    name: str
    value: Any
    type: str
    evidence: Evidence
    reason: str | None = None
    source: str | None = None
    age_s: float | None = None
    origin: Origin | None = None
    usual: Usual | None = None


@dataclass(frozen=True, slots=True)
class Finding:
    """Something odd, or something that could not be checked and why."""

    kind: str
    severity: Severity
    statement: str
    detail: Mapping[str, Any]
    evidence: Evidence = "recorded"


@dataclass(frozen=True, slots=True)
class Completeness:
    """What the evidence is good for: ``C0``, ``C1``, ``C2`` or ``none``, and what is missing.

    ``missing`` pairs a field with what cannot be said without it.
    """

    class_: str
    missing: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Integrity:
    """Where the record's proof is; ``verified`` is None when it was not looked at."""

    segment: str | None
    leaf_index: int | None
    leaf: bytes | None
    verified: bool | None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Reconstruction:
    """One decision in full.

    ``replay`` and ``attribution`` are None when they were not asked for or cannot be made;
    ``attribution_reason`` then says why.
    """

    asked_for: str
    decision: Decision
    features: tuple[Feature, ...]
    override: Mapping[str, Any] | None
    outcome_label: Mapping[str, Any] | None
    replay: Replay | None
    attribution: Attribution | None
    attribution_reason: str | None
    counterfactuals: tuple[Counterfactual, ...]
    changes: tuple[Change, ...]
    findings: tuple[Finding, ...]
    completeness: Completeness
    integrity: Integrity
    #: What the search for counterfactuals proved; None where none was made.
    search: CounterfactualSearch | None = None
    search_reason: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """The contract ``reconstruction``, as plain mappings; see :mod:`forensics_schemas`."""
        from forensics.reconstruct.contract import to_dict

        return to_dict(self)

    def _repr_html_(self) -> str:
        from forensics.reconstruct.notebook import reconstruction_html

        return reconstruction_html(self)
