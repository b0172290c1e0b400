"""The terminal UI: how soon it shows rows, how soon it answers a key, and what memory it takes.

It runs in a real terminal, tmux, of its own server, and is asked through tmux's control mode: a key
is sent, and the screen is read until it shows what the key asked for.
"""

from __future__ import annotations

import argparse
import contextlib
import math
import os
import statistics
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import _lakes
import _measure
from _measure import FORENSICS

LAUNCH_MAX_MS = 1_000
KEY_P95_MAX_MS = 60
MEMORY_MAX_MB = 300
DAY_MAX_S = 1.0
MONTH_MAX_S = 5.0
_WIDTH, _HEIGHT = 120, 40
_PATIENCE_S = 60.0
_FOLDER = Path(__file__).parents[1] / "build" / "bench"
#: Keys of one round, with what the cursor's place is after them, given what it was before.
_MOVES: dict[str, Callable[[int, int], int]] = {
    "j": lambda at, total: min(at + 1, total),
    "k": lambda at, total: max(at - 1, 1),
    "NPage": lambda at, total: min(at + 32, total),
    "PPage": lambda at, total: max(at - 32, 1),
    "G": lambda at, total: total,
    "g": lambda at, total: 1,
}

_COUNTER = (
    "import itertools, sys, tty; tty.setraw(0); "
    '[(print(f"\\r\\n<{n}>", end="", flush=True), sys.stdin.read(1)) '
    "for n in itertools.count()]"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--decisions", type=int, default=30_000_000)
    parser.add_argument("--launches", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=25, help="of all keys")
    parser.add_argument("--dir", type=Path, default=_FOLDER, help="where the lakes are kept")
    parser.add_argument("--no-build", action="store_true", help="only use a lake that is there")
    arguments = parser.parse_args()
    built = _lakes.lake(arguments.dir.resolve(), arguments.decisions, build=not arguments.no_build)
    total = f"{arguments.decisions:,}"
    launches, launch_cpu = [], []
    imports = [
        _measure.run([_measure.PYTHON, "-c", "import duckdb, textual.app, textual.widgets"])
        for _ in range(arguments.launches)
    ]
    for number in range(arguments.launches):
        with _terminal() as terminal:
            launches.append(terminal.launch(built.root, total))
            launch_cpu.append(terminal.cpu_s())
        _measure.note(f"launch {number + 1}: {launches[-1] * 1000:.0f} ms")
    with _terminal() as terminal:
        echo = _echo(terminal, arguments.rounds * len(_MOVES))
    with _terminal() as terminal:
        terminal.launch(built.root, total)
        terminal.wait("counted", there=False)
        before = terminal.cpu_s()
        keys = _keys(terminal, arguments.decisions, arguments.rounds)
        key_cpu = (terminal.cpu_s() - before) / (arguments.rounds * len(_MOVES))
        searches = _searches(terminal, arguments.decisions)
        timeline = _timeline(terminal)
        memory = terminal.peak_mb()
    with _terminal() as terminal:
        of_day = arguments.decisions // 30
        terminal.launch(built.root, f"{of_day:,}", "--since", "2026-10-21", "--until", "2026-10-22")
        day = _searches(terminal, of_day)
    all_keys = [ms for of in keys.values() for ms in of]
    launch = statistics.median(launches) * 1000
    p95 = _quantile(all_keys, 0.95)
    document: dict[str, Any] = {
        "decisions": arguments.decisions,
        "terminal": f"{_version()}, {_WIDTH} × {_HEIGHT}",
        "launch_ms": _measure.spread([s * 1000 for s in launches]),
        "import_duckdb_and_textual_ms": _measure.wall_ms(imports),
        "launch_cpu_ms": _measure.spread([s * 1000 for s in launch_cpu]),
        "key_cpu_ms": round(key_cpu * 1000, 1),
        "key_ms": {
            "p50": round(_quantile(all_keys, 0.5), 1),
            "p95": round(p95, 1),
            "max": round(max(all_keys), 1),
            "by_key_p95": {key: round(_quantile(of, 0.95), 1) for key, of in keys.items()},
        },
        "echo_ms": {
            "p50": round(_quantile(echo, 0.5), 1),
            "p95": round(_quantile(echo, 0.95), 1),
        },
        "whole_window_s": searches,
        "one_day_s": day,
        "timeline_s": timeline,
        "peak_mb": round(memory),
        "goals": [
            _measure.goal("launch to rows under 1 s", round(launch), launch < LAUNCH_MAX_MS),
            _measure.goal("key p95 under 60 ms", round(p95, 1), p95 < KEY_P95_MAX_MS),
            _measure.goal("under 300 MB", round(memory), memory < MEMORY_MAX_MB),
            *(
                _measure.goal(f"{name} of {what} under {most:g} s", took, took < most)
                for what, of, most in (
                    ("one day", day, DAY_MAX_S),
                    ("30 days", searches, MONTH_MAX_S),
                )
                for name, took in of.items()
            ),
        ],
    }
    _measure.emit("tui", document)


def _keys(terminal: _Terminal, total: int, rounds: int) -> dict[str, list[float]]:
    """Milliseconds from a key to the screen that answers it, by key."""
    found: dict[str, list[float]] = {key: [] for key in _MOVES}
    terminal.wait("counted", there=False)
    at = 1
    for number in range(rounds):
        for key, moved in _MOVES.items():
            at = moved(at, total)
            took = terminal.press(key, f" {at:,} of ", row=True)
            if number:  # the first round meets cold files
                found[key].append(took * 1000)
    return found


def _echo(terminal: _Terminal, count: int) -> list[float]:
    """Milliseconds from a key to the screen for a program that does nothing but count keys."""
    terminal.type(f"exec {_measure.PYTHON} -c '{_COUNTER}'")
    terminal.send("Enter")
    terminal.wait("<0>")
    return [terminal.press("j", f"<{number}>") * 1000 for number in range(1, count + 1)]


def _searches(terminal: _Terminal, total: int) -> dict[str, float]:
    """Seconds until a filter, many matches and few, and an order are whole."""
    everything = f" of {total:,}"

    def whole(lines: list[str], end: str) -> bool:
        (bar,) = (line for line in lines if line.startswith("filter"))
        return bar.endswith(end) if end else not bar.endswith((everything, "ends", "filter"))

    terminal.wait("counted", there=False)
    found = {}
    for name, condition in (("filter_many", "score > 0.5"), ("filter_few", "score > 0.9999")):
        terminal.send("/")
        terminal.type(condition)
        began = time.perf_counter()
        terminal.send("Enter")
        terminal.until(lambda lines: whole(lines, ""))
        found[name] = round(time.perf_counter() - began, 2)
        terminal.send("Escape")
        terminal.until(lambda lines: whole(lines, everything))
    for _ in range(3):
        terminal.send("l")
    began = time.perf_counter()
    terminal.send("S")
    terminal.until(lambda lines: "score ▼" in lines[6] and whole(lines, everything))
    found["sort"] = round(time.perf_counter() - began, 2)
    return found


def _timeline(terminal: _Terminal) -> dict[str, float]:
    """Seconds until the timeline stands there, and until all its rates are counted."""

    def there(lines: list[str]) -> bool:
        return "› timeline" in lines[0] and " changes" in lines[0]

    began = time.perf_counter()
    terminal.send("t")
    terminal.until(there)
    opened = time.perf_counter() - began
    terminal.until(lambda lines: there(lines) and not any("counting" in x for x in lines[:3]))
    return {"opened": round(opened, 2), "counted": round(time.perf_counter() - began, 2)}


class _Terminal:
    """A tmux server with one window, and a client that gives it commands."""

    def __init__(self, name: str) -> None:
        self._tmux = ["tmux", "-L", name, "-f", "/dev/null"]
        size = ["-x", str(_WIDTH), "-y", str(_HEIGHT)]
        subprocess.run(
            [*self._tmux, "new-session", "-d", *size, "sh"], check=True, env=_measure.ENVIRONMENT
        )
        # An escape must not wait for what may follow it.
        subprocess.run([*self._tmux, "set", "-s", "escape-time", "0"], check=True)
        self._client = subprocess.Popen(
            [*self._tmux, "-C", "attach"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            errors="replace",  # it tells what the terminal gets in pieces that may end anywhere
        )
        self._ask("refresh-client", f"-C {_WIDTH}x{_HEIGHT}")

    def close(self) -> None:
        subprocess.run([*self._tmux, "kill-server"], check=False)
        self._client.communicate()

    def _ask(self, *words: str) -> list[str]:
        """Do one command, and what it answers."""
        assert self._client.stdin is not None
        assert self._client.stdout is not None
        self._client.stdin.write(" ".join(words) + "\n")
        self._client.stdin.flush()
        found: list[str] | None = None
        for line in self._client.stdout:
            if line.startswith("%begin") and line.rstrip().endswith(" 1"):
                found = []
            elif line.startswith(("%end", "%error")) and found is not None:
                return found
            elif found is not None and not line.startswith("%output"):
                found.append(line.rstrip("\n"))
        raise SystemExit("tmux has ended.")

    def screen(self) -> list[str]:
        return self._ask("capture-pane", "-p")

    def send(self, key: str) -> None:
        self._ask("send-keys", key)

    def type(self, text: str) -> None:
        quoted = text.replace("\\", "\\\\").replace('"', '\\"')
        self._ask("send-keys", "-l", f'"{quoted}"')

    def wait(self, text: str, *, there: bool = True, row: bool = False) -> None:
        """Until the screen shows ``text``, or no longer; with ``row`` the cursor's row too."""
        self.until(
            lambda lines: (
                any(text in line for line in lines) == there
                and (not row or any(line.startswith(">") for line in lines))
            )
        )

    def until(self, shown: Callable[[list[str]], bool]) -> None:
        """Until the screen is as it is to be."""
        limit = time.perf_counter() + _PATIENCE_S
        while time.perf_counter() < limit:
            if shown(self.screen()):
                return
            time.sleep(0.002)
        raise SystemExit(
            "The screen did not become what it was to be:\n" + "\n".join(self.screen())
        )

    def press(self, key: str, text: str, *, row: bool = False) -> float:
        """Seconds from a key to a screen that shows ``text``."""
        began = time.perf_counter()
        self.send(key)
        self.wait(text, row=row)
        return time.perf_counter() - began

    def launch(self, root: Path, total: str, *options: str) -> float:
        """Seconds from the command to the first rows."""
        words = " ".join([FORENSICS, "tui", "--fresh", "--lake", str(root), *options])
        self.type(f"exec {words}")
        began = time.perf_counter()
        self.send("Enter")
        self.wait(total, row=True)
        return time.perf_counter() - began

    def cpu_s(self) -> float:
        """Processor time of the program so far."""
        fields = self._proc("stat").rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def _proc(self, name: str) -> str:
        (pid,) = self._ask("display-message", "-p", '"#{pane_pid}"')
        return Path(f"/proc/{pid}/{name}").read_text(encoding="utf-8")

    def peak_mb(self) -> float:
        status = self._proc("status")
        (peak,) = (line for line in status.splitlines() if line.startswith("VmHWM"))
        return int(peak.split()[1]) / 1024


@contextlib.contextmanager
def _terminal() -> Iterator[_Terminal]:
    terminal = _Terminal(f"forensics-bench-{os.getpid()}-{time.monotonic_ns()}")
    try:
        yield terminal
    finally:
        terminal.close()


def _quantile(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return ordered[min(math.ceil(share * len(ordered)) - 1, len(ordered) - 1)]


def _version() -> str:
    return subprocess.run(["tmux", "-V"], check=True, capture_output=True, text=True).stdout.strip()


if __name__ == "__main__":
    main()
