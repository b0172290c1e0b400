"""Where decisions are among rows, of which only pages are read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from forensics.lake.pages import Pages
from forensics.lake.window import DECISION, TIME, Row, View
from forensics_tui.kept import key_of

_PAGE = 512


def at_or_after(pages: Pages, view: View, time_us: int) -> int | None:
    """The place of the earliest row at a time or later; None where rows are not in order of time.

    Where all are earlier it is the place of the latest.
    """
    if not view.descending:
        place = pages.place(time_us)
        return min(place, max(pages.total - 1, 0)) if place is not None else None
    behind = pages.place(time_us - 1)
    return max(behind - 1, 0) if behind is not None else None


def next_mark(
    pages: Pages, view: View, marks: Iterable[Row], here: Row, place: int, step: int
) -> int | None:
    """The place of the next marked row down the table, or up; None where there is none.

    Args:
        pages: the rows.
        view: in what order they stand.
        marks: the marked rows, of which some may not be among these.
        here: the row one stands on.
        place: its place.
        step: 1 for down, -1 for up.
    """
    if not view.in_time:
        ids = {row[DECISION] for row in marks}
        rows = enumerate(pages.rows(0, pages.total))
        places = [at for at, row in rows if row[DECISION] in ids and (at - place) * step > 0]
        return (min(places) if step > 0 else max(places)) if places else None
    later = (step > 0) != view.descending
    beyond = [row for row in marks if (key_of(row) > key_of(here)) == later]
    beyond = [row for row in beyond if row[DECISION] != here[DECISION]]
    for row in sorted(beyond, key=key_of, reverse=not later):
        found = _place_of(pages, row)
        if found is not None:
            return found
    return None


def _place_of(pages: Pages, wanted: Row) -> int | None:
    """The place of a row; None where it is not among them."""
    first = pages.place(wanted[TIME])
    for at, row in _from(pages, first or 0):
        if row[TIME] != wanted[TIME]:
            return None
        if row[DECISION] == wanted[DECISION]:
            return at
    return None


def _from(pages: Pages, first: int) -> Iterator[tuple[int, Row]]:
    while rows := pages.rows(first, _PAGE):
        yield from enumerate(rows, first)
        first += len(rows)
