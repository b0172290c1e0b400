"""What the detectors find in a window: by severity, down to the decisions that show it."""

from __future__ import annotations

import time
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual.message import Message

from forensics.errors import UsageError
from forensics.incident.pins import Pinnable
from forensics.incident.questions import Argument, Question
from forensics.lake import scan, sql
from forensics.lake.read import from_micros, to_micros
from forensics.lake.snapshot import Snapshot
from forensics.lake.window import DECISION, REQUEST, TIME, Cancelled, Reader, Row, View
from forensics.reconstruct.check import Check, Noticed, check
from forensics.reconstruct.findings import RANK
from forensics.records.safe_text import safe_text
from forensics.report.spans import Line, Span, fitted, span, wrapped
from forensics.report.words import age_words
from forensics_tui import keys
from forensics_tui.checked_window import MINUTE_US, Window, around, rows_in, within
from forensics_tui.finding_lines import (
    BY_KIND,
    ID_MAX,
    SIGNS,
    flow,
    of_change,
    of_kind,
    of_row,
    row_line,
    second,
    share,
    time_of,
    words_of,
)  # fmt: skip
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
_SHOWN = 20
_HOUR_US = 3_600_000_000
_LEAST_US = 1_000_000
#: Widths of a window to begin with, in minutes.
_WIDTHS = (43_200, 20_160, 10_080, 4_320, 1_440, 720, 360, 180, 60, 30, 15, 5, 1)
_TRACK = 16
_COLUMNS = ("outcome", "score", "model_version")


class _Kind(NamedTuple):
    """A detector, in the group that stands under a heading."""

    kind: str
    group: str


class _One(NamedTuple):
    """What a detector says of some decisions."""

    kind: str
    about: str


class _Example(NamedTuple):
    """A decision of which that is said."""

    of: _One
    row: Row


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
        of: _One
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
            self._window = self._begun(opened.snapshot)
        #: What is shown, which may be of the window before the one that is being checked.
        self._shown: Window | None = None
        self._found: Check | None = None
        self._noticed: dict[_One, Noticed] = {}
        self._examples: dict[_One, list[Row]] = {}
        self._unfolded: set[Hashable] = set()
        self._done = 0.0
        self._began = self._took = 0.0

    def _begun(self, snapshot: Snapshot) -> Window:
        """The whole window, or as much of it as is checked in a moment."""
        points = self._points
        if rows_in(snapshot, points, self._whole) <= START_ROWS:
            return self._whole
        at = self._at if self._at is not None else self._whole.until_us
        for minutes in _WIDTHS:
            window = within(around(at, minutes * MINUTE_US), self._whole)
            if rows_in(snapshot, points, window) <= START_ROWS:
                break
        return window

    @property
    def _points(self) -> list[str]:
        return [self._point] if self._point else self._opened.snapshot.points()

    @property
    def time_us(self) -> int | None:
        """The time of the decision under the cursor, or when the finding was made first."""
        data = self.outline.data
        if isinstance(data, _Example):
            return int(data.row[TIME])
        one = self._one(data)
        return to_micros(one.first) if one is not None else self._at

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
        return data.row if isinstance(data, _Example) else None

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

        found = check(
            reader.snapshot,
            since=from_micros(window.since_us),
            until=from_micros(window.until_us),
            decision_point=point,
            examples=_EXAMPLES,
            progress=progress,
            rows_max=_ROWS_AT_ONCE,
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
        self._shown, self._found = message.window, message.found
        everything = (*message.found.found, *message.found.not_checkable)
        self._noticed = {_One(one.kind, one.about): one for one in everything}
        self._examples = {}
        grave = {one.kind for one in everything if RANK[one.severity] <= RANK["warning"]}
        self._unfolded = {_Kind(kind, "wrong") for kind in grave}
        self.describe()
        self.show()

    def on_paned_place_failed(self, message: PanedPlace.Failed) -> None:
        """Say what is wrong, or that there is nothing to check."""
        if message.number == self.number and not message.beside:
            self._shown = self._found = None
        super().on_paned_place_failed(message)

    def describe(self) -> None:
        """How far the check is, or how much was checked."""
        if self.is_asking:
            count = rows_in(self._opened.snapshot, self._points, self._window)
            state = f"checking {self._window.words} · {self._done:.0%}, esc ends"
            self.tell(f"about {count:,} decisions · {state}", state, f"{self._done:.0%}, esc ends")
        elif self._found is not None:
            words = f"{self._found.decisions:,} checked in {self._took:.1f} s"
            self.tell(words)
        else:
            self.tell("nothing to check" if self.error else "ended")

    def laid(self, width: int) -> Laid:
        """Which window, then what was found in it."""
        found = self._found
        if self.error:
            head: list[Line] = [[Span(self._window.words, "bold")]]
            return Laid(head, [Item([span(part)]) for part in wrapped(self.error, width)])
        if found is None or self._shown is None:
            return Laid([[Span(self._window.words, "bold")]], [Item([Span("checking …", "dim")])])
        head = [fitted(line, width) for line in self._head(found, self._shown)]
        items = [item._replace(line=fitted(item.line, width)) for item in self._items(found, width)]
        return Laid(head, items)

    def _head(self, found: Check, window: Window) -> Iterator[Line]:
        points = safe_text(", ".join(found.decision_points), 40)
        yield [Span(window.words, "bold"), Span(f" · {points}"),
               Span(f" · {found.decisions:,} decisions")]  # fmt: skip
        if window != self._whole:
            of = rows_in(self._opened.snapshot, self._points, self._whole)
            yield [Span(f"part of about {of:,} decisions: - twice the window, 0 all of it", "dim")]

    def _items(self, found: Check, width: int) -> Iterator[Item]:
        wrong = [one for one in found.found if RANK[one.severity] <= RANK["warning"]]
        known = [one for one in found.found if RANK[one.severity] > RANK["warning"]]
        yield Item([Span("wrong", "bold")])
        if not wrong:
            looked = len(found.clean_kinds)
            words = f"nothing, as far as {looked} of {len(found.kinds)} detectors can tell"
            yield Item([Span("  "), Span(words)])
        yield from self._group("wrong", wrong, found, width)
        if known:
            yield Item([Span("worth knowing", "bold")])
            yield from self._group("known", known, found, width)
        if found.not_checkable:
            yield Item([Span("not checkable", "bold"), Span(" · neither clean nor wrong", "dim")])
            for one in found.not_checkable:
                yield from self._finding(one, f"{words_of(one.kind)}, because ", found, width, 1)
        if found.clean_kinds:
            words = f" · each looked at all {found.decisions:,} decisions"
            yield Item([Span("nothing found", "bold"), Span(words, "dim")])
            for kind in found.clean_kinds:
                yield Item([Span("  ✓ ", "good"), Span(words_of(kind))], _Kind(kind, "clean"))
        if found.beyond_columns:
            yield Item([Span("not told by a window's columns", "bold")])
            for kind in found.beyond_columns:
                yield Item([Span("  · ", "dim"), Span(words_of(kind))], _Kind(kind, "beyond"))

    def _group(
        self, group: str, noticed: Sequence[Noticed], found: Check, width: int
    ) -> Iterator[Item]:
        """Detectors, the gravest first and of those the one that says most; what they found."""
        kinds = dict.fromkeys(one.kind for one in noticed)
        by_kind = {kind: [one for one in noticed if one.kind == kind] for kind in kinds}
        ranked = sorted(
            by_kind.items(),
            key=lambda item: (RANK[item[1][0].severity], -_most(item[1])),
        )
        for kind, ones in ranked:
            data = _Kind(kind, group)
            is_open = data in self._unfolded
            sign, style = SIGNS[ones[0].severity]
            count = f"{len(ones)} finding{'s' if len(ones) != 1 else ''}"
            least = "" if len(ones) == 1 else "up to "
            words = f" · {count}, {least}{_most(ones):,} decisions"
            fold = "▾" if is_open else "▸"
            line: Line = [Span(f"{fold} "), Span(f"{sign} ", style), Span(words_of(kind), "bold")]
            yield Item([*line, Span(words, "dim")], data)
            for one in ones if is_open else ():
                yield from self._finding(one, "", found, width, 2)

    def _finding(
        self, one: Noticed, lead: str, found: Check, width: int, depth: int
    ) -> Iterator[Item]:
        data = _One(one.kind, one.about)
        sign, style = SIGNS[one.severity]
        margin = "  " * depth
        fold = "▾" if data in self._unfolded else "▸"
        count = f"{one.count:>7,} {share(one, found):>8}"
        track = f"  {self._track(one)}" if width >= 100 else ""
        before = f"{margin}{fold} "
        room = width - len(before) - len(count) - len(track) - 4
        text = span(lead + one.statement, limit=max(room, 12)).text
        yield Item([Span(before, "dim"), Span(f"{sign} ", style), Span(text.ljust(room)),
                    Span(f"  {count}"), Span(track, style)], data)  # fmt: skip
        if data not in self._unfolded:
            return
        rows = self._examples.get(data)
        margin += "  "
        if rows is None:
            yield Item([Span(f"{margin}looking for the first of them …", "dim")])
            return
        names = max((cell_len(safe_text(row[REQUEST], ID_MAX)) for row in rows), default=0)
        for row in rows[:_SHOWN]:
            mark = "*" if row[DECISION] in self.app.marks else " "
            yield Item([Span(f"{margin}{mark} "), *row_line(row, names)], _Example(data, row))
        if one.count > _SHOWN:
            more = f"{margin}  the first {len(rows[:_SHOWN])} of {one.count:,}"
            yield Item([Span(more, "dim")])

    def _track(self, one: Noticed) -> str:
        """Where in the window it was found, from the first to the last."""
        window = self._shown or self._window
        width = max(window.until_us - window.since_us, 1)
        first, last = (
            int((to_micros(t) - window.since_us) * _TRACK / width) for t in (one.first, one.last)
        )
        first = max(0, min(first, _TRACK - 1))
        last = max(first, min(last, _TRACK - 1))
        return "·" * first + "█" * (last - first + 1) + "·" * (_TRACK - 1 - last)

    def facts(self, data: Hashable, width: int) -> list[Line]:
        """What a detector does, what it found, or a decision."""
        found = self._found
        if found is None:
            return []
        if isinstance(data, _Example):
            return list(of_row(data.row, found, width))
        one = self._one(data)
        if one is not None:
            return list(self._of_finding(one, found, width))
        if isinstance(data, _Kind):
            return list(of_kind(data.kind, found, width))
        return []

    def _of_finding(self, one: Noticed, found: Check, width: int) -> Iterator[Line]:
        sign, style = SIGNS[one.severity]
        unknown = one.severity == "not_checkable"
        yield [Span(f"{sign} ", style), Span(words_of(one.kind), "bold"),
               Span(f" · {one.severity.replace('_', ' ')}", "dim")]  # fmt: skip
        yield from flow(f"because {one.statement}" if unknown else one.statement, width)
        yield from flow(f"{one.count:,} of {found.decisions:,} ({share(one, found)})", width)
        same = one.first == one.last
        times = f"at {second(one.first)}" if same else (
            f"{second(one.first)} to {second(one.last)}, {age_words(one.last - one.first)}"
        )  # fmt: skip
        yield from flow(times, width)
        yield [Span(self._track(one), style), Span(" in the window", "dim")]
        if one.changes_before:
            yield [Span("shortly before the first", "bold")]
        for change in one.changes_before:
            yield from of_change(change, one.first, width)
        if unknown:
            yield [Span("needs", "bold")]
            yield from flow(BY_KIND[one.kind].needs, width)
        words = "v shows all of them as rows" if self._where(one) is not None else (
            f"more than {_EXAMPLES}: no filter tells them; + around them makes it fewer"
        )  # fmt: skip
        yield from flow(words, width, "dim")

    def _one(self, data: Hashable) -> Noticed | None:
        """The finding that something stands for, or is part of."""
        if isinstance(data, _Example):
            data = data.of
        return self._noticed.get(data) if isinstance(data, _One) else None

    def _where(self, one: Noticed) -> str | None:
        """The condition that finds a finding's decisions; empty where all are, None if none."""
        if self._found is not None and one.count == self._found.decisions:
            return ""
        if one.count > len(one.examples):
            return None
        ids = ", ".join(sql.literal(each) for each in dict.fromkeys(one.examples))
        return f"request_id IN ({ids})"

    def pinnables(self) -> Sequence[Pinnable]:
        """What is under the cursor first, then all that was found, then what was not."""
        found = self._found
        if found is None or self._shown is None:
            return ()
        question, window = self._question, self._shown.words
        pins: dict[Hashable, Pinnable] = {}
        for list_, ones in (("found", found.found), ("not_checkable", found.not_checkable)):
            for at, one in enumerate(ones):
                because = ", because " if list_ == "not_checkable" else ": "
                words = f"{words_of(one.kind)}{' not checkable' if because != ': ' else ''}"
                words += f"{because}{one.statement}: {one.count:,} of {found.decisions:,} decisions"
                words += f" ({share(one, found)}), {second(one.first)} to {second(one.last)}"
                pin = Pinnable(question, f"/{list_}/{at}", safe_text(words))
                pins[_One(one.kind, one.about)] = pin
        names = ", ".join(map(words_of, found.clean_kinds))
        if names:
            words = (
                f"all {found.decisions:,} decisions of {window} checked, nothing found by {names}"
            )
            pins["clean"] = Pinnable(question, "/nothing_found", words)
        data = self.outline.data
        here: list[Pinnable] = []
        if isinstance(data, _Example):
            row = data.row
            words = safe_text(f"{row[REQUEST]} was decided {row[4]} at {second(time_of(row))}")
            here.append(
                Pinnable(Question("trace", {"id": str(row[DECISION])}), "/decision/outcome", words)
            )
            data = data.of
        if isinstance(data, _Kind):
            of = data.kind
            chosen = [key for key in pins if isinstance(key, _One) and key.kind == of]
            here += [pins.pop(key) for key in chosen or list(pins)[-1:]]
        elif data in pins:
            here.append(pins.pop(data))
        return [*here, *pins.values()]

    async def on_outline_opened(self, message: Outline.Opened) -> None:
        """Unfold a detector or a finding; open a decision."""
        data = message.data
        if isinstance(data, _Example):
            await self.app.open_decision(data.row)
        elif data in self._unfolded:
            self._fold(data)
        else:
            self._unfold(data)

    def on_outline_sideways(self, message: Outline.Sideways) -> None:
        """Fold to the left, unfold to the right."""
        if message.step > 0:
            self._unfold(message.data)
            return
        data = message.data
        if isinstance(data, _Example):
            self.outline.point_at(data.of)
        elif data in self._unfolded:
            self._fold(data)
        elif isinstance(data, _One):
            self.outline.point_at(_Kind(data.kind, "wrong"))
            self.outline.point_at(_Kind(data.kind, "known"))

    def _fold(self, data: Hashable) -> None:
        self._unfolded.discard(data)
        self.show()

    def _unfold(self, data: Hashable) -> None:
        if isinstance(data, _Example) or data in self._unfolded or data is None:
            return
        self._unfolded.add(data)
        one = self._one(data)
        if isinstance(data, _One) and one is not None and data not in self._examples:
            self.ask(partial(self._read_examples, data, one), beside=True)
        self.show()

    def _read_examples(
        self, of: _One, one: Noticed, reader: Reader, number: int
    ) -> Iterator[Message]:
        """Read the first decisions of a finding."""
        ids = ", ".join(sql.literal(each) for each in one.examples[:_SHOWN])
        view = View(
            tuple(self._points), _COLUMNS, f"request_id IN ({ids})", descending=False,
            since_us=to_micros(one.first), until_us=to_micros(one.last) + 1,
        )  # fmt: skip
        rows: list[Row] = []
        for found in scan.look(reader, view) if ids else ():
            rows = found.pages.rows(0, _SHOWN)
            if len(rows) >= min(one.count, _SHOWN):
                break
        yield self._Named(number, of, rows)

    def on_findings_screen__named(self, message: _Named) -> None:
        """Show the examples."""
        if message.number == self.number:
            self._examples[message.of] = message.rows
            self.show()

    async def action_rows(self) -> None:
        """Show the decisions of a finding as rows."""
        one = self._one(self.outline.data)
        if one is None:
            self.app.say("Put the cursor on a finding: enter unfolds a detector.")
            return
        where = self._where(one)
        if where is None:
            self.app.say(
                f"{one.count:,} decisions, and no filter tells them: + makes the window smaller."
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
        if isinstance(data, _Example):
            self.app.copy(safe_text(data.row[REQUEST]))
        elif self.pinnables() and data is not None:
            self.app.copy(self.pinnables()[0].statement)

    def action_copy_command(self) -> None:
        """Copy the command that prints this."""
        self.app.copy(safe_text(self._question.line(self._opened.asked.root)))

    def action_back(self) -> None:
        """End the check, where one is running; else back."""
        if self.stop():
            self._window = self._shown or self._window
            self._unfolded -= {
                one for one in self._unfolded if isinstance(one, _One) and one not in self._examples
            }
            if self._found is None:
                self.error = "Ended before anything was told. + makes the window smaller."
            self.describe()
            self.show()
        else:
            self.app.back()


def _most(ones: Sequence[Noticed]) -> int:
    return max(one.count for one in ones)
