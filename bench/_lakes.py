"""Lakes of many decisions, made by the same commands that a user has.

DuckDB writes the records as Parquet in pieces, ``forensics ingest`` takes each piece in (received
bytes, salts, leaves, index and summaries are what any lake has), then ``forensics compact`` runs.
"""

from __future__ import annotations

import json
import random
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import _measure
import _records
import duckdb
from _measure import FORENSICS

PIECE_ROWS = 2_500_000


@dataclass(frozen=True, slots=True)
class Built:
    """One lake and how it was made."""

    root: Path
    decisions: int
    report: dict[str, Any]

    def files(self) -> list[str]:
        """The live files that hold the decisions."""
        from forensics.lake.snapshot import take

        return take(self.root).paths(f"decisions/{_records.POINT}")


def lake(folder: Path, count: int, *, build: bool) -> Built:
    """The lake of ``count`` decisions under ``folder``; one that is whole is used again.

    Raises:
        SystemExit: when it is not there and must not be built.
    """
    root, report = folder / f"lake-{count}", folder / f"lake-{count}.json"
    if report.is_file():
        known = json.loads(report.read_text(encoding="utf-8"))
        if known["records_version"] == _records.VERSION:
            return Built(root, count, known)
    if not build:
        raise SystemExit(f"No whole lake at {root}, and --no-build forbids to make one.")
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    made = _build(root, count, folder / f"piece-{count}.parquet")
    report.write_text(json.dumps(made), encoding="utf-8")
    return Built(root, count, made)


def _build(root: Path, count: int, piece: Path) -> dict[str, Any]:
    _measure.run([FORENSICS, "init", str(root)])
    changes = piece.with_suffix(".changes.jsonl")
    changes.write_text(_records.changes(), encoding="utf-8")
    _ingest(root, changes)
    changes.unlink()
    wall = cpu = peak = 0.0
    for first in range(0, count, PIECE_ROWS):
        last = min(first + PIECE_ROWS, count)
        duckdb.sql(f"COPY ({_records.decisions(first, last, count)}) TO '{piece}' (FORMAT parquet)")
        done = _ingest(root, piece)
        wall, cpu = wall + done.wall_s, cpu + done.user_s + done.system_s
        peak = max(peak, done.peak_mb)
        _measure.note(f"{last:,} of {count:,} decisions, {last / wall:,.0f} a second")
    piece.unlink()
    compact = _measure.run(
        [FORENSICS, "compact", "--lake", str(root), "--grace-hours", "0", "--json"]
    )
    _measure.note(f"compacted in {compact.wall_s:.0f} s")
    return {
        "records_version": _records.VERSION,
        "ingest_parquet": {
            "per_second": round(count / wall),
            "wall_s": round(wall, 1),
            "cpu_us_per_record": round(cpu / count * 1e6, 1),
            "peak_mb": round(peak),
        },
        "compact": {
            **json.loads(compact.stdout),
            "wall_s": round(compact.wall_s, 1),
            "peak_mb": round(compact.peak_mb),
        },
    }


def _ingest(root: Path, file: Path) -> _measure.Run:
    done = _measure.run([FORENSICS, "ingest", str(file), "--lake", str(root), "--json"])
    assert json.loads(done.stdout)["quarantined"] == 0, done.stdout
    return done


def some_ids(count: int, how_many: int, seed: int) -> list[tuple[str, str]]:
    """Request id and decision id of random rows all over a lake of ``count``."""
    rows = random.Random(seed).sample(range(count), how_many)
    query = (
        f"SELECT {_records.request_id('i')}, {_records.decision_id('i')} "
        f"FROM (SELECT unnest({rows}) AS i)"
    )
    return [(request, decision) for request, decision in duckdb.sql(query).fetchall()]


def size(built: Built) -> dict[str, Any]:
    """What a decision takes in the lake and in its index."""
    from forensics.lake.snapshot import take

    known = take(built.root).known
    index = built.root / "index"
    live = sum((index / run.name).stat().st_size for run in known.runs)
    on_disk = sum(path.stat().st_size for path in index.glob("run-*.parquet"))
    records = sum(Path(path).stat().st_size for path in built.files())
    summaries = sum((index / name).stat().st_size for name in (*known.profiles, *known.usages))
    count = built.decisions
    return {
        "files": len(built.files()),
        "record_bytes_per_decision": round(records / count, 1),
        "index_bytes_per_decision": round(live / count, 2),
        "index_bytes_per_decision_with_retired_runs": round(on_disk / count, 2),
        "index_runs": len(known.runs),
        "index_entries_per_decision": round(sum(run.entries for run in known.runs) / count, 3),
        "summary_bytes": summaries,
        "catalog_bytes": (index / "catalog.json").stat().st_size,
    }
