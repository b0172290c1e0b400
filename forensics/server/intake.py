"""From requests to the spool: checked in groups, synced in groups, each by one thread.

While one group is checked or synced the next gathers, so that under load many requests share one
check and one sync, and a lonely one waits for nobody.
"""

from __future__ import annotations

import asyncio
import gc
import time
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from forensics.ingest import quarantine
from forensics.ingest.interface import Reject
from forensics.server.bodies import BrokenDocument, Numbered, decompressed, records_of
from forensics.server.check import Checker, Door, Verdict
from forensics.server.refusal import Refusal
from forensics.server.spool import Spool

#: Beyond this a larger group shares no more cost and only makes its first request wait.
_GROUP_BYTES_MAX = 1 << 20
#: A few events are judged in less time than it takes to hand them to another thread.
_AT_ONCE_BYTES_MAX = {"identity": 16 << 10, "gzip": 4 << 10, "zstd": 0}
#: After a failed write the spool counts as broken for so long, unless a write succeeds.
BROKEN_SECONDS = 5.0


@dataclass(slots=True)
class _Request:
    door: Door
    body: bytes
    encoding: str
    lines: bool
    bytes_max: int
    answer: asyncio.Future[Verdict]


class Intake:
    """Makes records durable. All methods belong to the event loop's thread.

    Args:
        root: the lake.
        checker: tells what is wrong with records.
        spool: where they go.
        closed: called when a spool file can be landed.
        batch_seconds: after which the spool wants a file closed.
    """

    def __init__(
        self,
        root: Path,
        checker: Checker,
        spool: Spool,
        closed: Callable[[], None],
        batch_seconds: float,
    ) -> None:
        self._root, self._checker, self._spool, self._closed = root, checker, spool, closed
        self._batch_seconds = batch_seconds
        self._check_thread = ThreadPoolExecutor(1, "check")
        self._sync_thread = ThreadPoolExecutor(1, "sync")
        self._unchecked: deque[_Request] = deque()
        self._unsynced: list[tuple[_Request, Verdict]] = []
        self._checking = self._syncing = False
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False
        self._broken_at: float | None = None
        self.why_broken = ""

    @property
    def broken(self) -> bool:
        """Whether the disk has just refused a write."""
        return self._broken_at is not None and time.monotonic() - self._broken_at < BROKEN_SECONDS

    async def take(
        self, door: Door, body: bytes, *, encoding: str, lines: bool, bytes_max: int
    ) -> Verdict:
        """Take one request's records; when this returns, they are durable.

        Raises:
            Refusal: when the body cannot be read.
            OSError: when the disk does not take them; then none of them is acknowledged.
        """
        answer: asyncio.Future[Verdict] = asyncio.get_running_loop().create_future()
        request = _Request(door, body, encoding, lines, bytes_max, answer)
        if door.of_events and len(body) <= _AT_ONCE_BYTES_MAX[encoding]:
            (found,) = self._check([request])
            self._judged([(request, found)])
            return await answer
        self._unchecked.append(request)
        if not self._checking:
            self._check_next()
        return await answer

    async def close(self) -> None:
        """Close all files of the spool; no request may be under way."""
        self._ended = True
        if self._timer is not None:
            self._timer.cancel()
        loop = asyncio.get_running_loop()
        await loop.run_in_executor(
            self._sync_thread, lambda: self._spool.close_due(all_of_them=True)
        )
        self._check_thread.shutdown()
        self._sync_thread.shutdown()
        self._closed()

    def _check_next(self) -> None:
        group = [self._unchecked.popleft()]
        size = len(group[0].body)
        while self._unchecked and size < _GROUP_BYTES_MAX:
            group.append(self._unchecked.popleft())
            size += len(group[-1].body)
        self._checking = True
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(self._check_thread, self._check, group)
        job.add_done_callback(lambda done: self._checked(group, done))

    def _check(self, group: list[_Request]) -> list[Verdict | Exception]:
        """A verdict, or why there is none, for each request. Touches nothing of the loop's."""
        found: dict[int, Verdict | Exception] = {}
        by_door: dict[Door, list[tuple[int, list[Numbered]]]] = {}
        for place, request in enumerate(group):
            try:
                text = decompressed(request.body, request.encoding, request.bytes_max)
                records = records_of(text, lines=request.lines)
            except BrokenDocument as broken:
                quarantine.keep(
                    self._root, f"POST {request.door.path}", [Reject(1, broken.reason, broken.raw)]
                )
                found[place] = broken
            except Refusal as refusal:
                found[place] = refusal
            else:
                by_door.setdefault(request.door, []).append((place, records))
        # Many small objects without cycles: collecting them only costs.
        gc.disable()
        try:
            for door, requests in by_door.items():
                verdicts = self._checker.check(door, [records for _, records in requests])
                for (place, _), verdict in zip(requests, verdicts, strict=True):
                    found[place] = verdict
        finally:
            gc.enable()
        return [found[place] for place in range(len(group))]

    def _checked(
        self, group: list[_Request], job: asyncio.Future[list[Verdict | Exception]]
    ) -> None:
        self._checking = False
        if self._unchecked:
            self._check_next()
        if (error := job.exception()) is not None:
            for request in group:
                _fail(request, error)
            return
        self._judged(zip(group, job.result(), strict=True))

    def _judged(self, group: Iterable[tuple[_Request, Verdict | Exception]]) -> None:
        for request, found in group:
            if isinstance(found, Exception):
                _fail(request, found)
            elif found.lines:
                self._unsynced.append((request, found))
            else:
                _answer(request, found)
        if self._unsynced and not self._syncing:
            # After those requests that have come in the same moment: they share the sync.
            self._syncing = True
            asyncio.get_running_loop().call_soon(self._sync_next)

    def _sync_next(self) -> None:
        group, self._unsynced = self._unsynced, []
        lines: dict[str, list[bytes]] = {}
        for request, verdict in group:
            lines.setdefault(request.door.folder, []).extend(verdict.lines)
        self._syncing = True
        loop = asyncio.get_running_loop()
        job = loop.run_in_executor(self._sync_thread, self._spool.append, lines)
        job.add_done_callback(lambda done: self._synced(group, done))

    def _synced(self, group: list[tuple[_Request, Verdict]], job: asyncio.Future[bool]) -> None:
        self._syncing = False
        error = job.exception()
        for request, verdict in group:
            if error is None:
                _answer(request, verdict)
            else:
                _fail(request, error)
        if isinstance(error, OSError):
            self._break(error)
        elif error is None:
            self._broken_at = None
            if job.result():
                self._closed()
        self._watch(self._batch_seconds)
        if self._unsynced:
            self._sync_next()

    def _watch(self, seconds: float) -> None:
        """See to it that open files are closed in time, also when nothing more comes."""
        if self._timer is None and not self._ended:
            self._timer = asyncio.get_running_loop().call_later(seconds, self._close_due)

    def _close_due(self) -> None:
        job = asyncio.get_running_loop().run_in_executor(self._sync_thread, self._spool.close_due)
        job.add_done_callback(self._closed_due)

    def _closed_due(self, job: asyncio.Future[tuple[bool, float | None]]) -> None:
        self._timer = None
        error = job.exception()
        if isinstance(error, OSError):  # its file is an orphan now, and adopted as one
            self._break(error)
            return
        some, next_s = job.result()
        if some:
            self._closed()
        if next_s is not None:
            self._watch(next_s)

    def _break(self, error: OSError) -> None:
        self._broken_at, self.why_broken = time.monotonic(), f"{error.strerror or error}."


def _answer(request: _Request, verdict: Verdict) -> None:
    if not request.answer.done():
        request.answer.set_result(verdict)


def _fail(request: _Request, error: BaseException) -> None:
    if not request.answer.done():
        request.answer.set_exception(error)
