"""Lineage of a node as items that one can walk to, and what is known of a node or a feature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, NamedTuple

from forensics.lineage.nodes import Edge, Id, Lineage, Node
from forensics.reconstruct.reconstruction import Feature, Reconstruction
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros
from forensics.report.lineage import Drawn, Side, head, parts, tree
from forensics.report.spans import Line, Span, fitted, span, wrapped
from forensics.report.words import age_words, number_words, time_words, value_words
from forensics_tui.facts import flowed
from forensics_tui.widgets.outline import Item

_EDGES_MAX = 12
_WIDTH_LEAST = 60


class At(NamedTuple):
    """A node where it is drawn: on a side, or at the root."""

    side: str
    node: Id


def namespace_of(node: Id) -> str | None:
    """A node's namespace where its text does not tell it from the name, None elsewhere."""
    named = node.kind in ("dataset", "job", "column", "version") and node.namespace
    return node.namespace if named and ("/" in node.namespace or "/" in node.name) else None


def items_of(found: Lineage, width: int) -> Iterator[Item]:
    """The root, then what is upstream and downstream of it."""
    width = max(width, _WIDTH_LEAST)
    roots = iter(found.roots[:8])
    for line in head(found, width):
        if line and line[0].text.startswith(" "):
            yield Item(line)
            continue
        root = next(roots, None)
        if root is not None:
            yield Item(line, At("root", root))
    sides: list[tuple[str, Iterator[Drawn]]] = []
    both: tuple[Side, ...] = ("upstream", "downstream")
    for side in both:
        if found.direction in (side, "both"):
            sides.append((side, tree(found, side, side, width)))
    sides.append(("parts", parts(found, width)))
    for name, drawn in sides:
        for line, node in drawn:
            yield Item(fitted(line, width), At(name, node) if node is not None else None)
    for sentence in found.missing:
        for part in wrapped(span(f"missing: {sentence}").text, width):
            yield Item([Span(part, "warn")])


def statement(node: Node, of: str, text: str) -> str:
    """Where a node lies in the lineage of something, and what is known of it, on one line."""
    sides = [
        f"{number} job{'s' if number != 1 else ''} {side}"
        for side, number in (("upstream", node.upstream), ("downstream", node.downstream))
        if number is not None
    ]
    if node.upstream == node.downstream == 0:
        sides = ["itself"]
    run = node.facts.get("last_run", node.facts)
    words = f"{text} is {' and '.join(sides) or 'a part'} of {of}"
    words += f", code {node.facts['code_version']}" if node.facts.get("code_version") else ""
    return words + (
        f", {run['state']} {time_words(run['last_event_at'])}" if run.get("state") else ""
    )


def of_node(found: Lineage, at: At, width: int) -> Iterator[Line]:
    """All that is known of a node, and the edges that lead to it and from it."""
    node = next((one for one in found.nodes if one.id == at.node), None)
    if node is None:
        return
    yield [Span(f"{node.id.kind} ", "dim"), span(node.id.part or node.id.name, "bold")]
    named = {"namespace": node.id.namespace, "name": node.id.name}
    yield from _pairs(named if node.id.part else {"namespace": node.id.namespace}, width)
    distances = {"upstream": node.upstream, "downstream": node.downstream}
    words = [f"{n} job{'s' if n != 1 else ''} {side}" for side, n in distances.items() if n]
    words += [f"{count_of(node.beyond, 'neighbour')} beyond this depth"] if node.beyond else []
    for part in wrapped(", ".join(words), width) if words else ():
        yield [Span(part, "dim")]
    yield from _pairs(node.facts, width)
    edges = [edge for edge in found.edges if node.id in (edge.source, edge.target)]
    for edge in edges[:_EDGES_MAX]:
        yield from _of_edge(edge, node.id, found, width)
    if len(edges) > _EDGES_MAX:
        yield [Span(f"and {len(edges) - _EDGES_MAX:,} more edges", "dim")]


def _of_edge(edge: Edge, node: Id, found: Lineage, width: int) -> Iterator[Line]:
    arrow, other = ("→", edge.target) if edge.source == node else ("←", edge.source)
    for number, part in enumerate(flowed(other.text, width - 2)):
        yield [Span(f"{arrow} " if number == 0 else "  ", "accent"), Span(part)]
    told = [edge.level, *edge.transformations]
    told += ["inferred"] if edge.evidence == "inferred" else []
    told += ["no longer"] if not edge.current and edge.last_us is not None else []
    if edge.job is not None and edge.level == "column":
        told.append(f"by {'/'.join(edge.job)}")
        code = found.jobs.get(edge.job, {}).get("code_version")
        told += [f"code {code}"] if code else []
    told += [f"run {edge.run_id}"] if edge.run_id and edge.level != "run" else []
    told += [f"{from_micros(edge.last_us):%Y-%m-%d %H:%M:%S}"] if edge.last_us is not None else []
    for part in flowed(" · ".join(told), width - 2):
        yield [Span("  "), Span(part, "dim")]


def of_feature(item: Feature, kind: str, traced: Reconstruction, width: int) -> Iterator[Line]:
    """A feature's value, what was usual, and the run that wrote it."""
    origin = item.origin
    if kind == "feature":
        yield [Span("feature ", "dim"), span(item.name, "bold"), span(f" · {item.type}", "dim")]
        facts: dict[str, Any] = {"value": item.value, "evidence": item.evidence}
        if item.usual is not None:
            low, high = number_words(item.usual.q01), number_words(item.usual.q99)
            facts["usual"] = f"{number_words(item.usual.median)} ({low} to {high})"
        facts |= {"column": origin.column if origin else None, "because": item.reason}
        yield from _pairs(facts, width)
    if origin is None:
        return
    yield from _pairs({"dataset": origin.dataset, "status": origin.status}, width)
    if item.age_s is not None:
        yield from _pairs({"age": age_words(item.age_s)}, width)
    run = origin.run
    if run is None:
        yield from _pairs({"run": origin.run_id, "because": origin.reason}, width)
        return
    before = origin.previous
    changes = [c for c in traced.changes if c.run_id == run.run_id]
    yield from _pairs(
        {
            "run": run.run_id,
            "job": run.job,
            "code": run.code_version,
            "code before": before.code_version if before is not None else None,
            "state": run.state,
            "started": run.started_at,
            "ended": run.ended_at,
            "part of": f"{run.parent.job_name} run {run.parent.run_id}" if run.parent else None,
            "error": run.error,
            "doubt": origin.doubt,
            "known as": f"{origin.evidence}: {origin.reason}" if origin.reason else origin.evidence,
            "rows read": sum(one.rows or 0 for one in run.inputs) or None,
            "change": changes[0].statement if changes else None,
        },
        width,
    )


def _pairs(facts: Mapping[str, Any], width: int) -> Iterator[Line]:
    """Names with values, of which those of mappings stand below."""
    for name, value in facts.items():
        if value is None or value in ("", [], ()):
            continue
        label = safe_text(str(name).replace("_", " "), 24)
        if isinstance(value, Mapping):
            yield [Span(label, "dim")]
            for line in _pairs(value, width - 2):
                yield [Span("  "), *line]
        elif isinstance(value, list | tuple) and value and isinstance(value[0], Mapping):
            for one in value:
                yield from _pairs({label: one}, width)
        else:
            shown = flowed(value_words(value), max(width - 14, 10))
            for number, part in enumerate(shown):
                yield [Span(f"{label if number == 0 else '':<13} ", "dim"), Span(part)]
