"""Writes ``*.schema.json`` (JSON Schema, draft 2020-12) from :mod:`forensics_schemas.arrow`.

    python -m forensics_schemas.generate            write what changed
    python -m forensics_schemas.generate --check    exit 1 if anything would be written
    python -m forensics_schemas.generate --amend    as the first, for a version that nobody has yet

``published.json`` remembers the digest of every version ever generated. A changed contract under an
old version is refused, and so is a new version that says less about the change than it is.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any, TypeAlias

import pyarrow as pa

from forensics_schemas import KINDS
from forensics_schemas.arrow import SCHEMAS, VERSIONS
from forensics_schemas.fields import field_rules
from forensics_schemas.schemaver import Version, change, digest

Json: TypeAlias = dict[str, Any]

FOLDER = Path(__file__).parent
TITLES = {
    "decision": "One answer that a decision point gave to one request.",
    "change": "Something that was different from then on: a deploy, a config, a pipeline run.",
    "override": "A person's replacement of one decision's outcome.",
    "outcome": "What turned out to be true about one decision, arriving later.",
    "declaration": "What a decision point's features are and come from, and what it must do.",
    "access": "That somebody looked at decisions: who, what, for which case and why.",
    "hold": "That a person's records may not be erased, and on what order.",
    "erasure": "That a person's records were erased, and on what order.",
    "policy": "What is personal and who may see it from then on: a version of privacy.toml.",
    "reconstruction": "Everything known about one decision; each fact says how it is known.",
}
DEFINITIONS: dict[str, Json] = {
    "number": {
        "description": "A number; the three that JSON cannot write are strings, as in ProtoJSON.",
        "anyOf": [{"type": "number"}, {"enum": ["NaN", "Infinity", "-Infinity"]}],
    },
    "time": {
        "description": "RFC 3339, with its zone; kept to the microsecond.",
        "type": "string",
        "format": "date-time",
        "pattern": r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$",
    },
}
FEATURES: Json = {
    "description": (
        "What the decision was made from: one value for each feature of the decision point, in "
        "any order. NaN, Infinity and -Infinity are written as strings."
    ),
    "type": ["object", "null"],
    "propertyNames": {"minLength": 1, "maxLength": 256},
    "additionalProperties": {
        "type": ["number", "string", "boolean", "array", "null"],
        "items": {"type": ["number", "null"]},
    },
}
NAMED = [
    {"required": [name], "properties": {name: {"type": "string"}}}
    for name in ("request_id", "decision_id")
]


class RefusedError(Exception):
    """The contract changed in a way that its version does not say."""


def build(kind: str) -> Json:
    """The JSON Schema of one record kind.

    Input records may carry fields outside the contract: the lake keeps them. A reconstruction,
    which only this project writes, is closed.
    """
    closed = kind == "reconstruction"
    body = _object(list(SCHEMAS[kind]), closed=closed)
    if not closed:
        body["properties"] = {
            "record": {"description": "What this record is.", "const": kind},
            "schema": {
                "description": "The `$id` of the schema that the record was written to.",
                "type": ["string", "null"],
            },
            **body["properties"],
        }
        if kind != "decision":  # a line that does not say what it is, is a decision
            body["required"].insert(0, "record")
    if kind == "decision":
        properties = body["properties"]
        properties["request_id"]["type"] = ["string", "null"]
        properties["features"] = FEATURES
        body["required"].remove("request_id")
        body["anyOf"] = NAMED
    used = {name for name in DEFINITIONS if f'"#/$defs/{name}"' in json.dumps(body)}
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "$id": f"urn:decision-forensics:schema:{kind}:{VERSIONS[kind]}",
        "title": kind,
        "description": TITLES[kind],
        **body,
        "$defs": {name: DEFINITIONS[name] for name in DEFINITIONS if name in used},
    }


def _object(fields: list[pa.Field], *, closed: bool) -> Json:
    body: Json = {
        "type": "object",
        "required": [field.name for field in fields if field_rules(field)["required"]],
        "properties": {field.name: _property(field, closed=closed) for field in fields},
    }
    if closed:
        body["additionalProperties"] = False
    return body


def _property(field: pa.Field, *, closed: bool) -> Json:
    rules = field_rules(field)
    shape = {} if rules["json"] else _shape(field.type, closed=closed)
    if rules["enum"]:
        shape["enum"] = list(rules["enum"])
    shape |= rules["rule"]
    if not rules["required"]:
        shape = _or_null(shape)
    return {"description": rules["doc"], **shape}


def _shape(type_: pa.DataType, *, closed: bool) -> Json:
    if pa.types.is_string(type_):
        return {"type": "string"}
    if pa.types.is_boolean(type_):
        return {"type": "boolean"}
    if pa.types.is_int64(type_):
        return {"type": "integer"}
    if pa.types.is_float64(type_):
        return {"$ref": "#/$defs/number"}
    if pa.types.is_timestamp(type_):
        return {"$ref": "#/$defs/time"}
    if pa.types.is_struct(type_):
        return _object([type_.field(i) for i in range(type_.num_fields)], closed=closed)
    if pa.types.is_list(type_):
        return {"type": "array", "items": _shape(type_.value_type, closed=closed)}
    if pa.types.is_map(type_):
        return {"type": "object", "additionalProperties": _shape(type_.item_type, closed=closed)}
    raise TypeError(f"the contract has no JSON form for the Arrow type {type_}")


def _or_null(shape: Json) -> Json:
    if "$ref" in shape:
        return {"anyOf": [shape, {"type": "null"}]}
    if "enum" in shape:
        shape = {**shape, "enum": [*shape["enum"], None]}
    return {**shape, "type": [shape["type"], "null"]} if "type" in shape else shape


def plan(folder: Path = FOLDER, *, amend: bool = False) -> dict[str, str]:
    """The files of ``folder`` that are not as they should be, by name, with their text.

    Raises:
        RefusedError: a published contract changed, or its new version says too little.
    """
    registry = folder / "published.json"
    published: dict[str, str] = json.loads(_read(registry) or "{}")
    wanted: dict[str, str] = {}
    for kind in KINDS:
        schema, name = build(kind), f"{kind}:{VERSIONS[kind]}"
        before = _read(folder / f"{kind}.schema.json")
        if amend:
            pass
        elif name not in published:
            if before:
                old = json.loads(before)
                _require_version(kind, old, schema)
                wanted[f"superseded/{kind}-{Version.of(old)}.schema.json"] = before
        elif published[name] != digest(schema):
            raise RefusedError(
                f"{kind} {VERSIONS[kind]} is published and its contract changed. Raise "
                f"VERSIONS[{kind!r}] in arrow.py, or take the change back; if nobody has this "
                "version yet, run python -m forensics_schemas.generate --amend."
            )
        published[name] = digest(schema)
        wanted[f"{kind}.schema.json"] = _text(schema)
    wanted["published.json"] = _text(dict(sorted(published.items())))
    return {name: text for name, text in wanted.items() if _read(folder / name) != text}


def _require_version(kind: str, old: Json, new: Json) -> None:
    before, now = Version.of(old), Version.of(new)
    needed = before.after(change(old, new))
    if now < needed:
        raise RefusedError(
            f"{kind} {now} says too little: from {before} this change needs {needed} or higher."
        )


def _read(path: Path) -> str | None:
    return path.read_text(encoding="utf-8") if path.exists() else None


def _text(value: Json) -> str:
    return json.dumps(value, indent=2, ensure_ascii=False) + "\n"


def main(arguments: list[str] | None = None) -> int:
    """Writes or checks; says on stderr what it did."""
    parser = argparse.ArgumentParser(prog="python -m forensics_schemas.generate")
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if stale")
    parser.add_argument("--amend", action="store_true", help="change a version that nobody has")
    options = parser.parse_args(arguments)
    try:
        stale = plan(amend=options.amend)
    except RefusedError as refusal:
        print(refusal, file=sys.stderr)
        return 1
    for name, text in stale.items():
        print("stale:" if options.check else "wrote:", name, file=sys.stderr)
        if not options.check:
            (FOLDER / name).parent.mkdir(exist_ok=True)
            (FOLDER / name).write_text(text, encoding="utf-8")
    return 1 if options.check and stale else 0


if __name__ == "__main__":
    sys.exit(main())
