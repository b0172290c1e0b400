"""Breadth-first over any graph that can say its neighbours, to a depth counted in jobs."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

from forensics.lineage.nodes import Edge, Id


class Step(NamedTuple):
    """From a node to a neighbour. ``cost`` is 1 where a job or a run is entered, else 0."""

    edge: Edge
    to: Id
    cost: int


#: The neighbours of a node, in a fixed order.
Neighbours = Callable[[Id], Iterable[Step]]


class Reached(NamedTuple):
    """What a walk came to.

    ``distances`` has every node with the least cost to it, in the order of the walk; ``edges`` all
    that were looked at between such nodes; ``beyond`` how many neighbours of a node were too far.
    """

    distances: dict[Id, int]
    edges: list[Edge]
    beyond: dict[Id, int]


def walk(
    roots: Iterable[Id],
    neighbours: Neighbours,
    depth: int | None = None,
    prepare: Callable[[list[Id]], None] | None = None,
) -> Reached:
    """All nodes that ``roots`` reach at a cost of at most ``depth``.

    Args:
        roots: where to begin, at cost 0.
        neighbours: one step from a node, at a cost of 0 or 1.
        depth: the greatest cost; no limit where None.
        prepare: told a level's nodes before any of them is asked for its neighbours, so that what
            they need is looked up at once.
    """
    distances: dict[Id, int] = {}
    steps: list[tuple[Id, Step]] = []
    level = list(dict.fromkeys(roots))
    cost = 0
    while level and (depth is None or cost <= depth):
        dearer: list[Id] = []
        distances.update(dict.fromkeys(level, cost))
        while level:  # a level grows by what is reached at no cost
            if prepare is not None:
                prepare(level)
            free: list[Id] = []
            for node in level:
                for step in neighbours(node):
                    steps.append((node, step))
                    if step.to in distances:
                        continue
                    if step.cost:
                        dearer.append(step.to)
                    else:
                        distances[step.to] = cost
                        free.append(step.to)
            level = free
        cost += 1
        level = [node for node in dict.fromkeys(dearer) if node not in distances]
    beyond: dict[Id, int] = {}
    edges: list[Edge] = []
    for node, step in steps:
        if step.to in distances:
            edges.append(step.edge)
        else:
            beyond[node] = beyond.get(node, 0) + 1
    return Reached(distances, edges, beyond)
