"""What a change would have done, on a terminal: to the decisions of a window, or to one."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from forensics.records.plural import count_of, share_words
from forensics.report.bulk import head
from forensics.report.pieces import flowing, marked, verdict
from forensics.report.spans import Line, Span, Style, fitted, span, wrapped
from forensics.report.text import table
from forensics.report.words import number_words, time_words, value_words

if TYPE_CHECKING:
    from forensics.reconstruct.whatif import WhatIfOne
    from forensics.replay.bulk.radius import BlastRadius, Part

_PARTS_SHOWN = 8


def screen(radius: BlastRadius, width: int) -> list[Line]:
    """The whole answer as lines of at most ``width`` characters (40 at least)."""
    width = max(width, 40)
    lines: list[Line] = list(head(radius.window, radius.count, width))
    lines += [
        [Span("with ", "dim"), Span(part, "bold")]
        if number == 0
        else [Span(f"     {part}", "bold")]
        for number, part in enumerate(wrapped(span(radius.change.words).text, width - 5))
    ]
    lines.append([])
    style: Style = "warn" if radius.changed else "good"
    share = share_words(radius.changed, radius.answered)
    lines.append(
        [
            Span(f"{radius.changed:,} of {count_of(radius.answered, 'decision')}", style),
            Span(f" would have another outcome ({share})" if radius.answered else " answered"),
        ]
    )
    if radius.moves:
        lines += [[], *_matrix(radius, width)]
    for name, parts in radius.by.items():
        lines += [[], *_by(name, parts, width)]
    if radius.scores and radius.rescored:
        lines += [[], *_scores(radius, width)]
    if radius.examples:
        lines += [[], *_examples(radius, width)]
    lines += [[], *_rest(radius, width)]
    return [fitted(line, width) for line in lines]


def one(found: WhatIfOne, width: int) -> list[Line]:
    """One decision, before and after."""
    width = max(width, 40)
    decision, answer = found.decision, found.answer
    facts = [
        decision.decision_point,
        f"request {decision.request_id}",
        time_words(decision.occurred_at),
    ]
    after = answer.outcome_after if not answer.missing else "?"
    same = after == decision.outcome
    lead = [
        span(decision.outcome, "bold"),
        Span(" → ", "dim"),
        span(after if after is not None else "none", "bold" if same else "warn"),
        Span("   "),
    ]
    lines = list(flowing(lead, facts, width))
    for part in wrapped(span(f"with {answer.change.words}").text, width):
        lines.append([Span(part)])
    lines += verdict(answer.replay, width)
    for text in answer.missing:
        lines += marked("?", "warn", f"the change cannot be answered: {text}", width)
    if not answer.missing:
        rows: list[tuple[str, ...]] = [("", "before", "after")]
        rows += [(name, value_words(old), value_words(new)) for name, old, new in answer.features]
        rows += [
            (
                f"{step.step} ({step.kind})",
                "—" if step.before is None else value_words(step.before),
                "—" if step.after is None else value_words(step.after),
            )
            for step in answer.steps
        ]
        if answer.rule_after is not None:
            rows.append(("decided by", answer.rule_before or "—", answer.rule_after))
        lines += [[], *table(rows, width)]
        if answer.reason_after:
            lines.append([Span("reason  ", "dim"), span(answer.reason_after)])
    gaps = "; ".join(f"{name}: {reason}" for name, reason in found.completeness.missing)
    text = f"class {found.completeness.class_}" + (f" · {gaps}" if gaps else "")
    lines.append([])
    for number, part in enumerate(wrapped(span(text).text, width - 10)):
        lines.append([Span("evidence  " if number == 0 else " " * 10, "bold"), Span(part)])
    return [fitted(line, width) for line in lines]


def _matrix(radius: BlastRadius, width: int) -> list[Line]:
    """Recorded outcomes by line, those under the change by column."""
    before = list(dict.fromkeys(move[0] for move in radius.moves))
    after = sorted({move[1] for move in radius.moves})
    rows: list[tuple[str, ...]] = [("recorded", *(f"→ {name}" for name in after))]
    for name in before:
        cells = []
        for other in after:
            count = radius.moves.get((name, other), 0)
            cells.append(f"{count:,}" if count else "")
        rows.append((name, *cells))
    return table(rows, width)


def _by(name: str, parts: tuple[Part, ...], width: int) -> list[Line]:
    rows: list[tuple[str, ...]] = [(name, "decisions", "changed", "share")]
    for part in parts[:_PARTS_SHOWN]:
        value = part.value if part.value is not None else "not recorded"
        share = share_words(part.changed, part.answered)
        rows.append((value, f"{part.answered:,}", f"{part.changed:,}", share))
    lines = table(rows, width)
    if len(parts) > _PARTS_SHOWN:
        lines.append([Span(f"and {len(parts) - _PARTS_SHOWN} more: --json", "dim")])
    return lines


def _scores(radius: BlastRadius, width: int) -> list[Line]:
    shares = [0.05, 0.25, 0.5, 0.75, 0.95]
    head_: tuple[str, ...] = ("score", *(f"{share:.0%}" for share in shares))
    rows = [head_]
    for name, quantiles in radius.scores.items():
        rows.append((name, *(number_words(quantiles[share], 3) for share in shares)))
    lines = table(rows, width)
    text = f"{radius.rescored:,} decisions would have another score; quantiles within 1 %"
    return [*lines, [Span(text, "dim")]]


def _examples(radius: BlastRadius, width: int) -> Iterator[Line]:
    for (before, after), ids in radius.examples.items():
        yield from marked("→", "accent", f"{before} → {after}: {', '.join(ids)}", width)


def _rest(radius: BlastRadius, width: int) -> Iterator[Line]:
    for reasons, what in (
        (radius.lacking, "not replayable"),
        (radius.unanswered, "under the change"),
    ):
        for number, (reason, count) in enumerate(reasons.items()):
            if number == _PARTS_SHOWN:
                text = f"and {len(reasons) - number} other gaps: --json"
                yield [Span(f"    {text}", "dim")]
                break
            yield from marked("?", "warn", f"{count:,} {what}: {'; '.join(reason)}", width)
    for limit in radius.limits:
        yield from marked("·", "dim", limit, width)
