"""Completeness: a class, never a percentage.

C0: what happened can be reproduced. C1: also what a stricter rule would have done. C2: also what a
looser one would have done, which takes the values of the candidates that were not taken. Each gap
is named with what cannot be said because of it.
"""

from __future__ import annotations

from forensics.reconstruct.reconstruction import Completeness
from forensics.records.decision import Decision
from forensics.records.replay import Replay
from forensics.replay.needs import Kept, lacking

Gap = tuple[str, str]


def completeness(decision: Decision, replay: Replay | None, artifacts: Kept) -> Completeness:
    """The class that the evidence reaches.

    Args:
        decision: as recorded.
        replay: its replay, where it was run: what replay missed is missing.
        artifacts: the lake's; where replay was not run, whether it holds what replay needs.
    """
    for_c0 = _for_reproduction(decision, replay, artifacts)
    for_c1 = _for_stricter_rules(decision)
    for_c2 = _for_looser_rules(decision)
    if for_c0:
        return Completeness("none", (*for_c0, *for_c1, *for_c2))
    if for_c1:
        return Completeness("C0", (*for_c1, *for_c2))
    return Completeness("C1" if for_c2 else "C2", for_c2)


def _for_reproduction(
    decision: Decision, replay: Replay | None, artifacts: Kept
) -> tuple[Gap, ...]:
    gaps: list[Gap] = []
    if replay is not None:
        gaps += [(missing, "the decision cannot be run again") for missing in replay.missing]
    else:
        gaps += lacking(decision, artifacts)
    if all(value is None for value in decision.features.values()):
        gaps.append(("features", "from what was decided is not known"))
    if decision.score is None and not any(name == "score" for name, _ in gaps):
        gaps.append(("score", "a replayed score has nothing to be compared with"))
    execution = decision.execution
    if not execution.get("pure") and not execution.get("calls"):
        gaps.append(
            ("execution.pure", "whether clock, random numbers or network took part is not known")
        )
    return tuple(dict.fromkeys(gaps))


def _for_stricter_rules(decision: Decision) -> tuple[Gap, ...]:
    gaps: list[Gap] = []
    if not decision.config.get("values"):
        gaps.append(("config.values", "what another threshold would have done cannot be said"))
    if decision.threshold is None and "threshold" not in (decision.config.get("values") or {}):
        gaps.append(("threshold", "what the score was compared with is not known"))
    return tuple(gaps)


def _for_looser_rules(decision: Decision) -> tuple[Gap, ...]:
    coverage = decision.other.get("candidates_coverage")
    if coverage == "exhaustive":
        return ()
    what = "values of candidates not taken" if coverage != "partial" else "some candidates' values"
    return ((what, "what a looser rule would have done cannot be said"),)
