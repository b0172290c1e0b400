"""Signed notes (C2SP signed-note): text, and the keys that vouch for it.

A key is named by its name and a 4-byte id; both stand in its written form, the vkey, which Go's
``sumdb/note`` and every other implementation reads too. Ed25519 alone signs here; signatures of
other keys and kinds are carried along untouched.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import NamedTuple

from forensics.errors import IntegrityError, UsageError

ED25519 = 1
#: Timestamped Ed25519 cosignatures of witnesses (C2SP tlog-cosignature).
COSIGNATURE = 4
_DASH = "\u2014"
#: The specification asks for at least 16; one may be 5 kB long.
_BYTES_MAX = 256 << 10


class Key(NamedTuple):
    """A public key as a vkey names it."""

    name: str
    algorithm: int
    public: bytes

    @property
    def id(self) -> bytes:
        """The four bytes that a signature line begins with."""
        named = self.name.encode() + b"\n" + bytes([self.algorithm]) + self.public
        return hashlib.sha256(named).digest()[:4]

    @property
    def hash(self) -> str:
        """The id in hexadecimal, as a vkey writes it."""
        return self.id.hex()

    def __str__(self) -> str:
        encoded = base64.b64encode(bytes([self.algorithm]) + self.public).decode()
        return f"{self.name}+{self.hash}+{encoded}"

    @classmethod
    def parse(cls, vkey: str) -> Key:
        """The key that ``vkey`` (``name+id+base64``) writes.

        Raises:
            UsageError: when it is none, or its id is not the key's.
        """
        name, _, rest = vkey.strip().partition("+")
        stated, _, encoded = rest.partition("+")
        try:
            data = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            data = b""
        if not is_name(name) or len(data) != 33 or data[0] not in (ED25519, COSIGNATURE):
            raise UsageError(
                f"{vkey.strip()[:60]!r} is no public key.",
                "It reads NAME+ID+BASE64, with an Ed25519 key.",
            )
        key = cls(name, data[0], data[1:])
        if key.hash != stated:
            raise UsageError(
                f"The key {name} has the id {key.hash}, not {stated}.", "", "Copy the whole line."
            )
        return key


class Signature(NamedTuple):
    """One line below a note."""

    name: str
    key_id: bytes
    data: bytes

    def line(self) -> str:
        """As it stands in a note, with its end."""
        encoded = base64.b64encode(self.key_id + self.data).decode()
        return f"{_DASH} {self.name} {encoded}\n"


class Note(NamedTuple):
    """Text, ending in a newline, with its signatures; none of them has been looked at."""

    text: str
    signatures: tuple[Signature, ...]

    def to_bytes(self) -> bytes:
        """The note as it is kept."""
        return (self.text + "\n" + "".join(s.line() for s in self.signatures)).encode()


def is_name(name: str) -> bool:
    """Whether a key may be called so: no spaces, no plus, nothing that is not printed."""
    return bool(name) and name.isprintable() and not set(name) & set(" +")


def parse(data: bytes) -> Note:
    """The note that ``data`` holds.

    Raises:
        IntegrityError: when it is none.
    """
    try:
        text = data.decode("utf-8") if len(data) <= _BYTES_MAX else ""
    except UnicodeDecodeError:
        text = ""
    body, cut, below = text.rpartition("\n\n")
    lines = below.split("\n")
    if not cut or lines.pop() or not lines or any(c < " " and c != "\n" for c in text):
        raise _malformed("It has no text with signatures below an empty line.")
    return Note(body + "\n", tuple(parse_signature(line) for line in lines))


def parse_signature(line: str) -> Signature:
    """The signature that ``line`` writes.

    Raises:
        IntegrityError: when it is none.
    """
    parts = line.split(" ")
    try:
        dash, name, encoded = parts
        data = base64.b64decode(encoded, validate=True)
    except (ValueError, binascii.Error):
        raise _malformed("A line below the text is no signature.") from None
    # A second way to write the same bytes would let a flipped bit pass.
    if dash != _DASH or not is_name(name) or len(data) < 5 or _again(data) != encoded:
        raise _malformed("A line below the text is no signature.")
    return Signature(name, data[:4], data[4:])


def signers(note: Note, keys: Iterable[Key]) -> list[Key]:
    """Which of ``keys`` signed ``note``.

    Raises:
        IntegrityError: when a signature that bears the name and id of one of them is not its.
    """
    known = {(key.name, key.id): key for key in keys}
    found = []
    for signature in note.signatures:
        key = known.get((signature.name, signature.key_id))
        if key is None:
            continue
        if not is_valid(key, note.text, signature.data):
            raise IntegrityError(
                f"A signature of the key {key.hash} is not of this text.",
                f"The note begins {note.text.splitlines()[0]!r}.",
                "The note was altered or forged after it was signed.",
            )
        if key not in found:
            found.append(key)
    return found


def is_valid(key: Key, text: str, data: bytes) -> bool:
    """Whether ``data`` is the signature of ``text`` by ``key``."""
    from cryptography.exceptions import InvalidSignature
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

    message = text.encode()
    if key.algorithm == COSIGNATURE:
        if len(data) != 72:
            return False
        time = int.from_bytes(data[:8], "big")
        message, data = f"cosignature/v1\ntime {time}\n".encode() + message, data[8:]
    try:
        Ed25519PublicKey.from_public_bytes(key.public).verify(data, message)
    except (InvalidSignature, ValueError):
        return False
    return True


def _again(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _malformed(why: str) -> IntegrityError:
    return IntegrityError("A signed note cannot be read.", why, "Restore it from a backup.")
