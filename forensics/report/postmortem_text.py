"""A postmortem as Markdown: its prose as it stands, its pins as statements with their commands."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from forensics.incident.document import Prose
from forensics.records.safe_text import safe_text
from forensics.report.postmortem import (
    MARKS,
    SAID,
    Broken,
    Report,
    Stated,
    attribution,
    differences_table,
    rate_answer,
)
from forensics.report.words import number_words

#: What means something within a line of Markdown, or makes GitHub's form of it draw a link: an
#: underscore does so only at the edge of a word.
_ACTIVE = re.compile(
    r"[\\`*\[\]<>&~|$@]|(?<![^\W_])_|_(?![^\W_])|:(?=//)|(?<=www)\.|(?<=mailto):|(?<=xmpp):",
    re.IGNORECASE,
)
#: What means something at its beginning.
_BEGINS = re.compile(r"[#+=-]|\d+[.)]")
_JOINERS = "\u200c\u200d"
#: HTML would take these up even after a backslash, where somebody reads the file as HTML.
_ENTITIES = {"<": "&lt;", ">": "&gt;", "&": "&amp;"}
_COLUMNS = 60
_EIGHTHS = "▁▂▃▄▅▆▇█"
_BAR = 24
_BARS = 10


def inert(text: str, *, lines: bool = False) -> str:
    """Text with every active character spelt out, but those that join letters and emoji.

    Args:
        text: anything.
        lines: keep the ends of lines too.
    """
    if text.isprintable():
        return text
    kept = f"{_JOINERS}\n" if lines else _JOINERS
    return "".join(c if c in kept else safe_text(c) for c in text)


def escaped(text: str) -> str:
    """``text`` as Markdown that shows it: nothing in it is markup, a link, or HTML."""
    shown = _ACTIVE.sub(lambda found: _ENTITIES.get(found[0], f"\\{found[0]}"), safe_text(text))
    if begins := _BEGINS.match(shown):
        return f"{shown[: begins.end() - 1]}\\{shown[begins.end() - 1 :]}"
    return shown


def coded(text: str) -> str:
    """``text`` as code within a line."""
    shown = safe_text(text) or " "
    runs = re.findall("`+", shown)
    fence = "`" * (max(map(len, runs)) + 1 if runs else 1)
    pad = " " if shown.startswith(("`", " ")) or shown.endswith(("`", " ")) else ""
    return f"{fence}{pad}{shown}{pad}{fence}"


def markdown(report: Report) -> str:
    """The whole file."""
    lines = [f"# {escaped(report.document.title)}", ""]
    lines += [f"{key}: {escaped(value)}  " for key, value in report.facts]
    verdict = report.verdict
    lines += ["", f"**{escaped(verdict[:1].upper() + verdict[1:])}.**"]
    lines += [f"{escaped(report.asked)}."] if report.asked else []
    text = "\n".join(lines) + "\n"
    for part in report.parts:
        if isinstance(part, Prose):
            text += part.text if text.endswith("\n\n") else f"\n{part.text.lstrip(chr(10))}"
            continue
        body = _broken(part) if isinstance(part, Broken) else _pin(part)
        gap = "" if text.endswith("\n\n") else "\n" if text.endswith("\n") else "\n\n"
        text += gap + "\n".join(body) + "\n"
    return text


def _broken(part: Broken) -> Iterator[str]:
    yield f"? **This block is no pin: {escaped(part.why)}**"


def _pin(stated: Stated) -> Iterator[str]:
    pin, status = stated.pin, stated.status
    yield f"- {MARKS[status]} {escaped(pin.statement)} — **{SAID[status]}**"
    if pin.note:
        yield f"  - note: {escaped(pin.note)}"
    for line in stated.lines:
        yield f"  - {escaped(line)}"
    if stated.remark:
        yield f"  - {escaped(stated.remark)}"
    where = coded(stated.pointer) if stated.pointer else "the whole answer"
    value = f" = {coded(stated.value)}" if stated.value is not None else ""
    yield f"  - {coded(stated.command)} → {where}{value}"
    if chart := drawn(stated):
        yield from ["", "  ```text", *(f"  {line}" for line in chart), "  ```"]
    rows = differences_table(stated)
    if rows:
        yield from ["", "  | | one | other |", "  | --- | --- | --- |"]
        yield from (f"  | {' | '.join(map(escaped, row))} |" for row in rows)


def drawn(stated: Stated) -> list[str]:
    """A pin's chart in characters: a rate over time, or what a score is made of."""
    return [*_rate(rate_answer(stated)), *_waterfall(attribution(stated))]


def _rate(answer: Mapping[str, Any] | None) -> Iterator[str]:
    """A timeline as columns of characters, with its jumps below."""
    if answer is None:
        return
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


def _waterfall(answer: Mapping[str, Any] | None) -> Iterator[str]:
    """An attribution as bars of characters, the largest first."""
    if answer is None:
        return
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
