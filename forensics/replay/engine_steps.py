"""Steps that another rule engine runs: its inputs out of a frame, its answers into one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from forensics.errors import ForensicsError, ReplayError
from forensics.lake.frames import Frame
from forensics.replay.client import RuleWorker
from forensics.replay.engines import EngineAnswer, ask
from forensics.replay.evidence import Artifacts
from forensics.replay.logic.nouns import EngineUse

if TYPE_CHECKING:
    from tempfile import TemporaryDirectory


class EngineTold(NamedTuple):
    """What an engine told of a step beside its values.

    ``runtime`` is the engine with its version. ``unsteady`` names the parts of the rule set that
    seem to use the clock or chance. ``from_dict`` has for each row what a service gets that hands
    its numbers to ZEN in a Python dict.
    """

    runtime: str
    unsteady: Mapping[str, Sequence[str]]
    from_dict: Sequence[Any]


class Engines:
    """The processes of the rule engines that one decision logic uses, started when first asked."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._running: dict[EngineUse, RuleWorker] = {}
        self._folder: TemporaryDirectory[str] | None = None
        #: By step that ran last: for each row the id of the last table row that decided, if any.
        self.decided: dict[str, list[str | None]] = {}
        #: By step that ran last.
        self.told: dict[str, EngineTold] = {}

    def evaluate(self, use: EngineUse, frame: Frame) -> list[Any]:
        """A step's value for each row of ``frame``.

        Raises:
            ReplayError: when its artifact is not there, or the engine fails; names the step.
        """
        try:
            worker = self._worker(use)
            answers = ask(worker, _inputs(use, frame), use.output)
            engine = worker.describe()
        except ForensicsError as error:
            raise _failed(use, str(error)) from error
        for answer in answers:
            if reason := _reason(use, answer):
                raise _failed(use, reason)
        self.decided[use.step] = [
            answer.rules[-1].id if answer.rules else None for answer in answers
        ]
        others = [answer.from_dict for answer in answers]
        self.told[use.step] = EngineTold(engine["runtime"], engine.get("unsteady", {}), others)
        return [answer.value for answer in answers]

    def close(self) -> None:
        """End the processes."""
        while self._running:
            self._running.popitem()[1].close()
        if self._folder is not None:
            self._folder.cleanup()
            self._folder = None

    def _worker(self, use: EngineUse) -> RuleWorker:
        worker = self._running.get(_key(use))
        if worker is None or not worker.usable:
            worker = RuleWorker(self._path(use), use.kind)
            self._running[_key(use)] = worker
        return worker

    def _path(self, use: EngineUse) -> Path:
        if use.source is not None:
            if self._folder is None:
                from tempfile import TemporaryDirectory

                self._folder = TemporaryDirectory(prefix="forensics-")
            path = Path(self._folder.name) / use.step
            path.write_text(use.source, encoding="utf-8")
            return path
        found = self._artifacts.path(str(use.digest))
        if found is None:
            raise ReplayError(f"Artifact {use.digest} is not in the lake.")
        return found


def _key(use: EngineUse) -> EngineUse:
    return use._replace(inputs=None, output=None)


def _inputs(use: EngineUse, frame: Frame) -> list[dict[str, Any]]:
    if use.inputs is None:
        return frame.rows()
    columns = {path: frame.column(f"{use.step}#{path}") for path in use.inputs}
    plain = {
        path: column.to_pylist() if hasattr(column, "to_pylist") else column
        for path, column in columns.items()
    }
    rows: list[dict[str, Any]] = [{} for _ in range(frame.count)]
    for path, values in plain.items():
        *groups, last = path.split(".")
        for row, value in zip(rows, values, strict=True):
            place = row
            for group in groups:
                place = place.setdefault(group, {})
            place[last] = value
    return rows


def _reason(use: EngineUse, answer: EngineAnswer) -> str | None:
    """Why an answer cannot be used, if it cannot."""
    if answer.error is not None:
        return answer.error
    if use.inputs is not None:
        given = {path.partition(".")[0] for path in use.inputs}
        for field in answer.absent:
            if field.partition(".")[0] not in given:
                return f"its rules look at {field}, which the step's input does not give"
    return None


def _failed(use: EngineUse, why: str) -> ReplayError:
    return ReplayError(f"Step {use.step} ({use.kind}) cannot be run.", why)
