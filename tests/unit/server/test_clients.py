"""Clients that we did not write send to the server as they are, and nothing of theirs is lost."""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from serving import Serve, Serving

import forensics
from forensics.ingest import quarantine
from forensics.ingest.run import run
from forensics.ingest.sources import open_source
from forensics.testing import decision_record, declaration_record, write_lines

FAST = ("--batch-seconds", "0.2")
RUN_ID = "01986e1c-7e6b-7a63-8f4c-0f9b7c1d2e3f"


def events_in(lake: Path) -> list[dict[str, Any]]:
    import pyarrow.parquet as pq

    columns = ["event_type", "job_name", "run_id", "writes", "raw"]
    paths = sorted((lake / "lineage").glob("*.parquet"))
    return [row for path in paths for row in pq.read_table(path, columns=columns).to_pylist()]


@pytest.mark.parametrize("kind", ["http", "async_http"])
@pytest.mark.parametrize("compression", [None, "gzip"])
def test_the_python_clients_transports_land_their_events(
    serve: Serve,
    lake: Path,
    tokens_file: Callable[..., Path],
    kind: str,
    compression: str | None,
) -> None:
    pytest.importorskip("openlineage.client", reason="the extra `openlineage` is not installed")
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

    serving = serve(*FAST, "--tokens", tokens_file(pipeline=("key", ["lineage"])))
    transport: dict[str, Any] = {
        "type": kind,
        "url": serving.url,
        "auth": {"type": "api_key", "apiKey": "key"},
    }
    if compression:
        transport["compression"] = compression
    client = OpenLineageClient(config={"transport": transport})
    for state in (RunState.START, RunState.COMPLETE):
        client.emit(
            RunEvent(
                eventType=state,
                eventTime="2026-11-20T12:00:00Z",
                run=Run(runId=RUN_ID),
                job=Job(namespace="n", name="features"),
                producer="https://example.com/pipeline",
            )
        )
    client.close(timeout=30)
    assert serving.stop() == 0
    found = events_in(lake)
    assert sorted(event["event_type"] for event in found) == ["COMPLETE", "START"]
    assert {(event["job_name"], event["run_id"]) for event in found} == {("features", RUN_ID)}
    assert quarantine.load(lake) == []


def test_the_python_client_is_told_that_its_token_is_wrong(
    serve: Serve, tokens_file: Callable[..., Path]
) -> None:
    pytest.importorskip("openlineage.client", reason="the extra `openlineage` is not installed")
    import requests
    from openlineage.client.event_v2 import Job, Run, RunEvent, RunState
    from openlineage.client.transport.http import HttpConfig, HttpTransport

    serving = serve("--tokens", tokens_file(pipeline=("key", ["lineage"])))
    auth = {"type": "api_key", "apiKey": "another"}
    transport = HttpTransport(HttpConfig.from_dict({"url": serving.url, "auth": auth}))
    event = RunEvent(
        eventType=RunState.START,
        eventTime="2026-11-20T12:00:00Z",
        run=Run(runId=RUN_ID),
        job=Job(namespace="n", name="features"),
        producer="https://example.com/pipeline",
    )
    with pytest.raises(requests.HTTPError, match="401"):
        transport.emit(event)
    transport.close()


@pytest.mark.parametrize("command", [("seed", "run", "test"), ("build",)])
def test_dbt_ol_lands_all_events_of_a_project(
    serve: Serve, lake: Path, tmp_path: Path, command: tuple[str, ...]
) -> None:
    """Named by ``FORENSICS_DBT``: the folder of a ``dbt-ol`` with dbt-core<1.12 and dbt-duckdb."""
    folder = os.environ.get("FORENSICS_DBT")
    if not folder:
        pytest.skip("FORENSICS_DBT names no folder with dbt-ol")
    project = tmp_path / "project"
    shutil.copytree(Path(__file__).parent / "dbt_project", project)
    serving: Serving = serve(*FAST)
    environment = {
        **os.environ,
        "PATH": os.pathsep.join([folder, os.environ["PATH"]]),
        "DBT_DUCKDB_PATH": str(tmp_path / "credit.duckdb"),
        "OPENLINEAGE_URL": serving.url,
        "OPENLINEAGE_NAMESPACE": "credit",
    }
    emitted = 0
    for name in command:
        done = subprocess.run(
            ["dbt-ol", name, "--project-dir", project, "--profiles-dir", project],
            env=environment, cwd=project, capture_output=True, text=True, timeout=300,
        )  # fmt: skip
        said = done.stdout + done.stderr
        assert done.returncode == 0, said
        emitted += int(said.partition("Emitted ")[2].split()[0])
    assert serving.metric("forensics_records_taken_total") >= emitted > 0
    taken = serving.metric("forensics_records_taken_total")
    assert serving.stop() == 0
    found = events_in(lake)
    assert len(found) == taken
    assert quarantine.load(lake) == []
    jobs = {event["job_name"] for event in found}
    assert any("customer_features" in job for job in jobs), jobs
    assert any(b'"assertion"' in event["raw"] for event in found)
    if "test" in command or "build" in command:
        _check_trace(lake, tmp_path)


def _check_trace(lake: Path, folder: Path) -> None:
    """A decision on what dbt built names the model's run, the run of dbt, and the tests."""
    (dataset,) = {
        name for event in events_in(lake) for name in event["writes"] if "customer_features" in name
    }
    now = datetime.now(UTC)
    records = [
        declaration_record(
            occurred_at=(now - timedelta(days=1)).isoformat(),
            features=[{"name": "amount", "dataset": dataset}],
        ),
        decision_record(request_id="r-dbt", occurred_at=now.isoformat(), features={"amount": 1.5}),
    ]
    run(lake, open_source(write_lines(folder / "log.jsonl", records)))
    with forensics.open(lake) as opened:
        (found,) = opened.trace("r-dbt", replay=False)
    origin = found.features[0].origin
    assert origin is not None
    assert origin.run is not None
    assert "customer_features" in origin.run.job_name
    assert origin.run.parent is not None
    assert str(origin.run.parent.job_name).startswith("dbt")
    assert origin.tests
