"""Tiles (C2SP tlog-tiles): where hashes and entries of a log lie, and how they are packed.

A tile has up to 256 hashes of one level; a level is eight levels of the tree. The same numbers name
bundles of entries. What is at the right edge is partial, and its width is part of its name.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from forensics.errors import IntegrityError
from forensics.integrity.tree import HASH_BYTES, Complete, levels

WIDTH = 256
_HEIGHT = 8


class Tile(NamedTuple):
    """One tile: ``level`` of hashes, or None for a bundle of entries; ``width`` items."""

    level: int | None
    number: int
    width: int

    @property
    def path(self) -> str:
        """Where it lies within the log's folder."""
        kind = "entries" if self.level is None else str(self.level)
        parts = [f"{self.number % 1000:03}"]
        rest = self.number // 1000
        while rest:
            parts.append(f"x{rest % 1000:03}")
            rest //= 1000
        partial = f".p/{self.width}" if self.width < WIDTH else ""
        return f"tile/{kind}/{'/'.join(reversed(parts))}{partial}"


def of_size(size: int, level: int | None) -> Iterator[Tile]:
    """The tiles of one level of a tree of ``size`` leaves, the partial one last."""
    items = size >> _HEIGHT * (level or 0)
    for number in range(items // WIDTH):
        yield Tile(level, number, WIDTH)
    if items % WIDTH:
        yield Tile(level, items // WIDTH, items % WIDTH)


def levels_of(size: int) -> int:
    """How many levels of tiles a tree of ``size`` leaves has."""
    count = 0
    while size >> _HEIGHT * count:
        count += 1
    return count


def edge(size: int) -> list[Tile]:
    """The partial tiles of hashes of a tree of ``size`` leaves, lowest first."""
    return [
        Tile(level, items // WIDTH, items % WIDTH)
        for level in range(levels_of(size))
        if (items := size >> _HEIGHT * level) % WIDTH
    ]


def grown(
    size: int, read: Callable[[Tile], bytes], new: Iterable[bytes]
) -> tuple[dict[Tile, bytes], int]:
    """The tiles of hashes that appending leaves writes, and the new size.

    Args:
        size: leaves so far.
        read: gives the bytes of a tile that is there.
        new: hashes of the leaves to append.
    """
    written: dict[Tile, bytes] = {}
    partial = {tile.level: read(tile) for tile in edge(size)}

    def put(level: int, hash_: bytes, number: int) -> None:
        data = partial.get(level, b"") + hash_
        written.pop(Tile(level, number // WIDTH, number % WIDTH), None)
        tile = Tile(level, number // WIDTH, number % WIDTH + 1)
        written[tile] = data
        partial[level] = data
        if tile.width == WIDTH:
            partial[level] = b""
            put(level + 1, levels(data)[-1], number // WIDTH)

    for hash_ in new:
        put(0, hash_, size)
        size += 1
    return written, size


def complete(size: int, read: Callable[[Tile], bytes]) -> Complete:
    """Complete subtrees of a log of ``size`` entries, from its tiles."""
    kept: dict[Tile, bytes] = {}

    def hash_of(level: int, index: int) -> bytes:
        tile_level, above = divmod(level, _HEIGHT)
        first = index << above
        number, start = divmod(first, WIDTH)
        items = size >> _HEIGHT * tile_level
        tile = Tile(tile_level, number, min(WIDTH, items - number * WIDTH))
        if tile not in kept:
            kept[tile] = read(tile)
        data = kept[tile][start * HASH_BYTES : (start + (1 << above)) * HASH_BYTES]
        return levels(data)[-1]

    return hash_of


def packed(entries: Iterable[bytes]) -> bytes:
    """Entries as a bundle: each after its length in two bytes, big end first."""
    return b"".join(len(entry).to_bytes(2, "big") + entry for entry in entries)


def unpacked(bundle: bytes) -> list[bytes]:
    """The entries of a bundle.

    Raises:
        IntegrityError: when it breaks off.
    """
    entries, at = [], 0
    while at < len(bundle):
        end = at + 2 + int.from_bytes(bundle[at : at + 2], "big")
        if end > len(bundle) or at + 2 > len(bundle):
            raise IntegrityError("A bundle of log entries breaks off within an entry.")
        entries.append(bundle[at + 2 : end])
        at = end
    return entries
