"""The process that takes closed spool files into the lake, beside the one that answers.

Ingest takes a core for seconds; in a process of its own, and a little nicer than the server, it
delays no answer. It is told to look by a line on standard input, looks each second anyway, and ends
once that input does: when the server stops, or is killed. It says what it did as JSON lines.
"""

from __future__ import annotations

import io
import json
import os
import select
import signal
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from forensics.errors import ForensicsError
from forensics.server import spool

Tell = Callable[[dict[str, Any]], None]

_NICENESS = 5
_LOOK_SECONDS = 1.0
_PATIENCE_SECONDS_MAX = 60.0
_CHECKPOINT_SECONDS = 60.0


def sweep(root: Path, tell: Tell) -> int:
    """Take in every file of the spool that no living process writes.

    Args:
        root: the lake.
        tell: told ``{"event": "landed" | "failed" | "note", …}`` of each file.

    Returns:
        How many files could not be taken in; they stay.
    """
    for text in spool.adopt(root):
        tell({"event": "note", "text": text})
    failed = 0
    for path in spool.closed(root):
        with spool.claimed(path) as ours:
            if ours:
                failed += not _land(root, path, tell)
    return failed


def _land(root: Path, path: Path, tell: Tell) -> bool:
    # With the engines behind it, this takes half a second: the first sweep of an idle server.
    from forensics.ingest import packed
    from forensics.ingest.json_lines import JsonLines
    from forensics.ingest.run import run
    from forensics.lake import spool_key

    began = time.perf_counter()
    try:
        spool.check(path)
        events_only = path.parent.name == spool.EVENTS
        lines = spool_key.plain(root, path)
        if lines is None:
            source = JsonLines.open(path, events_only=events_only)
        else:
            stream = packed.buffered(io.BytesIO(lines))
            source = JsonLines(path.name, stream, len(lines), events_only=events_only)
        report = run(root, source, workers=0)
        spool.done(path)
    except ForensicsError as error:
        tell({"event": "failed", "file": path.name, "what": error.what, "why": error.why})
        return False
    except OSError as error:
        what, why = f"{path.name} cannot be landed.", f"{error.strerror or error}."
        tell({"event": "failed", "file": path.name, "what": what, "why": why})
        return False
    tell(
        {
            "event": "landed",
            "file": path.name,
            "landed": report.landed_total,
            "already_present": report.already_present,
            "quarantined": report.quarantined_total,
            "seconds": round(time.perf_counter() - began, 3),
        }
    )
    return True


def keep_current(root: Path, tell: Tell) -> None:
    """Take in looks, and have the log's checkpoint say that time went on, also when nothing lands.

    A checkpoint is never older than :data:`_CHECKPOINT_SECONDS` while a server runs, so that who
    puts an older lake in its place is found out by how old its checkpoint is.

    Args:
        root: the lake.
        tell: told ``{"event": "note", …}`` where that fails; the next time tries again.
    """
    checkpoint = root / "log" / "checkpoint"
    try:
        old = time.time() - checkpoint.stat().st_mtime > _CHECKPOINT_SECONDS
    except OSError:  # nothing was sealed yet
        return
    if not old:
        return
    from forensics.ingest.looks import land
    from forensics.lake.seal_anchor import advance

    try:
        land(root)
        advance(root)
    except (ForensicsError, OSError) as error:
        tell({"event": "note", "text": f"The log's checkpoint is not renewed: {error}"})


def main(root: Path) -> int:
    """Sweep until standard input ends, then once more; 1 when files stay behind."""
    # The server ends us by closing the input, after it has closed its files.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    os.nice(_NICENESS)
    failures = 0
    while True:
        failures = failures + 1 if sweep(root, _print) else 0
        keep_current(root, _print)
        patience = min(_LOOK_SECONDS * 2**failures, _PATIENCE_SECONDS_MAX)
        if _input_ended(patience, heed_calls=failures == 0):
            return 1 if sweep(root, _print) else 0


def _input_ended(seconds: float, *, heed_calls: bool) -> bool:
    """Wait for so long, or until called; whether nobody can call any more."""
    deadline = time.monotonic() + seconds
    while (left := deadline - time.monotonic()) > 0:
        if select.select([sys.stdin.fileno()], [], [], left)[0]:
            if not os.read(sys.stdin.fileno(), 1 << 16):
                return True
            if heed_calls:
                return False
    return False


def _print(event: dict[str, Any]) -> None:
    try:
        sys.stdout.write(json.dumps(event) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:  # the server is dead; its records are to land all the same
        sys.stdout = open(os.devnull, "w", encoding="utf-8")  # noqa: SIM115, PTH123


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
