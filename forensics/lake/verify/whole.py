"""Verification of a lake, or of a window of it: the log, every file, and what is missing."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from forensics.errors import ForensicsError
from forensics.integrity.manifest import Manifest, iso
from forensics.integrity.note import Key
from forensics.lake import catalog, layout, seal, sealed, sql, tables
from forensics.lake.catalog import Table
from forensics.lake.files import exclusive
from forensics.lake.sealed import Sealed
from forensics.lake.snapshot import Snapshot, take
from forensics.lake.verify import beside, chain, lists, memory, privacy, rows
from forensics.lake.verify.chain import Chain, SegmentEntry
from forensics.lake.verify.compared import Compare
from forensics.lake.verify.defects import Defect, Findings
from forensics.lake.verify.lists import Seen
from forensics.lake.verify.rows import Task

#: Below this a second process costs more than it brings.
_POOL_ROWS_MIN = 60_000
#: Clocks of writers may differ, and staging takes a while; beyond this a time is a contradiction.
_PATIENCE_US = 3_600_000_000
#: What to say of a record that no file gives.
_GONE, _GONE_OR_UNREAD = "gone", "gone, or in a file that cannot be read"

Progress = Callable[[int, str], None]


@dataclass(slots=True)
class Options:
    """What to verify, and whom to trust. Times are microseconds since 1970 UTC."""

    first: int | None = None
    last: int | None = None
    keys: Sequence[Key] = ()
    #: Checkpoints that were seen before, each after what to call it.
    remembered: list[tuple[str, bytes]] = field(default_factory=list)
    #: Compare the columns of every record with its bytes, not only where a file is not intact.
    deep: bool = False
    workers: int | None = None


@dataclass(slots=True)
class Verified:
    """What a verification saw, and what it found."""

    lake_id: str
    chain: Chain
    findings: Findings
    records: int = 0
    sealed_records: int = 0
    files: int = 0
    segments: int = 0
    artifacts: int = 0
    quarantined: int = 0
    compared: int = 0
    erased: int = 0
    late_segments: int = 0
    late_records: int = 0
    first_sealed: int | None = None
    last_sealed: int | None = None
    whole_lake: bool = True
    seconds: float = 0.0

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        found = self.findings
        status = "broken" if found.broken else "incomplete" if found.gaps else "whole"
        return {
            "lake": self.lake_id,
            "status": status,
            "records": self.records,
            "sealed_records": self.sealed_records,
            "files": self.files,
            "segments": self.segments,
            "artifacts": self.artifacts,
            "quarantined": self.quarantined,
            "columns_compared": self.compared,
            "erased": self.erased,
            "sealed_late": {"segments": self.late_segments, "records": self.late_records},
            "sealed_from": iso(self.first_sealed) if self.first_sealed is not None else None,
            "sealed_to": iso(self.last_sealed) if self.last_sealed is not None else None,
            "log": {
                "origin": self.chain.origin,
                "size": self.chain.size,
                "root": self.chain.root.hex(),
                "ticked": iso(self.chain.ticked) if self.chain.ticked is not None else None,
                "anchored": self.chain.anchored,
                "keys": [str(key) for key in self.chain.keys],
                "keys_trusted_from": "the lake itself" if self.chain.on_its_own_word else "outside",
            },
            "whole_lake": self.whole_lake,
            "defects": [defect.to_dict() for defect in found.defects],
            "defects_by_kind": dict(sorted(found.counts.items())),
            "gaps": [gap.to_dict() for gap in found.gaps],
            "seconds": round(self.seconds, 3),
        }


def verify(
    root: Path,
    options: Options,
    compare: Compare | None = None,
    *,
    progress: Progress | None = None,
) -> Verified:
    """Verify the lake at ``root``.

    Args:
        root: the lake.
        options: what, and whom to trust.
        compare: tells where columns do not say what the bytes say; must survive pickling.
        progress: told after each file, with the records done so far.

    Raises:
        LakeError: when there is no lake.
    """
    began = time.perf_counter()
    lake_id = layout.identity(root)
    findings = Findings()
    with _at_rest(root):
        told = chain.check(root, lake_id, options.keys, options.remembered)
        tables_ = _tables(root, told, findings)
        snapshot = _snapshot(root, findings)
        pending = _pending(root, snapshot, tables_)
    findings.take(told.findings)
    result = Verified(lake_id, told, findings)
    result.whole_lake = options.first is None and options.last is None
    tasks = [
        Task(name, file, told.files.get(f"{name}/{file.name}"),
             f"{name}/{file.name}" in pending, options.deep, told.lost > 0)
        for name, table in tables_.items()
        for file in table.files
        if (options.first is None or file.last_us >= options.first)
        and (options.last is None or file.first_us <= options.last)
    ]  # fmt: skip
    seen: dict[str, bytearray] = {}
    manifests: dict[str, Manifest] = {}
    restored: dict[str, Sealed] = {}
    unreadable: set[str] = set()
    holds: dict[str, str] = {}
    erased: dict[str, list[bytes]] = {}
    for task, one in _all(root, told, tasks, compare, options.workers):
        for erasure_id, leaves in one.erased.items():
            erased.setdefault(erasure_id, []).extend(leaves)
        result.files += 1
        result.records += one.rows
        result.compared += one.compared
        result.findings.take(one.findings)
        manifests |= one.manifests
        restored |= one.restored
        if one.unreadable:
            unreadable.add(task.table)
        _merge(seen, holds, task, one, result.findings)
        if progress:
            progress(result.records, f"{result.records:,} records, {result.files:,} files")
    _segments(root, told, options, seen, manifests, restored, holds, unreadable, result)
    result.erased = sum(map(len, erased.values()))
    if erased and snapshot is not None:
        beside.erasures(snapshot, erased, result.findings)
    if snapshot is not None:
        privacy.policy(snapshot, result.findings)
        privacy.unfinished(snapshot, result.findings)
    if result.whole_lake:
        if snapshot is not None:
            beside.catalog(snapshot, tables_, result.findings)
            beside.look_up(root, snapshot, result.findings)
            beside.summaries(snapshot, result.findings)
        result.artifacts = beside.artifacts(root, result.findings)
        result.quarantined = beside.quarantine(root, result.findings)
        beside.spool(root, result.findings)
        beside.pack_indexes(root, result.findings)
    if (why := seal.unsealed_reason(root)) is not None:
        result.findings.gap(f"The last writer could not sign: {why}")
    result.seconds = time.perf_counter() - began
    if told.note is not None and not result.findings.broken:
        memory.remember(lake_id, told.note.to_bytes())
    return result


@contextmanager
def _at_rest(root: Path) -> Iterator[None]:
    """Keep writers away, so that the log and the tables are of one moment."""
    if not os.access(root, os.W_OK):  # a copy that nobody can write to is at rest
        yield
        return
    with exclusive(root / ".lock"):
        yield


def _tables(root: Path, told: Chain, findings: Findings) -> dict[str, Table]:
    """The tables as their Delta logs have them; the catalog is not asked."""
    found: dict[str, Table] = {}
    for name in catalog.table_names(root):
        try:
            found[name] = tables.state(root, name)
        except (ForensicsError, ValueError, LookupError, TypeError) as error:
            what = f"The Delta log of {name} cannot be read: {error}"
            findings.add(Defect("altered", what, table=name, file=f"{name}/_delta_log"))
    gone = {file.table for file in told.files.values()} - set(catalog.table_names(root))
    for name in sorted(gone):
        what = f"Table {name} is gone; files of it were sealed."
        findings.add(Defect("dropped", what, table=name))
    return found


def _snapshot(root: Path, findings: Findings) -> Snapshot | None:
    """The lake as readers see it."""
    try:
        return take(root)
    except ForensicsError as error:
        findings.add(Defect("rolled_back", str(error)))
        return None


def _pending(root: Path, snapshot: Snapshot | None, tables_: dict[str, Table]) -> frozenset[str]:
    """Files that may hold what was not sealed yet: a writer died, or could not sign."""
    if seal.unsealed_reason(root) is not None or not (root / "log" / "checkpoint").exists():
        return frozenset(f"{n}/{file.name}" for n, table in tables_.items() for file in table.files)
    return snapshot.unindexed if snapshot is not None else frozenset()


_context: dict[str, Any] = {}


def _start(root: Path, known: dict[str, SegmentEntry], compare: Any) -> None:
    _context.update(root=root, known=known, compare=compare, connection=rows.connect(root))


def _work(task: Task) -> Seen:
    c = _context
    return rows.check(c["root"], c["known"], task, c["compare"], c["connection"])


def _all(
    root: Path,
    told: Chain,
    tasks: Sequence[Task],
    compare: Compare | None,
    workers: int | None,
) -> Iterator[tuple[Task, Seen]]:
    count = min(os.cpu_count() or 1, len(tasks)) if workers is None else workers
    if workers is None and sum(task.file.rows for task in tasks) < _POOL_ROWS_MIN:
        count = 0
    if count < 2:
        connection = rows.connect(root)
        for task in tasks:
            yield task, rows.check(root, told.segments, task, compare, connection)
        return
    # The largest first: otherwise one of them may be what all wait for at the end.
    ordered = sorted(tasks, key=lambda task: -task.file.rows)
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(
        count, context, initializer=_start, initargs=(root, told.segments, compare)
    ) as pool:
        yield from zip(ordered, pool.map(_work, ordered), strict=True)


def _merge(
    seen: dict[str, bytearray], holds: dict[str, str], task: Task, one: Seen, findings: Findings
) -> None:
    for segment, marks in one.segments.items():
        before = seen.get(segment)
        holds[segment] = task.table
        if before is None:
            seen[segment] = marks
            continue
        for at, mark in enumerate(marks):
            if mark and before[at]:
                what = f"Leaf {at + 1} of segment {segment} is there more than once."
                findings.add(Defect("inserted", what, task.table, task.file.name, segment, at + 1))
            before[at] |= mark


def _segments(
    root: Path,
    told: Chain,
    options: Options,
    seen: dict[str, bytearray],
    manifests: dict[str, Manifest],
    restored: dict[str, Sealed],
    holds: dict[str, str],
    unreadable: set[str],
    result: Verified,
) -> None:
    """What each sealed segment lacks, and whether its manifest fits those around it."""
    before_us: int | None = None
    for segment, entry in told.segments.items():
        manifest = manifests.get(segment)
        if manifest is None:
            one = Seen()
            if segment not in seen:
                lists.load(root, segment, entry, one)
                result.findings.take(one.findings)
                restored |= one.restored
            manifest = one.manifests.get(segment)
        if manifest is None:
            continue
        _check_manifest(manifest, entry, told, before_us, holds.get(segment), result)
        before_us = manifest.sealed
        outside = (options.first is not None and manifest.last < options.first) or (
            options.last is not None and manifest.first > options.last
        )
        if outside:
            continue
        result.segments += 1
        result.first_sealed = min(result.first_sealed or manifest.sealed, manifest.sealed)
        result.last_sealed = max(result.last_sealed or 0, manifest.sealed)
        if manifest.late:
            result.late_segments += 1
            result.late_records += manifest.records
        marks = seen.get(segment, bytearray(manifest.records))
        result.sealed_records += sum(marks)
        missing = [at + 1 for at, mark in enumerate(marks) if not mark]
        if missing:
            listed = restored.get(segment) or sealed.read(root, segment)
            how = _GONE_OR_UNREAD if manifest.table in unreadable else _GONE
            _dropped(root, manifest, missing, listed, how, result.findings)


def _check_manifest(
    manifest: Manifest,
    entry: SegmentEntry,
    told: Chain,
    before_us: int | None,
    held_in: str | None,
    result: Verified,
) -> None:
    where: dict[str, Any] = {"table": manifest.table, "segment": manifest.segment,
             "first": manifest.first, "last": manifest.last}  # fmt: skip
    name = f"Segment {manifest.segment}"
    add = result.findings.add
    misplaced = manifest.previous != entry.previous and not entry.after_gap
    if manifest.lake != result.lake_id or misplaced:
        what = f"{name} was sealed after {manifest.previous}, and stands after {entry.previous}."
        add(Defect("forged", what, **where))
    if held_in is not None and held_in != manifest.table:
        what = f"{name} is of {manifest.table}, and records of it stand in {held_in}."
        add(Defect("inserted", what, **where))
    if before_us is not None and manifest.sealed < before_us - _PATIENCE_US:
        what = f"{name} says that it was sealed {iso(manifest.sealed)}, before the one before it."
        add(Defect("back_dated", what, **where))
    if not manifest.late and manifest.sealed - manifest.received_first > 24 * _PATIENCE_US:
        what = (
            f"{name} says that its records were received {iso(manifest.received_first)}, and was "
            f"sealed {iso(manifest.sealed)}."
        )
        add(Defect("back_dated", what, **where))


def _dropped(
    root: Path,
    manifest: Manifest,
    missing: list[int],
    listed: Sealed,
    how: str,
    findings: Findings,
) -> None:
    """Name what is gone as closely as what is kept of it allows."""
    where: dict[str, Any] = {"table": manifest.table, "segment": manifest.segment}
    if len(missing) == manifest.records:
        what = (
            f"All {manifest.records:,} records of segment {manifest.segment} ({manifest.table}, "
            f"{iso(manifest.first)} to {iso(manifest.last)}) are {how}."
        )
        findings.add(Defect("dropped", what, first=manifest.first, last=manifest.last, **where))
        return
    times = _times(root, manifest)
    for index in missing:
        before = max((at for at in times if at < index), default=None)
        after = min((at for at in times if at > index), default=None)
        first = times[before] if before is not None else manifest.first
        last = times[after] if after is not None else manifest.last
        hint = listed.around_of(index)[:8].hex()
        what = (
            f"Leaf {index} of segment {manifest.segment} ({manifest.table}) is {how}: a record "
            f"from {iso(first)} to {iso(last)} whose id has a SHA-256 that begins {hint}."
        )
        findings.add(Defect("dropped", what, leaf_index=index, first=first, last=last, **where))


def _times(root: Path, manifest: Manifest) -> dict[int, int]:
    """The time of each record of a segment that is left, by leaf index."""
    found: dict[int, int] = {}
    column = tables.time_column(manifest.table)
    for file in tables.state(root, manifest.table).files:
        path = root / manifest.table / file.name
        query = (
            f"SELECT leaf_index, epoch_us({column}) FROM read_parquet({sql.literal(str(path))}) "
            f"WHERE segment = {sql.literal(manifest.segment)}"
        )
        try:
            found |= dict(sql.connect([root]).execute(query).fetchall())
        except sql.SqlError:
            continue  # what cannot be read is said elsewhere
    return found
