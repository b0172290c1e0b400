"""What the spool acknowledged outlives its process; what it did not may be cut, never invented."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.server import landing, spool
from forensics.server.spool import Spool
from forensics.testing import decision_record

LINES = [b'{"a":1}', b'{"a":2}']


def make(lake: Path, **limits: Any) -> Spool:
    return Spool(lake, **{"rows_max": 1_000, "seconds_max": 60.0, **limits})


def files(lake: Path, end: str) -> list[Path]:
    return sorted((lake / "spool").glob(f"*/*{end}"))


def lines_of(path: Path) -> list[bytes]:
    """The records of a file; checksums are lines of blanks."""
    return [line for line in path.read_bytes().split(b"\n") if line.strip()]


def test_what_was_appended_is_in_the_file_at_once(lake: Path) -> None:
    made = make(lake)
    assert not made.append({"records": LINES, "lineage": [b"{}"]})
    assert not made.append({"records": LINES})
    lineage, records = files(lake, ".open")
    assert records.read_bytes().startswith(b"\n")
    assert (lines_of(records), lines_of(lineage)) == ([*LINES, *LINES], [b"{}"])
    assert made.syncs == 2 + 3


def test_a_file_is_closed_by_rows_by_bytes_and_by_age(lake: Path) -> None:
    assert make(lake, rows_max=2).append({"records": LINES})
    assert make(lake, bytes_max=16).append({"records": LINES})
    old = make(lake, seconds_max=0.0)
    assert not old.append({"records": LINES})
    assert old.close_due() == (True, None)
    assert [lines_of(path) for path in files(lake, ".jsonl")] == [LINES] * 3
    assert files(lake, ".open") == []


def test_a_young_file_stays_open_until_it_is_due(lake: Path) -> None:
    made = make(lake, seconds_max=60.0)
    made.append({"records": LINES})
    closed, next_s = made.close_due()
    assert not closed
    assert next_s is not None
    assert 0 < next_s <= 60
    assert made.close_due(all_of_them=True) == (True, None)


def test_nobody_adopts_the_file_of_a_living_process(lake: Path) -> None:
    made = make(lake)
    made.append({"records": LINES})
    assert spool.adopt(lake) == []
    assert len(files(lake, ".open")) == 1
    made.append({"records": LINES})
    made.close_due(all_of_them=True)
    assert lines_of(files(lake, ".jsonl")[0]) == [*LINES, *LINES]


def test_the_file_of_a_dead_process_is_adopted_without_its_torn_end(lake: Path) -> None:
    orphan(lake, b'{"a":1}\n{"a":2}\n{"a":' + b"x" * 200_000)
    (note,) = spool.adopt(lake)
    assert "200,005 bytes" in note
    assert [path.read_bytes() for path in files(lake, ".jsonl")] == [b'{"a":1}\n{"a":2}\n']
    assert spool.adopt(lake) == []


@pytest.mark.parametrize("content", [b"", b"\n", b'{"half', b'\n{"half'])
def test_a_file_without_a_whole_line_is_removed(lake: Path, content: bytes) -> None:
    orphan(lake, content)
    assert len(spool.adopt(lake)) == (1 if b"half" in content else 0)
    assert files(lake, "") == []


def test_a_claimed_file_is_left_alone_by_others(lake: Path) -> None:
    make(lake, rows_max=1).append({"records": LINES})
    (path,) = spool.closed(lake)
    with spool.claimed(path) as ours:
        assert ours
        with spool.claimed(path) as theirs:
            assert not theirs
        spool.done(path)
    with spool.claimed(path) as gone:
        assert not gone


def test_a_file_that_was_tried_goes_to_the_end_of_the_queue(lake: Path) -> None:
    made = make(lake, rows_max=1)
    for _ in range(3):
        made.append({"records": LINES})
    first, second, third = spool.closed(lake)
    for number, path in enumerate((first, second, third)):
        os.utime(path, (number, number))
    with spool.claimed(first):
        pass
    assert spool.closed(lake) == [second, third, first]


def test_the_backlog_counts_what_waits(lake: Path) -> None:
    assert spool.backlog(lake) == spool.Backlog(0, 0, 0.0)
    made = make(lake, rows_max=2)
    made.append({"records": LINES, "lineage": [b"{}"]})
    waiting = spool.backlog(lake)
    size = sum(path.stat().st_size for path in files(lake, ""))
    assert (waiting.files, waiting.bytes) == (2, size)
    assert 0 <= waiting.oldest_s < 60


def test_a_full_disk_costs_what_it_refused_and_nothing_else(lake: Path) -> None:
    """The limit on a file's size behaves as a full disk does: a short write, then an error."""
    code = f"""
import resource, signal, sys
from pathlib import Path
from forensics.server.spool import Spool
made = Spool(Path({str(lake)!r}), rows_max=1000, seconds_max=60.0)
made.append({{"records": [b"x" * 99] * 10}})
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (1500, resource.RLIM_INFINITY))
try:
    made.append({{"records": [b"y" * 99] * 10}})
    sys.exit("it was taken")
except OSError:
    pass
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
made.append({{"records": [b"z" * 99]}})
made.close_due(all_of_them=True)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    first, second = sorted(files(lake, ".jsonl"))
    assert lines_of(first) == [b"x" * 99] * 10
    assert lines_of(second) == [b"z" * 99]


def test_a_sweep_lands_what_it_can_and_says_so(lake: Path) -> None:
    made = make(lake, rows_max=2)
    records = [json.dumps(decision_record()).encode() for _ in range(2)]
    made.append({"records": records})
    made.append({"records": [records[0], b"broken"]})
    events: list[dict[str, Any]] = []
    assert landing.sweep(lake, events.append) == 0
    counts = [(e["landed"], e["already_present"], e["quarantined"]) for e in events]
    assert counts == [(2, 0, 0), (0, 1, 1)]
    assert spool.backlog(lake).files == 0


def test_a_file_that_cannot_be_landed_stays_and_holds_up_no_other(lake: Path) -> None:
    made = make(lake, rows_max=1)
    made.append({"records": [json.dumps(decision_record(decision_point="barred")).encode()]})
    made.append({"records": [json.dumps(decision_record()).encode()]})
    in_the_way = lake / "decisions" / "barred"
    in_the_way.write_bytes(b"")
    events: list[dict[str, Any]] = []
    assert landing.sweep(lake, events.append) == 1
    assert sorted(event["event"] for event in events) == ["failed", "landed"]
    assert spool.backlog(lake).files == 1
    in_the_way.unlink()
    assert landing.sweep(lake, events.append) == 0
    assert events[-1]["landed"] == 1


def test_what_a_dead_process_left_is_taken_in_only_as_it_was_written(lake: Path) -> None:
    """Its file has no checksum in its name; each group that was acknowledged has one behind it."""
    made = make(lake)
    kept = [json.dumps(decision_record()).encode() for _ in range(4)]
    made.append({"records": kept[:2]})
    made.append({"records": kept[2:]})
    (live,) = files(lake, ".open")
    written = live.read_bytes()
    flipped = bytearray(written)
    flipped[written.index(b"APPROVE")] ^= 1
    dead = live.with_name("records-20260101T000000.000000Z-dead.open")
    dead.write_bytes(flipped)
    assert spool.adopt(lake) == []
    events: list[dict[str, Any]] = []
    assert landing.sweep(lake, events.append) == 1
    assert "not what was written" in events[0]["what"]
    (path,) = files(lake, ".jsonl")
    path.write_bytes(written)
    assert landing.sweep(lake, events.append) == 0
    assert events[-1]["landed"] == 4


def orphan(lake: Path, content: bytes) -> None:
    """What a killed process leaves."""
    folder = lake / "spool" / "records"
    folder.mkdir(parents=True)
    (folder / "records-20260101T000000.000000Z-dead.open").write_bytes(content)


def test_what_waits_is_encrypted_where_a_policy_is_in_force_and_lands_as_it_came(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    (lake / "privacy.toml").write_text('personal = ["subject.id"]\n', encoding="utf-8")
    records = [decision_record(subject={"id": f"anna-{n}"}) for n in range(5)]
    lines = [json.dumps(record).encode() for record in records]
    made = make(lake)
    made.append({"records": lines[:2]})
    made.append({"records": lines[2:4]})
    (live,) = files(lake, ".open")
    assert b"anna" not in live.read_bytes()
    whole = live.read_bytes()
    made.append({"records": lines[4:]})
    torn = live.with_name("records-20260101T000000.000000Z-dead.open")
    torn.write_bytes(whole + live.read_bytes()[len(whole) :][:40])  # it died while it wrote
    del made
    live.unlink()
    (note,) = spool.adopt(lake)
    assert "half a record" in note
    events: list[dict[str, Any]] = []
    assert landing.sweep(lake, events.append) == 0
    assert (events[-1]["landed"], events[-1]["quarantined"]) == (4, 0)
    assert files(lake, "") == []
    (row,) = {found["request_id"] for found in forensics.open(lake).find(subject="anna-3")}
    assert row == records[3]["request_id"]


def test_nothing_personal_is_acknowledged_without_its_key_store(
    lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    (lake / "privacy.toml").write_text('personal = ["subject.id"]\n', encoding="utf-8")
    (lake / "keystore.id").write_text("~another\n", encoding="utf-8")
    with pytest.raises(OSError, match="key store"):
        make(lake).append({"records": LINES})
    assert files(lake, "") == []
