"""The keys of subjects, outside the lake: what is destroyed here can be read nowhere any more.

One SQLite file. Each key is wrapped by a master key (AES-256-GCM), which lies beside it with
permissions for its owner only, or which a command prints, as the client of a key management service
does. A subject is known by a token, a keyed hash of its id, so that the file names nobody.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
import shlex
import sqlite3
import subprocess
import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import closing, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple

from forensics.errors import IntegrityError, LakeError
from forensics.privacy.cipher import KEY_BYTES, KEY_ID_BYTES, aead

#: What a token begins with, so that nobody takes it for an id.
PREFIX = "~"
_TOKEN_BYTES = 15
_NONCE_BYTES = 12
_COMMAND_S = 30.0
#: So many are asked for in one statement.
_BATCH = 500
_SCHEMA = """
    CREATE TABLE IF NOT EXISTS keys (
        key_id BLOB PRIMARY KEY, token TEXT NOT NULL, wrapped BLOB, created TEXT NOT NULL,
        destroyed TEXT, erasure_id TEXT) WITHOUT ROWID;
    CREATE UNIQUE INDEX IF NOT EXISTS live ON keys (token) WHERE wrapped IS NOT NULL;
    CREATE TABLE IF NOT EXISTS facts (name TEXT PRIMARY KEY, value BLOB NOT NULL) WITHOUT ROWID;
"""


class Key(NamedTuple):
    """A subject's key."""

    key_id: bytes
    key: bytes


class KeyStore:
    """The keys of one lake's subjects. Threads may share it; after a fork each process opens anew.

    Args:
        path: the SQLite file, which is made where there is none.
        command: prints the master key in hexadecimal; a file beside ``path`` has it where None.

    Raises:
        LakeError: when it cannot be opened, or the master key is not to be had.
        IntegrityError: when the master key is another one than the keys were wrapped by.
    """

    def __init__(self, path: Path, command: Sequence[str] | None = None) -> None:
        self.path = path
        self._lock = threading.Lock()
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        master = _from_command(command) if command else _from_file(path.with_suffix(".master"))
        self._master = aead(master)
        try:
            self._database = sqlite3.connect(
                path, timeout=60, isolation_level=None, check_same_thread=False
            )
            path.chmod(0o600)
            # Destroyed keys are overwritten, here and in the journal.
            self._database.execute("PRAGMA secure_delete = ON")
            self._database.execute("PRAGMA synchronous = FULL")
            self._database.executescript(_SCHEMA)
            self._pepper = self._fact("pepper")
        except sqlite3.Error as error:
            raise LakeError(
                f"The key store {path} cannot be opened.", f"{error}.", "Restore it from a backup."
            ) from error

    def close(self) -> None:
        """Close the file."""
        self._database.close()

    def token(self, subject: str) -> str:
        """What stands for a subject's id where the id itself is not to stand."""
        digest = hmac.new(self._pepper, subject.encode(), hashlib.sha256).digest()
        return PREFIX + base64.b32encode(digest[:_TOKEN_BYTES]).decode().lower()

    def keys_for(self, tokens: Iterable[str]) -> dict[str, Key]:
        """The live keys of some tokens; those that have none get one, durably."""
        wanted = list(dict.fromkeys(tokens))
        with self._lock:
            found = self._live(wanted)
            new = [token for token in wanted if token not in found]
            if new:
                now = datetime.now(UTC).isoformat(timespec="seconds")
                rows = []
                for token in new:
                    key_id = secrets.token_bytes(KEY_ID_BYTES)
                    wrapped = self._wrapped(key_id, secrets.token_bytes(KEY_BYTES))
                    rows.append((key_id, token, wrapped, now))
                self._database.execute("BEGIN IMMEDIATE")
                try:  # another process may have made some meanwhile: theirs count
                    self._database.executemany(
                        "INSERT OR IGNORE INTO keys (key_id, token, wrapped, created) "
                        "VALUES (?, ?, ?, ?)",
                        rows,
                    )
                    self._database.execute("COMMIT")
                except BaseException:
                    self._database.execute("ROLLBACK")
                    raise
                found |= self._live(new)
        return found

    def key(self, key_id: bytes) -> bytes | None:
        """The key of that id; None where it was destroyed, or was never here."""
        with self._lock:
            row = self._database.execute(
                "SELECT wrapped FROM keys WHERE key_id = ?", (key_id,)
            ).fetchone()
        return self._unwrapped(key_id, row[0]) if row is not None and row[0] is not None else None

    def erasure_of(self, key_id: bytes) -> str | None:
        """The erasure that destroyed a key; None where it is there, or was never here."""
        with self._lock:
            row = self._database.execute(
                "SELECT erasure_id FROM keys WHERE key_id = ?", (key_id,)
            ).fetchone()
        return row[0] if row is not None else None

    def destroy(self, tokens: Iterable[str], erasure_id: str) -> int:
        """Destroy all keys of some subjects for good; how many there were.

        The wrapped bytes are overwritten in the file before this returns. Copies in backups of the
        key store are not reached: keep none for longer than a subject may wait.
        """
        now = datetime.now(UTC).isoformat(timespec="seconds")
        done = 0
        with self._lock:
            self._database.execute("BEGIN IMMEDIATE")
            try:
                for token in tokens:
                    done += self._database.execute(
                        "UPDATE keys SET wrapped = NULL, destroyed = ?, erasure_id = ? "
                        "WHERE token = ? AND wrapped IS NOT NULL",
                        (now, erasure_id, token),
                    ).rowcount
                self._database.execute("COMMIT")
            except BaseException:
                self._database.execute("ROLLBACK")
                raise
            self._database.execute("VACUUM")
        with suppress(OSError):
            descriptor = os.open(self.path, os.O_RDONLY)
            try:
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
        return done

    def _live(self, tokens: Sequence[str]) -> dict[str, Key]:
        found: dict[str, Key] = {}
        for at in range(0, len(tokens), _BATCH):
            some = tokens[at : at + _BATCH]
            marks = ", ".join("?" * len(some))
            rows = self._database.execute(
                f"SELECT token, key_id, wrapped FROM keys WHERE token IN ({marks}) "
                "AND wrapped IS NOT NULL",
                some,
            )
            for token, key_id, wrapped in rows:
                found[token] = Key(key_id, self._unwrapped(key_id, wrapped))
        return found

    def _wrapped(self, name: bytes, key: bytes) -> bytes:
        nonce = secrets.token_bytes(_NONCE_BYTES)
        return nonce + self._master.encrypt(nonce, key, name)

    def _unwrapped(self, name: bytes, wrapped: bytes) -> bytes:
        from cryptography.exceptions import InvalidTag

        try:
            return self._master.decrypt(wrapped[:_NONCE_BYTES], wrapped[_NONCE_BYTES:], name)
        except InvalidTag as error:
            raise IntegrityError(
                f"A key in {self.path} cannot be unwrapped.",
                "It was wrapped by another master key, or is damaged.",
                "Use the master key that it was made with, or restore the key store.",
            ) from error

    def _fact(self, name: str) -> bytes:
        """A secret of the store's own, made when it is first asked for."""
        with closing(self._database.cursor()) as cursor:
            cursor.execute(
                "INSERT OR IGNORE INTO facts VALUES (?, ?)",
                (name, self._wrapped(name.encode(), secrets.token_bytes(KEY_BYTES))),
            )
            (wrapped,) = cursor.execute(
                "SELECT value FROM facts WHERE name = ?", (name,)
            ).fetchone()
        return self._unwrapped(name.encode(), wrapped)


def master_key_command(environment: Mapping[str, str] = os.environ) -> list[str] | None:
    """The command that prints the master key: ``FORENSICS_MASTER_KEY_COMMAND``, where it is set.

    It is never named in a lake: who writes to a lake would otherwise run programs.
    """
    command = environment.get("FORENSICS_MASTER_KEY_COMMAND")
    return shlex.split(command) if command else None


def _from_file(path: Path) -> bytes:
    """The master key in a file, which is made where there is none."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        pass
    except OSError as error:
        raise LakeError(f"No master key can be made at {path}.", f"{error.strerror}.") from error
    else:
        with os.fdopen(descriptor, "wb") as stream:
            stream.write(secrets.token_bytes(KEY_BYTES).hex().encode() + b"\n")
            stream.flush()
            os.fsync(stream.fileno())
    try:
        if path.stat().st_mode & 0o077:
            raise LakeError(
                f"The master key {path} can be read by others.", "", f"chmod 600 {path}"
            )
        return _hexadecimal(path.read_text(encoding="ascii"), str(path))
    except (OSError, UnicodeDecodeError) as error:
        raise LakeError(f"The master key {path} cannot be read.", f"{error}.") from error


def _from_command(command: Sequence[str]) -> bytes:
    try:
        done = subprocess.run(
            list(command), capture_output=True, timeout=_COMMAND_S, check=True, text=True
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise LakeError("The command that prints the master key failed.", f"{error}.") from error
    return _hexadecimal(done.stdout, command[0])


def _hexadecimal(text: str, where: str) -> bytes:
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise LakeError(f"{where} has no master key.", "It is 64 hexadecimal digits.")
    return key
