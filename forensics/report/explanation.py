"""Explanations on a terminal: of one decision on a screen, and of a window as tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from forensics.explain.explanation import Explanation
from forensics.explain.reasons import Reason, Reasons
from forensics.records.plural import count_of
from forensics.report import pieces
from forensics.report.pieces import flowing, marked
from forensics.report.spans import Line, Span, fitted, span, wrapped
from forensics.report.text import table
from forensics.report.words import short_digest, time_words

if TYPE_CHECKING:  # both need numpy, and a screen of one decision none of it
    from forensics.explain.stored import Window
    from forensics.explain.summary import ModelSummary

_FEATURES_SHOWN = 12
_AGREES = ("bit_exact", "within_ulp")


def screen(explanation: Explanation, width: int = 100) -> list[Line]:
    """One decision's explanation as lines of at most ``width`` characters (40 at least)."""
    width = max(width, 40)
    return _joined(
        width,
        _head(explanation, width),
        _why(explanation, width),
        _reasons(explanation, width),
        _what_if(explanation, width),
        _more(explanation),
    )


def found_changes(explanation: Explanation, width: int = 100) -> list[Line]:
    """The changes that give another outcome, without why the decision came out as it did."""
    width = max(width, 40)
    return _joined(width, _head(explanation, width), _what_if(explanation, width))


def _joined(width: int, *parts: Iterator[Line]) -> list[Line]:
    sections = [list(part) for part in parts]
    lines: list[Line] = []
    for section in sections:
        if section:
            lines += [[], *section] if lines else section
    return [fitted(line, width) for line in lines]


def window(
    found: Window, summaries: Sequence[ModelSummary], adverse: Sequence[str], width: int
) -> list[Line]:
    """The attributions of a window: by model the features, largest first, and their reasons.

    Args:
        found: the window.
        summaries: what its models' attributions say together.
        adverse: outcomes that were named adverse.
        width: columns there are.
    """
    explained = sum(each.decisions for each in summaries)
    facts = [f"{explained:,} of {count_of(found.decisions, 'decision')} explained"]
    facts.append(f"{count_of(found.computed, 'file')} computed, {found.reused} used again")
    lines = list(flowing([span(found.point, "bold"), Span("   ")], facts, width))
    for why, count in sorted(found.not_explained.items(), key=lambda item: -item[1]):
        lines += marked("?", "warn", f"{count:,} not explained: {why}", width)
    for each in summaries:
        lines += [[], *_model(each, adverse, width)]
    return lines


def _head(e: Explanation, width: int) -> Iterator[Line]:
    decision = e.decision
    facts = [decision.decision_point, f"request {decision.request_id}"]
    if decision.decision_id not in (decision.request_id, ""):
        facts.append(f"decision {decision.decision_id}")
    facts.append(time_words(decision.occurred_at))
    yield from flowing([span(decision.outcome, "bold"), Span("   ")], facts, width)
    if e.verified is False:
        yield from marked("✗", "bad", "the record or an artifact is not what was sealed", width)
    yield from pieces.verdict(e.replay, width)


def _why(e: Explanation, width: int) -> Iterator[Line]:
    if e.attribution is None:
        yield [Span("why", "bold"), Span(" · missing", "dim")]
        yield from marked("?", "warn", e.attribution_reason or "", width)
        return
    yield from pieces.attribution(e.attribution, e.decision.features, width)
    yield from pieces.method(e.attribution, width)


def _reasons(e: Explanation, width: int) -> Iterator[Line]:
    found = e.reasons
    if found is None:
        if e.reasons_reason is not None:
            yield [Span("principal reasons", "bold"), Span(" · missing", "dim")]
            yield from marked("?", "warn", e.reasons_reason, width)
        return
    by = "" if found.decided_by == "score" else f" · decided by rule {found.decided_by}"
    yield [Span("principal reasons", "bold"), span(f" for {found.outcome}{by}", "dim")]
    for number, reason in enumerate(found.items, 1):
        yield from _reason(number, reason, found, width)
    if found.reference is not None:
        digest = f" ({short_digest(found.reference_digest)})" if found.reference_digest else ""
        text = f"{found.method}: {found.reference}{digest}"
        yield from marked("·", "accent", text, width, "dim")
    for text in found.recorded:
        yield from marked("·", "accent", f"given at the time: {text}", width)
    for warning in found.warnings:
        yield from marked("!", "warn", warning, width)


def _reason(number: int, reason: Reason, found: Reasons, width: int) -> Iterator[Line]:
    code = f" [{reason.code}]" if reason.code is not None else ""
    unit = found.unit.replace("_", "-")
    points = f"{reason.points:+.2f} {unit}" if reason.points is not None else "rule"
    lines = wrapped(span(reason.text + code).text, max(width - 24, 20))
    for at, part in enumerate(lines):
        lead = f"  {number}  {points:<16}  " if at == 0 else " " * 23
        yield [Span(lead), Span(part, "bad" if reason.prohibited else "")]


def _what_if(e: Explanation, width: int) -> Iterator[Line]:
    yield from pieces.changes(e.counterfactuals, e.counterfactuals_reason, width)


def _more(e: Explanation) -> Iterator[Line]:
    if e.replay.verdict in _AGREES and e.reasons is None:
        text = f"forensics explain {e.decision.request_id} --reasons · --interventional"
        yield [Span("more      ", "bold"), span(text, "dim")]


def _model(found: ModelSummary, adverse: Sequence[str], width: int) -> Iterator[Line]:
    unit = found.unit.replace("_", "-")
    of = f" of {found.output}" if found.output is not None else ""
    facts = [count_of(found.decisions, "decision"), f"{unit}{of}", found.runtime, found.method]
    facts.append(f"adds up within {found.additivity_error:.0e}")
    yield from flowing(
        [span(f"model {short_digest(found.model_digest)}", "bold"), Span("   ")], facts, width
    )
    if found.confirmed is not None and found.confirmed < found.decisions:
        other = found.decisions - found.confirmed
        text = f"{other:,} recorded scores are not what this model gives on the recorded inputs"
        yield from marked("!", "warn", text, width)
    outcomes = sorted(found.outcomes, key=lambda each: -each.decisions)
    head = ["feature", "mean size", "mean"]
    head += [f"reason {each.outcome}" for each in outcomes if each.higher is not None]
    rows: list[tuple[str, ...]] = [tuple(head)]
    shares = {
        each.outcome: {one.feature: one.among_reasons for one in each.features} for each in outcomes
    }
    for feature in found.features[:_FEATURES_SHOWN]:
        cells = [feature.feature, f"{feature.mean_absolute:.3f}", f"{feature.mean:+.3f}"]
        for each in outcomes:
            if each.higher is not None:
                share = shares[each.outcome][feature.feature] or 0.0
                cells.append(f"{share:.0%}")
        rows.append(tuple(cells))
    yield from table(rows, width)
    rest = len(found.features) - _FEATURES_SHOWN
    if rest > 0:
        yield [Span(f"and {rest} smaller: --json", "dim")]
    for each in outcomes:
        if each.higher is None:
            continue
        side = "higher" if each.higher else "lower"
        named = " (adverse)" if each.adverse else ""
        count = count_of(each.decisions, "decision")
        text = (
            f"{each.outcome}{named}: {count}, where the score is {side};"
            f" relative to {count_of(each.reference_decisions, 'other')}"
        )
        yield from marked("·", "accent", text, width, "dim")
    if not adverse:
        text = "no outcome is named adverse: --adverse OUTCOME compares with all the others"
        yield from marked("·", "accent", text, width, "dim")
