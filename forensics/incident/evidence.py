"""What a pinned statement rests on: the records that it is about, or a window of them."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any, NamedTuple

from forensics.incident import pointers
from forensics.incident.asking import Answers
from forensics.incident.questions import Question
from forensics.lake import read
from forensics.lake.read import Kept
from forensics.lake.snapshot import Snapshot
from forensics.records.jsontext import dumps
from forensics.records.plural import count_of

#: A part of an answer that names more decisions than these is taken to be about the first of them.
RECORDS_MAX = 50
_COUNTING = ("timeline", "check", "find")


class Record(NamedTuple):
    """A decision and its leaf in hexadecimal; a digest of its fields where it has no leaf."""

    decision_id: str
    leaf: str


class Window(NamedTuple):
    """How many decisions a window held, and a digest of their leaves."""

    decision_point: str | None
    since: datetime | None
    until: datetime | None
    decisions: int
    digest: str


class Problems(NamedTuple):
    """What became of the records: why a statement can no longer be relied on, and what else."""

    altered: str | None
    remark: str | None


def rests_on(
    answers: Answers, question: Question, answer: Any, where: str
) -> tuple[tuple[Record, ...], Window | None]:
    """The decisions that a part of an answer is about, and the window that it is counted from."""
    found = _records(answers.snapshot, named_by(question, answer, where))
    records = tuple(dict.fromkeys(record for record, _ in found))
    return records, _window(answers, question)


def named_by(question: Question, answer: Any, where: str) -> Iterator[str]:
    """Ids of the decisions that a part of an answer is about, in its order.

    Decision ids, but request ids where a check names examples.
    """
    way = pointers.tokens(where)
    if question.command == "trace":
        yield from (one["decision"]["decision_id"] for one in _chosen(answer, way))
    elif question.command == "diff":
        yield from (answer[side]["decision_id"] for side in ("a", "b"))
    elif question.command == "find" and isinstance(answer, list):
        rows = _chosen(answer, way)
        yield from (row["decision_id"] for row in rows[:RECORDS_MAX])
    elif question.command == "check" and len(way) >= 2 and way[0] in ("found", "not_checkable"):
        yield from pointers.resolve(answer, pointers.pointer(way[:2]))["examples"][:RECORDS_MAX]


def _chosen(answer: Any, way: Sequence[str]) -> list[Any]:
    """Of an answer that may be several, those that a pointer leads into."""
    if not isinstance(answer, list):
        return [answer]
    return [pointers.resolve(answer, pointers.pointer(way[:1]))] if way else answer


def problems(
    answers: Answers,
    records: Sequence[Record],
    window: Window | None,
    named: Iterable[str],
) -> Problems:
    """What is not as it was with what a statement rests on.

    Args:
        answers: of the lake as it is now.
        records: the decisions it was about.
        window: all decisions that it was counted from.
        named: ids of the decisions that its answer is about now.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    altered, remarks = [], []
    now = list(_records(answers.snapshot, [*(one.decision_id for one in records), *named]))
    there = {record for record, _ in now}
    ids = {record.decision_id for record in there}
    for record, verified in now:
        if verified is False:
            altered.append(f"the received bytes of {record.decision_id} are not those of its leaf")
    for record in records:
        if record.decision_id not in ids:
            altered.append(f"the record of {record.decision_id} is not in the lake any more")
        elif record not in there:
            altered.append(f"the record of {record.decision_id} is another than then")
    if window is not None:
        found = answers.leaves(window.decision_point, window.since, window.until, received=True)
        if found is not None and found.altered:
            names = ", ".join(found.altered)
            altered.append(f"the received bytes of {names} are not those of their leaves")
        if found is not None and found.digest != window.digest:
            remarks.append(
                f"its window holds {count_of(found.decisions, 'decision')} now and held "
                f"{window.decisions:,} then"
                if found.decisions != window.decisions
                else f"its window has {count_of(found.decisions, 'decision')} as then, not the same"
            )
    return Problems("; ".join(sorted(altered)) or None, "; ".join(remarks) or None)


def _window(answers: Answers, question: Question) -> Window | None:
    arguments = question.arguments
    if question.command not in _COUNTING:
        return None
    if question.command == "find" and not arguments.get("count"):
        return None
    named = arguments.get("decision-point")
    point = None if named is None else str(named)
    since, until = (
        datetime.fromisoformat(str(arguments[name])) if name in arguments else None
        for name in ("since", "until")
    )
    found = answers.leaves(point, since, until, received=False)
    return None if found is None else Window(point, since, until, found.decisions, found.digest)


def _records(snapshot: Snapshot, ids: Iterable[str]) -> Iterator[tuple[Record, bool | None]]:
    """The decisions of these ids in the order of their own, each with whether its bytes match."""
    wanted = set(ids)
    located = [
        place for place in snapshot.locate(*wanted) if place.table.startswith("decisions/")
    ] if wanted else []  # fmt: skip
    found = []
    for kept in read.records(snapshot, located):
        decision_id = str(kept.record["decision_id"])
        if wanted & {decision_id, str(kept.record["request_id"])}:
            leaf = kept.sealed["leaf"]
            text = bytes(leaf).hex() if leaf else _digest(kept)
            found.append((Record(decision_id, text), kept.verified))
    yield from sorted(found, key=lambda one: one[0])


def _digest(kept: Kept) -> str:
    return f"sha256:{hashlib.sha256(dumps(kept.record).encode()).hexdigest()}"
