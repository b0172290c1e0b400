"""Report: what a person's complete report costs, cold, in a lake of many decisions.

The promise is under 5 seconds over 30 million decisions. Whole cold processes of ``forensics report
subject`` are timed on the lake of bench/replay.py, each about another person; then in one process
what they spend it on: finding the person's decisions by a scan, running each again with its
attribution and its nearest change, and writing the forms. The scan over 30 million rows is timed
over the lake's files named as often as it takes to be so many.
"""

from __future__ import annotations

import argparse
import os
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import _measure
from _measure import FORENSICS, Run

_FOLDER = Path(__file__).parents[1] / "build" / "bench"
_PEOPLE = 300_000
_PROMISED = 30_000_000
SECONDS_MAX = 5.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=3_000_000, help="of the lake")
    parser.add_argument("--rounds", type=int, default=10, help="cold runs")
    parser.add_argument("--dir", type=Path, default=_FOLDER, help="where the lakes are kept")
    parser.add_argument("--seed", type=int, default=0, help="which people are asked for")
    arguments = parser.parse_args()
    root = arguments.dir.resolve() / f"replay-{arguments.decisions}"
    if not root.with_suffix(".json").is_file():
        raise SystemExit(f"No whole lake at {root}: bench/replay.py makes it.")
    _measure.emit("report", _benchmark(root, arguments))


def _benchmark(root: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    people = random.Random(arguments.seed)

    def person() -> str:
        return f"c-{people.randrange(_PEOPLE)}"

    def cold() -> Run:
        command = [FORENSICS, "report", "subject", person(), "--lake", str(root)]
        return _measure.run(command, accepted=(0, 4))

    runs = _measure.in_turns({"subject": cold}, arguments.rounds)["subject"]
    parts, many = _parts(root, person)
    best = min(run.wall_s for run in runs)
    scan = many["scan_s"] - parts["find"]["seconds"]
    return {
        "decisions": arguments.decisions,
        "rounds": arguments.rounds,
        "cold_ms": _measure.wall_ms(runs),
        "peak_mb": round(max(run.peak_mb for run in runs)),
        "parts": parts,
        "scan_of_many": many,
        "goals": [
            _measure.goal(
                f"a person's report over {_PROMISED:,} decisions, cold, in {SECONDS_MAX:g} s: the "
                "best run here, and what a scan of so many takes longer",
                round(best + scan, 2),
                best + scan <= SECONDS_MAX,
            )
        ],
    }


def _parts(root: Path, person: Callable[[], str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """What a report spends its time on, and a scan over as many rows as are promised."""
    from forensics.api import open_lake
    from forensics.lake import find, sql
    from forensics.report.forms import written
    from forensics.report.subject import document, gather

    found: dict[str, Any] = {}
    with open_lake(root) as lake:
        snapshot = lake.snapshot()
        gather(snapshot, person(), workers=lake.workers())  # all is loaded
        subject = person()
        asked = find.Query(subject=subject)
        rows, found["find"] = _timed(lambda: list(find.rows(snapshot, asked)))
        all_of, found["all"] = _timed(lambda: gather(snapshot, subject, workers=lake.workers()))
        made = document(all_of, None, datetime.now(UTC))
        for form in ("md", "html", "pdf"):
            _, found[form] = _timed(lambda form=form: written(made, form))  # type: ignore[misc]
        found["about"] = len(rows)
        (point,) = snapshot.points()
        paths = snapshot.paths(f"decisions/{point}")
        held = sum(file.rows for file in snapshot.files(f"decisions/{point}"))
        times = -(-_PROMISED // held)
        statement = (
            "SELECT decision_id, occurred_at::VARCHAR FROM "
            f"read_parquet({sql.literal(paths * times)}, union_by_name = true) "
            f"WHERE subject.id = {sql.literal(subject)}"
        )
        runs = [_timed(lambda: snapshot.connection.execute(statement).fetchall()) for _ in range(3)]
        best = min((spent for _, spent in runs), key=lambda spent: spent["seconds"])
    return found, {
        "rows": held * times, "scan_s": best["seconds"], "scan_cpu_s": best["cpu_s"],
    }  # fmt: skip


def _timed(work: Callable[[], Any]) -> tuple[Any, dict[str, float]]:
    """What it gives, and seconds by the clock and of this process's processors."""
    began, before = time.perf_counter(), os.times()
    answer = work()
    after = os.times()
    cpu = after.user + after.system - before.user - before.system
    return answer, {"seconds": round(time.perf_counter() - began, 3), "cpu_s": round(cpu, 3)}


if __name__ == "__main__":
    main()
