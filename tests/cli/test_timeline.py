"""``forensics timeline``: a chart for people, numbers for programs."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., Any]
INCIDENT = ("--since", "2026-10-20T00:00Z", "--until", "2026-10-23T00:00Z", "--outcome", "DECLINE")


def test_the_chart_tells_the_jump_its_change_and_its_caution(sample_lake: Path, run: Run) -> None:
    ran = run("timeline", "--lake", sample_lake, *INCIDENT, columns=100)
    assert ran.code == 0
    assert ran.out.startswith("credit_line · DECLINE")
    assert "changes that a jump coincides with" in ran.out
    assert "pipeline billing_features 88ac → 3e1f" in ran.out
    assert "Coincidence is not cause" in ran.out
    assert max(map(len, ran.out.splitlines())) <= 100


def test_it_can_be_drawn_in_ascii(sample_lake: Path, run: Run) -> None:
    ran = run("timeline", "--lake", sample_lake, *INCIDENT, "--ascii")
    assert ran.out.isascii()
    assert "88ac -> 3e1f" in ran.out


def test_a_pipe_that_knows_no_blocks_gets_ascii(sample_lake: Path, forensics_command: Run) -> None:
    ran = forensics_command(
        "timeline", "--lake", sample_lake, *INCIDENT, environment={"PYTHONIOENCODING": "latin-1"}
    )
    assert ran.code == 0
    assert ran.out.isascii()
    assert "?" not in ran.out


def test_the_numbers_are_json(sample_lake: Path, run: Run) -> None:
    found = run("timeline", "--lake", sample_lake, *INCIDENT, "--bins", 12, "--json").json
    assert len(found["bins"]) == 12
    assert found["decisions"] == sum(item["decisions"] for item in found["bins"])
    first = found["moments"][0]
    assert first["jump"]
    assert first["interval"][0] < first["difference"] < first["interval"][1]
    assert first["changes"][0]["component"] == "billing_features"
    assert "z" in found["statistic"]


@pytest.mark.parametrize(
    "wrong",
    [
        ["--bins", "0"],
        ["--bins", "many"],
        ["--since", "2026-10-03", "--until", "2026-10-02"],
        ["--point", "nowhere"],
        ["--since", "whenever"],
    ],
)
def test_a_question_that_cannot_be_asked_is_a_usage_error(
    sample_lake: Path, run: Run, wrong: list[str]
) -> None:
    ran = run("timeline", "--lake", sample_lake, *wrong)
    assert (ran.code, ran.out) == (2, "")


def test_a_lake_without_decisions_has_no_timeline(lake: Path, run: Run) -> None:
    ran = run("timeline", "--lake", lake)
    assert ran.code == 3
    assert "no decisions yet" in ran.err
