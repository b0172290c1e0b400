"""What was in use: small hourly counts of every model, configuration and step version.

The answer to "what was live at that second" must not scan the decisions. Each batch leaves one row
per hour, decision point, environment and component version, with how many decisions used it and
when the first and the last did.
"""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import NamedTuple

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

_SUMMARISE = """
WITH seen AS (
    SELECT coalesce(environment, 'production') AS environment, epoch_us(occurred_at) AS moment,
           model, config, steps
    FROM records
), used AS (
    SELECT environment, moment, 'model' AS kind, model.name AS name, model.version AS version,
           model.digest AS digest FROM seen WHERE model IS NOT NULL
    UNION ALL
    SELECT environment, moment, 'config', config.name, config.revision, config.digest
    FROM seen WHERE config IS NOT NULL
    UNION ALL
    SELECT environment, moment, step.kind, step.component, step.version, step.digest
    FROM (SELECT environment, moment, unnest(steps) AS step FROM seen)
    WHERE step.kind <> 'model' AND (step.digest IS NOT NULL OR step.version IS NOT NULL)
    UNION ALL
    SELECT environment, moment, 'decisions', NULL, NULL, NULL FROM seen
)
SELECT {point} AS point, environment, kind, name, version, digest,
       (moment // 3600000000)::INTEGER AS hour, count(*) AS decisions, min(moment) AS first_us,
       max(moment) AS last_us
FROM used GROUP BY ALL
"""

_MERGE = """
SELECT point, environment, kind, name, version, digest, hour, sum(decisions)::BIGINT AS decisions,
       min(first_us) AS first_us, max(last_us) AS last_us
FROM read_parquet({files}) GROUP BY ALL ORDER BY hour, point, environment, kind
"""


class Usage(NamedTuple):
    """One component version in one hour of one environment of one decision point.

    ``kind`` is ``model``, ``config``, a step's kind, or ``decisions``: the count of them all.
    """

    point: str
    environment: str
    kind: str
    name: str | None
    version: str | None
    digest: str | None
    hour: int
    decisions: int
    first_us: int
    last_us: int


def write(folder: Path, table: str, records: pa.Table) -> str | None:
    """Count what ``records``, a table of decisions, used; the new file's name."""
    if not table.startswith("decisions/"):
        return None
    connection = sql.connect()
    wanted = ["environment", "occurred_at", "model", "config", "steps"]
    connection.register("records", records.select(wanted))
    point = sql.literal(table.split("/", 1)[1])
    return _write(folder, connection, _SUMMARISE.format(point=point))


def merged(folder: Path, names: tuple[str, ...]) -> tuple[str, ...]:
    """One file instead of many, once there are :data:`_FILES_MAX`. The caller holds the lock."""
    if len(names) < _FILES_MAX:
        return names
    files = sql.literal([str(folder / name) for name in names])
    return (_write(folder, sql.connect([folder]), _MERGE.format(files=files)),)


def load(
    connection: sql.Connection, paths: list[str], *, until_us: int, point: str | None = None
) -> list[Usage]:
    """All usage that began by ``until_us``, oldest first."""
    if not paths:
        return []
    condition = f" AND point = {sql.literal(point)}" if point else ""
    query = (
        f"SELECT * FROM ({_MERGE.format(files=sql.literal(paths))}) "
        f"WHERE first_us <= {until_us}{condition} ORDER BY first_us"
    )
    return [Usage(*row) for row in connection.execute(query).fetchall()]


def _write(folder: Path, connection: sql.Connection, query: str) -> str:
    name = f"usage-{uuid.uuid4().hex}.parquet"
    write_table(connection.sql(query).to_arrow_table().cast(_SCHEMA), folder / name)
    sync(folder)
    return name
