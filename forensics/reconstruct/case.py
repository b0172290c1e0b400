"""What a detector may look at: one decision with all the evidence around it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from forensics.lake.summaries import Usual
from forensics.reconstruct.changes import Change
from forensics.reconstruct.reconstruction import Finding
from forensics.records.decision import Decision

#: What-if: (outcome, score) with some features or config values replaced, replayed.
WhatIf = Callable[[Mapping[str, Any], Mapping[str, Any]], tuple[str, float | None]]


@dataclass(frozen=True, slots=True)
class Case:
    """A decision with all that detectors may look at."""

    decision: Decision
    changes: tuple[Change, ...]
    usual: Mapping[str, Usual]
    override: Mapping[str, Any] | None
    #: Configuration values by digest, where the lake holds them.
    config_values: Callable[[str], Mapping[str, Any] | None]
    #: None where the decision cannot be replayed or replay was not asked for.
    what_if: WhatIf | None
    #: Artifacts of the decision whose bytes are not those that were stored.
    altered: frozenset[str] = frozenset()
    #: Other records that claim the same decision id.
    twins: int = 0


class Detector(Protocol):
    """One thing that can be wrong around a model."""

    kind: str

    def look(self, case: Case) -> Iterable[Finding]:
        """What is wrong; a finding of severity ``not_checkable`` says why nobody can tell."""
