"""``forensics as-of`` on a screen of any width, and as JSON."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.report.spans import plain
from forensics.report.state import screen
from forensics.testing import decision_record

SHOWCASE = "2026-10-21T02:41:00Z"


@pytest.mark.parametrize("width", [60, 80, 100, 120, 1_000])
def test_the_state_fits_the_screen_and_names_what_was_in_force(
    sample_lake: Path, width: int
) -> None:
    state = forensics.open(sample_lake).as_of(SHOWCASE)
    lines = [plain(line) for line in screen(state, width)]
    assert max(map(len, lines)) <= width
    text = "\n".join(lines)
    for word in (
        "model pd", "config credit_line", "92% of traffic", "canary", "3e1f", "stand overridden",
        "flag officer_workbench_v2", "more as in production",
    ):  # fmt: skip
        assert word in text


def test_between_a_deploy_and_its_first_decision_both_are_told(
    sample_lake: Path, run: Callable[..., Any]
) -> None:
    ran = run("as-of", "2026-10-12T09:30:10Z", "--lake", sample_lake)
    assert ran.code == 0
    assert "announced; first used 09:30:32, 22 s later" in ran.out
    assert "last used 09:24:31, 6 min before" in ran.out


def test_the_answer_is_json_with_all_parts(sample_lake: Path, run: Callable[..., Any]) -> None:
    ran = run("as-of", SHOWCASE, "--lake", sample_lake, "--json")
    state = ran.json
    assert set(state) == {
        "time", "known_by", "live", "pipelines", "controls", "overrides", "ended", "changes",
    }  # fmt: skip
    (config,) = [
        line
        for line in state["live"]
        if (line["kind"], line["environment"]) == ("config", "production")
    ]
    assert config["values"]["threshold"] == 0.5
    assert (config["announced_by"], config["reviewed_by"]) == ("chg-0008", None)
    assert {change["agreement"] for change in state["changes"]} >= {"confirmed", None}


def test_what_was_known_then_is_answered_from_what_was_recorded_by_then(
    sample_lake: Path, run: Callable[..., Any]
) -> None:
    time = "2026-10-21T02:41Z"
    ran = run("as-of", time, "--known-by", time, "--lake", sample_lake)
    assert ran.code == 0
    assert "as known by" in ran.out.splitlines()[0]
    assert run("as-of", time, "--known-by", "never", "--lake", sample_lake).code == 2


def test_an_unknown_decision_point_is_a_usage_error(
    sample_lake: Path, run: Callable[..., Any]
) -> None:
    ran = run("as-of", SHOWCASE, "--point", "nowhere", "--lake", sample_lake)
    assert (ran.code, ran.out) == (2, "")
    assert "It has: credit_line" in ran.err


def test_replicas_that_run_another_version_are_named_on_the_screen(
    lake: Path, take_in: Callable[..., Any], run: Callable[..., Any]
) -> None:
    versions = {"a": "v2", "b": "v2", "c": "v1"}
    take_in(
        decision_record(
            occurred_at=f"2026-10-01T{minute // 60:02}:{minute % 60:02}:00Z",
            replica=replica,
            model={"name": "pd", "version": version},
        )
        for minute in range(180)
        for replica, version in versions.items()
    )
    out = run("as-of", "2026-10-01T01:30Z", "--lake", lake).out
    lines = [line.strip() for line in out.splitlines()]
    assert lines[lines.index("on a, b") - 1].startswith("model pd  v2 67%")
    assert lines[lines.index("on c") - 1].startswith("model pd  v1 33%")
