"""Answers on standard output, everything else beside it; JSON is a contract, a screen is inert."""

from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import jsonschema
import pyarrow.parquet as pq
import pytest

from forensics.testing import change_record, decision_record, write_lines
from forensics_schemas import json_schema

Run = Callable[..., Any]
SCHEMA = jsonschema.Draft202012Validator(json_schema("reconstruction"))


@pytest.fixture
def showcase(truth: dict[str, Any]) -> str:
    return str(truth["incidents"][0]["showcase"])


def on_terminal(*arguments: object, columns: int = 90, **environment: str) -> str:
    """What a command writes on a terminal; its answer and its messages alike."""
    parent, child = pty.openpty()
    clean = {k: v for k, v in os.environ.items() if k not in ("NO_COLOR", "FORCE_COLOR")}
    process = subprocess.Popen(
        [sys.executable, "-m", "forensics", *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=child, stderr=child,
        env={**clean, "TERM": "xterm", "COLUMNS": str(columns), **environment},
    )  # fmt: skip
    os.close(child)
    parts = []
    while True:
        try:
            part = os.read(parent, 65_536)
        except OSError:
            break
        if not part:
            break
        parts.append(part)
    os.close(parent)
    process.wait(timeout=60)
    return b"".join(parts).decode().replace("\r\n", "\n")


def test_json_is_one_line_in_a_pipe_and_valid_by_the_published_schema(
    sample_lake: Path, showcase: str, forensics_command: Run
) -> None:
    ran = forensics_command("trace", showcase, "--json", "--lake", sample_lake)
    assert ran.out.count("\n") == 1
    assert ran.err == ""
    SCHEMA.validate(ran.json)
    assert ran.json["request_id"] == showcase


def test_json_without_replay_is_valid_by_the_schema_too(
    sample_lake: Path, showcase: str, run: Run
) -> None:
    ran = run("trace", showcase, "--json", "--no-replay", "--lake", sample_lake)
    SCHEMA.validate(ran.json)
    assert ran.json["replay"]["verdict"] is None


def test_json_of_a_bare_record_is_valid_by_the_schema_too(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    bare = {
        "decision_point": "p", "request_id": "r", "occurred_at": "2026-10-01T00:00:00Z",
        "outcome": "NO",
    }  # fmt: skip
    run("ingest", write_lines(tmp_path / "log", [bare]), "--lake", lake)
    ran = run("trace", "r", "--json", "--lake", lake)
    assert ran.code == 4
    SCHEMA.validate(ran.json)


def test_an_ambiguous_id_shows_every_decision_that_bears_it(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    made = [decision_record(request_id="r", outcome=text) for text in ("ONE", "TWO", "THREE")]
    run("ingest", write_lines(tmp_path / "log", made), "--lake", lake)
    ran = run("trace", "r", "--json", "--lake", lake)
    assert [row["decision"]["outcome"] for row in ran.rows] == ["ONE", "TWO", "THREE"]
    for row in ran.rows:
        SCHEMA.validate(row)
    screen = run("trace", "r", "--lake", lake)
    assert all(text in screen.out for text in ("ONE", "TWO", "THREE"))
    assert "3 decisions bear this id" in screen.err
    (single,) = run("trace", made[1]["decision_id"], "--json", "--lake", lake).rows
    assert single["decision"]["outcome"] == "TWO"


def test_colour_is_for_terminals_alone_and_never_against_no_color_or_a_dumb_one(
    sample_lake: Path, showcase: str, forensics_command: Run
) -> None:
    arguments = ("trace", showcase, "--no-replay", "--lake", sample_lake)
    assert "\x1b[" in on_terminal(*arguments)
    assert "\x1b" not in on_terminal(*arguments, NO_COLOR="1")
    assert "\x1b" not in on_terminal(*arguments, TERM="dumb")
    assert "\x1b" not in forensics_command(*arguments).out
    errors = ("trace", "no such id", "--lake", sample_lake)
    assert "\x1b[" in on_terminal(*errors)
    assert "\x1b" not in on_terminal(*errors, NO_COLOR="1")


def test_a_pipe_has_no_edge_unless_columns_says_one(
    sample_lake: Path, showcase: str, forensics_command: Run
) -> None:
    arguments = ("trace", showcase, "--no-replay", "--lake", sample_lake)
    piped = forensics_command(*arguments).out
    assert "…" not in piped
    assert "IO Error: connection to bureau gateway timed out after" in piped
    narrow = forensics_command(*arguments, environment={"COLUMNS": "70"}).out
    assert max(map(len, narrow.splitlines())) == 70
    assert "…" in narrow


@pytest.mark.parametrize("columns", [40, 80, 120])
def test_a_screen_is_as_wide_as_the_terminal_and_no_wider(
    sample_lake: Path, showcase: str, columns: int
) -> None:
    screen = on_terminal(
        "trace", showcase, "--no-replay", "--lake", sample_lake, columns=columns, NO_COLOR="1"
    )
    assert max(map(len, screen.split("\n"))) <= columns


def test_json_for_a_person_is_indented_and_keeps_every_number(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    record = json.dumps(decision_record(request_id="r", features={"x": "HERE"}))
    line = record.replace('"HERE"', "0.123456789012345678901234567890")
    run("ingest", write_lines(tmp_path / "log", [line]), "--lake", lake)
    shown = on_terminal("trace", "r", "--json", "--no-replay", "--lake", lake)
    assert shown.count("\n") > 50
    assert '"value": 0.123456789012345678901234567890,' in shown
    piped = run("trace", "r", "--json", "--no-replay", "--lake", lake)
    assert json.loads(shown) == piped.json


def test_json_on_a_terminal_is_inert(lake: Path, tmp_path: Path, run: Run) -> None:
    hostile = "\x1b[2J\x9b31m\u202e\x07\u2028"
    record = decision_record(request_id="r", outcome=hostile)
    run("ingest", write_lines(tmp_path / "log", [record]), "--lake", lake)
    for arguments in (["trace", "r", "--no-replay", "--json"], ["find", "--json"]):
        shown = on_terminal(*arguments, "--lake", lake)
        assert hostile.isprintable() is False
        assert not set(hostile) & set(shown) - set("[2J31m"), arguments
        assert json.loads(shown)


def test_a_terminal_that_knows_no_bars_and_arrows_still_gets_an_answer(
    sample_lake: Path, showcase: str, forensics_command: Run
) -> None:
    ran = forensics_command(
        "trace", showcase, "--no-replay", "--lake", sample_lake,
        environment={"PYTHONIOENCODING": "ascii", "LC_ALL": "C", "PYTHONUTF8": "0"},
    )  # fmt: skip
    assert ran.code == 0
    assert ran.out.isascii()
    assert "DECLINE" in ran.out


def test_csv_cells_that_a_spreadsheet_would_run_are_made_text(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    attacks = ["=cmd|' /C calc'!A0", "+1", "-2+3", "@SUM(A1)", "\t=1", "\r=1", "=1\n=2", 'a"b,c\n']
    made = [decision_record(outcome=text, features={"x": text}) for text in attacks]
    run("ingest", write_lines(tmp_path / "log", made), "--lake", lake)
    ran = run("find", "--csv", "--features", "--oldest", "--lake", lake)
    rows = list(csv.DictReader(io.StringIO(ran.out, newline="")))
    for row, text in zip(rows, attacks, strict=True):
        for cell in (row["outcome"], row["features.x"]):
            assert cell[:1] not in ("=", "+", "-", "@", "\t", "\r")
            assert cell.removeprefix("'") == text


def test_csv_of_several_decision_points_has_the_features_of_all(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    made = [decision_record(decision_point=point, features={f"{point}_x": 1.5}) for point in "ab"]
    run("ingest", write_lines(tmp_path / "log", made), "--lake", lake)
    ran = run("find", "--csv", "--features", "--lake", lake)
    assert ran.code == 0
    (one, two) = csv.DictReader(io.StringIO(ran.out))
    assert {one["features.a_x"], one["features.b_x"]} == {"1.5", ""}
    assert {two["features.a_x"], two["features.b_x"]} == {"1.5", ""}


def test_parquet_answers_hold_what_json_answers_hold(
    sample_lake: Path, tmp_path: Path, run: Run
) -> None:
    question = ["--outcome", "REFER", "--limit", "50", "--lake", sample_lake]
    ran = run("find", *question, "--parquet", tmp_path / "out.parquet")
    assert (ran.code, ran.out) == (0, "")
    assert "50 decisions" in ran.err
    table = pq.read_table(tmp_path / "out.parquet")
    rows = run("find", *question, "--json").rows
    assert table["decision_id"].to_pylist() == [row["decision_id"] for row in rows]


@pytest.mark.parametrize("forms", [("--csv", "--json"), ("--json", "--parquet", "x.parquet")])
def test_an_answer_in_two_forms_at_once_is_refused(
    sample_lake: Path, tmp_path: Path, run: Run, forms: tuple[str, ...]
) -> None:
    ran = run("find", *forms, "--limit", "1", "--lake", sample_lake)
    assert (ran.code, ran.out) == (2, "")
    assert "one of --json, --csv and --parquet" in ran.err


def test_find_answers_with_the_fields_that_the_contract_promises(
    sample_lake: Path, run: Run
) -> None:
    (row,) = run("find", "--json", "--limit", "1", "--lake", sample_lake).rows
    assert {"request_id", "decision_id", "decision_point", "occurred_at", "outcome", "score",
            "model_version"} <= row.keys()  # fmt: skip


def test_ingest_ends_with_what_landed_what_was_there_and_what_was_quarantined(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    record = decision_record()
    file = write_lines(tmp_path / "log", [record, record, change_record(), "broken"])
    said = run("ingest", file, "--lake", lake, "--json").json
    assert said["landed_by_table"] == {"decisions/credit_line": 1, "changes": 1}
    assert (said["landed"], said["already_present"], said["quarantined"]) == (2, 1, 1)
    assert list(said["quarantined_by_reason"].values()) == [1]
    assert said["examples"][0]["line"] == 4


@pytest.mark.parametrize(
    ("text", "age"),
    [("2h ago", 2 * 3600), ("90 min", 5400), ("1.5d", 129_600), ("1w ago", 604_800), ("now", 0),
     ("30s ago", 30), ("2 days ago", 172_800)],
)  # fmt: skip
def test_times_may_be_ages(lake: Path, tmp_path: Path, run: Run, text: str, age: float) -> None:
    moments = {}
    for name, shift in (("before", -60), ("after", 60)):
        time = datetime.now(UTC) - timedelta(seconds=age) + timedelta(seconds=shift)
        moments[name] = decision_record(request_id=name, occurred_at=time.isoformat())
    run("ingest", write_lines(tmp_path / "log", moments.values()), "--lake", lake)
    (row,) = run("find", "--since", text, "--lake", lake, "--json").rows
    assert row["request_id"] == "after"


@pytest.mark.parametrize(
    "text", ["2026-10-21", "2026-10-21T02:13Z", "2026-10-21 02:13", "2026-10-21T04:13:00+02:00"]
)
def test_times_are_iso_8601_and_utc_where_no_zone_is_named(
    sample_lake: Path, run: Run, text: str
) -> None:
    first = run("find", "--since", text, "--oldest", "--limit", "1", "--json", "--lake",
                sample_lake).json  # fmt: skip
    time = datetime.fromisoformat(first["occurred_at"])
    bound = "2026-10-21T00:00Z" if len(text) == 10 else "2026-10-21T02:13Z"
    assert timedelta(0) <= time - datetime.fromisoformat(bound) < timedelta(hours=1)


@pytest.mark.parametrize(
    "text", ["", "tomorrow", "2026-13-01", "-2h", "2h ago ago", "99999999999999w ago",
             "0001-01-01T00:00+14:00", "1e9 h", "9999999d", "\x1b[2J"]
)  # fmt: skip
def test_what_is_no_time_is_refused_with_an_example(lake: Path, run: Run, text: str) -> None:
    ran = run("find", f"--since={text}", "--lake", lake)
    assert ran.code == 2, ran
    assert "\x1b" not in ran.err
    assert "2h ago" in ran.err


@pytest.mark.parametrize(
    "attack",
    [
        "1=1) OR (1=1", "1=1; DROP TABLE x", "1=1 -- ", "1=1 /* */", "true UNION SELECT 1",
        "EXISTS (SELECT 1)", "score > (SELECT 1)", "read_text('/etc/passwd') = ''",
        "getenv('HOME') = ''", "score IN (SELECT score FROM read_parquet('/x'))",
        "pg_sleep(100) IS NULL", "current_setting('threads') > 0", "query('SELECT 1')",
        "'a' = 'a'' OR 1=1 --", "$$x$$ = $$x$$", "score > ?", "count(*) > 0", "raw IS NOT NULL",
        "salt IS NOT NULL", "nothing_so_called > 1", "", " ", "score", "score > 0, 1",
        "score > 0 LIMIT 1", "score >", "\x00",
        "repeat('x', 1000000000) = ''", "a" * 100_000, "cast(outcome as int) > 1",
    ],
)  # fmt: skip
def test_where_takes_one_condition_and_nothing_else(
    sample_lake: Path, run: Run, attack: str
) -> None:
    ran = run("find", "--where", attack, "--limit", "1", "--json", "--lake", sample_lake)
    if attack == "score":
        assert ran.code in (0, 2)
        return
    assert (ran.code, ran.out) == (2, ""), ran
    assert len(ran.err) < 2000


@pytest.mark.parametrize("option", ["--subject", "--outcome", "--model-version", "--environment"])
def test_values_are_never_sql(sample_lake: Path, run: Run, option: str) -> None:
    for text in ("' OR 1=1 --", "'; DROP TABLE x; --", "\\", "''", "%", "{}", "$1"):
        ran = run("find", option, text, "--json", "--lake", sample_lake)
        assert (ran.code, ran.out) == (0, ""), text


def test_help_and_version_answer_without_a_lake(run: Run) -> None:
    assert run("--help").code == 0
    assert run("--version").out.startswith("forensics ")
    for command in ("init", "ingest", "compact", "trace", "find", "as-of", "diff", "demo"):
        ran = run(command, "--help")
        assert ran.code == 0
        assert "--lake" in ran.out


def test_a_mistyped_command_comes_with_the_nearest(run: Run) -> None:
    ran = run("trce", "r")
    assert ran.code == 2
    assert "'trace'" in ran.err
