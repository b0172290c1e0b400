"""The two feature pipelines: when they run, which code runs, and the feature tables they write."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from numpy.typing import NDArray

from . import plan
from .ids import run_uuid, sha256
from .plan import HOUR, MINUTE
from .world import utc

FOLDER = Path(__file__).with_name("pipelines")
DATASETS = "warehouse"
JOBS = "credit_platform"

#: Features by view, in the order of the decision point's feature schema; 1 marks whole numbers.
VIEWS: dict[str, dict[str, int]] = {
    "request": {"requested_limit": 1},
    "bureau_features": {
        "age": 1,
        "pay_status_last": 1,
        "pay_status_mean_3m": 0,
        "months_late_max": 1,
        "months_late_count": 1,
        "months_since_late": 1,
        "months_unused": 1,
    },
    "billing_features": {
        "limit_balance": 1,
        "utilisation_last": 0,
        "utilisation_3m": 0,
        "utilisation_6m": 0,
        "payment_ratio_last": 0,
        "payment_ratio_3m": 0,
        "payment_ratio_6m": 0,
        "bill_trend_6m": 0,
        "bill_volatility_6m": 0,
        "months_zero_bill": 1,
        "last_payment": 1,
        "payment_mean_6m": 0,
        "purchases_14d": 0,
    },
}
FEATURES = [name for view in VIEWS.values() for name in view]
WHOLE = {name for view in VIEWS.values() for name, whole in view.items() if whole}


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a pipeline. ``as_of`` bounds the data it saw; it wrote its view at ``written``."""

    view: str
    number: int
    run_id: str
    code: str
    as_of: int
    written: int
    failed: bool = False

    @property
    def label(self) -> str:
        """What people call it: ``billing_features#8812``."""
        return f"{self.view}#{self.number}"


def sql_file(view: str, code: str) -> Path:
    """The SQL of one code version of a view."""
    return FOLDER / f"{view}.{code}.sql"


def sql_digest(view: str, code: str) -> str:
    """The digest of that SQL."""
    return sha256(sql_file(view, code).read_bytes())


def schedule(seed: int) -> list[Run]:
    """Every run whose values some decision may have read, in the order of writing."""
    rng = np.random.default_rng([seed, 2])
    runs: list[Run] = []
    billing = [plan.START - 47 * MINUTE + i * 3 * HOUR for i in range(8 * plan.DAYS + 1)]
    billing = sorted([*billing, plan.ROLLBACK_RUN])
    first = 8812 - billing.index(plan.BAD_RUN)
    for position, moment in enumerate(billing):
        bad = plan.BAD_RUN <= moment < plan.ROLLBACK_RUN
        took = int(rng.integers(3_200_000, 9_000_000))
        took = {
            plan.BAD_RUN: plan.BAD_WRITTEN - plan.BAD_RUN,
            plan.ROLLBACK_RUN: plan.ROLLBACK_WRITTEN - plan.ROLLBACK_RUN,
        }.get(moment, took)
        runs.append(
            _run(
                seed, "billing_features", first + position, "3e1f" if bad else "88ac", moment, took
            )
        )
    bureau = [plan.START - 73 * MINUTE + i * 6 * HOUR for i in range(4 * plan.DAYS + 1)]
    first = 771 - bureau.index(plan.BAD_RUN - 206 * MINUTE)
    for position, moment in enumerate(bureau):
        code = "5f20" if moment < plan.BUREAU_REFACTORED else "91be"
        runs.append(
            _run(
                seed,
                "bureau_features",
                first + position,
                code,
                moment,
                int(rng.integers(11_000_000, 31_000_000)),
            )
        )
    return sorted(runs, key=lambda run: run.written)


def _run(seed: int, view: str, number: int, code: str, moment: int, took: int) -> Run:
    run_id = run_uuid(seed, view, moment)
    failed = view == "bureau_features" and moment == plan.BUREAU_FAILED
    return Run(view, number, run_id, code, moment, moment + took, failed)


def execute(con: duckdb.DuckDBPyConnection, view: str, code: str, as_of: int) -> dict[str, Any]:
    """Run a pipeline; the view's columns as arrays by client number (NaN where missing)."""
    con.execute(sql_file(view, code).read_text(encoding="utf-8"), {"as_of": utc(as_of)})
    columns = con.execute(f"SELECT * EXCLUDE (client) FROM features.{view}").fetchnumpy()
    return {
        name: np.ma.filled(np.ma.asarray(column).astype(np.float64), np.nan)
        for name, column in columns.items()
    }


def matrix(view: str, columns: dict[str, Any]) -> NDArray[np.float64]:
    """The view as one row a client, columns as :data:`VIEWS` orders them."""
    return np.column_stack([columns[name] for name in VIEWS[view]])


class FeatureStore:
    """The values that were being served: for each view its last runs, newest last."""

    def __init__(self) -> None:
        self._runs: dict[str, list[tuple[int, int, NDArray[np.float64]]]] = {
            view: [] for view in VIEWS if view != "request"
        }

    def put(self, position: int, run: Run, values: NDArray[np.float64]) -> None:
        """Serve a run's values from the moment it wrote them; ``position`` names the run."""
        self._runs[run.view].append((run.written, position, values))

    def forget(self, before: int) -> None:
        """Drop runs that nobody asking from ``before`` on would be served."""
        for view, kept in self._runs.items():
            while len(kept) > 1 and kept[1][0] <= before:
                kept.pop(0)
            self._runs[view] = kept

    def served(
        self, view: str, moment: NDArray[np.int64], client: NDArray[np.int64]
    ) -> tuple[NDArray[np.float64], NDArray[np.int32]]:
        """Each client's values at each moment, and the position of the run that wrote them."""
        kept = self._runs[view]
        written = np.array([entry[0] for entry in kept])
        which = np.searchsorted(written, moment, side="right") - 1
        values = np.stack([entry[2] for entry in kept])[which, client]
        return values, np.array([entry[1] for entry in kept], dtype=np.int32)[which]

    def before(self, view: str, moment: int) -> NDArray[np.float64]:
        """All clients' values as served just before ``moment``."""
        return [entry for entry in self._runs[view] if entry[0] < moment][-1][2]


def assembled(
    requested: NDArray[np.float64], bureau: NDArray[np.float64], billing: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The model's inputs in the order of :data:`FEATURES`."""
    return np.column_stack([requested, bureau, billing])
