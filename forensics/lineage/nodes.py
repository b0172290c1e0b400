"""The nouns of lineage: what a node and an edge of it are, and how a node is written."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal, NamedTuple

from forensics.lake.lineage import Pair, RunKey
from forensics.records.times import from_micros

Kind = Literal["dataset", "version", "column", "job", "run", "feature"]
KINDS: tuple[Kind, ...] = ("dataset", "version", "column", "job", "run", "feature")
#: How an edge is known: between columns, between whole datasets, between single runs, because a
#: decision point declared where a feature comes from, or because a run is part of another.
Level = Literal["column", "dataset", "run", "feature", "part"]
Direction = Literal["both", "upstream", "downstream", "connected"]
DIRECTIONS: tuple[Direction, ...] = ("both", "upstream", "downstream", "connected")


class Id(NamedTuple):
    """One node. ``part`` is a column's name, a version's, or a run's id.

    ``namespace`` and ``name`` are those of the dataset or, of a run, of its job; of a feature they
    are its decision point's name and its own.
    """

    kind: Kind
    namespace: str
    name: str
    part: str = ""

    @property
    def text(self) -> str:
        """The node as it can be asked for: ``column:NAMESPACE/NAME#COLUMN``."""
        whole = f"{self.namespace}/{self.name}" if self.namespace else self.name
        match self.kind:
            case "feature":
                return f"feature:{self.namespace}.{self.name}"
            case "run":
                return f"run:{self.part}"
            case "column":
                return f"column:{whole}#{self.part}"
            case "version":
                return f"version:{whole}@{self.part}"
        return f"{self.kind}:{whole}"

    @property
    def pair(self) -> Pair:
        """Namespace and name."""
        return (self.namespace, self.name)

    @property
    def run_key(self) -> RunKey:
        """A run's job and id."""
        return (self.namespace, self.name, self.part)


def dataset(pair: Pair) -> Id:
    """The node of a dataset."""
    return Id("dataset", *pair)


def column(pair: Pair, name: str | None) -> Id:
    """The node of a column; of the whole dataset where ``name`` is None."""
    return dataset(pair) if name is None else Id("column", *pair, name)


def job(pair: Pair) -> Id:
    """The node of a job."""
    return Id("job", *pair)


def run(key: RunKey) -> Id:
    """The node of a run."""
    return Id("run", *key)


class Edge(NamedTuple):
    """``target`` was made from ``source``, or by it.

    Args:
        source: what comes first.
        target: what comes after.
        level: how it is known.
        job: the job between two columns or datasets; None where an event about a dataset said it.
        run_id: the run that declared it last.
        first_us: when it was first declared; of a run's edge, when it was read or written.
        last_us: when it was last declared.
        current: whether it is what holds last; False only where everything ever declared is asked.
        transformations: what was done to a column.
        evidence: ``recorded``, or ``inferred`` from the order of times.
    """

    source: Id
    target: Id
    level: Level
    job: Pair | None = None
    run_id: str | None = None
    first_us: int | None = None
    last_us: int | None = None
    current: bool = True
    transformations: tuple[str, ...] = ()
    evidence: Literal["recorded", "inferred"] = "recorded"


@dataclass(frozen=True, slots=True)
class Node:
    """A node of an answer.

    ``upstream`` and ``downstream`` say how many jobs lie between it and what was asked for, None
    where it is not on that side; what was asked for has 0 on both, and of all that is connected
    both say the same. ``beyond`` counts its neighbours that the depth left out.
    """

    id: Id
    upstream: int | None
    downstream: int | None
    beyond: int = 0
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Lineage:
    """What something came from and what came of it. Nodes are in order of their distance."""

    asked: str
    roots: tuple[Id, ...]
    as_of: datetime | None
    known_by: datetime | None
    direction: Direction
    depth: int | None
    all_time: bool
    nodes: tuple[Node, ...]
    edges: tuple[Edge, ...]
    #: What is known of jobs between columns, which are no nodes.
    jobs: Mapping[Pair, Mapping[str, Any]] = field(default_factory=dict)
    #: What the answer lacks, as sentences.
    missing: tuple[str, ...] = ()

    def texts(self) -> dict[Id, str]:
        """Every node's text, made unique where slashes or run ids make two the same."""
        counts: dict[str, int] = {}
        for node in self.nodes:
            counts[node.id.text] = counts.get(node.id.text, 0) + 1
        return {
            node.id: node.id.text
            if counts[node.id.text] == 1
            else f"{node.id.text} ({node.id.namespace} | {node.id.name})"
            for node in self.nodes
        }

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping; nodes are named by ``id`` in ``edges`` and ``roots``."""
        texts = self.texts()
        return {
            "asked": self.asked,
            "roots": [texts[root] for root in self.roots],
            "as_of": self.as_of,
            "known_by": self.known_by,
            "direction": self.direction,
            "depth": self.depth,
            "all_time": self.all_time,
            "nodes": [_node(node, texts[node.id]) for node in self.nodes],
            "edges": [_edge(edge, texts) for edge in self.edges],
            "jobs": [
                {"namespace": namespace, "name": name, **facts}
                for (namespace, name), facts in self.jobs.items()
            ],
            "missing": list(self.missing),
        }


def _node(node: Node, text: str) -> dict[str, Any]:
    id_ = node.id
    named: dict[str, Any] = {"id": text, "kind": id_.kind}
    match id_.kind:
        case "feature":
            named |= {"decision_point": id_.namespace, "name": id_.name}
        case "run":
            named |= {"job_namespace": id_.namespace, "job": id_.name, "run_id": id_.part}
        case _:
            named |= {"namespace": id_.namespace, "name": id_.name}
            if id_.kind in ("column", "version"):
                named[id_.kind] = id_.part
    sides = {"upstream": node.upstream, "downstream": node.downstream, "beyond": node.beyond}
    return {**named, **sides, **node.facts}


def _edge(edge: Edge, texts: Mapping[Id, str]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "from": texts[edge.source],
        "to": texts[edge.target],
        "level": edge.level,
        "evidence": edge.evidence,
        "current": edge.current,
    }
    if edge.job is not None and edge.level == "column":
        said |= {"job_namespace": edge.job[0], "job": edge.job[1]}
    if edge.run_id is not None:
        said["run_id"] = edge.run_id
    for name, us in (("first_declared_at", edge.first_us), ("declared_at", edge.last_us)):
        if us is not None:
            said[name] = from_micros(us)
    if edge.transformations:
        said["transformations"] = list(edge.transformations)
    return said
