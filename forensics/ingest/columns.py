"""From records to Arrow columns, checked against the contract.

One way for good and bad values: a column whose values all have the types it takes is converted at
once; any other is walked value by value, so that each bad one is named with what was expected, and
each number that its column cannot hold keeps its written form beside it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from forensics.ingest.decode import printable
from forensics.records.decision import ExactNumber
from forensics.records.jsontext import INTEGER_MAX, dumps
from forensics_schemas.fields import TIMESTAMP, field_rules

_NONE = type(None)
NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_ID_MAX = 256
_IDS = frozenset(
    ("decision_id", "request_id", "parent_id", "change_id", "override_id", "declaration_id",
     "access_id", "hold_id", "erasure_id", "policy_id", "releases",
     "subject.id",
     "trace_id", "span_id", "tenant", "label_id", "writer.id")
)  # fmt: skip


class Gathered:
    """What converting records found: bad rows, exact numbers, fields outside the contract."""

    def __init__(self) -> None:
        self.problems: dict[int, str] = {}
        self.exact: dict[int, dict[str, str]] = {}
        self.extra: dict[int, dict[str, Any]] = {}

    def problem(self, row: int, reason: str) -> None:
        """Name what is wrong with a row; the first thing found counts."""
        self.problems.setdefault(row, reason)

    def keep_exact(self, row: int, path: str, text: str) -> None:
        """Keep a value as it was written."""
        self.exact.setdefault(row, {})[path] = text


def by_name(groups: Sequence[dict[str, Any]]) -> dict[str, Sequence[Any]]:
    """Values by name, None where a group lacks the name.

    Records of one writer mostly have the same names in the same order: then all are turned round at
    once, which takes a fifth of asking each record for each name.
    """
    shapes = dict.fromkeys(map(tuple, groups))
    names = dict.fromkeys(name for shape in shapes for name in shape)
    if len(shapes) == 1:
        return dict(zip(names, zip(*map(dict.values, groups), strict=True), strict=False))
    return {name: [group.get(name) for group in groups] for name in names}


def build(
    values: Sequence[Any], field: pa.Field, path: str, rows: Sequence[int], found: Gathered
) -> pa.Array:
    """One column.

    Args:
        values: the column's values, None where absent.
        field: the column's declaration.
        path: its name in messages, e.g. ``model.digest``.
        rows: for each value the row of the record it belongs to.
        found: what is wrong or special is added here.
    """
    rules = field_rules(field)
    if rules["json"]:
        return pa.array([None if v is None else json_text(v) for v in values], pa.string())
    type_ = field.type
    if pa.types.is_struct(type_):
        return _struct(values, type_, path, rows, found)
    if pa.types.is_map(type_):
        return _map(values, type_, path, rows, found)
    if pa.types.is_list(type_):
        return _list(values, type_, path, rows, found)
    if pa.types.is_timestamp(type_):
        return timestamps(values, path, rows, found)
    array = scalars(values, type_, path, rows, found)
    if pa.types.is_string(type_):
        check_rules(array, rules, path, rows, found)
    return array


def scalars(
    values: Sequence[Any], type_: pa.DataType, path: str, rows: Sequence[int], found: Gathered
) -> pa.Array:
    """A column of text, numbers or booleans."""
    accepted, coerce = _SCALARS[str(type_)]
    if set(map(type, values)) <= accepted:
        try:
            return pa.array(values, type_)
        except (pa.ArrowInvalid, OverflowError, UnicodeEncodeError):
            pass  # an integer that a double cannot hold, a lone surrogate: value by value
    converted = []
    for value, row in zip(values, rows, strict=True):
        if (value is not None and type(value) not in accepted) or type(value) in (int, str):
            try:
                value = coerce(value, path, row, found)
            except _Bad as bad:
                found.problem(row, str(bad))
                value = None
        converted.append(value)
    return pa.array(converted, type_)


_EMPTY: dict[str, Any] = {}


class _Bad(Exception):
    """A value that its column cannot take; the message says what and what was expected."""


def said(value: Any) -> str:
    """A value as a message names it: its type and itself, cut short."""
    if value is None:
        return "null"
    if isinstance(value, bool):
        return f"boolean {str(value).lower()}"
    if isinstance(value, ExactNumber):
        return f"number {str(value)[:40]}"
    if isinstance(value, str):
        return f"text {printable(value)}"
    if isinstance(value, (int, float)):
        return f"number {value!r}"[:60]
    return "an object" if isinstance(value, dict) else "a list"


def _to_text(value: Any, path: str, row: int, found: Gathered) -> str:
    if type(value) is int:  # ids and versions are often written as bare numbers
        return str(value)
    if type(value) is str:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise _Bad(f"{path} has half a surrogate pair, which is no text") from None
        return value
    raise _Bad(f"{path} is {said(value)}, expected text")


def _to_float(value: Any, path: str, row: int, found: Gathered) -> float:
    if type(value) is int:
        try:
            number = float(value)
        except OverflowError:
            number = math.inf if value > 0 else -math.inf
        if not -INTEGER_MAX <= value <= INTEGER_MAX and (
            math.isinf(number) or int(number) != value or abs(value) >= 10**17
        ):
            found.keep_exact(row, path, str(value))
        return number
    if isinstance(value, ExactNumber):
        found.keep_exact(row, path, str(value))
        return float(value)
    if type(value) is str and value in NON_FINITE:
        return NON_FINITE[value]
    raise _Bad(f"{path} is {said(value)}, expected a number")


def _to_int(value: Any, path: str, row: int, found: Gathered) -> int:
    if type(value) is float and value.is_integer() and abs(value) <= INTEGER_MAX:
        return int(value)
    if type(value) is int:
        if -(1 << 63) <= value < 1 << 63:
            return value
        raise _Bad(f"{path} is {said(value)}, more than 64 bits")
    raise _Bad(f"{path} is {said(value)}, expected an integer")


def _to_bool(value: Any, path: str, row: int, found: Gathered) -> bool:
    raise _Bad(f"{path} is {said(value)}, expected true or false")


_Coerce = Callable[[Any, str, int, Gathered], Any]
_SCALARS: dict[str, tuple[frozenset[type], _Coerce]] = {
    "string": (frozenset((str, _NONE)), _to_text),
    "double": (frozenset((float, int, _NONE)), _to_float),
    "int64": (frozenset((int, _NONE)), _to_int),
    "bool": (frozenset((bool, _NONE)), _to_bool),
}


def _struct(
    values: Sequence[Any], type_: pa.StructType, path: str, rows: Sequence[int], found: Gathered
) -> pa.Array:
    groups = _only(dict, values, "an object", path, rows, found)
    filled = [group or _EMPTY for group in groups]
    columns = by_name(filled)
    unknown = columns.keys() - {child.name for child in type_}
    if unknown:
        for group, row in zip(filled, rows, strict=True):
            for name in unknown & group.keys():
                found.extra.setdefault(row, {})[f"{path}.{name}"] = group[name]
    children = [
        build(columns[child.name], child, f"{path}.{child.name}", rows, found)
        if child.name in columns
        else pa.nulls(len(groups), child.type)
        for child in type_
    ]
    missing = pa.array([group is None for group in groups], pa.bool_())
    return pa.StructArray.from_arrays(children, fields=list(type_), mask=missing)


def _list(
    values: Sequence[Any], type_: pa.ListType, path: str, rows: Sequence[int], found: Gathered
) -> pa.Array:
    lists = _only(list, values, "a list", path, rows, found)
    offsets: list[int] = [0]
    flat: list[Any] = []
    owners: list[int] = []
    for items, row in zip(lists, rows, strict=True):
        flat.extend(items or ())
        owners.extend([row] * len(items or ()))
        offsets.append(len(flat))
    child = build(flat, type_.value_field, f"{path}[]", owners, found)
    missing = pa.array([items is None for items in lists], pa.bool_())
    return pa.ListArray.from_arrays(pa.array(offsets, pa.int32()), child, type=type_, mask=missing)


def _map(
    values: Sequence[Any], type_: pa.MapType, path: str, rows: Sequence[int], found: Gathered
) -> pa.Array:
    groups = _only(dict, values, "an object", path, rows, found)
    offsets: list[int] = [0]
    keys: list[str] = []
    items: list[Any] = []
    owners: list[int] = []
    for group, row in zip(groups, rows, strict=True):
        keys.extend(group or ())
        items.extend((group or {}).values())
        owners.extend([row] * len(group or ()))
        offsets.append(len(keys))
    for at, (key, row) in enumerate(zip(keys, owners, strict=True)):
        if not key.isprintable():
            try:
                key.encode()
            except UnicodeEncodeError:
                found.problem(
                    row, f"{path} has a name with half a surrogate pair, which is no text"
                )
                keys[at] = ""
    child = scalars(items, type_.item_type, f"{path}.*", owners, found)
    pairs = pa.MapArray.from_arrays(
        pa.array(offsets, pa.int32()), pa.array(keys, pa.string()), child
    )
    present = pa.array([group is not None for group in groups], pa.bool_())
    return pc.if_else(present, pairs, pa.nulls(len(groups), pairs.type)).cast(type_)


def _only(
    wanted: type, values: Sequence[Any], name: str, path: str, rows: Sequence[int], found: Gathered
) -> list[Any]:
    """The values with those of another type taken out and named."""
    if set(map(type, values)) <= {wanted, _NONE}:
        return list(values)
    kept = []
    for value, row in zip(values, rows, strict=True):
        if value is not None and type(value) is not wanted:
            found.problem(row, f"{path} is {said(value)}, expected {name}")
            value = None
        kept.append(value)
    return kept


def timestamps(values: Sequence[Any], path: str, rows: Sequence[int], found: Gathered) -> pa.Array:
    """A column of times in UTC from ISO 8601 texts that name a zone."""
    if set(map(type, values)) <= {str, _NONE}:
        try:
            array = pa.array(values, pa.string()).cast(TIMESTAMP)
        except (pa.ArrowInvalid, UnicodeEncodeError):
            pass  # some form that Arrow does not read at once
        else:
            if not beyond_calendar(array).true_count:
                return array
    converted: list[datetime | None] = []
    for value, row in zip(values, rows, strict=True):
        try:
            converted.append(None if value is None else _instant(value, path, row, found))
        except _Bad as bad:
            found.problem(row, str(bad))
            converted.append(None)
    return pa.array(converted, TIMESTAMP)


#: Midnight of the year 1, and the end of the year 9999, in microseconds from 1970.
_YEARS_US = (-62_135_596_800_000_000, 253_402_300_799_999_999)


def beyond_calendar(times: pa.Array) -> pa.BooleanArray:
    """For each time whether it lies beyond the years 1 to 9999, where a datetime cannot follow."""
    micros = times.cast(pa.int64())
    low, high = _YEARS_US
    return pc.fill_null(pc.or_(pc.less(micros, low), pc.greater(micros, high)), False)


def _instant(value: Any, path: str, row: int, found: Gathered) -> datetime:
    if type(value) is not str:
        raise _Bad(f"{path} is {said(value)}, expected a time such as 2026-10-21T02:13:04Z")
    try:
        instant = datetime.fromisoformat(value)
    except ValueError:
        raise _Bad(
            f"{path} is {said(value)}, expected a time such as 2026-10-21T02:13:04Z"
        ) from None
    if instant.tzinfo is None:
        raise _Bad(f"{path} is {said(value)}, which names no time zone; add Z or an offset")
    _, _, fraction = value.partition(".")
    digits = len(fraction) - len(fraction.lstrip("0123456789"))
    if digits > 6 and fraction[6:digits].strip("0"):
        found.keep_exact(row, path, value)
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        raise _Bad(f"{path} is {said(value)}, beyond the years 1 to 9999") from None


def check_rules(
    array: pa.Array, rules: dict[str, Any], path: str, rows: Sequence[int], found: Gathered
) -> None:
    """Name the values that break a rule. Most columns repeat few values: each is looked at once."""
    if not (rules["enum"] or rules["rule"] or path in _IDS):
        return
    if path in _IDS and rules["rule"].keys() <= {"minLength", "maxLength", "not"}:
        # Ids are unique, so looking at each once would be looking at all: most are plain at once.
        longest = pc.max(pc.binary_length(array)).as_py() or 0
        plain = pc.all(pc.and_(pc.ascii_is_printable(array), pc.string_is_ascii(array))).as_py()
        if plain is not False and pc.min(pc.binary_length(array)).as_py() and longest <= _ID_MAX:
            return
    broken = {
        text: why for text in array.unique().to_pylist() if (why := _breaks(text, rules, path))
    }
    if broken:
        for text, row in zip(array.to_pylist(), rows, strict=True):
            if text in broken:
                found.problem(row, f"{path} is {said(text)}, {broken[text]}")


def _breaks(text: str | None, rules: dict[str, Any], path: str) -> str | None:
    if text is None:
        return None
    if rules["enum"] and text not in rules["enum"]:
        return "expected one of " + ", ".join(rules["enum"])
    rule = rules["rule"]
    if "pattern" in rule and not re.search(rule["pattern"], text):
        return f"expected the form {rule['pattern']}"
    if "maxLength" in rule and not 1 <= len(text) <= rule["maxLength"]:
        return f"expected 1 to {rule['maxLength']} characters"
    if path in _IDS and not text.isprintable():
        return "which has control or invisible characters"
    return None


def json_text(value: Any) -> str:
    """``value`` as JSON text, with numbers as they were written and NaN as Python writes it."""
    if _plain(value):
        try:
            return msgspec.json.encode(value).decode()
        except UnicodeEncodeError:  # half a surrogate pair, which only an escape can write
            pass
    return dumps(value, strict=False)


def _plain(value: Any) -> bool:
    """Whether msgspec writes ``value`` without loss: no NaN, no infinity, no exact number."""
    if type(value) is float:
        return math.isfinite(value)
    if type(value) is dict:
        return all(map(_plain, value.values()))
    if type(value) is list:
        return all(map(_plain, value))
    return type(value) in (str, int, bool, _NONE)
