"""LightGBM through ctypes: the shared library of its wheel, without its Python package.

Importing ``lightgbm`` costs 2.6 s and numpy; the library alone gives the same bytes.
C interface: https://lightgbm.readthedocs.io/en/stable/C-API.html

Of random forests, which average their trees, the margin and the contributions are averages too,
where the library itself answers sums.
"""

from __future__ import annotations

import ctypes
from array import array

from forensics.replay.runtimes.interface import ModelRefusedError, Runtime
from forensics.replay.runtimes.lightgbm_file import LightGBMFile
from forensics.replay.runtimes.trees import encode

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

_TYPES = {"value": 0, "margin": 1, "contributions": 3}
_FLOAT64 = 1

#: Before this version the same functions took other arguments.
_OLDEST = 3


class LightGBMRuntime(Runtime):
    """Boosted trees and random forests, of any number of outputs."""

    def __init__(self, data: bytes, library: str) -> None:
        self._file = file = LightGBMFile(data)
        self._version = _version(library)
        major = self._version.split()[-1].partition(".")[0]
        if major.isdigit() and int(major) < max(_OLDEST, int(file.version[1:])):
            raise ModelRefusedError(
                f"runtime older than the model: the file's format is {file.version}, here is"
                f" {self._version}",
                f"Install lightgbm {max(_OLDEST, int(file.version[1:]))} or later.",
            )
        try:
            self._library = ctypes.CDLL(library)
        except OSError as error:
            todo = "Install the OpenMP library that it needs, e.g. the system's libgomp1."
            raise ModelRefusedError(
                f"the LightGBM library cannot be loaded: {error}",
                todo if "omp" in str(error) else "",
            ) from error
        self._library.LGBM_GetLastError.restype = ctypes.c_char_p
        self._booster = ctypes.c_void_p()
        rounds = ctypes.c_int()
        out = (ctypes.byref(rounds), ctypes.byref(self._booster))
        self._call("LGBM_BoosterLoadModelFromString", ctypes.c_char_p(data), *out)
        if rounds.value != file.rounds:
            raise ModelRefusedError(
                f"the library found {rounds.value} of {file.rounds} boosting rounds"
            )

    def describe(self) -> tuple[dict[str, Any], array[float]]:
        """The model's names, format and objective, and its cut points."""
        file = self._file
        cuts = array("d")
        for part in file.cuts:
            cuts.extend(part)
        return {
            "features": file.names,
            "width": file.width,
            "objective": file.objective,
            "file_version": file.version,
            "runtime": self._version,
            "rounds": file.rounds,
            "best_iteration": None,
            "cut_counts": [len(part) for part in file.cuts],
            "dtype": "d",
            "score_dtype": "d",
            "outputs": file.outputs,
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
    ) -> array[float]:
        """Answers for ``count`` rows, with NaN as the missing value."""
        file = self._file
        if trees > file.rounds:
            raise ModelRefusedError(f"it has {file.rounds} boosting rounds, not {trees}")
        if texts:
            codes = {at: [file.code(at, text) for text in found] for at, found in texts.items()}
            rows = encode(rows, file.width, codes)
        size = file.width + 1 if kind == "contributions" else 1
        answers = array("d", [0.0]) * (count * file.outputs * size)
        length = ctypes.c_int64()
        self._call(
            "LGBM_BoosterPredictForMat",
            self._booster,
            ctypes.c_void_p(rows.buffer_info()[0]),
            ctypes.c_int(_FLOAT64),
            ctypes.c_int32(count),
            ctypes.c_int32(file.width),
            ctypes.c_int(1),  # row after row
            ctypes.c_int(_TYPES[kind]),
            ctypes.c_int(0),
            ctypes.c_int(trees or -1),
            f"num_threads={threads}".encode(),
            ctypes.byref(length),
            ctypes.c_void_p(answers.buffer_info()[0]),
        )
        if length.value != len(answers):
            raise ModelRefusedError(f"it answers {length.value} numbers, not {len(answers)}")
        divisor = file.divisor(trees)
        if divisor == 1 or kind == "value":
            return answers
        return array("d", [answer / divisor for answer in answers])

    def ensemble(self, trees: int) -> tuple[dict[str, Any], list[array[Any]]]:
        """Its trees, where their leaves are numbers."""
        return self._file.ensemble(trees).message(below=False, dtype="d")

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments) != 0:
            text = self._library.LGBM_GetLastError().decode(errors="replace").strip()[:200]
            raise ModelRefusedError(f"{self._version} refused it: {text}")


def _version(library: str) -> str:
    """``lightgbm`` and its version, which the library does not say and its package does."""
    folder = library.rpartition("/")[0]
    try:
        with open(f"{folder.removesuffix('/lib')}/VERSION.txt") as file:  # noqa: PTH123 - pathlib costs 5 ms
            return f"lightgbm {file.read().strip()[:40]}"
    except OSError:
        return "lightgbm of unknown version"
