"""The one talker: progress, notes and errors, all on standard error."""

from __future__ import annotations

import os
import sys
import threading
import time

import click

from forensics.errors import ForensicsError
from forensics.records.safe_text import safe_text
from forensics.report.spans import wrapped


def _colored() -> bool:
    return (
        sys.stderr.isatty() and not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    )


def note(message: str) -> None:
    """Something worth knowing that is not the answer."""
    clear = "\r\x1b[K" if sys.stderr.isatty() and os.environ.get("TERM") != "dumb" else ""
    sys.stderr.write(clear + safe_text(message) + "\n")  # a progress line may stand there


def error(problem: ForensicsError) -> None:
    """What happened, why, and what to do, each on its line."""
    lead = click.style("error: ", fg="red", bold=True) if _colored() else "error: "
    parts = [safe_text(part) for part in (problem.what, problem.why, problem.todo) if part]
    if sys.stderr.isatty():
        import shutil

        room = max(shutil.get_terminal_size().columns - 7, 30)
        parts = [line for part in parts for line in wrapped(part, room)]
    sys.stderr.write(lead + "\n       ".join(parts) + "\n")


class Progress:
    """A line on the terminal that says how far something is; silent where nobody watches."""

    def __init__(self, title: str, total: int | None = None, *, unit: str = "") -> None:
        self._title = title
        self._total = total
        self._unit = unit
        self._shown = sys.stderr.isatty() and os.environ.get("TERM") != "dumb"
        self._began = time.monotonic()
        self._last = 0.0
        self._text = title
        self._over = threading.Event()

    def __enter__(self) -> Progress:
        if self._shown:  # the clock goes on while a long step is under way
            threading.Thread(target=self._tick, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        if self._shown:
            sys.stderr.write("\r\x1b[K")
            sys.stderr.flush()

    def update(self, done: int, words: str = "") -> None:
        """Show that ``done`` of the total is behind us."""
        now = time.monotonic()
        if not self._shown or now - self._last < 0.1:
            return
        self._last = now
        share = f" {done / self._total:4.0%}" if self._total else ""
        self._text = f"{self._title}{share} {words}"
        self._draw()

    def landed(self, done: int, records: int) -> None:
        """Show that ``done`` of the total is behind us, and how many records landed so far."""
        self.update(done, f"{records:,} landed")

    def count(self, done: int, total: int) -> None:
        """Show that ``done`` of ``total`` are behind us, where no total was named."""
        self.update(done, f"{done:,} of {total:,}")

    def share(self, done: int, total: int) -> None:
        """The same of many decisions: their share."""
        self.update(done, f"{done / total:.0%} of {total:,} decisions")

    def _tick(self) -> None:
        while not self._over.wait(0.5):
            self._draw()

    def _draw(self) -> None:
        text = safe_text(f"{self._text} · {time.monotonic() - self._began:.0f} s")
        sys.stderr.write(f"\r\x1b[K{text}")
        sys.stderr.flush()
