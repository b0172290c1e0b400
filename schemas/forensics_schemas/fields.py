"""How a field of the contract is declared, and how its rules are read again.

A field carries its documentation and its JSON rules as Arrow field metadata, so that the Parquet
files describe themselves and :mod:`forensics_schemas.generate` needs no second source.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

#: Delta and every engine that reads it agree on microseconds UTC and on nothing finer.
TIMESTAMP = pa.timestamp("us", tz="UTC")

#: A decision point's name, which is part of paths.
POINT = {"pattern": "^[a-z][a-z0-9_]{0,62}$"}
#: An id that came from outside: any text without control characters.
ID = {
    "minLength": 1,
    "maxLength": 256,
    "not": {"type": "string", "pattern": "[\\u0000-\\u001f\\u007f-\\u009f]"},
}
DIGEST = {"pattern": "^sha256:[0-9a-f]{64}$"}


def field(
    name: str,
    type_: pa.DataType,
    doc: str,
    *,
    required: bool = False,
    enum: tuple[str, ...] | None = None,
    rule: dict[str, Any] | None = None,
    any_json: bool = False,
) -> pa.Field:
    """One field.

    Args:
        name: its name in the record.
        type_: its Arrow type.
        doc: a sentence that says what it is.
        required: no record goes without it.
        enum: the only values that it may have.
        rule: JSON Schema keywords that a value must also meet.
        any_json: text that holds a JSON value of any shape, kept as written.
    """
    meta = {"doc": doc}
    if required:
        meta["required"] = "true"
    if enum:
        meta["enum"] = json.dumps(list(enum))
    if rule:
        meta["rule"] = json.dumps(rule)
    if any_json:
        meta["json"] = "true"
    return pa.field(name, type_, nullable=True, metadata=meta)


def text(name: str, doc: str, **options: Any) -> pa.Field:
    """Text. ``options`` are those of :func:`field`."""
    return field(name, pa.string(), doc, **options)


def json_value(name: str, doc: str, **options: Any) -> pa.Field:
    """Text that holds a JSON value of any shape. ``options`` are those of :func:`field`."""
    return field(name, pa.string(), doc, any_json=True, **options)


def number(name: str, doc: str, **options: Any) -> pa.Field:
    """A 64-bit float. ``options`` are those of :func:`field`."""
    return field(name, pa.float64(), doc, **options)


def integer(name: str, doc: str, **options: Any) -> pa.Field:
    """A 64-bit integer. ``options`` are those of :func:`field`."""
    return field(name, pa.int64(), doc, **options)


def time(name: str, doc: str, **options: Any) -> pa.Field:
    """An instant, in UTC. ``options`` are those of :func:`field`."""
    return field(name, TIMESTAMP, doc, **options)


def flag(name: str, doc: str, **options: Any) -> pa.Field:
    """True or false. ``options`` are those of :func:`field`."""
    return field(name, pa.bool_(), doc, **options)


def group(name: str, doc: str, *fields: pa.Field, **options: Any) -> pa.Field:
    """A struct of ``fields``. ``options`` are those of :func:`field`."""
    return field(name, pa.struct(fields), doc, **options)


def many(name: str, doc: str, *fields: pa.Field, **options: Any) -> pa.Field:
    """A list of structs of ``fields``. ``options`` are those of :func:`field`."""
    return field(name, pa.list_(pa.struct(fields)), doc, **options)


def texts(name: str, doc: str, **options: Any) -> pa.Field:
    """A list of texts. ``options`` are those of :func:`field`."""
    return field(name, pa.list_(pa.string()), doc, **options)


def numbers(name: str, doc: str, **options: Any) -> pa.Field:
    """Numbers by name. ``options`` are those of :func:`field`."""
    return field(name, pa.map_(pa.string(), pa.float64()), doc, **options)


def field_rules(field: pa.Field) -> dict[str, Any]:
    """What a field's metadata says: ``doc``, ``required``, ``enum``, ``rule``, ``json``."""
    meta = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return {
        "doc": meta.get("doc", ""),
        "required": meta.get("required") == "true",
        "enum": json.loads(meta["enum"]) if "enum" in meta else None,
        "rule": json.loads(meta["rule"]) if "rule" in meta else {},
        "json": meta.get("json") == "true",
    }
