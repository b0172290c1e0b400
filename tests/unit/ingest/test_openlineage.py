"""OpenLineage events: told from other records, checked against the specification, kept whole."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.ingest import openlineage, quarantine
from forensics.ingest.run import Report
from forensics.lake.snapshot import take
from forensics.testing import change_record, decision_record, outcome_record, run_event, write_lines

TakeIn = Callable[..., Report]
Json = dict[str, Any]
AT = datetime(2026, 10, 1, 2, 13, tzinfo=UTC)


def event(**changes: Any) -> Json:
    """A run that read and wrote one dataset; None takes a field out."""
    whole = run_event("r-1", at=AT, inputs=["raw"], outputs=["made"], code="88ac") | changes
    return {name: value for name, value in whole.items() if value is not None}


def dataset(own: Json | None = None, **facets: Any) -> Json:
    """A dataset with facets; those in ``own`` are about this writing of it alone."""
    named = {"namespace": "warehouse", "name": "made"}
    return named | {"facets": facets, "outputFacets": own or {}}


def wrote(**facets: Any) -> Json:
    """The columns about a dataset that was written with these facets."""
    (written,) = openlineage.translate(event(outputs=[dataset(**facets)]))["outputs"]
    return written


def lineage(lake: Path, columns: str) -> list[tuple[Any, ...]]:
    """Columns of the lake's lineage table, in the events' order."""
    snapshot = take(lake)
    return snapshot.connection.execute(
        f"SELECT {columns} FROM read_parquet({snapshot.paths('lineage')}) "
        "ORDER BY occurred_at, event_id"
    ).fetchall()


# What is an event


def test_events_land_beside_other_records_of_the_same_file(lake: Path, take_in: TakeIn) -> None:
    static = {"eventTime": AT.isoformat(), "producer": "https://p", "schemaURL": "https://s"}
    job = {"namespace": "pipelines", "name": "etl"}
    report = take_in([
        decision_record(), event(), change_record(), static | {"job": job},
        static | {"dataset": {"namespace": "warehouse", "name": "made"}}, outcome_record(),
    ])  # fmt: skip
    assert report.quarantined_total == 0
    assert report.landed == {
        "decisions/credit_line": 1, "changes": 1, "outcomes": 1, "lineage": 3
    }  # fmt: skip
    assert {kind for (kind,) in lineage(lake, "kind")} == {"run", "job", "dataset"}


def test_decisions_that_use_the_same_words_stay_decisions(lake: Path, take_in: TakeIn) -> None:
    words = {"eventTime": AT.isoformat(), "eventType": "COMPLETE", "job": {"title": "clerk"},
             "dataset": {"rows": 3}, "run": "r", "schemaURL": "https://s"}  # fmt: skip
    whole = event()
    report = take_in([
        decision_record(**words), decision_record(**words, producer="scorer"),
        decision_record(**whole), decision_record(**whole, record=None),
    ])  # fmt: skip
    assert report.landed == {"decisions/credit_line": 4}


def test_a_constant_for_all_records_makes_no_decision_of_an_event(
    lake: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    path = write_lines(tmp_path / "log", [event(), decision_record(decision_point=None)])
    ran = run("ingest", path, "--lake", lake, "--json", "--set", "decision_point=loan")
    assert ran.json["landed_by_table"] == {"lineage": 1, "decisions/loan": 1}
    ((reading, raw),) = lineage(lake, "reading, raw")
    assert reading is None
    assert raw == json.dumps(event()).encode()


def test_a_forced_format_takes_everything_for_events_and_refuses_what_is_none(
    lake: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    path = write_lines(tmp_path / "log", [event(), decision_record(), {"a": 1}])
    ran = run("ingest", path, "--lake", lake, "--json", "--format", "openlineage")
    assert (ran.code, ran.json["landed_by_table"]) == (4, {"lineage": 1})
    assert ran.json["quarantined_by_reason"] == {"eventTime is missing": 2}


def test_one_event_in_other_words_is_one_event(lake: Path, take_in: TakeIn) -> None:
    whole = event()
    backwards = json.dumps(dict(reversed(whole.items())), indent=None, separators=(",", ":"))
    report = take_in([whole, whole, backwards, json.dumps(whole).replace(" ", "\t ")])
    assert (report.landed["lineage"], report.already_present) == (1, 3)
    assert take_in([backwards]).already_present == 1
    assert take_in([whole | {"eventType": "FAIL"}]).landed["lineage"] == 1


def test_the_received_bytes_are_kept_with_facets_that_nobody_knows(
    lake: Path, take_in: TakeIn
) -> None:
    strange = event(run={"runId": "r", "facets": {"acme_x": {"deep": [1.50, {"n": 10**30}]}}})
    line = json.dumps(strange, indent=None).replace("1.5", "1.50").encode()
    take_in([line])
    assert lineage(lake, "raw, extra, reading") == [(line, None, None)]


def test_nanoseconds_are_kept_as_written(lake: Path, take_in: TakeIn) -> None:
    take_in([event(eventTime="2026-10-01T02:13:04.123456789+02:00")])
    ((micros, exact),) = lineage(lake, "epoch_us(occurred_at), exact")
    assert micros == 1_790_813_584_123_456
    assert exact == {"eventTime": "2026-10-01T02:13:04.123456789+02:00"}


def test_an_event_may_be_longer_than_other_records(lake: Path, take_in: TakeIn) -> None:
    plan = {"plan": "x" * (3 << 20)}
    assert take_in([event(run={"runId": "r", "facets": {"spark": plan}})]).landed["lineage"] == 1
    report = take_in([decision_record(note='"eventTime" "producer"' + "x" * (1 << 20))])
    (reason,) = report.quarantined
    assert "bytes, more than 1,048,576" in reason


# What is refused

REFUSED: list[tuple[Json, str]] = [
    ({"eventTime": None}, "eventTime is missing"),
    ({"eventTime": "yesterday"}, 'eventTime is text "yesterday", expected a time'),
    ({"eventTime": 1790813584}, "eventTime is number 1790813584, expected a time"),
    ({"eventTime": "2026-10-01T02:13:00"}, "which names no time zone"),
    ({"eventTime": "2026-13-01T02:13:00Z"}, "expected a time"),
    ({"producer": None}, "producer is missing"),
    ({"producer": 7}, "producer is number 7, expected text"),
    ({"schemaURL": 2}, "schemaURL is number 2, expected text"),
    ({"eventType": "DONE"}, 'eventType is text "DONE", expected one of START, RUNNING'),
    ({"eventType": "complete"}, 'eventType is text "complete"'),
    ({"eventType": ["START"]}, "eventType is a list"),
    ({"job": None}, "job is missing"),
    ({"job": {}}, "job.namespace is missing"),
    ({"job": {"namespace": "n"}}, "job.name is missing"),
    ({"job": {"namespace": "n", "name": 1}}, "job.name is number 1, expected text"),
    ({"job": "etl"}, 'job is text "etl", expected an object'),
    ({"job": {"namespace": "n", "name": "j", "facets": []}}, "job.facets is a list"),
    ({"job": {"namespace": "n", "name": "j", "facets": {"sql": "SELECT"}}}, "job.facets.sql is te"),
    ({"run": {}}, "run.runId is missing"),
    ({"run": {"runId": 12}}, "run.runId is number 12, expected text"),
    ({"run": {"runId": ""}}, "run.runId is text"),
    ({"run": {"runId": "a\u202eb"}}, "expected 1 to 256 printable"),
    ({"run": {"runId": "r" * 257}}, "expected 1 to 256 printable"),
    ({"run": {"runId": "r", "facets": {"parent": 1}}}, "run.facets.parent is number 1"),
    ({"inputs": {}}, "inputs is an object, expected a list"),
    ({"inputs": ["raw"]}, 'inputs[0] is text "raw", expected an object'),
    ({"outputs": [{"namespace": "n"}]}, "outputs[0].name is missing"),
    ({"outputs": [dataset(), dataset(schema=[])]}, "outputs[1].facets.schema is a list"),
    ({"outputs": [dataset(own={"x": 1})]}, "outputs[0].outputFacets.x is number 1"),
    ({"inputs": [{"namespace": "n", "name": "x", "inputFacets": 1}]}, "inputs[0].inputFacets is"),
    ({"run": None, "dataset": {"namespace": "n", "name": "d"}}, "job and dataset are both there"),
    ({"run": None, "job": None, "dataset": {"name": "d"}}, "dataset.namespace is missing"),
    ({"job": {"namespace": "n", "name": "\ud800"}}, "job.name has half a surrogate pair"),
    ({"run": {"runId": "r", "facets": {"x": {"\udfff": 1}}}}, "a key has half a surrogate pair"),
]


@pytest.mark.parametrize(("changes", "reason"), REFUSED, ids=[reason for _, reason in REFUSED])
def test_what_breaks_the_specification_is_quarantined_with_the_path(
    lake: Path, take_in: TakeIn, changes: Json, reason: str
) -> None:
    report = take_in([json.dumps(event(**changes))])
    assert (report.landed_total, report.quarantined_total) == (0, 1)
    (kept,) = quarantine.load(lake)
    assert reason in kept.reason
    assert json.loads(kept.raw) == event(**changes)


KINDER = [
    {"schemaURL": None},
    {"run": {"runId": "no-uuid"}},
    {"run": {"runId": "r", "facets": None}},
    {"inputs": None, "outputs": None},
    {"eventType": None},
    {"run": {"runId": "r", "facets": {"nominalTime": None}}},
    {"outputs": [{"namespace": "n", "name": "d", "facets": {"schema": {}}}]},
]


@pytest.mark.parametrize("changes", KINDER, ids=map(str, KINDER))
def test_what_known_senders_leave_out_costs_no_event(
    lake: Path, take_in: TakeIn, changes: Json
) -> None:
    nulls = event() | changes
    assert take_in([event(**changes), nulls]).quarantined_total == 0


def test_what_some_programs_write_though_json_cannot_costs_no_event(
    lake: Path, take_in: TakeIn
) -> None:
    odd = {"message": "cut in two: \ud83d"}
    metrics = {"columnMetrics": {"x": {"max": float("nan"), "min": float("-inf")}}, "rowCount": 7}
    made = dataset(dataQualityMetrics=metrics, version={"datasetVersion": "\udfff"})
    told = event(run={"runId": "r", "facets": {"errorMessage": odd}}, outputs=[made])
    report = take_in([json.dumps(told), json.dumps(dict(reversed(told.items())))])
    assert (report.landed_total, report.already_present) == (1, 1)
    assert lineage(lake, "error, outputs[1].rows, outputs[1].version") == [
        ("cut in two: \ufffd", 7, "\ufffd")
    ]


def test_an_event_about_a_dataset_has_facets_of_the_dataset_alone(
    lake: Path, take_in: TakeIn
) -> None:
    about = dataset(version={"datasetVersion": "v1"}) | {"outputFacets": ["what is this?"]}
    take_in([event(run=None, job=None, eventType="WHATEVER", dataset=about)])
    columns = "kind, event_type, job_name, run_id, outputs[1].version, writes"
    assert lineage(lake, columns) == [("dataset", None, None, None, "v1", ["warehouse/made"])]


# What is taken from facets


def test_a_plain_event_becomes_its_columns() -> None:
    found = openlineage.translate(event())
    assert found.pop("event_id") == openlineage.event_id(event())
    nothing = {"version": None, "columns": None, "types": None, "rows": None, "assertions": [],
               "symlinks": []}  # fmt: skip
    assert found == {
        "occurred_at": AT.isoformat(), "kind": "run", "event_type": "COMPLETE",
        "job_namespace": "pipelines", "job_name": "billing_features", "run_id": "r-1",
        "parent": None, "producer": "https://example.org/scheduler", "code_version": "88ac",
        "error": None, "column_edges": [], "aliases": [],
        "inputs": [{"namespace": "warehouse", "name": "raw", **nothing}],
        "outputs": [{"namespace": "warehouse", "name": "made", **nothing}],
        "reads": ["warehouse/raw"], "writes": ["warehouse/made"], "tested": [],
    }  # fmt: skip


def test_columns_are_named_with_those_within_them_and_their_types() -> None:
    inner = [{"name": "street", "type": "text"}, {"name": "geo", "fields": [{"name": "lat"}]}]
    schema = {"fields": [{"name": "id", "type": "int"}, {"name": "address", "type": "struct",
              "fields": inner}, {"type": "nameless"}, "odd"]}  # fmt: skip
    found = wrote(schema=schema)
    assert found["columns"] == ["id", "address", "address.street", "address.geo", "address.geo.lat"]
    assert found["types"] == ["int", "struct", "text", None, None]


@pytest.mark.parametrize(
    ("facets", "rows"),
    [
        ({"own": {"outputStatistics": {"rowCount": 7, "size": 1}}}, 7),
        ({"own": {"inputStatistics": {"rowCount": 7}}}, 7),
        ({"own": {"dataQualityMetrics": {"rowCount": 8.0}}}, 8),
        ({"dataQualityMetrics": {"rowCount": 9}}, 9),
        ({"dataQuality": {"rowCount": 0}}, 0),
        ({"own": {"outputStatistics": {"rowCount": 7}}, "dataQualityMetrics": {"rowCount": 9}}, 7),
        ({"own": {"outputStatistics": {"rowCount": "7"}}}, None),
        ({"own": {"outputStatistics": {"rowCount": True}}}, None),
        ({"own": {"outputStatistics": {"rowCount": -1}}}, None),
        ({"own": {"outputStatistics": {"rowCount": 10**20}}}, None),
    ],
)
def test_rows_are_those_that_the_nearest_facet_counts(facets: Json, rows: int | None) -> None:
    assert wrote(**facets)["rows"] == rows


def test_assertions_are_read_from_both_places_that_senders_put_them() -> None:
    same = {"assertion": "unique", "column": "id", "success": False, "severity": "error"}
    old = {"expectationType": "expect_column_to_exist", "success": True, "column": "id"}
    found = wrote(
        dataQualityAssertions={"assertions": [same, {"assertion": "odd", "success": "yes"}]},
        greatExpectations_assertions={"assertions": [old]},
        own={"dataQualityAssertions": {"assertions": [same, {**same, "success": True}]}},
    )["assertions"]
    assert [(item["assertion"], item["success"]) for item in found] == [
        ("unique", False), ("expect_column_to_exist", True), ("unique", True)
    ]  # fmt: skip


def test_column_edges_come_from_both_lineage_facets_with_all_their_transformations() -> None:
    source = {"namespace": "n", "name": "s", "field": "a"}
    identity = {"type": "DIRECT", "subtype": "IDENTITY"}
    other = {"type": "INDIRECT"}
    explicit = {"namespace": "n", "name": "t", "type": "DATASET"}
    written = dataset(
        columnLineage={
            "fields": {
                "x": {"inputFields": [{**source, "transformations": [identity, other, identity]}]},
                "y": {"inputFields": [source, {"name": "s"}], "transformationType": "MASKED"},
                "odd": [source],
            },
            "dataset": [{**source, "field": "b"}, {"namespace": "n", "name": "s"}],
        },
        lineage={"inputs": [explicit, {"type": "JOB"}],
                 "fields": {"z": {"inputs": [{**explicit, "field": "c"}]}}},
    )  # fmt: skip
    job = {"namespace": "p", "name": "j", "facets": {"lineage": {"entries": [
        {"namespace": "n", "name": "u", "type": "DATASET", "inputs": [explicit]},
        {"type": "JOB", "inputs": [explicit]},
    ]}}}  # fmt: skip
    edges = openlineage.translate(event(outputs=[written], job=job))["column_edges"]
    names = ("output_name", "output_column", "input_name", "input_column", "transformation")
    assert [tuple(edge[name] for name in names) for edge in edges] == [
        ("made", "x", "s", "a", "DIRECT/IDENTITY, INDIRECT"),
        ("made", "y", "s", "a", "MASKED"),
        ("made", None, "s", "b", None),
        ("made", "z", "t", "c", None),
        ("made", None, "t", None, None),
        ("u", None, "t", None, None),
    ]


@pytest.mark.parametrize("name", ["parent", "parentRun"])
def test_the_parent_is_told_under_both_of_its_names(name: str) -> None:
    parent = {"run": {"runId": "p-1"}, "job": {"namespace": "n", "name": "dag"}}
    found = openlineage.translate(event(run={"runId": "r", "facets": {name: parent}}))["parent"]
    assert found == {"job_namespace": "n", "job_name": "dag", "run_id": "p-1"}


def _tags(*pairs: tuple[str, str]) -> Json:
    return {"tags": [{"key": key, "value": value} for key, value in pairs]}


SHA = "693e35482bc2e526ced2b5f9f76ef83dec6ec691"
REVISIONS: list[tuple[Json, Json, str | None]] = [
    ({}, {"sourceCodeLocation": {"type": "git", "url": "u", "version": "v9"}}, "v9"),
    ({"tags": _tags(("code_version", "t1"))}, {"sourceCodeLocation": {"version": "v9"}}, "v9"),
    ({"tags": _tags(("team", "x"), ("Git_Sha", "t2"))}, {}, "t2"),
    ({}, {"tags": _tags(("git_commit", "t3"))}, "t3"),
    ({"tags": _tags(("git_sha", "a"), ("code_version", "b"))}, {}, "b"),
    ({"environmentVariables": {"environmentVariables": [{"name": "GIT_COMMIT", "value": "e1"}]}},
     {}, "e1"),
    ({}, {"sourceCodeLocation": {"url": f"https://h/blob/{SHA}/dags/x.py"}}, SHA),
    ({}, {"sourceCodeLocation": {"url": "https://h/blob/main/dags/x.py", "version": {}}}, None),
    ({"tags": {"tags": "odd"}, "environmentVariables": {"environmentVariables": [1]}}, {}, None),
]  # fmt: skip


@pytest.mark.parametrize(("run", "job", "version"), REVISIONS)
def test_the_codes_revision_is_what_the_surest_facet_says(
    run: Json, job: Json, version: str | None
) -> None:
    told = event(
        run={"runId": "r", "facets": run}, job={"namespace": "n", "name": "j", "facets": job}
    )
    assert openlineage.translate(told)["code_version"] == version


def test_version_symlinks_and_error_are_taken_and_names_can_be_found(
    lake: Path, take_in: TakeIn
) -> None:
    links = {"identifiers": [{"namespace": "s3://b", "name": "made", "type": "TABLE"}, {"name": 1}]}
    version = {"datasetVersion": "v7"}
    error = {"message": "disk full", "programmingLanguage": "SQL"}
    take_in([event(outputs=[dataset(version=version, symlinks=links)],
                   run={"runId": "r", "facets": {"errorMessage": error}})])  # fmt: skip
    ((told, found, writes, aliases),) = lineage(lake, "error, outputs[1], writes, aliases")
    assert (told, found["version"]) == ("disk full", "v7")
    assert found["symlinks"] == [{"namespace": "s3://b", "name": "made"}]
    assert writes == ["warehouse/made", "s3://b/made"]
    assert aliases == [{"name": "warehouse/made", "alias": "s3://b/made"}]


ODD: list[Any] = [{}, {"x": 1}, {"fields": 1}, {"fields": {"a": 1}}, {"fields": [None]},
                  {"assertions": {}}, {"assertions": [[]]}, {"identifiers": "x"}, {"tags": [[]]},
                  {"job": 1, "run": []}, {"rowCount": {}}, {"entries": [1]}, {"inputs": {}},
                  {"datasetVersion": []}, {"message": 1}, {"dataset": {}}]  # fmt: skip


@pytest.mark.parametrize("odd", ODD, ids=map(str, ODD))
def test_a_facet_of_an_odd_shape_costs_its_column_and_not_the_event(
    lake: Path, take_in: TakeIn, odd: Json
) -> None:
    names = ("schema", "version", "symlinks", "columnLineage", "lineage", "dataQualityAssertions",
             "dataQualityMetrics", "outputStatistics", "parent", "parentRun", "tags",
             "sourceCodeLocation", "environmentVariables", "errorMessage")  # fmt: skip
    facets = {name: deepcopy(odd) for name in names}
    told = event(
        run={"runId": "r", "facets": facets},
        job={"namespace": "n", "name": "j", "facets": facets},
        outputs=[dataset(**facets, own=facets)],
    )
    assert take_in([told]).landed_total == 1
    columns = "code_version, error, parent, outputs[1].rows, outputs[1].version, column_edges"
    assert lineage(lake, columns) == [(None, None, None, None, None, [])]


def test_events_of_all_times_and_jobs_are_found_by_their_run(lake: Path, take_in: TakeIn) -> None:
    take_in([event(eventTime=(AT + timedelta(hours=hour)).isoformat(), run={"runId": f"r-{hour}"})
             for hour in range(50)])  # fmt: skip
    snapshot = take(lake)
    assert [place.table for place in snapshot.locate("r-17")] == ["lineage"]
    assert [place.table for place in snapshot.locate(openlineage.event_id(event()))] == []


@pytest.mark.parametrize("append", [True, False])
def test_the_python_clients_files_are_taken_with_and_without_append(
    lake: Path, take_in: TakeIn, tmp_path: Path, append: bool
) -> None:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import Job, OutputDataset, Run, RunEvent, RunState
    from openlineage.client.transport.file import FileConfig, FileTransport

    folder = tmp_path / "events"
    folder.mkdir()
    path = str(folder / "events.jsonl")
    client = OpenLineageClient(transport=FileTransport(FileConfig(path, append=append)))
    for state in (RunState.START, RunState.COMPLETE):
        client.emit(
            RunEvent(
                eventType=state, eventTime=AT.isoformat(), producer="https://example.org",
                run=Run("01a1f755-1292-7a4d-9e5c-248613e2ba79"), job=Job("n", "j"),
                outputs=[OutputDataset("warehouse", "made")],
            )
        )  # fmt: skip
    files = sorted(folder.iterdir())
    assert len(files) == (1 if append else 2)
    assert sum(take_in(file).landed_total for file in files) == 2
    assert {row for (row,) in lineage(lake, "event_type")} == {"START", "COMPLETE"}
