"""Who signs: a key in a file that only its owner can read, or a program that asks elsewhere.

The key file lies outside the lake, one line for each signer. ``PRIVATE+KEY+…`` is a key in the form
of Go's ``sumdb/note``; ``COMMAND VKEY PROGRAM ARGUMENT…`` runs a program, which reads the text from
standard input and writes one signature line, so that a key never leaves its HSM or KMS.
"""

from __future__ import annotations

import base64
import binascii
import os
import shlex
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from forensics.errors import IntegrityError, UsageError
from forensics.integrity import note as notes
from forensics.integrity.note import ED25519, Key, Note, Signature

_SECRET = "PRIVATE+KEY+"  # noqa: S105
_COMMAND = "COMMAND "
_PROGRAM_SECONDS_MAX = 30


class Signer(Protocol):
    """Signs texts with one key."""

    @property
    def key(self) -> Key:
        """The public key."""

    def sign(self, text: str) -> bytes:
        """The signature of ``text``, without the key's id."""


@dataclass(frozen=True, slots=True)
class FileSigner:
    """A key that is here."""

    key: Key
    _seed: bytes = field(repr=False)

    def sign(self, text: str) -> bytes:
        """The signature of ``text``, without the key's id."""
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.from_private_bytes(self._seed).sign(text.encode())

    def line(self) -> str:
        """The signer as a line of the key file."""
        encoded = base64.b64encode(bytes([ED25519]) + self._seed).decode()
        return f"{_SECRET}{self.key.name}+{self.key.hash}+{encoded}\n"


@dataclass(frozen=True, slots=True)
class CommandSigner:
    """A program that has the key signed with."""

    key: Key
    command: tuple[str, ...]

    def sign(self, text: str) -> bytes:
        """The signature of ``text``, without the key's id.

        Raises:
            UsageError: when the program fails, takes too long or writes no signature of the key.
        """
        name = self.command[0]
        try:
            done = subprocess.run(
                self.command,
                input=text.encode(),
                capture_output=True,
                timeout=_PROGRAM_SECONDS_MAX,
                check=True,
            )
            signature = notes.parse_signature(done.stdout.decode("utf-8").rstrip("\n"))
        except (OSError, subprocess.SubprocessError, UnicodeDecodeError, IntegrityError) as error:
            raise UsageError(
                f"The signing program {name} gave no signature.",
                f"{error}".splitlines()[0],
                "It reads the text from standard input and writes one signature line.",
            ) from error
        named = (signature.name, signature.key_id) == (self.key.name, self.key.id)
        if not named or not notes.is_valid(self.key, text, signature.data):
            raise UsageError(
                f"What the signing program {name} wrote is no signature by the key {self.key.hash}."
            )
        return signature.data

    def line(self) -> str:
        """The signer as a line of the key file."""
        return f"{_COMMAND}{self.key} {shlex.join(self.command)}\n"


def new_key(name: str) -> FileSigner:
    """A new Ed25519 key called ``name``."""
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    public = private.public_key().public_bytes_raw()
    return FileSigner(Key(name, ED25519, public), private.private_bytes_raw())


def signed(text: str, signers: Sequence[Signer]) -> bytes:
    """``text`` as a note with a signature by each of ``signers``."""
    lines = tuple(Signature(s.key.name, s.key.id, s.sign(text)) for s in signers)
    return Note(text, lines).to_bytes()


def read(path: Path) -> list[FileSigner | CommandSigner]:
    """The signers of a key file; none where there is no file.

    Raises:
        UsageError: when the file cannot be read, others can read it, or a line is no signer.
    """
    try:
        text = path.read_text(encoding="utf-8")
        mode = path.stat().st_mode
    except FileNotFoundError:
        return []
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The key file {path} cannot be read.", f"{error}.") from error
    if os.name == "posix" and mode & 0o077:
        raise UsageError(
            f"The key file {path} can be read by others.",
            f"Its mode is {mode & 0o777:o}.",
            f"chmod 600 {path}; who read it can sign in your name, so rotate the key.",
        )
    lines = [line for line in text.splitlines() if line and not line.startswith("#")]
    return [_signer(line, path) for line in lines]


def write(path: Path, lake: str, signers: Sequence[FileSigner | CommandSigner]) -> None:
    """Replace a key file durably; only its owner can read it."""
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    text = f"# Signs the log of the lake {lake}. Keep it out of the lake and of its backups.\n"
    text += "".join(signer.line() for signer in signers)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)


def _signer(line: str, path: Path) -> FileSigner | CommandSigner:
    if line.startswith(_COMMAND):
        vkey, *command = shlex.split(line.removeprefix(_COMMAND))
        if command:
            return CommandSigner(Key.parse(vkey), tuple(command))
    if line.startswith(_SECRET):
        name, _, rest = line.removeprefix(_SECRET).partition("+")
        stated, _, encoded = rest.partition("+")
        try:
            data = base64.b64decode(encoded, validate=True)
        except binascii.Error:
            data = b""
        if notes.is_name(name) and len(data) == 33 and data[0] == ED25519:
            signer = _of_seed(name, data[1:])
            if signer.key.hash == stated:
                return signer
    raise UsageError(f"A line of the key file {path} is no signer.", "", "See the page on keys.")


def _of_seed(name: str, seed: bytes) -> FileSigner:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    public = Ed25519PrivateKey.from_private_bytes(seed).public_key().public_bytes_raw()
    return FileSigner(Key(name, ED25519, public), seed)
