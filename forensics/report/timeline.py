"""A timeline as a chart of characters: the rate, the traffic, the changes, and what they moved."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime, timedelta
from typing import NamedTuple

from forensics.reconstruct.changes.change import Change
from forensics.reconstruct.jumps import STATISTIC, Moment, Stretch
from forensics.reconstruct.timeline import Timeline
from forensics.records.plural import count_of
from forensics.report.spans import Line, Span, Style, fitted, span, wrapped
from forensics.report.words import number_words

_ROWS = 8
#: Left of the chart: the scale.
MARGIN = 8
_MARKER_ROWS = 3
_COLUMNS_A_BIN = 6
_LETTERS = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
_QUIET_SHOWN = 12


class _Signs(NamedTuple):
    """The characters of a chart: parts of a column from low to full, and the axis."""

    parts: str
    axis: str
    nothing: str
    arrow: str
    dot: str
    dots: str


_BLOCKS = _Signs("▁▂▃▄▅▆▇█", "─", "·", "→", "·", "…")
_ASCII = _Signs(".:#", "-", " ", "->", "|", "...")


def bins_for(width: int) -> int:
    """How many bins of one column each a screen has room for."""
    return max(width - MARGIN - 1, 10)


def screen(timeline: Timeline, width: int, *, ascii_only: bool = False) -> list[Line]:
    """The chart, then the changes with the rates before and after them.

    Args:
        timeline: what to draw.
        width: columns there are.
        ascii_only: draw with ASCII alone, for terminals and mails that know nothing else.
    """
    signs = _ASCII if ascii_only else _BLOCKS
    letters = _lettered(timeline)
    lines = [
        *_head(timeline, width),
        [],
        *_chart(timeline, letters, width, signs),
        *_legend(timeline, letters, width),
    ]
    if ascii_only:
        lines = [[Span(_plain(part.text), part.style) for part in line] for line in lines]
    return [_cut(line, width, signs) for line in lines]


def _cut(line: Line, width: int, signs: _Signs) -> Line:
    found = fitted(line, width)
    if signs is _ASCII and found is not line:
        return fitted([Span(p.text.replace("…", "~"), p.style) for p in found], width)
    return found


def _plain(text: str) -> str:
    for sign, plain in (("→", "->"), ("·", "|"), ("…", "~"), ("±", "+-"), ("−", "-")):
        text = text.replace(sign, plain)
    return text.encode("ascii", "replace").decode()


def _lettered(timeline: Timeline) -> dict[datetime, str]:
    """A letter for each moment, in the order of time; a plus where letters run out."""
    times = sorted(moment.at for moment in timeline.moments)
    return {time: _LETTERS[at] if at < len(_LETTERS) else "+" for at, time in enumerate(times)}


def _head(timeline: Timeline, width: int) -> Iterator[Line]:
    whole = timeline.whole
    rate = (
        f"{percent(whole.rate)} of {count_of(whole.decisions, 'decision')}"
        if whole.decisions
        else ""
    )
    yield [
        span(timeline.decision_point, "bold"),
        Span(" · ", "dim"),
        span(timeline.outcome or "no decision", "bold"),
        span(f" {rate}"),
    ]
    length = timeline.bins[0].end - timeline.bins[0].start if timeline.bins else timedelta(0)
    if len(timeline.bins) > 1:
        length = max(item.end - item.start for item in timeline.bins)
    yield [
        span(
            f"{_time(timeline.since)} to {_time(timeline.until)} UTC · "
            f"{count_of(len(timeline.bins), 'bin')} of {length_words(length)}",
            "dim",
        )
    ]
    others = [
        f"{name} {count:,}" for name, count in timeline.outcomes.items() if name != timeline.outcome
    ]
    if others:
        text = f"other outcomes: {', '.join(others[:6])}; see --outcome"
        yield from ([span(part, "dim")] for part in wrapped(text, width))


def _chart(
    timeline: Timeline, letters: dict[datetime, str], width: int, signs: _Signs
) -> Iterator[Line]:
    room = max(width - MARGIN - 1, 10)
    bins = _merged(timeline.bins, room)
    wide = max(1, min(_COLUMNS_A_BIN, room // max(len(bins), 1)))
    top = ceiling(bins)
    for row in range(_ROWS, 0, -1):
        label = percent(top * row / _ROWS) if row in (_ROWS, _ROWS // 2) else ""
        columns = "".join(_part(item.rate, top, row, signs) * wide for item in bins)
        yield [Span(f"{label:>{MARGIN - 1}} ", "dim"), Span(columns.rstrip(), "accent")]
    axis = "".join((signs.axis if item.decisions else signs.nothing) * wide for item in bins)
    yield [Span(f"{'0%':>{MARGIN - 1}} ", "dim"), Span(axis, "dim")]
    most = max((item.decisions for item in bins), default=0)
    counts = "".join(_count(item.decisions, most, signs) * wide for item in bins)
    short = short_count(most)
    yield [Span(f"{'n ' + short:>{MARGIN - 1}} ", "dim"), Span(counts.rstrip(), "dim")]
    yield from _markers(timeline, letters, bins, wide)
    yield _axis_times(timeline, len(bins) * wide)


def _merged(bins: Sequence[Stretch], room: int) -> list[Stretch]:
    """The bins, so many of them drawn as one that all have room."""
    together = -(-len(bins) // room)
    if together <= 1:
        return list(bins)
    groups = [bins[at : at + together] for at in range(0, len(bins), together)]
    return [
        Stretch(
            group[0].start,
            group[-1].end,
            sum(item.decisions for item in group),
            sum(item.hits for item in group),
        )
        for group in groups
    ]


def ceiling(bins: Sequence[Stretch]) -> float:
    """The chart's upper end: the largest rate, but not that of a bin of very few decisions."""
    counts = sorted(item.decisions for item in bins if item.decisions)
    least = counts[len(counts) // 2] / 10 if counts else 0
    rates = [item.rate for item in bins if item.rate is not None and item.decisions >= least]
    highest = max(rates, default=0.0)
    scale = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.03, 0.04, 0.05, 0.06,
             0.08, 0.1, 0.12, 0.15, 0.2, 0.25, 0.3, 0.4, 0.5, 0.6, 0.8, 1.0)  # fmt: skip
    return next((end for end in scale if highest <= end), 1.0)


def _part(rate: float | None, top: float, row: int, signs: _Signs) -> str:
    """What one row of the chart shows of a column."""
    if rate is None:
        return " "
    filled = rate / top * _ROWS - (row - 1)
    if filled >= 1:
        return signs.parts[-1]
    step = round(filled * len(signs.parts))
    if step <= 0:  # a rate above nothing is to be seen
        return signs.parts[0] if row == 1 and rate > 0 else " "
    return signs.parts[step - 1]


def _count(decisions: int, most: int, signs: _Signs) -> str:
    if not decisions:
        return signs.nothing if signs is _BLOCKS else "."
    if signs is _ASCII:  # nine levels, as digits
        return str(max(1, round(decisions / most * 9)))
    return signs.parts[max(0, round(decisions / most * len(signs.parts)) - 1)]


def _markers(
    timeline: Timeline, letters: dict[datetime, str], bins: Sequence[Stretch], wide: int
) -> Iterator[Line]:
    """A letter below the bin of each moment; those that would cover another one a row lower."""
    if not letters or not bins:
        return
    rows: list[dict[int, str]] = []
    jumps = {moment.at for moment in timeline.moments if moment.jump}
    spots: set[tuple[int, int]] = set()
    for time, letter in letters.items():
        at = next((n for n, item in enumerate(bins) if time < item.end), len(bins) - 1) * wide
        row = next((n for n, found in enumerate(rows) if at not in found), len(rows))
        if row == _MARKER_ROWS:
            rows[-1][at] = "+"
            continue
        if row == len(rows):
            rows.append({})
        rows[row][at] = letter
        if time in jumps:
            spots.add((row, at))
    for number, row_letters in enumerate(rows):
        line: Line = [Span(f"{'changes' if number == 0 else '':>{MARGIN - 1}} ", "dim")]
        end = 0
        for at in sorted(row_letters):
            line.append(Span(" " * (at - end)))
            style: Style = "bad" if (number, at) in spots else "warn"
            line.append(Span(row_letters[at], style))
            end = at + 1
        yield line


def _axis_times(timeline: Timeline, columns: int) -> Line:
    whole = timeline.until - timeline.since
    if whole > timedelta(days=2):
        form = "%m-%d"
    elif whole > timedelta(minutes=10):
        form = "%H:%M"
    else:
        form = "%H:%M:%S"
    first, last = format(timeline.since, form), format(timeline.until, form)
    middle = format(timeline.since + whole / 2, form)
    room = max(columns, len(first) + len(last) + 1)
    text = first.ljust(room - len(last)) + last
    at = (room - len(middle)) // 2
    if at > len(first) + 1 and at + len(middle) + 1 < room - len(last):
        text = text[:at] + middle + text[at + len(middle) :]
    return [Span(" " * MARGIN + text, "dim")]


def _legend(timeline: Timeline, letters: dict[datetime, str], width: int) -> Iterator[Line]:
    jumps = [moment for moment in timeline.moments if moment.jump]
    quiet = sorted(
        (moment for moment in timeline.moments if not moment.jump), key=lambda moment: moment.at
    )
    yield []
    if not timeline.moments:
        yield [Span("No change is known in this window.")]
        return
    if jumps:
        yield [
            Span("changes that a jump coincides with", "bold"),
            Span(", the largest first", "dim"),
        ]
        for moment in jumps:
            yield from _jump(moment, letters[moment.at], width)
    else:
        yield [Span("No change coincides with a jump of the rate.", "bold")]
    if quiet:
        yield []
        yield [Span("other changes" if jumps else "changes", "bold")]
        shown = quiet[-_QUIET_SHOWN:]
        if len(quiet) > len(shown):
            yield [span(f"  {len(quiet) - len(shown)} earlier ones: --json", "dim")]
        for moment in shown:
            yield from _quiet(moment, letters[moment.at], width)
    yield []
    caution = (
        "Coincidence is not cause: what else was different then is not known here. "
        f"Statistic: {STATISTIC}."
    )
    yield from ([Span(part, "dim")] for part in wrapped(caution, width))


def _jump(moment: Moment, letter: str, width: int) -> Iterator[Line]:
    """A moment at which the rate jumped: how far, what changed, and how sure that is."""
    before, after = moment.before, moment.after
    if moment.difference is None or moment.z is None or moment.interval is None:
        return
    yield [
        Span(f"  {letter}  ", "bad"),
        span(f"{moment.at:%Y-%m-%d %H:%M:%S}  "),
        span(f"{rates_words(moment)}, {100 * moment.difference:+.1f} points", "bold"),
    ]
    for change in moment.changes:
        yield from _change(change, [Span("     ")], width)
    low, high = (100 * end for end in moment.interval)
    facts = [f"95 % interval {low:+.1f} to {high:+.1f}", f"z {number_words(moment.z, 2)}"]
    if moment.usual is not None:
        facts.append(f"usually within {100 * moment.usual:.1f}")
    lengths = [length_words(side.end - side.start) for side in (before, after)]
    facts.append(f"{lengths[0]} before, {lengths[1]} after")
    for part in wrapped(" · ".join(facts), width - 5):
        yield [Span(f"     {part}", "dim")]


def _quiet(moment: Moment, letter: str, width: int) -> Iterator[Line]:
    """A moment at which it did not, or nobody can tell."""
    rates = rates_words(moment) if moment.difference is not None else "too few to tell"
    lead: Line = [
        Span(f"  {letter}  ", "warn"),
        span(f"{moment.at:%Y-%m-%d %H:%M}  "),
        Span(f"{rates:<15}  ", "dim"),
    ]
    for number, change in enumerate(moment.changes):
        yield from _change(change, lead if number == 0 else [Span(" " * 40)], width)


def _change(change: Change, lead: Line, width: int) -> Iterator[Line]:
    where = f" · {change.environment}" if change.environment else ""
    style: Style = "warn" if change.agreement == "unannounced" else ""
    yield fitted([*lead, span(change.statement, style), span(where, "dim")], width)
    if change.agreement == "unseen" and change.confirmation:
        yield [span(f"     {change.confirmation}", "warn")]


def rates_words(moment: Moment) -> str:
    """The rates before and after a moment."""
    return f"{percent(moment.before.rate)} → {percent(moment.after.rate)}"


def percent(rate: float | None) -> str:
    """A rate in percent, with as many digits as tell it from nothing."""
    if rate is None:
        return "no decisions"
    hundredths = 100 * rate
    digits = (
        0 if hundredths in (0, 100) or (hundredths >= 1 and hundredths == round(hundredths)) else 1
    )
    return (
        f"{hundredths:.{digits}f}%"
        if hundredths >= 0.1 or hundredths == 0
        else f"{hundredths:.2g}%"
    )


def short_count(count: int) -> str:
    """A count in at most four characters up to ten thousand million: ``12k``."""
    for size, unit in ((1_000_000, "M"), (1_000, "k")):
        if count >= 10 * size:
            return f"{count // size}{unit}"
    return str(count)


def _time(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"


def length_words(length: timedelta) -> str:
    """A length of time in at most two units: ``3 h 23 min``."""
    seconds = length.total_seconds()
    if seconds < 1:
        return f"{seconds * 1000:.3g} ms"
    if seconds < 60:
        return f"{seconds:.3g} s"
    whole = round(seconds)
    parts = []
    for unit, size in (("days", 86_400), ("h", 3_600), ("min", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count} {'day' if (unit, count) == ('days', 1) else unit}")
    return " ".join(parts[:2])
