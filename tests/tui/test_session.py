"""A session in a real terminal: from the sample lake to a postmortem that a browser shows."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("textual")

_KEYS_MAX = 40
_PATIENCE_S = 90.0
#: A browser reads what it is told from descriptor 3, and answers on 4.
_WITH_PIPES = """
import fcntl, os, sys
inward, outward = (fcntl.fcntl(int(fd), fcntl.F_DUPFD, 10) for fd in sys.argv[1:3])
os.dup2(inward, 3)
os.dup2(outward, 4)
os.execvp(sys.argv[3], sys.argv[3:])
"""


@pytest.fixture
def seat(sample_lake: Path, tmp_path: Path, terminal: Callable[..., Any]) -> Any:
    """The terminal UI on a lake beside which nobody has written a postmortem yet."""
    lake = tmp_path / "sample-lake"
    shutil.copytree(sample_lake, lake)
    return terminal("--lake", lake, size=(120, 40), TERM="tmux-256color", HOME=str(tmp_path))


def test_from_the_lake_to_an_exported_postmortem_in_under_forty_keys(
    seat: Any, tmp_path: Path, browser: str
) -> None:
    seat.see("of 30,000")
    seat.see(lambda screen: "DECLINE" in screen and "counted" not in screen)
    for _ in range(10):  # back from change to change, to the one at 02:13
        if "▲ 2026-10-21 02:13" in seat.screen():
            break
        last = seat.screen().splitlines()[-1]
        seat.press("N")
        seat.see(lambda screen, last=last: "▲ 2026-" in screen.splitlines()[-1] != last)
    seat.press("Enter")
    seat.see("bit exact ·")
    seat.press("p")
    seat.see("pin to a postmortem")
    seat.press("Down", "Down")
    seat.type("the cause")
    seat.press("Enter")
    seat.see("a new postmortem")
    seat.press("Enter")
    seat.see("pinned to 2026-10-21-0213-credit_line (")
    seat.press("P")
    seat.see("all still hold")
    seat.press("e")
    seat.see("export the postmortem")
    seat.press("Enter")
    seat.see("written:")
    assert seat.pressed < _KEYS_MAX * 3 // 4

    page = tmp_path / "sample-lake-postmortems" / "reports" / "2026-10-21-0213-credit_line.html"
    text = page.read_text(encoding="utf-8")
    assert "100 × its usual scale" in text
    assert "written by billing_features run" in text
    assert "the cause" in text
    assert "pipeline billing_features 88ac → 3e1f" in text
    with Browser(browser, tmp_path / "profile") as opened:
        shown = opened.look_at(page.as_uri())
    assert "still hold" in shown.text
    assert shown.charts
    assert shown.asked == [page.as_uri()]
    assert not shown.errors


class Shown(NamedTuple):
    """What a browser made of a page, what the page asked for, and what went wrong in it."""

    text: str
    charts: int
    asked: list[str]
    errors: list[object]


class Browser:
    """A headless Chromium that is told what to do through a pipe, and can reach no network."""

    def __init__(self, program: str, profile: Path) -> None:
        inward, self._write = os.pipe()
        self._read, outward = os.pipe()
        flags = [
            "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--disable-component-update",
            "--proxy-server=127.0.0.1:9", "--remote-debugging-pipe", f"--user-data-dir={profile}",
        ]  # fmt: skip
        command = [sys.executable, "-c", _WITH_PIPES, str(inward), str(outward), program, *flags]
        self._process = subprocess.Popen(
            command, pass_fds=(inward, outward), stderr=subprocess.DEVNULL
        )
        os.close(inward)
        os.close(outward)
        self._rest = b""
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._write)
        os.close(self._read)
        self._process.terminate()
        self._process.wait(30)

    def _next(self, patience_s: float) -> dict[str, Any] | None:
        """What it says next; None where it says nothing for a while."""
        while b"\0" not in self._rest:
            if not select.select([self._read], [], [], patience_s)[0]:
                return None
            part = os.read(self._read, 1 << 16)
            assert part, "the browser has ended"
            self._rest += part
        message, _, self._rest = self._rest.partition(b"\0")
        found: dict[str, Any] = json.loads(message)
        return found

    def ask(self, method: str, session: str | None = None, **parameters: object) -> Any:
        self._number += 1
        message: dict[str, object] = {
            "id": self._number, "method": method, "params": parameters,
        }  # fmt: skip
        message |= {"sessionId": session} if session is not None else {}
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while (found := self._next(_PATIENCE_S)) is not None:
            if found.get("id") == self._number:
                return found["result"]
            self.events.append(found)
        raise AssertionError(f"the browser never answered {method}")

    def look_at(self, url: str) -> Shown:
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Runtime", "Log", "Page"):
            self.ask(f"{domain}.enable", session)
        self.events.clear()
        self.ask("Page.navigate", session, url=url)
        while (event := self._next(2.0)) is not None:
            self.events.append(event)

        def told(*names: str) -> list[dict[str, Any]]:
            return [event["params"] for event in self.events if event.get("method") in names]

        assert told("Page.loadEventFired")
        text = self._value(session, "document.body.innerText")
        charts = self._value(session, "document.querySelectorAll('svg').length")
        asked = [one["request"]["url"] for one in told("Network.requestWillBeSent")]
        errors = told("Runtime.exceptionThrown", "Runtime.consoleAPICalled", "Log.entryAdded")
        return Shown(text, charts, asked, list(errors))

    def _value(self, session: str, expression: str) -> Any:
        return self.ask("Runtime.evaluate", session, expression=expression)["result"]["value"]


def test_a_browser_that_asks_or_errs_is_told(tmp_path: Path, browser: str) -> None:
    page = tmp_path / "page.html"
    page.write_text('<img src="http://127.0.0.1:9/x.png"><script>nothing.there()</script>')
    with Browser(browser, tmp_path / "profile") as opened:
        shown = opened.look_at(page.as_uri())
    assert "http://127.0.0.1:9/x.png" in shown.asked
    assert shown.errors
