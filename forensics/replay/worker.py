"""The child process that runs one model or rule set: some files crash whatever loads them.

Started by :mod:`forensics.replay.process` as ``python -I -S``, it limits itself, loads the file,
says what it is, and answers until its input ends. A message is one line of JSON, whose ``sizes``
are the bytes of the native blocks that follow it.
"""

from __future__ import annotations

import json
import os
import sys
from array import array

from forensics.replay.runtimes.interface import ModelRefusedError, RuleRuntime, Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from io import BufferedReader
    from typing import Any, BinaryIO, TypeAlias

    Block: TypeAlias = bytes | memoryview | array[Any]
    Answer: TypeAlias = tuple[dict[str, Any], Sequence[Block]]

#: Below this many rows a second thread costs more than it brings.
_THREADED_ROWS_MIN = 2_000

#: The class of each runtime, in the module of its name; each is imported where it is needed only.
_MODELS = {
    "xgboost": "XGBoostRuntime",
    "lightgbm": "LightGBMRuntime",
    "linear": "LinearRuntime",
    "catboost": "CatBoostRuntime",
    "onnx": "OnnxRuntime",
    "sklearn": "SklearnRuntime",
}
_RULES = {"zen": "ZenRuntime", "cel": "CelRuntime"}


def main(runtime: str, library: str, path: str, memory_bytes: int, cpu_s: int) -> None:
    """Serves the file at ``path`` on standard input and output until the input ends."""
    # The library may print; what it prints must not end up between two messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.set_blocking(2, False)
    try:
        load = _class(runtime, library)
        _limit(memory_bytes, cpu_s)
        with open(path, "rb") as file:  # noqa: PTH123 - importing pathlib costs 5 ms
            loaded = load(file.read(), library)
        served = _Rules(loaded) if isinstance(loaded, RuleRuntime) else _Model(loaded)
        _send(answers, *served.greeting)
    except ModelRefusedError as error:
        _send(answers, {"refused": error.reason, "todo": error.todo})
        return
    except ImportError as error:
        _send(answers, {"refused": f"its library cannot be loaded: {error}"})
        return
    except MemoryError:
        _send(answers, {"refused": _out_of_memory(memory_bytes)})
        return
    except OSError as error:
        _send(answers, {"refused": f"the file cannot be read: {error}"})
        return
    with os.fdopen(0, "rb", closefd=False) as requests:
        while line := requests.readline():
            try:
                answer = served.answer(json.loads(line), requests)
            except ModelRefusedError as error:
                _send(answers, {"refused": error.reason, "todo": error.todo})
            except MemoryError:
                _send(answers, {"refused": _out_of_memory(memory_bytes)})
                return
            else:
                _send(answers, *answer)


class _Model:
    def __init__(self, model: Runtime) -> None:
        self._model = model
        description, cuts = model.describe()
        self._width = description["width"]
        self._dtype = description["dtype"]
        self._memory: array[float] = array(self._dtype)
        self.greeting: Answer = (description, [cuts])

    def answer(self, request: dict[str, Any], requests: BufferedReader) -> Answer:
        if request["ask"] == "ensemble":
            return self._model.ensemble(request["trees"])
        count = request["rows"]
        rows = self._rows(request, requests)
        threads = request["threads"] if count >= _THREADED_ROWS_MIN else 1
        texts = {int(at): values for at, values in request["texts"].items()}
        trees = request["trees"]
        return {}, [
            self._model.predict(rows, count, kind, trees, threads, texts)
            for kind in request["kinds"]
        ]

    def _rows(self, request: dict[str, Any], requests: BufferedReader) -> array[float]:
        """The matrix, row after row: as sent, or the one base row with whole columns replaced."""
        columns, count, width = request["columns"], request["rows"], self._width
        if columns is None:
            # New pages cost as much as filling them, and most requests are of the same size.
            if len(self._memory) != width * count:
                self._memory = _zeros(self._dtype, width * count)
            return _fill(requests, self._memory)
        rows: array[float] = _block(requests, self._dtype, width) * count
        for column in columns:
            rows[column::width] = _block(requests, self._dtype, count)
        return rows


class _Rules:
    def __init__(self, rules: RuleRuntime) -> None:
        self._rules = rules
        self.greeting: Answer = (rules.describe(), ())

    def answer(self, request: dict[str, Any], _: BufferedReader) -> Answer:
        return {"answers": self._rules.evaluate(request["rows"])}, ()


def _block(requests: BufferedReader, dtype: str, count: int) -> array[float]:
    return _fill(requests, _zeros(dtype, count))


def _zeros(dtype: str, count: int) -> array[float]:
    return array(dtype, [0.0]) * count


def _fill(requests: BufferedReader, block: array[float]) -> array[float]:
    view = memoryview(block).cast("B")
    while view:  # in place: a large batch is not held twice
        got = requests.readinto(view)
        if not got:
            raise EOFError("the request is cut short")
        view = view[got:]
    return block


def _class(runtime: str, library: str) -> Callable[[bytes, str], Runtime | RuleRuntime]:
    name = _MODELS.get(runtime) or _RULES.get(runtime)
    if name is None:
        raise ModelRefusedError(f"no runtime is called {runtime}")
    if library and not library.endswith((".so", ".dylib")):
        sys.path += library.split(os.pathsep)
    module = __import__(f"forensics.replay.runtimes.{runtime}", fromlist=[name])
    found: Callable[[bytes, str], Runtime | RuleRuntime] = getattr(module, name)
    return found


def _limit(memory_bytes: int, cpu_s: int) -> None:
    import resource

    wanted = (
        ("RLIMIT_AS", memory_bytes),
        ("RLIMIT_CPU", cpu_s),
        ("RLIMIT_CORE", 0),
        ("RLIMIT_FSIZE", 0),
    )
    for name, limit in wanted:
        kind = getattr(resource, name, None)
        if kind is None:
            continue
        hard = resource.getrlimit(kind)[1]
        if hard != resource.RLIM_INFINITY and limit >= hard:
            continue
        # At the hard limit of processor time comes SIGKILL, which would not say why.
        above = limit + 1 if name == "RLIMIT_CPU" else limit
        try:
            resource.setrlimit(kind, (limit, above))
        except (OSError, ValueError):  # macOS refuses RLIMIT_AS
            continue


def _out_of_memory(memory_bytes: int) -> str:
    return f"it needs more than the {memory_bytes >> 20} MiB it may use"


def _send(answers: BinaryIO, header: dict[str, Any], blocks: Sequence[Block] = ()) -> None:
    views = [memoryview(block).cast("B") for block in blocks]
    sizes = [view.nbytes for view in views]
    answers.write(json.dumps({**header, "sizes": sizes}).encode() + b"\n")
    for view in views:
        answers.write(view)
    answers.flush()
