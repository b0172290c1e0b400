"""What a person calls a node, and which node it is.

``dataset:NAMESPACE/NAME`` reads well and is ambiguous, since both parts may have slashes: every way
to part it is tried, and what is there decides. A name alone will do where it names one thing.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator
from difflib import get_close_matches

from forensics.errors import NotFoundError, UsageError
from forensics.lake.lineage import LineageTables, Pair
from forensics.lineage import nodes
from forensics.lineage.graph import Graph
from forensics.lineage.nodes import KINDS, Id, Kind

_NEAREST = 3
#: A text this long that says no kind may be the beginning of a run's id, as answers shorten them.
_PREFIX = 8
_LISTED = 8


class Names:
    """Finds nodes by what they are called.

    Args:
        tables: the events.
        graph: makes what declarations say; not asked where a run is named.
        features: decision point and name of every declared feature.
        namespace: the only namespace to look in, where one is given.
    """

    def __init__(
        self,
        tables: LineageTables,
        graph: Callable[[], Graph],
        features: Collection[Pair],
        namespace: str | None = None,
    ) -> None:
        self._tables = tables
        self._made = graph
        self._features = features
        self._namespace = namespace
        self._deep = False

    @property
    def _graph(self) -> Graph:
        return self._made()

    def find(self, asked: str) -> list[Id]:
        """The node that ``asked`` names; several runs where their jobs gave them one id.

        Raises:
            NotFoundError: when there is none; it names the nearest.
            UsageError: when it names several things.
        """
        kind, name = parted(asked)
        found = list(dict.fromkeys(self._candidates(kind, name)))
        if not found:
            self._deep = True  # now also what once was named and has no edge any more
            found = list(dict.fromkeys(self._candidates(kind, name)))
        if not found:
            raise self._unknown(asked, kind, name)
        runs = {node.part for node in found if node.kind == "run"}
        if len(found) == 1 or (len(runs) == 1 and all(node.kind == "run" for node in found)):
            return found
        raise _ambiguous(asked, found)

    def _candidates(self, kind: Kind | None, name: str) -> Iterator[Id]:
        if kind in ("column", None) and "#" in name:
            yield from self._columns(name)
        if kind in ("version", None) and "@" in name:
            # Whether there is such a version is for the graph of runs to say.
            for dataset, version in _splits(name, "@"):
                for pair in self._known("dataset", dataset):
                    if kind == "version" or self._is_version(pair, version):
                        yield Id("version", *pair, version)
        if kind in ("feature", None):
            for point, feature in self._features:
                if name == f"{point}.{feature}" or (kind is None and name == feature):
                    yield Id("feature", point, feature)
        if kind in ("dataset", None):
            yield from map(nodes.dataset, self._known("dataset", name))
        if kind in ("job", None):
            yield from map(nodes.job, self._known("job", name))
        if kind in ("run", None):
            runs = [(*facts.job, name) for facts in self._tables.runs_named(name)]
            yield from map(nodes.run, runs or self._tables.wholes_named(name))
            if self._deep and not runs and (kind == "run" or len(name) >= _PREFIX):
                for facts in self._tables.runs_beginning(name):
                    yield nodes.run((*facts.job, str(facts.run_id)))

    def _columns(self, name: str) -> Iterator[Id]:
        for dataset, column in _splits(name, "#"):
            for pair in self._known("dataset", dataset):
                self._graph.load_columns([nodes.column(pair, column)])
                if self._graph.has_column(pair, column):
                    yield nodes.column(pair, column)

    def _is_version(self, pair: Pair, version: str) -> bool:
        return bool(self._tables.runs_named(version)) or version in (
            self._tables.versions([pair]).values()
        )

    def _known(self, kind: Kind, name: str) -> Iterator[Pair]:
        """Datasets or jobs of that name: those with edges, else, to go deep, all ever named."""
        graph = self._graph
        has = graph.has_dataset if kind == "dataset" else graph.has_job
        pairs = (
            [(name[:at], name[at + 1 :]) for at, letter in enumerate(name) if letter == "/"]
            if self._namespace is None
            else [(self._namespace, name)]
        )
        found = [pair for pair in pairs if has(pair)]
        found += [
            pair for pair in (graph.named(kind).get(name, ())) if self._namespace in (None, pair[0])
        ]
        if not found and self._deep:
            found = [
                (space, whole)
                for _, space, whole in self._tables.find_names([kind], name, self._namespace)
            ]
        if kind == "dataset":
            found = list(map(graph.main, found))
        yield from dict.fromkeys(found)

    def _unknown(self, asked: str, kind: Kind | None, name: str) -> NotFoundError:
        near = self._near_columns(name) if kind == "column" else []
        if kind != "feature" and not near:
            kinds: list[Kind] = ["dataset", "job", "run"] if kind is None else [kind]
            if kind in ("column", "version"):
                kinds, mark = ["dataset"], "#" if kind == "column" else "@"
                name = name.rpartition(mark)[0] or name
            near += [
                nodes.run(("", "", found)).text if what == "run" else _node(what, space, found).text
                for what, space, found in self._tables.near_names(kinds, name, _NEAREST)
            ]
        if kind in ("feature", None):
            # As people write them: with their decision point, or without.
            texts = {
                f"{point}.{feature}": f"{point}.{feature}" for point, feature in self._features
            }
            texts |= {feature: f"{point}.{feature}" for point, feature in self._features}
            close = get_close_matches(name, texts, _NEAREST, 0.7)
            near += dict.fromkeys(f"feature:{texts[text]}" for text in close)
        return NotFoundError(
            f"Lineage knows no {kind or 'dataset, column, job, run or feature'} "
            f"{parted(asked)[1]!r}.",
            "No lineage event or declaration that was looked at names it.",
            f"Nearest: {', '.join(near)}." if near else "Name it as dataset:NAMESPACE/NAME.",
            nearest=tuple(near),
        )

    def _near_columns(self, name: str) -> list[str]:
        """Columns of the dataset that is named, where there is one."""
        for dataset, column in _splits(name, "#"):
            for pair in self._known("dataset", dataset):
                names = self._graph.columns_of(pair)
                near = get_close_matches(column, names, _LISTED, 0.5) or names[:_LISTED]
                return [nodes.column(pair, each).text for each in near]
        return []


def parted(asked: str) -> tuple[Kind | None, str]:
    """The kind that ``asked`` begins with, if any, and the rest."""
    before, colon, rest = asked.partition(":")
    for kind in KINDS:
        if colon and before == kind and rest:
            return kind, rest
    return None, asked


def _splits(text: str, mark: str) -> Iterator[tuple[str, str]]:
    """Every way to part ``text`` at ``mark``, the last first."""
    for at in range(len(text) - 1, -1, -1):
        if text[at] == mark and text[:at] and text[at + 1 :]:
            yield text[:at], text[at + 1 :]


def _node(kind: str, namespace: str, name: str) -> Id:
    return nodes.job((namespace, name)) if kind == "job" else nodes.dataset((namespace, name))


def _ambiguous(asked: str, found: list[Id]) -> UsageError:
    texts = [node.text for node in found[:_LISTED]]
    listed = ", ".join(texts) + (", …" if len(found) > _LISTED else "")
    todo = "Say which one."
    if len(set(texts)) < len(texts):
        spaces = ", ".join(repr(node.namespace) for node in found[:_LISTED])
        todo = f"Say its namespace with --namespace, and the name in it alone: {spaces}."
    return UsageError(f"{asked!r} names {len(found)} things: {listed}.", "", todo)
