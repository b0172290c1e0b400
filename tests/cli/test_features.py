"""``forensics trace --features``: the run behind each value, and what was tested of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.testing import decision_record, declaration_record, write_lines

DATASET = "duckdb://warehouse.duckdb/warehouse.main.customer_analytics"


@pytest.fixture
def dbt_lake(corpus: Path, lake: Path, run: Callable[..., Any], tmp_path: Path) -> Path:
    """Events of a real dbt project, run and tested, and a decision on what it built."""
    records = [
        declaration_record(
            occurred_at="2026-11-20T00:00:00Z",
            features=[{"name": "order_count", "dataset": DATASET}],
        ),
        decision_record(
            request_id="r-dbt", occurred_at="2026-11-20T06:00:00Z", features={"order_count": 3}
        ),
    ]
    files = sorted((corpus / "openlineage" / "dbt_duckdb").glob("0[123]*.jsonl"))
    ran = run("ingest", *files, write_lines(tmp_path / "log.jsonl", records), "--lake", lake)
    assert ran.code == 0, ran.err
    return lake


def test_a_dbt_run_its_model_and_its_tests_are_named(
    dbt_lake: Path, run: Callable[..., Any]
) -> None:
    found = json.loads(run("trace", "r-dbt", "--json", "--lake", dbt_lake).out)
    (feature,) = found["features"]
    written = feature["run"]
    assert feature["producing_job"].endswith("openlineage_compatibility_test.customer_analytics")
    assert (written["state"], written["evidence"]) == ("COMPLETE", "inferred")
    assert written["parent_job"] == "dbt-run-openlineage_compatibility_test"
    assert {test["assertion"] for test in written["tests"]} >= {"not_null", "unique"}
    assert all(test["success"] for test in written["tests"])


def test_the_screen_says_them_in_a_few_words(dbt_lake: Path, run: Callable[..., Any]) -> None:
    out = run("trace", "r-dbt", "--features", "--lake", dbt_lake).out
    line = next(line for line in out.split("\n") if line.startswith(DATASET))
    assert "customer_analytics run " in line
    assert "part of dbt-run-openlineage_compatibility_test run " in line
    assert "tests passed" in line
