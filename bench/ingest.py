"""Ingest: decisions a second from JSON lines into a committed, indexed lake with its leaves.

Beside it, in the same run and in turns, DuckDB copies the same file to Parquet: what one engine
needs to parse and compress the records when nothing has to be checked, hashed, indexed or durable.
"""

from __future__ import annotations

import argparse
import gzip
import json
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _measure
import _records
import duckdb
import zstandard
from _measure import FORENSICS, PYTHON, Run

GOAL_PER_SECOND = 50_000
FORMS = ("plain", "gz", "zst")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=500_000)
    parser.add_argument("--padding", type=int, default=0, help="bytes of extra text a record")
    parser.add_argument("--rounds", type=int, default=3, help="runs of each form and side")
    parser.add_argument("--forms", nargs="+", choices=FORMS, default=FORMS)
    parser.add_argument("--dir", type=Path, help="where to work; else a temporary folder")
    arguments = parser.parse_args()
    if arguments.dir:
        arguments.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="bench-ingest-") as name:
        _measure.emit("ingest", _benchmark(Path(name), arguments))


def _benchmark(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    count = arguments.records
    files, record_bytes = _write(folder, count, arguments.padding, arguments.forms)
    commands: dict[str, Callable[[], Run]] = {}
    for form, file in files.items():
        commands[f"forensics {form}"] = lambda file=file: _ingest(folder / "lake", file, count)
        commands[f"duckdb {form}"] = lambda file=file: _copy(file, folder / "copy.parquet")
    _measure.note(f"measuring {arguments.rounds} rounds of {len(commands)}")
    runs = _measure.in_turns(commands, arguments.rounds, warm=0)
    document: dict[str, Any] = {
        "records": count,
        "features": len(_records.FEATURES),
        "bytes_per_record": record_bytes,
        "rounds": arguments.rounds,
        "duckdb_peer": "COPY (SELECT * FROM read_json(FILE)) TO Parquet with zstd, no fsync, "
        "received bytes not kept",
    }
    for form, file in files.items():
        ours, theirs = runs[f"forensics {form}"], runs[f"duckdb {form}"]
        document[form] = {
            "file_bytes": file.stat().st_size,
            "forensics": _side(ours, count),
            "duckdb_copy": _side(theirs, count),
            "forensics_over_duckdb": _measure.ratio(ours, theirs),
        }
    document["lake_bytes_per_record"] = round(_size(folder / "lake") / count, 1)
    if "plain" in document:
        rate = document["plain"]["forensics"]["per_second"]["median"]
        statement = f"at least {GOAL_PER_SECOND:,} decisions/s of plain JSON lines"
        document["goals"] = [_measure.goal(statement, rate, rate >= GOAL_PER_SECOND)]
    return document


def _write(folder: Path, count: int, padding: int, forms: list[str]) -> tuple[dict[str, Path], int]:
    """The files by form, and the bytes of one record as plain JSON."""
    _measure.note(f"writing {count:,} records")
    plain = folder / "decisions.jsonl"
    query = _records.decisions(0, count, count, times="text")
    if padding:
        # Letters of a hash: text that does not compress to nothing.
        text = f"left(repeat(md5(request_id), {padding // 32 + 1}), {padding})"
        query = f"SELECT *, {text} AS note FROM ({query})"
    duckdb.sql(f"COPY ({query}) TO '{plain}' (FORMAT json)")
    files = {"plain": plain}
    if "gz" in forms:
        files["gz"] = folder / "decisions.jsonl.gz"
        with plain.open("rb") as source, gzip.open(files["gz"], "wb", compresslevel=6) as target:
            shutil.copyfileobj(source, target, 1 << 20)
    if "zst" in forms:
        files["zst"] = folder / "decisions.jsonl.zst"
        with plain.open("rb") as source, files["zst"].open("wb") as target:
            zstandard.ZstdCompressor(level=3).copy_stream(source, target)
    wanted = {form: files[form] for form in FORMS if form in forms}
    return wanted, round(plain.stat().st_size / count)


def _ingest(lake: Path, file: Path, count: int) -> Run:
    """Ingest ``file`` into a new lake; what is timed ends when all of it is committed."""
    shutil.rmtree(lake, ignore_errors=True)
    _measure.run([FORENSICS, "init", str(lake)])
    done = _measure.run([FORENSICS, "ingest", str(file), "--lake", str(lake), "--json"])
    report = json.loads(done.stdout)
    assert report["landed"] == count, report
    _check_settled(lake)
    return done


def _check_settled(lake: Path) -> None:
    """All that landed is indexed: a reader need not scan."""
    from forensics.lake.snapshot import take

    snapshot = take(lake)
    assert not snapshot.unindexed
    table = snapshot.known.tables[f"decisions/{_records.POINT}"]
    # A decision and its request have an entry each.
    assert sum(run.entries for run in snapshot.known.runs) == 2 * table.rows


def _copy(file: Path, target: Path) -> Run:
    target.unlink(missing_ok=True)
    query = (
        f"COPY (SELECT * FROM read_json('{file}', format = 'newline_delimited')) "
        f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    )
    return _measure.run([PYTHON, "-c", f"import duckdb; duckdb.sql({query!r})"])


def _side(runs: list[Run], count: int) -> dict[str, Any]:
    return {
        "per_second": _measure.spread([count / run.wall_s for run in runs], 0),
        "wall_s": _measure.spread([run.wall_s for run in runs], 2),
        "user_cpu_s": round(statistics.median(run.user_s for run in runs), 2),
        "system_cpu_s": round(statistics.median(run.system_s for run in runs), 2),
        "user_cpu_us_per_record": round(
            statistics.median(run.user_s for run in runs) / count * 1e6, 2
        ),
        "peak_mb": round(max(run.peak_mb for run in runs)),
    }


def _size(folder: Path) -> int:
    du = subprocess.run(["du", "-sb", str(folder)], capture_output=True, check=True, text=True)
    return int(du.stdout.split()[0])


if __name__ == "__main__":
    main()
