"""Checkpoints (C2SP tlog-checkpoint): a tree's origin, size and root, as the text of a note."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

from forensics.errors import IntegrityError
from forensics.integrity.tree import HASH_BYTES


class Checkpoint(NamedTuple):
    """What a tree was at one moment."""

    origin: str
    size: int
    root: bytes

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}\n{self.size}\n{base64.b64encode(self.root).decode()}\n"

    @classmethod
    def parse(cls, text: str) -> Checkpoint:
        """The checkpoint that ``text`` writes; further lines are refused, since none is ours.

        Raises:
            IntegrityError: when it is none.
        """
        lines = text.split("\n")
        try:
            origin, size, encoded, rest = lines
            root = base64.b64decode(encoded, validate=True)
            found = cls(origin, int(size) if size.isascii() and size.isdigit() else -1, root)
        except (ValueError, binascii.Error):
            raise _malformed() from None
        if rest or not origin or len(root) != HASH_BYTES or found.text() != text:
            raise _malformed()
        return found


def _malformed() -> IntegrityError:
    return IntegrityError(
        "A checkpoint cannot be read.",
        "It must have an origin, a size and a root, each on its line.",
        "Restore it from a backup.",
    )
