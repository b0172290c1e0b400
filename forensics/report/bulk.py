"""Replays on a terminal: of a window, counts by verdict and what diverged; of one, its steps."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import TYPE_CHECKING

from forensics.records.plural import count_of, share_words
from forensics.report.pieces import VERDICTS, flowing, marked
from forensics.report.pieces import verdict as verdict_of
from forensics.report.spans import Line, Span, Style, fitted, span, wrapped
from forensics.report.text import table
from forensics.report.words import time_words, value_words

if TYPE_CHECKING:
    from forensics.reconstruct.reconstruction import Reconstruction
    from forensics.replay.bulk.answer import BulkReplay, Diverging
    from forensics.replay.bulk.run import Window

_WORDS = {
    "bit_exact": "bit exact",
    "within_ulp": "within one unit in the last place",
    "same_outcome": "same outcome, another score",
    "diverged": "diverged",
    "not_replayable": "not replayable",
}


def screen(replay: BulkReplay, width: int) -> list[Line]:
    """The whole answer as lines of at most ``width`` characters (40 at least)."""
    width = max(width, 40)
    lines: list[Line] = list(head(replay.window, replay.count, width))
    room = len(f"{replay.count:,}")
    for verdict, count in replay.verdicts.items():
        mark, style = VERDICTS[verdict]
        share = share_words(count, replay.count) if count else ""
        body: Style = "" if count else "dim"
        text = f"{_WORDS[verdict]:<34}{count:>{room},}  {share}"
        lines.append([Span(f"  {mark} ", style if count else "dim"), Span(text, body)])
    for diverging in replay.diverging:
        lines += [[], *_diverging(diverging, width)]
    if replay.missing is not None:
        lines += [[], *_missing(replay.missing, width)]
    return [fitted(line, width) for line in lines]


def single(found: Reconstruction, width: int) -> list[Line]:
    """The replay of one decision: its verdict, then its steps side by side."""
    width = max(width, 40)
    decision, replay = found.decision, found.replay
    facts = [
        decision.decision_point,
        f"request {decision.request_id}",
        time_words(decision.occurred_at),
    ]
    lines = list(flowing([span(decision.outcome, "bold"), Span("   ")], facts, width))
    if replay is None:
        return lines
    lines += verdict_of(replay, width)
    rows: list[tuple[str, ...]] = [("step", "kind", "recorded", "replayed", "")]
    for step in replay.steps:
        status = step.status.replace("_", " ")
        rows.append(
            (
                step.step,
                step.kind,
                "—" if step.recorded is None else value_words(step.recorded),
                "—" if step.status == "not_run" else value_words(step.replayed),
                f"{status}: {step.reason}" if step.reason else status,
            )
        )
    if len(rows) > 1:
        lines += [[], *table(rows, width)]
    return [fitted(line, width) for line in lines]


def head(window: Window, count: int, width: int) -> Iterator[Line]:
    """Which decisions are answered for."""
    facts = [count_of(count, "decision"), period(window.since, window.until)]
    if window.where:
        facts.append(f"where {window.where}")
    if window.limit is not None:
        facts.append(f"limited to {window.limit:,}")
    yield from flowing([span(window.decision_point, "bold"), Span("   ")], facts, width)


def period(since: datetime | None, until: datetime | None) -> str:
    """From when to when, in words."""
    if since is None and until is None:
        return "the whole time of the lake"
    start = f"{since:%Y-%m-%d %H:%M}" if since else "the first"
    end = f"{until:%Y-%m-%d %H:%M}" if until else "the last"
    return f"{start} to {end} UTC"


def _diverging(found: Diverging, width: int) -> Iterator[Line]:
    decisions = "1 decision" if found.count == 1 else f"{found.count:,} decisions"
    yield [
        Span("first at step ", "bold"),
        span(found.step, "bold"),
        Span(f" · {decisions}", "dim"),
    ]
    yield from _common(found, width)
    for way in found.ways:
        mark, style = VERDICTS[way.verdict]
        lead = f"{way.count:,}: " if len(found.ways) > 1 or found.more else ""
        example = f" (forensics trace {way.example})" if way.example else ""
        yield from marked(mark, style, f"{lead}{way.statement}{example}", width)
    if found.more:
        yield [Span(f"    and in {found.more:,} other ways: --export FILE lists all", "dim")]


def _missing(found: Diverging, width: int) -> Iterator[Line]:
    decisions = "1 decision" if found.count == 1 else f"{found.count:,} decisions"
    yield [Span("not replayable", "bold"), Span(f" · {decisions}", "dim")]
    yield from _common(found, width)
    for way in found.ways:
        example = f" (forensics trace {way.example})" if way.example else ""
        yield from marked("?", "warn", f"{way.count:,}: {way.statement}{example}", width)
    if found.more:
        yield [Span(f"    and {found.more:,} other gaps: --export FILE lists all", "dim")]


def _common(found: Diverging, width: int) -> Iterator[Line]:
    for common in found.common:
        for number, part in enumerate(wrapped(span(common.statement).text, width - 4)):
            yield [Span("  · " if number == 0 else "    ", "accent"), Span(part)]
