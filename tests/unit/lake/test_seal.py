"""Sealing is one step with the commit: wherever it is cut off, the next writer makes it whole."""

from __future__ import annotations

import os
import shutil
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import IntegrityError
from forensics.ingest.reread import differences
from forensics.integrity import note, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.lake import layout, log, seal, seal_keys, sealed, tables
from forensics.lake.log import Log
from forensics.lake.verify.whole import Options, Verified, verify
from forensics.testing import change_record, decision_record


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(tmp_path / "keys"))


class Died(BaseException):
    """Stands for the death of the process."""


def checked(lake: Path) -> Verified:
    return verify(lake, Options(deep=True, workers=0), differences)


def size_of(lake: Path) -> int:
    return Checkpoint.parse(note.parse((lake / "log" / "checkpoint").read_bytes()).text).size


def dying_at(step: int, function: Callable[..., Any]) -> Callable[..., Any]:
    """``function``, whose call number ``step`` kills, before it does anything or half-way."""
    calls = iter(range(1_000))

    def run(path: Path, data: bytes) -> None:
        at = next(calls)
        if at == step // 2:
            if step % 2:
                path.with_name(".torn.tmp").write_bytes(data[: len(data) // 2])
            raise Died
        function(path, data)

    return run


@pytest.mark.parametrize("step", range(10))
def test_death_at_any_write_of_the_log_is_made_up_for(
    lake: Path, take_in: Any, monkeypatch: pytest.MonkeyPatch, step: int
) -> None:
    take_in([decision_record() for _ in range(5)])
    with monkeypatch.context() as patched:
        patched.setattr(log, "write_durably", dying_at(step, log.write_durably))
        try:
            take_in([decision_record() for _ in range(5)])
            died = False
        except Died:
            died = True
    state = checked(lake)
    assert not state.findings.broken, state.to_dict()
    assert bool(state.findings.gaps) == died
    take_in([decision_record() for _ in range(5)])
    state = checked(lake)
    assert (state.records, state.sealed_records, state.findings.gaps) == (15, 15, []), (
        state.to_dict()
    )
    assert state.late_records == (5 if died else 0)


def test_a_commit_adds_its_segment_and_its_file_to_the_log(lake: Path, take_in: Any) -> None:
    take_in([decision_record()])
    assert size_of(lake) == 3, "the key, the segment, the file"
    take_in([decision_record(), change_record()])
    assert size_of(lake) == 7, "two tables"
    before = size_of(lake)
    take_in([])
    assert size_of(lake) == before


def test_segments_are_chained_and_list_48_bytes_a_record(lake: Path, take_in: Any) -> None:
    for _ in range(3):
        take_in([decision_record() for _ in range(4)])
    ours = Log(lake, seal_keys.origin_of(layout.identity(lake)))
    entries = [entry for entry in ours.entries() if seal.segment_of_entry(ours, entry)]
    previous = None
    for entry in entries:
        segment = seal.segment_of_entry(ours, entry)
        assert segment is not None
        listed = sealed.read(lake, segment)
        assert listed.manifest.previous == previous
        assert listed.manifest.records == listed.records == 4
        tail = sealed.tail(listed.manifest_bytes)
        assert sealed.path_of(lake, segment).stat().st_size == 4 * 48 + len(tail)
        checkpoint = Checkpoint.parse(note.parse(entry).text)
        assert (checkpoint.size, checkpoint.root) == (5, listed.root)
        previous = segment
    assert seal.last_segment(ours) == previous


def test_a_log_of_more_than_one_tile_stays_readable(lake: Path, take_in: Any, run: Any) -> None:
    take_in([decision_record(request_id="first")])
    ours = Log(lake, seal_keys.origin_of(layout.identity(lake)))
    signers = seal_keys.signers(layout.identity(lake))
    from forensics.integrity import signing, tick

    ticks = [signing.signed(tick.text(ours.origin, at), signers) for at in range(600)]
    for start in range(0, 600, 150):
        ours.append(ticks[start : start + 150], signers)
    take_in([decision_record(request_id="last")])
    again = Log(lake, ours.origin)
    assert again.size == 605
    assert len(again.entries()) == 605
    assert again.entries(600) == again.entries()[600:]
    assert tree.root(b"".join(map(tree.leaf_hash, again.entries()))) == again.checkpoint.root
    for kind in ("0", "entries"):  # partial tiles go when the full one comes
        assert not (lake / "log" / "tile" / kind / "000.p").exists()
    state = checked(lake)
    assert state.to_dict()["status"] == "whole", state.to_dict()
    for one in ("first", "last"):
        assert run("verify", one, "--lake", lake).code == 0


def test_a_broken_log_stops_no_evidence(lake: Path, take_in: Any) -> None:
    take_in([decision_record()])
    (lake / "log" / "checkpoint").write_bytes(b"nonsense")
    take_in([decision_record()])
    state = tables.state(lake, "decisions/credit_line")
    assert state.rows == 2
    assert seal.unsealed_reason(lake)
    assert checked(lake).findings.broken


def test_what_was_altered_before_it_was_sealed_is_not_sealed(
    lake: Path, take_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with monkeypatch.context() as patched:
        patched.setattr(seal, "seal", lambda *_, **__: True)
        take_in([decision_record() for _ in range(3)])
    (path,) = (lake / "decisions" / "credit_line").glob("*.parquet")
    records = pq.read_table(path)
    raws = records["raw"].to_pylist()
    raws[1] = raws[1].replace(b"APPROVE", b"DECLINE")
    at = records.schema.get_field_index("raw")
    pq.write_table(records.set_column(at, "raw", pa.array(raws)), path)
    take_in([decision_record()])
    state = checked(lake)
    assert state.findings.broken
    assert any(d.kind == "altered" and d.leaf_index == 2 for d in state.findings.defects)


def test_lists_that_a_dead_process_left_are_swept(lake: Path, take_in: Any) -> None:
    take_in([decision_record()])
    left = sealed.path_of(lake, "ab" * 16)
    left.parent.mkdir(parents=True, exist_ok=True)
    left.write_bytes(b"left")
    seal.sweep(lake)
    assert left.exists(), "it may be of a process at work"
    old = time.time() - 100_000
    for path in (lake / "log" / "segments").glob("*/*"):
        os.utime(path, (old, old))
    seal.sweep(lake)
    assert not left.exists()
    assert not checked(lake).findings.broken


def test_a_list_that_breaks_off_is_refused(lake: Path, take_in: Any) -> None:
    take_in([decision_record()])
    (path,) = (lake / "log" / "segments").glob("*/*")
    whole = path.read_bytes()
    for data in (b"", whole[:-1], whole[1:], whole[:40]):
        path.write_bytes(data)
        with pytest.raises(IntegrityError):
            sealed.read(lake, path.name).manifest  # noqa: B018
    path.unlink()
    with pytest.raises(IntegrityError):
        sealed.read(lake, path.name)


def test_a_trace_sees_a_leaf_that_is_not_the_sealed_one(lake: Path, take_in: Any, run: Any) -> None:
    take_in([decision_record(request_id="one"), decision_record(request_id="two")])
    shown = run("trace", "one", "--lake", lake, "--json", "--no-replay")
    assert shown.json["integrity"]["verified"] is True
    (path,) = (lake / "log" / "segments").glob("*/*")
    path.write_bytes(bytes(32) + path.read_bytes()[32:])
    shown = run("trace", "one", "--lake", lake, "--json", "--no-replay")
    assert (shown.code, shown.json["integrity"]["verified"]) == (5, False)
    shutil.rmtree(lake / "log")
    shown = run("trace", "one", "--lake", lake, "--json", "--no-replay")
    assert shown.json["integrity"]["verified"] is True
