"""Builders of records, for this project's tests and for those of the applications that log to it.

Each builder gives one honest record of its kind, small and valid, as a mapping that JSON can
write. Keywords replace top-level fields; ``None`` takes a field out. Ids are counted up within the
process, so that records are different unless an id is named.

>>> decision_record(outcome="DECLINE", score=0.71)["outcome"]
'DECLINE'
>>> "score" in decision_record(score=None)
False
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

#: When the first record that is built says it occurred; each later one is a second after.
FIRST_TIME = datetime(2026, 10, 1, tzinfo=UTC)

_counter = itertools.count(1)


def decision_record(**changes: Any) -> dict[str, Any]:
    """A decision of the point ``credit_line``: two features, a score, a threshold, an outcome."""
    number = next(_counter)
    record = {
        "record": "decision",
        "decision_point": "credit_line",
        "decision_id": f"d-{number:06}",
        "request_id": f"r-{number:06}",
        "occurred_at": _time(number),
        "outcome": "APPROVE",
        "environment": "production",
        "subject": {"id": f"s-{number % 97:02}"},
        "model": {"name": "pd", "version": "v1"},
        "features": {"amount": 1000 + number, "channel": "app"},
        "score": 0.25,
        "threshold": 0.5,
    }
    return _with(record, changes)


def change_record(**changes: Any) -> dict[str, Any]:
    """A deploy of a model's version v2 in place of v1."""
    number = next(_counter)
    record = {
        "record": "change",
        "change_id": f"c-{number:06}",
        "occurred_at": _time(number),
        "kind": "deploy",
        "component": "pd",
        "from_version": "v1",
        "to_version": "v2",
    }
    return _with(record, changes)


def override_record(**changes: Any) -> dict[str, Any]:
    """An officer who approves what was declined; name the decision with ``decision_id``."""
    number = next(_counter)
    record = {
        "record": "override",
        "override_id": f"o-{number:06}",
        "decision_id": f"d-{number:06}",
        "occurred_at": _time(number),
        "actor": "officer_05",
        "reason": "income statement seen",
        "original_outcome": "DECLINE",
        "final_outcome": "APPROVE",
    }
    return _with(record, changes)


def outcome_record(**changes: Any) -> dict[str, Any]:
    """What a decision turned out to be worth; name the decision with ``decision_id``."""
    number = next(_counter)
    record = {
        "record": "outcome",
        "decision_id": f"d-{number:06}",
        "label": "no_default",
        "arrived_at": _time(number),
    }
    return _with(record, changes)


def declaration_record(**changes: Any) -> dict[str, Any]:
    """Where the features of ``credit_line`` come from, and what they may be."""
    number = next(_counter)
    record = {
        "record": "declaration",
        "declaration_id": f"n-{number:06}",
        "decision_point": "credit_line",
        "occurred_at": _time(number),
        "features": [{"name": "amount", "dataset": "warehouse/features.requests"}],
    }
    return _with(record, changes)


def run_event(
    run_id: str,
    *,
    at: datetime,
    job: str = "billing_features",
    event_type: str = "COMPLETE",
    code: str | None = None,
    inputs: Iterable[str | Mapping[str, Any]] = (),
    outputs: Iterable[str | Mapping[str, Any]] = (),
) -> dict[str, Any]:
    """An OpenLineage RunEvent of a job in namespace ``pipelines``.

    Args:
        run_id: the run.
        at: its eventTime.
        job: the job's name.
        event_type: START, COMPLETE and so on.
        code: revision of the job's code, as a sourceCodeLocation facet says it.
        inputs: datasets read, by name in namespace ``warehouse``, or whole.
        outputs: datasets written, likewise.
    """
    facets = {}
    if code is not None:
        facets["sourceCodeLocation"] = {**_facet(), "type": "git", "url": "", "version": code}

    def datasets(given: Iterable[str | Mapping[str, Any]]) -> list[Mapping[str, Any]]:
        return [
            {"namespace": "warehouse", "name": item} if isinstance(item, str) else item
            for item in given
        ]

    return {
        "eventTime": at.isoformat(),
        "eventType": event_type,
        "producer": "https://example.org/scheduler",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "run": {"runId": run_id},
        "job": {"namespace": "pipelines", "name": job, "facets": facets},
        "inputs": datasets(inputs),
        "outputs": datasets(outputs),
    }


def _facet() -> dict[str, str]:
    return {"_producer": "https://example.org/scheduler", "_schemaURL": "https://example.org/facet"}


def write_lines(path: Path, records: Iterable[Mapping[str, Any] | bytes | str]) -> Path:
    """Write ``records`` to ``path`` as JSON lines and return the path.

    Text and bytes are written as the line that they are, so that a broken one can be among them.
    """
    with path.open("wb") as stream:
        for record in records:
            if isinstance(record, str):
                record = record.encode()
            elif not isinstance(record, bytes):
                record = json.dumps(record, ensure_ascii=False).encode()
            stream.write(record + b"\n")
    return path


def _time(number: int) -> str:
    time = FIRST_TIME + timedelta(seconds=number)
    return time.isoformat(timespec="microseconds").replace("+00:00", "Z")


def _with(record: dict[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in {**record, **changes}.items() if value is not None}
