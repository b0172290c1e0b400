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
    Key("marks", "M", "app.marks", "the decisions that are marked"),
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
    Key("next-change", "n", "change(1)", "to the next change on the axis of time"),
    Key("previous-change", "N", "change(-1)", "to the change before"),
    Key("next-mark", "apostrophe", "mark_step(1)", "down to the next mark"),
    Key("previous-mark", "quotation_mark", "mark_step(-1)", "up to the mark before"),
    Key("export", "e", "export", "write the rows to a file: CSV, Parquet or JSON lines", "export"),
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
    Key("next-mark", "apostrophe", "mark_step(1)", "the next marked decision in time"),
    Key("previous-mark", "quotation_mark", "mark_step(-1)", "the marked decision before"),
    Key("copy", "y", "copy_id", "copy the request id", "copy id"),
    Key("copy-command", "ctrl+y", "copy_command", "copy the command that prints this"),
)
_ZOOM = (
    Key("zoom-in", "plus,equals_sign", "zoom(0.5)", "nearer: half the time, around the cursor"),
    Key("zoom-out", "minus", "zoom(2.0)", "further away: twice the time"),
    Key("zoom-all", "0", "zoom(0)", "all there is"),
)
TIMELINE = (
    Key("open", "enter", "open", "open the event under the cursor", "open"),
    Key("next", "n", "change(True)", "the next change", "next change"),
    Key("previous", "N", "change(False)", "the change before"),
    Key("down", "j,down", "down", "the next event, of any lane"),
    Key("up", "k,up", "up", "the event before"),
    Key("left", "h,left", "left", "earlier by one column"),
    Key("right", "l,right", "right", "later by one column"),
    *(_ZOOM[0]._replace(hint="nearer"), *_ZOOM[1:]),
    Key("page-down", "pagedown,ctrl+f,space", "page_down", "later by most of what is in sight"),
    Key("page-up", "pageup,ctrl+b,b", "page_up", "earlier by most of what is in sight"),
    Key("first", "g,home", "first", "the first event"),
    Key("last", "G,end", "last", "the last event"),
    Key("jump", "at,ctrl+g", "jump", "go to a time", "time"),
    Key("decisions", "d", "decisions", "the decisions in sight, at the cursor", "decisions"),
    Key("check", "F", "check", "check the decisions in sight with all detectors", "check"),
    Key("outcome", "o", "outcome", "the rate of the next outcome", "outcome"),
    Key("next-point", "D", "next_point", "the next decision point"),
    Key("copy", "y", "copy_event", "copy the event"),
    Key("copy-command", "ctrl+y", "copy_command", "copy the command that prints this"),
    BACK,
)
EVENT = (
    BACK,
    Key("decisions", "d", "decisions", "the decisions at this time", "decisions"),
    Key("copy", "y", "copy_event", "copy the event", "copy"),
    Key("copy-command", "ctrl+y", "copy_command", "copy the command that prints this"),
)
STATE = (
    BACK,
    Key("left", "h,left", "step(-1)", "earlier by one step", "earlier"),
    Key("right", "l,right", "step(1)", "later by one step", "later"),
    Key("step", "w", "step_width(1)", "a longer step: second, minute, hour, day", "step"),
    Key("shorter-step", "W", "step_width(-1)", "a shorter step"),
    Key("next-change", "n,right_square_bracket", "change(True)", "to the next change", "change"),
    Key("previous-change", "N,left_square_bracket", "change(False)", "to the change before"),
    Key("jump", "at,ctrl+g", "jump", "go to a time", "time"),
    Key("reference", "r", "reference", "compare with this time from now on; again: no longer",
        "compare"),
    Key("known-by", "K", "known_by", "as we knew it at that time; again: as we know it now",
        "known"),
    Key("decisions", "d", "decisions", "the decisions at this time", "decisions"),
    *_ZOOM,
    Key("copy", "y", "copy_state", "copy what differs"),
    Key("copy-command", "ctrl+y", "copy_command", "copy the command that prints this"),
)  # fmt: skip
LINES = tuple(key for key in MOVES if key.id not in ("left", "right"))
OUTLINE = (Key("open", "enter", "open", "open, unfold or walk to it", "open"), *MOVES)
PANE = Key("pane", "tab", "pane", "to the facts, and back")
COPY_COMMAND = Key("copy-command", "ctrl+y", "copy_command", "copy the command that prints this")
DIFF = (
    BACK,
    Key("equal", "a", "equal", "show what is equal too, or no longer", "all"),
    Key("swap", "X", "swap", "swap the two", "swap"),
    Key("copy", "y", "copy", "copy the value under the cursor"),
    COPY_COMMAND,
    PANE,
)
FINDINGS = (
    BACK,
    Key("zoom-in", "plus,equals_sign", "zoom(0.5)", "check half the window, around this", "zoom"),
    Key("zoom-out", "minus", "zoom(2.0)", "check twice the window"),
    Key("zoom-all", "0", "zoom(0)", "check the whole window again"),
    Key("jump", "at,ctrl+g", "jump", "check around a time", "time"),
    Key("show-rows", "v", "rows", "show all decisions of a finding as rows", "rows"),
    Key("mark", "m", "mark", "mark the decision, or take its mark away", "mark"),
    Key("copy", "y", "copy", "copy what is under the cursor"),
    COPY_COMMAND,
    PANE,
)
LINEAGE = (
    BACK,
    Key("find-node", "slash", "find", "lineage of something by its name", "find"),
    Key("deeper", "plus,equals_sign", "depth(1)", "one job further", "further"),
    Key("shallower", "minus", "depth(-1)", "one job less far"),
    Key("depth-all", "0", "depth(0)", "as far as it goes"),
    Key("direction", "d", "direction", "upstream, downstream, or both", "direction"),
    Key("recent", "r", "recent", "as of the decision's time, or as it is now", "as of"),
    Key("copy", "y", "copy", "copy the name under the cursor"),
    COPY_COMMAND,
    PANE,
)

POSTMORTEM = (
    BACK,
    Key("write", "i", "write", "write; esc ends it", "write"),
    Key("preview", "v,ctrl+t", "preview", "how it reads: beside or instead", "preview"),
    Key("export", "e,ctrl+e", "export", "export to HTML, Markdown or PDF", "export"),
    Key("save", "ctrl+s", "save", "save; leaving saves too"),
    Key("recheck", "r", "recheck", "ask all pins again", "check again"),
    Key("pins", "p", "pins", "the pins: go to, move, cut, insert", "pins"),
    Key("next-pin", "n", "pin(1)", "to the next pin", "next pin"),
    Key("previous-pin", "N", "pin(-1)", "to the pin before"),
    Key("open", "enter", "open", "go where the pin comes from", "open pin"),
    Key("note", "a", "note", "write the note of the pin"),
    Key("cut-pin", "d", "cut_pin", "cut the pin"),
    Key("undo", "u", "undo", "undo"),
    Key("redo", "U", "redo", "redo"),
    Key("choose", "c", "choose", "another postmortem, or a new one", "other"),
    Key("copy", "y", "copy", "copy the pin's statement"),
    Key("copy-command", "ctrl+y", "copy_command", "copy the command that exports it"),
)
EDITOR = (
    Key("editor-leave", "escape", "leave", "end writing: keys are commands again", "commands"),
    Key("editor-export", "ctrl+e", "export", "export to HTML, Markdown or PDF", "export"),
)
#: What one is reminded of while writing.
WRITING = (
    *EDITOR,
    Key("save", "ctrl+s", "save", "save", "save"),
    Key("preview", "ctrl+t", "preview", "how it reads", "preview"),
    Key("editor-undo", "ctrl+z", "undo", "undo", "undo"),
)


def bindings(keys: Iterable[Key]) -> list[BindingType]:
    """Textual's bindings of some keys."""
    return [Binding(key.keys, key.action, key.words, show=False, id=key.id) for key in keys]


def ids() -> list[str]:
    """The ids of all keys that can be others."""
    keys = (*ANYWHERE, *GO, *TABLE, *DECISIONS, *DECISION, *DIFF, *FINDINGS, *LINEAGE)
    times = (*TIMELINE, *EVENT, *STATE, *POSTMORTEM, *WRITING)
    return list(dict.fromkeys(key.id for key in (*keys, *times)))


_SHOWN = {
    "question_mark": "?",
    "at": "@",
    "colon": ":",
    "slash": "/",
    "apostrophe": "'",
    "quotation_mark": '"',
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
