"""Key changes: entries of the log that say which keys sign it from then on.

Whoever trusts one key of a log follows these notes to the others: a key is added by a note that a
trusted key and the new one signed, and retired by a note that a remaining one signed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from forensics.errors import IntegrityError, UsageError
from forensics.integrity import note as notes
from forensics.integrity.manifest import iso, micros
from forensics.integrity.note import Key, Note

_SUFFIX = "/key"


@dataclass(frozen=True, slots=True)
class KeyChange:
    """A key that signs from ``at`` (microseconds since 1970 UTC) on, or no longer does."""

    origin: str
    action: Literal["add", "retire"]
    key: Key
    at: int

    def text(self) -> str:
        """The text that is signed."""
        return f"{self.origin}{_SUFFIX}\n{self.action} {self.key}\nat {iso(self.at)}\n"

    @classmethod
    def parse(cls, origin: str, text: str) -> KeyChange | None:
        """The change that ``text`` writes; None where it is something else.

        Raises:
            IntegrityError: when it is meant as one and cannot be read.
        """
        head, _, rest = text.partition("\n")
        if head != origin + _SUFFIX:
            return None
        try:
            stated, at, end = rest.split("\n")
            action, vkey = stated.split(" ")
            word, time = at.split(" ")
            if word != "at" or end or action not in ("add", "retire"):
                raise ValueError
            found = cls(origin, action, Key.parse(vkey), micros(time))  # type: ignore[arg-type]
            if found.text() != text:
                raise ValueError
        except (ValueError, UsageError):
            raise IntegrityError("A change of keys in the log cannot be read.") from None
        return found

    def applied(self, note: Note, trusted: Iterable[Key]) -> list[Key]:
        """The keys that are trusted after this change.

        Raises:
            IntegrityError: when no key that was trusted so far signed it.
        """
        trusted = list(trusted)
        by = notes.signers(note, [*trusted, self.key])
        remaining = [key for key in by if key != self.key]
        if self.action == "retire":
            if not remaining:
                raise self._untrusted()
            return [key for key in trusted if key != self.key]
        if self.key in trusted:
            return trusted
        if not remaining or self.key not in by:
            raise self._untrusted()
        return [*trusted, self.key]

    def _untrusted(self) -> IntegrityError:
        return IntegrityError(
            f"The log {self.action}s the key {self.key.hash} on nobody's word.",
            "No key that was trusted before signed the change.",
            "Somebody else signs this log; restore it from a backup.",
        )
