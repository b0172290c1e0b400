"""ONNX models through ONNX Runtime: one row of features in, one number or one for each class out.

The session is as ``InferenceSession(file)`` makes it, with all graph optimisations and no custom
operators, but on one thread: more add up trees in another order. Large batches are divided among
threads, each with rows of its own. https://onnxruntime.ai/docs/api/python/api_summary.html
"""

from __future__ import annotations

import json
import re
from array import array

import numpy
import onnxruntime
from onnxruntime.capi import onnxruntime_pybind11_state as errors

from forensics.replay.runtimes.interface import ModelRefusedError, Runtime
from forensics.replay.runtimes.packages import as_matrix, brief
from forensics.replay.runtimes.protobuf import OnnxFile, read_model

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from typing import Any

#: What the session raises; each derives from Exception alone.
_ERRORS = (
    errors.EPFail, errors.Fail, errors.InvalidArgument, errors.InvalidGraph, errors.InvalidProtobuf,
    errors.NoModel, errors.NoSuchFile, errors.NotImplemented, errors.RuntimeException,
)  # fmt: skip

#: Types of inputs that can be made from numbers or text, and as numpy calls them.
_INPUTS = {
    "tensor(float)": "float32",
    "tensor(double)": "float64",
    "tensor(int64)": "int64",
    "tensor(int32)": "int32",
    "tensor(bool)": "bool",
    "tensor(string)": "object",
}
_NUMBERS = re.compile(r"tensor\((float|double|float16|u?int\d+|bool)\)")
#: Operators whose answer to a row depends, in its last bits, on how many rows there are.
_BY_SIZE = frozenset(
    {
        "Attention", "Conv", "Einsum", "Gemm", "LinearClassifier", "LinearRegressor", "MatMul",
        "SVMClassifier", "SVMRegressor",
    }
)  # fmt: skip
_LABELS = ("tensor(int64)", "tensor(string)")
_MAPS = re.compile(r"seq\(map\((int64|string),\s*tensor\((float|double)\)\)\)")


class OnnxRuntime(Runtime):
    """A model that answers each row by itself; what needs more than a row of features is refused.

    Where a model takes a fixed number of rows at once, the rest is filled up, in two ways.

    A model that multiplies matrices is run row by row, as a service that decides one at a time.
    Where a label and one number for each of two classes come out, the value is that of the second.
    """

    def __init__(self, data: bytes, library: str) -> None:
        try:
            self._file = read_model(data)
        except ValueError as error:
            raise ModelRefusedError(f"it is not a whole ONNX model: {brief(error)}") from error
        if self._file.external:
            raise ModelRefusedError(
                f"the data of {self._file.external[0] or 'a tensor'} lie in another file, which a"
                " model file that is stored by itself does not have",
                "Save it as one file, e.g. onnx.save(model, path, save_as_external_data=False).",
            )
        self._data = data
        self._version = str(onnxruntime.__version__)
        self._session = self._load()
        self._inputs = _Inputs(self._session.get_inputs(), self._file)
        self._output = _Output(self._session.get_outputs(), self._file, self._inputs.batch)
        alone = _BY_SIZE.intersection(self._file.operators)
        #: Rows that the session is given at once; any number where 0.
        self._step = self._inputs.batch or (1 if alone else 0)
        if self._output.width is None or self._output.is_map:
            self._probe()

    def describe(self) -> tuple[dict[str, Any], array[float]]:
        """The model's names, versions and classes; it has no cut points to tell."""
        file, inputs, output = self._file, self._inputs, self._output
        opsets = ", ".join(f"{name} {version}" for name, version in sorted(file.opsets.items()))
        written = f"; written by {file.producer}" if file.producer else ""
        description = {
            "features": inputs.features,
            "width": inputs.width,
            "objective": next(filter(_predicts, reversed(file.operators)), ""),
            "file_version": f"IR {file.ir_version}, {opsets}{written}",
            "runtime": f"onnxruntime {self._version}",
            "rounds": 0,
            "best_iteration": None,
            "cut_counts": [0] * inputs.width,
            "dtype": inputs.dtype,
            "score_dtype": output.dtype,
            "outputs": output.outputs,
            "texts": inputs.texts,
            "categories": {},
            "categorical": [],
            "classes": output.classes,
            "link": "",
            "kinds": ["value"],
        }
        return description, array("d")

    def predict(
        self,
        rows: array[float],
        count: int,
        kind: str,
        trees: int,
        threads: int,
        texts: Mapping[int, Sequence[str]],
    ) -> bytes:
        """The value of each row; a number that its input cannot hold exactly is refused."""
        if kind != "value":
            raise ModelRefusedError(f"an ONNX model gives no {kind}")
        if trees:
            raise ModelRefusedError("an ONNX model cannot be run with some of its trees")
        matrix = as_matrix(rows, count)
        short = -count % (self._inputs.batch or 1)
        if not short:
            return self._values(matrix, texts, threads)
        # Filled up with copies of the last row, and with a row that differs from it everywhere.
        copies = matrix[-1:].repeat(short, axis=0)
        others = (copies == 0).astype(matrix.dtype)
        others[:, self._inputs.texts] = 0
        size = count * self._output.outputs * array(self._output.dtype).itemsize
        found = [
            self._values(numpy.concatenate([matrix, rest]), texts, threads)
            for rest in (copies, others)
        ]
        if found[0][:size] != found[1][:size]:
            raise ModelRefusedError(
                f"the model takes {self._inputs.batch} rows at once, and its answer to one depends"
                " on the others"
            )
        return found[0][:size]

    def _values(self, matrix: Any, texts: Mapping[int, Sequence[str]], threads: int) -> bytes:
        count = len(matrix)
        feeds = self._inputs.feeds(matrix, texts)
        share = -(-count // threads)
        share += -share % (self._step or 1)
        parts = [(feeds, at, min(at + share, count)) for at in range(0, count, share)]
        if len(parts) == 1:
            values: bytes = self._numbers(*parts[0]).tobytes()
            return values
        from concurrent.futures import ThreadPoolExecutor

        with ThreadPoolExecutor(len(parts)) as pool:
            found = pool.map(lambda part: self._numbers(*part), parts)
            return b"".join(numbers.tobytes() for numbers in found)

    def _numbers(self, feeds: dict[str, Any], first: int, end: int) -> Any:
        """The values of some of the rows."""
        step = self._step or end - first
        found = []
        for at in range(first, end, step):
            part = {name: values[at : at + step] for name, values in feeds.items()}
            found.append(self._output.numbers(self._run(part), step))
        return numpy.concatenate(found)

    def _load(self) -> Any:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        options.use_deterministic_compute = True
        options.log_severity_level = 4
        try:
            return onnxruntime.InferenceSession(
                self._data, options, providers=["CPUExecutionProvider"]
            )
        except _ERRORS as error:
            raise self._refusal(str(error)) from error

    def _refusal(self, text: str) -> ModelRefusedError:
        newest = re.search(r"max supported IR version: (\d+)", text) or re.search(
            r"Current official support for domain \S+ is till opset (\d+)", text
        )
        if newest:
            what = "IR version" if "IR version" in newest[0] else "opset"
            opsets = ", ".join(f"{name} {at}" for name, at in sorted(self._file.opsets.items()))
            return ModelRefusedError(
                f"runtime older than the model: the file has IR version {self._file.ir_version} and"
                f" opsets {opsets}; onnxruntime {self._version} knows {what} {newest[1]}",
                "Install a later onnxruntime, or export the model for an earlier opset.",
            )
        return ModelRefusedError(f"onnxruntime {self._version} refused it: {_plain(text)}")

    def _run(self, feeds: dict[str, Any]) -> Any:
        try:
            (answer,) = self._session.run([self._output.name], feeds)
        except _ERRORS as error:
            raise ModelRefusedError(f"onnxruntime {self._version}: {_plain(error)}") from error
        return answer

    def _probe(self) -> None:
        """Asks a row of zeros how many numbers come out, and of which classes."""
        rows = self._inputs.batch or 1
        zeros = numpy.zeros((rows, self._inputs.width), dtype=self._inputs.dtype)
        answer = self._run(self._inputs.feeds(zeros, {at: [""] for at in self._inputs.texts}))
        self._output.learn(answer, rows)


class _Inputs:
    """How a row of features becomes the model's inputs.

    ``batch`` is the number of rows that it takes at once where that is fixed, else 0.
    """

    def __init__(self, inputs: Sequence[Any], file: OnnxFile) -> None:
        self._types = {}
        self.width = 0
        batches = set()
        for taken in inputs:
            shape = taken.shape
            if taken.type not in _INPUTS:
                raise _unusable(taken, f"is of type {taken.type}")
            if len(shape) not in (1, 2):
                raise _unusable(taken, f"has {len(shape)} dimensions")
            own = shape[1] if len(shape) == 2 else 1
            if not isinstance(own, int) and len(inputs) > 1:
                own = 1  # as converters of data frames leave it open
            if not isinstance(own, int):
                names = _names(file, None)
                if not names:
                    raise _unusable(
                        taken, "does not say how many features", "Export the model with them."
                    )
                own = len(names)
            if own != 1 and len(inputs) > 1:
                raise _unusable(taken, f"is one of {len(inputs)} and takes {own} features")
            if own < 1:
                raise _unusable(taken, "takes no feature")
            batches.add(shape[0] if isinstance(shape[0], int) else 0)
            self._types[taken.name] = (_INPUTS[taken.type], len(shape))
            self.width += own
        if not inputs:
            raise ModelRefusedError("the model takes no input")
        if len(batches) > 1:
            said = ", ".join(f"{taken.name} {_shape(taken)}" for taken in inputs)
            raise ModelRefusedError(f"its inputs do not have one value a row each: {said}")
        (self.batch,) = batches
        types = [kind for kind, _ in self._types.values()]
        #: One tensor of all features, or one of each.
        self.features = list(self._types) if self.width == len(inputs) else []
        self.features = _names(file, self.width) or self.features
        exact = {"float32", "object", "bool"}
        self.dtype = "f" if set(types) <= exact else "d"
        wide = types * self.width if len(types) == 1 else types
        self.texts = [at for at, kind in enumerate(wide) if kind == "object"]

    def feeds(self, matrix: Any, texts: Mapping[int, Sequence[str]]) -> dict[str, Any]:
        """Inputs by name for the rows of ``matrix``."""
        found, at = {}, 0
        single = len(self._types) == 1
        for name, (kind, dimensions) in self._types.items():
            own = self.width if single else 1
            columns = [
                self._column(matrix[:, place], kind, place, texts)
                for place in range(at, at + own if kind != "float32" else at)
            ]
            values = numpy.stack(columns, axis=1) if columns else matrix[:, at : at + own]
            values = numpy.ascontiguousarray(values, dtype=kind)
            found[name] = values[:, 0] if dimensions == 1 else values
            at += own
        return found

    def _column(self, values: Any, kind: str, at: int, texts: Mapping[int, Sequence[str]]) -> Any:
        if kind == "float64":
            return values
        name = self.features[at] if self.features else f"f{at}"
        if numpy.isnan(values).any():
            what = {"object": "text", "bool": "a boolean"}.get(kind, "a whole number")
            raise ModelRefusedError(
                f"feature {name} is missing; the model takes {what} that cannot be",
                "Record what the service gave to the model in its place.",
            )
        if kind == "object":
            if at not in texts:
                raise ModelRefusedError(f"feature {name} is a number; the model takes text")
            return numpy.array(texts[at], dtype=object)[values.astype(numpy.int64)]
        exact = values.astype(kind)
        if (exact != values).any():
            raise ModelRefusedError(f"feature {name} has a value that {kind} cannot hold")
        return exact


class _Output:
    """Which of the model's outputs is the value, and how it becomes numbers a row."""

    def __init__(self, outputs: Sequence[Any], file: OnnxFile, batch: int) -> None:
        maps = [given for given in outputs if _MAPS.fullmatch(given.type)]
        numbers = [given for given in outputs if _NUMBERS.fullmatch(given.type)]
        labels = [given for given in outputs if given.type in _LABELS]
        scores = [given for given in numbers if given not in labels]
        #: Whether a label comes out beside it, which makes it a classifier's.
        self._labelled = len(outputs) > 1
        if len(maps) == 1 and len(labels) == len(outputs) - 1 <= 1:
            (self._taken,) = maps
        elif len(scores) == 1 and len(labels) == len(outputs) - 1 <= 1:
            (self._taken,) = scores
        elif len(outputs) == 1 and numbers:
            (self._taken,) = numbers
        elif len(outputs) == 1:
            raise ModelRefusedError(
                f"output {outputs[0].name} is of type {outputs[0].type}; a score is a number"
            )
        else:
            said = ", ".join(f"{g.name} of type {g.type} {_shape(g)}" for g in outputs)
            raise ModelRefusedError(f"its outputs cannot be told apart: {said}")
        self.name = self._taken.name
        self.is_map = self._taken in maps
        self.dtype = "f" if re.search(r"float(16)?\)", self._taken.type) else "d"
        self._keys: list[Any] = []
        self._classes = list(file.labels)
        #: Numbers a row as the model gives them; None where the file does not say.
        self.width: int | None = None
        if not self.is_map:
            shape = self._taken.shape
            if len(shape) > 2 or not shape:
                raise ModelRefusedError(
                    f"output {self.name} has shape {_shape(self._taken)}; a row answers one number"
                    " or one for each class"
                )
            if isinstance(shape[0], int) and shape[0] != batch:
                raise ModelRefusedError(
                    f"output {self.name} has shape {_shape(self._taken)}, not one row for each of"
                    f" {batch or 'any number of'} rows"
                )
            width = shape[1] if len(shape) == 2 else 1
            self.width = width if isinstance(width, int) else None

    @property
    def _binary(self) -> bool:
        return (self._labelled or self.is_map) and self.width == 2

    @property
    def outputs(self) -> int:
        return 1 if self._binary else self.width or 1

    @property
    def classes(self) -> list[str]:
        names = [str(key) for key in self._keys] or self._classes
        return names if len(names) == self.width else []

    def learn(self, answer: Any, rows: int) -> None:
        """Takes the number of columns, and the classes of maps, from an answer."""
        if self.is_map:
            self._keys = list(answer[0])
            self.width = len(self._keys)
        else:
            self._check(answer, rows)
            self.width = answer.size // rows

    def numbers(self, answer: Any, rows: int) -> Any:
        """The value of each row, one number or one for each class."""
        if self.is_map:
            if len(answer) != rows or any(list(row) != self._keys for row in answer):
                raise ModelRefusedError(f"output {self.name} has other classes in another row")
            columns = self._keys[1:] if self._binary else self._keys
            return numpy.array([[row[key] for key in columns] for row in answer], dtype=self.dtype)
        self._check(answer, rows)
        answer = answer.reshape(rows, -1)
        if answer.shape[1] != self.width:
            raise ModelRefusedError(f"output {self.name} has another number of columns now")
        exact = numpy.ascontiguousarray(answer[:, 1:] if self._binary else answer, dtype=self.dtype)
        if answer.dtype.kind in "iu" and (numpy.abs(exact) > 2.0**53).any():
            raise ModelRefusedError(f"output {self.name} has a whole number above 2**53")
        return exact

    def _check(self, answer: Any, rows: int) -> None:
        if answer.ndim not in (1, 2) or answer.shape[0] != rows:
            raise ModelRefusedError(
                f"output {self.name} has shape {list(answer.shape)} for {rows} rows"
            )


def _names(file: OnnxFile, width: int | None) -> list[str]:
    """The features that the file's metadata names: a JSON list under ``feature_names``."""
    text = file.metadata.get("feature_names", "")
    if not text:
        return []
    try:
        names = json.loads(text)
    except ValueError:
        names = text.split(",")
    if not isinstance(names, list) or (width is not None and len(names) != width):
        raise ModelRefusedError(f"its metadata names other features than it takes: {text[:80]}")
    return [str(name).strip() for name in names]


def _plain(error: object) -> str:
    """What ONNX Runtime says, without its own numbers for it."""
    return brief(re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", str(error)))


def _predicts(operator: str) -> bool:
    return operator.endswith(("Classifier", "Regressor", "Ensemble"))


def _shape(taken: Any) -> str:
    return f"[{', '.join('?' if size is None else str(size) for size in taken.shape)}]"


def _unusable(taken: Any, why: str, todo: str = "") -> ModelRefusedError:
    return ModelRefusedError(
        f"input {taken.name} of shape {_shape(taken)} {why}; a decision is one row of features",
        todo,
    )
