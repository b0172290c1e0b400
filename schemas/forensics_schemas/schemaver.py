"""SchemaVer: what a new version of a JSON Schema must say about the change since the last one.

An ADDITION leaves old records valid and old readers right. A REVISION may refuse old records. A
MODEL takes something away that old readers rely on.
"""

from __future__ import annotations

import hashlib
import json
from enum import IntEnum
from typing import Any, NamedTuple, TypeAlias

Json: TypeAlias = dict[str, Any]

_ANNOTATIONS = {"$id", "$schema", "$comment", "title", "description", "examples"}
_SHAPES = {"type", "const", "$ref"}


class Change(IntEnum):
    """How much a change matters, least first."""

    NONE = 0
    ADDITION = 1
    REVISION = 2
    MODEL = 3


class Version(NamedTuple):
    """MODEL-REVISION-ADDITION, compared in that order."""

    model: int
    revision: int
    addition: int

    @classmethod
    def of(cls, schema: Json) -> Version:
        """The version at the end of a schema's ``$id``."""
        model, revision, addition = schema["$id"].rpartition(":")[2].split("-")
        return cls(int(model), int(revision), int(addition))

    def after(self, change: Change) -> Version:
        """The lowest version that says ``change``; words alone need none."""
        match change:
            case Change.NONE:
                return self
            case Change.ADDITION:
                return self._replace(addition=self.addition + 1)
            case Change.REVISION:
                return Version(self.model, self.revision + 1, 0)
            case Change.MODEL:
                return Version(self.model + 1, 0, 0)

    def __str__(self) -> str:
        return "-".join(map(str, self))


def digest(schema: Json) -> str:
    """SHA-256, in hexadecimal, of what a schema demands; its words may be bettered at any time."""
    text = json.dumps(_demands(schema), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def change(old: Json, new: Json) -> Change:
    """The greatest change between two schemas of one kind."""
    return _change(_inline(_demands(old)), _inline(_demands(new)))


def _demands(schema: Any) -> Any:
    """``schema`` without annotations; below ``properties`` and ``$defs`` a key is a name."""
    if isinstance(schema, list):
        return [_demands(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: {name: _demands(item) for name, item in value.items()}
        if key in ("properties", "$defs")
        else _demands(value)
        for key, value in schema.items()
        if key not in _ANNOTATIONS
    }


def _inline(schema: Json) -> Json:
    """``schema`` with its ``$defs`` in the place of each ``$ref``: renaming one is no change."""
    definitions = schema.get("$defs", {})

    def resolve(value: Any) -> Any:
        if isinstance(value, list):
            return [resolve(item) for item in value]
        if not isinstance(value, dict):
            return value
        if "$ref" in value:
            return resolve(definitions[value["$ref"].rpartition("/")[2]])
        return {key: resolve(item) for key, item in value.items() if key != "$defs"}

    inlined: Json = resolve(schema)
    return inlined


def _change(old: Any, new: Any) -> Change:
    if not isinstance(old, dict) or not isinstance(new, dict):
        return Change.NONE if old == new else Change.MODEL
    found = [Change.NONE]
    for key in old.keys() | new.keys():
        before, after = old.get(key), new.get(key)
        if before == after:
            continue
        if key == "properties":
            found.append(_change_of_properties(before or {}, after or {}))
        elif key in ("items", "additionalProperties") and before and after:
            found.append(_change(before, after))
        elif key == "required":
            gone = set(before or ()) - set(after or ())
            found.append(Change.MODEL if gone else Change.REVISION)
        elif key == "enum" and before and after:
            gone = {json.dumps(value) for value in before} - {json.dumps(value) for value in after}
            found.append(Change.REVISION if gone else Change.ADDITION)
        elif key in _SHAPES:
            found.append(Change.MODEL)
        else:  # a rule: pattern, length, anyOf, ...
            found.append(Change.ADDITION if after is None else Change.REVISION)
    return max(found)


def _change_of_properties(old: Json, new: Json) -> Change:
    if old.keys() - new.keys():
        return Change.MODEL
    found = [_change(old[name], new[name]) for name in old]
    if new.keys() - old.keys():
        found.append(Change.ADDITION)
    return max(found, default=Change.NONE)
