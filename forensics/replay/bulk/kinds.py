"""What can be found out about a decision: its verdict, where it first diverges, and how."""

from __future__ import annotations

from typing import NamedTuple

from forensics.records.replay import Verdict


class Kind(NamedTuple):
    """What many decisions have in common in how they replay.

    ``step`` is the first that diverges, empty where none does. ``reason`` says how, in texts that
    are the same for all of them; of those that cannot be replayed it is what is missing.
    """

    verdict: Verdict
    step: str = ""
    reason: tuple[str, ...] = ()


class Kinds:
    """Kinds by number; grows with what is found."""

    def __init__(self) -> None:
        self.values: list[Kind] = []
        self._codes: dict[Kind, int] = {}

    def code(self, verdict: Verdict, step: str = "", reason: tuple[str, ...] = ()) -> int:
        """The number of a kind, added where it is new."""
        kind = Kind(verdict, step, reason)
        found = self._codes.get(kind)
        if found is None:
            found = self._codes[kind] = len(self.values)
            self.values.append(kind)
        return found
