"""Decisions that are evidently sound, told in half the time that the ingest takes to judge one.

The contract and a decision point's feature types become one type that msgspec checks: what fits it
word for word needs no other judge. What does not may be sound all the same (a number as text, a new
feature, letters that are to be looked at one by one), and that the ingest itself judges.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import cache
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from forensics.ingest.assemble import kind_of
from forensics.ingest.decode import Refused, decode
from forensics_schemas.arrow import SCHEMAS
from forensics_schemas.fields import field_rules

_SCALARS: dict[str, Any] = {
    "string": str,
    "double": float,
    "int64": Annotated[int, Meta(ge=-(1 << 63), le=(1 << 63) - 1)],
    "bool": bool,
    "float64": float,
    "list<float64>": list[float | None],
    "json": Any,
}


class Evident:
    """What one decision point's sound decisions look like.

    Args:
        features: the types of its features, by name.
    """

    def __init__(self, features: Mapping[str, str]) -> None:
        typed = {name: _SCALARS[type_] for name, type_ in features.items() if type_ in _SCALARS}
        # A feature that is not known yet, or of a type that is not known here, needs the judge.
        shape = _struct("Features", typed, strict=True)
        self._type = msgspec.defstruct("Decision", [*_contract(), ("features", shape | None, None)])

    def covers(self, line: bytes, record: dict[str, Any]) -> bool:
        """Whether a decoded record of this decision point is evidently sound."""
        if b"\\" in line or "eventTime" in record or not line.decode().isprintable():
            return False
        if record.get("record", "decision") != "decision" or kind_of(record) != "decision":
            return False
        if record.get("decision_id") is None and record.get("request_id") is None:
            return False
        try:
            msgspec.convert(record, self._type)
        except (msgspec.ValidationError, RecursionError):
            return False
        return True


def decoded(line: bytes) -> dict[str, Any] | None:
    """The record that a line holds; None where it holds none, or only the slow parser may say."""
    try:
        return decode(line, careful=False)
    except Refused:
        return None


@cache
def _contract() -> tuple[tuple[Any, ...], ...]:
    """The fields of a decision; those that must be there first, as msgspec wants them."""
    required, optional = [], []
    for field in SCHEMAS["decision"]:
        # Either id serves for both, which is looked at beside this.
        if field_rules(field)["required"] and field.name != "request_id":
            required.append((field.name, _type_of(field)))
        else:
            optional.append((field.name, _type_of(field) | None, None))
    return (*required, *optional)


def _type_of(field: Any) -> Any:
    """The strictest type of an Arrow field: all that fits it, the ingest takes."""
    rules, kind = field_rules(field), str(field.type)
    if rules["json"]:
        return Any
    if kind.startswith("struct<"):
        return _struct(field.name, {child.name: _type_of(child) for child in field.type})
    if kind.startswith("list<"):
        return list[_type_of(field.type.value_field) | None]  # type: ignore[misc]
    if kind.startswith("map<"):
        return dict[str, _SCALARS[str(field.type.item_type)] | None]  # type: ignore[misc]
    if kind.startswith("timestamp"):
        return Annotated[datetime, Meta(tz=True)]
    if rules["enum"]:
        return Literal[tuple(rules["enum"])]
    rule = rules["rule"]
    limits = {"pattern": "pattern", "minLength": "min_length", "maxLength": "max_length"}
    given = {ours: rule[theirs] for theirs, ours in limits.items() if theirs in rule}
    return Annotated[str, Meta(**given)] if given else _SCALARS[kind]


def _struct(name: str, types: Mapping[str, Any], *, strict: bool = False) -> Any:
    """A type with these fields, each of which may be absent or null."""
    fields: Iterable[Any] = (
        (f"f{number}", type_ | None, msgspec.field(name=key, default=None))
        for number, (key, type_) in enumerate(types.items())
    )
    return msgspec.defstruct(name, fields, forbid_unknown_fields=strict)
