"""Timing whole processes: cold, in turns, each with what the system says that it used."""

from __future__ import annotations

import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Any

import duckdb

PYTHON = sys.executable
FORENSICS = str(Path(sys.executable).with_name("forensics"))

#: A user's installation has its byte code cached; some shells forbid writing it.
ENVIRONMENT = {key: text for key, text in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}

# DuckDB draws it on standard output, where the one JSON document is to be.
duckdb.execute("SET enable_progress_bar = false")


@dataclass(frozen=True, slots=True)
class Run:
    """One finished process: wall time, and CPU time and memory of it and its children."""

    wall_s: float
    user_s: float
    system_s: float
    #: Of the largest single process; the system counts no less than the process that started it.
    peak_mb: float
    stdout: bytes


def run(command: Sequence[str], *, accepted: Iterable[int] = (0,)) -> Run:
    """Run ``command`` to its end.

    Raises:
        SystemExit: when its exit status is none of ``accepted``; with what it said.
    """
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
        began = time.perf_counter()
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=out, stderr=err, env=ENVIRONMENT
        )
        _, status, used = os.wait4(process.pid, 0)
        wall = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        err.seek(0)
        if process.returncode not in accepted:
            said = err.read().decode(errors="replace")
            raise SystemExit(f"{' '.join(command)[:300]}\nexit {process.returncode}: {said}")
        return Run(wall, used.ru_utime, used.ru_stime, used.ru_maxrss / 1024, out.read())


def in_turns(
    commands: Mapping[str, Callable[[], Run]], rounds: int, *, warm: int = 1
) -> dict[str, list[Run]]:
    """Each command once a round, so that a slow minute of the machine meets all of them alike."""
    runs: dict[str, list[Run]] = {name: [] for name in commands}
    for number in range(-warm, rounds):
        for name, command in commands.items():
            done = command()
            if number >= 0:
                runs[name].append(done)
    return runs


def wall_ms(runs: Sequence[Run]) -> dict[str, float]:
    """Wall time in milliseconds, and the processor's share of it."""
    return {
        **spread([run.wall_s * 1000 for run in runs]),
        "cpu_median": round(statistics.median(r.user_s + r.system_s for r in runs) * 1000, 1),
    }


def spread(values: Sequence[float], digits: int = 1) -> dict[str, float]:
    return {
        "min": round(min(values), digits),
        "median": round(statistics.median(values), digits),
        "max": round(max(values), digits),
    }


def ratio(over: Sequence[Run], under: Sequence[Run]) -> dict[str, float]:
    """How many times as long: the median of neighbouring pairs, and of the two shortest runs."""
    pairs = [a.wall_s / b.wall_s for a, b in zip(over, under, strict=True)]
    shortest = min(r.wall_s for r in over) / min(r.wall_s for r in under)
    return {
        "median_of_pairs": round(statistics.median(pairs), 3),
        "of_shortest": round(shortest, 3),
    }


def goal(statement: str, measured: float, met: bool) -> dict[str, Any]:
    return {"goal": statement, "measured": measured, "met": met}


def note(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def emit(benchmark: str, document: Mapping[str, Any]) -> None:
    """Print the one answer: a line, or indented for a person."""
    whole = {"benchmark": benchmark, "machine": _machine(), **document}
    print(json.dumps(whole, indent=2 if sys.stdout.isatty() else None))


def _machine() -> dict[str, Any]:
    packages = ("decision-forensics", "duckdb", "pyarrow", "deltalake")
    return {
        "measured_at": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "cores": os.cpu_count(),
        # Far above the number of cores, others had them: trust ratios and processor time alone.
        "load_5_minutes": round(os.getloadavg()[1], 1),
        "processor": _processor(),
        "system": f"{platform.system()} {platform.release()}",
        "python": platform.python_version(),
        **{name: version(name) for name in packages},
        "commit": _commit(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def _commit() -> str | None:
    here = Path(__file__).parent
    git = ["git", "-C", str(here), "describe", "--always", "--dirty", "--exclude=*"]
    try:
        return subprocess.run(git, capture_output=True, check=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return None
