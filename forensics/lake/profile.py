"""What is usual: small daily summaries of each numeric feature, kept beside the index.

``forensics trace`` says how unusual a value is against the feature's last days. Scanning those days
would cost more the more is stored; a summary per point, feature and day costs the same always.
Quantiles come from a sample of each batch, and those of a day's batches are averaged by their
counts: good for "100 times its usual scale", not for a drift test.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from forensics.lake import sql, summed
from forensics.lake.files import sync
from forensics.lake.parquet import read_checked
from forensics.records.times import DAY_US

_SAMPLE_ROWS = 4_096
_FILES_MAX = 16

_SCHEMA = pa.schema(
    [
        ("point", pa.string()),
        ("feature", pa.string()),
        ("day", pa.int32()),
        ("rows", pa.int64()),
        ("nulls", pa.int64()),
        ("low", pa.float64()),
        ("q01", pa.float64()),
        ("q50", pa.float64()),
        ("q99", pa.float64()),
        ("high", pa.float64()),
    ]
)


def write(folder: Path, table: str, records: pa.Table) -> str | None:
    """Summarise the numeric features of ``records``, sorted by time.

    Returns:
        The new file's name; None when the table has no numeric features.
    """
    if not table.startswith("decisions/") or "features" not in records.schema.names:
        return None
    point = table.split("/", 1)[1]
    days = pc.divide(records["occurred_at"].cast(pa.int64()), DAY_US).cast(pa.int32())
    features = records["features"].combine_chunks()
    rows: list[dict[str, object]] = []
    start = 0
    for run in pc.run_end_encode(days.combine_chunks()).values.to_pylist():
        count = pc.sum(pc.equal(days, run)).as_py()
        slice_ = features.slice(start, count)
        start += count
        for field in features.type:
            if pa.types.is_floating(field.type) or pa.types.is_integer(field.type):
                values = slice_.field(field.name).cast(pa.float64())
                rows.append({"point": point, "feature": field.name, "day": run, **_summary(values)})
    if not rows:
        return None
    return summed.write(folder, "profile", pa.Table.from_pylist(rows, _SCHEMA))


def without(folder: Path, names: tuple[str, ...], point: str, days: Collection[int]) -> str:
    """One file with all that ``names`` have, but for some days (since 1970) of a decision point."""
    tables = [read_checked(folder / name) for name in names]
    rows = pa.concat_tables(tables).cast(_SCHEMA)
    theirs = pc.and_(
        pc.equal(rows["point"], point),
        pc.is_in(rows["day"], value_set=pa.array(sorted(days), pa.int32())),
    )
    return summed.write(folder, "profile", rows.filter(pc.invert(theirs)))


def merged(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """One file instead of many, once there are :data:`_FILES_MAX`. The caller holds the lock."""
    if len(names) < _FILES_MAX:
        return names
    merge = sql.query("profile_merge", files=sql.literal([str(folder / name) for name in names]))
    ordered = f"FROM ({merge}) ORDER BY point, feature, day"
    table = sql.connect([folder]).sql(ordered).to_arrow_table().cast(_SCHEMA)
    name = summed.write(folder, "profile", table)
    sync(folder)
    return (name,)


def _summary(values: pa.Array) -> dict[str, object]:
    present = values.drop_null()
    present = present.filter(pc.is_finite(present))
    summary: dict[str, object] = {
        "rows": len(present),
        "nulls": len(values) - len(present),
    }
    if len(present):
        sample = present.take(
            pa.array(range(0, len(present), max(1, len(present) // _SAMPLE_ROWS)))
        )
        quantiles = pc.quantile(sample, [0.01, 0.5, 0.99]).to_pylist()
        summary |= dict(zip(("q01", "q50", "q99"), quantiles, strict=True))
        bounds = pc.min_max(present).as_py()
        summary |= {"low": bounds["min"], "high": bounds["max"]}
    return summary
