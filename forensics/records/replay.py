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


StepStatus = Literal["reproduced", "differs", "not_recorded", "not_run"]


@dataclass(frozen=True, slots=True)
class StepReplay:
    """One step of the decision logic: what was recorded of it and what replay gave.

    ``not_recorded`` steps were run, and nothing is there to compare with; ``not_run`` ones were
    not, for ``reason``. Of a step that a rule engine ran, ``reason`` names the engine with its
    version, and what may keep its answer from being the same every time.
    """

    step: str
    kind: str
    status: StepStatus
    recorded: Any = None
    replayed: Any = None
    reason: str | None = None


@dataclass(frozen=True, slots=True)
class Replay:
    """The verdict on one decision, with both sides of the comparison.

    ``recorded`` and ``replayed`` hold ``score`` (as a number), ``score_bytes`` (hexadecimal, little
    endian) and ``outcome``, and ``rule`` where a rule set answered; ``replayed`` has its condition
    and reason too, as ``rule_when`` and ``rule_reason``, and as ``rule_scored`` whether a model's
    answer had a say in it that this rule decided. A key is absent where that part was not recorded
    or could not be run. ``missing`` names each thing replay needed and had not.
    """

    verdict: Verdict
    recorded: Mapping[str, Any]
    replayed: Mapping[str, Any]
    first_divergence: Divergence | None = None
    missing: tuple[str, ...] = ()
    runtime_recorded: str | None = None
    runtime_replayed: str | None = None
    steps: tuple[StepReplay, ...] = ()


@dataclass(frozen=True, slots=True)
class Agreement:
    """Recorded attributions beside those that were recomputed.

    ``max_difference`` is the largest difference of two values, at ``feature``; both are None where
    the units or explained outputs differ, so that only order and sign can be compared.
    ``same_sign`` is None where no value is large enough to have one. ``top_order`` is whether the
    largest four are the same features in the same order.
    """

    method: str
    unit: str
    max_difference: float | None
    feature: str | None
    same_sign: bool | None
    top_order: bool


@dataclass(frozen=True, slots=True)
class Background:
    """The rows that an attribution integrates over: all of the artifact's."""

    digest: str
    rows: int


@dataclass(frozen=True, slots=True)
class Attribution:
    """Contribution of each feature to the score's margin, in ``unit``.

    ``values`` are ordered largest first by absolute size. ``additivity_error`` is the absolute
    difference between ``base_value`` plus all contributions and the model's own margin.
    ``threshold_value`` is the decision threshold in the same unit, where there is one. ``output``
    is the class explained where the model has several. ``standard_error`` is the largest of a
    sampled method; 0 where the method is exact. ``seed`` is that of the samples.
    """

    method: str
    unit: str
    base_value: float
    values: Mapping[str, float]
    additivity_error: float | None
    threshold_value: float | None = None
    evidence: Literal["recorded", "recomputed"] = "recomputed"
    output: str | None = None
    background: Background | None = None
    standard_error: float = 0.0
    seed: int | None = None
    agreement: Agreement | None = None


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


SearchStatus = Literal["optimal", "gap", "none_exists", "none_found"]


@dataclass(frozen=True, slots=True)
class CounterfactualSearch:
    """What a search for counterfactuals found, and what it proved of the nearest one.

    ``optimal``: no change within the constraints is smaller than the first of ``found``.
    ``gap``: the time given ended, and none is smaller than ``lower_bound``. ``none_exists``: no
    change within the constraints flips the outcome. ``none_found``: none was, and one may exist.
    """

    found: tuple[Counterfactual, ...]
    status: SearchStatus
    lower_bound: float | None
    statement: str
