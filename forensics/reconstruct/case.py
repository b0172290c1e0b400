"""What a detector may look at: one decision with all the evidence around it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from forensics.lake.usual import Usual
from forensics.lineage.declared import Declaration
from forensics.lineage.provenance import Origin
from forensics.reconstruct.changes import Change
from forensics.records.decision import Decision

if TYPE_CHECKING:
    from forensics.reconstruct.around import Around
    from forensics.reconstruct.changes.runs import JobRun
    from forensics.records.replay import Replay

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
    #: What overrides before that one made of the outcome.
    overridden_to: frozenset[str] = frozenset()
    #: Artifacts of the decision whose bytes are not those that were stored.
    altered: frozenset[str] = frozenset()
    #: Other records that claim the same decision id.
    twins: int = 0
    #: What the decision point declared, in force at the decision's time.
    declaration: Declaration | None = None
    #: Where its features came from, by name.
    origins: Mapping[str, Origin] = field(default_factory=dict)
    #: The runs of the week before of the jobs that fed them.
    runs: Sequence[JobRun] = ()
    #: None where the decision was not replayed.
    replay: Replay | None = None
    #: The decisions around it; None where they are not to be looked at.
    around: Around | None = None
