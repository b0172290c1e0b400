"""What was in use: small hourly counts of every model, configuration and step version.

The answer to "what was live at that second" must not scan the decisions. Each batch leaves one row
per hour, decision point, environment and component version, with how many decisions used it and
when the first and the last did.
"""

from __future__ import annotations

import uuid
from pathlib import Path

import pyarrow as pa

from forensics.lake import sql
from forensics.lake.files import sync
from forensics.lake.parquet import write_table

_FILES_MAX = 16

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
    ]
)


def write(folder: Path, table: str, records: pa.Table) -> str | None:
    """Count what ``records``, a table of decisions, used; the new file's name."""
    if not table.startswith("decisions/"):
        return None
    connection = sql.connect()
    wanted = ["environment", "occurred_at", "model", "config", "steps"]
    connection.register("records", records.select(wanted))
    point = sql.literal(table.split("/", 1)[1])
    return _write(folder, connection, sql.query("usage_count", point=point, records="records"))


def merged(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """One file instead of many, once there are :data:`_FILES_MAX`. The caller holds the lock."""
    if len(names) < _FILES_MAX:
        return names
    usages = f"SELECT * FROM read_parquet({sql.literal([str(folder / name) for name in names])})"
    merge = sql.query("usage_merge", usages=usages)
    return (_write(folder, sql.connect([folder]), merge),)


def _write(folder: Path, connection: sql.Connection, query: str) -> str:
    name = f"usage-{uuid.uuid4().hex}.parquet"
    write_table(connection.sql(query).to_arrow_table().cast(_SCHEMA), folder / name)
    sync(folder)
    return name
