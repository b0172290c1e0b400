"""A change that is asked about: another model, configuration, rules or inputs, in any combination.

It is applied to a recorded decision, or to the one that stands for many alike, by giving replay
another decision and other artifacts; nothing in the lake is touched.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from forensics.records.decision import Decision
from forensics.records.jsontext import dumps
from forensics.replay.evidence import Artifacts, step_of
from forensics.replay.session import ReplaySession


class Setting(NamedTuple):
    """Another value of a feature: a constant, or an SQL expression over the recorded values."""

    value: Any = None
    expression: str | None = None

    @property
    def words(self) -> str:
        """The value as it was asked for."""
        return self.expression if self.expression is not None else dumps(self.value)


class Named(NamedTuple):
    """An artifact that takes the place of the recorded one, what it is called, where it lies."""

    digest: str
    name: str
    path: Path


@dataclass(frozen=True, slots=True)
class Change:
    """What is to be different. Everything that is None or empty stays as it was recorded.

    ``values`` replaces the whole configuration, ``overrides`` single values of it.
    """

    model: Named | None = None
    rules: Named | None = None
    config: Named | None = None
    values: Mapping[str, Any] | None = None
    overrides: Mapping[str, Any] = field(default_factory=dict)
    features: Mapping[str, Setting] = field(default_factory=dict)

    @property
    def words(self) -> str:
        """The change in words: ``model pd v3 (10b50c), threshold = 0.4``."""
        named = (("model", self.model), ("rules", self.rules), ("configuration", self.config))
        parts = [f"{what} {artifact.name}" for what, artifact in named if artifact is not None]
        parts += [f"{name} = {dumps(value)}" for name, value in self.overrides.items()]
        parts += [f"{name} = {setting.words}" for name, setting in self.features.items()]
        return ", ".join(parts)

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""

        def artifact(found: Named | None) -> dict[str, Any] | None:
            return {"digest": found.digest, "name": found.name} if found is not None else None

        return {
            "model": artifact(self.model),
            "rules": artifact(self.rules),
            "config": artifact(self.config),
            "values": dict(self.overrides),
            "features": {name: setting.words for name, setting in self.features.items()},
            "statement": self.words,
        }


class Applied(NamedTuple):
    """A decision as it would have been asked, and the artifacts that would have answered."""

    decision: Decision
    artifacts: Artifacts
    #: Digests that stand for another artifact now.
    replaced: Mapping[str, Named]


def apply(change: Change, session: ReplaySession) -> Applied:
    """The changed decision, for replay; features have their changed names, not yet their values.

    Args:
        change: what is to be different.
        session: the decision as recorded.
    """
    decision = session.decision
    replaced: dict[str, Named] = {}
    live = session.live.digest
    if change.model is not None and live is not None:
        replaced[live] = change.model
    rules = step_of(decision, "rules").get("digest")
    if change.rules is not None and rules:
        replaced[str(rules)] = change.rules
    values = dict(session.config.values if change.values is None else change.values)
    values |= change.overrides
    config: Mapping[str, Any] = {"values": dumps(values, strict=False)}
    if not change.overrides and change.values is None:
        config = decision.config
    features = dict(decision.features)
    for name, setting in change.features.items():
        features[name] = setting.value
    # What a cache answered at the time is no answer to another question.
    changed = replace(decision, config=config, features=features, cache={})
    return Applied(changed, _Substituted(session.artifacts, replaced), replaced)


class _Substituted(Artifacts):
    """Artifacts of which some are others than their digests say."""

    def __init__(self, artifacts: Artifacts, replaced: Mapping[str, Named]) -> None:
        self._artifacts, self._replaced = artifacts, replaced

    def path(self, digest: str) -> Path | None:
        """See :class:`forensics.replay.evidence.Artifacts`."""
        found = self._replaced.get(digest)
        return self._artifacts.path(digest) if found is None else found.path

    def read(self, digest: str) -> bytes | None:
        """See :class:`forensics.replay.evidence.Artifacts`."""
        found = self._replaced.get(digest)
        return self._artifacts.read(digest) if found is None else found.path.read_bytes()
