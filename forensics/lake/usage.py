"""What was in use: small counts of every model, configuration, code, step version and feature.

The answer to "what was live at that second" must not scan the decisions. Each batch leaves one row
per hour, decision point, environment and component version, with how many decisions used it and
when the first and the last did; and one per day and feature that decisions had. Regions and
replicas are not told apart here, since hours times replicas would outgrow what a trace can afford
to read: they are read from the decisions around the time in question.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from forensics.lake import sql, summed
from forensics.lake.files import sync
from forensics.lake.summaries import USED, counting, rows
from forensics.lake.tables import features_of
from forensics.records.times import DAY_US

_FILES_MAX = 16
#: When we knew of a decision: when it was recorded, else when it was received.
_KNOWN = ("recorded_at", "ingested_at")

_SCHEMA = pa.schema(
    [
        ("point", pa.string()),
        ("environment", pa.string()),
        ("kind", pa.string()),
        ("name", pa.string()),
        ("version", pa.string()),
        ("digest", pa.string()),
        ("hour", pa.int32()),
        ("decisions", pa.int64()),
        ("first_us", pa.int64()),
        ("last_us", pa.int64()),
        ("known_us", pa.int64()),
    ]
)


def write(folder: Path, table: str, records: pa.Table) -> str | None:
    """Count what ``records``, a table of decisions, used; the new file's name."""
    if not table.startswith("decisions/"):
        return None
    connection = sql.connect()
    there = [name for name in USED if name in records.column_names]
    connection.register("records", records.select(there))
    connection.register("features", _features(table.split("/", 1)[1], records))
    counted = counting(table.split("/", 1)[1], "records", there)
    return _write(folder, connection, f"({counted}) UNION ALL (FROM features)")


def merged(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """One file instead of many, once there are :data:`_FILES_MAX`. The caller holds the lock."""
    if len(names) < _FILES_MAX:
        return names
    merge = sql.query("usage_merge", usages=rows([str(folder / name) for name in names]))
    return (_write(folder, sql.connect([folder]), merge),)


def _write(folder: Path, connection: sql.Connection, query: str) -> str:
    name = summed.write(folder, "usage", connection.sql(query).to_arrow_table().cast(_SCHEMA))
    sync(folder)
    return name


def _features(point: str, records: pa.Table) -> pa.Table:
    """How many decisions had each feature, by environment and day.

    Most features are in every decision, and those cost nothing: the counts are the days'.
    """
    types = features_of(records.schema)
    if not types or records.num_rows == 0:
        return _SCHEMA.empty_table()
    moments = records["occurred_at"].cast(pa.int64())
    known = [records[name].cast(pa.int64()) for name in _KNOWN if name in records.column_names]
    given = records["environment"] if "environment" in records.column_names else None
    decisions = pa.table(
        {
            "environment": pa.repeat("production", records.num_rows)
            if given is None
            else pc.fill_null(given, "production"),
            "hour": pc.multiply(pc.divide(moments, DAY_US), 24).cast(pa.int32()),
            "moment": moments,
            "known": pc.coalesce(*known) if known else pa.nulls(records.num_rows, pa.int64()),
        }
    )
    structs = records["features"].combine_chunks()
    all_of_them: list[dict[str, Any]] | None = None
    rows: list[dict[str, Any]] = []
    for name, type_ in types.items():
        there = pc.is_valid(pc.struct_field(structs, [name]))
        if pc.all(there).as_py():
            all_of_them = counts = all_of_them or _by_day(decisions)
        else:
            counts = _by_day(decisions.filter(there))
        rows += [
            {"point": point, "kind": "feature", "name": name, "version": type_, **count}
            for count in counts
        ]
    return pa.Table.from_pylist(rows, _SCHEMA)


def _by_day(decisions: pa.Table) -> list[dict[str, Any]]:
    found = decisions.group_by(["environment", "hour"]).aggregate(
        [("moment", "count"), ("moment", "min"), ("moment", "max"), ("known", "min")]
    )
    names = {
        "moment_count": "decisions",
        "moment_min": "first_us",
        "moment_max": "last_us",
        "known_min": "known_us",
    }
    rows: list[dict[str, Any]] = found.rename_columns(
        [names.get(name, name) for name in found.column_names]
    ).to_pylist()
    return rows
