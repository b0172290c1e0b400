"""States of a lake at times, asked for one at a time, and the next one worked out ahead.

What is known of the changes is worked out once; each further time costs a few small questions. Of
times that one hurries past only the last is asked for.
"""

from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from dataclasses import dataclass, replace

from textual.message import Message

from forensics.errors import ForensicsError
from forensics.lake import sql
from forensics.lake.window import Cancelled, Reader
from forensics.reconstruct.as_of import Evidence, as_of
from forensics.reconstruct.changes import Change
from forensics.reconstruct.state import State
from forensics.records.times import from_micros, to_micros
from forensics_tui.opening import Opened
from forensics_tui.screens.place import Place

_KEPT = 64


@dataclass(frozen=True, slots=True)
class Asked:
    """A time, and whether the state is to be told as it was known then."""

    time_us: int
    then: bool


class AsksForStates(Place):
    """A place with the state at a time.

    Args:
        opened: the lake.
        id: of the place.
        asked: which state is shown first.
        point: whose state; of all decision points where None.
    """

    @dataclass
    class _Answered(Message):
        asked: Asked
        state: State
        #: All changes that are known by now, where this was not told before.
        changes: list[Change] | None

    @dataclass
    class _Ahead(Message):
        """A state that nobody had asked for yet; None where it could not be worked out."""

        asked: Asked
        state: State | None

    @dataclass
    class _Failed(Message):
        asked: Asked
        error: ForensicsError

    def __init__(self, opened: Opened, asked: Asked, point: str | None, *, id: str) -> None:
        super().__init__(opened, id=id)
        self._point = point
        #: What is asked for, and what is shown, which may still be another one.
        self._asked = asked
        self._shown: Asked | None = None
        self._busy = False
        self._reader: Reader | None = None
        self._ahead: Reader | None = None
        self._ahead_of: Asked | None = None
        self._known: OrderedDict[Asked, State] = OrderedDict()
        self._evidence: Evidence | None = None

    def accept(self, state: State) -> None:
        """Show what was asked for."""
        raise NotImplementedError

    def complain(self, error: ForensicsError) -> None:
        """Say why there is no such state."""
        raise NotImplementedError

    def learn(self, changes: list[Change]) -> None:
        """Take all changes that are known; told once."""
        raise NotImplementedError

    def draw(self) -> None:
        """Show which time is asked for."""
        raise NotImplementedError

    def on_mount(self) -> None:
        """Ask for the first state."""
        self._reader = self._opened.reader.another()
        self._ask()

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        for reader in (self._reader, self._ahead):
            if reader is not None:
                reader.cancel()

    def _ask(self) -> None:
        if self._asked in self._known:
            self._shown = self._asked
            self.accept(self._known[self._asked])
            return
        if self._busy or self._reader is None or self._ahead_of == self._asked:
            return
        self._stop_ahead()
        self._busy = True
        asked, reader = self._asked, self._reader
        self.run_worker(lambda: self._answer(reader, asked), thread=True, exit_on_error=False)

    def _answer(self, reader: Reader, asked: Asked) -> None:
        try:
            changes = None
            if self._evidence is None:
                self._evidence = Evidence(reader.snapshot)
                changes = self._known_changes(self._evidence)
            state = self._as_of(reader, asked, self._evidence)
            self.post_message(self._Answered(asked, state, changes))
        except Cancelled:
            return
        except ForensicsError as error:
            if not reader.cancelled:
                self.post_message(self._Failed(asked, error))
        except (sql.SqlError, RuntimeError):  # what an interrupted question ends in
            if not reader.cancelled:
                raise

    def _as_of(self, reader: Reader, asked: Asked, evidence: Evidence) -> State:
        time = from_micros(asked.time_us)
        return as_of(
            reader.snapshot,
            time,
            decision_point=self._point,
            known_by=time if asked.then else None,
            evidence=None if asked.then else evidence,
        )

    def _work_ahead(self, time_us: int | None) -> None:
        """Work out the state at a time that is asked for next; the last such work is no longer."""
        self._stop_ahead()
        evidence = self._evidence
        if time_us is None or evidence is None:
            return
        asked = replace(self._asked, time_us=time_us)
        if asked in self._known:
            return
        reader = self._ahead = self._opened.patient.another(self._opened.snapshot)
        self._ahead_of = asked

        def work() -> None:
            state = None
            with suppress(Cancelled, ForensicsError, sql.SqlError, RuntimeError):
                state = self._as_of(reader, asked, evidence)  # who asks for it will be told why not
            self.post_message(self._Ahead(asked, state))

        self.run_worker(work, thread=True, group="ahead", exit_on_error=False)

    def on_asks_for_states__ahead(self, message: _Ahead) -> None:
        """Keep a state for when it is asked for, which may be now."""
        if message.state is not None:
            self._keep(message.asked, message.state)
        if message.asked == self._ahead_of:
            self._ahead_of = None
            if self._shown != self._asked:
                self._ask()

    def _stop_ahead(self) -> None:
        if self._ahead is not None and self._ahead_of is not None:
            self._ahead.cancel()
        self._ahead_of = None

    def _keep(self, asked: Asked, state: State) -> None:
        self._known[asked] = state
        self._known.move_to_end(asked)
        while len(self._known) > _KEPT:
            self._known.popitem(last=False)

    def _known_changes(self, evidence: Evidence) -> list[Change]:
        """All that changed, of every decision point that is shown."""
        points = [self._point] if self._point else self._opened.snapshot.points()
        found: dict[tuple[str, int], Change] = {}
        for point in points:
            for change in evidence.account(point).changes:
                found.setdefault((change.change_id, to_micros(change.occurred_at)), change)
        return sorted(found.values(), key=lambda change: change.true_from)

    def on_asks_for_states__answered(self, message: _Answered) -> None:
        """Show a state, unless one has gone on meanwhile."""
        self._busy = False
        if message.changes is not None:
            self.learn(message.changes)
        self._keep(message.asked, message.state)
        if message.asked == self._asked:
            self._shown = message.asked
            self.accept(message.state)
        elif self._shown != self._asked:
            self._ask()
            self.draw()

    def on_asks_for_states__failed(self, message: _Failed) -> None:
        """Say what is wrong."""
        self._busy = False
        if message.asked != self._asked:
            self._ask()
        else:
            self.complain(message.error)
