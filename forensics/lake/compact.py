"""Compaction: many small files become few large ones, record by record the same.

Leaves bind records, not files, so no proof changes. Files are merged in time order up to a size;
the exchange is one Delta commit under the lake's lock, and a process that dies before it leaves
only files that nobody refers to.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forensics.errors import IntegrityError
from forensics.lake import derived, index, seal, sql, summed, tables, unaltered, writer
from forensics.lake.catalog import Catalog, DataFile
from forensics.lake.files import exclusive, sync
from forensics.lake.parquet import ROW_GROUP_ROWS, conform, read_checked, write_batches
from forensics.lake.snapshot import take
from forensics.lake.verify.compared import Compare
from forensics.records.decision import ABSENT

#: Files are merged until one holds about this many records, or takes this much memory to sort.
TARGET_ROWS = 250_000
_GROUP_BYTES_MAX = 400 << 20
#: Less than this is worth no rewriting.
_FILES_MIN = 2


@dataclass(slots=True)
class Compaction:
    """What a compaction did, in files and records."""

    merged: int = 0
    written: int = 0
    rows: int = 0
    removed: int = 0
    #: Whether the index was damaged and has been made again.
    index_rebuilt: bool = False

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return asdict(self)


Progress = Callable[[int, str], None]


def compact(
    root: Path,
    *,
    target_rows: int = TARGET_ROWS,
    grace_hours: int = 24,
    progress: Progress | None = None,
    compare: Compare | None = None,
) -> Compaction:
    """Merge the small files of every table, and mend a damaged index.

    Args:
        root: the lake.
        target_rows: records of one merged file.
        grace_hours: replaced files are kept this long for readers of an older state.
        progress: told after each merge.
        compare: tells columns from received bytes, for rewritten files that nobody has sealed;
            they are refused where None.

    Raises:
        IntegrityError: when a file that is to be merged is not what was written; it stays then.
    """
    take(root).check_files()
    sealed_as = unaltered.named(root) if compare is None else unaltered.adopt(root, compare)
    done = Compaction(index_rebuilt=_mend_index(root))
    for name, before in take(root).tables.items():
        # What lands meanwhile is for the next time: a busy server would keep this going for ever.
        known = {file.name for file in before.files}
        while group := _next_group(
            [file for file in take(root).tables[name].files if file.name in known], target_rows
        ):
            for file in group:
                unaltered.check(root, name, file.name, sealed_as)
            known.add(_merge(root, name, group))
            done.merged += len(group)
            done.written += 1
            done.rows += sum(file.rows for file in group)
            if progress:
                progress(done.merged, f"{name}: {done.merged} files, {done.rows:,} records")
        done.removed += len(tables.vacuum(root, name, grace_hours=grace_hours))
    with exclusive(root / ".lock"):
        writer.publish(root, writer.refreshed(root, take(root)), whole=done.merged > 0)
        seal.sweep(root)
    done.removed += derived.sweep(take(root))
    return done


def _mend_index(root: Path) -> bool:
    """Make the index and the summaries again where a file of them is damaged."""
    with exclusive(root / ".lock"):
        snapshot = take(root)
        try:
            index.check(root, snapshot.known.runs)
            summed.paths(
                root / "index", (*snapshot.known.profiles, *snapshot.known.usages), "compact"
            )
        except IntegrityError:
            bare = replace(snapshot, known=Catalog(), unindexed=snapshot.live)
            writer.publish(root, writer.refreshed(root, bare))
            return True
        if snapshot.unindexed:  # once files are merged, nobody can tell which were counted before
            writer.publish(root, writer.refreshed(root, snapshot))
    return False


def _next_group(files: Iterable[DataFile], target_rows: int) -> list[DataFile]:
    """The next files to merge: neighbours in time that are small, as many as fill one file."""
    group: list[DataFile] = []
    rows = size = 0
    for file in files:
        large = file.rows >= target_rows // 2 or file.size >= _GROUP_BYTES_MAX // 2
        full = rows + file.rows > target_rows or size + file.size > _GROUP_BYTES_MAX
        if large or full:
            if len(group) >= _FILES_MIN:
                break
            group, rows, size = [], 0, 0
        if not large:
            group.append(file)
            rows, size = rows + file.rows, size + file.size
    return group if len(group) >= _FILES_MIN else []


def _merge(root: Path, name: str, group: list[DataFile]) -> str:
    """Write one file with the records of ``group`` in time order, and exchange them for it."""
    folder = root / name
    paths = [folder / file.name for file in group]
    schema = pa.unify_schemas(
        [pq.read_schema(path) for path in paths], promote_options="permissive"
    )
    merged = f"part-{uuid.uuid4().hex}.parquet"
    size = write_batches(
        _in_time_order(group, folder, schema, tables.time_column(name)), schema, folder / merged
    )
    sync(folder)
    rows = pq.read_metadata(folder / merged).num_rows
    if rows != sum(file.rows for file in group):
        raise IntegrityError(
            f"Merging {len(group)} files of {name} gave {rows:,} records.",
            f"They hold {sum(file.rows for file in group):,}.",
            "Nothing was changed. Report this.",
        )
    first, last = min(f.first_us for f in group), max(f.last_us for f in group)
    added = DataFile(merged, rows, first, last, size)
    run = writer.index_file(root, name, merged)
    with exclusive(root / ".lock"):
        tables.replace_files(root, name, group, [added])
        indexed = {f"{name}/{merged}": run} if run else {}
        catalog = writer.refreshed(root, take(root), indexed, {f"{name}/{merged}"})
        writer.publish(root, catalog)
    return merged


def _in_time_order(
    group: list[DataFile], folder: Path, schema: pa.Schema, column: str
) -> Iterator[pa.RecordBatch]:
    """All records by time. Files that follow one another are streamed, overlapping ones sorted."""
    follow = all(a.last_us <= b.first_us for a, b in pairwise(group))
    if follow:
        for file in group:
            yield from _widened(read_checked(folder / file.name), schema).to_batches()
        return
    whole = [_widened(read_checked(folder / file.name), schema) for file in group]
    table = pa.concat_tables(whole)
    keys = pa.table({"time": table[column], "row": pa.array(range(table.num_rows))})
    order = pc.sort_indices(keys, sort_keys=[("time", "ascending"), ("row", "ascending")])
    for start in range(0, len(order), ROW_GROUP_ROWS):
        yield from table.take(order.slice(start, ROW_GROUP_ROWS)).combine_chunks().to_batches()


def _widened(records: pa.Table, schema: pa.Schema) -> pa.Table:
    """``records`` in the merged file's schema; what they lack is noted as absent, not as null."""
    new = tables.features_of(schema).keys() - tables.features_of(records.schema).keys()
    if new and tables.features_of(records.schema):
        records = _noting_absent(records, sorted(new))
    return conform(records, schema)


def _noting_absent(records: pa.Table, names: list[str]) -> pa.Table:
    connection = sql.connect()
    given = pa.table({"exact": records["exact"], "none": records["features"].is_null()})
    connection.register("given", given)
    absent = ", ".join(
        f"{sql.literal(f'features.{name}')}: {sql.literal(ABSENT)}" for name in names
    )
    # What the record itself says, e.g. that a feature was written as null, comes last and wins.
    exact = connection.sql(
        f"SELECT CASE WHEN none THEN exact ELSE map_concat(MAP {{{absent}}}, exact) END AS exact "
        "FROM given"
    ).to_arrow_table()["exact"]
    at = records.schema.get_field_index("exact")
    return records.set_column(
        at, records.schema.field(at), exact.cast(records.schema.field(at).type)
    )
