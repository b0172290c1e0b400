"""Passes over a window's decisions, some files at a time: filtering, sorting, rates of outcomes.

Each pass answers again and again while it goes on, so that what is found can be shown at once, says
how far it is, and can be ended by :meth:`forensics.lake.window.Reader.cancel`. None holds more than
counts and some thousand rows, however many decisions there are.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from math import log
from typing import Any, NamedTuple

from forensics.lake import sql
from forensics.lake.catalog import DataFile
from forensics.lake.find import points_with_names
from forensics.lake.pages import KeptPages, Pages, TimePages, known_spans, merged
from forensics.lake.window import DECISION, KEY, TIME, Reader, Row, View
from forensics.records.times import HOUR_US

#: As many rows of a sparse filter, or of an order other than time, are kept in memory.
KEPT_ROWS = 10_000
_CHUNK_ROWS = 500_000
_SPANS = 1_000
_PARTS = 60
#: Matches that are read at once, where they are few among many others.
_SPAN_ROWS = 256
_File = tuple[str, DataFile]


class Found(NamedTuple):
    """What a pass has found so far.

    ``matches`` counts all rows that were found, of which ``pages`` may hold only the first: those
    in an order other than time, or while the pass goes on. ``done`` is the share of the window that
    was looked at, 1 at the end.
    """

    pages: Pages
    matches: int
    done: float


def look(reader: Reader, view: View) -> Iterator[Found]:
    """The rows of a view in its order; the last answer is whole.

    Raises:
        UsageError: when the view's condition cannot be used.
        Cancelled: when the reader was cancelled.
    """
    points_with_names(reader.snapshot, view.points, view.where)
    if not view.in_time:
        yield from _ranked(reader, view)
    elif (spans := known_spans(reader, view)) is not None:
        pages = TimePages(reader.another(), view, spans)
        yield Found(pages, pages.total, 1.0)
    else:
        yield from _matching(reader, view)


def _matching(reader: Reader, view: View) -> Iterator[Found]:
    """Counts of matches by stretches of time; where they are few, they are kept whole."""
    chunks = list(_chunks(reader, view))
    first_us, end_us = _bounds(view, chunks)
    width = _width(end_us - first_us)
    counts: dict[int, int] = {}
    total = 0
    kept: list[Row] | None = []
    for chunk in chunks:
        some = None
        if kept is not None:
            some = _rows(reader, view, chunk, KEPT_ROWS - len(kept))
            kept = kept + some if some is not None else None
        if some is not None:
            fresh = dict(Counter((row[TIME] - first_us) // width for row in some))
        else:
            fresh = _counts(reader, view, chunk, first_us, width)
        for at, count in fresh.items():
            counts[at] = counts.get(at, 0) + count
            total += count
        pages: Pages
        if kept is not None:
            kept.sort(key=lambda row: row[: len(KEY)], reverse=view.descending)
            sure = [row for row in kept if chunk.settled(row[TIME], 1, 0)]
            pages = KeptPages(sure, -1 if view.descending else 1)
        else:
            settled = {at: n for at, n in counts.items() if chunk.settled(first_us, width, at)}
            spans = merged(first_us, width, settled, end_us, _SPAN_ROWS)
            pages = TimePages(reader.another(), view, spans)
        yield Found(pages, total, chunk.done)
    if not chunks:
        yield Found(KeptPages(()), 0, 1.0)


def _rows(reader: Reader, view: View, chunk: _Chunk, limit: int) -> list[Row] | None:
    """The rows of some files; None where there are more than ``limit``."""
    source = reader.source(view, [*KEY, *view.columns], chunk.files)
    if source is None:
        return []
    found = reader.ask(f"SELECT * FROM ({source}) LIMIT {limit + 1}")
    return found if len(found) <= limit else None


def _counts(reader: Reader, view: View, chunk: _Chunk, first_us: int, width: int) -> dict[int, int]:
    source = reader.source(view, ["occurred_at"], chunk.files)
    if source is None:
        return {}
    query = f'SELECT ("0" - {first_us}) // {width}, count(*) FROM ({source}) GROUP BY 1'
    return {int(at): count for at, count in reader.ask(query)}


def _ranked(reader: Reader, view: View) -> Iterator[Found]:
    """The first rows by another column than time; rows without a value come last."""
    chunks = list(_chunks(reader, view))
    names = [*KEY, *view.columns, view.order]
    key = f'"{len(names) - 1}"'
    direction, beyond = ("DESC", ">=") if view.descending else ("ASC", "<=")
    order = f'{key} {direction} NULLS LAST, "{TIME}" DESC'
    kept, matches = 0, 0
    bound: Any = None
    for chunk in chunks:
        source = reader.source(view, names, chunk.files)
        if source is not None:
            if not kept:  # whole rows of all these files would take much memory
                bound = _bound(reader, source, key, direction)
            condition = f"WHERE {key} {beyond} ?" if bound is not None else ""
            best = f"SELECT * FROM ({source}) {condition} ORDER BY {order} LIMIT {KEPT_ROWS}"
            into = "INSERT INTO ranked" if kept else "CREATE OR REPLACE TEMP TABLE ranked AS"
            reader.ask(f"{into} {best}", [bound] if bound is not None else [])
            ((kept,),) = reader.ask("SELECT count(*) FROM ranked")
            matches += _match_count(reader, view, chunk)
        if kept >= 2 * KEPT_ROWS:
            reader.ask(
                f"CREATE OR REPLACE TEMP TABLE ranked AS "
                f"SELECT * FROM ranked ORDER BY {order} LIMIT {KEPT_ROWS}"
            )
            kept = KEPT_ROWS
            bound = _bound(reader, "FROM ranked", key, direction)
        if chunk.done < 1.0:
            yield Found(KeptPages(()), matches, chunk.done)
    found = reader.ask(f"SELECT * FROM ranked ORDER BY {order} LIMIT {KEPT_ROWS}") if kept else []
    yield Found(KeptPages([row[:-1] for row in found]), matches, 1.0)


def _bound(reader: Reader, source: str, key: str, direction: str) -> Any:
    """The value of the last row that would be kept of ``source``; None where it has fewer."""
    found = reader.ask(
        f"SELECT {key} FROM ({source}) ORDER BY {key} {direction} NULLS LAST "
        f"LIMIT 1 OFFSET {KEPT_ROWS - 1}"
    )
    return found[0][0] if found else None


def _match_count(reader: Reader, view: View, chunk: _Chunk) -> int:
    if view == replace(view, where=None, since_us=None, until_us=None):
        return sum(file.rows for _, file in chunk.files)
    source = reader.source(view, ["occurred_at"], chunk.files)
    return int(reader.ask(f"SELECT count(*) FROM ({source})")[0][0])


@dataclass(frozen=True, slots=True)
class _Chunk:
    """Some files of a pass, and what is known once they and those before them were looked at."""

    number: int
    files: tuple[_File, ...]
    done: float
    #: Times from which on, or before which where it goes backwards, no file is left.
    edge_us: int | None
    backwards: bool

    def settled(self, first_us: int, width: int, at: int) -> bool:
        """Whether no file is left that may hold times of a stretch."""
        if self.edge_us is None:
            return True
        began = first_us + at * width
        return began > self.edge_us if self.backwards else began + width <= self.edge_us


def _chunks(reader: Reader, view: View) -> Iterator[_Chunk]:
    backwards = view.descending
    files = reader.files(view)
    files.sort(key=lambda f: -f[1].last_us if backwards else f[1].first_us)
    all_rows = sum(file.rows for _, file in files)
    some: list[_File] = []
    number, rows, done = 0, 0, 0
    for at, (point, file) in enumerate(files, 1):
        some.append((point, file))
        rows += file.rows
        if rows >= _CHUNK_ROWS or at == len(files):
            done += rows
            edge = None
            if at < len(files):
                following = files[at][1]
                edge = following.last_us if backwards else following.first_us
            yield _Chunk(number, tuple(some), done / max(all_rows, 1), edge, backwards)
            some, rows, number = [], 0, number + 1


def _bounds(view: View, chunks: list[_Chunk]) -> tuple[int, int]:
    files = [file for chunk in chunks for _, file in chunk.files]
    first = min((file.first_us for file in files), default=0)
    end = max((file.last_us for file in files), default=0) + 1
    return (
        max(first, view.since_us) if view.since_us is not None else first,
        min(end, view.until_us) if view.until_us is not None else end,
    )


def _width(window_us: int) -> int:
    return max(1, min(HOUR_US, -(-window_us // _SPANS)))


@dataclass(slots=True)
class Rates:
    """How often decisions had each outcome, by stretches of ``width_us`` from ``first_us`` on."""

    first_us: int
    width_us: int
    end_us: int
    done: float = 0.0
    counts: dict[str, dict[int, int]] = field(default_factory=dict)

    def copy(self) -> Rates:
        """These as they are now, for another thread."""
        return replace(self, counts={name: dict(of) for name, of in self.counts.items()})

    def outcomes(self) -> list[str]:
        """Outcomes, first those that were at some times the most above their usual rate."""

        def excess(outcome: str) -> float:
            return excess_of(self.columns(outcome, _PARTS))

        return sorted(self.counts, key=lambda outcome: (-excess(outcome), outcome))

    def columns(self, outcome: str, count: int) -> list[tuple[int, int]]:
        """Hits and decisions in each of ``count`` equal parts of the window."""
        found = [[0, 0] for _ in range(count)]
        span = max(self.end_us - self.first_us, 1)
        for name, by_bin in self.counts.items():
            for at, decisions in by_bin.items():
                middle = at * self.width_us + self.width_us // 2
                part = found[min(middle * count // span, count - 1)]
                part[1] += decisions
                part[0] += decisions if name == outcome else 0
        return [(hits, decisions) for hits, decisions in found]


def excess_of(parts: Iterable[tuple[int, int]]) -> float:
    """How far above its usual rate an outcome was in some parts of a window.

    It is the likelihood ratio of those parts' own rates to that of all. Pearson's statistic would
    take each of the few decisions of a rare outcome for a burst, since next to none is expected.

    Args:
        parts: of each part of the window the decisions with the outcome, and all.
    """
    parts = list(parts)
    rate = sum(hits for hits, _ in parts) / max(sum(n for _, n in parts), 1)
    return sum(
        hits * log(hits / (n * rate))
        + ((n - hits) * log((n - hits) / (n * (1 - rate))) if hits < n else 0.0)
        for hits, n in parts
        if n and hits > n * rate
    )


def rates(reader: Reader, view: View, spans: int = _SPANS) -> Iterator[Rates]:
    """The rates of a view's decisions, while they are counted.

    Args:
        reader: asked by this only.
        view: whose decisions.
        spans: how many stretches of time to count, at most.

    Raises:
        UsageError: when the view's condition cannot be used.
        Cancelled: when the reader was cancelled.
    """
    view = replace(view, columns=(), order="occurred_at", descending=True)
    chunks = list(_chunks(reader, view))
    first_us, end_us = _bounds(view, chunks)
    found = Rates(first_us, max(1, -(-(end_us - first_us) // spans)), end_us)
    for chunk in chunks:
        source = reader.source(view, ["occurred_at", "outcome"], chunk.files)
        if source is not None:
            for outcome, at, count in reader.ask(
                f'SELECT "1", ("0" - {first_us}) // {found.width_us}, count(*) '
                f"FROM ({source}) GROUP BY ALL"
            ):
                by_bin = found.counts.setdefault(str(outcome), {})
                by_bin[int(at)] = by_bin.get(int(at), 0) + count
        found.done = chunk.done
        yield found


def neighbour(
    reader: Reader, subject: str, points: tuple[str, ...], after: Row, *, forward: bool
) -> Iterator[Row | float]:
    """The next decision about a subject after one of its decisions, or the one before.

    Yields the share of the window that was looked at, and last the row, if there is one.

    Args:
        reader: asked by this only.
        subject: its id.
        points: the decision points that are looked at.
        after: a row that begins with :data:`forensics.lake.window.KEY`.
        forward: later ones, else earlier ones.
    """
    here = after[TIME], after[DECISION]
    since, until = (here[0], None) if forward else (None, here[0] + 1)
    where = f"subject = {sql.literal(subject)}"
    view = View(points, where=where, descending=not forward, since_us=since, until_us=until)
    direction, beyond = ("ASC", ">") if forward else ("DESC", "<")
    best: Row | None = None
    for chunk in _chunks(reader, view):
        source = reader.source(view, KEY, chunk.files)
        if source is not None:
            rows = reader.ask(
                f'SELECT * FROM ({source}) WHERE ("{TIME}", "{DECISION}") {beyond} (?, ?) '
                f'ORDER BY "{TIME}" {direction}, "{DECISION}" {direction} LIMIT 1',
                here,
            )
            for row in rows:
                if (
                    best is None
                    or ((row[TIME], row[DECISION]) < (best[TIME], best[DECISION])) == forward
                ):
                    best = row
        if best is not None and chunk.settled(best[TIME], 1, 0):
            break
        yield chunk.done
    if best is not None:
        yield best


class Announced(NamedTuple):
    """A change that somebody announced: when, and in a few words what."""

    occurred_us: int
    words: str


def announced(reader: Reader) -> list[Announced]:
    """All announced changes, oldest first."""
    paths = reader.snapshot.paths("changes")
    if not paths:
        return []
    rows = reader.ask(
        "SELECT epoch_us(occurred_at), concat_ws(' ', component, to_version) "
        f"FROM read_parquet({sql.literal(paths)}, union_by_name = true) ORDER BY 1"
    )
    return [Announced(*row) for row in rows]
