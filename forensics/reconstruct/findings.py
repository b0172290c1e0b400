"""What is odd about one decision, as the detectors say it.

A detector answers with findings, with nothing when all is well, or with why it cannot tell: absent
evidence is said, never taken for a clean bill.
"""

from __future__ import annotations

from forensics.reconstruct.case import Case
from forensics.reconstruct.detectors import DETECTORS
from forensics.reconstruct.reconstruction import Finding, Severity


def findings(case: Case) -> tuple[Finding, ...]:
    """All that the detectors say of ``case``, worst first."""
    found = [finding for detector in DETECTORS for finding in detector.look(case)]
    return tuple(sorted(found, key=lambda finding: RANK[finding.severity]))


#: Severities, worst first.
RANK: dict[Severity, int] = {"error": 0, "warning": 1, "info": 2, "not_checkable": 3}
