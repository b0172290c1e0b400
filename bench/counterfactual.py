"""Counterfactuals: how near, how plausible and how fast, beside dice-ml, NICE and treecf.

A model is trained on real credit data (Taiwan, in the corpus; made-up data of the same kind where
that is absent), and for declined cases the nearest change is asked for that gets them approved.
Every method gets the same model, cases and constraints: which features may change, between which
values, on which grid; and every answer is judged by replaying the decision with the model's own
library. Peers run in their own process, of the interpreter named by ``--peers``, and are asked for
no longer than ``--peer-seconds``: how many queries they got through is said.
"""

from __future__ import annotations

import argparse
import csv
import gzip
import json
import math
import os
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import _measure
import numpy as np
from _measure import PYTHON

from forensics.explain.search.conditions import Call, Constant, Name
from forensics.explain.search.effort import units_of
from forensics.explain.search.engine import search
from forensics.explain.search.problem import Lever, Logic, Model, Problem
from forensics.replay.client import ModelWorker
from forensics.replay.ensemble import Ensemble

THRESHOLD = 0.5
#: Levers, work for an answer as the seconds that it takes, and the goals in milliseconds.
SIZES = {"10": (10, 0.026, 30.0), "25": (25, 0.12, 200.0)}
PROVEN_LEVERS, PROVEN_S, PROVEN_SHARE = 12, 2.0, 0.95
MEDIAN_MAX, MEAN_MAX = 1.01, 1.05
_EXACT_S = 2.0
#: How often our own answers are timed.
_TIMES = 3
#: What a peer may take before its first query; how ``timeout`` says that it had to end one.
_PEER_PREPARES_S, _TIMED_OUT = 120.0, 124
_ORDER = (
    "LIMIT_BAL", "PAY_0", "PAY_2", "PAY_3", "BILL_AMT1", "BILL_AMT2", "PAY_AMT1", "PAY_AMT2",
    "PAY_AMT3", "PAY_AMT4", "BILL_AMT3", "PAY_AMT5", "PAY_4", "PAY_5", "PAY_6", "BILL_AMT4",
    "BILL_AMT5", "BILL_AMT6", "PAY_AMT6", "AGE", "EDUCATION_0", "EDUCATION_1", "EDUCATION_2",
    "EDUCATION_3", "MARRIAGE_1",
)  # fmt: skip
_PEERS = {
    "treecf genetic": "treecf", "treecf exact": "treecf", "dice random": "dice_ml",
    "dice genetic": "dice_ml", "nice": "nice",
}  # fmt: skip


class Data(NamedTuple):
    """Rows and labels for training, and rows to decide."""

    names: list[str]
    train: Any
    labels: Any
    test: Any
    made_up: bool


class Trained(NamedTuple):
    """A model in a file, with its trees and what runs it."""

    library: str
    path: Path
    worker: ModelWorker
    ensemble: Ensemble
    dtype: str


class Answers(NamedTuple):
    """By query, a whole row or None, the milliseconds it took, and whether it was proven.

    ``cpu_ms`` is the processor's time of this process, known of our own answers.
    """

    rows: list[Any]
    ms: list[float]
    proven: list[bool]
    cpu_ms: list[float]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--queries", type=int, default=100, help="declined cases")
    parser.add_argument("--models", nargs="+", choices=tuple(_TRAIN), default=tuple(_TRAIN))
    parser.add_argument("--peers", default=PYTHON, help="interpreter that has the other libraries")
    parser.add_argument("--peer-seconds", type=float, default=60.0, help="for each peer and model")
    parser.add_argument("--methods", nargs="*", choices=tuple(_PEERS), default=tuple(_PEERS))
    parser.add_argument("--data", type=Path, default=_corpus(), help="the credit data, gzipped CSV")
    arguments = parser.parse_args()
    data = _read(arguments.data)
    document: dict[str, Any] = {
        "queries": arguments.queries, "threshold": THRESHOLD, "made_up_data": data.made_up,
        "models": {}, "goals": [],
    }  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="bench-counterfactual-") as name:
        for kind in arguments.models:
            _measure.note(f"{kind}: training")
            trained = _TRAIN[kind](Path(name), data)
            with trained.worker:
                found, goals = _of_model(kind, trained, data, Path(name), arguments)
            document["models"][kind] = found
            document["goals"] += goals
    _measure.emit("counterfactual", document)


def _of_model(
    kind: str, trained: Trained, data: Data, folder: Path, arguments: argparse.Namespace
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    declined = data.test[_scores(trained, data.test) >= THRESHOLD][: arguments.queries]
    approved = data.train[_scores(trained, data.train) < THRESHOLD]
    found: dict[str, Any] = {"declined": len(declined)}
    goals = []
    proof = _levers(data, PROVEN_LEVERS)
    _measure.note(f"{kind}: proofs for {len(declined)} cases with {PROVEN_LEVERS} levers")
    proofs = _ours(trained, data, declined, proof, PROVEN_S, prove=True, limit=1)
    share = sum(proofs.proven) / len(declined)
    found["proof"] = {
        "levers": PROVEN_LEVERS, "seconds": PROVEN_S, "proven": round(share, 3),
        "ms": _quantiles(proofs.ms), "cpu_ms": _quantiles(proofs.cpu_ms),
    }  # fmt: skip
    statement = f"{kind}: {PROVEN_LEVERS} levers proven in {PROVEN_S:g} s for {PROVEN_SHARE:.0%}"
    goals.append(_measure.goal(statement, round(share, 3), share >= PROVEN_SHARE))
    for size, (count, seconds, ms_max) in SIZES.items():
        levers = _levers(data, count)
        _measure.note(f"{kind}: {count} levers, the optimum by a long search")
        best = _ours(trained, data, declined, levers, 60.0, prove=True, limit=1)
        least = [_distance(row, to, data, levers) if of else math.nan
                 for row, to, of in zip(declined, best.rows, best.proven, strict=True)]  # fmt: skip
        _measure.note(f"{kind}: {count} levers in {seconds:g} s")
        ours = _ours(trained, data, declined, levers, seconds, prove=False, limit=3, times=_TIMES)
        exact = _ours(trained, data, declined, levers, _EXACT_S, prove=True, limit=1)
        methods = {
            "ours": _judged(trained, data, declined, levers, ours, least, approved),
            "ours exact": _judged(trained, data, declined, levers, exact, least, approved),
        }
        if size == "10":
            _write(trained, data, declined, levers, folder)
            for method in arguments.methods:
                answers = _peer(method, arguments, trained, folder)
                methods[method] = (
                    {"skipped": answers}
                    if isinstance(answers, str)
                    else _judged(trained, data, declined, levers, answers, least, approved)
                )
        found[f"{size}_levers"] = {"optimum_known": sum(best.proven), "methods": methods}
        own = methods["ours"]
        for statement, measured, met in (
            (f"valid when replayed, {size} levers", own["valid"], own["valid"] == 1.0),
            (f"constraint violations, {size} levers", own["violations"], own["violations"] == 0),
            (f"median cost over the optimum, {size} levers", own["over_optimum"]["median"],
             own["over_optimum"]["median"] <= MEDIAN_MAX),
            (f"mean cost over the optimum, {size} levers", own["over_optimum"]["mean"],
             own["over_optimum"]["mean"] <= MEAN_MAX),
            (f"p95 at most {ms_max:g} ms, {size} levers", own["ms"]["p95"],
             own["ms"]["p95"] <= ms_max),
        ):  # fmt: skip
            goals.append(_measure.goal(f"{kind}: {statement}", measured, met))
    return found, goals


def _ours(
    trained: Trained, data: Data, rows: Any, levers: Sequence[Lever], seconds: float, *,
    prove: bool, limit: int, times: int = 1,
) -> Answers:  # fmt: skip
    """Our own answers, which are the same every time, in the shortest of some runs each."""
    answers = Answers([], [], [], [])
    for number, row in enumerate([rows[0], *rows]):
        runs = []
        for _ in range(times):
            began, cpu = time.perf_counter(), time.process_time()
            found = search(
                _problem(trained, data, row, levers), wanted={"APPROVE"}, limit=limit,
                units=units_of(seconds), prove=prove, verify=_verifier(trained, data, row),
            )  # fmt: skip
            runs.append((time.perf_counter() - began, time.process_time() - cpu))
        ms, cpu_ms = (1000 * min(taken) for taken in zip(*runs, strict=True))
        if number == 0:  # imports and the like
            continue
        answer = None
        if found.answers:
            answer = row.copy()
            for name, value in found.answers[0].changes.items():
                answer[data.names.index(name)] = value
        answers.rows.append(answer)
        answers.ms.append(ms)
        answers.cpu_ms.append(cpu_ms)
        answers.proven.append(found.status in ("optimal", "none_exists"))
    return answers


def _problem(trained: Trained, data: Data, row: Any, levers: Sequence[Lever]) -> Problem:
    decline = Call(">=", (Name("score"), Constant(THRESHOLD)))
    return Problem(
        dict(zip(data.names, row.tolist(), strict=True)), tuple(levers),
        (Model(trained.ensemble, tuple(data.names), row.tolist(), link="logit"),),
        Logic(((decline, "DECLINE"), (None, "APPROVE"))),
    )  # fmt: skip


def _verifier(
    trained: Trained, data: Data, row: Any
) -> Callable[[Sequence[Mapping[str, Any]]], list[str | None]]:
    places = {name: at for at, name in enumerate(data.names)}

    def verify(settings: Sequence[Mapping[str, Any]]) -> list[str | None]:
        asked = np.tile(row, (len(settings), 1))
        for at, setting in enumerate(settings):
            for name, value in setting.items():
                asked[at, places[name]] = value
        return ["DECLINE" if s >= THRESHOLD else "APPROVE" for s in _scores(trained, asked)]

    return verify


def _scores(trained: Trained, rows: Any) -> Any:
    given = np.ascontiguousarray(rows, dtype="f4" if trained.dtype == "f" else "f8")
    return np.asarray(trained.worker.predict(given, len(given))[0])


def _write(trained: Trained, data: Data, rows: Any, levers: Sequence[Lever], folder: Path) -> None:
    """What peers read."""
    task = {
        "names": data.names, "rows": rows.tolist(), "threshold": THRESHOLD, "exact_s": _EXACT_S,
        "library": trained.library, "model": trained.path.name,
        "levers": {
            lever.name: {
                "low": lever.low, "high": lever.low + lever.last * lever.step, "step": lever.step,
                "scale": lever.scale,
            }
            for lever in levers
        },
    }  # fmt: skip
    (folder / "queries.json").write_text(json.dumps(task), encoding="utf-8")
    np.save(folder / "train.npy", data.train)


def _peer(
    method: str, arguments: argparse.Namespace, trained: Trained, folder: Path
) -> Answers | str:
    """Another library's answers, or why there are none."""
    python, seconds = arguments.peers, arguments.peer_seconds
    for module in (_PEERS[method], trained.library):
        if not _has(python, module):
            return f"{module} is not installed for the interpreter of --peers"
    _measure.note(f"{method} on {trained.path.name}")
    script = str(Path(__file__).with_name("_counterfactual_peers.py"))
    # Where one query never ends the process has to; what it prepares takes some of them a minute.
    most = str(math.ceil(2 * seconds + _PEER_PREPARES_S))
    command = ["timeout", most, python, script, str(folder), method, str(seconds)]
    done = _measure.run(command, accepted=(0, 1, _TIMED_OUT))
    lines = done.stdout.splitlines()
    if not lines or not lines[-1].startswith(b'{"answers"'):
        return f"no answer within {most} s, or it failed: run bench/_counterfactual_peers.py"
    said = json.loads(lines[-1])
    answers = [None if row is None else np.array(row) for row in said["answers"]]
    return Answers(answers, said["ms"], said["proven"], [])


def _has(python: str, module: str) -> bool:
    code = f"import importlib.util; print(importlib.util.find_spec({module!r}) is not None)"
    return _measure.run([python, "-c", code]).stdout.strip() == b"True"


def _judged(
    trained: Trained, data: Data, rows: Any, levers: Sequence[Lever], answers: Answers,
    least: list[float], approved: Any,
) -> dict[str, Any]:  # fmt: skip
    """How good the answers of a method are, by the same measures for all that it was asked."""
    rows = rows[: len(answers.rows)]
    given = [at for at, row in enumerate(answers.rows) if row is not None]
    changed = np.array([answers.rows[at] for at in given]).reshape(len(given), len(data.names))
    valid = _scores(trained, changed) < THRESHOLD if len(given) else np.zeros(0, dtype=bool)
    violations = off_grid = 0
    over, distances, counts = [], [], []
    for at, to, flips in zip(given, changed, valid, strict=True):
        broken, off = _faults(rows[at], to, data, levers)
        violations += broken
        off_grid += off
        if flips and not broken:
            distance = _distance(rows[at], to, data, levers)
            distances.append(distance)
            counts.append(int((to != rows[at]).sum()))
            over.append(distance / least[at])
    over = [ratio for ratio in over if math.isfinite(ratio)]
    return {
        "asked": len(rows),
        "answered": len(given),
        "valid": round(float(valid.sum()) / len(rows), 3),
        "violations": int(violations),
        "off_grid": int(off_grid),
        "levers_changed": _mean(counts),
        "distance": {"median": _median(distances), "mean": _mean(distances)},
        "over_optimum": {"median": _median(over), "mean": _mean(over), "of": len(over)},
        "to_nearest_approved_case": _median(
            [_nearest(to, approved, data) for to in changed[valid]]
        ),
        "ms": _quantiles(answers.ms),
        **({"cpu_ms": _quantiles(answers.cpu_ms)} if answers.cpu_ms else {}),
        "proven": round(sum(answers.proven) / len(rows), 3),
    }


def _faults(row: Any, to: Any, data: Data, levers: Sequence[Lever]) -> tuple[bool, bool]:
    """Whether a change breaks a constraint, and whether a value is none of a lever's grid."""
    by_name = {lever.name: lever for lever in levers}
    off = False
    for name, before, after in zip(data.names, row, to, strict=True):
        if before == after:
            continue
        lever = by_name.get(name)
        if lever is None:
            return True, off
        steps = (after - lever.low) / lever.step
        if not -1e-9 <= steps <= lever.last + 1e-9:
            return True, off
        if lever.direction != "any" and (after > before) != (lever.direction == "up"):
            return True, off
        off |= abs(steps - round(steps)) > 1e-6
    return False, off


def _distance(row: Any, to: Any, data: Data, levers: Sequence[Lever]) -> float:
    places = [data.names.index(lever.name) for lever in levers]
    scales = np.array([lever.scale for lever in levers])
    return float((np.abs(to - row)[places] / scales).sum())


def _nearest(to: Any, approved: Any, data: Data) -> float:
    """Distance to the nearest case that was really approved, over all features."""
    scales = np.array([_scale(data, at) for at in range(len(data.names))])
    return float((np.abs(approved - to) / scales).sum(axis=1).min())


def _levers(data: Data, count: int) -> list[Lever]:
    found = []
    for name in _ORDER[:count]:
        at = data.names.index(name)
        scale = _scale(data, at)
        if name.startswith("PAY_AMT"):
            found.append(Lever(name, 0, 100, 2_000, scale=scale, integer=True))
        elif name.startswith("BILL"):
            found.append(Lever(name, -20_000, 100, 6_000, scale=scale, integer=True))
        elif name == "LIMIT_BAL":
            found.append(Lever(name, 10_000, 1_000, 990, scale=scale, integer=True))
        elif name.startswith("PAY_"):
            found.append(Lever(name, -2, 1, 10, scale=scale, integer=True))
        elif name == "AGE":
            found.append(Lever(name, 21, 1, 60, scale=scale, integer=True, direction="up"))
        else:
            found.append(Lever(name, 0, 1, 1, scale=scale, integer=True))
    return found


def _scale(data: Data, at: int) -> float:
    """Median absolute deviation of a feature, 1 where that is less."""
    column = data.train[:, at]
    return max(1.0, float(np.median(np.abs(column - np.median(column)))))


def _corpus() -> Path:
    named = os.environ.get("FORENSICS_CORPUS")
    folder = Path(named) if named else Path(__file__).parents[2] / "shared" / "corpus"
    return folder / "tabular" / "taiwan_credit_default.csv.gz"


def _read(path: Path) -> Data:
    made_up = not path.exists()
    if made_up:
        names, rows, labels = _invented()
    else:
        with gzip.open(path, "rt", encoding="utf-8") as stream:
            header, *lines = csv.reader(stream)
        table = np.array(lines, dtype="f8")
        label = header.index("default-payment-next-month")
        kept = [at for at in range(len(header)) if at not in (label, header.index("ID"))]
        names, rows, labels = [header[at] for at in kept], table[:, kept], table[:, label]
    order = np.random.default_rng(0).permutation(len(rows))
    cut = len(rows) * 2 // 3
    train, test = order[:cut], order[cut:]
    return Data(list(names), rows[train], labels[train], rows[test], made_up)


def _invented() -> tuple[list[str], Any, Any]:
    """Thirty thousand made-up card holders with the features that the levers need."""
    rng = np.random.default_rng(5)
    count = 30_000
    trouble = rng.gamma(1.2, 1.0, count)
    names = [*_ORDER, "SEX"]
    columns = []
    for name in names:
        if name.startswith("PAY_AMT"):
            column = np.round(rng.lognormal(7.5, 1.3, count) / (1 + trouble), 0)
        elif name.startswith("BILL"):
            column = np.round(rng.lognormal(10, 1.2, count) - 3_000, 0)
        elif name == "LIMIT_BAL":
            column = np.round(rng.lognormal(11.7, 0.8, count), -4)
        elif name.startswith("PAY_"):
            column = np.clip(rng.poisson(trouble) - 2, -2, 8).astype("f8")
        elif name == "AGE":
            column = rng.integers(21, 80, count).astype("f8")
        else:
            column = rng.integers(0, 2, count).astype("f8")
        columns.append(column)
    risk = trouble + rng.normal(0, 0.5, count)
    return names, np.column_stack(columns), (risk > np.quantile(risk, 0.78)).astype("f8")


def _xgboost(trees: int, depth: int, eta: float) -> Callable[[Path, Data], Trained]:
    def train(folder: Path, data: Data) -> Trained:
        import xgboost

        matrix = xgboost.DMatrix(data.train.astype("f4"), data.labels, feature_names=data.names)
        options = {
            "objective": "binary:logistic", "max_depth": depth, "eta": eta, "subsample": 0.8,
            "colsample_bytree": 0.8, "seed": 1, "verbosity": 0,
        }  # fmt: skip
        path = folder / f"xgboost-{trees}.json"
        xgboost.train(options, matrix, trees).save_model(path)
        return _loaded("xgboost", path, "f")

    return train


def _lightgbm(folder: Path, data: Data) -> Trained:
    import lightgbm

    options = {"objective": "binary", "num_leaves": 64, "learning_rate": 0.05, "verbosity": -1}
    pool = lightgbm.Dataset(data.train, data.labels, feature_name=data.names)
    path = folder / "lightgbm-300.txt"
    lightgbm.train({**options, "seed": 1}, pool, 300).save_model(path)
    return _loaded("lightgbm", path, "d")


def _loaded(library: str, path: Path, dtype: str) -> Trained:
    worker = ModelWorker(path)
    return Trained(library, path, worker, worker.ensemble(), dtype)


def _quantiles(ms: Sequence[float]) -> dict[str, float]:
    found = np.quantile(np.array(ms), [0.5, 0.95])
    return {"p50": round(float(found[0]), 1), "p95": round(float(found[1]), 1)}


def _median(values: Sequence[float]) -> float | None:
    return round(float(np.median(values)), 4) if len(values) else None


def _mean(values: Sequence[float]) -> float | None:
    return round(float(np.mean(values)), 4) if len(values) else None


_TRAIN: dict[str, Callable[[Path, Data], Trained]] = {
    "xgboost-100x4": _xgboost(100, 4, 0.1),
    "xgboost-300x6": _xgboost(300, 6, 0.05),
    "lightgbm-300": _lightgbm,
}


if __name__ == "__main__":
    main()
