"""From decoded records to the tables that the lake keeps."""

from __future__ import annotations

import os
from array import array
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache
from itertools import accumulate
from typing import Any

import pyarrow as pa

from forensics.ingest import features as feature_columns
from forensics.ingest import openlineage
from forensics.ingest.columns import Gathered, build, by_name, json_text, said
from forensics.ingest.decode import RECORD_BYTES_MAX, too_long
from forensics.ingest.interface import NO_OPTIONS, Options, Parsed, Reject
from forensics.ingest.scores import refuse_contradictions
from forensics.integrity.leaf import SALT_BYTES, leaf_hash
from forensics.lake import catalog
from forensics.lake.writer import table_of
from forensics.records.reading import at_path
from forensics_schemas.arrow import KEPT, SCHEMAS
from forensics_schemas.fields import TIMESTAMP, field_rules

KINDS = (
    "decision", "change", "override", "outcome", "declaration", "access", "hold", "erasure",
    "policy",
)  # fmt: skip

#: Kinds that this program alone writes: who may log could otherwise release a hold or feign a look.
OWN = frozenset(("access", "hold", "erasure", "policy"))

#: Each becomes a column of the decision point for good; one record must not make thousands.
FEATURES_MAX = 4_096

#: By what a record that does not say its kind is known.
_TELLTALES = (
    ("change", {"change_id"}),
    ("override", {"override_id"}),
    ("outcome", {"label", "arrived_at"}),
    ("declaration", {"declaration_id"}),
    ("access", {"access_id"}),
    ("hold", {"hold_id"}),
    ("erasure", {"erasure_id"}),
    ("policy", {"policy_id"}),
)


#: A record's line number, its received bytes, and what they decode to.
Numbered = tuple[int, bytes, dict[str, Any]]


def assemble(
    name: str,
    records: Sequence[Numbered],
    known: dict[str, dict[str, str]],
    options: Options,
    *,
    events_only: bool = False,
    own: bool = False,
) -> Parsed:
    """Tables by lake table name, and the records that fit none.

    Args:
        name: the source's name, kept with each record beside its line.
        records: line number, received bytes and decoded record of each.
        known: feature types by name, by decision table.
        options: how fields are named in the source; OpenLineage events have names of their own.
        events_only: take every record for an OpenLineage event.
        own: whether this program wrote the records.
    """
    parsed = Parsed()
    parsed.unmatched = {
        path
        for _, path in options.paths
        if all(at_path(record, path) is None for _, _, record in records)
    }
    groups: dict[str, list[Numbered]] = {}
    events: list[Numbered] = []
    for line, raw, received in records:
        if events_only or openlineage.is_event(received):
            events.append((line, raw, received))
            continue
        if len(raw) > RECORD_BYTES_MAX:
            parsed.rejects.append(Reject(line, too_long(len(raw)), raw))
            continue
        record = options.renamed(received)
        if openlineage.is_meant_as_event(record):
            events.append((line, raw, received))
            continue
        kind = record.get("record") or kind_of(record)
        if kind not in KINDS:
            parsed.rejects.append(Reject(line, unknown_kind(kind), raw))
            continue
        if kind in OWN and not own:
            parsed.rejects.append(Reject(line, not_yours(str(kind)), raw))
            continue
        point = record.get("decision_point") if kind == "decision" else ""
        if kind == "decision" and not is_point(point):
            parsed.rejects.append(Reject(line, bad_point(point), raw))
            continue
        groups.setdefault(table_of(str(kind), str(point)), []).append((line, raw, record))
    if events:
        groups[table_of("lineage")] = _translated(events, parsed.rejects)
    for table, group in groups.items():
        reading = NO_OPTIONS if table == table_of("lineage") else options
        built = _table(name, table, reading, group, known.get(table, {}), parsed.rejects)
        if built.num_rows:
            parsed.tables[table] = built
    return parsed


def _translated(events: Sequence[Numbered], rejects: list[Reject]) -> list[Numbered]:
    """OpenLineage events as records of the contract, without those that are none."""
    good = []
    for line, raw, event in events:
        try:
            good.append((line, raw, openlineage.translate(event)))
        except openlineage.Invalid as invalid:
            rejects.append(Reject(line, str(invalid), raw))
    return good


def kind_of(record: dict[str, Any]) -> str:
    """The kind of a record that does not say it."""
    for kind, names in _TELLTALES:
        if names <= record.keys():
            return kind
    return "decision"


def _table(
    name: str,
    table: str,
    options: Options,
    group: list[Numbered],
    known: dict[str, str],
    rejects: list[Reject],
) -> pa.Table:
    kind = catalog.kind_of(table)
    schema = SCHEMAS[kind]
    paths = openlineage.PATHS if kind == "lineage" else {}
    found = Gathered()
    rows = range(len(group))
    records = [record for _, _, record in group]
    if kind == "decision":
        records = [_with_both_ids(record) for record in records]
    given = by_name(records)
    columns: dict[str, pa.Array] = {}
    for field in schema:
        if field.name not in given:
            columns[field.name] = pa.nulls(len(records), field.type)
        else:
            path = paths.get(field.name, field.name)
            columns[field.name] = build(given[field.name], field, path, rows, found)
        if columns[field.name].null_count and field_rules(field)["required"]:
            for row, record in enumerate(records):
                if record.get(field.name) is None:
                    found.problem(row, _missing(field.name, record))
    if kind == "decision":
        refuse_contradictions(columns, found)
        inputs = list(given.get("features") or [None] * len(records))
        for row, value in enumerate(inputs):
            if value is not None and type(value) is not dict:
                found.problem(row, f"features is {said(value)}, expected an object")
                inputs[row] = None
            elif value is not None and len(value) > FEATURES_MAX:
                found.problem(
                    row, f"features has {len(value):,} values, more than {FEATURES_MAX:,}"
                )
                inputs[row] = None
        features = feature_columns.build(inputs, known, found)
        if features.type.num_fields:
            columns["features"] = features
    unknown = given.keys() - {*schema.names, "features", "record", "schema"}
    if unknown:
        for row, record in enumerate(records):
            for field_name in (name for name in record if name in unknown):
                found.extra.setdefault(row, {})[field_name] = record[field_name]
    columns |= _kept(name, options, group, found)
    result = pa.table(columns)
    if found.problems:
        for row, reason in sorted(found.problems.items()):
            line, raw, _ = group[row]
            rejects.append(Reject(line, reason, raw))
        good = [row for row in rows if row not in found.problems]
        result = result.take(pa.array(good, pa.int64()))
    return result


def _with_both_ids(record: dict[str, Any]) -> dict[str, Any]:
    """A decision may be named by its request or by itself; where one is absent the other serves."""
    decision, request = record.get("decision_id"), record.get("request_id")
    if decision is None and request is not None:
        return {**record, "decision_id": request}
    if request is None and decision is not None:
        return {**record, "request_id": decision}
    return record


def _kept(
    name: str, options: Options, group: list[Numbered], found: Gathered
) -> dict[str, pa.Array]:
    """The columns that the lake adds; ``segment`` and ``leaf_index`` are filled in when staged."""
    count = len(group)
    random = os.urandom(SALT_BYTES * count)
    salts = [random[at : at + SALT_BYTES] for at in range(0, len(random), SALT_BYTES)]
    raws = [raw for _, raw, _ in group]
    now = pa.scalar(datetime.now(UTC), TIMESTAMP)
    exact = pa.nulls(count, KEPT_TYPES["exact"])
    if found.exact:
        items = [list(found.exact[r].items()) if r in found.exact else None for r in range(count)]
        exact = pa.array(items, KEPT_TYPES["exact"])
    extra = pa.nulls(count, pa.string())
    if found.extra:
        texts = [json_text(found.extra[r]) if r in found.extra else None for r in range(count)]
        extra = pa.array(texts, pa.string())
    return {
        "raw": binary_column(raws),
        "salt": pa.array(salts, pa.binary()),
        "leaf": pa.array(list(map(leaf_hash, salts, raws)), pa.binary()),
        "segment": pa.nulls(count, pa.string()),
        "leaf_index": pa.nulls(count, pa.int64()),
        "source": pa.array([f"{name}#{line}" for line, _, _ in group], pa.string()),
        "reading": pa.repeat(pa.scalar(options.to_text(), pa.string()), count),
        "ingested_at": pa.repeat(now, count),
        "exact": exact,
        "extra": extra,
    }


def binary_column(values: list[bytes]) -> pa.Array:
    """A binary column by one copy, where appending value by value takes three."""
    offsets = array("i", accumulate(map(len, values), initial=0))
    buffers = [None, pa.py_buffer(offsets), pa.py_buffer(b"".join(values))]
    return pa.Array.from_buffers(pa.binary(), len(values), buffers)


KEPT_TYPES = {field.name: field.type for field in KEPT}


@lru_cache(maxsize=1024)
def _is_point_text(point: str) -> bool:
    if not 1 <= len(point) <= 63:
        return False
    return point[0] in _LOWER and set(point) <= _LOWER | set("0123456789_")


def is_point(point: Any) -> bool:
    """Whether ``point`` is a decision point's name: lower case, digits and _, at most 63 long."""
    return type(point) is str and _is_point_text(point)


_LOWER = set("abcdefghijklmnopqrstuvwxyz")


def bad_point(point: Any) -> str:
    """Why ``point`` cannot be a decision point's name."""
    if point is None:
        return "decision_point is missing; name it in the record, or with --set decision_point=NAME"
    return f"decision_point is {said(point)}, expected the form [a-z][a-z0-9_]*, at most 63 long"


def unknown_kind(kind: Any) -> str:
    """Why ``kind`` is no kind of record."""
    return f"record is {said(kind)}, expected one of {', '.join(KINDS)}"


def not_yours(kind: str) -> str:
    """Why a record of a kind of :data:`OWN` is not taken in."""
    return f"record is {said(kind)}, which only {_WRITER[kind]} itself writes"


_WRITER = {
    "access": "a look",
    "hold": "forensics hold",
    "erasure": "forensics erase",
    "policy": "forensics policy",
}


def _missing(name: str, record: dict[str, Any]) -> str:
    folded = {key.replace("-", "_").lower(): key for key in record if key != name}
    near = [key for low, key in folded.items() if low.endswith(name.split("_")[0])]
    hint = f"; --map {name}={near[0]} if that is it" if near else ""
    return f"{name} is missing{hint}"
