"""Landing records: stage files without a lock, then commit them under it.

Staging is the work (sorting, hashing, compressing) and runs in as many processes as there are
cores. The commit is short and exclusive: it looks whether anything landed meanwhile that changes
what was staged (a record twice, a feature's type), makes the Delta commit, and brings the catalog
and the index up to date. A process that dies leaves at worst files that nobody refers to.
"""

from __future__ import annotations

import os
import time
import uuid
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forensics.integrity.file_note import FileNote
from forensics.integrity.leaf import leaf_hash
from forensics.lake import catalog, index, profile, seal, sql, tables, usage
from forensics.lake.catalog import Catalog, DataFile, Run, Table
from forensics.lake.files import exclusive, sync
from forensics.lake.keys import key_columns
from forensics.lake.parquet import read_checked, write_table
from forensics.lake.protect import keys_live, protected, received
from forensics.lake.seal import id_column
from forensics.lake.snapshot import Snapshot, take

#: Tables whose ids are made from what the record says: records of one id are one record, however
#: their bytes were spaced and ordered.
_BY_CONTENT = frozenset({"lineage"})

#: A run that a merge replaced is kept this long for readers that still hold the old catalog.
_RUN_GRACE_S = 600


@dataclass(frozen=True, slots=True)
class Staged:
    """One durable but uncommitted file and what the commit needs to know of it."""

    table: str
    file: DataFile
    features: dict[str, str]
    #: Names of the files that were live when records already present were looked for.
    compared: frozenset[str]
    already_present: int
    index_run: Run | None
    profile: str | None
    usage: str | None
    #: Its segments, ready to be sealed, and what the log is to say of the file itself.
    segments: tuple[seal.Open, ...] = ()
    note: FileNote | None = None


def table_of(kind: str, point: str = "") -> str:
    """The table for records of ``kind``: ``decision``, or one of :data:`catalog.TABLES`."""
    return f"{catalog.DECISIONS}/{point}" if kind == "decision" else catalog.TABLES[kind]


def stage(snapshot: Snapshot, table: str, records: pa.Table) -> Staged:
    """Write ``records`` (contract columns plus the kept ones) as one file of ``table``.

    Records that the lake holds already, byte for byte, are left out and counted. ``segment`` and
    ``leaf_index`` are filled in here: the file is one segment, or several if it is very large, and
    its rows in time order are leaves from 1, since leaf 0 is a segment's manifest.
    """
    root = snapshot.root
    records = _in_time_order(records, tables.time_column(table))
    compared = frozenset(file.name for file in snapshot.files(table))
    new = _without(records, present_rows(snapshot, table, records, snapshot.files(table)))
    already = records.num_rows - new.num_rows
    features = feature_types(new)
    if new.num_rows == 0:
        empty = DataFile("", 0, 0, 0, 0)
        return Staged(table, empty, {}, compared, already, None, None, None)
    new = protected(root, table, _in_segments(new))
    folder = root / table
    folder.mkdir(parents=True, exist_ok=True)
    (root / "index").mkdir(exist_ok=True)  # derived, so it may have been removed
    name = f"part-{uuid.uuid4().hex}.parquet"
    size = write_table(new, folder / name)
    sync(folder)
    file = data_file(new, table, name, size)
    run, summary, used = _derive(root / "index", table, name, new)
    segments = seal.prepare_all(root, table, new)
    note = seal.file_note(root, table, name, new.num_rows)
    return Staged(table, file, features, compared, already, run, summary, used, segments, note)


def _in_segments(records: pa.Table) -> pa.Table:
    most = seal.SEGMENT_ROWS
    sizes = [min(most, records.num_rows - at) for at in range(0, records.num_rows, most)]
    segments = [pa.repeat(pa.scalar(uuid.uuid4().hex), size) for size in sizes]
    leaves = [pa.array(range(1, size + 1), pa.int64()) for size in sizes]
    for name, parts in (("segment", segments), ("leaf_index", leaves)):
        column = pa.concat_arrays(parts)
        records = records.set_column(records.schema.get_field_index(name), name, column)
    return records


def commit(root: Path, staged: Staged, restage: Callable[[Snapshot], Staged]) -> Staged:
    """Commit a staged file; what landed in the end.

    Args:
        root: the lake's folder.
        staged: what :func:`stage` made.
        restage: makes it again from a newer snapshot, for when another writer landed one of the
            records, or a feature of another type, since.

    Raises:
        LakeError: when the commit is refused.
    """
    with exclusive(root / ".lock"):
        snapshot = take(root)
        known = refreshed(root, snapshot)
        if _outdated(snapshot, staged) or not keys_live(root, staged.table, staged.file.name):
            seal.discard(root, staged.segments)
            staged = restage(snapshot)
        if staged.file.rows == 0:
            return staged
        schema = pq.read_schema(root / staged.table / staged.file.name)
        tables.add_files(root, staged.table, schema, [staged.file])
        seal.seal(root, staged.segments, [staged.note] if staged.note else [])
        state = known.tables.get(staged.table, Table(-1, ()))
        files = tuple(sorted((*state.files, staged.file), key=lambda f: (f.first_us, f.name)))
        version = tables.open_table(root, staged.table).version()
        known = known.with_table(
            staged.table, Table(version, files, {**state.features, **staged.features})
        )
        publish(root, _with_derived(known, staged.index_run, staged.profile, staged.usage))
    return staged


def publish(root: Path, known: Catalog, *, whole: bool = False) -> None:
    """Write the catalog, merging what is due. The caller holds the lock.

    Args:
        root: the lake.
        known: what the catalog is to say.
        whole: merge all index runs, which leaves no entry of a file that is gone.
    """
    folder = root / "index"
    live = {f"{name}/{file.name}" for name, table in known.tables.items() for file in table.files}
    runs = known.runs
    if whole and runs:
        runs = index.merge(folder, runs, live, max(run.level for run in runs))
    while (level := index.merge_due(runs)) is not None:
        due = tuple(run for run in runs if run.level == level)
        rest = tuple(run for run in runs if run.level != level)
        runs = rest + index.merge(folder, due, live, level + 1)
    merged = Catalog(
        known.tables,
        runs,
        profile.merged(folder, known.profiles),
        usage.merged(folder, known.usages),
    )
    catalog.write(root, merged)
    kept = catalog.index_files(merged)
    sweep(folder, kept=kept, retired=catalog.index_files(known) - kept)


def sweep(folder: Path, kept: set[str], retired: set[str]) -> None:
    """Delete index files that no catalog names, once no reader can still be using them."""
    for name in retired:
        os.utime(folder / name)  # retired now: its grace begins
    limit = time.time() - _RUN_GRACE_S
    for path in folder.glob("*.parquet"):
        if path.name not in kept and path.stat().st_mtime < limit:
            path.unlink(missing_ok=True)


def refreshed(
    root: Path,
    snapshot: Snapshot,
    indexed: Mapping[str, Run] = {},
    written: Collection[str] = (),
) -> Catalog:
    """The catalog with every live file indexed, and sealed. The caller holds the lock.

    Heals what a dead process or a foreign writer left: files that Delta has and no index covers,
    and segments that the log does not have.

    Args:
        root: the lake.
        snapshot: taken under the lock.
        indexed: index runs that are made already, by ``table/file``.
        written: files that the caller has written itself; see :func:`forensics.lake.seal.recover`.
    """
    (root / "index").mkdir(exist_ok=True)
    seal.recover(root, snapshot, written)
    known = replace(snapshot.known, tables=dict(snapshot.tables))
    for location in sorted(snapshot.unindexed):
        table, name = location.rsplit("/", 1)
        old = snapshot.known.tables.get(table, Table(-1, ()))
        live = {file.name for file in snapshot.tables[table].files}
        # Files only ever go by being merged: then the new ones hold the same records, which the
        # summaries have counted before.
        merged = any(file.name not in live for file in old.files)
        if location in indexed:
            known = _with_derived(known, indexed[location], None, None)
        elif merged:
            known = _with_derived(known, index_file(root, table, name), None, None)
        else:
            records = read_checked(root / location)
            known = _with_derived(known, *_derive(root / "index", table, name, records))
    return known


def _derive(
    folder: Path, table: str, name: str, records: pa.Table
) -> tuple[Run | None, str | None, str | None]:
    """Everything that is derived from one data file: its index run and its summaries."""
    return (
        index.write_run(folder, [index.entries(records, table, name)]),
        profile.write(folder, table, records),
        usage.write(folder, table, records),
    )


def _with_derived(
    known: Catalog, run: Run | None, summary: str | None, used: str | None
) -> Catalog:
    return replace(
        known,
        runs=known.runs + ((run,) if run else ()),
        profiles=known.profiles + ((summary,) if summary else ()),
        usages=known.usages + ((used,) if used else ()),
    )


def index_file(root: Path, table: str, name: str) -> Run | None:
    """Index one data file."""
    ids = read_checked(root / table / name, list(key_columns(table)))
    return index.write_run(root / "index", [index.entries(ids, table, name)])


def data_file(records: pa.Table, table: str, name: str, size: int) -> DataFile:
    """The catalog's line about a file that holds ``records``."""
    times = pc.min_max(records[tables.time_column(table)]).as_py()
    first, last = (pa.scalar(times[end], pa.timestamp("us", "UTC")).value for end in ("min", "max"))
    return DataFile(name, records.num_rows, first, last, size)


def feature_types(records: pa.Table) -> dict[str, str]:
    """Feature types by name; none for a table that holds no decisions."""
    return tables.features_of(records.schema)


def present_rows(
    snapshot: Snapshot, table: str, records: pa.Table, files: Iterable[DataFile]
) -> set[int]:
    """Rows of ``records`` that stand in ``files`` already, or earlier in ``records`` itself.

    Only files whose times overlap are read: an equal record has an equal time. Two records are the
    same when their received bytes are: the stored leaf, made again from the stored salt and the new
    bytes, tells so without reading the stored ones. Lineage events are the same when their id is.
    """
    column = id_column(table)
    by_content = table in _BY_CONTENT
    rows = _repeated_rows(records, column, by_content=by_content)
    low, high = _span(records, table)
    paths = [
        str(snapshot.root / table / file.name)
        for file in files
        if file.last_us >= low and file.first_us <= high
    ]
    if not paths:
        return rows
    ids = records.select([column]).append_column("row", pa.array(range(records.num_rows)))
    connection = sql.connect([snapshot.root])
    connection.register("ids", ids)
    with sql.reading(f"A data file of {table}"):
        matches = connection.execute(
            f"SELECT ids.row, salt, leaf FROM read_parquet({sql.literal(paths)}) AS stored "
            f"JOIN ids USING ({column}) "
            f"WHERE epoch_us(stored.{tables.time_column(table)}) BETWEEN {low} AND {high}"
        ).fetchall()
    raws = records["raw"]
    rows.update(
        row
        for row, salt, leaf in matches
        if by_content or _is_same(salt, leaf, received(snapshot.root, raws[row].as_py()))
    )
    return rows


def _is_same(salt: bytes | None, leaf: bytes | None, raw: bytes) -> bool:
    """Whether ``raw`` is what was received under a leaf; so is all that comes after an erasure."""
    if salt is None:
        return leaf is not None
    return leaf_hash(salt, raw) == leaf


def _outdated(snapshot: Snapshot, staged: Staged) -> bool:
    """Whether something landed since staging that the staged file must take account of."""
    state = snapshot.tables.get(staged.table)
    if state is None or staged.file.rows == 0:
        return False
    for name, type_ in staged.features.items():
        if state.features.get(name, type_) != type_:
            return True
    newer = [file for file in state.files if file.name not in staged.compared]
    overlapping = [
        file
        for file in newer
        if file.last_us >= staged.file.first_us and file.first_us <= staged.file.last_us
    ]
    if not overlapping:
        return False
    columns = [id_column(staged.table), tables.time_column(staged.table), "raw"]
    records = read_checked(snapshot.root / staged.table / staged.file.name, columns)
    return bool(present_rows(snapshot, staged.table, records, overlapping))


def _repeated_rows(records: pa.Table, column: str, *, by_content: bool) -> set[int]:
    ids = records[column]
    if pc.count_distinct(ids).as_py() == records.num_rows:
        return set()
    seen: set[tuple[str, bytes]] = set()
    repeated: set[int] = set()
    raws = [b""] * records.num_rows if by_content else records["raw"].to_pylist()
    for row, pair in enumerate(zip(ids.to_pylist(), raws, strict=True)):
        if pair in seen:
            repeated.add(row)
        seen.add(pair)
    return repeated


def _in_time_order(records: pa.Table, column: str) -> pa.Table:
    """Sorted by time, keeping the received order within one instant; most logs are so already."""
    times = records[column]
    if pc.all(pc.less_equal(times[:-1], times[1:])).as_py() is not False:
        return records
    order = pc.sort_indices(
        pa.table({"time": times, "row": range(len(times))}),
        sort_keys=[("time", "ascending"), ("row", "ascending")],
    )
    return records.take(order)


def _span(records: pa.Table, table: str) -> tuple[int, int]:
    file = data_file(records, table, "", 0)
    return file.first_us, file.last_us


def _without(records: pa.Table, rows: set[int]) -> pa.Table:
    if not rows:
        return records
    keep = [row for row in range(records.num_rows) if row not in rows]
    return records.take(pa.array(keep, pa.int64()))
