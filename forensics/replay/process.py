"""A child process with limits that answers messages: start it, ask it, and say how it died.

The child is started at once and waited for only when an answer is needed, so that loading a model
runs beside whatever the caller does meanwhile.
"""

from __future__ import annotations

import os
import select
import subprocess
import sys
import time
from array import array
from collections.abc import Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Self

from forensics.errors import ReplayError

#: The child gets an empty ``forensics`` whose modules lie where ours do, since the real one imports
#: what only a user of the library needs; nothing is added to the child's path.
START = (
    "import sys;a=sys.argv;m=type(sys)('forensics');m.__path__=[a[1]];sys.modules['forensics']=m;"
    "from forensics.replay.worker import main;main(a[2],a[3],a[4],int(a[5]),int(a[6]))"
)
ROOT = str(Path(__file__).resolve().parents[1])

#: A child has its processor time for life; one that was asked this often is replaced.
_USES_MAX = 500

#: A message's line of JSON; what it says could else take all memory here.
_LINE_BYTES_MAX = 64 << 20

#: An idle thread must sleep: spinning would take a processor from the parent. Heaps and buffers per
#: thread would fill the address space that the child may use.
_ENVIRONMENT = {
    "OMP_WAIT_POLICY": "passive",
    "LC_ALL": "C",
    "MALLOC_ARENA_MAX": "4",
    "OPENBLAS_NUM_THREADS": "1",
}
#: Passed on where set: how matrices are multiplied on this processor decides a product's last bits.
_PROCESSOR = ("NPY_DISABLE_CPU_FEATURES", "OPENBLAS_CORETYPE")


class Child:
    """A file in a child process with limits. Use as a context manager, or call :meth:`close`.

    Args:
        file: path of the file that the child loads, whose bytes the caller has verified.
        runtime: what loads it: see :mod:`forensics.replay.worker`.
        library: what ``runtime`` needs to be found: see
            :func:`forensics.replay.libraries.find_library`.
        memory_bytes: address space the child may use.
        cpu_s: processor seconds that the child may use in its life.
        timeout_s: longest wait for one answer.

    Raises:
        ReplayError: when no process can be started.
    """

    #: What the child runs, as messages say it.
    what = "the file"

    _process: subprocess.Popen[bytes] | None = None

    def __init__(
        self,
        file: Path,
        runtime: str,
        library: str,
        *,
        memory_bytes: int,
        cpu_s: int,
        timeout_s: float,
    ) -> None:
        self._limit = f"{memory_bytes >> 20} MiB"
        self._cpu_s = cpu_s
        self._timeout_s = timeout_s
        self._buffer = bytearray()
        self._asked = 0
        self._waiting = False
        names = [ROOT, runtime, library, str(file.resolve()), str(memory_bytes), str(cpu_s)]
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-I", "-S", "-c", START, *names],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                bufsize=0,
                env=_ENVIRONMENT | {n: os.environ[n] for n in _PROCESSOR if n in os.environ},
            )
        except OSError as error:
            raise ReplayError(f"no process can be started for it: {error}") from error
        for stream in (self._process.stdin, self._process.stdout, self._process.stderr):
            os.set_blocking(_pipe(stream).fileno(), False)
        for stream in (self._process.stdin, self._process.stdout):
            _enlarge(_pipe(stream).fileno())

    @property
    def usable(self) -> bool:
        """Whether the child runs, owes no answer, and has processor time for one more use."""
        process = self._process
        if process is None or self._waiting or self._asked >= _USES_MAX:
            return False
        return process.poll() is None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        self.close()

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

    def _ask(
        self, request: Mapping[str, Any], blocks: Iterable[memoryview] = (), codes: str = ""
    ) -> tuple[dict[str, Any], list[array[Any]]]:
        """The child's answer to ``request``, which ``blocks`` of bytes follow.

        ``codes`` are the types of the answer's blocks: one for each, or one for all.

        Raises:
            ReplayError: when the child refused, died or took too long.
        """
        import json

        self._asked += 1
        if self._waiting:  # an interrupt left an answer behind, which would be taken for this one
            self.close()
        deadline = time.monotonic() + self._timeout_s
        self._waiting = True
        self._write(memoryview(json.dumps(request).encode() + b"\n"), deadline)
        for block in blocks:
            self._write(block, deadline)
        answer = self._answer(codes, deadline)
        self._waiting = False
        return answer

    def _greeting(self, codes: str) -> tuple[dict[str, Any], list[array[Any]]]:
        """What the child says when it has loaded the file."""
        self._waiting = True
        answer = self._answer(codes, time.monotonic() + self._timeout_s)
        self._waiting = False
        return answer

    def _answer(self, codes: str, deadline: float) -> tuple[dict[str, Any], list[array[Any]]]:
        import json

        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0:
            searched = len(self._buffer)
            if len(self._buffer) > _LINE_BYTES_MAX:
                self.close()
                raise ReplayError(f"{self.what} answers with more than {_LINE_BYTES_MAX >> 20} MiB")
            self._buffer += self._read(1 << 16, deadline)
        header = json.loads(bytes(self._buffer[:end]))
        del self._buffer[: end + 1]
        if "refused" in header:
            self._waiting = False
            raise refused(header["refused"], header.get("todo", ""))
        sizes = header.pop("sizes")
        blocks = []
        for code, size in zip(codes * len(sizes) if len(codes) == 1 else codes, sizes, strict=True):
            block: array[Any] = array(code, bytes(array(code).itemsize))
            block *= size // block.itemsize
            view = memoryview(block).cast("B")
            early = min(size, len(self._buffer))
            view[:early] = self._buffer[:early]
            del self._buffer[:early]
            self._fill(view[early:], deadline)
            blocks.append(block)
        return header, blocks

    def _fill(self, view: memoryview, deadline: float) -> None:
        stream = _pipe(self._running().stdout)
        while view:  # in place: a large answer is not held twice
            self._wait(stream.fileno(), select.POLLIN, deadline)
            # A raw stream, which has readinto, answers None when the pipe is empty after all.
            got = stream.readinto(view)  # type: ignore[attr-defined]
            if got == 0:
                raise self._death()
            view = view[got or 0 :]

    def _read(self, size: int, deadline: float) -> bytes:
        stream = _pipe(self._running().stdout)
        self._wait(stream.fileno(), select.POLLIN, deadline)
        data = stream.read(size)
        if data == b"":
            raise self._death()
        return data or b""

    def _write(self, view: memoryview, deadline: float) -> None:
        stream = _pipe(self._running().stdin)
        while view:
            self._wait(stream.fileno(), select.POLLOUT, deadline)
            try:
                view = view[stream.write(view) or 0 :]
            except BrokenPipeError:
                raise self._death() from None

    def _running(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise ReplayError(f"{self.what}'s process was closed")
        return self._process

    def _wait(self, descriptor: int, event: int, deadline: float) -> None:
        poll = select.poll()
        poll.register(descriptor, event)
        left_ms = max(0.0, deadline - time.monotonic()) * 1000
        if not poll.poll(left_ms):
            self.close()
            raise ReplayError(f"{self.what} gave no answer within {self._timeout_s:g} s")

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
        if any(word in text for word in ("bad_alloc", "MemoryError", "memory allocation of")):
            return ReplayError(f"it needs more than the {self._limit} it may use")
        if code >= 0:
            last = (text.strip().splitlines() or ["nothing"])[-1][:200]
            return ReplayError(f"{self.what}'s process ended with status {code}, saying: {last}")
        import signal

        name = signal.Signals(-code).name
        if name == "SIGXCPU":
            return ReplayError(f"running it took more than the {self._cpu_s} processor seconds")
        return ReplayError(
            f"{self.what}'s process was killed by {name} (some files crash what loads them)"
        )


def refused(reason: str, todo: str = "") -> ReplayError:
    """The error for a file that will not be run here, or a request that cannot be answered."""
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
        raise ReplayError("the process has no pipes")
    return stream
