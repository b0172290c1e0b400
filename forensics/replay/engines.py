"""What foreign rule engines are asked and answer, row by row."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, NamedTuple

from forensics.errors import ReplayError
from forensics.replay.client import RuleWorker

#: Rows of one message: enough that the message costs nothing, few enough to be told of early.
_BATCH_ROWS = 1_000


class EngineRule(NamedTuple):
    """A row of a decision table that decided: its table's name, its id, and its place from 1."""

    node: str
    id: str
    row: int


class EngineAnswer(NamedTuple):
    """An engine's answer to one row of inputs.

    ``value`` is None where ``error`` says why there is none. ``rules`` are in the order of
    evaluation; ``absent`` are fields that one of them looked at and the inputs do not have: what
    they decided is not what the service decided, if it had them. ``from_dict`` is what a service
    gets that hands its numbers to ZEN in a Python dict; mostly ``value``.
    """

    value: Any
    error: str | None
    rules: tuple[EngineRule, ...]
    absent: tuple[str, ...]
    from_dict: Any


def ask(
    worker: RuleWorker, rows: Sequence[Mapping[str, Any]], output: str | None = None
) -> list[EngineAnswer]:
    """The engine's answer to each row.

    Args:
        worker: the rule set in its process.
        rows: inputs by name. Times become RFC 3339 text, decimals doubles.
        output: dotted path of the part of each answer that is wanted; the whole where None.

    Raises:
        ReplayError: when the rule set is refused, its process dies or takes too long, or something
            is nested too deeply.
    """
    answers: list[EngineAnswer] = []
    try:
        for start in range(0, len(rows), _BATCH_ROWS):
            batch = [_plain(row) for row in rows[start : start + _BATCH_ROWS]]
            answers += [_answer(given, output) for given in worker.evaluate(batch)]
    except RecursionError as error:
        raise ReplayError("an input or an answer of the rule set is nested too deeply") from error
    return answers


def _answer(given: Mapping[str, Any], output: str | None) -> EngineAnswer:
    if "error" in given:
        return EngineAnswer(None, str(given["error"]), (), (), None)
    value = _at(given["value"], output)
    other = _at(given["from_dict"], output) if "from_dict" in given else value
    rules = tuple(EngineRule(**rule) for rule in given.get("rules", ()))
    return EngineAnswer(value, None, rules, tuple(given.get("absent", ())), other)


def _at(answer: Any, path: str | None) -> Any:
    """The part of an answer at a dotted path; None where there is no such part."""
    for key in path.split(".") if path else ():
        if isinstance(answer, Mapping):
            answer = answer.get(key)
        elif isinstance(answer, list) and key.isdecimal():
            answer = answer[int(key)] if int(key) < len(answer) else None
        else:
            return None
    return answer


def _plain(value: Any) -> Any:
    """``value`` in JSON's terms."""
    if value is None or isinstance(value, (str, bool, int)):
        return value
    if isinstance(value, (float, Decimal)):
        return float(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, datetime):
        known = value if value.tzinfo else value.replace(tzinfo=UTC)
        return known.astimezone(UTC).isoformat().replace("+00:00", "Z")
    if isinstance(value, date):
        return value.isoformat()
    return str(value)
