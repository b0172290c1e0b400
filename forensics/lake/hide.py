"""Columns of records without what is personal in them."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from forensics.records.jsontext import dumps, loads

if TYPE_CHECKING:
    import pyarrow as pa

    from forensics.privacy.keystore import KeyStore

Hidden = Callable[[str], bool]


def without_personal(records: pa.Table, hidden: Hidden, store: KeyStore) -> pa.Table:
    """The records without what is personal in them.

    Args:
        records: of one table, with the contract's names.
        hidden: whether a path is personal.
        store: makes the token that stands for a subject's id.
    """
    import pyarrow as pa

    columns: dict[str, pa.ChunkedArray] = {}
    for column in records.schema:
        name, type_, values = column.name, column.type, records[column.name]
        if name == "exact":
            values = pa.chunked_array([_without(values.combine_chunks(), hidden)], type_)
        elif name == "extra":
            values = pa.chunked_array([_extra(values.combine_chunks(), hidden, store)], type_)
        elif hidden(name) and name not in _KEPT | {"subject"}:
            values = pa.chunked_array([pa.nulls(records.num_rows, type_)], type_)
        elif pa.types.is_struct(type_) and name not in _KEPT:
            chunks = [_struct(chunk, name, hidden, store) for chunk in values.chunks]
            values = pa.chunked_array(chunks, type_)
        elif pa.types.is_list(type_) and pa.types.is_struct(type_.value_type):
            chunks = [_list(chunk, name, hidden, store) for chunk in values.chunks]
            values = pa.chunked_array(chunks, type_)
        columns[name] = values
    return pa.table(columns, schema=records.schema)


#: What a record is found, checked and ordered by.
_KEPT = frozenset(
    ("raw", "salt", "leaf", "segment", "leaf_index", "source", "reading", "ingested_at")
)


def _struct(array: Any, name: str, hidden: Hidden, store: KeyStore) -> Any:
    import pyarrow as pa

    children = []
    for at, child in enumerate(array.type):
        path, values = f"{name}.{child.name}", array.field(at)
        if not hidden(path):
            children.append(values)
        elif path == "subject.id":
            tokens = [store.token(one) if one is not None else None for one in values.to_pylist()]
            children.append(pa.array(tokens, child.type))
        else:
            children.append(pa.nulls(len(array), child.type))
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(children, fields=list(array.type), mask=mask)


def _list(array: Any, name: str, hidden: Hidden, store: KeyStore) -> Any:
    """A list of groups whose personal fields are null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not any(hidden(f"{name}.{child.name}") for child in array.type.value_type):
        return array
    flat = array.flatten()
    lengths = pc.list_value_length(array).to_pylist()
    offsets, at = [0], 0
    for length in lengths:
        at += length or 0
        offsets.append(at)
    marks: list[int | None] = [
        None if length is None else offset
        for length, offset in zip([*lengths, 0], offsets, strict=True)
    ]
    inner = _struct(flat, name, hidden, store)
    return pa.ListArray.from_arrays(pa.array(marks, pa.int32()), inner, type=array.type)


def _without(values: Any, hidden: Hidden) -> Any:
    """Exact values by path, without those of personal fields."""
    import pyarrow as pa

    kept = [
        None if one is None else [(path, text) for path, text in one if not hidden(path)]
        for one in values.to_pylist()
    ]
    return pa.array(kept, values.type)


def _extra(values: Any, hidden: Hidden, store: KeyStore) -> Any:
    """Fields outside the contract, without personal ones."""
    import pyarrow as pa

    texts: list[str | None] = []
    for text in values.to_pylist():
        if text is None:
            texts.append(None)
            continue
        kept = _kept(loads(text), hidden, store)
        texts.append(dumps(kept, strict=False) if kept else None)
    return pa.array(texts, values.type)


def _kept(said: dict[str, Any], hidden: Hidden, store: KeyStore) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for name, value in said.items():
        if name == "subject" and isinstance(value, dict):  # a person is found by it
            inner = {one: of for one, of in value.items() if not hidden(f"{name}.{one}")}
            if "id" in value and "id" not in inner:
                inner["id"] = store.token(str(value["id"]))
            kept[name] = inner
        elif hidden(name):
            continue
        elif isinstance(value, dict):
            kept[name] = {one: of for one, of in value.items() if not hidden(f"{name}.{one}")}
        else:
            kept[name] = value
    return kept
