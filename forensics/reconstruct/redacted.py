"""What was taken out of a record before anybody saw it, and by what rule."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.reconstruction import Finding
from forensics.records.decision import Decision
from forensics.records.replay import Replay


def redaction(decision: Decision, path: str) -> str | None:
    """By what rule a field was taken out of a record; None where it was not.

    Args:
        decision: the record as it may be seen.
        path: of the field, as ``features.income``.
    """
    redacted: Mapping[str, str] = decision.sealed.get("redacted") or {}
    if not redacted:
        return None
    from forensics.privacy.policy import matches

    point = decision.decision_point
    return next((rule for one, rule in redacted.items() if matches((one,), point, path)), None)


def erasure(snapshot: Snapshot, decision: Decision) -> Finding | None:
    """That a decision was erased, on what order and when; None where it was not."""
    unreadable = str(decision.sealed.get("unreadable") or "")
    if not unreadable.startswith("erased: "):
        return None
    from forensics.lake.erase import order_of

    erasure_id = unreadable.partition(": ")[2]
    order = order_of(snapshot, erasure_id)
    if order is None:
        what = f"it says that it was erased ({erasure_id}), and no such erasure is recorded"
        return Finding("erased", "error", what, {"erasure_id": erasure_id}, "missing")
    time, reference, actor = order
    what = f"erased at {time:%Y-%m-%d %H:%M} by {actor} on the order {reference}"
    detail = {"erasure_id": erasure_id, "order": reference, "erased_at": time}
    return Finding("erased", "info", what, detail)


def said(replay: Replay, decision: Decision) -> Replay:
    """A replay whose missing features say what rule took them; one line where all were."""
    if redaction(decision, "features.") and "*" in (decision.sealed.get("redacted") or {}):
        return replace(replay, missing=("what the record said (erased)",))
    missing = tuple(
        f"{name} (redacted: {rule})" if (rule := redaction(decision, name)) else name
        for name in replay.missing
    )
    return replace(replay, missing=missing)
