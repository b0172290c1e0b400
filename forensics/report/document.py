"""A document that somebody is given: sections of statements, each with how it is known and where.

Every form is written from this: :meth:`Document.page` gives the blocks that the writers set, and
:meth:`Document.to_dict` the same statements for programs, each with its JSON pointer.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypeAlias

from forensics.reconstruct.reconstruction import Evidence
from forensics.report import blocks
from forensics.report.blocks import Chart, Mark
from forensics.report.words import capital

#: What is said of each evidence status to somebody who has never met it.
EVIDENCE: Mapping[Evidence, str] = {
    "recorded": "It was written down when the decision was made, and is given as it was written.",
    "recomputed": "It was worked out now, by running the recorded programs on the recorded data.",
    "inferred": "It was concluded from other evidence, without running anything.",
    "missing": "It was never written down, or cannot be worked out; the reason is given.",
    "redacted": "It was written down and is withheld here; the rule is given.",
}


@dataclass(frozen=True, slots=True)
class Reference:
    """Where a statement can be looked up.

    ``command`` prints JSON, in which ``pointer`` (RFC 6901) is the statement's part; where no
    command prints it, ``field`` is the path in the record that ``leaf`` commits to.
    """

    command: str | None = None
    pointer: str | None = None
    decision_id: str | None = None
    leaf: str | None = None
    field: str | None = None

    def at(self, pointer: str) -> Reference:
        """The same source, another part of it."""
        return Reference(self.command, pointer, self.decision_id, self.leaf)

    def of(self, path: str) -> Reference:
        """The record itself, where no command prints that field."""
        return Reference(self.command, None, self.decision_id, self.leaf, path)


@dataclass(frozen=True, slots=True)
class Statement:
    """A sentence; ``reason`` says why something is missing, or by what rule it is withheld.

    ``about`` says for programs what the statement is about; ``value`` is what it rests on.
    """

    about: str
    text: str
    evidence: Evidence
    reference: Reference
    reason: str | None = None
    value: Any = None
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Row:
    """A row of a table: as many cells as the table's head."""

    cells: tuple[str, ...]
    evidence: Evidence
    reference: Reference
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Rows:
    """A table of which every row is a statement."""

    about: str
    head: tuple[str, ...]
    rows: tuple[Row, ...]


@dataclass(frozen=True, slots=True)
class Note:
    """Words that say how to read what follows, and claim nothing."""

    text: str


@dataclass(frozen=True, slots=True)
class FillIn:
    """What whoever issues the document has to write in."""

    text: str


Item: TypeAlias = Statement | Rows | Note | FillIn | Chart


@dataclass(frozen=True, slots=True)
class Section:
    """Statements about one thing, and sections about parts of it."""

    title: str
    items: tuple[Item, ...] = ()
    sections: tuple[Section, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """A whole document.

    ``whole`` is whether the evidence answers all of it; ``gaps`` say in a sentence each what it
    does not. ``data`` is for programs only.
    """

    kind: str
    title: str
    facts: tuple[tuple[str, str], ...]
    verdict: str
    note: str | None
    sections: tuple[Section, ...]
    made_at: datetime
    gaps: tuple[str, ...] = ()
    data: Mapping[str, Any] = field(default_factory=dict)
    #: Whether what it tells of is as it should be, whatever the evidence.
    sound: bool = True
    #: Whether to explain the evidence statuses, for somebody who has never met them.
    explains: bool = True

    @property
    def whole(self) -> bool:
        """Whether nothing that was looked for is missing."""
        return not self.gaps

    def page(self) -> blocks.Page:
        """As a tree of blocks, which the writers set."""
        numbered = _Sources()
        parts: list[blocks.Part] = [
            blocks.Facts(self.facts),
            blocks.Verdict(
                "holds" if self.whole and self.sound else "gone",
                self.verdict,
                self.note and capital(self.note),
            ),
        ]
        for section in self.sections:
            parts += _section(section, 2, numbered)
        if self.explains:
            parts += _legend()
        if numbered.items:
            parts.append(blocks.Heading(2, (blocks.Text("Sources"),)))
            parts.append(
                _paragraph(
                    "The number after a statement names its source here. The command prints JSON; "
                    "what stands after the number is the place in it (a JSON pointer, RFC 6901)."
                )
            )
            parts.append(blocks.Sources(tuple(numbered.items)))
        return blocks.Page(self.title, tuple(parts))

    def to_dict(self) -> dict[str, Any]:
        """The same statements as plain mappings."""
        return {
            "report": self.kind,
            "title": self.title,
            "made_at": self.made_at,
            "facts": [{"name": name, "value": value} for name, value in self.facts],
            "verdict": self.verdict,
            "note": self.note,
            "complete": self.whole,
            "gaps": list(self.gaps),
            **self.data,
            "sections": [_section_dict(section) for section in self.sections],
        }


class _Sources:
    """Numbers sources in the order in which they are first met."""

    def __init__(self) -> None:
        self.items: list[blocks.Source] = []
        self._numbers: dict[tuple[str | None, str | None], int] = {}

    def mark(self, evidence: Evidence, reference: Reference, reason: str | None) -> Mark:
        key = reference.command, reference.decision_id
        if key == (None, None):
            return Mark(evidence, reason=reason)
        if key not in self._numbers:
            number = self._numbers[key] = len(self.items) + 1
            self.items.append(blocks.Source(number, reference.command, _source_text(reference)))
        place = reference.pointer or (f"record: {reference.field}" if reference.field else None)
        return Mark(evidence, self._numbers[key], place, reason)


def _source_text(reference: Reference) -> str:
    if reference.decision_id is None:
        return "of the lake"
    leaf = f"; its record's leaf in the log is {reference.leaf}" if reference.leaf else ""
    return f"decision {reference.decision_id}{leaf}"


def _section(section: Section, level: int, numbered: _Sources) -> list[blocks.Part]:
    parts: list[blocks.Part] = [blocks.Heading(level, (blocks.Text(section.title),))]
    for item in section.items:
        match item:
            case Statement():
                mark = numbered.mark(item.evidence, item.reference, item.reason)
                parts.append(blocks.Said(item.text, mark, item.strong))
            case Rows(_, head, rows):
                marked = tuple(
                    (row.cells, numbered.mark(row.evidence, row.reference, row.reason))
                    for row in rows
                )
                parts.append(blocks.Grid(head, marked))
            case Note(text):
                parts.append(_paragraph(text))
            case FillIn(text):
                parts.append(blocks.Blank(text))
            case Chart():
                parts.append(item)
    for inner in section.sections:
        parts += _section(inner, level + 1, numbered)
    return parts


def _legend() -> list[blocks.Part]:
    heads = ((blocks.Text("word"),), (blocks.Text("meaning"),))
    rows = tuple(((blocks.Text(name),), (blocks.Text(said),)) for name, said in EVIDENCE.items())
    return [
        blocks.Heading(2, (blocks.Text("How each statement is known"),)),
        _paragraph("One of these words stands beside every statement."),
        blocks.Table(heads, rows),
    ]


def _paragraph(text: str) -> blocks.Paragraph:
    return blocks.Paragraph((blocks.Text(text),))


def _section_dict(section: Section) -> dict[str, Any]:
    return {
        "title": section.title,
        "items": [each for item in section.items if (each := _item_dict(item)) is not None],
        "sections": [_section_dict(inner) for inner in section.sections],
    }


def _item_dict(item: Item) -> dict[str, Any] | None:
    match item:
        case Statement():
            return {
                "about": item.about,
                "statement": item.text,
                "value": item.value,
                **_known(item.evidence, item.reference, item.reason),
            }
        case Rows(about, head, rows):
            return {
                "about": about,
                "rows": [
                    dict(zip(head, row.cells, strict=True))
                    | _known(row.evidence, row.reference, row.reason)
                    for row in rows
                ],
            }
        case Note(text):
            return {"about": "note", "text": text}
        case FillIn(text):
            return {"about": "fill_in", "text": text}
        case Chart():
            return None


def _known(evidence: Evidence, reference: Reference, reason: str | None) -> dict[str, Any]:
    return {
        "evidence": evidence,
        "reason": reason,
        "reference": {
            "command": reference.command,
            "pointer": reference.pointer,
            "decision_id": reference.decision_id,
            "leaf": reference.leaf,
            "field": reference.field,
        },
    }


def joined(words: Sequence[str]) -> str:
    """``a, b and c``."""
    return " and ".join(filter(None, (", ".join(words[:-1]), *words[-1:])))
