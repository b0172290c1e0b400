"""A window on millions of decisions: any page of them, at the cost of one page.

How many decisions each hour holds is known from the summaries, so the place of a row among all
tells its hour. An hour is cut into ever smaller spans until one is a page or a few, and only that
one is read: the first page, the last and the one at any time cost the same, in however many files.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from threading import Lock
from typing import Any, NamedTuple, Protocol

from forensics.errors import UsageError
from forensics.lake import sql, summaries
from forensics.lake.catalog import DataFile
from forensics.lake.find import COLUMNS, FIELDS, points_with_names
from forensics.lake.protect import columns_seen
from forensics.lake.snapshot import Snapshot

#: What every row begins with, so that it can be opened and told from others.
KEY = ("occurred_at", "decision_point", "decision_id", "request_id")
TIME, POINT, DECISION, REQUEST = range(len(KEY))
_HOUR_US = 3_600_000_000
_UNKNOWN_ROWS_MAX = 200_000
_BLOCK_ROWS = 2_048
_BLOCKS_KEPT = 12
_FEATURE = "features."
_FIELDS = {**COLUMNS, **FIELDS}
_SCALARS = {"float64": "DOUBLE", "int64": "BIGINT", "bool": "BOOLEAN"}

#: A row: the values of :data:`KEY`, then of the columns asked for. Times are microseconds.
Row = tuple[Any, ...]


class Span(NamedTuple):
    """A stretch of time, to before ``end_us``, and how many decisions are in it."""

    first_us: int
    end_us: int
    rows: int


@dataclass(frozen=True, slots=True)
class View:
    """What is looked at.

    Args:
        points: the decision points.
        columns: names of :data:`forensics.lake.find.COLUMNS` and ``FIELDS``, and ``features.x``.
        where: a condition, as ``forensics find --where`` takes it.
        order: the column that is sorted by.
        descending: newest or largest first.
        since_us: from when on; None for all there is.
        until_us: before when.
    """

    points: tuple[str, ...]
    columns: tuple[str, ...] = ()
    where: str | None = None
    order: str = "occurred_at"
    descending: bool = True
    since_us: int | None = None
    until_us: int | None = None

    @property
    def in_time(self) -> bool:
        """Whether rows stand in order of time."""
        return self.order == "occurred_at"

    def holds(self, time_us: int) -> bool:
        """Whether a time is in the window."""
        return (self.since_us is None or time_us >= self.since_us) and (
            self.until_us is None or time_us < self.until_us
        )


class Cancelled(Exception):
    """Somebody else ended the question."""


class Reader:
    """Asks questions about one snapshot, one at a time; other threads may :meth:`cancel` only."""

    def __init__(self, snapshot: Snapshot, connection: sql.Connection | None = None) -> None:
        # Footers of all files of a large lake would take several hundred megabytes.
        self._connection = connection or sql.connect([snapshot.root], footers=False)
        self._usable: dict[tuple[tuple[str, ...], str | None], dict[str, list[str]]] = {}
        self.snapshot = snapshot.through(self._connection)
        self.cancelled = False

    def another(self, snapshot: Snapshot | None = None) -> Reader:
        """A reader that can be asked beside this one, of this or of a later snapshot."""
        return Reader(snapshot or self.snapshot, self._connection.cursor())

    def cancel(self) -> None:
        """End the question that is being answered, and refuse further ones."""
        self.cancelled = True
        self._connection.interrupt()

    def ask(self, query: str, parameters: Sequence[Any] = ()) -> list[Row]:
        """The rows that answer ``query``.

        Raises:
            Cancelled: when it was ended.
            UsageError: when a condition does not suit the values that it met.
            IntegrityError: when a file is gone or damaged.
        """
        if self.cancelled:
            raise Cancelled
        with sql.reading("A table of decisions"):
            try:
                return self._connection.execute(query, list(parameters)).fetchall()
            except sql.ExpressionError as error:
                what = "The condition cannot be evaluated."
                raise UsageError(what, str(error).splitlines()[0]) from error
            except (sql.SqlError, RuntimeError) as error:
                if self.cancelled:
                    raise Cancelled from error
                raise

    def files(
        self, view: View, first_us: int | None = None, end_us: int | None = None
    ) -> list[tuple[str, DataFile]]:
        """The files of a view that may hold times of a span, with their decision points."""
        lows = [us for us in (first_us, view.since_us) if us is not None]
        highs = [us for us in (end_us, view.until_us) if us is not None]
        low, high = max(lows, default=None), min(highs, default=None)
        last = high - 1 if high is not None else None
        return [
            (point, file)
            for point in view.points
            for file in self.snapshot.files(f"decisions/{point}", low, last)
        ]

    def source(
        self,
        view: View,
        names: Sequence[str],
        files: Iterable[tuple[str, DataFile]],
        first_us: int | None = None,
        end_us: int | None = None,
    ) -> str | None:
        """The SQL that selects columns ``"0"``, ``"1"``, …, one for each of ``names``.

        None where no file can hold a row of the view.

        Raises:
            UsageError: when the view's condition cannot be used.
        """
        by_point: dict[str, list[str]] = {}
        for point, file in files:
            path = self.snapshot.root / "decisions" / point / file.name
            by_point.setdefault(point, []).append(str(path))
        asked = view.points, view.where
        if asked not in self._usable:
            self._usable[asked] = dict(points_with_names(self.snapshot, *asked))
        usable = self._usable[asked]
        selects = [
            self._select(view, point, names, paths, usable[point], first_us, end_us)
            for point, paths in by_point.items()
            if point in usable
        ]
        return " UNION ALL BY NAME ".join(selects) or None

    def _select(
        self,
        view: View,
        point: str,
        names: Sequence[str],
        paths: list[str],
        used: list[str],
        first_us: int | None,
        end_us: int | None,
    ) -> str:
        features = self.snapshot.tables[f"decisions/{point}"].features
        wanted = [
            f'{self._expression(view, name, features)} AS "{at}"' for at, name in enumerate(names)
        ]
        lows = [us for us in (first_us, view.since_us) if us is not None]
        highs = [us for us in (end_us, view.until_us) if us is not None]
        within = [f"occurred_at >= make_timestamptz({us})" for us in lows]
        within += [f"occurred_at < make_timestamptz({us})" for us in highs]
        read = f"SELECT * FROM read_parquet({sql.literal(paths)}, union_by_name = true)"
        source = f"{read} WHERE {' AND '.join(within)}" if within else read
        source = columns_seen(self.snapshot, point, source)
        if view.where is None:
            return f"SELECT {', '.join(wanted)} FROM ({source})"
        named = [f"{path} AS {name}" for name, path in _FIELDS.items()]
        named += [f"features[{sql.literal(name)}] AS {sql.identifier(name)}" for name in used]
        named += ["features"] if features else []
        columns = ", ".join(f'"{at}"' for at in range(len(names)))
        inner = f"SELECT {', '.join([*named, *wanted])} FROM ({source})"
        return f"SELECT {columns} FROM ({inner}) WHERE ({view.where}\n)"

    def _expression(self, view: View, name: str, features: Mapping[str, str]) -> str:
        """A column as SQL, of one type in all points of the view."""
        if name == "occurred_at":
            return "epoch_us(occurred_at)"
        if name in ("decision_id", "request_id"):  # one names the other where only one was given
            return f"coalesce({name}, decision_id, request_id)"
        if not name.startswith(_FEATURE):
            return _FIELDS[name]
        feature = name.removeprefix(_FEATURE)
        known = [self.snapshot.tables[f"decisions/{point}"].features for point in view.points]
        types = {types[feature] for types in known if feature in types}
        type_ = _SCALARS.get(types.pop(), "VARCHAR") if len(types) == 1 else "VARCHAR"
        return f"{f'features[{sql.literal(feature)}]' if feature in features else 'NULL'}::{type_}"


def names_of(snapshot: Snapshot, points: Iterable[str]) -> list[str]:
    """All columns that there are: those of every decision, then features as ``features.x``."""
    features = [
        _FEATURE + name
        for point in points
        for name in snapshot.tables[f"decisions/{point}"].features
    ]
    return [*_FIELDS, *dict.fromkeys(features)]


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
        first, end = hour * _HOUR_US, (hour + 1) * _HOUR_US
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
