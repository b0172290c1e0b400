"""OpenLineage events in few words, and a lake that was told them."""

from collections.abc import Callable, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.api import Lake, open_lake

START = datetime(2026, 10, 1, tzinfo=UTC)
Told = Callable[..., Lake]


def _dataset(given: Any) -> dict[str, Any]:
    if isinstance(given, Mapping):
        return dict(given)
    namespace, name = given if isinstance(given, tuple) else ("n", given)
    return {"namespace": namespace, "name": name}


def _with_columns(
    datasets: list[dict[str, Any]], columns: Mapping[str, Mapping[str, Iterable[tuple[str, str]]]]
) -> list[dict[str, Any]]:
    for dataset in datasets:
        fields = columns.get(dataset["name"])
        if fields is not None:
            dataset.setdefault("facets", {})["columnLineage"] = {
                "fields": {
                    name: {
                        "inputFields": [
                            {"namespace": "n", "name": source, "field": field}
                            for source, field in sources
                        ]
                    }
                    for name, sources in fields.items()
                }
            }
    return datasets


@pytest.fixture
def event() -> Callable[..., dict[str, Any]]:
    """One event; its time is ``at`` minutes after the first of October 2026."""

    def event(
        job: str | tuple[str, str] | None = None,
        inputs: Iterable[Any] = (),
        outputs: Iterable[Any] = (),
        *,
        at: float = 0,
        type: str | None = "COMPLETE",
        run: str | None = None,
        static: bool = False,
        dataset: Any = None,
        columns: Mapping[str, Mapping[str, Iterable[tuple[str, str]]]] = {},
        parent: tuple[str, str] | None = None,
        job_facets: Mapping[str, Any] = {},
        run_facets: Mapping[str, Any] = {},
    ) -> dict[str, Any]:
        said: dict[str, Any] = {
            "eventTime": (START + timedelta(minutes=at)).isoformat(),
            "producer": "https://example.org/producer",
            "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
        }
        if dataset is not None:
            return said | {"dataset": _with_columns([_dataset(dataset)], columns)[0]}
        assert job is not None
        namespace, name = job if isinstance(job, tuple) else ("n", job)
        said |= {
            "job": {"namespace": namespace, "name": name, "facets": dict(job_facets)},
            "inputs": [_dataset(item) for item in inputs],
            "outputs": _with_columns([_dataset(item) for item in outputs], columns),
        }
        if static:
            return said
        facets = dict(run_facets)
        if parent is not None:
            facets["parent"] = {
                "job": {"namespace": "n", "name": parent[0]},
                "run": {"runId": parent[1]},
            }
        return said | {
            "eventType": type,
            "run": {"runId": run or f"{name}-{at:g}", "facets": facets},
        }

    return event


@pytest.fixture
def told(lake: Path, take_in: Callable[..., Any]) -> Told:
    """A lake that took in lineage events, each call's as one file."""

    def told(*events: Mapping[str, Any]) -> Lake:
        report = take_in(events)
        assert report.quarantined_total == 0, report.examples
        return open_lake(lake)

    return told
