"""JSON lines: one record a line, plain, gzip or zstd, from a file or from standard input."""

from __future__ import annotations

import gzip
import io
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import UsageError
from forensics.ingest.assemble import Numbered, assemble
from forensics.ingest.decode import LOSSY, Refused, decode
from forensics.ingest.interface import Chunk, Options, Parsed, Reject

#: A chunk is one file in the lake: large enough to compress, small enough for a worker's memory.
CHUNK_BYTES = 96 << 20
CHUNK_LINES = 100_000
#: Lines that are Python objects at one time.
_BATCH_LINES = 5_000
_BLOCK_BYTES = 4 << 20
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
_BOM = b"\xef\xbb\xbf"


class JsonLines:
    """A stream of JSON lines. ``total`` is the file's size on disk; None for standard input."""

    def __init__(self, name: str, stream: io.BufferedReader, total: int | None = None) -> None:
        self.name = name
        self.total = total
        self._stream = stream

    @classmethod
    def open(cls, path: Path) -> JsonLines:
        """Open a file; its compression is told by its first bytes, not by its name.

        Raises:
            UsageError: when it cannot be opened.
        """
        try:
            return cls(path.name, path.open("rb"), path.stat().st_size)
        except OSError as error:
            raise UsageError(f"{path} cannot be read.", f"{error.strerror}.") from error

    def chunks(self) -> Iterator[Chunk]:
        first, size = 1, 0
        held: list[bytes] = []
        for lines in self._blocks():
            held.extend(lines)
            size += sum(map(len, lines))
            while len(held) >= CHUNK_LINES or size >= CHUNK_BYTES:
                part, held = held[:CHUNK_LINES], held[CHUNK_LINES:]
                size = sum(map(len, held))
                yield Chunk(self.name, first, part, self._position())
                first += len(part)
        if held:
            yield Chunk(self.name, first, held, self._position())

    def parser(self) -> JsonLinesParser:
        return JsonLinesParser()

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        return self.parser().parse(chunk, features, options)

    def _position(self) -> int:
        return self._stream.tell() if self.total is not None else 0

    def _blocks(self) -> Iterator[list[bytes]]:
        """Lines without their ends, some at a time; blank ones stay, so that numbers are right."""
        stream = self._decompressed()
        rest = b""
        begun = False
        while block := stream.read(_BLOCK_BYTES):
            if not begun:
                block, begun = block.removeprefix(_BOM), True
            *lines, tail = block.split(b"\n")
            if not lines:
                rest += tail
                continue
            lines[0] = rest + lines[0]
            rest = tail
            yield lines
        if rest:
            yield [rest]

    def _decompressed(self) -> BinaryIO:
        magic = self._stream.peek(4)[:4]
        if magic.startswith(_GZIP):
            return gzip.GzipFile(fileobj=self._stream)  # type: ignore[return-value]
        if magic.startswith(_ZSTD):
            import zstandard

            reader = zstandard.ZstdDecompressor().stream_reader(self._stream, read_across_frames=True)
            return reader  # type: ignore[return-value]
        return self._stream


class JsonLinesParser:
    """Parses chunks of lines."""

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        lines = chunk.payload
        assert isinstance(lines, list)
        whole = Parsed()
        parts: dict[str, list[pa.Table]] = {}
        for start in range(0, len(lines), _BATCH_LINES):
            batch = lines[start : start + _BATCH_LINES]
            records, rejects = _decode(batch, chunk.first + start)
            parsed = assemble(chunk.name, records, features, options)
            whole.rejects += rejects + parsed.rejects
            for name, table in parsed.tables.items():
                parts.setdefault(name, []).append(table)
                features = _with_new(features, name, table)
        for name, tables in parts.items():
            whole.tables[name] = pa.concat_tables(tables, promote_options="permissive")
        return whole


def _decode(lines: list[bytes], first: int) -> tuple[list[Numbered], list[Reject]]:
    lossy = pc.match_substring_regex(pa.array(lines, pa.binary()), LOSSY).to_pylist()
    records: list[Numbered] = []
    rejects: list[Reject] = []
    for number, (line, suspicious) in enumerate(zip(lines, lossy, strict=True), first):
        line = line.rstrip(b"\r")
        if not line.strip():
            continue
        try:
            records.append((number, line, decode(line, lossy=suspicious)))
        except Refused as refusal:
            rejects.append(Reject(number, str(refusal), line))
    return records, rejects


def _with_new(
    features: dict[str, dict[str, str]], name: str, table: pa.Table
) -> dict[str, dict[str, str]]:
    """Feature types with those that ``table`` has just brought, for the batches after it."""
    from forensics.lake.writer import feature_types

    return {**features, name: {**feature_types(table), **features.get(name, {})}}
