"""Whether what waits in ``LAKE/spool`` is what was written there.

Checksums are CRC-32, which keeps out a disk's accidents and not attackers, written as 32 blanks:
a space for 0 and a tab for 1. Behind a line of JSON, or on a line of their own, blanks say nothing
to any reader of JSON lines.
"""

from __future__ import annotations

import re
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from forensics.errors import IntegrityError

if sys.platform != "win32":
    import fcntl

_TWO = b" \t"
_BLANKS = 32
_TO_BLANKS = bytes.maketrans(b"01", _TWO)
_SUM_LINE = re.compile(rb"[ \t]{32}\n")
#: A closed file's name ends in the CRC-32 of all of it.
_SUMMED = re.compile(r"-[0-9a-f]{8}-([0-9a-f]{8})\.jsonl$")


def blanks(crc: int) -> bytes:
    """A checksum in 32 blanks."""
    return f"{crc:032b}".encode().translate(_TO_BLANKS)


def signed(line: bytes) -> bytes:
    """A line of JSON, without its end, with its checksum behind it."""
    return line + blanks(zlib.crc32(line))


def unsigned(line: bytes) -> bytes | None:
    """A line of JSON without its checksum; None where it is not what was written.

    Lines of older versions have no checksum and are given as they are.
    """
    text = line.rstrip(b" \t\r")
    if text != line:
        return text if line == signed(text) else None
    # The last of its blanks may be what is damaged.
    return None if len(line) >= _BLANKS and not line[-_BLANKS:-1].strip(_TWO) else line


def check(path: Path) -> None:
    """See that a file of acknowledged records is what was written, as far as its checksums tell.

    The name of a closed file says the one of all of it; in a file whose process lives, or died, a
    line of blanks stands after whatever was acknowledged together, with that of all before it.

    Raises:
        IntegrityError: when it is not.
        OSError: when it cannot be read.
    """
    match = _SUMMED.search(path.name)
    if match is not None:
        crc = 0
        with path.open("rb") as stream:
            while part := stream.read(1 << 20):
                crc = zlib.crc32(part, crc)
        if crc != int(match[1], 16):
            raise _other(path, crc)
        return
    crc, sound = 0, True
    with path.open("rb") as stream:
        for line in stream:
            if _SUM_LINE.fullmatch(line):
                sound = sound and line[:-1] == blanks(crc)
            elif _was_sum(line, crc):
                sound = False
            crc = zlib.crc32(line, crc)
    if not sound:
        raise _other(path, crc)


def _was_sum(line: bytes, crc: int) -> bool:
    """Whether one bit of a line of blanks, or of the end of the line before it, was flipped."""
    if len(line) >= _BLANKS - 1 and len(line.strip(b"\n").translate(None, _TWO)) <= 1:
        return True
    end = line[-_BLANKS - 1 : -1]
    return end == blanks(zlib.crc32(line[: -_BLANKS - 2] + b"\n", crc))


def damaged(root: Path) -> Iterator[tuple[Path, str]]:
    """Files in the spool that are not what was written, and what is wrong with each."""
    folder = root / "spool"
    for path in sorted(folder.glob("*/*")):
        if path.suffix in (".jsonl", ".open"):
            try:
                check(path)
            except IntegrityError as error:
                yield path, error.what
            except FileNotFoundError:  # it was taken in just now
                continue
    for path in look_files(root):
        try:
            *lines, rest = _whole(path).split(b"\n")
        except FileNotFoundError:
            continue
        numbers = [number for number, line in enumerate(lines, 1) if unsigned(line) is None]
        if rest:
            numbers.append(len(lines) + 1)
        if numbers:
            named = ", ".join(map(str, numbers[:5]))
            yield path, f"{path.name} in the spool has looks that are not what was written: {named}"


def _whole(path: Path) -> bytes:
    """The lines of a file of looks while nobody writes one."""
    with path.open("rb") as stream:
        if sys.platform != "win32":
            fcntl.flock(stream.fileno(), fcntl.LOCK_SH)
        return stream.read()


def look_files(root: Path) -> list[Path]:
    """The files of looks that wait to be taken in."""
    folder = root / "spool"
    return [path for path in (folder / "access.log", *sorted(folder.glob("access-*.landing")))
            if path.is_file()]  # fmt: skip


def _other(path: Path, crc: int) -> IntegrityError:
    return IntegrityError(
        f"{path.name} in the spool is not what was written to it.",
        "Nothing of it is taken in: its CRC-32 is another.",
        f"Compare it with what the sender has. Put -{crc:08x} before .jsonl to let it in as it is.",
    )
