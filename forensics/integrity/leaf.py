"""The leaf: what a record's proof commits to.

RFC 6962 leaf hash over a header, which names this form, and a salted digest of the exact received
bytes. The salt keeps a leaf from confirming guesses about a short record once the record itself has
been erased.
"""

from __future__ import annotations

import hashlib

SALT_BYTES = 16

#: Names the leaf's form. A change of the form is a new name; old leaves keep theirs.
HEADER = b"decision-forensics/leaf/1\n"

#: RFC 6962 section 2.1: leaves and inner nodes are hashed apart.
LEAF_PREFIX = b"\x00"


def leaf_hash(salt: bytes, raw: bytes) -> bytes:
    """The 32-byte leaf of ``raw``, the bytes as received, under ``salt`` (16 bytes)."""
    inner = hashlib.sha256(salt + raw).digest()
    return hashlib.sha256(LEAF_PREFIX + HEADER + inner).digest()
