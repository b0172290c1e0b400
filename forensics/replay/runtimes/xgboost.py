"""XGBoost through ctypes: the shared library of its wheel, without its Python package.

Importing ``xgboost`` costs 0.2 to 2.5 s and numpy; the library alone loads in 2 ms and gives the
same bytes. C interface: https://xgboost.readthedocs.io/en/stable/c.html

A row with a category that XGBoost refuses is answered with NaN, so that others beside it are not
lost. The value of ``multi:softmax`` is the class, for which there are no other kinds of answer.
"""

from __future__ import annotations

import ctypes
from array import array
from math import inf, isinf, nan

from forensics.replay.runtimes.interface import ModelRefusedError, Runtime
from forensics.replay.runtimes.trees import Trees, encode
from forensics.replay.runtimes.xgboost_file import XGBoostFile

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: Since this version leaves that are vectors are kept otherwise, and the earlier form not read.
_NEW_VECTORS = (3, 2, 0)
_TYPES = {"value": 0, "margin": 1, "contributions": 2}


class XGBoostRuntime(Runtime):
    """Trees, also with dropout, and linear boosters, of any number of outputs."""

    def __init__(self, data: bytes, library: str) -> None:
        self._library = _load_library(library)
        version = [ctypes.c_int() for _ in range(3)]
        self._library.XGBoostVersion(*(ctypes.byref(part) for part in version))
        self._version = tuple(part.value for part in version)
        self._file = file = XGBoostFile(data)
        if file.version > self._version:  # it would be read, and dropout or base score ignored
            raise ModelRefusedError(
                f"runtime older than the model: the file was written by xgboost"
                f" {_dotted(file.version)}, here is xgboost {_dotted(self._version)}",
                f"Install xgboost {_dotted(file.version)} or later.",
            )
        if file.has_early_vectors and self._version >= _NEW_VECTORS:
            raise ModelRefusedError(
                f"its leaves are vectors as xgboost {_dotted(file.version)} writes them, on which"
                f" xgboost {_dotted(self._version)} crashes",
                f"Install xgboost {_dotted(file.version)}.",
            )
        self._threads = 0
        self._booster = ctypes.c_void_p()
        self._call("XGBoosterCreate", None, ctypes.c_uint64(0), ctypes.byref(self._booster))
        self._call("XGBoosterSetParam", self._booster, b"verbosity", b"0")
        self._call("XGBoosterLoadModelFromBuffer", self._booster, data, ctypes.c_uint64(len(data)))
        # Without this the first prediction would set the number of threads to all processors.
        self._set_threads(1)

    def describe(self) -> tuple[dict[str, Any], array[float]]:
        """The model's names, versions and objective, and its cut points."""
        file = self._file
        cuts = array("d")
        for part in file.cuts:
            cuts.extend(part)
        return {
            "features": file.names,
            "width": file.width,
            "objective": file.objective,
            "file_version": _dotted(file.version),
            "runtime": f"xgboost {_dotted(self._version)}",
            "rounds": file.rounds,
            "best_iteration": file.best_iteration,
            "cut_counts": [len(part) for part in file.cuts],
            "dtype": "f",
            "score_dtype": "f",
            "outputs": 1 if file.objective == "multi:softmax" else file.outputs,
            "texts": sorted(file.categories),
            "categories": {at: file.category_names(at) for at in file.categories},
            "categorical": sorted(file.categorical),
            "classes": [],
            "link": file.link,
            "kinds": file.kinds,
        }, cuts

    def predict(
        self,
        rows: array[float],
        count: int,
        kind: str,
        trees: int,
        threads: int,
        texts: Mapping[int, Sequence[str]],
    ) -> bytes | array[float]:
        """Answers for ``count`` rows, with NaN as the missing value."""
        if trees > self._file.rounds:
            raise ModelRefusedError(f"it has {self._file.rounds} boosting rounds, not {trees}")
        rows, refused = self._encode(rows, texts)
        found = self._answers(rows, count, kind, trees, threads)
        return _without(found, refused, count) if refused else found

    def _answers(
        self, rows: array[float], count: int, kind: str, trees: int, threads: int
    ) -> bytes:
        self._set_threads(threads)
        config = (
            f'{{"type":{_TYPES[kind]},"training":false,"iteration_begin":0,'
            f'"iteration_end":{trees},"missing":NaN,"strict_shape":false,"cache_id":0}}'
        ).encode()
        matrix = (
            f'{{"data":[{rows.buffer_info()[0]},true],"shape":[{count},{self._file.width}],'
            f'"typestr":"{_FLOAT}","version":3}}'
        ).encode()
        shape = ctypes.POINTER(ctypes.c_uint64)()
        dimensions = ctypes.c_uint64()
        answer = ctypes.POINTER(ctypes.c_float)()
        out = (ctypes.byref(shape), ctypes.byref(dimensions), ctypes.byref(answer))
        if kind == "contributions" or self._file.kind != "gbtree":
            # In-place prediction does not offer those, and rounds otherwise with dropout.
            data = ctypes.c_void_p()
            options = f'{{"missing":NaN,"nthread":{threads}}}'.encode()
            self._call("XGDMatrixCreateFromDense", matrix, options, ctypes.byref(data))
            try:
                self._call("XGBoosterPredictFromDMatrix", self._booster, data, config, *out)
            finally:
                self._call("XGDMatrixFree", data)
        else:
            self._call("XGBoosterPredictFromDense", self._booster, matrix, config, None, *out)
        size = 1
        for axis in range(dimensions.value):
            size *= shape[axis]
        return ctypes.string_at(answer, 4 * size)

    def ensemble(self, trees: int) -> tuple[dict[str, Any], list[array[Any]]]:
        """Its trees with their weights, or the coefficients of a linear booster.

        Raises:
            ModelRefusedError: when they do not add up to what the library answers.
        """
        found = self._file.ensemble(trees)
        self._prove(found, trees)
        return found.message(below=True, dtype="f")

    def _prove(self, found: Trees, trees: int) -> None:
        """Compares a row without any value: whence the sum starts depends on the objective."""
        empty = array("f", [nan]) * self._file.width
        answer = array("f")
        answer.frombytes(self._answers(empty, 1, "margin", trees, 1))
        sums, sizes = found.at_missing()
        for said, computed, size in zip(answer, sums, sizes, strict=True):
            if not abs(said - computed) <= 1e-4 * (1.0 + size):
                raise ModelRefusedError(
                    f"its trees add up to {computed:g} where the library says {said:g}"
                )

    def _encode(
        self, rows: array[float], texts: Mapping[int, Sequence[str]]
    ) -> tuple[array[float], set[int]]:
        """``rows`` with codes for texts, and which of them XGBoost would refuse."""
        refused: set[int] = set()
        if not texts:
            return rows, refused
        width, code = self._file.width, self._file.code
        codes = {
            at: [code(at, text, self._version) for text in values] for at, values in texts.items()
        }
        rows = encode(rows, width, codes)
        for at, values in codes.items():
            if inf in values:
                column = rows[at::width]
                refused.update(place for place, value in enumerate(column) if isinf(value))
                rows[at::width] = array("f", [nan if isinf(value) else value for value in column])
        return rows, refused

    def _set_threads(self, threads: int) -> None:
        if threads != self._threads:
            self._call("XGBoosterSetParam", self._booster, b"nthread", str(threads).encode())
            self._threads = threads

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments) != 0:
            text = self._library.XGBGetLastError().decode(errors="replace")
            raise ModelRefusedError(f"xgboost {_dotted(self._version)} refused it: {_brief(text)}")


_FLOAT = "<f4" if array("H", [1]).tobytes() == b"\x01\x00" else ">f4"


def _without(answers: bytes, refused: set[int], count: int) -> array[float]:
    found = array("f", answers)
    size = len(found) // count
    for row in refused:
        found[row * size : (row + 1) * size] = array("f", [nan]) * size
    return found


def _load_library(path: str) -> Any:
    try:
        library = ctypes.CDLL(path)
    except OSError as error:
        raise ModelRefusedError(f"the XGBoost library cannot be loaded: {_brief(error)}") from error
    library.XGBGetLastError.restype = ctypes.c_char_p
    return library


def _dotted(version: tuple[int, ...]) -> str:
    return ".".join(map(str, version))


def _brief(error: object) -> str:
    """The first line of an error, at most 200 characters, without XGBoost's time and source."""
    line = (str(error).strip().splitlines() or [""])[0]
    if line.startswith("[") and ": " in line:
        line = line.split(": ", 1)[1]
    return line[:200]
