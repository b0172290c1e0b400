"""Pinning: a part of what a place shows goes to a postmortem, with a note."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.errors import ForensicsError, UsageError
from forensics.incident import files, pins
from forensics.incident.document import Document, Prose
from forensics.incident.pins import Pin, Pinnable
from forensics.incident.template import template
from forensics.lake import scan, sql
from forensics.lake.read import from_micros
from forensics.lake.window import Reader
from forensics_tui.inert import said
from forensics_tui.screens.new_postmortem import ChoosePostmortem, NewPostmortem, Wanted
from forensics_tui.screens.pin import PinPrompt
from forensics_tui.screens.place import Place

if TYPE_CHECKING:
    from forensics_tui.app import ForensicsApp

#: Where pins go until somebody puts them where they belong.
EVIDENCE = "## Evidence"
_AFTER_US = 6 * 3_600_000_000
_BEFORE_US = 12 * 3_600_000_000
_MINUTE_US = 60_000_000
_SAY_S = 20.0
_ATTEMPTS = 5


async def pin(app: ForensicsApp, place: Place) -> None:
    """Ask what to pin of a place, with what note, and the first time to which postmortem."""
    offered = place.pinnables()
    if not offered:
        app.say("There is nothing to pin here yet.")
        return

    async def pinned(answer: tuple[Pinnable, str] | None) -> None:
        if answer is not None and (path := app.pinning_to) is not None and path.exists():
            _begin(app, path, *answer)
        elif answer is not None:
            await choose(app, place, lambda path: _begin(app, path, *answer))

    path = app.pinning_to
    name = path.stem if path is not None and path.exists() else ""
    await app.push_screen(PinPrompt(offered, name), pinned)


def _begin(app: ForensicsApp, path: Path, pinnable: Pinnable, note: str) -> None:
    app.say(f"asking, to pin it to {path.stem} …", _SAY_S)
    work = partial(_store, app, app.opened.reader.another(), path, pinnable, note)
    app.run_worker(work, thread=True, group="pin", exit_on_error=False)


def _store(app: ForensicsApp, reader: Reader, path: Path, pinnable: Pinnable, note: str) -> None:
    try:
        count = keep(path, pins.pin(reader.snapshot, pinnable, note))
        words = f"pinned to {path.stem} ({count:,} {'pin' if count == 1 else 'pins'})"
    except ForensicsError as error:
        words = f"not pinned: {said(error)}"
    app.call_from_thread(app.say, words, _SAY_S)


def keep(path: Path, made: Pin) -> int:
    """Write a pin to a postmortem's file, and how many it has then.

    Raises:
        ForensicsError: when the file cannot be read or written.
    """
    for left in reversed(range(_ATTEMPTS)):
        found = files.read(path)
        document = with_evidence(found.document, made)
        try:
            found.with_document(document).save()
        except UsageError:  # somebody else wrote it between the two
            if not left:
                raise
        else:
            break
    return len(document.pins)


def with_evidence(document: Document, made: Pin) -> Document:
    """A document with one more pin at the end of its section of evidence, made if need be."""
    begun, end = False, None
    line = document.head.count("\n")
    for part in document.parts:
        for number, text in enumerate(part.text.split("\n") if isinstance(part, Prose) else ()):
            if begun and end is None and text.startswith(("# ", "## ")):
                end = line + number
            begun = begun or text.rstrip() == EVIDENCE
        line += part.text.count("\n")
    if not begun:
        text = document.text.rstrip("\n")
        document = Document.of(f"{text}\n\n{EVIDENCE}\n")
    return document.with_pin(made, end)


async def choose(
    app: ForensicsApp,
    place: Place,
    then: Callable[[Path], None],
    otherwise: Callable[[], None] = lambda: None,
) -> None:
    """Ask which postmortem, the one used last first, or make one; go on with its path.

    Args:
        app: the application.
        place: what one looks at, of which a new one is made.
        then: is given the path.
        otherwise: is called where there is none in the end.
    """

    def chosen(answer: Path | Wanted | None) -> None:
        if isinstance(answer, Path):
            taken(answer)
        elif answer is not None:
            app.say("counting what the new postmortem begins with …", _SAY_S)
            work = partial(_make, app, app.opened.reader.another(), answer, taken, otherwise)
            app.run_worker(work, thread=True, group="pin", exit_on_error=False)
        else:
            otherwise()

    def taken(path: Path) -> None:
        app.pinning_to, app.postmortem = path, path.name
        then(path)

    there = files.listed(app.postmortems)
    there.sort(key=lambda path: path.name != app.postmortem)
    wanted = _wanted(app, place)
    if there:
        await app.push_screen(ChoosePostmortem(there, wanted), chosen)
    else:
        await app.push_screen(NewPostmortem(wanted), chosen)


def _wanted(app: ForensicsApp, place: Place) -> Wanted:
    """The window that one looks at; else from the change before the time that one looks at."""
    points = tuple(app.opened.snapshot.points())
    point = place.point or (points[0] if points else "")
    first, end = app.opened.snapshot.window_us() or (0, _MINUTE_US)
    window = place.window_us
    if window is None:
        time_us = place.time_us if place.time_us is not None else end
        try:
            changes = scan.announced(app.opened.reader.another())
        except (ForensicsError, sql.SqlError):
            changes = []
        before = [one.occurred_us for one in changes if 0 <= time_us - one.occurred_us < _BEFORE_US]
        since = max(before, default=time_us - _AFTER_US)
        window = since, max(time_us, since) + _AFTER_US
    since = max(window[0], first) // _MINUTE_US * _MINUTE_US
    until = -(-min(window[1], end + 1) // _MINUTE_US) * _MINUTE_US
    return Wanted("", point, since, max(until, since + _MINUTE_US), points)


def _make(
    app: ForensicsApp,
    reader: Reader,
    wanted: Wanted,
    then: Callable[[Path], None],
    otherwise: Callable[[], None],
) -> None:
    try:
        since, until = from_micros(wanted.since_us), from_micros(wanted.until_us)
        document = template(reader.snapshot, since, until, wanted.point, title=wanted.title or None)
        path = files.new_path(app.postmortems, f"{since:%Y-%m-%d-%H%M}-{wanted.point}")
        files.Postmortem(path, document, None).save()
    except ForensicsError as error:
        app.call_from_thread(otherwise)
        app.call_from_thread(app.say, f"no postmortem was made: {said(error)}", _SAY_S)
    else:
        app.call_from_thread(then, path)
