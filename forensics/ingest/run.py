"""The run of an ingest: chunks to workers, staged files to the lake, a count of what happened."""

from __future__ import annotations

import gc
import multiprocessing
import os
import signal
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import ForensicsError
from forensics.ingest import quarantine
from forensics.ingest.interface import (
    NO_OPTIONS,
    Chunk,
    Options,
    Parsed,
    Parser,
    Reject,
    Source,
)
from forensics.ingest.policy import seal_first
from forensics.lake import catalog, writer
from forensics.lake.catalog import DataFile
from forensics.lake.snapshot import Snapshot, take
from forensics.lake.writer import Staged

#: Below this a pool of workers costs more than it brings.
_POOL_BYTES_MIN = 24 << 20


@dataclass(slots=True)
class Report:
    """What became of an ingest's records."""

    landed: Counter[str] = field(default_factory=Counter)
    already_present: int = 0
    quarantined: Counter[str] = field(default_factory=Counter)
    #: The first quarantined records, to be shown.
    examples: list[quarantine.Kept] = field(default_factory=list)
    #: Paths of the options that no record of the last source had.
    unmatched: frozenset[str] | None = None

    @property
    def landed_total(self) -> int:
        """Records that are durable now and were not before."""
        return sum(self.landed.values())

    @property
    def quarantined_total(self) -> int:
        """Records that went to quarantine."""
        return sum(self.quarantined.values())

    def add(self, other: Report) -> None:
        """Count another run's records too."""
        self.landed += other.landed
        self.already_present += other.already_present
        self.quarantined += other.quarantined
        self.examples += other.examples[: _EXAMPLES - len(self.examples)]


@dataclass(frozen=True, slots=True)
class _Done:
    """One chunk, staged by a worker."""

    chunk: Chunk
    staged: tuple[Staged, ...]
    rejects: tuple[Reject, ...]
    unmatched: frozenset[str]
    #: Ids of records in quarantine whose lines are whole or readable now.
    healed: tuple[str, ...]


#: Called with (bytes or rows of the source done, records landed so far).
Progress = Callable[[int, int], None]
_EXAMPLES = 5


def run(
    root: Path,
    source: Source,
    options: Options = NO_OPTIONS,
    *,
    progress: Progress | None = None,
    workers: int | None = None,
) -> Report:
    """Take all records of ``source`` into the lake at ``root``.

    What the report counts as landed is durable; what it counts as quarantined was so before its
    chunk was committed. A run that dies can be repeated: what landed is already present then.

    Args:
        root: an existing lake.
        source: where the records come from.
        options: how its fields are named.
        progress: told after each commit.
        workers: processes that parse; by default one per core for a large source, else none.
    """
    catalog.require_lake(root)
    seal_first(root)
    report = Report()
    refuse = _Quarantine(root, source.name, options, report)
    for done in _staged(
        root, source, options, _workers_for(source) if workers is None else workers
    ):
        refuse.take(done.rejects)
        so_far = report.unmatched
        report.unmatched = done.unmatched if so_far is None else so_far & done.unmatched
        for staged in done.staged:
            landed, late = _commit(root, source, done.chunk, options, staged)
            refuse.take([reject for reject in late if reject not in done.rejects])
            report.landed[landed.table] += landed.file.rows
            report.already_present += landed.already_present
        if done.healed:
            quarantine.resolve(root, done.healed)
        if progress:
            progress(done.chunk.done, report.landed_total)
    return report


def _commit(
    root: Path, source: Source, chunk: Chunk, options: Options, staged: Staged
) -> tuple[Staged, list[Reject]]:
    """Commit one staged file; what landed, and what was rejected on a second look."""
    late: list[Reject] = []

    def restage(snapshot: Snapshot) -> Staged:
        parsed = source.parse(chunk, _features(snapshot), options)
        late.extend(parsed.rejects)
        records = parsed.tables.get(staged.table)
        if records is None:
            return replace(
                staged, file=DataFile("", 0, 0, 0, 0), index_run=None, profile=None, usage=None
            )
        return writer.stage(snapshot, staged.table, records)

    return writer.commit(root, staged, restage), late


class _Quarantine:
    """Takes what one run rejects, and leaves out what has left the quarantine before."""

    def __init__(self, root: Path, source: str, options: Options, report: Report) -> None:
        self._root, self._source, self._report = root, source, report
        self._reading = options.to_text()
        self._left = quarantine.resolved(root)

    def take(self, rejects: Sequence[Reject]) -> None:
        kept = quarantine.keep(self._root, self._source, rejects, self._reading)
        waiting = [item for item in kept if item.id not in self._left]
        report = self._report
        # A line that was mended or discarded still stands in its file.
        report.already_present += len(kept) - len(waiting)
        report.quarantined.update(quarantine.kind_of_reason(item.reason) for item in waiting)
        examples = sorted(waiting, key=lambda item: item.line)
        report.examples += examples[: _EXAMPLES - len(report.examples)]


def _staged(root: Path, source: Source, options: Options, workers: int) -> Iterator[_Done]:
    """Chunks, staged, in order; at most two for each worker are under way at a time."""
    waiting = quarantine.waiting(root, source.name)
    if workers == 0:
        for chunk in source.chunks():
            yield _stage(root, source, chunk, options, waiting)
        return
    # A forked child of a process with threads may hang on their locks: spawn.
    context = multiprocessing.get_context("spawn")
    parser = source.parser()
    with ProcessPoolExecutor(workers, mp_context=context) as pool:
        under_way: deque[Future[_Done]] = deque()
        broken: ForensicsError | None = None
        try:
            for chunk in source.chunks():
                with _deaf_to_interrupts():  # which children inherit: stopping them is our task
                    under_way.append(pool.submit(_stage, root, parser, chunk, options, waiting))
                if len(under_way) > workers:
                    yield under_way.popleft().result()
        except ForensicsError as error:  # of the source, or of a chunk: others are whole
            broken = error
        while under_way:
            yield under_way.popleft().result()
        if broken is not None:
            raise broken


@contextmanager
def _deaf_to_interrupts() -> Iterator[None]:
    """Hold interrupts back; processes started meanwhile never see one, we see it afterwards."""
    if not hasattr(signal, "pthread_sigmask"):  # Windows
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _stage(
    root: Path,
    parser: Parser,
    chunk: Chunk,
    options: Options,
    waiting: dict[int, quarantine.Kept],
) -> _Done:
    # Millions of small objects without cycles: collecting them only costs.
    gc.disable()
    try:
        snapshot = take(root)
        parsed = parser.parse(chunk, _features(snapshot), options)
        staged = tuple(
            writer.stage(snapshot, name, records) for name, records in parsed.tables.items()
        )
    finally:
        gc.enable()
    healed = _healed(chunk, parsed, waiting)
    return _Done(chunk, staged, tuple(parsed.rejects), frozenset(parsed.unmatched), healed)


def _healed(chunk: Chunk, parsed: Parsed, waiting: dict[int, quarantine.Kept]) -> tuple[str, ...]:
    """Records in quarantine whose lines could be read this time.

    A line that was met half-written, or read with other names, is the same line when it begins with
    the bytes that were kept.
    """
    if not waiting:
        return ()
    wanted = pa.array([f"{chunk.name}#{line}" for line in waiting], pa.string())
    healed = []
    for records in parsed.tables.values():
        found = records.filter(pc.is_in(records["source"], wanted)).select(["source", "raw"])
        for row in found.to_pylist():
            item = waiting[int(row["source"].rpartition("#")[2])]
            if row["raw"].startswith(item.raw):
                healed.append(item.id)
    return tuple(healed)


def _features(snapshot: Snapshot) -> dict[str, dict[str, str]]:
    return {name: table.features for name, table in snapshot.tables.items()}


def _workers_for(source: Source) -> int:
    if source.total is not None and source.total < _POOL_BYTES_MIN:
        return 0
    return os.cpu_count() or 1
