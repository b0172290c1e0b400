"""What is kept of a session for the next one on the same lake: where one was, not what was seen.

It holds ids, names of columns and the filter as it was written, and no other value of a record. The
file is ``$XDG_STATE_HOME/decision-forensics/tui.json``, else under ``~/.local/state``.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path
from typing import Any

import msgspec

from forensics.errors import ForensicsError

_VERSION = 1
_LAKES_MAX = 100
_BYTES_MAX = 4 << 20

#: A decision: its time in microseconds, its point, its decision id and its request id.
Key = tuple[int, str, str, str]


class Kept(msgspec.Struct, frozen=True, omit_defaults=True):
    """Where somebody was: what is None or empty is as if one came for the first time."""

    since_us: int | None = None
    until_us: int | None = None
    where: str | None = None
    order: str = "occurred_at"
    descending: bool = True
    columns: tuple[str, ...] = ()
    #: The outcome whose rate was chosen.
    outcome: str | None = None
    #: The theme, where another was chosen than the config file's.
    theme: str | None = None
    marks: tuple[Key, ...] = ()
    #: The name of the postmortem that was last open.
    postmortem: str | None = None
    #: The decision that was open, and its tab by name.
    decision: Key | None = None
    tab: str | None = None


NOTHING = Kept()


def key_of(row: tuple[Any, ...]) -> Key:
    """What is kept of a row: that by which it is found again."""
    return row[0], row[1], row[2], row[3]


class _Lake(msgspec.Struct, frozen=True):
    saved_at: int
    kept: Kept


class _File(msgspec.Struct):
    version: int
    lakes: dict[str, _Lake]


class Store:
    """The file, for one lake.

    Args:
        lake: the lake's id.
    """

    def __init__(self, lake: str) -> None:
        base = os.environ.get("XDG_STATE_HOME")
        folder = Path(base) if base else Path.home() / ".local" / "state"
        self.path = folder / "decision-forensics" / "tui.json"
        self._lake = lake
        self._saved: Kept | None = None

    def load(self) -> tuple[Kept, str]:
        """What is kept, and a word where the file was of no use and has been set aside."""
        try:
            found = self._read().lakes.get(self._lake)
        except OSError as error:
            return NOTHING, f"{self.path} cannot be read: {error.strerror}."
        except (msgspec.DecodeError, ValueError):
            try:
                aside = self._set_aside()
            except OSError as error:
                return NOTHING, f"{self.path} is damaged and cannot be moved: {error.strerror}."
            return NOTHING, f"What was kept of the last session cannot be read: it is now {aside}."
        self._saved = found.kept if found is not None else None
        return (found.kept if found is not None else NOTHING), ""

    def save(self, kept: Kept) -> None:
        """Keep ``kept``; other lakes' stay as they are.

        Raises:
            ForensicsError: when the file cannot be written.
        """
        if kept == self._saved:
            return
        try:
            try:
                lakes = self._read().lakes
            except (msgspec.DecodeError, ValueError):
                self._set_aside()
                lakes = {}
            lakes[self._lake] = _Lake(int(time.time()), kept)
            newest = sorted(lakes.items(), key=lambda item: -item[1].saved_at)[:_LAKES_MAX]
            self._write(msgspec.json.encode(_File(_VERSION, dict(newest))))
        except OSError as error:
            raise ForensicsError(
                "What this session showed could not be kept for the next one.",
                f"{self.path}: {error.strerror}.",
            ) from error
        self._saved = kept

    def _read(self) -> _File:
        if not self.path.exists():
            return _File(_VERSION, {})
        if not self.path.is_file():  # a pipe would be waited for
            raise ValueError
        with self.path.open("rb") as file:
            data = file.read(_BYTES_MAX + 1)
        if len(data) > _BYTES_MAX:
            raise ValueError
        found = msgspec.json.decode(data, type=_File)
        if found.version != _VERSION:
            raise ValueError
        return found

    def _write(self, data: bytes) -> None:
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # Readable by its owner only; whole or not there, whoever else saves at this moment.
        descriptor, name = tempfile.mkstemp(prefix=".tui-", dir=self.path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
            Path(name).replace(self.path)
        finally:
            Path(name).unlink(missing_ok=True)

    def _set_aside(self) -> Path:
        number = 1
        while (aside := self.path.with_name(f"tui.json.unreadable-{number}")).exists():
            number += 1
        self.path.replace(aside)
        return aside
