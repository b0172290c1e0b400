"""A postmortem's file keeps every byte that was not to be changed, and every text of a pin."""

from __future__ import annotations

import json
import tomllib
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import SchemaError, UsageError
from forensics.incident.document import Block, Document, Prose, front_text
from forensics.incident.evidence import Record, Window
from forensics.incident.pin_text import pin_of, pin_text
from forensics.incident.pins import Pin, Value
from forensics.incident.questions import Question
from forensics.incident.tomltext import inline, json_text, text

TIME = datetime(2026, 10, 21, 2, 13, tzinfo=UTC)
ANY = st.text(st.characters(codec="utf-8"))


def made(identifier: str = "p-1", **changes: object) -> Pin:
    parts = {
        "id": identifier, "note": "", "question": Question("trace", {"id": "r-1"}),
        "pointer": "/decision/outcome", "statement": "it was declined",
        "value": Value.of("DECLINE"), "records": (Record("d-1", "ab" * 32),), "window": None,
        "taken_at": TIME, "lake_version": 3, "among": {"/a/0": {"id": "x y"}},
    }  # fmt: skip
    return Pin(**(parts | changes))  # type: ignore[arg-type]


FILE = f"""+++
title = "A title"
since = 2026-10-21T02:13:00Z
mine = [1, 2]
+++

Prose with ``` in a line.

{pin_text(made())}
~~~text
```pin
id = "not a pin: it is within another block"
```
~~~

The end"""


def test_a_document_is_prose_and_pins_in_turn() -> None:
    document = Document.of(FILE)
    assert document.title == "A title"
    assert document.time("since") == TIME
    assert [type(part) for part in document.parts] == [Prose, Block, Prose]
    assert document.pins == (made(),)


@pytest.mark.parametrize(
    "text",
    [
        FILE, FILE.replace("\n", "\r\n"), "\ufeff" + FILE, FILE + "\n", "", "\n", "+++", "+++\n+++",
        "+++\n+++\n", "no front matter\n", "```pin\n", "```pin\nid = 1\n```", "+++\nunclosed = 1\n",
        "x\x0by\x0c\u2028z\n" + FILE,
    ],
)  # fmt: skip
def test_what_is_read_is_written_byte_for_byte(text: str) -> None:
    assert Document.of(text).text == text


FENCES = ["```pin\n", "```\n", "~~~\n", "````pin x\n", "id = 1\n", "a", "\r\n", "   ```\n",
          "    ```pin\n", " \n", "`` ` \n"]  # fmt: skip


@given(st.lists(st.sampled_from(FENCES)))
def test_no_text_is_lost_however_its_fences_stand(lines: list[str]) -> None:
    text = "".join(lines)
    assert Document.of(text).text == text


@given(ANY)
def test_any_prose_is_kept(prose: str) -> None:
    if not prose.startswith("+++"):
        assert Document.of(prose).text == prose


@given(ANY, ANY, ANY, st.dictionaries(ANY, ANY, max_size=3), st.booleans())
def test_a_pin_of_any_text_comes_back_and_its_block_is_printable(
    statement: str, note: str, subject: str, value: dict[str, str], crlf: bool
) -> None:
    question = Question("find", {"subject": subject, "count": True})
    pin = made(statement=statement, note=note, question=question, value=Value.of(value))
    block = pin_text(pin)
    assert all(line.isprintable() for line in block.split("\n"))
    document = Document.of(f"a\n{block}b".replace("\n", "\r\n" if crlf else "\n"))
    assert document.pins == (pin,)
    assert [type(part) for part in document.parts] == [Prose, Block, Prose]


def test_a_pin_comes_back_whole(corpus: Path) -> None:
    naughty = json.loads((corpus / "hostile" / "blns" / "blns.json").read_text(encoding="utf-8"))
    window = Window("credit_line", TIME, None, 7, "sha256:" + "0" * 64)
    for string in [*naughty, "```\n```pin", '"""', "'''", "\\", ',"', "\x00\x1b\u202e"]:
        pin = made(statement=string, note=string, value=Value.of([string] * 40), window=window)
        assert Document.of(pin_text(pin)).pins == (pin,), string


def test_half_a_surrogate_pair_in_a_statement_becomes_its_name() -> None:
    (pin,) = Document.of(pin_text(made(statement="a\ud800b"))).pins
    assert pin.statement == "a\\ud800b"


def test_unknown_keys_are_kept_when_a_pin_is_written_again() -> None:
    block = pin_text(made()).replace(
        'note = ""', 'note = ""\nreviewer = { name = "x", days = [1] }'
    )
    document = Document.of(f"before\n{block}after\n")
    (pin,) = document.pins
    again = document.replaced(made(note="new", other=pin.other)).text
    assert 'reviewer = { name = "x", days = [1] }' in again
    assert again.startswith("before\n```pin")
    assert again.endswith("```\nafter\n")
    assert Document.of(again).pins[0].note == "new"


def test_a_pin_that_is_not_changed_keeps_its_own_spelling() -> None:
    block = pin_text(made()).replace('note = ""', "# a comment\nnote    = ''")
    document = Document.of(block + pin_text(made("p-2")))
    assert document.replaced(made("p-2", note="new")).text.startswith(block)


def test_a_pin_can_be_put_in_and_taken_out_anywhere() -> None:
    document = Document.of(FILE)
    lines = FILE.split("\n")
    for at in [None, *range(len(lines) + 2)]:
        more = document.with_pin(made("p-9"), at)
        assert {pin.id for pin in more.pins} == {"p-1", "p-9"}
        for line in lines:
            assert line in more.text
    more = document.with_pin(made("p-9"))
    assert more.without_pin("p-9").text.startswith(FILE)


def test_a_pin_is_never_put_within_another_one_nor_into_the_front_matter() -> None:
    head = front_text({"title": "x"})
    document = Document.of(head + pin_text(made()) + "end\n")
    for at in range(document.text.count("\n") + 1):
        more = document.with_pin(made("p-9"), at)
        assert more.title == "x"
        assert {pin.id for pin in more.pins} == {"p-1", "p-9"}


def test_a_pin_is_not_lost_in_a_block_that_does_not_end() -> None:
    with pytest.raises(UsageError, match="does not end"):
        Document.of("```text\nunclosed\n").with_pin(made())


def test_a_pin_has_the_ends_of_lines_of_its_file() -> None:
    document = Document.of(FILE.replace("\n", "\r\n")).with_pin(made("p-9"))
    changed = document.replaced(made("p-9", note="new"))
    for whole in (document.text, changed.text):
        assert whole.count("\r\n") == whole.count("\n")
    assert changed.pins[-1] == made("p-9", note="new")


def test_the_same_pin_twice_gets_a_number() -> None:
    document = Document.of("").with_pin(made()).with_pin(made()).with_pin(made())
    assert [pin.id for pin in document.pins] == ["p-1", "p-1-2", "p-1-3"]


@pytest.mark.parametrize(
    ("old", "new", "why"),
    [
        ('id = "p-1"', "id = 1", "'id' is 1"),
        ('ask = "trace"', 'ask = "rm"', "can be pinned"),
        ('id = "r-1"', 'x = "r-1"', "no argument"),
        ("pointer = ", "pointer = 1 #", "pointer"),
        ('"/decision', '"decision', "no JSON pointer"),
        ("value = ", "value = 'x' #", "no JSON"),
        ("value = ", "valu = ", "value_digest"),
        ("taken_at = 2026-10-21T02:13:00Z", "", "taken_at"),
        ("taken_at = ", "taken_at = no", "no TOML"),
        ("lake_version = 3", "lake_version = true", "lake_version"),
        ("leaf = ", "leafs = ", "leaf"),
    ],
)
def test_a_block_that_is_no_pin_says_why_and_is_kept(old: str, new: str, why: str) -> None:
    block = pin_text(made())
    assert old in block
    broken = block.replace(old, new)
    document = Document.of(broken)
    (part,) = document.parts
    assert isinstance(part, Block)
    assert part.pin is None
    assert part.error is not None
    assert why in part.error
    assert document.text == broken


def test_a_front_matter_that_is_no_toml_says_so() -> None:
    with pytest.raises(SchemaError, match="front matter"):
        Document.of("+++\ntitle = \n+++\n")


@given(st.dictionaries(ANY, ANY | st.integers(-(2**63), 2**63 - 1) | st.booleans() | st.floats(
    allow_nan=False) | st.lists(ANY) | st.dictionaries(ANY, ANY)))  # fmt: skip
def test_what_is_written_as_toml_reads_back(values: dict[str, object]) -> None:
    assert tomllib.loads(f"x = {inline(values)}")["x"] == values


@given(st.recursive(ANY, lambda i: st.lists(i) | st.dictionaries(ANY, i), max_leaves=30))
def test_json_in_toml_reads_back_to_the_letter(value: object) -> None:
    written = Value.of(value).text or ""
    for whole in (written, json.dumps(value, ensure_ascii=False)):
        assert tomllib.loads(f"x = {json_text(whole)}")["x"] == whole


def test_a_table_can_be_read_without_a_file() -> None:
    inner = tomllib.loads(pin_text(made()).split("\n", 1)[1].rsplit("```", 1)[0])
    assert pin_of(inner) == made()
    assert text('a"b\x1b') == '"a\\"b\\u001B"'
