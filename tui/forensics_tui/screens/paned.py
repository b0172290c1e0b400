"""A place with two panes: an outline, and facts of what is under its cursor."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass
from functools import partial
from threading import Event

from textual.app import ComposeResult
from textual.containers import Container
from textual.events import Resize
from textual.message import Message
from textual.worker import Worker, WorkerState

from forensics.errors import ForensicsError
from forensics.lake import sql
from forensics.lake.window import Cancelled, Reader
from forensics.report.spans import Line
from forensics_tui.inert import said
from forensics_tui.opening import Opened
from forensics_tui.screens.place import Place
from forensics_tui.widgets.chrome import Crumbs, Hints
from forensics_tui.widgets.lines import Lines
from forensics_tui.widgets.outline import Laid, Outline

_WIDE = 110
#: After so long a question that has not ended is interrupted again, so many times at most.
_AGAIN_S = 0.05
_AGAIN_MAX = 100
#: Answers a question through a reader; its number goes with each answer.
Asked = Callable[[Reader, int], Iterable[Message]]


class PanedPlace(Place):
    """Facts stand below the outline, and beside it where the screen is wide."""

    @dataclass
    class Failed(Message):
        """A question has no answer; ``number`` is the question's, or that of the one beside."""

        number: int
        error: ForensicsError
        beside: bool = False

    def __init__(self, opened: Opened, *, id: str) -> None:
        super().__init__(opened, id=id)
        #: Tells late answers from those that are waited for.
        self.number = 0
        #: Why there is nothing to show.
        self.error = ""
        self._reader: Reader | None = None
        self._others: list[Reader] = []
        #: Of each reader that is being asked what ends with it, and whether it has come to its end.
        self._beneath: dict[Reader, tuple[list[Reader], Event]] = {}

    def compose(self) -> ComposeResult:
        """Where one is, the outline, facts, keys."""
        yield Crumbs()
        with Container(id="panes"):
            yield Outline()
            yield Lines(id="facts")
        yield Hints(self.KEYS)

    @property
    def outline(self) -> Outline:
        """What one moves through."""
        return self.query_one(Outline)

    def on_mount(self) -> None:
        """Begin."""
        self.set_focus(self.outline)
        self.outline.update(self.laid)
        self.query_one("#facts", Lines).update(self._facts)
        self.begin()

    def on_unmount(self) -> None:
        """Nobody waits any more."""
        self.stop()

    def on_resize(self, event: Resize) -> None:
        """Facts go beside the outline where there is room."""
        self.set_class(event.size.width >= _WIDE, "wide")

    def begin(self) -> None:
        """Ask for what is shown first."""

    def laid(self, width: int) -> Laid:
        """What the outline shows."""
        raise NotImplementedError

    def facts(self, data: Hashable, width: int) -> list[Line]:
        """What is known of something."""
        raise NotImplementedError

    def _facts(self, width: int) -> list[Line]:
        return self.facts(self.outline.data, width)

    def show(self) -> None:
        """Show what is known now."""
        if self.is_attached:
            self.outline.update(self.laid)
            self.query_one("#facts", Lines).update(self._facts)

    @property
    def is_asking(self) -> bool:
        """Whether an answer is waited for."""
        return self._reader is not None

    def ask(self, asked: Asked, *, beside: bool = False) -> None:
        """Ask a question in a thread.

        Args:
            asked: gives the answers, which are posted.
            beside: do not end the question before.
        """
        if not beside:
            self.stop()
            self.number += 1
            self.error = ""
        reader = self._opened.reader.another()
        self._beneath[reader] = [reader], Event()
        if beside:
            self._others.append(reader)
        else:
            self._reader = reader
        work = partial(self._answer, reader, self.number, asked, beside)
        self.run_worker(work, thread=True, group="ask", exit_on_error=False)

    def answered(self) -> None:
        """Nothing is waited for any more."""
        self._reader = None

    def stop(self) -> bool:
        """End what is being asked; whether an answer was waited for."""
        waited, self._reader = self._reader, None
        for reader in (waited, *self._others):
            if reader in self._beneath:
                work = partial(_end, *self._beneath[reader])
                self.app.run_worker(work, thread=True, group="end", exit_on_error=False)
        self._others.clear()
        return waited is not None

    def ends_with(self, reader: Reader, other: Reader) -> None:
        """End what another reader is asked where a question ends, from the thread that asks it."""
        self._beneath[reader][0].append(other)
        if reader.cancelled:
            other.cancel()

    def _answer(self, reader: Reader, number: int, asked: Asked, beside: bool) -> None:
        try:
            for message in asked(reader, number):
                self.post_message(message)
        except Cancelled:
            return
        except ForensicsError as error:
            if not reader.cancelled:
                self.post_message(self.Failed(number, error, beside))
        except (sql.SqlError, RuntimeError):  # what an interrupted question ends in
            if not reader.cancelled:
                raise
        finally:
            self._beneath.pop(reader)[1].set()

    def on_paned_place_failed(self, message: Failed) -> None:
        """Say what is wrong."""
        if message.beside:
            self.app.say(said(message.error))
        elif message.number == self.number:
            self.answered()
            self.error = said(message.error)
            self.describe()
            self.show()

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Nothing fails unsaid, and nothing is waited for that has failed."""
        super().on_worker_state_changed(event)
        if event.state is WorkerState.ERROR and self.is_asking:
            self.answered()
            self.error = self.error or "This has failed."
            self.describe()
            self.show()

    def describe(self) -> None:
        """Say in the line of crumbs how far it is."""
        raise NotImplementedError

    def on_outline_moved(self, message: Outline.Moved) -> None:
        """Facts of what the cursor stands on now."""
        facts = self.query_one("#facts", Lines)
        facts.update(self._facts)
        facts.action_first()

    def action_pane(self) -> None:
        """To the facts, or back to the outline."""
        facts = self.query_one("#facts", Lines)
        self.set_focus(self.outline if facts.has_focus else facts)


def _end(readers: list[Reader], ended: Event) -> None:
    """End what readers are asked; an interrupt between two of their queries would be lost."""
    for _ in range(_AGAIN_MAX):
        for reader in tuple(readers):
            reader.cancel()
        if ended.wait(_AGAIN_S):
            return
