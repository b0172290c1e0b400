"""A pin: a part of an answer, with the question that gives it again and what it rests on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import islice
from typing import Any, Literal, NamedTuple

from forensics.errors import ForensicsError, UsageError
from forensics.incident import pointers
from forensics.incident.asking import VARYING, Answers
from forensics.incident.evidence import Record, Window, named_by, problems, rests_on
from forensics.incident.pointers import ABSENT, UNKNOWN, Difference
from forensics.incident.questions import Question
from forensics.ingest.canonical_json import canonical
from forensics.lake.snapshot import Snapshot
from forensics.records.jsontext import loads

#: A value of more characters as canonical JSON is kept as its digests and its beginning.
INLINE_MAX = 400
_PARTS_MAX = 64
_PART_DIGITS = 12
#: A member that is a text, a number or the like is kept itself up to so many characters.
_PART_MAX = 40
_HASHED = "sha256:"
_PREVIEW = 120
_DIFFERENCES = 20
Status = Literal["holds", "differs", "gone"]


@dataclass(frozen=True, slots=True)
class Pinnable:
    """What can be pinned: a part of the answer to a question.

    Args:
        question: which.
        pointer: the part of its JSON answer, as a JSON pointer (RFC 6901); all of it where empty.
        statement: the part in words, on one line.
    """

    question: Question
    pointer: str
    statement: str


class Value(NamedTuple):
    """A JSON value as it was.

    ``text`` is its canonical JSON (RFC 8785), None where that is long. ``parts`` has then its
    members by their names or numbers, where they are not too many, so that what differs later can
    be named: small ones as JSON, others as the beginning of a digest. ``preview`` is the beginning
    of the text.
    """

    digest: str
    preview: str
    text: str | None
    parts: Mapping[str, str]

    @classmethod
    def of(cls, value: Any) -> Value:
        """``value``, decoded JSON."""
        text = canonical(value).decode()
        preview = text if len(text) <= _PREVIEW else f"{text[:_PREVIEW]}…"
        whole = len(text) <= INLINE_MAX
        return cls(_digest(text), preview, text if whole else None, {} if whole else _parts(value))


def _digest(text: str) -> str:
    return f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"


def _parts(value: Any) -> Mapping[str, str]:
    """The digests of a value's members; nothing where it has none, or too many."""
    items = value.items() if isinstance(value, dict) else enumerate(value)
    if not isinstance(value, dict | list) or len(value) > _PARTS_MAX:
        return {}
    return {str(name): _member(child) for name, child in items}


def _member(child: Any) -> str:
    text = canonical(child).decode()
    if not isinstance(child, dict | list) and len(text) <= _PART_MAX:
        return text
    return _digest(text)[: len(_HASHED) + _PART_DIGITS]


@dataclass(frozen=True, slots=True)
class Pin:
    """A statement that can be asked again.

    Args:
        id: its name within a postmortem.
        note: what its author says of it; may be empty.
        question: which gives it again.
        pointer: the part of the question's JSON answer.
        statement: the part in words.
        value: the part, without what varies from one asking to the next.
        records: the decisions that it is about.
        window: all decisions of the window that it is counted from; None where it is of none.
        taken_at: when it was asked.
        lake_version: how many commits the lake had then.
        among: what the items of lists on the pointer's way are known by, by their pointers, so that
            they are found when others have come before them.
        other: keys of the file that this version does not know.
    """

    id: str
    note: str
    question: Question
    pointer: str
    statement: str
    value: Value
    records: tuple[Record, ...]
    window: Window | None
    taken_at: datetime
    lake_version: int
    among: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    other: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Checked:
    """A pin asked again.

    ``reason`` says why it is gone, or what became of its records. ``now`` is the part as it is now,
    None where it is gone; ``differences`` are the smallest parts that differ, at most 20, by
    pointers into the part, where the value was kept whole.
    """

    pin: Pin
    status: Status
    reason: str | None = None
    now: Value | None = None
    differences: tuple[Difference, ...] = ()
    #: What the pin rests on has changed, though it says the same.
    remark: str | None = None
    #: The part as JSON, for charts.
    part: Any = None
    #: Where the part stands now: an item may have moved within its list.
    pointer: str | None = None


def lake_version(snapshot: Snapshot) -> int:
    """How many commits the lake has had, over all its tables but that of who looked at it."""
    return sum(table.version + 1 for name, table in snapshot.tables.items() if name != "access")


def pin(
    snapshot: Snapshot,
    pinnable: Pinnable,
    note: str = "",
    *,
    answers: Answers | None = None,
    now: datetime | None = None,
) -> Pin:
    """Ask a question and keep the part of its answer, with what it rests on.

    Args:
        snapshot: the lake.
        pinnable: which part of which answer.
        note: what its author says of it.
        answers: of this snapshot, where several questions are asked.
        now: the time of asking; the present one where None.

    Raises:
        UsageError: when the pointer leads nowhere, or to what is another each time it is asked.
        ForensicsError: as the question's command fails.
    """
    if answers is None:
        with Answers(snapshot) as own:
            return pin(snapshot, pinnable, note, answers=own, now=now)
    question, where = pinnable.question, pinnable.pointer
    answer = answers.ask(question)
    try:
        part = _part(question, answer, where)
    except (ValueError, LookupError) as error:
        raise UsageError(
            f"{where!r} leads to nothing that can be pinned.", f"{error.args[0]}."
        ) from None
    if pointers.is_within(where, VARYING.get(question.command, ())):
        raise UsageError(
            f"{where} of forensics {question.command} cannot be pinned.",
            "It may be another each time it is asked, though the evidence is the same.",
        )
    records, window = rests_on(answers, question, answer, where)
    return Pin(
        id=_name(question, where),
        note=note,
        question=question,
        pointer=where,
        statement=" ".join(pinnable.statement.split()),
        value=_value(part),
        records=records,
        window=window,
        taken_at=(now or datetime.now(UTC)).replace(microsecond=0),
        lake_version=lake_version(snapshot),
        among=pointers.identities(answer, where),
    )


def recheck(snapshot: Snapshot, pinned: Pin, *, answers: Answers | None = None) -> Checked:
    """Ask a pin's question again, and look whether the records it rests on are as they were.

    A pin whose question cannot be answered any more, or whose pointer leads nowhere, is ``gone``.
    It ``differs`` where its value does, or a record of it is not what it was. That its window has
    come to hold other decisions is a remark where the value is the same.

    Args:
        snapshot: the lake.
        pinned: the pin.
        answers: of this snapshot, where several pins are checked.
    """
    if answers is None:
        with Answers(snapshot) as own:
            return recheck(snapshot, pinned, answers=own)
    try:
        answer = answers.ask(pinned.question)
        where = pointers.followed(answer, pinned.pointer, pinned.among)
        part = _part(pinned.question, answer, where)
        found = problems(
            answers,
            pinned.records,
            pinned.window,
            named_by(pinned.question, answer, where),
        )
    except (ForensicsError, ValueError, LookupError) as error:
        why = str(error) if isinstance(error, ForensicsError) else str(error.args[0])
        return Checked(pinned, "gone", why)
    now = _value(part)
    same = now.digest == pinned.value.digest
    status: Status = "holds" if same and not found.altered else "differs"
    return Checked(
        pinned,
        status,
        found.altered,
        now,
        () if same else tuple(islice(_differences(pinned.value, part), _DIFFERENCES)),
        found.remark,
        part,
        where,
    )


def _part(question: Question, answer: Any, where: str) -> Any:
    part = pointers.resolve(answer, where)
    return pointers.without(part, VARYING.get(question.command, ()), where)


def _value(part: Any) -> Value:
    try:
        return Value.of(part)
    except ValueError as error:
        raise UsageError("This cannot be pinned.", f"{error}.") from error


def _differences(old: Value, part: Any) -> Iterator[Difference]:
    """The smallest parts that differ, as far as what was kept of the old value tells them."""
    if old.text is not None:
        before = loads(old.text)
        yield from list(pointers.differences(before, part)) or [Difference("", before, part)]
        return
    now = _parts(part)
    for name in dict.fromkeys((*old.parts, *now)) if old.parts else ():
        if old.parts.get(name) != now.get(name):
            where = pointers.pointer([name])
            new = pointers.resolve(part, where) if name in now else ABSENT
            yield Difference(where, _kept(old.parts.get(name)), new)


def _kept(member: str | None) -> Any:
    """A member of an old value, as far as it was kept."""
    if member is None:
        return ABSENT
    try:
        return UNKNOWN if member.startswith(_HASHED) else loads(member)
    except ValueError:  # somebody has written into the file
        return UNKNOWN


def _name(question: Question, where: str) -> str:
    """The same for the same part of the same answer, so that it is not pinned twice unnoticed."""
    text = f"{question.line()}\n{where}"
    return f"p-{hashlib.sha256(text.encode('utf-8', 'surrogatepass')).hexdigest()[:8]}"
