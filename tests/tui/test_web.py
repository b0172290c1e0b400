"""``forensics tui --web``: the same in a real browser, for this machine only."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import itertools
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("textual_serve")
import aiohttp  # comes with textual-serve


class Serving:
    """A server, and the address that it said."""

    def __init__(self, arguments: list[str], state: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "forensics", "tui", "--web", *arguments],
            stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True,
            env={**os.environ, "XDG_STATE_HOME": str(state)},
        )  # fmt: skip
        assert self.process.stderr is not None
        line = self.process.stderr.readline()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/(\S+)/", line)
        assert found is not None, line + self.process.stderr.read()
        self.address, self.port, self.token = found[0], int(found[1]), found[2]

    def end(self, number: int = signal.SIGINT) -> int:
        """Its exit status after a signal."""
        self.process.send_signal(number)
        return self.process.wait(30)

    def children(self) -> list[str]:
        """The command lines of the processes behind its pages."""
        listed = Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children")
        pids = listed.read_text(encoding="ascii").split()
        return [Path(f"/proc/{pid}/cmdline").read_text(encoding="utf-8") for pid in pids]


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Callable[..., Serving]]:
    began: list[Serving] = []

    def serve(*arguments: object) -> Serving:
        began.append(Serving([*map(str, arguments)], tmp_path / "state"))
        return began[-1]

    yield serve
    for one in began:
        if one.process.poll() is None:
            one.process.kill()
        one.process.wait()
        assert one.process.stderr is not None
        one.process.stderr.close()


class Browser:
    """A page of a real browser, told what to do and heard through its debugging protocol."""

    def __init__(self, connection: aiohttp.ClientWebSocketResponse) -> None:
        self._connection = connection
        self._numbers = itertools.count(1)
        self._waiting: dict[int, asyncio.Future[dict[str, Any]]] = {}
        #: The addresses that were asked for, what the page complained of, and what came to it.
        self.asked: list[str] = []
        self.complaints: list[str] = []
        self.heard = ""
        self._task = asyncio.create_task(self._listen())

    async def do(self, method: str, **parameters: Any) -> dict[str, Any]:
        number = next(self._numbers)
        answer = self._waiting[number] = asyncio.get_running_loop().create_future()
        message = {"id": number, "method": method, "params": parameters}
        await self._connection.send_str(json.dumps(message))
        return await asyncio.wait_for(answer, 30)

    async def _listen(self) -> None:
        async for message in self._connection:
            told = json.loads(message.data)
            if "id" in told:
                self._waiting.pop(told["id"]).set_result(told.get("result", told))
                continue
            of = told["params"]
            match told["method"]:
                case "Network.requestWillBeSent":
                    self.asked.append(of["request"]["url"])
                case "Network.webSocketCreated":
                    self.asked.append(of["url"])
                case "Network.webSocketFrameReceived" if of["response"]["opcode"] == 2:
                    data = base64.b64decode(of["response"]["payloadData"])
                    self.heard += data.decode("utf-8", "replace")
                case "Runtime.exceptionThrown":
                    self.complaints.append(json.dumps(of))
                case "Log.entryAdded" if of["entry"]["level"] in ("error", "warning"):
                    self.complaints.append(of["entry"]["text"])
                case "Runtime.consoleAPICalled" if of["type"] in ("error", "warning", "assert"):
                    self.complaints.append(json.dumps(of["args"]))

    async def see(self, wanted: str) -> None:
        """Wait until the terminal was sent something."""
        for _ in range(3_000):
            if wanted in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.heard):
                return
            await asyncio.sleep(0.02)
        raise AssertionError(f"the page never got {wanted!r}: {self.heard[-2000:]!r}")

    async def press(self, text: str) -> None:
        for kind in ("keyDown", "keyUp"):
            await self.do("Input.dispatchKeyEvent", type=kind, text=text, key=text)

    async def value(self, expression: str) -> Any:
        answer = await self.do("Runtime.evaluate", expression=expression, awaitPromise=True)
        return answer["result"].get("value")


@contextlib.asynccontextmanager
async def page(program: str, address: str, folder: Path) -> AsyncIterator[Browser]:
    """A headless browser that has opened an address."""
    process = subprocess.Popen(
        [program, "--headless", "--no-sandbox", "--remote-debugging-port=0",
         "--enable-unsafe-swiftshader", "--no-first-run", "--disable-background-networking",
         "--window-size=1200,800", f"--user-data-dir={folder}", "about:blank"],
        stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        told = folder / "DevToolsActivePort"
        until = time.monotonic() + 60
        while not told.is_file() or "\n" not in told.read_text():
            assert time.monotonic() < until
            await asyncio.sleep(0.05)
        port = told.read_text().split("\n")[0]
        async with aiohttp.ClientSession() as client:
            async with client.get(f"http://127.0.0.1:{port}/json") as answer:
                (target,) = (one for one in await answer.json() if one["type"] == "page")
            async with client.ws_connect(
                target["webSocketDebuggerUrl"], max_msg_size=0
            ) as connection:
                opened = Browser(connection)
                for domain in ("Network", "Runtime", "Log", "Page"):
                    await opened.do(f"{domain}.enable")
                await opened.do("Page.navigate", url=address)
                yield opened
    finally:
        process.terminate()
        process.wait()


def status(address: str, **headers: str) -> int:
    request = urllib.request.Request(address, headers=headers)
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            return int(answer.status)
    except urllib.error.HTTPError as error:
        with error:
            return error.code


def test_a_browser_shows_the_decisions_and_asks_nobody_else(
    sample_lake: Path, served: Callable[..., Serving], tmp_path: Path, browser: str
) -> None:
    server = served("--lake", sample_lake, "--where", "utilisation_3m > 40")

    async def session() -> None:
        async with page(browser, server.address, tmp_path / "browser") as opened:
            await opened.see("utilisation_3m > 40")
            await opened.see("DECLINE")
            assert await opened.value("document.body.classList.contains('-first-byte')")
            (child,) = server.children()
            assert str(sample_lake) in child
            await opened.press("?")
            await opened.see("keys · decisions")
            assert await opened.value("window.open('http://example.com/')") is None
            assert await opened.value(
                "document.fonts.check(\"14px 'Roboto Mono'\") && document.fonts.size"
            )
            named = f"ws://127.0.0.1:{server.port}/{server.token}/ws?"
            assert any(asked.startswith(named) for asked in opened.asked)
            outside = [
                asked for asked in opened.asked
                if not asked.startswith((server.address, named, "data:"))
            ]  # fmt: skip
            assert outside == []
            assert opened.complaints == []
            await opened.press("q")  # leaves the help
            await opened.press("q")
            for _ in range(3_000):
                if await opened.value("document.body.classList.contains('-closed')"):
                    break
                await asyncio.sleep(0.02)
            assert await opened.value("getComputedStyle(ended).display") == "block"
            for _ in range(3_000):
                if not server.children():
                    break
                await asyncio.sleep(0.02)
            assert server.children() == []

    asyncio.run(session())
    assert server.end() == 0


def test_the_end_of_the_server_ends_its_pages(
    sample_lake: Path, served: Callable[..., Serving]
) -> None:
    server = served("--lake", sample_lake)

    async def session() -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(
                f"{server.address}ws?width=80&height=24",
                headers={"Origin": f"http://127.0.0.1:{server.port}"},
            ) as page,
        ):
            heard = ""
            while "30,000" not in heard:
                heard += (await page.receive_bytes()).decode("utf-8", "replace")
            (child,) = server.children()
            assert "forensics_tui.served" in child
            server.process.send_signal(signal.SIGTERM)
            async for message in page:
                assert message.type is aiohttp.WSMsgType.BINARY
            assert page.close_code == aiohttp.WSCloseCode.GOING_AWAY

    asyncio.run(session())
    assert server.process.wait(30) == 0


def test_a_server_that_dies_leaves_no_process_behind(
    sample_lake: Path, served: Callable[..., Serving]
) -> None:
    server = served("--lake", sample_lake)
    pids: list[str] = []

    async def session() -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(
                f"{server.address}ws", headers={"Origin": f"http://127.0.0.1:{server.port}"}
            ) as page,
        ):
            await page.receive_bytes()
            listed = Path(f"/proc/{server.process.pid}/task/{server.process.pid}/children")
            pids.extend(listed.read_text(encoding="ascii").split())
            server.process.kill()

    asyncio.run(session())
    server.process.wait()
    until = time.monotonic() + 30
    while any(_lives(pid) for pid in pids):
        assert time.monotonic() < until
        time.sleep(0.05)
    assert pids


def _lives(pid: str) -> bool:
    try:
        return ") Z " not in Path(f"/proc/{pid}/stat").read_text(encoding="utf-8")
    except FileNotFoundError:
        return False


def test_only_who_knows_the_address_and_asks_this_machine_is_answered(
    sample_lake: Path, served: Callable[..., Serving]
) -> None:
    server = served("--lake", sample_lake)
    base = f"http://127.0.0.1:{server.port}"
    assert status(server.address) == 200
    assert status(f"{server.address}static/js/textual.js") == 200
    for path in (
        "/",
        "/ws",
        "/static/js/textual.js",
        "/x/",
        "/%ff/",
        f"/{server.token[:-1]}{'x' if server.token[-1] != 'x' else 'y'}/",
        "//",
    ):
        assert status(base + path) == 404
    for path in ("static/", "static/../../web.py", "static/%2e%2e/%2e%2e/app_service.py", "x"):
        assert status(server.address + path) in (403, 404)
    # A page of another site whose name points here sends its own name.
    assert status(server.address, Host=f"evil.example:{server.port}") == 403
    assert status(server.address, Host=f"localhost:{server.port}") == 200
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Version": "13",
               "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAAAA=="}  # fmt: skip
    assert status(f"{server.address}ws", **upgrade) == 403
    assert status(f"{server.address}ws", **upgrade, Origin="http://evil.example") == 403
    with urllib.request.urlopen(server.address, timeout=30) as answer:
        assert "default-src 'none'" in answer.headers["Content-Security-Policy"]
        assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert server.children() == []


def test_it_listens_on_loopback_only(sample_lake: Path, served: Callable[..., Serving]) -> None:
    server = served("--lake", sample_lake)
    wanted = f"{server.port:04X}"
    bound = [
        line.split()[1]
        for name in ("tcp", "tcp6")
        for line in Path(f"/proc/net/{name}").read_text(encoding="ascii").splitlines()[1:]
        if line.split()[1].endswith(f":{wanted}") and line.split()[3] == "0A"
    ]
    assert bound == [f"0100007F:{wanted}"]


def test_what_is_wrong_is_said_before_anything_is_served(
    sample_lake: Path, tmp_path: Path, forensics_command: Callable[..., Any]
) -> None:
    assert forensics_command("tui", "--web", "--lake", tmp_path / "none").code == 1
    assert forensics_command("tui", "--web", "r-none", "--lake", sample_lake).code == 3
    ran = forensics_command("tui", "--port", "1", "--lake", sample_lake)
    assert (ran.code, "--web" in ran.err) == (2, True)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        ran = forensics_command("tui", "--web", "--port", port, "--lake", sample_lake)
        assert ran.code == 2
        assert f"Port {port} cannot be listened on" in ran.err


def test_what_a_process_says_when_it_fails_is_inert(
    lake: Path, served: Callable[..., Serving]
) -> None:
    server = served("--lake", lake)
    shutil.rmtree(lake)

    async def session() -> None:
        async with (
            aiohttp.ClientSession() as client,
            client.ws_connect(
                f"{server.address}ws", headers={"Origin": f"http://127.0.0.1:{server.port}"}
            ) as page,
        ):
            async for _ in page:
                pass

    asyncio.run(session())
    assert server.end() == 0
    assert server.process.stderr is not None
    assert "No lake at" in server.process.stderr.read()
