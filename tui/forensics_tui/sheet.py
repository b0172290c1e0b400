"""A postmortem's file, which others may change while somebody writes: nothing of either is lost."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from forensics.errors import NotFoundError, SchemaError, UsageError
from forensics.incident.document import Document, Prose
from forensics.incident.files import Postmortem, new_path


class Sheet:
    """The text of a file, also of one that is no postmortem for the moment.

    Raises:
        NotFoundError: when there is no such file.
        UsageError: when it cannot be read.
        SchemaError: when it is no text.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._known: bytes | None = None
        self._stamp: tuple[int, int] | None = None
        self.text = ""
        self.read()

    def read(self) -> None:
        """Take the text that is on the disk.

        Raises:
            ForensicsError: as making one.
        """
        stamp = self._stamped()
        try:
            data = self.path.read_bytes()
            text = data.decode()
        except FileNotFoundError as error:
            raise NotFoundError(f"There is no {self.path}.") from error
        except OSError as error:
            raise UsageError(f"{self.path} cannot be read.", f"{error.strerror}.") from error
        except UnicodeDecodeError as error:
            raise SchemaError(f"{self.path} is no UTF-8.", f"{error}.") from error
        self._known, self._stamp, self.text = data, stamp, text

    @property
    def changed(self) -> bool:
        """Whether the disk has another text than was last read or written here.

        A file that is no longer there is no other text: writing makes it again.
        """
        stamp = self._stamped()
        if stamp is None or stamp == self._stamp:
            return False
        try:
            other = self.path.read_bytes() != self._known
        except OSError:
            return False
        if not other:
            self._stamp = stamp
        return other

    def write(self, text: str, *, over: bool = False) -> None:
        """Write it, whole or not at all.

        Args:
            text: all of it.
            over: also where the disk has another text than was last read here.

        Raises:
            UsageError: when the disk has, and ``over`` is not given, or it cannot be written.
        """
        there = self.path.exists()
        expected = self._known if there else None
        if there and over:
            expected = self.path.read_bytes()
        self._save(self.path, text, expected)
        self._known, self._stamp, self.text = text.encode(), self._stamped(), text

    def put_aside(self, text: str, whose: str) -> Path:
        """Write a text beside the file, under a name that nothing has yet.

        Raises:
            UsageError: when it cannot be written.
        """
        name = f"{self.path.stem}.{whose}-{datetime.now(UTC):%Y%m%dT%H%M%S}"
        path = new_path(self.path.parent, name)
        self._save(path, text, None)
        return path

    def _save(self, path: Path, text: str, expected: bytes | None) -> None:
        # As prose alone: a front matter that is being written need not be TOML yet.
        Postmortem(path, Document("", {}, (Prose(text),)), expected).save()

    def _stamped(self) -> tuple[int, int] | None:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size
