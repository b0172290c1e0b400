"""Merkle trees as RFC 6962 defines them: roots, inclusion proofs, consistency proofs.

Hashes travel packed, 32 bytes each, one after the other: a hundred thousand of them are one object.
Proofs are made from a function that gives the hash of any complete subtree, so that the same code
serves a tree in memory and one in tiles on disk.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import sha256

HASH_BYTES = 32
#: RFC 6962 section 2.1: leaves and inner nodes are hashed apart.
_LEAF, _NODE = b"\x00", b"\x01"

EMPTY_ROOT = sha256(b"").digest()

#: Gives the root of the complete subtree of ``2**level`` leaves with number ``index`` on its level.
Complete = Callable[[int, int], bytes]


def leaf_hash(entry: bytes) -> bytes:
    """The hash of a leaf that holds ``entry``."""
    return sha256(_LEAF + entry).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """The hash of the node above two others."""
    return sha256(_NODE + left + right).digest()


def levels(packed: bytes) -> list[bytes]:
    """All levels of the tree over ``packed`` leaf hashes, packed; the last one is the root alone.

    A node without a sibling rises as it is, which gives the tree of RFC 6962 section 2.1.
    """
    above = [packed]
    while len(packed) > HASH_BYTES:
        paired = len(packed) // 64 * 64
        packed = (
            b"".join([sha256(_NODE + packed[at : at + 64]).digest() for at in range(0, paired, 64)])
            + packed[paired:]
        )
        above.append(packed)
    return above


def root(packed: bytes) -> bytes:
    """The root over ``packed`` leaf hashes."""
    return levels(packed)[-1] if packed else EMPTY_ROOT


def in_memory(packed: bytes) -> Complete:
    """Complete subtrees of the tree over ``packed`` leaf hashes."""
    known = levels(packed)
    return lambda level, index: known[level][index * HASH_BYTES : (index + 1) * HASH_BYTES]


def root_of(complete: Complete, size: int) -> bytes:
    """The root over the first ``size`` leaves."""
    return _between(complete, 0, size) if size else EMPTY_ROOT


def inclusion(complete: Complete, index: int, size: int) -> list[bytes]:
    """The audit path of leaf ``index`` in the tree of ``size`` leaves, leaf's sibling first."""
    path: list[bytes] = []
    low, high = 0, size
    while high - low > 1:
        middle = low + _split(high - low)
        if index < middle:
            path.append(_between(complete, middle, high))
            high = middle
        else:
            path.append(_between(complete, low, middle))
            low = middle
    return path[::-1]


def consistency(complete: Complete, old: int, size: int) -> list[bytes]:
    """The proof of RFC 6962 section 2.1.2 that the tree of ``old`` leaves is a beginning of ours.

    Args:
        complete: complete subtrees of our tree.
        old: leaves of the earlier tree, at least 1.
        size: leaves of ours.
    """
    path: list[bytes] = []
    low, high, whole = 0, size, True
    while old != high:
        middle = low + _split(high - low)
        if old <= middle:
            path.append(_between(complete, middle, high))
            high = middle
        else:
            path.append(_between(complete, low, middle))
            low, whole = middle, False
    if not whole:
        path.append(_between(complete, low, high))
    return path[::-1]


def root_from_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes]) -> bytes | None:
    """The root that ``path`` leads to from ``leaf``; None where it is not one of such a tree.

    RFC 9162 section 2.1.3.2.
    """
    if not 0 <= index < size:
        return None
    hash_, last = leaf, size - 1
    for sibling in path:
        if last == 0:
            return None
        if index & 1 or index == last:
            hash_ = node_hash(sibling, hash_)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            hash_ = node_hash(hash_, sibling)
        index, last = index >> 1, last >> 1
    return hash_ if last == 0 else None


def is_consistent(
    old: int, old_root: bytes, size: int, new_root: bytes, path: Sequence[bytes]
) -> bool:
    """Whether ``path`` shows that the tree of ``old`` leaves is a beginning of the other.

    RFC 9162 section 2.1.4.2.
    """
    if not 0 < old <= size:
        return False
    if old == size:
        return not path and old_root == new_root
    hashes = list(path)
    if old & (old - 1) == 0:
        hashes.insert(0, old_root)
    if not hashes:
        return False
    index, last = old - 1, size - 1
    while index & 1:
        index, last = index >> 1, last >> 1
    first = second = hashes[0]
    for hash_ in hashes[1:]:
        if last == 0:
            return False
        if index & 1 or index == last:
            first, second = node_hash(hash_, first), node_hash(hash_, second)
            while index and not index & 1:
                index, last = index >> 1, last >> 1
        else:
            second = node_hash(second, hash_)
        index, last = index >> 1, last >> 1
    return last == 0 and first == old_root and second == new_root


def _between(complete: Complete, low: int, high: int) -> bytes:
    count = high - low
    if count & (count - 1) == 0:
        level = count.bit_length() - 1
        return complete(level, low >> level)
    middle = low + _split(count)
    return node_hash(_between(complete, low, middle), _between(complete, middle, high))


def _split(count: int) -> int:
    """The largest power of two below ``count``."""
    return int(1 << (count - 1).bit_length() - 1)
