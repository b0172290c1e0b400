"""What each tab of a decision says, as lines of a width. Where a fact has to wait, it says so."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from typing import Any

from forensics.reconstruct.contract import to_dict
from forensics.reconstruct.reconstruction import Reconstruction
from forensics.records.replay import Attribution
from forensics.records.safe_text import safe_text
from forensics.report import pieces, text
from forensics.report.spans import Line, Span, Style, fitted, span, wrapped
from forensics.report.words import age_words, number_words, time_words, value_words


def summary(r: Reconstruction, width: int) -> list[Line]:
    """What ``forensics trace`` prints."""
    return text.screen(r, width)


def features(r: Reconstruction, width: int) -> list[Line]:
    """What ``forensics trace --features`` adds."""
    return text.features(r, width) or [[Span("no feature was recorded", "dim")]]


def why(r: Reconstruction, width: int) -> list[Line]:
    """The attribution as a waterfall: from the base value, feature by feature, to the score."""
    found = r.attribution
    if found is None:
        return [[Span("why", "bold"), span(f" · missing: {r.attribution_reason}", "dim")]]
    head = next(pieces.attribution(found, {}, width))
    lines = [fitted(head, width), *_waterfall(found, r.decision.features, width), []]
    return lines + list(pieces.method(found, width))


def _waterfall(found: Attribution, values: Any, width: int) -> Iterator[Line]:
    names = max((len(span(name, limit=28).text) for name in found.values), default=8)
    room = max(width - names - 28, 10)
    total = found.base_value
    turning = [found.base_value]
    for value in found.values.values():
        total += value
        turning.append(total)
    if found.threshold_value is not None:
        turning.append(found.threshold_value)
    low, high = min(turning), max(turning)
    scale = (room - 1) / ((high - low) or 1.0)

    def place(value: float) -> int:
        return round((value - low) * scale)

    threshold = place(found.threshold_value) if found.threshold_value is not None else None

    def line(name: str, shown: str, value: float, start: float, end: float, style: Style) -> Line:
        left, right = sorted((place(start), place(end)))
        fill = "█" if end >= start else "░"  # told apart without colour too
        track = [" "] * left + [fill] * max(right - left, 1)
        track += [" "] * (room - len(track))
        if threshold is not None and track[threshold] == " ":
            track[threshold] = "│"
        label = span(name, limit=28).text.ljust(names)
        return [
            Span(f"  {label}  "),
            Span(span(shown, limit=10).text.rjust(10), "dim"),
            Span(f"  {value:+9.3f} "),
            Span("".join(track).rstrip(), style),
        ]

    base = found.base_value
    yield line("base value", "", base, base, base, "dim")
    reached = base
    for name, value in found.values.items():
        shown = value_words(values[name]) if name in values else ""
        yield line(name, shown, value, reached, reached + value, "bad" if value > 0 else "good")
        reached += value
    yield line("together", "", reached, reached, reached, "bold")
    if found.threshold_value is not None:
        at = found.threshold_value
        yield line("threshold │", "", at, at, at, "accent")


def what_if(r: Reconstruction, width: int) -> list[Line]:
    """What would have changed the decision."""
    lines = list(pieces.changes(r.search, r.search_reason, width))
    if not lines:
        return [[Span("what would have changed it", "bold"), Span(" · not searched", "dim")]]
    named = shlex.quote(safe_text(r.decision.request_id))
    more = (f"forensics whatif {named} --{how}" for how in ("find", "set NAME=VALUE"))
    return [*lines, [], *([span(f"more: {one}", "dim")] for one in more)]


def steps(r: Reconstruction, width: int) -> list[Line]:
    """The components' parts as a waterfall of spans, each with what it took and gave."""
    found = to_dict(r)["steps"]
    if not found:
        return [[Span("steps", "bold"), Span(" · missing: none was recorded", "dim")]]
    ends = [s["offset_ms"] + (s["duration_ms"] or 0) for s in found if s["offset_ms"] is not None]
    total = max(ends, default=0.0)
    lines: list[Line] = [
        [Span("steps", "bold"), span(f" · {total:.1f} ms" if total else "", "dim")]
    ]
    names = max(len(_step_name(step)) for step in found)
    room = max(width - names - 30, 8)
    for step in found:
        offset, duration = step["offset_ms"], step["duration_ms"]
        times = f"{offset:8.1f} +{duration or 0:.1f} ms" if offset is not None else "no time"
        track = ""
        if total and offset is not None:
            start = int(offset / total * (room - 1))
            length = max(1, round((duration or 0) / total * room))
            track = " " * start + "█" * min(length, room - start)
        lines.append(
            [
                Span(f"  {_step_name(step):<{names}}  "),
                Span(f"{times:<20}  ", "dim"),
                Span(track, "bad" if step.get("error") else "accent"),
            ]
        )
        for words in _step_facts(step):
            lines += [[Span("      " + part, "dim")] for part in wrapped(words, width - 6)]
    return [fitted(line, width) for line in lines]


def _step_name(step: dict[str, Any]) -> str:
    return span(step.get("kind") or step.get("id") or "step", limit=24).text


def _step_facts(step: dict[str, Any]) -> Iterator[str]:
    component = " ".join(str(step[key]) for key in ("component", "version") if step.get(key))
    if component:
        yield span(component).text
    for name in ("inputs", "outputs"):
        value = step.get(name)
        if isinstance(value, dict) and value:
            facts = ", ".join(f"{key} {value_words(item)}" for key, item in value.items())
            yield f"{name}: {span(facts, limit=2_000).text}"
        elif value:
            yield f"{name}: {span(value_words(value), limit=2_000).text}"
    if step.get("error"):
        yield f"error: {span(step['error']).text}"


def changes(r: Reconstruction, width: int) -> list[Line]:
    """What became different before the decision, newest first."""
    if not r.changes:
        return [[Span("no change before this decision is known", "dim")]]
    lines: list[Line] = [[Span("changed before this decision", "bold")]]
    for change in r.changes:
        age = age_words(r.decision.occurred_at - change.occurred_at)
        lines.append([Span(f"  {age:>8}  "), span(change.step, "bold"), span(f" · {change.kind}")])
        facts = [time_words(change.occurred_at), change.evidence]
        fed = [name for name in change.features if name in r.decision.features]
        if fed:
            facts.append(f"feeds {', '.join(fed)}")
        facts += [f"by {change.actor}"] if change.actor else []
        facts += [change.reason] if change.reason else []
        for part in wrapped(span(" · ".join(facts)).text, width - 12):
            lines.append([Span(" " * 12 + part, "dim")])
    return [fitted(line, width) for line in lines]


def gaps(r: Reconstruction, width: int) -> list[Line]:
    """What the evidence is good for, and what is missing of it."""
    completeness = r.completeness
    reached = {
        "none": "what happened cannot be reproduced from what was recorded",
        "C0": "what happened can be reproduced",
        "C1": "also what a stricter rule would have done",
        "C2": "also what a looser rule would have done",
    }[completeness.class_]
    lines: list[Line] = [
        [Span("evidence  ", "bold"), span(f"class {completeness.class_}: {reached}")],
        [],
    ]
    missing = [(field, reason) for field, reason in completeness.missing]
    missing += [
        (f"feature {f.name}", f.reason or "missing") for f in r.features if f.evidence != "recorded"
    ]
    lines.append([Span("missing" if missing else "nothing is missing", "bold")])
    for field, reason in missing:
        for number, part in enumerate(wrapped(span(f"{field}: {reason}").text, width - 4)):
            lines.append([Span("  ? " if number == 0 else "    ", "warn"), Span(part)])
    unknown = [f for f in r.findings if f.severity == "not_checkable"]
    if unknown:
        lines += [[], [Span("could not be checked", "bold")]]
        for finding in unknown:
            lines += pieces.marked("?", "dim", finding.statement, width)
    integrity = r.integrity
    state = {True: "received bytes match", False: "not what was sealed", None: "not checked"}
    proof = f"segment {(integrity.segment or '—')[:8]}, leaf {integrity.leaf_index}"
    words = f"{proof}: {integrity.reason or state[integrity.verified]}"
    style: Style = "bad" if integrity.verified is False else ""
    return [*lines, [], [Span("proof     ", "bold"), span(words, style)]]


def waiting(seconds: float) -> list[Line]:
    """Said while the decision is being replayed."""
    return [[Span("replaying", "bold"), Span(f" · {number_words(round(seconds, 1))} s", "dim")]]
