"""One question about lineage, from what a person asked to the answer."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import cached_property

from forensics.errors import NotFoundError, UsageError
from forensics.lake import sql
from forensics.lake.lineage import TABLE, LineageTables, Pair, Scope
from forensics.lake.snapshot import Snapshot
from forensics.lineage import declared as declared_
from forensics.lineage import nodes
from forensics.lineage.facts import facts_of
from forensics.lineage.graph import Declared, Graph, main_names, whole
from forensics.lineage.names import Names
from forensics.lineage.nodes import DIRECTIONS, Direction, Edge, Id, Lineage, Node
from forensics.lineage.run_graph import RunGraph
from forensics.lineage.walk import Neighbours, Reached, walk
from forensics.records.times import to_micros


def lineage(
    snapshot: Snapshot,
    asked: str,
    *,
    direction: Direction = "both",
    depth: int | None = None,
    as_of: datetime | None = None,
    known_by: datetime | None = None,
    all_time: bool = False,
    columns: bool = False,
    namespace: str | None = None,
) -> Lineage:
    """What a node came from, and what came of it.

    Args:
        snapshot: the lake.
        asked: ``dataset:NAMESPACE/NAME``, ``column:NAMESPACE/NAME#COLUMN``, ``job:NAMESPACE/NAME``,
            ``run:ID`` (the beginning of an id will do where it is that of one run),
            ``version:NAMESPACE/NAME@VERSION``, ``feature:POINT.NAME``, or a name alone where it is
            that of one thing.
        direction: ``upstream``, ``downstream``, ``both``, or ``connected``: whatever is connected
            by steps in either direction.
        depth: how many jobs may lie between; no limit where None.
        as_of: only events that had occurred by then count.
        known_by: only events that the lake had received by then count.
        all_time: every edge that was ever declared, not what each job declared last.
        columns: of a dataset or a job, walk its columns.
        namespace: look only in this one, and take ``asked`` as the name in it.

    Raises:
        NotFoundError: when nothing is known by that name; it names the nearest.
        UsageError: when it names several things, or the question contradicts itself.
        IntegrityError: when a data file cannot be read.
    """
    if direction not in DIRECTIONS:
        raise UsageError(f"{direction!r} is no direction.", "", f"Use {', '.join(DIRECTIONS)}.")
    if depth is not None and depth < 0:
        raise UsageError("A depth is 0 or more.")
    question = _Question(snapshot, asked, direction, depth, as_of, known_by, all_time, namespace)
    roots = question.names.find(asked)
    if roots[0].kind in ("run", "version"):
        if columns:
            raise UsageError(f"The columns of a {roots[0].kind} cannot be walked.")
        return question.of_runs(roots)
    return question.of_declarations(roots, columns)


class _Question:
    def __init__(
        self,
        snapshot: Snapshot,
        asked: str,
        direction: Direction,
        depth: int | None,
        as_of: datetime | None,
        known_by: datetime | None,
        all_time: bool,
        namespace: str | None,
    ) -> None:
        then, known = (None if time is None else to_micros(time) for time in (as_of, known_by))
        self.tables = LineageTables(snapshot, Scope(then, known, all_time))
        if not self.tables.paths:
            raise NotFoundError(
                "There are no lineage events in this lake"
                + (" up to that time." if as_of else "."),
                "The first one is later." if as_of else f"Table {TABLE} is empty.",
                "Take some in: forensics ingest EVENTS.",
            )
        self.snapshot = snapshot
        self.asked = asked
        self.direction: Direction = direction
        self.depth = depth
        self.as_of = as_of
        self.known_by = known_by
        self.all_time = all_time
        self.names = Names(
            self.tables, lambda: self.graph, [item[:2] for item in self.declared], namespace
        )

    @cached_property
    def declared(self) -> list[tuple[str, str, str, str]]:
        """Decision point, name, dataset and column of every feature that is declared."""
        return _declared(self.snapshot, self.as_of or datetime.now(UTC))

    @cached_property
    def graph(self) -> Graph:
        """What jobs and events about datasets declare, and the features that use it."""
        graph = Graph(self.tables)
        for point, name, dataset, column in self.declared:
            graph.add_feature(_placed(graph, point, name, dataset, column))
        return graph

    def of_declarations(self, roots: list[Id], columns: bool) -> Lineage:
        """Lineage of a dataset, column, job or feature."""
        graph = self.graph
        missing: list[str] = []
        if columns:
            roots, missing = _as_columns(graph, roots)
        for root in tuple(roots):
            if root.kind == "job" and not graph.has_job(root.pair):
                roots += map(nodes.job, self.tables.job_parts(root.pair))
            if root.kind == "feature":
                missing += self._place(root)
        return self._answer(
            roots,
            self._walks(graph.upstream, graph.downstream, graph.either),
            prepare=graph.load_columns,
            missing=missing,
        )

    def _place(self, feature: Id) -> list[str]:
        """Make sure of the dataset that ``feature`` comes from; what is missing of it."""
        graph = self.graph
        (source,) = (step.to for step in graph.upstream(feature))
        if graph.has_dataset(source.pair):
            return []
        once = self.tables.find_names(["dataset"], source.name, None)
        if not once:
            return [f"No lineage event names {nodes.dataset(source.pair).text}."]
        graph.add_feature((*feature.pair, once[0][1:], source.part))
        return [f"No job that reads or writes {nodes.dataset(once[0][1:]).text} is known."]

    def of_runs(self, roots: list[Id]) -> Lineage:
        """Lineage of a run or of a dataset's version; a run without data stands for its parts.

        Raises:
            NotFoundError: when no run wrote or read that version.
        """
        graph = RunGraph(self.tables, main_names(self.tables.symlinks))
        if roots[0].kind == "version":
            found = [graph.version(root.pair, root.part) for root in roots]
            roots = [node for node in found if node is not None]
            if not roots:
                raise NotFoundError(f"Lineage knows no {self.asked}.", "No run wrote or read it.")
        keys = [root.run_key for root in roots if root.kind == "run"]
        parts = graph.parts(keys)
        family = [(nodes.run(a), nodes.run(b)) for a, b in [*graph.wholes(keys), *parts]]
        if keys and not self.tables.reads(keys) and not self.tables.writes(keys):
            roots = list(dict.fromkeys([*roots, *(nodes.run(part) for _, part in parts)]))

        def prepare(level: list[Id]) -> None:
            if self.direction != "downstream":
                graph.load_upstream(level)
            if self.direction != "upstream":
                graph.load_downstream(level)

        walks = self._walks(graph.upstream, graph.downstream, graph.either)
        return self._answer(roots, walks, prepare=prepare, family=family, versions=graph.names)

    def _walks(
        self, up: Neighbours, down: Neighbours, either: Neighbours
    ) -> list[tuple[str, Neighbours]]:
        if self.direction == "connected":
            return [("connected", either)]
        return [
            (side, neighbours)
            for side, neighbours in (("upstream", up), ("downstream", down))
            if self.direction in (side, "both")
        ]

    def _answer(
        self,
        roots: list[Id],
        walks: list[tuple[str, Neighbours]],
        *,
        prepare: Callable[[list[Id]], None],
        missing: Iterable[str] = (),
        family: Iterable[tuple[Id, Id]] = (),
        versions: dict[Id, str] | None = None,
    ) -> Lineage:
        sides: dict[str, Reached] = {
            side: walk(roots, neighbours, self.depth, prepare) for side, neighbours in walks
        }
        distances: dict[Id, dict[str, int]] = {}
        beyond: dict[Id, int] = {}
        edges: dict[tuple[Id, Id, Pair | None], Edge] = {}
        for side, reached in sides.items():
            for node, cost in reached.distances.items():
                known = distances.setdefault(whole(node), {})
                known[side] = min(cost, known.get(side, cost))
            for node, count in reached.beyond.items():
                beyond[whole(node)] = beyond.get(whole(node), 0) + count
            for edge in reached.edges:
                source, target = whole(edge.source), whole(edge.target)
                same = source is edge.source and target is edge.target
                edges[source, target, edge.job] = (
                    edge if same else edge._replace(source=source, target=target)
                )
        for of, part in family:
            edges[of, part, None] = Edge(of, part, "part")
            for member in (of, part):
                distances.setdefault(member, {})
        facts, jobs = facts_of(self.tables, distances, list(edges.values()), versions)
        connected = self.direction == "connected"
        return Lineage(
            self.asked, tuple(roots), self.as_of, self.known_by, self.direction, self.depth,
            self.all_time,
            nodes=tuple(
                Node(
                    node,
                    cost.get("connected" if connected else "upstream"),
                    cost.get("connected" if connected else "downstream"),
                    beyond.get(node, 0),
                    facts.get(node, {}),
                )
                for node, cost in distances.items()
            ),
            edges=tuple(edges.values()),
            jobs=jobs,
            missing=tuple(missing),
        )  # fmt: skip


def _as_columns(graph: Graph, roots: list[Id]) -> tuple[list[Id], list[str]]:
    """The columns of datasets, and of what jobs write; and which of these have none."""
    found: list[Id] = []
    missing: list[str] = []
    for root in roots:
        if root.kind not in ("dataset", "job"):
            found.append(root)
            continue
        for pair in [root.pair] if root.kind == "dataset" else graph.writes.get(root.pair, ()):
            graph.load_columns([nodes.column(pair, "")])
            names = graph.columns_of(pair)
            found += [nodes.column(pair, name) for name in names] or [nodes.dataset(pair)]
            if not names:
                missing.append(f"No event names columns of {nodes.dataset(pair).text}.")
    return found or roots, missing


def _placed(graph: Graph, point: str, name: str, dataset: str, column: str) -> Declared:
    """A declared feature with its dataset's name parted where events part it."""
    for at, letter in enumerate(dataset):
        if letter == "/" and graph.has_dataset((dataset[:at], dataset[at + 1 :])):
            return point, name, (dataset[:at], dataset[at + 1 :]), column
    return point, name, ("", dataset), column


def _declared(snapshot: Snapshot, at: datetime) -> list[tuple[str, str, str, str]]:
    paths = snapshot.paths(declared_.TABLE, last_us=to_micros(at))
    if not paths:
        return []
    with sql.reading("The table of declarations"):
        points = snapshot.connection.execute(
            f"SELECT DISTINCT decision_point FROM read_parquet({sql.literal(paths)}) ORDER BY ALL"
        ).fetchall()
    found: list[tuple[str, str, str, str]] = []
    for (point,) in points:
        declaration = declared_.declaration(snapshot, point, at)
        found += [
            (point, feature.name, feature.dataset, feature.column or feature.name)
            for feature in (declaration.features.values() if declaration else ())
            if feature.dataset
        ]
    return found
