"""Steps that another rule engine runs: its inputs out of a frame, its answers into one."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from forensics.errors import ForensicsError, ReplayError
from forensics.lake.frames import Frame
from forensics.replay.client import RuleWorker
from forensics.replay.evidence import Artifacts
from forensics.replay.logic.nouns import EngineUse

#: Rows of one message to an engine.
_BATCH_ROWS = 1_000


class Engines:
    """The processes of the rule engines that one decision logic uses, started when first asked."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._running: dict[EngineUse, RuleWorker] = {}
        self._folder: tempfile.TemporaryDirectory[str] | None = None

    def evaluate(self, use: EngineUse, frame: Frame) -> list[Any]:
        """A step's value for each row of ``frame``.

        Raises:
            ReplayError: when its artifact is not there, or the engine fails; names the step.
        """
        try:
            worker = self._worker(use)
            rows = _inputs(use, frame)
            answers: list[Any] = []
            for start in range(0, len(rows), _BATCH_ROWS):
                answers += worker.evaluate(rows[start : start + _BATCH_ROWS])
        except ForensicsError as error:
            raise ReplayError(f"Step {use.step} ({use.kind}) cannot be run.", str(error)) from error
        return [_at(answer, use.output) for answer in answers]

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
                self._folder = tempfile.TemporaryDirectory(prefix="forensics-")
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


def _at(answer: Any, path: str | None) -> Any:
    """The part of an answer at a dotted path; None where there is no such part."""
    for key in path.split(".") if path else ():
        if isinstance(answer, Mapping):
            answer = answer.get(key)
        elif isinstance(answer, Sequence) and not isinstance(answer, str) and key.isdigit():
            answer = answer[int(key)] if int(key) < len(answer) else None
        else:
            return None
    return answer
