"""Verify: records a second whose leaves are made again, and the proof of one decision.

Beside it, in the same run and in turns, ``sha256sum`` reads the same data files: the least that any
check of their bytes can take. Sealing's share of an ingest is told by ingesting without it.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _measure
import _records
import duckdb
from _measure import FORENSICS, PYTHON, Run

GOAL_PER_SECOND = 100_000
GOAL_PROOF_SECONDS = 0.5
GOAL_INGEST_SHARE = 0.95
#: Ingests in one process with sealing taken out: what the difference is, sealing takes.
_UNSEALED = """
import sys
from forensics.cli import main
from forensics.lake import seal
if sys.argv[1] == "unsealed":
    seal.prepare_all = lambda *a: ()
    seal.file_note = lambda *a: None
    seal.seal = lambda *a, **k: True
    seal.recover = lambda *a: None
sys.exit(main.run(["ingest", sys.argv[2], "--lake", sys.argv[3], "--workers", "0"]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, help="where to work; else a temporary folder")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="bench-verify-") as name:
        folder = Path(name)
        for variable in ("FORENSICS_KEY_DIR", "XDG_STATE_HOME"):
            os.environ[variable] = _measure.ENVIRONMENT[variable] = str(folder / variable)
        _measure.emit("verify", _benchmark(folder, arguments.records, arguments.rounds))


def _benchmark(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    lines = folder / "decisions.jsonl"
    query = _records.decisions(0, count, count, times="text")
    duckdb.sql(f"COPY ({query}) TO '{lines}' (FORMAT json)")
    lake = folder / "lake"
    _measure.run([FORENSICS, "init", str(lake)])
    _measure.run([FORENSICS, "ingest", str(lines), "--lake", str(lake)])
    middle = f"SELECT request_id FROM '{lines}' LIMIT 1 OFFSET {count // 2}"
    ((request,),) = duckdb.sql(middle).fetchall()
    files = sorted(str(path) for path in (lake / "decisions").rglob("part-*.parquet"))
    commands: dict[str, Callable[[], Run]] = {
        "verify": lambda: _verify(lake, count),
        "verify --deep": lambda: _verify(lake, count, "--deep"),
        "proof": lambda: _measure.run(
            [FORENSICS, "verify", request, "--lake", str(lake), "--proof", str(folder / "proof")]
        ),
        "sha256sum": lambda: _measure.run(["sha256sum", *files]),
        "ingest sealed": lambda: _ingest(folder, lines, "sealed"),
        "ingest unsealed": lambda: _ingest(folder, lines, "unsealed"),
    }
    runs = _measure.in_turns(commands, rounds, warm=0)
    seconds = {name: [run.wall_s for run in found] for name, found in runs.items()}
    cpu = {name: min(r.user_s + r.system_s for r in found) for name, found in runs.items()}
    rate = count / min(seconds["verify"])
    share = cpu["ingest unsealed"] / cpu["ingest sealed"]
    proof = min(seconds["proof"])
    log = sum(p.stat().st_size for p in (lake / "log").rglob("*") if p.is_file())
    return {
        "records": count,
        "rounds": rounds,
        "seconds": {name: _measure.spread(found, 3) for name, found in seconds.items()},
        "cpu_seconds": {name: round(found, 2) for name, found in cpu.items()},
        "verify_per_second": round(rate),
        "verify_per_cpu_second": round(count / cpu["verify"]),
        "verify_deep_per_second": round(count / min(seconds["verify --deep"])),
        "proof_median_s": round(statistics.median(seconds["proof"]), 3),
        "log_bytes_per_record": round(log / count, 1),
        "ingest_speed_with_sealing": round(share, 3),
        "goals": [
            _measure.goal("at least 100,000 records/s re-verified", rate, rate >= GOAL_PER_SECOND),
            _measure.goal("proof of one decision under 0.5 s", proof, proof < GOAL_PROOF_SECONDS),
            _measure.goal(
                "ingest keeps at least 95 % of its speed", share, share >= GOAL_INGEST_SHARE
            ),
        ],
    }


def _verify(lake: Path, count: int, *options: str) -> Run:
    done = _measure.run([FORENSICS, "verify", "--lake", str(lake), "--json", *options])
    said = json.loads(done.stdout)
    assert (said["status"], said["sealed_records"]) == ("whole", count), said
    return done


def _ingest(folder: Path, lines: Path, how: str) -> Run:
    lake = folder / f"lake-{how}"
    shutil.rmtree(lake, ignore_errors=True)
    _measure.run([FORENSICS, "init", str(lake)])
    return _measure.run([PYTHON, "-c", _UNSEALED, how, str(lines), str(lake)])


if __name__ == "__main__":
    main()
