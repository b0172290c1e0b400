"""A real browser opens the page: it asks for nothing else, and complains of nothing."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from forensics.api import open_lake
from forensics.report.document import Document
from forensics.report.html_page import page
from forensics.report.postmortem import Report


class Browser:
    """A headless browser, told what to do through a pipe by its debugging protocol."""

    def __init__(self, write: int, read: int) -> None:
        self._write, self._read = os.fdopen(write, "wb"), os.fdopen(read, "rb")
        self._number = 0
        self.events: list[dict[str, Any]] = []

    def do(self, method: str, session: str | None = None, **parameters: Any) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        message |= {"sessionId": session} if session else {}
        self._write.write(json.dumps(message).encode() + b"\0")
        self._write.flush()
        while (answer := self.next()).get("id") != self._number:
            self.events.append(answer)
        assert "error" not in answer, answer
        result: dict[str, Any] = answer["result"]
        return result

    def next(self) -> dict[str, Any]:
        text = bytearray()
        while (byte := self._read.read(1)) != b"\0":
            assert byte, "the browser has ended"
            text += byte
        message: dict[str, Any] = json.loads(text)
        return message

    def opened(self, path: Path, **emulated: str) -> str:
        """A tab in which a file is open, as everything in it has been loaded."""
        target = self.do("Target.createTarget", url="about:blank")["targetId"]
        session: str = self.do("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Network", "Log", "Runtime", "Page"):
            self.do(f"{domain}.enable", session)
        features = [{"name": name, "value": value} for name, value in emulated.items()]
        self.do("Emulation.setEmulatedMedia", session, features=features)
        self.events.clear()
        self.do("Page.navigate", session, url=path.as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self.next())
        return session

    def value(self, session: str, expression: str) -> Any:
        result = self.do("Runtime.evaluate", session, expression=expression, returnByValue=True)
        return result["result"].get("value")

    def close(self) -> None:
        self._write.close()
        self._read.close()


@contextmanager
def running(program: str, profile: Path) -> Iterator[Browser]:
    theirs_in, ours_out = os.pipe()
    ours_in, theirs_out = os.pipe()
    command = [
        program, "--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking",
        "--remote-debugging-pipe", f"--user-data-dir={profile}",
    ]  # fmt: skip
    script = f'exec "$@" 3<&{theirs_in} 4>&{theirs_out}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", *command],
        pass_fds=(theirs_in, theirs_out),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(theirs_in)
    os.close(theirs_out)
    browser = Browser(ours_out, ours_in)
    try:
        yield browser
        browser.do("Browser.close")
    finally:
        browser.close()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


@pytest.fixture(scope="module")
def chromium(browser: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The browser, running."""
    with running(browser, tmp_path_factory.mktemp("profile")) as found:
        yield found


def complaints(browser: Browser) -> list[str]:
    """What the page complained of, and the addresses that it asked for besides its own."""
    found = []
    for event in browser.events:
        of = event.get("params", {})
        match event.get("method"):
            case "Network.requestWillBeSent" if not of["request"]["url"].startswith("file:"):
                found.append(of["request"]["url"])
            case "Network.requestWillBeSent" if of["type"] != "Document":
                found.append(of["request"]["url"])
            case "Log.entryAdded":
                found.append(of["entry"]["text"])
            case "Runtime.consoleAPICalled" | "Runtime.exceptionThrown":
                found.append(json.dumps(of))
    return found


@pytest.mark.parametrize("name", ["incident", "hostile", "moved"])
def test_it_asks_for_nothing_and_complains_of_nothing(
    name: str, chromium: Browser, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    made: Report = request.getfixturevalue(name)
    path = tmp_path / "page.html"
    path.write_text(page(made), encoding="utf-8")
    session = chromium.opened(path)
    count = chromium.value(session, "document.querySelectorAll('section.pin').length")
    assert count == len(made.stated)
    assert chromium.value(session, "typeof window.hurt") == "undefined"
    assert chromium.value(session, "document.scripts.length + document.images.length") == 0
    assert chromium.value(session, "getComputedStyle(document.querySelector('main')).maxWidth") == (
        "800px"
    ), "its style sheet is let through"
    assert complaints(chromium) == []


def test_it_has_the_colours_that_the_reader_wants(
    incident: Report, chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(incident), encoding="utf-8")
    ground = {}
    for scheme in ("light", "dark"):
        session = chromium.opened(path, **{"prefers-color-scheme": scheme})
        expression = "getComputedStyle(document.documentElement).backgroundColor"
        ground[scheme] = chromium.value(session, expression)
    assert ground == {"light": "rgb(255, 255, 255)", "dark": "rgb(20, 24, 29)"}


@pytest.fixture(params=["subject", "decision", "audit", "notice", "hostile"])
def document(request: pytest.FixtureRequest, sample_lake: Path) -> Document:
    """A document of the sample, and one in which every text is hostile."""
    if request.param == "hostile":
        found: Document = request.getfixturevalue("hostile_document")
        return found
    with open_lake(sample_lake) as opened:
        if request.param == "subject":
            return opened.subject_report("s_7e96", adverse=["DECLINE"])
        if request.param == "decision":
            return opened.decision_report("7f3a-c1")
        if request.param == "notice":
            return opened.adverse_action("7f3a-c1", adverse=["DECLINE"])
        return opened.audit_report(opened.audit())


def test_a_document_asks_for_nothing_complains_of_nothing_and_fits_a_telephone(
    document: Document, chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(document), encoding="utf-8")
    session = chromium.opened(path)
    assert chromium.value(session, "typeof window.hurt") == "undefined"
    assert chromium.value(session, "document.scripts.length + document.images.length") == 0
    dangling = (
        "[...document.querySelectorAll('a')].filter(a => !document.querySelector(a.hash)).length"
    )
    assert chromium.value(session, dangling) == 0
    chromium.do(
        "Emulation.setDeviceMetricsOverride", session,
        width=360, height=800, deviceScaleFactor=1, mobile=True,
    )  # fmt: skip
    assert chromium.value(session, "document.documentElement.scrollWidth") <= 360
    assert complaints(chromium) == []


def test_nothing_sticks_out_on_a_telephone(
    hostile: Report, chromium: Browser, tmp_path: Path
) -> None:
    path = tmp_path / "page.html"
    path.write_text(page(hostile), encoding="utf-8")
    session = chromium.opened(path)
    chromium.do(
        "Emulation.setDeviceMetricsOverride", session,
        width=360, height=800, deviceScaleFactor=1, mobile=True,
    )  # fmt: skip
    assert chromium.value(session, "document.documentElement.scrollWidth") <= 360
