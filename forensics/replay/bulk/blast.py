"""What a change would do, counted, so that counts of parts can be added."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from forensics.records.replay import Verdict
from forensics.replay.bulk.sketch import Sketch
from forensics.replay.bulk.tally import EXAMPLES_MAX, OTHERS, VALUES_MAX, Example

#: What an outcome is called where the decision logic gives none.
NO_OUTCOME = "(none)"
#: An outcome as recorded, and under the change.
Move = tuple[str, str]

#: What a row of the list of changed decisions has, and what kind of value.
LISTED = {
    "request_id": "text",
    "decision_id": "text",
    "occurred_at": "time",
    "before": "text",
    "after": "text",
    "score_before": "number",
    "score_after": "number",
    "rule_before": "text",
    "rule_after": "text",
}


@dataclass(slots=True)
class Blast:
    """What a change would do, counted; counts can be added.

    ``verdicts`` are of all decisions, ``moves`` of those that are answered, by group in ``by``.
    ``lacking`` cannot be replayed as recorded, by what they lack; ``unanswered`` can, but lack what
    the change needs. ``classes`` says how far the evidence of the answered ones carries.
    ``rescored`` have another score, which ``before``, ``after`` and ``shift`` are spread of.
    """

    verdicts: Counter[Verdict] = field(default_factory=Counter)
    moves: Counter[Move] = field(default_factory=Counter)
    unanswered: Counter[tuple[str, ...]] = field(default_factory=Counter)
    lacking: Counter[tuple[str, ...]] = field(default_factory=Counter)
    classes: Counter[str] = field(default_factory=Counter)
    by: dict[str, Counter[tuple[str | None, str, str]]] = field(default_factory=dict)
    examples: dict[Move, list[Example]] = field(default_factory=dict)
    rescored: int = 0
    before: Sketch = field(default_factory=Sketch)
    after: Sketch = field(default_factory=Sketch)
    shift: Sketch = field(default_factory=Sketch)
    #: Rows of :data:`LISTED` for the changed decisions, where a list was asked for.
    rows: list[tuple[Any, ...]] = field(default_factory=list)

    def add(self, other: Blast) -> None:
        """Count another's decisions too; its list is not taken over."""
        self.verdicts.update(other.verdicts)
        self.moves.update(other.moves)
        self.unanswered.update(other.unanswered)
        self.lacking.update(other.lacking)
        self.classes.update(other.classes)
        for name, counts in other.by.items():
            add_groups(self.by.setdefault(name, Counter()), counts)
        for move, examples in other.examples.items():
            known = self.examples.setdefault(move, [])
            known.extend(examples[: EXAMPLES_MAX - len(known)])
        self.rescored += other.rescored
        for name in ("before", "after", "shift"):
            getattr(self, name).add(getattr(other, name))


Groups = Counter[tuple[str | None, str, str]]


def add_groups(into: Groups, more: Groups) -> None:
    """Add counts by group; groups beyond those that can be told apart are lumped together."""
    known = {value for value, _, _ in into}
    for (value, before, after), count in more.items():
        if value not in known and len(known) >= VALUES_MAX:
            value = OTHERS
        known.add(value)
        into[value, before, after] += count
