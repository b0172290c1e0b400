"""One thread's means of replaying batches: models, expressions, and plans that were made once."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

from forensics.errors import ForensicsError, ReplayError
from forensics.lake import arrow, sql
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.batches import Batch
from forensics.lake.catalog import Catalog
from forensics.lake.changed import ChangedRows
from forensics.lake.datafile import DataFile, DataReader
from forensics.lake.frames import Frame, TableFrame
from forensics.lake.snapshot import Snapshot
from forensics.replay.bulk.identity import Identities, identities, representative
from forensics.replay.bulk.models import ModelRuns, Ran
from forensics.replay.bulk.plan import BulkWorkers, Plan, PlannedModel, planned
from forensics.replay.bulk.scores import Scores
from forensics.replay.engine_steps import Engines
from forensics.replay.evidence import Artifacts
from forensics.replay.logic import EngineUse, ModelUse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float64]


class Answered(NamedTuple):
    """What models and logic gave for some rows.

    ``scores`` is NaN where there is none, which ``unscored`` tells from a score that is NaN.
    ``models`` are the models' own answers, ``values`` those of the steps between features and
    outcome that a plan compares, by step.
    """

    scores: Floats
    unscored: Flags | None
    outcomes: Sequence[str | None]
    outcome_codes: Longs
    rules: Sequence[str]
    rule_codes: Longs
    models: Mapping[str, Ran]
    values: Mapping[str, Any]


class Stopped(Exception):
    """The work was ended from outside."""


class Engine:
    """Everything that a thread replays batches with. Use as a context manager.

    Args:
        root: the lake.
        point: the decision point.
        types: its features' types by name.
        stop: set to have the work end soon.
    """

    def __init__(
        self,
        root: Path,
        point: str,
        types: Mapping[str, str],
        *,
        stop: threading.Event | None = None,
    ) -> None:
        _keep_freed_memory()
        self._stop = stop or threading.Event()
        self.point = point
        self.types = types
        self.reader = DataReader()
        self.artifacts = MemorizedArtifacts(ArtifactStore(root))
        self.workers = BulkWorkers()
        self.models = ModelRuns(self.workers)
        self.snapshot = Snapshot(root, {}, frozenset(), Catalog())
        self._engines = Engines(self.artifacts)
        self._plans: dict[Hashable, Plan] = {}
        self._last: tuple[Batch, Identities, list[Plan]] | None = None
        self._root = root
        self._ahead = False

    @cached_property
    def connection(self) -> sql.Connection:
        """Where expressions are evaluated."""
        return sql.connect([self._root], threads=1)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """End the processes of models and rule engines."""
        self._engines.close()
        self.workers.close()
        self.reader.close()

    def forget(self) -> None:
        """Let go of the last batch."""
        self._last = None

    def start(self, file: DataFile, group: int) -> None:
        """Start the process of the model that a row group's first decision names.

        It loads while the decisions are read; what stands in its way is said when it is asked.
        """
        if self._ahead:
            return
        self._ahead = True
        digest = file.first_text(group, "model.digest")
        with suppress(ForensicsError, OSError):
            path = self.artifacts.path(digest) if digest else None
            if path is not None:
                self.workers.borrow(path)

    def check(self) -> None:
        """Raise :class:`Stopped` when the work is to end."""
        if self._stop.is_set():
            raise Stopped

    def plans(self, batch: Batch) -> tuple[Identities, list[Plan]]:
        """The groups of a batch, and how each is replayed; loads the features that they need."""
        if self._last is not None and self._last[0] is batch:
            return self._last[1:]
        found = identities(batch)
        plans = []
        for key, row in zip(found.keys, found.groups.first, strict=True):
            plan = self._plans.get(key)
            if plan is None:
                decision = representative(batch, int(row), self.point, self.types)
                plan = planned(decision, self.artifacts, self.connection, self.workers)
                self._plans[key] = plan
            plans.append(plan)
        features = set().union(*(plan.columns for plan in plans))
        # What models take as numbers goes into a matrix without being kept as columns.
        for name in frozenset().union(*(plan.recorded for plan in plans)):
            if name in batch.features and not batch.is_number(name):
                features.add(name)
        batch.load(f"features.{name}" for name in sorted(features))
        self._last = batch, found, plans
        return found, plans

    def answer(
        self,
        plan: Plan,
        batch: Batch,
        rows: Longs | None,
        scores: Scores,
        *,
        values: Mapping[str, Any] | None = None,
        given: Mapping[str, Any] | None = None,
    ) -> Answered:
        """What the plan's logic gives for some rows of a batch.

        Args:
            plan: one with logic.
            batch: with the features that it needs.
            rows: which rows; all where None.
            scores: the recorded ones.
            values: values of the configuration instead of the plan's.
            given: values of steps that are not to be run.

        Raises:
            ReplayError: when a model, an engine or an expression fails.
        """

        def ask(model: PlannedModel, frame: Frame) -> Ran:
            return self.models.values(model, batch, rows, scores, frame)

        table = batch.table(sorted(plan.columns), rows)
        return self._run(plan, table, ask, plan.values if values is None else values, given)

    def answer_changed(
        self, plan: Plan, rows: ChangedRows, stopped: Mapping[str, Flags | None]
    ) -> Answered:
        """What the plan's logic gives for rows with changed features.

        Args:
            plan: one with logic.
            rows: what it is given.
            stopped: for which rows models stop early, by step.

        Raises:
            ReplayError: when a model, an engine or an expression fails.
        """

        def ask(model: PlannedModel, frame: Frame) -> Ran:
            return self.models.likewise(model, rows, frame, stopped.get(model.use.step))

        return self._run(plan, rows.table(sorted(plan.columns)), ask, plan.values, None)

    def _run(
        self,
        plan: Plan,
        table: Any,
        ask: Callable[[PlannedModel, Frame], Ran],
        values: Mapping[str, Any],
        given: Mapping[str, Any] | None,
    ) -> Answered:
        assert plan.logic is not None
        ran: dict[str, Ran] = {}

        def predict(use: ModelUse, frame: Frame) -> Any:
            ran[use.step] = ask(plan.models[use.step], frame)
            return ran[use.step].values

        def evaluate(use: EngineUse, frame: Frame) -> Sequence[Any]:
            return self._engines.evaluate(use, frame)

        frame = TableFrame(self.connection, table, values)
        answer = plan.logic.run(frame, predict, evaluate=evaluate, failed=plan.failed, given=given)
        numbers, unscored = _numbers(answer.score, frame.count)
        outcome, rule = answer.outcome, answer.rule
        if rule is None:
            rules, codes = [answer.outcome_step], np.zeros(frame.count, np.int64)
        else:
            rules, codes = [one.id for one in rule.labels], np.asarray(rule.codes)
        return Answered(
            numbers,
            unscored,
            list(outcome.labels),
            np.asarray(outcome.codes, np.int64),
            rules,
            np.asarray(codes, np.int64),
            ran,
            {step: answer.value(step) for step in plan.compared} if given is None else {},
        )


def _keep_freed_memory() -> None:
    """Have the C library keep the memory of freed arrays for the next batch's.

    It gives blocks back to the system that are larger than any that was freed before (glibc's
    dynamic threshold, at most 32 MiB), and new pages cost as much as filling them.
    """
    np.empty(31 << 20, np.uint8)


def _numbers(column: Any, count: int) -> tuple[Floats, Flags | None]:
    """A step's values as float64, and where there is none."""
    if column is None:
        return np.full(count, np.nan), np.ones(count, np.bool_)
    if hasattr(column, "combine_chunks"):
        column = column.combine_chunks()
    if str(getattr(column, "type", "")) == "double":
        unscored = None
        if column.null_count:
            unscored = ~arrow.valid(column)
        return arrow.numbers(column), unscored
    values = column.to_pylist() if hasattr(column, "to_pylist") else list(column)
    nothing = np.array([value is None for value in values], np.bool_)
    try:
        numbers = [np.nan if value is None else float(value) for value in values]
    except ValueError as error:
        raise ReplayError("The score is no number.", str(error)) from error
    return np.array(numbers, np.float64), nothing if nothing.any() else None


class MemorizedArtifacts(Artifacts):
    """Artifacts that are verified once, however many decisions name them."""

    def __init__(self, artifacts: Artifacts) -> None:
        self._artifacts = artifacts
        self._found: dict[tuple[str, str], Any] = {}

    def path(self, digest: str) -> Path | None:
        """See :class:`forensics.replay.evidence.Artifacts`."""
        found: Path | None = self._once("path", digest)
        return found

    def read(self, digest: str) -> bytes | None:
        """See :class:`forensics.replay.evidence.Artifacts`."""
        found: bytes | None = self._once("read", digest)
        return found

    def _once(self, what: str, digest: str) -> Any:
        if (what, digest) not in self._found:
            try:
                self._found[what, digest] = getattr(self._artifacts, what)(digest)
            except (ForensicsError, OSError) as error:
                self._found[what, digest] = error
        found = self._found[what, digest]
        if isinstance(found, Exception):
            raise found
        return found
