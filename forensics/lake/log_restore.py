"""What of a damaged log can be told again from the rest of it.

The log says everything twice: as entries, and as the hashes above them. The signed root tells which
of the two is right. Tiles of hashes are computed from the entries; an entry, whose hash is then
known, is taken from another bundle that has it too, or found by trying what one changed byte may
have been before. What is told so has the hash that was signed: it is no guess.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from hashlib import sha256

from forensics.errors import IntegrityError
from forensics.integrity import tiles, tree
from forensics.integrity.tiles import WIDTH, Tile
from forensics.integrity.tree import HASH_BYTES
from forensics.lake.log import Log

#: Trying every byte of an entry takes 0.2 µs for each 1 of 255 values; of longer ones, only bits.
_BYTES_MAX, _BITS_MAX = 1_500, 16_384
_BITS = tuple(1 << bit for bit in range(8))


@dataclass(slots=True)
class Restored:
    """The entries of a log, None where one is lost, and the leaf hashes that its root vouches for.

    ``vouched`` is False where neither entries nor tiles give the root that was signed.
    """

    entries: list[bytes | None]
    hashes: bytes
    vouched: bool
    #: Numbers of entries that are lost, or were told again, by the bundle that they are damaged in.
    damaged: dict[Tile, list[int]] = field(default_factory=dict)


def restored(ours: Log) -> Restored:
    """All entries of ``ours``, told again where a bundle is damaged and the tiles are not."""
    signed = ours.checkpoint.root
    bundles = {tile: _bytes(ours, tile) for tile in tiles.of_size(ours.size, None)}
    plain = [_entries(data, tile.width) for tile, data in bundles.items()]
    if None not in plain:
        entries = [entry for part in plain if part for entry in part]
        hashes = b"".join(map(tree.leaf_hash, entries))
        if tree.root(hashes) == signed:
            return Restored([*entries], hashes, True)
    hashes = b"".join(_bytes(ours, tile) for tile in tiles.of_size(ours.size, 0))
    vouched = len(hashes) == ours.size * HASH_BYTES and tree.root(hashes) == signed
    found = Restored([], hashes, vouched)
    for (tile, data), entries_ in zip(bundles.items(), plain, strict=True):
        first = tile.number * WIDTH
        if not vouched:
            found.entries += entries_ or [None] * tile.width
            continue
        right = hashes[first * HASH_BYTES : (first + tile.width) * HASH_BYTES]
        if entries_ and b"".join(map(tree.leaf_hash, entries_)) == right:
            found.entries += entries_
            continue
        told = list(_told(data, right, ours.origin.encode()))
        found.damaged[tile] = [first + at for at, (_, sound) in enumerate(told) if not sound]
        others = _others(ours, tile)
        for at, (entry, _) in enumerate(told):
            hash_ = right[at * HASH_BYTES : (at + 1) * HASH_BYTES]
            found.entries.append(entry if entry is not None else others.get(hash_))
    if not vouched:
        known = [entry if entry is not None else b"" for entry in found.entries]
        found.hashes = b"".join(map(tree.leaf_hash, known))
    return found


def _bytes(ours: Log, tile: Tile) -> bytes:
    """The bytes of a tile, or of a bundle with all that it should not have; none where it is gone.

    A bundle that is gone is taken from a wider one, which may be there as well.
    """
    try:
        return (ours.folder / tile.path).read_bytes()
    except OSError:
        try:
            return ours.read(tile)
        except (IntegrityError, OSError):
            return b""


def _entries(bundle: bytes, width: int) -> list[bytes] | None:
    try:
        entries = tiles.unpacked(bundle)
    except IntegrityError:
        return None
    return entries if len(entries) == width else None


def _others(ours: Log, tile: Tile) -> dict[bytes, bytes]:
    """Entries that other bundles with the same number have, by their leaf hash."""
    found: dict[bytes, bytes] = {}
    folder = ours.folder / f"{tile._replace(width=WIDTH).path}.p"
    for path in sorted(folder.glob("[0-9]*")):
        at, data = 0, path.read_bytes()
        while at < len(data):
            end = at + 2 + int.from_bytes(data[at : at + 2], "big")
            found[tree.leaf_hash(data[at + 2 : end])] = data[at + 2 : end]
            at = end
    return found


def _told(bundle: bytes, hashes: bytes, begins: bytes) -> Iterator[tuple[bytes | None, bool]]:
    """The entries of a bundle whose hashes are known, and whether each stands there as it is.

    Args:
        bundle: its bytes, of which any may be damaged.
        hashes: the right leaf hashes.
        begins: what every entry begins with.
    """
    at = 0
    for number in range(len(hashes) // HASH_BYTES):
        hash_ = hashes[number * HASH_BYTES : (number + 1) * HASH_BYTES]
        length = int.from_bytes(bundle[at : at + 2], "big")
        entry = bundle[at + 2 : at + 2 + length]
        if tree.leaf_hash(entry) == hash_:
            yield entry, True
            at += 2 + length
            continue
        lengths = [length ^ 1 << bit for bit in range(16)]
        sized = [size for size in lengths
                 if tree.leaf_hash(bundle[at + 2 : at + 2 + size]) == hash_]  # fmt: skip
        if sized:
            yield bundle[at + 2 : at + 2 + sized[0]], False
            at += 2 + sized[0]
            continue
        yield mended(entry, hash_), False
        after = hashes[(number + 1) * HASH_BYTES : (number + 2) * HASH_BYTES]
        at = _next(bundle, at, length, after, begins)


def _next(bundle: bytes, at: int, length: int, after: bytes, begins: bytes) -> int:
    """Where the entry after a damaged one begins: its hash, or its beginning, tells."""
    place = at + 2 + length
    while 0 <= place < len(bundle):
        size = int.from_bytes(bundle[place : place + 2], "big")
        if tree.leaf_hash(bundle[place + 2 : place + 2 + size]) == after:
            return place
        place = bundle.find(begins, max(place, at) + 3) - 2
    return at + 2 + length


def mended(data: bytes, hash_: bytes) -> bytes | None:
    """``data`` with the one byte changed that gives it the leaf hash ``hash_``; None without one.

    Of long data only single bits are tried, of very long data nothing.
    """
    if len(data) > _BITS_MAX:
        return None
    changes: Sequence[int] = range(1, 256) if len(data) <= _BYTES_MAX else _BITS
    for at, byte in enumerate(data):
        before, rest = sha256(b"\0" + data[:at]), data[at + 1 :]
        for change in changes:
            tried = before.copy()
            tried.update(bytes((byte ^ change,)) + rest)
            if tried.digest() == hash_:
                return data[:at] + bytes((byte ^ change,)) + rest
    return None


def right_bytes(found: Restored, size: int) -> Iterator[tuple[Tile, bytes]]:
    """Every tile and bundle of a log of ``size`` entries as it has to be, where that is known."""
    known = tree.levels(found.hashes)
    for level in range(tiles.levels_of(size)):
        for tile in tiles.of_size(size, level):
            first = tile.number * WIDTH
            yield tile, known[8 * level][first * 32 : (first + tile.width) * 32]
    for tile in tiles.of_size(size, None):
        part = found.entries[tile.number * WIDTH :][: tile.width]
        whole = [entry for entry in part if entry is not None]
        if len(whole) == tile.width:
            yield tile, tiles.packed(whole)


def restore(ours: Log) -> list[str]:
    """Write what of ``ours`` is damaged and can be told again; paths of what was written.

    The caller holds the lake's lock.
    """
    found = restored(ours)
    if not found.vouched or not ours.size:
        return []
    written = []
    for widest, whole in right_bytes(found, ours.size):
        for tile, data in ((widest, whole), *_earlier(ours, widest, whole)):
            if _bytes(ours, tile) != data:
                ours.write(tile, data)
                written.append(tile.path)
    return written


def _earlier(ours: Log, widest: Tile, whole: bytes) -> Iterator[tuple[Tile, bytes]]:
    """The narrower tiles that lie beside a partial one, as they have to be."""
    if widest.width == WIDTH:
        return
    for path in sorted((ours.folder / widest.path).parent.glob("[0-9]*")):
        if path.name.isdigit() and 0 < (width := int(path.name)) < widest.width:
            part = whole[: width * HASH_BYTES]
            if widest.level is None:
                part = tiles.packed(tiles.unpacked(whole)[:width])
            yield widest._replace(width=width), part
