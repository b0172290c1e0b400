"""Part of a data file as a task, and the batches of decisions that it asks for."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from forensics.lake.batches import BATCH_ROWS, Batch, batches
from forensics.lake.condition import Condition
from forensics.lake.datafile import DataFile
from forensics.replay.bulk.attributes import ATTRIBUTES
from forensics.replay.bulk.engine import Engine
from forensics.replay.bulk.identity import TEXTS
from forensics.replay.bulk.said import OUTPUTS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Longs = NDArray[np.int64]

#: Features that a batch of the usual size may have: 64 MiB as doubles.
_FEATURES = 64
#: Columns that are read as text.
_TEXTS = (*TEXTS, *ATTRIBUTES.values(), "outcome", "score_dtype", OUTPUTS)

#: Told after each batch how many decisions it had, and how many of them were asked for.
Told = Callable[[int, int], None]


@dataclass(frozen=True, slots=True)
class SegmentTask:
    """Part of a data file of decisions, and which of its rows are asked for.

    ``first`` to before ``end`` are row groups. Times are microseconds since 1970, not included the
    end; None where no row lies beyond. ``where`` is an SQL expression as in ``find``. ``rows_max``
    ends the task after so many decisions. ``listed`` asks for a list of decisions, not for counts
    alone.
    """

    root: Path
    point: str
    file: str
    types: Mapping[str, str]
    first: int = 0
    end: int | None = None
    since_us: int | None = None
    until_us: int | None = None
    where: str | None = None
    rows_max: int | None = None
    listed: bool = False

    @property
    def path(self) -> Path:
        """The data file."""
        return self.root / "decisions" / self.point / self.file


def opened(engine: Engine, task: SegmentTask) -> DataFile:
    """The file of a task.

    Raises:
        IntegrityError: when it is gone or no Parquet.
    """
    return engine.reader.open(task.path, _TEXTS)


def asked_for(engine: Engine, task: SegmentTask) -> Iterator[tuple[Batch, Longs | None]]:
    """The batches of a task, and which rows of each are asked for; None where all are.

    Raises:
        IntegrityError: when the file is not what was written.
        UsageError: when the condition cannot be evaluated.
    """
    condition = None
    if task.where is not None:
        condition = Condition(task.where, task.types, engine.connection)
    left = task.rows_max
    for batch in batches(opened(engine, task), task.first, task.end, _batch_rows(len(task.types))):
        engine.check()
        if left == 0:
            return
        flags = _in_window(batch, task)
        if condition is not None and (flags is None or flags.any()):
            holds = condition.holds(batch)
            flags = holds if flags is None else flags & holds
        wanted = None if flags is None or flags.all() else np.flatnonzero(flags)
        if left is not None:
            wanted = (np.arange(batch.rows) if wanted is None else wanted)[:left]
            left -= len(wanted)
        yield batch, wanted
        engine.forget()


def _in_window(batch: Batch, task: SegmentTask) -> NDArray[np.bool_] | None:
    if task.since_us is None and task.until_us is None:
        return None
    batch.load(("occurred_at",))
    micros = batch.micros("occurred_at")
    flags = np.ones(batch.rows, np.bool_)
    if task.since_us is not None:
        flags &= micros >= task.since_us
    if task.until_us is not None:
        flags &= micros < task.until_us
    return flags


def _batch_rows(features: int) -> int:
    """Rows of a batch, so that one of many features takes no more memory than one of few."""
    return max(BATCH_ROWS // 16, min(BATCH_ROWS, BATCH_ROWS * _FEATURES // max(1, features)))
