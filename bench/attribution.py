"""Attribution: contributions a second for all decisions of a window, and one decision cold.

Beside it, in the same run and in turns, the bare library computes the same contributions from a
matrix that lies in memory already (``pred_contribs``, ``pred_contrib``, ``ShapValues``), and so
does shap's TreeExplainer. What is timed of ours is the whole question: reading the lake's files,
telling which model scored each decision, the model's process, checking every sum against the
margin and every score against the recorded one, and summing up; with ``--store`` writing too.
"""

from __future__ import annotations

import argparse
import json
import struct
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import _measure
import numpy as np
from _measure import FORENSICS, PYTHON, Run

OVER_LIBRARY_MIN = 0.9
#: CatBoost's symmetric trees take a twentieth of the time: it is asked about more, so that the
#: start of its process, whose Python package alone takes 0.4 s, weighs as little as the others'.
MORE = {"catboost": 25}
COLD_MS_MAX = 400
#: The libraries that it is promised of: others are Python packages, slow to import.
COLD = ("xgboost", "lightgbm")
WIDTH = 30
NAMES = [f"x{at:02}" for at in range(WIDTH)]

#: Processor time so far, of this process and of those that it has waited for.
_CPU = """
import os
cpu = lambda: sum(os.times()[:4])
"""
#: Loads the matrix first; prints the seconds that the contributions took.
_PEER = """
import json, sys, time, warnings
warnings.simplefilter("ignore")
import numpy as np
{cpu}
kind, model, rows, most = sys.argv[1], sys.argv[2], np.load(sys.argv[3]), int(sys.argv[4])
rows = rows[:most]
{body}
seconds, used = time.perf_counter() - began, cpu() - used
print(json.dumps({{"seconds": seconds, "cpu": used, "rows": len(rows)}}))
"""
_LOAD = """
if kind == "xgboost":
    import xgboost
    booster = xgboost.Booster(model_file=model)
elif kind == "lightgbm":
    import lightgbm
    booster = lightgbm.Booster(model_file=model)
else:
    import catboost
    booster = catboost.CatBoost().load_model(model)
"""
_LIBRARY = (
    _LOAD
    + """
began, used = time.perf_counter(), cpu()
if kind == "xgboost":
    names = booster.feature_names
    found = booster.predict(xgboost.DMatrix(rows, feature_names=names), pred_contribs=True)
elif kind == "lightgbm":
    found = booster.predict(rows, pred_contrib=True)
else:
    found = booster.get_feature_importance(catboost.Pool(rows), type="ShapValues")
"""
)
_SHAP = (
    "import shap\n"
    + _LOAD
    + """
explainer = shap.TreeExplainer(booster)
began, used = time.perf_counter(), cpu()
found = explainer.shap_values(catboost.Pool(rows) if kind == "catboost" else rows)
"""
)
_OURS = (
    "import json, sys, time"
    + _CPU
    + """
from forensics.api import open_lake
from forensics.explain.summary import summary
began, used = time.perf_counter(), cpu()
with open_lake(sys.argv[1]) as lake, lake.attributions(sys.argv[2]) as found:
    summaries = [summary(model, ["DECLINE"]) for model in found.models]
seconds, used = time.perf_counter() - began, cpu() - used
assert all(each.confirmed == each.decisions for each in summaries), summaries
assert found.computed
rows = sum(each.decisions for each in summaries)
print(json.dumps({"seconds": seconds, "cpu": used, "rows": rows}))
"""
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument(
        "--rows",
        type=int,
        default=20_000,
        help=f"decisions; CatBoost has {MORE['catboost']} times as many",
    )
    parser.add_argument("--trees", type=int, default=300)
    parser.add_argument("--depth", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each")
    parser.add_argument("--libraries", nargs="+", choices=tuple(_TRAIN), default=tuple(_TRAIN))
    parser.add_argument("--no-shap", action="store_true", help="leave TreeExplainer out")
    parser.add_argument("--dir", type=Path, help="where to work; else a temporary folder")
    arguments = parser.parse_args()
    if arguments.dir:
        arguments.dir.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=arguments.dir, prefix="bench-attribution-") as name:
        _measure.emit("attribution", _benchmark(Path(name), arguments))


def _benchmark(folder: Path, arguments: argparse.Namespace) -> dict[str, Any]:
    rng = np.random.default_rng(1)
    most = arguments.rows * max(MORE.values())
    matrix = rng.normal(size=(most, WIDTH)).astype("f4")
    np.save(folder / "rows.npy", matrix)
    lake = folder / "lake"
    _measure.run([FORENSICS, "init", str(lake)])
    document: dict[str, Any] = {
        "trees": arguments.trees,
        "depth": arguments.depth,
        "features": WIDTH,
        "rounds": arguments.rounds,
        "libraries": {},
        "goals": [],
    }
    for kind in arguments.libraries:
        count = arguments.rows * MORE.get(kind, 1)
        _measure.note(f"{kind}: training, deciding and taking in {count:,} decisions")
        model = _make(kind, folder, matrix[:count], arguments)
        document["libraries"][kind] = _compare(kind, folder, lake, model, count, arguments)
        over = document["libraries"][kind]["ours_over_library"]["median_of_pairs"]
        statement = f"{kind}: at least {OVER_LIBRARY_MIN} x the library's rows a second"
        document["goals"].append(_measure.goal(statement, over, over >= OVER_LIBRARY_MIN))
    document["cold_one_ms"] = {kind: _cold(lake, kind, arguments) for kind in arguments.libraries}
    for kind in COLD:
        for command, spent in document["cold_one_ms"].get(kind, {}).items():
            statement = (
                f"{command} of one decision of {kind} with replay, attribution and nearest change, "
                f"cold, in {COLD_MS_MAX} ms"
            )
            within = spent["median"] <= COLD_MS_MAX
            document["goals"].append(_measure.goal(statement, spent["median"], within))
    return document


def _compare(
    kind: str, folder: Path, lake: Path, model: Path, count: int, arguments: argparse.Namespace
) -> dict[str, Any]:
    rows = str(folder / "rows.npy")
    # shap is asked about fewer: some of its paths take minutes for as many.
    few = min(count, 5_000)
    peers = {"library": (_LIBRARY, count), "shap": (_SHAP, few)}
    if arguments.no_shap:
        del peers["shap"]
    commands: dict[str, Callable[[], Run]] = {
        "ours": lambda: _measure.run([PYTHON, "-c", _OURS, str(lake), kind])
    }
    for name, (body, most) in peers.items():
        script = _PEER.format(body=body, cpu=_CPU)
        command = [PYTHON, "-c", script, kind, str(model), rows, str(most)]
        commands[name] = lambda command=command: _measure.run(command)  # type: ignore[misc]
    _measure.note(f"{kind}: {arguments.rounds} rounds of {', '.join(commands)}")
    runs = _measure.in_turns(commands, arguments.rounds)
    rates = {name: [_rate(run) for run in of] for name, of in runs.items()}
    by_cpu = {name: [_rate(run, "cpu") for run in of] for name, of in runs.items()}
    pairs = [a / b for a, b in zip(rates["ours"], rates["library"], strict=True)]
    found: dict[str, Any] = {
        "decisions": count,
        "rows_per_second": {name: _measure.spread(of, 0) for name, of in rates.items()},
        "rows_per_cpu_second": {name: _measure.spread(of, 0) for name, of in by_cpu.items()},
        "ours_over_library": {
            "median_of_pairs": _measure.spread(pairs, 3)["median"],
            "of_fastest": round(max(rates["ours"]) / max(rates["library"]), 3),
            "of_cpu": round(max(by_cpu["ours"]) / max(by_cpu["library"]), 3),
        },
    }
    if "shap" in rates:
        over = [a / b for a, b in zip(rates["ours"], rates["shap"], strict=True)]
        found["ours_over_shap"] = _measure.spread(over, 3)["median"]
    return found


def _rate(run: Run, by: str = "seconds") -> float:
    said = json.loads(run.stdout.splitlines()[-1])
    return float(said["rows"]) / float(said[by])


def _cold(lake: Path, kind: str, arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Whole processes that replay, explain and change one decision, another each time."""
    numbers = iter(range(10, arguments.rows, 97))

    def one(command: str) -> Callable[[], Run]:
        # A trace ends with 4: these decisions have no lineage.
        return lambda: _measure.run(
            [FORENSICS, command, f"{kind}-{next(numbers)}", "--lake", str(lake)], accepted=(0, 4)
        )

    commands = {command: one(command) for command in ("explain", "trace")}
    runs = _measure.in_turns(commands, max(arguments.rounds, 9))
    return {command: _measure.wall_ms(of) for command, of in runs.items()}


def _make(kind: str, folder: Path, matrix: Any, arguments: argparse.Namespace) -> Path:
    """Train a model, decide every row with it, and take the decisions in."""
    signal = matrix[:, :8].sum(axis=1) + matrix[:, 8] * matrix[:, 9]
    label = (signal + np.random.default_rng(2).normal(size=len(matrix)) > 0).astype(int)
    model, scores, dtype = _TRAIN[kind](folder, matrix, label, arguments)
    rules = {
        "type": "rules",
        "name": kind,
        "rules": [{"id": "R1", "when": "score >= 0.5", "outcome": "DECLINE"}],
        "default": {"id": "R0", "outcome": "APPROVE"},
    }
    (folder / "rules.json").write_text(json.dumps(rules), encoding="utf-8")
    lake = str(folder / "lake")
    kept = [FORENSICS, "ingest", "--lake", lake, "--format", "artifact"]
    digests = [
        _measure.run([*kept, str(path)]).stdout.split()[0].decode()
        for path in (model, folder / "rules.json")
    ]
    log = folder / f"{kind}.jsonl"
    with log.open("w", encoding="utf-8") as stream:
        for at, (row, score) in enumerate(zip(matrix.tolist(), scores.tolist(), strict=True)):
            record = {
                "record": "decision",
                "decision_point": kind,
                "decision_id": f"{kind}-{at}",
                "request_id": f"{kind}-{at}",
                "occurred_at": f"2026-10-{1 + at % 28:02}T{at % 24:02}:{at % 60:02}:00Z",
                "outcome": "DECLINE" if score >= 0.5 else "APPROVE",
                "score": score,
                "score_dtype": "float32" if dtype == "f" else "float64",
                "score_bytes": struct.pack(f"<{dtype}", score).hex(),
                "threshold": 0.5,
                "model": {"name": kind, "version": "1", "digest": digests[0]},
                "steps": [{"id": "policy", "kind": "rules", "digest": digests[1]}],
                "config": {"values": {"threshold": 0.5}},
                "features": dict(zip(NAMES, row, strict=True)),
            }
            stream.write(json.dumps(record) + "\n")
    _measure.run([FORENSICS, "ingest", "--lake", lake, str(log)])
    _measure.run([FORENSICS, "compact", "--lake", lake])
    return model


def _xgboost(folder: Path, matrix: Any, label: Any, arguments: argparse.Namespace) -> Any:
    import xgboost

    data = xgboost.DMatrix(matrix, label, feature_names=NAMES)
    options = {"objective": "binary:logistic", "max_depth": arguments.depth, "eta": 0.1}
    booster = xgboost.train({**options, "verbosity": 0}, data, arguments.trees)
    booster.save_model(folder / "model.ubj")
    return folder / "model.ubj", booster.inplace_predict(matrix), "f"


def _lightgbm(folder: Path, matrix: Any, label: Any, arguments: argparse.Namespace) -> Any:
    import lightgbm

    data = lightgbm.Dataset(matrix.astype("f8"), label, feature_name=NAMES)
    options = {
        "objective": "binary", "max_depth": arguments.depth,
        "num_leaves": 2**arguments.depth, "verbosity": -1,
    }  # fmt: skip
    booster = lightgbm.train(options, data, arguments.trees)
    booster.save_model(folder / "model.txt")
    return folder / "model.txt", booster.predict(matrix.astype("f8")), "d"


def _catboost(folder: Path, matrix: Any, label: Any, arguments: argparse.Namespace) -> Any:
    import catboost

    model = catboost.CatBoostClassifier(
        iterations=arguments.trees, depth=arguments.depth, verbose=0, allow_writing_files=False
    )
    model.fit(catboost.Pool(matrix, label, feature_names=NAMES))
    model.save_model(str(folder / "model.cbm"))
    return folder / "model.cbm", model.predict_proba(matrix)[:, 1], "d"


_TRAIN: dict[str, Callable[..., Any]] = {
    "xgboost": _xgboost,
    "lightgbm": _lightgbm,
    "catboost": _catboost,
}


if __name__ == "__main__":
    main()
