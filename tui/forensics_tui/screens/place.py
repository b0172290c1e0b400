"""A place: a screen that one goes to and comes back from."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

from textual.screen import Screen
from textual.worker import Worker

from forensics_tui.keys import Key
from forensics_tui.opening import Opened
from forensics_tui.widgets.chrome import Crumbs

if TYPE_CHECKING:
    from forensics.incident.pins import Pinnable
    from forensics_tui.app import ForensicsApp


class Place(Screen[None]):
    """A screen with a crumb, a time that one looks at, and something that can be pinned.

    Args:
        opened: the lake.
        id: of the place, by which styles find it as a class: one can come to the same place again
            further on, and two screens cannot have one id.
    """

    app: ForensicsApp
    #: All keys that do something here, for hints, help and the palette.
    KEYS: ClassVar[tuple[Key, ...]] = ()

    def __init__(self, opened: Opened, *, id: str) -> None:
        super().__init__(name=id, classes=id)
        self._opened = opened

    @property
    def crumb(self) -> str:
        """What the line of crumbs calls this place."""
        return str(self.TITLE or "").lower()

    @property
    def time_us(self) -> int | None:
        """The time that one looks at, where the next place opens; None where there is none."""
        return None

    @property
    def window_us(self) -> tuple[int, int] | None:
        """The window that one looks at, where one has chosen it; its end is not in it."""
        return None

    @property
    def incident_us(self) -> tuple[int, int] | None:
        """The window that a postmortem is of, where somebody said which; its end is not in it."""
        return None

    @property
    def point(self) -> str | None:
        """The decision point that one looks at; None where there is none, or several."""
        points = self._opened.view.points
        return points[0] if len(points) == 1 else None

    @property
    def incident_point(self) -> str | None:
        """The decision point that a postmortem is about: that of what is under the cursor."""
        return self.point

    @property
    def node(self) -> str | None:
        """What lineage begins at, as it names it; None where it is the decision one looks at."""
        return None

    def pinnables(self) -> Sequence[Pinnable]:
        """What `p` can pin here: parts of answers, what is under the cursor first."""
        return ()

    def marks_changed(self) -> None:
        """Show marks as they are now."""
        self.refresh()

    def tell(self, *rights: str) -> None:
        """Show the way here, and on the right the first of some texts that there is room for."""
        self.query_one(Crumbs).set(self.app.way(self), *rights)

    def on_worker_state_changed(self, event: Worker.StateChanged) -> None:
        """Nothing fails unsaid."""
        self.app.report(event)

    def action_back(self) -> None:
        """Back to where one came from."""
        self.app.back()
