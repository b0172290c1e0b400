"""``forensics audit``: what it prints, and what its exit status says."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forensics.testing import decision_record, write_lines

Run = Callable[..., Any]


def test_the_sample_can_be_asked_what_a_stricter_rule_would_have_done(
    sample_lake: Path, run: Run
) -> None:
    ran = run("audit", "--days", "30", "--require", "C1", "--json", "--lake", sample_lake)
    assert ran.code == 0
    assert ran.json["classes"] == {"none": 0, "C0": 0, "C1": 30_000, "C2": 0}
    assert len(ran.json["decision_points"][0]["days"]) == 30
    assert sum(one["missing"] for one in ran.json["writers"]) == 0
    assert ran.json["coverage"] == "assumed"


def test_a_class_that_is_not_reached_is_status_4(sample_lake: Path, run: Run) -> None:
    ran = run("audit", "--days", "1", "--require", "C2", "--lake", sample_lake)
    assert ran.code == 4
    assert "1,018 decisions are below C2, which is required" in ran.out
    assert "values of candidates not taken: 1,018 (100 %)" in ran.out


def test_records_that_never_came_are_status_4_and_named(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    times = [f"2026-10-05T10:00:{second:02}Z" for second in range(4)]
    numbers = [41, 42, 47, 48]
    write_lines(
        tmp_path / "some.jsonl",
        [
            decision_record(occurred_at=time, writer={"id": "gate-1", "sequence": number})
            for time, number in zip(times, numbers, strict=True)
        ],
    )
    run("ingest", tmp_path / "some.jsonl", "--lake", lake)
    ran = run("audit", "--lake", lake)
    assert ran.code == 4
    assert "writer gate-1 (41 to 48): 4 numbers never came" in ran.out
    assert "4 between 42 and 47, 2026-10-05 10:00:01 to 2026-10-05 10:00:02" in ran.out


def test_a_count_that_disagrees_is_status_4_and_one_that_agrees_is_proof(
    sample_lake: Path, tmp_path: Path, run: Run
) -> None:
    days = json.loads(run("audit", "--json", "--lake", sample_lake).out)["decision_points"][0]
    rows = [f"{day['day']},{day['decisions']}" for day in days["days"]]
    path = tmp_path / "gateway.csv"
    path.write_text("\n".join(["day,count", *rows]), encoding="utf-8")
    ran = run("audit", "--count", path, "--lake", sample_lake)
    assert ran.code == 0
    assert "independent counts of the whole window give what the lake holds" in ran.out
    path.write_text("\n".join(["day,count", *rows[:-1], "2026-10-30,1020"]), encoding="utf-8")
    ran = run("audit", "--count", path, "--lake", sample_lake)
    assert ran.code == 4
    assert "gateway.csv counted 1,020, 2 are not in the lake" in " ".join(ran.out.split())


def test_one_writer_is_one_writer(lake: Path, take_in: Callable[..., Any], run: Run) -> None:
    take_in([decision_record(writer={"id": "gate-1", "sequence": at}) for at in (1, 2)])
    assert "1 writer numbered" in run("audit", "--lake", lake).out
    assert "1 writer numbered" in run("report", "audit", "--lake", lake).out


def test_what_cannot_be_audited_says_why(sample_lake: Path, lake: Path, run: Run) -> None:
    assert run("audit", "--lake", lake).code == 3
    ran = run("audit", "--point", "credit", "--lake", sample_lake)
    assert ran.code == 2
    assert "No decision point 'credit'" in ran.err
    assert run("audit", "--require", "C9", "--lake", sample_lake).code == 2


def test_no_line_is_wider_than_the_terminal(sample_lake: Path, run: Run) -> None:
    ran = run("audit", "--lake", sample_lake)
    assert max(map(len, ran.out.splitlines())) <= 100
