"""Audit: the completeness of 30 days of decisions, and what never came, cold process.

Beside it a DuckDB process counts decisions by day and how many have no score, no threshold and no
model digest, over the same files: it checks no artifacts, no writers' numbers and no classes.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import _lakes
import _measure
from _measure import FORENSICS, PYTHON, Run

_FOLDER = Path(__file__).parents[1] / "build" / "bench"
GOAL_S = 60.0
_PEER = """
import sys, duckdb
duckdb.execute("SET enable_progress_bar = false")
print(duckdb.sql(f'''SELECT occurred_at::DATE AS day, count(*), count(score), count(threshold),
    count(model.digest) FROM read_parquet({sys.argv[1:]!r}, union_by_name = true)
    GROUP BY day''').fetchall())
"""


def main() -> None:
    """Builds the lake where it is not there yet, measures, and prints one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=30_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--dir", type=Path, default=_FOLDER, help="where the lake is kept")
    parser.add_argument("--no-build", action="store_true", help="only a lake that is there")
    asked = parser.parse_args()
    built = _lakes.lake(asked.dir.resolve(), asked.decisions, build=not asked.no_build)
    runs = _measure.in_turns(
        {
            "audit": lambda: _audit(built.root),
            "duckdb": lambda: _measure.run([PYTHON, "-c", _PEER, *built.files()]),
        },
        asked.rounds,
    )
    found = json.loads(runs["audit"][0].stdout)
    assert found["decisions"] == asked.decisions, found["decisions"]
    wall_s = min(run.wall_s for run in runs["audit"])
    _measure.emit(
        "audit",
        {
            "decisions": found["decisions"],
            **{name: _size(of) for name, of in runs.items()},
            "goals": [
                _measure.goal(f"30 days in under {GOAL_S:g} s", wall_s, wall_s < GOAL_S),
            ],
        },
    )


def _audit(lake: Path) -> Run:
    return _measure.run([FORENSICS, "audit", "--days", "30", "--lake", str(lake), "--json"])


def _size(runs: list[Run]) -> dict[str, Any]:
    return {
        "wall_ms": _measure.wall_ms(runs),
        "cpu_s": round(min(run.user_s + run.system_s for run in runs), 2),
        "peak_mb": round(max(run.peak_mb for run in runs)),
    }


if __name__ == "__main__":
    main()
