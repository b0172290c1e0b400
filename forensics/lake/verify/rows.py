"""One data file against the log: its bytes, its rows through two readers, and their leaves.

A Parquet reader is a large program that an attacker can aim at: so each batch is decoded by
pyarrow, with page checksums, and by DuckDB, and both must give the same bytes. Each row's leaf is
made again from its received bytes and compared with the sealed list, whose root the log vouches
for.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress
from hashlib import file_digest, sha256
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from forensics.errors import ForensicsError, IntegrityError
from forensics.integrity.file_note import FileNote
from forensics.integrity.leaf import HEADER, LEAF_PREFIX
from forensics.integrity.manifest import iso
from forensics.lake import sql, tables
from forensics.lake.catalog import DataFile
from forensics.lake.parquet import even_groups, open_checked, said
from forensics.lake.protect import ERASED, opened
from forensics.lake.seal import around_sql, id_column
from forensics.lake.sealed import Sealed
from forensics.lake.verify.chain import SegmentEntry
from forensics.lake.verify.compared import Compare, compared
from forensics.lake.verify.defects import Defect, Findings, altered_file
from forensics.lake.verify.lists import Seen, load, made

_BATCH_ROWS = 16_384
#: Of what nobody can tell whether it was sealed.
_LOST = "Sealed by an entry of the log that is lost, or never"
#: Of records that were sealed in another file, whose columns say what was received.
_REWRITTEN = (
    "Sealed, and rewritten by a process that ended before it sealed the new file: "
    "run forensics compact"
)
_PREFIX = LEAF_PREFIX + HEADER
#: What received bytes begin with that are encrypted or erased, and no record does.
_SPECIAL = b"\0"
#: What both readers must agree on.
_SEALED_COLUMNS = ("raw", "salt", "leaf", "segment", "leaf_index")

#: What reading a damaged file may raise: other names, types and values than were ever written.
_UNREADABLE = (
    ForensicsError, sql.SqlError, pa.ArrowException, OSError, ValueError, LookupError, TypeError,
    AttributeError, ArithmeticError,
)  # fmt: skip


class Task(NamedTuple):
    """One data file to verify.

    ``pending`` says that it may hold what was not sealed yet; ``lost`` that entries of the log are
    damaged beyond telling, which may have sealed it.
    """

    table: str
    file: DataFile
    note: FileNote | None
    pending: bool
    deep: bool
    lost: bool = False


def connect(root: Path) -> sql.Connection:
    """What :func:`check` reads through; one for many files, whose footers it does not keep."""
    return sql.connect([root], threads=1, footers=False)


def check(
    root: Path,
    known: dict[str, SegmentEntry],
    task: Task,
    compare: Compare | None,
    connection: sql.Connection,
) -> Seen:
    """Verify one data file; see the module."""
    seen = Seen()
    path = root / task.table / task.file.name
    location = f"{task.table}/{task.file.name}"
    of_file = Findings()
    try:
        intact = _check_bytes(path, location, task, of_file)
        with said(path):
            _Rows(root, known, task, seen, connection).check_all(path)
        if compare is not None and (task.deep or not intact or seen.findings.broken):
            with said(path):
                _compare(root, path, task, compare, seen)
        if task.note is None and not task.pending and not task.lost:
            _unnamed(location, task, seen, of_file, compared=compare is not None)
    except _UNREADABLE as error:
        span = f"{task.file.rows:,} records from {iso(task.file.first_us)}"
        statement = f"{location} cannot be read: {_line(error)} It held {span}."
        of_file.add(
            altered_file(location, statement, first=task.file.first_us, last=task.file.last_us)
        )
        seen = Seen(unreadable=True)
        # What one reader still gives is no worse for it where it has the hash that was sealed.
        with suppress(*_UNREADABLE):
            _Rows(root, known, task, seen, connection).check_by_one(path)
    of_file.take(seen.findings)
    seen.findings = of_file
    return seen


def _line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0].rstrip(".") + "."


def _check_bytes(path: Path, location: str, task: Task, findings: Findings) -> bool:
    """Whether the file's bytes are those that the log names."""
    size = path.stat().st_size
    if size != task.file.size:
        what = f"{location} has {size:,} bytes; {task.file.size:,} were committed."
        findings.add(altered_file(location, what, first=task.file.first_us, last=task.file.last_us))
        return False
    if task.note is None:
        if task.lost:
            findings.gap(_LOST, task.file.rows)
        return False
    with path.open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    if digest != task.note.digest:
        what = f"{location} has other bytes than when it was committed."
        findings.add(altered_file(location, what, first=task.file.first_us, last=task.file.last_us))
    if task.note.records != task.file.rows:
        what = f"{location} is said to hold {task.file.rows:,} records; {task.note.records:,} were."
        findings.add(altered_file(location, what))
    return digest == task.note.digest


def _unnamed(location: str, task: Task, seen: Seen, findings: Findings, *, compared: bool) -> None:
    """What to say of a file that the log does not name, by what was found in it."""
    if compared and seen.rows and not seen.findings.broken:
        findings.gap(_REWRITTEN, task.file.rows)
        return
    findings.add(
        Defect("inserted", f"{location} is in the table, and the log never heard of it.",
               table=task.table, file=task.file.name,
               first=task.file.first_us, last=task.file.last_us)
    )  # fmt: skip


class _Rows:
    """The rows of one file, checked one by one."""

    def __init__(
        self,
        root: Path,
        known: dict[str, SegmentEntry],
        task: Task,
        seen: Seen,
        connection: sql.Connection,
    ) -> None:
        self._root, self._known, self._task, self._seen = root, known, task, seen
        self._connection = connection
        self._lists: dict[str, Sealed | None] = {}
        self._at = 0

    def check_all(self, path: Path) -> None:
        task, findings = self._task, self._seen.findings
        there = set(pq.read_schema(path).names)
        rows = pq.read_metadata(path).num_rows
        if not there.issuperset(_SEALED_COLUMNS):
            findings.gap("Written by another program, without received bytes and leaves", rows)
            self._seen.rows += rows
            return
        columns = [*_SEALED_COLUMNS, id_column(task.table)]
        with open_checked(path) as file:
            ours = even_groups(
                file.iter_batches(_BATCH_ROWS, columns=columns),
                pa.schema([file.schema_arrow.field(name) for name in columns]),
                _BATCH_ROWS,
            )
            for one, two in _together(
                ours, _by_duckdb(self._connection, path, columns, task.table)
            ):
                self._check(one, two)
        if self._at != task.file.rows:
            what = f"It holds {self._at:,} records; {task.file.rows:,} were committed."
            location = f"{task.table}/{task.file.name}"
            findings.add(altered_file(location, f"{location}: {what}"))

    def check_by_one(self, path: Path) -> None:
        """What :func:`check_all` does, with the reader that knows no checksums of pages alone."""
        columns = [*_SEALED_COLUMNS, id_column(self._task.table)]
        for rows in _by_duckdb(self._connection, path, columns, self._task.table):
            self._check(rows, rows)

    def _check(self, one: pa.Table, two: pa.Table) -> None:
        for name in (*_SEALED_COLUMNS, id_column(self._task.table)):
            if (
                not one[name]
                .combine_chunks()
                .equals(two[name].combine_chunks().cast(one[name].type))
            ):
                raise IntegrityError(f"Two readers of it disagree on the column {name}.")
        columns = [one[name].to_pylist() for name in _SEALED_COLUMNS]
        arounds, ids = two["around"].to_pylist(), one[id_column(self._task.table)].to_pylist()
        segment_now: str | None = None
        leaves, around, marks, count = b"", b"", bytearray(), 0
        at = 0
        for raw, salt, leaf, segment, index, about in zip(*columns, arounds, strict=True):
            at += 1
            if raw is not None and raw[:1] == _SPECIAL:
                raw, salt = self._plain(raw, salt, leaf)
            if raw is None or salt is None or leaf is None or segment is None or index is None:
                self._seen.findings.gap(
                    "Written by another program, without received bytes and leaves", 1
                )
                continue
            if segment != segment_now:
                segment_now = segment
                listed = self._list(segment)
                leaves, around = (listed.leaves, listed.around) if listed else (b"", b"")
                count = listed.records if listed else 0
                marks = self._seen.segments.setdefault(segment, bytearray(count))
            # Of bytes that nobody can read the leaf is all there is: the list has to have it.
            made = leaf if raw == b"" else sha256(_PREFIX + sha256(salt + raw).digest()).digest()
            end = index * 32
            if (
                0 < index <= count
                and made == leaf == leaves[end - 32 : end]
                and about == around[end // 2 - 16 : end // 2]
                and not marks[index - 1]
            ):
                marks[index - 1] = 1
            else:
                self._wrong(made, leaf, segment, index, about, ids[at - 1])
        self._at += one.num_rows
        self._seen.rows += one.num_rows

    def _plain(self, raw: bytes, salt: bytes | None, leaf: bytes | None) -> tuple[bytes, bytes]:
        """Received bytes and salt of an encrypted record; no bytes where they cannot be read."""
        plain, why = opened(self._root, raw)
        if plain is not None:
            return plain, salt or b""
        if why is not None and why.startswith(ERASED):
            self._seen.erased.setdefault(why.removeprefix(ERASED), []).append(leaf or b"")
        else:
            self._seen.findings.gap(f"Encrypted, and not read: {why}", 1)
        return b"", salt or b""

    def _list(self, segment: str) -> Sealed | None:
        """The list of a segment that gives the root in the log, if there is one."""
        if segment not in self._lists:
            entry = self._known.get(segment)
            self._lists[segment] = load(
                self._root, segment, entry, self._seen,
                lambda: made(self._root, self._connection, self._task.table,
                             self._task.file.name, segment),
            )  # fmt: skip
        return self._lists[segment]

    def _wrong(
        self, made: bytes, leaf: bytes, segment: str, index: int, about: bytes, id_: str | None
    ) -> None:
        """Say what is wrong with a row that is not the sealed one."""
        seen, task = self._seen, self._task
        listed = self._list(segment)
        where: dict[str, Any] = {
            "table": task.table, "file": task.file.name, "segment": segment,
            "leaf_index": index, "id": id_,
        }  # fmt: skip
        who = f"{id_ or 'A record'} ({task.table}, segment {segment[:8]}, leaf {index})"
        if segment not in self._known:
            if made != leaf:
                what = f"{who} has other bytes than its leaf, and was never sealed."
                seen.findings.add(Defect("altered", what, **where))
            elif task.lost:
                seen.findings.gap(_LOST, 1)
            elif task.pending:
                seen.findings.gap("Committed, and not sealed yet", 1)
            else:
                seen.findings.add(Defect("inserted", f"{who} was never sealed.", **where))
        elif listed is None:
            return  # said of the whole segment
        elif not 0 < index <= listed.records:
            what = f"{who} was never sealed: its segment has {listed.records:,} records."
            seen.findings.add(Defect("inserted", what, **where))
        elif seen.segments[segment][index - 1]:
            seen.findings.add(Defect("inserted", f"{who} is there more than once.", **where))
        elif made != listed.leaf(index):
            seen.segments[segment][index - 1] = 1
            other = _index_of(made, listed)
            if other is not None:
                what = f"{who} stands in another's place; it was sealed as leaf {other}."
                seen.findings.add(Defect("reordered", what, **where))
            else:
                what = f"{who} has other received bytes than were sealed."
                seen.findings.add(Defect("altered", what, **where))
        elif leaf != made:
            seen.segments[segment][index - 1] = 1
            what = f"{who} has another leaf beside its bytes than was sealed."
            seen.findings.add(Defect("altered", what, **where))
        elif about[:8] != listed.around_of(index)[:8]:
            seen.segments[segment][index - 1] = 1
            what = f"{who} bears another id than was sealed."
            seen.findings.add(Defect("misread", what, **where))
        else:
            seen.segments[segment][index - 1] = 1
            what = f"{who} has another time, time of receipt, source or reading than was sealed."
            seen.findings.add(Defect("back_dated", what, **where))


def _index_of(leaf: bytes, listed: Sealed) -> int | None:
    at = listed.leaves.find(leaf)
    return at // 32 + 1 if at >= 0 and at % 32 == 0 else None


def _by_duckdb(
    connection: sql.Connection, path: Path, columns: list[str], table: str
) -> Iterator[pa.Table]:
    there = set(pq.read_schema(path).names)
    needed = {"ingested_at", "source", "reading", tables.time_column(table)}
    about = around_sql(table) if needed <= there else "NULL::BLOB"
    query = f"SELECT {', '.join(columns)}, {about} AS around FROM read_parquet"
    reader = connection.sql(f"{query}({sql.literal(str(path))})").to_arrow_reader(_BATCH_ROWS)
    yield from even_groups(reader, reader.schema, _BATCH_ROWS)


def _together(
    ours: Iterator[pa.Table], theirs: Iterator[pa.Table]
) -> Iterator[tuple[pa.Table, pa.Table]]:
    for one in ours:
        two = next(theirs, None)
        if two is None or two.num_rows != one.num_rows:
            raise IntegrityError("Two readers of it disagree on how many records it has.")
        yield one, two
    if next(theirs, None) is not None:
        raise IntegrityError("Two readers of it disagree on how many records it has.")


def _compare(root: Path, path: Path, task: Task, compare: Compare, seen: Seen) -> None:
    """Name the rows whose columns do not say what their received bytes say."""
    name = id_column(task.table)
    with open_checked(path) as file:
        if "raw" not in file.schema_arrow.names:
            return
        for batch in file.iter_batches(_BATCH_ROWS):
            records = pa.Table.from_batches([batch])
            seen.compared += records.num_rows
            for row, column in compared(root, task.table, records, compare):
                id_ = records[name][row].as_py()
                segment, index = (records[c][row].as_py() for c in ("segment", "leaf_index"))
                what = f"{id_} ({task.table}, leaf {index}): its column {column} is not what its "
                seen.findings.add(
                    Defect("misread", what + "received bytes say.", task.table, task.file.name,
                           segment, index, id_)
                )  # fmt: skip
