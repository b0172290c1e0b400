"""kill -9 at any moment: the lake opens, nothing acknowledged is gone, nothing is there twice."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.integrity.leaf import leaf_hash
from forensics.lake import layout
from forensics.testing import change_record, decision_record, write_lines

FILES = 6
RECORDS = 400


class Lake:
    """A lake, files to take in, and what has been acknowledged so far."""

    def __init__(self, folder: Path, records: int = RECORDS) -> None:
        self.root = folder / "lake"
        layout.create(self.root)
        self.records = records
        self.files: list[tuple[Path, set[str]]] = []
        for number in range(FILES):
            made = [decision_record(features={"a": n, f"b{number}": n}) for n in range(records)]
            lines: list[Any] = [*made, change_record(), b"broken line of each file"]
            file = write_lines(folder / f"log-{number}.jsonl", lines)
            self.files.append((file, {record["decision_id"] for record in made}))
        self.acknowledged: set[str] = set()

    @property
    def all(self) -> set[str]:
        return set().union(*(ids for _, ids in self.files))

    def start(self, *arguments: object) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "forensics", *map(str, arguments), "--lake", str(self.root)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            start_new_session=True,
        )  # fmt: skip

    def check(self, note: str) -> None:
        """Everything acknowledged is there once, by scan and by look-up, and its leaf fits."""
        asked = forensics.open(self.root)
        found = [row["decision_id"] for row in asked.find()]
        assert len(found) == len(set(found)), f"{note}: doubled"
        lost = self.acknowledged - set(found)
        assert not lost, f"{note}: {len(lost)} acknowledged decisions are gone"
        for identifier in sorted(found)[:: max(1, len(found) // 8)]:
            (one,) = asked.trace(identifier, replay=False)
            assert one.integrity.verified, note
        state = asked.snapshot()
        import pyarrow.parquet as pq

        for name in state.tables:
            for path in state.paths(name):
                rows = pq.read_table(path, columns=["raw", "salt", "leaf"]).to_pylist()
                assert all(leaf_hash(r["salt"], r["raw"]) == r["leaf"] for r in rows), note

    def finish(self) -> None:
        """Repeating what was killed completes it, to exactly all records."""
        process = self.start("ingest", *(file for file, _ in self.files), "--json")
        out, err = process.communicate(timeout=120)
        assert process.returncode == 4, err
        said = json.loads(out)
        assert said["landed"] + said["already_present"] == FILES * (self.records + 1)
        self.acknowledged = self.all
        self.check("after the last run")
        assert {row["decision_id"] for row in forensics.open(self.root).find()} == self.all
        process = self.start("compact", "--grace-hours", 0)
        _, err = process.communicate(timeout=120)
        assert process.returncode == 0, err
        self.check("after the last compaction")
        live = forensics.open(self.root).snapshot()
        files = list((self.root / "decisions" / "credit_line").glob("*.parquet"))
        assert len(files) == len(live.tables["decisions/credit_line"].files), "litter is swept"


def kill_during(process: subprocess.Popen[bytes], delay_s: float) -> bool:
    """Whether the process was killed; it and its workers, after ``delay_s`` seconds at most."""
    try:
        process.wait(timeout=delay_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    return process.returncode == -signal.SIGKILL


def delays(chosen: random.Random, whole_s: float) -> Iterator[float]:
    """Moments within a run: most while it works, since start-up touches no file."""
    while True:
        yield chosen.uniform(0.35, 1.0) * whole_s


def torment(lake: Lake, chosen: random.Random, kills: int) -> None:
    began = time.monotonic()
    process = lake.start("ingest", lake.files[0][0])
    process.communicate()
    assert process.returncode == 4
    whole_s = time.monotonic() - began
    lake.acknowledged |= lake.files[0][1]
    lake.check("before the first kill")
    killed = 0
    for number, delay in zip(range(kills * 4), delays(chosen, whole_s), strict=False):
        if killed == kills:
            break
        file, ids = lake.files[number % FILES]
        what = ["ingest", "compact", "two"][number % 3] if number else "ingest"
        if what == "ingest":
            process = lake.start("ingest", file)
            if not kill_during(process, delay):
                assert process.returncode == 4
                lake.acknowledged |= ids
                continue
        elif what == "compact":
            if not kill_during(lake.start("compact", "--grace-hours", 0), delay):
                continue
        else:
            other, other_ids = lake.files[(number + 1) % FILES]
            survivor = lake.start("ingest", file, other)
            kill_during(lake.start("ingest", other, file), delay)
            _, err = survivor.communicate(timeout=120)
            assert survivor.returncode == 4, err
            lake.acknowledged |= ids | other_ids
        killed += 1
        lake.check(f"kill {killed}, {what}, after {delay:.3f} s")
    assert killed == kills
    lake.finish()


def test_a_few_kills_lose_and_double_nothing(tmp_path: Path) -> None:
    torment(Lake(tmp_path), random.Random(2026), kills=3)


@pytest.mark.torture
@pytest.mark.parametrize("seed", range(5))
def test_fifty_kills_lose_and_double_nothing(tmp_path: Path, seed: int) -> None:
    print(f"seed {seed}")  # noqa: T201
    torment(Lake(tmp_path), random.Random(seed), kills=10)


@pytest.mark.parametrize(
    "moment",
    [
        "write_table", "_sync_log", "publish", "replace_files", "keep",
        *(pytest.param(moment, marks=pytest.mark.torture)
          for moment in ("add_files", "ensure", "write", "sweep", "vacuum")),
    ],
)  # fmt: skip
def test_death_right_before_and_right_after_each_step_loses_and_doubles_nothing(
    tmp_path: Path, moment: str
) -> None:
    """The same without luck: the process dies at a named step, in every order that there is."""
    lake = Lake(tmp_path, records=40)
    process = lake.start("ingest", lake.files[0][0], lake.files[1][0])
    process.communicate()
    lake.acknowledged |= lake.files[0][1] | lake.files[1][1]
    deaths = 0
    for when in ("before", "after"):
        for arguments in (
            ["ingest", str(lake.files[2][0]), str(lake.files[3][0])],
            ["compact", "--grace-hours", "0"],
        ):
            done = subprocess.run(
                [sys.executable, "-c", _DIES, moment, when, *arguments, "--lake", str(lake.root)],
                capture_output=True, check=False, timeout=120,
            )  # fmt: skip
            deaths += done.returncode == -signal.SIGKILL
            lake.check(f"{arguments[0]} died {when} {moment}")
    assert deaths >= 2, "before and after, in one command at least"
    lake.finish()


_DIES = """
import os, sys
from forensics.cli import main
from forensics.ingest import quarantine
from forensics.lake import catalog, compact, tables, writer

moment, when, *arguments = sys.argv[1:]
for module in (tables, writer, catalog, quarantine):
    step = module.__dict__.get(moment)
    if step is None or not callable(step):
        continue

    def dying(*given, _step=step, **named):
        if when == "after":
            _step(*given, **named)
        os.kill(os.getpid(), 9)

    setattr(module, moment, dying)
main.run(arguments)
"""
