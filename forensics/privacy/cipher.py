r"""Encryption of received bytes under a subject's key: AES-256-GCM (NIST SP 800-38D).

An envelope is::

    b"\x00DF-enc-1\n"  16 bytes key id  12 bytes nonce  ciphertext and tag

No record begins with a zero byte, so an envelope is told from a record by its first one. The key id
is authenticated with the bytes. A nonce is random: after 2**32 records of one subject the chance
that two are the same would be 2**-33.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from forensics.errors import IntegrityError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEY_BYTES = 32
KEY_ID_BYTES = 16
_NONCE_BYTES = 12
#: What an envelope begins with.
ENCRYPTED = b"\x00DF-enc-1\n"
_ERASED = b"\x00DF-erased-1\n"
_HEAD = len(ENCRYPTED) + KEY_ID_BYTES + _NONCE_BYTES


def aead(key: bytes) -> AESGCM:
    """The cipher of a key of 32 bytes; it can be used again, by one thread at a time."""
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    return AESGCM(key)


def encrypted(raw: bytes, key_id: bytes, cipher: AESGCM) -> bytes:
    """The envelope of received bytes."""
    nonce = os.urandom(_NONCE_BYTES)
    head = ENCRYPTED + key_id + nonce
    return head + cipher.encrypt(nonce, raw, head)


def key_id_of(raw: bytes) -> bytes | None:
    """The id of the key that ``raw`` is encrypted under; None where it is a plain record."""
    if not raw.startswith(ENCRYPTED):
        return None
    return bytes(raw[len(ENCRYPTED) : len(ENCRYPTED) + KEY_ID_BYTES])


def decrypted(raw: bytes, cipher: AESGCM) -> bytes:
    """The received bytes in an envelope.

    Raises:
        IntegrityError: when the envelope is not what was made under that key.
    """
    from cryptography.exceptions import InvalidTag

    try:
        nonce = raw[_HEAD - _NONCE_BYTES : _HEAD]
        return cipher.decrypt(bytes(nonce), bytes(raw[_HEAD:]), bytes(raw[:_HEAD]))
    except (InvalidTag, ValueError) as error:
        raise IntegrityError(
            "A record's encrypted bytes are not what was written.",
            "They cannot be authenticated under the subject's key.",
            "Restore the file from a backup.",
        ) from error


def erased(erasure_id: str) -> bytes:
    """What stands for received bytes that were erased, and names the erasure."""
    return _ERASED + erasure_id.encode()


def erasure_of(raw: bytes) -> str | None:
    """The id of the erasure that ``raw`` stands for; None where nothing was erased."""
    return bytes(raw[len(_ERASED) :]).decode() if raw.startswith(_ERASED) else None
