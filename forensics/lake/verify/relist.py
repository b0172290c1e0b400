"""A damaged list of leaves, told again from the records it lists and the root that was sealed.

The list, the records and the root say the same thing; where two of them agree, the third is wrong.
What is put together here from the list and the records has the sealed root: it is no guess, and a
record that is not what was sealed is still found out by it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import combinations
from pathlib import Path

from forensics.errors import IntegrityError
from forensics.integrity import tree
from forensics.integrity.manifest import Manifest
from forensics.integrity.tree import HASH_BYTES
from forensics.lake import sealed
from forensics.lake.sealed import AROUND_BYTES, RECORD_BYTES, Sealed

#: Of so many places where list and records differ, every choice between the two is tried.
_DIFFERENT_MAX = 6
_MANIFEST_BYTES_MAX = 2_000

#: Of records by the number of their leaf: the leaf hash that their bytes give, and the digests of
#: their id and surroundings.
Made = Mapping[int, tuple[bytes, bytes]]


def relisted(data: bytes, segment: str, size: int, root: bytes, made: Made) -> Sealed | None:
    """The list of a segment as it was sealed; None where that cannot be told.

    Args:
        data: what is left of the list's file.
        segment: its name.
        size: leaves of its tree, the manifest's among them.
        root: the root of its tree that the log vouches for.
        made: what the records give.
    """
    count = size - 1
    end = count * RECORD_BYTES
    stored = data[: count * HASH_BYTES].ljust(count * HASH_BYTES, b"\0")
    around = data[count * HASH_BYTES : end].ljust(count * AROUND_BYTES, b"\0")
    # Its length, in two bytes behind it, may be what is damaged.
    manifest = data[end:-2]
    for leaves in _choices(stored, {at: leaf for at, (leaf, _) in made.items()}, HASH_BYTES):
        found = _manifest(manifest, leaves, size, root)
        if found is None:
            continue
        said = Manifest.parse(found).rows
        if Manifest.parse(found).segment != segment:
            return None
        for rest in _choices(around, {at: each for at, (_, each) in made.items()}, AROUND_BYTES):
            if sealed.digest(rest) == said:
                return Sealed(found, leaves, rest)
    return None


def _choices(stored: bytes, made: Mapping[int, bytes], width: int) -> Iterator[bytes]:
    """What is stored, what the records give, and what lies between the two."""
    yield stored
    whole = bytearray(stored)
    different = []
    for index, value in made.items():
        at = (index - 1) * width
        if 0 <= at <= len(stored) - width and stored[at : at + width] != value:
            different.append(at)
            whole[at : at + width] = value
    if not different:
        return
    yield bytes(whole)
    if len(different) > _DIFFERENT_MAX:
        return
    for size in range(1, len(different)):
        for kept in combinations(different, size):
            tried = bytearray(whole)
            for at in kept:
                tried[at : at + width] = stored[at : at + width]
            yield bytes(tried)


def _manifest(data: bytes, leaves: bytes, size: int, root: bytes) -> bytes | None:
    """The manifest that gives the root with these leaves: the one given, or with one bit changed.

    That of a tree whose leaves are wrong too is not found.
    """
    path = tree.inclusion(tree.in_memory(bytes(HASH_BYTES) + leaves), 0, size)

    def fits(manifest: bytes) -> bool:
        return tree.root_from_inclusion(tree.leaf_hash(manifest), 0, size, path) == root

    for tried in _with_one_bit(data):
        if fits(tried):
            try:
                Manifest.parse(tried)
            except IntegrityError:
                return None
            return tried
    return None


def _with_one_bit(data: bytes) -> Iterator[bytes]:
    yield data
    if len(data) > _MANIFEST_BYTES_MAX:
        return
    for at, byte in enumerate(data):
        for bit in range(8):
            yield data[:at] + bytes((byte ^ 1 << bit,)) + data[at + 1 :]


def differences(data: bytes, right: Sealed) -> str:
    """Where a list's file is not what it has to be, for people."""
    whole = right.leaves + right.around + sealed.tail(right.manifest_bytes)
    if len(data) != len(whole):
        return f"it has {len(data):,} bytes instead of {len(whole):,}"
    at = next((at for at, (a, b) in enumerate(zip(data, whole, strict=True)) if a != b), 0)
    count = right.records
    if at < count * HASH_BYTES:
        return f"the hash of leaf {at // HASH_BYTES + 1} is another"
    if at < count * RECORD_BYTES:
        return f"what it says around leaf {(at - count * HASH_BYTES) // AROUND_BYTES + 1} is wrong"
    return "its manifest is another"


def bytes_of(root: Path, segment: str) -> bytes:
    """What is left of a list's file."""
    try:
        return sealed.kept(root, segment)
    except OSError:
        return b""
