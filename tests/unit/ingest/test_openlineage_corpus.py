"""Foreign events: all are taken in, or truly break the specification's own JSON Schema."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from copy import deepcopy
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple

import jsonschema
import pytest
import referencing

from forensics.ingest.interface import NO_OPTIONS
from forensics.ingest.quarantine import kind_of_reason
from forensics.ingest.run import run
from forensics.ingest.sources import open_source
from forensics.lake.snapshot import take

#: Schemas, and examples of facets alone; all else holds events, or says that it is none.
_NO_EVENTS = ("spec_current", "spec_versions", "custom_facet_schemas", "spec_facet_examples")


class Outcome(NamedTuple):
    """What became of one record."""

    file: str
    raw: bytes
    reason: str | None


@pytest.fixture(scope="module")
def events(corpus: Path) -> Path:
    return corpus / "openlineage"


@pytest.fixture(scope="module")
def files(events: Path) -> list[Path]:
    found = [
        path
        for path in sorted(events.rglob("*"))
        if path.is_file() and path.relative_to(events).parts[0] not in _NO_EVENTS
    ]
    return [*found, events / "spec_facet_examples" / "example_full_event.json"]


@pytest.fixture(scope="module")
def outcomes(files: list[Path]) -> list[Outcome]:
    return [outcome for path in files for outcome in _outcomes(path)]


def _outcomes(path: Path) -> Iterator[Outcome]:
    source = open_source(path, "openlineage")
    for chunk in source.chunks():
        parsed = source.parse(chunk, {}, NO_OPTIONS)
        for table in parsed.tables.values():
            for raw in table["raw"].to_pylist():
                yield Outcome(path.name, raw, None)
        for reject in parsed.rejects:
            yield Outcome(path.name, reject.raw, reject.reason)


@pytest.fixture(scope="module")
def validator(events: Path) -> jsonschema.protocols.Validator:
    """The newest core schema, whose date-time is to be one as in RFC 3339."""
    schema = json.loads((events / "spec_current" / "OpenLineage.json").read_text("utf-8"))
    formats = jsonschema.FormatChecker(formats=())

    @formats.checks("date-time", raises=ValueError)
    def is_time(value: object) -> bool:
        return not isinstance(value, str) or datetime.fromisoformat(value).tzinfo is not None

    resource = referencing.Resource.from_contents(schema)
    registry: referencing.Registry[Any] = referencing.Registry().with_resource(
        schema["$id"], resource
    )
    return jsonschema.Draft202012Validator(schema, registry=registry, format_checker=formats)


def test_every_event_lands_or_says_why_not(outcomes: list[Outcome]) -> None:
    reasons = Counter(kind_of_reason(item.reason or "landed") for item in outcomes)
    assert reasons == {
        "landed": 731,
        # dbt's run results, Marquez's mappers, nodes and facets, seeds of names and sources; and
        # seven sketches in a proposal
        "eventTime is missing": 51,
        # the template that Marquez's seed is made from
        "eventTime is text, expected a time such as 2026-10-21T02:13:04Z": 26,
        # a fixture of Marquez, and three of the Python client's serialisation
        "eventTime is text, which names no time zone; add Z or an offset": 4,
        "producer is missing": 3,
    }


def test_every_refused_event_breaks_the_schema(
    outcomes: list[Outcome], validator: jsonschema.protocols.Validator
) -> None:
    refused = [item for item in outcomes if item.reason is not None]
    assert refused
    assert [item for item in refused if validator.is_valid(json.loads(item.raw))] == []


def test_every_event_taken_in_keeps_the_schema_but_for_what_we_say_we_forgive(
    outcomes: list[Outcome], validator: jsonschema.protocols.Validator
) -> None:
    forgiven: Counter[str] = Counter()
    for item in outcomes:
        if item.reason is None:
            event = _forgiven(json.loads(item.raw), forgiven)
            assert list(validator.iter_errors(event)) == [], item.file
    assert set(forgiven) == {"schemaURL", "_producer", "_schemaURL"}


def _forgiven(event: dict[str, Any], counted: Counter[str]) -> dict[str, Any]:
    """``event`` with what may be absent filled in."""
    event = deepcopy(event)
    if "schemaURL" not in event:
        counted["schemaURL"] += 1
        event["schemaURL"] = "https://openlineage.io/spec/2-0-2/OpenLineage.json"
    about = [event.get(name) for name in ("run", "job", "dataset")]
    for part in (*about, *event.get("inputs", ()), *event.get("outputs", ())):
        for name in ("facets", "inputFacets", "outputFacets"):
            for facet in (part or {}).get(name, {}).values():
                for required in ("_producer", "_schemaURL"):
                    if required not in facet:
                        counted[required] += 1
                        facet[required] = "https://example.org"
    return event


@pytest.mark.parametrize("one_in", [4, pytest.param(1, marks=pytest.mark.torture)])
def test_all_of_them_land_in_a_lake_by_themselves_and_once(
    lake: Path, files: list[Path], one_in: int
) -> None:
    chosen = files[::one_in]
    outcomes = [outcome for path in chosen for outcome in _outcomes(path)]
    reports = [run(lake, open_source(path)) for path in chosen]
    landed = sum(report.landed_total for report in reports)
    present = sum(report.already_present for report in reports)
    assert landed + present == sum(item.reason is None for item in outcomes)
    snapshot = take(lake)
    rows = snapshot.connection.execute(
        f"SELECT event_id, raw FROM read_parquet({snapshot.paths('lineage')})"
    ).fetchall()
    assert len(rows) == len({event_id for event_id, _ in rows}) == landed
    assert {raw for _, raw in rows} <= {item.raw for item in outcomes}
    assert {json.dumps(json.loads(raw), sort_keys=True) for _, raw in rows} == {
        json.dumps(json.loads(item.raw), sort_keys=True) for item in outcomes if item.reason is None
    }


@pytest.mark.parametrize("version", ["1-0-0", "1-0-5", "2-0-0", "2-0-2"])
def test_the_core_of_every_version_asks_for_no_more_than_we_do(events: Path, version: str) -> None:
    path = events / "spec_versions" / version / "OpenLineage.json"
    schema = json.loads(path.read_text("utf-8"))
    parts = schema.get("$defs") or schema["definitions"]
    required = {
        name: sorted(
            need for part in (given, *given.get("allOf", ())) for need in part.get("required", ())
        )
        for name, given in parts.items()
    }
    assert required["Run"] == ["runId"]
    assert required["Job"] == required["Dataset"] == ["name", "namespace"]
    assert set(required["RunEvent"]) <= {"eventTime", "producer", "schemaURL", "run", "job"}
