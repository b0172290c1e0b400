"""``forensics replay``: what it prints, and what its exit status says."""

from __future__ import annotations

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from forensics.lake.snapshot import take
from forensics.testing import decision_record, write_lines

Run = Callable[..., Any]
POINT = ("--decision-point", "credit_line")


def _stale(truth: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = next(i for i in truth["incidents"] if i["name"] == "stale_cache")
    return found


def test_the_sample_diverges_where_its_truth_says_and_the_screen_says_why(
    sample_lake: Path, truth: dict[str, Any], forensics_command: Run
) -> None:
    ran = forensics_command("replay", *POINT, "--lake", sample_lake)
    assert ran.code == 4
    assert ran.err == "", "progress is for terminals"
    lines = ran.out.splitlines()
    assert lines[0] == "credit_line   30,000 decisions · the whole time of the lake"
    assert lines[1].split() == ["✓", "bit", "exact", "29,964", "99.9", "%"]
    assert lines[4].split() == ["✗", "diverged", "36", "0.12", "%"]
    assert "first at step cache · 36 decisions" in lines
    assert "all 36: cache entry of model pd v1" in ran.out
    assert any(f"trace {request})" in ran.out for request in _stale(truth)["request_ids"])
    assert all(len(line) <= 100 for line in lines)


def test_outside_the_incident_all_is_bit_exact_and_the_status_is_0(
    sample_lake: Path, run: Run
) -> None:
    ran = run("replay", *POINT, "--until", "2026-10-12", "--lake", sample_lake, "--json")
    assert ran.code == 0
    answer = ran.json
    assert answer["verdicts"]["bit_exact"] == answer["decisions"] > 10_000
    assert answer["diverging"] == []
    assert answer["not_replayable"] is None


def test_the_json_answer_has_counts_steps_and_what_is_in_common(
    sample_lake: Path, truth: dict[str, Any], run: Run, tmp_path: Path
) -> None:
    listed = tmp_path / "diverged.parquet"
    ran = run("replay", *POINT, "--where", "cache_hit", "--lake", sample_lake, "--json",
              "--export", listed, "--workers", 1)  # fmt: skip
    assert ran.code == 4
    assert ran.err == f"36 decisions in {listed}\n"
    answer = ran.json
    assert answer["decision_point"] == "credit_line"
    assert answer["where"] == "cache_hit"
    (step,) = answer["diverging"]
    assert (step["step"], step["decisions"], step["more_ways"]) == ("cache", 36, 0)
    best = step["common"][0]
    assert best["attribute"] == "cache entry of model"
    assert (best["share"], best["decisions"]) == (1, 36)
    assert set(pq.read_table(listed)["request_id"].to_pylist()) == set(_stale(truth)["request_ids"])


def test_the_csv_list_is_read_back_row_by_row(sample_lake: Path, run: Run, tmp_path: Path) -> None:
    run("replay", *POINT, "--lake", sample_lake, "--export", tmp_path / "list.csv")
    with (tmp_path / "list.csv").open(newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert len(rows) == 36
    assert {row["verdict"] for row in rows} == {"diverged"}
    assert all(float(row["score"]) != float(row["replayed_score"]) for row in rows)


def test_one_decision_is_replayed_step_by_step(
    sample_lake: Path, truth: dict[str, Any], run: Run
) -> None:
    good = truth["incidents"][0]["showcase"]
    ran = run("replay", good, "--lake", sample_lake)
    assert ran.code == 0
    assert "replay: bit exact" in ran.out
    assert "reproduced" in ran.out
    stale = _stale(truth)["request_ids"][0]
    ran = run("replay", stale, "--lake", sample_lake, "--json")
    assert ran.code == 4
    assert ran.json["request_id"] == stale
    assert ran.json["replay"]["first_divergence"]["step"] == "cache"
    assert [step["step"] for step in ran.json["replay"]["steps"]] == ["score", "rules"]


def test_2_when_the_question_cannot_be_asked_so(sample_lake: Path, run: Run) -> None:
    for arguments, said in (
        ((), "Name one decision, or a decision point"),
        (("7f3a-c1", *POINT), "Name one decision, or a decision point"),
        (("7f3a-c1", "--since", "2026-10-01"), "--since is for a window"),
        ((*POINT, "--exact-runtime"), "--exact-runtime is for one decision"),
        (("--decision-point", "credit"), "No decision point 'credit'"),
        ((*POINT, "--where", "agee > 3"), "Nearest names: "),
        ((*POINT, "--where", "age > 3; drop table x"), "a semicolon"),
        ((*POINT, "--export", "list.txt"), "neither CSV nor Parquet"),
        ((*POINT, "--export", "/nowhere/list.csv"), "cannot be written"),
        ((*POINT, "--limit", "0"), ""),
        ((*POINT, "--since", "2026-10-20", "--until", "2026-10-10"), "before it begins"),
    ):
        ran = run("replay", *arguments, "--lake", sample_lake)
        assert (ran.code, ran.out) == (2, ""), arguments
        assert said in ran.err


def test_3_when_there_is_nothing_to_replay(sample_lake: Path, run: Run) -> None:
    for arguments in ((*POINT, "--since", "2027-01-01"), (*POINT, "--where", "age > 500"), ("no",)):
        ran = run("replay", *arguments, "--lake", sample_lake)
        assert (ran.code, ran.out) == (3, ""), arguments


def test_4_when_decisions_name_no_artifacts(lake: Path, tmp_path: Path, run: Run) -> None:
    run("ingest", write_lines(tmp_path / "log", [decision_record() for _ in range(5)]),
        "--lake", lake)  # fmt: skip
    ran = run("replay", *POINT, "--lake", lake)
    assert ran.code == 4
    assert "not replayable" in ran.out
    assert "model.digest" in ran.out


def test_5_when_a_data_file_is_not_what_was_written(
    sample_lake: Path, run: Run, tmp_path: Path
) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(sample_lake, copy)
    path = Path(take(copy).paths("decisions/credit_line")[1])
    group = pq.read_metadata(path).row_group(0)
    column = next(
        group.column(at)
        for at in range(group.num_columns)
        if group.column(at).path_in_schema == "features.utilisation_3m"
    )
    data = bytearray(path.read_bytes())
    data[column.data_page_offset + 2_000] ^= 4
    path.write_bytes(data)
    ran = run("replay", *POINT, "--lake", copy, "--export", tmp_path / "list.csv")
    assert (ran.code, ran.out) == (5, "")
    assert path.name in ran.err
    assert not (tmp_path / "list.csv").exists(), "half a list would pass for a whole one"


def test_text_from_records_is_inert_on_a_terminal_and_in_a_list(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    hostile = "=cmd|' /C calc'!A0\x1b[31m‮"
    record = decision_record(outcome=hostile, model={"name": hostile, "version": "1"})
    run("ingest", write_lines(tmp_path / "log", [record]), "--lake", lake)
    ran = run("replay", *POINT, "--lake", lake, "--export", tmp_path / "list.csv")
    assert ran.code == 4
    assert "\x1b" not in ran.out
    assert "‮" not in ran.out
    assert "'=cmd" in (tmp_path / "list.csv").read_text()


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="signals, and processes as files")
@pytest.mark.parametrize("wait_s", [0, 0.05, 0.15, 0.3])
def test_an_interrupt_leaves_neither_words_nor_processes(sample_lake: Path, wait_s: float) -> None:
    command = [sys.executable, "-m", "forensics", "replay", *POINT, "--lake", str(sample_lake)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        while not _children(process.pid) and process.poll() is None:  # models are being loaded
            time.sleep(0.005)
        time.sleep(wait_s)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to the models too
        _, err = process.communicate(timeout=60)
    assert b"Traceback" not in err
    assert process.returncode in (130, 4, -signal.SIGINT)
    assert _all_gone(process.pid)


def _all_gone(group: int) -> bool:
    """Whether a group of processes ends; a model's does once it sees that nobody asks any more."""
    for _ in range(6_000):
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.01)
    return False


def _children(process: int) -> str:
    """The ids of the processes that ``process`` has started, and that still run."""
    return "".join(path.read_text() for path in Path(f"/proc/{process}/task").glob("*/children"))


def test_the_answer_is_one_json_document(sample_lake: Path, forensics_command: Run) -> None:
    ran = forensics_command("replay", *POINT, "--limit", 100, "--lake", sample_lake, "--json")
    assert ran.code == 0
    assert json.loads(ran.out)["decisions"] == 100
