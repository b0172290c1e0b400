"""The look-up index: from an id to the file and row that hold it.

An index run is a Parquet file of (key, file, row) sorted by key, so that a look-up decodes one row
group of it however many entries there are. Each commit adds a small run; runs of one size class are
merged when there are :data:`FAN_OUT` of them, as in a log-structured merge tree, so their number
grows with the logarithm of what is stored. An entry whose file is no longer live is ignored by
look-ups and dropped by the next merge.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forensics.errors import IntegrityError
from forensics.lake import keys, sql
from forensics.lake.catalog import Run
from forensics.lake.files import sync
from forensics.lake.parquet import batches_checked, even_groups

FAN_OUT = 8
#: Smaller groups make the footer large, larger ones the decoding slow; 64 Ki took the least.
ROW_GROUP_ROWS = 65_536
#: Beyond this a run becomes several files with disjoint key ranges, to bound the footer.
FILE_ENTRIES_MAX = 64_000_000
#: A merge sorts this many entries at a time, to bound its memory.
_SLICE_ENTRIES = 4_000_000

_SCHEMA = pa.schema([("key", pa.int64()), ("file", pa.string()), ("row", pa.int32())])


def entries(ids: pa.Table, table: str, file: str) -> pa.Table:
    """Index entries of one data file, in no order.

    Args:
        ids: the file's id columns, one row per record in file order.
        table: the table's name, which tells the id columns.
        file: the file's name within the table's folder.
    """
    columns = keys.key_columns(table)
    if not columns or ids.num_rows == 0:
        return _SCHEMA.empty_table()
    located = ids.select(columns).append_column("row", pa.array(range(ids.num_rows), pa.int32()))
    connection = sql.connect()
    connection.register("located", located)
    # Where two ids of one record are equal, one entry serves both.
    parts = " UNION ".join(
        f"SELECT {keys.SQL.format(column)} AS key, row FROM located WHERE {column} IS NOT NULL"
        for column in columns
    )
    query = f"SELECT key, {sql.literal(f'{table}/{file}')} AS file, row FROM ({parts})"
    return connection.sql(query).to_arrow_table().cast(_SCHEMA)


def write_run(folder: Path, tables: Iterable[pa.Table]) -> Run | None:
    """Sort the entries of ``tables`` into one new run; None when there are none."""
    whole = pa.concat_tables([_SCHEMA.empty_table(), *tables])
    if whole.num_rows == 0:
        return None
    return _write(folder, whole.sort_by("key").to_batches(), level=0)[0]


def check(root: Path, runs: Iterable[Run]) -> None:
    """Read all of ``runs`` with their checksums.

    Raises:
        IntegrityError: when one is not what was written.
    """
    for run in runs:
        low, high, entries = run.high, run.low, 0
        for batch in batches_checked(root / "index" / run.name, ["key", "file", "row"]):
            if batch.schema.names != ["key", "file", "row"]:
                raise IntegrityError(f"Index run {run.name} has other columns than were written.")
            bounds = pc.min_max(batch["key"]).as_py()
            low, high = min(low, bounds["min"]), max(high, bounds["max"])
            entries += batch.num_rows
        if (low, high, entries) != (run.low, run.high, run.entries):
            raise IntegrityError(f"Index run {run.name} is not what was written.")


def merge_due(runs: tuple[Run, ...]) -> int | None:
    """The lowest level that has enough runs to be merged."""
    levels = sorted({run.level for run in runs})
    for level in levels:
        if len([run for run in runs if run.level == level]) >= FAN_OUT:
            return level
    return None


def merge(folder: Path, runs: Iterable[Run], live: set[str], level: int) -> tuple[Run, ...]:
    """Merge ``runs`` into new ones of ``level``, without entries whose file is not in ``live``."""
    return _write(folder, _by_key(folder, tuple(runs), live), level)


def _by_key(folder: Path, runs: tuple[Run, ...], live: set[str]) -> Iterator[pa.RecordBatch]:
    """The live entries of ``runs`` by key; keys are hashes, so slices of them are alike in size."""
    low, high = min(run.low for run in runs), max(run.high for run in runs) + 1
    slices = 1 + sum(run.entries for run in runs) // _SLICE_ENTRIES
    bounds = [low + (high - low) * number // slices for number in range(slices + 1)]
    connection = sql.connect([folder])
    connection.register("live", pa.table({"file": pa.array(sorted(live), pa.string())}))
    files = sql.literal([str(folder / run.name) for run in runs])
    for first, end in pairwise(bounds):
        yield from connection.sql(
            f"SELECT key, file, row FROM read_parquet({files}) SEMI JOIN live USING (file) "
            f"WHERE key >= {first} AND key < {end} ORDER BY key"
        ).to_arrow_reader(ROW_GROUP_ROWS)


def _write(folder: Path, batches: Iterable[pa.RecordBatch], level: int) -> tuple[Run, ...]:
    runs: list[Run] = []
    writer: pq.ParquetWriter | None = None
    name, low, high, count = "", 0, 0, 0

    def close() -> None:
        if writer is not None:
            writer.close()
            sync(folder / name)
            runs.append(Run(name, low, high, count, level))

    for group in even_groups(batches, _SCHEMA, ROW_GROUP_ROWS):
        if writer is None or count >= FILE_ENTRIES_MAX:
            close()
            name, low, count = f"run-{uuid.uuid4().hex}.parquet", group["key"][0].as_py(), 0
            writer = pq.ParquetWriter(
                folder / name,
                _SCHEMA,
                compression="zstd",
                use_dictionary=["file"],
                column_encoding={"key": "DELTA_BINARY_PACKED", "row": "DELTA_BINARY_PACKED"},
                write_statistics=["key"],
                write_page_checksum=True,
            )
        writer.write_table(group, row_group_size=ROW_GROUP_ROWS)
        high = group["key"][-1].as_py()
        count += group.num_rows
    close()
    sync(folder)
    return tuple(runs)
