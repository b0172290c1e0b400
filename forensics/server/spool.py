"""The spool: what was acknowledged and is not in the lake yet, as lines in files that survive.

``LAKE/spool/<folder>/<name>.open`` is being written by the one process that holds its lock, and
``<name>.jsonl`` is closed. A name is never used twice. A line is acknowledged once it is synced,
and what follows the last synced line of a dead process was never acknowledged: where that is half
a line, it is cut off.

A closed file's name ends in the CRC-32 of what was written to it, reckoned from the memory that it
was written from, and behind whatever is acknowledged together a line of blanks says that of all
before it: what a disk changes meanwhile is not taken in, also where the writer died. See
:mod:`forensics.lake.spooled`.
"""

from __future__ import annotations

import fcntl
import os
import secrets
import time
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from forensics.errors import ForensicsError
from forensics.lake import spool_key
from forensics.lake.files import sync
from forensics.lake.spooled import blanks, check

#: The folder whose lines are OpenLineage events; those of all others say what they are.
EVENTS = "lineage"
#: Every file begins with an empty line: no first record can make it look packed to its reader.
_FIRST = b"\n"
_OPEN, _CLOSED, _NEW = ".open", ".jsonl", ".new"
_BLOCK_BYTES = 1 << 16
#: A file of this name that is so old belongs to nobody.
_NEW_AGE_MAX_S = 3600

__all__ = ["Backlog", "Spool", "adopt", "backlog", "check", "claimed", "closed", "done"]

_sync_data = getattr(os, "fdatasync", os.fsync)


@dataclass(slots=True)
class _Live:
    path: Path
    descriptor: int
    began: float
    #: Synced, and so acknowledged.
    durable_bytes: int = 0
    crc: int = 0
    rows: int = 0
    #: Encrypts what is acknowledged together; None where it stands as it was received.
    sealer: Callable[[bytes], bytes] | None = None


class Spool:
    """The files that one process writes. All calls come from one thread at a time."""

    def __init__(
        self, root: Path, *, rows_max: int, seconds_max: float, bytes_max: int = 16 << 20
    ) -> None:
        self._root = root / "spool"
        self._rows_max, self._seconds_max, self._bytes_max = rows_max, seconds_max, bytes_max
        self._live: dict[str, _Live] = {}
        self.sync_seconds = 0.0
        self.syncs = 0

    def append(self, group: Mapping[str, Sequence[bytes]]) -> bool:
        """Make records durable, all of a group with one sync for each folder.

        Args:
            group: lines without their ends, by folder.

        Returns:
            Whether a file was closed and can be taken into the lake.

        Raises:
            OSError: when the disk does not take them; then none of the group is acknowledged, and
                what was acknowledged before is still whole.
        """
        closed = False
        for folder, lines in group.items():
            live = self._live.get(folder) or self._begin(folder)
            try:
                data = b"".join(line + b"\n" for line in lines)
                if live.sealer is not None:
                    data = live.sealer(data)
                self._write(live, data + blanks(zlib.crc32(data, live.crc)) + b"\n")
            except OSError:
                self._abandon(folder, live)
                raise
            live.rows += len(lines)
            if live.rows >= self._rows_max or live.durable_bytes >= self._bytes_max:
                closed |= self._close(folder, live)
        return closed

    def close_due(self, *, all_of_them: bool = False) -> tuple[bool, float | None]:
        """Close the files that are old enough.

        Returns:
            Whether there were any, and the seconds until the next is due, None without one.
        """
        now = time.monotonic()
        live = list(self._live.items())
        due = [(f, x) for f, x in live if all_of_them or x.began + self._seconds_max <= now]
        for folder, file in due:
            self._close(folder, file)
        left = [file.began + self._seconds_max - now for file in self._live.values()]
        return bool(due), min(left, default=None)

    def _begin(self, folder: str) -> _Live:
        sealer = self._sealer()
        place = self._root / folder
        if not place.is_dir():
            place.mkdir(parents=True, exist_ok=True)
            sync(self._root)
            sync(self._root.parent)
        name = f"{folder}-{datetime.now(UTC):%Y%m%dT%H%M%S.%fZ}-{secrets.token_hex(4)}"
        new = place / f"{name}{_NEW}"
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_APPEND
        descriptor = os.open(new, flags, 0o600)
        try:
            # Locked before it has a name that others look for: nobody takes it for an orphan.
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path = new.with_suffix(_OPEN)
            new.rename(path)
            sync(place)
            live = _Live(path, descriptor, time.monotonic(), sealer=sealer)
            self._write(live, _FIRST)
        except OSError:
            os.close(descriptor)
            raise
        self._live[folder] = live
        return live

    def _sealer(self) -> Callable[[bytes], bytes] | None:
        try:
            return spool_key.sealer(self._root.parent)
        except ForensicsError as error:  # nothing is acknowledged that would lie in the clear
            raise OSError(f"{error.what} {error.why}".rstrip(".")) from error

    def _write(self, live: _Live, data: bytes) -> None:
        view = memoryview(data)
        while view:  # a full disk is a short write first, and an error only then
            view = view[os.write(live.descriptor, view) :]
        began = time.perf_counter()
        _sync_data(live.descriptor)
        self.sync_seconds += time.perf_counter() - began
        self.syncs += 1
        live.durable_bytes += len(data)
        live.crc = zlib.crc32(data, live.crc)

    def _abandon(self, folder: str, live: _Live) -> None:
        """Leave a file that the disk refused: after a failed sync nothing later in it is sure."""
        # Where that fails too, lines are taken in that nobody was told of: sent again, they are the
        # same records.
        with suppress(OSError):
            os.ftruncate(live.descriptor, live.durable_bytes)
        self._close(folder, live)

    def _close(self, folder: str, live: _Live) -> bool:
        del self._live[folder]
        try:
            if live.rows:
                name = f"{live.path.stem}-{live.crc:08x}{_CLOSED}"
                live.path.rename(live.path.with_name(name))
            else:
                live.path.unlink()
            sync(live.path.parent)
        finally:
            os.close(live.descriptor)
        return True


def adopt(root: Path) -> list[str]:
    """Close the files that dead processes left open.

    Returns:
        One note for each half line that was cut off; it was never acknowledged.
    """
    notes = []
    for path in sorted((root / "spool").glob(f"*/*{_OPEN}")):
        with _locked(path) as descriptor:
            if descriptor is None:
                continue
            torn = _cut_torn(descriptor)
            if torn:
                notes.append(
                    f"{path.name}: its last {torn:,} bytes are half a record, which was never "
                    "acknowledged; they were cut off."
                )
            if os.fstat(descriptor).st_size > len(_FIRST):
                path.rename(path.with_suffix(_CLOSED))
            else:
                path.unlink()
            sync(path.parent)
    for path in (root / "spool").glob(f"*/*{_NEW}"):  # died before it was named: empty
        if time.time() - path.stat().st_mtime > _NEW_AGE_MAX_S:
            path.unlink(missing_ok=True)
    return notes


def closed(root: Path) -> list[Path]:
    """The files that can be taken into the lake; those that were tried last come last."""
    found = []
    for path in (root / "spool").glob(f"*/*{_CLOSED}"):
        try:
            found.append((path.stat().st_mtime, path))
        except FileNotFoundError:  # somebody else's work is done
            continue
    return [path for _, path in sorted(found)]


@contextmanager
def claimed(path: Path) -> Iterator[bool]:
    """Whether a closed file is ours to take in; nobody else's until the end of the block."""
    with _locked(path) as descriptor:
        if descriptor is not None:
            # To the end of the queue: a file that kills its reader must not hold up the others.
            os.utime(descriptor)
        yield descriptor is not None


def done(path: Path) -> None:
    """Remove a file all of whose records are in the lake or in quarantine."""
    path.unlink()
    sync(path.parent)


@dataclass(frozen=True, slots=True)
class Backlog:
    """What waits for the lake."""

    files: int
    bytes: int
    #: Since the oldest of the files was begun; 0 where there is none.
    oldest_s: float


def backlog(root: Path) -> Backlog:
    """What waits for the lake, of all processes."""
    files, size, oldest = 0, 0, None
    for path in (root / "spool").glob("*/*"):
        try:
            size += path.stat().st_size
        except FileNotFoundError:
            continue
        files += 1
        begun = _begun(path)
        oldest = begun if oldest is None or begun < oldest else oldest
    return Backlog(files, size, max(0.0, time.time() - oldest) if oldest is not None else 0.0)


def _begun(path: Path) -> float:
    """When a file was begun, from its name: its times on disk change."""
    stamp = path.name.split("-")[1] if path.name.count("-") >= 2 else ""
    try:
        return datetime.strptime(stamp, "%Y%m%dT%H%M%S.%fZ").replace(tzinfo=UTC).timestamp()
    except ValueError:  # a foreign file
        return time.time()


@contextmanager
def _locked(path: Path) -> Iterator[int | None]:
    """A descriptor of the file under its lock; None when another process has it, or it is gone."""
    try:
        descriptor = os.open(path, os.O_RDWR)
    except FileNotFoundError:
        yield None
        return
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            same = os.path.samestat(os.fstat(descriptor), path.stat())
        except (BlockingIOError, FileNotFoundError):
            same = False
        yield descriptor if same else None
    finally:
        os.close(descriptor)


def _cut_torn(descriptor: int) -> int:
    """Cut what follows the last line end; how many bytes that were."""
    size = os.fstat(descriptor).st_size
    at, keep = size, 0
    while at > 0:
        start = max(0, at - _BLOCK_BYTES)
        end = os.pread(descriptor, at - start, start).rfind(b"\n")
        if end >= 0:
            keep = start + end + 1
            break
        at = start
    if keep < size:
        os.ftruncate(descriptor, keep)
        os.fsync(descriptor)
    return size - keep
