"""The Big List of Naughty Strings as statements, notes, titles and ids: text in every form."""

from __future__ import annotations

import json
import unicodedata
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from forensics.incident.document import Document, front_text
from forensics.incident.evidence import Record
from forensics.incident.pin_text import pin_text
from forensics.incident.pins import Pin, Value
from forensics.incident.questions import Question
from forensics.records.safe_text import safe_text
from forensics.report.html_page import page
from forensics.report.markdown_text import inert, markdown
from forensics.report.pdf_typst import pdf
from forensics.report.postmortem import Report, report

NOW = datetime(2026, 11, 2, tzinfo=UTC)
#: What a page made of one statement has, whatever the statement says.
USUAL = {"html", "head", "meta", "title", "style", "body", "main", "h1", "p", "strong", "section",
         "span", "code", "b", "footer"}  # fmt: skip


class Read(HTMLParser):
    """The elements of a page, the texts of its statements, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.statements: list[str] = []
        self.text = ""
        self._inside = 0
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        if self._inside:
            self._inside += 1
        elif ("class", "text") in attrs:
            self._inside = 1
            self.statements.append("")

    def handle_endtag(self, tag: str) -> None:
        self._inside = max(self._inside - 1, 0)

    def handle_data(self, data: str) -> None:
        self.text += data
        if self._inside:
            self.statements[-1] += data


@pytest.fixture(scope="module")
def strings(corpus: Path) -> list[str]:
    naughty = json.loads((corpus / "hostile" / "blns" / "blns.json").read_text(encoding="utf-8"))
    assert len(naughty) > 400
    return list(dict.fromkeys(naughty))


@pytest.fixture(scope="module")
def naughty(strings: list[str]) -> Report:
    pins = [
        Pin(
            id=f"p-{number}",
            note=text,
            question=Question("trace", {"id": text}),
            pointer="",
            statement=text,
            value=Value.of({text: text}),
            records=(Record(text, text),),
            window=None,
            taken_at=NOW,
            lake_version=1,
        )
        for number, text in enumerate(strings)
    ]
    text = front_text({"title": strings[7]}) + "\n".join(map(pin_text, pins))
    document = Document.of(text)
    return report("x.md", document, None, NOW)


def test_every_one_comes_back_from_the_file(naughty: Report, strings: list[str]) -> None:
    assert [stated.pin.statement for stated in naughty.stated] == strings
    assert all(line.isprintable() for line in naughty.document.text.split("\n"))


def test_the_page_shows_each_and_has_no_other_element(naughty: Report, strings: list[str]) -> None:
    found = Read(page(naughty))
    assert found.statements == [inert(text) for text in strings]
    assert found.names <= USUAL


def test_markdown_shows_each_and_a_reader_draws_nothing_else(
    naughty: Report, strings: list[str]
) -> None:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    text = markdown(naughty)
    found = Read(reader.render(text))
    assert found.names == {"h1", "p", "strong", "ul", "li", "code"}
    shown = " ".join(found.text.split())
    for string in strings:
        assert " ".join(safe_text(string).split()) in shown


def test_nothing_that_acts_is_in_either(naughty: Report) -> None:
    for text in (page(naughty), markdown(naughty)):
        kept = "\n\u200c\u200d"
        wrong = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
        assert not {hex(ord(c)) for c in text if c not in kept and unicodedata.category(c) in wrong}


def test_typst_sets_them_all(naughty: Report) -> None:
    pytest.importorskip("typst")
    assert pdf(naughty).startswith(b"%PDF-")
