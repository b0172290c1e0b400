"""The graph that lineage events declare: who reads and writes what, and which column is from which.

A job's edges are those of its last declaration: of its last completed run, or of an event about
the job itself where that is newer. A job that no longer reads a table no longer depends on it.
Names that symlinks tie together are one dataset.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator

from forensics.lake.lineage import ColumnEdge, Flow, LineageTables, Pair
from forensics.lineage import nodes
from forensics.lineage.nodes import Edge, Id, Kind
from forensics.lineage.walk import Step

#: Where a declared feature comes from: decision point, feature, dataset, column.
Declared = tuple[str, str, Pair, str]
#: The part of a job that is entered from a column: it leads to the outputs only of which the job
#: does not say which column is from which.
_PARTLY = "partly"


class Graph:
    """Jobs, datasets and columns of one scope of events, and the features declared to use them."""

    def __init__(self, tables: LineageTables) -> None:
        self.tables = tables
        flows = tables.flows()
        self.main_names = main_names(tables.symlinks)
        self._named: dict[Kind, dict[str, list[Pair]]] = {}
        #: All other names of a dataset, by the one that is used for it.
        self.others: dict[Pair, list[Pair]] = defaultdict(list)
        for other, main in sorted(self.main_names.items()):
            if other != main:
                self.others[main].append(other)
        self.reads: dict[Pair, dict[Pair, Flow]] = defaultdict(dict)
        self.writes: dict[Pair, dict[Pair, Flow]] = defaultdict(dict)
        self.readers: dict[Pair, dict[Pair, Flow]] = defaultdict(dict)
        self.writers: dict[Pair, dict[Pair, Flow]] = defaultdict(dict)
        for flow in flows:
            dataset = self.main(flow.dataset)
            by_job, by_dataset = (
                (self.writes, self.writers) if flow.written else (self.reads, self.readers)
            )
            known = by_job[flow.job].get(dataset)
            kept = flow if known is None else _merged(known, flow)
            by_job[flow.job][dataset] = by_dataset[dataset][flow.job] = kept
        self.into: dict[Pair, list[ColumnEdge]] = defaultdict(list)
        self.out_of: dict[Pair, list[ColumnEdge]] = defaultdict(list)
        #: Outputs of a job of which it says which column is from which.
        self._told: set[tuple[Pair | None, Pair]] = set()
        self._jobs_loaded: set[Pair] = set()
        self._add_columns((), static=True)
        self._features: dict[Pair, list[Declared]] = defaultdict(list)
        self._sources: dict[tuple[str, str], Declared] = {}

    def add_feature(self, declared: Declared) -> None:
        """Let a feature be fed by the column that it is declared to come from."""
        self._features[self.main(declared[2])].append(declared)
        self._sources[declared[:2]] = declared

    def main(self, dataset: Pair) -> Pair:
        """The name that is used for a dataset of several names."""
        return self.main_names.get(dataset, dataset)

    def has_dataset(self, pair: Pair) -> bool:
        """Whether an edge touches a dataset of this name, or of which this is another name."""
        pair = self.main(pair)
        return any(pair in side for side in (self.readers, self.writers, self.into, self.out_of))

    def has_job(self, pair: Pair) -> bool:
        """Whether a job of this name reads or writes something."""
        return pair in self.reads or pair in self.writes

    def named(self, kind: Kind) -> dict[str, list[Pair]]:
        """Datasets or jobs by their names alone."""
        if kind not in self._named:
            found = {*self.reads, *self.writes} if kind == "job" else {
                *self.readers, *self.writers, *self.into, *self.out_of, *self.main_names
            }  # fmt: skip
            by_name: dict[str, list[Pair]] = defaultdict(list)
            for pair in sorted(found):
                by_name[pair[1]].append(pair)
            self._named[kind] = dict(by_name)
        return self._named[kind]

    def load_columns(self, level: Iterable[Id]) -> None:
        """Look up the column edges of all jobs around columns, before those are walked."""
        datasets = {node.pair for node in level if node.kind == "column"}
        touching = (
            side.get(pair, {}) for pair in datasets for side in (self.readers, self.writers)
        )
        new = {job for jobs in touching for job in jobs} - self._jobs_loaded
        if new:
            self._add_columns(new, static=False)

    def has_column(self, dataset: Pair, name: str) -> bool:
        """Whether events know of a column, if only of the past."""
        names = [dataset, *self.others.get(dataset, ())]
        return (
            name in self._edge_columns(dataset)
            or name in self.tables.schema(names)
            or self.tables.ever_had(names, name)
        )

    def columns_of(self, dataset: Pair) -> list[str]:
        """Columns that events know of a dataset: by its schema, else by edges."""
        names = self.tables.schema([dataset, *self.others.get(dataset, ())])
        return list(dict.fromkeys([*names, *self._edge_columns(dataset)]))

    def _edge_columns(self, dataset: Pair) -> list[str]:
        made = [edge.output_column for edge in self.into.get(dataset, ())]
        used = [edge.input_column for edge in self.out_of.get(dataset, ())]
        return [name for name in dict.fromkeys(made + used) if name is not None]

    def upstream(self, node: Id) -> Iterator[Step]:
        """What ``node`` was made from or by."""
        match node.kind:
            case "feature":
                if declared := self._sources.get(node.pair):
                    source = nodes.column(self.main(declared[2]), declared[3])
                    yield Step(Edge(source, node, "feature"), source, 0)
            case "job":
                for dataset, flow in self.reads.get(node.pair, {}).items():
                    source = nodes.dataset(dataset)
                    yield Step(_edge(source, node, flow), source, 0)
            case "dataset":
                for job, flow in self.writers.get(node.pair, {}).items():
                    source = nodes.job(job)
                    yield Step(_edge(source, node, flow), source, 1)
                for edge in self.into.get(node.pair, ()):
                    if edge.job is None:
                        source = nodes.dataset(self.main(edge.input))
                        yield Step(_column_edge(source, node, edge, "dataset"), source, 1)
            case "column":
                for edge in self.into.get(node.pair, ()):
                    if edge.output_column in (node.part, None):
                        source = nodes.column(self.main(edge.input), edge.input_column)
                        yield Step(_column_edge(source, node, edge), source, 1)
                for job, flow in self.writers.get(node.pair, {}).items():
                    if (job, node.pair) not in self._told:
                        source = nodes.job(job)
                        yield Step(_edge(source, node, flow), source, 1)

    def downstream(self, node: Id) -> Iterator[Step]:
        """What was made from ``node``, or by it."""
        match node.kind:
            case "job":
                for dataset, flow in self.writes.get(node.pair, {}).items():
                    if node.part != _PARTLY or (node.pair, dataset) not in self._told:
                        target = nodes.dataset(dataset)
                        yield Step(_edge(node, target, flow), target, 0)
            case "dataset":
                for job, flow in self.readers.get(node.pair, {}).items():
                    target = nodes.job(job)
                    yield Step(_edge(node, target, flow), target, 1)
                for edge in self.out_of.get(node.pair, ()):
                    if edge.job is None:
                        target = nodes.dataset(self.main(edge.output))
                        yield Step(_column_edge(node, target, edge, "dataset"), target, 1)
                for declared in self._features.get(node.pair, ()):
                    target = Id("feature", *declared[:2])
                    yield Step(Edge(node, target, "feature"), target, 0)
            case "column":
                yield from self._from_column(node)

    def either(self, node: Id) -> Iterator[Step]:
        """What ``node`` is connected with, in whichever direction."""
        yield from self.upstream(node)
        yield from self.downstream(node)

    def _from_column(self, node: Id) -> Iterator[Step]:
        for edge in self.out_of.get(node.pair, ()):
            if edge.input_column in (node.part, None):
                target = nodes.column(self.main(edge.output), edge.output_column)
                yield Step(_column_edge(node, target, edge), target, 1)
        for job, flow in self.readers.get(node.pair, {}).items():
            outputs = self.writes.get(job, {})
            # Where a job says for all it writes which column is from which, this column goes where
            # its edges lead and nowhere else.
            if not outputs or any((job, output) not in self._told for output in outputs):
                target = nodes.job(job)._replace(part=_PARTLY)
                yield Step(_edge(node, target, flow), target, 1)
        for declared in self._features.get(node.pair, ()):
            if declared[3] == node.part:
                target = Id("feature", *declared[:2])
                yield Step(Edge(node, target, "feature"), target, 0)

    def _add_columns(self, jobs: Collection[Pair], *, static: bool) -> None:
        self._jobs_loaded.update(jobs)
        for edge in self.tables.columns(jobs):
            if edge.job is None and not static:
                continue
            output, source = self.main(edge.output), self.main(edge.input)
            self.into[output].append(edge)
            self.out_of[source].append(edge)
            if edge.output_column is not None or edge.input_column is None:
                self._told.add((edge.job, output))


def whole(node: Id) -> Id:
    """The node itself, where a walk told parts of it apart."""
    return node._replace(part="") if node.kind == "job" and node.part else node


def main_names(symlinks: Iterable[tuple[Pair, Pair]]) -> dict[Pair, Pair]:
    """For every dataset of several names the one to use.

    It is one that events give to a dataset rather than one that only a symlink mentions, and of
    several such the first in alphabetical order.

    Args:
        symlinks: a dataset and another name of it.
    """
    groups: dict[Pair, set[Pair]] = {}
    owners: set[Pair] = set()
    for owner, other in symlinks:
        owners.add(owner)
        joined = groups.get(owner, {owner}) | groups.get(other, {other})
        groups.update(dict.fromkeys(joined, joined))
    return {name: min(group, key=lambda n: (n not in owners, n)) for name, group in groups.items()}


def _merged(a: Flow, b: Flow) -> Flow:
    last = max(a, b, key=lambda flow: flow.last_us)
    return last._replace(current=a.current or b.current, first_us=min(a.first_us, b.first_us))


def _edge(source: Id, target: Id, flow: Flow) -> Edge:
    return Edge(
        source, target, "dataset", flow.job, flow.run_id, flow.first_us, flow.last_us, flow.current
    )


def _column_edge(source: Id, target: Id, edge: ColumnEdge, level: nodes.Level = "column") -> Edge:
    return Edge(
        source, target, level, edge.job, edge.run_id, edge.first_us, edge.last_us, edge.current,
        edge.transformations,
    )  # fmt: skip
