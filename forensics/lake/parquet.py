"""How this lake writes and reads Parquet: page checksums always, the disk before the commit."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from forensics.errors import IntegrityError
from forensics.lake.files import sync

#: One row is fetched by decoding its row group; larger groups compress little better, and smaller
#: ones make the footer, which every look-up parses, as large as they save.
ROW_GROUP_ROWS = 16_384

#: Nearly unique values gain nothing from a dictionary and pay for building it.
_UNIQUE = frozenset(
    ("raw", "salt", "leaf", "request_id", "decision_id", "trace_id", "span_id", "score_bytes")
)
#: Numbers are nearly unique if more than this share of so many rows are different. Whole numbers
#: are then written as differences, which takes a third of the time to read and half of the bytes;
#: those in single precision byte by byte, since half of their bytes are zero: four fifths of both.
_SAMPLE_ROWS = 4_096
_UNIQUE_WHOLE, _UNIQUE_FLOATING = 1 / 4, 7 / 8

#: Statistics that prune: more of them would only grow the footer that every look-up parses.
_PRUNING = ("occurred_at", "arrived_at", "score", "outcome", "leaf_index")


def write_table(table: pa.Table, path: Path) -> int:
    """Write ``table`` to ``path`` durably; its size in bytes."""
    return write_batches(table.to_batches(), table.schema, path)


def write_batches(batches: Iterable[pa.RecordBatch], schema: pa.Schema, path: Path) -> int:
    """Write a stream of batches to ``path`` durably in even row groups; its size in bytes."""
    tables = even_groups(batches, schema, ROW_GROUP_ROWS)
    first = next(tables, schema.empty_table())
    with pq.ParquetWriter(
        path,
        schema,
        write_statistics=[name for name in _PRUNING if name in schema.names] or False,
        write_page_checksum=True,
        **_encodings(first.slice(0, _SAMPLE_ROWS)),
    ) as writer:
        for table in chain((first,), tables):
            writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
    sync(path)
    return path.stat().st_size


def _encodings(sample: pa.Table) -> dict[str, Any]:
    """How to write the columns of a file that begins with ``sample``.

    Numeric features and scores are what a scan of all decisions reads: LZ4 takes half the time of
    zstd, and not more bytes once unique numbers are written as differences or byte by byte.
    """
    leaves = _leaves(sample.schema)
    fast, whole, unique = set(), set(), set(_UNIQUE)
    split: set[str] = set()
    for leaf, array in _numbers(sample):
        if leaf.startswith("features.") or leaf == "score":
            fast.add(leaf)
        share = pc.count_distinct(array).as_py() / max(1, len(array) - array.null_count)
        if pa.types.is_floating(array.type):
            if share > _UNIQUE_FLOATING:
                some = split if _is_single(array) else unique
                some.add(leaf)
        elif not pa.types.is_boolean(array.type) and share > _UNIQUE_WHOLE:
            whole.add(leaf)
    return {
        "compression": {leaf: "lz4" if leaf in fast else "zstd" for leaf in leaves},
        "compression_level": {leaf: 1 for leaf in leaves if leaf not in fast},
        "use_dictionary": [leaf for leaf in leaves if leaf not in unique | whole | split],
        "column_encoding": {
            **dict.fromkeys(whole, "DELTA_BINARY_PACKED"),
            **dict.fromkeys(split, "BYTE_STREAM_SPLIT"),
        },
    }


def _numbers(table: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    """The columns of numbers, booleans and times of a table, by path; not those within lists."""
    for field in table.schema:
        array = table[field.name].combine_chunks()
        if not pa.types.is_struct(field.type):
            if _is_number(field.type):
                yield field.name, array
            continue
        for child in field.type:
            if _is_number(child.type):
                yield f"{field.name}.{child.name}", pc.struct_field(array, [child.name])


def _is_single(array: pa.Array) -> bool:
    """Whether all numbers of a column of float64 are those of single precision."""
    single = array.cast(pa.float32(), safe=False).cast(array.type)
    return bool(pc.all(pc.equal(single, array), min_count=0).as_py())


def _is_number(type_: pa.DataType) -> bool:
    return bool(
        pa.types.is_integer(type_)
        or pa.types.is_floating(type_)
        or pa.types.is_boolean(type_)
        or pa.types.is_timestamp(type_)
    )


def read_checked(path: Path, columns: list[str] | None = None) -> pa.Table:
    """Read a file with every page's checksum verified; errors as :func:`batches_checked`."""
    with said(path), open_checked(path) as file:
        return file.read(columns)


def batches_checked(path: Path, columns: list[str]) -> Iterator[pa.RecordBatch]:
    """Read a file piece by piece with every page's checksum verified.

    Raises:
        IntegrityError: when a page is not what was written, or the file is no Parquet at all.
    """
    with said(path), open_checked(path) as file:
        yield from file.iter_batches(columns=columns)


def open_checked(path: Path, *, texts: Sequence[str] = ()) -> pq.ParquetFile:
    """Open a file whose pages are verified as they are read.

    Args:
        path: the file.
        texts: leaf columns that are read as dictionaries.
    """
    # Buffering ahead is for slow storage; from a disk it only takes more memory.
    return pq.ParquetFile(
        path,
        page_checksum_verification=True,
        read_dictionary=list(texts),
        pre_buffer=False,
    )


@contextmanager
def said(path: Path) -> Iterator[None]:
    """Within, what goes wrong with reading ``path`` becomes an error that names it.

    Raises:
        IntegrityError: when a page is not what was written, or the file is no Parquet at all.
    """
    try:
        yield
    except (pa.ArrowException, OSError, UnicodeDecodeError) as error:
        raise IntegrityError(
            f"{path.name} cannot be read as it was written.",
            str(error).splitlines()[0],
            "Restore it from a backup; the records it holds are named by its segment.",
        ) from error


def conform(table: pa.Table, schema: pa.Schema) -> pa.Table:
    """``table`` with the columns of ``schema``; what it lacks, also within structs, is null."""
    columns = [
        _conformed(table[field.name].combine_chunks(), field.type)
        if field.name in table.schema.names
        else pa.nulls(table.num_rows, field.type)
        for field in schema
    ]
    return pa.Table.from_arrays(columns, schema=schema)


def _conformed(array: pa.Array, type_: pa.DataType) -> pa.Array:
    if array.type == type_:
        return array
    if not (pa.types.is_struct(type_) and pa.types.is_struct(array.type)):
        return array.cast(type_)
    names = {child.name for child in array.type}
    children = [
        _conformed(array.field(child.name), child.type)
        if child.name in names
        else pa.nulls(len(array), child.type)
        for child in type_
    ]
    return pa.StructArray.from_arrays(children, fields=list(type_), mask=array.is_null())


def even_groups(
    batches: Iterable[pa.RecordBatch], schema: pa.Schema, group_rows: int
) -> Iterator[pa.Table]:
    """Regroup batches into tables of a multiple of ``group_rows`` rows; the last may have less."""
    held: list[pa.RecordBatch] = []
    rows = 0
    for batch in batches:
        held.append(batch)
        rows += batch.num_rows
        if rows >= group_rows:
            table = pa.Table.from_batches(held, schema)
            whole = rows - rows % group_rows
            yield table.slice(0, whole)
            held = table.slice(whole).to_batches()
            rows -= whole
    if rows:
        yield pa.Table.from_batches(held, schema)


def _leaves(schema: pa.Schema) -> list[str]:
    """Paths of all leaf columns as Parquet names them."""
    return [path for field in schema for path in _leaf_paths(field.name, field.type)]


def _leaf_paths(path: str, type_: pa.DataType) -> list[str]:
    if pa.types.is_struct(type_):
        return [leaf for child in type_ for leaf in _leaf_paths(f"{path}.{child.name}", child.type)]
    if pa.types.is_map(type_):
        keys = _leaf_paths(f"{path}.key_value.key", type_.key_type)
        return keys + _leaf_paths(f"{path}.key_value.value", type_.item_type)
    if pa.types.is_list(type_):
        return _leaf_paths(f"{path}.list.element", type_.value_type)
    return [path]
