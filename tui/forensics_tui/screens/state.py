"""The state at a time that one can move, and what differs from the state that one came from.

What is known of the changes is worked out once; each further time costs a few small questions.
They are asked one at a time, and of times that one hurries past only the last is asked for. While
one looks, the next step or change in the same direction is worked out ahead, on one core.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import ClassVar

from textual.app import ComposeResult
from textual.events import Resize
from textual.message import Message

from forensics.errors import ForensicsError, UsageError
from forensics.incident.pins import Pinnable
from forensics.incident.questions import Argument, Question
from forensics.lake import sql
from forensics.lake.read import from_micros, to_micros
from forensics.lake.window import Cancelled, Reader
from forensics.reconstruct.as_of import Evidence, as_of
from forensics.reconstruct.changes import Change
from forensics.reconstruct.moved import Moved, moved
from forensics.reconstruct.state import Live, Pipeline, State
from forensics.records.safe_text import safe_text
from forensics.report import state as report
from forensics.report.spans import Line, Span, fitted, span, wrapped
from forensics.report.words import age_words, short_digest
from forensics_tui import going
from forensics_tui.events import Event, of_changes
from forensics_tui.inert import said, time_words
from forensics_tui.keys import ANYWHERE, GO, LINES, STATE, Key, bindings
from forensics_tui.opening import Opened
from forensics_tui.period import Period
from forensics_tui.pinnables import iso_words
from forensics_tui.screens.place import Place
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
_PINS_MAX = 60
_LIST_MAX = 12
_KEPT = 64


@dataclass(frozen=True, slots=True)
class _Asked:
    """A time, and whether the state is to be told as it was known then."""

    time_us: int
    then: bool


class StateScreen(Place):
    """What was in force at a time."""

    TITLE = "State"
    KEYS: ClassVar[tuple[Key, ...]] = (*STATE, *GO, *LINES, *ANYWHERE)
    BINDINGS = bindings((*STATE, *GO))

    @dataclass
    class _Answered(Message):
        asked: _Asked
        state: State
        #: All changes that are known by now, where this was not told before.
        changes: list[Change] | None

    @dataclass
    class _Ahead(Message):
        """A state that nobody had asked for yet; None where it could not be worked out."""

        asked: _Asked
        state: State | None

    @dataclass
    class _Failed(Message):
        asked: _Asked
        error: ForensicsError

    def __init__(self, opened: Opened, came_from: Place) -> None:
        super().__init__(opened, id="state")
        window = opened.snapshot.window_us()
        if window is None:
            raise UsageError("This lake holds no decisions yet.")
        points = opened.view.points
        self._point = came_from.point if len(points) > 1 else opened.asked.point
        bounds = window[0] - _DAY_US, window[1] + _DAY_US
        whole = Period.whole(bounds)
        time_us = came_from.time_us
        self._asked = _Asked(whole.clamped(window[1] if time_us is None else time_us), then=False)
        self._step = _FIRST_STEP
        self._period = whole
        self._around()
        self._busy = False
        self._reader: Reader | None = None
        self._ahead: Reader | None = None
        self._ahead_of: _Asked | None = None
        #: Where one was going last: by steps or by changes, and which way.
        self._heading: tuple[bool, int] | None = None
        self._known: OrderedDict[_Asked, State] = OrderedDict()
        self._evidence: Evidence | None = None
        self._state: State | None = None
        self._shown: _Asked | None = None
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
        """Ask for the first state."""
        self.query_one(Axis).styles.height = 5
        self._reader = self._opened.reader.another()
        self.set_focus(self.query_one(Lines))
        self._ask()
        self._show()

    def on_resize(self, event: Resize) -> None:
        """Lay out anew."""
        self.call_after_refresh(self._draw)

    def on_screen_resume(self) -> None:
        """Crumbs may have changed."""
        self._tell()

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        for reader in (self._reader, self._ahead):
            if reader is not None:
                reader.cancel()

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

    # One question at a time; of those that come meanwhile, the last.

    def _ask(self) -> None:
        if self._asked in self._known:
            self._accept(self._known[self._asked])
            return
        if self._busy or self._reader is None or self._ahead_of == self._asked:
            return
        self._stop_ahead()
        self._busy = True
        asked, reader = self._asked, self._reader
        self.run_worker(lambda: self._answer(reader, asked), thread=True, exit_on_error=False)

    def _answer(self, reader: Reader, asked: _Asked) -> None:
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

    def _as_of(self, reader: Reader, asked: _Asked, evidence: Evidence) -> State:
        time = from_micros(asked.time_us)
        return as_of(
            reader.snapshot,
            time,
            decision_point=self._point,
            known_by=time if asked.then else None,
            evidence=None if asked.then else evidence,
        )

    def _look_ahead(self) -> None:
        """Work out where one is heading; the last such work is no longer."""
        self._stop_ahead()
        evidence, time_us = self._evidence, None
        if self._heading is not None:
            by_step, direction = self._heading
            time_us = self._stepped(direction) if by_step else self._next_change(direction > 0)
        if time_us is None or evidence is None:
            return
        asked = replace(self._asked, time_us=self._period.clamped(time_us))
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

    def on_state_screen__ahead(self, message: _Ahead) -> None:
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

    def _keep(self, asked: _Asked, state: State) -> None:
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

    def on_state_screen__answered(self, message: _Answered) -> None:
        """Show a state, unless one has gone on meanwhile."""
        self._busy = False
        if message.changes is not None:
            self._changes = message.changes
            self._events = list(of_changes(message.changes, ()))
            self._marks = marks_of(self._events)
        self._keep(message.asked, message.state)
        if message.asked == self._asked:
            self._accept(message.state)
        elif self._shown != self._asked:
            self._ask()
            self._draw()

    def _accept(self, state: State) -> None:
        """Show a state, and what it says otherwise."""
        self._error = ""
        if self._pinned is not None:
            self._before = self._pinned
        elif self._state is not None:
            self._before = self._state
        self._state, self._shown = state, self._asked
        self._moved = moved(self._before, state) if self._before is not None else []
        self._show()
        self._look_ahead()

    def on_state_screen__failed(self, message: _Failed) -> None:
        """Say what is wrong."""
        self._busy = False
        if message.asked != self._asked:
            self._ask()
        else:
            self._error = said(message.error)
            self._show()

    # What is shown.

    def _show(self) -> None:
        self.query_one(Lines).update(self._lines)
        self._draw()

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

    def _draw(self) -> None:
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
            count = len(self._moved)
            parts.append(f"{count} {'difference' if count == 1 else 'differences'}")
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
            self._asked = _Asked(at, self._asked.then)
            self._period = self._period.showing(at)
            self._ask()
            self._draw()

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
        self._draw()

    def action_zoom(self, factor: float) -> None:
        """More or less of the time around; all there is where 0."""
        if factor:
            self._period = self._period.zoomed(factor, self._asked.time_us)
        else:
            self._period = Period.whole(self._period.bounds)
        self._draw()

    def action_change(self, forward: bool) -> None:
        """To the next change, or to the one before."""
        self._heading = (False, 1 if forward else -1)
        time_us = self._next_change(forward)
        if time_us is not None:
            self._go(time_us)
        else:
            self.app.say(f"There is no {'later' if forward else 'earlier'} change.")

    def _next_change(self, forward: bool) -> int | None:
        here = self._asked.time_us
        times = (to_micros(change.true_from) for change in self._changes)
        beyond = [us for us in times if (us > here if forward else us < here)]
        return min(beyond, default=None) if forward else max(beyond, default=None)

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
        self._draw()

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
        self._asked = _Asked(self._asked.time_us, not self._asked.then)
        self._ask()
        self._draw()

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
        state = self._state
        if state is None or self._shown != self._asked:
            return ()
        fresh = [part for one in self._moved for part in one.now]
        offered = [(live, f"/live/{at}", _live_words(live)) for at, live in enumerate(state.live)]
        found: list[tuple[bool, str, str]] = []
        for thing, pointer, words in (
            *offered,
            *(
                (pipeline, f"/pipelines/{at}", _pipeline_words(pipeline))
                for at, pipeline in enumerate(state.pipelines)
            ),
            *(
                (change, f"/controls/{at}", _control_words(change))
                for at, change in enumerate(state.controls)
            ),
        ):
            found.append((any(thing is one for one in fresh), pointer, words))
        found.sort(key=lambda one: not one[0])
        question, when = self._question(), f"{time_words(self._asked.time_us)[:19]} UTC"
        known = ", as known then," if self._asked.then else ""
        return [
            Pinnable(question, pointer, safe_text(f"At {when}{known} {words}"))
            for _, pointer, words in found[:_PINS_MAX]
        ]


def _when(before: State, after: State) -> str:
    """What tells a state from another: its time, else from when on it was known."""
    if before.time != after.time:
        return f"{time_words(to_micros(before.time))[:19]} UTC"
    return "what we know now" if before.known_by is None else "what we knew then"


def _live_words(live: Live) -> str:
    name = f"{live.kind} {live.name}" if live.name else live.kind
    version = live.version or short_digest(live.digest)
    how = {"live": "was", "announced": "was announced to be", "last_seen": "was last seen as"}
    since = f", since {live.since:%Y-%m-%d %H:%M:%S}" if live.since_known else ""
    before = live.replaced_version or short_digest(live.replaced_digest)
    replaced = f", before {before}" if before and before != version else ""
    by = live.announced.actor if live.announced and live.announced.actor else ""
    who = f", announced by {by}" if by else ", announced by nobody" if not live.announced else ""
    return (
        f"{name} of {live.decision_point} in {live.environment} {how[live.status]} {version}"
        f"{since}{replaced}{who}"
    )


def _pipeline_words(pipeline: Pipeline) -> str:
    code = f" code {pipeline.code_version}" if pipeline.code_version else ""
    run = f", run {pipeline.run_id[:8]}" if pipeline.run_id else ""
    failed = f", failing: {pipeline.failed}" if pipeline.failed else ""
    return f"pipeline {pipeline.job} had{code or ' no known code'}{run}{failed}"


def _control_words(change: Change) -> str:
    by = f" by {change.actor}" if change.actor else ""
    value = change.to_version or change.what or "set"
    return f"{change.kind} {change.component} was {value}{by}"
