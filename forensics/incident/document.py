"""A postmortem: one Markdown file, in which pins are fenced blocks of TOML.

What this program does not change stays as it is, byte for byte: prose, unknown keys, line ends. A
fenced block whose info string begins with ``pin`` is a pin, by the rules of CommonMark for fences.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from forensics.errors import SchemaError, UsageError
from forensics.incident.pin_text import pin_of, pin_text
from forensics.incident.pins import Pin
from forensics.incident.tomltext import line

_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})[ \t]*(.*)")
_LINES = re.compile(r"[^\n]*\n|[^\n]+")
_MARK = "+++"


@dataclass(frozen=True, slots=True)
class Prose:
    """Markdown, as it stands in the file."""

    text: str


@dataclass(frozen=True, slots=True)
class Block:
    """A pin's block as it stands in the file; ``error`` says why it is none, where it is none."""

    text: str
    pin: Pin | None
    error: str | None = None


@dataclass(frozen=True, slots=True)
class Document:
    """A postmortem, taken apart.

    ``head`` is the front matter as it stands in the file, with its marks; ``parts`` follow it.
    """

    head: str
    front: Mapping[str, Any]
    parts: tuple[Prose | Block, ...]

    @classmethod
    def of(cls, text: str) -> Document:
        """Take the text of a file apart.

        Raises:
            SchemaError: when the front matter is no TOML.
        """
        head, body = _front(text)
        inner = "\n".join(head.rstrip("\r\n").split("\n")[1:-1])
        try:
            front = tomllib.loads(inner.replace("\r", ""))
        except tomllib.TOMLDecodeError as error:
            raise SchemaError(
                "The postmortem's front matter is no TOML.", f"{error}.", "Mend the lines in +++."
            ) from error
        return cls(head, front, tuple(_parts(body)))

    @property
    def text(self) -> str:
        """The text of the file."""
        return self.head + "".join(part.text for part in self.parts)

    @property
    def pins(self) -> tuple[Pin, ...]:
        """All pins, in their order."""
        return tuple(
            part.pin for part in self.parts if isinstance(part, Block) and part.pin is not None
        )

    @property
    def title(self) -> str:
        """What it is called."""
        return str(self.front.get("title", "Postmortem"))

    def time(self, key: str) -> datetime | None:
        """A time of the front matter; None where it has none by that name."""
        value = self.front.get(key)
        return value if isinstance(value, datetime) else None

    def with_pin(self, pin: Pin, at: int | None = None) -> Document:
        """This with a pin put in.

        Args:
            pin: its id is given a number where there is one of that id.
            at: after so many lines of the text, or after the block or front matter that it would
                tear apart; at the end where None.

        Raises:
            UsageError: when a fence before it is not closed, so that it would be lost in there.
        """
        taken = {each.id for each in self.pins}
        numbers = (f"{pin.id}-{number}" for number in range(2, len(taken) + 3))
        named = pin.id if pin.id not in taken else next(n for n in numbers if n not in taken)
        lines = _LINES.findall(self.text)
        at = len(lines) if at is None else self._outside(max(0, min(at, len(lines))))
        before, after = "".join(lines[:at]), "".join(lines[at:])
        ends = before.replace("\r", "")
        gap = "" if not before or ends.endswith("\n\n") else "\n" if ends.endswith("\n") else "\n\n"
        follow = "" if not after or after.replace("\r", "").startswith("\n") else "\n"
        block = self._lines_end(gap + pin_text(replace(pin, id=named)) + follow)
        made = Document.of(before + block + after)
        if named not in {each.id for each in made.pins}:
            raise UsageError(
                "The pin cannot be put there.",
                "A fenced block before it does not end.",
                "Close it.",
            )
        return made

    def _lines_end(self, text: str) -> str:
        """``text`` with ends of lines as this has them."""
        return text.replace("\n", "\r\n") if "\r\n" in self.text else text

    def _outside(self, at: int) -> int:
        """The first line from ``at`` on before which something can be put."""
        passed = len(_LINES.findall(self.head))
        if at <= passed:
            return passed
        for lines, _, _ in _chunks("".join(part.text for part in self.parts)):
            if passed < at < passed + len(lines):
                return passed + len(lines)
            passed += len(lines)
        return at

    def replaced(self, pin: Pin) -> Document:
        """This with another pin in the place of the one of its id; all else as it stands."""
        parts = [
            Block(self._lines_end(pin_text(pin)), pin)
            if isinstance(part, Block) and part.pin is not None and part.pin.id == pin.id
            else part
            for part in self.parts
        ]
        return replace(self, parts=tuple(parts))

    def without_pin(self, identifier: str) -> Document:
        """This without the pin of an id."""
        parts = [
            part
            for part in self.parts
            if not (isinstance(part, Block) and part.pin and part.pin.id == identifier)
        ]
        return replace(self, parts=tuple(parts))


def front_text(values: Mapping[str, Any]) -> str:
    """Front matter with its marks."""
    lines = [line(key, value) for key, value in values.items() if value is not None]
    return "\n".join([_MARK, *lines, _MARK, ""])


def _front(text: str) -> tuple[str, str]:
    """The front matter with its marks, and what follows; nothing and all where there is none."""
    lines = text.split("\n")
    if lines[0].lstrip("\ufeff").rstrip() != _MARK:
        return "", text
    for number, each in enumerate(lines[1:], 1):
        if each.rstrip() == _MARK:
            head = "\n".join(lines[: number + 1])
            rest = "\n".join(lines[number + 1 :])
            return (f"{head}\n", rest) if number + 1 < len(lines) else (head, "")
    return "", text


def _parts(body: str) -> Iterator[Prose | Block]:
    """Prose and pins in turn; what is between the fences of other blocks is prose."""
    text: list[str] = []
    for lines, info, closed in _chunks(body):
        if (info.split() or [""])[0] != "pin":
            text += lines
            continue
        if text:
            yield Prose("".join(text))
            text = []
        yield _block(lines, closed)
    if text:
        yield Prose("".join(text))


def _chunks(body: str) -> Iterator[tuple[list[str], str, bool]]:
    """Single lines, and the lines of fenced blocks with their info string and whether they end."""
    lines = iter(_LINES.findall(body))
    for each in lines:
        fence = _FENCE.match(each.rstrip("\r\n"))
        # A fence of backticks has none in its info string; else it is code within a line.
        if fence is None or (fence[1][0] == "`" and "`" in fence[2]):
            yield [each], "", True
            continue
        block = [each]
        closed = False
        for inner in lines:
            block.append(inner)
            if closed := _closes(inner, fence[1]):
                break
        yield block, fence[2], closed


def _closes(inner: str, fence: str) -> bool:
    text = inner.rstrip()
    bare = text.lstrip(" ")
    return (
        len(text) - len(bare) <= 3 and len(bare) >= len(fence) and set(bare) == {fence[0]}
    )  # fmt: skip


def _block(lines: list[str], closed: bool) -> Block:
    text = "".join(lines)
    if not closed:
        return Block(text, None, "its fence is not closed")
    inner = "".join(lines[1:-1]).replace("\r\n", "\n")
    try:
        return Block(text, pin_of(tomllib.loads(inner)))
    except tomllib.TOMLDecodeError as error:
        return Block(text, None, f"it is no TOML: {error}")
    except SchemaError as error:
        return Block(text, None, str(error))
