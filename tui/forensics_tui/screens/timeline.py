"""The timeline: how a rate moved, what changed, what was found and what ran, on one axis of time.

What is known, and how it is asked for, is in :mod:`forensics_tui.screens.timeline_data`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import timedelta
from typing import ClassVar

from textual.app import ComposeResult
from textual.events import Resize

from forensics.incident.pins import Pinnable
from forensics.incident.questions import Argument, Question
from forensics.lake.happened import Ran
from forensics.reconstruct.check import Noticed
from forensics.reconstruct.jumps import Stretch
from forensics.reconstruct.timeline import BINS
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import to_micros
from forensics.report.spans import Line, Span, span
from forensics.report.timeline import length_words, percent
from forensics_tui import event_pins, going
from forensics_tui.counted import Counted
from forensics_tui.events import Event, label, node_of
from forensics_tui.inert import time_words
from forensics_tui.keys import ANYWHERE, GO, TIMELINE, Key, bindings
from forensics_tui.period import Period
from forensics_tui.pinnables import iso_words
from forensics_tui.screens.timeline_data import TimelineData, bounds_of
from forensics_tui.widgets.axis import Axis, Drawn, Label, Lane, Mark, Stay
from forensics_tui.widgets.chrome import Crumbs, Hints
from forensics_tui.widgets.event_list import EventList

_LABEL_ROWS = 2
_FIXED_ROWS = 9


class TimelineScreen(TimelineData):
    """Lanes on one axis, and what happened in the order of time."""

    TITLE = "Timeline"
    KEYS: ClassVar[tuple[Key, ...]] = (*TIMELINE, *GO, *ANYWHERE)
    BINDINGS = bindings((*TIMELINE, *GO))

    def compose(self) -> ComposeResult:
        """Where one is, the lanes, the events, keys."""
        yield Crumbs()
        yield Axis()
        yield EventList()
        yield Hints(self.KEYS)

    def on_mount(self) -> None:
        """Show what others have counted already, and ask for the rest."""
        self._borrow()
        self._begin()
        self._draw()

    def on_resize(self, event: Resize) -> None:
        """The chart takes its share of the height."""
        rows = max((event.size.height - _FIXED_ROWS - 4) * 40 // 100, 3)
        self._axis.styles.height = _FIXED_ROWS + _LABEL_ROWS - 1 + rows
        self.call_after_refresh(self._draw)
        self._settle()

    def on_screen_resume(self) -> None:
        """Marks and crumbs may have changed elsewhere."""
        self._tell()

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        for reader in self._readers.values():
            reader.cancel()

    @property
    def time_us(self) -> int | None:
        """The time at the cursor."""
        return self._cursor

    @property
    def point(self) -> str | None:
        """The decision point whose rate is shown."""
        return self._point

    @property
    def node(self) -> str | None:
        """The run under the cursor, as lineage names it."""
        return node_of(self.event)

    # What is shown.

    def _draw(self) -> None:
        if not self.is_mounted:
            return
        self._axis.show(
            Drawn(
                self._period, self._cursor, self._counted, self._outcome, self._head(),
                self._lanes(), self._shown_labels(), _LABEL_ROWS,
            )
        )  # fmt: skip
        nothing = "no event in this window is known"
        if self._changes is None or self._near is None:
            nothing = "looking for what happened …"
        self.query_one(EventList).show(self._events, self._at, nothing)
        self._tell()

    def _tell(self) -> None:
        if self._changes is None:
            self.tell("looking for changes …")
            return
        jumps = sum(moment.jump for moment in self._moments)
        coincide = f" · {jumps} {'jump' if jumps == 1 else 'jumps'}" if self._moments else ""
        words = f"{count_of(len(self._changes), 'change')}{coincide}"
        self.tell(f"{self._point} · {words}", words)

    def _head(self) -> list[Line]:
        """What is in sight as a whole, and what is at the cursor."""
        period, counted, outcome = self._period, self._counted, self._outcome
        since, until = (time_words(end)[:19] for end in (period.since_us, period.until_us))
        window = f" · {since} to {until[5:] if since[:4] == until[:4] else until}"
        long = f" · {length_words(timedelta(microseconds=period.span_us))}"
        if self._error:
            return [[span(self._error, "bad")], []]
        at = time_words(self._cursor)
        if counted is None:
            return [[Span("counting …", "dim"), Span(window, "dim")], [Span(f"at {at}", "bold")]]
        all_ = counted.stretch(outcome, period.since_us, period.until_us)
        here = self._here(counted)
        if not counted.has_outcomes or outcome is None:
            done = self._whole.done if self._whole is not None else 0.0
            number = count_of(here.decisions, "decision")
            head: Line = [Span(count_of(all_.decisions, "decision")), Span(window, "dim")]
            return [[*head, Span(f" · counting outcomes, {done:.0%}", "dim")], [
                Span(f"at {at}", "bold"), Span(f" · {number}")]]  # fmt: skip
        doing = f" · {counted.done:.0%} counted" if counted.done < 1 else ""
        return [
            [
                span(outcome, "bold", 24),
                Span(f" {percent(all_.rate)} of {all_.decisions:,}"),
                Span(f"{window}{long}{doing}", "dim"),
            ],
            [
                Span(f"at {at}", "bold"),
                Span(f" · {_rate_words(here)}"),
                Span(f" in {length_words(here.end - here.start)}", "dim"),
            ],
        ]

    def _here(self, counted: Counted) -> Stretch:
        """The decisions of the cursor's column."""
        columns = self._axis.columns
        at = self._period.column(self._cursor, columns) or 0
        ends = self._period.edge(at, columns), self._period.edge(at + 1, columns)
        return counted.stretch(self._outcome, *ends)

    def _lanes(self) -> list[Lane]:
        marks, near = self._marks, self._near
        dense = near.override_density if near and near.overrides is None else None
        many = near.run_density if near and near.runs is None else None
        changes = "" if self._changes is not None else "looking for changes …"
        return [
            Lane("changes", marks.get("changes", ()), words=changes),
            Lane("controls", marks.get("controls", ()), density=dense),
            Lane("runs", marks.get("runs", ()), density=many),
            self._findings(marks.get("findings", ())),
        ]

    def _findings(self, marks: Sequence[Mark]) -> Lane:
        """What detectors found, as far as they were asked."""
        if self._checking is not None:
            return Lane("findings", words=f"checking · {self._checking:.0%} · esc ends it")
        if self._check is None:
            return Lane("findings", words="not checked yet: F checks the decisions in sight")
        period, found = self._check
        stays = [
            Stay(event.at_us, _until(event), event.style)
            for event in self._events
            if event.lane == "findings"
        ]
        stays.sort(key=lambda stay: stay.style == "bad")
        clean = f"checked {count_of(found.decisions, 'decision')}: neither errors nor warnings"
        known = (period.since_us, period.until_us)
        return Lane("findings", marks, stays, known=known, words=clean)

    def _shown_labels(self) -> list[Label]:
        """The largest jumps in sight; where there is room, the change under the cursor too."""
        period = self._period
        dated = period.span_us > 86_400_000_000
        jumps = [event for event in self._events if event.is_jump and period.holds(event.at_us)]
        jumps.sort(key=lambda event: -abs((event.moment and event.moment.difference) or 0))
        here = self.event
        if here is not None and here.is_change and not here.is_jump and period.holds(here.at_us):
            jumps.append(here)
        shown = jumps[:_LABEL_ROWS]
        return [Label(event.at_us, label(event, dated=dated), event.style) for event in shown]

    # What one does.

    def _go(self, time_us: int, at: int | None = None) -> None:
        """Put the cursor on a time, and on one of its events."""
        self._cursor = self._period.clamped(time_us)
        before, self._period = self._period, self._period.showing(self._cursor)
        self._at = self._nearest(self._cursor) if at is None else at
        if self._period != before:
            self._settle()
        self._draw()

    def _see(self, period: Period) -> None:
        self._period = period
        self._settle()
        self._draw()

    def action_down(self) -> None:
        """The next event."""
        self._to_event(self._at + (1 if self._cursor >= self._time_of(self._at) else 0))

    def action_up(self) -> None:
        """The event before."""
        self._to_event(self._at - (1 if self._cursor <= self._time_of(self._at) else 0))

    def _time_of(self, at: int) -> int:
        return self._events[at].at_us if self._events else self._cursor

    def _to_event(self, at: int) -> None:
        if self._events:
            at = max(0, min(at, len(self._events) - 1))
            self._go(self._events[at].at_us, at)

    def action_first(self) -> None:
        """The first event."""
        self._to_event(0)

    def action_last(self) -> None:
        """The last event."""
        self._to_event(len(self._events) - 1)

    def action_change(self, step: int) -> None:
        """The next change, or the one before."""
        forward = step > 0
        here = self._at if self._time_of(self._at) == self._cursor else None
        found = [
            at
            for at, event in enumerate(self._events)
            if event.is_change
            and (
                (event.at_us > self._cursor if forward else event.at_us < self._cursor)
                or (
                    here is not None
                    and event.at_us == self._cursor
                    and (at > here if forward else at < here)
                )
            )
        ]
        if found:
            self._to_event(found[0] if forward else found[-1])
        else:
            self.app.say(f"There is no {'later' if forward else 'earlier'} change.")

    def action_left(self) -> None:
        """Earlier by one column."""
        self._step(-1)

    def action_right(self) -> None:
        """Later by one column."""
        self._step(1)

    def _step(self, columns: int) -> None:
        self._go(self._cursor + columns * max(self._period.span_us // self._axis.columns, 1))

    def action_page_down(self) -> None:
        """Later by most of what is in sight."""
        self._pan(1)

    def action_page_up(self) -> None:
        """Earlier by most of what is in sight."""
        self._pan(-1)

    def _pan(self, direction: int) -> None:
        by = direction * (self._period.span_us * 3 // 4)
        self._period = self._period.moved(by)
        self._go(self._cursor + by)
        self._settle()

    def action_zoom(self, factor: float) -> None:
        """Nearer or further away around the cursor; all there is where 0."""
        if factor:
            self._see(self._period.zoomed(factor, self._cursor))
        else:
            self._see(Period.whole(self._period.bounds))

    def on_axis_picked(self, message: Axis.Picked) -> None:
        """Go to a time that was clicked."""
        self._go(message.time_us)

    def on_axis_turned(self, message: Axis.Turned) -> None:
        """Zoom around the pointer."""
        self._see(self._period.zoomed(0.5 if message.nearer else 2.0, message.time_us))

    async def on_event_list_picked(self, message: EventList.Picked) -> None:
        """Go to an event that was clicked; open it at the second click."""
        self._to_event(message.at)
        if message.again:
            await self.action_open()

    async def action_jump(self) -> None:
        """Ask for a time, and go there."""
        from forensics_tui.screens.prompt import TimePrompt

        await self.app.push_screen(TimePrompt(self._cursor), self._jumped)

    def _jumped(self, time_us: int | None) -> None:
        if time_us is not None:
            if self._period.clamped(time_us) != time_us:
                self.app.say("No decision is as early or as late as that.")
            self._go(time_us)

    def action_outcome(self) -> None:
        """The rate of the next outcome."""
        names = self._whole.outcomes() if self._whole is not None else []
        if names:
            at = names.index(self._outcome) + 1 if self._outcome in names else 0
            self._outcome, self._moments = names[at % len(names)], ()
            self._find_moments()
            self._gather()

    def action_next_point(self) -> None:
        """The next decision point."""
        points = self._opened.view.points
        if len(points) < 2:
            self.app.say(f"{self._point} is the only decision point.")
            return
        at = points.index(self._point) + 1 if self._point in points else 0
        self._point = points[at % len(points)]
        self._outcome = None
        bounds = bounds_of(self._opened, self._point)
        since = max(self._period.since_us, bounds[0])
        until = min(self._period.until_us, bounds[1])
        self._period = Period(since, until, bounds) if since < until else Period.whole(bounds)
        self._cursor = self._period.clamped(self._cursor)
        self._forget()
        self._begin()
        self._draw()

    async def action_open(self) -> None:
        """Open what is under the cursor: a run's lineage, or a page with all that is known."""
        from forensics_tui.screens.event import EventScreen

        if isinstance(self.event.of if self.event else None, Ran):
            await self.app.action_go("lineage")
        elif self.event is not None:
            await self.app.push_screen(
                EventScreen(self._opened, self, self.event, self._outcome or "")
            )

    def action_decisions(self) -> None:
        """The decisions of what is in sight, at the cursor."""
        going.to_decisions(self, self._opened, (self._point,), self._period, self._cursor)

    @property
    def window_us(self) -> tuple[int, int] | None:
        """What is in sight, where it is not all there is."""
        ends = self._period.since_us, self._period.until_us
        return ends if ends != self._period.bounds else None

    @property
    def period(self) -> Period:
        """What is in sight."""
        return self._period

    def action_copy_event(self) -> None:
        """Copy the event under the cursor."""
        event = self.event
        if event is not None:
            words = f"{time_words(event.at_us)} UTC {safe_text(event.words)}"
            self.app.copy(f"{words} {event.right}".rstrip())

    def action_copy_command(self) -> None:
        """Copy the command that prints what is in sight."""
        self.app.copy(safe_text(self._question().line(self._opened.asked.root)))

    def _question(self, since_us: int | None = None, until_us: int | None = None) -> Question:
        ends = (
            self._period.since_us if since_us is None else since_us,
            self._period.until_us if until_us is None else until_us,
        )
        arguments: dict[str, Argument] = {
            "decision-point": self._point,
            "since": iso_words(ends[0]),
            "until": iso_words(ends[1]),
        }
        if self._outcome is not None:
            arguments["outcome"] = self._outcome
        return Question("timeline", arguments)

    def pinnables(self) -> list[Pinnable]:
        """What happened at the cursor, then the rates there and in sight."""
        found: list[Pinnable] = []
        if self.event is not None:
            found += self.pinnables_of(self.event)
        counted = self._counted
        if counted is None or not counted.has_outcomes or self._outcome is None:
            return found
        for stretch in (
            self._here(counted),
            counted.stretch(self._outcome, self._period.since_us, self._period.until_us),
        ):
            if stretch.decisions and counted.done >= 1:
                words = f"{percent(stretch.rate)} of {count_of(stretch.decisions, 'decision')} of "
                words += f"{self._point} from {stretch.start:%Y-%m-%d %H:%M:%S} to "
                words += f"{stretch.end:%Y-%m-%d %H:%M:%S} UTC were {self._outcome}"
                question = self._question(to_micros(stretch.start), to_micros(stretch.end))
                found.append(Pinnable(question, "/rate", safe_text(words)))
        return found

    def pinnables_of(self, event: Event) -> list[Pinnable]:
        """What can be pinned of an event."""
        match event.of:
            case Ran() as ran:
                return event_pins.of_run(ran)
            case Noticed() as noticed:
                if self._check is None or noticed not in self._check[1].found:
                    return []
                return event_pins.of_finding(*self._check, self._point, noticed)
            case change if change.source == "overrides":
                return event_pins.of_override(change)
            case change:
                counted, moment = self._whole, event.moment
                if counted is None or moment is None or moment not in self._moments:
                    return []
                question = self._question(counted.first_us, counted.end_us)
                bins = replace(question, arguments={**question.arguments, "bins": BINS})
                at = self._moments.index(moment)
                outcome = self._outcome or ""
                return event_pins.of_moment(bins, at, moment, change, outcome)

    def action_back(self) -> None:
        """End a running check, else go back."""
        if self._checking is not None:
            self._readers["check"].cancel()
            self._checking = None
            self._draw()
        else:
            self.app.back()


def _rate_words(stretch: Stretch) -> str:
    """A rate with the counts that it is of."""
    if not stretch.decisions:
        return "no decision"
    return f"{percent(stretch.rate)}, {stretch.hits:,} of {stretch.decisions:,}"


def _until(event: Event) -> int:
    """Until when something was noticed."""
    return to_micros(event.of.last) if isinstance(event.of, Noticed) else event.at_us
