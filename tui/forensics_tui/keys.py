"""Every key of every place, told once: bindings, hints, help and the command palette read it here.

Each has an id, by which a keymap can put other keys in its place.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from textual.binding import Binding, BindingType


class Key(NamedTuple):
    """One action of a place: its id, its keys by Textual's names, and what it does in words."""

    id: str
    keys: str
    action: str
    words: str
    #: A word for the line of hints; empty where it has no room.
    hint: str = ""


ANYWHERE = (
    Key("help", "question_mark,f1", "app.help", "the keys of this place", "help"),
    Key("palette", "ctrl+p,colon", "app.command_palette", "every command, by name"),
    Key("quit", "q,ctrl+q", "app.quit", "quit", "quit"),
)
BACK = Key("back", "escape,less_than_sign", "back", "back to where you were", "back")
GO = (
    Key("timeline", "t", "app.go('timeline')", "timeline: changes, findings, runs", "timeline"),
    Key("state", "s", "app.go('state')", "the state of everything at this time", "state"),
    Key("findings", "f", "app.go('findings')", "findings, by detector", "findings"),
    Key("diff", "x", "app.go('diff')", "diff of the two decisions marked last", "diff"),
    Key("lineage", "L", "app.go('lineage')", "lineage of what one looks at"),
    Key("pin", "p", "app.pin", "pin this to the postmortem, with a note", "pin"),
    Key("postmortem", "P", "app.go('postmortem')", "the postmortem", "postmortem"),
)
MOVES = (
    Key("down", "j,down", "down", "down one"),
    Key("up", "k,up", "up", "up one"),
    Key("left", "h,left", "left", "one column to the left"),
    Key("right", "l,right", "right", "one column to the right"),
    Key("page-down", "pagedown,ctrl+f,space", "page_down", "down one page"),
    Key("page-up", "pageup,ctrl+b,b", "page_up", "up one page"),
    Key("half-down", "ctrl+d", "half_down", "down half a page"),
    Key("half-up", "ctrl+u", "half_up", "up half a page"),
    Key("first", "g,home", "first", "to the first"),
    Key("last", "G,end", "last", "to the last"),
)
TABLE = (
    Key("open", "enter", "open", "open the decision", "open"),
    *MOVES,
    Key("sort", "S", "sort", "sort by the column under the cursor; again: the other way", "sort"),
    Key("by-time", "T", "by_time", "sort by time again, newest first"),
    Key("mark", "m", "mark", "mark the row, or take the mark away", "mark"),
    Key("copy", "y", "copy_cell", "copy the cell"),
    Key("copy-row", "Y", "copy_row", "copy the row"),
)
DECISIONS = (
    Key("filter", "slash", "filter", "filter: an SQL condition over fields and features", "filter"),
    Key("jump", "at,ctrl+g", "jump", "jump to a time", "time"),
    Key("columns", "c", "columns", "choose the columns", "columns"),
    Key("outcome", "o", "outcome", "show the rate of the next outcome"),
    Key("zoom-in", "plus,equals_sign", "zoom(0.5)", "half the window, around the row"),
    Key("zoom-out", "minus", "zoom(2.0)", "twice the window"),
    Key("zoom-all", "0", "zoom(0)", "the whole window again"),
    Key("follow", "F", "follow", "follow: show decisions as they land", "follow"),
    Key("copy-command", "ctrl+y", "copy_command", "copy the command that gives these rows"),
    Key("back", "escape,less_than_sign", "back", "end a running filter; else take the filter away"),
)
DECISION = (
    BACK,
    Key("next-tab", "right_square_bracket,tab", "tab(1)", "next tab", "tab"),
    Key("previous-tab", "left_square_bracket,shift+tab", "tab(-1)", "previous tab"),
    Key("next-same", "o", "same(True)", "next decision of the request or subject", "next"),
    Key(
        "previous-same",
        "O",
        "same(False)",
        "previous decision of the request or subject",
        "previous",
    ),
    Key("mark", "m", "mark", "mark the decision", "mark"),
    Key("copy", "y", "copy_id", "copy the request id", "copy id"),
    Key("copy-command", "ctrl+y", "copy_command", "copy the command that prints this"),
)
LINES = tuple(key for key in MOVES if key.id not in ("left", "right"))


def bindings(keys: Iterable[Key]) -> list[BindingType]:
    """Textual's bindings of some keys."""
    return [Binding(key.keys, key.action, key.words, show=False, id=key.id) for key in keys]


def ids() -> list[str]:
    """The ids of all keys that can be others."""
    keys = (*ANYWHERE, *GO, *TABLE, *DECISIONS, *DECISION)
    return list(dict.fromkeys(key.id for key in keys))


_SHOWN = {
    "question_mark": "?",
    "at": "@",
    "colon": ":",
    "slash": "/",
    "plus": "+",
    "equals_sign": "=",
    "minus": "-",
    "less_than_sign": "<",
    "left_square_bracket": "[",
    "right_square_bracket": "]",
    "escape": "esc",
    "pagedown": "pgdn",
    "pageup": "pgup",
}


def shown(keys: str) -> str:
    """Keys as people call them."""
    return " ".join(_SHOWN.get(key, key.replace("ctrl+", "^")) for key in keys.split(","))
