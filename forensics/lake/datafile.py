"""A data file, read column by column with every page's checksum verified.

Only the leaf columns that are asked for are decoded. Column chunks of few different values are
often the same bytes in one row group after another, checksums and all; those are decoded once.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Hashable, Iterable
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.lake.arrow import numbers, valid
from forensics.lake.grouping import is_constant
from forensics.lake.parquet import open_checked, said
from forensics.lake.texts import Item, Vocabulary

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]
    Flags = NDArray[np.bool_]

#: Columns of lists, and how Parquet calls their items.
LISTS = {"steps": "list.element"}
#: A column chunk of few different values takes less than this.
_SMALL_BYTES = 4_096
_KEPT_CHUNKS = 64
_KEPT_MEMORY = 4
_TEXTS_MAX = 100_000


class Chunk:
    """Leaf columns of one row group, decoded, with what was computed from them."""

    def __init__(self, rows: int) -> None:
        self.rows = rows
        #: By leaf path; of a list's field, over all items.
        self.arrays: dict[str, list[pa.Array]] = {}
        #: Where the items of each row begin, for a list.
        self.starts: Longs | None = None
        #: Rows whose whole group is null.
        self.nulls: Flags | None = None
        self._taken = 0
        #: What was computed from the columns, by row.
        self.codes: dict[str, Ints] = {}
        self._constants: dict[str, int | None] = {}

    @cached_property
    def length(self) -> int | None:
        """How many items each row of a list has; None where they differ."""
        assert self.starts is not None
        lengths = np.diff(self.starts)
        all_same = len(lengths) > 0 and bool((lengths == lengths[0]).all())
        return int(lengths[0]) if all_same else None

    def constant(self, key: str) -> int | None:
        """The code that all rows have; None where they differ."""
        if key not in self._constants:
            codes = self.codes[key]
            all_same = len(codes) > 0 and is_constant(codes)
            self._constants[key] = int(codes[0]) if all_same else None
        return self._constants[key]

    def take(self, column: pa.Array, name: str, leaves: Iterable[str]) -> None:
        """Add a slice of the column called ``name``."""
        if name in LISTS:
            offsets = numbers(column.offsets).astype(np.int64)
            items = column.values.slice(offsets[0], offsets[-1] - offsets[0])
            known = self.starts if self.starts is not None else np.zeros(1, np.int64)
            self.starts = np.concatenate([known, offsets[1:] - offsets[0] + known[-1]])
            column = items
        elif pa.types.is_struct(column.type) and (column.null_count or self.nulls is not None):
            before = np.zeros(self._taken, np.bool_) if self.nulls is None else self.nulls
            self.nulls = np.concatenate([before, ~valid(column)])
        self._taken += len(column)
        for leaf in leaves:
            _, _, rest = leaf.partition(".")
            if not rest or name == "exact":
                array = column
            elif column.null_count:  # a group that is null has no fields, whatever stands there
                array = pc.struct_field(column, [column.type.get_field_index(rest)])
            else:
                array = column.field(rest)
            self.arrays.setdefault(leaf, []).append(array)


class DataReader:
    """Reads data files; keeps what is the same in one after another. Not shared by threads."""

    def __init__(self) -> None:
        self.vocabularies: dict[str, Vocabulary] = {}
        self.shapes: dict[tuple[str, ...], dict[tuple[Item, ...], int]] = {}
        self._chunks: dict[tuple[str, bytes], Chunk] = {}
        self._memory: dict[Hashable, NDArray[Any]] = {}
        #: Columns that batches were asked for.
        self.usual: dict[str, None] = {}
        self._file: DataFile | None = None
        self._key: tuple[Path, tuple[str, ...]] | None = None

    def open(self, path: Path, texts: Collection[str]) -> DataFile:
        """Open a file, which stays open for its next part until another is asked for.

        Args:
            path: the file.
            texts: those of its leaf columns that are read as text, e.g. ``steps.kind``.

        Raises:
            IntegrityError: when the file is gone or no Parquet.
        """
        key = path, tuple(texts)
        if self._file is None or self._key != key:
            self.close()
            self._forget()
            self._file, self._key = DataFile(self, path, texts), key
        return self._file

    def close(self) -> None:
        """Close the file that is open."""
        if self._file is not None:
            self._file.close()
            self._file = None

    def _forget(self) -> None:
        """Start anew where there are too many different texts to be kept."""
        if any(len(known.values) > _TEXTS_MAX for known in self.vocabularies.values()):
            self.vocabularies.clear()
            self.shapes.clear()
            self._chunks.clear()

    def memory(self, key: Hashable, count: int, dtype: type[np.floating[Any]]) -> NDArray[Any]:
        """Memory for ``count`` numbers, which is used again for the next batch's ``key``.

        New pages cost as much as filling them.
        """
        found = self._memory.pop(key, None)
        if found is None or len(found) < count:
            found = np.empty(count, dtype)
        self._memory[key] = found
        if len(self._memory) > _KEPT_MEMORY:
            self._memory.pop(next(iter(self._memory)))
        return found[:count]

    def vocabulary(self, path: str) -> Vocabulary:
        """The different texts of a column in all files that were read."""
        return self.vocabularies.setdefault(path, Vocabulary())

    def known(self, key: tuple[str, bytes]) -> Chunk | None:
        """A chunk that was decoded before, from the same bytes."""
        found = self._chunks.pop(key, None)
        if found is not None:
            self._chunks[key] = found  # the youngest stand last
        return found

    def keep(self, key: tuple[str, bytes], chunk: Chunk) -> None:
        """Remember a chunk; the one unused for longest goes."""
        self._chunks[key] = chunk
        if len(self._chunks) > _KEPT_CHUNKS:
            self._chunks.pop(next(iter(self._chunks)))


class DataFile:
    """An open data file.

    Args:
        reader: keeps what is the same in other files.
        path: the file.
        texts: see :meth:`DataReader.open`.

    Raises:
        IntegrityError: when the file is gone or no Parquet.
    """

    def __init__(self, reader: DataReader, path: Path, texts: Collection[str]) -> None:
        self.reader = reader
        self.path = path
        with said(path):
            self._file = open_checked(path, texts=[parquet_path(text) for text in texts])
            self._descriptor = os.open(path, os.O_RDONLY)
        metadata = self._file.metadata
        #: Rows of each row group.
        self.groups = [metadata.row_group(at).num_rows for at in range(metadata.num_row_groups)]
        self._columns = {metadata.schema.column(at).path: at for at in range(metadata.num_columns)}
        self._known: dict[str, bool] = {}
        self._large: set[str] = set()

    def close(self) -> None:
        """Close the file."""
        self._file.close()
        os.close(self._descriptor)

    @cached_property
    def features(self) -> dict[str, pa.DataType]:
        """Types of the features that the file has columns for."""
        schema = self._file.schema_arrow
        at = schema.get_field_index("features")
        if at < 0 or not pa.types.is_struct(schema.field(at).type):
            return {}
        return {field.name: field.type for field in schema.field(at).type}

    @cached_property
    def json_features(self) -> frozenset[str]:
        """Features of any JSON shape, which are kept as text."""
        if not self.features:
            return frozenset()
        of = self._file.schema_arrow.field("features").type
        return frozenset(f.name for f in of if (f.metadata or {}).get(b"json") == b"true")

    def has(self, leaf: str) -> bool:
        """Whether the file has a column at this path."""
        found = self._known.get(leaf)
        if found is None:
            path = parquet_path(leaf)
            found = path in self._columns or any(
                column.startswith(f"{path}.") for column in self._columns
            )
            self._known[leaf] = found
        return found

    def read(self, group: int, leaves: Iterable[str]) -> dict[str, Chunk]:
        """Columns of one row group, by leaf; those that the file does not have are left out.

        Raises:
            IntegrityError: when a page is not what was written.
        """
        with said(self.path):
            return self._read(group, [leaf for leaf in leaves if self.has(leaf)])

    def first_text(self, group: int, leaf: str) -> str | None:
        """The text of a leaf in the first row of a row group; None where there is none.

        Raises:
            IntegrityError: when a page is not what was written.
        """
        chunk = self.read(group, [leaf]).get(leaf) if group < len(self.groups) else None
        if chunk is None or not chunk.rows:
            return None
        text = chunk.arrays[leaf][0][0].as_py()
        return text if isinstance(text, str) else None

    def _read(self, group: int, leaves: list[str]) -> dict[str, Chunk]:
        found: dict[str, Chunk] = {}
        # Of a whole column, the leaves that are small and those that are not, to be read.
        wanted: dict[tuple[str, bool], list[str]] = {}
        small: dict[tuple[str, bool], bytes] = {}
        for leaf in leaves:
            raw = self._small(group, leaf)
            unit = leaf.partition(".")[0], raw is not None
            wanted.setdefault(unit, []).append(leaf)
            if raw is not None:
                small[unit] = small.get(unit, b"") + raw
        keys = {unit: (" ".join(wanted[unit]), raw) for unit, raw in small.items()}
        for unit, key in keys.items():
            chunk = self.reader.known(key)
            if chunk is not None:
                found |= dict.fromkeys(wanted.pop(unit), chunk)
        if not wanted:
            return found
        whole = self.groups[group]
        paths = [parquet_path(leaf) for of in wanted.values() for leaf in of]
        chunks = {unit: Chunk(whole) for unit in wanted}
        for piece in self._file.iter_batches(whole, [group], paths, use_threads=False):
            for unit, of in wanted.items():
                chunks[unit].take(piece.column(unit[0]), unit[0], of)
        for unit, chunk in chunks.items():
            found |= dict.fromkeys(wanted[unit], chunk)
            if unit in keys:
                self.reader.keep(keys[unit], chunk)
        return found

    def _small(self, group: int, leaf: str) -> bytes | None:
        """The bytes of a leaf's column chunk, checksums and all; None if there are many.

        A leaf that once had many is not looked at again.
        """
        if leaf in self._large:
            return None
        at = self._columns.get(parquet_path(leaf))
        if at is not None:
            chunk = self._file.metadata.row_group(group).column(at)
            size, start = chunk.total_compressed_size, chunk.data_page_offset
            if size <= _SMALL_BYTES:
                start = min(start, chunk.dictionary_page_offset or start)
                return os.pread(self._descriptor, size, start)
        self._large.add(leaf)
        return None


@cache
def parquet_path(path: str) -> str:
    """A column's path as Parquet writes it."""
    name, _, rest = path.partition(".")
    return f"{name}.{LISTS[name]}.{rest}" if rest and name in LISTS else path
