"""What a replay found, what drove a decision, and what would have changed it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

Verdict = Literal["bit_exact", "within_ulp", "same_outcome", "diverged", "not_replayable"]


@dataclass(frozen=True, slots=True)
class Divergence:
    """The first step whose replayed output is not the recorded one."""

    step: str
    recorded: Any
    replayed: Any
    statement: str


@dataclass(frozen=True, slots=True)
class Replay:
    """The verdict on one decision, with both sides of the comparison.

    ``recorded`` and ``replayed`` hold ``score`` (as a number), ``score_bytes`` (hexadecimal, little
    endian) and ``outcome``, and ``rule`` where a rule set answered; ``replayed`` has its condition
    and reason too, as ``rule_when`` and ``rule_reason``. A key is absent where that part was not
    recorded or could not be run. ``missing`` names each thing replay needed and had not.
    """

    verdict: Verdict
    recorded: Mapping[str, Any]
    replayed: Mapping[str, Any]
    first_divergence: Divergence | None = None
    missing: tuple[str, ...] = ()
    runtime_recorded: str | None = None
    runtime_replayed: str | None = None


@dataclass(frozen=True, slots=True)
class Attribution:
    """Contribution of each feature to the score's margin, in ``unit``.

    ``values`` are ordered largest first by absolute size. ``additivity_error`` is the absolute
    difference between ``base_value`` plus all contributions and the model's own margin.
    ``threshold_value`` is the decision threshold in the same unit, where there is one.
    """

    method: str
    unit: str
    base_value: float
    values: Mapping[str, float]
    additivity_error: float | None
    threshold_value: float | None = None
    evidence: Literal["recorded", "recomputed"] = "recomputed"


@dataclass(frozen=True, slots=True)
class CounterfactualChange:
    """One feature that differs; ``statement`` says the whole range with the same effect."""

    feature: str
    from_value: Any
    to_value: Any
    statement: str


@dataclass(frozen=True, slots=True)
class Counterfactual:
    """Changes after which the whole decision, replayed, has another outcome."""

    changes: tuple[CounterfactualChange, ...]
    outcome: str
    score: float | None
    distance: float
    verified: bool = field(default=True)
