"""Proofs of many records under one checkpoint, and what else of the log a bundle needs."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from forensics.errors import IntegrityError
from forensics.integrity import note as notes
from forensics.integrity import tiles, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.key_change import KeyChange
from forensics.integrity.leaf import leaf_hash
from forensics.integrity.note import Key
from forensics.integrity.proof import SUFFIX, Proof
from forensics.lake import layout, seal_anchor, seal_keys, sealed, sql
from forensics.lake.log import Log, exists
from forensics.lake.read import Kept
from forensics.lake.sealed import Sealed
from forensics.lake.snapshot import Location, Snapshot
from forensics.lake.verify import bundle_layout as at

#: Ed25519 public keys in DER begin so (RFC 8410); the 32 bytes follow.
_DER = bytes.fromhex("302a300506032b6570032100")


@dataclass(frozen=True, slots=True)
class Leaf:
    """A record's place in the log. ``raw`` and ``salt`` are None where nobody can or may read it.

    ``raw`` is what was received, also where the lake keeps it encrypted.
    """

    segment: str
    leaf_index: int
    leaf: bytes
    raw: bytes | None
    salt: bytes | None


class Prover:
    """The log of a lake at one moment, from which proofs are made.

    Raises:
        IntegrityError: when its tiles do not give the root that was signed.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot, self.root = snapshot, snapshot.root
        self.lake_id = layout.identity(self.root)
        self.origin = seal_keys.origin_of(self.lake_id)
        self.log = Log(self.root, self.origin)
        self.checkpoint: Checkpoint = self.log.checkpoint
        if self.checkpoint.origin != self.origin:
            raise IntegrityError("The log is that of another lake.", f"{self.checkpoint.origin}.")
        self._complete = tiles.complete(self.log.size, self.log.read)
        if tree.root_of(self._complete, self.log.size) != self.checkpoint.root:
            raise IntegrityError("The log's tiles do not give the root that was signed.")
        self._entries = self.log.entries() if exists(self.root) else []
        self._numbers: dict[str, int] = {}
        self.key_changes: list[tuple[int, KeyChange]] = []
        for number, entry in enumerate(self._entries):
            text = entry.partition(b"\n\n")[0].decode("utf-8", "replace") + "\n"
            segment = sealed.segment_of(self.origin, text.partition("\n")[0])
            if segment is not None:
                self._numbers[segment] = number
            elif (change := KeyChange.parse(self.origin, text)) is not None:
                self.key_changes.append((number, change))
        self._listed: dict[str, Sealed] = {}

    @property
    def note(self) -> bytes:
        """The signed checkpoint; empty where nothing was ever sealed."""
        return self.log.note.to_bytes() if self.log.note is not None else b""

    def leaves(self, records: Sequence[Kept], unmasked: bool = True) -> list[Leaf | None]:
        """Where each record stands in the log; None where it is not sealed.

        Args:
            records: all of one table.
            unmasked: take the received bytes along, where they can be read.

        Raises:
            IntegrityError: when one is not what was sealed.
        """
        raws = self._received(records) if unmasked else {}
        return [self._leaf(kept, *raws.get(kept.location, (None, None))) for kept in records]

    def _leaf(self, kept: Kept, raw: bytes | None, salt: bytes | None) -> Leaf | None:
        facts = kept.sealed
        segment, index, leaf = facts["segment"], facts["leaf_index"], facts["leaf"]
        if segment is None or index is None or leaf is None or segment not in self._numbers:
            return None
        listed = self.listed(segment)
        fits = 0 < index <= listed.records and listed.leaf(index) == leaf
        if raw is not None and salt is not None:
            fits = fits and leaf_hash(salt, raw) == leaf
        if not fits or kept.verified is False:
            raise IntegrityError(
                f"{kept.named[0] if kept.named else 'A record'} is not what was sealed.",
                f"It stands as leaf {index} of segment {segment}.",
                "Restore the lake from a backup; forensics verify says what else is concerned.",
            )
        return Leaf(segment, index, leaf, raw if salt is not None else None, salt)

    def _received(
        self, records: Sequence[Kept]
    ) -> dict[Location, tuple[bytes | None, bytes | None]]:
        """Received bytes and salt of each record that can be read."""
        by_file: dict[tuple[str, str], list[int]] = {}
        for kept in records:
            place = kept.location
            if kept.sealed.get("salt") is not None and "unreadable" not in kept.sealed:
                by_file.setdefault((place.table, place.file), []).append(place.row)
        found: dict[Location, tuple[bytes | None, bytes | None]] = {}
        for (table, file), rows in by_file.items():
            path, numbers = sql.literal(str(self.root / table / file)), ", ".join(map(str, rows))
            with sql.reading(f"A record in {table}/{file}"):
                fetched = self.snapshot.connection.execute(
                    f"SELECT file_row_number, raw, salt FROM read_parquet({path}, "
                    f"file_row_number = true) WHERE file_row_number IN ({numbers})"
                ).fetchall()
            for row, raw, salt in fetched:
                if raw is not None and raw.startswith(b"\0"):  # no record begins so
                    from forensics.lake.protect import opened

                    raw = opened(self.root, raw)[0]
                found[Location(table, file, row)] = (raw, salt if raw is not None else None)
        return found

    def listed(self, segment: str) -> Sealed:
        """The leaves of a segment, compared with the root that was signed.

        Raises:
            IntegrityError: when they are not what was sealed.
        """
        if segment not in self._listed:
            entry = self._entries[self._numbers[segment]]
            inner = Checkpoint.parse(notes.parse(entry).text)
            found = sealed.read(self.root, segment)
            if found.records + 1 != inner.size or found.root != inner.root:
                raise IntegrityError(
                    f"The list of leaves of segment {segment} is not what was sealed."
                )
            self._listed[segment] = found
        return self._listed[segment]

    def record_files(self, folder: str, leaf: Leaf) -> dict[str, bytes]:
        """The files of one record: its leaf, its proof and, where it can be shown, its bytes."""
        listed, entry = self.listed(leaf.segment), self._entries[self._numbers[leaf.segment]]
        path = tuple(tree.inclusion(listed.tree, leaf.leaf_index, listed.records + 1))
        proof = Proof(leaf.leaf_index, path, entry)
        found = {
            f"{folder}/record{SUFFIX}": proof.to_bytes(),
            f"{folder}/leaf": f"{leaf.leaf.hex()}\n".encode(),
        }
        if leaf.raw is not None and leaf.salt is not None:
            found |= {f"{folder}/record.json": leaf.raw, f"{folder}/salt.bin": leaf.salt}
        return found

    def segment_files(self, segments: Iterable[str]) -> dict[str, bytes]:
        """The files of each segment: its checkpoint and manifest, with their proofs."""
        found: dict[str, bytes] = {}
        for segment in segments:
            listed, number = self.listed(segment), self._numbers[segment]
            entry, folder = self._entries[number], f"{at.SEGMENTS}/{segment}"
            first = tuple(tree.inclusion(listed.tree, 0, listed.records + 1))
            found |= {
                f"{folder}/manifest.txt": listed.manifest_bytes,
                f"{folder}/manifest{SUFFIX}": Proof(0, first, entry).to_bytes(),
                f"{folder}/entry": entry,
                f"{folder}/entry{SUFFIX}": self._outer(number),
            }
        return found

    def log_files(self, segments: Iterable[str]) -> dict[str, bytes]:
        """The checkpoint, the keys with their changes, and what others vouched for."""
        keys = list(dict.fromkeys(change.key for _, change in self.key_changes))
        found = {
            at.CHECKPOINT: self.note,
            at.KEYS: "".join(f"{key}\n" for key in keys).encode(),
            **{f"keys/{key.hash}.pem": _pem(key) for key in keys},
        }
        for number, _ in self.key_changes:
            found[f"{at.KEY_CHANGES}/{number}.entry"] = self._entries[number]
            found[f"{at.KEY_CHANGES}/{number}{SUFFIX}"] = self._outer(number)
        for folder in self._anchors({self._numbers[segment] for segment in segments}):
            found |= self._anchor(folder)
        return found

    def _outer(self, number: int) -> bytes:
        path = tuple(tree.inclusion(self._complete, number, self.log.size))
        return Proof(number, path, self.note).to_bytes()

    def _anchors(self, numbers: Iterable[int]) -> Iterator[Path]:
        """The first anchor that covers each entry, and the last of all."""
        folders = {int(folder.name): folder for folder in seal_anchor.anchors(self.root)}
        sizes = [size for size in folders if 0 < size <= self.log.size]
        wanted = {min((s for s in sizes if s > number), default=0) for number in numbers}
        for size in sorted({*wanted, max(sizes, default=0)} - {0}):
            yield folders[size]

    def _anchor(self, folder: Path) -> Mapping[str, bytes]:
        size = int(folder.name)
        path = tree.consistency(self._complete, size, self.log.size)
        lines = [f"old {size}", *(base64.b64encode(hash_).decode() for hash_ in path)]
        named = f"{at.ANCHORS}/{size}"
        grown = "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.note
        found = {f"{named}/consistency": grown}
        for name in ("checkpoint", "stamped", "timestamp.tsr"):
            if (folder / name).is_file():
                found[f"{named}/{name}"] = (folder / name).read_bytes()
        return found


def _pem(key: Key) -> bytes:
    encoded = base64.b64encode(_DER + key.public).decode()
    return f"-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n".encode()
