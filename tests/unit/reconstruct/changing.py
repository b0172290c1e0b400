"""Small systems whose changes are known: decisions at even steps, each with what was in use."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from forensics.ingest.run import Report
from forensics.testing import decision_record

TakeIn = Callable[..., Report]
BEGIN = datetime(2026, 10, 1, tzinfo=UTC)


def at(minutes: float) -> datetime:
    """So many minutes after the first decision."""
    return BEGIN + timedelta(minutes=minutes)


def text(time: datetime) -> str:
    return time.isoformat(timespec="microseconds")


def decisions(
    minutes: Iterable[float], *, model: str | None = "v1", **fields: Any
) -> list[dict[str, Any]]:
    """Decisions of one model version; ``None`` leaves the model out."""
    named = {} if model is None else {"model": {"name": "pd", "version": model}}
    return [
        decision_record(
            occurred_at=text(at(minute)),
            recorded_at=text(at(minute) + timedelta(milliseconds=5)),
            **{"model": None, **named, **fields},
        )
        for minute in minutes
    ]


def run_events(
    name: str,
    run: int,
    minute: float,
    *,
    state: str = "COMPLETE",
    code: str | None = None,
    columns: Iterable[str] = (),
    tests: dict[str, bool] | None = None,
) -> list[dict[str, Any]]:
    """The START and the end of one run of a job, as an OpenLineage client sends them."""
    job_facets: dict[str, Any] = {}
    if code is not None:
        job_facets["sourceCodeLocation"] = {
            "_producer": "https://example.org", "_schemaURL": "https://example.org/s",
            "type": "git", "url": "https://git.example.org/x", "version": code,
        }  # fmt: skip
    event = {
        "producer": "https://example.org/scheduler",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json#/$defs/RunEvent",
        "job": {"namespace": "jobs", "name": name, "facets": job_facets},
        "run": {"runId": f"00000000-0000-4000-8000-{run:012d}", "facets": {}},
        "inputs": [],
    }
    facets: dict[str, Any] = {}
    if columns:
        facets["schema"] = {
            "_producer": "https://example.org", "_schemaURL": "https://example.org/s",
            "fields": [{"name": column, "type": "DOUBLE"} for column in columns],
        }  # fmt: skip
    if tests:
        facets["dataQualityAssertions"] = {
            "_producer": "https://example.org", "_schemaURL": "https://example.org/s",
            "assertions": [
                {"assertion": test, "success": held, "column": "x"} for test, held in tests.items()
            ],
        }  # fmt: skip
    output = {"namespace": "warehouse", "name": f"features.{name}", "facets": facets}
    done = state == "COMPLETE"
    return [
        {**event, "eventType": "START", "eventTime": text(at(minute - 1)), "outputs": []},
        {**event, "eventType": state, "eventTime": text(at(minute)),
         "outputs": [output] if done else []},
    ]  # fmt: skip


def write_events(path: Path, *runs: list[dict[str, Any]]) -> Path:
    events = [event for run in runs for event in run]
    path.write_text("".join(json.dumps(event) + "\n" for event in events), encoding="utf-8")
    return path
