"""The graph of single runs: which run read what another run had written.

A run leads to the versions of datasets that it read, and each of those to the run that wrote it.
Where no facet names a version, the run that wrote is the last one that ended well before the
reader first named the dataset; such an edge is inferred, and says so.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping

from forensics.lake.lineage import LineageTables, Pair, Read, RunKey, Write
from forensics.lineage import nodes
from forensics.lineage.nodes import Edge, Id
from forensics.lineage.walk import Step


class RunGraph:
    """Runs and the versions of datasets between them, looked up level by level.

    Args:
        tables: the events.
        main_names: datasets of several names, each with the one to use.
    """

    def __init__(self, tables: LineageTables, main_names: Mapping[Pair, Pair]) -> None:
        self.tables = tables
        tables.prepare_runs(main_names.items())
        self._main = main_names
        self._reads: dict[RunKey, list[Read]] = {}
        self._writes: dict[RunKey, list[Write]] = {}
        self._readers: dict[Id, list[Read]] = defaultdict(list)
        #: Runs that wrote a version, with the time.
        self._writers: dict[Id, dict[RunKey, int | None]] = defaultdict(dict)
        #: What facets call a version that is known by the run that wrote it.
        self.names: dict[Id, str] = {}

    def parts(self, runs: Iterable[RunKey]) -> list[tuple[RunKey, RunKey]]:
        """All runs that are parts of ``runs``, of their parts and so on, each after its whole."""
        found: list[tuple[RunKey, RunKey]] = []
        seen = set(runs)
        level = sorted(seen)
        while level:
            pairs = self.tables.parts(level)
            found += pairs
            level = [part for part in dict.fromkeys(part for _, part in pairs) if part not in seen]
            seen.update(level)
        return found

    def wholes(self, runs: Iterable[RunKey]) -> list[tuple[RunKey, RunKey]]:
        """What ``runs`` are parts of, what that is a part of and so on, each before its part."""
        found: list[tuple[RunKey, RunKey]] = []
        level = set(runs)
        seen = set(level)
        while level:
            pairs = [
                (facts.parent, (*facts.job, facts.run_id or ""))
                for facts in self.tables.runs(sorted(level))
                if facts.parent is not None
            ]
            found += pairs
            level = {whole for whole, _ in pairs} - seen
            seen |= level
        return found

    def version(self, dataset: Pair, version: str) -> Id | None:
        """A dataset's version by its name or by the run that wrote it; None where unknown."""
        dataset = self._main.get(dataset, dataset)
        writes = self.tables.writes_of_version(dataset, version)
        if writes:
            node = self._written(writes[-1])
            self._load_written([writes[-1].run])
            return node
        for read in self.tables.reads_of_version(dataset, version):
            self._readers[self._read(read)].append(read)
            return self._read(read)
        return None

    def load_upstream(self, level: Iterable[Id]) -> None:
        """Look up what a level's runs read."""
        new = {node.run_key for node in level if node.kind == "run"} - self._reads.keys()
        self._reads.update((key, []) for key in new)
        for read in self.tables.reads(sorted(new)) if new else ():
            self._reads[read.run].append(read)

    def load_downstream(self, level: Iterable[Id]) -> None:
        """Look up what a level's runs wrote, and who read that."""
        new = {node.run_key for node in level if node.kind == "run"} - self._writes.keys()
        if new:
            self._load_written(sorted(new))

    def upstream(self, node: Id) -> Iterator[Step]:
        """What a run read, or who wrote a version."""
        if node.kind == "run":
            for read in self._reads.get(node.run_key, ()):
                source = self._read(read)
                yield Step(_reading(source, node, read), source, 0)
        for key, us in self._writers.get(node, {}).items():
            source = nodes.run(key)
            yield Step(_writing(source, node, us), source, 1)

    def downstream(self, node: Id) -> Iterator[Step]:
        """What a run wrote, or who read a version."""
        if node.kind == "run":
            for write in self._writes.get(node.run_key, ()):
                target = self._written(write)
                yield Step(_writing(node, target, write.us), target, 0)
        for read in self._readers.get(node, ()):
            target = nodes.run(read.run)
            yield Step(_reading(node, target, read), target, 1)

    def either(self, node: Id) -> Iterator[Step]:
        """What ``node`` is connected with, in whichever direction."""
        yield from self.upstream(node)
        yield from self.downstream(node)

    def _load_written(self, runs: list[RunKey]) -> None:
        self._writes.update((key, []) for key in runs)
        for write in self.tables.writes(runs):
            self._writes[write.run].append(write)
        for read in self.tables.reads_from(runs):
            readers = self._readers[self._read(read)]
            if read not in readers:
                readers.append(read)

    def _read(self, read: Read) -> Id:
        """The version that was read; the dataset itself where nothing tells its versions apart."""
        if read.writer is not None:
            node = Id("version", *read.dataset, read.writer[2])
            self._writers[node].setdefault(read.writer, read.written_us)
            if read.version is not None:
                self.names[node] = read.version
            return node
        if read.version is not None:
            return Id("version", *read.dataset, read.version)
        return nodes.dataset(read.dataset)

    def _written(self, write: Write) -> Id:
        node = Id("version", *write.dataset, write.run[2])
        self._writers[node][write.run] = write.us
        if write.version is not None:
            self.names[node] = write.version
        return node


def _reading(source: Id, target: Id, read: Read) -> Edge:
    inferred = read.writer is not None and not read.told
    return Edge(
        source, target, "run", read.run[:2], read.run[2], read.us, read.us,
        evidence="inferred" if inferred else "recorded",
    )  # fmt: skip


def _writing(source: Id, target: Id, us: int | None) -> Edge:
    return Edge(source, target, "run", source.pair, source.part, us, us)
