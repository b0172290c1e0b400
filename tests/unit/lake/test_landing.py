"""Landing: whatever is taken in, however often and by however many, is there once."""

from __future__ import annotations

import gzip
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

import forensics
from forensics.errors import LakeError
from forensics.ingest.run import Report
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout
from forensics.testing import (
    change_record,
    decision_record,
    outcome_record,
    override_record,
    write_lines,
)

TakeIn = Callable[..., Report]


def ids(lake: Path) -> list[str]:
    """Decision ids in the lake, each as often as it is there."""
    return sorted(row["decision_id"] for row in forensics.open(lake).find())


def records(count: int, **changes: Any) -> list[dict[str, Any]]:
    return [decision_record(**changes) for _ in range(count)]


def wanted(decisions: list[dict[str, Any]]) -> list[str]:
    return sorted(decision["decision_id"] for decision in decisions)


def test_the_same_file_twice_adds_nothing(lake: Path, tmp_path: Path, take_in: TakeIn) -> None:
    decisions = records(50)
    file = write_lines(tmp_path / "log.jsonl", decisions)
    assert (take_in(file).landed_total, take_in(file).landed_total) == (50, 0)
    assert take_in(file).already_present == 50
    assert ids(lake) == wanted(decisions)


def test_of_a_file_that_has_grown_only_the_new_lines_land(
    lake: Path, tmp_path: Path, take_in: TakeIn
) -> None:
    decisions = records(30)
    file = write_lines(tmp_path / "log.jsonl", decisions[:20])
    take_in(file)
    write_lines(file, decisions)
    report = take_in(file)
    assert (report.landed_total, report.already_present) == (10, 20)
    assert ids(lake) == wanted(decisions)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor().compress])
def test_a_compressed_copy_of_a_file_adds_nothing(
    lake: Path, tmp_path: Path, take_in: TakeIn, pack: Callable[[bytes], bytes]
) -> None:
    decisions = records(20)
    file = write_lines(tmp_path / "log.jsonl", decisions)
    packed = tmp_path / "copy"
    packed.write_bytes(pack(file.read_bytes()))
    assert take_in(packed).landed_total == 20
    assert take_in(file).already_present == 20
    assert ids(lake) == wanted(decisions)


@pytest.mark.parametrize(
    "join", [gzip.compress, zstandard.ZstdCompressor(write_content_size=True).compress]
)
def test_compressed_files_that_were_joined_are_read_to_their_end(
    lake: Path, tmp_path: Path, take_in: TakeIn, join: Callable[[bytes], bytes]
) -> None:
    decisions = records(20)
    halves = [write_lines(tmp_path / f"{at}", decisions[at::2]).read_bytes() for at in (0, 1)]
    (tmp_path / "joined").write_bytes(b"".join(map(join, halves)))
    assert take_in(tmp_path / "joined").landed_total == 20


def test_files_that_overlap_are_united(lake: Path, take_in: TakeIn) -> None:
    decisions = records(40)
    take_in(decisions[:25])
    take_in(decisions[10:35])
    take_in(decisions[5:])
    assert ids(lake) == wanted(decisions)


def test_a_line_that_stands_twice_in_one_file_lands_once(lake: Path, take_in: TakeIn) -> None:
    (decision,) = records(1)
    report = take_in([decision, decision, decision])
    assert (report.landed_total, report.already_present) == (1, 2)


def test_two_different_records_of_one_decision_are_both_kept_as_evidence(
    lake: Path, take_in: TakeIn
) -> None:
    (decision,) = records(1)
    take_in([decision])
    take_in([{**decision, "outcome": "DECLINE"}])
    found = forensics.open(lake).find()
    assert sorted(row["outcome"] for row in found) == ["APPROVE", "DECLINE"]


def test_every_kind_of_record_is_taken_once(lake: Path, take_in: TakeIn) -> None:
    mixed = [decision_record(), change_record(), override_record(), outcome_record()]
    assert dict(take_in(mixed).landed) == {
        "decisions/credit_line": 1, "changes": 1, "overrides": 1, "outcomes": 1,
    }  # fmt: skip
    assert take_in(mixed).already_present == 4


def test_the_same_decisions_in_another_order_add_nothing(lake: Path, take_in: TakeIn) -> None:
    decisions = records(30)
    take_in(decisions)
    assert take_in(decisions[::-1]).landed_total == 0


def test_salts_differ_so_that_equal_bytes_have_unequal_leaves(
    tmp_path: Path, take_in: TakeIn, lake: Path
) -> None:
    other = tmp_path / "other"
    layout.create(other)
    file = write_lines(tmp_path / "log.jsonl", [decision_record(request_id="r", decision_id="d")])
    take_in(file)
    ingest(other, open_source(file))
    leaves = {forensics.open(root).trace("r", replay=False)[0].integrity.leaf for root in
              (lake, other)}  # fmt: skip
    assert len(leaves) == 2


def test_two_processes_that_take_in_one_file_at_once_double_nothing(
    lake: Path, tmp_path: Path
) -> None:
    decisions = records(3000)
    file = write_lines(tmp_path / "log.jsonl", decisions)
    command = [sys.executable, "-m", "forensics", "ingest", str(file), "--lake", str(lake)]
    both = [
        subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        for _ in range(2)
    ]
    said = [process.communicate(timeout=120)[1] for process in both]
    assert [process.returncode for process in both] == [0, 0], said
    assert ids(lake) == wanted(decisions)


def test_ingest_needs_a_lake_and_makes_none(tmp_path: Path, run: Callable[..., Any]) -> None:
    file = write_lines(tmp_path / "log.jsonl", [decision_record()])
    ran = run("ingest", file, "--lake", tmp_path / "absent")
    assert ran.code == 1
    assert "forensics init" in ran.err
    assert not (tmp_path / "absent").exists()


def test_init_refuses_a_folder_that_holds_something_else(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("years of work")
    with pytest.raises(LakeError, match="not empty"):
        layout.create(tmp_path)


def test_init_leaves_an_existing_lake_as_it_is(lake: Path, take_in: TakeIn) -> None:
    take_in(records(3))
    before = layout.identity(lake)
    assert layout.create(lake) == before
    assert len(ids(lake)) == 3


@pytest.mark.parametrize(
    "damaged", ["requirfd = true", "[acces]", "[access]\nrequired = true\nmore = 1", "access = 1"]
)
def test_a_setting_that_nobody_knows_is_refused_rather_than_ignored(
    lake: Path, damaged: str
) -> None:
    """It may be one that a flipped bit has renamed, and that was to keep something in or out."""
    text = (lake / "lake.toml").read_text()
    (lake / "lake.toml").write_text(f"{text}[access]\nrequired = true\n")
    layout.identity(lake)
    (lake / "lake.toml").write_text(f"{text}{damaged}\n")
    with pytest.raises(LakeError, match="cannot be understood"):
        layout.identity(lake)


def test_a_lake_of_a_newer_format_is_refused_by_name(lake: Path) -> None:
    text = (lake / "lake.toml").read_text()
    (lake / "lake.toml").write_text(text.replace("format = 1", "format = 2"))
    with pytest.raises(LakeError, match="format 2"):
        forensics.open(lake)
