"""JSON documents: an array of records, or records that are spread over lines, one after the other.

Each record is cut out byte for byte, with the number of the line that it begins in; what it says is
found out afterwards, so that a damaged one costs only itself. Where a printer has indented the
inner lines, the next record is known by its indentation even if the end of this one is lost;
otherwise a record without an end takes the rest of the file with it.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import NamedTuple

from forensics.errors import UsageError
from forensics.ingest import packed
from forensics.ingest.interface import Chunk, Options, Parsed, Reject
from forensics.ingest.json_lines import BATCH_BYTES, BOM, CHUNK_BYTES, CHUNK_LINES, parse
from forensics.ingest.openlineage import EVENT_BYTES_MAX

#: A string, which ends at its line's end at the latest, or a bracket.
_TOKEN = re.compile(rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"?|[{}\[\]]')
#: What may stand between records: white space, commas, and the separator of RFC 7464.
_BETWEEN = re.compile(rb"[\s,\x1e]*")
#: Something between records that is neither an object nor an array.
_SCALAR = re.compile(rb'"[^"\\\n]*(?:\\[^\n][^"\\\n]*)*"?|[^\s,\]\[{}]+|.', re.DOTALL)
#: A line that is more than white space, and its indentation.
_LINE = re.compile(rb"\n([ \t]*)[^\s]")
#: No printer indents further.
_INDENT_MAX = 256
#: One inner line may be the damaged one.
_LINES_LOOKED_AT = 3


def is_document(head: bytes) -> bool:
    """Whether a file is better read as a document than line by line.

    It is where it begins with an array, or with an object that its first line does not end; a
    second line that is a whole object shows that the first is a broken one of JSON lines.

    Args:
        head: the first bytes of it, unpacked.
    """
    text = head.removeprefix(BOM).lstrip()
    if text[:1] != b"{":
        return text[:1] == b"["
    first, newline, rest = text.partition(b"\n")
    if not newline or _end(first, 0, len(first)) is not None or _breaks_off(first):
        return False
    second = rest.lstrip().partition(b"\n")[0].rstrip()
    return not (second.startswith(b"{") and second.endswith(b"}"))


def _breaks_off(line: bytes) -> bool:
    """Whether ``line`` ends within a string, as no printer would have it."""
    return any(
        token.group()[:1] == b'"' and not _is_whole(token.group())
        for token in _TOKEN.finditer(line)
    )


def _is_whole(string: bytes) -> bool:
    return len(string) > 1 and string.endswith(b'"')


class _Cut(NamedTuple):
    """Records of a document: what a chunk of it is."""

    texts: tuple[tuple[int, bytes], ...]
    rejects: tuple[Reject, ...]


class JsonDocuments:
    """A stream of JSON records that need not stand one a line.

    ``total`` is the file's size on disk; None for standard input.
    """

    def __init__(
        self,
        name: str,
        stream: io.BufferedReader,
        total: int | None = None,
        *,
        first_line: int = 1,
        events_only: bool = False,
    ) -> None:
        self.name = name
        self.total = total
        self._stream = stream
        self._first_line = first_line
        self._events_only = events_only

    @classmethod
    def open(cls, path: Path, *, events_only: bool = False) -> JsonDocuments:
        """Open a file; its compression is told by its first bytes, not by its name.

        Args:
            path: the file.
            events_only: take every record for an OpenLineage event.

        Raises:
            UsageError: when it cannot be opened.
        """
        name, stream, total = packed.opened(path)
        return cls(name, stream, total, events_only=events_only)

    def chunks(self) -> Iterator[Chunk]:
        try:
            yield from self._chunks()
        finally:
            if self.total is not None:  # a file of ours, not somebody's standard input
                self._stream.close()

    def _chunks(self) -> Iterator[Chunk]:
        cutter = Cutter(self._first_line)
        held: list[tuple[int, bytes]] = []
        size = 0
        broken: UsageError | None = None
        try:
            for block in packed.blocks(self._stream, self.name):
                for line, text in cutter.feed(block):
                    held.append((line, text))
                    size += len(text)
                    if len(held) >= CHUNK_LINES or size >= CHUNK_BYTES:
                        yield self._chunk(held, [])
                        held, size = [], 0
        except UsageError as error:  # what came before the break is evidence too
            broken = error
        held += cutter.finish()
        rejects = [] if broken else cutter.missing()
        if held or rejects:
            yield self._chunk(held, rejects)
        if broken is not None:
            raise broken

    def _chunk(self, held: list[tuple[int, bytes]], rejects: list[Reject]) -> Chunk:
        first = held[0][0] if held else rejects[0].line
        done = self._stream.tell() if self.total is not None else 0
        return Chunk(self.name, first, _Cut(tuple(held), tuple(rejects)), done)

    def parser(self) -> DocumentsParser:
        return DocumentsParser(self._events_only)

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        return self.parser().parse(chunk, features, options)


@dataclass(frozen=True, slots=True)
class DocumentsParser:
    """Parses records that were cut out of a document."""

    #: Take every record for an OpenLineage event.
    events_only: bool = False

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        cut = chunk.payload
        assert isinstance(cut, _Cut)
        batches = _batches(cut.texts)
        parsed = parse(chunk, batches, features, options, events_only=self.events_only)
        parsed.rejects += cut.rejects
        return parsed


def _batches(texts: tuple[tuple[int, bytes], ...]) -> Iterator[list[tuple[int, bytes]]]:
    batch: list[tuple[int, bytes]] = []
    size = 0
    for item in texts:
        batch.append(item)
        size += len(item[1])
        if size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


class Cutter:
    """Cuts records out of text that arrives in blocks."""

    def __init__(self, first_line: int = 1) -> None:
        self._text = b""
        self._line = first_line
        #: Line of the array that we are in.
        self._array: int | None = None
        self._begun = False
        #: Whether the last record has no end, which says more than that its array has none.
        self._torn = False
        #: The indentation at which a record after one that has no end is waited for.
        self._lost: bytes | None = None

    def feed(self, block: bytes) -> Iterator[tuple[int, bytes]]:
        """Records that are whole by now: the line that each begins in, and its bytes."""
        self._text += block
        if self._begun or len(self._text) >= len(BOM):
            yield from self._cut(final=False)

    def finish(self) -> Iterator[tuple[int, bytes]]:
        """What is left at the end of the text."""
        yield from self._cut(final=True)

    def missing(self) -> list[Reject]:
        """That an array has no end, where it has none. Asked at the end of the text."""
        if self._array is None or self._torn:
            return []
        reason = f"not JSON: the array of line {self._array:,} has no end; the file may be cut"
        return [Reject(self._line, reason, b"")]

    def _cut(self, *, final: bool) -> Iterator[tuple[int, bytes]]:
        at = 0 if self._begun or not self._text.startswith(BOM) else len(BOM)
        self._begun = True
        while True:
            if self._lost is not None:
                at = self._found_again(at, final=final)
                if self._lost is not None:
                    break
            start = at
            between = _BETWEEN.match(self._text, at)
            assert between is not None
            at = between.end()
            self._line += self._text.count(b"\n", start, at)
            first = self._text[at : at + 1]
            if not first:
                break
            if first == b"[" and self._array is None:
                self._array = self._line
                at += 1
                continue
            if first == b"]":
                self._array = None
                at += 1
                continue
            end = self._end_of_record(at, final=final)
            if end is None:
                break
            text = self._text[at:end]
            yield self._line, text
            self._line += text.count(b"\n")
            at = end
        # The indentation of a record that goes on in the next block is needed then.
        self._text = self._text[len(self._text[:at].rstrip(b" \t")) :]

    def _end_of_record(self, at: int, *, final: bool) -> int | None:
        """Where the record that begins at ``at`` ends; None where more text must tell."""
        text = self._text
        if text[at : at + 1] not in (b"{", b"["):
            scalar = _SCALAR.match(text, at)
            assert scalar is not None
            return scalar.end() if final or scalar.end() < len(text) else None
        indent = self._indent(at)
        following = None if indent is None else text.find(b"\n" + indent + text[at : at + 1], at)
        limit = len(text) if following is None or following < 0 else following + 1
        end = _end(text, at, limit)
        if end is not None:
            return end
        if limit < len(text):
            return limit - 1
        if final:
            self._torn = True
            whole = text.rstrip()
            closed = self._array is not None and whole.endswith(b"]") and len(whole) - 1 > at
            return len(whole) - closed
        if len(text) - at > EVENT_BYTES_MAX:  # longer than any record: look for the next one
            self._lost = b"" if indent is None else indent
            return len(text)
        return None

    def _indent(self, at: int) -> bytes | None:
        """The indentation of the record at ``at``; None where its inner lines are not deeper."""
        before = self._text[max(0, at - _INDENT_MAX) : at]
        own = before[before.rfind(b"\n") + 1 :]
        if own.strip(b" \t") or len(own) == _INDENT_MAX:
            return None
        inner = islice(_LINE.finditer(self._text, at), _LINES_LOOKED_AT)
        return own if any(len(line.group(1)) > len(own) for line in inner) else None

    def _found_again(self, at: int, *, final: bool) -> int:
        """Where the record after a lost end begins, or how far there is none."""
        assert self._lost is not None
        mark = b"\n" + self._lost + b"{"
        end = self._text.find(mark, at)
        if end >= 0:
            self._lost = None
        elif final:
            self._torn, end = True, len(self._text)
        else:  # the mark may be cut in two by the block's end
            end = max(at, len(self._text) - len(mark) + 1)
        self._line += self._text.count(b"\n", at, end)
        return end


def _end(text: bytes, at: int, limit: int) -> int | None:
    """Where the object or array that begins at ``at`` ends; None where it does not by ``limit``."""
    depth = 0
    for token in _TOKEN.finditer(text, at, limit):
        first = text[token.start()]
        if first in b"{[":
            depth += 1
        elif first in b"}]":
            depth -= 1
            if depth == 0:
                return token.end()
    return None
