"""What a timeline knows, asked for in threads while one looks at what has come already.

What the summaries know is there at once; the whole window is counted beside that, once; and what is
looked at more closely than that was counted is counted anew, for what is in sight.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from textual.message import Message
from textual.timer import Timer

from forensics.errors import ForensicsError, UsageError
from forensics.lake import happened, scan, sql
from forensics.lake.happened import Ran
from forensics.lake.pages import known_spans
from forensics.lake.window import Cancelled, Reader, View
from forensics.reconstruct.changes import Change, between
from forensics.reconstruct.changes.declared import overrides
from forensics.reconstruct.check import Check, check
from forensics.reconstruct.jumps import Moment
from forensics.reconstruct.timeline import CELLS, moments
from forensics.records.times import from_micros
from forensics_tui.counted import Counted
from forensics_tui.events import Event, of_changes, of_findings, of_runs, same
from forensics_tui.inert import said
from forensics_tui.opening import Opened
from forensics_tui.pacing import now_and_then
from forensics_tui.period import Period
from forensics_tui.screens.place import Place
from forensics_tui.widgets.axis import Axis, Density, Mark, marks_of
from forensics_tui.widgets.histogram import Histogram

#: As many runs, or overrides, are told one by one; more are counted.
LISTED_MAX = 200
_SETTLE_S = 0.05
_TOLD = frozenset(("error", "warning"))


class TimelineData(Place):
    """A place that knows what happened, by when, and how often decisions had an outcome."""

    @dataclass
    class _Known(Message):
        """What the summaries know of the traffic, then the changes."""

        number: int
        traffic: Counted | None
        changes: list[Change] | None = None

    @dataclass
    class _Counts(Message):
        """Decisions by outcome: of the whole window, or of what is in sight."""

        number: int
        counted: Counted
        closely: bool

    @dataclass
    class _Moved(Message):
        number: int
        outcome: str
        moments: tuple[Moment, ...]

    @dataclass
    class _Near(Message):
        """What happened in a period, one by one where there is little of it."""

        number: int
        runs: list[Ran] | None
        run_density: Density
        overrides: list[Change] | None
        override_density: Density

    @dataclass
    class _Checking(Message):
        number: int
        period: Period
        done: float
        check: Check | None = None

    @dataclass
    class _Failed(Message):
        number: int
        error: ForensicsError

    def __init__(self, opened: Opened, came_from: Place) -> None:
        super().__init__(opened, id="timeline")
        points = opened.view.points
        if not points or not any(opened.snapshot.files(f"decisions/{point}") for point in points):
            raise UsageError("This lake holds no decisions yet.")
        rows = {point: opened.snapshot.tables[f"decisions/{point}"].rows for point in points}
        self._point = came_from.point or max(points, key=lambda point: rows[point])
        self._outcome: str | None = None
        view, bounds = opened.view, bounds_of(opened, self._point)
        asked = view.since_us or bounds[0], view.until_us or bounds[1]
        since, until = came_from.window_us or asked
        since, until = max(since, bounds[0]), min(until, bounds[1])
        self._period = Period.whole(bounds)
        if since < until:
            self._period = Period(since, until, bounds)
        time_us = came_from.time_us
        self._cursor = self._period.clamped(bounds[1] if time_us is None else time_us)
        self._period = self._period.showing(self._cursor)
        self._number, self._near_number = 0, 0
        self._readers: dict[str, Reader] = {}
        self._settling: Timer | None = None
        self._error = ""
        self._forget()

    def _forget(self) -> None:
        """Nothing is known yet of the decision point."""
        self._traffic: Counted | None = None
        self._whole: Counted | None = None
        self._close: Counted | None = None
        self._changes: list[Change] | None = None
        self._moments: tuple[Moment, ...] = ()
        self._near: TimelineData._Near | None = None
        self._check: tuple[Period, Check] | None = None
        self._checking: float | None = None
        self._events: list[Event] = []
        self._marks: dict[str, list[Mark]] = {}
        self._at = 0

    @property
    def event(self) -> Event | None:
        """The event under the cursor."""
        return self._events[self._at] if self._events else None

    @property
    def _axis(self) -> Axis:
        return self.query_one(Axis)

    # What is asked for, and what comes.

    def _borrow(self) -> None:
        """The Decisions screen may have counted the same already, not as finely."""
        rows = self._opened.snapshot.tables[f"decisions/{self._point}"].rows
        for screen in self.app.screen_stack:
            for histogram in screen.query(Histogram):
                rates = histogram.rates
                alone = self._opened.view.points == (self._point,)
                if alone and rates is not None and rates.done >= 1:
                    counted = Counted.of(rates)
                    if counted.total == rows and counted.covers(*self._period.bounds):
                        self._whole, self._outcome = counted, histogram.shown

    def _begin(self) -> None:
        """Ask for all that does not depend on what is in sight."""
        self._number += 1
        number, point, bounds = self._number, self._point, self._period.bounds
        learn = partial(self._learn, self._reader("learn"), number, point, bounds)
        self._work(learn, "learn")
        count = partial(self._count, self._reader("count", patient=True), number, point)
        self._work(count, "count")
        self._settle()

    def _reader(self, name: str, *, patient: bool = False) -> Reader:
        """A reader for one kind of question; the one before is no longer waited for."""
        if name in self._readers:
            self._readers[name].cancel()
        opened = self._opened
        source = opened.patient if patient else opened.reader
        self._readers[name] = source.another(opened.snapshot)
        return self._readers[name]

    def _work(self, work: Callable[[], None], group: str) -> None:
        reader, number = self._readers.get(group), self._number

        def safely() -> None:
            try:
                work()
            except Cancelled:
                return
            except ForensicsError as error:
                if reader is None or not reader.cancelled:
                    self.post_message(self._Failed(number, error))
            except (sql.SqlError, RuntimeError):  # what an interrupted question ends in
                if reader is None or not reader.cancelled:
                    raise

        self.run_worker(safely, thread=True, group=group, exit_on_error=False)

    def _learn(self, reader: Reader, number: int, point: str, bounds: tuple[int, int]) -> None:
        spans = known_spans(reader, View((point,), ()))
        traffic = Counted.hourly(spans) if spans else None
        self.post_message(self._Known(number, traffic))
        since, until = (from_micros(end) for end in bounds)
        found = between(reader.snapshot, since, until, decision_point=point)
        self.post_message(self._Known(number, traffic, found))

    def _count(self, reader: Reader, number: int, point: str) -> None:
        for rates in now_and_then(scan.rates(reader, View((point,), ()), CELLS)):
            self.post_message(self._Counts(number, Counted.of(rates), closely=False))

    def on_timeline_data__known(self, message: _Known) -> None:
        """Traffic, and changes."""
        if message.number == self._number:
            self._traffic = message.traffic
            if message.changes is not None:
                self._changes = message.changes
            self._find_moments()
            self._gather()

    def on_timeline_data__counts(self, message: _Counts) -> None:
        """Rates as far as they are counted."""
        if message.number != (self._near_number if message.closely else self._number):
            return
        counted = message.counted
        if message.closely:
            self._close = counted
        elif counted.done >= 1 or self._whole is None or self._whole.done < 1:
            self._whole = counted
            self._choose_outcome(counted)
            self._find_moments()
        self._draw()

    def _choose_outcome(self, counted: Counted) -> None:
        """The outcome that stands out most, until another is chosen."""
        if self._outcome is None or not counted.knows(self._outcome):
            names = counted.outcomes()
            self._outcome = names[0] if names else None

    def _find_moments(self) -> None:
        """Work out what the changes moved, where both are known."""
        counted, changes, outcome = self._whole, self._changes, self._outcome
        whole = counted is not None and counted.done >= 1 and counted.cells > CELLS // 2
        if counted is None or not whole or changes is None or outcome is None:
            return
        number = self._number

        def work() -> None:
            found = moments(
                counted.of_outcome(outcome), changes, origin_us=counted.first_us,
                width_us=counted.width_us, until_us=counted.end_us,
            )  # fmt: skip
            self.post_message(self._Moved(number, outcome, found))

        self._work(work, "moments")

    def on_timeline_data__moved(self, message: _Moved) -> None:
        """Which changes a jump coincides with."""
        if message.number == self._number and message.outcome == self._outcome:
            self._moments = message.moments
            self._gather()

    def _settle(self) -> None:
        """Look closely at what is in sight, once one has stopped moving."""
        if self._settling is not None:
            self._settling.stop()
        self._settling = self.set_timer(_SETTLE_S, self._look_closely)

    def _look_closely(self) -> None:
        self._near_number += 1
        number, period, columns = self._near_number, self._period, self._axis.columns
        look = partial(self._look, self._reader("look"), number, self._point, period, columns)
        self._work(look, "look")
        whole = self._whole
        fine = whole is not None and whole.done >= 1 and whole.is_fine(period.span_us // columns)
        close = self._close
        near = close is not None and close.is_fine(period.span_us // columns)
        if fine or (near and close is not None and close.covers(period.since_us, period.until_us)):
            return
        if period.span_us * 3 > period.bounds[1] - period.bounds[0]:
            return  # the whole is being counted, finely enough for that
        work = partial(
            self._count_closely, self._reader("close"), number, self._point, period, columns
        )
        self._work(work, "close")

    def _look(self, reader: Reader, number: int, point: str, period: Period, columns: int) -> None:
        """Runs and overrides of what is in sight, and as much before and after it."""
        since = max(period.since_us - period.span_us, period.bounds[0])
        until = min(period.until_us + period.span_us, period.bounds[1])
        width = max(period.span_us // columns, 1)
        ran = happened.run_tallies(reader, since, until, width)
        few = sum(tally.total for tally in ran) <= LISTED_MAX
        runs = happened.runs(reader, since, until, LISTED_MAX) if few else None
        over = happened.override_tallies(reader, point, since, until, width)
        found: list[Change] | None = None
        if sum(tally.total for tally in over) <= LISTED_MAX:
            ends = from_micros(since), from_micros(until)
            found = overrides(reader.snapshot, *ends, decision_point=point)
        self.post_message(
            self._Near(number, runs, Density(since, width, ran), found, Density(since, width, over))
        )

    def _count_closely(
        self, reader: Reader, number: int, point: str, period: Period, columns: int
    ) -> None:
        """Outcomes of what is in sight, and as much before and after it."""
        since = max(period.since_us - period.span_us, period.bounds[0])
        until = min(period.until_us + period.span_us, period.bounds[1])
        view = View((point,), (), since_us=since, until_us=until)
        cells = max(4 * columns * (until - since) // period.span_us, 1) * 2
        for rates in now_and_then(scan.rates(reader, view, cells)):
            self.post_message(self._Counts(number, Counted.of(rates), closely=True))

    def on_timeline_data__near(self, message: _Near) -> None:
        """Runs and overrides."""
        if message.number == self._near_number:
            self._near = message
            self._gather()

    def on_timeline_data__failed(self, message: _Failed) -> None:
        """Say what is wrong."""
        if message.number == self._number:
            self._error, self._checking = said(message.error), None
            self._draw()

    def _gather(self) -> None:
        """All events in the order of time; the cursor stays on the one that it is on."""
        before = self.event
        found = list(of_changes(self._changes or (), self._moments))
        if self._near is not None:
            found += of_runs(self._near.runs or ())
            found += of_changes(self._near.overrides or (), ())
        if self._check is not None:
            told = [one for one in self._check[1].found if one.severity in _TOLD]
            found += of_findings(told)
        found.sort(key=lambda event: (event.at_us, event.rank, event.words))
        self._events, self._marks = found, marks_of(found)
        stays = [
            at
            for at, event in enumerate(found)
            if before is not None and event.at_us == self._cursor and same(event, before)
        ]
        self._at = stays[0] if stays else self._nearest(self._cursor)
        self._draw()

    def _nearest(self, time_us: int) -> int:
        """The event nearest to a time; of several, the one to be seen first."""
        near = range(len(self._events))
        return min(
            near,
            key=lambda at: (abs(self._events[at].at_us - time_us), self._events[at].rank),
            default=0,
        )

    @property
    def _counted(self) -> Counted | None:
        """The finest counts there are of what is in sight."""
        period, whole, close = self._period, self._whole, self._close
        column = period.span_us // self._axis.columns
        if whole is not None and whole.is_fine(column):
            return whole
        if close is not None and close.covers(period.since_us, period.until_us):
            return close
        return whole or self._traffic

    def action_check(self) -> None:
        """Check the decisions in sight with all detectors."""
        number, period, point = self._number, self._period, self._point
        reader = self._reader("check", patient=True)
        ends = from_micros(period.since_us), from_micros(period.until_us)

        def work() -> None:
            def progress(done: int, total: int) -> None:
                if reader.cancelled:
                    raise Cancelled
                self.post_message(self._Checking(number, period, done / max(total, 1)))

            found = check(
                reader.snapshot, since=ends[0], until=ends[1], decision_point=point,
                progress=progress,
            )  # fmt: skip
            self.post_message(self._Checking(number, period, 1.0, found))

        self._checking = 0.0
        self._work(work, "check")
        self._draw()

    def on_timeline_data__checking(self, message: _Checking) -> None:
        """How far the check is, or what it found."""
        if message.number != self._number or self._checking is None:
            return
        if message.check is None:
            self._checking = message.done
            self._draw()
        else:
            self._checking, self._check = None, (message.period, message.check)
            self._gather()

    def _draw(self) -> None:
        """Show what is known by now; called whenever that is more."""
        raise NotImplementedError

    def _tell(self) -> None:
        """Say what is known as a whole."""
        raise NotImplementedError


def bounds_of(opened: Opened, point: str) -> tuple[int, int]:
    """The first decision of a point, and just after the last."""
    files = opened.snapshot.files(f"decisions/{point}")
    if not files:
        raise UsageError(f"{point} has not decided anything yet.")
    return min(file.first_us for file in files), max(file.last_us for file in files) + 1
