"""What the lake holds at one moment: its tables' live files, and where an id is.

This is the reader's side of the catalog: cheap where the catalog is current, through Delta where a
table has moved on.
"""

from __future__ import annotations

import threading
from collections.abc import Collection, Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from forensics.errors import IntegrityError, UsageError
from forensics.lake import catalog, sql
from forensics.lake.catalog import DataFile, Table
from forensics.lake.keys import key_columns, key_of


class Location(NamedTuple):
    """Where a record is: table, file within the table, row within the file."""

    table: str
    file: str
    row: int


@dataclass(frozen=True)
class Snapshot:
    """One consistent view of the lake at ``root``; take a new one to see later commits."""

    root: Path
    tables: dict[str, Table]
    #: Live files that no index covers, as ``table/file``.
    unindexed: frozenset[str]
    known: catalog.Catalog

    @cached_property
    def live(self) -> frozenset[str]:
        """All live files, as ``table/file``."""
        return frozenset(
            f"{name}/{file.name}" for name, table in self.tables.items() for file in table.files
        )

    @cached_property
    def connection(self) -> sql.Connection:
        """A connection that can read this lake's files and nothing else."""
        opening: _Opening | None = self.__dict__.pop("opening", None)
        if opening is not None:
            opening.join()
            if opening.connection is not None:
                return opening.connection
        return _connect(self.root)

    def connect_ahead(self) -> None:
        """Open the connection, which takes 16 ms, beside what is done before it is needed."""
        if "connection" not in self.__dict__:
            self.__dict__["opening"] = opening = _Opening(self.root)
            opening.start()

    def through(self, connection: sql.Connection) -> Snapshot:
        """This, asked through another connection: each answers one thread at a time."""
        other = replace(self)
        other.__dict__["connection"] = connection  # where cached_property keeps it
        return other

    def points(self, named: str | None = None) -> list[str]:
        """Names of the decision points; only ``named`` where one is.

        Raises:
            UsageError: when the lake has no decision point of that name.
        """
        points = [name.split("/", 1)[1] for name in self.tables if name.startswith("decisions/")]
        if named is None:
            return points
        if named not in points:
            raise UsageError(
                f"No decision point {named!r} in this lake.",
                f"It has: {', '.join(points) or 'none yet'}.",
            )
        return [named]

    def paths(
        self, name: str, first_us: int | None = None, last_us: int | None = None
    ) -> list[str]:
        """Paths of a table's live files that may hold times from ``first_us`` to ``last_us``."""
        return [str(self.root / name / file.name) for file in self.files(name, first_us, last_us)]

    def files(
        self, name: str, first_us: int | None = None, last_us: int | None = None
    ) -> list[DataFile]:
        """A table's live files that may hold times from ``first_us`` to ``last_us``, included."""
        table = self.tables.get(name)
        if table is None:
            return []
        return [
            file
            for file in table.files
            if (first_us is None or file.last_us >= first_us)
            and (last_us is None or file.first_us <= last_us)
        ]

    def window_us(self) -> tuple[int, int] | None:
        """Times of the first and the last decision; None when there is none."""
        files = [
            file
            for name, table in self.tables.items()
            if name.startswith("decisions/")
            for file in table.files
        ]
        if not files:
            return None
        return min(file.first_us for file in files), max(file.last_us for file in files)

    def locate(self, *identifiers: str) -> list[Location]:
        """Where records that may be named so are; the caller compares the id itself."""
        keys = {key_of(identifier) for identifier in identifiers}
        runs = [
            str(self.root / "index" / run.name)
            for run in self.known.runs
            if any(run.low <= key <= run.high for key in keys)
        ]
        found: set[tuple[str, int]] = set()
        if runs:
            query = (
                f"SELECT file, row FROM read_parquet({sql.literal(runs)}) "
                f"WHERE key IN ({', '.join(map(str, sorted(keys)))})"
            )
            with sql.reading("The look-up index", index_advice(self.root)):
                rows = self.connection.execute(query).fetchall()
            found.update((file, row) for file, row in rows if file in self.live)
        for file in self.unindexed:
            found.update((file, row) for row in self._scan(file, identifiers))
        return [
            Location(table, name, row)
            for file, row in sorted(found)
            for table, _, name in (file.rpartition("/"),)
        ]

    def check_files(self, names: Collection[str] | None = None) -> None:
        """Look whether data files are there in the size that was committed.

        Args:
            names: which, as ``table/file``; all live ones where None.

        Raises:
            IntegrityError: when one is gone or has another size.
        """
        for name, table in self.tables.items():
            for file in table.files:
                location = f"{name}/{file.name}"
                if names is not None and location not in names:
                    continue
                path = self.root / location
                size = path.stat().st_size if path.is_file() else None
                if size != file.size:
                    found = "is gone" if size is None else f"has {size:,} bytes"
                    raise IntegrityError(
                        f"Data file {location} {found}.",
                        f"It was committed with {file.rows:,} records in {file.size:,} bytes.",
                        "Restore it from a backup.",
                    )

    def _scan(self, file: str, identifiers: Iterable[str]) -> Iterable[int]:
        columns = key_columns(file.rsplit("/", 1)[0])
        wanted = list(identifiers)
        if not columns or not wanted:
            return []
        condition = " OR ".join(
            f"list_contains({sql.literal(wanted)}, {column})" for column in columns
        )
        query = (
            f"SELECT file_row_number FROM read_parquet({sql.literal(str(self.root / file))}, "
            f"file_row_number = true) WHERE {condition}"
        )
        with sql.reading(f"Data file {file}"):
            return [row for (row,) in self.connection.execute(query).fetchall()]


def _connect(root: Path) -> sql.Connection:
    return sql.connect([root], whole=False)


class _Opening(threading.Thread):
    """A connection on its way; None where it failed, which whoever needs it is to find out."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self._root = root
        self.connection: sql.Connection | None = None

    def run(self) -> None:
        with suppress(sql.SqlError, OSError):
            self.connection = _connect(self._root)


def index_advice(root: Path) -> str:
    """What to do about a damaged index or summary."""
    return f"It is derived: remove {root / 'index'} and make it again with forensics compact."


def take(root: Path) -> Snapshot:
    """The lake at ``root`` as it is now.

    Raises:
        LakeError: when there is no lake, or a table's log cannot be read.
    """
    catalog.require_lake(root)
    known = catalog.read(root)
    tables: dict[str, Table] = {}
    unindexed: set[str] = set()
    for name in known.tables.keys() - set(catalog.table_names(root)):
        raise _lost(name, known.tables[name], "its _delta_log is gone")
    for name in catalog.table_names(root):
        table = known.tables.get(name)
        if table is None or not catalog.is_current(root, name, table.version):
            from forensics.lake import tables as delta

            before, table = table, delta.state(root, name)
            if before is not None and table.version < before.version:
                raise _lost(name, before, f"its log ends at version {table.version}")
            indexed = {file.name for file in before.files} if before else set()
            unindexed.update(
                f"{name}/{file.name}" for file in table.files if file.name not in indexed
            )
        tables[name] = table
    return Snapshot(root, tables, frozenset(unindexed), known)


def _lost(name: str, before: Table, why: str) -> IntegrityError:
    return IntegrityError(
        f"Table {name} has lost commits.",
        f"It was at version {before.version} with {before.rows:,} records; {why}.",
        "Restore its _delta_log folder from a backup.",
    )
