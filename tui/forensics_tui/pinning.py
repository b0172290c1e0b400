"""Pinning: a part of what a place shows goes to a postmortem, with a note."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.errors import ForensicsError, UsageError
from forensics.incident import files, pins
from forensics.incident.document import Document, Prose
from forensics.incident.extent import OTHERWISE, extent_at
from forensics.incident.pins import Pin, Pinnable
from forensics.incident.template import template
from forensics.lake.window import Reader
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros, to_micros
from forensics_tui.inert import said
from forensics_tui.screens.new_postmortem import ChoosePostmortem, NewPostmortem, Wanted
from forensics_tui.screens.pin import PinPrompt
from forensics_tui.screens.place import Place

if TYPE_CHECKING:
    from forensics_tui.app import ForensicsApp

#: Where pins go until somebody puts them where they belong.
EVIDENCE = "## Evidence"
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
    prompt = ChoosePostmortem(there, wanted) if there else NewPostmortem(wanted)
    await app.push_screen(prompt, chosen)
    if wanted.is_sought:
        time_us = _time_us(app, place)
        work = partial(_seek, app, app.opened.reader.another(), wanted, time_us, prompt.found)
        app.run_worker(work, thread=True, group="extent", exclusive=True, exit_on_error=False)


def _time_us(app: ForensicsApp, place: Place) -> int:
    """The time that one looks at; the newest where there is none."""
    window = app.opened.snapshot.window_us() or (0, 0)
    return place.time_us if place.time_us is not None else window[1]


def _wanted(app: ForensicsApp, place: Place) -> Wanted:
    """The window that somebody chose; else some hours, until more is known."""
    points = tuple(app.opened.snapshot.points())
    point = place.incident_point or (points[0] if points else "")
    wanted = Wanted("", point, 0, 0, points, "It is the window that one looks at.")
    if place.incident_us is not None:
        return _within(app, wanted, *place.incident_us)
    time_us, hours = _time_us(app, place), OTHERWISE // timedelta(microseconds=1)
    wanted = wanted._replace(why="", is_sought=bool(points))
    return _within(app, wanted, time_us - hours, time_us + hours)


def _within(app: ForensicsApp, wanted: Wanted, since_us: int, until_us: int) -> Wanted:
    """A window in whole minutes, as far as there are decisions."""
    first, end = app.opened.snapshot.window_us() or (0, _MINUTE_US)
    since = max(since_us, first) // _MINUTE_US * _MINUTE_US
    until = -(-min(until_us, end + 1) // _MINUTE_US) * _MINUTE_US
    return wanted._replace(since_us=since, until_us=max(until, since + _MINUTE_US))


def _seek(
    app: ForensicsApp,
    reader: Reader,
    wanted: Wanted,
    time_us: int,
    then: Callable[[Wanted], None],
) -> None:
    """Look for what began the incident that one looks at, and what ended it."""
    found = wanted._replace(is_sought=False)
    try:
        told = extent_at(reader.snapshot, wanted.point, from_micros(time_us))
        found = found._replace(why=safe_text(told.words))
        found = _within(app, found, to_micros(told.since), to_micros(told.until))
    except ForensicsError as error:
        found = found._replace(why=f"No changes are known: {said(error)}")
    finally:
        app.call_from_thread(then, found)


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
        app.call_from_thread(app.say, f"made: {path}")
        app.call_from_thread(then, path)
