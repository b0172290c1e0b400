"""From Arrow columns of any origin to columns of the contract's types, and of features'."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from forensics.ingest.columns import Gathered, beyond_calendar, check_rules
from forensics.ingest.features import changed_type
from forensics.lake.sql import connect
from forensics.lake.tables import JSON_FEATURE, feature_type, type_name
from forensics.records.decision import ExactNumber
from forensics.records.jsontext import exact_float
from forensics_schemas.fields import TIMESTAMP, field_rules


def contract_column(
    given: pa.Array, field: pa.Field, path: str, rows: Sequence[int], found: Gathered
) -> pa.Array:
    """``given`` as the contract's type; rows that cannot be so are named."""
    rules, type_ = field_rules(field), field.type
    if pa.types.is_null(given.type):
        return pa.nulls(len(given), type_)
    if rules["json"]:
        return given if pa.types.is_string(given.type) else json_texts(given)
    if pa.types.is_struct(type_) and pa.types.is_struct(given.type):
        names = {child.name for child in given.type}
        children = [
            contract_column(given.field(child.name), child, f"{path}.{child.name}", rows, found)
            if child.name in names
            else pa.nulls(len(given), child.type)
            for child in type_
        ]
        return pa.StructArray.from_arrays(children, fields=list(type_), mask=given.is_null())
    if pa.types.is_list(type_) and pa.types.is_list(given.type):
        owners = pc.list_parent_indices(given).to_pylist()
        child = contract_column(
            pc.list_flatten(given), type_.value_field, f"{path}[]", owners, found
        )
        lengths = pc.fill_null(pc.list_value_length(given), 0)
        offsets = pa.concat_arrays(
            [pa.array([0], pa.int64()), pc.cumulative_sum(lengths).cast(pa.int64())]
        )
        return pa.ListArray.from_arrays(
            offsets.cast(pa.int32()), child, type=type_, mask=given.is_null()
        )
    if pa.types.is_timestamp(type_):
        return _times(given, path, rows, found)
    try:
        array = given.cast(type_)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, pa.ArrowTypeError):
        for position in pc.indices_nonzero(given.is_valid()).to_pylist():
            found.problem(
                rows[position], f"{path} is {type_name(given.type)}, expected {type_name(type_)}"
            )
        return pa.nulls(len(given), type_)
    if pa.types.is_string(type_):
        check_rules(array, rules, path, rows, found)
    return array


def _times(given: pa.Array, path: str, rows: Sequence[int], found: Gathered) -> pa.Array:
    type_ = given.type
    if pa.types.is_string(type_):
        from forensics.ingest.columns import timestamps

        return timestamps(given.to_pylist(), path, rows, found)
    if pa.types.is_timestamp(type_) and type_.tz is not None:
        times = given.cast(TIMESTAMP, safe=False)
        beyond = beyond_calendar(times)
        if beyond.true_count:
            for position in pc.indices_nonzero(beyond).to_pylist():
                found.problem(rows[position], f"{path} is beyond the years 1 to 9999")
            times = pc.if_else(beyond, pa.scalar(None, TIMESTAMP), times)
        if type_.unit == "ns":
            lost = pc.not_equal(times.cast(type_), given)
            for position in pc.indices_nonzero(pc.fill_null(lost, False)).to_pylist():
                found.keep_exact(rows[position], path, str(given[position]))
        return times
    reason = (
        "a time without a zone; write it as UTC" if pa.types.is_timestamp(type_) else str(type_)
    )
    for position in pc.indices_nonzero(given.is_valid()).to_pylist():
        found.problem(rows[position], f"{path} is {reason}, expected a time in UTC")
    return pa.nulls(len(given), TIMESTAMP)


def feature_columns(
    features: pa.StructArray, known: dict[str, str], found: Gathered
) -> pa.StructArray | None:
    """The features in the types that features have; rows that contradict them are named."""
    arrays: list[pa.Array] = []
    fields: list[pa.Field] = []
    taken = {name.casefold(): name for name in known}
    for field in features.type:
        values = features.field(field.name)
        if pa.types.is_null(field.type):
            continue
        if taken.setdefault(field.name.casefold(), field.name) != field.name:
            for row in range(len(features)):
                found.problem(row, f"feature {field.name!r} differs only in case from another")
            continue
        array = _feature(values, f"features.{field.name}", found)
        want = known.get(field.name)
        if want == "float64" and pa.types.is_integer(array.type):
            array = _as_doubles(array, f"features.{field.name}", found)
        made = _feature_field(field.name, values, array)
        got = feature_type(made)
        if want is not None and got != want:
            for row in pc.indices_nonzero(array.is_valid()).to_pylist():
                reason = changed_type(field.name, array[row].as_py(), want, got)
                found.problem(row, reason)
            continue
        arrays.append(array)
        fields.append(made)
    return pa.StructArray.from_arrays(arrays, fields=fields, mask=features.is_null())


def _feature_field(name: str, values: pa.Array, array: pa.Array) -> pa.Field:
    """The field of a feature; text that stands for something else than text is JSON."""
    is_json = pa.types.is_string(array.type) and not pa.types.is_string(values.type)
    return pa.field(name, array.type, metadata=JSON_FEATURE if is_json else None)


def _feature(values: pa.Array, path: str, found: Gathered) -> pa.Array:
    """A feature's column in one of the types that features have."""
    type_ = values.type
    if pa.types.is_boolean(type_) or pa.types.is_string(type_):
        return values
    if pa.types.is_floating(type_):
        return values.cast(pa.float64())
    if pa.types.is_integer(type_):
        try:
            return values.cast(pa.int64())
        except pa.ArrowInvalid:  # unsigned and beyond what 64 bits with a sign hold
            return _as_doubles(values, path, found)
    if pa.types.is_decimal(type_):
        return _as_doubles(values, path, found)
    if pa.types.is_list(type_) and (
        pa.types.is_floating(type_.value_type) or pa.types.is_integer(type_.value_type)
    ):
        return values.cast(pa.list_(pa.float64()))
    return json_texts(values)


def _as_doubles(values: pa.Array, path: str, found: Gathered) -> pa.Array:
    doubles = values.cast(pa.float64(), safe=False)
    for row, text in enumerate(values.cast(pa.string()).to_pylist()):
        if text is not None and (
            isinstance(exact_float(text), ExactNumber)
            or ("." not in text and int(doubles[row].as_py()) != int(text))
        ):
            found.keep_exact(row, path, text)
    return doubles


def json_texts(values: pa.Array) -> pa.Array:
    """Each value as JSON text, as DuckDB writes it."""
    connection = connect()
    connection.register("given", pa.table({"value": values}))
    table = connection.sql("SELECT to_json(value)::VARCHAR AS text FROM given").to_arrow_table()
    return table["text"].combine_chunks().cast(pa.string())


def simplified(records: pa.Table) -> pa.Table:
    """Columns of few types, all known to DuckDB: no dictionaries, one kind of text, no marks."""
    columns = [_plain(column.combine_chunks()) for column in records.columns]
    return pa.Table.from_arrays(columns, names=records.schema.names)


def _plain(array: pa.Array) -> pa.Array:
    type_ = array.type
    if isinstance(array, pa.ExtensionArray):
        return _plain(array.storage)
    if pa.types.is_dictionary(type_):
        return _plain(array.dictionary_decode())
    if pa.types.is_float16(type_):
        return array.cast(pa.float32())
    if pa.types.is_large_string(type_) or pa.types.is_string_view(type_):
        return array.cast(pa.string())
    if pa.types.is_large_list(type_):
        return _plain(array.cast(pa.list_(type_.value_type)))
    if pa.types.is_struct(type_):
        children = [_plain(array.field(at)) for at in range(type_.num_fields)]
        fields = [pa.field(old.name, new.type) for old, new in zip(type_, children, strict=True)]
        return pa.StructArray.from_arrays(children, fields=fields, mask=array.is_null())
    return array
