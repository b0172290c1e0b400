"""A real server process on a free port, and plain HTTP to talk to it."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

NDJSON = {"Content-Type": "application/x-ndjson"}
JSON = {"Content-Type": "application/json"}


class Answer(NamedTuple):
    status: int
    body: bytes
    headers: Mapping[str, str]

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class Serving:
    """One ``forensics serve`` and what it said on standard error."""

    def __init__(self, lake: Path, *options: object) -> None:
        self.lake = lake
        self.process = subprocess.Popen(
            [
                sys.executable, "-m", "forensics", "serve", "--lake", str(lake), "--port", "0",
                *map(str, options),
            ],
            stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
            text=True, start_new_session=True,
        )  # fmt: skip
        self.said: list[str] = []
        self._heard = threading.Condition()
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()
        self.first = self.wait_for("Listening on ")
        self.url = self.first.split()[2]
        self.port = int(self.url.rpartition(":")[2])

    def _listen(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            with self._heard:
                self.said.append(line.rstrip("\n"))
                self._heard.notify_all()

    def wait_for(self, words: str, seconds: float = 60) -> str:
        deadline = time.monotonic() + seconds
        with self._heard:
            while not (found := [line for line in self.said if words in line]):
                left = deadline - time.monotonic()
                alive = self.process.poll() is None or self._listener.is_alive()
                assert left > 0, f"not said: {words}; but {self.said}"
                assert alive, f"ended without saying {words}: {self.said}"
                self._heard.wait(min(left, 0.2))
        return found[0]

    def send(
        self, path: str, body: bytes | None = None, headers: Mapping[str, str] = NDJSON
    ) -> Answer:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        try:
            if body is None:
                connection.request("GET", path, headers=dict(headers))
            else:
                connection.request("POST", path, body, dict(headers))
            answer = connection.getresponse()
            return Answer(answer.status, answer.read(), dict(answer.getheaders()))
        finally:
            connection.close()

    def socket(self) -> socket.socket:
        return socket.create_connection(("127.0.0.1", self.port), timeout=60)

    def metric(self, name: str) -> float:
        """The sum of a metric over its labels."""
        lines = self.send("/metrics").body.decode().splitlines()
        found = [line for line in lines if line.startswith((f"{name} ", f"{name}{{"))]
        return sum(float(line.rpartition(" ")[2]) for line in found)

    def until(self, name: str, at_least: float, seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while self.metric(name) < at_least:
            assert time.monotonic() < deadline, f"{name} is {self.metric(name)}: {self.said}"
            time.sleep(0.05)

    def closes(self, seconds: float = 60) -> None:
        """Wait until it takes no further connection: it has been told to stop, and heard it."""
        deadline = time.monotonic() + seconds
        with contextlib.suppress(ConnectionRefusedError):
            while True:
                assert time.monotonic() < deadline, self.said
                self.socket().close()
                time.sleep(0.02)

    def stop(self, how: signal.Signals = signal.SIGTERM) -> int:
        self.process.send_signal(how)
        code = self.process.wait(timeout=600)
        self._end()
        return code

    def kill(self) -> None:
        """The server and its landing process, at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait(timeout=60)
        self._end()

    def _end(self) -> None:
        self._listener.join(timeout=10)
        assert self.process.stderr is not None
        self.process.stderr.close()


Serve = Callable[..., Serving]
