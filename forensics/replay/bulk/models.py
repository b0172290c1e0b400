"""Running models on the rows of a batch: their features as a matrix, their answers as a column."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from forensics.errors import ReplayError
from forensics.lake.arrow import floats
from forensics.lake.batches import Batch, Rows
from forensics.lake.frames import Frame
from forensics.replay.bulk.plan import BulkWorkers, PlannedModel
from forensics.replay.bulk.scores import EXACT, Scores
from forensics.replay.loaded import as_text

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Values = NDArray[np.float32] | NDArray[np.float64]

#: Bytes of one message to a model: what stays in a processor's cache on its way there.
_MATRIX_BYTES = 4 << 20
_TYPES: dict[str, type[np.floating[Any]]] = {"f": np.float32, "d": np.float64}


class Ran(NamedTuple):
    """A model's answers, and for which rows only its rounds up to the best iteration were used."""

    values: Values
    stopped: Flags | None


class ModelRuns:
    """The models of one thread, run on one batch after another."""

    def __init__(self, workers: BulkWorkers) -> None:
        self._workers = workers

    def values(
        self,
        model: PlannedModel,
        batch: Rows,
        rows: Longs | None,
        scores: Scores,
        frame: Frame | None = None,
    ) -> Ran:
        """The model's answer to each of ``rows`` of a batch.

        Services that stop early use the best iteration, others all: where that gives the recorded
        bytes and all rounds do not, it is taken for the row.

        Args:
            model: what to run.
            batch: the rows.
            rows: which of them; all where None.
            scores: the recorded ones.
            frame: has the features that the decision logic computes.

        Raises:
            ReplayError: when the model fails.
        """
        found = self._asked(model, batch, rows, 0, frame)
        if not model.early_rounds:
            return Ran(found, None)
        apart = np.flatnonzero(scores.closeness(found, rows) != EXACT)
        stopped = np.zeros(len(found), np.bool_)
        if len(apart):
            some = apart if rows is None else rows[apart]
            early = self._asked(model, batch, some, model.early_rounds, frame, apart)
            same = scores.closeness(early, some) == EXACT
            found[apart[same]] = early[same]
            stopped[apart[same]] = True
        return Ran(found, stopped)

    def likewise(
        self, model: PlannedModel, batch: Rows, frame: Frame | None, stopped: Flags | None
    ) -> Ran:
        """As :meth:`values`, stopping early where that was found to be done: ``stopped``."""
        found = self._asked(model, batch, None, 0, frame)
        if stopped is not None and model.early_rounds and stopped.any():
            some = np.flatnonzero(stopped)
            found[some] = self._asked(model, batch, some, model.early_rounds, frame, some)
        return Ran(found, stopped)

    def _asked(
        self,
        model: PlannedModel,
        batch: Rows,
        rows: Longs | None,
        trees: int,
        frame: Frame | None,
        of_frame: Longs | None = None,
    ) -> Values:
        """The model's answers by its first ``trees`` rounds; ``of_frame`` are the frame's rows."""
        description = model.description
        kind = _TYPES[description.dtype]
        step = max(1, _MATRIX_BYTES // (np.dtype(kind).itemsize * max(1, description.width)))
        as_recorded = not model.use.features and not description.texts
        if as_recorded and rows is None and not model.early_rounds and isinstance(batch, Batch):
            pieces = batch.parts(model.names, kind, step)
            return self._answers(model, pieces, step, trees, {})
        matrix = batch.matrix(model.names, kind)
        if rows is not None:
            matrix = matrix[rows]
        elif not as_recorded:
            matrix = matrix.copy()
        texts: dict[int, list[str]] = {}
        for at, name in enumerate(model.names):
            if name in model.use.features:
                assert frame is not None
                computed = _column(frame.column(model.use.column(name)))
                with np.errstate(over="ignore"):
                    matrix[:, at] = computed if of_frame is None else computed[of_frame]
            elif at in description.texts:
                matrix[:, at], texts[at] = _coded(batch, name, rows)
        return self._answers(model, [matrix], step, trees, texts)

    def _answers(
        self,
        model: PlannedModel,
        matrices: Iterable[NDArray[Any]],
        step: int,
        trees: int,
        texts: dict[int, list[str]],
    ) -> Values:
        """The model's answers to the rows of matrices, ``step`` rows a message."""
        kind = _TYPES[model.description.score_dtype]
        found = [np.zeros(0, kind)]
        for matrix in matrices:
            for start in range(0, len(matrix), step):
                part = matrix[start : start + step]
                worker = self._workers.borrow(model.path)
                (answer,) = worker.predict(
                    part.reshape(-1), len(part), kinds=(model.use.kind,), trees=trees, texts=texts
                )
                found.append(np.frombuffer(answer, kind))
        values = np.concatenate(found)
        outputs = model.description.outputs
        return values.reshape(-1, outputs)[:, model.output] if outputs > 1 else values


def _column(column: Any) -> NDArray[np.float64]:
    """A computed feature as a model sees it, NaN where it is null."""
    if hasattr(column, "null_count"):
        if "string" in str(column.type):
            raise ReplayError("A step gives a model text where it needs a number.")
        found: NDArray[np.float64] = floats(column)
        return found
    return np.array([np.nan if value is None else value for value in column], np.float64)


def _coded(batch: Rows, name: str, rows: Longs | None) -> tuple[NDArray[np.float64], list[str]]:
    """A feature that is given as text: places of the texts, NaN where there is none, and these."""
    places, values = batch.different(name, rows)
    codes = places.astype(np.float64)
    codes[places < 0] = np.nan
    return codes, [as_text(value) for value in values]
