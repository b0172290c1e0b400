"""Lineage as a tree on a terminal, as Mermaid and as Graphviz; foreign names are inert in all."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, Literal, NamedTuple

from forensics.lineage.nodes import Edge, Id, Kind, Lineage, Node
from forensics.records.safe_text import safe_text
from forensics.report.spans import Line, Span, Uncut, fitted, plain, span
from forensics.report.words import time_words

_LINES_MAX = 400
_DIGEST_SHOWN = 12
_NAME_MIN = 12
Side = Literal["upstream", "downstream"]


class Drawn(NamedTuple):
    """A line, and the node that it names; None where it says more of the one above."""

    line: Line
    node: Id | None = None


#: Columns where there is no screen whose edge a name could reach.
_ENDLESS = 10_000


def screen(lineage: Lineage, width: int = 100) -> list[Line]:
    """The answer as lines of at most ``width`` characters (60 at least), each node once a side."""
    width = _ENDLESS if isinstance(width, Uncut) else max(width, 60)
    lines: list[Line] = list(head(lineage, width))
    if lineage.direction == "connected":
        lines += (drawn.line for drawn in tree(lineage, "downstream", "connected with", width))
    else:
        for side in ("upstream", "downstream"):
            if lineage.direction in (side, "both"):
                lines += (drawn.line for drawn in tree(lineage, side, side, width))
    lines += (drawn.line for drawn in parts(lineage, width))
    lines += _legend(lineage)
    for sentence in lineage.missing:
        lines.append([Span("missing   ", "bold"), span(sentence, "warn")])
    return [fitted(line, width) for line in lines]


def mermaid(lineage: Lineage) -> Iterator[str]:
    """Lines of a Mermaid flowchart, from what comes first to what comes of it."""
    yield "flowchart LR"
    names = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    for node in lineage.nodes:
        before, after = _MERMAID_SHAPES[node.id.kind]
        text = "#10;".join(_for_mermaid(part) for part in _label(node) if part)
        mark = ":::bad" if _is_bad(node.facts) else ":::asked" if node.id in lineage.roots else ""
        yield f'    {names[node.id]}{before}"{text}"{after}{mark}'.replace("#10;", "<br/>")
    for edge in lineage.edges:
        arrow = "-.->" if _is_weak(lineage, edge) else "-->"
        yield f"    {names[edge.source]} {arrow} {names[edge.target]}"
    yield "    classDef asked stroke-width:3px"
    yield "    classDef bad stroke:#c00,stroke-width:3px"


def dot(lineage: Lineage) -> Iterator[str]:
    """Lines of a Graphviz graph, from what comes first to what comes of it."""
    yield "digraph lineage {"
    yield "    rankdir=LR; node [fontname=Helvetica];"
    names = {node.id: f"n{number}" for number, node in enumerate(lineage.nodes)}
    for node in lineage.nodes:
        text = "\\n".join(_for_dot(part) for part in _label(node) if part)
        style = ", color=red" if _is_bad(node.facts) else ""
        style += ", penwidth=3" if node.id in lineage.roots else ""
        shape = _DOT_SHAPES[node.id.kind]
        yield f'    {names[node.id]} [label="{text}", shape={shape}{style}];'
    for edge in lineage.edges:
        style = " [style=dashed]" if _is_weak(lineage, edge) else ""
        yield f"    {names[edge.source]} -> {names[edge.target]}{style};"
    yield "}"


_MERMAID_SHAPES: dict[Kind, tuple[str, str]] = {
    "dataset": ("[(", ")]"),
    "version": ("[(", ")]"),
    "column": ("([", "])"),
    "job": ("[[", "]]"),
    "run": ("{{", "}}"),
    "feature": (">", "]"),
}
_DOT_SHAPES: dict[Kind, str] = {
    "dataset": "cylinder",
    "version": "cylinder",
    "column": "ellipse",
    "job": "box",
    "run": "hexagon",
    "feature": "note",
}


def head(lineage: Lineage, width: int) -> Iterator[Line]:
    """What was asked for, and as of when."""
    facts = {node.id: node for node in lineage.nodes}
    for root in lineage.roots[:8]:
        yield _said(facts[root], width, [], "bold")
        for line in _under(facts[root]):
            yield [Span("  "), *line]
    if len(lineage.roots) > 8:
        yield [Span(f"and {len(lineage.roots) - 8} more like it", "dim")]
    times = []
    if lineage.as_of is not None:
        times.append(f"as of {time_words(lineage.as_of)}")
    if lineage.known_by is not None:
        times.append(f"known by {time_words(lineage.known_by)}")
    if lineage.all_time:
        times.append("everything that was ever declared")
    if times:
        yield [span(" · ".join(times), "dim")]


def tree(lineage: Lineage, side: Side, title: str, width: int) -> Iterator[Drawn]:
    """One side as a tree, under a title that counts its nodes."""
    nodes = {node.id: node for node in lineage.nodes}
    reached = {node.id: getattr(node, side) for node in lineage.nodes}
    next_to: dict[Id, list[tuple[Id, Edge]]] = {}
    for edge in lineage.edges:
        near, far = edge.source, edge.target
        if side == "upstream":
            near, far = far, near
        ends = [(near, far), (far, near)] if lineage.direction == "connected" else [(near, far)]
        for a, b in ends:
            if edge.level != "part" and reached[a] is not None and reached[b] is not None:
                next_to.setdefault(a, []).append((b, edge))
    for items in next_to.values():
        items.sort(key=lambda item: item[0])
    counts: dict[str, int] = {}
    for node in lineage.nodes:
        if reached[node.id] is not None and node.id not in lineage.roots:
            counts[node.id.kind] = counts.get(node.id.kind, 0) + 1
    said = ", ".join(f"{n:,} {kind}{'s' if n != 1 else ''}" for kind, n in sorted(counts.items()))
    yield Drawn([])
    yield Drawn([Span(title, "bold"), Span(f" · {said or 'nothing'}", "dim")])
    drawn = _Drawing(lineage, nodes, next_to, _parents(lineage, next_to), width)
    shown = len(drawn.shown)
    for number, line in enumerate(drawn.lines(), 1):
        if number > _LINES_MAX:
            rest = sum(distance is not None for distance in reached.values()) - shown
            words = f"  … and {rest:,} more: --depth says how far, --json gives all"
            yield Drawn([Span(words, "warn")])
            return
        shown = len(drawn.shown)
        yield line


def _parents(lineage: Lineage, next_to: Mapping[Id, list[tuple[Id, Edge]]]) -> dict[Id, Id]:
    """Under which neighbour each node is drawn: the first that leads to it on a shortest way."""
    parents: dict[Id, Id] = {}
    seen = set(lineage.roots)
    level = list(lineage.roots)
    while level:
        new: list[Id] = []
        for node in level:
            for far, _ in next_to.get(node, ()):
                if far not in seen:
                    seen.add(far)
                    parents[far] = node
                    new.append(far)
        level = new
    return parents


class _Drawing:
    """One side's tree. Every node is drawn once; where it comes again, only its name is."""

    def __init__(
        self,
        lineage: Lineage,
        nodes: Mapping[Id, Node],
        next_to: Mapping[Id, list[tuple[Id, Edge]]],
        parents: Mapping[Id, Id],
        width: int,
    ) -> None:
        self._lineage = lineage
        self._nodes = nodes
        self._next_to = next_to
        self._parents = parents
        self._width = width
        self.shown: set[Id] = set(lineage.roots)

    def lines(self) -> Iterator[Drawn]:
        """The tree, one line a node; as deep as it is, so without recursion."""
        many = len(self._lineage.roots) > 1
        for root in self._lineage.roots:
            branches = self._branches(root)
            if many and branches:
                yield Drawn([Span("  "), *_named(root, self._width - 2)], root)
            # Each entry is what is yet to draw below one node, and the margin for it.
            stack = [(root, iter(branches), "  ", frozenset([root]))]
            while stack:
                near, items, margin, path = stack[-1]
                item = next(items, None)
                if item is None:
                    stack.pop()
                    continue
                (far, edge), last = item
                corner, below = ("└─ ", "   ") if last else ("├─ ", "│  ")
                lead = Span(margin + corner, "dim")
                if far in path:
                    name = _named(far, self._width - len(lead.text) - 9)
                    yield Drawn([lead, *name, _CYCLE], far)
                    continue
                if self._parents.get(far) != near or far in self.shown:
                    mark = _ABOVE if far in self.shown else _BELOW
                    name = _named(far, self._width - len(lead.text) - 9)
                    yield Drawn([lead, *name, mark], far)
                    continue
                self.shown.add(far)
                node = self._nodes[far]
                words = _edge_words(self._lineage, edge)
                aside = words if edge.level == "column" else []
                beside = [] if aside else words
                yield Drawn([lead, *_said(node, self._width - len(lead.text), beside)], far)
                for line in ([_parted(aside)] if aside else []) + list(_under(node)):
                    yield Drawn([Span(f"{margin}{below}  ", "dim"), *line])
                if node.beyond:
                    words_ = f"… {node.beyond:,} more beyond depth {self._lineage.depth}"
                    yield Drawn([Span(f"{margin}{below}", "dim"), Span(words_, "dim")])
                stack.append((far, iter(self._branches(far)), margin + below, path | {far}))

    def _branches(self, node: Id) -> list[tuple[tuple[Id, Edge], bool]]:
        back = self._parents.get(node)
        connected = self._lineage.direction == "connected"
        found = [
            item for item in self._next_to.get(node, ()) if not (connected and item[0] == back)
        ]
        return [(item, number == len(found)) for number, item in enumerate(found, 1)]


_CYCLE = Span("  ↻ cycle", "warn")
_ABOVE = Span("  ↑ above", "dim")
_BELOW = Span("  ↓ below", "dim")


def _named(node: Id, room: int, style: Any = "") -> Line:
    kind = "" if node.kind == "dataset" else f"{node.kind} "
    text = safe_text(node.text.partition(":")[2])
    if node.kind != "run":
        return [Span(kind, "dim"), Span(_cut(text, max(room - len(kind), _NAME_MIN)), style)]
    job = safe_text(f"{node.namespace}/{node.name}")
    room = max(room - len(kind) - len(text) - 4, _NAME_MIN)  # ids are there to be copied
    return [Span(kind, "dim"), Span(text, style), Span(" of ", "dim"), Span(_cut(job, room))]


def _said(node: Node, room: int, words: list[Span], style: Any = "") -> Line:
    """A node with what is known of it, its name cut in the middle where there is no room."""
    facts = [] if node.id.kind == "run" else _facts(node)  # beside an id there is no room
    tail = _parted([Span(""), *facts, *words])[1:]
    return [*_named(node.id, room - len(plain(tail)), style), *tail]


def _parted(words: list[Span]) -> Line:
    line: Line = []
    for number, part in enumerate(words):
        line += [Span(" · ", "dim"), part] if number else [part]
    return line


def _facts(node: Node) -> Iterator[Span]:
    facts = node.facts
    run = facts.get("last_run", facts)
    if facts.get("code_version"):
        yield span(f"code {facts['code_version']}", "dim", limit=5 + _DIGEST_SHOWN)
    if run.get("state"):
        style: Any = "bad" if run["state"] in ("FAIL", "ABORT") else "dim"
        yield span(f"{run['state']} {run['last_event_at']:%Y-%m-%d %H:%M}", style)
    if facts.get("declared_at"):
        yield Span(f"declared {facts['declared_at']:%Y-%m-%d %H:%M}", "dim")
    if facts.get("version_name") or facts.get("version"):
        yield span(f"version {facts.get('version_name') or facts['version']}", "dim", limit=40)


def _under(node: Node) -> Iterator[Line]:
    """What is worth a line of its own: other names, tests that failed, why a run did."""
    facts = node.facts
    if node.id.kind == "run" and facts:
        yield _parted(list(_facts(node)))
    for other in facts.get("also", ())[:3]:
        yield [Span("also ", "dim"), span(f"{other['namespace']}/{other['name']}", "dim")]
    for test in facts.get("failed_assertions", ())[:3]:
        of = f" of {test['column']}" if test["column"] else ""
        yield [
            Span("✗ ", "bad"),
            span(f"{test['assertion']}{of} failed {test['at']:%Y-%m-%d %H:%M}", "bad"),
        ]
    more = len(facts.get("failed_assertions", ())) - 3
    if more > 0:
        yield [Span("✗ ", "bad"), Span(f"and {more} more failed", "bad")]
    error = facts.get("last_run", facts).get("error")
    if error:
        yield [Span("✗ ", "bad"), span(str(error).splitlines()[0], "bad", limit=200)]


def _edge_words(lineage: Lineage, edge: Edge) -> list[Span]:
    words: list[Span] = []
    if edge.level == "column":
        if edge.transformations:
            words.append(span(", ".join(edge.transformations), "dim", limit=40))
        if edge.job is not None:
            words.append(span(f"by {edge.job[0]}/{edge.job[1]}", "dim", limit=60))
            facts = lineage.jobs.get(edge.job, {})
            words += _facts(Node(Id("job", *edge.job), 0, 0, 0, facts))
    elif edge.evidence == "inferred":
        words.append(Span("inferred", "dim"))
    elif edge.level == "dataset" and "column" in (edge.source.kind, edge.target.kind):
        words.append(Span("dataset only", "dim"))
    if not edge.current and edge.last_us is not None:
        words.append(Span("no longer", "warn"))
    return words


def parts(lineage: Lineage, width: int) -> Iterator[Drawn]:
    """Runs that are part of each other, beside what they read and wrote."""
    found = [edge for edge in lineage.edges if edge.level == "part"]
    if not found:
        return
    nodes = {node.id: node for node in lineage.nodes}
    yield Drawn([])
    yield Drawn([Span("parts", "bold"), Span(f" · {len(found):,}", "dim")])
    below: dict[Id, list[Id]] = {}
    for edge in found:
        below.setdefault(edge.source, []).append(edge.target)
    inner = {edge.target for edge in found}
    stack = [(top, 1) for top in sorted(below.keys() - inner, reverse=True)]
    drawn: set[Id] = set()
    while stack:
        node, depth = stack.pop()
        margin = "  " * depth
        yield Drawn([Span(margin), *_said(nodes[node], width - len(margin), [])], node)
        for line in _under(nodes[node]):
            yield Drawn([Span(f"{margin}  "), *line])
        if node not in drawn:
            stack += [(part, depth + 1) for part in reversed(below.get(node, ()))]
        drawn.add(node)


def _legend(lineage: Lineage) -> Iterator[Line]:
    columns = sum(edge.level == "column" for edge in lineage.edges)
    if not _walks_columns(lineage):
        return
    whole = sum(edge.level == "dataset" for edge in lineage.edges)
    yield []
    text = f"{columns:,} edge{'s' if columns != 1 else ''} between columns, {whole:,} of datasets"
    yield [Span(text + (" only, where a job says nothing of columns" if whole else ""), "dim")]


def _walks_columns(lineage: Lineage) -> bool:
    return any(root.kind in ("column", "feature") for root in lineage.roots)


def _is_weak(lineage: Lineage, edge: Edge) -> bool:
    return edge.evidence == "inferred" or (edge.level == "dataset" and _walks_columns(lineage))


def _is_bad(facts: Mapping[str, Any]) -> bool:
    state = facts.get("last_run", facts).get("state")
    return bool(facts.get("failed_assertions")) or state in ("FAIL", "ABORT")


def _label(node: Node) -> list[str]:
    text = node.id.text.partition(":")[2]
    parts = [f"{node.id.kind} {text}"]
    if node.id.kind == "run":
        parts.append(f"{node.id.namespace}/{node.id.name}")
    parts.append(" · ".join(part.text for part in _facts(node)))
    parts += [plain(line) for line in _under(node) if line[0].style == "bad"]
    return parts


def _cut(text: str, room: int) -> str:
    """``text`` with its middle left out where it is too long: both ends tell names apart."""
    if len(text) <= room:
        return text
    front = (room - 1) // 3
    return text[:front] + "…" + text[len(text) - (room - 1 - front) :]


def _for_mermaid(text: str) -> str:
    """Text for a quoted label: whatever could mean something there is an entity."""
    return "".join(c if c.isalnum() or c in " _./:-=+," else f"#{ord(c)};" for c in safe_text(text))


def _for_dot(text: str) -> str:
    return safe_text(text).replace("\\", "\\\\").replace('"', '\\"')


#: The forms beside JSON, by the name of their option.
FORMS: dict[str, Callable[[Lineage], Iterator[str]]] = {"mermaid": mermaid, "dot": dot}
