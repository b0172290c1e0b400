"""What waits in the spool, encrypted where a privacy policy is in force.

What is acknowledged together is one line: an envelope of all its lines, in base64, so that a spool
file is cut, summed and closed as one whose lines are records.
"""

from __future__ import annotations

import binascii
from collections.abc import Callable
from pathlib import Path

from forensics.errors import IntegrityError, LakeError
from forensics.lake import policies
from forensics.lake.subject_keys import key_store
from forensics.privacy import cipher

#: What the key is for.
_FOR = "\0spool"
#: What every envelope begins with, in base64; no record of JSON does.
_MARK = binascii.b2a_base64(cipher.ENCRYPTED, newline=False)[:12]


def sealer(root: Path) -> Callable[[bytes], bytes] | None:
    """What makes one line of some lines; None where nothing is personal, and they stay as they are.

    Raises:
        LakeError: when the key store cannot be opened.
        UsageError: when the privacy policy is none.
    """
    if policies.in_force(root).is_open:
        return None
    store = key_store(root)
    token = store.token(_FOR)
    key = store.keys_for([token])[token]
    aead = cipher.aead(key.key)

    def sealed(data: bytes) -> bytes:
        return binascii.b2a_base64(cipher.encrypted(data, key.key_id, aead))

    return sealed


def plain(root: Path, path: Path) -> bytes | None:
    """The lines of a spool file as they were received; None where they stand in it as they are.

    Raises:
        LakeError: when the key store that they are encrypted under is not here.
        IntegrityError: when they are not what was encrypted.
    """
    with path.open("rb") as stream:
        head = stream.read(1 + len(_MARK))
    if not head.lstrip(b"\n").startswith(_MARK):
        return None
    found = []
    for line in path.read_bytes().split(b"\n"):
        if line.startswith(_MARK):
            line = _opened(root, line, path.name).rstrip(b"\n")
        found.append(line)
    return b"\n".join(found)


def _opened(root: Path, line: bytes, name: str) -> bytes:
    try:
        data = binascii.a2b_base64(line, strict_mode=True)
    except binascii.Error as error:
        raise IntegrityError(
            f"{name} in the spool is not what was written to it.", f"{error}."
        ) from error
    key_id = cipher.key_id_of(data)
    key = key_store(root).key(key_id) if key_id is not None else None
    if key is None:
        raise LakeError(
            f"{name} in the spool cannot be read.",
            "It is encrypted under a key that is not in this key store.",
            "Name the key store's folder: FORENSICS_KEY_STORE",
        )
    return cipher.decrypted(data, cipher.aead(key))
