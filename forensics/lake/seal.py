"""Sealing: what was committed becomes a leaf of the log, in the same step as its commit.

Staging does the work, in as many processes as there are cores: it lists the leaves and hashes them
into a tree whose first leaf, the manifest, is still open. Sealing closes it: a dozen hashes, two
signatures, and the new edge of the log. Records are durable before the log speaks of them; a
process that dies between the two leaves records that the next writer seals as ``late``.

However few records a commit has, it is sealed by itself: to wait for 100,000 of them, or a minute,
would leave unproven what it waits for. What many small segments cost is a file each, until
:mod:`forensics.lake.packs` puts them together.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import ForensicsError
from forensics.integrity import note as notes
from forensics.integrity import signing, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.file_note import FileNote
from forensics.integrity.key_change import KeyChange
from forensics.integrity.leaf import leaf_hash
from forensics.integrity.manifest import Manifest
from forensics.integrity.signing import CommandSigner, FileSigner
from forensics.lake import layout, log, packs, seal_keys, sealed, sql, tables
from forensics.lake.files import sync, write_durably
from forensics.lake.log import Log
from forensics.lake.parquet import read_checked
from forensics.lake.snapshot import Snapshot

#: Records of one segment at most.
SEGMENT_ROWS = 100_000

#: The surroundings of a record as text: what the received bytes do not say of it.
_AROUND = (
    "concat_ws(chr(0), {id}, epoch_us({time}), coalesce(epoch_us(ingested_at)::VARCHAR, chr(1)), "
    "coalesce(source, chr(1)), coalesce(reading, chr(1)))"
)


@dataclass(frozen=True, slots=True)
class Open:
    """A segment whose leaves are listed and whose manifest is open.

    ``path`` is the audit path of the manifest's leaf; with it the root takes a dozen hashes.
    """

    segment: str
    table: str
    records: int
    first: int
    last: int
    received_first: int
    received_last: int
    rows: str
    path: tuple[bytes, ...]

    def closed(self, lake_id: str, now_us: int, *, late: bool, previous: str | None) -> Manifest:
        """The manifest, complete."""
        return Manifest(
            lake=lake_id,
            segment=self.segment,
            table=self.table,
            records=self.records,
            first=self.first,
            last=self.last,
            received_first=self.received_first,
            received_last=self.received_last,
            rows=self.rows,
            sealed=now_us,
            late=late,
            previous=previous,
        )


def around_sql(table: str) -> str:
    """SQL for the 16 bytes about a record of ``table`` that are kept beside its leaf."""
    id_, time_ = id_column(table), tables.time_column(table)
    text = _AROUND.format(id=id_, time=time_)
    return f"unhex(left(sha256({id_}), 16) || left(sha256({text}), 16))"


def id_column(table: str) -> str:
    """The column that names a record of ``table``."""
    return ID_COLUMN[table.split("/", 1)[0]]


#: What a file keeps of each record beside its columns, in those that this program writes.
_PROVEN = ("segment", "leaf_index", "leaf", "salt", "raw", "ingested_at", "source", "reading")

#: The column that names a record of each kind of table, for finding it again.
ID_COLUMN = {
    "decisions": "decision_id",
    "changes": "change_id",
    "overrides": "override_id",
    "outcomes": "decision_id",
    "declarations": "declaration_id",
    "access": "access_id",
    "holds": "hold_id",
    "erasures": "erasure_id",
    "policies": "policy_id",
    "lineage": "event_id",
}


def prepare(root: Path, table: str, records: pa.Table, leaves: bytes) -> Open:
    """List the leaves of one segment durably; it is sealed by :func:`seal`.

    Args:
        root: the lake.
        table: the table that holds the records.
        records: the segment's records in the order of their leaves.
        leaves: their leaf hashes, packed.
    """
    segment = records["segment"][0].as_py()
    around = _around(table, records)
    path = sealed.path_of(root, segment)
    for folder in (path.parent.parent.parent, path.parent.parent, path.parent):
        if not folder.exists():
            folder.mkdir(parents=True, exist_ok=True)
            sync(folder.parent)
    with path.open("wb") as stream:
        stream.write(leaves)
        stream.write(around)
    sync(path)
    sync(path.parent)
    count = records.num_rows
    complete = tree.in_memory(bytes(tree.HASH_BYTES) + leaves)
    first, last = _span(records[tables.time_column(table)])
    received_first, received_last = _span(records["ingested_at"])
    return Open(
        segment, table, count, first, last, received_first, received_last,
        sealed.digest(around), tuple(tree.inclusion(complete, 0, count + 1)),
    )  # fmt: skip


def prepare_all(root: Path, table: str, records: pa.Table) -> tuple[Open, ...]:
    """:func:`prepare` for each segment of newly staged ``records``, which follow one another."""
    return tuple(
        prepare(root, table, part, packed(part["leaf"]))
        for start in range(0, records.num_rows, SEGMENT_ROWS)
        for part in (records.slice(start, SEGMENT_ROWS),)
    )


def discard(root: Path, segments: Iterable[Open]) -> None:
    """Remove what was listed for segments that did not land."""
    for each in segments:
        sealed.path_of(root, each.segment).unlink(missing_ok=True)


def file_note(root: Path, table: str, name: str, records: int) -> FileNote:
    """What the log is to say of a durable data file."""
    with (root / table / name).open("rb") as stream:
        return FileNote(table, name, hashlib.file_digest(stream, "sha256").hexdigest(), records)


def seal(
    root: Path, segments: Sequence[Open], files: Sequence[FileNote], *, late: bool = False
) -> bool:
    """Seal committed segments and files. The caller holds the lake's lock.

    What cannot be signed stays in the lake unsealed, since evidence must not wait for a key: it is
    noted, verify says so, and the next writer that can sign seals it.

    Returns:
        Whether they are sealed.
    """
    if not segments and not files:
        return True
    try:
        lake_id = layout.identity(root)
        ours = Log(root, seal_keys.origin_of(lake_id))
        signers = _signers(root, lake_id, ours)
        if signers:
            _append(root, ours, lake_id, segments, files, signers, late=late)
            return True
    except ForensicsError as error:
        why = str(error)
    else:
        why = f"There is no key for it in {seal_keys.folder()}."
    _mark_unsealed(root, why)
    return False


def _append(
    root: Path,
    ours: Log,
    lake_id: str,
    segments: Sequence[Open],
    files: Sequence[FileNote],
    signers: Sequence[FileSigner | CommandSigner],
    *,
    late: bool,
) -> None:
    now_us = time.time_ns() // 1000
    previous = last_segment(ours)
    entries = []
    if ours.size == 0:
        for signer in signers:
            seal_keys.publish(root, signer.key)
            change = KeyChange(ours.origin, "add", signer.key, now_us)
            entries.append(signing.signed(change.text(), signers))
    for each in segments:
        manifest = each.closed(lake_id, now_us, late=late, previous=previous).text().encode()
        with sealed.path_of(root, each.segment).open("r+b") as stream:
            stream.truncate(each.records * sealed.RECORD_BYTES)
            stream.seek(0, 2)
            stream.write(sealed.tail(manifest))
        sync(sealed.path_of(root, each.segment))
        size = each.records + 1
        hash_ = tree.root_from_inclusion(tree.leaf_hash(manifest), 0, size, each.path)
        assert hash_ is not None
        origin = sealed.origin_of(ours.origin, each.segment)
        entries.append(signing.signed(Checkpoint(origin, size, hash_).text(), signers))
        previous = each.segment
    entries += [signing.signed(file.text(ours.origin), signers) for file in files]
    ours.append(entries, signers)


def _signers(root: Path, lake_id: str, ours: Log) -> list[FileSigner | CommandSigner]:
    """Who signs; the first writer of a lake that has no key yet makes one."""
    signers = seal_keys.signers(lake_id)
    if signers or ours.size or any(seal_keys.public_folder(root).glob("*.vkey")):
        return signers
    return [seal_keys.create(root, lake_id)]


def last_segment(ours: Log) -> str | None:
    """The segment that was sealed last."""
    at = ours.size
    while at > 0:
        first = (at - 1) // 256 * 256
        for entry in reversed(ours.entries(first)[: at - first]):
            if (segment := segment_of_entry(ours, entry)) is not None:
                return segment
        at = first
    return None


def segment_of_entry(ours: Log, entry: bytes) -> str | None:
    """The segment that an entry seals; None where it says something else."""
    return sealed.segment_of(ours.origin, entry.split(b"\n", 1)[0].decode("utf-8", "replace"))


def recover(root: Path, snapshot: Snapshot, written: Collection[str] = ()) -> None:
    """Seal what is in the lake and not in its log. The caller holds the lake's lock.

    That is what a process left that died between the two, what could not be signed, and everything
    in a lake that is older than its log. Costs nothing where there is nothing to do. A file with
    records that were sealed in another one is sealed only if it is among ``written``: whoever else
    wrote it may have changed its columns, which :func:`forensics.lake.unaltered.adopt` looks at.

    Args:
        root: the lake.
        snapshot: taken under the lock.
        written: files that the caller has written itself, as ``table/file``.
    """
    flag = _unsealed_path(root)
    whole = flag.exists() or not log.exists(root)
    candidates = snapshot.live if whole else snapshot.unindexed
    if not candidates:
        return
    lake_id = layout.identity(root)
    try:
        ours = Log(root, seal_keys.origin_of(lake_id))
        if not _signers(root, lake_id, ours):
            return
        known = Known.of(ours)
    except ForensicsError as error:
        _mark_unsealed(root, str(error))
        return
    rows = {
        f"{name}/{file.name}": file.rows
        for name, table in snapshot.tables.items()
        for file in table.files
    }
    for location in sorted(candidates):
        table, name = location.rsplit("/", 1)
        segments = segments_in(root, location)
        found = tuple(
            _unsealed_in(root, location, [s for s in segments if s not in known.segments])
        )
        files: tuple[FileNote, ...] = ()
        ours_alone = location in written or known.segments.isdisjoint(segments)
        if location not in known.files and ours_alone:
            files = (file_note(root, table, name, rows[location]),)
        if not seal(root, found, files, late=True):
            return
    if whole:
        flag.unlink(missing_ok=True)


@dataclass(frozen=True, slots=True)
class Known:
    """What a log speaks of: segments, and data files as ``table/file``."""

    segments: frozenset[str]
    files: frozenset[str]

    @classmethod
    def of(cls, ours: Log) -> Known:
        """All of ``ours``; no signature is looked at."""
        segments, files = set(), set()
        for entry in ours.entries():
            text = notes.parse(entry).text
            if (file := FileNote.parse(ours.origin, text)) is not None:
                files.add(file.location)
            elif (segment := segment_of_entry(ours, entry)) is not None:
                segments.add(segment)
        return cls(frozenset(segments), frozenset(files))


def sweep(root: Path) -> None:
    """Remove lists of leaves that a dead process left a day ago, and put small ones together.

    The caller holds the lock.
    """
    if not log.exists(root):
        return
    packs.reindex(root)
    limit = time.time() - 86_400
    lists = list((root / "log" / "segments").glob("*/*"))
    old = [path for path in lists if path.stat().st_mtime < limit]
    if not old and len(lists) < packs.LISTS_MIN:
        return
    known = Known.of(Log(root, seal_keys.origin_of(layout.identity(root)))).segments
    for path in old:
        if path.name not in known:
            path.unlink()
    packs.gather(root, known)


def unsealed_reason(root: Path) -> str | None:
    """Why records are waiting for their seal; None where none is known to."""
    try:
        return _unsealed_path(root).read_text(encoding="utf-8").strip()
    except OSError:
        return None


def segments_in(root: Path, location: str) -> list[str]:
    """The segments that a data file holds records of; none of a file of another program."""
    if not set(pa.parquet.read_schema(root / location).names).issuperset(_PROVEN):
        return []
    found = read_checked(root / location, ["segment"])["segment"].unique().to_pylist()
    return [segment for segment in found if segment]


def _unsealed_in(root: Path, location: str, new: Sequence[str]) -> Iterator[Open]:
    """``new`` segments of a data file; altered ones are left for verify."""
    if not new:
        return
    table = location.rsplit("/", 1)[0]
    columns = list(dict.fromkeys([*_PROVEN, id_column(table), tables.time_column(table)]))
    records = read_checked(root / location, columns)
    for segment in new:
        part = records.filter(pc.equal(records["segment"], segment)).sort_by("leaf_index")
        salts, raws = part["salt"].to_pylist(), part["raw"].to_pylist()
        if None in salts or None in raws:
            continue
        leaves = [leaf_hash(salt, raw) for salt, raw in zip(salts, raws, strict=True)]
        whole = part["leaf_index"].to_pylist() == list(range(1, part.num_rows + 1))
        if whole and leaves == part["leaf"].to_pylist() and _is_segment(segment):
            yield prepare(root, table, part, b"".join(leaves))


def _is_segment(name: str) -> bool:
    return len(name) == 32 and set(name) <= set("0123456789abcdef")


def _around(table: str, records: pa.Table) -> bytes:
    columns = {"ingested_at", "source", "reading", id_column(table), tables.time_column(table)}
    connection = sql.connect()
    connection.register("records", records.select(sorted(columns)))
    found = connection.sql(f"SELECT {around_sql(table)} AS around FROM records").to_arrow_table()
    return packed(found["around"])


def packed(column: pa.ChunkedArray) -> bytes:
    """The values of a binary column, one after the other."""
    return b"".join(column.to_pylist())


def _span(times: pa.ChunkedArray) -> tuple[int, int]:
    whole = pc.min_max(times.cast(pa.int64())).as_py()
    return whole["min"], whole["max"]


def _unsealed_path(root: Path) -> Path:
    return root / "log" / "unsealed"


def _mark_unsealed(root: Path, why: str) -> None:
    path = _unsealed_path(root)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_durably(path, f"{why}\n".encode())
