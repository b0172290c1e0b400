"""File notes: entries of the log that say which bytes a data file had when it was committed.

Leaves bind records and survive every rewriting; a file's digest binds what leaves do not: typed
columns, statistics that engines skip rows by, footers. Each rewriting adds a note of its own.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from forensics.errors import IntegrityError

_SUFFIX = "/file"
_FORM = re.compile(
    r"table ([a-z0-9_/]+)\nfile ([A-Za-z0-9_.-]+) sha256:([0-9a-f]{64})\nrecords ([1-9][0-9]*)\n"
)


@dataclass(frozen=True, slots=True)
class FileNote:
    """A data file: its table, name, SHA-256 in hexadecimal, and how many records it holds."""

    table: str
    name: str
    digest: str
    records: int

    @property
    def location(self) -> str:
        """The file as ``table/name``."""
        return f"{self.table}/{self.name}"

    def text(self, origin: str) -> str:
        """The text that is signed, in the log named ``origin``."""
        return (
            f"{origin}{_SUFFIX}\ntable {self.table}\nfile {self.name} sha256:{self.digest}\n"
            f"records {self.records}\n"
        )

    @classmethod
    def parse(cls, origin: str, text: str) -> FileNote | None:
        """The file note that ``text`` writes; None where it is something else.

        Raises:
            IntegrityError: when it is meant as one and cannot be read.
        """
        head, _, rest = text.partition("\n")
        if head != origin + _SUFFIX:
            return None
        match = _FORM.fullmatch(rest)
        if match is None:
            raise IntegrityError("A note of a data file in the log cannot be read.")
        table, name, digest, records = match.groups()
        return cls(table, name, digest, int(records))
