"""A decision as it was recorded, and the values it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: A feature's value. ``ExactNumber`` where no built-in type holds what was written.
Value = Any


class ExactNumber(float):
    """A number with its written form, where a double alone would not give that back.

    It computes as the nearest double, prints as it was written, and equals another exact number
    when the written values are equal: ``ExactNumber("12345678901234567890.5")``.
    """

    __slots__ = ("text",)
    text: str

    def __new__(cls, text: str) -> ExactNumber:
        """The number that ``text`` writes."""
        number = super().__new__(cls, text)
        number.text = text
        return number

    def __str__(self) -> str:
        return self.text

    __repr__ = __str__

    def __eq__(self, other: object) -> bool:
        if isinstance(other, ExactNumber):
            from decimal import Decimal

            return Decimal(self.text) == Decimal(other.text)
        return float.__eq__(self, other) if isinstance(other, (int, float)) else NotImplemented

    def __hash__(self) -> int:
        return float.__hash__(self)

    def __reduce__(self) -> tuple[type[ExactNumber], tuple[str]]:
        return ExactNumber, (self.text,)


#: What a lake's ``exact`` column says of a feature that a record does not have at all. A null that
#: was recorded and a value that was not are different evidence.
ABSENT = "absent"


@dataclass(frozen=True, slots=True)
class Decision:
    """One answer that a decision point gave to one request, as recorded.

    Groups (``model``, ``config``, …) are mappings with the field names of the record contract; a
    group that was not recorded is an empty mapping, and a field that was not recorded is absent.
    ``features`` keeps the recorded order of the decision point's feature schema.
    """

    decision_point: str
    decision_id: str
    request_id: str
    occurred_at: datetime
    outcome: str
    environment: str
    score: float | None
    score_dtype: str | None
    score_bytes: bytes | None
    threshold: float | None
    features: Mapping[str, Value]
    feature_types: Mapping[str, str]
    model: Mapping[str, Any]
    config: Mapping[str, Any]
    execution: Mapping[str, Any]
    subject: Mapping[str, Any]
    writer: Mapping[str, Any]
    cache: Mapping[str, Any]
    consumer: Mapping[str, Any]
    explanation: Mapping[str, Any]
    capture: Mapping[str, Any]
    feature_sources: tuple[Mapping[str, Any], ...]
    steps: tuple[Mapping[str, Any], ...]
    candidates: tuple[Mapping[str, Any], ...]
    #: Every other recorded field of the contract (``duration_ms``, ``region``, ``trace_id``, …).
    other: Mapping[str, Any]
    #: Fields outside the contract, by path.
    extra: Mapping[str, Any]
    #: ``segment``, ``leaf_index``, ``leaf`` (bytes), ``salt`` (bytes), ``source``, ``ingested_at``.
    sealed: Mapping[str, Any]
