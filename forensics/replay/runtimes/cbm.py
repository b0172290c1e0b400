"""What a CatBoost file (``.cbm``) says of its model, read without CatBoost.

The file is ``CBM1``, a size, and a flatbuffer after CatBoost's ``model.fbs`` and ``features.fbs``.
CatBoost passes over fields that a later version added, so a file is looked at before it is loaded.
"""

from __future__ import annotations

import struct
from array import array
from typing import NamedTuple

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import Any

#: What a missing number does in a split: it is compared, which is always false, or treated so.
NAN_AS_IS, NAN_IS_LOW, NAN_IS_HIGH = 0, 1, 2


class FloatFeature(NamedTuple):
    """A feature of numbers: its place in a row, name, ascending float32 split points, and NaN."""

    position: int
    name: str
    borders: array[float]
    nan: int


class CbmFile(NamedTuple):
    """A model file's contents, without the tables of its categories.

    Attributes:
        version: of the format, e.g. ``FlabuffersModel_v1``.
        info: what the training wrote into the file, by name.
        dimension: numbers that one row answers.
        floats: features of numbers, in the order in which splits count their borders.
        categories: by position in a row, the name of a feature of categories.
        texts: the same for features of running text.
        embeddings: the same for features of vectors.
        splits: by tree and level, the split's number; a leaf's bit ``i`` is the answer at level
            ``i``.
        sizes: levels by tree.
        leaves: tree after tree, leaf after leaf, ``dimension`` numbers each.
        symmetric: whether every tree asks one question a level.
        scale: what the sum of leaves is multiplied by.
        bias: what is added to it, by dimension.
    """

    version: str
    info: dict[str, str]
    dimension: int
    floats: tuple[FloatFeature, ...]
    categories: dict[int, str]
    texts: dict[int, str]
    embeddings: dict[int, str]
    splits: array[int]
    sizes: array[int]
    leaves: array[float]
    symmetric: bool
    scale: float
    bias: tuple[float, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """Names of all features in the order of a row; empty text where one is unnamed."""
        named = {**self.categories, **self.texts, **self.embeddings}
        named.update((feature.position, feature.name) for feature in self.floats)
        return tuple(named.get(at, "") for at in range(max(named, default=-1) + 1))


def read(data: bytes) -> CbmFile:
    """The contents of a model file.

    Raises:
        ValueError: when it is none, or is cut short.
    """
    try:
        if data[:4] != b"CBM1" or len(data) < 8 + struct.unpack_from("<I", data, 4)[0]:
            raise ValueError("the file is cut short")
        return _read(memoryview(data)[8:])
    except (struct.error, IndexError, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise ValueError(f"its tables point outside it ({error})") from error


def _read(data: memoryview) -> CbmFile:
    core = _Table(data, struct.unpack_from("<I", data, 0)[0])
    trees = core.table(1)
    if trees is None:
        raise ValueError("it has no trees")
    dimension = trees.number(0, "i", 0)
    bias = trees.numbers(16, "d") or array("d", [trees.number(15, "d", 0.0)])
    if len(bias) == 1:
        bias *= dimension
    return CbmFile(
        version=core.text(0),
        info={pair.text(0): pair.text(1) for pair in core.tables(2)},
        dimension=dimension,
        floats=tuple(
            FloatFeature(
                feature.number(2, "i", -1),
                feature.text(4),
                feature.numbers(3, "f"),
                feature.number(5, "b", 0),
            )
            for feature in trees.tables(5)
        ),
        categories={feature.number(1, "i", -1): feature.text(2) for feature in trees.tables(4)},
        texts={feature.number(1, "i", -1): feature.text(2) for feature in trees.tables(12)},
        embeddings={feature.number(1, "i", -1): feature.text(2) for feature in trees.tables(18)},
        splits=trees.numbers(1, "i"),
        sizes=trees.numbers(2, "i"),
        leaves=trees.numbers(8, "d"),
        symmetric=not trees.count(10),
        scale=trees.number(14, "d", 1.0),
        bias=tuple(bias),
    )


class _Table:
    """A flatbuffer's table: fields by number, absent ones with their default."""

    def __init__(self, data: memoryview, at: int) -> None:
        self._data = data
        self._at = at
        self._fields = at - struct.unpack_from("<i", data, at)[0]
        if self._fields < 0:
            raise ValueError("its tables point outside it")
        self._size = struct.unpack_from("<H", data, self._fields)[0]

    def number(self, field: int, code: str, default: Any) -> Any:
        at = self._find(field)
        return default if at is None else struct.unpack_from("<" + code, self._data, at)[0]

    def text(self, field: int) -> str:
        at, count = self._vector(field)
        return bytes(self._slice(at, count)).decode()

    def numbers(self, field: int, code: str) -> array[Any]:
        at, count = self._vector(field)
        found: array[Any] = array(code)
        found.frombytes(self._slice(at, count * found.itemsize))
        if array("H", [1]).tobytes() != b"\x01\x00":
            found.byteswap()
        return found

    def count(self, field: int) -> int:
        return self._vector(field)[1]

    def table(self, field: int) -> _Table | None:
        at = self._find(field)
        return None if at is None else self._follow(at)

    def tables(self, field: int) -> Iterator[_Table]:
        at, count = self._vector(field)
        self._slice(at, 4 * count)
        for place in range(at, at + 4 * count, 4):
            yield self._follow(place)

    def _find(self, field: int) -> int | None:
        place = 4 + 2 * field
        if place >= self._size:
            return None
        offset: int = struct.unpack_from("<H", self._data, self._fields + place)[0]
        return self._at + offset if offset else None

    def _follow(self, at: int) -> _Table:
        return _Table(self._data, at + struct.unpack_from("<I", self._data, at)[0])

    def _vector(self, field: int) -> tuple[int, int]:
        at = self._find(field)
        if at is None:
            return 0, 0
        at += struct.unpack_from("<I", self._data, at)[0]
        return at + 4, struct.unpack_from("<I", self._data, at)[0]

    def _slice(self, at: int, size: int) -> memoryview:
        if at + size > len(self._data):
            raise ValueError("the file is cut short")
        return self._data[at : at + size]
