"""Lineage that one walks: from a decision to its features, the runs that wrote them, and on."""

from __future__ import annotations

from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import ClassVar, NamedTuple

from textual.message import Message

from forensics.errors import NotFoundError, UsageError
from forensics.incident.pins import Pinnable
from forensics.incident.questions import Argument, Question
from forensics.lake.window import DECISION, POINT, REQUEST, TIME, Reader, Row
from forensics.lineage.lookup import lineage
from forensics.lineage.nodes import Direction, Lineage
from forensics.reconstruct.reconstruction import Reconstruction
from forensics.reconstruct.trace import trace
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros, to_micros
from forensics.report.spans import Line, Span, fitted, span, wrapped
from forensics.report.words import time_words, value_words
from forensics_tui import keys, origins
from forensics_tui.keys import ANYWHERE, GO, Key, bindings
from forensics_tui.lineage_lines import (
    At,
    items_of,
    namespace_of,
    of_feature,
    of_node,
    statement,
)  # fmt: skip
from forensics_tui.opening import Opened
from forensics_tui.screens.decision import DecisionScreen, row_of
from forensics_tui.screens.decisions import DecisionsScreen
from forensics_tui.screens.paned import PanedPlace
from forensics_tui.screens.place import Place
from forensics_tui.widgets.outline import Item, Laid, Outline

#: How many jobs may lie between, as ``forensics lineage`` has it.
_DEPTH = 5
_TURN: dict[Direction, Direction] = {
    "both": "upstream", "upstream": "downstream", "downstream": "both"
}  # fmt: skip


class _Step(NamedTuple):
    """A step of a decision's origins, by its kind and name."""

    kind: str
    name: str


class _How(NamedTuple):
    """How lineage is asked."""

    direction: Direction = "both"
    depth: int | None = _DEPTH
    as_of: datetime | None = None


@dataclass(slots=True)
class _Where:
    """A place on the way: names to ask for, none for the decision; the answer when it is there."""

    names: tuple[str, ...] = ()
    namespace: str | None = None
    found: Lineage | None = None
    how: _How | None = None
    #: Where the cursor was when one walked on.
    cursor: Hashable = field(default=None)


class LineageScreen(PanedPlace):
    """What a decision's features came from, and lineage up and down from any node.

    Raises:
        UsageError: when no decision is looked at.
    """

    TITLE = "Lineage"
    KEYS: ClassVar[tuple[Key, ...]] = (
        *keys.OUTLINE[:1], *keys.LINEAGE, *GO, *keys.MOVES, *ANYWHERE
    )  # fmt: skip
    BINDINGS = bindings((*keys.LINEAGE, *GO))

    @dataclass
    class _Traced(Message):
        number: int
        found: Reconstruction

    @dataclass
    class _Answered(Message):
        number: int
        how: _How
        found: Lineage

    def __init__(self, opened: Opened, came_from: Place) -> None:
        super().__init__(opened, id="lineage")
        node, row, time_us = came_from.node, _looked_at(came_from), came_from.time_us
        if node is None and row is None:
            raise UsageError(
                "Lineage begins at a decision.", "", "Put the cursor on one, or open it."
            )
        if row is not None and (node is None or time_us is None):
            time_us = int(row[TIME])
        self._row = row
        #: The time that is gone back to: the decision's, or that of what one came from.
        self._then = from_micros(time_us) if time_us is not None else None
        self._point = str(row[POINT]) if row is not None else came_from.point
        self._traced: Reconstruction | None = None
        self._way = [_Where(() if node is None else (node,))]
        # What a run read and wrote may be known only after the time that leads to it.
        self._how = _How(as_of=self._then if node is None else None)

    @property
    def crumb(self) -> str:
        """What it is the lineage of."""
        where = self._way[-1]
        if not where.names:
            return f"lineage of {self._request}"
        name = where.found.asked if where.found else where.names[0]
        kind, _, name = name.partition(":") if ":" in name else ("", "", name)
        if kind == "run":
            return f"lineage of run {name[:8]}"
        cut = f"…{name[-24:]}" if len(name) > 25 else name
        return f"lineage of {kind} {cut}" if kind else f"lineage of {cut}"

    @property
    def time_us(self) -> int | None:
        """When the decision was made."""
        return to_micros(self._then) if self._then is not None else None

    @property
    def point(self) -> str | None:
        """Where it was made."""
        return self._point

    @property
    def row(self) -> Row | None:
        """The decision that one began at."""
        return self._row

    @property
    def _request(self) -> str:
        return safe_text(self._row[REQUEST], 48) if self._row is not None else ""

    @property
    def _found(self) -> Lineage | None:
        return self._way[-1].found

    @property
    def _question(self) -> Question:
        where, how = self._way[-1], self._how
        if not where.names and self._row is not None:
            return Question("trace", {"id": str(self._row[DECISION]), "no-replay": True})
        arguments: dict[str, Argument] = {
            "node": where.found.asked if where.found is not None else where.names[0],
            "depth": "all" if how.depth is None else str(how.depth),
        }
        if how.direction != "both":
            arguments[how.direction] = True
        if how.as_of is not None:
            arguments["as-of"] = how.as_of.isoformat()
        if where.namespace is not None:
            arguments["namespace"] = where.namespace
        return Question("lineage", arguments)

    def begin(self) -> None:
        """Ask for what is looked at, unless it is known."""
        where = self._way[-1]
        if where.how == self._how if where.names else self._traced is not None:
            self.stop()
            self.error = ""
        elif where.names:
            self.ask(partial(self._follow, where, self._how))
        elif self._row is not None:
            self.ask(partial(self._trace, self._row))
        self.describe()
        self.show()

    def _trace(self, row: Row, reader: Reader, number: int) -> Iterator[Message]:
        for one in trace(reader.snapshot, str(row[DECISION]), replay=False):
            if row_of(one.decision) == row[:4]:
                yield self._Traced(number, one)
                return
        raise NotFoundError(f"Decision {row[DECISION]!r} is no longer in the lake.")

    def _follow(self, where: _Where, how: _How, reader: Reader, number: int) -> Iterator[Message]:
        """Lineage by the first of some names that it knows."""
        for at, name in enumerate(where.names, 1):
            try:
                found = lineage(
                    reader.snapshot,
                    name,
                    direction=how.direction,
                    depth=how.depth,
                    as_of=how.as_of,
                    namespace=where.namespace,
                )
            except NotFoundError:
                if at == len(where.names):
                    raise
            else:
                yield self._Answered(number, how, found)
                return

    def on_lineage_screen__traced(self, message: _Traced) -> None:
        """Show what the decision's features came from."""
        if message.number == self.number:
            self.answered()
            self._traced = message.found
            self.describe()
            self.show()

    def on_lineage_screen__answered(self, message: _Answered) -> None:
        """Show the lineage of a node."""
        if message.number == self.number:
            self.answered()
            where = self._way[-1]
            where.found, where.how = message.found, message.how
            self.describe()
            self.show()

    def describe(self) -> None:
        """What is asked for, or how much there is."""
        where = self._way[-1]
        if self.is_asking:
            self.tell("looking · esc ends")
        elif self.error:
            self.tell("no answer")
        elif where.found is not None:
            self.tell(_size(where.found))
        else:
            traced = self._traced
            self.tell(*([count_of(len(traced.features), "feature")] if traced else []))

    def laid(self, width: int) -> Laid:
        """The decision's features with their runs, or the lineage of a node."""
        where = self._way[-1]
        top = [self._told(where, width)]
        if self.error:
            return Laid(top, [Item([span(part, "bad")]) for part in wrapped(self.error, width)])
        if where.names and where.found is not None and not self.is_asking:
            return Laid(top, list(items_of(where.found, width)))
        if not where.names and self._traced is not None:
            steps = origins.steps(self._traced, width)
            return Laid(
                top,
                [
                    Item(step.line, _Step(step.kind, step.name) if step.kind != "source" else None)
                    for step in steps
                ],
            )
        return Laid(top, [Item([Span("looking …", "dim")])])

    def _told(self, where: _Where, width: int) -> Line:
        """How it is asked: that nothing is known may be for that."""
        how = self._how
        if not where.names:
            return fitted([Span("as the decision found it; enter walks on", "dim")], width)
        time = "as it is now" if how.as_of is None else f"as of {how.as_of:%Y-%m-%d %H:%M:%S}"
        far = "all the way" if how.depth is None else f"{count_of(how.depth, 'job')} far"
        sides = "both ways" if how.direction == "both" else how.direction
        return fitted([Span(f"{time} · {sides} · {far}", "dim")], width)

    def facts(self, data: Hashable, width: int) -> list[Line]:
        """What is known of a node, or of a feature and its run."""
        if isinstance(data, At) and self._found is not None:
            return list(of_node(self._found, data, width))
        step = self._step(data)
        if step is None or self._traced is None:
            return []
        if step.kind == "decision":
            words = "enter opens the decision; on what is below it, enter walks on"
            return [[Span(part, "dim")] for part in wrapped(words, width)]
        items = self._traced.features
        if not items:
            return []
        return list(of_feature(items[step.feature], step.kind, self._traced, width))

    def _step(self, data: Hashable) -> origins.Step | None:
        if not isinstance(data, _Step) or self._traced is None:
            return None
        steps = origins.steps(self._traced, 80)
        return next((one for one in steps if (one.kind, one.name) == data), None)

    def pinnables(self) -> Sequence[Pinnable]:
        """What is under the cursor first: a node, or a feature's run; then the whole."""
        question, data = self._question, self.outline.data
        found = self._found
        if found is not None:
            texts = [node.id.text for node in found.nodes]
            of = found.asked
            whole = f"lineage of {of}: {_size(found)}"
            pins = [Pinnable(question, "", safe_text(whole, 400))]
            for at, node in enumerate(found.nodes):
                if isinstance(data, At) and node.id == data.node:
                    words = statement(node, of, texts[at])
                    pins.insert(0, Pinnable(question, f"/nodes/{at}", safe_text(words, 400)))
            return pins
        if self._traced is None:
            return ()
        here = self._step(data)
        steps = list(origins.steps(self._traced, 80))
        runs = [one for one in steps if one.kind == "run" and one != here]
        return [pin for one in (here, *runs) if one is not None for pin in self._pins_of(one)]

    def _pins_of(self, step: origins.Step) -> Iterator[Pinnable]:
        traced, question = self._traced, self._question
        if traced is None or not traced.features:
            return
        item, request = traced.features[step.feature], self._request
        place = f"/features/{step.feature}"
        run = item.origin.run if item.origin is not None else None
        if step.kind == "feature":
            shown = value_words(item.value)
            words = f"{item.name} of {request} was {shown}, from {item.source or 'no source'}"
            yield Pinnable(question, place, safe_text(words, 400))
        elif step.kind in ("run", "dataset", "input") and run is not None:
            words = f"{item.name} of {request} was written by run {run.run_id} of {run.job}"
            words += f", code {run.code_version}" if run.code_version else ""
            words += f", {run.state} {time_words(run.ended_at)}" if run.ended_at else ""
            yield Pinnable(question, f"{place}/run", safe_text(words, 400))
        elif step.kind == "decision":
            words = f"{request} was decided on {count_of(len(traced.features), 'feature')}"
            yield Pinnable(question, "/features", words)

    async def on_outline_opened(self, message: Outline.Opened) -> None:
        """Walk to a node; of the decision, open it."""
        data = message.data
        if isinstance(data, At):
            if data.side == "root":
                self.app.say("This is where you are: < goes back.")
            else:
                self._walk((data.node.text,), namespace_of(data.node))
            return
        step = self._step(data)
        if step is None:
            return
        if step.kind == "decision":
            await self._open_decision()
        elif step.asked:
            self._walk(step.asked)
        else:
            self.app.say("Lineage knows no name of this.")

    async def _open_decision(self) -> None:
        stack, row = self.app.screen_stack, self._row
        below = stack[-2] if len(stack) > 1 else None
        if isinstance(below, DecisionScreen) and row is not None and below.row[:4] == row[:4]:
            self.app.back()
        elif row is not None:
            await self.app.open_decision(row)

    def _walk(self, names: tuple[str, ...], namespace: str | None = None) -> None:
        self._way[-1].cursor = self.outline.data
        where = _Where(names, namespace)
        if namespace is not None:  # the namespace is told apart, so that slashes do no harm
            kind, _, name = names[0].partition(":")
            where.names = (f"{kind}:{name.removeprefix(namespace + '/')}",)
        self._way.append(where)
        self.begin()

    async def action_find(self) -> None:
        """Ask for a name, and walk to it."""
        from forensics_tui.screens.name_prompt import NamePrompt

        await self.app.push_screen(NamePrompt(), self._named)

    def _named(self, name: str | None) -> None:
        if name is not None:
            self._walk((name,))

    def action_depth(self, step: int) -> None:
        """One job further or less far; as far as it goes where 0."""
        depth = self._how.depth
        changed = None if not step else max((_DEPTH if depth is None else depth) + step, 0)
        self._ask_otherwise(self._how._replace(depth=changed))

    def action_direction(self) -> None:
        """Upstream, downstream, or both."""
        self._ask_otherwise(self._how._replace(direction=_TURN[self._how.direction]))

    def action_recent(self) -> None:
        """As of the decision's time, or as it is now."""
        as_of = self._then if self._how.as_of is None else None
        self._ask_otherwise(self._how._replace(as_of=as_of))

    def _ask_otherwise(self, how: _How) -> None:
        if not self._way[-1].names:
            self.app.say("Walk to a node first: the decision is shown as it found its features.")
            return
        self._how = how
        self.begin()

    def action_copy(self) -> None:
        """Copy the name under the cursor."""
        data = self.outline.data
        if isinstance(data, At):
            self.app.copy(safe_text(data.node.text))
        elif (step := self._step(data)) is not None:
            self.app.copy(safe_text(step.asked[0] if step.asked else self._request))

    def action_copy_command(self) -> None:
        """Copy the command that prints this."""
        self.app.copy(safe_text(self._question.line(self._opened.asked.root)))

    def action_back(self) -> None:
        """End what is being looked for; else to the node before; else back."""
        asked = self.stop()
        if len(self._way) == 1:
            self.app.back()
            return
        if asked and self._way[-1].found is not None:  # another depth or time of what is shown
            self._how = self._way[-1].how or self._how
        else:
            self._way.pop()
        self.begin()
        self.outline.point_at(self._way[-1].cursor)


def _size(found: Lineage) -> str:
    return f"{count_of(len(found.nodes), 'node')}, {count_of(len(found.edges), 'edge')}"


def _looked_at(place: Place) -> Row | None:
    """The decision that one looks at, or did before one came to where one is."""
    for screen in (place, *reversed(place.app.screen_stack)):
        row = screen.table.row if isinstance(screen, DecisionsScreen) else None
        row = row or getattr(screen, "row", None)
        if row is not None:
            return row
    return None
