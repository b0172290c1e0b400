"""What is kept of a sealed segment beside its records, so that a missing one can be named.

``log/segments/ab/<segment>`` holds, in the order of the leaves, 32 bytes of leaf hash for each
record, then 16 bytes for each: 8 of the SHA-256 of its id, 8 of that of its surroundings (id, time,
time of receipt, source and way of reading, which the received bytes do not contain), and last the
manifest. The signed root covers all of it: the hashes are its leaves, and the manifest, its first
leaf, has the digest of the rest. 48 bytes a record. Small ones are put together in packs: see
:mod:`forensics.lake.packs`.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from forensics.errors import IntegrityError
from forensics.integrity import tree
from forensics.integrity.manifest import Manifest
from forensics.integrity.tree import HASH_BYTES
from forensics.lake import packs

AROUND_BYTES = 16
RECORD_BYTES = HASH_BYTES + AROUND_BYTES
_LENGTH_BYTES = 2
#: Packs are put together while they are read; more often than this in a row is no accident.
_TRIES = 4


def path_of(root: Path, segment: str) -> Path:
    """Where the leaves of ``segment`` lie when it is sealed."""
    return root / "log" / "segments" / segment[:2] / segment


def file_of(root: Path, segment: str) -> Path:
    """The file that the leaves of ``segment`` are in now: its own, or a pack."""
    path = path_of(root, segment)
    if not path.exists() and (place := packs.find(root, segment)) is not None:
        return place.path
    return path


def kept(root: Path, segment: str) -> bytes:
    """The bytes of the list of ``segment``.

    Raises:
        OSError: when it is gone.
    """
    path = path_of(root, segment)
    for _ in range(_TRIES):
        try:
            return path.read_bytes()
        except FileNotFoundError:
            place = packs.find(root, segment)
            if place is None:
                raise
        try:
            return place.read()
        except FileNotFoundError:  # put into a larger pack just now
            continue
    return path.read_bytes()


def origin_of(log_origin: str, segment: str) -> str:
    """The name of a segment's tree."""
    return f"{log_origin}/segment/{segment}"


def segment_of(log_origin: str, origin: str) -> str | None:
    """The segment whose tree is named ``origin``; None where it names something else."""
    head, _, segment = origin.rpartition("/")
    return segment if head == f"{log_origin}/segment" and len(segment) == 32 else None


def tail(manifest: bytes) -> bytes:
    """What is put behind the leaves when the segment is sealed."""
    return manifest + len(manifest).to_bytes(_LENGTH_BYTES, "big")


@dataclass(frozen=True)
class Sealed:
    """One sealed segment. ``leaves`` and ``around`` are packed, in the order of the leaves."""

    manifest_bytes: bytes
    leaves: bytes
    around: bytes

    @cached_property
    def manifest(self) -> Manifest:
        """The manifest; raises IntegrityError when it is none."""
        return Manifest.parse(self.manifest_bytes)

    @property
    def records(self) -> int:
        """How many records the segment has."""
        return len(self.leaves) // HASH_BYTES

    @cached_property
    def tree(self) -> tree.Complete:
        """The segment's tree: the manifest, then the records."""
        return tree.in_memory(tree.leaf_hash(self.manifest_bytes) + self.leaves)

    @property
    def root(self) -> bytes:
        """The root of the segment's tree."""
        return tree.root_of(self.tree, self.records + 1)

    def leaf(self, index: int) -> bytes:
        """The leaf hash of the record with the 1-based ``index``."""
        return self.leaves[(index - 1) * HASH_BYTES : index * HASH_BYTES]

    def around_of(self, index: int) -> bytes:
        """The digests of the id and the surroundings of the record with the 1-based ``index``."""
        return self.around[(index - 1) * AROUND_BYTES : index * AROUND_BYTES]


def read(root: Path, segment: str) -> Sealed:
    """What is kept of ``segment``; nothing has been compared with its root yet.

    Raises:
        IntegrityError: when it is gone or cannot be read.
    """
    try:
        data = kept(root, segment)
    except OSError as error:
        raise _unreadable(segment, error.strerror or "It cannot be read") from error
    length = int.from_bytes(data[-_LENGTH_BYTES:], "big")
    end = len(data) - _LENGTH_BYTES - length
    if end < 0 or end % RECORD_BYTES:
        raise _unreadable(segment, "It breaks off")
    count = end // RECORD_BYTES
    leaves, around = data[: count * HASH_BYTES], data[count * HASH_BYTES : end]
    return Sealed(data[end:-_LENGTH_BYTES], leaves, around)


def is_listed(root: Path, segment: str, index: int, leaf: bytes) -> bool | None:
    """Whether ``leaf`` stands in the list of ``segment``, as number ``index`` from 1.

    None where there is no list. That the list is the sealed one, only its root tells: this is the
    look that costs nothing.
    """
    start = (index - 1) * HASH_BYTES
    try:
        with path_of(root, segment).open("rb") as stream:
            stream.seek(start)
            return stream.read(HASH_BYTES) == leaf
    except (OSError, ValueError):
        pass
    try:
        return kept(root, segment)[start : start + HASH_BYTES] == leaf if start >= 0 else None
    except OSError:
        return None


def digest(around: bytes) -> str:
    """What the manifest says of the records' ids and surroundings."""
    return hashlib.sha256(around).hexdigest()


def _unreadable(segment: str, why: str) -> IntegrityError:
    return IntegrityError(
        f"The leaves of segment {segment} cannot be read.",
        f"{why}.",
        "Restore the folder log from a backup.",
    )
