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
#: What places have in common; where a place says more of it, it says so in words of its own.
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
OPEN = Key("open", "enter", "open", "open the decision", "open")
MARK = Key("mark", "m", "mark", "mark the decision, or take the mark away", "mark")
JUMP = Key("jump", "at,ctrl+g", "jump", "go to a time", "time")
COPY = Key("copy", "y", "copy", "copy what is under the cursor")
COPY_COMMAND = Key("copy-command", "ctrl+y", "copy_command", "copy the command that prints this")
_CHANGES = (
    Key("next-change", "n", "change(1)", "to the next change"),
    Key("previous-change", "N", "change(-1)", "to the change before"),
)
_MARKS = (
    Key("next-mark", "apostrophe", "mark_step(1)", "to the next mark"),
    Key("previous-mark", "quotation_mark", "mark_step(-1)", "to the mark before"),
)
_ZOOM = (
    Key("zoom-in", "plus,equals_sign", "zoom(0.5)", "nearer: half the time, around the cursor"),
    Key("zoom-out", "minus", "zoom(2.0)", "further away: twice the time"),
    Key("zoom-all", "0", "zoom(0)", "all there is"),
)


def _worded(keys: Iterable[Key], **words: str) -> tuple[Key, ...]:
    """Keys in other words, by their ids with underscores; keys that are not named are left out."""
    named = {key.id.replace("-", "_"): key for key in keys}
    return tuple(named[name]._replace(words=said) for name, said in words.items())


TABLE = (
    OPEN,
    *MOVES,
    Key("sort", "S", "sort", "sort by the column under the cursor; again: the other way", "sort"),
    Key("by-time", "T", "by_time", "sort by time again, newest first"),
    MARK._replace(words="mark the row, or take the mark away"),
    COPY._replace(action="copy_cell", words="copy the cell"),
    Key("copy-row", "Y", "copy_row", "copy the row"),
)
DECISIONS = (
    Key("filter", "slash", "filter", "filter: an SQL condition over fields and features", "filter"),
    JUMP,
    Key("columns", "c", "columns", "choose the columns", "columns"),
    Key("outcome", "o", "outcome", "show the rate of the next outcome"),
    *_worded(
        _CHANGES,
        next_change="to the next change on the axis of time",
        previous_change="to the change before, on the axis of time",
    ),
    *_worded(
        _MARKS,
        next_mark="down to the next mark",
        previous_mark="up to the mark before",
    ),
    Key("export", "e", "export", "write the rows to a file: CSV, Parquet or JSON lines", "export"),
    *_worded(
        _ZOOM,
        zoom_in="half the window, around the row",
        zoom_out="twice the window",
        zoom_all="the whole window again",
    ),
    Key("follow", "F", "follow", "follow: show decisions as they land", "follow"),
    COPY_COMMAND._replace(words="copy the command that gives these rows"),
    BACK._replace(words="end a running filter; else take the filter away; else back", hint=""),
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
    MARK,
    *_worded(
        _MARKS,
        next_mark="the next marked decision in time",
        previous_mark="the marked decision before",
    ),
    Key("copy", "y", "copy_id", "copy the request id", "copy id"),
    COPY_COMMAND,
)
TIMELINE = (
    OPEN._replace(words="open the event under the cursor"),
    _CHANGES[0]._replace(hint="next change"),
    _CHANGES[1],
    *_worded(
        MOVES,
        down="the next event, of any lane",
        up="the event before",
        left="earlier by one column",
        right="later by one column",
        page_down="later by most of what is in sight",
        page_up="earlier by most of what is in sight",
        first="the first event",
        last="the last event",
    ),
    *(_ZOOM[0]._replace(hint="nearer"), *_ZOOM[1:]),
    JUMP,
    Key("decisions", "d", "decisions", "the decisions in sight, at the cursor", "decisions"),
    Key("check", "F", "check", "check the decisions in sight with all detectors", "check"),
    Key("outcome", "o", "outcome", "the rate of the next outcome", "outcome"),
    Key("next-point", "D", "next_point", "the next decision point"),
    COPY._replace(action="copy_event", words="copy the event"),
    COPY_COMMAND,
    BACK,
)
_DECISIONS = Key("decisions", "d", "decisions", "the decisions at this time", "decisions")
EVENT = (
    BACK,
    _DECISIONS,
    COPY._replace(action="copy_event", words="copy the event", hint="copy"),
    COPY_COMMAND,
)
STATE = (
    BACK,
    Key("left", "h,left", "step(-1)", "earlier by one step", "earlier"),
    Key("right", "l,right", "step(1)", "later by one step", "later"),
    Key("step", "w", "step_width(1)", "a longer step: second, minute, hour, day", "step"),
    Key("shorter-step", "W", "step_width(-1)", "a shorter step"),
    _CHANGES[0]._replace(keys="n,right_square_bracket", hint="change"),
    _CHANGES[1]._replace(keys="N,left_square_bracket"),
    JUMP,
    Key("reference", "r", "reference", "compare with this time from now on; again: no longer",
        "compare"),
    Key("known-by", "K", "known_by", "as we knew it at that time; again: as we know it now",
        "known"),
    _DECISIONS,
    *_ZOOM,
    COPY._replace(action="copy_state", words="copy what differs"),
    COPY_COMMAND,
)  # fmt: skip
LINES = tuple(key for key in MOVES if key.id not in ("left", "right"))
OUTLINE = (OPEN._replace(words="open, unfold or walk to it"), *MOVES)
PANE = Key("pane", "tab", "pane", "to the facts, and back")
DIFF = (
    BACK,
    Key("equal", "a", "equal", "show what is equal too, or no longer", "all"),
    Key("swap", "X", "swap", "swap the two", "swap"),
    COPY._replace(words="copy the value under the cursor"),
    COPY_COMMAND,
    PANE,
)
FINDINGS = (
    BACK,
    _ZOOM[0]._replace(words="check half the window, around this", hint="zoom"),
    _ZOOM[1]._replace(words="check twice the window"),
    _ZOOM[2]._replace(words="check the whole window again"),
    JUMP._replace(words="check around a time"),
    Key("show-rows", "v", "rows", "show all decisions of a finding as rows", "rows"),
    MARK,
    COPY,
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
    COPY._replace(words="copy the name under the cursor"),
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
    OPEN._replace(words="go where the pin comes from", hint="open pin"),
    Key("note", "a", "note", "write the note of the pin"),
    Key("cut-pin", "d", "cut_pin", "cut the pin"),
    Key("undo", "u", "undo", "undo"),
    Key("redo", "U", "redo", "redo"),
    Key("choose", "c", "choose", "another postmortem, or a new one", "other"),
    COPY._replace(words="copy the pin's statement"),
    COPY_COMMAND._replace(words="copy the command that exports it"),
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
