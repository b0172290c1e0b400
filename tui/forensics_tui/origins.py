"""Where a decision's features came from: dataset, the run that wrote it, what that had read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from forensics.lineage.provenance import Origin
from forensics.reconstruct.reconstruction import Feature, Reconstruction
from forensics.records.safe_text import safe_text
from forensics.report.cells import cells, padded
from forensics.report.spans import Line, Span, fitted, span
from forensics.report.words import age_words, number_words, time_words, value_words

_NAME_MAX = 40


class Step(NamedTuple):
    """One line, and where it leads: names to ask lineage for, the first that it knows.

    ``kind`` is decision, dataset, run, input or feature; ``name`` tells those of a kind apart.
    ``feature`` is the place of a feature among the decision's, of a dataset's or a run's first.
    """

    kind: str
    name: str
    line: Line
    asked: tuple[str, ...] = ()
    feature: int = 0


def steps(r: Reconstruction, width: int) -> Iterator[Step]:
    """The decision, and below it its features by the dataset and run that they came from."""
    groups: dict[tuple[str, str], list[tuple[int, Feature]]] = {}
    for at, item in enumerate(r.features):
        origin = item.origin or Origin()
        dataset = origin.dataset or item.source or ""
        run = origin.run_id or (origin.run.run_id if origin.run is not None else "")
        groups.setdefault((dataset, run), []).append((at, item))
    decision = r.decision
    words = f" · {decision.decision_point} · {time_words(decision.occurred_at)}"
    line: Line = [span(decision.request_id, "bold"), Span(" "), span(decision.outcome, "bold")]
    yield Step("decision", "", fitted([*line, span(words, "dim")], width))
    for number, ((dataset, run), items) in enumerate(groups.items(), 1):
        is_last = number == len(groups)
        yield from _group(r, f"{dataset} {run}", dataset, items, width, is_last=is_last)
    if not groups:
        yield Step("none", "", [Span("  no feature was recorded", "dim")])


def lines(r: Reconstruction, width: int) -> list[Line]:
    """The same as lines, and how to go on from there."""
    found = [step.line for step in steps(r, width)]
    return [*found, [], [Span("L walks on from here, upstream and downstream", "dim")]]


def _group(
    r: Reconstruction,
    name: str,
    dataset: str,
    items: list[tuple[int, Feature]],
    width: int,
    *,
    is_last: bool,
) -> Iterator[Step]:
    first, feature = items[0]
    origin = feature.origin or Origin()
    corner, below = ("└─ ", "   ") if is_last else ("├─ ", "│  ")
    facts = [origin.status] if origin.status else []
    facts += [f"{age_words(feature.age_s)} old"] if feature.age_s is not None else []
    line: Line = [Span(corner, "dim")]
    if dataset:
        line += [Span("dataset ", "dim"), span(dataset)]
    else:
        line += [Span("no source recorded", "warn")]
    line.append(span("".join(f" · {fact}" for fact in facts), "dim"))
    asked = (f"dataset:{dataset}",) if origin.dataset else ()
    yield Step("dataset" if asked else "source", name, fitted(line, width), asked, first)
    yield from _run(name, origin, below, width, first)
    names = max(cells(safe_text(item.name, _NAME_MAX)) for _, item in items)
    for number, (at, item) in enumerate(items, 1):
        lead = f"{below}{'└─' if number == len(items) else '├─'} "
        yield Step(
            "feature",
            item.name,
            fitted([Span(lead, "dim"), *_feature(item, names)], width),
            _names(r, item),
            at,
        )


def _run(name: str, origin: Origin, below: str, width: int, first: int) -> Iterator[Step]:
    """The run that wrote the dataset, and what it had read; or why none is known."""
    run = origin.run
    lead = Span(f"{below}│  ", "dim")
    if run is None:
        why = origin.reason or "no run is known"
        words = f"run {origin.run_id}: {why}" if origin.run_id else why
        yield Step("source", f"{name} run", fitted([lead, span(words, "warn")], width))
        return
    code, before = run.code_version or "", origin.previous
    if before is not None and before.code_version and before.code_version != code:
        code = f"{before.code_version} → {code}"
    facts = [f"code {code}"] if code else []
    facts += [f"{run.ended_at:%Y-%m-%d %H:%M:%S} {run.state}"] if run.ended_at else []
    facts += [origin.evidence] if origin.evidence != "recorded" else []
    line: Line = [lead, Span("run ", "dim"), span(run.run_id[:8])]
    line += [span("".join(f" · {fact}" for fact in facts)), Span(" of ", "dim"), span(run.job)]
    yield Step("run", name, fitted(line, width), (f"run:{run.run_id}",), first)
    if origin.doubt:
        yield Step("source", f"{name} doubt", fitted([lead, span(origin.doubt, "bad")], width))
    for test in origin.tests:
        if not test.success:
            of = f" of {test.column}" if test.column else ""
            words = f"✗ {test.assertion}{of} failed"
            data = f"{name} {test.assertion} {test.column}"
            yield Step("source", data, fitted([lead, span(words, "bad")], width))
    for read in run.inputs:
        line = [lead, Span("  read ", "dim"), span(read.text)]
        line += [span(f" · {number_words(read.rows)} rows", "dim")] if read.rows is not None else []
        yield Step("input", f"{name} {read.text}", fitted(line, width), (f"dataset:{read.text}",))


def _feature(item: Feature, names: int) -> Line:
    shown = value_words(item.value) if item.evidence == "recorded" else item.evidence
    line: Line = [
        Span(padded(span(item.name, limit=_NAME_MAX).text, names)),
        span(f"  {safe_text(shown, 24)}", "bold"),
    ]
    usual, value = item.usual, item.value
    if usual is None or isinstance(value, bool) or not isinstance(value, int | float):
        return line
    if usual.q01 <= value <= usual.q99:
        return line
    return [*line, Span(f" ! usually {number_words(usual.median)}", "warn")]


def _names(r: Reconstruction, item: Feature) -> tuple[str, ...]:
    """What lineage may know a feature as: itself, its column, its dataset."""
    origin = item.origin or Origin()
    names = [f"feature:{r.decision.decision_point}.{item.name}"]
    if origin.dataset:
        names += [f"column:{origin.dataset}#{origin.column}"] if origin.column else []
        names.append(f"dataset:{origin.dataset}")
    return tuple(names)
