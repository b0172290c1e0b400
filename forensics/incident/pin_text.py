"""A pin as a fenced block of TOML, and back."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from forensics.errors import SchemaError, UsageError
from forensics.incident import pointers
from forensics.incident.evidence import Record, Window
from forensics.incident.pins import Pin, Value
from forensics.incident.questions import Question
from forensics.incident.tomltext import inline, json_text, line, name
from forensics.records.jsontext import loads

_KEYS = frozenset(
    ("id", "statement", "note", "ask", "arguments", "pointer", "among", "value", "value_digest",
     "value_begins", "value_parts", "records", "window", "taken_at", "lake_version")
)  # fmt: skip
_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def pin_text(pin: Pin) -> str:
    """The block of a pin, with its fences and the end of its last line."""
    body = "\n".join(_lines(pin))
    runs = [len(run) for run in re.findall(r"^ {0,3}(`+)", body, re.MULTILINE)]
    fence = "`" * max(3, *(run + 1 for run in runs)) if runs else "```"
    return f"{fence}pin\n{body}\n{fence}\n"


def _lines(pin: Pin) -> list[str]:
    question, value = pin.question, pin.value
    lines = [
        line("id", pin.id),
        line("statement", pin.statement),
        line("note", pin.note),
        line("ask", question.command),
        line("arguments", question.arguments),
        line("pointer", pin.pointer),
    ]
    lines += [line("among", pin.among)] if pin.among else []
    if value.text is not None:
        lines.append(f"value = {json_text(value.text)}")
    else:
        lines += [line("value_digest", value.digest), line("value_begins", value.preview)]
        lines += [line("value_parts", value.parts)] if value.parts else []
    if pin.records:
        records = "".join(
            f"  {inline({'decision': one.decision_id, 'leaf': one.leaf})},\n" for one in pin.records
        )
        lines.append(f"records = [\n{records}]")
    if pin.window is not None:
        kept = {key: value for key, value in pin.window._asdict().items() if value is not None}
        lines.append(line("window", kept))
    lines += [line("taken_at", pin.taken_at), line("lake_version", pin.lake_version)]
    return [*lines, *(f"{name(key)} = {inline(value)}" for key, value in pin.other.items())]


def pin_of(table: Mapping[str, Any]) -> Pin:
    """The pin that a block says.

    Raises:
        SchemaError: when something is missing or is not what it must be.
    """
    try:
        question = Question(_get(table, "ask", str), _arguments(table))
    except UsageError as error:
        raise SchemaError(*error.args) from error
    pointer = _get(table, "pointer", str, "")
    try:
        pointers.tokens(pointer)
    except ValueError as error:
        raise SchemaError(f"{error}.") from error
    return Pin(
        id=_get(table, "id", str),
        note=_get(table, "note", str, ""),
        question=question,
        pointer=pointer,
        statement=_get(table, "statement", str),
        value=_value(table),
        records=tuple(
            Record(_get(one, "decision", str), _get(one, "leaf", str))
            for one in _get(table, "records", list, [])
        ),
        window=_window(table),
        taken_at=_zoned(_get(table, "taken_at", datetime)),
        lake_version=_get(table, "lake_version", int, 0),
        among={
            place: {name: str(each) for name, each in _get(known, place, dict).items()}
            for known in (_get(table, "among", dict, {}),)
            for place in known
        },
        other={key: value for key, value in table.items() if key not in _KEYS},
    )


def _arguments(table: Mapping[str, Any]) -> dict[str, Any]:
    given = _get(table, "arguments", dict, {})
    return {key: tuple(v) if isinstance(v, list) else v for key, v in given.items()}


def _value(table: Mapping[str, Any]) -> Value:
    if "value" not in table:
        digest = _get(table, "value_digest", str)
        if not _DIGEST.fullmatch(digest):
            raise SchemaError(f"{digest!r} is no digest.")
        parts = {name: str(each) for name, each in _get(table, "value_parts", dict, {}).items()}
        return Value(digest, _get(table, "value_begins", str, ""), None, parts)
    text = _get(table, "value", str)
    try:
        return Value.of(loads(text))
    except (ValueError, RecursionError) as error:
        raise SchemaError(f"Its value is no JSON: {error}.") from error


def _window(table: Mapping[str, Any]) -> Window | None:
    if "window" not in table:
        return None
    given = _get(table, "window", dict)
    since, until = (
        _zoned(_get(given, name, datetime)) if name in given else None
        for name in ("since", "until")
    )
    point = _get(given, "decision_point", str) if "decision_point" in given else None
    return Window(point, since, until, _get(given, "decisions", int), _get(given, "digest", str))


def _zoned(time: datetime) -> datetime:
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time.astimezone(UTC)


_NONE: Any = object()


def _get(table: Any, key: str, type_: Any, otherwise: Any = _NONE) -> Any:
    value = table.get(key, otherwise) if isinstance(table, Mapping) else _NONE
    if value is _NONE:
        raise SchemaError(f"It has no {key!r}.")
    if not isinstance(value, type_) or (type_ is int and isinstance(value, bool)):
        raise SchemaError(f"Its {key!r} is {value!r}.")
    return value
