"""Typed columns of a data file in batches of rows, for replaying many decisions at once.

A scan that trusted a flipped bit would prove a wrong thing of many decisions, hence the checksums
that :mod:`.datafile` verifies.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import pyarrow as pa

from forensics.lake import exactness
from forensics.lake.arrow import column as to_arrow
from forensics.lake.arrow import different, floats, numbers, places, valid
from forensics.lake.datafile import Chunk, DataFile
from forensics.lake.exactness import Exact
from forensics.lake.grouping import distinct, grouped, same
from forensics.lake.texts import Item, Shapes, Texts, Vocabulary
from forensics.records.decision import ABSENT

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Ints = NDArray[np.int32]
    Longs = NDArray[np.int64]
    Flags = NDArray[np.bool_]
    Floats = NDArray[np.float64]

#: Rows of a batch: fewer cost time between the calls, more cost memory.
BATCH_ROWS = 131_072
#: Of a list's field whose text does not count, only whether there is one.
_PRESENCE = Vocabulary()
_PRESENCE.code("?")


class Rows(Protocol):
    """Decisions whose features a model is given."""

    def matrix(self, names: tuple[str, ...], dtype: type[np.floating[Any]]) -> NDArray[Any]:
        """Numeric features as the rows of a matrix; see :meth:`Batch.matrix`."""

    def different(self, name: str, rows: Longs | None) -> tuple[Ints, list[Any]]:
        """The different values of a feature; see :meth:`Batch.different`."""


def batches(
    file: DataFile, first: int = 0, end: int | None = None, rows: int = BATCH_ROWS
) -> Iterator[Batch]:
    """Batches of about ``rows`` rows, of whole row groups from ``first`` to before ``end``."""
    start = sum(file.groups[:first])
    held: list[int] = []
    count = 0
    for group in range(first, len(file.groups) if end is None else end):
        if held and count + file.groups[group] > rows:
            yield Batch(file, held, start)
            start, held, count = start + count, [], 0
        held.append(group)
        count += file.groups[group]
    if count:
        yield Batch(file, held, start)


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
        self._loaded: dict[str, list[Chunk]] = {}
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
        return Texts(self._one(chunks, path), vocabulary.values)

    def some_texts(self, path: str, rows: Longs) -> Texts:
        """The texts in some rows of a column that may have many different ones."""
        found = np.full(len(rows), -1, np.int32)
        vocabulary = Vocabulary()
        end = 0
        for array in self._arrays(path) or []:
            start, end = end, end + len(array)
            inside = (rows >= start) & (rows < end)
            found[inside] = _chosen(array, rows[inside] - start, vocabulary)
        return Texts(found, vocabulary.values)

    def strings(self, path: str, rows: Longs) -> pa.Array:
        """The texts in some rows of a loaded column that mostly differ, as an Arrow column."""
        arrays = [
            _without_dictionary(array).cast(pa.string()) for array in self._arrays(path) or []
        ]
        return pa.concat_arrays(arrays or [pa.nulls(self.rows, pa.string())]).take(to_arrow(rows))

    def item_texts(self, path: str, place: int, rows: Longs | None) -> Texts:
        """The texts of a list's loaded field in one item of each row, which all the rows have.

        Args:
            path: e.g. ``steps.outputs``.
            place: of the item in its list.
            rows: which rows, ascending; all where None.
        """
        vocabulary = Vocabulary()
        parts: list[Ints] = []
        for chunk, start in zip(self._loaded.get(path, ()), self._starts, strict=False):
            starts, (array, *more) = chunk.starts, chunk.arrays[path]
            assert starts is not None
            if more:
                array = pa.concat_arrays([array, *more])
            length = chunk.length
            chosen: Longs | slice
            if rows is None and length is not None:
                chosen = slice(place, None, length)
            elif rows is None:
                chosen = starts[:-1] + place
            else:
                low, high = np.searchsorted(rows, (start, start + chunk.rows))
                chosen = starts[rows[low:high] - start] + place
            parts.append(_chosen(array, chosen, vocabulary))
        if not parts:
            count = self.rows if rows is None else len(rows)
            return Texts(same(-1, count), [])
        return Texts(_joined(parts), vocabulary.values)

    def coded(self, path: str) -> Texts:
        """A column of numbers or booleans of few different values, by their shortest texts."""
        chunks = self._loaded.get(path)
        if chunks is None:
            return Texts(same(-1, self.rows), [])
        key = f"{path}: numbers"
        vocabulary = self._file.reader.vocabulary(key)
        for chunk in chunks:
            if key not in chunk.codes:
                arrays = chunk.arrays[path]
                parts = [_coded(floats(array), valid(array), vocabulary) for array in arrays]
                chunk.codes[key] = _joined(parts)
        return Texts(self._one(chunks, key), vocabulary.values)

    def numbers(self, path: str) -> tuple[Floats, Flags | None] | None:
        """A column of numbers or booleans as float64, and where there is one (None: everywhere)."""
        arrays = self._arrays(path)
        if arrays is None:
            return None
        there = None
        if any(array.null_count for array in arrays):
            there = _joined([valid(array) for array in arrays])
        return _joined([floats(array) for array in arrays]), there

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
                raw = np.bitwise_or(nibbles[:, ::2] << 4, nibbles[:, 1::2], dtype=np.uint8)
                found.setdefault(raw.shape[1], []).append((rows + start, raw))
        return [
            (_joined([rows for rows, _ in some]), _joined([raw for _, raw in some]))
            for some in found.values()
        ]

    def shapes(self, path: str, fields: Sequence[str]) -> Shapes:
        """The different lists of a loaded column, by the texts in some fields of their items.

        Of a field whose name ends in ``?`` only counts whether there is a text, as ``?`` or None.
        """
        vocabularies = [
            _PRESENCE if name.endswith("?") else self._file.reader.vocabulary(f"{path}.{name}")
            for name in fields
        ]
        known = self._file.reader.shapes.setdefault((path, *fields), {})
        chunks = self._loaded.get(f"{path}.{fields[0]}")
        if chunks is None:
            return Shapes(same(known.setdefault((), len(known)), self.rows), list(known))
        key = f"{path}: {' '.join(fields)}"
        for chunk in chunks:
            if key not in chunk.codes:
                columns = [self._codes(chunk, f"{path}.{name}") for name in fields]
                chunk.codes[key] = _shapes(chunk, columns, vocabularies, known)
        return Shapes(self._one(chunks, key), list(known))

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
        """Numeric features as the rows of a matrix, NaN for all others; not to be changed.

        Features that were not loaded are read for it, row group after row group: all of them at
        once would be several times as large as the matrix.

        Raises:
            IntegrityError: when a page is not what was written.
        """
        key = names, dtype
        found = self._matrices.get(key)
        if found is None:
            found = self._memory(key, self.rows)
            self._fill(names, found, 0, len(self._groups))
            self._matrices[key] = found
        return found

    def parts(
        self, names: tuple[str, ...], dtype: type[np.floating[Any]], rows: int
    ) -> Iterator[NDArray[Any]]:
        """As :meth:`matrix`, but in turn some whole row groups of about ``rows`` rows.

        Each part is overwritten by the next: for one pass over the rows, all of which would take
        more memory than stays in the processor's cache.

        Raises:
            IntegrityError: when a page is not what was written.
        """
        key = names, dtype
        if key in self._matrices:
            yield self._matrices[key]
            return
        first, count = 0, 0
        for end, size in enumerate(self._sizes, 1):
            count += size
            following = self._sizes[end] if end < len(self._sizes) else rows
            if count + following > rows:
                part = self._memory((*key, "part"), count)
                self._fill(names, part, first, end)
                yield part
                first, count = end, 0

    def _memory(self, key: tuple[Any, ...], rows: int) -> NDArray[Any]:
        names, dtype = key[:2]
        memory = self._file.reader.memory(key, rows * len(names), dtype)
        return memory.reshape(rows, len(names))

    def _fill(self, names: tuple[str, ...], matrix: NDArray[Any], first: int, end: int) -> None:
        """Write features of the row groups from ``first`` to before ``end`` into a matrix."""
        there, streamed = {}, {}
        for at, name in enumerate(names):
            leaf = f"features.{name}"
            if name not in self.features or not self.is_number(name):
                matrix[:, at] = np.nan
            elif leaf in self._loaded:
                there[at] = self._loaded[leaf], leaf
            else:
                streamed[leaf] = at
        start = 0
        for group in range(first, end):
            part = matrix[start : start + self._sizes[group]]
            start += len(part)
            with np.errstate(over="ignore"):
                for at, (chunks, leaf) in there.items():
                    _write(chunks[group].arrays[leaf], part[:, at])
                if streamed:
                    self._stream(self._groups[group], streamed, part)

    def _stream(self, group: int, columns: Mapping[str, int], matrix: NDArray[Any]) -> None:
        """Read leaves of a row group into columns of a matrix, and let go of them at once."""
        for leaf, chunk in self._file.read(group, columns).items():
            _write(chunk.arrays[leaf], matrix[:, columns[leaf]])

    def numeric(self, name: str) -> Floats:
        """A numeric feature, NaN where it is null."""
        self.load((f"features.{name}",))
        found: Floats = np.full(self.rows, np.nan)
        _write(self._arrays(f"features.{name}") or [], found)
        return found

    def different(self, name: str, rows: Longs | None) -> tuple[Ints, list[Any]]:
        """The different values of a loaded feature in some rows, and which each row has.

        Places are -1 for null.
        """
        rows = np.arange(self.rows) if rows is None else rows
        if _is_text(self.features[name]):
            return self.some_texts(f"features.{name}", rows)
        return different(self.feature(name).combine_chunks().take(to_arrow(rows)))

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
            kind = np.full(count, exactness.WRITTEN, np.int8)
            kind[said_ == words.code(ABSENT)] = exactness.ABSENT
            kind[said_ == words.code("null")] = exactness.NULL
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

    def _one(self, chunks: Sequence[Chunk], key: str) -> Ints:
        """Codes of all chunks as one column, without memory where they are all the same."""
        parts = [self._codes(chunk, key) for chunk in chunks]
        values = {chunk.constant(key) for chunk in chunks}
        (value,) = values if len(values) == 1 else (None,)
        if value is not None:
            return same(value, sum(map(len, parts)))
        found: Ints = _joined(parts)
        return found

    def _codes(self, chunk: Chunk, path: str) -> Ints:
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


def _chosen(array: pa.Array, chosen: Longs | slice, vocabulary: Vocabulary) -> Ints:
    """Places in ``vocabulary`` of the chosen texts of a column; only these are decoded."""
    column = array if pa.types.is_dictionary(array.type) else array.dictionary_encode()
    indices = places(column)[chosen]
    used = np.zeros(len(column.dictionary) + 1, np.bool_)
    used[indices] = True
    wanted = np.flatnonzero(used[:-1])
    table = np.full(len(used), -1, np.int32)
    texts = column.dictionary.take(to_arrow(wanted)).to_pylist()
    table[wanted] = [vocabulary.code(text) for text in texts]
    found: Ints = table[indices]
    return found


def _coded(values: Floats, there: Flags, vocabulary: Vocabulary) -> Ints:
    """Places in ``vocabulary`` of numbers, -1 where there is none."""
    codes = distinct(values.astype(np.float64, copy=False))
    table = np.empty(int(codes.max()) + 1 if len(codes) else 0, np.int32)
    for code, first in zip(*np.unique(codes, return_index=True), strict=True):
        table[code] = vocabulary.code(repr(float(values[first])))
    return np.where(there, table[codes], np.int32(-1))


def _shapes(
    chunk: Chunk,
    columns: Sequence[Ints],
    vocabularies: Sequence[Vocabulary],
    known: dict[tuple[Item, ...], int],
) -> Ints:
    """Places in ``known`` of the lists of items of a chunk's rows."""
    assert chunk.starts is not None
    lengths = np.diff(chunk.starts)
    found = np.empty(chunk.rows, np.int32)
    # np.unique of numbers alone would import numpy.ma, which takes 20 ms.
    for length in np.flatnonzero(np.bincount(lengths)):
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


def _write(arrays: Iterable[pa.Array], target: NDArray[Any]) -> None:
    end = 0
    for array in arrays:
        start, end = end, end + len(array)
        target[start:end] = floats(array)


def _joined(arrays: list[Any]) -> Any:
    return arrays[0] if len(arrays) == 1 else np.concatenate(arrays)


def _without_dictionary(array: pa.Array) -> pa.Array:
    return array.dictionary_decode() if pa.types.is_dictionary(array.type) else array


def _is_text(type_: pa.DataType) -> bool:
    is_text: bool = pa.types.is_string(type_) or pa.types.is_large_string(type_)
    return is_text


def _nibbles(digits: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Hexadecimal digits of either case as numbers: letters have bit 6 set and begin at 9 + 1."""
    found: NDArray[np.uint8] = np.add(digits & 15, 9 * (digits >> 6), dtype=np.uint8)
    return found


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
