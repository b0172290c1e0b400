"""The state at a time, and the difference of two decisions, on a terminal."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from datetime import datetime
from itertools import groupby

from forensics.reconstruct.changes.change import Change
from forensics.reconstruct.diff import Diff
from forensics.reconstruct.state import Live, Pipeline, State
from forensics.records.jsontext import dumps
from forensics.records.plural import count_of
from forensics.report.spans import Line, Span, fitted, span, wrapped
from forensics.report.text import table
from forensics.report.words import age_words, number_words, short_digest, time_words, value_words

_CHANGES_SHOWN = 8
_VALUES_SHOWN = 8
_WIDE = 110


#: Parts of a state that are marked.
Marked = Collection[object]


def screen(state: State, width: int, marked: Marked = (), *, headed: bool = True) -> list[Line]:
    """What was in force, then pipelines, flags and controls, overrides, and what came before.

    Args:
        state: what to show.
        width: columns there are.
        marked: parts of the state that get a sign in the margin.
        headed: with the time on top.
    """
    sections = [list(_head(state))] if headed else []
    for point, group in groupby(state.live, key=lambda live: live.decision_point):
        sections.append(list(_point(state, point, list(group), width, marked)))
    sections += [
        list(_pipelines(state, width, marked)),
        list(_controls(state, marked)),
        list(_overrides(state)),
        list(_changes(state, width, marked)),
    ]
    lines: list[Line] = []
    for section in sections:
        if section:
            lines += [[], *section] if lines else section
    return [fitted(line, width) for line in lines]


def _margin(thing: object, marked: Marked, width: int) -> Span:
    """What stands left of a line: a sign where it is marked."""
    if any(thing is one for one in marked):
        return Span("≠ ".rjust(width), "accent")
    return Span(" " * width)


def _head(state: State) -> Iterator[Line]:
    line: Line = [Span("as of ", "dim"), span(time_words(state.time), "bold")]
    if state.known_by is not None:
        line += [Span(" as known by ", "dim"), span(time_words(state.known_by), "bold")]
    yield line


def _point(
    state: State, point: str, lines: list[Live], width: int, marked: Marked
) -> Iterator[Line]:
    """A decision point, its environments one after another; what they have in common once."""
    yield [span(point, "bold")]
    first: list[Live] = []
    for environment, group in groupby(lines, key=lambda live: live.environment):
        here = list(group)
        common = {_key(live) for live in first} if first else set()
        shown = [live for live in here if _key(live) not in common]
        same = len(here) - len(shown)
        yield [Span("  "), span(environment, "bold"), *_traffic(here, width)]
        if shown:
            yield from _components(state, shown, width, marked)
        if same:
            yield [span(f"    {same} more as in {first[0].environment}", "dim")]
        first = first or here
    for ended in state.ended:
        if ended.decision_point == point:
            why = f", {ended.ended_by.statement}" if ended.ended_by else ""
            yield [
                Span("  "),
                span(ended.environment, "bold"),
                span(f"  ended; its last decision was at {_minute(ended.last_used)}{why}", "dim"),
            ]


def _key(live: Live) -> tuple[object, ...]:
    return (
        live.kind, live.name, live.version, live.digest, live.everywhere,
        live.status == "announced",
    )  # fmt: skip


def _traffic(here: list[Live], width: int) -> Line:
    """The environment's share of the traffic, and the span that it was counted over."""
    whole = max((live for live in here if live.span), key=_span_s, default=None)
    if whole is None or whole.span is None or not whole.share:
        last = max((live.last_used for live in here if live.last_used), default=None)
        return [span(f"  last decision {_minute(last)}" if last else "  no decision yet", "dim")]
    kind = [live for live in here if (live.kind, live.name) == (whole.kind, whole.name)]
    share = sum(live.share or 0 for live in kind)
    count = sum(live.decisions for live in kind)
    start, end = whole.span
    times = f"{_short_minute(start, width)} to {_short_minute(end, width)}"
    return [span(f"  {share:.0%} of traffic · {count_of(count, 'decision')} from {times}", "dim")]


def _span_s(live: Live) -> float:
    return (live.span[1] - live.span[0]).total_seconds() if live.span and live.share else -1.0


def _components(state: State, shown: list[Live], width: int, marked: Marked) -> Iterator[Line]:
    wide = width >= _WIDE
    places = [_place(live) for live in shown]
    head = ("what", "version", "since", "before", *(("digest",) if wide else ()), "announced by")
    rows = [head]
    for live in shown:
        version = live.version or short_digest(live.digest)
        if live.share is not None and places.count(_place(live)) > 1:
            version += f" {live.share:.0%}"
        replaced = live.replaced_version
        if replaced == live.version or not replaced:
            replaced = short_digest(live.replaced_digest)
        since = _short_minute(live.since, width)
        rows.append(
            (
                _what(live),
                version if wide else span(version, limit=12).text,
                since if live.since_known else f"by {since}",
                replaced if wide else span(replaced, limit=8).text,
                *((short_digest(live.digest),) if wide else ()),
                _by(live.announced),
            )
        )
    lines = table(rows, width - 4)
    yield [Span("    "), *lines[0]]
    for live, line in zip(shown, lines[1:], strict=True):
        yield [_margin(live, marked, 4), *line]
        alone = places.count(_place(live)) == 1
        for text, warn in _notes(state, live, alone and _silent(live, shown)):
            for part in wrapped(span(text).text, width - 8):
                yield [Span("        "), Span(part, "warn" if warn else "dim")]


def _place(live: Live) -> tuple[str, str, str | None]:
    return live.environment, live.kind, live.name


def _what(live: Live) -> str:
    kind = "fetch" if live.kind == "feature_fetch" else live.kind
    return f"{kind} {live.name}" if live.name else kind


def _by(change: Change | None) -> str:
    if change is None:
        return ""
    unreviewed = ", not reviewed" if change.kind in ("deploy", "config", "artifact") else ""
    reviewed = "" if change.reviewed_by else unreviewed
    return f"{change.actor or 'somebody'}{reviewed}"


def _silent(live: Live, shown: list[Live]) -> bool:
    """Whether a component was used last when its environment decided last: nothing of its own."""
    last = max((other.last_used for other in shown if other.last_used), default=None)
    return live.status == "last_seen" and live.last_used == last


def _notes(state: State, live: Live, silent: bool) -> Iterator[tuple[str, bool]]:
    """What a line of the table cannot say; whether it is worth a warning."""
    if live.status == "announced":
        if live.next_used is None:
            yield "announced; no decision has used it", True
        else:
            later = age_words(live.next_used - state.time)
            yield f"announced; first used {_second(live.next_used)}, {later} later", True
    elif live.status == "last_seen" and live.last_used is not None and not silent:
        before = age_words(state.time - live.last_used)
        yield f"last used {_second(live.last_used)}, {before} before", True
    if not live.everywhere and live.status == "live":
        places = live.regions if len(live.regions) == 1 else live.replicas
        if places:
            yield f"on {', '.join(places)}", True
    if isinstance(live.values, dict) and live.values:
        named = [f"{name} {value_words(value)}" for name, value in live.values.items()]
        more = len(named) - _VALUES_SHOWN
        rest = f" · {more} more" if more > 0 else ""
        yield " · ".join(named[:_VALUES_SHOWN]) + rest, False


def _pipelines(state: State, width: int, marked: Marked) -> Iterator[Line]:
    if not state.pipelines:
        return
    yield [Span("pipelines", "bold")]
    rows: list[tuple[str, ...]] = [("job", "code", "since", "before", "run", "written")]
    for pipeline in state.pipelines:
        ended = pipeline.ended_at
        run = pipeline.run_id or (pipeline.served[0] if pipeline.served else "")
        rows.append(
            (
                pipeline.job.rsplit("/", 1)[-1] if width < _WIDE else pipeline.job,
                pipeline.code_version or "",
                _since(pipeline),
                pipeline.replaced_version or "",
                run[:8],
                f"{age_words(state.time - ended)} before" if ended else "",
            )
        )
    lines = table(rows, width - 2)
    yield [Span("  "), *lines[0]]
    for pipeline, line in zip(state.pipelines, lines[1:], strict=True):
        yield [_margin(pipeline, marked, 2), *line]
        for text in _pipeline_notes(pipeline):
            for part in wrapped(span(text).text, width - 6):
                yield [Span("      "), Span(part, "warn")]


def _since(pipeline: Pipeline) -> str:
    """Since when a job ran its code; the first run that is known had it already, maybe."""
    if pipeline.since is None or pipeline.code_version is None:
        return ""
    return f"{'' if pipeline.replaced_version else 'by '}{_minute(pipeline.since)}"


def _pipeline_notes(pipeline: Pipeline) -> Iterator[str]:
    if pipeline.failed and pipeline.failed_at:
        yield f"failed since {_minute(pipeline.failed_at)}: {pipeline.failed}"
    others = [run for run in pipeline.served if pipeline.run_id and run != pipeline.run_id]
    if others:
        yield f"decisions were last served by run {', '.join(run[:8] for run in others)}"


def _controls(state: State, marked: Marked) -> Iterator[Line]:
    if not state.controls:
        return
    yield [Span("flags and controls", "bold")]
    for change in state.controls:
        until = f" until {_minute(change.expires_at)}" if change.expires_at else ""
        by = f" · {change.authority or change.actor or 'by nobody named'}"
        where = f" · {change.environment}" if change.environment else ""
        yield [
            _margin(change, marked, 2),
            span(f"{change.kind} {change.component} "),
            span(change.to_version or change.what or "set", "bold"),
            span(f" since {_minute(change.occurred_at)}{until}{by}{where}", "dim"),
        ]


def _overrides(state: State) -> Iterator[Line]:
    found = state.overrides
    if not found.standing or found.last_at is None:
        return
    yield [
        Span("overrides", "bold"),
        span(f" · {count_of(found.standing, 'decision stands', 'decisions stand')} overridden, "
             f"the last one {age_words(state.time - found.last_at)} before", "dim"),
    ]  # fmt: skip
    for change in found.wide[:_CHANGES_SHOWN]:
        until = f" until {_minute(change.expires_at)}" if change.expires_at else ""
        scope = change.detail.get("scope") or "no scope"
        yield [
            span(f"  {change.component} → {change.to_version}"),
            span(f"{until} · {scope} · {change.actor}", "dim"),
        ]


def _changes(state: State, width: int, marked: Marked) -> Iterator[Line]:
    if not state.changes:
        return
    yield [Span("changed before", "bold")]
    for change in state.changes[:_CHANGES_SHOWN]:
        age = age_words(state.time - change.true_from)
        where = f" · {change.environment}" if change.environment else ""
        flagged = change.agreement in ("unseen", "unannounced")
        line: Line = [
            _margin(change, marked, 2),
            Span(f"{age:>8}  ", "dim"),
            span(change.statement, "warn" if flagged else ""),
            span(where, "dim"),
        ]
        yield fitted(line, width)
        if change.agreement == "unseen" and change.confirmation:
            yield [span(f"            {change.confirmation}", "warn")]


def _minute(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M}"


def _short_minute(time: datetime, width: int) -> str:
    """A time without its year where there is little room."""
    return _minute(time) if width >= _WIDE else f"{time:%m-%d %H:%M}"


def _second(time: datetime) -> str:
    return f"{time:%H:%M:%S}"


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
        if item.rule is not None:
            apart = item.rule
        elif left == right:  # they differ in more digits than a person is usually shown
            left, right = dumps(item.a), dumps(item.b)
        group.append((item.name, left, right, apart))
    if not diff.differences:
        lines += [[], [Span("Nothing that was recorded differs.")]]
    return lines


def _shown(value: object, evidence: str) -> str:
    if evidence in ("missing", "redacted"):
        return "not recorded" if evidence == "missing" else "redacted"
    return value_words(value)
