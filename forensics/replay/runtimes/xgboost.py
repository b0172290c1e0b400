"""XGBoost through ctypes: the shared library of its wheel, without its Python package.

Importing ``xgboost`` costs 0.2 to 2.5 s and numpy; the library alone loads in 2 ms and gives the
same bytes. C interface: https://xgboost.readthedocs.io/en/stable/c.html
"""

from __future__ import annotations

import ctypes
from array import array

from forensics.replay.runtimes.interface import ModelRefusedError, Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_TYPES = {"value": 0, "margin": 1, "contributions": 2}


class XGBoostRuntime(Runtime):
    """One model of one output whose trees split numbers; everything else is refused."""

    def __init__(self, data: bytes, library: str) -> None:
        self._data = data
        self._library = _load_library(library)
        version = [ctypes.c_int() for _ in range(3)]
        self._library.XGBoostVersion(*(ctypes.byref(part) for part in version))
        self._version = tuple(part.value for part in version)
        document = parse(data)
        self._description, self._cuts = inspect(document, self._version)
        self._width = self._description["width"]
        self._threads = 0
        self._booster = ctypes.c_void_p()
        self._call("XGBoosterCreate", None, ctypes.c_uint64(0), ctypes.byref(self._booster))
        self._call("XGBoosterSetParam", self._booster, b"verbosity", b"0")
        self._call("XGBoosterLoadModelFromBuffer", self._booster, data, ctypes.c_uint64(len(data)))
        # Without this the first prediction would set the number of threads to all processors.
        self._set_threads(1)

    def describe(self) -> tuple[dict[str, Any], array[float]]:
        """The model's names, versions and objective, and its cut points."""
        return self._description, self._cuts

    def predict(self, rows: array[float], count: int, kind: str, trees: int, threads: int) -> bytes:
        """Answers for ``count`` rows, with NaN as the missing value."""
        self._set_threads(threads)
        config = (
            f'{{"type":{_TYPES[kind]},"training":false,"iteration_begin":0,'
            f'"iteration_end":{trees},"missing":NaN,"strict_shape":false,"cache_id":0}}'
        ).encode()
        matrix = (
            f'{{"data":[{rows.buffer_info()[0]},true],"shape":[{count},{self._width}],'
            f'"typestr":"{_FLOAT}","version":3}}'
        ).encode()
        shape = ctypes.POINTER(ctypes.c_uint64)()
        dimensions = ctypes.c_uint64()
        answer = ctypes.POINTER(ctypes.c_float)()
        out = (ctypes.byref(shape), ctypes.byref(dimensions), ctypes.byref(answer))
        if kind == "contributions":  # which in-place prediction does not offer
            data = ctypes.c_void_p()
            options = b'{"missing":NaN,"nthread":1}'
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

    def _set_threads(self, threads: int) -> None:
        if threads != self._threads:
            self._call("XGBoosterSetParam", self._booster, b"nthread", str(threads).encode())
            self._threads = threads

    def _call(self, name: str, *arguments: Any) -> None:
        if getattr(self._library, name)(*arguments) != 0:
            text = self._library.XGBGetLastError().decode(errors="replace")
            raise ModelRefusedError(f"xgboost {_dotted(self._version)} refused it: {_brief(text)}")


_FLOAT = "<f4" if array("H", [1]).tobytes() == b"\x01\x00" else ">f4"


def parse(data: bytes) -> Any:
    """The model file as plain Python values.

    Raises:
        ModelRefusedError: when it is neither XGBoost's JSON nor its UBJSON.
    """
    try:
        # XGBoost itself tells them apart by the second byte.
        if data[1:2] in (b'"', b" ", b"\n", b"\r", b"\t"):
            import json

            return json.loads(data)
        from forensics.replay.runtimes.ubjson import loads

        return loads(data)
    except (ValueError, RecursionError) as error:
        raise ModelRefusedError(f"it is not a whole XGBoost model: {_brief(error)}") from error


def inspect(document: Any, runtime: tuple[int, ...]) -> tuple[dict[str, Any], array[float]]:
    """What there is to know of a parsed model, before any library touches it.

    Raises:
        ModelRefusedError: when the file is newer than ``runtime``, or of a kind whose replay could
            silently give another number.
    """
    try:
        version = tuple(int(part) for part in document["version"])
        learner = document["learner"]
        booster = learner["gradient_booster"]
        kind = booster["name"]
        parameters = learner["learner_model_param"]
        objective = str(learner["objective"]["name"])
        width = int(parameters["num_feature"])
        names = [str(name) for name in learner.get("feature_names", ())]
        types = list(learner.get("feature_types", ()))
        if version > runtime:
            raise ModelRefusedError(
                f"runtime older than the model: the file was written by xgboost {_dotted(version)},"
                f" here is xgboost {_dotted(runtime)}",
                f"Install xgboost {_dotted(version)} or later.",
            )
        if kind != "gbtree":
            raise ModelRefusedError(f"the booster is {kind}; only gbtree can be replayed yet")
        if int(parameters.get("num_class", 0)) > 1 or int(parameters.get("num_target", 1)) > 1:
            raise ModelRefusedError("the model has several outputs; only one can be replayed yet")
        if names and len(names) != width:
            raise ModelRefusedError(f"the file names {len(names)} features and has {width}")
        model = booster["model"]
        cuts = _cut_points(model["trees"], width)
        if "c" in types:
            raise ModelRefusedError("the model has categorical features; only numbers work yet")
        rounds = len(model.get("iteration_indptr", ())) - 1
        best = str((learner.get("attributes") or {}).get("best_iteration"))
    except (KeyError, TypeError, ValueError, AttributeError, IndexError) as error:
        raise ModelRefusedError(
            f"it is not a whole XGBoost model: {type(error).__name__} {_brief(error)}"
        ) from error
    flat = array("f")
    for cut in cuts:
        flat.extend(cut)
    description = {
        "features": names,
        "width": width,
        "objective": objective,
        "file_version": _dotted(version),
        "runtime": f"xgboost {_dotted(runtime)}",
        "rounds": max(rounds, 0),
        "best_iteration": int(best) if best.isdigit() else None,
        "cut_counts": [len(cut) for cut in cuts],
    }
    return description, flat


def _cut_points(trees: Any, width: int) -> list[array[float]]:
    """Each feature's split conditions, ascending: a value below goes left, any other right."""
    found: list[set[float]] = [set() for _ in range(width)]
    for tree in trees:
        if int(tree["tree_param"].get("size_leaf_vector", 1)) > 1:
            raise ModelRefusedError("the model has several outputs; only one can be replayed yet")
        if any(tree.get("split_type", ())):
            raise ModelRefusedError("the model splits categories; only numbers can be replayed yet")
        nodes = zip(
            tree["left_children"], tree["split_indices"], tree["split_conditions"], strict=True
        )
        for left, feature, condition in nodes:
            if left != -1:
                found[feature].add(condition)
    return [array("f", sorted(cuts)) for cuts in found]


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
