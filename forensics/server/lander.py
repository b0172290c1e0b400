"""The server's hold on the process that lands: starts it, starts it again, counts what it did."""

from __future__ import annotations

import contextlib
import json
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

_PATIENCE_SECONDS_MAX = 60.0


@dataclass(slots=True)
class Landed:
    """What has been taken into the lake since the server began."""

    files: int = 0
    records: int = 0
    already_present: int = 0
    quarantined: int = 0
    seconds: float = 0.0
    failures: int = 0
    restarts: int = 0


class Lander:
    """One landing process, kept alive.

    Args:
        root: the lake.
        say: takes what a person should know.
    """

    def __init__(self, root: Path, say: Callable[[str], None]) -> None:
        self.totals = Landed()
        self._root, self._say = root, say
        self._lock = threading.Lock()
        self._finishing = threading.Event()
        self._process: subprocess.Popen[bytes] | None = None
        self._clean = self._killed = False
        self._said: str | None = None
        self._thread = threading.Thread(target=self._keep, name="lander", daemon=True)

    def start(self) -> None:
        """Begin; what an earlier server left is landed first."""
        self._thread.start()

    def call(self) -> None:
        """There is a closed file."""
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                # Where it died, it looks when it is back.
                with contextlib.suppress(BrokenPipeError, ValueError):
                    self._process.stdin.write(b"\n")

    def finish(self) -> bool:
        """Land what there is and end; whether nothing stays behind."""
        self._finishing.set()
        with self._lock:
            if self._process is not None and self._process.stdin is not None:
                self._process.stdin.close()
        self._thread.join()
        return self._clean

    def kill(self) -> None:
        """End at once; what is in the spool stays there."""
        self._killed = True
        self._finishing.set()
        with self._lock:
            if self._process is not None:
                self._process.kill()

    def _keep(self) -> None:
        failures = 0
        while True:
            with self._lock:
                last = self._finishing.is_set()
                self._process = process = subprocess.Popen(
                    [sys.executable, "-m", "forensics.server.landing", str(self._root)],
                    stdin=subprocess.DEVNULL if last else subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    bufsize=0,
                )
            assert process.stdout is not None
            landed = self._follow(process.stdout)
            code = process.wait()
            process.stdout.close()
            if self._finishing.is_set():
                if code == 0 or last or self._killed:
                    self._clean = code == 0
                    return
                continue  # it fell while it finished: once more
            failures = 0 if landed else failures + 1
            self.totals.restarts += 1
            wait = min(2.0**failures, _PATIENCE_SECONDS_MAX)
            self._say(
                f"The landing process ended with status {code}; it starts again in {wait:.0f} s. "
                "What was acknowledged is safe in the spool."
            )
            self._finishing.wait(wait)

    def _follow(self, stream: IO[bytes]) -> int:
        """Count what the process says until it ends; how many files it landed."""
        landed = 0
        for line in stream:
            event: dict[str, Any] = json.loads(line)
            totals = self.totals
            if event["event"] == "landed":
                landed += 1
                totals.files += 1
                totals.records += event["landed"]
                totals.already_present += event["already_present"]
                totals.quarantined += event["quarantined"]
                totals.seconds += event["seconds"]
                self._said = None
            elif event["event"] == "failed":
                totals.failures += 1
                text = f"{event['what']} {event['why']} It stays in the spool and is tried again."
                if text != self._said:  # once, not at every attempt
                    self._said = text
                    self._say(text)
            else:
                self._say(event["text"])
        return landed
