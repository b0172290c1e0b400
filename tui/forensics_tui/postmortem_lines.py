"""A postmortem as it reads: its prose laid out, its pins as statements with what became of them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from forensics.incident.document import Document, Prose
from forensics.incident.pins import Checked, Pin
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.report.postmortem import MARKS, SAID, Stated
from forensics.report.postmortem_page import drawn
from forensics.report.spans import Line, Span, Style, fitted, span, wrapped
from forensics_tui.draft import Draft, read
from forensics_tui.markdown_lines import Laid, laid_out

#: Styles by what became of a pin.
_STYLES: Mapping[str | None, Style] = {"holds": "good", "differs": "bad", "gone": "bad"}


def lines(
    draft: Draft, text: str, checks: Mapping[str, Checked | str], here: str | None, width: int
) -> list[Laid]:
    """All of it, each line with the line of the text that it comes from.

    Args:
        draft: the pins.
        text: as it is edited.
        checks: by the ids of pins: what became of them, or ``checking``.
        here: the id of the pin under the cursor.
        width: columns of the terminal.
    """
    document, wrong = read(text)
    found = [Laid(line, 0) for line in _head(document, wrong, width)]
    for first, part in draft.parts(text):
        if isinstance(part, Prose):
            found += laid_out(part.text, width, first)
        elif part.pin is None:
            words = f"This pin cannot be read: {part.error or ''}"
            found += [Laid(line, first) for line in _wrong(words, width)]
        else:
            check = checks.get(part.pin.id, "unchecked")
            shown = pin_lines(part.pin, check, part.pin.id == here, width)
            found += [Laid(line, first) for line in shown]
        if found and found[-1].line:
            found.append(Laid([], first))
    return found


def _head(document: Document, wrong: str, width: int) -> Iterator[Line]:
    if wrong:
        yield from _wrong(wrong, width)
        yield []
        return
    for text in wrapped(safe_text(document.title), width):
        yield [Span(text, "bold")]
    since, until = document.time("since"), document.time("until")
    facts = [safe_text(document.front.get("decision_point", ""))]
    if since is not None and until is not None:
        facts.append(f"{since:%Y-%m-%d %H:%M} to {until:%Y-%m-%d %H:%M} UTC")
    yield fitted([Span(" · ".join(fact for fact in facts if fact), "dim")], width)
    yield [Span("═" * width, "dim")]
    yield []


def _wrong(words: str, width: int) -> Iterator[Line]:
    for number, text in enumerate(wrapped(safe_text(words), width - 2)):
        yield [Span("✗ " if number == 0 else "  ", "bad"), Span(text, "bad")]


def pin_lines(pin: Pin, check: Checked | str, here: bool, width: int) -> list[Line]:
    """A pin as a statement with its mark, its chart if it has one, its note and its question."""
    stated, sign, words, style = _marked(pin, check)
    found: list[Line] = []
    for number, text in enumerate(wrapped(safe_text(pin.statement), width - 4)):
        lead = [Span("> " if here else "  ", "accent"), Span(f"{sign} ", style)]
        found.append([*(lead if number == 0 else [Span("    ")]), Span(text, "bold")])
    found += [fitted([span(f"  {text}", "accent")], width) for text in drawn(stated)]
    if pin.note:
        found += [[Span(f"    {text}")] for text in wrapped(safe_text(pin.note), width - 4)]
    found.append(fitted([Span(f"    {words}", style), span(f" · {_rests(pin)}", "dim")], width))
    for words in stated.lines:
        found += [[Span(f"    {text}", style)] for text in wrapped(safe_text(words), width - 4)]
    found.append(fitted([span(f"    {pin.question.line()}", "dim")], width))
    return found


def statement(pin: Pin, check: Checked | str) -> str:
    """A pin on one line, for a list."""
    _, sign, words, _ = _marked(pin, check)
    return f"{sign} {safe_text(pin.statement)} · {words}"


def _marked(pin: Pin, check: Checked | str) -> tuple[Stated, str, str, Style]:
    """A pin with its sign, so that nothing rests on colour, what it means, and a style."""
    stated = Stated(pin, check if isinstance(check, Checked) else None)
    if check == "checking":
        return stated, "…", "checking", "dim"
    return stated, MARKS[stated.status], SAID[stated.status], _STYLES.get(stated.status, "dim")


def _rests(pin: Pin) -> str:
    facts = []
    if pin.records:
        facts.append(f"{len(pin.records)} record" + ("s" if len(pin.records) > 1 else ""))
    if pin.window is not None:
        facts.append(count_of(pin.window.decisions, "decision"))
    facts.append(f"pinned {pin.taken_at:%Y-%m-%d %H:%M}")
    return " · ".join(facts)
