"""Records read again from their received bytes, to see whether their columns say the same.

The columns are what scans, rates and other engines read; the bytes are what was sealed. This makes
the columns once more, by the very code that made them, and tells where they differ.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from forensics.errors import IntegrityError
from forensics.ingest.assemble import assemble
from forensics.ingest.json_lines import decode_lines
from forensics.lake import catalog
from forensics.lake.parquet import conform
from forensics.lake.writer import feature_types
from forensics.records.decision import ABSENT
from forensics.records.jsontext import loads
from forensics.records.reading import Options
from forensics_schemas.arrow import KEPT

_NOT_COMPARED = frozenset(field.name for field in KEPT) - {"extra"}


def differences(table: str, records: pa.Table) -> Iterator[tuple[int, str]]:
    """Rows of ``records`` and the columns in which they do not say what their bytes say.

    Args:
        table: the lake's table that holds them.
        records: whole records, with what the lake keeps.
    """
    if not records.num_rows:
        return
    # Columns of encrypted and erased records do without what was personal.
    plain = pc.fill_null(pc.invert(pc.starts_with(records["raw"].cast(pa.binary()), b"\0")), False)
    if not pc.all(plain).as_py():
        whole = plain
        numbers = pc.indices_nonzero(whole).to_pylist()
        found = differences(table, records.filter(whole))
        yield from ((numbers[row], column) for row, column in found)
        return
    readings = records["reading"]
    for reading in readings.unique().to_pylist():
        same = readings.is_null() if reading is None else pc.equal(readings, reading)
        rows = pc.indices_nonzero(pc.fill_null(same, False)).to_pylist()
        part = records if len(rows) == records.num_rows else records.filter(same)
        try:
            options = Options.from_text(reading)
        except IntegrityError:  # nothing that the lake ever wrote
            yield from ((row, "reading") for row in rows)
            continue
        for row, column in _of_one_reading(table, part, options):
            yield rows[row], column


def _of_one_reading(table: str, records: pa.Table, options: Options) -> Iterator[tuple[int, str]]:
    lines = list(enumerate(records["raw"].to_pylist()))
    decoded, _ = decode_lines(lines)
    known = {table: feature_types(records)}
    is_lineage = table == catalog.TABLES["lineage"]
    parsed = assemble("", decoded, known, options, events_only=is_lineage, own=True)
    again = parsed.tables.get(table)
    if again is None:
        yield from ((row, "record") for row in range(records.num_rows))
        return
    rows = [int(source[1:]) for source in again["source"].to_pylist()]
    if len(rows) < records.num_rows:
        yield from ((row, "record") for row in sorted({*range(records.num_rows)} - {*rows}))
    stored = records.take(pa.array(rows, pa.int64()))
    for field in records.schema:
        if field.name in _NOT_COMPARED or (options.from_columns and _is_free(field)):
            continue
        if field.name not in again.schema.names:
            if stored[field.name].null_count < len(rows):
                for at in pc.indices_nonzero(stored[field.name].is_valid()).to_pylist():
                    if any(value is not None for value in _leaves(stored[field.name][at].as_py())):
                        yield rows[at], field.name
            continue
        made = conform(again.select([field.name]), pa.schema([field]))[field.name]
        for at, column in _unequal(field.name, _whole(stored[field.name]), _whole(made)):
            yield rows[at], column
    for at, (one, two) in enumerate(_exact(stored, again)):
        if one != two:
            yield rows[at], "exact"


def _is_free(field: pa.Field) -> bool:
    """Whether a column may hold JSON of any shape, which columns and JSON write differently."""
    if (field.metadata or {}).get(b"json") == b"true" or pa.types.is_map(field.type):
        return True
    if pa.types.is_struct(field.type):
        return any(_is_free(child) for child in field.type)
    return bool(pa.types.is_list(field.type))


def _unequal(path: str, one: pa.Array, two: pa.Array) -> Iterator[tuple[int, str]]:
    if one.equals(two):
        return
    if pa.types.is_struct(one.type):
        for child in one.type:
            yield from _unequal(
                f"{path}.{child.name}",
                pc.struct_field(one, [child.name]),
                pc.struct_field(two, [child.name]),
            )
        return
    for at, (a, b) in enumerate(zip(one.to_pylist(), two.to_pylist(), strict=True)):
        if path == "extra" and a and b and loads(a) == loads(b):  # in another order
            continue
        if repr(a) != repr(b):  # by what is written: not-a-number is itself, and -0.0 is not 0.0
            yield at, path


def _exact(stored: pa.Table, again: pa.Table) -> Iterator[tuple[Any, Any]]:
    """What both keep beside their columns, without what a later record made to be absent."""
    both = (stored["exact"].to_pylist(), again["exact"].to_pylist())
    yield from zip(*(map(_written, column) for column in both), strict=True)


def _written(exact: Any) -> dict[str, str]:
    return {key: value for key, value in exact or () if value != ABSENT}


def _leaves(value: Any) -> Iterator[Any]:
    if isinstance(value, dict):
        for item in value.values():
            yield from _leaves(item)
    else:
        yield value


def _whole(column: Any) -> pa.Array:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column
