"""Files that are not what they should be: each a clear message, none a crash, no good line lost."""

from __future__ import annotations

import gzip
import json
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from forensics.ingest import quarantine
from forensics.testing import decision_record, write_lines

Run = Callable[..., Any]


def lines(count: int) -> bytes:
    return b"".join(json.dumps(decision_record()).encode() + b"\n" for _ in range(count))


def ingest(run: Run, lake: Path, path: Path) -> Any:
    return run("ingest", path, "--lake", lake, "--json")


@pytest.mark.parametrize(
    ("bad", "reason"),
    [
        pytest.param(b'{"a":"' + b"x" * (1 << 20) + b'"}', "bytes, more than", id="over 1 MiB"),
        pytest.param(b"x" * (5 << 20), "bytes, more than", id="over a block"),
        pytest.param(b'{"a":' * 65 + b"1" + b"}" * 65, "deeper than 64", id="depth 65"),
        pytest.param(b"[" * 1_000_000, "deeper than 64", id="depth a million"),
        pytest.param(b'{"a":"\xff\xfe"}', "not UTF-8 at byte", id="not UTF-8"),
        pytest.param(b'{"a":"\x00"}', "not JSON", id="NUL in text"),
        pytest.param(b"\x00\x00\x00\x00", "not JSON", id="NULs"),
        pytest.param("{'a': 1}".encode("utf-16"), "not UTF-8", id="UTF-16"),
        pytest.param(b"I am no JSON", "not JSON", id="prose"),
        pytest.param(b'{"request_id": "r"', "not JSON", id="torn"),
        pytest.param(b'\xef\xbb\xbf{"a":1}', "not JSON", id="a BOM in the middle"),
        pytest.param(b'{"a":NaN}', "missing", id="nothing required"),
    ],
)
def test_a_bad_line_is_quarantined_with_its_bytes_and_the_others_land(
    lake: Path, tmp_path: Path, run: Run, bad: bytes, reason: str
) -> None:
    path = tmp_path / "log"
    path.write_bytes(lines(2) + bad + b"\n" + lines(2))
    ran = ingest(run, lake, path)
    assert (ran.code, ran.json["landed"], ran.json["quarantined"]) == (4, 4, 1)
    (kept,) = quarantine.load(lake)
    assert reason in kept.reason
    assert (kept.line, kept.raw) == (3, bad)


def test_a_bom_crlf_blank_lines_and_a_missing_last_line_end_are_no_faults(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    path = tmp_path / "log"
    text = lines(3).replace(b"\n", b"\r\n")
    path.write_bytes(b"\xef\xbb\xbf" + text + b"\r\n\n   \n\t\r\n" + lines(1)[:-1])
    ran = ingest(run, lake, path)
    assert (ran.code, ran.json["landed"], ran.json["quarantined"]) == (0, 4, 0)


def test_received_bytes_are_those_of_the_line_without_its_end(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    import pyarrow.parquet as pq

    from forensics.lake.snapshot import take

    record = decision_record()
    line = json.dumps(record, indent=None).replace(": ", " :  ").encode() + b"  "
    (tmp_path / "log").write_bytes(line + b"\r\n")
    ingest(run, lake, tmp_path / "log")
    (path,) = take(lake).paths("decisions/credit_line")
    assert pq.read_table(path, columns=["raw"])["raw"].to_pylist() == [line]


@pytest.mark.parametrize("content", [b"", b"\n\n\n", b"\xef\xbb\xbf", b"  \t \r\n"])
def test_a_file_of_nothing_is_no_fault(
    lake: Path, tmp_path: Path, run: Run, content: bytes
) -> None:
    (tmp_path / "log").write_bytes(content)
    ran = ingest(run, lake, tmp_path / "log")
    assert (ran.code, ran.json["landed"], ran.json["quarantined"]) == (0, 0, 0)


def test_a_folder_an_absent_file_and_an_unreadable_one_are_named(
    lake: Path, tmp_path: Path, run: Run, forensics_command: Run
) -> None:
    locked = write_lines(tmp_path / "locked", [decision_record()])
    locked.chmod(0)
    for path, why in [(tmp_path, "directory"), (tmp_path / "absent", "No such file")]:
        ran = ingest(run, lake, path)
        assert ran.code == 2
        assert str(path) in ran.err
        assert why in ran.err
    if os.geteuid() == 0:
        return  # root reads everything
    ran = forensics_command("ingest", locked, "--lake", lake)
    assert ran.code == 2
    assert "Permission denied" in ran.err
    locked.chmod(stat.S_IRUSR)


@pytest.mark.parametrize("magic", [b"PAR1", b"PAR1" + b"\x00" * 100 + b"PAR1", b"PARE" + b"x" * 90])
def test_what_only_begins_like_parquet_is_refused_by_name(
    lake: Path, tmp_path: Path, run: Run, magic: bytes
) -> None:
    (tmp_path / "log.parquet").write_bytes(magic)
    ran = ingest(run, lake, tmp_path / "log.parquet")
    assert ran.code == 2
    assert "log.parquet cannot be read as Parquet" in ran.err


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor(3).compress])
@pytest.mark.parametrize("how", ["cut", "flipped", "trailing"])
def test_of_a_damaged_archive_the_lines_before_the_damage_land_and_the_rest_is_told(
    lake: Path, tmp_path: Path, run: Run, pack: Callable[[bytes], bytes], how: str
) -> None:
    packed = pack(lines(100)) + pack(lines(100))
    if how == "cut":
        packed = packed[: len(packed) - 12]
    elif how == "flipped":
        at = len(packed) * 3 // 4
        packed = packed[:at] + bytes([packed[at] ^ 0xFF]) + packed[at + 1 :]
    else:
        packed += b"garbage after the end"
    (tmp_path / "log").write_bytes(packed)
    ran = ingest(run, lake, tmp_path / "log")
    assert ran.code == 2, ran
    assert "cannot be read to its end" in ran.err
    found = run("find", "--lake", lake, "--json")
    assert found.code == 0
    assert len(found.rows) >= 100


def test_a_file_name_that_is_no_text_is_kept_escaped(
    lake: Path, tmp_path: Path, forensics_command: Run
) -> None:
    record = decision_record()
    path = os.fsencode(tmp_path) + b"/log-\xff\x1b[2J.jsonl"
    with open(path, "wb") as stream:  # noqa: PTH123
        stream.write(json.dumps(record).encode() + b"\nbroken\n")
    done = subprocess.run(
        [sys.executable, "-m", "forensics", "ingest", path, "--lake", lake],
        capture_output=True, check=False,
    )  # fmt: skip
    assert done.returncode == 4, done.stderr
    assert b"\x1b" not in done.stdout + done.stderr
    assert forensics_command("trace", record["request_id"], "--lake", lake).code == 4


def test_standard_input_is_read_like_a_file(lake: Path, forensics_command: Run) -> None:
    ran = forensics_command("ingest", "-", "--lake", lake, "--json", input=lines(3) + b"broken\n")
    assert (ran.code, ran.json["landed"], ran.json["quarantined"]) == (4, 3, 1)
    packed = gzip.compress(lines(2))
    ran = forensics_command("ingest", "-", "--lake", lake, "--json", input=packed)
    assert (ran.code, ran.json["landed"]) == (0, 2)


def test_a_misspelt_file_name_is_said_before_anything_lands(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    good = write_lines(tmp_path / "good", [decision_record()])
    ran = run("ingest", good, tmp_path / "absent", "--lake", lake)
    assert ran.code == 2
    assert "absent" in ran.err
    assert ingest(run, lake, good).json["landed"] == 1


def test_every_command_names_a_lake_that_is_not_there_and_how_to_make_one(
    tmp_path: Path, run: Run
) -> None:
    file = write_lines(tmp_path / "log", [decision_record()])
    for command in (["trace", "r"], ["find"], ["as-of", "now"], ["diff", "a", "b"], ["compact"],
                    ["ingest", file]):  # fmt: skip
        ran = run(*command, "--lake", tmp_path / "absent")
        assert ran.code == 1, command
        assert "No lake at" in ran.err
        assert "forensics init" in ran.err
        assert ran.out == ""


def test_half_surrogates_are_refused_where_text_is_stored_and_kept_elsewhere(
    lake: Path, tmp_path: Path, run: Run
) -> None:
    half = "\\ud800"
    made = {
        "outcome": decision_record(outcome="HERE"),
        "feature": decision_record(features={"x": "HERE"}),
        "name": decision_record(features={"HERE": 1}),
        "attribution": decision_record(explanation={"attributions": {"HERE": 1.0}}),
        "subject": decision_record(subject={"id": "HERE"}),
        "object": decision_record(features={"o": {"HERE": "HERE"}}),
        "extra": decision_record(own={"HERE": "HERE"}),
        "values": decision_record(config={"values": {"HERE": "HERE"}}),
    }
    texts = [json.dumps(record).replace("HERE", half) for record in made.values()]
    ran = ingest(run, lake, write_lines(tmp_path / "log", texts))
    assert ran.json["landed"] + ran.json["quarantined"] == len(made)
    assert ran.json["landed"] >= 3
    for record in made.values():
        said = run("trace", record["request_id"], "--lake", lake, "--no-replay", "--json")
        assert said.code in (3, 4)
        assert run("trace", record["request_id"], "--lake", lake, "--no-replay").code == said.code
    said = run("trace", made["extra"]["request_id"], "--lake", lake, "--no-replay", "--json")
    assert said.code == 4
