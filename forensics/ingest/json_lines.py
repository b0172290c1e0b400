"""JSON lines: one record a line, plain, gzip or zstd, from a file or from standard input."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import UsageError
from forensics.ingest import packed
from forensics.ingest.assemble import Numbered, assemble, binary_column
from forensics.ingest.decode import CAREFUL, RECORD_BYTES_MAX, Refused, decode
from forensics.ingest.interface import Chunk, Options, Parsed, Reject
from forensics.ingest.openlineage import EVENT_BYTES_MAX, may_be_event
from forensics.lake.spooled import unsigned

#: A chunk is one file in the lake: large enough to compress, small enough for a worker's memory.
CHUNK_BYTES = 64 << 20
CHUNK_LINES = 50_000
#: Text whose records are Python objects at one time; new memory costs more than parsing.
BATCH_BYTES = 2 << 20
BOM = b"\xef\xbb\xbf"


class _Span(NamedTuple):
    """Part of an uncompressed file: what a worker reads itself costs nobody a copy."""

    path: str
    offset: int
    length: int

    def read(self) -> bytes:
        with Path(self.path).open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.length)


class JsonLines:
    """A stream of JSON lines. ``total`` is the file's size on disk; None for standard input."""

    def __init__(
        self,
        name: str,
        stream: io.BufferedReader,
        total: int | None = None,
        *,
        first_line: int = 1,
        events_only: bool = False,
        own: bool = False,
    ) -> None:
        self.name = name
        self._events_only = events_only
        self._own = own
        self.total = total
        self._stream = stream
        self._first_line = first_line
        #: Of a regular, uncompressed file, so that chunks can be parts of it.
        self._path: Path | None = None
        self._offset = 0

    @classmethod
    def open(cls, path: Path, *, events_only: bool = False, own: bool = False) -> JsonLines:
        """Open a file; its compression is told by its first bytes, not by its name.

        Args:
            path: the file.
            events_only: take every record for an OpenLineage event.
            own: whether this program wrote it: see :data:`forensics.ingest.assemble.OWN`.

        Raises:
            UsageError: when it cannot be opened.
        """
        name, stream, total = packed.opened(path)
        source = cls(name, stream, total, events_only=events_only, own=own)
        if path.is_file() and not packed.is_packed(stream):
            source._path = path.resolve()
        return source

    def chunks(self) -> Iterator[Chunk]:
        try:
            yield from self._chunks()
        finally:
            if self.total is not None:  # a file of ours, not somebody's standard input
                self._stream.close()

    def _chunks(self) -> Iterator[Chunk]:
        first, lines = self._first_line, 0
        held: list[bytes] = []
        broken: UsageError | None = None
        try:
            for block in self._blocks():
                held.append(block)
                lines += block.count(b"\n")
                if lines >= CHUNK_LINES or sum(map(len, held)) >= CHUNK_BYTES:
                    yield Chunk(self.name, first, self._payload(held), self._position())
                    first, lines, held = first + lines, 0, []
        except UsageError as error:  # what came before the break is evidence too
            broken = error
        if held:
            yield Chunk(self.name, first, self._payload(held), self._position())
        if broken is not None:
            raise broken

    def _payload(self, blocks: list[bytes]) -> bytes | _Span:
        if self._path is None:
            return b"".join(blocks)
        span = _Span(str(self._path), self._offset, sum(map(len, blocks)))
        self._offset += span.length
        return span

    def parser(self) -> JsonLinesParser:
        return JsonLinesParser(self._events_only, self._own)

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        return self.parser().parse(chunk, features, options)

    def _position(self) -> int:
        return self._stream.tell() if self.total is not None else 0

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines, some at a time."""
        parts: list[bytes] = []
        begun = False
        for block in packed.blocks(self._stream, self.name):
            if not begun:
                begun = True
                if block.startswith(BOM):
                    block, self._offset = block.removeprefix(BOM), len(BOM)
            end = block.rfind(b"\n") + 1
            if end:
                yield b"".join([*parts, block[:end]])
                parts = [block[end:]]
            else:
                parts.append(block)
        if any(parts):
            yield b"".join(parts)


@dataclass(frozen=True, slots=True)
class JsonLinesParser:
    """Parses chunks of lines."""

    #: Take every record for an OpenLineage event.
    events_only: bool = False
    #: This program wrote them.
    own: bool = False

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        payload = chunk.payload
        text = payload.read() if isinstance(payload, _Span) else payload
        assert isinstance(text, bytes)
        batches = _numbered(text, chunk.first)
        return parse(chunk, batches, features, options, events_only=self.events_only, own=self.own)


def parse(
    chunk: Chunk,
    batches: Iterable[list[tuple[int, bytes]]],
    features: dict[str, dict[str, str]],
    options: Options,
    *,
    events_only: bool,
    own: bool = False,
) -> Parsed:
    """Tables from the JSON texts of a chunk.

    Args:
        chunk: where they come from.
        batches: texts with their line numbers, some at a time.
        features: feature types by name, by decision table, as the lake has them.
        options: how fields are named.
        events_only: take every record for an OpenLineage event.
        own: this program wrote them.
    """
    whole = Parsed()
    parts: dict[str, list[pa.Table]] = {}
    for number, batch in enumerate(batches):
        batch, damaged = _unsigned(batch) if own else (batch, [])
        records, rejects = decode_lines(batch)
        rejects += damaged
        parsed = assemble(chunk.name, records, features, options, events_only=events_only, own=own)
        whole.rejects += rejects + parsed.rejects
        whole.unmatched = parsed.unmatched & whole.unmatched if number else parsed.unmatched
        for name, table in parsed.tables.items():
            parts.setdefault(name, []).append(table)
            features = _with_new(features, name, table)
    for name, tables in parts.items():
        whole.tables[name] = pa.concat_tables(tables, promote_options="permissive")
    return whole


def _numbered(text: bytes, first: int) -> Iterator[list[tuple[int, bytes]]]:
    for batch in _batches(text):
        lines = list(enumerate(batch.split(b"\n"), first))
        first += len(lines) - 1
        yield lines


def _batches(text: bytes) -> Iterator[bytes]:
    """Cut ``text`` at line ends into pieces whose objects stay in the processor's cache."""
    start = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + BATCH_BYTES) + 1
        if end <= start:  # one line longer than a batch
            end = text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def decode_lines(lines: Sequence[tuple[int, bytes]]) -> tuple[list[Numbered], list[Reject]]:
    """The records that lines of JSON hold, by their numbers, and what holds none."""
    texts = binary_column([line for _, line in lines])
    careful = pc.match_substring_regex(texts, CAREFUL).to_pylist()
    records: list[Numbered] = []
    rejects: list[Reject] = []
    for (number, line), slowly in zip(lines, careful, strict=True):
        line = line.rstrip(b"\r")
        if not line.strip():
            continue
        try:
            records.append((number, line, decode(line, careful=slowly, bytes_max=_bytes_max(line))))
        except Refused as refusal:
            rejects.append(Reject(number, str(refusal), line))
    return records, rejects


def _unsigned(batch: list[tuple[int, bytes]]) -> tuple[list[tuple[int, bytes]], list[Reject]]:
    """Lines that this program wrote, without their checksums, and those that were altered since."""
    texts = [(number, line, unsigned(line)) for number, line in batch]
    why = "Its checksum is another: it is not what was written."
    return (
        [(number, text) for number, _, text in texts if text is not None],
        [Reject(number, why, line) for number, line, text in texts if text is None],
    )


def _bytes_max(line: bytes) -> int:
    if len(line) > RECORD_BYTES_MAX and may_be_event(line):
        return EVENT_BYTES_MAX
    return RECORD_BYTES_MAX


def _with_new(
    features: dict[str, dict[str, str]], name: str, table: pa.Table
) -> dict[str, dict[str, str]]:
    """Feature types with those that ``table`` has just brought, for the batches after it."""
    from forensics.lake.writer import feature_types

    return {**features, name: {**feature_types(table), **features.get(name, {})}}
