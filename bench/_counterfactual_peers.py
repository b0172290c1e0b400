"""Other libraries' counterfactuals for the queries of ``counterfactual.py``, in their own process.

Run by an interpreter that has them: ``python _counterfactual_peers.py FOLDER METHOD SECONDS``. The
folder holds ``queries.json``, ``train.npy`` and the model; printed is one JSON document with an
answer (a whole row, or null), the milliseconds, and whether it was proven to be the best, of each
query that was begun within the seconds.
"""

from __future__ import annotations

import json
import math
import sys
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

warnings.simplefilter("ignore")

#: From a row to another one, or None, and whether none is nearer.
Explain = Callable[[Any], tuple[Any, bool]]


def main() -> None:
    folder, method, seconds = Path(sys.argv[1]), sys.argv[2], float(sys.argv[3])
    task = json.loads((folder / "queries.json").read_text(encoding="utf-8"))
    rows = np.array(task["rows"])
    train = np.load(folder / "train.npy")
    explain = METHODS[method](folder, task, train)
    explain(rows[0])  # what is made once is no part of a query
    answers, times, proven = [], [], []
    for row in rows:
        if sum(times) > seconds * 1000:
            break
        began = time.perf_counter()
        found, proof = explain(row)
        times.append((time.perf_counter() - began) * 1000)
        answers.append(None if found is None else [float(value) for value in found])
        proven.append(proof)
    print(json.dumps({"answers": answers, "ms": times, "proven": proven}))


def _treecf(search: str) -> Callable[[Path, dict[str, Any], Any], Explain]:
    def make(folder: Path, task: dict[str, Any], train: Any) -> Explain:
        from treecf import Explainer, Freeze, Grid, Range, Target

        names, levers = task["names"], task["levers"]
        constraints: list[Any] = [Freeze(name) for name in names if name not in levers]
        policies: dict[str, Any] = {}
        scales = dict.fromkeys(names, 1.0)
        for name, lever in levers.items():
            constraints.append(Range(name, lever["low"], lever["high"]))
            policies[name] = Grid(lever["step"], lever["low"])
            scales[name] = lever["scale"]
        explainer = Explainer(
            _for_treecf(folder, task), constraints=constraints, normalizers=scales,
            value_policy=policies,
        )  # fmt: skip
        threshold = task["threshold"] - 1e-6
        target = Target.raw(op="<=", value=math.log(threshold / (1 - threshold)))
        options = {"backend": "exact", "time_budget_s": task["exact_s"]} if search else {}

        def explain(row: Any) -> tuple[Any, bool]:
            found = explainer.explain(row, target=target, seed=0, **options)
            return getattr(found, "x_cf", None), found.proof in ("optimal", "certified")

        return explain

    return make


def _for_treecf(folder: Path, task: dict[str, Any]) -> Any:
    """The model as it takes it: XGBoost's file, LightGBM's own object."""
    path = str(folder / task["model"])
    if task["library"] != "lightgbm":
        return path
    import lightgbm

    return lightgbm.Booster(model_file=path)


def _dice(method: str) -> Callable[[Path, dict[str, Any], Any], Explain]:
    def make(folder: Path, task: dict[str, Any], train: Any) -> Explain:
        import dice_ml
        import pandas as pd
        from raiutils.exceptions import UserConfigValidationException

        names, levers = task["names"], task["levers"]
        score = _scorer(folder, task)
        frame = pd.DataFrame(train, columns=names)
        frame["declined"] = (score(train) >= task["threshold"]).astype(int)

        class Model:
            """What dice-ml takes for a scikit-learn classifier."""

            classes_ = np.array([0, 1])

            def predict_proba(self, rows: Any) -> Any:
                scores = score(np.asarray(rows, dtype="f8"))
                # It compares with 0.5.
                moved = np.clip(scores - task["threshold"] + 0.5, 0, 1)
                return np.column_stack([1 - moved, moved])

            def predict(self, rows: Any) -> Any:
                return self.predict_proba(rows).argmax(axis=1)

        data = dice_ml.Data(dataframe=frame, continuous_features=names, outcome_name="declined")
        wrapped = dice_ml.Model(model=Model(), backend="sklearn")
        explainer = dice_ml.Dice(data, wrapped, method=method)
        ranges = {name: [lever["low"], lever["high"]] for name, lever in levers.items()}

        def explain(row: Any) -> tuple[Any, bool]:
            query = pd.DataFrame([row], columns=names)
            options = {"random_seed": 0} if method == "random" else {}
            try:
                found = explainer.generate_counterfactuals(
                    query, total_CFs=4, desired_class=0, features_to_vary=list(levers),
                    permitted_range=ranges, verbose=False, **options,
                )  # fmt: skip
            except UserConfigValidationException:  # what it says where it finds nothing
                return None, False
            kept = found.cf_examples_list[0].final_cfs_df
            if kept is None or not len(kept):
                return None, False
            rows = kept[names].to_numpy(dtype="f8")
            scales = np.array([levers[name]["scale"] if name in levers else 1.0 for name in names])
            return rows[(np.abs(rows - row) / scales).sum(axis=1).argmin()], False

        return explain

    return make


def _nice(folder: Path, task: dict[str, Any], train: Any) -> Explain:
    from nice import NICE

    score = _scorer(folder, task)

    def predict(rows: Any) -> Any:
        moved = np.clip(score(np.asarray(rows, dtype="f8")) - task["threshold"] + 0.5, 0, 1)
        return np.column_stack([1 - moved, moved])

    labels = predict(train).argmax(axis=1)
    explainer = NICE(
        predict_fn=predict, X_train=train.copy(), cat_feat=[], y_train=labels,
        optimization="proximity", num_normalization="std",
    )  # fmt: skip

    def explain(row: Any) -> tuple[Any, bool]:
        return np.asarray(explainer.explain(row.reshape(1, -1).copy()))[0], False

    return explain


def _scorer(folder: Path, task: dict[str, Any]) -> Callable[[Any], Any]:
    path = str(folder / task["model"])
    if task["library"] == "lightgbm":
        import lightgbm

        return lightgbm.Booster(model_file=path).predict
    import xgboost

    booster = xgboost.Booster(model_file=path)
    booster.set_param({"nthread": 1})
    return lambda rows: booster.inplace_predict(np.asarray(rows, dtype="f4"))


METHODS: dict[str, Callable[[Path, dict[str, Any], Any], Explain]] = {
    "treecf genetic": _treecf(""),
    "treecf exact": _treecf("exact"),
    "dice random": _dice("random"),
    "dice genetic": _dice("genetic"),
    "nice": _nice,
}


if __name__ == "__main__":
    main()
