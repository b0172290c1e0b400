"""Counting verdicts, and what decisions of one kind have in common, so that counts can be added.

Of every attribute the values are counted among all decisions of a window and among those of each
kind: what stands out among the latter is what they have in common.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import NamedTuple

from forensics.replay.bulk.kinds import Kind

#: Different values of an attribute that are counted; one with more tells nobody anything.
VALUES_MAX = 1_000
#: Examples that are kept of each kind, and kinds that are told apart.
EXAMPLES_MAX = 3
KINDS_MAX = 200
#: What stands for values beyond those that are counted.
OTHERS = "(others)"

Values = Counter[str | None]


class Example(NamedTuple):
    """Where one decision lies: data file and row."""

    file: str
    row: int


@dataclass(slots=True)
class Group:
    """The decisions of one kind: how many, when, a few of them, and their attributes' values."""

    count: int = 0
    first_us: int = 1 << 62
    last_us: int = -(1 << 62)
    examples: list[Example] = field(default_factory=list)
    attributes: dict[str, Values] = field(default_factory=dict)

    def add(self, other: Group) -> None:
        """Count another's decisions too."""
        self.count += other.count
        self.first_us = min(self.first_us, other.first_us)
        self.last_us = max(self.last_us, other.last_us)
        self.examples = (self.examples + other.examples)[:EXAMPLES_MAX]
        add_values(self.attributes, other.attributes)


@dataclass(slots=True)
class Tally:
    """Counts over any number of decisions.

    ``attributes`` counts the values of all decisions, ``kinds`` are the groups of decisions that
    did not replay bit by bit, and ``exact`` counts the others. ``names`` is how decisions call the
    models and configurations that they name by digest.
    """

    exact: int = 0
    attributes: dict[str, Values] = field(default_factory=dict)
    kinds: dict[Kind, Group] = field(default_factory=dict)
    names: dict[str, str] = field(default_factory=dict)

    @property
    def count(self) -> int:
        """All decisions."""
        return self.exact + sum(group.count for group in self.kinds.values())

    def add(self, other: Tally) -> None:
        """Count another's decisions too."""
        self.exact += other.exact
        add_values(self.attributes, other.attributes)
        self.names |= other.names
        for kind, group in other.kinds.items():
            self.group(kind).add(group)

    def group(self, kind: Kind) -> Group:
        """The group of a kind; where there are very many, that of all like it."""
        if kind not in self.kinds and len(self.kinds) >= KINDS_MAX:
            kind = Kind(kind.verdict, kind.step, (OTHERS,))
        return self.kinds.setdefault(kind, Group())


def add_values(into: dict[str, Values], more: dict[str, Values]) -> None:
    """Add counts of attributes' values; those of an attribute with too many are lumped together."""
    for name, values in more.items():
        known = into.setdefault(name, Counter())
        for value, count in values.items():
            if value not in known and len(known) >= VALUES_MAX:
                value = OTHERS
            known[value] += count
