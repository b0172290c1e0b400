"""From a request's body to the bytes of its records, within limits.

The spool is lines, and what the lake keeps as received is a line. So in a record that came over
several lines each line end between two tokens becomes a space, and nothing else changes. All other
records are kept byte for byte.
"""

from __future__ import annotations

import re
import zlib
from email.message import Message
from functools import lru_cache

import msgspec
import zstandard

from forensics.server.refusal import Refusal, too_large

#: Of an array, or a record over several lines: they are taken apart token by token.
TEXT_BYTES_MAX = 4 << 20
RECORDS_MAX = 50_000
#: Archives of archives: many small parts cost more than one large one.
_PARTS_MAX = 64
#: A kilobyte of zstd is at most 32 MB of text, which is then seen and refused.
_ZSTD_PIECE_BYTES = 1 << 10
_ZSTD_WINDOW_BYTES = 8 << 20
_BOM = b"\xef\xbb\xbf"
_LINES = frozenset(
    f"application/{name}"
    for name in ("x-ndjson", "ndjson", "jsonl", "x-jsonl", "jsonlines", "x-jsonlines")
)
#: Strings also where they do not end, so that each byte is looked at once.
_STRING = rb'"(?:[^"\\]++|\\.?)*+(?:"|\Z)'
_TOKENS = re.compile(_STRING + rb"|[\[\]{},]", re.DOTALL)
_LINE_ENDS = re.compile(_STRING + rb"|\n+", re.DOTALL)
ENCODINGS = ("identity", "gzip", "x-gzip", "zstd")

#: A record and its number within the request, from 1: its line, or its place in the array.
Numbered = tuple[int, bytes]


class BrokenDocument(Refusal):
    """A body that is one JSON text, but a broken one; its bytes go to quarantine."""

    def __init__(self, why: str, raw: bytes) -> None:
        super().__init__(400, "The body is not JSON.", why, "Send a JSON object, array or lines.")
        self.reason = why
        self.raw = raw


@lru_cache(maxsize=256)
def is_lines(content_type: str | None) -> bool:
    """Whether a body of this type is JSON lines, and not one JSON text.

    Raises:
        Refusal: 415 when it is neither.
    """
    if not content_type:
        return False
    message = Message()
    message["content-type"] = content_type
    kind = message.get_content_type()
    charset = str(message.get_param("charset", "utf-8")).lower()
    if charset not in ("utf-8", "utf8", "us-ascii"):
        raise _unsupported(f"Its charset is {charset!r}.", "Send UTF-8.")
    if kind in _LINES:
        return True
    if kind == "application/json" or (kind.startswith("application/") and kind.endswith("+json")):
        return False
    raise _unsupported(
        f"Its type is {kind!r}.",
        "Send Content-Type: application/json for an object or an array, or application/x-ndjson "
        "for one record a line.",
    )


def encoding_of(content_encoding: str | None) -> str:
    """The compression of a body.

    Raises:
        Refusal: 415 for one that is not understood, or for several.
    """
    name = (content_encoding or "identity").strip().lower()
    if name not in ENCODINGS:
        raise _unsupported(f"Its encoding is {name!r}.", "Send it plain, or as gzip or zstd.")
    return "gzip" if name == "x-gzip" else name


def decompressed(body: bytes, encoding: str, bytes_max: int) -> bytes:
    """The body without its compression; never more than a little beyond ``bytes_max`` in memory.

    Raises:
        Refusal: 413 when it holds more, 400 when it is damaged.
    """
    try:
        if encoding == "gzip":
            return _gunzip(body, bytes_max)
        if encoding == "zstd":
            return _unzstd(body, bytes_max)
    except (zlib.error, zstandard.ZstdError) as error:
        raise _damaged(encoding, f"{error}.") from error
    return body


def _gunzip(body: bytes, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size, rest = 0, body
    while rest:
        if len(parts) == _PARTS_MAX:
            raise _damaged("gzip", f"It has more than {_PARTS_MAX} parts.")
        decoder = zlib.decompressobj(wbits=31)
        parts.append(decoder.decompress(rest, bytes_max - size + 1))
        size += len(parts[-1])
        if size > bytes_max:
            raise too_large("decompressed body", None, bytes_max)
        if not decoder.eof:
            raise _damaged("gzip", "It ends too early.")
        rest = decoder.unused_data
    return b"".join(parts)


def _unzstd(body: bytes, bytes_max: int) -> bytes:
    parts: list[bytes] = []
    size, frames = 0, 0
    decoder = None
    for at in range(0, len(body), _ZSTD_PIECE_BYTES):
        piece = body[at : at + _ZSTD_PIECE_BYTES]
        while piece:
            if decoder is None:
                frames += 1
                if frames > _PARTS_MAX:
                    raise _damaged("zstd", f"It has more than {_PARTS_MAX} parts.")
                context = zstandard.ZstdDecompressor(max_window_size=_ZSTD_WINDOW_BYTES)
                decoder = context.decompressobj()
            parts.append(decoder.decompress(piece))
            size += len(parts[-1])
            if size > bytes_max:
                raise too_large("decompressed body", None, bytes_max)
            piece = b""
            if decoder.eof:
                piece, decoder = decoder.unused_data, None
    if decoder is not None:
        raise _damaged("zstd", "It ends too early.")
    return b"".join(parts)


def records_of(body: bytes, *, lines: bool) -> list[Numbered]:
    """The records of a body, each on one line.

    Args:
        body: JSON lines, one JSON object or an array of them, decompressed.
        lines: whether it was said to be lines. Where not, lines are still understood.

    Raises:
        Refusal: 413 for too many records, 400 for none and for a text that is no JSON.
    """
    body = body.removeprefix(_BOM).strip(b" \t\r\n")
    found = _lines(body) if lines else _of_text(body)
    if not found:
        raise Refusal(400, "The body holds no record.", "", "Send at least one JSON object.")
    if len(found) > RECORDS_MAX:
        raise _too_many()
    return found


def _lines(body: bytes) -> list[Numbered]:
    if body.count(b"\n") >= RECORDS_MAX:
        raise _too_many()
    stripped = (line.rstrip(b"\r") for line in body.split(b"\n"))
    return [(number, line) for number, line in enumerate(stripped, 1) if line.strip()]


def _of_text(body: bytes) -> list[Numbered]:
    if b"\n" not in body and not body.startswith(b"["):
        return [(1, body)] if body else []
    if not body.startswith(b"[") and _is_closed(body.partition(b"\n")[0]):
        return _lines(body)
    if len(body) > TEXT_BYTES_MAX:
        raise Refusal(
            413,
            "The JSON text is too large.",
            f"It has {len(body):,} bytes; the limit for what is not lines is {TEXT_BYTES_MAX:,}.",
            "Send one record a line: Content-Type: application/x-ndjson.",
        )
    if not body.startswith(b"["):
        return [(1, _on_one_line(body))]
    found = []
    for number, item in enumerate(_items(body), 1):
        found.append((number, _on_one_line(item) if b"\n" in item else item))
    return found


def _items(body: bytes) -> list[bytes]:
    """The bytes of each item of an array."""
    try:
        return [bytes(item) for item in msgspec.json.decode(body, type=list[msgspec.Raw])]
    except (msgspec.MsgspecError, RecursionError):
        # NaN, which Python writes, or one broken item: that is no reason to refuse all others.
        return _items_slowly(body)


def _items_slowly(body: bytes) -> list[bytes]:
    items: list[bytes] = []
    depth, start = 0, 1
    for token in _TOKENS.finditer(body):
        text = token[0]
        if text in (b"[", b"{"):
            depth += 1
        elif text in (b"]", b"}"):
            depth -= 1
        if (depth == 1 and text == b",") or depth == 0:
            items.append(body[start : token.start()].strip())
            start = token.end()
            if depth == 0 or len(items) > RECORDS_MAX:
                break
    if depth != 0 and len(items) <= RECORDS_MAX:
        raise BrokenDocument("not JSON: the array does not end", body)
    if depth == 0 and body[start:].strip():
        raise BrokenDocument("not JSON: something follows the array", body)
    return [] if items == [b""] else items


def _is_closed(line: bytes) -> bool:
    """Whether every bracket that a line opens is closed in it: it can be a record."""
    depth = 0
    for token in _TOKENS.finditer(line):
        depth += {b"[": 1, b"{": 1, b"]": -1, b"}": -1}.get(token[0], 0)
    return depth == 0


def _on_one_line(text: bytes) -> bytes:
    """``text`` with a space for each line end between its tokens."""

    def replaced(found: re.Match[bytes]) -> bytes:
        if found[0].startswith(b"\n"):
            return b" " * len(found[0])
        if b"\n" in found[0]:
            raise BrokenDocument("not JSON: a line end within a string", text)
        return found[0]

    return _LINE_ENDS.sub(replaced, text)


def _too_many() -> Refusal:
    why = f"The limit is {RECORDS_MAX:,} a request."
    return Refusal(413, "The body holds too many records.", why, "Send fewer at a time.")


def _damaged(encoding: str, why: str) -> Refusal:
    what = f"The body is no whole {encoding}."
    return Refusal(400, what, why, "Compress it again, or send it plain.")


def _unsupported(why: str, todo: str) -> Refusal:
    headers = {"Accept-Encoding": "gzip, zstd"}
    return Refusal(415, "The body cannot be read.", why, todo, headers=headers)
