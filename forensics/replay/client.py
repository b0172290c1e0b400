"""The parent's side of a model's child process: start it, ask it, and say how it died.

The child is started at once and waited for only when an answer is needed, so that loading the model
runs beside whatever the caller does meanwhile.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from array import array
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import IO, Any, NamedTuple

from forensics.errors import DependencyError, ReplayError
from forensics.replay.runtimes.interface import ModelRefusedError, detect

#: The child gets an empty ``forensics`` whose modules lie where ours do, since the real one imports
#: what only a user of the library needs; nothing is added to the child's path.
_START = (
    "import sys;a=sys.argv;m=type(sys)('forensics');m.__path__=[a[1]];sys.modules['forensics']=m;"
    "from forensics.replay.worker import main;main(a[2],a[3],a[4],int(a[5]),int(a[6]))"
)
_ROOT = str(Path(__file__).resolve().parents[1])


class ModelDescription(NamedTuple):
    """What a model file says about itself.

    ``features`` are in the model's order, and empty where the file names none; ``cuts`` has each
    feature's split points, ascending, exact float32: a value below one goes left.
    """

    features: tuple[str, ...]
    width: int
    objective: str
    file_version: str
    runtime: str
    rounds: int
    best_iteration: int | None
    cuts: tuple[array[float], ...]


#: A child has its processor time for life; one that was asked this often is replaced.
_USES_MAX = 500


class ModelWorker:
    """A model in a child process with limits. Use as a context manager, or call :meth:`close`.

    Args:
        model: path of the model file, whose bytes the caller has verified.
        memory_bytes: address space the child may use.
        cpu_s: processor seconds that the child may use in its life.
        timeout_s: longest wait for one answer.
        threads: threads for large batches; all processors where None.

    Raises:
        ReplayError: when the file is of a format that is never loaded, or cannot be read.
        DependencyError: when the library that runs such models is not installed.
    """

    def __init__(
        self,
        model: Path,
        *,
        memory_bytes: int = 4 << 30,
        cpu_s: int = 120,
        timeout_s: float = 60.0,
        threads: int | None = None,
    ) -> None:
        self._limit = f"{memory_bytes >> 20} MiB"
        self._cpu_s = cpu_s
        self._timeout_s = timeout_s
        self._threads = threads or os.cpu_count() or 1
        self._description: ModelDescription | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._buffer = bytearray()
        self._asked = 0
        try:
            with model.open("rb") as file:
                runtime = detect(file.read(64))
        except ModelRefusedError as error:
            raise _refused(error.reason, error.todo) from error
        except OSError as error:
            raise ReplayError(f"the file cannot be read: {error}") from error
        limits = [str(memory_bytes), str(cpu_s)]
        names = [_ROOT, runtime, find_library(runtime), str(model.resolve()), *limits]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", _START, *names],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                # An idle thread must sleep: spinning would take a processor from the parent.
                env={"OMP_WAIT_POLICY": "passive", "LC_ALL": "C"},
            )
        except OSError as error:
            raise ReplayError(f"no process can be started for it: {error}") from error
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            os.set_blocking(_pipe(stream).fileno(), False)
        for stream in (self._process.stdin, self._process.stdout):
            _enlarge(_pipe(stream).fileno())

    @property
    def usable(self) -> bool:
        """Whether the child runs, and has enough of its processor time left for one more use."""
        process = self._process
        return process is not None and process.poll() is None and self._asked < _USES_MAX

    def __enter__(self) -> ModelWorker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

    def describe(self) -> ModelDescription:
        """The model's description; waits until it is loaded.

        Raises:
            ReplayError: when the model was refused, or the child died or took too long.
        """
        if self._description is None:
            header, blocks = self._answer(time.monotonic() + self._timeout_s)
            flat: array[float] = array("f")
            flat.frombytes(blocks[0])
            cuts, start = [], 0
            for count in header.pop("cut_counts"):
                cuts.append(flat[start : start + count])
                start += count
            header["features"] = tuple(header["features"])
            self._description = ModelDescription(**header, cuts=tuple(cuts))
        return self._description

    def predict(
        self,
        rows: array[float],
        count: int,
        *,
        columns: Mapping[int, array[float]] | None = None,
        kinds: Sequence[str] = ("value",),
        trees: int = 0,
    ) -> tuple[array[float], ...]:
        """One float32 array for each of ``kinds``: ``value``, ``margin`` or ``contributions``.

        Args:
            rows: float32 features, row after row, NaN where missing; one row with ``columns``.
            count: number of rows.
            columns: by feature position, a float32 array of ``count`` values that replace those of
                the one row given.
            trees: boosting rounds to use; all where 0.

        Raises:
            ReplayError: as :meth:`describe`.
        """
        self._asked += 1
        width = self.describe().width
        expected = width if columns is not None else width * count
        if rows.typecode != "f" or len(rows) != expected:
            raise ValueError(f"expected {expected} float32 values, got {len(rows)}")
        if columns and any(len(values) != count for values in columns.values()):
            raise ValueError(f"every column needs {count} values")
        import json

        request = {
            "rows": count,
            "columns": None if columns is None else list(columns),
            "kinds": list(kinds),
            "trees": trees,
            "threads": self._threads,
        }
        deadline = time.monotonic() + self._timeout_s
        self._write(memoryview(json.dumps(request).encode() + b"\n"), deadline)
        for values in (rows, *(columns or {}).values()):
            self._write(memoryview(values).cast("B"), deadline)
        _, blocks = self._answer(deadline)
        found = []
        for block in blocks:
            values = array("f")
            values.frombytes(block)
            found.append(values)
        return tuple(found)

    def close(self) -> None:
        """Ends the child, whatever it is doing, and reaps it."""
        process, self._process = self._process, None
        if process is None:
            return
        process.kill()
        process.wait()
        for stream in (process.stdin, process.stdout, process.stderr):
            if stream is not None:
                stream.close()

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ReplayError("the model's process was closed")
        return self._process

    def _write(self, view: memoryview, deadline: float) -> None:
        stream = _pipe(self._running().stdin)
        while view:
            self._wait(stream.fileno(), select.POLLOUT, deadline)
            try:
                # A raw stream answers None when the pipe is full after all.
                view = view[stream.write(view) or 0 :]
            except BrokenPipeError:
                raise self._death() from None

    def _answer(self, deadline: float) -> tuple[dict[str, Any], list[bytes]]:
        import json

        while (end := self._buffer.find(b"\n")) < 0:
            self._read(deadline)
        header = json.loads(bytes(self._buffer[:end]))
        del self._buffer[: end + 1]
        blocks = []
        for size in header.pop("sizes"):
            while len(self._buffer) < size:
                self._read(deadline)
            blocks.append(bytes(self._buffer[:size]))
            del self._buffer[:size]
        if "refused" in header:
            raise _refused(header["refused"], header.get("todo", ""))
        return header, blocks

    def _read(self, deadline: float) -> None:
        stream = _pipe(self._running().stdout)
        self._wait(stream.fileno(), select.POLLIN, deadline)
        data = stream.read(1 << 20)
        if data == b"":
            raise self._death()
        self._buffer += data or b""

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left_ms = max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left_ms):
            self.close()
            raise ReplayError(f"the model gave no answer within {self._timeout_s:g} s")

    def _death(self) -> ReplayError:
        """What became of the child, from its exit status and the last it said."""
        process = self._running()
        try:
            code = process.wait(timeout=5)
        except subprocess.TimeoutExpired:
            code = 0
        said = _pipe(process.stderr).read()
        self.close()
        text = (said or b"").decode(errors="replace")
        if "bad_alloc" in text or "MemoryError" in text:
            return ReplayError(f"it needs more than the {self._limit} it may use")
        if code >= 0:
            last = (text.strip().splitlines() or ["nothing"])[-1][:200]
            return ReplayError(f"the model's process ended with status {code}, saying: {last}")
        import signal

        name = signal.Signals(-code).name
        if name == "SIGXCPU":
            return ReplayError(f"running it took more than the {self._cpu_s} processor seconds")
        return ReplayError(
            f"the model's process was killed by {name} (some files crash what loads them)"
        )


class Workers:
    """Model processes that are used again: loading a model costs more than asking it. Thread-bound.

    Args:
        most: how many are kept running; the one unused for longest is ended first.
    """

    def __init__(self, most: int = 4) -> None:
        self._most = most
        self._running: dict[Path, ModelWorker] = {}

    def borrow(self, model: Path) -> ModelWorker:
        """The process for ``model``, started where none is running.

        Raises:
            ReplayError: as :class:`ModelWorker`.
        """
        worker = self._running.pop(model, None)
        if worker is None or not worker.usable:
            worker = ModelWorker(model)
        self._running[model] = worker  # the youngest stands last
        if len(self._running) > self._most:
            self._running.pop(next(iter(self._running))).close()
        return worker

    def close(self) -> None:
        """End them all."""
        while self._running:
            self._running.popitem()[1].close()


def _refused(reason: str, todo: str) -> ReplayError:
    return ReplayError(f"{reason}." if todo else reason, todo=todo)


def _enlarge(descriptor: int) -> None:
    """Makes a pipe hold 1 MiB where the system can: a batch then needs few turns between us."""
    import fcntl

    command = getattr(fcntl, "F_SETPIPE_SZ", None)
    if command is not None:
        with suppress(OSError):
            fcntl.fcntl(descriptor, command, 1 << 20)


def _pipe(stream: IO[bytes] | None) -> IO[bytes]:
    if stream is None:
        raise ReplayError("the model's process has no pipes")
    return stream


def find_library(runtime: str) -> str:
    """Path of the shared library of ``runtime``, found without importing its Python package.

    Raises:
        DependencyError: when it is not installed.
    """
    from importlib.util import find_spec

    spec = find_spec(runtime)
    for place in (spec.submodule_search_locations or ()) if spec else ():
        for name in ("lib/libxgboost.so", "lib/libxgboost.dylib"):
            path = Path(place) / name
            if path.exists():
                return str(path)
    raise DependencyError(
        f"The {runtime} library is not installed here.",
        "A model is run by the library that made it.",
        "pip install 'decision-forensics[models]'",
    )
