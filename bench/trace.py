"""Trace: what looking one decision up costs in a small and in a large lake.

The promise is that it costs the same in both, and little more than loading the query engine. Whole
cold processes are timed in turns: ``forensics trace`` on both lakes, ``import duckdb`` alone, a
scan of the same files by DuckDB, and a client of a running, indexed PostgreSQL where one is
installed. Every run asks for another random id.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import _lakes
import _measure
import _postgres
from _lakes import Built
from _measure import FORENSICS, PYTHON, Run

#: Answered, or answered with incomplete evidence: these lakes hold no model files.
_ANSWERED = (0, 4)
_WARM_LOOKUPS = 200
_FOLDER = Path(__file__).parents[1] / "build" / "bench"

OVER_IMPORT_MAX = 2.5
OVER_SMALL_MAX = 1.2
INDEX_BYTES_MAX = 12.0


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", type=int, default=1_000_000, help="decisions")
    parser.add_argument("--large", type=int, default=30_000_000, help="decisions")
    parser.add_argument("--rounds", type=int, default=15, help="cold runs of each")
    parser.add_argument("--scan-rounds", type=int, default=3, help="cold runs of each full scan")
    parser.add_argument("--dir", type=Path, default=_FOLDER, help="where the lakes are kept")
    parser.add_argument("--no-build", action="store_true", help="only use lakes that are there")
    parser.add_argument("--no-postgres", action="store_true", help="leave PostgreSQL out")
    parser.add_argument("--seed", type=int, default=0, help="which ids are asked for")
    arguments = parser.parse_args()
    folder = arguments.dir.resolve()
    lakes = {
        name: _lakes.lake(folder, count, build=not arguments.no_build)
        for name, count in (("small", arguments.small), ("large", arguments.large))
    }
    with ExitStack() as stack:
        _measure.emit("trace", _benchmark(lakes, folder, arguments, stack))


def _benchmark(
    lakes: dict[str, Built], folder: Path, arguments: argparse.Namespace, stack: ExitStack
) -> dict[str, Any]:
    large = lakes["large"]
    seed = arguments.seed
    commands: dict[str, Callable[[], Run]] = {
        "import": lambda: _measure.run([PYTHON, "-c", "import duckdb"])
    }
    for name, built in lakes.items():
        commands[f"trace {name}"] = _tracer(built, _ids(built, seed))
    postgres, refusal = _postgres_with(large, folder, arguments, stack)
    if postgres is not None:
        ids = _ids(large, seed + 1)
        commands["postgres"] = lambda: postgres.look_up(next(ids)[1])
    _measure.note(f"{arguments.rounds} rounds of {', '.join(commands)}")
    runs = _measure.in_turns(commands, arguments.rounds)
    scans = _measure.in_turns(
        {name: _scanner(built, _ids(built, seed + 2)) for name, built in lakes.items()},
        arguments.scan_rounds,
    )
    imported, cold = runs["import"], {name: runs[f"trace {name}"] for name in lakes}
    over_import = _measure.ratio(cold["large"], imported)
    over_small = _measure.ratio(cold["large"], cold["small"])
    sizes = {name: _lakes.size(built) for name, built in lakes.items()}
    index_bytes = sizes["large"]["index_bytes_per_decision"]
    return {
        "decisions": {name: built.decisions for name, built in lakes.items()},
        "rounds": arguments.rounds,
        "cold_ms": {
            "import_duckdb": _measure.wall_ms(imported),
            **{f"trace_{name}": _measure.wall_ms(cold[name]) for name in lakes},
            **{f"duckdb_scan_{name}": _measure.wall_ms(scans[name]) for name in lakes},
            **({"postgres_large": _measure.wall_ms(runs["postgres"])} if postgres else {}),
        },
        "trace_large_over_import": over_import,
        "trace_small_over_import": _measure.ratio(cold["small"], imported),
        "trace_large_over_small": over_small,
        "cpu_over_import": {name: _cpu_ratio(cold[name], imported) for name in lakes},
        "warm_ms": {name: _warm(built, seed + 3) for name, built in lakes.items()},
        "size": sizes,
        "postgres": _said_of(postgres, large) if postgres else {"skipped": refusal},
        "built": {name: built.report for name, built in lakes.items()},
        "goals": [
            _measure.goal(
                f"cold trace of the large lake at most {OVER_IMPORT_MAX} × import duckdb",
                over_import["median_of_pairs"],
                over_import["median_of_pairs"] <= OVER_IMPORT_MAX,
            ),
            _measure.goal(
                f"and at most {OVER_SMALL_MAX} × the same on the small lake",
                over_small["median_of_pairs"],
                over_small["median_of_pairs"] <= OVER_SMALL_MAX,
            ),
            _measure.goal(
                f"index at most {INDEX_BYTES_MAX:g} bytes a decision",
                index_bytes,
                index_bytes <= INDEX_BYTES_MAX,
            ),
        ],
    }


def _cpu_ratio(over: Sequence[Run], under: Sequence[Run]) -> float:
    """How many times the processor time, of the best runs: what a busy machine leaves as it is."""
    best = [min(run.user_s + run.system_s for run in runs) for runs in (over, under)]
    return round(best[0] / best[1], 3)


def _ids(built: Built, seed: int) -> Iterator[tuple[str, str]]:
    return iter(_lakes.some_ids(built.decisions, 100, seed))


def _tracer(built: Built, ids: Iterator[tuple[str, str]]) -> Callable[[], Run]:
    def trace() -> Run:
        request, decision = next(ids)
        command = [FORENSICS, "trace", request, "--no-replay", "--json", "--lake", str(built.root)]
        done = _measure.run(command, accepted=_ANSWERED)
        answer = json.loads(done.stdout)
        assert answer["decision"]["decision_id"] == decision, answer
        assert answer["integrity"]["verified"] is True, answer["integrity"]
        return done

    return trace


def _scanner(built: Built, ids: Iterator[tuple[str, str]]) -> Callable[[], Run]:
    files = built.files()

    def scan() -> Run:
        _, decision = next(ids)
        query = (
            f"SELECT raw FROM read_parquet({files}) "
            f"WHERE request_id = '{decision}' OR decision_id = '{decision}'"
        )
        code = (
            "import duckdb; duckdb.execute('SET enable_progress_bar = false'); "
            f"print(len(duckdb.sql({query!r}).fetchall()))"
        )
        done = _measure.run([PYTHON, "-c", code])
        assert done.stdout.strip() == b"1", done.stdout[-200:]
        return done

    return scan


def _warm(built: Built, seed: int) -> dict[str, float]:
    """Look-ups in one process that has the lake open."""
    import forensics

    lake = forensics.open(built.root)
    ids = _lakes.some_ids(built.decisions, _WARM_LOOKUPS + 5, seed)
    times = []
    for request, decision in ids:
        began = time.perf_counter()
        (found,) = lake.trace(request, replay=False)
        times.append((time.perf_counter() - began) * 1000)
        assert found.decision.decision_id == decision
    times = sorted(times[5:])
    return {
        "lookups": len(times),
        "p50": round(times[len(times) // 2], 1),
        "p99": round(times[int(len(times) * 0.99) - 1], 1),
        "max": round(times[-1], 1),
    }


def _postgres_with(
    built: Built, folder: Path, arguments: argparse.Namespace, stack: ExitStack
) -> tuple[_postgres.Server | None, str]:
    if arguments.no_postgres:
        return None, "not asked for"
    try:
        server = stack.enter_context(_postgres.server(folder / f"postgres-{built.decisions}"))
    except _postgres.Absent as absent:
        return None, str(absent)
    _measure.note("loading PostgreSQL, unless it is")
    server.load(built.files(), built.decisions)
    return server, ""


def _said_of(server: _postgres.Server, built: Built) -> dict[str, Any]:
    sizes = server.sizes()
    return {
        "what": "psql against a running server; ids, time, outcome and score only, a B-tree on "
        "each id",
        "index_bytes_per_decision": round(sizes["indexes"] / built.decisions, 1),
        "table_bytes_per_decision": round(sizes["table"] / built.decisions, 1),
    }


if __name__ == "__main__":
    main()
