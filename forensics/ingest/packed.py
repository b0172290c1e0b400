"""Plain, gzip and zstd streams as blocks of bytes; what was packed is told by its first bytes."""

from __future__ import annotations

import gzip
import io
import os
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import zstandard

from forensics.errors import UsageError

_BLOCK_BYTES = 4 << 20
#: Of a buffer in front of a file: a packed block must fit, for its first bytes to be looked at.
BUFFER_BYTES = 256 << 10
_HEAD_BYTES = 64 << 10
_ZSTD_PIECE_BYTES = 8 << 10
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"


def buffered(raw: io.RawIOBase | io.BytesIO) -> io.BufferedReader:
    """``raw`` with a buffer in which its beginning can be looked at."""
    stream: io.BufferedReader = io.BufferedReader(raw, BUFFER_BYTES)
    return stream


def opened(path: Path) -> tuple[str, io.BufferedReader, int]:
    """A file's name as text, its buffered bytes, and its size on disk.

    Raises:
        UsageError: when it cannot be opened.
    """
    try:
        # A name need not be text; what stands in a record must be.
        name = os.fsencode(path.name).decode("utf-8", "backslashreplace")
        return name, buffered(io.FileIO(path)), path.stat().st_size
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", f"{error.strerror}.") from error


def is_packed(stream: io.BufferedReader) -> bool:
    """Whether ``stream`` is compressed; it is not moved on."""
    return stream.peek(4).startswith((_GZIP, _ZSTD))


def head(stream: io.BufferedReader) -> bytes:
    """The first bytes, unpacked, as far as they are to be had without moving on."""
    packed = stream.peek(BUFFER_BYTES)
    try:
        if packed.startswith(_GZIP):
            return zlib.decompressobj(wbits=31).decompress(packed, _HEAD_BYTES)
        if packed.startswith(_ZSTD):
            return _Zstd(buffered(io.BytesIO(packed))).read1(_HEAD_BYTES)[:_HEAD_BYTES]
    except (EOFError, zlib.error, zstandard.ZstdError):
        return b""
    return packed[:_HEAD_BYTES]


def blocks(stream: io.BufferedReader, name: str) -> Iterator[bytes]:
    """The unpacked bytes, some megabytes at a time.

    Args:
        stream: at its beginning.
        name: how to call it in the error.

    Raises:
        UsageError: where it breaks off; what came before has been given by then.
    """
    unpacked, broken = _unpacked(stream), None
    while broken is None:
        parts: list[bytes] = []
        size = 0
        try:
            while size < _BLOCK_BYTES and (part := unpacked.read1(_BLOCK_BYTES - size)):
                parts.append(part)
                size += len(part)
        except (OSError, EOFError, zlib.error, zstandard.ZstdError) as error:
            broken = error
        if parts:
            yield b"".join(parts)
        elif broken is None:
            return
    raise UsageError(
        f"{name} cannot be read to its end.",
        f"{broken}.",
        "Whole records before that are taken in; get the whole file and repeat.",
    ) from broken


class _Stream(Protocol):
    def read1(self, size: int, /) -> bytes:
        """At least one byte and about ``size``; none at the end."""


def _unpacked(stream: io.BufferedReader) -> _Stream:
    magic = stream.peek(4)[:4]
    if magic.startswith(_GZIP):
        return gzip.GzipFile(fileobj=stream)
    return _Zstd(stream) if magic.startswith(_ZSTD) else stream


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
