"""A pin: a part of an answer, with the question that gives it again."""

from __future__ import annotations

from dataclasses import dataclass

from forensics.incident.questions import Question


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
