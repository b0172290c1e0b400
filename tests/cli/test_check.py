"""``forensics check``: what it prints, and what its exit status says."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.reconstruct.detectors import DETECTORS
from forensics.testing import (
    change_record,
    decision_record,
    declaration_record,
    run_event,
    write_lines,
)

Run = Callable[..., Any]


@pytest.fixture(scope="module")
def whole(sample_lake: Path, run: Run) -> dict[str, Any]:
    """The check of all of the sample, as JSON."""
    ran = run("check", "--lake", sample_lake, "--json")
    assert ran.code == 4
    found: dict[str, Any] = ran.json
    return found


def noticed(whole: dict[str, Any], kind: str, code: str) -> list[dict[str, Any]]:
    return [
        one
        for one in (*whole["found"], *whole["not_checkable"])
        if one["kind"] == kind and one["about"].partition(":")[0] == code
    ]


@pytest.mark.parametrize(
    ("incident", "code"),
    [("billing_scale_jump", "run"), ("stale_cache", "model"), ("consumer_misread", "acted")],
)
def test_each_fault_of_the_sample_is_found_in_as_many_decisions_as_it_touched(
    whole: dict[str, Any], truth: dict[str, Any], incident: str, code: str
) -> None:
    fault = next(one for one in truth["incidents"] if one["name"] == incident)
    (found,) = noticed(whole, fault["expected_finding"], code)
    assert found["count"] == len(fault["request_ids"])
    assert found["severity"] == "error"
    assert set(found["examples"]) <= set(fault["request_ids"])
    assert len(found["examples"]) == 3
    start, end = (datetime.fromisoformat(time) for time in fault["window"])
    assert start <= datetime.fromisoformat(found["first"]) <= datetime.fromisoformat(found["last"])
    assert datetime.fromisoformat(found["last"]) <= end
    # What had changed shortly before the first is the change that did it.
    changes = {
        (change["kind"], change["component"], change["to_version"])
        for change in found["changes_before"]
    }
    change = fault["change"]
    assert (change["kind"], change["component"], change["to_version"]) in changes


def test_the_unreviewed_threshold_is_found_where_scores_lie_between(
    whole: dict[str, Any], truth: dict[str, Any]
) -> None:
    fault = next(one for one in truth["incidents"] if one["name"] == "unreviewed_threshold")
    (found,) = noticed(whole, "config_without_review", "between")
    assert found["count"] == len(fault["request_ids"])
    assert [change["change_id"] for change in found["changes_before"]] == ["chg-0008"]


def test_nothing_of_warning_severity_is_found_that_no_fault_explains(
    whole: dict[str, Any], truth: dict[str, Any]
) -> None:
    windows = [
        tuple(datetime.fromisoformat(time) for time in incident["window"])
        for incident in truth["incidents"]
    ]
    for one in whole["found"]:
        if one["severity"] in ("error", "warning"):
            first, last = (datetime.fromisoformat(one[key]) for key in ("first", "last"))
            assert any(start <= first and last <= end for start, end in windows), one


def test_every_detector_is_answered_for(whole: dict[str, Any]) -> None:
    told = {one["kind"] for one in (*whole["found"], *whole["not_checkable"])}
    told |= {*whole["nothing_found"], *whole["beyond_columns"]}
    assert told == {detector.kind for detector in DETECTORS}
    assert not whole["clean"]


def test_shares_times_and_counts_fit_the_window(whole: dict[str, Any]) -> None:
    assert whole["decisions"] == 30_000
    for one in (*whole["found"], *whole["not_checkable"]):
        assert one["share"] == one["count"] / 30_000
        assert one["first"] <= one["last"]


def test_the_screen_names_fault_change_and_what_to_trace(sample_lake: Path, run: Run) -> None:
    ran = run(
        "check", "--lake", sample_lake, "--since", "2026-10-21", "--until", "2026-10-22",
        "--kind", "scale_jump", "--limit", "2",
    )  # fmt: skip
    assert ran.code == 4
    lines = ran.out.splitlines()
    assert lines[0] == "credit_line   1,048 decisions · 2026-10-21 00:00 to 2026-10-22 00:00 UTC"
    at = lines.index("scale jump")
    assert lines[at + 1] == (
        "  ✗ 107 (10 %): utilisation_3m was written on another scale by its pipeline run"
    )
    assert lines[at + 2].startswith("      → 7 min before the first: pipeline billing_features")
    assert lines[at + 3] == (
        "      2026-10-21 02:19 to 05:36 · forensics trace 048b-d5 · also 3fe2-b4"
    )


def test_what_one_detector_found_stands_together(lake: Path, tmp_path: Path, run: Run) -> None:
    """An error and a warning of one detector, with one of another between them in severity."""
    records = [
        decision_record(request_id="r1", decision_id="a", outcome="DECLINE", score=0.25,
                        steps=[{"kind": "rules", "outputs": {"outcome": "APPROVE"}},
                               {"kind": "model", "outputs": {"score": 0.75}, "status": "error"}],
                        consumer={"action": "APPROVE"}),
    ]  # fmt: skip
    run("ingest", write_lines(tmp_path / "records.jsonl", records), "--lake", lake)
    lines = run("check", "--lake", lake).out.splitlines()
    assert lines.count("outcome contradiction") == 1
    at = lines.index("outcome contradiction")
    marks = [line.split()[0] for line in lines[at + 1 : at + 5] if line.startswith("  ") and
             not line.startswith("   ")]  # fmt: skip
    assert marks == ["✗", "!"]
    assert lines[0].startswith("credit_line   1 decision ·")


def test_a_clean_window_ends_with_status_0(lake: Path, tmp_path: Path, run: Run) -> None:
    change = change_record(
        kind="config", occurred_at="2026-09-01T00:00:00Z", to_version="c1", reviewed_by="board"
    )
    declaration = declaration_record(
        occurred_at="2026-09-01T00:00:00Z", steps=["rules"],
        features=[{"name": "amount", "trained_low": 0, "trained_high": 9_000_000}],
    )  # fmt: skip
    start = datetime.fromisoformat("2026-10-01T12:00:00+00:00")
    test = {"assertion": "not_null", "column": "amount", "success": True}
    facet = {"_producer": "https://example.org/dbt", "_schemaURL": "https://example.org/facet",
             "assertions": [test]}  # fmt: skip
    written = {"namespace": "warehouse", "name": "features",
               "facets": {"dataQualityAssertions": facet}}  # fmt: skip
    built = run_event("run-1", at=start - timedelta(hours=1), code="88ac", outputs=[written])
    records = [
        decision_record(
            occurred_at=(start + timedelta(seconds=n)).isoformat(), replica="a",
            config={"revision": "c1", "values": {"threshold": 0.5}},
            consumer={"action": "APPROVE"},
            feature_sources=[{"view": "v", "features": ["amount", "channel"], "status": "PRESENT",
                              "dataset": "warehouse/features"}],
            steps=[
                {"id": "rules", "kind": "rules", "outputs": {"outcome": "APPROVE"},
                 "started_at": "2026-10-01T12:00:00Z", "ended_at": "2026-10-01T12:00:00Z"}
            ],
        )
        for n in range(3)
    ]  # fmt: skip
    assert run("ingest", write_lines(tmp_path / "r.jsonl", [built, change, declaration, *records]),
               "--lake", lake).code == 0  # fmt: skip
    kinds = [
        part
        for detector in DETECTORS
        if detector.kind not in ("scale_jump", "training_serving_skew")
        for part in ("--kind", detector.kind)
    ]
    ran = run("check", "--lake", lake, *kinds)
    assert ran.code == 0, ran.out
    assert "nothing wrong was found" in ran.out
    ran = run("check", "--lake", lake)
    assert ran.code == 4, "what nobody can tell is no clean bill"
    assert "not checkable" in ran.out


def test_replay_is_told_where_it_is_asked_for(sample_lake: Path, run: Run) -> None:
    ran = run(
        "check", "--lake", sample_lake, "--since", "2026-10-12", "--until", "2026-10-13",
        "--kind", "outcome_contradiction", "--replay", "--json",
    )  # fmt: skip
    assert ran.code == 4
    verdicts = ran.json["replays"]["credit_line"]["verdicts"]
    assert verdicts["diverged"] > 0
    assert verdicts["not_replayable"] == 0
    assert "outcome_contradiction" not in ran.json["beyond_columns"]


def test_what_there_is_not_is_refused(sample_lake: Path, lake: Path, run: Run) -> None:
    ran = run("check", "--lake", sample_lake, "--kind", "stale_cash")
    assert ran.code == 2
    assert "stale_cache" in ran.err
    assert run("check", "--lake", sample_lake, "--decision-point", "nope").code == 2
    assert run("check", "--lake", sample_lake, "--until", "2020-01-01").code == 3
    assert run("check", "--lake", lake).code == 3
    backwards = ("--since", "2026-10-03", "--until", "2026-10-02")
    assert run("check", "--lake", sample_lake, *backwards).code == 2


def test_hostile_names_are_inert_on_the_screen(lake: Path, tmp_path: Path, run: Run) -> None:
    records = [
        decision_record(
            request_id="r'; DROP", steps=[{"kind": "tool\x1b[2J\u202e'"}],
            occurred_at=f"2026-10-01T12:00:{at:02}Z",
        )
        for at in range(59)
    ]  # fmt: skip
    records.append(decision_record(steps=[{"kind": "api"}], occurred_at="2026-10-01T12:00:59Z"))
    run("ingest", write_lines(tmp_path / "r.jsonl", records), "--lake", lake)
    ran = run("check", "--lake", lake, "--kind", "missing_steps")
    assert ran.code == 4
    assert "\x1b" not in ran.out
    assert "\u202e" not in ran.out
    found = run("check", "--lake", lake, "--kind", "missing_steps", "--json").out
    assert json.loads(found)["found"][0]["about"] == "usual:tool\x1b[2J\u202e'"
