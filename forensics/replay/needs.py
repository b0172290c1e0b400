"""What a decision's replay would lack, told from the record and the lake without running a model.

The names are those that replay gives. It cannot be told that a model does not load, that a feature
of it was not recorded, or that an expression uses a value which the configuration does not have.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Protocol

from forensics.errors import ForensicsError, ReplayError
from forensics.replay.evidence import Artifacts, read_artifact, step_of
from forensics.replay.logic.nouns import Logic, ModelUse
from forensics.replay.logic.read import read_logic

#: What is missing, and what cannot be done or said for want of it: one of the constants below.
Lack = tuple[str, str]
NO_RULES = "the rules cannot be run again"
NO_MODEL = "the model cannot be run again"
NO_DIGEST = "which model file scored cannot be proven"


class Named(Protocol):
    """What a decision says has decided it."""

    @property
    def model(self) -> Mapping[str, Any]:
        """The model, empty where none is named."""

    @property
    def steps(self) -> Sequence[Mapping[str, Any]]:
        """The steps in order, at least those that have a digest."""


class Kept(Artifacts, Protocol):
    """Artifacts that can be asked for without being read."""

    def has(self, digest: str) -> bool:
        """Whether bytes were kept under ``digest``; does not read them."""


def lacking(decision: Named, artifacts: Kept) -> list[Lack]:
    """What the models and the decision logic need and have not."""
    digest = step_of(decision, "rules").get("digest")
    if not digest:
        nothing = "rules artifact (no recorded step of kind rules has a digest)"
        return [*_model(decision.model.get("digest"), "model.digest", artifacts),
                (nothing, NO_RULES)]  # fmt: skip
    data, missing = read_artifact(artifacts, str(digest), "rules")
    logic = None
    try:
        logic = read_logic(data) if data is not None else None
    except ReplayError as error:
        missing = f"artifact {digest} (rules): {error}"
    if logic is None:
        found = _model(decision.model.get("digest"), "model.digest", artifacts)
        return [*found, (missing or f"artifact {digest} (rules)", NO_RULES)]
    return list(dict.fromkeys(_of_logic(decision, logic, artifacts)))


def _of_logic(decision: Named, logic: Logic, artifacts: Kept) -> Iterator[Lack]:
    uses = [step.model for step in logic.steps if step.model is not None]
    for use in uses:
        if decision.model or _is_used(use, logic):
            yield from _model(*_digest(decision, use, alone=len(uses) == 1), artifacts)
    for step in logic.steps:
        engine = step.engine
        if engine is not None and engine.source is None and not _has(artifacts, engine.digest):
            yield f"artifact {engine.digest} (step {step.id})", NO_RULES


def _digest(decision: Named, use: ModelUse, *, alone: bool) -> tuple[str | None, str]:
    """The digest of a step's model, and the field that names it: see ``ReplaySession``."""
    digest = use.digest
    if digest is None and not alone:
        for step in decision.steps:
            if use.step in (step.get("id"), step.get("component")) and step.get("digest"):
                digest = str(step["digest"])
    live = decision.model.get("digest")
    return (digest, f"steps.{use.step}.digest") if digest is not None else (live, "model.digest")


def _is_used(use: ModelUse, logic: Logic) -> bool:
    """Whether some step may use the model's: a record that names no model may need none."""
    name = re.compile(rf"\b{re.escape(use.step)}\b", re.IGNORECASE)
    return any(name.search(text) for step in logic.steps for text in step.texts)


def _model(digest: str | None, field: str, artifacts: Kept) -> Iterator[Lack]:
    if not digest:
        yield field, NO_DIGEST
    elif not _has(artifacts, digest):
        yield f"artifact {digest} (model file)", NO_MODEL


def _has(artifacts: Kept, digest: str | None) -> bool:
    try:
        return artifacts.has(str(digest))
    except ForensicsError:  # it is no digest
        return False
