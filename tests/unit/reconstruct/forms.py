"""The two forms of the detectors side by side: what each says of every decision of a lake."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from forensics.api import open_lake
from forensics.lake.snapshot import take
from forensics.reconstruct.detectors import DETECTORS
from forensics.reconstruct.judging import each
from forensics.reconstruct.stretches import spans, stretches

KINDS = frozenset(detector.kind for detector in DETECTORS)
#: What a decision is known by here: an id may be that of several records.
Key = tuple[str, str]
Said = frozenset[str]


def window(lake: Path, rows_max: int = 1_000_000) -> dict[Key, Said]:
    """What the window form says of each decision, as ``kind|about``."""
    snapshot = take(lake)
    found: dict[Key, Said] = {}
    for span in spans(snapshot, snapshot.points(), None, None):
        for stretch in stretches(snapshot, span, rows_max):
            for request_id, decision_id, said in each(stretch, DETECTORS):
                codes = frozenset(f"{code.kind}|{code.about}" for code in said)
                found[request_id, decision_id] = found.get((request_id, decision_id), codes) | codes
    return found


def single(lake: Path, request_ids: Iterable[str]) -> dict[Key, Said]:
    """What a trace without replay says of each decision of some requests."""
    found: dict[Key, Said] = {}
    with open_lake(lake) as opened:
        for request_id in request_ids:
            for one in opened.trace(request_id, replay=False):
                key = one.decision.request_id, one.decision.decision_id
                codes = frozenset(
                    f"{finding.kind}|{finding.detail['about']}"
                    for finding in one.findings
                    if finding.kind in KINDS
                )
                found[key] = found.get(key, codes) | codes
    return found


def judged(lake: Path, background: str = "usual") -> dict[str, Said]:
    """What both forms say, by request id, after a look that they agree on every decision.

    Of those whose request id begins with ``background``, which are there to be many, on a few.
    """
    many = window(lake)
    requests = sorted({request_id for request_id, _ in many})
    usual = [request_id for request_id in requests if request_id.startswith(background)]
    chosen = {*requests} - {*usual} | {*usual[::20]}
    alone = single(lake, chosen)
    compared = {key: said for key, said in many.items() if key[0] in chosen}
    assert alone == compared, differences(alone, compared)
    by_request: dict[str, Said] = {}
    for (request_id, _), said in many.items():
        by_request[request_id] = by_request.get(request_id, frozenset()) | said
    return by_request


def differences(alone: dict[Key, Said], many: dict[Key, Said]) -> str:
    """In which decisions two answers differ, and how."""
    lines = [
        f"{key}: alone {sorted(alone.get(key, Said()) - many.get(key, Said()))}, "
        f"in the window {sorted(many.get(key, Said()) - alone.get(key, Said()))}"
        for key in sorted({*alone, *many})
        if alone.get(key) != many.get(key)
    ]
    return f"{len(lines)} differ:\n" + "\n".join(lines[:20])


def of(said: Said, kind: str) -> set[str]:
    """What one detector said."""
    return {text.split("|", 1)[1] for text in said if text.startswith(f"{kind}|")}


def step(kind: str, start_ms: float, end_ms: float, **more: Any) -> dict[str, Any]:
    """A step of :func:`forensics.testing.decision_record` at noon of 2026-10-01."""
    return {
        "id": more.pop("id", kind),
        "kind": kind,
        "started_at": moment(start_ms),
        "ended_at": moment(end_ms),
        "status": "ok",
        **more,
    }


def moment(ms: float = 0, day: int = 1) -> str:
    """Some milliseconds after noon of a day of October 2026."""
    from datetime import UTC, datetime, timedelta

    time = datetime(2026, 10, day, 12, tzinfo=UTC) + timedelta(milliseconds=ms)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")
