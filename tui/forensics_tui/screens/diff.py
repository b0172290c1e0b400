"""Two decisions side by side: what differs first, and what is equal where one asks for it."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar, NamedTuple

from rich.cells import cell_len
from textual.message import Message

from forensics.errors import ForensicsError, UsageError
from forensics.incident.pins import Pinnable
from forensics.incident.questions import Question
from forensics.lake.window import DECISION, Reader, Row
from forensics.reconstruct.compare import compare
from forensics.reconstruct.diff import Diff, sections
from forensics.reconstruct.trace import trace
from forensics.records.jsontext import dumps
from forensics.records.replay import Attribution
from forensics.records.safe_text import safe_text
from forensics.report.spans import Line, Span, Style, span, wrapped
from forensics.report.words import number_words, time_words, value_words
from forensics_tui import keys
from forensics_tui.facts import flowed
from forensics_tui.inert import fitted, said
from forensics_tui.keys import ANYWHERE, GO, Key, bindings
from forensics_tui.opening import Opened
from forensics_tui.screens.decision import row_of
from forensics_tui.screens.paned import PanedPlace
from forensics_tui.screens.place import Place
from forensics_tui.widgets.outline import Item, Laid, Outline

_SIDES = ("a", "b")
#: Under this many columns the two values stand below each other.
_NARROW = 56
_NAME_MAX = 30
_VALUE_MAX = 44
_APART = 9
_FULL_MAX = 2_000
_WHY = "attribution"


class _Fact(NamedTuple):
    """A line: a fact of both, as text. ``pointer`` is its place in the answer that has it."""

    section: str
    name: str
    values: tuple[str, str]
    #: To the letter, where they are shown shorter.
    exact: tuple[str, str]
    apart: str
    is_equal: bool
    pointer: str


@dataclass(frozen=True, slots=True)
class _Why:
    """A decision's attribution, or why there is none."""

    found: Attribution | None
    reason: str


class DiffScreen(PanedPlace):
    """What differs between two decisions.

    Raises:
        UsageError: when there are no two; the words say how to name them.
    """

    TITLE = "Diff"
    KEYS: ClassVar[tuple[Key, ...]] = (*keys.OUTLINE[:1], *keys.DIFF, *GO, *keys.MOVES, *ANYWHERE)
    BINDINGS = bindings((*keys.DIFF, *GO))

    @dataclass
    class _Compared(Message):
        number: int
        found: Diff

    @dataclass
    class _Explained(Message):
        decision_id: str
        why: _Why

    def __init__(self, opened: Opened, came_from: Place) -> None:
        super().__init__(opened, id="diff")
        self._rows = two_of(list(came_from.app.marks.values()), getattr(came_from, "row", None))
        self._side = 0
        self._all = False
        self._found: Diff | None = None
        self._whys: dict[str, _Why] = {}
        self._grid = _Grid(0, 0)

    @property
    def crumb(self) -> str:
        """Both requests."""
        left, right = (row[3] for row in self._rows)
        return f"{safe_text(left, 20)} ≠ {safe_text(right, 20)}"

    @property
    def row(self) -> Row:
        """The decision of the column that the cursor is in."""
        return self._rows[self._side]

    @property
    def time_us(self) -> int | None:
        """When that was decided."""
        return int(self.row[0])

    @property
    def point(self) -> str | None:
        """Where that was decided."""
        return str(self.row[1])

    @property
    def _question(self) -> Question:
        left, right = (str(row[DECISION]) for row in self._rows)
        return Question("diff", {"ids": (left, right)})

    def begin(self) -> None:
        """Compare the two, then replay both for their attributions."""
        self._found = None
        self.ask(partial(self._compare, self._rows))
        self.describe()

    def _compare(self, rows: Sequence[Row], reader: Reader, number: int) -> Iterator[Message]:
        left, right = (str(row[DECISION]) for row in rows)
        yield self._Compared(number, compare(reader.snapshot, left, right))
        for row in rows:
            if row[DECISION] not in self._whys and not reader.cancelled:
                yield self._Explained(row[DECISION], _explained(reader, row))

    def on_diff_screen__compared(self, message: _Compared) -> None:
        """Show what differs."""
        if message.number == self.number:
            self._found = message.found
            self._rows = (row_of(message.found.a), row_of(message.found.b))
            self.describe()
            self.show()

    def on_diff_screen__explained(self, message: _Explained) -> None:
        """Show what made the scores differ, once both were replayed."""
        self._whys[message.decision_id] = message.why
        self.describe()
        self.show()

    def describe(self) -> None:
        """How many facts differ."""
        if self.error:
            self.tell("failed")
        elif self._found is None:
            self.tell("comparing")
        else:
            waits = " · replaying" if self._replays() else ""
            count, same = len(self._found.differences), sum(self._found.same.values())
            self.tell(f"{count} differ, {same} are equal{waits}", f"{count} differ{waits}")

    def _replays(self) -> bool:
        return any(row[DECISION] not in self._whys for row in self._rows)

    def laid(self, width: int) -> Laid:
        """The two decisions on top, then by section what differs."""
        if self.error:
            return Laid([], [Item([span(part, "bad")]) for part in wrapped(self.error, width)])
        if self._found is None:
            return Laid([], [Item([Span("comparing …", "dim")])])
        facts = list(self._facts_of(self._found))
        shown = [fact for fact in (*facts, *self._why_facts()) if self._all or not fact.is_equal]
        grid = _Grid.of(shown, width)
        self._grid = grid
        parts = {name: list(self._section(name, facts, grid)) for name in _names(facts)}
        whys = list(self._why_facts())
        made = [*self._section(_WHY, whys, grid)] if whys else []
        made += [Item(line) for line in self._missing_whys(width)]
        # What was made of the features comes after them.
        parts["features"] = [*parts.get("features", []), *made]
        items = [item for part in parts.values() for item in part]
        if not self._found.differences:
            items.insert(0, Item([Span("Nothing that was recorded differs.", "good")]))
        return Laid(self._head(self._found, grid), items)

    def _head(self, found: Diff, grid: _Grid) -> list[Line]:
        decisions = (found.a, found.b)
        signs = [f"{name}{'▸' if at == self._side else ' '}" for at, name in enumerate(_SIDES)]
        if grid.value == 0:
            return [
                [span(f"{sign}  {d.request_id} · {d.outcome} · {time_words(d.occurred_at)}")]
                for sign, d in zip(signs, decisions, strict=True)
            ]
        named = [
            f"{sign} {safe_text(d.request_id)}" for sign, d in zip(signs, decisions, strict=True)
        ]
        told = [f"{value_words(d.outcome)} {value_words(d.score)}" for d in decisions]
        form = "%Y-%m-%d %H:%M:%S" if grid.value > 18 else "%Y-%m-%d %H:%M"
        times = [f"{d.occurred_at:{form}}" for d in decisions]
        lines = [grid.line("", (named[0], named[1]), "× spread", "bold")]
        for left, right in (told, times):
            lines.append(grid.line("", (safe_text(left), safe_text(right)), "", "dim"))
        return lines

    def _section(self, name: str, facts: list[_Fact], grid: _Grid) -> Iterator[Item]:
        equal = [fact for fact in facts if fact.section == name and fact.is_equal]
        others = [fact for fact in facts if fact.section == name and not fact.is_equal]
        told = [f"{len(equal)} equal"] if equal else []
        told = [f"{len(others)} differ", *told] if others else told
        yield Item([span(name, "bold" if others else "dim"), Span(f" · {', '.join(told)}", "dim")])
        for fact in (*others, *(equal if self._all else ())):
            style: Style = "dim" if fact.is_equal else ""
            if grid.value:
                sign = "=" if fact.is_equal else "≠"
                line = grid.line("  " + fact.name, fact.values, fact.apart, style, sign)
                yield Item(line, fact)
                continue
            yield Item([span(f"  {fact.name}", style), Span(f"  {fact.apart}", "dim")], fact)
            for side, value in zip(_SIDES, fact.values, strict=True):
                yield Item([Span(f"    {side}  ", "dim"), span(value, style)])

    def _facts_of(self, found: Diff) -> Iterator[_Fact]:
        """All facts: by section what differs, as the library orders it, then what is equal."""
        differing = {(d.section, d.name): (at, d) for at, d in enumerate(found.differences)}
        for section, left, right in sections(found.a, found.b):
            for (of, name), (at, d) in differing.items():
                if of == section:
                    values = _words(d.a, d.b, d.a_evidence, d.b_evidence)
                    near = d.distance if d.distance and math.isfinite(d.distance) else None
                    apart = f"{number_words(near, 2)} ×" if near else ""
                    exact = (_exact(d.a, d.a_evidence), _exact(d.b, d.b_evidence))
                    pointer = f"/differences/{at}"
                    yield _Fact(section, safe_text(name), values, exact, apart, False, pointer)
            for name in dict.fromkeys((*left, *right)):
                if (section, name) not in differing:
                    value = _exact(left.get(name), "recorded")
                    shown = safe_text(value_words(left.get(name)), _FULL_MAX)
                    yield _Fact(section, safe_text(name), (shown, shown), (value, value), "",
                                True, f"/same/{section}")  # fmt: skip

    def _both(self) -> tuple[Attribution, Attribution] | None:
        whys = [self._whys.get(row[DECISION]) for row in self._rows]
        left, right = (why.found if why is not None else None for why in whys)
        return (left, right) if left is not None and right is not None else None

    def _why_facts(self) -> Iterator[_Fact]:
        """The parts of both scores, those that differ most first."""
        both = self._both()
        if both is None:
            return
        left, right = both
        facts = []
        for name in dict.fromkeys((*left.values, *right.values)):
            x, y = left.values.get(name), right.values.get(name)
            facts.append((abs((x or 0.0) - (y or 0.0)), name, x, y))
        facts.sort(key=lambda fact: -fact[0])
        base = [("base value", left.base_value, right.base_value)]
        for name, x, y in [*((name, x, y) for _, name, x, y in facts), *base]:
            values = tuple(f"{v:+.3f}" if v is not None else "none" for v in (x, y))
            exact = tuple(repr(v) if v is not None else "none" for v in (x, y))
            apart = f"{(x or 0.0) - (y or 0.0):+.3f}"
            yield _Fact(_WHY, safe_text(name), (values[0], values[1]), (exact[0], exact[1]),
                        apart, x == y, "/attributions")  # fmt: skip

    def _missing_whys(self, width: int) -> Iterator[Line]:
        """Why no attribution can be compared, or what the parts are measured in."""
        both = self._both()
        whys = [self._whys.get(row[DECISION]) for row in self._rows]
        if both is not None:
            left, right = both
            units = {(one.unit.replace("_", "-"), one.method) for one in both}
            words = "; ".join(f"{unit} by {method}" for unit, method in sorted(units))
            if len(units) > 1:
                words += ": not of one kind, so not to be compared"
            if left.output != right.output:
                words += f"; of {left.output} and of {right.output}"
            lead = "  recomputed, " if "recomputed" in (left.evidence, right.evidence) else "  "
            for part in wrapped(span(lead + words).text, width):
                yield [Span(part, "dim")]
            return
        yield [Span(_WHY, "dim")]
        for side, why in zip(_SIDES, whys, strict=True):
            if why is None:
                yield [Span(f"  {side}  replaying …", "dim")]
            elif why.found is None:
                for part in wrapped(span(f"{side}  missing: {why.reason}").text, width - 4):
                    yield [Span(f"  {part}", "dim")]

    def facts(self, data: Hashable, width: int) -> list[Line]:
        """Both values of a fact in full."""
        if not isinstance(data, _Fact):
            return []
        sign = "equal" if data.is_equal else "differs"
        lines: list[Line] = [[span(data.section, "dim"), Span(" · "), span(data.name, "bold"),
                              Span(f" · {sign}", "dim")]]  # fmt: skip
        for at, (side, value) in enumerate(zip(_SIDES, data.exact, strict=True)):
            mark = "▸" if at == self._side else " "
            for number, part in enumerate(flowed(value, width - 4)):
                lines.append(
                    [Span(f"{mark}{side}  " if number == 0 else "    ", "dim"), Span(part)]
                )
        if data.section == _WHY:
            lines.append([Span(f"    a is {data.apart} from b", "dim")])
        elif data.apart:
            words = f"    {data.apart} the usual spread (1 % to 99 % of the days before)"
            lines.append([Span(words, "dim")])
        return lines

    def pinnables(self) -> Sequence[Pinnable]:
        """What differs: the fact under the cursor first, then the others, then how many do."""
        found = self._found
        if found is None:
            return ()
        here = self.outline.data
        facts = [*self._facts_of(found), *self._why_facts()]
        facts = [fact for fact in facts if not fact.is_equal and fact != here]
        pins = [pin for fact in (here, *facts) if isinstance(fact, _Fact)
                for pin in self._pins_of(fact)]  # fmt: skip
        names = " and ".join(safe_text(row[3], 48) for row in self._rows)
        count, same = len(found.differences), sum(found.same.values())
        whole = f"{names} differ in {count} recorded facts and agree in {same}"
        return [*pins, Pinnable(self._question, "", whole)]

    def _pins_of(self, fact: _Fact) -> Iterator[Pinnable]:
        left, right = (safe_text(row[3], 48) for row in self._rows)
        x, y = (safe_text(value, 200) for value in fact.values)
        if fact.section == _WHY:
            for row, value in zip(self._rows, fact.values, strict=True):
                why = self._whys[row[DECISION]].found
                if why is None or fact.name not in (names := list(map(safe_text, why.values))):
                    continue
                place = f"/attributions/values/{names.index(fact.name)}"
                words = f"{fact.name} moved the score of {safe_text(row[3], 48)} by {value}"
                yield Pinnable(Question("trace", {"id": str(row[DECISION])}), place, words)
        elif fact.is_equal:
            same = self._found.same[fact.section] if self._found is not None else 0
            words = f"{same} facts of {fact.section} are equal in {left} and {right}"
            yield Pinnable(self._question, fact.pointer, words)
        else:
            words = f"{fact.section} {fact.name} was {x} in {left} and {y} in {right}"
            words += f", {fact.apart} the usual spread apart" if fact.apart else ""
            yield Pinnable(self._question, fact.pointer, words)

    def on_outline_sideways(self, message: Outline.Sideways) -> None:
        """To the column of the other decision."""
        self._to_side(0 if message.step < 0 else 1)

    def on_outline_clicked(self, message: Outline.Clicked) -> None:
        """The column that was clicked."""
        if self._grid.value:
            self._to_side(0 if message.x < self._grid.name + self._grid.value + 3 else 1)

    def _to_side(self, side: int) -> None:
        self._side = side
        self.show()

    async def on_outline_opened(self, message: Outline.Opened) -> None:
        """Open the decision of the column."""
        await self.app.open_decision(self.row)

    def action_equal(self) -> None:
        """Show what is equal too, or no longer."""
        self._all = not self._all
        self.show()

    def action_swap(self) -> None:
        """The other way round."""
        self._rows = (self._rows[1], self._rows[0])
        self._side = 1 - self._side
        self.begin()

    def action_copy(self) -> None:
        """Copy the value under the cursor."""
        fact = self.outline.data
        if isinstance(fact, _Fact):
            self.app.copy(safe_text(fact.exact[self._side], _FULL_MAX))

    def action_copy_command(self) -> None:
        """Copy the command that prints this."""
        self.app.copy(safe_text(self._question.line(self._opened.asked.root)))


class _Grid(NamedTuple):
    """How wide the columns are; ``value`` is 0 where two do not fit beside each other."""

    name: int
    value: int

    @classmethod
    def of(cls, facts: Sequence[_Fact], width: int) -> _Grid:
        if width < _NARROW:
            return cls(width, 0)
        longest = max((cell_len(fact.name) + 2 for fact in facts), default=12)
        name = max(12, min(longest, _NAME_MAX, width // 3))
        values = max((cell_len(value) for fact in facts for value in fact.values), default=0)
        room = (width - name - _APART - 7) // 2
        return cls(name, max(min(room, max(values, 28), _VALUE_MAX), 8))

    def line(
        self, name: str, values: tuple[str, str], apart: str, style: Style = "", between: str = " "
    ) -> Line:
        """A line of the grid; its texts are inert."""
        left, right = (fitted(value, self.value) for value in values)
        last: Style = style or "dim"
        return [
            Span(f"{fitted(name, self.name)}  {left} ", style),
            Span(f"{between} ", "dim"),
            Span(f"{right}  ", style),
            Span(fitted(apart, _APART, right=True), last),
        ]


def two_of(marked: Sequence[Row], here: Row | None) -> tuple[Row, Row]:
    """The two decisions to compare.

    Args:
        marked: the marked ones, in the order of marking.
        here: the one that is looked at, where one is.

    Raises:
        UsageError: when there are no two.
    """
    others = [row for row in marked if here is None or row[DECISION] != here[DECISION]]
    if here is not None and len(others) == 1:
        return here, others[0]
    if len(marked) < 2:
        known = "One decision is marked" if marked else "No decision is marked"
        raise UsageError(
            "A diff takes two decisions.", f"{known}.", "Mark two with m, then press x."
        )
    return marked[-2], marked[-1]


def _explained(reader: Reader, row: Row) -> _Why:
    """Why a decision's score is what it is: its attribution, recorded or recomputed."""
    try:
        traced = trace(reader.snapshot, str(row[DECISION]), replay=True, counterfactuals=0)
    except ForensicsError as error:  # what differs is known all the same
        return _Why(None, said(error))
    for one in traced:
        if row_of(one.decision) == row[:4]:
            return _Why(one.attribution, one.attribution_reason or "it has none")
    return _Why(None, "the decision is no longer in the lake")


def _names(facts: Sequence[_Fact]) -> list[str]:
    return list(dict.fromkeys(fact.section for fact in facts))


def _words(a: object, b: object, a_evidence: str, b_evidence: str) -> tuple[str, str]:
    """Two values as people read them, or in full where they would read the same."""
    shown = [
        _ABSENT[evidence] if evidence in _ABSENT else safe_text(value_words(value), _FULL_MAX)
        for value, evidence in ((a, a_evidence), (b, b_evidence))
    ]
    if shown[0] == shown[1]:
        return _exact(a, a_evidence), _exact(b, b_evidence)
    return shown[0], shown[1]


def _exact(value: object, evidence: str) -> str:
    return _ABSENT[evidence] if evidence in _ABSENT else safe_text(dumps(value), _FULL_MAX)


_ABSENT = {"missing": "not recorded", "redacted": "redacted"}
