"""The child process that runs one model: some model files crash whatever loads them.

Started by :mod:`forensics.replay.client` as ``python -I -S``, it limits itself, loads the model,
says what it is, and answers until its input ends. A message is one line of JSON, whose ``sizes``
are the bytes of the native float32 blocks that follow it.
"""

from __future__ import annotations

import json
import os
from array import array

from forensics.replay.runtimes.interface import ModelRefusedError, Runtime

TYPE_CHECKING = False
if TYPE_CHECKING:
    from io import BufferedReader
    from typing import Any, BinaryIO

#: Below this many rows a second thread costs more than it brings.
_THREADED_ROWS_MIN = 2_000


def main(runtime: str, library: str, model: str, memory_bytes: int, cpu_s: int) -> None:
    """Serves the model at path ``model`` on standard input and output until the input ends."""
    # The library may print; what it prints must not end up between two messages.
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    os.set_blocking(2, False)
    try:
        _limit(memory_bytes, cpu_s)
        with open(model, "rb") as file:  # noqa: PTH123 - importing pathlib costs 5 ms
            loaded = _load(runtime, file.read(), library)
        description, cuts = loaded.describe()
        _send(answers, description, [cuts.tobytes()])
    except ModelRefusedError as error:
        _send(answers, {"refused": error.reason, "todo": error.todo})
        return
    except MemoryError:
        _send(answers, {"refused": _out_of_memory(memory_bytes)})
        return
    except OSError as error:
        _send(answers, {"refused": f"the file cannot be read: {error}"})
        return
    with os.fdopen(0, "rb", closefd=False) as requests:
        _serve(loaded, description["width"], requests, answers, memory_bytes)


def _serve(
    model: Runtime, width: int, requests: BufferedReader, answers: BinaryIO, memory_bytes: int
) -> None:
    while line := requests.readline():
        try:
            request = json.loads(line)
            count = request["rows"]
            rows = _rows(request, width, requests)
            threads = request["threads"] if count >= _THREADED_ROWS_MIN else 1
            blocks = [
                model.predict(rows, count, kind, request["trees"], threads)
                for kind in request["kinds"]
            ]
        except ModelRefusedError as error:
            _send(answers, {"refused": error.reason, "todo": error.todo})
        except MemoryError:
            _send(answers, {"refused": _out_of_memory(memory_bytes)})
            return
        else:
            _send(answers, {}, blocks)


def _rows(request: Any, width: int, requests: BufferedReader) -> array[float]:
    """The matrix, row after row: as sent, or the one base row with whole columns replaced."""
    columns, count = request["columns"], request["rows"]
    if columns is None:
        return _block(requests, width * count)
    rows: array[float] = _block(requests, width) * count
    for column in columns:
        rows[column::width] = _block(requests, count)
    return rows


def _block(requests: BufferedReader, count: int) -> array[float]:
    block: array[float] = array("f", [0.0])
    block *= count
    view = memoryview(block).cast("B")
    while view:  # in place: a large batch is not held twice
        got = requests.readinto(view)
        if not got:
            raise EOFError("the request is cut short")
        view = view[got:]
    return block


def _load(runtime: str, data: bytes, library: str) -> Runtime:
    if runtime != "xgboost":
        raise ModelRefusedError(f"no runtime is called {runtime}")
    from forensics.replay.runtimes.xgboost import XGBoostRuntime

    return XGBoostRuntime(data, library)


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


def _send(answers: BinaryIO, header: dict[str, Any], blocks: list[bytes] | None = None) -> None:
    sizes = [len(block) for block in blocks or ()]
    answers.write(json.dumps({**header, "sizes": sizes}).encode() + b"\n")
    for block in blocks or ():
        answers.write(block)
    answers.flush()
