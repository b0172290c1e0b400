"""The state at a time, and the difference of two decisions, on a terminal."""

from __future__ import annotations

import math

from forensics.reconstruct.as_of import State
from forensics.reconstruct.diff import Diff
from forensics.records.jsontext import dumps
from forensics.report.spans import Line, Span, fitted, span
from forensics.report.text import table
from forensics.report.words import age_words, number_words, short_digest, time_words, value_words

_CHANGES_SHOWN = 8


def screen(state: State, width: int) -> list[Line]:
    """What was live, then what had been announced."""
    lines: list[Line] = [[Span("as of ", "dim"), span(time_words(state.time), "bold")]]
    point = None
    rows: list[tuple[str, ...]] = []
    narrow = width < 110  # what replaced what, and since when, is worth more than a digest
    head: tuple[str, ...] = ("environment", "what", "version", "digest")
    head = (*(head[:3] if narrow else head), "share", "since", "replaced")
    for live in [*state.live, None]:
        if live is None or live.decision_point != point:
            if rows:
                lines += [[], [span(point, "bold")], *table([head, *rows], width)]
            rows = []
            if live is None:
                break
            point = live.decision_point
        digest = () if narrow else (short_digest(live.digest),)
        age = "" if narrow else f" ({age_words(state.time - live.since)})"
        rows.append(
            (
                live.environment,
                f"{live.kind} {live.name}" if live.name else live.kind,
                live.version or "",
                *digest,
                f"{live.share:.0%}",
                f"{live.since:%Y-%m-%d %H:%M}{age}",
                live.replaced_version or short_digest(live.replaced_digest),
            )
        )
    if state.changes:
        lines += [[], [Span("announced before", "bold")]]
        for change in state.changes[:_CHANGES_SHOWN]:
            age = age_words(state.time - change.occurred_at)
            where = f" · {change.environment}" if change.environment else ""
            line = [Span(f"  {age:>8}  ", "dim"), span(change.statement), span(where, "dim")]
            lines.append(fitted(line, width))
    return lines


def difference(diff: Diff, width: int) -> list[Line]:
    """Two decisions side by side: only what differs, by section."""
    a, b = diff.a, diff.b
    rows: list[tuple[str, ...]] = [("", a.request_id, b.request_id)]
    rows.append(("time", time_words(a.occurred_at), time_words(b.occurred_at)))
    rows.append(("outcome", a.outcome, b.outcome))
    lines = table(rows, width)
    section = None
    group: list[tuple[str, ...]] = []
    for item in [*diff.differences, None]:
        if item is None or item.section != section:
            if group:
                same = diff.same.get(section or "", 0)
                title = [span(section, "bold"), Span(f" · {same} more are the same", "dim")]
                lines += [[], title, *table([("", "a", "b", ""), *group], width)]
            group = []
            if item is None:
                break
            section = item.section
        near = item.distance if item.distance and math.isfinite(item.distance) else None
        apart = f"{number_words(near, 2)} × usual spread" if near else ""
        left, right = _shown(item.a, item.a_evidence), _shown(item.b, item.b_evidence)
        if left == right:  # they differ in more digits than a person is usually shown
            left, right = dumps(item.a), dumps(item.b)
        group.append((item.name, left, right, apart))
    if not diff.differences:
        lines += [[], [Span("Nothing that was recorded differs.")]]
    return lines


def _shown(value: object, evidence: str) -> str:
    return "not recorded" if evidence == "missing" else value_words(value)
