"""A postmortem's prose: Markdown as a tree, which each form of a report writes in its own way.

It is the part of CommonMark that people write by hand: headings, paragraphs, lists, quotes, code,
rules, emphasis, links, and GitHub's tables. Raw HTML is text, and a picture is its description: a
report fetches nothing and runs nothing. It needs no library, since reports in Markdown and HTML
need no extra.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence

from forensics.report.blocks import (
    BlockOf,
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
)

__all__ = [
    "BlockOf",
    "Break",
    "Code",
    "CodeBlock",
    "Heading",
    "Inline",
    "Link",
    "Listing",
    "Paragraph",
    "Quote",
    "Rule",
    "Styled",
    "Table",
    "Text",
    "blocks",
    "inlines",
]

#: Deeper nesting is taken as text.
_DEPTH_MAX = 12
#: Emphasis and code end within so many characters, or are text.
_REACH = 2_000

_HEADING = re.compile(r" {0,3}(#{1,6})(?:[ \t]+(.*?))?(?:[ \t]+#+)?[ \t]*$")
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})([^`]*)$")
_RULE = re.compile(r" {0,3}([-*_])(?:[ \t]*\1){2,}[ \t]*$")
_ITEM = re.compile(r"( {0,3})([-+*]|(\d{1,9})[.)])(?:([ \t]{1,4})(?=\S)|[ \t]*$|[ \t])")
_QUOTE = re.compile(r" {0,3}> ?")
_DELIMITERS = re.compile(r" {0,3}\|?[ \t]*:?-+:?[ \t]*(?:\|[ \t]*:?-+:?[ \t]*)*\|?[ \t]*$")
_ADDRESS = re.compile(r"(?:https?://|mailto:|#)[^\s<>\"'`\\\x00-\x20]*", re.IGNORECASE)


def blocks(text: str) -> tuple[BlockOf, ...]:
    """The blocks of some Markdown."""
    return _blocks(text.replace("\r\n", "\n").replace("\r", "\n").expandtabs(4).split("\n"), 0)


def _blocks(lines: Sequence[str], depth: int) -> tuple[BlockOf, ...]:
    found: list[BlockOf] = []
    paragraph: list[str] = []
    at = 0

    def end() -> None:
        if paragraph:
            found.append(Paragraph(inlines("\n".join(each.strip(" ") for each in paragraph))))
            paragraph.clear()

    while at < len(lines):
        each = lines[at]
        if not each.strip():
            end()
            at += 1
        elif heading := _HEADING.match(each):
            end()
            found.append(Heading(len(heading[1]), inlines(heading[2] or "")))
            at += 1
        elif fence := _FENCE.match(each):
            end()
            block, at = _fenced(lines, at, fence[1])
            found.append(block)
        elif _RULE.match(each):
            end()
            found.append(Rule())
            at += 1
        elif _QUOTE.match(each) and depth < _DEPTH_MAX:
            end()
            stop = _while(lines, at, lambda text: _QUOTE.match(text) is not None)
            inner = [_QUOTE.sub("", text, count=1) for text in lines[at:stop]]
            found.append(Quote(_blocks(inner, depth + 1)))
            at = stop
        elif (item := _ITEM.match(each)) and depth < _DEPTH_MAX and _may_begin(item, paragraph):
            end()
            listing, at = _listing(lines, at, depth)
            found.append(listing)
        elif _is_table(lines, at):
            end()
            table, at = _table(lines, at)
            found.append(table)
        else:
            paragraph.append(each + ("\n" if each.endswith("  ") else ""))
            at += 1
    end()
    return tuple(found)


def _while(lines: Sequence[str], at: int, holds: Callable[[str], bool]) -> int:
    while at < len(lines) and holds(lines[at]):
        at += 1
    return at


def _may_begin(item: re.Match[str], paragraph: Sequence[str]) -> bool:
    """Whether a list may begin here: within a paragraph only with 1, and not with nothing."""
    return not paragraph or (item[3] in (None, "1") and bool(item[4]))


def _fenced(lines: Sequence[str], at: int, fence: str) -> tuple[CodeBlock, int]:
    inner: list[str] = []
    for number in range(at + 1, len(lines)):
        bare = lines[number].strip()
        if len(bare) >= len(fence) and set(bare) == {fence[0]}:
            return CodeBlock("\n".join(inner)), number + 1
        inner.append(lines[number])
    return CodeBlock("\n".join(inner)), len(lines)


def _listing(lines: Sequence[str], at: int, depth: int) -> tuple[Listing, int]:
    first = _ITEM.match(lines[at])
    assert first is not None
    kind = first[2][-1]
    items: list[tuple[BlockOf, ...]] = []
    while at < len(lines) and (item := _ITEM.match(lines[at])) and item[2][-1] == kind:
        if _RULE.match(lines[at]):
            break
        indent = len(item[0]) if item[4] else len(item[1]) + len(item[2]) + 1
        inner = [lines[at][indent:]]
        at += 1
        while at < len(lines):
            each = lines[at]
            if each.startswith(" " * indent):
                inner.append(each[indent:])
            elif not each.strip() and _goes_on(lines, at, indent):
                inner.append("")
            elif each.strip() and inner[-1].strip() and not _begins(each):
                inner.append(each)  # a paragraph goes on without its indent
            else:
                break
            at += 1
        items.append(_blocks(inner, depth + 1))
        while at < len(lines) and not lines[at].strip() and _next_item(lines, at, kind):
            at += 1
    return Listing(int(first[3]) if first[3] else None, tuple(items)), at


def _goes_on(lines: Sequence[str], at: int, indent: int) -> bool:
    """Whether after empty lines an item has more."""
    more = next((each for each in lines[at : at + 50] if each.strip()), "")
    return more.startswith(" " * indent)


def _next_item(lines: Sequence[str], at: int, kind: str) -> bool:
    more = next((each for each in lines[at : at + 50] if each.strip()), "")
    item = _ITEM.match(more)
    return item is not None and item[2][-1] == kind


def _begins(each: str) -> bool:
    """Whether a line begins a block that ends a paragraph."""
    return any(form.match(each) for form in (_HEADING, _FENCE, _RULE, _QUOTE, _ITEM))


def _is_table(lines: Sequence[str], at: int) -> bool:
    return (
        at + 1 < len(lines)
        and "|" in lines[at]
        and _DELIMITERS.match(lines[at + 1]) is not None
        and len(_cells(lines[at])) == len(_cells(lines[at + 1]))
    )


def _table(lines: Sequence[str], at: int) -> tuple[Table, int]:
    head = tuple(map(inlines, _cells(lines[at])))
    stop = _while(lines, at + 2, lambda text: bool(text.strip()) and not _begins(text))
    rows = []
    for each in lines[at + 2 : stop]:
        cells = [*map(inlines, _cells(each)), *([()] * len(head))]
        rows.append(tuple(cells[: len(head)]))
    return Table(head, tuple(rows)), stop


def _cells(each: str) -> list[str]:
    bare = each.strip()
    bare = bare[1:] if bare.startswith("|") else bare
    bare = bare[:-1] if bare.endswith("|") and not bare.endswith("\\|") else bare
    return [cell.replace("\\|", "|").strip() for cell in re.split(r"(?<!\\)\|", bare)]


_INLINE = re.compile(
    r"\\(?P<escaped>[!-/:-@\[-`{-~])"
    r"|(?P<ticks>`+)"
    r"|!?\[(?P<label>[^\[\]\n]{0,1000})\]\((?P<to>[^()\s]{0,2000})\)"
    r"|<(?P<auto>(?:https?://|mailto:)[^<>\s]{1,2000})>"
    r"|(?P<hard>\\\n|\n\n)"
    r"|(?P<marks>\*{1,2}|_{1,2})"
)


def inlines(text: str, depth: int = 0) -> tuple[Inline, ...]:
    """The parts of a paragraph's text."""
    found: list[Inline] = []
    plain: list[str] = []
    at = 0

    def end() -> None:
        if said := "".join(plain):
            found.append(Text(said))
        plain.clear()

    while at < len(text):
        match = _INLINE.search(text, at)
        if match is None:
            plain.append(text[at:])
            break
        plain.append(text[at : match.start()])
        at = match.end()
        part, stop = _inline(text, match, depth)
        if part is None:
            plain.append(match["escaped"] or match[0])
            continue
        end()
        found.append(part)
        at = stop
    end()
    return tuple(
        Text(part.text.replace("\n", " ")) if isinstance(part, Text) else part for part in found
    )


def _inline(text: str, match: re.Match[str], depth: int) -> tuple[Inline | None, int]:
    """What begins at a match, and where it ends; None where it is text."""
    end = match.end()
    if match["escaped"] or depth >= _DEPTH_MAX:
        return None, end
    if ticks := match["ticks"]:
        stop = re.compile(rf"(?<!`){ticks}(?!`)").search(text, end, end + _REACH)
        if stop is None:
            return None, end
        return Code(" ".join(text[end : stop.start()].split("\n")).strip()), stop.end()
    if match["label"] is not None:
        label = inlines(match["label"], depth + 1)
        if match[0].startswith("!"):
            return Styled("em", (Text("picture: "), *label)), end
        if _ADDRESS.fullmatch(match["to"]):
            return Link(match["to"], label), end
        return None, end
    if match["auto"]:
        if _ADDRESS.fullmatch(match["auto"]):
            return Link(match["auto"], (Text(match["auto"]),)), end
        return None, end
    if match["hard"]:
        return Break(), end
    return _emphasis(text, match, depth)


def _emphasis(text: str, match: re.Match[str], depth: int) -> tuple[Inline | None, int]:
    marks, end = match["marks"], match.end()
    before = text[match.start() - 1] if match.start() else " "
    if end >= len(text) or text[end].isspace() or (marks[0] == "_" and before.isalnum()):
        return None, end
    after = r"(?![0-9A-Za-z_])" if marks[0] == "_" else ""
    mark = re.escape(marks[0])
    closing = re.compile(rf"(?<![\s\\{mark}]){re.escape(marks)}(?!{mark}){after}")
    stop = closing.search(text, end, end + _REACH)
    if stop is None:
        return None, end
    parts = inlines(text[end : stop.start()], depth + 1)
    return Styled("strong" if len(marks) == 2 else "em", parts), stop.end()
