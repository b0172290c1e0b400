"""The terminal UI in a browser: the same program, a process for each page, on loopback only.

textual-serve carries a screen between a process and a page. Its own page fetches a font from
elsewhere and answers whoever asks, so this serves another one, from files of this machine alone, to
those who know the address: a program of another user of the machine, or a page of another site that
has its name point here, does not.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import secrets
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Awaitable, Callable
from dataclasses import asdict
from pathlib import Path
from typing import Any

import textual_serve
from aiohttp import WSCloseCode, WSMsgType, web
from textual_serve.app_service import AppService
from textual_serve.download_manager import DownloadManager

from forensics.errors import UsageError
from forensics.records.looker import current
from forensics.records.safe_text import safe_text
from forensics_tui.opening import Asked

_HOST = "127.0.0.1"
_PAGE = Path(__file__).with_name("web_page")
_STATIC = Path(textual_serve.__file__).with_name("static")
_SESSIONS_MAX = 16
_END_S = 5.0
_SIZE_MAX = 1_000
#: What Textual's driver for the web writes before anything else.
_PRELUDE = b"__GANGLION__\n"
_HEADERS = {
    # xterm.js writes style sheets of its own into the page.
    "Content-Security-Policy": "default-src 'none'; script-src 'self'; font-src 'self'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data:; connect-src 'self' ws://{host}; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


def serve(
    asked: Asked, port: int, say: Callable[[str], None], theme: Any = None, keys: Any = None
) -> None:
    """Serve the terminal UI on loopback until an interrupt or SIGTERM.

    Args:
        asked: what each page shows first.
        port: to listen on; 0 lets the system choose.
        say: takes lines for a person: the address first, which holds a secret.
        theme: as of :func:`forensics_tui.run.run`.
        keys: likewise.

    Raises:
        ModuleNotFoundError: when textual-serve is not installed.
        UsageError: when the port cannot be listened on.
        ForensicsError: when the lake cannot be opened, or what was asked for is not there.
    """
    from forensics_tui.run import checked, opened

    opened(asked)
    told = {
        name: str(value.resolve()) if isinstance(value, Path) else value
        for name, value in asdict(asked).items()
    }
    looker = {name: value for name, value in asdict(current()).items() if name != "how"}
    more = {"asked": told, "theme": theme, "keys": dict(checked(keys)), "looker": looker}
    words = [sys.executable, "-m", "forensics_tui.served", json.dumps(more)]
    try:
        listener = socket.create_server((_HOST, port))
    except OSError as error:
        what = f"Port {port} cannot be listened on."
        raise UsageError(what, f"{error.strerror}.", "Use --port 0.") from error
    with listener:
        asyncio.run(_Pages(words, listener.getsockname()[1], say).run(listener))


class _Pages:
    """The server of the page, and the sessions of those that are open."""

    def __init__(self, words: list[str], port: int, say: Callable[[str], None]) -> None:
        self._words = words
        self._say = say
        self._hosts = {f"{_HOST}:{port}", f"localhost:{port}"}
        self._token = secrets.token_urlsafe(24)
        self._address = f"http://{_HOST}:{port}/{self._token}/"
        self._sockets: set[web.WebSocketResponse] = set()

    async def run(self, listener: socket.socket) -> None:
        """Serve until told to stop, then end every session."""
        stop = asyncio.Event()
        for each in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(each, stop.set)
        application = web.Application(middlewares=[self._guard])
        under = f"/{self._token}"
        application.add_routes(
            [
                web.get(f"{under}/ws", self._session),
                *(web.get(f"{under}/{name}", _file(name)) for name in ("page.css", "page.js")),
                web.get(f"{under}/", _file("index.html")),
                web.static(f"{under}/static", _STATIC),
            ]
        )
        application.on_shutdown.append(self._end)
        runner = web.AppRunner(application, access_log=None, shutdown_timeout=2 * _END_S)
        await runner.setup()
        await web.SockSite(runner, listener).start()
        self._say(f"In a browser of this machine: {self._address} · ctrl-c ends it")
        await stop.wait()
        await runner.cleanup()

    @web.middleware
    async def _guard(
        self, request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> web.StreamResponse:
        """Answer only who asks this machine by its own name and knows the address."""
        first = request.path.removeprefix("/").partition("/")[0]
        if request.host not in self._hosts:
            raise web.HTTPForbidden(text="This is not the server of that name.\n")
        if not secrets.compare_digest(first.encode("utf-8", "replace"), self._token.encode()):
            raise web.HTTPNotFound(text="Not found. The whole address stands on the terminal.\n")
        answer = await handler(request)
        if not answer.prepared:
            headers = {name: text.format(host=request.host) for name, text in _HEADERS.items()}
            answer.headers.update(headers)
        return answer

    async def _session(self, request: web.Request) -> web.StreamResponse:
        """One page's connection, from its first byte to its last."""
        if request.headers.get("Origin") != f"http://{request.host}":
            raise web.HTTPForbidden(text="This is asked by another page than its own.\n")
        if len(self._sockets) >= _SESSIONS_MAX:
            raise web.HTTPServiceUnavailable(text="Too many pages are open.\n")
        page = web.WebSocketResponse(heartbeat=15, max_msg_size=1 << 20)
        await page.prepare(request)
        self._sockets.add(page)
        session = _Session(self._words, page, self._say)
        try:
            width, height = (_cells(request.query.get(name)) for name in ("width", "height"))
            await session.start(width, height)
            await _carry(page, session)
        finally:
            self._sockets.discard(page)
            await session.stop()
        return page

    async def _end(self, _: web.Application) -> None:
        closing = (page.close(code=WSCloseCode.GOING_AWAY) for page in list(self._sockets))
        await asyncio.gather(*closing)


class _Session(AppService):
    """The process of one page: started without a shell, and ended when the page is gone."""

    def __init__(
        self, words: list[str], page: web.WebSocketResponse, say: Callable[[str], None]
    ) -> None:
        async def close() -> None:
            await page.close()

        super().__init__(
            "",
            write_bytes=page.send_bytes,
            write_str=page.send_str,
            close=close,
            download_manager=DownloadManager(),
        )
        self._words = words
        self._say = say

    async def _open_app_process(self, width: int = 80, height: int = 24) -> Process:
        environment = self._build_environment(width, height)
        environment["TEXTUAL_DRIVER"] = "forensics_tui.served:Driver"
        # An interrupt is the server's, which then tells each process to end.
        self._process = process = await asyncio.create_subprocess_exec(
            *self._words, stdin=PIPE, stdout=PIPE, stderr=PIPE, env=environment,
            start_new_session=True,
        )  # fmt: skip
        self._stdin = process.stdin
        return process

    async def run(self) -> None:
        """Carry what the process draws to the page, until it ends."""
        process = self._process
        assert process is not None
        assert process.stdout is not None
        assert process.stderr is not None
        errors = asyncio.create_task(process.stderr.read())
        read = process.stdout.readexactly
        with contextlib.suppress(asyncio.IncompleteReadError):
            if await read(len(_PRELUDE)) == _PRELUDE:
                while True:
                    kind, size = await read(1), int.from_bytes(await read(4), "big")
                    payload = await read(size)
                    with contextlib.suppress(ConnectionError):  # it ends once it is told to
                        if kind == b"D":
                            await self.on_data(payload)
                        elif kind == b"M":
                            await self.on_meta(payload)
        await process.wait()
        if said := (await errors).decode("utf-8", "replace").strip():
            self._say(safe_text(said))
        await self.remote_close()

    async def stop(self) -> None:
        """End the process; one that does not end by itself is killed."""
        try:
            await asyncio.wait_for(super().stop(), _END_S)
        except TimeoutError:
            if self._process is not None and self._process.returncode is None:
                self._process.kill()
                await self._process.wait()


async def _carry(page: web.WebSocketResponse, session: _Session) -> None:
    """Give the process what the page sends: keys, sizes, focus."""
    async for message in page:
        if message.type is not WSMsgType.TEXT:
            continue
        try:
            told = json.loads(message.data)
        except ValueError:
            continue
        match told:
            case ["stdin", str(text)]:
                await session.send_bytes(text.encode("utf-8", "replace"))
            case ["resize", {"width": width, "height": height}]:
                await session.set_terminal_size(_cells(width), _cells(height))
            case ["ping", str(number)]:
                await page.send_json(["pong", number])
            case ["focus"]:
                await session.focus()
            case ["blur"]:
                await session.blur()


def _cells(given: Any) -> int:
    """A width or height that a page tells, within reason."""
    try:
        return min(max(int(given), 1), _SIZE_MAX)
    except (TypeError, ValueError):
        return 24


def _file(name: str) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_: web.Request) -> web.StreamResponse:
        return web.FileResponse(_PAGE / name)

    return answer
