"""Typed columns of a data file in batches of rows, for replaying many decisions at once.

Only the leaf columns that are asked for are decoded, and every page's checksum is verified: a scan
that trusted a flipped bit would prove a wrong thing of many decisions. Text is kept as places in a
list of the different texts, since most of a record's text is the same in thousands of rows. For
the same reason column chunks are often the same bytes in one row group after another; those are
decoded once.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Hashable, Iterable, Iterator, Sequence
from functools import cache, cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from forensics.lake.arrow import column as to_arrow
from forensics.lake.arrow import numbers, places, valid
from forensics.lake.grouping import grouped
from forensics.lake.parquet import open_checked, said
from forensics.records.decision import ABSENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float64]

#: Rows of a batch: fewer cost time between the calls, more cost memory.
BATCH_ROWS = 131_072
#: Columns of lists, and how Parquet calls their items.
_LISTS = {"steps": "list.element"}
#: A column chunk of few different texts takes less than this.
_SMALL_BYTES = 4_096
_KEPT_CHUNKS = 64
_KEPT_MEMORY = 4
_TEXTS_MAX = 100_000


class Texts(NamedTuple):
    """A column of text: ``values[codes[row]]``, with code -1 where there is none."""

    codes: Ints
    values: list[str]

    @property
    def constant(self) -> bool:
        """Whether all rows have the same."""
        return bool((self.codes == self.codes[0]).all()) if len(self.codes) else True

    def at(self, row: int) -> str | None:
        """The text of one row."""
        code = int(self.codes[row])
        return None if code < 0 else self.values[code]


class Vocabulary:
    """The different texts of a column, by place; grows with what is read."""

    def __init__(self) -> None:
        self.values: list[str] = []
        self._codes: dict[str, int] = {}

    def code(self, text: str) -> int:
        """The place of a text, added where it is new."""
        found = self._codes.get(text)
        if found is None:
            found = self._codes[text] = len(self.values)
            self.values.append(text)
        return found

    def codes(self, column: pa.Array) -> Ints:
        """The places of a column's texts, -1 for null."""
        if not pa.types.is_dictionary(column.type):
            column = column.cast(pa.string()).dictionary_encode()
        table = np.empty(len(column.dictionary) + 1, np.int32)
        table[-1] = -1
        for at, text in enumerate(column.dictionary.to_pylist()):
            table[at] = -1 if text is None else self.code(text)
        found: Ints = table[places(column)]
        return found


class _Chunk:
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
        self.codes: dict[str, Ints] = {}
        #: What others computed from the chunk's columns alone.
        self.memo: dict[str, Any] = {}

    def take(self, column: pa.Array, name: str, leaves: Iterable[str]) -> None:
        """Add a slice of the column called ``name``."""
        if name in _LISTS:
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
                array = pc.struct_field(column, rest)
            else:
                array = column.field(rest)
            self.arrays.setdefault(leaf, []).append(array)


class DataReader:
    """Reads data files; keeps what is the same in one after another. Not shared by threads."""

    def __init__(self) -> None:
        self.vocabularies: dict[str, Vocabulary] = {}
        self.shapes: dict[tuple[str, ...], dict[tuple[Item, ...], int]] = {}
        self._chunks: dict[tuple[str, bytes], _Chunk] = {}
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

    def known(self, key: tuple[str, bytes]) -> _Chunk | None:
        """A chunk that was decoded before, from the same bytes."""
        found = self._chunks.pop(key, None)
        if found is not None:
            self._chunks[key] = found  # the youngest stand last
        return found

    def keep(self, key: tuple[str, bytes], chunk: _Chunk) -> None:
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
        self._places: dict[tuple[int, str], tuple[int, int]] = {}

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

    def batches(
        self, first: int = 0, end: int | None = None, rows: int = BATCH_ROWS
    ) -> Iterator[Batch]:
        """Batches of about ``rows`` rows, of whole row groups from ``first`` to before ``end``."""
        start = sum(self.groups[:first])
        held: list[int] = []
        count = 0
        for group in range(first, len(self.groups) if end is None else end):
            if held and count + self.groups[group] > rows:
                yield Batch(self, held, start)
                start, held, count = start + count, [], 0
            held.append(group)
            count += self.groups[group]
        if count:
            yield Batch(self, held, start)

    def read(self, group: int, leaves: Iterable[str]) -> dict[str, _Chunk]:
        """Columns of one row group, by leaf; those that the file does not have are left out.

        Raises:
            IntegrityError: when a page is not what was written.
        """
        with said(self.path):
            return self._read(group, [leaf for leaf in leaves if self.has(leaf)])

    def _read(self, group: int, leaves: list[str]) -> dict[str, _Chunk]:
        found: dict[str, _Chunk] = {}
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
        chunks = {unit: _Chunk(whole) for unit in wanted}
        for piece in self._file.iter_batches(whole, [group], paths, use_threads=False):
            for unit, of in wanted.items():
                chunks[unit].take(piece.column(unit[0]), unit[0], of)
        for unit, chunk in chunks.items():
            found |= dict.fromkeys(wanted[unit], chunk)
            if unit in keys:
                self.reader.keep(keys[unit], chunk)
        return found

    def _small(self, group: int, leaf: str) -> bytes | None:
        """The bytes of a leaf's column chunk, checksums and all; None if there are many."""
        place = self._places.get((group, leaf))
        if place is None:
            at = self._columns.get(parquet_path(leaf))
            place = 0, _SMALL_BYTES + 1
            if at is not None:
                chunk = self._file.metadata.row_group(group).column(at)
                start = chunk.dictionary_page_offset or chunk.data_page_offset
                place = min(start, chunk.data_page_offset), chunk.total_compressed_size
            self._places[group, leaf] = place
        start, size = place
        return os.pread(self._descriptor, size, start) if size <= _SMALL_BYTES else None


class Batch:
    """Some thousand decisions of one data file, by columns. Paths are those of the contract.

    A column that was not loaded, or that the file does not have, is None: no row has a value.
    """

    def __init__(self, file: DataFile, groups: Sequence[int], first_row: int) -> None:
        self._file = file
        self._groups = tuple(groups)
        #: The file, and the number of the first row within it.
        self.path = file.path
        self.first_row = first_row
        self._sizes = [file.groups[group] for group in groups]
        self.rows = sum(self._sizes)
        self._starts = [0, *accumulate(self._sizes)]
        self._asked: set[str] = set()
        self._loaded: dict[str, list[_Chunk]] = {}
        self._matrices: dict[tuple[tuple[str, ...], type[np.floating[Any]]], NDArray[Any]] = {}

    @property
    def features(self) -> dict[str, pa.DataType]:
        """Types of the features that the file has columns for."""
        return self._file.features

    def is_number(self, name: str) -> bool:
        """Whether a feature of the file is of numbers or booleans."""
        type_ = self.features[name]
        return bool(
            pa.types.is_floating(type_) or pa.types.is_integer(type_) or pa.types.is_boolean(type_)
        )

    def is_text(self, name: str) -> bool:
        """Whether a feature of the file is of text, JSON apart."""
        return _is_text(self.features[name]) and name not in self._file.json_features

    def load(self, leaves: Iterable[str], *, seldom: bool = False) -> None:
        """Read columns that are not there yet.

        Args:
            leaves: which columns.
            seldom: whether most batches do without them. What others were asked for is read
                together with the first, since each turn costs.

        Raises:
            IntegrityError: when a page is not what was written.
        """
        usual = self._file.reader.usual
        wanted = dict.fromkeys(leaf for leaf in leaves if leaf not in self._asked)
        if not wanted:
            return
        if not seldom:
            usual.update(wanted)
            if not self._asked:
                wanted = dict.fromkeys((*wanted, *usual))
        self._asked.update(wanted)
        for group in self._groups:
            found = self._file.read(group, wanted)
            for leaf, chunk in found.items():
                self._loaded.setdefault(leaf, []).append(chunk)

    def texts(self, path: str) -> Texts | None:
        """A column of text, over all items where it is a list's; of another type, as text."""
        chunks = self._loaded.get(path)
        if chunks is None:
            return None
        vocabulary = self._file.reader.vocabulary(path)
        return Texts(_joined([self._codes(chunk, path) for chunk in chunks]), vocabulary.values)

    def some_texts(self, path: str, items: Longs) -> Texts:
        """The texts at some places of a column that may have many different ones."""
        arrays = self._arrays(path) or []
        found = np.full(len(items), -1, np.int32)
        vocabulary = Vocabulary()
        end = 0
        for array in arrays:
            start, end = end, end + len(array)
            inside = slice(None) if len(arrays) == 1 else (items >= start) & (items < end)
            column = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
            indices = places(column)[items[inside] - start]
            used = np.zeros(len(column.dictionary) + 1, np.bool_)
            used[indices] = True
            different = np.flatnonzero(used[:-1])
            table = np.full(len(used), -1, np.int32)
            for place, text in zip(
                different, column.dictionary.take(to_arrow(different)).to_pylist(), strict=True
            ):
                table[place] = vocabulary.code(text)
            found[inside] = table[indices]
        return Texts(found, vocabulary.values)

    def numbers(self, path: str) -> tuple[Floats, Flags | None] | None:
        """A column of numbers or booleans as float64, and where there is one (None: everywhere)."""
        arrays = self._arrays(path)
        if arrays is None:
            return None
        there = None
        if any(array.null_count for array in arrays):
            there = _joined([valid(array) for array in arrays])
        return _joined([numbers(array) for array in arrays]), there

    def micros(self, path: str) -> Longs:
        """A loaded column of times, as microseconds since 1970."""
        micros = [
            array.cast(pa.timestamp("us", array.type.tz), safe=False).cast(pa.int64())
            for array in self._arrays(path) or []
        ]
        found: Longs = _joined([numbers(array) for array in micros])
        return found

    def hexadecimal(self, path: str) -> list[tuple[Longs, NDArray[np.uint8]]]:
        """A column of hexadecimal text as bytes: for each length, which rows, and a row of each.

        Rows without a value are in none of them.
        """
        found: dict[int, list[tuple[Longs, NDArray[np.uint8]]]] = {}
        end = 0
        for array in self._arrays(path) or []:
            start, end = end, end + len(array)
            for rows, digits in _by_length(array):
                nibbles = _nibbles(digits)
                raw = (nibbles[:, ::2] << 4) | nibbles[:, 1::2]
                found.setdefault(raw.shape[1], []).append((rows + start, raw))
        return [
            (_joined([rows for rows, _ in some]), _joined([raw for _, raw in some]))
            for some in found.values()
        ]

    def starts(self, path: str) -> Longs | None:
        """Of a list's loaded field: row ``r`` has the items from ``[r]`` to before ``[r + 1]``."""
        chunks = self._loaded.get(path)
        if chunks is None:
            return None
        parts: list[Longs] = [np.zeros(1, np.int64)]
        end = 0
        for chunk in chunks:
            assert chunk.starts is not None
            parts.append(chunk.starts[1:] + end)
            end += int(chunk.starts[-1])
        return np.concatenate(parts)

    def shapes(self, path: str, fields: Sequence[str]) -> Shapes:
        """The different lists of a loaded column, by the texts in some fields of their items.

        Of a field whose name ends in ``?`` only counts whether there is a text, as ``?`` or None.
        """
        vocabularies = [
            _PRESENCE if name.endswith("?") else self._file.reader.vocabulary(f"{path}.{name}")
            for name in fields
        ]
        known = self._file.reader.shapes.setdefault((path, *fields), {})
        found = []
        for chunk in self._loaded.get(f"{path}.{fields[0]}", ()):
            codes = chunk.memo.get(" ".join(fields))
            if codes is None:
                columns = [self._codes(chunk, f"{path}.{name}") for name in fields]
                codes = _shapes(chunk, columns, vocabularies, known)
                chunk.memo[" ".join(fields)] = codes
            found.append(codes)
        if not found:
            found.append(np.full(self.rows, known.setdefault((), len(known)), np.int32))
        return Shapes(_joined(found), list(known))

    def nulls(self, leaf: str) -> Flags | None:
        """Rows whose whole group is null, as a loaded leaf of it tells; None where there are none.

        All are where the file does not have the leaf.
        """
        chunks = self._loaded.get(leaf)
        if chunks is None:
            return np.ones(self.rows, np.bool_)
        if all(chunk.nulls is None for chunk in chunks):
            return None
        parts = [np.zeros(c.rows, np.bool_) if c.nulls is None else c.nulls for c in chunks]
        found: Flags = _joined(parts)
        return found

    def matrix(self, names: tuple[str, ...], dtype: type[np.floating[Any]]) -> NDArray[Any]:
        """Numeric features as the rows of a matrix, NaN where there is none; not to be changed.

        Features that were not loaded are read for it, row group after row group: all of them at
        once would be several times as large as the matrix.

        Raises:
            IntegrityError: when a page is not what was written.
        """
        key = names, dtype
        found = self._matrices.get(key)
        if found is None:
            memory = self._file.reader.memory(key, self.rows * len(names), dtype)
            found = memory.reshape(self.rows, len(names))
            with np.errstate(over="ignore"):
                self._fill(names, found)
            self._matrices[key] = found
        return found

    def _fill(self, names: tuple[str, ...], matrix: NDArray[Any]) -> None:
        streamed: dict[str, int] = {}
        for at, name in enumerate(names):
            arrays = self._arrays(f"features.{name}")
            if arrays is not None:
                _write(arrays, matrix[:, at])
            elif name in self.features:
                streamed[f"features.{name}"] = at
            else:
                matrix[:, at] = np.nan
        if not streamed:
            return
        for group, start, size in zip(self._groups, self._starts, self._sizes, strict=False):
            part = matrix[start : start + size]
            for leaf, chunk in self._file.read(group, streamed).items():
                _write(chunk.arrays[leaf], part[:, streamed[leaf]])

    def numeric(self, name: str) -> Floats:
        """A numeric feature, NaN where it is null."""
        self.load((f"features.{name}",))
        found: Floats = np.full(self.rows, np.nan)
        _write(self._arrays(f"features.{name}") or [], found)
        return found

    def different(self, name: str, rows: Longs) -> tuple[Ints, list[Any]]:
        """The different values of a loaded feature in some rows, and which each row has.

        Places are -1 for null.
        """
        if _is_text(self.features[name]):
            return self.some_texts(f"features.{name}", rows)
        column = self.feature(name).combine_chunks().take(to_arrow(rows)).dictionary_encode()
        values = column.dictionary.to_pylist()
        indices = places(column)
        return np.where(indices == len(values), -1, indices).astype(np.int32), values

    def present(self, name: str, rows: Longs | None = None) -> Flags:
        """Where a loaded feature is not null, by row."""
        found: Flags = _joined([valid(array) for array in self._arrays(f"features.{name}") or []])
        return found if rows is None else found[rows]

    def feature(self, name: str) -> pa.ChunkedArray:
        """A loaded feature as an Arrow column."""
        arrays = self._arrays(f"features.{name}")
        return pa.chunked_array(arrays or [pa.nulls(self.rows)])

    def table(self, names: Iterable[str], rows: Longs | None = None) -> pa.Table:
        """Loaded features as an Arrow table, of the rows named or of all."""
        columns = {name: self.feature(name) for name in names}
        if not columns:  # a table of no columns would have no rows either
            columns["#"] = pa.chunked_array([pa.nulls(self.rows)])
        found = pa.table(columns)
        return found if rows is None else found.take(to_arrow(rows))

    @cached_property
    def exact(self) -> Exact:
        """What records say beyond what their columns hold; needs the column ``exact``."""
        arrays = self._arrays("exact.key_value.value")
        if arrays is None or all(array.null_count == len(array) for array in arrays):
            empty = np.zeros(0, np.int64)
            return Exact(empty, np.zeros(0, np.int32), [], np.zeros(0, np.int8))
        vocabulary = self._file.reader.vocabulary("exact")
        rows, codes, kinds = [], [], []
        end = 0
        for array in arrays:
            start, end = end, end + len(array)
            offsets = numbers(array.offsets)
            low, count = int(offsets[0]), int(offsets[-1] - offsets[0])
            items = array.items.slice(low, count)
            words = Vocabulary()
            said_ = words.codes(items)
            kind = np.full(count, Exact.WRITTEN, np.int8)
            kind[said_ == words.code(ABSENT)] = Exact.ABSENT
            kind[said_ == words.code("null")] = Exact.NULL
            rows.append(np.repeat(np.arange(start, end), np.diff(offsets)))
            codes.append(vocabulary.codes(array.keys.slice(low, count)))
            kinds.append(kind)
        return Exact(_joined(rows), _joined(codes), vocabulary.values, _joined(kinds))

    @property
    def places(self) -> pa.Array:
        """The numbers of the rows, as an Arrow column."""
        return to_arrow(np.arange(self.rows))

    def columns(self, paths: Iterable[str]) -> pa.Table:
        """Loaded columns as an Arrow table whose columns have the paths as their names."""
        paths = list(paths)
        arrays = [self._arrays(path) or [pa.nulls(self.rows)] for path in paths]
        plain = [[_without_dictionary(array) for array in of] for of in arrays]
        return pa.table([pa.chunked_array(of) for of in plain], names=paths)

    def take(self, paths: Iterable[str], rows: Longs) -> dict[str, list[Any]]:
        """Values of loaded columns in some rows, by column."""
        found: dict[str, list[Any]] = self.columns(paths).take(to_arrow(rows)).to_pydict()
        return found

    def _codes(self, chunk: _Chunk, path: str) -> Ints:
        if path not in chunk.codes:
            if path.endswith("?"):
                vocabulary = self._file.reader.vocabulary(path[:-1])
                codes = self._codes(chunk, path[:-1])
                empty = vocabulary.code("")
                chunk.codes[path] = np.where((codes < 0) | (codes == empty), -1, 0)
                return chunk.codes[path]
            vocabulary = self._file.reader.vocabulary(path)
            arrays = chunk.arrays.get(path)
            if arrays is None:  # another program's file, without this field
                assert chunk.starts is not None
                chunk.codes[path] = np.full(int(chunk.starts[-1]), -1, np.int32)
            else:
                chunk.codes[path] = _joined([vocabulary.codes(array) for array in arrays])
        return chunk.codes[path]

    def _arrays(self, path: str) -> list[pa.Array] | None:
        chunks = self._loaded.get(path)
        if chunks is None:
            return None
        return [array for chunk in chunks for array in chunk.arrays[path]]


_PRESENCE = Vocabulary()
_PRESENCE.code("?")

#: The texts of some fields of one item.
Item = tuple[str | None, ...]


class Shapes(NamedTuple):
    """Lists of items: ``values[codes[row]]`` has the texts of each item's fields."""

    codes: Ints
    values: list[tuple[Item, ...]]


class Exact(NamedTuple):
    """Entries of the ``exact`` column of a batch: ``names[codes[at]]`` is a path in ``rows[at]``.

    ``kinds`` says what of it: the record does not have it, has it as null without a type, or wrote
    it in a form that the column cannot hold.
    """

    rows: Longs
    codes: Ints
    names: list[str]
    kinds: NDArray[np.int8]

    #: What an entry says.
    ABSENT, NULL, WRITTEN = range(3)  # type: ignore[misc]

    def written(self, paths: Collection[str]) -> Longs:
        """Rows that wrote one of ``paths`` in a form that its column does not hold."""
        if not len(self.rows):
            return self.rows
        wanted = [at for at, name in enumerate(self.names) if name in paths]
        return self.rows[np.isin(self.codes, wanted) & (self.kinds == self.WRITTEN)]


def _shapes(
    chunk: _Chunk,
    columns: Sequence[Ints],
    vocabularies: Sequence[Vocabulary],
    known: dict[tuple[Item, ...], int],
) -> Ints:
    """Places in ``known`` of the lists of items of a chunk's rows."""
    assert chunk.starts is not None
    lengths = np.diff(chunk.starts)
    found = np.empty(chunk.rows, np.int32)
    for length in np.unique(lengths):
        rows = np.flatnonzero(lengths == length)
        places = chunk.starts[rows]
        groups = grouped((of[places + at] for at in range(length) for of in columns), len(rows))
        table = np.empty(len(groups.first), np.int32)
        for group, row in enumerate(groups.first):
            items = tuple(
                tuple(
                    None if (code := int(of[places[row] + at])) < 0 else words.values[code]
                    for of, words in zip(columns, vocabularies, strict=True)
                )
                for at in range(length)
            )
            table[group] = known.setdefault(items, len(known))
        found[rows] = table[groups.codes]
    return found


@cache
def parquet_path(path: str) -> str:
    """A column's path as Parquet writes it."""
    name, _, rest = path.partition(".")
    return f"{name}.{_LISTS[name]}.{rest}" if rest and name in _LISTS else path


def _write(arrays: Iterable[pa.Array], target: NDArray[Any]) -> None:
    end = 0
    for array in arrays:
        start, end = end, end + len(array)
        target[start:end] = numbers(array)


def _joined(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _without_dictionary(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_text(type_: pa.DataType) -> bool:
    is_text: bool = pa.types.is_string(type_) or pa.types.is_large_string(type_)
    return is_text


def _nibbles(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hexadecimal digits of either case as numbers: letters have bit 6 set and begin at 9 + 1."""
    return (digits & 15) + 9 * (digits >> 6)


def _by_length(array: pa.Array) -> Iterator[tuple[Longs, NDArray[np.uint8]]]:
    """Texts of a column by their length: which rows, and their bytes, one row each."""
    if array.null_count == len(array):
        return
    array = array.cast(pa.string())
    _, ends, data = array.buffers()
    offsets = np.frombuffer(ends, np.int32)[array.offset : array.offset + len(array) + 1]
    characters = np.frombuffer(data, np.uint8)
    lengths = np.diff(offsets)
    if not array.null_count and lengths[0] and (lengths == lengths[0]).all():
        digits = characters[offsets[0] : offsets[-1]].reshape(len(array), lengths[0])
        yield np.arange(len(array)), digits
        return
    there = valid(array)
    for length in np.unique(lengths[there]):
        rows = np.flatnonzero(there & (lengths == length))
        yield rows, characters[offsets[rows][:, None] + np.arange(length)]
