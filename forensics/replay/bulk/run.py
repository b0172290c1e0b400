"""A window in tasks, of which as many run at a time as there are threads.

Threads and not processes: reading, models and expressions run outside of Python's lock, and
processes would each load all that they need.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Generic, TypeVar

from forensics.errors import UsageError
from forensics.lake.batches import BATCH_ROWS
from forensics.lake.catalog import DataFile
from forensics.lake.datafile import DataReader
from forensics.lake.protect import require_columns
from forensics.lake.snapshot import Snapshot
from forensics.records.times import to_micros
from forensics.replay.bulk.engine import Engine, Stopped
from forensics.replay.bulk.task import SegmentTask, Told

R = TypeVar("R")
#: Parts that are left for each worker at least, where there is enough to be shared out.
_PARTS = 2
#: Below this a further thread, with its own model processes, costs more than it brings.
_THREAD_ROWS_MIN = 20_000
#: Told how many decisions are behind us, and of how many.
Progress = Callable[[int, int], None]
#: Runs one task and tells of each batch.
Run = Callable[[SegmentTask, Told], R]


@dataclass(frozen=True, slots=True)
class Window:
    """Which decisions are asked for: of one point, from ``since`` to before ``until``.

    ``where`` is an SQL expression as in ``find``; at most ``limit`` decisions, the first files
    first.
    """

    decision_point: str
    since: datetime | None = None
    until: datetime | None = None
    where: str | None = None
    limit: int | None = None


def tasks(
    snapshot: Snapshot, window: Window, *, listed: bool = False, workers: int = 1
) -> Iterator[SegmentTask]:
    """The window's tasks, oldest first.

    Args:
        snapshot: the lake.
        window: which decisions.
        listed: whether decisions that are not bit-exact are to be listed.
        workers: among how many the tasks will be shared out.

    Raises:
        UsageError: when the lake has no such decision point, or the window ends before it begins.
        IntegrityError: when a data file is gone or no Parquet.
    """
    table = check(snapshot, window)
    whole = SegmentTask(
        root=snapshot.root,
        point=window.decision_point,
        file="",
        types=snapshot.tables[table].features,
        where=window.where,
        listed=listed,
    )
    found = files(snapshot, window)
    # Parts become smaller towards the end, so that none waits long for another.
    left = sum(file.rows for file in found)
    reader = DataReader()
    for file in found:
        task = _within(replace(whole, file=file.name), file, window)
        if file.rows <= part_rows(left, workers) * 3 // 2:
            left -= file.rows
            yield task
            continue
        count = first = 0
        groups = reader.open(task.path, ()).groups
        for at, size in enumerate(groups):
            count += size
            if count + size // 2 >= part_rows(left, workers) or at == len(groups) - 1:
                yield replace(task, first=first, end=at + 1)
                left -= count
                count, first = 0, at + 1
    reader.close()


def part_rows(left: int, workers: int) -> int:
    """Rows of the next part where so many are left to be shared out among ``workers``."""
    return min(BATCH_ROWS, max(BATCH_ROWS // 8, left // (workers * _PARTS)))


def _within(task: SegmentTask, file: DataFile, window: Window) -> SegmentTask:
    """The task with the ends of the window that lie within the file."""
    since = to_micros(window.since) if window.since else None
    until = to_micros(window.until) if window.until else None
    return replace(
        task,
        since_us=since if since is not None and file.first_us < since else None,
        until_us=until if until is not None and file.last_us >= until else None,
    )


def files(snapshot: Snapshot, window: Window) -> list[DataFile]:
    """The data files that may hold decisions of the window."""
    return snapshot.files(
        check(snapshot, window),
        to_micros(window.since) if window.since else None,
        to_micros(window.until) - 1 if window.until else None,
    )


def check(snapshot: Snapshot, window: Window) -> str:
    """The table that holds the window's decisions.

    Raises:
        UsageError: as :func:`tasks`.
    """
    if window.since is not None and window.until is not None and window.since > window.until:
        raise UsageError(f"The window ends at {window.until} before it begins at {window.since}.")
    table = f"decisions/{window.decision_point}"
    if table not in snapshot.tables:
        raise UsageError(
            f"No decision point {window.decision_point!r} in this lake.",
            f"It has: {', '.join(snapshot.points()) or 'none yet'}.",
        )
    require_columns(snapshot, window.decision_point)
    return table


class Threads(Generic[R]):
    """Runs tasks in threads, each with an engine of its own.

    Args:
        snapshot: the lake.
        window: which decisions.
        make: with an engine, gives what runs a task.
        workers: threads; as many as there are processors where None.
    """

    def __init__(
        self,
        snapshot: Snapshot,
        window: Window,
        make: Callable[[Engine], Run[R]],
        workers: int | None = None,
    ) -> None:
        self._snapshot, self._window, self._make = snapshot, window, make
        # With a limit the tasks follow one another: each needs to know how many are left.
        count = 1 if window.limit is not None else workers or os.cpu_count() or 1
        self._total = sum(file.rows for file in files(snapshot, window))
        #: How many threads there are: few decisions are not worth many.
        self.count = max(1, min(count, self._total // _THREAD_ROWS_MIN))
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self._answers: queue.Queue[R | int | BaseException | None] = queue.Queue()
        self._left = window.limit

    def run(self, todo: Iterator[SegmentTask], progress: Progress | None = None) -> Generator[R]:
        """What came of each task, as they end; to be closed by whoever stops before all is told.

        Raises:
            BaseException: what a task raised; the others are ended first.
        """
        # No daemons: one that is still in C++ when Python ends takes the process down with it.
        threads = [threading.Thread(target=self._work, args=(todo,)) for _ in range(self.count)]
        done, running = 0, len(threads)
        try:
            for thread in threads:
                thread.start()
            while running:
                answer = self._answers.get()
                if answer is None:
                    running -= 1
                elif isinstance(answer, BaseException):
                    raise answer
                elif isinstance(answer, int):
                    done += answer
                    if progress is not None:
                        progress(done, self._total)
                else:
                    yield answer
        finally:
            self._stop.set()
            for thread in threads:
                if thread.is_alive():
                    thread.join()

    def _work(self, todo: Iterator[SegmentTask]) -> None:
        try:
            point = self._window.decision_point
            types = self._snapshot.tables[f"decisions/{point}"].features
            with Engine(self._snapshot.root, point, types, stop=self._stop) as engine:
                run = self._make(engine)
                while (task := self._next(todo)) is not None:
                    self._answers.put(run(task, self._told))
        except Stopped:
            pass
        except BaseException as error:  # noqa: BLE001 - raised again where answers are awaited
            self._answers.put(error)
        self._answers.put(None)

    def _next(self, todo: Iterator[SegmentTask]) -> SegmentTask | None:
        with self._lock:
            if self._stop.is_set() or self._left == 0:
                return None
            task = next(todo, None)
        return task if task is None or self._left is None else replace(task, rows_max=self._left)

    def _told(self, rows: int, wanted: int) -> None:
        if self._left is not None:
            self._left -= wanted
        self._answers.put(rows)
