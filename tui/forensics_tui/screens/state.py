"""The state at a time that one can move, and what differs from the state that one came from.

While one looks, the next step or change in the same direction is worked out ahead, on one core.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar

from textual.app import ComposeResult
from textual.events import Resize

from forensics.errors import ForensicsError, UsageError
from forensics.incident.pins import Pinnable
from forensics.incident.questions import Argument, Question
from forensics.reconstruct.changes import Change
from forensics.reconstruct.moved import Moved, moved
from forensics.reconstruct.state import State
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros, to_micros
from forensics.report import state as report
from forensics.report.spans import Line, Span, fitted, span, wrapped
from forensics.report.words import age_words
from forensics_tui import going
from forensics_tui.events import Event, of_changes
from forensics_tui.inert import said, time_words
from forensics_tui.keys import ANYWHERE, GO, LINES, STATE, Key, bindings
from forensics_tui.opening import Opened
from forensics_tui.period import Period
from forensics_tui.pinnables import iso_words
from forensics_tui.screens.asks_for_states import Asked, AsksForStates
from forensics_tui.screens.place import Place
from forensics_tui.state_pins import of_state
from forensics_tui.widgets.axis import Axis, Drawn, Lane, Mark, marks_of
from forensics_tui.widgets.chrome import Crumbs, Hints
from forensics_tui.widgets.lines import Lines

_SECOND_US = 1_000_000
_DAY_US = 86_400 * _SECOND_US
#: Each step: its name, its length, and how much of the time around it is shown.
STEPS = (
    ("second", _SECOND_US, 1_200 * _SECOND_US),
    ("minute", 60 * _SECOND_US, 43_200 * _SECOND_US),
    ("hour", 3_600 * _SECOND_US, 10 * _DAY_US),
    ("day", _DAY_US, 60 * _DAY_US),
)
_FIRST_STEP = 1
_LIST_MAX = 12


class StateScreen(AsksForStates):
    """What was in force at a time."""

    TITLE = "State"
    KEYS: ClassVar[tuple[Key, ...]] = (*STATE, *GO, *LINES, *ANYWHERE)
    BINDINGS = bindings((*STATE, *GO))

    def __init__(self, opened: Opened, came_from: Place) -> None:
        window = opened.snapshot.window_us()
        if window is None:
            raise UsageError("This lake holds no decisions yet.")
        bounds = window[0] - _DAY_US, window[1] + _DAY_US
        whole = Period.whole(bounds)
        time_us = came_from.time_us
        asked = Asked(whole.clamped(window[1] if time_us is None else time_us), then=False)
        several = len(opened.view.points) > 1
        point = came_from.point if several else opened.asked.point
        super().__init__(opened, asked, point, id="state")
        self._step = _FIRST_STEP
        self._period = whole
        self._around()
        #: Where one was going last: by steps or by changes, and which way.
        self._heading: tuple[bool, int] | None = None
        self._state: State | None = None
        #: What the state is compared with: the one that one came from, or one that was pinned.
        self._before: State | None = None
        self._pinned: State | None = None
        self._moved: list[Moved] = []
        self._changes: list[Change] = []
        self._events: list[Event] = []
        self._marks: dict[str, list[Mark]] = {}
        self._error = ""

    def compose(self) -> ComposeResult:
        """Where one is, where in time, what was in force, keys."""
        yield Crumbs()
        yield Axis()
        yield Lines(id="state-lines")
        yield Hints(self.KEYS)

    def on_mount(self) -> None:
        """Show that something is being asked."""
        self.query_one(Axis).styles.height = 5
        self.set_focus(self.query_one(Lines))
        self._show()

    def on_resize(self, event: Resize) -> None:
        """Lay out anew."""
        self.call_after_refresh(self.draw)

    def on_screen_resume(self) -> None:
        """Crumbs may have changed."""
        self._tell()

    @property
    def time_us(self) -> int | None:
        """The time of the state."""
        return self._asked.time_us

    @property
    def point(self) -> str | None:
        """The decision point whose state is shown; None where there are several."""
        return self._point or super().point

    @property
    def state(self) -> State | None:
        """What is shown; None until it has come."""
        return self._state

    def accept(self, state: State) -> None:
        """Show a state, and what it says otherwise; then work out the one that follows."""
        self._error = ""
        if self._pinned is not None:
            self._before = self._pinned
        elif self._state is not None:
            self._before = self._state
        self._state = state
        self._moved = moved(self._before, state) if self._before is not None else []
        self._show()
        time_us = None
        if self._heading is not None:
            by_step, step = self._heading
            time_us = self._stepped(step) if by_step else self._next_change(step)
        self._work_ahead(self._period.clamped(time_us) if time_us is not None else None)

    def complain(self, error: ForensicsError) -> None:
        """Say why there is no such state."""
        self._error = said(error)
        self._show()

    def learn(self, changes: list[Change]) -> None:
        """Take all changes that are known."""
        self._changes = changes
        self._events = list(of_changes(changes, ()))
        self._marks = marks_of(self._events)

    # What is shown.

    def _show(self) -> None:
        self.query_one(Lines).update(self._lines)
        self.draw()

    def _lines(self, width: int) -> list[Line]:
        if self._error:
            return [[Span(part, "bad")] for part in wrapped(self._error, width)]
        state = self._state
        if state is None:
            return [[Span("reading what was in force …", "dim")]]
        marked = [part for one in self._moved for part in one.now]
        lines = report.screen(state, width, marked, headed=False)
        return [*self._differences(width), *lines]

    def _differences(self, width: int) -> Iterator[Line]:
        """What is otherwise than in the state that this one is compared with."""
        before, state = self._before, self._state
        if before is None or state is None or (before is state and self._pinned is None):
            return
        head: Line = [Span("different from ", "bold"), span(_when(before, state), "bold")]
        if before.time != state.time:
            apart = state.time - before.time
            later = "later" if apart.total_seconds() > 0 else "earlier"
            head.append(Span(f", {age_words(abs(apart))} {later}", "dim"))
        if not self._moved:
            yield fitted([*head, Span(": nothing", "bold")], width)
        else:
            yield fitted(head, width)
        for one in self._moved[:_LIST_MAX]:
            words = f"{one.before or 'nothing'} → {one.after or 'nothing'}"
            if one.kind == "change":
                words = one.after or ""
            yield fitted([Span("≠ ", "accent"), span(f"{one.what}  "), span(words, "bold")], width)
        if len(self._moved) > _LIST_MAX:
            yield [Span(f"  {len(self._moved) - _LIST_MAX} more", "dim")]
        yield []

    def draw(self) -> None:
        """Show which time is asked for, and what is around it."""
        if not self.is_mounted:
            return
        lanes = [Lane(name, self._marks.get(name, ())) for name in ("changes", "controls")]
        drawn = Drawn(
            self._period, self._asked.time_us, head=self._head(), lanes=lanes, chart=False
        )
        self.query_one(Axis).show(drawn)
        self._tell()

    def _head(self) -> list[Line]:
        name = STEPS[self._step][0]
        known = "as we knew it then" if self._asked.then else "as we know it now"
        waits = " · …" if self._busy else ""
        head: list[Line] = [
            [
                Span(f"as of {time_words(self._asked.time_us)} UTC", "bold"),
                Span(f" · {known} · ← → one {name}{waits}", "dim"),
            ]
        ]
        last = self._last_change()
        if last is not None:
            age = age_words(from_micros(self._asked.time_us) - last.true_from)
            head.append([Span(f"{age} after ", "dim"), span(last.statement)])
        else:
            head.append([Span("before any change that is known", "dim")] if self._changes else [])
        return head

    def _last_change(self) -> Change | None:
        at = from_micros(self._asked.time_us)
        before = [change for change in self._changes if change.true_from <= at]
        return before[-1] if before else None

    def _tell(self) -> None:
        parts = []
        if self._before is not None:
            parts.append(count_of(len(self._moved), "difference"))
        if self._pinned is not None:
            parts.append(f"compared with {time_words(to_micros(self._pinned.time))[:19]}")
        point = self._point or "all decision points"
        self.tell(" · ".join([point, *parts]), " · ".join(parts))

    # What one does.

    def _go(self, time_us: int) -> None:
        """Ask for another time."""
        at = self._period.clamped(time_us)
        if at != time_us:
            self.app.say("There are no decisions as early or as late as that.")
        if at != self._asked.time_us:
            self._asked = Asked(at, self._asked.then)
            self._period = self._period.showing(at)
            self._ask()
            self.draw()

    def _around(self) -> None:
        """As much time around the cursor as suits the step."""
        span_us = STEPS[self._step][2]
        self._period = Period.around(self._asked.time_us, span_us, self._period.bounds)

    def action_step(self, direction: int) -> None:
        """Earlier or later by one step."""
        self._heading = (True, direction)
        self._go(self._stepped(direction))

    def _stepped(self, direction: int) -> int:
        return self._asked.time_us + direction * STEPS[self._step][1]

    def action_step_width(self, direction: int) -> None:
        """A longer step, or a shorter one."""
        self._step = (self._step + direction) % len(STEPS)
        self._around()
        self.draw()

    def action_zoom(self, factor: float) -> None:
        """More or less of the time around; all there is where 0."""
        if factor:
            self._period = self._period.zoomed(factor, self._asked.time_us)
        else:
            self._period = Period.whole(self._period.bounds)
        self.draw()

    def action_change(self, step: int) -> None:
        """To the next change, or to the one before."""
        self._heading = (False, step)
        time_us = self._next_change(step)
        if time_us is not None:
            self._go(time_us)
        else:
            self.app.say(f"There is no {'later' if step > 0 else 'earlier'} change.")

    def _next_change(self, step: int) -> int | None:
        here = self._asked.time_us
        times = (to_micros(change.true_from) for change in self._changes)
        beyond = [us for us in times if (us - here) * step > 0]
        return min(beyond, default=None) if step > 0 else max(beyond, default=None)

    def on_axis_picked(self, message: Axis.Picked) -> None:
        """Go to a time that was clicked; to a change's own, where one is drawn there."""
        columns, period = self.query_one(Axis).columns, self._period
        column = period.column(message.time_us, columns)
        there = [
            event.at_us for event in self._events if period.column(event.at_us, columns) == column
        ]
        self._go(there[0] if there else message.time_us)

    def on_axis_turned(self, message: Axis.Turned) -> None:
        """Zoom around the pointer."""
        self._period = self._period.zoomed(0.5 if message.nearer else 2.0, message.time_us)
        self.draw()

    async def action_jump(self) -> None:
        """Ask for a time, and go there."""
        from forensics_tui.screens.prompt import TimePrompt

        await self.app.push_screen(TimePrompt(self._asked.time_us), self._jumped)

    def _jumped(self, time_us: int | None) -> None:
        if time_us is not None:
            self._go(time_us)

    def action_reference(self) -> None:
        """Compare with this state from now on, or no longer."""
        if self._pinned is not None:
            self._pinned = None
            self.app.say("Compared with the state that one comes from.")
        elif self._state is not None:
            self._pinned = self._before = self._state
            self._moved = []
            self.app.say("Compared with this time from now on; r again ends it.")
        self._show()

    def action_known_by(self) -> None:
        """The state as we knew it at its time, or as we know it now."""
        self._asked = Asked(self._asked.time_us, not self._asked.then)
        self._ask()
        self.draw()

    def action_decisions(self) -> None:
        """The decisions of the time around, at this one."""
        points = (self._point,) if self._point else tuple(self._opened.snapshot.points())
        going.to_decisions(self, self._opened, points, self._period, self._asked.time_us)

    def action_copy_state(self) -> None:
        """Copy what differs, else the time."""
        words = [f"{time_words(self._asked.time_us)} UTC"]
        for one in self._moved:
            words.append(f"{one.what} {one.before or 'nothing'} → {one.after or 'nothing'}")
        self.app.copy(safe_text("; ".join(words)))

    def action_copy_command(self) -> None:
        """Copy the command that prints this."""
        self.app.copy(safe_text(self._question().line(self._opened.asked.root)))

    def _question(self) -> Question:
        at = iso_words(self._asked.time_us)
        arguments: dict[str, Argument] = {"time": at}
        if self._point:
            arguments["decision-point"] = self._point
        if self._asked.then:
            arguments["known-by"] = at
        return Question("as-of", arguments)

    def pinnables(self) -> Sequence[Pinnable]:
        """What differs first, then everything that was in force."""
        if self._state is None or self._shown != self._asked:
            return ()
        known = ", as known then," if self._asked.then else ""
        when = f"At {time_words(self._asked.time_us)[:19]} UTC{known}"
        fresh = [part for one in self._moved for part in one.now]
        return of_state(self._state, self._question(), when, fresh)


def _when(before: State, after: State) -> str:
    """What tells a state from another: its time, else from when on it was known."""
    if before.time != after.time:
        return f"{time_words(to_micros(before.time))[:19]} UTC"
    return "what we know now" if before.known_by is None else "what we knew then"
