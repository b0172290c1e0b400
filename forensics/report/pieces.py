"""Parts of a screen that several reports have: marked statements, verdicts, bars, flips."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from forensics.records.plural import count_of
from forensics.records.replay import Attribution, Counterfactual, CounterfactualSearch, Replay
from forensics.report.spans import Line, Span, Style, plain, span, wrapped
from forensics.report.words import number_words, short_digest, value_words

INDENT = 4
_BARS_SHOWN = 6
_EIGHTHS = " ▏▎▍▌▋▊▉"
VERDICTS: dict[str, tuple[str, Style]] = {
    "bit_exact": ("✓", "good"),
    "within_ulp": ("✓", "good"),
    "same_outcome": ("!", "warn"),
    "diverged": ("✗", "bad"),
    "not_replayable": ("?", "warn"),
}


def flowing(line: Line, facts: list[str], width: int) -> Iterator[Line]:
    """Facts parted by dots, on as many lines as they need."""
    for number, fact in enumerate(facts):
        part = span(fact)
        separator = " · " if number else ""
        if line and number and len(plain(line)) + len(separator) + len(part.text) > width:
            yield line
            line, separator = [Span("   ")], ""
        line = [*line, Span(separator, "dim"), part]
    yield line


def marked(mark: str, style: Style, text: str, width: int, body: Style = "") -> Iterator[Line]:
    """A statement after its mark, on as many lines as it needs."""
    for number, part in enumerate(wrapped(span(text).text, width - INDENT)):
        lead = Span(f"  {mark} ", style) if number == 0 else Span(" " * INDENT)
        yield [lead, Span(part, body)]


def verdict(replay: Replay, width: int) -> Iterator[Line]:
    """The verdict of a replay, where it first diverges, and what it lacked."""
    mark, style = VERDICTS[replay.verdict]
    runtime = replay.runtime_replayed or "no runtime"
    same = replay.runtime_recorded in (None, replay.runtime_replayed)
    under = (
        f"{runtime} as recorded" if same else f"{runtime}, recorded under {replay.runtime_recorded}"
    )
    words = {
        "bit_exact": f"bit exact: these artifacts on these inputs give these bytes ({under})",
        "within_ulp": f"within one unit in the last place of the score ({under})",
        "same_outcome": f"same outcome, another score ({under})",
        "diverged": f"diverged ({under})",
        "not_replayable": "not replayable",
    }
    yield from marked(mark, style, f"replay: {words[replay.verdict]}", width)
    first = replay.first_divergence
    if first is not None:
        yield from marked(" ", "", f"first at step {first.step}: {first.statement}", width)
    for missing in replay.missing:
        yield from marked(" ", "", f"missing: {missing}", width)


def attribution(found: Attribution, features: Mapping[str, Any], width: int) -> Iterator[Line]:
    """An attribution as bars under a line that says its unit, evidence and error.

    Args:
        found: the attribution.
        features: values by name, as far as they were recorded.
        width: columns there are.
    """
    adds = ""
    if found.additivity_error is not None:
        adds = f", adds up within {found.additivity_error:.0e}"
    unit = found.unit.replace("_", "-")
    of = f" of {found.output}" if found.output is not None else ""
    against = ""
    if found.threshold_value is not None and found.additivity_error is not None:
        total = found.base_value + sum(found.values.values())
        against = f" {total:+.2f} against the threshold's {found.threshold_value:+.2f}"
    about = f" · {unit}{of}{against} · {found.evidence}{adds}"
    yield [Span("why", "bold"), span(about, "dim")]
    top = list(found.values.items())[:_BARS_SHOWN]
    rest = list(found.values.values())[_BARS_SHOWN:]
    largest = max((abs(value) for _, value in top), default=1.0) or 1.0
    names = max((len(span(name, limit=28).text) for name, _ in top), default=0)
    bar_width = min(28, max(0, width - names - 28))
    for name, value in top:
        shown = value_words(features[name]) if name in features else ""
        yield _bar(name, shown, value, largest, names, bar_width)
    if rest:
        yield _bar(f"{len(rest)} more", "", sum(rest), largest, names, bar_width)


def method(found: Attribution, width: int) -> Iterator[Line]:
    """How an attribution was computed, over which rows, and how far another one is from it."""
    text = f"method: {found.method}"
    if found.background is not None:
        rows, digest = found.background.rows, short_digest(found.background.digest)
        text += f", over all {count_of(rows, 'row')} of {digest}"
    if found.seed is not None:
        text += f", off by about {number_words(found.standard_error, 2)} (seed {found.seed})"
    yield from marked("·", "accent", text, width)
    other = found.agreement
    if other is None:
        return
    what = "recomputed" if found.evidence == "recorded" else "recorded"
    order = "the first four agree" if other.top_order else "the first four differ"
    if other.max_difference is None:
        apart = f"in {other.unit.replace('_', '-')}, so that only order can be compared"
    else:
        apart = f"{number_words(other.max_difference, 2)} apart at most ({other.feature})"
    agrees = other.top_order and other.same_sign is not False
    style: Style = "good" if agrees else "warn"
    text = f"{what} ones: {apart}; {order}; {other.method}"
    yield from marked("✓" if agrees else "!", style, text, width)


def changes(search: CounterfactualSearch | None, reason: str | None, width: int) -> Iterator[Line]:
    """What would have changed a decision and what is proven of it, or why nobody knows."""
    head = Span("what would have changed it", "bold")
    if search is None:
        if reason is None:
            return
        for at, part in enumerate(wrapped(span(f" · not searched: {reason}").text, width - 28)):
            yield [head, Span(" " + part, "dim")] if at == 0 else [Span(f"    {part}", "dim")]
    elif search.found:
        yield [head, Span(" · each replayed", "dim")]
        yield from flips(search.found, width)
        yield [Span(f"  · {search.statement}", "dim")]
    else:
        yield [head, Span(f" · {search.statement}")]


def flips(found: Sequence[Counterfactual], width: int) -> Iterator[Line]:
    """Counterfactuals, each with the outcome and score that it leads to."""
    outcomes = max(len(span(item.outcome, limit=16).text) for item in found)
    for item in found:
        change = " and ".join(c.statement for c in item.changes)
        score = number_words(item.score) if item.score is not None else ""
        margin = outcomes + 14
        for number, part in enumerate(wrapped(span(change).text, max(width - margin, 20))):
            lead = f"  {span(item.outcome, limit=16).text:<{outcomes}}  {score:<8}  "
            yield [Span(lead if number == 0 else " " * margin), Span(part)]


def _bar(name: str, shown: str, value: float, largest: float, names: int, width: int) -> Line:
    eighths = round(min(abs(value) / largest, 1.0) * width * 8)
    bar = "█" * (eighths // 8) + (_EIGHTHS[eighths % 8].strip())
    if value < 0:  # told apart without colour too
        bar = "░" * round(eighths / 8)
    style: Style = "bad" if value > 0 else "good"
    label = span(name, limit=28).text.ljust(names)
    return [
        Span(f"  {label}  "),
        Span(span(shown, limit=10).text.rjust(10), "dim"),
        Span(f"  {value:+.2f} "),
        Span(bar, style),
    ]
