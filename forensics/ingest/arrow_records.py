"""Records that come as Arrow columns: checked and completed column by column, no loop per row.

Only rows that are wrong, or hold a number that their column cannot, are ever looked at one by one.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from forensics.ingest.arrow_columns import (
    contract_column,
    feature_columns,
    json_texts,
    simplified,
)
from forensics.ingest.assemble import (
    KEPT_TYPES,
    KINDS,
    OWN,
    bad_point,
    is_point,
    not_yours,
    unknown_kind,
)
from forensics.ingest.columns import Gathered
from forensics.ingest.decode import RECORD_BYTES_MAX, too_long
from forensics.ingest.interface import Options, Parsed, Reject
from forensics.ingest.scores import refuse_contradictions
from forensics.integrity.leaf import HEADER, LEAF_PREFIX, SALT_BYTES
from forensics.lake import catalog
from forensics.lake.sql import connect
from forensics.lake.writer import table_of
from forensics_schemas.arrow import SCHEMAS
from forensics_schemas.fields import TIMESTAMP, field_rules

_PREFIX = "".join(f"\\x{byte:02x}" for byte in LEAF_PREFIX + HEADER)
_LEAVES = f"""
SELECT unhex(sha256('{_PREFIX}'::BLOB || unhex(sha256(salt || raw)))) AS leaf FROM received
"""


def take_in(
    name: str,
    first: int,
    records: pa.Table,
    known: dict[str, dict[str, str]],
    options: Options,
) -> Parsed:
    """Tables by lake table name, and the rows that fit none.

    Args:
        name: the source's name.
        first: number of the first row within the source.
        records: the contract's fields as columns.
        known: feature types by name, by decision table.
        options: how fields are named in the source.
    """
    parsed = Parsed()
    records = simplified(records)
    raws = _received_bytes(records)
    records = _renamed(records, options)
    rows = pa.array(range(first, first + records.num_rows), pa.int64())
    for kind, point, mask in _groups(records):
        group, lines, raw = records.filter(mask), rows.filter(mask), raws.filter(mask)
        if kind not in KINDS or kind in OWN or (kind == "decision" and not is_point(point)):
            reason = unknown_kind(kind) if kind not in KINDS else bad_point(point)
            reason = not_yours(kind) if kind in OWN else reason
            _reject(parsed, range(group.num_rows), lines, raw, [reason] * group.num_rows)
            continue
        table = table_of(kind, point or "")
        reading = replace(options, from_columns=True).to_text()
        built, found = _table(name, reading, table, group, known.get(table, {}), lines, raw)
        bad = sorted(found.problems)
        _reject(parsed, bad, lines, raw, [found.problems[row] for row in bad])
        if bad:
            kept = [row for row in range(built.num_rows) if row not in found.problems]
            built = built.take(pa.array(kept, pa.int64()))
        if built.num_rows:
            parsed.tables[table] = built
    return parsed


def _table(
    name: str,
    reading: str | None,
    table: str,
    group: pa.Table,
    known: dict[str, str],
    lines: pa.Array,
    raw: pa.Array,
) -> tuple[pa.Table, Gathered]:
    kind = catalog.kind_of(table)
    if kind == "decision":
        group = _with_both_ids(group)
    count = group.num_rows
    found = Gathered()
    rows = range(count)
    columns: dict[str, pa.Array] = {}
    for field in SCHEMAS[kind]:
        if field.name in group.schema.names:
            given = group[field.name].combine_chunks()
            columns[field.name] = contract_column(given, field, field.name, rows, found)
        else:
            columns[field.name] = pa.nulls(count, field.type)
        column = columns[field.name]
        if column.null_count and field_rules(field)["required"]:
            for row in pc.indices_nonzero(column.is_null()).to_pylist():
                found.problem(row, f"{field.name} is missing")
    if kind == "decision":
        refuse_contradictions(columns, found)
    if kind == "decision" and "features" in group.schema.names:
        features = group["features"].combine_chunks()
        if pa.types.is_struct(features.type):
            columns["features"] = feature_columns(features, known, found)
        elif features.null_count < count:
            for row in rows:
                found.problem(row, f"features is a column of {features.type}, expected a struct")
    sizes = pc.binary_length(raw)
    for row in pc.indices_nonzero(pc.greater(sizes, RECORD_BYTES_MAX)).to_pylist():
        found.problem(row, too_long(sizes[row].as_py()))
    unknown = [n for n in group.schema.names if n not in columns and n not in _NOT_EXTRA]
    columns |= _kept(name, reading, group, unknown, lines, raw, found)
    return pa.table(columns), found


_NOT_EXTRA = ("record", "schema", "features")


def _kept(
    name: str,
    reading: str | None,
    group: pa.Table,
    unknown: list[str],
    lines: pa.Array,
    raw: pa.Array,
    found: Gathered,
) -> dict[str, pa.Array]:
    count = group.num_rows
    random = pa.py_buffer(os.urandom(SALT_BYTES * count))
    salts = pa.Array.from_buffers(pa.binary(SALT_BYTES), count, [None, random]).cast(pa.binary())
    connection = connect()
    connection.register("received", pa.table({"raw": raw, "salt": salts}))
    sealed = connection.sql(_LEAVES).to_arrow_table()
    exact = pa.nulls(count, KEPT_TYPES["exact"])
    if found.exact:
        items = [list(found.exact[r].items()) if r in found.exact else None for r in range(count)]
        exact = pa.array(items, KEPT_TYPES["exact"])
    now = pa.scalar(datetime.now(UTC), TIMESTAMP)
    return {
        "raw": raw,
        "salt": salts,
        "leaf": sealed["leaf"].combine_chunks().cast(pa.binary()),
        "segment": pa.nulls(count, pa.string()),
        "leaf_index": pa.nulls(count, pa.int64()),
        "source": pc.binary_join_element_wise(f"{name}#", lines.cast(pa.string()), ""),
        "reading": pa.repeat(pa.scalar(reading, pa.string()), count),
        "ingested_at": pa.repeat(now, count),
        "exact": exact,
        "extra": _extra(group, unknown),
    }


def _extra(group: pa.Table, unknown: list[str]) -> pa.Array:
    if not unknown:
        return pa.nulls(group.num_rows, pa.string())
    return json_texts(_whole(group.select(unknown).to_struct_array()))


def _received_bytes(records: pa.Table) -> pa.Array:
    """Each row as JSON."""
    return json_texts(_whole(records.to_struct_array())).cast(pa.binary())


def _renamed(records: pa.Table, options: Options) -> pa.Table:
    for field, path in options.paths:
        value: pa.ChunkedArray | pa.Array | None = None
        if path in records.schema.names:
            value = records[path]
        else:
            top, *inner = path.split(".")
            if top in records.schema.names:
                value = records[top].combine_chunks()
                for part in inner:
                    value = pc.struct_field(value, part)
        if value is not None:
            records = _put(records, field, value)
    for field, constant in options.constants:
        records = _put(records, field, pa.repeat(pa.scalar(constant), records.num_rows))
    return records


def _put(records: pa.Table, field: str, value: Any) -> pa.Table:
    top, *inner = field.split(".")
    if inner:
        value = pa.StructArray.from_arrays([_whole(value)], names=[".".join(inner)])
    if top in records.schema.names:
        return records.set_column(records.schema.get_field_index(top), top, value)
    return records.append_column(top, value)


def _whole(value: Any) -> pa.Array:
    return value.combine_chunks() if isinstance(value, pa.ChunkedArray) else value


def _with_both_ids(group: pa.Table) -> pa.Table:
    names = group.schema.names
    if "decision_id" in names and "request_id" in names:
        decision, request = group["decision_id"], group["request_id"]
        group = _put(group, "decision_id", pc.coalesce(decision, request))
        return _put(group, "request_id", pc.coalesce(request, decision))
    if "request_id" in names:
        return group.append_column("decision_id", group["request_id"])
    if "decision_id" in names:
        return group.append_column("request_id", group["decision_id"])
    return group


def _groups(records: pa.Table) -> list[tuple[str, str | None, pa.Array]]:
    """Kind, decision point and row mask of each group of records that go to one table."""
    count = records.num_rows
    names = set(records.schema.names)
    kinds = (
        records["record"].cast(pa.string())
        if "record" in names
        else pa.chunked_array([pa.nulls(count, pa.string())])
    )
    inferred = "decision"
    if "change_id" in names:
        inferred = "change"
    elif "override_id" in names:
        inferred = "override"
    elif "declaration_id" in names:
        inferred = "declaration"
    elif "access_id" in names:
        inferred = "access"
    elif "hold_id" in names:
        inferred = "hold"
    elif "erasure_id" in names:
        inferred = "erasure"
    elif "policy_id" in names:
        inferred = "policy"
    elif {"label", "arrived_at"} <= names:
        inferred = "outcome"
    kinds = pc.fill_null(kinds, inferred)
    points = (
        records["decision_point"].cast(pa.string())
        if "decision_point" in names
        else pa.chunked_array([pa.nulls(count, pa.string())])
    )
    groups: list[tuple[str, str | None, pa.Array]] = []
    for kind in kinds.unique().to_pylist():
        of_kind = pc.equal(kinds, kind)
        if kind != "decision":
            groups.append((kind, None, _whole(of_kind)))
            continue
        for point in points.filter(of_kind).unique().to_pylist():
            of_point = points.is_null() if point is None else pc.equal(points, point)
            mask = pc.and_(of_kind, pc.fill_null(of_point, False))
            groups.append((kind, point, _whole(mask)))
    return groups


def _reject(
    parsed: Parsed, rows: Sequence[int], lines: pa.Array, raw: pa.Array, reasons: Sequence[str]
) -> None:
    parsed.rejects += [
        Reject(lines[row].as_py(), reason, raw[row].as_py())
        for row, reason in zip(rows, reasons, strict=True)
    ]
