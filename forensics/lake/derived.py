"""Attributions that were computed from data files, kept for reuse under ``LAKE/derived``.

Everything in there can be made again and may be removed at any time. A file's name is a digest of
all that its content depends on: the data file, the rows in question, the model, the method and the
library's version; so what no longer holds is never found, only swept. Pages carry checksums.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from itertools import chain, islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from forensics.errors import IntegrityError
from forensics.lake.arrow import column as to_arrow
from forensics.lake.arrow import numbers, places
from forensics.lake.files import sync
from forensics.lake.parquet import ROW_GROUP_ROWS, even_groups, open_checked, said
from forensics.lake.snapshot import Snapshot
from forensics.lake.texts import Texts

_FORMAT = 1
_KEY, _SKIPPED = "forensics.attributions", "forensics.skipped"

Floats = NDArray[Any]


class Piece(NamedTuple):
    """Attributions of some decisions of one data file, by column; all have the same length.

    ``rows`` are positions in the data file, ``decision_ids`` is an Arrow column of text. ``values``
    has a row of contributions for each decision, ``margins`` what they and ``base`` add up to.
    ``confirmed`` says whether the explained model gave the recorded score.
    """

    rows: NDArray[np.int64]
    decision_ids: pa.Array
    times_us: NDArray[np.int64]
    outcomes: Texts
    margins: Floats
    base: Floats
    confirmed: NDArray[np.bool_]
    values: Floats


def folder(root: Path, point: str) -> Path:
    """Where the attributions of a decision point are kept."""
    return root / "derived" / "attributions" / point


def path_of(root: Path, key: Mapping[str, Any]) -> Path:
    """The file for ``key``, whose ``point`` and ``data_file`` name what it was made from."""
    text = json.dumps(_whole(key), sort_keys=True).encode()
    return folder(root, key["point"]) / f"{hashlib.sha256(text).hexdigest()[:40]}.parquet"


def write(
    path: Path,
    key: Mapping[str, Any],
    names: Sequence[str],
    pieces: Iterable[Piece],
    skipped: Mapping[str, int],
) -> int:
    """Write attributions durably; how many there are.

    A reader sees nothing or the whole file.

    Args:
        path: where.
        key: what they depend on; kept in the file.
        names: the model's features in its order.
        pieces: the attributions, as they are computed.
        skipped: how many decisions have none, by reason; read when all pieces are there.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.tmp")
    stream = iter(pieces)
    first = list(islice(stream, 1))
    double = bool(first) and first[0].values.dtype == np.float64
    schema = _schema(names, pa.float64() if double else pa.float32(), key)
    written = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal written
        for piece in chain(first, stream):
            written += len(piece.rows)
            yield _batch(piece, schema)

    try:
        with pq.ParquetWriter(
            unfinished,
            schema,
            compression="zstd",
            compression_level=1,
            use_dictionary=["outcome"],
            write_statistics=["occurred_at"],
            write_page_checksum=True,
        ) as writer:
            for table in even_groups(batches(), schema, ROW_GROUP_ROWS):
                writer.write_table(table, row_group_size=ROW_GROUP_ROWS)
            writer.add_key_value_metadata({_SKIPPED: json.dumps(skipped)})
        sync(unfinished)
        unfinished.replace(path)
        sync(path.parent)
    finally:
        unfinished.unlink(missing_ok=True)
    return written


def read(path: Path, key: Mapping[str, Any]) -> Iterator[Piece]:
    """The attributions in a file, every page of which is verified.

    Raises:
        IntegrityError: when it is not what was written for ``key``.
    """
    with said(path), open_checked(path, texts=["outcome"]) as file:
        if _key_in(file) != _whole(key):
            raise IntegrityError(
                f"{path.name} holds other attributions than its name says.", "",
                "It is derived: remove it, and it is made again.",
            )  # fmt: skip
        for batch in file.iter_batches():
            yield _piece(batch)


def skipped(path: Path) -> dict[str, int]:
    """How many decisions have no attributions in a file, by reason.

    Raises:
        IntegrityError: when it cannot be read.
    """
    with said(path), open_checked(path) as file:
        return {str(why): int(count) for why, count in _note(file, _SKIPPED).items()}


def holds(path: Path, key: Mapping[str, Any]) -> bool:
    """Whether ``path`` is there and whole: all of it is read, since a wrong page would be used."""
    if not path.is_file():
        return False
    try:
        for _ in read(path, key):
            pass
    except IntegrityError:
        return False
    return True


def export(sources: Sequence[tuple[Path, str]], target: Path) -> int:
    """Write the attributions of several files as one Parquet file; how many there are.

    Args:
        sources: files with the digest of the model that each is of.
        target: the file to write. A feature that a model does not have is null there.
    """
    written = 0
    schemas = [_exported(pq.read_schema(path)) for path, _ in sources]
    schema = pa.unify_schemas(schemas or [_exported(_schema([], pa.float32(), {}))])
    with pq.ParquetWriter(target, schema, compression="zstd", write_page_checksum=True) as writer:
        for path, digest in sources:
            with said(path), open_checked(path) as file:
                for batch in file.iter_batches():
                    writer.write_table(_export_table(batch, digest, schema))
                    written += batch.num_rows
    return written


def sweep(
    snapshot: Snapshot,
    points: Collection[str] | None = None,
    newer: Collection[Mapping[str, Any]] = (),
) -> int:
    """Remove what nothing can use any more; how many files.

    That is what was made from data files that are no longer live, and what was made anew.

    Args:
        snapshot: the lake.
        points: decision points to look at; all where None.
        newer: keys of what is in use: of the same rows and model nothing else is needed.
    """
    base = snapshot.root / "derived" / "attributions"
    replaced = {_subject(key): path_of(snapshot.root, key) for key in newer}
    removed = 0
    for place in sorted(base.iterdir()) if base.is_dir() else ():
        if not place.is_dir() or (points is not None and place.name not in points):
            continue
        live = {file.name for file in snapshot.files(f"decisions/{place.name}")}
        for path in place.glob("*.parquet"):
            key = _key_at(path)
            if key.get("data_file") in live and replaced.get(_subject(key), path) == path:
                continue
            path.unlink(missing_ok=True)
            removed += 1
    return removed


def _subject(key: Mapping[str, Any]) -> str:
    """What attributions are of, whatever they were made with."""
    return json.dumps([key.get(name) for name in ("point", "data_file", "rows", "model_digest")])


def _key_at(path: Path) -> dict[str, Any]:
    try:
        with said(path), open_checked(path) as file:
            return _key_in(file)
    except IntegrityError:
        return {}  # damaged: as good as gone


def _key_in(file: pq.ParquetFile) -> dict[str, Any]:
    return _note(file, _KEY)


def _note(file: pq.ParquetFile, name: str) -> dict[str, Any]:
    try:
        found = json.loads((file.metadata.metadata or {}).get(name.encode(), b"{}"))
    except ValueError:
        return {}
    return found if isinstance(found, dict) else {}


def _whole(key: Mapping[str, Any]) -> Any:
    return json.loads(json.dumps({**key, "format": _FORMAT}))


def _schema(names: Sequence[str], type_: pa.DataType, key: Mapping[str, Any]) -> pa.Schema:
    values = pa.struct([pa.field(name, type_) for name in names])
    return pa.schema(
        [
            pa.field("row", pa.int64()),
            pa.field("decision_id", pa.string()),
            pa.field("occurred_at", pa.timestamp("us", tz="UTC")),
            pa.field("outcome", pa.string()),
            pa.field("margin", pa.float64()),
            pa.field("base_value", pa.float64()),
            pa.field("confirmed", pa.bool_()),
            pa.field("contributions", values),
        ],
        metadata={_KEY: json.dumps(_whole(key))},
    )


def _batch(piece: Piece, schema: pa.Schema) -> pa.RecordBatch:
    type_ = schema.field("contributions").type
    kind = np.float64 if type_.num_fields and type_.field(0).type == pa.float64() else np.float32
    values = [
        to_arrow(piece.values[:, at].astype(kind, copy=False)) for at in range(type_.num_fields)
    ]
    times = to_arrow(piece.times_us.astype(np.int64, copy=False))
    return pa.RecordBatch.from_arrays(
        [
            to_arrow(piece.rows.astype(np.int64, copy=False)),
            piece.decision_ids,
            times.cast(pa.timestamp("us", tz="UTC")),
            _strings(piece.outcomes),
            to_arrow(piece.margins.astype(np.float64)),
            to_arrow(piece.base.astype(np.float64)),
            to_arrow(piece.confirmed.astype(np.uint8)).cast(pa.bool_()),
            pa.StructArray.from_arrays(values, fields=list(type_)),
        ],
        schema=schema,
    )


def _piece(batch: pa.RecordBatch) -> Piece:
    values = [numbers(each) for each in batch.column("contributions").flatten()]
    return Piece(
        numbers(batch.column("row")),
        batch.column("decision_id"),
        numbers(batch.column("occurred_at").cast(pa.int64())),
        _texts(batch.column("outcome")),
        numbers(batch.column("margin")),
        numbers(batch.column("base_value")),
        numbers(batch.column("confirmed")).astype(np.bool_),
        np.stack(values, axis=1) if values else np.zeros((batch.num_rows, 0)),
    )


def _strings(texts: Texts) -> pa.Array:
    known = to_arrow(np.where(texts.codes < 0, len(texts.values), texts.codes).astype(np.int32))
    raw = [text.encode() for text in texts.values]
    ends = np.cumsum([0, *map(len, raw)], dtype=np.int32)
    buffers = [None, pa.py_buffer(ends), pa.py_buffer(b"".join(raw))]
    values = pa.Array.from_buffers(pa.string(), len(raw), buffers)
    return pa.concat_arrays([values, pa.nulls(1, pa.string())]).take(known)


def _texts(column: pa.Array) -> Texts:
    if not pa.types.is_dictionary(column.type):
        column = column.dictionary_encode()
    codes = places(column)
    missing = codes == len(column.dictionary)
    return Texts(np.where(missing, -1, codes).astype(np.int32), column.dictionary.to_pylist())


def _exported(schema: pa.Schema) -> pa.Schema:
    """The columns of an export: contributions one by one, in double precision."""
    plain = [field for field in schema if field.name not in ("row", "contributions")]
    values = schema.field("contributions").type
    return pa.schema(
        [*plain, pa.field("model_digest", pa.string())]
        + [pa.field(f"contributions.{field.name}", pa.float64()) for field in values]
    )


def _export_table(batch: pa.RecordBatch, digest: str, schema: pa.Schema) -> pa.Table:
    columns: dict[str, Any] = {
        name: batch.column(name) for name in batch.schema.names if name in schema.names
    }
    columns["model_digest"] = pa.array([digest] * batch.num_rows, pa.string())
    values = batch.column("contributions")
    for field, column in zip(values.type, values.flatten(), strict=True):
        columns[f"contributions.{field.name}"] = pc.cast(column, pa.float64())
    absent = pa.nulls(batch.num_rows, pa.float64())
    return pa.table([columns.get(name, absent) for name in schema.names], schema=schema)
