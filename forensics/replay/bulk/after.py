"""What the rows of a batch would be under a change."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from forensics.lake.texts import Vocabulary
from forensics.replay.bulk.blast import NO_OUTCOME
from forensics.replay.bulk.engine import Answered

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]


class After:
    """What rows of a batch would be: outcomes and rules by place, -1 where that is not known."""

    def __init__(self, rows: int) -> None:
        self.texts, self.rules = Vocabulary(), Vocabulary()
        self.outcomes = np.full(rows, -1, np.int32)
        self.rule_codes = np.full(rows, -1, np.int32)
        self.scores = np.full(rows, np.nan)
        #: What is missing, by place, and which of it each row lacks.
        self.reasons: dict[tuple[str, ...], int] = {}
        self.lacks = np.full(rows, -1, np.int32)

    def lack(self, rows: Longs, reason: tuple[str, ...]) -> None:
        """Note what some rows lack."""
        self.lacks[rows] = self.reasons.setdefault(reason, len(self.reasons))

    def put(self, row: int, outcome: str | None, score: float | None, rule: str | None) -> None:
        """Note what one row would be."""
        self.outcomes[row] = self.texts.code(NO_OUTCOME if outcome is None else outcome)
        self.rule_codes[row] = self.rules.code(rule or "")
        self.scores[row] = np.nan if score is None else score

    def take(self, rows: Longs, answered: Answered) -> None:
        """Note what some rows would be."""
        texts = [NO_OUTCOME if one is None else one for one in answered.outcomes]
        places = np.array([self.texts.code(text) for text in texts], np.int32)
        self.outcomes[rows] = places[answered.outcome_codes]
        rules = np.array([self.rules.code(rule) for rule in answered.rules], np.int32)
        self.rule_codes[rows] = rules[answered.rule_codes]
        self.scores[rows] = answered.scores
