"""Lists of leaves of many small segments in one file.

Every commit is sealed in its own step, since a proof that waits is none when the process dies; a
server that commits every few seconds so makes a list of leaves every few seconds. A compaction puts
them together: ``log/segments/<name>.pack`` is one list after the other, byte for byte, and
``<name>.index`` says where each begins. No root, proof or checkpoint changes by it.

The index is derived: each list ends in its manifest, which says how long it is, so that a pack can
be read from its end without one. A list that also lies on its own is read there.
"""

from __future__ import annotations

import bisect
import hashlib
import zlib
from collections.abc import Collection, Iterator
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from forensics.errors import IntegrityError
from forensics.integrity.manifest import Manifest
from forensics.lake.files import write_durably

#: So many small lists are worth a pack, and so many packs of one size class a larger one.
LISTS_MIN = 64
_FAN_OUT = 8
#: Larger lists stay on their own, and larger packs as they are.
_LIST_BYTES_MAX, _PACK_BYTES_MAX = 1 << 18, 1 << 27
_NAME, _OFFSET, _LENGTH = 16, 8, 4
_ENTRY = _NAME + _OFFSET + _LENGTH


class Place(NamedTuple):
    """Where the list of a segment is: a file, and which bytes of it; to its end with size -1."""

    path: Path
    offset: int
    size: int

    def read(self) -> bytes:
        """The list; raises OSError when the file is gone."""
        with self.path.open("rb") as stream:
            stream.seek(self.offset)
            return stream.read(self.size)


def folder(root: Path) -> Path:
    """Where packs lie."""
    return root / "log" / "segments"


def packs(root: Path) -> list[Path]:
    """All packs."""
    return sorted(folder(root).glob("*.pack"))


def find(root: Path, segment: str) -> Place | None:
    """Where the list of ``segment`` is within a pack; None where no pack has it."""
    if len(segment) != 2 * _NAME or set(segment) - set("0123456789abcdef"):
        return None
    wanted = bytes.fromhex(segment)
    for path in packs(root):
        index = _index_of(path)
        at = bisect.bisect_left(range(len(index) // _ENTRY), wanted, key=lambda n: _name(index, n))
        if at * _ENTRY < len(index) and _name(index, at) == wanted:
            return _place(path, index, at)
    return None


def held(path: Path) -> list[tuple[str, Place]]:
    """The segments whose lists a pack holds, by name."""
    index = _index_of(path)
    return [(_name(index, at).hex(), _place(path, index, at)) for at in range(len(index) // _ENTRY)]


def damaged(root: Path) -> Iterator[Path]:
    """Indexes of packs that are not what was written; they cost time, and hide nothing."""
    for path in packs(root):
        if _written_index(path) is None:
            yield path.with_suffix(".index")


def reindex(root: Path) -> None:
    """Make damaged indexes of packs again. The caller holds the lake's lock."""
    for path in damaged(root):
        write_durably(path, _indexed(_walked(path.with_suffix(".pack").read_bytes())))


def gather(root: Path, known: Collection[str]) -> int:
    """Put small lists together, and packs that are many; how many lists were. Under the lock.

    Args:
        root: the lake.
        known: the segments that the log speaks of: others are not sealed yet.
    """
    # A list that lies in a pack too was mended; the pack's is damaged.
    mended = {name for path in packs(root) for name, _ in held(path)}
    small = [
        path
        for path in sorted(folder(root).glob("??/*"))
        if path.name in known and path.name not in mended
        if path.stat().st_size <= _LIST_BYTES_MAX
    ]
    if len(small) >= LISTS_MIN:
        _write(root, [(path.name, path.read_bytes()) for path in small])
        for path in small:
            path.unlink()
    classes: dict[int, list[Path]] = {}
    for path in packs(root):
        if (size := path.stat().st_size) < _PACK_BYTES_MAX // _FAN_OUT:
            classes.setdefault(size.bit_length() // 3, []).append(path)
    for due in classes.values():
        if len(due) >= _FAN_OUT:
            places = {name: place for path in due for name, place in held(path)}
            alone = {path.name: path for path in folder(root).glob("??/*") if path.name in places}
            places |= {name: Place(path, 0, -1) for name, path in alone.items()}
            new = _write(root, [(name, places[name].read()) for name in sorted(places)])
            for path in alone.values():
                path.unlink()
            for path in due:
                if path != new:  # a death may have left what they give beside them
                    path.unlink()
                    path.with_suffix(".index").unlink(missing_ok=True)
    return len(small) if len(small) >= LISTS_MIN else 0


def _write(root: Path, lists: list[tuple[str, bytes]]) -> Path:
    """Write a pack, after its index; who dies in between leaves the lists as they were."""
    data = b"".join(each for _, each in lists)
    path = folder(root) / f"{hashlib.sha256(data).hexdigest()[:32]}.pack"
    entries, at = [], 0
    for name, each in lists:
        entries.append((name, at, len(each)))
        at += len(each)
    write_durably(path.with_suffix(".index"), _indexed(entries))
    write_durably(path, data)
    return path


def _indexed(entries: list[tuple[str, int, int]]) -> bytes:
    """An index: a line of 28 bytes for each list, sorted, and the CRC-32 of all of them."""
    lines = b"".join(
        bytes.fromhex(name) + offset.to_bytes(_OFFSET, "big") + length.to_bytes(_LENGTH, "big")
        for name, offset, length in sorted(entries)
    )
    return lines + zlib.crc32(lines).to_bytes(4, "big")


@lru_cache(maxsize=64)
def _remembered(path: Path, stamp: tuple[int, int]) -> bytes:
    index = _written_index(path)
    if index is None:
        try:
            index = _indexed(_walked(path.read_bytes()))[:-4]
        except FileNotFoundError:  # a larger pack has its lists now
            return b""
    return index


def _index_of(path: Path) -> bytes:
    """The lines of a pack's index, made again where the file is damaged."""
    try:
        stat = path.with_suffix(".index").stat()
    except FileNotFoundError:
        return _remembered(path, (0, 0))
    return _remembered(path, (stat.st_mtime_ns, stat.st_size))


def _written_index(path: Path) -> bytes | None:
    try:
        data = path.with_suffix(".index").read_bytes()
    except OSError:
        return None
    sound = zlib.crc32(data[:-4]).to_bytes(4, "big") == data[-4:] and len(data) % _ENTRY == 4
    return data[:-4] if sound else None


def _walked(data: bytes) -> list[tuple[str, int, int]]:
    """The lists of a pack, from its end, as far as their manifests can be read."""
    from forensics.lake.sealed import RECORD_BYTES

    found, end = [], len(data)
    while end > 0:
        length = int.from_bytes(data[end - 2 : end], "big")
        try:
            manifest = Manifest.parse(data[max(end - 2 - length, 0) : end - 2])
        except IntegrityError:
            break
        size = manifest.records * RECORD_BYTES + length + 2
        if size > end:
            break
        found.append((manifest.segment, end - size, size))
        end -= size
    return found


def _name(index: bytes, number: int) -> bytes:
    return index[number * _ENTRY : number * _ENTRY + _NAME]


def _place(path: Path, index: bytes, number: int) -> Place:
    start = number * _ENTRY + _NAME
    offset = int.from_bytes(index[start : start + _OFFSET], "big")
    return Place(path, offset, int.from_bytes(index[start + _OFFSET : start + 12], "big"))
