"""Zip archives of evidence: written so that the same files give the same bytes, read as hostile.

The reader is strict on purpose. Two programs that read one archive differently are how a forged
file hides behind a sound one, so every form that has two readings is refused: local headers that
contradict the directory, names that differ in case alone, data between, before or behind the files.
"""

from __future__ import annotations

import os
import re
import stat
import struct
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, NamedTuple

from forensics.errors import IntegrityError, UsageError

#: The first time that a zip archive can say; ours say no other.
_TIME = (1980, 1, 1, 0, 0, 0)
_CHUNK = 1 << 20
#: Deflate cannot pack more than 1,032 times; evidence hardly packs 100 times.
RATIO_MAX = 100
TOTAL_BYTES_MAX = 3 << 30
MEMBERS_MAX = 60_000
#: What is read at once; artifacts are read in parts.
WHOLE_BYTES_MAX = 256 << 20
_NAME_MAX = 200
_PART = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_-])?")
_WINDOWS = re.compile(r"(?i)(con|prn|aux|nul|com[0-9]|lpt[0-9])(\..*)?")

_END = struct.Struct("<4s4H2LH")
_CENTRAL = struct.Struct("<4s6H3L5H2L")
_LOCAL = struct.Struct("<4s5H3L2H")

Content = bytes | Path


def write(target: Path, members: Mapping[str, Content]) -> None:
    """Write an archive, which appears whole or not at all and which only its owner can read.

    Args:
        target: where to; what is there is replaced.
        members: bytes, or a file to take them from, by name.

    Raises:
        OSError: when it cannot be written.
    """
    temporary = target.with_name(f".{target.name}.{os.getpid()}.tmp")
    temporary.unlink(missing_ok=True)
    try:
        descriptor = os.open(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w+b") as stream:
            with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED, allowZip64=False) as archive:
                for name in sorted(members):
                    _add(archive, name, members[name])
            stream.flush()
            os.fsync(stream.fileno())
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)


def _add(archive: zipfile.ZipFile, name: str, content: Content) -> None:
    info = zipfile.ZipInfo(name, _TIME)
    info.create_system = 3
    info.external_attr = (stat.S_IFREG | 0o644) << 16
    if isinstance(content, bytes):
        packed = zlib.compressobj(6, zlib.DEFLATED, -15)
        size = len(packed.compress(content)) + len(packed.flush())
        # What packs better than a reader believes is kept as it is.
        if size * RATIO_MAX >= len(content) * 2 and size < len(content):
            info.compress_type = zipfile.ZIP_DEFLATED
        archive.writestr(info, content)
        return
    info.file_size = content.stat().st_size
    with content.open("rb") as source, archive.open(info, "w") as sink:
        while part := source.read(_CHUNK):
            sink.write(part)


class Member(NamedTuple):
    """One file of an archive: where its packed bytes begin, and how many there are."""

    name: str
    packed: bool
    at: int
    packed_size: int
    size: int
    crc: int


class Archive:
    """An archive that somebody else may have made.

    Nothing of it is ever written to disk, and no name of it is ever opened.

    Raises:
        UsageError: when it cannot be opened.
        IntegrityError: when it is no archive as bundles are.
    """

    def __init__(self, path: Path) -> None:
        try:
            self._stream: BinaryIO = path.open("rb")
        except OSError as error:
            raise UsageError(f"{path} cannot be opened.", f"{error.strerror}.") from error
        try:
            if not stat.S_ISREG(os.fstat(self._stream.fileno()).st_mode):
                raise UsageError(f"{path} is no file.")
            self.members = {member.name: member for member in self._directory()}
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Archive:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def read(self, name: str) -> bytes:
        """The bytes of one file.

        Raises:
            KeyError: when it is not there.
            IntegrityError: when it is not what the directory says, or too large to read at once.
        """
        if self.members[name].size > WHOLE_BYTES_MAX:
            raise refused(f"{name} is larger than a file of its kind can be")
        return b"".join(self.parts(name))

    def parts(self, name: str) -> Iterator[bytes]:
        """The bytes of one file in parts of at most a megabyte.

        Raises:
            KeyError: when it is not there.
            IntegrityError: when it is not what the directory says.
        """
        member = self.members[name]
        self._stream.seek(member.at)
        left, size, crc = member.packed_size, 0, 0
        unpack = zlib.decompressobj(-15) if member.packed else None
        pending = b""
        while True:
            if not pending and left:
                pending = self._stream.read(min(_CHUNK, left))
                left -= len(pending)
                if not pending:
                    raise refused(f"{name} breaks off")
            if unpack is None:
                part, pending = pending, b""
            else:
                try:
                    part = unpack.decompress(pending, _CHUNK)
                except zlib.error as error:
                    raise refused(f"{name} cannot be unpacked") from error
                pending = unpack.unconsumed_tail
                if unpack.unused_data or (unpack.eof and left):
                    raise refused(f"{name} is followed by bytes that belong to no file")
            if not part and not pending and not left:
                break
            size += len(part)
            if size > member.size:
                raise refused(f"{name} is larger than the directory says")
            crc = zlib.crc32(part, crc)
            if part:
                yield part
        if size != member.size or crc != member.crc or (unpack is not None and not unpack.eof):
            raise refused(f"{name} is not what the directory says")

    def _directory(self) -> list[Member]:
        end = os.fstat(self._stream.fileno()).st_size
        if end < _END.size:
            raise refused("it is too short to be a zip archive")
        self._stream.seek(end - _END.size)
        found = _END.unpack(self._stream.read(_END.size))
        magic, disk, first_disk, here, count, size, start, comment = found
        if magic != b"PK\5\6" or comment:
            raise refused("it does not end as a zip archive: cut off, or with data behind it")
        if disk or first_disk or here != count or start + size + _END.size != end:
            raise refused("its directory is not where it says")
        if not 0 < count <= MEMBERS_MAX:
            raise refused(f"it has {count:,} files")
        self._stream.seek(start)
        data = self._stream.read(size)
        members, at, offset, total = [], 0, 0, 0
        seen: set[str] = set()
        for _ in range(count):
            member, at, offset = self._member(data, at, offset)
            _check_name(member.name, seen)
            total += member.size
            if member.size > max(member.packed_size, 1) * RATIO_MAX:
                raise refused(f"{member.name} unpacks to more than {RATIO_MAX} times its size")
            if total > TOTAL_BYTES_MAX:
                raise refused(f"it unpacks to more than {TOTAL_BYTES_MAX >> 30} GiB")
            members.append(member)
        if at != size or offset != start:
            raise refused("it has bytes that belong to no file")
        return members

    def _member(self, data: bytes, at: int, offset: int) -> tuple[Member, int, int]:
        """The file whose entry begins at ``at``, the next entry, and where the file ends."""
        if at + _CENTRAL.size > len(data):
            raise refused("its directory breaks off")
        (magic, made, _, flags, method, time, date, crc, packed, size, name_size, extra, comment,
         disk, _, attributes, start) = _CENTRAL.unpack_from(data, at)  # fmt: skip
        raw = data[at + _CENTRAL.size : at + _CENTRAL.size + name_size]
        name = raw.decode("ascii", "backslashreplace")
        shown = repr(name[:_NAME_MAX])
        if magic != b"PK\1\2" or len(raw) != name_size:
            raise refused("its directory breaks off")
        if flags & 1:
            raise refused(f"{shown} is encrypted")
        if flags & ~0x800 or method not in (0, 8) or extra or comment or disk:
            raise refused(f"{shown} is packed in a way in which bundles are not")
        kind = stat.S_IFMT(attributes >> 16) if made >> 8 == 3 else 0
        if kind not in (0, stat.S_IFREG) or attributes & 0x10:
            raise refused(f"{shown} is a link, a folder or something else that is no file")
        if start != offset:
            raise refused(f"{shown} does not stand where the file before it ends")
        self._stream.seek(start)
        head = self._stream.read(_LOCAL.size + name_size)
        expected = (b"PK\3\4", flags, method, time, date, crc, packed, size, name_size, 0)
        if len(head) < _LOCAL.size + name_size:
            raise refused(f"{shown} breaks off")
        local = _LOCAL.unpack_from(head)
        if (local[0], *local[2:]) != expected or head[_LOCAL.size :] != raw:
            raise refused(f"{shown} is another file in the directory than where it stands")
        if method == 0 and packed != size:
            raise refused(f"{shown} has two sizes")
        begins = start + len(head)
        member = Member(name, method == 8, begins, packed, size, crc)
        return member, at + _CENTRAL.size + name_size, begins + packed


def is_name(name: str) -> bool:
    """Whether a file of a bundle can be called so, on every system and nowhere outside."""
    parts = name.split("/")
    return len(name) <= _NAME_MAX and all(
        _PART.fullmatch(part) and not _WINDOWS.fullmatch(part) for part in parts
    )


def _check_name(name: str, seen: set[str]) -> None:
    shown = repr(name[:_NAME_MAX])
    if not is_name(name):
        raise refused(f"{shown} is no name of a file in a bundle")
    folded = name.lower()
    if folded in seen:
        raise refused(f"{shown} is there more than once, or differs from another in case alone")
    parts = folded.split("/")
    for depth in range(1, len(parts)):
        folder = "/".join(parts[:depth])
        if folder in seen:
            raise refused(f"{shown} lies within a file")
        seen.add(folder + "/")
    if folded + "/" in seen:
        raise refused(f"{shown} is a file and a folder")
    seen.add(folded)


def refused(why: str) -> IntegrityError:
    """The error for an archive that is not read further."""
    return IntegrityError(
        "This is no evidence bundle as one is written.",
        f"{why[0].upper()}{why[1:]}.",
        "Nothing of it was unpacked. Ask for the bundle again.",
    )
