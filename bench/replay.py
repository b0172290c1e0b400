"""Bulk replay: decisions a second through the whole decision, beside the model library alone.

The lake holds decisions that a service of 300 trees of depth 6 over 30 features would have logged.
``Lake.replay`` reads them from the lake's files with checksums, runs the model in processes with
limits, runs the rules, and compares scores byte by byte, outcomes and deciding rules. The peer is
``xgboost.Booster.inplace_predict`` on a float32 matrix of the same rows that is in memory already,
with as many threads: it reads, decides and compares nothing.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _measure
import _records
import duckdb
import numpy as np
import pyarrow as pa
from _measure import FORENSICS, PYTHON, Run

_FOLDER = Path(__file__).parents[1] / "build" / "bench"
#: A lake that another version of this file made is made anew.
VERSION = 3
GOAL = 0.8
PIECE_ROWS = 500_000
TREES, DEPTH, TRAINED_ROWS = 300, 6, 20_000

#: 30 numbers: the features of the other benchmarks without the three that are text.
FEATURES = {
    **{k: v for k, v in _records.FEATURES.items() if k not in ("channel", "job", "region")},
    "enquiries": "floor(12 * pow((hash(i * 64 + 50) >> 11) / 9007199254740992.0, 2))::BIGINT",
    "dependants": "floor(5 * pow((hash(i * 64 + 51) >> 11) / 9007199254740992.0, 2))::BIGINT",
    "savings": "floor(90000 * pow((hash(i * 64 + 52) >> 11) / 9007199254740992.0, 3))::BIGINT",
}
assert len(FEATURES) == 30
CONFIG = {"threshold": 0.8, "refer_threshold": 0.6, "max_delay": 7}
RULES = {
    "type": "rules",
    "name": "credit_line",
    "version": "7",
    "rules": [
        {"id": "R1", "when": "delay_1 >= max_delay", "outcome": "DECLINE"},
        {"id": "R2", "when": "score >= threshold", "outcome": "DECLINE"},
        {"id": "R3", "when": "score >= refer_threshold", "outcome": "REFER"},
    ],
    "default": {"id": "R0", "outcome": "APPROVE"},
}

_BARE = """
import json, sys, time
import numpy as np, xgboost as xgb
model, matrix, threads = sys.argv[1], np.load(sys.argv[2]), int(sys.argv[3])
booster = xgb.Booster(model_file=model)
booster.set_param({"nthread": threads})
booster.inplace_predict(matrix[:1000])
began, used = time.perf_counter(), time.process_time()
booster.inplace_predict(matrix)
print(json.dumps([time.perf_counter() - began, time.process_time() - used]))
"""
_OURS = """
import json, resource, sys, time
import forensics, numpy, pyarrow.parquet, duckdb, forensics.replay.bulk.answer
def used():
    return sum(sum(resource.getrusage(who)[:2])
               for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
with forensics.open(sys.argv[1]) as lake:
    began, before = time.perf_counter(), used()
    found = lake.replay("credit_line", workers=int(sys.argv[2]))
    wall = time.perf_counter() - began
    assert found.is_exact and found.verdicts["bit_exact"] == int(sys.argv[3]), found.verdicts
    peak = [int(line.split()[1]) / 1024 for line in open("/proc/self/status") if "VmHWM" in line]
    print(json.dumps([wall, used() - before, *peak]))
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=3_000_000)
    parser.add_argument("--small", type=int, default=200_000, help="for the growth of memory")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--dir", type=Path, default=_FOLDER, help="where the lakes are kept")
    arguments = parser.parse_args()
    folder = arguments.dir.resolve()
    lakes = {count: _lake(folder, count) for count in (arguments.small, arguments.decisions)}
    _measure.emit("replay", _benchmark(folder, lakes, arguments))


def _benchmark(
    folder: Path, lakes: dict[int, Path], arguments: argparse.Namespace
) -> dict[str, Any]:
    count, threads = arguments.decisions, str(arguments.threads)
    root = lakes[count]
    model, matrix = str(folder / "replay-model.ubj"), str(folder / f"replay-{count}.npy")
    commands: dict[str, Callable[[], Run]] = {
        "bare": lambda: _measure.run([PYTHON, "-c", _BARE, model, matrix, threads]),
        "replay": lambda: _measure.run([PYTHON, "-c", _OURS, str(root), threads, str(count)]),
        "command": lambda: _command(root, count, threads),
    }
    _measure.note(f"{arguments.rounds} rounds of {', '.join(commands)} on {count:,} decisions")
    runs = _measure.in_turns(commands, arguments.rounds)
    bare, ours = ([json.loads(run.stdout) for run in runs[name]] for name in ("bare", "replay"))
    ratios = [b[0] / o[0] for b, o in zip(bare, ours, strict=True)]
    peaks = {
        str(size): json.loads(
            _measure.run([PYTHON, "-c", _OURS, str(lake), threads, str(size)]).stdout
        )[2]
        for size, lake in lakes.items()
    }
    ratio = float(np.median(ratios))
    return {
        "decisions": count,
        "features": len(FEATURES),
        "trees": TREES,
        "depth": DEPTH,
        "threads": arguments.threads,
        "rounds": arguments.rounds,
        "bare_per_second": _measure.spread([count / b[0] for b in bare], 0),
        "replay_per_second": _measure.spread([count / o[0] for o in ours], 0),
        "command_per_second": _measure.spread([count / r.wall_s for r in runs["command"]], 0),
        "command_wall_s": _measure.spread([run.wall_s for run in runs["command"]], 2),
        "bare_cpu_us_per_decision": round(min(b[1] for b in bare) / count * 1e6, 3),
        "replay_cpu_us_per_decision": round(min(o[1] for o in ours) / count * 1e6, 3),
        "replay_over_bare": {
            "median_of_pairs": round(ratio, 3),
            "of_shortest": round(min(b[0] for b in bare) / min(o[0] for o in ours), 3),
            "of_cpu": round(min(b[1] for b in bare) / min(o[1] for o in ours), 3),
        },
        "peak_mb_by_decisions": {size: round(peak) for size, peak in peaks.items()},
        "goals": [
            _measure.goal(
                f"at least {GOAL} × the rows a second of the bare library", ratio, ratio >= GOAL
            )
        ],
    }


def _command(root: Path, count: int, threads: str) -> Run:
    done = _measure.run(
        [FORENSICS, "replay", "--decision-point", _records.POINT, "--lake", str(root),
         "--workers", threads, "--json"]
    )  # fmt: skip
    answer = json.loads(done.stdout)
    assert answer["verdicts"]["bit_exact"] == count, answer["verdicts"]
    return done


def _lake(folder: Path, count: int) -> Path:
    """The lake of ``count`` decisions under ``folder``; one that is whole is used again."""
    root, whole = folder / f"replay-{count}", folder / f"replay-{count}.json"
    if whole.is_file() and json.loads(whole.read_text(encoding="utf-8")) == VERSION:
        return root
    folder.mkdir(parents=True, exist_ok=True)
    shutil.rmtree(root, ignore_errors=True)
    model = _model(folder / "replay-model.ubj")
    artifacts = {"config": CONFIG, "rules": RULES}
    files = [folder / "replay-model.ubj"]
    for name, document in artifacts.items():
        path = folder / f"replay-{name}.json"
        path.write_text(json.dumps(document), encoding="utf-8")
        files.append(path)
    _measure.run([FORENSICS, "init", str(root)])
    _measure.run(
        [FORENSICS, "ingest", "--format", "artifact", "--lake", str(root), *map(str, files)]
    )
    matrices = []
    piece = folder / "replay-piece.parquet"
    for first in range(0, count, PIECE_ROWS):
        last = min(first + PIECE_ROWS, count)
        matrices.append(_matrix(first, last))
        scores = model.inplace_predict(matrices[-1])
        _write(piece, first, last, count, matrices[-1], scores, [_digest(file) for file in files])
        _measure.run([FORENSICS, "ingest", str(piece), "--lake", str(root), "--json"])
        _measure.note(f"{last:,} of {count:,} decisions")
    piece.unlink()
    _measure.run([FORENSICS, "compact", "--lake", str(root), "--grace-hours", "0", "--json"])
    np.save(folder / f"replay-{count}.npy", np.concatenate(matrices))
    whole.write_text(json.dumps(VERSION), encoding="utf-8")
    return root


def _model(path: Path) -> Any:
    import xgboost

    if not path.is_file():
        _measure.note(f"training {TREES} trees")
        rows = _matrix(10**9, 10**9 + TRAINED_ROWS)
        scaled = (rows - rows.mean(0)) / rows.std(0)
        random = np.random.default_rng(1)
        risk = scaled @ random.normal(size=len(FEATURES)) + random.normal(0, 2, len(rows))
        risk += 2 * scaled[:, 0] * scaled[:, 1] - scaled[:, 5] * scaled[:, 9]
        booster = xgboost.train(
            {"objective": "binary:logistic", "max_depth": DEPTH, "eta": 0.08, "seed": 1},
            xgboost.DMatrix(rows, (risk > 0).astype(int), feature_names=list(FEATURES)),
            TREES,
        )
        booster.save_model(path)
    return xgboost.Booster(model_file=path)


def _matrix(first: int, last: int) -> np.ndarray:
    columns = ", ".join(f"({value})::FLOAT AS {name}" for name, value in FEATURES.items())
    source = f"(SELECT unnest(generate_series({first}, {last - 1})) AS i)"
    found = duckdb.sql(f"SELECT {columns} FROM {source}").fetchnumpy()
    return np.column_stack([np.asarray(found[name], np.float32) for name in FEATURES])


def _write(
    path: Path,
    first: int,
    last: int,
    of: int,
    rows: np.ndarray,
    scores: np.ndarray,
    digests: list[str],
) -> None:
    """Records as a service logs them, with what its model, rules and configuration answered."""
    model, config, rules = digests
    late = rows[:, list(FEATURES).index("delay_1")] >= CONFIG["max_delay"]
    doubles = scores.astype(np.float64)
    bars = (doubles >= CONFIG["threshold"], doubles >= CONFIG["refer_threshold"])
    rule = np.select([late, *bars], [1, 2, 3], 0)
    raw = [score.tobytes().hex() for score in scores]
    columns = {"i": np.arange(first, last), "s": doubles, "hex": raw, "rule": rule}
    connection = duckdb.connect()
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    connection.register("scored", pa.table(columns))
    outcome = "['APPROVE', 'DECLINE', 'DECLINE', 'REFER'][1 + rule]"
    features = ", ".join(f"{name} := {value}" for name, value in FEATURES.items())
    spacing = f"{_records.DAYS * 86_400_000_000}::HUGEINT"
    micros = f"({int(_records.START.timestamp()) * 1_000_000} + i * {spacing} // {of})::BIGINT"
    place = "(hash(i * 64 + 60) >> 11) % 4"
    connection.execute(
        f"""
        COPY (
            SELECT '{_records.POINT}' AS decision_point, {_records.decision_id("i")} AS decision_id,
                   {_records.request_id("i")} AS request_id,
                   make_timestamptz({micros}) AS occurred_at, {outcome} AS outcome, s AS score,
                   'float32' AS score_dtype, hex AS score_bytes,
                   {CONFIG["threshold"]}::DOUBLE AS threshold, 'production' AS environment,
                   ['eu-north-1', 'eu-west-1'][1 + ({place} % 2)::INTEGER] AS region,
                   'credit-line-' || {place} AS replica,
                   struct_pack(id := 'c-' || (hash(i * 64 + 61) % 300000)) AS subject,
                   struct_pack(name := 'pd', version := 'v1', digest := '{model}',
                               runtime := 'xgboost', runtime_version := '3.2.0') AS model,
                   struct_pack(revision := 'c12', digest := '{config}',
                               "values" := '{json.dumps(CONFIG)}') AS config,
                   struct_pack(pure := true) AS execution,
                   [struct_pack(id := 'fetch', kind := 'feature_fetch', component := 'store',
                                version := '7', digest := NULL::VARCHAR,
                                outputs := '{{"features":30}}'),
                    struct_pack(id := 'model', kind := 'model', component := 'pd', version := 'v1',
                                digest := '{model}', outputs := '{{"score":' || s || '}}'),
                    struct_pack(id := 'rules', kind := 'rules', component := 'credit_line',
                                version := '7', digest := '{rules}',
                                outputs := '{{"outcome":"' || {outcome} || '","rule":"R'
                                           || rule || '"}}')] AS steps,
                   struct_pack({features}) AS features
            FROM scored ORDER BY i
        ) TO '{path}' (FORMAT parquet)
        """
    )


def _digest(file: Path) -> str:
    return "sha256:" + hashlib.sha256(file.read_bytes()).hexdigest()


if __name__ == "__main__":
    main()
