"""What is odd about one decision, as the detectors say it.

A detector answers with findings, with nothing when all is well, or with why it cannot tell: absent
evidence is said, never taken for a clean bill.
"""

from __future__ import annotations

from forensics.reconstruct.case import Case, Detector
from forensics.reconstruct.detectors import (
    AlteredArtifact,
    ConsumerMisread,
    DuplicateDecision,
    FailedStep,
    NewPipelineCode,
    OverrideWithoutGround,
    ScaleJump,
    StaleCache,
    ThresholdMismatch,
    UnreviewedConfig,
)
from forensics.reconstruct.reconstruction import Finding, Severity

DETECTORS: tuple[Detector, ...] = (
    AlteredArtifact(),
    ScaleJump(),
    StaleCache(),
    ConsumerMisread(),
    ThresholdMismatch(),
    UnreviewedConfig(),
    NewPipelineCode(),
    FailedStep(),
    OverrideWithoutGround(),
    DuplicateDecision(),
)


def findings(case: Case) -> tuple[Finding, ...]:
    """All that the detectors say of ``case``, worst first."""
    found = [finding for detector in DETECTORS for finding in detector.look(case)]
    return tuple(sorted(found, key=lambda finding: _RANK[finding.severity]))


_RANK: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2, "not_checkable": 3}
