"""Looks at rows are recorded, with who looks, in whatever thread the rows are read."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextvars import copy_context
from pathlib import Path
from typing import Any, TypeVar

from forensics.lake import looks
from forensics.lake.scan import Found
from forensics.lake.window import DECISION, TIME, Reader, Row, View
from forensics.records.times import from_micros

_T = TypeVar("_T")


def saw(reader: Reader, view: View, found: Found, rows: Sequence[Row]) -> None:
    """Write down that somebody sees rows of a view; call it before they are shown.

    The rows are named. Where there are more, what is said of the time is what all of them are in.

    Args:
        reader: tells the lake.
        view: what is asked for.
        found: how many there are.
        rows: those that were read.

    Raises:
        LakeError: as :func:`forensics.lake.looks.saw`.
    """
    if not rows:
        return
    first, last = min(row[TIME] for row in rows), max(row[TIME] for row in rows)
    if len(rows) < found.matches or found.done < 1:
        lake = reader.snapshot.window_us() or (first, last)
        first = max(lake[0], view.since_us) if view.since_us is not None else lake[0]
        last = min(lake[1], view.until_us - 1) if view.until_us is not None else lake[1]
    looks.saw(
        reader.snapshot.root,
        (row[DECISION] for row in rows),
        decision_point=view.points[0] if len(view.points) == 1 else None,
        decisions=found.matches,
        shown=(from_micros(first), from_micros(last)),
        question=repr(view),
    )


def saw_further(root: Path, view: View, rows: Sequence[Row]) -> None:
    """Write down that somebody scrolls to further rows of a view; call it before they are shown.

    Args:
        root: the lake.
        view: what was asked for.
        rows: those that were read now, all of which are named.

    Raises:
        LakeError: as :func:`forensics.lake.looks.saw`.
    """
    if not rows:
        return
    looks.saw(
        root,
        (row[DECISION] for row in rows),
        decision_point=view.points[0] if len(view.points) == 1 else None,
        shown=(from_micros(min(r[TIME] for r in rows)), from_micros(max(r[TIME] for r in rows))),
        question=repr(view),
    )


class InContext(ThreadPoolExecutor):
    """Threads that know what the one knows who gives them work: who looks, above all.

    What an event loop gives to threads of its own accord begins in an empty context.
    """

    def submit(self, work: Callable[..., _T], /, *args: Any, **named: Any) -> Future[_T]:
        """Have something done by a thread; see :class:`concurrent.futures.Executor`."""
        return super().submit(copy_context().run, work, *args, **named)
