"""What the detectors find in a window: by severity, down to the decisions that show it."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar

from textual.message import Message

from forensics.errors import UsageError
from forensics.incident.pins import Pinnable
from forensics.incident.questions import Argument, Question
from forensics.lake import scan, sql
from forensics.lake.window import REQUEST, TIME, Cancelled, Reader, Row, View
from forensics.reconstruct.check import Check, Noticed, check
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros, to_micros
from forensics.report.spans import Line, Span, fitted, span, wrapped
from forensics_tui import keys
from forensics_tui.checked_window import Window, around, first_window, rows_in, within
from forensics_tui.finding_lines import of_finding, of_kind, of_row
from forensics_tui.found import Example, Found, Kind, One
from forensics_tui.found_items import SHOWN, items
from forensics_tui.found_pins import of_found
from forensics_tui.kept import NOTHING
from forensics_tui.keys import ANYWHERE, GO, Key, bindings
from forensics_tui.opening import Opened
from forensics_tui.screens.decisions import DecisionsScreen
from forensics_tui.screens.paned import PanedPlace
from forensics_tui.screens.place import Place
from forensics_tui.widgets.outline import Item, Laid, Outline

#: So many decisions are checked without being asked: about two seconds' work.
START_ROWS = 200_000
#: About as many are checked between two tellings of how far it is.
_ROWS_AT_ONCE = 100_000
#: So many decisions of each finding are named, and can be told by a filter.
_EXAMPLES = 200
_HOUR_US = 3_600_000_000
_LEAST_US = 1_000_000
_COLUMNS = ("outcome", "score", "model_version")


class FindingsScreen(PanedPlace):
    """The findings of a window.

    Raises:
        UsageError: when the lake has no decision.
    """

    TITLE = "Findings"
    KEYS: ClassVar[tuple[Key, ...]] = (
        *keys.OUTLINE[:1], *keys.FINDINGS, *GO, *keys.MOVES, *ANYWHERE
    )  # fmt: skip
    BINDINGS = bindings((*keys.FINDINGS, *GO))

    @dataclass
    class _Progressed(Message):
        number: int
        done: int
        total: int

    @dataclass
    class _Checked(Message):
        number: int
        window: Window
        found: Check

    @dataclass
    class _Named(Message):
        """The first decisions of a finding."""

        number: int
        of: One
        rows: list[Row]

    def __init__(self, opened: Opened, came_from: Place) -> None:
        super().__init__(opened, id="findings")
        ends = opened.snapshot.window_us()
        if ends is None:
            raise UsageError(
                "There is no decision to check.", "", "forensics ingest takes some in."
            )
        self._lake = Window(ends[0], ends[1] + 1)
        self._point = came_from.point
        self._at = came_from.time_us
        self._whole = self._lake
        if came_from.window_us is not None:
            self._whole = within(Window(*came_from.window_us), self._lake)
        if came_from.window_us is None and not isinstance(came_from, DecisionsScreen) and self._at:
            self._window = within(around(self._at, _HOUR_US), self._lake)
        else:
            self._window = first_window(
                opened.snapshot, self._points, self._whole, self._at, START_ROWS
            )
        #: What is shown, which may be of the window before the one that is being checked.
        self._found: Found | None = None
        self._done = 0.0
        self._began = self._took = 0.0

    @property
    def _shown(self) -> Window | None:
        return self._found.window if self._found is not None else None

    def _one(self, data: Hashable) -> Noticed | None:
        return self._found.one(data) if self._found is not None else None

    @property
    def _points(self) -> list[str]:
        return [self._point] if self._point else self._opened.snapshot.points()

    @property
    def time_us(self) -> int | None:
        """The time of the decision under the cursor, or of the first of the finding there."""
        data = self.outline.data
        if isinstance(data, Example):
            return int(data.row[TIME])
        one = self._one(data)
        chosen = self.outline.is_chosen or self._at is None
        return to_micros(one.first) if one is not None and chosen else self._at

    @property
    def window_us(self) -> tuple[int, int] | None:
        """The window that is checked."""
        return self._window

    def marks_changed(self) -> None:
        """Draw the signs of marks anew."""
        self.show()

    @property
    def point(self) -> str | None:
        """The decision point that is checked."""
        return self._point

    @property
    def row(self) -> Row | None:
        """The decision under the cursor."""
        data = self.outline.data
        return data.row if isinstance(data, Example) else None

    @property
    def _question(self) -> Question:
        window = self._shown or self._window
        arguments: dict[str, Argument] = {} if self._point is None else {"point": self._point}
        if window != self._lake:
            arguments["since"] = from_micros(window.since_us).isoformat()
            arguments["until"] = from_micros(window.until_us).isoformat()
        return Question("check", arguments)

    def begin(self) -> None:
        """Check the window."""
        self._done, self._began = 0.0, time.monotonic()
        self.ask(partial(self._check, self._window, self._point))
        self.describe()

    def _check(
        self, window: Window, point: str | None, reader: Reader, number: int
    ) -> Iterator[Message]:
        def progress(done: int, total: int) -> None:
            if reader.cancelled:
                raise Cancelled
            self.post_message(self._Progressed(number, done, total))

        beneath = Reader(reader.snapshot, sql.connect([reader.snapshot.root]))
        self.ends_with(reader, beneath)
        found = check(
            reader.snapshot,
            since=from_micros(window.since_us),
            until=from_micros(window.until_us),
            decision_point=point,
            examples=_EXAMPLES,
            progress=progress,
            rows_max=_ROWS_AT_ONCE,
            connection=beneath.snapshot.connection,
        )
        yield self._Checked(number, window, found)

    def on_findings_screen__progressed(self, message: _Progressed) -> None:
        """Say how far it is."""
        if message.number == self.number and self.is_asking:
            self._done = message.done / max(message.total, 1)
            self.describe()

    def on_findings_screen__checked(self, message: _Checked) -> None:
        """Show what was found."""
        if message.number != self.number or not self.is_asking:
            return
        self.answered()
        self._took = time.monotonic() - self._began
        self._found = Found(message.found, message.window)
        self.describe()
        self.show()

    def on_paned_place_failed(self, message: PanedPlace.Failed) -> None:
        """Say what is wrong, or that there is nothing to check."""
        if message.number == self.number and not message.beside:
            self._found = None
        super().on_paned_place_failed(message)

    def describe(self) -> None:
        """How far the check is, or how much was checked."""
        if self.is_asking:
            count = rows_in(self._opened.snapshot, self._points, self._window)
            state = f"checking {self._window.words} · {self._done:.0%}, esc ends"
            self.tell(
                f"about {count_of(count, 'decision')} · {state}",
                state,
                f"{self._done:.0%}, esc ends",
            )
        elif self._found is not None:
            self.tell(f"{self._found.check.decisions:,} checked in {self._took:.1f} s")
        else:
            self.tell("nothing to check" if self.error else "ended")

    def laid(self, width: int) -> Laid:
        """Which window, then what was found in it."""
        found = self._found
        if self.error:
            head: list[Line] = [[Span(self._window.words, "bold")]]
            return Laid(head, [Item([span(part)]) for part in wrapped(self.error, width)])
        if found is None:
            return Laid([[Span(self._window.words, "bold")]], [Item([Span("checking …", "dim")])])
        head = [fitted(line, width) for line in self._head(found)]
        told = items(found, self.app.marks, width)
        return Laid(head, [item._replace(line=fitted(item.line, width)) for item in told])

    def _head(self, found: Found) -> Iterator[Line]:
        points = safe_text(", ".join(found.check.decision_points), 40)
        count = count_of(found.check.decisions, "decision")
        yield [Span(found.window.words, "bold"), Span(f" · {points} · {count}")]
        if found.window != self._whole:
            of = rows_in(self._opened.snapshot, self._points, self._whole)
            yield [
                Span(
                    f"part of about {count_of(of, 'decision')}: - twice the window, 0 all of it",
                    "dim",
                )
            ]

    def facts(self, data: Hashable, width: int) -> list[Line]:
        """What a detector does, what it found, or a decision."""
        found = self._found
        if found is None:
            return []
        if isinstance(data, Example):
            return list(of_row(data.row, found.check, width))
        one = found.one(data)
        if one is not None:
            return list(of_finding(one, found, width))
        if isinstance(data, Kind):
            return list(of_kind(data.kind, found.check, width))
        return []

    def pinnables(self) -> Sequence[Pinnable]:
        """What is under the cursor first, then all that was found, then what was not."""
        if self._found is None:
            return ()
        return of_found(self._found, self._question, self.outline.data)

    async def on_outline_opened(self, message: Outline.Opened) -> None:
        """Unfold a detector or a finding; open a decision."""
        data = message.data
        if isinstance(data, Example):
            await self.app.open_decision(data.row)
        elif self._found is not None and data in self._found.unfolded:
            self._fold(self._found, data)
        else:
            self._unfold(data)

    def on_outline_sideways(self, message: Outline.Sideways) -> None:
        """Fold to the left, unfold to the right."""
        if message.step > 0:
            self._unfold(message.data)
            return
        data = message.data
        if isinstance(data, Example):
            self.outline.point_at(data.of)
        elif self._found is not None and data in self._found.unfolded:
            self._fold(self._found, data)
        elif isinstance(data, One):
            self.outline.point_at(Kind(data.kind, "wrong"))
            self.outline.point_at(Kind(data.kind, "known"))

    def _fold(self, found: Found, data: Hashable) -> None:
        found.unfolded.discard(data)
        self.show()

    def _unfold(self, data: Hashable) -> None:
        found = self._found
        if found is None or isinstance(data, Example) or data in found.unfolded or data is None:
            return
        found.unfolded.add(data)
        one = found.one(data)
        if isinstance(data, One) and one is not None and data not in found.examples:
            self.ask(partial(self._read_examples, data, one), beside=True)
        self.show()

    def _read_examples(
        self, of: One, one: Noticed, reader: Reader, number: int
    ) -> Iterator[Message]:
        """Read the first decisions of a finding."""
        ids = ", ".join(sql.literal(each) for each in one.examples[:SHOWN])
        view = View(
            tuple(self._points), _COLUMNS, f"request_id IN ({ids})", descending=False,
            since_us=to_micros(one.first), until_us=to_micros(one.last) + 1,
        )  # fmt: skip
        rows: list[Row] = []
        for found in scan.look(reader, view) if ids else ():
            rows = found.pages.rows(0, SHOWN)
            if len(rows) >= min(one.count, SHOWN):
                break
        yield self._Named(number, of, rows)

    def on_findings_screen__named(self, message: _Named) -> None:
        """Show the examples."""
        if message.number == self.number and self._found is not None:
            self._found.examples[message.of] = message.rows
            self.show()

    async def action_rows(self) -> None:
        """Show the decisions of a finding as rows."""
        one = self._one(self.outline.data)
        if one is None:
            self.app.say("Put the cursor on a finding: enter unfolds a detector.")
            return
        where = self._found.where(one) if self._found is not None else None
        if where is None:
            self.app.say(
                f"{count_of(one.count, 'decision')}, and no filter tells them: "
                "+ makes the window smaller."
            )
            return
        since, until = to_micros(one.first), to_micros(one.last) + 1
        opened = self._opened
        view = replace(
            opened.view, points=tuple(self._points), where=where or None,
            order="occurred_at", descending=True, since_us=since, until_us=until,
        )  # fmt: skip
        asked = replace(
            opened.asked, identifier=None, where=None, point=self._point, since_us=since,
            until_us=until,
        )  # fmt: skip
        there = replace(
            opened, asked=asked, view=view, found=None, rows=[], traced=[], kept=NOTHING, word=""
        )
        await self.app.push_screen(DecisionsScreen(there))

    def action_zoom(self, factor: float) -> None:
        """Check a window of another width around this; the whole one again where 0."""
        window = self._whole
        if factor:
            old = self._window
            width = max(int((old.until_us - old.since_us) * factor), _LEAST_US)
            at = self.time_us
            if at is None or not old.since_us <= at < old.until_us:
                at = (old.since_us + old.until_us) // 2
            # What one looks at keeps its place within the window, as in the decisions.
            part = (at - old.since_us) / max(old.until_us - old.since_us, 1)
            since = at - int(width * part)
            window = within(Window(since, since + width), self._lake)
        self._to(window)

    async def action_jump(self) -> None:
        """Ask for a time, and check around it."""
        from forensics_tui.screens.prompt import TimePrompt

        near = self.time_us
        await self.app.push_screen(
            TimePrompt(self._window.since_us if near is None else near), self._jumped
        )

    def _jumped(self, time_us: int | None) -> None:
        if time_us is not None:
            width = self._window.until_us - self._window.since_us
            self._at = time_us
            self._to(within(around(time_us, width), self._lake))

    def _to(self, window: Window) -> None:
        if window != self._shown or self.is_asking:
            self._window = window
            self.begin()

    def action_mark(self) -> None:
        """Mark the decision under the cursor, or take its mark away."""
        if self.row is not None:
            self.app.mark(self.row)
            self.show()

    def action_copy(self) -> None:
        """Copy a decision's request id, or what was found in words."""
        data = self.outline.data
        if isinstance(data, Example):
            self.app.copy(safe_text(data.row[REQUEST]))
        elif data is not None and (offered := self.pinnables()):
            self.app.copy(offered[0].statement)

    def action_copy_command(self) -> None:
        """Copy the command that prints this."""
        self.app.copy(safe_text(self._question.line(self._opened.asked.root)))

    def action_back(self) -> None:
        """End the check, where one is running; else back."""
        if self.stop():
            self._window = self._shown or self._window
            if self._found is not None:
                self._found.fold_what_was_not_read()
            else:
                self.error = "Ended before anything was told. + makes the window smaller."
            self.describe()
            self.show()
        else:
            self.app.back()
