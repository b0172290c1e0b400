"""The process behind a page of :mod:`forensics_tui.web`: it draws to its standard output."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from textual.drivers.web_driver import WebDriver
from textual.messages import ExitApp

from forensics.errors import ForensicsError
from forensics.records.looker import looking
from forensics_tui.inert import said
from forensics_tui.opening import Asked
from forensics_tui.run import run

#: The names of folders among what is asked.
_PATHS = ("root", "postmortems")


class Driver(WebDriver):
    """Ends the application also when the server is gone without a word."""

    def start_application_mode(self) -> None:
        """Remember where the application runs."""
        self._loop = asyncio.get_running_loop()
        super().start_application_mode()

    def run_input_thread(self) -> None:
        """Take what the page sends; when nothing can come any more, leave."""
        super().run_input_thread()
        if not self.exit_event.is_set():
            asyncio.run_coroutine_threadsafe(self._app._post_message(ExitApp()), self._loop)


def main() -> int:
    """Show what the server's one argument tells, as JSON."""
    told = json.loads(sys.argv[1])
    asked: dict[str, Any] = {
        name: Path(value) if name in _PATHS and value is not None else value
        for name, value in told["asked"].items()
    }
    try:
        with looking(**told["looker"]):
            word = run(Asked(**asked), told["theme"], told["keys"])
    except ForensicsError as error:
        word = said(error)
    sys.stderr.write(word)
    return 1 if word else 0


if __name__ == "__main__":
    sys.exit(main())
