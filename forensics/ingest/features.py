"""Features: a typed struct that each decision point owns and learns from what it records.

A JSON number is a number: it becomes float64 however the first records wrote it, since producers
write 50000 and 50000.5 for the same feature. Once a feature has a type it keeps it; a record that
gives it another is refused with both types named.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pyarrow as pa

from forensics.ingest.columns import NON_FINITE, Gathered, by_name, json_text, said, scalars
from forensics.ingest.decode import printable
from forensics.lake.tables import JSON_FEATURE
from forensics.records.decision import ABSENT, ExactNumber

_NONE = type(None)
_NUMBERS = {int, float, ExactNumber}


def build(
    records: Sequence[dict[str, Any] | None], known: dict[str, str], found: Gathered
) -> pa.StructArray:
    """The features column.

    Args:
        records: each record's features; None where it has none.
        known: types by name, as the lake has them for this decision point.
        found: what is wrong or special is added here.
    """
    rows = range(len(records))
    empty: dict[str, Any] = {}
    given = [features or empty for features in records]
    one_shape = len(set(map(tuple, given))) <= 1
    columns = by_name(given)
    names = dict.fromkeys(columns)
    _refuse_names(names, given, known, found)
    fields: list[pa.Field] = []
    arrays: list[pa.Array] = []
    for name in names:
        values = columns[name]
        kind = known.get(name) or _infer(values)
        if kind is None:  # nothing but nulls so far: no type yet, and a struct needs one
            for row, features in enumerate(given):
                if name in features:
                    found.keep_exact(row, f"features.{name}", "null")
            continue
        if kind == "json":
            texts = [None if value is None else json_text(value) for value in values]
            arrays.append(pa.array(texts, pa.string()))
            fields.append(pa.field(name, pa.string(), metadata=JSON_FEATURE))
        else:
            type_ = _arrow_type(kind)
            arrays.append(_column(values, type_, f"features.{name}", rows, found))
            fields.append(pa.field(name, type_))
        if not one_shape:
            _note_absent(name, records, found)
    if not fields:
        return pa.nulls(len(records), pa.struct([]))
    missing = pa.array([features is None for features in records], pa.bool_())
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=missing)


def _refuse_names(
    names: dict[str, None], given: Sequence[dict[str, Any]], known: dict[str, str], found: Gathered
) -> None:
    """Take out names that a table cannot hold: unprintable ones, and twins that differ in case."""
    folded = {name.casefold(): name for name in known}
    for name in list(names):
        first = folded.setdefault(name.casefold(), name)
        if first != name:
            reason = f"feature {printable(name)} differs only in case from {printable(first)}"
        elif not name or not name.isprintable() or len(name) > 256:
            reason = f"feature name {printable(name)} is empty, too long or not printable"
        else:
            continue
        del names[name]
        for row, features in enumerate(given):
            if name in features:
                found.problem(row, reason)


def _infer(values: Sequence[Any]) -> str | None:
    """The type that the first value which has one gives the feature."""
    numbers = False
    for value in values:
        if isinstance(value, str) and value in NON_FINITE:
            numbers = True  # how a number that is none is written; another value decides
            continue
        if isinstance(value, bool):
            return "bool"
        if isinstance(value, (int, float)):
            return "float64"
        if isinstance(value, str):
            return "string"
        if isinstance(value, list) and value and set(map(type, value)) <= _NUMBERS:
            return "list<float64>"
        if value is not None:
            return "json"
    return "float64" if numbers else None


def _arrow_type(name: str) -> pa.DataType:
    if name.startswith("list<"):
        return pa.list_(pa.float64())
    return {
        "float64": pa.float64(),
        "string": pa.string(),
        "bool": pa.bool_(),
        "int64": pa.int64(),
    }[name]


def _column(
    values: Sequence[Any], type_: pa.DataType, path: str, rows: Sequence[int], found: Gathered
) -> pa.Array:
    if pa.types.is_list(type_):
        return _lists(values, type_, path, rows, found)
    before = set(found.problems)
    name = path.removeprefix("features.")
    if pa.types.is_string(type_) and int in set(map(type, values)):
        # Ids and versions may come as bare numbers; a feature that was text and is one is another.
        for value, row in zip(values, rows, strict=True):
            if type(value) is int:
                found.problem(row, changed_type(name, value, "string"))
        values = [None if type(value) is int else value for value in values]
    array = scalars(values, type_, path, rows, found)
    for row in set(found.problems) - before:
        if found.problems[row].startswith(path):
            found.problems[row] = changed_type(name, values[row], str(type_))
    return array


def _lists(
    values: Sequence[Any], type_: pa.ListType, path: str, rows: Sequence[int], found: Gathered
) -> pa.Array:
    kept: list[list[float | None] | None] = []
    for value, row in zip(values, rows, strict=True):
        if value is None:
            kept.append(None)
        elif isinstance(value, list) and set(map(type, value)) <= {*_NUMBERS, _NONE}:
            kept.append(_doubles(value, path, row, found))
        else:
            found.problem(
                row, changed_type(path.removeprefix("features."), value, "list of float64")
            )
            kept.append(None)
    return pa.array(kept, type_)


def _doubles(value: list[Any], path: str, row: int, found: Gathered) -> list[float | None]:
    """The list's numbers as doubles; as written beside them where one of them cannot be one."""
    inner = Gathered()
    doubles: list[float | None] = scalars(
        value, pa.float64(), path, [0] * len(value), inner
    ).to_pylist()
    if inner.exact:
        found.keep_exact(row, path, json_text(value))
    return doubles


def changed_type(name: str, value: Any, type_: str, got: str | None = None) -> str:
    """Why ``value`` of type ``got`` cannot be taken for a feature of type ``type_``."""
    type_ = {"double": "float64"}.get(type_, type_)
    if got is None:
        kinds = {str: "string", bool: "bool", int: "int64", dict: "object", list: "list"}
        got = kinds.get(type(value), "float64")
    return (
        f"feature {printable(name)} is {said(value)} ({got}), but is {type_} at this decision "
        f"point; a feature keeps its type, so record the new kind under a new name"
    )


def _note_absent(name: str, records: Sequence[dict[str, Any] | None], found: Gathered) -> None:
    """A null that was recorded and a value that was not are different evidence."""
    for row, features in enumerate(records):
        if features is not None and name not in features:
            found.keep_exact(row, f"features.{name}", ABSENT)
