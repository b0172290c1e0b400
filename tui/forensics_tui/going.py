"""Going from a time to the decisions around it."""

from __future__ import annotations

from dataclasses import replace

from forensics.errors import ForensicsError
from forensics.lake import scan
from forensics.lake.pages import known_spans
from forensics.lake.window import Cancelled, Reader
from forensics_tui.inert import said
from forensics_tui.kept import NOTHING
from forensics_tui.looked import saw
from forensics_tui.opening import AHEAD, Opened
from forensics_tui.period import Period
from forensics_tui.screens.place import Place


def to_decisions(
    place: Place, opened: Opened, points: tuple[str, ...], period: Period, time_us: int
) -> None:
    """Show the decisions of a period, the cursor at a time: first found in a thread.

    Args:
        place: where one is.
        opened: the lake.
        points: whose decisions.
        period: which; all of the lake's where it is as long as that.
        time_us: within it.
    """
    window = opened.snapshot.window_us() or (0, 0)
    view = replace(
        opened.view, points=points, where=None, order="occurred_at", descending=True,
        since_us=period.since_us if period.since_us > window[0] else None,
        until_us=period.until_us if period.until_us <= window[1] else None,
    )  # fmt: skip
    asked = replace(
        opened.asked, identifier=None, where=None, since_us=view.since_us, until_us=view.until_us,
        point=points[0] if len(points) == 1 else None,
    )  # fmt: skip
    there = replace(
        opened, asked=asked, view=view, found=None, rows=[], traced=[], kept=NOTHING, word=""
    )
    reader = opened.reader.another(opened.snapshot)

    def work() -> None:
        try:
            _find(reader, there)
        except Cancelled:
            return
        except ForensicsError as error:
            place.call_later(place.app.say, said(error))
            return
        place.call_later(_show, place, there, time_us)

    place.run_worker(work, thread=True, group="rows", exclusive=True, exit_on_error=False)


def _find(reader: Reader, there: Opened) -> None:
    """The first rows, where the summaries tell how many there are."""
    if known_spans(reader, there.view) is not None:
        there.found = next(scan.look(reader.another(), there.view))
        there.rows = there.found.pages.rows(0, AHEAD)
        saw(reader, there.view, there.found, there.rows)


async def _show(place: Place, there: Opened, time_us: int) -> None:
    from forensics_tui.screens.decisions import DecisionsScreen

    if place.app.screen is not place:  # one has gone elsewhere meanwhile
        return
    screen = DecisionsScreen(there)
    await place.app.push_screen(screen)
    if there.found is not None:
        screen.go_to(time_us)
