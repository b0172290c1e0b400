"""The places that keys lead to from anywhere; each is imported when one first goes there."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from forensics_tui.opening import Opened
    from forensics_tui.screens.place import Place

#: By name: the module in :mod:`forensics_tui.screens`, and the class in it. Each is called with the
#: open lake and with the place that one comes from.
PLACES = {
    "timeline": ("timeline", "TimelineScreen"),
    "state": ("state", "StateScreen"),
    "findings": ("findings", "FindingsScreen"),
    "postmortem": ("postmortem", "PostmortemScreen"),
    "diff": ("diff", "DiffScreen"),
    "lineage": ("lineage", "LineageScreen"),
}


def place(name: str, opened: Opened, came_from: Place) -> Place:
    """A new screen for a place, opened at what one looks at.

    Args:
        name: one of :data:`PLACES`.
        opened: the lake.
        came_from: tells the time and the decision point that one looks at.

    Raises:
        UsageError: when there is nothing to show there yet; the words say what to do first.
    """
    module, class_ = PLACES[name]
    made: Place = getattr(import_module(f"forensics_tui.screens.{module}"), class_)(
        opened, came_from
    )
    return made
