"""A postmortem with every pinned statement asked again, ready to be written in some form."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import TYPE_CHECKING, Any

from forensics.incident.asking import Answers
from forensics.incident.document import Block, Document, Prose
from forensics.incident.pins import Checked, Pin, Status, lake_version, recheck
from forensics.incident.pointers import ABSENT, UNKNOWN, Difference
from forensics.lake.layout import identity
from forensics.lake.snapshot import Snapshot
from forensics.records.jsontext import dumps, loads
from forensics.records.safe_text import safe_text

if TYPE_CHECKING:
    from forensics.report.blocks import Page

_GONE = "cannot be asked now"
#: What is said of a pin, by what became of it; None where it was not asked again.
SAID: Mapping[Status | None, str] = {
    "holds": "still holds",
    "differs": "differs now",
    "gone": _GONE,
    None: "not re-checked",
}
MARKS: Mapping[Status | None, str] = {"holds": "✓", "differs": "✗", "gone": "?", None: "·"}
_VALUE_MAX = 160
#: Of a value of which only digests were kept, and in a list.
_NOW_MAX = 70
_DIFFERENCES_SHOWN = 4


@dataclass(frozen=True, slots=True)
class Lake:
    """Which lake was asked, and when."""

    name: str
    identity: str
    version: int
    checked_at: datetime


@dataclass(frozen=True, slots=True)
class Stated:
    """A pin where it stands; ``checked`` is None where it was not asked again."""

    pin: Pin
    checked: Checked | None
    #: Values by name, of the decision that an attribution is of.
    features: Mapping[str, Any] = field(default_factory=dict)

    @property
    def status(self) -> Status | None:
        """What became of it."""
        return None if self.checked is None else self.checked.status

    @property
    def command(self) -> str:
        """The command that prints the answer which it is a part of."""
        return self.pin.question.line(as_json=True)

    @property
    def pointer(self) -> str:
        """The part of its answer; as it was pinned, where that is not told by a re-check."""
        now = None if self.checked is None else self.checked.pointer
        return self.pin.pointer if now is None else now

    @property
    def value(self) -> str | None:
        """The value as it was pinned, where it is short, and is not said to be another one now."""
        text = self.pin.value.text
        short = text is not None and len(text) <= _VALUE_MAX
        return text if short and self.status in ("holds", None) else None

    @property
    def lines(self) -> list[str]:
        """Why a statement cannot be relied on any more."""
        checked = self.checked
        if checked is None:
            return []
        said = [checked.reason] if checked.reason else []
        if checked.status == "differs" and checked.now is not None:
            shown = checked.differences[:_DIFFERENCES_SHOWN]
            said += [_difference(each, whole=len(checked.differences) == 1) for each in shown]
            if len(checked.differences) > len(shown):
                more = checked.differences[len(shown) :]
                said.append(f"also {', '.join(safe_text(each.pointer) for each in more)}")
            if not shown and checked.now.digest != self.pin.value.digest:
                said.append(f"it begins {self.pin.value.preview} as pinned")
                said.append(f"it begins {checked.now.preview} now")
        return said

    @property
    def remark(self) -> str | None:
        """What else has changed of what it rests on."""
        return None if self.checked is None else self.checked.remark


@dataclass(frozen=True, slots=True)
class Broken:
    """A block that should be a pin and is none."""

    text: str
    why: str


@dataclass(frozen=True, slots=True)
class Report:
    """A postmortem, and what became of its statements.

    ``lake`` is None where nothing was asked again.
    """

    name: str
    document: Document
    parts: tuple[Prose | Stated | Broken, ...]
    lake: Lake | None

    @property
    def stated(self) -> tuple[Stated, ...]:
        """All pins, in their order."""
        return tuple(part for part in self.parts if isinstance(part, Stated))

    @property
    def counts(self) -> dict[str, int]:
        """How many statements hold, differ, are gone, and how many blocks are no pins."""
        found = [stated.status for stated in self.stated]
        broken = sum(isinstance(part, Broken) for part in self.parts)
        return {
            "statements": len(found),
            "holds": found.count("holds"),
            "differs": found.count("differs"),
            "gone": found.count("gone"),
            "broken": broken,
        }

    @property
    def holds(self) -> bool:
        """Whether every statement was asked again and holds, or none was to be."""
        counts = self.counts
        return not counts["differs"] and not counts["gone"] and not counts["broken"]

    @property
    def verdict(self) -> str:
        """What became of the statements, in one line."""
        counts = self.counts
        number = counts["statements"]
        several = f"{number} pinned statement{'' if number == 1 else 's'}"
        verbs = (("holds", "still hold"), ("differs", "differ now"), ("gone", _GONE))
        told = [
            f"{counts[kind]} {_verb(counts[kind], words)}" for kind, words in verbs if counts[kind]
        ]
        if not number:
            said = "nothing is pinned"
        elif self.lake is None:
            said = f"{several}, not re-checked"
        elif counts["holds"] == number:
            said = f"all {several} still hold" if number > 1 else "its pinned statement still holds"
        else:
            said = f"of {several} {', '.join(told)}"
        if broken := counts["broken"]:
            said += f"; {broken} block{'s' if broken > 1 else ''} cannot be read as a pin"
        return said

    @property
    def window(self) -> tuple[datetime, datetime] | None:
        """The time of the incident, as the front matter says it."""
        since, until = self.document.time("since"), self.document.time("until")
        return None if since is None or until is None else (since, until)

    @property
    def facts(self) -> list[tuple[str, str]]:
        """What stands at the head: names and words."""
        front = self.document.front
        found = []
        if "decision_point" in front:
            found.append(("decision point", safe_text(front["decision_point"])))
        if self.window is not None:
            found.append(("window", f"{_at(self.window[0])} to {_at(self.window[1])} UTC"))
        if "lake" in front:
            found.append(("lake", safe_text(front["lake"])))
        return found

    @property
    def asked(self) -> str | None:
        """When, and of which lake, the statements were asked again."""
        if self.lake is None:
            return None
        return (
            f"Re-checked {_at(self.lake.checked_at, seconds=True)} UTC on lake "
            f"{safe_text(self.lake.name)} ({safe_text(self.lake.identity)[:8]}) at version "
            f"{self.lake.version}"
        )

    def page(self) -> Page:
        """This as a tree of blocks, to be written in some form."""
        from forensics.report.postmortem_page import page_of

        return page_of(self)

    def to_dict(self) -> dict[str, Any]:
        """What became of every statement, as a plain mapping."""
        return {
            "title": self.document.title,
            "lake": None if self.lake is None else self.lake.name,
            "lake_id": None if self.lake is None else self.lake.identity,
            "lake_version": None if self.lake is None else self.lake.version,
            "checked_at": None if self.lake is None else self.lake.checked_at,
            **self.counts,
            "pins": [_pin_dict(stated) for stated in self.stated],
        }


def report(
    name: str,
    document: Document,
    snapshot: Snapshot | None,
    now: datetime,
    tell: Callable[[int], None] | None = None,
) -> Report:
    """Ask every pin of a postmortem again.

    Args:
        name: of its file.
        document: the postmortem.
        snapshot: the lake; nothing is asked again where None.
        now: when it is asked.
        tell: told how many pins are behind us.
    """
    if snapshot is None:
        return Report(name, document, tuple(_part(part, None) for part in document.parts), None)
    parts = []
    with Answers(snapshot) as answers:
        for part in document.parts:
            parts.append(_part(part, answers))
            if tell is not None:
                tell(sum(isinstance(each, Stated) for each in parts))
    lake = Lake(
        snapshot.root.resolve().name, identity(snapshot.root), lake_version(snapshot), now
    )  # fmt: skip
    return Report(name, document, tuple(parts), lake)


def _part(part: Prose | Block, answers: Answers | None) -> Prose | Stated | Broken:
    if isinstance(part, Prose):
        return part
    if part.pin is None:
        return Broken(part.text, part.error or "")
    if answers is None:
        return Stated(part.pin, None)
    stated = Stated(part.pin, recheck(answers.snapshot, part.pin, answers=answers))
    if attribution(stated) is None:
        return stated
    said = answers.ask(part.pin.question)
    features = said["features"] if isinstance(said, dict) else ()
    return replace(stated, features={each["name"]: each["value"] for each in features})


def rate_answer(stated: Stated) -> Mapping[str, Any] | None:
    """A timeline that is pinned as a whole, to be drawn; None where it is something else."""
    part = None if stated.checked is None else stated.checked.part
    whole = stated.pin.question.command == "timeline" and not stated.pin.pointer
    return part if whole and isinstance(part, dict) else None


def attribution(stated: Stated) -> Mapping[str, Any] | None:
    """An attribution that is pinned, to be drawn; None where it is something else."""
    part = None if stated.checked is None else stated.checked.part
    if stated.pin.question.command != "trace":
        return None
    if stated.pin.pointer == "/attributions/values" and isinstance(part, list) and part:
        return {"values": part}
    if not stated.pin.pointer and isinstance(part, dict):
        part = part.get("attributions")
    elif stated.pin.pointer != "/attributions":
        return None
    return part if isinstance(part, dict) and part.get("values") else None


def differences_table(stated: Stated) -> list[tuple[str, str, str]]:
    """What a pinned diff lists: of what, on one side, on the other; nothing of other pins."""
    part = None if stated.checked is None else stated.checked.part
    if stated.pin.question.command != "diff" or stated.pin.pointer not in ("", "/differences"):
        return []
    rows = part.get("differences") if isinstance(part, dict) else part
    return [
        (f"{row['section']} {row['name']}", json_words(row["a"]), json_words(row["b"]))
        for row in rows or ()
    ]


def json_words(value: Any) -> str:
    """A JSON value in a few words: a text bare, the rest as JSON."""
    if value is ABSENT or value is UNKNOWN:
        return str(value.value)
    return safe_text(value if isinstance(value, str) else dumps(value), _VALUE_MAX)


def _verb(number: int, words: str) -> str:
    """``still hold`` of several, ``still holds`` of one."""
    if number != 1 or words == _GONE:
        return words
    return words.replace("hold", "holds").replace("differ", "differs")


def _difference(each: Difference, *, whole: bool) -> str:
    where = "" if whole and not each.pointer else f"{safe_text(each.pointer or '/')}: "
    if each.old is UNKNOWN:
        return f"{where}another value as pinned, {safe_text(json_words(each.new), _NOW_MAX)} now"
    return f"{where}{json_words(each.old)} as pinned, {json_words(each.new)} now"


def _pin_dict(stated: Stated) -> dict[str, Any]:
    pin, checked = stated.pin, stated.checked
    now = None if checked is None else checked.now
    return {
        "id": pin.id,
        "statement": pin.statement,
        "note": pin.note,
        "status": stated.status,
        "reason": None if checked is None else checked.reason,
        "remark": None if checked is None else checked.remark,
        "command": stated.command,
        "pointer": stated.pointer,
        "value": None if pin.value.text is None else loads(pin.value.text),
        "digest": pin.value.digest,
        "now": None if now is None or now.text is None else loads(now.text),
        "digest_now": None if now is None else now.digest,
        "differences": [
            {"pointer": each.pointer, "old": _side(each.old), "new": _side(each.new)}
            for each in (checked.differences if checked else ())
        ],
        "taken_at": pin.taken_at,
    }


def _side(value: Any) -> Any:
    return None if value is ABSENT or value is UNKNOWN else value


def _at(time: datetime, *, seconds: bool = False) -> str:
    return f"{time:%Y-%m-%d %H:%M:%S}" if seconds or time.second else f"{time:%Y-%m-%d %H:%M}"
