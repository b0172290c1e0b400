"""From a pin to the place that it comes from."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime
from functools import partial
from typing import TYPE_CHECKING

from forensics.errors import ForensicsError, NotFoundError
from forensics.incident.pins import Pin
from forensics.lake.window import Reader, Row
from forensics.reconstruct.named import decisions
from forensics.records.times import to_micros
from forensics_tui.inert import said

if TYPE_CHECKING:
    from forensics_tui.app import ForensicsApp
    from forensics_tui.screens.place import Place

_PLACES = {"timeline": "timeline", "as-of": "state", "check": "findings", "lineage": "lineage"}
#: Tabs of a decision by where a pointer into its answer begins.
_TABS = {
    "features": "features",
    "attributions": "why",
    "counterfactuals": "what if",
    "counterfactual_search": "what if",
    "steps": "steps",
    "changes": "changes",
    "integrity": "record",
    "completeness": "gaps",
}


def time_of(argument: str) -> int:
    """A time of a question in microseconds."""
    return to_micros(datetime.fromisoformat(argument))


async def go(app: ForensicsApp, here: Place, pin: Pin) -> None:
    """Show what a pin was pinned from, as far as it is still there.

    Args:
        app: the application.
        here: where one is; its time is the pin's.
        pin: the pin.
    """
    question = pin.question
    if question.command in _PLACES:
        await app.action_go(_PLACES[question.command])
    elif question.command == "find":
        await _rows(app, here, pin)
    else:
        app.say("looking for it …")
        work = partial(_find, app, app.opened.reader.another(), pin)
        app.run_worker(work, thread=True, group="go", exclusive=True, exit_on_error=False)


def _find(app: ForensicsApp, reader: Reader, pin: Pin) -> None:
    """The decisions of a trace or of a diff, and then their place."""
    ids = pin.question.arguments["ids" if pin.question.command == "diff" else "id"]
    try:
        rows = [_row(reader, id_) for id_ in (ids if isinstance(ids, tuple) else (str(ids),))]
    except ForensicsError as error:
        app.call_from_thread(app.say, said(error))
        return
    if pin.question.command == "diff":
        app.call_later(_differ, app, rows)
    else:
        first = pin.pointer.split("/")[1:2]
        tab = _TABS.get(first[0]) if first else None
        app.call_later(app.open_decision, rows[0], tab)


def _row(reader: Reader, identifier: str) -> Row:
    found = decisions(reader.snapshot, reader.snapshot.locate(identifier), identifier)
    for _, decision in found:
        return (
            to_micros(decision.occurred_at), decision.decision_point, decision.decision_id,
            decision.request_id,
        )  # fmt: skip
    raise NotFoundError(f"There is no decision {identifier!r} in this lake any more.")


async def _differ(app: ForensicsApp, rows: list[Row]) -> None:
    for row in rows:
        if row[2] in app.marks:
            app.mark(row)
        app.mark(row)
    await app.action_go("diff")


async def _rows(app: ForensicsApp, here: Place, pin: Pin) -> None:
    """The rows that a count was made of."""
    from forensics_tui.screens.decisions import DecisionsScreen

    opened, arguments = app.opened, pin.question.arguments
    since, until = (
        time_of(str(arguments[name])) if name in arguments else None for name in ("since", "until")
    )
    point = arguments.get("decision-point")
    where = arguments.get("where")
    view = replace(
        opened.view,
        points=(str(point),) if point else tuple(opened.snapshot.points()),
        where=str(where) if where else None,
        order="occurred_at",
        descending=True,
        since_us=since,
        until_us=until,
    )
    asked = replace(
        opened.asked, point=str(point) if point else None, since_us=since, until_us=until
    )
    there = replace(opened, asked=asked, view=view, found=None, rows=[])
    await app.push_screen(DecisionsScreen(there))
