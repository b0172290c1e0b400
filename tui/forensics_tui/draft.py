"""A postmortem as it is edited: each pin is one line that names it, and moves like a line."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import replace

from forensics.errors import SchemaError
from forensics.incident.document import Block, Document, Prose
from forensics.incident.pin_text import pin_text
from forensics.incident.pins import Pin
from forensics.records.safe_text import safe_text

_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_REFERENCE = re.compile(r"\[pin ([^\s\[\]]+)\](?: ([^\n]*))?\r?\n?$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def read(text: str) -> tuple[Document, str]:
    """A text as a document, and what is wrong with its front matter, if anything."""
    try:
        return Document.of(text), ""
    except SchemaError as error:
        return Document("", {}, (Prose(text),)), str(error)


def reference(pin: Pin) -> str:
    """The line that stands for a pin: its id and its statement."""
    return f"[pin {pin.id}] {safe_text(pin.statement)}"


class Draft:
    """The pins that lines of a text can name, with their blocks as they stand in the file."""

    def __init__(self) -> None:
        self.pins: dict[str, Pin] = {}
        self._blocks: dict[str, str] = {}

    def folded(self, text: str) -> str:
        """The text of a file with a line in the place of each pin.

        A block that is no pin, or whose id another has, stays as it is, to be mended.
        """
        document, _ = read(text)
        self.pins, self._blocks = {}, {}
        found = [document.head]
        for part in document.parts:
            pin = part.pin if isinstance(part, Block) else None
            if pin is None or pin.id in self.pins or not _REFERENCE.match(f"[pin {pin.id}] "):
                found.append(part.text)
                continue
            self.pins[pin.id], self._blocks[pin.id] = pin, part.text
            end = part.text[len(part.text.rstrip("\r\n")) :]
            found.append(reference(pin) + end)
        return "".join(found)

    def whole(self, text: str) -> str:
        """The text of the file: each line that names a pin is its block again.

        What was worded anew is the pin's statement. A pin that is named twice is there twice, the
        second time under another id.
        """
        found: list[str] = []
        used: set[str] = set()
        for line, pin in self._lines(text):
            if pin is None:
                found.append(line)
                continue
            if pin.id in used:
                numbers = (f"{pin.id}-{n}" for n in range(2, len(self.pins) + len(used) + 3))
                pin = replace(pin, id=next(n for n in numbers if n not in {*used, *self.pins}))
            used.add(pin.id)
            block = self._blocks[pin.id] if pin == self.pins.get(pin.id) else pin_text(pin)
            bare = line.endswith("\n") and not block.endswith("\n")
            found.append(f"{block}\n" if bare else block)
        return "".join(found)

    def parts(self, text: str) -> Iterator[tuple[int, Prose | Block]]:
        """The prose and the pins of a text, each with the number of its first line, from 0."""
        document, wrong = read(text)
        row = 0 if wrong else document.head.count("\n")
        body = text if wrong else text[len(document.head) :]
        prose, begun = "", row
        for line, pin in self._lines(body):
            if pin is not None:
                yield from _taken_apart(prose, begun)
                yield row, Block(line, pin)
                prose, begun = "", row + 1
            else:
                prose += line
            row += 1
        yield from _taken_apart(prose, begun)

    def noted(self, id_: str, note: str) -> None:
        """Give a pin another note."""
        self.pins[id_] = replace(self.pins[id_], note=note)
        self._blocks[id_] = pin_text(self.pins[id_])

    def _lines(self, text: str) -> Iterator[tuple[str, Pin | None]]:
        """Each line, and the pin that it stands for, as it words it; within fences none does."""
        fence = ""
        for line in _LINES.findall(text):
            mark = _FENCE.match(line)
            if fence:
                bare = line.strip()
                fence = "" if set(bare) == {fence[0]} and len(bare) >= len(fence) else fence
            elif mark is not None:
                fence = mark[1]
            else:
                found = _REFERENCE.match(line)
                pin = self.pins.get(found[1]) if found is not None else None
                if found is not None and pin is not None:
                    words = " ".join((found[2] or "").split())
                    if words and words != " ".join(safe_text(pin.statement).split()):
                        pin = replace(pin, statement=words)
                    yield line, pin
                    continue
            yield line, None


def _taken_apart(prose: str, row: int) -> Iterator[tuple[int, Prose | Block]]:
    """Prose, and blocks in it that were written or pasted by hand."""
    if not prose:
        return
    # An empty line before it: what stands within is no front matter.
    for number, part in enumerate(Document.of(f"\n{prose}").parts):
        text = part.text[1:] if number == 0 else part.text
        if text:
            yield row, replace(part, text=text)
        row += text.count("\n")


def without_row(text: str, row: int) -> str:
    """A text without one of its lines, and without one of two empty lines that would meet."""
    lines = _LINES.findall(text)
    del lines[row]
    if 0 < row < len(lines) and not lines[row - 1].strip() and not lines[row].strip():
        del lines[row]
    return "".join(lines)


def with_row(text: str, row: int, line: str) -> str:
    """A text with a line before one of its lines, apart from what stands around it."""
    lines = _LINES.findall(text)
    before, after = "".join(lines[:row]), "".join(lines[row:])
    if before and not before.endswith("\n"):
        before += "\n"
    gap = "\n" if before and before.rstrip(" \r\n") + "\n" == before.replace("\r", "") else ""
    follow = "\n" if after and after.lstrip(" ")[:1] not in "\r\n" else ""
    return f"{before}{gap}{line}\n{follow}{after}"


def with_rows_swapped(text: str, one: int, other: int) -> str:
    """A text in which two lines have changed places."""
    lines = [line.rstrip("\n") for line in _LINES.findall(text)]
    lines[one], lines[other] = lines[other], lines[one]
    return "\n".join(lines) + ("\n" if text.endswith("\n") else "")
