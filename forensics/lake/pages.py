"""Rows of millions, page by page: any page costs the same, the first, the last, that of a time.

How many decisions each hour holds is known from the summaries, so the place of a row among all
tells its hour. An hour is cut into ever smaller spans until one is a page or a few, and only that
one is read, in however many files.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from itertools import accumulate
from threading import Lock
from typing import NamedTuple, Protocol

from forensics.lake import summaries
from forensics.lake.window import DECISION, KEY, POINT, TIME, Reader, Row, View
from forensics.records.times import HOUR_US

_UNKNOWN_ROWS_MAX = 200_000
_BLOCK_ROWS = 2_048
_BLOCKS_KEPT = 12


class Span(NamedTuple):
    """A stretch of time, to before ``end_us``, and how many decisions are in it."""

    first_us: int
    end_us: int
    rows: int


class Pages(Protocol):
    """Rows in some order, page by page; may be asked from any thread."""

    @property
    def total(self) -> int:
        """How many rows there are."""

    def rows(self, first: int, count: int) -> list[Row]:
        """Rows from place ``first`` on, at most ``count``."""

    def place(self, time_us: int) -> int | None:
        """Where a time is: the place of the first row at it or beyond; None where unordered."""


class KeptPages:
    """Rows that are all in memory.

    Args:
        rows: in their order.
        in_time: newest first if -1, oldest first if 1, and 0 in another order.
    """

    def __init__(self, rows: Sequence[Row], in_time: int = 0) -> None:
        self._rows = rows
        self._in_time = in_time

    @property
    def total(self) -> int:
        """How many rows there are."""
        return len(self._rows)

    def rows(self, first: int, count: int) -> list[Row]:
        """Rows from place ``first`` on, at most ``count``."""
        return list(self._rows[first : first + count])

    def place(self, time_us: int) -> int | None:
        """The place of the first row at ``time_us`` or beyond; None where not in order of time."""
        if not self._in_time:
            return None
        sign = self._in_time
        return bisect_left(self._rows, sign * time_us, key=lambda row: sign * row[TIME])


class TimePages:
    """Rows in order of time, read where they are looked at.

    Args:
        reader: asked by this only.
        view: whose rows they are.
        spans: how many there are when, oldest first.
    """

    def __init__(self, reader: Reader, view: View, spans: Sequence[Span]) -> None:
        self._reader = reader
        self._view = view
        self._spans = spans
        self._ends = list(accumulate(span.rows for span in spans))
        self._parts: dict[Span, list[Span]] = {}
        self._blocks: OrderedDict[tuple[Span, int], list[Row]] = OrderedDict()
        self._lock = Lock()

    @property
    def total(self) -> int:
        """How many rows there are."""
        return self._ends[-1] if self._ends else 0

    def rows(self, first: int, count: int) -> list[Row]:
        """Rows from place ``first`` on, at most ``count``; see :meth:`Reader.ask` for errors."""
        first, end = max(first, 0), min(first + count, self.total)
        if self._view.descending:
            return self._ascending(self.total - end, self.total - first)[::-1]
        return self._ascending(first, end)

    def place(self, time_us: int) -> int | None:
        """The place of the first row at ``time_us`` or beyond."""
        if self._view.descending:
            return self.total - self._before(time_us + 1)
        return self._before(time_us)

    def _ascending(self, first: int, end: int) -> list[Row]:
        found: list[Row] = []
        with self._lock:
            while first < end:
                span, offset = self._leaf(first)
                some = self._block(span, offset)[offset % _BLOCK_ROWS :][: end - first]
                if not some:  # the lake changed under us: better fewer rows than wrong ones
                    break
                found += some
                first += len(some)
        return found

    def _before(self, time_us: int) -> int:
        """How many rows are older than ``time_us``."""
        with self._lock:
            at = bisect_right(self._spans, time_us, key=lambda span: span.first_us) - 1
            if at < 0:
                return 0
            count = self._ends[at] - self._spans[at].rows
            span = self._spans[at]
            while time_us < span.end_us and _is_large(span):
                for part in self._cut(span):
                    if time_us < part.end_us:
                        span = part
                        break
                    count += part.rows
                else:
                    return count
            if time_us >= span.end_us:
                return count + span.rows
            if span.rows > _BLOCK_ROWS:  # all at one time
                return count
            block = self._block(span, 0)
            return count + bisect_left(block, time_us, key=lambda row: row[TIME])

    def _leaf(self, place: int) -> tuple[Span, int]:
        """The smallest span that holds a place, and the place within it."""
        at = bisect_right(self._ends, place)
        span = self._spans[at]
        offset = place - self._ends[at] + span.rows
        while _is_large(span):
            for part in self._cut(span):
                if offset < part.rows:
                    span = part
                    break
                offset -= part.rows
            else:
                return Span(span.end_us, span.end_us, 0), 0
        return span, offset

    def _cut(self, span: Span) -> list[Span]:
        """Parts of a span that hold a page or a few each, where times are spread evenly."""
        if span not in self._parts:
            pieces = max(2, 2 * span.rows // _BLOCK_ROWS)
            width = max(1, -(-(span.end_us - span.first_us) // pieces))
            counted = self._counted(span, width)
            self._parts[span] = merged(span.first_us, width, counted, span.end_us, _BLOCK_ROWS)
        return self._parts[span]

    def _counted(self, span: Span, width: int) -> dict[int, int]:
        files = self._reader.files(self._view, span.first_us, span.end_us)
        source = self._reader.source(self._view, ["occurred_at"], files, span.first_us, span.end_us)
        if source is None:
            return {}
        query = f'SELECT ("0" - {span.first_us}) // {width}, count(*) FROM ({source}) GROUP BY 1'
        return {int(at): count for at, count in self._reader.ask(query)}

    def _block(self, span: Span, offset: int) -> list[Row]:
        """The rows of a span, or of a span that is all at one time those around ``offset``."""
        number = offset // _BLOCK_ROWS
        key = span, number
        if key in self._blocks:
            self._blocks.move_to_end(key)
            return self._blocks[key]
        view, reader = self._view, self._reader
        files = reader.files(view, span.first_us, span.end_us)
        names = [*KEY, *view.columns]
        source = reader.source(view, names, files, span.first_us, span.end_us)
        found = []
        if source is not None:
            found = reader.ask(
                f'SELECT * FROM ({source}) ORDER BY "{TIME}", "{POINT}", "{DECISION}" '
                f"LIMIT {_BLOCK_ROWS} OFFSET {number * _BLOCK_ROWS}"
            )
        self._blocks[key] = found
        while len(self._blocks) > _BLOCKS_KEPT:
            self._blocks.popitem(last=False)
        return found


def _is_large(span: Span) -> bool:
    return span.rows > _BLOCK_ROWS and span.end_us - span.first_us > 1


def merged(
    first_us: int, width: int, counts: Mapping[int, int], end_us: int, rows: int
) -> list[Span]:
    """Stretches of ``width``, neighbouring ones as one while that has at most ``rows`` rows.

    Stretches without rows stay out: a span in which nothing is would still have to be read.
    """
    spans: list[Span] = []
    for at in sorted(counts):
        count = counts[at]
        began = first_us + at * width
        ends = min(began + width, end_us)
        before = spans[-1] if spans else None
        if before is not None and before.end_us == began and before.rows + count <= rows:
            spans[-1] = Span(before.first_us, ends, before.rows + count)
        else:
            spans.append(Span(began, ends, count))
    return spans


def known_spans(reader: Reader, view: View) -> list[Span] | None:
    """How many decisions each hour of a window has, as the summaries know it.

    None where they do not know it, as of many files that another program wrote, or of a condition.
    """
    snapshot = reader.snapshot
    if view.where is not None:
        return None
    new_rows = sum(
        file.rows
        for point in view.points
        for file in snapshot.files(f"decisions/{point}")
        if f"decisions/{point}/{file.name}" in snapshot.unindexed
    )
    if new_rows > _UNKNOWN_ROWS_MAX:  # summing them up costs more than counting all
        return None
    counts: dict[int, int] = {}
    for use in summaries.in_use(snapshot, until_us=1 << 62, kind="decisions"):
        if use.point in view.points:
            counts[use.hour] = counts.get(use.hour, 0) + use.decisions
    if sum(counts.values()) != sum(snapshot.tables[f"decisions/{p}"].rows for p in view.points):
        return None
    spans = []
    for hour, count in sorted(counts.items()):
        first, end = hour * HOUR_US, (hour + 1) * HOUR_US
        if view.holds(first) and view.holds(end - 1):
            spans.append(Span(first, end, count))
        elif view.holds(first) or view.holds(end - 1) or _within(view, first, end):
            spans += _edge(reader, view, first, end)
    return spans


def _within(view: View, first_us: int, end_us: int) -> bool:
    return view.since_us is not None and first_us < view.since_us < end_us


def _edge(reader: Reader, view: View, first_us: int, end_us: int) -> list[Span]:
    """The part of an hour that is in the window, counted."""
    files = reader.files(view, first_us, end_us)
    source = reader.source(view, ["occurred_at"], files, first_us, end_us)
    if source is None:
        return []
    ((count,),) = reader.ask(f"SELECT count(*) FROM ({source})")
    first = max(first_us, view.since_us if view.since_us is not None else first_us)
    end = min(end_us, view.until_us if view.until_us is not None else end_us)
    return [Span(first, end, count)] if count else []
