"""JSON lines: one record a line, plain, gzip or zstd, from a file or from standard input."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple, Protocol

import pyarrow as pa
import pyarrow.compute as pc
import zstandard

from forensics.errors import UsageError
from forensics.ingest.assemble import Numbered, assemble, binary_column
from forensics.ingest.decode import CAREFUL, Refused, decode
from forensics.ingest.interface import Chunk, Options, Parsed, Reject

#: A chunk is one file in the lake: large enough to compress, small enough for a worker's memory.
CHUNK_BYTES = 64 << 20
CHUNK_LINES = 50_000
#: Text whose records are Python objects at one time; new memory costs more than parsing.
_BATCH_BYTES = 2 << 20
_BLOCK_BYTES = 4 << 20
_ZSTD_PIECE_BYTES = 8 << 10
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"


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
        self, name: str, stream: io.BufferedReader, total: int | None = None, *, first_line: int = 1
    ) -> None:
        self.name = name
        self.total = total
        self._stream = stream
        self._first_line = first_line
        self._broken: Exception | None = None
        #: Of a regular, uncompressed file, so that chunks can be parts of it.
        self._path: Path | None = None
        self._offset = 0

    @classmethod
    def open(cls, path: Path) -> JsonLines:
        """Open a file; its compression is told by its first bytes, not by its name.

        Raises:
            UsageError: when it cannot be opened.
        """
        try:
            # A name need not be text; what stands in a record must be.
            name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
            source = cls(name, path.open("rb"), path.stat().st_size)
        except OSError as error:
            raise UsageError(f"{path} cannot be read.", f"{error.strerror}.") from error
        if path.is_file() and not source._stream.peek(4).startswith((_GZIP, _ZSTD)):
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
        return JsonLinesParser()

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        return self.parser().parse(chunk, features, options)

    def _position(self) -> int:
        return self._stream.tell() if self.total is not None else 0

    def _blocks(self) -> Iterator[bytes]:
        """Whole lines, some at a time."""
        stream = self._decompressed()
        parts: list[bytes] = []
        begun = False
        while block := self._read(stream):
            if not begun:
                begun = True
                if block.startswith(_BOM):
                    block, self._offset = block.removeprefix(_BOM), len(_BOM)
            end = block.rfind(b"\n") + 1
            if end:
                yield b"".join([*parts, block[:end]])
                parts = [block[end:]]
            else:
                parts.append(block)
        if any(parts):
            yield b"".join(parts)

    def _read(self, stream: _Stream) -> bytes:
        """The next block; less where the stream breaks, and then the error."""
        parts: list[bytes] = []
        size = 0
        try:
            while size < _BLOCK_BYTES and (part := stream.read1(_BLOCK_BYTES - size)):
                parts.append(part)
                size += len(part)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            self._broken = error
        if self._broken is not None and not parts:
            raise UsageError(
                f"{self.name} cannot be read to its end.",
                f"{self._broken}.",
                "Whole lines before that are taken in; get the whole file and repeat.",
            ) from self._broken
        return b"".join(parts)

    def _decompressed(self) -> _Stream:
        magic = self._stream.peek(4)[:4]
        if magic.startswith(_GZIP):
            return gzip.GzipFile(fileobj=self._stream)
        return _Zstd(self._stream) if magic.startswith(_ZSTD) else self._stream


class _Stream(Protocol):
    def read1(self, size: int, /) -> bytes:
        """At least one byte and about ``size``; none at the end."""


class _Zstd:
    """Zstandard frames one after the other; the library's own reader takes a cut one for whole."""

    def __init__(self, stream: io.BufferedReader) -> None:
        self._stream = stream
        self._frame: zstandard.ZstdDecompressionObj | None = None
        self._packed = b""

    def read1(self, _size: int, /) -> bytes:
        """What the next piece holds; pieces are small, since a few bytes can hold very many."""
        while packed := self._packed or self._stream.read(_ZSTD_PIECE_BYTES):
            self._frame = self._frame or zstandard.ZstdDecompressor().decompressobj()
            data = self._frame.decompress(packed)
            self._packed = self._frame.unused_data
            if self._frame.eof:
                self._frame = None
            if data:
                return data
        if self._frame is not None:
            raise EOFError("Compressed file ended before its last frame did")
        return b""


class JsonLinesParser:
    """Parses chunks of lines."""

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        payload = chunk.payload
        text = payload.read() if isinstance(payload, _Span) else payload
        assert isinstance(text, bytes)
        whole = Parsed()
        parts: dict[str, list[pa.Table]] = {}
        first = chunk.first
        for batch in _batches(text):
            records, rejects = _decode(batch, first)
            parsed = assemble(chunk.name, records, features, options)
            whole.rejects += rejects + parsed.rejects
            if first == chunk.first:
                whole.unmatched = parsed.unmatched
            whole.unmatched &= parsed.unmatched
            for name, table in parsed.tables.items():
                parts.setdefault(name, []).append(table)
                features = _with_new(features, name, table)
            first += batch.count(b"\n")
        for name, tables in parts.items():
            whole.tables[name] = pa.concat_tables(tables, promote_options="permissive")
        return whole


def _batches(text: bytes) -> Iterator[bytes]:
    """Cut ``text`` at line ends into pieces whose objects stay in the processor's cache."""
    start = 0
    while start < len(text):
        end = text.rfind(b"\n", start, start + _BATCH_BYTES) + 1
        if end <= start:  # one line longer than a batch
            end = text.find(b"\n", start) + 1 or len(text)
        yield text[start:end]
        start = end


def _decode(text: bytes, first: int) -> tuple[list[Numbered], list[Reject]]:
    lines = text.split(b"\n")
    careful = pc.match_substring_regex(binary_column(lines), CAREFUL).to_pylist()
    records: list[Numbered] = []
    rejects: list[Reject] = []
    for number, (line, slowly) in enumerate(zip(lines, careful, strict=True), first):
        line = line.rstrip(b"\r")
        if not line.strip():
            continue
        try:
            records.append((number, line, decode(line, careful=slowly)))
        except Refused as refusal:
            rejects.append(Reject(number, str(refusal), line))
    return records, rejects


def _with_new(
    features: dict[str, dict[str, str]], name: str, table: pa.Table
) -> dict[str, dict[str, str]]:
    """Feature types with those that ``table`` has just brought, for the batches after it."""
    from forensics.lake.writer import feature_types

    return {**features, name: {**feature_types(table), **features.get(name, {})}}
