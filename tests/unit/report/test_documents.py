"""Documents keep their statements, evidence and references in every form, whatever the text."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pytest

from forensics.api import open_lake
from forensics.records.safe_text import safe_text
from forensics.report.document import Document, Reference, Section, Statement
from forensics.report.html_page import page
from forensics.report.markdown_text import inert, markdown
from forensics.report.pdf_typst import pdf, source
from forensics.testing import change_record, decision_record, override_record

NOW = datetime(2026, 11, 2, tzinfo=UTC)
EVIL = (
    "<script>window.hurt=1</script><img src=http://evil.example/x onerror=window.hurt=1>",
    "\"><svg onload=window.hurt=1></title></style>",
    "[a](javascript:window.hurt=1) ![b](http://evil.example/y.png) www.evil.example a@b.c",
    "#import \"x.typ\"; #read(\"secret\") \\u{41} ]] [[ // * _ @ <label>",
    "| a | b |\n# no heading\n- no item\n```\n_x_ __y__ ~~q~~ 1. 0.5",
    "\x1b[2J\x07 \u202egnp.exe\u202c \u2028 \ufeff",
)  # fmt: skip
#: What a page of any document may be made of.
USUAL = {"html", "head", "meta", "title", "style", "body", "main", "h1", "h2", "h3", "h4", "p",
         "strong", "span", "code", "b", "br", "dl", "dt", "dd", "div", "a", "wbr", "table",
         "thead", "tbody", "tr", "th", "td", "ul", "li", "figure", "svg", "rect", "line",
         "text"}  # fmt: skip


class Read(HTMLParser):
    """The elements of a page, their attributes, and its text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._style = False
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._style = tag == "style"

    def handle_endtag(self, tag: str) -> None:
        self._style = False

    def handle_data(self, data: str) -> None:
        if not self._style:
            self.text += data


@pytest.fixture
def hostile(lake: Path, take_in: Callable[..., Any]) -> list[Document]:
    """Documents of a lake in which every text is hostile."""
    records: list[dict[str, Any]] = []
    for number, text in enumerate(EVIL):
        records.append(
            decision_record(
                decision_id=f"d{number}{text}",
                request_id=text,
                outcome=text,
                subject={"id": EVIL[0], "purpose": text, "legal_basis": text},
                features={"x": text, "y": text},
                model={"name": text, "version": text},
                config={"revision": text, "values": {text: text}},
                consumer={"name": text, "received": text, "action": text},
                explanation={"method": text, "base_value": 0.1, "unit": text, "reasons": [text],
                             "attributions": dict.fromkeys(EVIL, 0.5)},
                steps=[{"id": text, "kind": text, "component": text, "outputs": text}],
                feature_sources=[{"view": text, "dataset": text, "features": ["x"], "job": text}],
            )
        )  # fmt: skip
        records.append(
            override_record(decision_id=f"d{number}{text}", actor=text, reason=text,
                            final_outcome=text)
        )  # fmt: skip
    first = records[0]["occurred_at"]
    records += [change_record(occurred_at=first, component=text, reason=text) for text in EVIL]
    take_in(records)
    with open_lake(lake) as opened:
        opened.trace(EVIL[0], replay=False)
        return [
            opened.subject_report(EVIL[0], now=NOW, audit=True),
            *(opened.decision_report(text, now=NOW) for text in EVIL[:3]),
            opened.audit_report(opened.audit(), now=NOW),
        ]


@pytest.fixture(params=["made up", "of a lake"])
def documents(request: pytest.FixtureRequest) -> list[Document]:
    if request.param == "made up":
        return [request.getfixturevalue("hostile_document")]
    found: list[Document] = request.getfixturevalue("hostile")
    return found


def test_nothing_in_a_page_acts(documents: list[Document]) -> None:
    for document in documents:
        found = Read(page(document))
        assert {name for name, _ in found.elements} <= USUAL
        for name, attributes in found.elements:
            assert not any(key.startswith("on") for key in attributes)
            assert not {"src", "style", "action"} & attributes.keys()
            if name == "a":
                assert re.fullmatch(r"#source-\d+", attributes["href"] or "")
        assert "<script>" not in page(document)


def test_nothing_in_markdown_is_drawn_but_the_documents_own(documents: list[Document]) -> None:
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    for document in documents:
        found = Read(reader.render(markdown(document)))
        names = {name for name, _ in found.elements}
        assert not names & {"script", "img", "a", "svg", "iframe", "s", "ol", "hr", "blockquote"}
        heads = sum(name in ("h1", "h2", "h3", "h4") for name, _ in found.elements)
        headed = sum(name in ("h1", "h2", "h3", "h4") for name, _ in Read(page(document)).elements)
        assert heads == headed


def test_no_form_has_a_character_that_acts(documents: list[Document]) -> None:
    wrong = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
    for document in documents:
        for text in (page(document), markdown(document), source(document)):
            kept = "\n\u200c\u200d"
            assert not {hex(ord(c)) for c in text
                        if c not in kept and unicodedata.category(c) in wrong}  # fmt: skip


def test_typst_sets_them_and_their_text_stays_text(documents: list[Document]) -> None:
    pytest.importorskip("typst")
    for document in documents:
        outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', source(document))
        assert "import" not in outside
        assert "read(" not in outside
        data = pdf(document)
        assert data.startswith(b"%PDF-")
        assert b"/URI" not in data


def test_every_text_is_shown_as_it_is_in_the_page_and_in_json(hostile_document: Document) -> None:
    said = Read(page(hostile_document)).text
    for section, known in zip(
        hostile_document.sections, hostile_document.to_dict()["sections"], strict=True
    ):
        assert said.count(inert(section.title)) >= 10
        assert known["items"][0]["statement"] == section.title


def test_a_mark_names_evidence_source_place_and_reason_in_every_form() -> None:
    ref = Reference("forensics trace d --json", None, "d", "abcd")
    items = (
        Statement("a", "One.", "recorded", ref.at("/decision/outcome")),
        Statement("b", "Two.", "missing", ref.of("subject.purpose"), "never written"),
        Statement("c", "Three.", "redacted", Reference(), "role x may not see it"),
        Statement("d", "Four.", "inferred", Reference("forensics audit --json", "/coverage")),
    )
    document = Document("test", "T", (), "v", None, (Section("S", items),), NOW)
    text = markdown(document)
    for line in (
        "- One. — _recorded_ \\[1\\] `/decision/outcome`",
        "- Two. — _missing_: never written \\[1\\] `record: subject.purpose`",
        "- Three. — _redacted_: role x may not see it",
        "- Four. — _inferred_ \\[2\\] `/coverage`",
        "- \\[1\\] `forensics trace d --json` — decision d; its record's leaf in the log is abcd",
    ):
        assert line in text.split("\n")
    shown = " ".join(Read(page(document)).text.split())
    assert "Two. missing never written [1] record: subject.purpose" in shown
    found = Read(page(document))
    ids = {attributes["id"] for _, attributes in found.elements if "id" in attributes}
    links = {a["href"] for name, a in found.elements if name == "a"}
    assert links == {f"#{name}" for name in ids}


def test_the_same_lake_gives_the_same_document(sample_lake: Path) -> None:
    with open_lake(sample_lake) as opened:
        one, other = (opened.decision_report("7f3a-c1", now=NOW) for _ in range(2))
    assert one == other
    for form in (page, markdown, source):
        assert form(one) == form(other)


def test_a_decision_in_full_says_all_that_a_trace_has(sample_lake: Path) -> None:
    with open_lake(sample_lake) as opened:
        (trace,) = opened.trace("7f3a-c1")
        document = opened.decision_report("7f3a-c1", now=NOW)
    text = Read(page(document)).text
    for feature in trace.features:
        assert feature.name in text
    for finding in trace.findings:
        assert safe_text(finding.statement) in text
    for change in trace.changes[:20]:
        assert safe_text(change.statement) in text
    for step in trace.decision.steps:
        assert safe_text(str(step["id"])) in text
    assert trace.integrity.leaf is not None
    assert trace.integrity.leaf.hex() in text
    assert "svg" in {name for name, _ in Read(page(document)).elements}
