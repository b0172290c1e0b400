"""Read the evidence again and replay all of it, knowing nothing but the files.

Every decision is scored by the model file it names and ruled by the rule set and configuration it
names. What no fault touched must give the recorded bytes and outcome; what the cache answered with
a replaced model's result must not, and must do so under the model that made the entry.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import xgboost
from numpy.typing import NDArray

from .policy import rule_case

BATCH = 200_000
_FIELDS = """
SELECT request_id, decision_id, outcome, score, score_bytes, model.digest AS model,
    config.digest AS config, consumer.action AS action, cache.hit AS hit,
    coalesce(cache.model_digest, model.digest) AS entry_model, features, steps, occurred_at
FROM {source}
"""


class Artifacts:
    """The files of ``artifacts/`` by digest."""

    def __init__(self, folder: Path) -> None:
        self.paths: dict[str, Path] = {}
        self._boosters: dict[str, xgboost.Booster] = {}
        for path in sorted(folder.iterdir()):
            self.paths["sha256:" + hashlib.sha256(path.read_bytes()).hexdigest()] = path

    def json(self, digest: str) -> Any:
        """A configuration or rule set."""
        return json.loads(self.paths[digest].read_bytes())

    def booster(self, digest: str) -> xgboost.Booster:
        """A model."""
        if digest not in self._boosters:
            self._boosters[digest] = xgboost.Booster({"nthread": 2})
            self._boosters[digest].load_model(self.paths[digest])
        return self._boosters[digest]


def verify(out: Path) -> dict[str, Any]:
    """Replay everything in ``out``; raises AssertionError where the evidence does not hold.

    Returns:
        Counts of decisions and hits, decline rates by day and by incident window, and rule counts.
    """
    truth = json.loads((out / "truth.json").read_bytes())
    artifacts = Artifacts(out / "artifacts")
    by_name = {incident["name"]: incident for incident in truth["incidents"]}
    stale = by_name["stale_cache"]["expected_verdicts"]
    misread = set(by_name["consumer_misread"]["request_ids"])
    seen_ids: set[str] = set()
    counts: dict[str, Any] = {
        "decisions": 0,
        "hits": 0,
        "stale": {},
        "days": {},
        "rules": {},
        "windows": {},
    }
    for table, features in _batches(out):
        con = _connect()
        con.register("batch", table)
        score, entry_score = (
            _scores(artifacts, features, table[column].to_pylist())
            for column in ("model", "entry_model")
        )
        outcome, rule = _outcomes(con, artifacts, truth["rules"], table, score)
        entry_outcome, _ = _outcomes(con, artifacts, truth["rules"], table, entry_score)
        recorded = np.frombuffer(bytes.fromhex("".join(table["score_bytes"].to_pylist())), "<f4")
        ids = np.array(table["request_id"].to_pylist())
        said = np.array(table["outcome"].to_pylist())
        exact = (recorded.view(np.uint32) == score.view(np.uint32)) & (said == outcome)
        under_entry = recorded.view(np.uint32) == entry_score.view(np.uint32)
        assert (np.float64(recorded) == table["score"].to_numpy()).all(), "score is not score_bytes"
        assert (under_entry & (said == entry_outcome)).all(), "not what the entry's model says"
        for name in ids[~exact]:
            assert name in stale, f"{name} does not replay and no fault touched it"
        for name, same in zip(ids, exact, strict=True):
            if name in stale:
                verdict = "bit_exact" if same else "diverged"
                assert stale[name] == verdict, f"{name} is {verdict}, expected {stale[name]}"
                counts["stale"][verdict] = counts["stale"].get(verdict, 0) + 1
        acted = np.array(table["action"].to_pylist()) != said
        assert set(ids[acted]) <= misread, "the consumer misread more than it should"
        before = len(seen_ids)
        seen_ids.update(ids)
        assert len(seen_ids) == before + len(ids), "a request id occurs twice"
        _count(counts, con, truth, table, said, rule)
        con.close()
    assert counts["decisions"] == truth["decisions"], counts["decisions"]
    _check_labels(out)
    return counts


def _connect() -> duckdb.DuckDBPyConnection:
    con = duckdb.connect(":memory:", config={"threads": 2})
    con.execute("SET TimeZone = 'UTC'")
    con.execute("SET enable_progress_bar = false")
    return con


def _check_labels(out: Path) -> None:
    """Overrides and outcomes belong to decisions that were made, and come after them."""
    con = _connect()
    source = _source(out)
    for name, after in (("overrides", "occurred_at"), ("outcomes", "arrived_at")):
        found = con.execute(
            f"SELECT count(*) FROM read_json('{out / name}.jsonl') AS o "
            f"LEFT JOIN {source} AS d USING (decision_id, request_id) "
            f"WHERE d.decision_id IS NULL OR o.{after}::TIMESTAMP <= d.occurred_at::TIMESTAMP"
        ).fetchall()
        assert found == [(0,)], f"{name}: {found}"
    con.close()


def _source(out: Path) -> str:
    if (out / "decisions.jsonl").exists():
        return f"read_json('{out / 'decisions.jsonl'}', maximum_object_size = 1048576)"
    return f"read_parquet('{out}/decisions-*.parquet')"


def _batches(out: Path) -> Iterator[tuple[pa.Table, NDArray[np.float32]]]:
    """The decisions with their features as a matrix in the order of the record."""
    con = _connect()
    reader = con.sql(_FIELDS.format(source=_source(out))).to_arrow_reader(BATCH)
    for batch in reader:
        table = pa.Table.from_batches([batch])
        struct = table["features"].combine_chunks()
        columns = [
            struct.field(i).cast(pa.float64()).to_numpy(zero_copy_only=False)
            for i in range(struct.type.num_fields)
        ]
        yield table, np.column_stack(columns).astype(np.float32)


def _scores(
    artifacts: Artifacts, features: NDArray[np.float32], digests: list[str]
) -> NDArray[np.float32]:
    named = np.array(digests)
    score = np.zeros(len(features), np.float32)
    for digest in np.unique(named):
        booster = artifacts.booster(str(digest))
        rows = named == digest
        data = xgboost.DMatrix(features[rows], feature_names=booster.feature_names, nthread=2)
        score[rows] = booster.predict(data)
    return score


def _outcomes(
    con: duckdb.DuckDBPyConnection,
    artifacts: Artifacts,
    rules_digest: str,
    table: pa.Table,
    score: NDArray[np.float32],
) -> tuple[NDArray[np.str_], NDArray[np.str_]]:
    """Outcome and rule that the recorded rule set and configuration give for these scores."""
    rules = artifacts.json(rules_digest)
    configs = sorted(set(table["config"].to_pylist()))
    rows = [{"digest": digest, **artifacts.json(digest)} for digest in configs]
    con.register("configs", pa.Table.from_pylist(rows))
    con.register("scores", pa.table({"score": score.astype(np.float64)}))
    names = ", ".join(f"c.{key}" for key in rows[0] if key != "digest")
    # A join may reorder, so that the rows are numbered before it and sorted after.
    query = (
        f"SELECT ({rule_case(rules)})::INTEGER AS rule FROM (SELECT f.*, {names} FROM "
        "(SELECT unnest(b.features), b.config, s.score, row_number() OVER () AS place "
        "FROM batch AS b POSITIONAL JOIN scores AS s) AS f "
        "JOIN configs AS c ON c.digest = f.config) ORDER BY place"
    )
    which = con.execute(query).fetchnumpy()["rule"]
    con.unregister("configs")
    con.unregister("scores")
    every = [*rules["rules"], rules["default"]]
    return (
        np.array([rule["outcome"] for rule in every])[which],
        np.array([rule["id"] for rule in every])[which],
    )


def _count(
    counts: dict[str, Any],
    con: duckdb.DuckDBPyConnection,
    truth: dict[str, Any],
    table: pa.Table,
    said: NDArray[np.str_],
    rule: NDArray[np.str_],
) -> None:
    """Add a batch to the rates."""
    counts["decisions"] += len(said)
    counts["hits"] += int(table["hit"].to_numpy(zero_copy_only=False).sum())
    for name in np.unique(rule):
        counts["rules"][str(name)] = counts["rules"].get(str(name), 0) + int((rule == name).sum())
    for day, outcome, count in con.execute(
        "SELECT strftime(occurred_at::TIMESTAMP, '%Y-%m-%d'), outcome, count(*) FROM batch "
        "GROUP BY ALL ORDER BY ALL"
    ).fetchall():
        into = counts["days"].setdefault(day, {})
        into[outcome] = into.get(outcome, 0) + count
    for incident in truth["incidents"]:
        low, high = incident["window"]
        for outcome, count in con.execute(
            "SELECT outcome, count(*) FROM batch WHERE occurred_at::TIMESTAMP >= ?::TIMESTAMP "
            "AND occurred_at::TIMESTAMP < ?::TIMESTAMP GROUP BY ALL ORDER BY ALL",
            [low.removesuffix("Z"), high.removesuffix("Z")],
        ).fetchall():
            into = counts["windows"].setdefault(incident["name"], {})
            into[outcome] = into.get(outcome, 0) + count


def report(out: Path) -> str:
    """Verify and say what was found, as text."""
    counts = verify(out)
    truth = json.loads((out / "truth.json").read_bytes())
    lines = [
        f"{counts['decisions']:,} decisions, {counts['hits']:,} from the cache; replayed: all as "
        "truth.json says",
        f"rules {counts['rules']}",
        f"stale cache hits under the claimed model {counts['stale']}",
        "",
        "day          decisions   approve   refer  decline",
    ]
    for name, rates in [*counts["days"].items(), *counts["windows"].items()]:
        total = sum(rates.values())
        shares = [rates.get(outcome, 0) / total for outcome in ("APPROVE", "REFER", "DECLINE")]
        lines.append(f"{name:<20} {total:>9,} " + " ".join(f"{share:8.1%}" for share in shares))
    lines.append("")
    for incident in truth["incidents"]:
        flipped = len(incident.get("flipped_request_ids", ()))
        lines.append(
            f"{incident['name']:<22} {len(incident['request_ids']):>7,} decisions touched"
            + (f", {flipped:,} with another outcome" if flipped else "")
        )
    return "\n".join(lines)
