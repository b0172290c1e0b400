"""What can be pinned of what a check has found."""

from __future__ import annotations

from collections.abc import Hashable

from forensics.incident.pins import Pinnable
from forensics.incident.questions import Question
from forensics.lake.window import DECISION, REQUEST
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics_tui.finding_lines import second, share, time_of, words_of
from forensics_tui.found import Example, Found, Kind, One


def of_found(found: Found, question: Question, data: Hashable) -> list[Pinnable]:
    """What something stands for first, then all that was found, then what was not.

    Args:
        found: what is told.
        question: the check that tells it.
        data: what the cursor stands on.
    """
    pins = _all(found, question)
    here: list[Pinnable] = []
    if isinstance(data, Example):
        row = data.row
        words = f"{row[REQUEST]} was decided {row[4]} at {second(time_of(row))}"
        asked = Question("trace", {"id": str(row[DECISION])})
        here.append(Pinnable(asked, "/decision/outcome", safe_text(words)))
        data = data.of
    if isinstance(data, Kind):
        chosen = [key for key in pins if isinstance(key, One) and key.kind == data.kind]
        here += [pins.pop(key) for key in chosen or list(pins)[-1:]]
    elif data in pins:
        here.append(pins.pop(data))
    return [*here, *pins.values()]


def _all(found: Found, question: Question) -> dict[Hashable, Pinnable]:
    check, pins = found.check, dict[Hashable, Pinnable]()
    all_ = count_of(check.decisions, "decision")
    for list_, ones in (("found", check.found), ("not_checkable", check.not_checkable)):
        for at, one in enumerate(ones):
            unknown = list_ == "not_checkable"
            words = f"{words_of(one.kind)} not checkable, because " if unknown else ""
            words = words or f"{words_of(one.kind)}: "
            words += f"{one.statement}: {one.count:,} of {all_} ({share(one, check)}), "
            words += f"{second(one.first)} to {second(one.last)}"
            pins[One(one.kind, one.about)] = Pinnable(question, f"/{list_}/{at}", safe_text(words))
    names = ", ".join(map(words_of, check.clean_kinds))
    if names:
        words = f"{all_} from {found.window.words} checked, nothing found by {names}"
        pins["clean"] = Pinnable(question, "/nothing_found", words)
    return pins
