"""One decision: what was recorded at once, and what has to be replayed when it is there."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import ComposeResult
from textual.message import Message
from textual.timer import Timer

from forensics.errors import ForensicsError, NotFoundError
from forensics.lake import read, scan, sql
from forensics.lake.window import DECISION, POINT, REQUEST, TIME, Cancelled, Reader, Row
from forensics.reconstruct.named import decisions
from forensics.reconstruct.reconstruction import Reconstruction
from forensics.reconstruct.trace import trace
from forensics.records.decision import Decision
from forensics.records.safe_text import safe_text
from forensics.records.times import to_micros
from forensics.report.spans import Line, span
from forensics_tui import keys, origins, tabs
from forensics_tui.inert import said
from forensics_tui.kept import Key as Key_
from forensics_tui.kept import key_of
from forensics_tui.keys import ANYWHERE, GO, LINES, Key, bindings
from forensics_tui.opening import Opened
from forensics_tui.pinnables import COUNTERFACTUALS
from forensics_tui.screens.place import Place
from forensics_tui.widgets.chrome import Crumbs, Hints
from forensics_tui.widgets.lines import Lines
from forensics_tui.widgets.record_tree import RecordTree
from forensics_tui.widgets.tab_bar import TabBar

if TYPE_CHECKING:
    from forensics.incident.pins import Pinnable

_Tab = Callable[[Reconstruction, int], list[Line]]
#: Each tab: its name, what it says, and whether it waits for the replay.
TABS: tuple[tuple[str, _Tab | None, bool], ...] = (
    ("summary", tabs.summary, False),
    ("features", tabs.features, False),
    ("why", tabs.why, True),
    ("what if", tabs.what_if, True),
    ("steps", tabs.steps, False),
    ("lineage", origins.lines, False),
    ("changes", tabs.changes, False),
    ("record", None, False),
    ("gaps", tabs.gaps, False),
)


def row_of(decision: Decision) -> Row:
    """A decision as a row of the table begins."""
    time_us = to_micros(decision.occurred_at)
    return time_us, decision.decision_point, decision.decision_id, decision.request_id


class DecisionScreen(Place):
    """A decision, tab by tab."""

    TITLE = "Decision"
    KEYS: ClassVar[tuple[Key, ...]] = (*keys.DECISION, *GO, *LINES, *ANYWHERE)
    BINDINGS = bindings((*keys.DECISION, *GO))

    @dataclass
    class _Traced(Message):
        number: int
        found: Reconstruction
        replayed: bool

    @dataclass
    class _Recorded(Message):
        number: int
        parts: dict[str, Any]

    @dataclass
    class _Failed(Message):
        number: int
        error: ForensicsError

    @dataclass
    class _Neighbour(Message):
        """A decision to go to; None where there is none, a number while it is looked for."""

        number: int
        row: Row | float | None

    def __init__(
        self,
        opened: Opened,
        row: Row,
        traced: Reconstruction | None = None,
        *,
        tab: str | None = None,
    ) -> None:
        super().__init__(opened, id="decision")
        self._row = row
        names = [name for name, _, _ in TABS]
        self._first_tab = names.index(tab) if tab in names else 0
        self._found = traced
        self._replayed = False
        self._error = ""
        self._number = 0
        self._reader: Reader | None = None
        self._seeking: Reader | None = None
        self._state = ""
        self._began = 0.0
        self._clock: Timer | None = None

    def compose(self) -> ComposeResult:
        """Where one is, tabs, what the tab says, keys."""
        yield Crumbs()
        yield TabBar([name for name, _, _ in TABS])
        yield Lines(id="tab")
        yield RecordTree()
        yield Hints(self.KEYS)

    def on_mount(self) -> None:
        """Show what there is, and ask for the rest."""
        self._to_tab(self._first_tab)
        self._clock = self.set_interval(0.5, self._tick)
        self._load()

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        for reader in (self._reader, self._seeking):
            if reader is not None:
                reader.cancel()

    @property
    def crumb(self) -> str:
        """The request, with the sign of a mark."""
        mark = "* " if self._row[DECISION] in self.app.marks else ""
        return f"{mark}{self._row[REQUEST]}"

    @property
    def time_us(self) -> int | None:
        """When it was decided."""
        return int(self._row[TIME])

    @property
    def point(self) -> str | None:
        """Where it was decided."""
        return str(self._row[POINT])

    @property
    def key(self) -> Key_:
        """By what the decision is found again."""
        return key_of(self._row)

    @property
    def tab(self) -> str:
        """The name of the tab that is shown."""
        return TABS[self.query_one(TabBar).active][0]

    def pinnables(self) -> list[Pinnable]:
        """The facts of the decision, those of the tab first."""
        from forensics_tui.pinnables import of_decision

        if self._found is None:
            return []
        return of_decision(self._found, TABS[self.query_one(TabBar).active][0])

    @property
    def row(self) -> Row:
        """The decision's row."""
        return self._row

    def _load(self) -> None:
        """Reconstruct the decision: first what was recorded, then replayed."""
        if self._reader is not None:
            self._reader.cancel()
        self._reader = self._opened.reader.another()
        self._number += 1
        self._replayed, self._error, self._began = False, "", time.monotonic()
        self._state = "replaying"
        self._tell()
        self._show()
        known = self._found is not None
        work = partial(self._trace, self._reader, self._number, self._row, known)
        self.run_worker(work, thread=True, group="trace", exit_on_error=False)

    def _trace(self, reader: Reader, number: int, row: Row, known: bool) -> None:
        try:
            if not known:
                self._post_traced(reader, number, row, replay=False)
            self.post_message(self._Recorded(number, _record(reader, row)))
            if not reader.cancelled:
                self._post_traced(reader, number, row, replay=True)
        except ForensicsError as error:
            if not reader.cancelled:
                self.post_message(self._Failed(number, error))
        except (sql.SqlError, RuntimeError):  # what an interrupted question ends in
            if not reader.cancelled:
                raise

    def _post_traced(self, reader: Reader, number: int, row: Row, *, replay: bool) -> None:
        found = trace(
            reader.snapshot, row[DECISION], replay=replay, counterfactuals=COUNTERFACTUALS
        )
        wanted = (row[POINT], row[DECISION])
        for one in found:
            if (one.decision.decision_point, one.decision.decision_id) == wanted:
                self.post_message(self._Traced(number, one, replay))
                return
        raise NotFoundError(f"Decision {row[DECISION]!r} is no longer in the lake.")

    def on_decision_screen__traced(self, message: _Traced) -> None:
        """Show what is known now."""
        if message.number == self._number:
            self._found, self._replayed = message.found, message.replayed
            if message.replayed:
                took = time.monotonic() - self._began
                verdict = message.found.replay.verdict if message.found.replay else "not replayed"
                self._state = f"{verdict.replace('_', ' ')} · {took:.1f} s"
            self._tell()
            self._show()

    def on_decision_screen__recorded(self, message: _Recorded) -> None:
        """Show the record."""
        if message.number == self._number:
            self.query_one(RecordTree).show(message.parts)

    def on_decision_screen__failed(self, message: _Failed) -> None:
        """Say what is wrong."""
        if message.number == self._number:
            self._error, self._state = said(message.error), "failed"
            self._tell()
            self._show()

    def _tick(self) -> None:
        if self._state == "replaying":
            self._tell()
            if TABS[self.query_one(TabBar).active][2]:
                self._show()

    def _tell(self) -> None:
        state = self._state
        if state == "replaying":
            state += f" · {time.monotonic() - self._began:.0f} s"
        self.tell(state)

    def _show(self) -> None:
        _, made, waits = TABS[self.query_one(TabBar).active]
        lines, tree = self.query_one(Lines), self.query_one(RecordTree)
        lines.display, tree.display = made is not None, made is None
        if made is not None:
            lines.update(partial(self._lines, made, waits))

    def _lines(self, made: _Tab, waits: bool, width: int) -> list[Line]:
        found = self._found
        if self._error and (found is None or waits):
            return [[span(self._error, "bad")]]
        if found is None:
            return [[span("reading the record …", "dim")]]
        if waits and not self._replayed:
            return tabs.waiting(time.monotonic() - self._began)
        return made(found, width)

    def on_tab_bar_picked(self, message: TabBar.Picked) -> None:
        """Show the tab that was clicked."""
        self._to_tab(message.number)

    def action_tab(self, step: int) -> None:
        """The next tab, or the one before."""
        self._to_tab((self.query_one(TabBar).active + step) % len(TABS))

    def _to_tab(self, number: int) -> None:
        self.query_one(TabBar).active = number
        self._show()
        self.query_one(Lines).action_first()
        is_record = TABS[number][1] is None
        self.set_focus(self.query_one(RecordTree) if is_record else self.query_one(Lines))

    def action_same(self, forward: bool) -> None:
        """The next decision of the request, else of the subject; or the one before."""
        if self._found is None:
            return
        if self._seeking is not None:
            self._seeking.cancel()
        self._seeking = self._opened.reader.another()
        subject = self._found.decision.subject.get("id")
        work = partial(self._seek, self._seeking, self._number, self._row, subject, forward)
        self.run_worker(work, thread=True, group="seek", exit_on_error=False)

    def _seek(
        self, reader: Reader, number: int, row: Row, subject: str | None, forward: bool
    ) -> None:
        try:
            found: Row | float | None = _of_request(reader, row, forward)
            if found is None and subject is not None:
                points = tuple(reader.snapshot.points())
                for found in scan.neighbour(reader, str(subject), points, row, forward=forward):
                    if isinstance(found, float):
                        self.post_message(self._Neighbour(number, found))
            self.post_message(self._Neighbour(number, None if isinstance(found, float) else found))
        except Cancelled:
            return
        except ForensicsError as error:
            self.post_message(self._Failed(number, error))

    def on_decision_screen__neighbour(self, message: _Neighbour) -> None:
        """Go to the decision that was found."""
        if message.number != self._number:
            return
        if isinstance(message.row, float):
            self.app.say(f"looking for it: {message.row:.0%} · esc ends")
            return
        self._seeking = None
        if message.row is None:
            self.app.say("There is no further one of this request or subject.")
            return
        self.app.say("")
        self._go_to(message.row)

    def _go_to(self, row: Row) -> None:
        self._row, self._found = row, None
        self._load()

    def action_mark_step(self, step: int) -> None:
        """The next marked decision in time, or the one before."""
        marks = sorted(self.app.marks.values(), key=key_of)
        here = self.key
        if step > 0:
            beyond = [row for row in marks if key_of(row) > here]
        else:
            beyond = [row for row in reversed(marks) if key_of(row) < here]
        if beyond:
            self._go_to(beyond[0])
        else:
            self.app.say("There is no further mark." if marks else "Nothing is marked: m marks.")

    def action_mark(self) -> None:
        """Mark the decision, or take its mark away."""
        self.app.mark(self._row)
        self._tell()

    def action_copy_id(self) -> None:
        """Copy the request id."""
        self.app.copy(safe_text(self._row[REQUEST]))

    def action_copy_command(self) -> None:
        """Copy the command that prints this."""
        root = str(self._opened.asked.root)
        words = ["forensics", "trace", self._row[DECISION], "--lake", root]
        self.app.copy(safe_text(shlex.join(words)))

    def action_back(self) -> None:
        """End what is being looked for, else back to the rows."""
        if self._seeking is not None:
            self._seeking.cancel()
            self._seeking = None
            self.app.say("")
        else:
            self.app.back()


def _of_request(reader: Reader, row: Row, forward: bool) -> Row | None:
    """The next decision of the same request, or the one before."""
    snapshot, request = reader.snapshot, row[REQUEST]
    found = decisions(snapshot, snapshot.locate(request), request)
    rows = sorted(row_of(decision) for _, decision in found if decision.request_id == request)
    beyond = [one for one in rows if (one > row[:4] if forward else one < row[:4])]
    return (beyond[0] if forward else beyond[-1]) if beyond else None


def _record(reader: Reader, row: Row) -> dict[str, Any]:
    """The record as it was received, and what the lake keeps with it."""
    snapshot = reader.snapshot
    located = snapshot.locate(row[DECISION])
    wanted = [place for place in located if place.table == f"decisions/{row[POINT]}"]
    for kept in read.records(snapshot, wanted):
        if str(kept.record.get("decision_id")) == row[DECISION]:
            place = f"{kept.location.table}/{kept.location.file}, row {kept.location.row}"
            return {
                "record": kept.record,
                "kept with it": _kept_with(kept.sealed),
                "where": place,
                "received bytes match their leaf": kept.verified,
            }
    return {}


def _kept_with(sealed: Mapping[str, Any]) -> dict[str, Any]:
    """What the lake keeps with a record; the salt only with bytes that may be seen.

    With the salt, guesses at what may not be seen could be held against the leaf.
    """
    if not sealed.get("redacted"):
        return dict(sealed)
    return {name: value for name, value in sealed.items() if name != "salt"}
