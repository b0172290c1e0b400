"""Charts in characters: what :mod:`forensics.report.charts` draws, where there is only text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from forensics.records.safe_text import safe_text
from forensics.report.words import number_words

_COLUMNS = 60
_EIGHTHS = "▁▂▃▄▅▆▇█"
_BAR = 24
_BARS = 10


def rate(answer: Mapping[str, Any]) -> Iterator[str]:
    """A rate over time as columns of characters, with its jumps below.

    Args:
        answer: of ``forensics timeline --json``.
    """
    bins = answer["bins"]
    together = -(-len(bins) // _COLUMNS)
    groups = [bins[at : at + together] for at in range(0, len(bins), together)]
    rates = []
    for group in groups:
        decisions = sum(each["decisions"] for each in group)
        rates.append(sum(each["hits"] for each in group) / decisions if decisions else None)
    top = max((rate for rate in rates if rate is not None), default=0.0) or 1.0
    columns = "".join(
        " " if rate is None else _EIGHTHS[min(int(rate / top * 8), 7)] for rate in rates
    )
    yield f"{safe_text(answer['outcome'])}, at most {_percent(top)}"
    yield columns
    yield f"{answer['since'][:16]} to {answer['until'][:16]}".replace("T", " ")
    for moment in sorted(answer["moments"], key=lambda each: str(each["at"])):
        said = "; ".join(str(change["statement"]) for change in moment["changes"])
        rates_ = f"{_percent(moment['before']['rate'])} → {_percent(moment['after']['rate'])}"
        jump = f" jump {rates_}" if moment["jump"] else ""
        at = moment["at"][:19].replace("T", " ")
        yield safe_text(f"{at}{jump}  {said}", 110)


def waterfall(answer: Mapping[str, Any]) -> Iterator[str]:
    """An attribution as bars of characters, the largest first.

    Args:
        answer: ``attributions`` of ``forensics trace --json``.
    """
    values = sorted(
        ((safe_text(one["feature"], 30), float(one["value"])) for one in answer["values"]),
        key=lambda item: -abs(item[1]),
    )
    rest = values[_BARS:]
    rows = [*values[:_BARS], (f"{len(rest)} more", sum(v for _, v in rest))] if rest else values
    largest = max((abs(value) for _, value in rows), default=1.0) or 1.0
    width = max(len(name) for name, _ in rows)
    for name, value in rows:
        mark = ("█" if value > 0 else "░") * max(round(abs(value) / largest * _BAR), 1)
        yield f"{name:<{width}}  {value:+8.3f}  {mark}"


def _percent(rate: float | None) -> str:
    return "no decisions" if rate is None else f"{number_words(100 * rate, 3)} %"
