"""A rendered postmortem says of every statement whether it holds, and is inert in every form."""

from __future__ import annotations

import re
import sys
import unicodedata
from datetime import UTC, datetime
from html.parser import HTMLParser
from pathlib import Path

import pytest

from forensics.errors import DependencyError
from forensics.incident.document import Document
from forensics.lake.snapshot import take
from forensics.report.html_page import page
from forensics.report.markdown_text import escaped, markdown
from forensics.report.pdf_typst import pdf, source
from forensics.report.postmortem import Report, report

EVIL = "evil.example"
NOW = datetime(2026, 11, 2, tzinfo=UTC)


class Elements(HTMLParser):
    """What elements, attributes and texts a page has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self._open = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append((tag, dict(attrs)))
        self._open = tag

    def handle_endtag(self, tag: str) -> None:
        self._open = ""

    def handle_data(self, data: str) -> None:
        if self._open != "style":
            self.text += data


def active(text: str) -> set[str]:
    """Characters that do something, but ends of lines and what joins letters or emoji."""
    kept = "\n\u200c\u200d"
    wrong = ("Cc", "Cf", "Co", "Cs", "Zl", "Zp")
    return {hex(ord(c)) for c in text if c not in kept and unicodedata.category(c) in wrong}


def test_every_statement_is_marked_with_its_command_and_value(incident: Report) -> None:
    assert incident.holds
    said = Elements(page(incident)).text
    text = markdown(incident)
    for stated in incident.stated:
        assert stated.pin.statement in said
        assert f"`{stated.command}`" in text
        assert stated.command in " ".join(said.split())
        if stated.value is not None:
            assert stated.value in said
    assert said.count("✓ still holds") == text.count("**still holds**") == len(incident.stated) > 10
    assert f"All {len(incident.stated)} pinned statements still hold." in said


def test_what_moved_is_told_with_both_values_in_every_form(moved: Report) -> None:
    assert moved.counts == {"statements": 3, "holds": 1, "differs": 1, "gone": 1, "broken": 1}
    for text in (Elements(page(moved)).text, markdown(moved).replace("\\", "")):
        assert "of 3 pinned statements 1 still holds, 1 differs now, 1 cannot be asked now" in (
            text.lower()
        )
        assert "3 as pinned, 4 now" in text
        assert "there is no 'decision'" in text
        assert "This block is no pin: It has" in text or "This block is no pin: Its" in text
        assert "differs now" in text
    typeset = source(moved)
    assert "3 as pinned, 4 now" in typeset
    found = moved.to_dict()
    assert [pin["status"] for pin in found["pins"]] == ["holds", "differs", "gone"]
    assert found["pins"][1]["differences"] == [{"pointer": "", "old": 3, "new": 4}]


def test_the_verdict_is_a_sentence_whatever_the_numbers_are(
    incident: Report, sample_lake: Path
) -> None:
    from forensics.incident.pin_text import pin_text

    broken = "```pin\nid = 1\n```\n"
    one = pin_text(incident.stated[0].pin)
    said = {
        "": "nothing is pinned",
        broken: "nothing is pinned; 1 block cannot be read as a pin",
        one: "its pinned statement still holds",
        one + one: "all 2 pinned statements still hold",
        one.replace("'107'", "'1'").replace('"107"', '"1"'): "of 1 pinned statement 1 differs now",
        one + broken + broken: "its pinned statement still holds; 2 blocks cannot be read as a pin",
    }
    for text, expected in said.items():
        assert report("x.md", Document.of(text), take(sample_lake), NOW).verdict == expected
    assert report("x.md", Document.of(one), None, NOW).verdict == (
        "1 pinned statement, not re-checked"
    )


def test_without_a_recheck_nothing_is_claimed(incident: Report) -> None:
    unasked = report("x.md", incident.document, None, incident.lake.checked_at)  # type: ignore[union-attr]
    for text in (page(unasked), markdown(unasked), source(unasked)):
        assert "still hold" not in text
        assert "not re-checked" in text
    assert {pin["status"] for pin in unasked.to_dict()["pins"]} == {None}


def test_the_same_lake_and_file_give_the_same_bytes(incident: Report, sample_lake: Path) -> None:
    assert incident.lake is not None
    again = report("x.md", incident.document, take(sample_lake), incident.lake.checked_at)
    later = report(
        "x.md", incident.document, take(sample_lake), incident.lake.checked_at.replace(year=2030)
    )
    for form in (page, markdown, source):
        assert form(again) == form(incident)
        lines = zip(form(later).split("\n"), form(incident).split("\n"), strict=True)
        assert sum(one != other for one, other in lines) == 1, "only the line of the re-check"


def test_the_page_has_no_script_no_style_attribute_and_fetches_nothing(
    incident: Report, hostile: Report
) -> None:
    for made in (incident, hostile):
        elements = Elements(page(made)).elements
        names = {name for name, _ in elements}
        assert not names & {"script", "iframe", "img", "object", "embed", "link", "base", "form",
                            "input", "foreignobject", "use", "image", "animate", "set"}  # fmt: skip
        for _, attributes in elements:
            assert not any(name.startswith("on") for name in attributes)
            assert not {"style", "src", "srcdoc", "action", "xlink:href"} & attributes.keys()
            assert EVIL not in attributes.get("href", "")  # type: ignore[operator]
        policy = next(a["content"] for _, a in elements if "http-equiv" in a)
        assert policy is not None
        assert policy.startswith("default-src 'none'; style-src 'sha256-")
        assert "unsafe" not in policy


def test_the_policy_names_the_style_sheet_that_is_there(incident: Report) -> None:
    import base64
    import hashlib

    text = page(incident)
    (style,) = re.findall(r"<style>(.*?)</style>", text, re.DOTALL)
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"'sha256-{digest}'" in text
    assert "@import" not in style
    assert "url(" not in style


def test_hostile_text_is_shown_and_does_nothing_in_the_page(hostile: Report) -> None:
    text = page(hostile)
    assert not active(text)
    said = Elements(text).text
    assert "<script>window.hurt=1</script>" in said
    assert "[a](javascript:window.hurt=1)" in said
    assert "\\x1b[2J" in said


def test_hostile_text_is_shown_and_does_nothing_in_markdown(hostile: Report) -> None:
    text = markdown(hostile)
    assert not active(text)
    bare = re.sub(
        r"(`+)(?!`).*?(?<!`)\1(?!`)", "", re.sub(r"```text.*?```", "", text, flags=re.DOTALL)
    )
    assert "<" not in bare.replace("\\<", "")
    assert "](" not in bare.replace("\\]", "")
    assert not re.search(r"(?<!\\):\/\/|www\.(?!\\)", bare)
    read = rendered(text)
    names = {name for name, _ in Elements(read).elements}
    assert not names & {"script", "img", "a", "svg", "iframe", "s"}
    assert "<script>window.hurt=1</script>" in Elements(read).text


def rendered(text: str) -> str:
    """``text`` as a Markdown reader that we did not write shows it, with GitHub's extensions."""
    from markdown_it import MarkdownIt

    reader = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])
    made: str = reader.render(text)
    return made


def test_a_statement_in_markdown_reads_as_it_was(hostile: Report) -> None:
    from forensics.records.safe_text import safe_text

    for stated in hostile.stated:
        shown = Elements(rendered(f"- ✓ {escaped(stated.pin.statement)}")).text.strip()
        assert shown == f"✓ {safe_text(stated.pin.statement)}".strip()
    for text in ("# x", "- x", "+ x", "1. x", "12) x", "= x", "> x", "---", "***"):
        for lead in ("", "- "):
            read = rendered(f"{lead}{escaped(text)}")
            assert Elements(read).text.strip() == text, read
            assert not {"h1", "h2", "ol", "hr", "blockquote"} & {
                n for n, _ in Elements(read).elements
            }


def test_typst_sets_it_and_hostile_text_stays_text(hostile: Report, incident: Report) -> None:
    pytest.importorskip("typst")
    for made in (hostile, incident):
        data = pdf(made)
        assert data.startswith(b"%PDF-")
        assert b"/URI" not in data
        assert data == pdf(made)
    outside = re.sub(r'"(?:[^"\\]|\\.)*"', '""', source(hostile))
    assert "import" not in outside
    assert "read(" not in outside
    assert "eval" not in outside


def test_without_typst_a_pdf_says_what_to_install(
    incident: Report, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "typst", None)
    with pytest.raises(DependencyError, match=r"decision-forensics\[report\]"):
        pdf(incident)
    assert page(incident)


def test_prose_is_kept_as_it_is_in_markdown_and_read_in_the_page(sample_lake: Path) -> None:
    prose = (
        "\n## *Why*\n\n1. a <b>\n2. `c`\n\n> d | e\n\n| f | g |\n|---|---|\n| h | i |\n\n"
        "---\nj\\\nk\n"
    )
    made = report("x.md", Document.of(prose), take(sample_lake), NOW)
    assert prose.lstrip("\n") in markdown(made)
    names = [name for name, _ in Elements(page(made)).elements]
    for name in ("h2", "em", "ol", "li", "code", "blockquote", "table", "td", "hr", "br"):
        assert name in names
    assert "b" not in names
    pytest.importorskip("typst")
    assert pdf(made).startswith(b"%PDF-")


def test_charts_are_drawn_of_what_was_asked_again(incident: Report) -> None:
    text = page(incident)
    assert text.count("<svg ") == 2
    assert 'class="jump"' in text
    assert 'class="span"' in text
    assert "utilisation_3m = 37.74" in text
    assert "▁" in markdown(incident)
    assert "█" in markdown(incident)
