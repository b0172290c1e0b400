"""Files that survive a crash: durable writes, atomic replacement, and one writer at a time."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from forensics.errors import LakeError

if sys.platform != "win32":
    import fcntl


def sync(path: Path) -> None:
    """Force a file's or folder's content to the disk; no library that we write with does it."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_durably(path: Path, data: bytes) -> None:
    """Write ``path``: a reader sees the old file or the whole new one, also after a crash."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as stream:
        stream.write(data)
        stream.flush()
        os.fsync(stream.fileno())
    temporary.replace(path)
    sync(path.parent)


@contextmanager
def exclusive(path: Path, *, patience_s: float = 600.0) -> Iterator[None]:
    """Hold the lock file ``path``; the system releases it when the holder dies.

    Raises:
        LakeError: when another process has held it for ``patience_s`` seconds.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    try:
        _acquire(descriptor, path, patience_s)
        yield
    finally:
        os.close(descriptor)


def _acquire(descriptor: int, path: Path, patience_s: float) -> None:
    if sys.platform == "win32":  # no flock there; a lake has one writer at a time
        return
    deadline = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError:
            if time.monotonic() > deadline:
                raise LakeError(
                    f"The lake has been locked by another writer for {patience_s:.0f} s.",
                    f"Lock file: {path}.",
                    "See which process holds it, or wait and try again.",
                ) from None
            time.sleep(0.005)
