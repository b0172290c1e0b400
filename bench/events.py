"""Lineage events: how many a second land, and what it takes to find a run among them.

Beside the landing, in the same run and in turns, DuckDB copies the same file to Parquet: what one
engine needs to parse and compress the events when nothing is checked, hashed, indexed or durable.
"""

from __future__ import annotations

import argparse
import json
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import _measure
from _measure import FORENSICS, PYTHON, Run

from forensics.lake.snapshot import take
from forensics.lineage import runs
from forensics.testing import run_event

LOOK_UP_MS_MAX = 20
START = datetime(2026, 10, 1, tzinfo=UTC)
JOBS, COLUMNS = 40, 12


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-events-") as name:
        _measure.emit("events", _benchmark(Path(name), arguments.events, arguments.rounds))


def _benchmark(folder: Path, count: int, rounds: int) -> dict[str, Any]:
    lines, array, lake = folder / "events.jsonl", folder / "events.json", folder / "lake"
    _measure.note(f"writing {count:,} events")
    with lines.open("w", encoding="utf-8") as plain, array.open("w", encoding="utf-8") as indented:
        for number in range(count):
            event = _event(number)
            plain.write(json.dumps(event) + "\n")
            indented.write(("[" if number == 0 else ",") + "\n" + json.dumps(event, indent=2))
        indented.write("\n]\n")
    commands: dict[str, Callable[[], Run]] = {
        "duckdb": lambda: _copy(lines, folder / "copy.parquet"),
        "array": lambda: _ingest(lake, array, count),
        "lines": lambda: _ingest(lake, lines, count),
    }
    _measure.note(f"measuring {rounds} rounds of {len(commands)}")
    done = _measure.in_turns(commands, rounds, warm=0)
    look_ups = _look_ups(lake, count)
    slowest = look_ups["by_id_ms"]["median"]
    return {
        "events": count,
        "bytes_per_event": lines.stat().st_size // count,
        "rounds": rounds,
        **{name: _side(done[name], count) for name in commands},
        "lines_over_duckdb": _measure.ratio(done["lines"], done["duckdb"]),
        "lake_bytes_per_event": sum(p.stat().st_size for p in lake.rglob("*")) // count,
        "look_ups": look_ups,
        "goals": [
            _measure.goal(
                f"a run is found by its id in {LOOK_UP_MS_MAX} ms",
                slowest,
                slowest <= LOOK_UP_MS_MAX,
            )
        ],
    }


def _event(number: int) -> dict[str, Any]:
    """START and COMPLETE of one run after the other, of jobs that read one another's tables."""
    run, job = number // 2, number // 2 % JOBS
    fields = [{"name": f"column_{at}", "type": "DOUBLE"} for at in range(COLUMNS)]
    source = {"namespace": "warehouse", "name": f"table_{(job + 7) % JOBS}"}
    edges = {
        field["name"]: {"inputFields": [{**source, "field": field["name"], "transformations": [
            {"type": "DIRECT", "subtype": "TRANSFORMATION"}]}]}
        for field in fields
    }  # fmt: skip
    tests = [{"assertion": "not_null", "column": "column_0", "success": run % 50 > 0}]
    written = {"namespace": "warehouse", "name": f"table_{job}", "facets": {
        "schema": {"fields": fields}, "columnLineage": {"fields": edges},
        "version": {"datasetVersion": f"v{run}"}, "dataQualityAssertions": {"assertions": tests},
    }, "outputFacets": {"outputStatistics": {"rowCount": 1000 + run}}}  # fmt: skip
    return run_event(
        f"00000000-0000-4000-8000-{run:012}",
        at=START + timedelta(seconds=25 * number),
        job=f"job_{job}",
        event_type=("START", "COMPLETE")[number % 2],
        code=f"{run // 5000:040x}",
        inputs=[source],
        outputs=[written],
    )


def _ingest(lake: Path, file: Path, count: int) -> Run:
    shutil.rmtree(lake, ignore_errors=True)
    _measure.run([FORENSICS, "init", str(lake)])
    done = _measure.run([FORENSICS, "ingest", str(file), "--lake", str(lake), "--json"])
    report = json.loads(done.stdout)
    assert report["landed"] == count, report
    return done


def _copy(file: Path, target: Path) -> Run:
    target.unlink(missing_ok=True)
    query = (
        f"COPY (SELECT * FROM read_json('{file}', format = 'newline_delimited')) "
        f"TO '{target}' (FORMAT parquet, COMPRESSION zstd)"
    )
    return _measure.run([PYTHON, "-c", f"import duckdb; duckdb.sql({query!r})"])


def _look_ups(lake: Path, count: int) -> dict[str, dict[str, float]]:
    """Milliseconds of each question, within one process that has asked it before."""
    snapshot = take(lake)
    end = START + timedelta(seconds=25 * count)

    def asked(question: Callable[[int], object]) -> dict[str, float]:
        question(0)
        times = []
        for number in range(1, 21):
            began = time.perf_counter()
            assert question(number)
            times.append((time.perf_counter() - began) * 1000)
        return _measure.spread(times)

    def middle(number: int) -> datetime:
        return START + (end - START) * number / 40 + timedelta(hours=1)

    return {
        "by_id_ms": asked(
            lambda n: runs.by_id(snapshot, f"00000000-0000-4000-8000-{n * count // 50:012}")
        ),
        "writers_ms": asked(
            lambda n: runs.writers(snapshot, f"warehouse/table_{n}", before=middle(n))
        ),
        "tests_ms": asked(
            lambda n: runs.tests(
                snapshot, f"warehouse/table_{n}", after=middle(n) - timedelta(hours=1),
                before=middle(n),
            )
        ),
    }  # fmt: skip


def _side(done: list[Run], count: int) -> dict[str, Any]:
    cpu = statistics.median(run.user_s + run.system_s for run in done)
    return {
        "per_second": _measure.spread([count / run.wall_s for run in done], 0),
        "per_cpu_second": round(count / cpu),
        "peak_mb": round(max(run.peak_mb for run in done)),
    }


if __name__ == "__main__":
    main()
