"""Proofs that fit in a file (C2SP tlog-proof): an index, an audit path and a checkpoint."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable
from dataclasses import dataclass

from forensics.errors import IntegrityError
from forensics.integrity import note as notes
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.note import Key
from forensics.integrity.tree import HASH_BYTES, root_from_inclusion

_HEAD = "c2sp.org/tlog-proof@v1"
SUFFIX = ".tlog-proof"


@dataclass(frozen=True, slots=True)
class Proof:
    """That a leaf is in a tree whose checkpoint is signed. ``checkpoint`` is the note, verbatim."""

    index: int
    path: tuple[bytes, ...]
    checkpoint: bytes

    def to_bytes(self) -> bytes:
        """The proof as a file."""
        lines = [_HEAD, f"index {self.index}", *(base64.b64encode(h).decode() for h in self.path)]
        return "".join(f"{line}\n" for line in lines).encode() + b"\n" + self.checkpoint

    @classmethod
    def parse(cls, data: bytes) -> Proof:
        """The proof that a file holds; extra data is passed over, since nothing vouches for it.

        Raises:
            IntegrityError: when it is none.
        """
        head, cut, checkpoint = data.partition(b"\n\n")
        try:
            lines = head.decode("ascii").split("\n")
            if lines.pop(0) != _HEAD or not cut:
                raise ValueError
            if lines[0].startswith("extra "):
                lines.pop(0)
            word, number = lines.pop(0).split(" ")
            path = tuple(base64.b64decode(line, validate=True) for line in lines)
            if word != "index" or str(int(number)) != number:
                raise ValueError
        except (ValueError, IndexError, binascii.Error):
            raise _malformed() from None

        found = cls(int(number), path, checkpoint)
        again = found.to_bytes()  # a hash can be written in base64 in more than one way
        if any(len(hash_) != HASH_BYTES for hash_ in path) or not data.endswith(
            again[len(_HEAD) :]
        ):
            raise _malformed()
        return found

    def check(self, leaf: bytes, keys: Iterable[Key], origin: str) -> Checkpoint:
        """The checkpoint that vouches for ``leaf``.

        Args:
            leaf: the hash of the leaf.
            keys: those that are trusted.
            origin: which log it must be.

        Raises:
            IntegrityError: when the proof does not hold.
        """
        note = notes.parse(self.checkpoint)
        found = Checkpoint.parse(note.text)
        if found.origin != origin:
            why = f"It is of {found.origin!r}, not of {origin!r}."
        elif not notes.signers(note, keys):
            why = "No trusted key signed its checkpoint."
        elif root_from_inclusion(leaf, self.index, found.size, self.path) != found.root:
            why = "The path from the leaf does not lead to the signed root."
        else:
            return found
        raise IntegrityError("A proof does not hold.", why, "Ask for the proof again.")


def _malformed() -> IntegrityError:
    return IntegrityError("A proof cannot be read.", "It is no tlog-proof of version 1.")
