"""What a report is made of: a tree of blocks, which each form writes in its own way.

:mod:`forensics.report.html_page`, :mod:`forensics.report.pdf_typst` and
:mod:`forensics.report.markdown_text` are the writers. Texts are as they were recorded: a writer
makes them inert, and nothing in a block is markup of any form.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, Protocol, TypeAlias

#: How something is, which gives it its colour; words say it too.
Kind = Literal["holds", "differs", "gone", "unknown"]


@dataclass(frozen=True, slots=True)
class Text:
    """Text as it is read; line ends within a paragraph are spaces."""

    text: str


@dataclass(frozen=True, slots=True)
class Code:
    """Code within a line."""

    text: str


@dataclass(frozen=True, slots=True)
class Styled:
    """Parts that are emphasised: ``em`` or ``strong``."""

    style: str
    parts: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Link:
    """Parts that lead to an address of the web or of mail, or to a place of this page."""

    address: str
    parts: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Break:
    """The end of a line that is to be seen."""


Inline: TypeAlias = Text | Code | Styled | Link | Break


@dataclass(frozen=True, slots=True)
class Heading:
    """A heading; levels count from 1."""

    level: int
    parts: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Paragraph:
    """A paragraph."""

    parts: tuple[Inline, ...]


@dataclass(frozen=True, slots=True)
class Listing:
    """A list; ``start`` is the number of its first item, None where it has no numbers."""

    start: int | None
    items: tuple[tuple[BlockOf, ...], ...]


@dataclass(frozen=True, slots=True)
class Quote:
    """A quotation."""

    blocks: tuple[BlockOf, ...]


@dataclass(frozen=True, slots=True)
class CodeBlock:
    """Lines of code."""

    text: str


@dataclass(frozen=True, slots=True)
class Rule:
    """A line across."""


@dataclass(frozen=True, slots=True)
class Table:
    """A table; every row has as many cells as the head."""

    head: tuple[tuple[Inline, ...], ...]
    rows: tuple[tuple[tuple[Inline, ...], ...], ...] = field(default=())


BlockOf: TypeAlias = Heading | Paragraph | Listing | Quote | CodeBlock | Rule | Table


@dataclass(frozen=True, slots=True)
class Facts:
    """Names and values at the head."""

    pairs: tuple[tuple[str, str], ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a report comes to, in a sentence without its full stop, and what that rests on."""

    kind: Kind
    text: str
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Authored:
    """Markdown that a person wrote: kept byte for byte in Markdown, read in the other forms."""

    text: str


@dataclass(frozen=True, slots=True)
class Broken:
    """Lines that should have been something, and what is wrong with them."""

    why: str
    text: str


@dataclass(frozen=True, slots=True)
class Chart:
    """A drawing: as SVG without colours of its own, and in characters."""

    svg: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Pinned:
    """A statement in a frame, with what became of it and the command that it comes from.

    ``compared`` has rows of what, one side, the other; ``found`` says why it cannot be relied on.
    """

    id: str
    kind: Kind
    text: str
    mark: str
    status: str
    command: str
    where: str
    value: str | None = None
    note: str | None = None
    charts: tuple[Chart, ...] = ()
    compared: tuple[tuple[str, str, str], ...] = ()
    found: tuple[str, ...] = ()
    remark: str | None = None


@dataclass(frozen=True, slots=True)
class Mark:
    """How a statement is known, and where to look: the number of a source, and a place in it."""

    evidence: str
    source: int | None = None
    place: str | None = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """A statement among others, with its mark; ``strong`` for the one that matters most."""

    text: str
    mark: Mark
    strong: bool = False


@dataclass(frozen=True, slots=True)
class Grid:
    """A table of which every row has a mark."""

    head: tuple[str, ...]
    rows: tuple[tuple[tuple[str, ...], Mark], ...]


@dataclass(frozen=True, slots=True)
class Blank:
    """A place that whoever issues the report fills in, and what belongs there."""

    text: str


@dataclass(frozen=True, slots=True)
class Source:
    """Where statements come from: the command that prints it, and what it is."""

    number: int
    command: str | None
    text: str


@dataclass(frozen=True, slots=True)
class Sources:
    """The sources that marks name by number."""

    items: tuple[Source, ...]


Part: TypeAlias = (
    BlockOf | Facts | Verdict | Authored | Broken | Chart | Pinned | Said | Grid | Blank | Sources
)


@dataclass(frozen=True, slots=True)
class Page:
    """A whole report; ``foot`` is left out where it is printed as text."""

    title: str
    parts: tuple[Part, ...]
    foot: tuple[Inline, ...] = ()


class Paged(Protocol):
    """What can be written in any form."""

    def page(self) -> Page:
        """As a tree of blocks."""
        ...
