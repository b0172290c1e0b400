"""Which model scored each of many decisions, and that model's inputs by column.

Decisions are told apart, and a decision that stands for all of its kind is made, as for the replay
of many (:mod:`forensics.replay.bulk`); so a model is found by the same code for one and for many.
"""

from __future__ import annotations

from collections.abc import Hashable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from forensics.errors import ForensicsError, ReplayError
from forensics.explain.attribution import method_of, output_label_of, unit_of
from forensics.lake.batches import Batch
from forensics.lake.snapshot import Snapshot
from forensics.records.decision import Decision
from forensics.replay.bulk import scores
from forensics.replay.bulk.identity import identities, representative
from forensics.replay.client import ModelDescription, ModelWorker, Workers
from forensics.replay.evidence import Artifacts
from forensics.replay.loaded import LoadedModel, as_text, output_position
from forensics.replay.logic import ModelUse
from forensics.replay.session import ReplaySession

Longs = NDArray[np.int64]


class Scorer(NamedTuple):
    """What scored some decisions: a model, which of its outputs, and how many of its rounds.

    ``is_score`` is False where later steps of the decision logic make the score of the output.
    """

    digest: str
    path: Path
    use: ModelUse
    description: ModelDescription
    names: tuple[str, ...]
    position: int
    trees: int
    is_score: bool

    @property
    def key(self) -> dict[str, Any]:
        """What contributions depend on, in JSON terms."""
        return {
            "model_digest": self.digest,
            "output": self.position,
            "method": self.method,
            "runtime": self.runtime,
            "is_score": self.is_score,
            "kind": self.use.kind,
        }

    @property
    def runtime(self) -> str:
        """Library and version that runs it, and how many of its rounds where not all."""
        runtime, rounds = self.description.runtime, self.description.rounds
        return f"{runtime}, first {self.trees} of {rounds} rounds" if self.trees else runtime

    @property
    def method(self) -> str:
        """The method and the question it answers."""
        return method_of(self.description)

    @property
    def unit(self) -> str:
        """The unit of the contributions."""
        return unit_of(self.description)

    @property
    def output(self) -> str | None:
        """The class that is explained, where the model has several."""
        return output_label_of(self.description, self.position)

    @property
    def early(self) -> Scorer | None:
        """The same model up to its best iteration, where training went on beyond it."""
        best, rounds = self.description.best_iteration, self.description.rounds
        if best is None or best + 1 >= rounds:
            return None
        return self._replace(trees=best + 1)


class _Candidates(NamedTuple):
    """What may have scored the decisions of one kind: the live model, and a cache entry's."""

    live: Scorer | str
    entry: Scorer | None


class Scorers:
    """Finds the scorers of a decision point. A context manager; thread-bound.

    ``found`` has every scorer that occurred, or in its place the reason why decisions of a kind
    cannot be explained.

    Args:
        snapshot: the lake.
        artifacts: its models.
        point: the decision point.
    """

    def __init__(self, snapshot: Snapshot, artifacts: Artifacts, point: str) -> None:
        self.found: list[Scorer | str] = []
        self.workers = LastingWorkers()
        self._snapshot = snapshot
        self._artifacts = artifacts
        self._point = point
        self._types = snapshot.tables[f"decisions/{point}"].features
        self._kinds: dict[Hashable, _Candidates] = {}
        self._places: dict[Hashable, int] = {}

    def __enter__(self) -> Scorers:
        return self

    def __exit__(self, *_: object) -> None:
        self.workers.close()

    def of(self, batch: Batch, inside: NDArray[np.bool_]) -> NDArray[np.int32]:
        """By row, the place in ``found`` of what scored it; -1 for rows that are not ``inside``.

        Args:
            batch: with scores loaded.
            inside: by row, whether it is wanted.
        """
        places = np.full(batch.rows, -1, np.int32)
        known = identities(batch)
        for at, (key, first) in enumerate(zip(known.keys, known.groups.first, strict=True)):
            rows = np.flatnonzero((known.groups.codes == at) & inside)
            if len(rows):
                kind = self._kind(key, batch, int(first))
                places[rows] = self._assigned(kind, batch, rows)
        return places

    def place(self, scorer: Scorer | str) -> int:
        """The place of a scorer in ``found``, where it is put if it is new."""
        key: Hashable = scorer
        if isinstance(scorer, Scorer):
            key = tuple(scorer.key.items())
        if key not in self._places:
            self._places[key] = len(self.found)
            self.found.append(scorer)
        return self._places[key]

    def _kind(self, key: Hashable, batch: Batch, row: int) -> _Candidates:
        found = self._kinds.get(key)
        if found is None:
            decision = representative(batch, row, self._point, self._types)
            found = self._kinds[key] = self._candidates(decision)
        return found

    def _candidates(self, decision: Decision) -> _Candidates:
        with ReplaySession(
            decision,
            self._artifacts,
            connection=self._snapshot.connection,
            workers=self.workers,
        ) as session:
            live = session.live
            logic = session.logic
            is_score = logic is None or logic.logic.score == live.use.step
            entry = session.entry
            other = None
            if entry is not None and isinstance(
                made := self._scorer(entry, is_score=is_score), Scorer
            ):
                other = made
            return _Candidates(self._scorer(live, is_score=is_score), other)

    def _scorer(self, model: LoadedModel, *, is_score: bool) -> Scorer | str:
        """The model as a scorer, or why its decisions cannot be explained here."""
        if not model.ready() or model.description is None or model.digest is None:
            return "; ".join(model.missing) or "no model scored"
        description = model.description
        if model.use.features:
            return f"step {model.use.step} computes features for its model"
        if "contributions" not in description.kinds:
            return f"{description.runtime} gives no contributions for model {model.digest[:19]}…"
        try:
            path = self._artifacts.path(model.digest)
        except ForensicsError as error:
            return str(error)
        assert path is not None
        position = output_position(model.use, description)
        return Scorer(
            model.digest, path, model.use, description, model.names, position, 0, is_score
        )

    def _assigned(self, kind: _Candidates, batch: Batch, rows: Longs) -> Any:
        """By row, the place of what gave its recorded score; of the live model where none did."""
        live = kind.live
        if isinstance(live, str):
            return self.place(live)
        tried = [each for one in (live, kind.entry) if one for each in (one, one.early) if each]
        if len(tried) == 1 or not live.is_score:
            return self.place(live)
        places = np.full(len(rows), self.place(live), np.int32)
        left = np.arange(len(rows))
        known = scores.recorded(batch)
        for scorer in tried:
            try:
                matrix, texts = inputs(scorer, batch, rows[left])
            except ValueError:  # as will be said when it is to be explained
                continue
            worker = self.workers.borrow(scorer.path)
            try:
                (answers,) = ask(worker, scorer, matrix, texts, (scorer.use.kind,))
            except ReplayError:
                if not worker.usable:
                    raise
                continue  # some row is refused, as will be found when they are to be explained
            values = answers.reshape(len(left), -1)[:, scorer.position]
            exact = known.closeness(values.astype("f8"), rows[left]) == scores.EXACT
            places[left[exact]] = self.place(scorer)
            left = left[~exact]
            if not len(left):
                break
        return places


class LastingWorkers(Workers):
    """Model processes that may take their time: contributions cost a hundred times a score."""

    def borrow(self, model: Path, packages: Path | None = None) -> ModelWorker:
        """The process for ``model``; see :class:`forensics.replay.client.Workers`."""
        worker = self._running.pop((model, packages), None)
        if worker is None or not worker.usable:
            worker = ModelWorker(model, packages=packages, cpu_s=864_000, timeout_s=3_600)
        self._running[model, packages] = worker
        if len(self._running) > self._most:
            self._running.pop(next(iter(self._running))).close()
        return worker


def ask(
    worker: ModelWorker,
    scorer: Scorer,
    matrix: NDArray[Any],
    texts: dict[int, list[str]],
    kinds: tuple[str, ...],
) -> list[NDArray[Any]]:
    """A model's answers of each of ``kinds``, flat.

    Args:
        worker: the model's process.
        scorer: which model, and how many of its rounds.
        matrix: as of :func:`inputs`.
        texts: as of :func:`inputs`.
        kinds: see :class:`forensics.replay.client.ModelWorker`.

    Raises:
        ReplayError: when the model refuses a row, or its process fails.
    """
    answers = worker.predict(
        matrix.reshape(-1), len(matrix), kinds=kinds, trees=scorer.trees, texts=texts
    )
    return [np.frombuffer(answer, scorer.description.score_dtype) for answer in answers]


def inputs(scorer: Scorer, batch: Batch, rows: Longs) -> tuple[NDArray[Any], dict[int, list[str]]]:
    """The model's inputs, row after row, and the texts that text features name by place.

    Raises:
        ValueError: when a feature is not what the model takes; says which.
    """
    batch.load(f"features.{name}" for name in scorer.names)
    matrix = np.empty((len(rows), len(scorer.names)), scorer.description.dtype)
    texts: dict[int, list[str]] = {}
    with np.errstate(over="ignore"):
        for at, name in enumerate(scorer.names):
            if name not in batch.features:  # it was only ever recorded as null
                matrix[:, at] = np.nan
            elif at in scorer.description.texts:
                places, values = batch.different(name, rows)
                matrix[:, at] = np.where(places < 0, np.nan, places)
                texts[at] = [as_text(value) for value in values]
            elif batch.is_number(name):
                matrix[:, at] = batch.numeric(name)[rows]
            else:
                type_ = batch.features.get(name)
                raise ValueError(f"features.{name} is {type_} where the model needs a number")
    return matrix, texts
