"""The Delta tables: creating them, adding files in one atomic commit, and what is live now.

The only module that imports deltalake. Only writers come here, and readers of a table that the
catalog does not know in its newest version.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Sequence
from pathlib import Path

import pyarrow as pa
from deltalake import DeltaTable, PostCommitHookProperties, Schema, write_deltalake
from deltalake.exceptions import DeltaError
from deltalake.transaction import AddAction, RemoveAction

from forensics.errors import LakeError
from forensics.lake.catalog import DataFile, Table
from forensics.lake.files import sync

#: The log must outlive every legal retention: a removed commit is a hole in the history.
_CONFIGURATION = {
    "delta.appendOnly": "true",
    "delta.logRetentionDuration": "interval 36500 days",
    "delta.deletedFileRetentionDuration": "interval 36500 days",
    "delta.checkpointInterval": "100",
}

#: Where that is not ``occurred_at``.
_TIME_COLUMNS = {"outcomes": "arrived_at"}


def time_column(table: str) -> str:
    """The column that the files of ``table`` are sorted and pruned by."""
    return _TIME_COLUMNS.get(table, "occurred_at")


def open_table(root: Path, name: str) -> DeltaTable:
    """Open a table at its newest version.

    Raises:
        LakeError: when its log cannot be read.
    """
    try:
        return DeltaTable(root / name)
    except DeltaError as error:
        raise LakeError(
            f"Table {name} cannot be opened.",
            str(error).splitlines()[0],
            "Restore its _delta_log folder from a backup.",
        ) from error


def ensure(root: Path, name: str, schema: pa.Schema) -> DeltaTable:
    """Open a table, making it, or adding the columns and nested fields that it lacks."""
    if not (root / name / "_delta_log").is_dir():
        (root / name).mkdir(parents=True, exist_ok=True)
        table = DeltaTable.create(
            root / name, Schema.from_arrow(schema), mode="ignore", configuration=_CONFIGURATION
        )
        _sync_log(root / name, table)
        sync((root / name).parent)
    table = open_table(root, name)
    known = pa.schema(table.schema().to_arrow())
    if _adds_fields(known, schema):
        write_deltalake(table, schema.empty_table(), mode="append", schema_mode="merge")
        _sync_log(root / name, table)
        table = open_table(root, name)
    return table


def add_files(
    root: Path,
    name: str,
    schema: pa.Schema,
    files: Iterable[DataFile],
) -> None:
    """Commit files, already durable in the table's folder, in one atomic step.

    Args:
        root: the lake's folder.
        name: the table.
        schema: the files' schema.
        files: what to add.

    Raises:
        LakeError: when the commit is refused.
    """
    table = ensure(root, name, schema)
    _commit(root / name, table, [_add(name, file, data_change=True) for file in files])


def replace_files(
    root: Path, name: str, removed: Iterable[DataFile], added: Iterable[DataFile]
) -> None:
    """Exchange files for others with the same rows. The caller holds the lake's lock.

    Delta accepts two removals of one file, which would double its rows: hence the lock, and the
    check that all that is to be removed is still live.

    Raises:
        LakeError: when a file that is to go is no longer live, or the commit is refused.
    """
    table = open_table(root, name)
    live = {file.name for file in live_files(table, name)}
    gone = [file.name for file in removed if file.name not in live]
    if gone:
        raise LakeError(f"{gone[0]} of {name} is no longer live.", "Another process replaced it.")
    now_ms = int(time.time() * 1000)
    actions: list[AddAction | RemoveAction] = [
        RemoveAction(file.name, False, now_ms, file.size) for file in removed
    ]
    actions += [_add(name, file, data_change=False) for file in added]
    _commit(root / name, table, actions)


def state(root: Path, name: str) -> Table:
    """The table's version, live files and feature types, from its Delta log."""
    table = open_table(root, name)
    files = tuple(live_files(table, name))
    return Table(table.version(), files, features_of(pa.schema(table.schema().to_arrow())))


def live_files(table: DeltaTable, name: str) -> list[DataFile]:
    """The live files, oldest first."""
    actions = pa.table(table.get_add_actions(flatten=True))
    column = time_column(name)
    files = []
    for action in actions.to_pylist():
        first, last = action.get(f"min.{column}"), action.get(f"max.{column}")
        files.append(
            DataFile(
                action["path"],
                action["num_records"] or 0,
                _micros(first) if first else _TIME_MIN,
                _micros(last) if last else _TIME_MAX,
                action["size_bytes"],
            )
        )
    return sorted(files, key=lambda file: (file.first_us, file.name))


def vacuum(root: Path, name: str, *, grace_hours: int, full: bool = True) -> list[str]:
    """Delete files that no live version has needed for ``grace_hours``; their names.

    Where not ``full``, only those that were live once: others may be about to be committed.
    """
    table = open_table(root, name)
    return table.vacuum(
        retention_hours=grace_hours, dry_run=False, enforce_retention_duration=False, full=full
    )


def checkpoint(root: Path, name: str) -> None:
    """Write a Delta checkpoint, so that the next reader replays none of the log before it."""
    open_table(root, name).create_checkpoint()
    sync(root / name / "_delta_log")


#: What a file without time statistics may hold: anything.
_TIME_MIN, _TIME_MAX = -(2**62), 2**62


def _micros(time_: object) -> int:
    return int(pa.scalar(time_, pa.timestamp("us", "UTC")).value)


def features_of(schema: pa.Schema) -> dict[str, str]:
    """Feature types by name; none for a table that holds no decisions.

    Changes have a ``features`` column too: a list of names.
    """
    index = schema.get_field_index("features")
    if index < 0 or not pa.types.is_struct(schema.field(index).type):
        return {}
    return {field.name: feature_type(field) for field in schema.field(index).type}


#: Marks a feature whose values are of any JSON shape, kept as text.
JSON_FEATURE = {"json": "true"}


def feature_type(field: pa.Field) -> str:
    """The type of one field of a features struct: as :func:`type_name`, or ``json``."""
    return "json" if (field.metadata or {}).get(b"json") == b"true" else type_name(field.type)


def type_name(type_: pa.DataType) -> str:
    """A feature's type as people and the catalog say it."""
    if pa.types.is_list(type_) or pa.types.is_large_list(type_):
        return f"list<{type_name(type_.value_type)}>"
    names = {"double": "float64", "large_string": "string", "string_view": "string"}
    text = str(type_)
    return names.get(text, text)


def _adds_fields(known: pa.Schema, schema: pa.Schema) -> bool:
    for field in schema:
        if field.name not in known.names:
            return True
        if pa.types.is_struct(field.type):
            old = known.field(field.name).type
            if {child.name for child in field.type} - {child.name for child in old}:
                return True
    return False


def _add(name: str, file: DataFile, *, data_change: bool) -> AddAction:
    column = time_column(name)
    statistics = {
        "numRecords": file.rows,
        "minValues": {column: _iso(file.first_us)},
        "maxValues": {column: _iso(file.last_us)},
        "nullCount": {column: 0},
    }
    now_ms = int(time.time() * 1000)
    return AddAction(file.name, file.size, {}, now_ms, data_change, json.dumps(statistics))


def _iso(micros: int) -> str:
    return (
        str(pa.scalar(micros, pa.timestamp("us")).as_py().isoformat(timespec="microseconds")) + "Z"
    )


def _commit(folder: Path, table: DeltaTable, actions: Sequence[AddAction | RemoveAction]) -> None:
    try:
        table.create_write_transaction(
            list(actions),
            "append",
            table.schema(),
            post_commithook_properties=PostCommitHookProperties(cleanup_expired_logs=False),
        )
    except DeltaError as error:
        raise LakeError(
            "The commit was refused.", str(error).splitlines()[0], "Nothing landed; try again."
        ) from error
    _sync_log(folder, table)


def _sync_log(folder: Path, table: DeltaTable) -> None:
    """Make the newest commit durable; neither Delta nor the object store behind it does."""
    table.update_incremental()
    log = folder / "_delta_log"
    sync(log / f"{table.version():020}.json")
    sync(log)
