"""A decision as it was recorded, and the values it holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

#: A feature's value. ``ExactNumber`` where no built-in type holds what was written.
Value = Any


class ExactNumber(str):
    """A number as it was written, where binary floating point or 64 bits cannot hold it.

    It is text that must be printed as a number: ``ExactNumber("12345678901234567890.5")``.
    """

    __slots__ = ()


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
