"""The application: who may, how much, and what is answered."""

from __future__ import annotations

import asyncio
import math
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from forensics.records.jsontext import dumps
from forensics.server import metrics, spool, tokens
from forensics.server.bodies import encoding_of, is_lines
from forensics.server.check import DOORS, Door, Verdict
from forensics.server.intake import Intake
from forensics.server.lander import Lander
from forensics.server.metrics import Metrics
from forensics.server.refusal import Refusal, later, too_large
from forensics.server.settings import Settings
from forensics.server.spool import Spool
from forensics.server.tokens import Token

#: An answer names so many records that were not taken, and counts the others.
REJECTED_SHOWN_MAX = 100
#: How old what is known of the disk may be.
_LOOK_SECONDS = 1.0


class Server:
    """The parts of one server, and what its addresses answer.

    Args:
        root: the lake.
        settings: its limits.
        senders: who may send; none where everyone on the loopback address may.
        intake: takes records.
        files: what the intake writes to.
        lander: takes files into the lake.
        say: takes lines for a person.
    """

    def __init__(
        self,
        root: Path,
        settings: Settings,
        senders: Sequence[Token],
        *,
        intake: Intake,
        files: Spool,
        lander: Lander,
        say: Callable[[str], None],
    ) -> None:
        self._root, self._settings, self._senders, self._say = root, settings, senders, say
        self._anyone = tokens.anyone(settings.records_per_second)
        self._intake, self._files, self._lander = intake, files, lander
        self.metrics = Metrics()
        self._under_way = 0
        self._held_bytes = 0
        self._backlog = spool.Backlog(0, 0, 0.0)
        self._writable = True
        self._looked_at = -math.inf

    def application(self) -> Starlette:
        """The ASGI application."""
        routes = [
            Route(door.path, partial(self._receive, door), methods=["POST"]) for door in DOORS
        ]
        for path, answer in (
            ("/health", self._health),
            ("/ready", self._ready),
            ("/metrics", self._metrics),
        ):
            routes.append(Route(path, answer, methods=["GET"]))
        return Starlette(
            routes=routes,
            exception_handlers={HTTPException: _http_error, Exception: _own_error},
            lifespan=self._lifespan,
        )

    @asynccontextmanager
    async def _lifespan(self, _: Starlette) -> AsyncIterator[None]:
        yield
        await self._intake.close()

    async def _health(self, _: Request) -> Response:
        return _json(200, {"status": "live"})

    async def _ready(self, _: Request) -> Response:
        try:
            self._check_ready()
        except Refusal as refusal:
            return _json(refusal.status, refusal.body(), refusal.headers)
        return _json(200, {"status": "ready"})

    def _check_ready(self) -> None:
        """Raise a Refusal with status 503 while records cannot be made durable."""
        if self._intake.broken:
            raise later(503, "The spool cannot be written.", self._intake.why_broken, 5)
        now = time.monotonic()
        if now - self._looked_at > _LOOK_SECONDS:
            self._looked_at = now
            self._backlog = spool.backlog(self._root)
            lake = self._root / "lake.toml"
            self._writable = lake.is_file() and os.access(self._root, os.W_OK)
        waiting = self._backlog
        if waiting.bytes >= self._settings.spool_bytes_max:
            why = f"{waiting.files:,} files of {waiting.bytes >> 20:,} MB wait for the lake."
            raise later(503, "The spool is full.", why, 10)
        if not self._writable:
            raise later(503, "The lake cannot be written.", "", 10)

    async def _metrics(self, request: Request) -> Response:
        try:
            self._sender(request).admit("metrics")
        except Refusal as refusal:
            return _json(refusal.status, refusal.body(), refusal.headers)
        return Response("\n".join(self._metric_lines()) + "\n", media_type=metrics.CONTENT_TYPE)

    def _metric_lines(self) -> list[str]:
        waiting, landed = spool.backlog(self._root), self._lander.totals
        lines = list(self.metrics.lines())
        for name, words, level in (
            ("requests_under_way", "Requests with a body, not answered yet.", self._under_way),
            ("held_bytes", "Bytes of bodies in memory.", self._held_bytes),
            ("spool_files", "Files that wait for the lake.", waiting.files),
            ("spool_bytes", "Bytes that wait for the lake.", waiting.bytes),
            ("spool_oldest_seconds", "Age of the oldest file.", round(waiting.oldest_s, 3)),
        ):
            lines += metrics.gauge(f"forensics_{name}", words, level)
        for name, words, count in (
            ("syncs", "Syncs of spool files.", self._files.syncs),
            ("sync_seconds", "Time of those syncs.", self._files.sync_seconds),
            ("landed_files", "Spool files taken into the lake.", landed.files),
            ("landed_records", "Records that came into the lake.", landed.records),
            ("landed_already_present", "Records that were there before.", landed.already_present),
            ("landed_quarantined", "Records sent to quarantine.", landed.quarantined),
            ("landing_seconds", "Time of all landings.", landed.seconds),
            ("landing_failures", "Landings that failed; each is tried again.", landed.failures),
            ("landing_restarts", "Landing processes that died.", landed.restarts),
        ):
            lines += metrics.counter(f"forensics_{name}_total", words, [({}, count)])
        return lines

    def _sender(self, request: Request) -> Token:
        if self._senders:
            return tokens.find(self._senders, request.headers.get("authorization"))
        if "origin" in request.headers:
            # A page in a browser on this machine could write evidence otherwise.
            raise Refusal(
                403,
                "Browsers may not send here.",
                "The request has an Origin, and this server asks for no token.",
                "Start it with --tokens.",
            )
        return self._anyone

    async def _receive(self, door: Door, request: Request) -> Response:
        began = time.perf_counter()
        sender: Token | None = None
        try:
            sender = self._sender(request)
            sender.admit(door.scope)
            verdict = await self._take(door, request)
            sender.bucket.take(verdict.taken + len(verdict.rejected))
            response = _verdict(verdict)
            self.metrics.taken[door.path] += verdict.taken
            self.metrics.rejected[door.path] += len(verdict.rejected)
        except Refusal as refusal:
            if sender is not None:
                sender.bucket.take(1)
            response = _json(refusal.status, refusal.body(), refusal.headers)
        except ClientDisconnect:
            response = Response(status_code=499)  # nobody reads it; it is counted
        except OSError as error:
            gone = later(503, "The spool cannot be written.", f"{error.strerror or error}.", 5)
            response = _json(gone.status, gone.body(), gone.headers)
        seconds = time.perf_counter() - began
        self.metrics.answered(door.path, response.status_code, seconds)
        if self._settings.access_log:
            name = sender.name if sender is not None else "-"
            taken = f"{seconds * 1000:.1f} ms"
            self._say(f"{request.method} {door.path} {response.status_code} {name} {taken}")
        return response

    async def _take(self, door: Door, request: Request) -> Verdict:
        limit = self._settings.request_bytes_max
        lines = is_lines(request.headers.get("content-type"))
        encoding = encoding_of(request.headers.get("content-encoding"))
        self._check_ready()
        if self._under_way >= self._settings.concurrency_max:
            why = f"{self._under_way} requests are under way."
            raise later(503, "The server is busy.", why, 1)
        declared = request.headers.get("content-length")
        if declared is not None and int(declared) > limit:
            raise too_large("body", int(declared), limit)
        self._under_way += 1
        held = _Held(self)
        try:
            body = await self._read(request, held, limit)
            return await self._intake.take(
                door, body, encoding=encoding, lines=lines, bytes_max=limit
            )
        finally:
            self._under_way -= 1
            held.release()

    async def _read(self, request: Request, held: _Held, limit: int) -> bytes:
        """The body, in time and in size."""
        parts: list[bytes] = []
        try:
            async with asyncio.timeout(self._settings.timeout_seconds):
                async for part in request.stream():
                    held.add(len(part))
                    if held.bytes > limit:
                        raise too_large("body", None, limit)
                    parts.append(part)
        except TimeoutError:
            raise Refusal(
                408,
                "The body came too slowly.",
                f"It was not whole after {self._settings.timeout_seconds:g} s.",
                "Send it again, or fewer records at a time.",
                headers={"Connection": "close"},
            ) from None
        return b"".join(parts)

    def hold(self, size: int) -> None:
        """Note that so many bytes more, or fewer, of bodies are in memory.

        Raises:
            Refusal: 503 when they would be too many.
        """
        if size > 0 and self._held_bytes + size > self._settings.held_bytes_max:
            why = f"It holds {self._held_bytes >> 20:,} MB of bodies."
            raise later(503, "The server is busy.", why, 1)
        self._held_bytes += size


class _Held:
    """The bytes that one request has in memory."""

    def __init__(self, server: Server) -> None:
        self._server = server
        self.bytes = 0

    def add(self, size: int) -> None:
        self._server.hold(size)
        self.bytes += size

    def release(self) -> None:
        self._server.hold(-self.bytes)
        self.bytes = 0


def _verdict(verdict: Verdict) -> Response:
    rejected = [
        {"line": number, "reason": reason}
        for number, reason in sorted(verdict.rejected)[:REJECTED_SHOWN_MAX]
    ]
    if verdict.taken:
        body: dict[str, Any] = {"taken": verdict.taken}
        if rejected:
            body |= {"rejected": rejected, "rejected_total": len(verdict.rejected)}
        return _json(201, body)
    body = {
        "what": "None of the records can be taken.",
        "why": rejected[0]["reason"],
        "todo": "Mend them and send them again.",
        "taken": 0,
        "rejected": rejected,
        "rejected_total": len(verdict.rejected),
    }
    return _json(400, body)


def _json(status: int, body: dict[str, Any], headers: dict[str, str] | None = None) -> Response:
    return Response(
        dumps(body), status, {"Cache-Control": "no-store", **(headers or {})}, "application/json"
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    if error.status_code == 405:
        what = f"{request.url.path} does not take {request.method}."
    else:
        what = f"There is nothing at {request.url.path}."
    paths = ", ".join([*(door.path for door in DOORS), "/health", "/ready", "/metrics"])
    body = {"what": what, "why": f"{error.detail}.", "todo": f"Addresses: {paths}."}
    return _json(error.status_code, body, dict(error.headers or {}))


async def _own_error(_: Request, error: Exception) -> Response:
    body = {
        "what": "The server failed.",
        "why": f"{type(error).__name__}; its log has more.",
        "todo": "Send it again; what was answered 201 is safe.",
    }
    return _json(500, body)
