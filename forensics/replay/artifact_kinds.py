"""What a file is that is to become an artifact, and whether decisions can be replayed with it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensics.errors import DependencyError, ReplayError, UsageError
from forensics.lake.expressions import UnknownNameError
from forensics.lake.sql import connect
from forensics.replay.check import suitable
from forensics.replay.client import ModelDescription, ModelWorker, RuleWorker
from forensics.replay.formats import detect
from forensics.replay.logic import BoundLogic, Logic, bind, read_logic
from forensics.replay.process import refused
from forensics.replay.runtimes.interface import ModelRefusedError

#: More names than any decision has; a rule set that uses more is damaged.
_NAMES_MAX = 2_000


@dataclass(frozen=True, slots=True)
class Artifact:
    """A file as an artifact.

    Attributes:
        kind: ``model``, ``rules``, ``logic``, ``zen``, ``cel``, ``configuration`` or ``reference``.
        summary: what it is in a few words.
        description: of a model that could be loaded.
        uses: names that its expressions use: features, and values of the configuration.
        needs: digests of the other artifacts that it names.
        reasons: why decisions cannot be replayed with it here; none when they can.
    """

    kind: str
    summary: str
    description: ModelDescription | None = None
    uses: tuple[str, ...] = ()
    needs: tuple[str, ...] = ()
    reasons: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """All but the model's description as plain values."""
        return {
            "kind": self.kind,
            "summary": self.summary,
            "uses": list(self.uses),
            "needs": list(self.needs),
            "replayable": not self.reasons,
            "reasons": list(self.reasons),
        }


def identify(path: Path, data: bytes) -> Artifact:
    """What the file at ``path`` with the bytes ``data`` is, having tried to load it.

    Raises:
        ReplayError: when it is a pickle or of no known format, or a rule set or decision logic that
            is not whole or not harmless; nothing of it should be kept.
    """
    document = _json(data)
    kind = document.get("type") if document is not None else None
    if document is not None and "learner" not in document and kind not in ("linear", "scorecard"):
        return _of_json(path, data, document)
    if document is None and path.suffix == ".cel":
        return _of_engine(path, "cel")
    try:
        format_ = detect(path)
    except ModelRefusedError as error:
        raise refused(error.reason, error.todo) from error
    try:
        with ModelWorker(path) as worker:
            description = worker.describe()
    except (ReplayError, DependencyError) as error:
        return Artifact("model", f"{format_} model", reasons=(str(error),))
    reasons, _ = suitable(description)
    return Artifact("model", f"{format_} model", description, reasons=reasons)


def _json(data: bytes) -> dict[str, Any] | None:
    """The JSON object in a file; None if it is none."""
    if data.lstrip()[:1] != b"{" or b'"learner"' in data[:200]:
        return None
    try:
        document = json.loads(data)
    except (ValueError, RecursionError):
        return None
    return document if isinstance(document, dict) else None


def _of_json(path: Path, data: bytes, document: dict[str, Any]) -> Artifact:
    kind = document.get("type")
    if kind in ("rules", "logic"):
        return _of_logic(data, kind)
    if kind == "cel":
        return _of_engine(path, "cel")
    if kind == "reference":
        return Artifact("reference", "reference population")
    if {"nodes", "edges"} <= document.keys() or "blocks" in document:
        return _of_engine(path, "zen")
    if kind is not None:
        raise ReplayError(
            f"{path.name} is JSON of type {str(kind)[:40]!r}, which is not known.",
            "Known are rules, logic, cel, linear, scorecard and reference.",
            "A configuration has no type of its own; forensics ingest --format artifact keeps"
            " anything as it is.",
        )
    return Artifact("configuration", f"configuration of {len(document):,} values")


def _of_engine(path: Path, engine: str) -> Artifact:
    summary = {"zen": "ZEN decision graph", "cel": "CEL expressions"}[engine]
    try:
        with RuleWorker(path, engine) as worker:
            worker.describe()
    except DependencyError as error:
        return Artifact(engine, summary, reasons=(str(error),))
    return Artifact(engine, summary)


def _of_logic(data: bytes, kind: str) -> Artifact:
    logic = read_logic(data)
    bound, features, config = _bound(logic)
    steps = ", ".join(f"{step.id} ({step.kind})" for step in logic.steps)
    called = f"{logic.name} {logic.version or ''}".strip()
    what = "rule set" if kind == "rules" else "decision logic"
    needs = [use.digest for use in bound.models if use.digest]
    needs += [use.digest for use in bound.engines if use.digest]
    return Artifact(
        kind,
        f"{what} {called}: {steps}",
        uses=(*features, *(f"config.{name}" for name in config)),
        needs=tuple(dict.fromkeys(needs)),
    )


def _bound(logic: Logic) -> tuple[BoundLogic, list[str], list[str]]:
    """The logic with its expressions checked, and the names that they use.

    Which names a decision has is not known yet, so each that is asked for is given.
    """
    features: list[str] = []
    config: list[str] = []
    connection = connect(threads=1)
    for _ in range(_NAMES_MAX):
        try:
            return bind(logic, features, config, connection), features, config
        except UnknownNameError as error:
            group, _, name = error.name.partition(".")
            if group == "config" and name:
                config.append(name)
            else:
                features.append(name if group == "features" and name else error.name)
        except UsageError as error:
            raise ReplayError(error.what, error.why, error.todo) from error
    raise ReplayError(f"It uses more than {_NAMES_MAX:,} names.")
