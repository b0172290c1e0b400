"""Charts of pinned answers as SVG: a rate over time with its changes, and an attribution.

An SVG has classes and no colours of its own, so that a page gives it those of its theme;
:data:`COLOURS` has some for where there is no page. Everything from records is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from html import escape
from typing import Any

from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.report.words import number_words

WIDTH = 720
#: A style sheet for a chart that stands alone, on white.
COLOURS = (
    "text{font-family:sans-serif;font-size:12px;fill:#3d444d}"
    ".strong{fill:#1f2328;font-weight:bold}.axis{stroke:#8b949e;stroke-width:1}"
    ".grid{stroke:#e3e7ec;stroke-width:1}.bar{fill:#7aa7d9}.few{fill:#c9d8ea}"
    ".span{fill:#fdf0dc}.mark{stroke:#6e7781;stroke-width:1;stroke-dasharray:3 3}"
    ".jump{stroke:#b3261e;stroke-width:1.5}.jumped{fill:#b3261e;font-weight:bold}"
    ".best{fill:#3f6fa8}.up{fill:#c4483f}.down{fill:#3c7d52}"
    ".link{stroke:#8b949e;stroke-dasharray:2 2}"
)
_LEFT, _RIGHT = 46, 12
_HEIGHT, _TOP = 150, 14
_TOPS = (0.0001, 0.0002, 0.0005, 0.001, 0.002, 0.005, 0.01, 0.02, 0.04, 0.06, 0.08, 0.1, 0.15, 0.2,
         0.3, 0.4, 0.5, 0.6, 0.8, 1.0)  # fmt: skip
#: The best class first, each with the name of its look.
_CLASSES = {"C2": "best", "C1": "bar", "C0": "few", "none": "up"}
_BARS = 10
_ROW = 22
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_STEPS_S = (1, 5, 15, 60, 300, 900, 1_800, 3_600, 7_200, 10_800, 21_600, 43_200, 86_400, 172_800,
            604_800, 1_209_600, 2_592_000, 7_776_000, 31_536_000)  # fmt: skip


def rate_chart(answer: Mapping[str, Any], window: tuple[datetime, datetime] | None = None) -> str:
    """The rate of an outcome, bin by bin, with the changes marked below it.

    Args:
        answer: of ``forensics timeline --json``.
        window: what is shaded: the time of the incident.
    """
    since, until = _time(answer["since"]), _time(answer["until"])
    bins: Sequence[Mapping[str, Any]] = answer["bins"]
    moments = sorted(answer["moments"], key=lambda moment: str(moment["at"]))
    top = _top(bins)
    base, width = _TOP + _HEIGHT, WIDTH - _LEFT - _RIGHT
    whole = (until - since).total_seconds()

    def x(time: datetime) -> float:
        share = (time - since).total_seconds() / whole
        return round(_LEFT + width * min(max(share, 0.0), 1.0), 1)

    def y(rate: float) -> float:
        return round(base - _HEIGHT * min(rate / top, 1.0), 1)

    parts: list[str] = []
    if window is not None and window[0] < until and window[1] > since:
        left, right = x(window[0]), x(window[1])
        parts.append(_rect("span", left, _TOP, max(right - left, 1.0), _HEIGHT))
    for share in (0.5, 1.0):
        level = y(top * share)
        parts.append(_line("grid", _LEFT, level, WIDTH - _RIGHT, level))
        parts.append(_text(_LEFT - 6, level + 4, _percent(top * share), anchor="end"))
    parts.append(_text(_LEFT - 6, base + 4, "0 %", anchor="end"))
    usual = _usual_count(bins)
    for each in bins:
        if each["rate"] is None:
            continue
        left, right = x(_time(each["start"])), x(_time(each["end"]))
        kind = "bar" if each["decisions"] * 4 >= usual else "few"
        title = (
            f"{_at(_time(each['start']))}: {_percent(each['rate'])} of {each['decisions']:,} "
            "decisions"
        )
        high = y(each["rate"])
        bar = max(right - left - 1, 0.6)
        parts.append(_rect(kind, left, high, bar, max(base - high, 0.6), title))
    parts.append(_line("axis", _LEFT, base, WIDTH - _RIGHT, base))
    parts += _times(since, until, x, base)
    legend_y = base + 40
    for number, moment in enumerate(moments):
        at = x(_time(moment["at"]))
        kind = "jump" if moment["jump"] else "mark"
        letter = _LETTERS[number] if number < len(_LETTERS) else "+"
        parts.append(_line(kind, at, _TOP - 2, at, base))
        parts.append(_text(at, _TOP - 4, letter, "jumped" if moment["jump"] else "", "middle"))
    for number, moment in enumerate(moments[: len(_LETTERS)]):
        said = "; ".join(str(change["statement"]) for change in moment["changes"])
        words = f"{_at(_time(moment['at']))}  {said}"
        if moment["jump"]:
            rates = f"{_percent(moment['before']['rate'])} → {_percent(moment['after']['rate'])}"
            words = f"{_at(_time(moment['at']))}  {rates}  {said}"
        kind = "jumped" if moment["jump"] else "strong"
        parts.append(_text(_LEFT, legend_y, _LETTERS[number], kind))
        parts.append(_text(_LEFT + 14, legend_y, _cut(words, 104)))
        legend_y += 17
    count = count_of(answer["decisions"], "decision")
    title = (
        f"Rate of {answer['outcome']} of {answer['decision_point']} from {_at(since)} to "
        f"{_at(until)} UTC: {_percent(answer['rate'])} of {count}"
    )
    return _svg(legend_y - 8, title, parts)


def waterfall(answer: Mapping[str, Any], features: Mapping[str, Any] | None = None) -> str:
    """Contributions one after the other, from the base value to the score's side of the threshold.

    Args:
        answer: ``attributions`` of ``forensics trace --json``.
        features: values by name, as far as they are known.
    """
    values = [(str(one["feature"]), float(one["value"])) for one in answer["values"]]
    values.sort(key=lambda item: -abs(item[1]))
    shown, rest = values[:_BARS], values[_BARS:]
    rows = [*shown, (f"{len(rest)} more", sum(value for _, value in rest))] if rest else shown
    base = float(answer.get("base_value") or 0.0)
    ends = [base]
    for _, value in rows:
        ends.append(ends[-1] + value)
    threshold = answer.get("threshold_value")
    scale = [*ends, float(threshold)] if threshold is not None else ends
    low, high = min(scale), max(scale)
    low, high = (low - 0.5, high + 0.5) if high == low else (low, high)
    left, right = 280, WIDTH - 64

    def x(value: float) -> float:
        return round(left + (right - left) * (value - low) / (high - low), 1)

    unit = str(answer.get("unit") or "").replace("_", "-")
    parts: list[str] = []
    bottom = 22 + _ROW * (len(rows) + 2)
    if threshold is not None:
        at = x(float(threshold))
        parts.append(_line("mark", at, 16, at, bottom - 6))
        parts.append(_text(at, 11, f"threshold {number_words(float(threshold), 3)}", "", "middle"))
    y = 22
    parts += _total(y, "base value", base, x(base))
    for number, (name, value) in enumerate(rows):
        y += _ROW
        start, end = x(ends[number]), x(ends[number + 1])
        kind = "up" if value > 0 else "down"
        label = name
        if features and name in features:
            label = f"{name} = {_value(features[name])}"
        parts.append(_text(left - 60, y + 14, _cut(label, 36), anchor="end"))
        parts.append(_line("link", start, y - 4, start, y + 4))
        parts.append(_rect(kind, min(start, end), y + 3, max(abs(end - start), 1.0), _ROW - 8,
                           f"{name}: {value:+.4g} {unit}"))  # fmt: skip
        parts.append(_text(left - 8, y + 14, f"{value:+.2f}", "strong", "end"))
    y += _ROW
    parts += _total(y, f"score, in {unit}" if unit else "score", ends[-1], x(ends[-1]))
    title = f"Attribution: {'; '.join(f'{name} {value:+.2f}' for name, value in rows)}"
    return _svg(bottom, title, parts)


def days(name: str, counts: Sequence[tuple[str, Mapping[str, int]]]) -> str:
    """Decisions by day, each a bar of its classes, the best at the bottom.

    Args:
        name: of the decision point.
        counts: by day, how many are of each class.
    """
    most = max((sum(classes.values()) for _, classes in counts), default=0) or 1
    base, width = _TOP + _HEIGHT, WIDTH - _LEFT - _RIGHT
    step = width / max(len(counts), 1)
    parts = [
        _line("grid", _LEFT, _TOP, WIDTH - _RIGHT, _TOP),
        _text(_LEFT - 6, _TOP + 4, _short(most), anchor="end"),
    ]
    for number, (day, classes) in enumerate(counts):
        left, low = round(_LEFT + step * number, 1), float(base)
        for one in _CLASSES:
            if not classes.get(one):
                continue
            high = max(_HEIGHT * classes[one] / most, 1.0)
            low -= high
            title = f"{day}: {classes[one]:,} {one}"
            parts.append(_rect(_CLASSES[one], left, low, max(step - 1, 0.8), high, title))
        if number % max(1, len(counts) // 8) == 0:
            parts.append(_text(left, base + 17, day[5:]))
    parts.append(_line("axis", _LEFT, base, WIDTH - _RIGHT, base))
    for number, (one, kind) in enumerate(_CLASSES.items()):
        parts.append(_rect(kind, _LEFT + 90 * number, base + 30, 10, 10))
        parts.append(_text(_LEFT + 90 * number + 15, base + 39, one))
    total = sum(sum(classes.values()) for _, classes in counts)
    return _svg(base + 46, f"{name}: {count_of(total, 'decision')} by day and class", parts)


def _short(count: int) -> str:
    """A count in few characters."""
    for size, unit in ((1_000_000, " m"), (1_000, " k")):
        if count >= size:
            return f"{number_words(count / size, 3)}{unit}"
    return str(count)


def _total(y: int, label: str, value: float, at: float) -> Iterator[str]:
    yield _text(220, y + 14, label, "strong", "end")
    yield _text(272, y + 14, f"{value:+.2f}", "strong", "end")
    yield _line("axis", at, y + 2, at, y + _ROW - 4)


def _top(bins: Sequence[Mapping[str, Any]]) -> float:
    """The upper end: the largest rate, but not that of a bin with very few decisions."""
    least = _usual_count(bins) / 10
    rates = [each["rate"] for each in bins if each["rate"] is not None]
    told = [each["rate"] for each in bins if each["rate"] is not None and each["decisions"] > least]
    highest = max(told or rates, default=0.0)
    return next((end for end in _TOPS if highest <= end), 1.0)


def _usual_count(bins: Sequence[Mapping[str, Any]]) -> float:
    counts = sorted(int(each["decisions"]) for each in bins if each["decisions"])
    return counts[len(counts) // 2] if counts else 0


def _times(since: datetime, until: datetime, x: Any, base: float) -> Iterator[str]:
    """Ticks at round times, with the day where a day begins."""
    whole = (until - since).total_seconds()
    step = next((step for step in _STEPS_S if whole / step <= 9), _STEPS_S[-1])
    midnight = since.replace(hour=0, minute=0, second=0, microsecond=0)
    ahead = int((since - midnight).total_seconds() // step) + 1
    tick = midnight + timedelta(seconds=step * ahead)
    while tick < until:
        at = x(tick)
        begins = tick.hour == tick.minute == tick.second == 0
        form = "%m-%d" if begins else "%H:%M" if step >= 60 else "%H:%M:%S"
        yield _line("axis", at, base, at, base + 4)
        yield _text(at, base + 17, format(tick, form), "strong" if begins else "", "middle")
        tick += timedelta(seconds=step)


def _svg(height: float, title: str, parts: Sequence[str]) -> str:
    said = _safe(title)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height:g}" '
        f'width="{WIDTH}" height="{height:g}" role="img" aria-label="{said}">'
        f"<title>{said}</title>{''.join(parts)}</svg>"
    )


def _rect(
    kind: str, x: float, y: float, width: float, height: float, title: str | None = None
) -> str:
    inner = f"><title>{_safe(title)}</title></rect>" if title else "/>"
    return (
        f'<rect class="{kind}" x="{x:g}" y="{y:g}" width="{width:.1f}" height="{height:.1f}"{inner}'
    )  # fmt: skip


def _line(kind: str, x1: float, y1: float, x2: float, y2: float) -> str:
    return f'<line class="{kind}" x1="{x1:g}" y1="{y1:g}" x2="{x2:g}" y2="{y2:g}"/>'


def _text(x: float, y: float, words: str, kind: str = "", anchor: str = "start") -> str:
    class_ = f' class="{kind}"' if kind else ""
    return f'<text{class_} x="{x:g}" y="{y:g}" text-anchor="{anchor}">{_safe(words)}</text>'


def _safe(text: str) -> str:
    return escape(safe_text(text), quote=True)


def _cut(text: str, limit: int) -> str:
    return safe_text(text, limit)


def _time(text: str) -> datetime:
    return datetime.fromisoformat(text)


def _at(time: datetime) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}" if time.second else f"{time:%Y-%m-%d %H:%M}"


def _value(value: Any) -> str:
    if isinstance(value, int | float) and not isinstance(value, bool):
        return number_words(value)
    return str(value)


def _percent(rate: float | None) -> str:
    return "no decisions" if rate is None else f"{number_words(100 * rate, 3)} %"
