"""Prose is read as people write it; nothing in it becomes HTML, a request, or a long wait."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.report.postmortem_prose import (
    Break,
    Code,
    CodeBlock,
    Heading,
    Inline,
    Link,
    Listing,
    Paragraph,
    Quote,
    Rule,
    Styled,
    Table,
    Text,
    blocks,
    inlines,
)


def paragraph(*parts: Inline) -> Paragraph:
    return Paragraph(parts)


def plain(text: str) -> Paragraph:
    return paragraph(Text(text))


def test_blocks_are_told_apart() -> None:
    found = blocks(
        "# One\n\nTwo\nlines\n\n---\n> quoted\n> more\n\n```py\nx < 1\n\n  y\n```\nafter\n## H ##\n"
    )
    assert found == (
        Heading(1, (Text("One"),)),
        plain("Two lines"),
        Rule(),
        Quote((plain("quoted more"),)),
        CodeBlock("x < 1\n\n  y"),
        plain("after"),
        Heading(2, (Text("H"),)),
    )


def test_lists_nest_and_go_on() -> None:
    (found,) = blocks("- one\n  more\n- two\n  - in\n\n  para\n- three\n")
    assert found == Listing(
        None,
        (
            (plain("one more"),),
            (plain("two"), Listing(None, ((plain("in"),),)), plain("para")),
            (plain("three"),),
        ),
    )
    assert blocks("3. a\n4. b\n") == (Listing(3, ((plain("a"),), (plain("b"),))),)
    assert blocks("- a\n\n1. b") == (Listing(None, ((plain("a"),),)), Listing(1, ((plain("b"),),)))
    assert blocks("- \n") == (Listing(None, ((),)),)
    assert blocks("a\n- b") == (plain("a"), Listing(None, ((plain("b"),),)))
    assert blocks("it was\n2026. Then") == (plain("it was 2026. Then"),)


def test_tables_have_as_many_cells_as_their_head() -> None:
    (found,) = blocks("| a | *b* |\n|---|:-:|\n| 1 \\| 2 | 3 | 4 |\n| 5 |\n")
    assert found == Table(
        ((Text("a"),), (Styled("em", (Text("b"),)),)),
        (((Text("1 | 2"),), (Text("3"),)), ((Text("5"),), ())),
    )
    assert blocks("a | b\nno table")[0] == plain("a | b no table")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("*a* _b_ **c** __d__", [Styled("em", (Text("a"),)), Text(" "), Styled("em", (Text("b"),)),
                                 Text(" "), Styled("strong", (Text("c"),)), Text(" "),
                                 Styled("strong", (Text("d"),))]),
        ("a_b_c 2*3*4", [Text("a_b_c 2"), Styled("em", (Text("3"),)), Text("4")]),
        ("`` a ` b `` `<b>`", [Code("a ` b"), Text(" "), Code("<b>")]),
        (r"\*a\* \<", [Text("*a* <")]),
        ("[a *b*](https://x.y)", [Link("https://x.y", (Text("a "), Styled("em", (Text("b"),))))]),
        ("[a](#here) <mailto:a@b.c>", [Link("#here", (Text("a"),)), Text(" "),
                                       Link("mailto:a@b.c", (Text("mailto:a@b.c"),))]),
        ("![a](http://x/y.png)", [Styled("em", (Text("picture: "), Text("a")))]),
        ("a\\\nb", [Text("a"), Break(), Text("b")]),
        ("<script>alert(1)</script>", [Text("<script>alert(1)</script>")]),
        ("* a", [Text("* a")]),
    ],
)  # fmt: skip
def test_parts_of_a_line(text: str, expected: list[Inline]) -> None:
    assert list(inlines(text)) == expected


@pytest.mark.parametrize(
    "address",
    ["javascript:alert(1)", "JaVaScRiPt:alert(1)", "data:text/html,x", "vbscript:x", "//x.y", "/x",
     "x", "file:x", " javascript:x", "java\tscript:x", "https:x"],
)  # fmt: skip
def test_an_address_that_could_run_or_is_of_no_known_kind_is_text(address: str) -> None:
    assert not any(isinstance(part, Link) for part in inlines(f"[a]({address}) <{address}>"))


@given(st.text(alphabet="*_`[]()<>!\\#-+|~:1. \nabc\u202e", max_size=200))
def test_no_text_fails(text: str) -> None:
    blocks(text)


@pytest.mark.parametrize(
    "evil",
    ["*" * 50_000, "[" * 50_000, "`" * 50_001 + "x", "*a " * 20_000, "> " * 20_000 + "x",
     "- " * 20_000, "_a" * 20_000, "|" * 9_000 + "\n" + "-|" * 9_000, "``a`" * 9_000, "#" * 50_000,
     "1. \n" * 9_000, "- a\n" * 9_000, "* * " * 9_000 + "x", "<http://" * 9_000, "\\" * 50_000,
     " " * 50_000 + "x", "- a\n\n" * 5_000],
    ids=lambda text: text[:6],
)  # fmt: skip
def test_no_text_takes_long(evil: str) -> None:
    began = time.process_time()
    blocks(evil)
    assert time.process_time() - began < 10, "quadratic in 50,000 characters would be minutes"
