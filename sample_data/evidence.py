"""Writing decisions, overrides and outcomes in the shape of the record contract.

DuckDB builds the records (``records/*.sql``) out of one flat row a decision: as JSON lines at
scale 1, as Parquet files of the same shape above, where a slice of the window becomes a file.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from . import plan, policy
from .ids import request_bits, run_uuid, sha256
from .models import RUNTIME_VERSION, Model
from .plan import DAY, HOUR
from .serve import REPLICAS, Decided
from .views import FEATURES, VIEWS, WHOLE, Run, sql_digest

FOLDER = Path(__file__).with_name("records")
REASONS = {name: f"Weighs against the request: {name.replace('_', ' ')}" for name in FEATURES}
#: Share of refusals by score whose explanation was computed and recorded when they were made.
EXPLAINED_SHARE = 0.12
_REBOOTED = plan.CACHE_KEY_MENDED


@dataclass(frozen=True, slots=True)
class Faults:
    """Which decisions of a slice a fault touched."""

    spoilt: NDArray[np.bool_]
    stale: NDArray[np.bool_]
    misread: NDArray[np.bool_]


class EvidenceWriter:
    """Writes the records of one slice after another; files are in order of time."""

    def __init__(
        self,
        con: duckdb.DuckDBPyConnection,
        out: Path,
        *,
        parquet: bool,
        models: list[Model],
        runs: list[Run],
        seed: int,
        total: int,
        defaulted: NDArray[np.bool_],
        dependency_digest: str,
    ) -> None:
        self._con = con
        self._out = out
        self._parquet = parquet
        self._models = models
        self._seed = seed
        self._total = total
        self._defaulted = defaulted
        self._dependency_digest = dependency_digest
        self._files = 0
        self._look_up_tables(runs)
        self._use("parquet" if parquet else "json")

    def write(
        self,
        decided: Decided,
        faults: Faults,
        sequence: NDArray[np.int64],
        writer: NDArray[np.int64],
    ) -> None:
        """Write one slice of decisions and what followed from them."""
        self._con.register("rows", self._rows(decided, faults, sequence, writer))
        self._con.execute("CREATE OR REPLACE TEMP TABLE decided AS SELECT * FROM rows")
        self._con.unregister("rows")
        self._decisions()
        if self._parquet:
            self._use("json")
        for name in ("override", "outcome"):
            query = (FOLDER / f"{name}.sql").read_text(encoding="utf-8")
            self._append(f"{name}s.jsonl", query.replace("{end}", str(plan.END)))
        if self._parquet:
            self._use("parquet")

    def _use(self, form: str) -> None:
        self._con.execute((FOLDER / f"{form}.sql").read_text(encoding="utf-8"))

    def _decisions(self) -> None:
        query = (FOLDER / "decision.sql").read_text(encoding="utf-8")
        struct = ", ".join(
            f"{name} := d.{name}{'::BIGINT' if name in WHOLE else ''}" for name in FEATURES
        )
        query = query.replace("{features}", f"struct_pack({struct})")
        for view, features in VIEWS.items():
            short = view.removesuffix("_features")
            query = query.replace("{" + short + "_names}", str(list(features)))
            query = query.replace("{" + short + "_count}", str(len(features)))
        if not self._parquet:
            self._append("decisions.jsonl", query)
            return
        self._files += 1
        path = self._out / f"decisions-{self._files:03d}.parquet"
        self._con.execute(
            f"COPY ({query}) TO '{path}' (FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 20480)"
        )

    def _append(self, name: str, query: str) -> None:
        """Append the query's rows as JSON lines."""
        line = f"WITH r AS ({query}) SELECT without_nulls(to_json(r)::VARCHAR) AS line FROM r"
        lines = self._con.sql(line).to_arrow_table()["line"].to_pylist()
        with (self._out / name).open("a", encoding="utf-8", newline="\n") as file:
            file.writelines(text + "\n" for text in lines)

    def _rows(
        self,
        decided: Decided,
        faults: Faults,
        sequence: NDArray[np.int64],
        writer: NDArray[np.int64],
    ) -> pa.Table:
        """The flat columns that the SQL builds records from."""
        requests, rng = decided.requests, decided.requests.rng
        count = requests.moment.size
        rule = decided.rule
        outcome = np.array(policy.OUTCOMES)[rule]
        code = np.array([policy.CODES[name] for name in policy.OUTCOMES])[rule]
        timings = _timings(requests.moment, decided.hit, rng)
        chance = rng.random((4, count))
        service = (requests.moment >= plan.CACHE_KEY_MENDED).astype(np.int8)
        consumer = np.searchsorted(
            np.array([plan.CONSUMER_BROKEN, plan.CONSUMER_MENDED]), requests.moment, side="right"
        )
        subject = [f"s_{value:04x}" for value in decided.subject.tolist()]
        width = request_bits(self._total) // 4
        number = [f"{value:0{width}x}" for value in decided.number.tolist()]
        columns = {
            "i": requests.index,
            "seed": np.full(count, self._seed),
            "request_id": pa.array([f"{text[:4]}-{text[4:]}" for text in number]),
            "subject": pa.array(subject),
            "moment": requests.moment,
            **timings,
            "nanos": rng.integers(0, 1000, count),
            "canary": decided.canary,
            "writer": writer * 2 + ((requests.moment >= _REBOOTED) & (writer < 3)),
            "sequence": sequence,
            "code_version": _taken(plan.SERVICE_VERSIONS, service),
            "dependency_digest": pa.repeat(self._dependency_digest, count),
            "rules_digest": pa.repeat(policy.RULES_DIGEST, count),
            "consumer_version": _taken(plan.CONSUMER_VERSIONS, consumer),
            "model": decided.model,
            "config": decided.config,
            "bureau_run": decided.bureau_run,
            "billing_run": decided.billing_run,
            "key_hex": decided.key_hex,
            "hit": decided.hit,
            "entry_moment": decided.entry.moment,
            "entry_model": decided.entry.model,
            "entry_config": decided.entry.config,
            "score": decided.score.astype(np.float64),
            "score_bytes": _hex(decided.score),
            "outcome": pa.array(outcome),
            "rule": _taken(policy.RULE_IDS, rule),
            "code": pa.array(code),
            "action": pa.array(np.where(faults.misread, "DECLINE", outcome)),
            "channel": _taken(("app", "web", "branch"), rng.choice(3, count, p=[0.6, 0.3, 0.1])),
            "spoilt": faults.spoilt,
            "defaulted": self._defaulted[requests.client],
            "chance_a": chance[0],
            "chance_b": chance[1],
            "chance_c": chance[2],
            "overridden": requests.moment + HOUR + (chance[3] * 1.5 * DAY).astype(np.int64),
            "turned_out": requests.moment + 3 * DAY + (chance[1] * 17 * DAY).astype(np.int64),
            **self._explanations(decided, rng),
        }
        for i, name in enumerate(FEATURES):
            columns[name] = pa.array(decided.features[:, i], from_pandas=True)
        return pa.table(columns)

    def _explanations(self, decided: Decided, rng: np.random.Generator) -> dict[str, pa.Array]:
        """Attributions as given at the time, for part of the refusals that the score brought."""
        count = len(decided.features)
        chosen = (decided.rule == policy.RULE_IDS.index("R2")) & ~decided.hit
        chosen &= rng.random(count) < EXPLAINED_SHARE
        chosen &= decided.requests.moment != plan.SHOWCASE_AT
        values = np.zeros((count, len(FEATURES) + 1), np.float32)
        for i, model in enumerate(self._models):
            rows = chosen & (decided.model == i)
            if rows.any():
                values[rows] = model.contributions(decided.features[rows])
        shown = values[chosen, :-1]
        largest = np.argsort(-shown, axis=1, kind="stable")[:, :3]
        names = np.tile(np.array(FEATURES), len(shown))
        maps = pa.MapArray.from_arrays(
            np.arange(0, shown.size + 1, len(FEATURES), dtype=np.int32),
            pa.array(names, pa.string()),
            pa.array(shown.ravel().astype(np.float64)),
        )
        texts = np.array([REASONS[name] for name in FEATURES])[largest]
        reasons = pa.ListArray.from_arrays(
            np.arange(0, texts.size + 1, 3, dtype=np.int32), pa.array(texts.ravel(), pa.string())
        )
        take = np.where(chosen, np.cumsum(chosen) - 1, -1)
        indices = pa.array(take, mask=take < 0)
        return {
            "attributions": maps.take(indices),
            "reasons": reasons.take(indices),
            "base_value": pa.array(values[:, -1].astype(np.float64)),
        }

    def _look_up_tables(self, runs: list[Run]) -> None:
        """The few models, configurations, runs and writers that decisions refer to by position."""
        tables: dict[str, list[dict[str, Any]]] = {
            "models": [
                {
                    "version": model.recipe.version,
                    "digest": model.digest,
                    "training_data": training_data(model),
                    "runtime_version": RUNTIME_VERSION,
                }
                for model in self._models
            ],
            "configs": [
                {
                    "revision": config.revision,
                    "digest": policy.config_digest(config),
                    "values": policy.canonical(config.values).decode(),
                    "threshold": config.values["threshold"],
                }
                for config in plan.CONFIGS
            ],
            "runs": [
                {
                    "label": run.label,
                    "run_id": run.run_id,
                    "as_of": run.as_of,
                    "code": run.code,
                    "sql_digest": sql_digest(run.view, run.code),
                }
                for run in runs
            ],
            "writers": [
                {
                    "replica": name,
                    "region": region,
                    "boot_id": run_uuid(self._seed, name, again),
                    "booted": _booted(name, again) - position * 1_000_000,
                }
                for position, (name, region) in enumerate(REPLICAS)
                for again in (False, True)
            ],
        }
        for name, rows in tables.items():
            self._con.register(
                "rows", pa.Table.from_pylist([{"i": i, **row} for i, row in enumerate(rows)])
            )
            self._con.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS SELECT * FROM rows")
            self._con.unregister("rows")


def training_data(model: Model) -> str:
    """How a decision refers to what its model was trained on."""
    return f"warehouse/training.pd_{model.recipe.version}"


def write_dependencies(folder: Path) -> str:
    """The deciding service's resolved dependencies as an artifact; its digest."""
    lines = (
        f"duckdb=={duckdb.__version__}\nnumpy=={np.__version__}\nxgboost-cpu=={RUNTIME_VERSION}\n"
    )
    data = lines.encode()
    (folder / "credit_line_service-dependencies.txt").write_bytes(data)
    return sha256(data)


def _booted(name: str, again: bool) -> int:
    """When the machine was started. A canary's only start is shortly before it serves."""
    if "canary" in name:
        return plan.V3_CANARY - 10 * plan.MINUTE
    return _REBOOTED - 90_000_000 if again else plan.V1_DEPLOYED - HOUR


def _taken(names: tuple[str, ...] | list[str], which: NDArray[np.integer]) -> pa.Array:
    return pa.array(np.array(names)[which])


def _hex(score: NDArray[np.float32]) -> pa.Array:
    """Each score's four bytes, little-endian, in hexadecimal."""
    text = score.astype("<f4").tobytes().hex()
    return pa.array([text[i : i + 8] for i in range(0, len(text), 8)])


def _timings(
    moment: NDArray[np.int64], hit: NDArray[np.bool_], rng: np.random.Generator
) -> dict[str, NDArray[np.int64]]:
    """When the steps of each decision began and how long they took, in microseconds."""

    def took(usual: float) -> NDArray[np.int64]:
        return (usual * rng.lognormal(0.0, 0.4, moment.size)).astype(np.int64) + 20

    spans = {
        f"{name}_us": took(usual)
        for name, usual in (
            ("bureau", 3200),
            ("billing", 4100),
            ("cache", 420),
            ("model", 1500),
            ("rules", 90),
            ("consumer", 8000),
        )
    }
    after = np.where(hit, 6, 14 + spans["model_us"] + spans["rules_us"])
    looked = moment - after - spans["cache_us"]
    fetched = np.maximum(spans["bureau_us"], spans["billing_us"] + 40)
    acted = moment + 900 + spans["consumer_us"]
    return {
        **spans,
        "looked": looked,
        "began": looked - 20 - fetched,
        "acted": acted,
        "recorded": acted + rng.integers(200, 1500, moment.size),
    }
