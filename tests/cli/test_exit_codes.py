"""The exit status says what happened: a script need not read a word."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.lake.snapshot import take
from forensics.testing import decision_record, write_lines

Run = Callable[..., Any]


@pytest.fixture
def one(lake: Path, tmp_path: Path, run: Run) -> dict[str, Any]:
    """A lake with one decision, and that decision."""
    record = decision_record()
    assert run("ingest", write_lines(tmp_path / "log", [record]), "--lake", lake).code == 0
    return record


def tamper(lake: Path, column: str, change: Callable[[Any], Any]) -> None:
    """Rewrite the first data file with another value, as somebody with access to it would."""
    (path,) = take(lake).paths("decisions/credit_line")
    table = pq.read_table(path)
    values = table[column].to_pylist()
    values[0] = change(values[0])
    at = table.schema.get_field_index(column)
    table = table.set_column(at, column, pa.array(values, table.schema.field(at).type))
    pq.write_table(table, path)


def test_0_when_a_decision_is_reconstructed_and_replay_agrees(
    sample_lake: Path, truth: dict[str, Any], forensics_command: Run
) -> None:
    ran = forensics_command("trace", truth["incidents"][0]["showcase"], "--lake", sample_lake)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("DECLINE")


def test_0_when_nothing_is_found_since_that_is_an_answer(
    lake: Path, one: dict[str, Any], run: Run
) -> None:
    ran = run("find", "--outcome", "NEVER", "--lake", lake)
    assert (ran.code, ran.out) == (0, "")
    assert "No decision matches" in ran.err
    assert run("find", "--outcome", "NEVER", "--lake", lake, "--json").out == ""


@pytest.mark.parametrize(
    "arguments",
    [
        [], ["trace"], ["trace", "a", "b"], ["nonsense"], ["trace", "r", "--nonsense"],
        ["find", "--since", "yesterday-ish"], ["find", "--limit", "0"], ["find", "--limit", "x"],
        ["find", "--features"], ["find", "--where", "nonsense("], ["find", "--point", "nowhere"],
        ["as-of", "the day before"], ["ingest"], ["ingest", "--map", "nonsense", "file"],
        ["ingest", "--format", "xml", "file"], ["trace", "r", "--counterfactuals", "99"],
    ],
)  # fmt: skip
def test_2_when_the_question_cannot_be_asked_so(
    lake: Path, one: dict[str, Any], run: Run, arguments: list[str]
) -> None:
    ran = run(*arguments, *(["--lake", lake] if arguments[1:] else []))
    assert ran.code == (0 if not arguments and ran.out else 2), ran
    if ran.code == 2:
        assert ran.out == ""
        assert ran.err.strip()
        assert "Traceback" not in ran.err


def test_3_for_an_unknown_id_with_the_nearest_ids_and_the_window_searched(
    sample_lake: Path, run: Run
) -> None:
    ran = run("trace", "7f3a-c2", "--lake", sample_lake)
    assert (ran.code, ran.out) == (3, "")
    assert "No decision '7f3a-c2'" in ran.err
    assert "7f3a-c1" in ran.err
    assert "2026-10-01 00:0" in ran.err
    assert "2026-10-30 23:" in ran.err
    assert "forensics find" in ran.err


def test_3_for_a_cut_off_id_names_those_that_begin_so(lake: Path, tmp_path: Path, run: Run) -> None:
    made = [decision_record(request_id=f"payment-{at}-2026-abcdef", decision_id=f"x{at}") for at in
            range(5)]  # fmt: skip
    run("ingest", write_lines(tmp_path / "log", made), "--lake", lake)
    ran = run("trace", "payment-3", "--lake", lake)
    assert ran.code == 3
    assert "payment-3-2026-abcdef" in ran.err
    ran = run("trace", "PAYMENT-4", "--lake", lake)
    assert ran.code == 3
    assert "payment-4-2026-abcdef" in ran.err, "tickets are written in capitals"


def test_3_in_an_empty_lake_says_that_it_is_empty(lake: Path, run: Run) -> None:
    ran = run("trace", "r", "--lake", lake)
    assert ran.code == 3
    assert "no decisions yet" in ran.err
    assert run("diff", "a", "b", "--lake", lake).code == 3


def test_4_when_evidence_is_incomplete_and_the_gaps_are_named(
    lake: Path, one: dict[str, Any], run: Run
) -> None:
    ran = run("trace", one["request_id"], "--lake", lake, "--json")
    assert ran.code == 4
    assert ran.json["replay"]["verdict"] == "not_replayable"
    assert "model.digest" in " ".join(ran.json["replay"]["missing"])
    assert ran.json["completeness"]["class"] == "none"
    assert run("trace", one["request_id"], "--lake", lake, "--no-replay").code == 4


def test_4_when_replay_does_not_give_the_recorded_answer(
    sample_lake: Path, truth: dict[str, Any], run: Run
) -> None:
    stale = next(i for i in truth["incidents"] if i["name"] == "stale_cache")
    request = next(r for r, v in stale["expected_verdicts"].items() if v == "diverged")
    ran = run("trace", request, "--lake", sample_lake)
    assert ran.code == 4
    assert "diverged" in ran.out


def test_4_when_records_went_to_quarantine(lake: Path, tmp_path: Path, run: Run) -> None:
    file = write_lines(tmp_path / "log", [decision_record(), "nonsense"])
    ran = run("ingest", file, "--lake", lake)
    assert ran.code == 4
    assert "1 quarantined" in ran.out


@pytest.mark.parametrize(
    ("column", "change"),
    [
        ("raw", lambda raw: raw.replace(b"APPROVE", b"DECLINE")),
        ("raw", lambda raw: raw + b" "),
        ("salt", lambda salt: bytes(16)),
        ("leaf", lambda leaf: bytes(32)),
    ],
)
def test_5_when_the_received_bytes_are_not_what_was_sealed(
    lake: Path, one: dict[str, Any], run: Run, column: str, change: Callable[[Any], Any]
) -> None:
    assert run("trace", one["request_id"], "--lake", lake, "--json").json["integrity"]["verified"]
    tamper(lake, column, change)
    ran = run("trace", one["request_id"], "--lake", lake, "--json")
    assert ran.code == 5
    assert ran.json["integrity"]["verified"] is False
    assert ran.json["integrity"]["reason"]
    screen = run("trace", one["request_id"], "--lake", lake)
    assert screen.code == 5
    assert "✗" in screen.out.split("proof")[1]


@pytest.mark.parametrize(
    ("column", "other"), [("outcome", "DECLINE"), ("score", 0.99), ("threshold", 0.1)]
)
def test_a_trace_never_shows_a_value_that_was_not_received(
    lake: Path, one: dict[str, Any], run: Run, column: str, other: Any
) -> None:
    tamper(lake, column, lambda _: other)
    ran = run("trace", one["request_id"], "--lake", lake, "--json")
    assert ran.code == 5 or ran.json["decision"][column] == one[column]


def test_5_when_an_artifact_is_not_what_was_stored(
    lake: Path, tmp_path: Path, sample_lake: Path, truth: dict[str, Any], run: Run
) -> None:
    request = truth["incidents"][0]["showcase"]
    evidence = sample_lake.with_name(f"{sample_lake.name}-evidence")
    with (evidence / "decisions.jsonl").open() as stream:
        line = next(text for text in stream if f'"{request}"' in text)
    run("ingest", write_lines(tmp_path / "log", [line.rstrip("\n")]), "--lake", lake)
    run("ingest", "--format", "artifact", *(evidence / "artifacts").iterdir(), "--lake", lake)
    assert run("trace", request, "--lake", lake).code == 0
    digest = json.loads(line)["model"]["digest"].removeprefix("sha256:")
    path = lake / "artifacts" / "sha256" / digest[:2] / digest
    path.write_bytes(path.read_bytes()[:-1] + b" ")
    ran = run("trace", request, "--lake", lake)
    assert ran.code == 5, ran


def test_1_when_a_data_file_is_gone_and_it_is_named(
    lake: Path, one: dict[str, Any], run: Run
) -> None:
    (path,) = map(Path, take(lake).paths("decisions/credit_line"))
    path.unlink()
    for command in (["trace", one["request_id"]], ["find"], ["trace", "unknown"]):
        ran = run(*command, "--lake", lake)
        assert ran.code in (1, 5), (command, ran)
        assert path.name in ran.err


def test_an_interrupted_command_ends_with_130_and_no_traceback(lake: Path) -> None:
    import fcntl
    import signal
    import termios
    import time

    process = subprocess.Popen(
        [sys.executable, "-m", "forensics", "ingest", "-", "--lake", str(lake)],
        stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.PIPE,
        # What a shell starts in the background ignores interrupts, and so do its children.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )  # fmt: skip
    assert process.stdin is not None
    process.stdin.write(b"\n")
    process.stdin.flush()
    unread = b"?"
    while any(unread):  # until it reads, Python itself may not be up
        time.sleep(0.02)
        unread = fcntl.ioctl(process.stdin, termios.FIONREAD, bytes(4))
    for _ in range(10):  # one that comes while a library is being imported may be lost in it
        process.send_signal(signal.SIGINT)
        try:
            process.wait(timeout=10)
            break
        except subprocess.TimeoutExpired:
            continue
    out, err = process.communicate(timeout=30)
    assert process.returncode == 130, err
    assert out == b""
    assert b"Traceback" not in err


def test_a_reader_that_has_enough_is_no_failure(sample_lake: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-m", "forensics", "find", "--json", "--lake", str(sample_lake)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    assert process.stdout is not None
    assert process.stderr is not None
    assert json.loads(process.stdout.readline())
    process.stdout.close()
    err = process.stderr.read()
    assert process.wait(timeout=60) in (0, -13)
    process.stderr.close()
    assert err == b""


def test_the_lake_is_named_by_option_environment_config_file_or_here(
    lake: Path, one: dict[str, Any], tmp_path: Path, forensics_command: Run
) -> None:
    home = {"HOME": str(tmp_path / "home"), "XDG_CONFIG_HOME": str(tmp_path / "config")}
    config = tmp_path / "config" / "decision-forensics" / "config.toml"
    config.parent.mkdir(parents=True)

    def rows(*options: object, cwd: Path = tmp_path / "config", **environment: str) -> int:
        ran = forensics_command(
            "find", "--json", *options, environment={**home, **environment}, cwd=cwd
        )
        return len(ran.rows) if ran.code == 0 else -ran.code

    assert rows() == -1
    assert rows("--lake", lake) == 1
    assert rows(FORENSICS_LAKE=str(lake)) == 1
    assert rows("--lake", tmp_path, FORENSICS_LAKE=str(lake)) == -1
    assert rows(cwd=tmp_path) == 1, "./lake"
    config.write_text(f'lake = "{lake}"\n')
    assert rows() == 1
    config.write_text("lake = [broken")
    assert rows() == -1


def test_commands_run_where_home_is_unknown(lake: Path, forensics_command: Run) -> None:
    environment = {"HOME": "", "LANG": "C", "PATH": os.environ["PATH"]}
    assert forensics_command("find", "--lake", lake, environment=environment).code == 0


def test_a_look_that_cannot_be_recorded_is_said(
    lake: Path, one: dict[str, Any], forensics_command: Run
) -> None:
    (lake / "spool").mkdir(exist_ok=True)
    (lake / "spool" / "access.log").mkdir()
    ran = forensics_command("trace", one["request_id"], "--no-replay", "--lake", lake)
    assert ran.out
    assert "That you looked could not be recorded" in ran.err
