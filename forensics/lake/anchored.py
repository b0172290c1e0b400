"""The files of an anchor, and whether they are what was kept.

What others signed there only their keys can tell. A file of SHA-256 sums, as ``sha256sum -c`` reads
it, keeps out a disk's accidents; anchors of older versions have none.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

from forensics.lake.files import write_durably

#: In the folder of an anchor, the digests of its files.
SUMS = "SHA256SUMS"


def keep(folder: Path, files: Mapping[str, bytes]) -> None:
    """Keep files of an anchor, with the sums of all that is there."""
    (folder / SUMS).unlink(missing_ok=True)  # so that a death in between looks like no damage
    for name, data in files.items():
        write_durably(folder / name, data)
    there = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    lines = [_sum(path) + f"  {path.name}\n".encode() for path in there]
    write_durably(folder / SUMS, b"".join(lines))


def damaged(folder: Path) -> list[str]:
    """Names of files of an anchor that are not what was kept, or are gone."""
    try:
        data = (folder / SUMS).read_bytes()
    except FileNotFoundError:
        return []
    there = {
        path.name.encode(): _sum(path)
        for path in folder.iterdir()
        if path.name != SUMS and not path.name.startswith(".")
    }
    said = {name: sum_ for sum_, _, name in (line.partition(b"  ") for line in data.splitlines())}
    whole = b"".join(said[name] + b"  " + name + b"\n" for name in sorted(said)) == data
    wrong = sorted(name for name in {*there, *said} if there.get(name) != said.get(name))
    return [name.decode("utf-8", "replace") for name in wrong] or ([] if whole else [SUMS])


def _sum(path: Path) -> bytes:
    return hashlib.sha256(path.read_bytes()).hexdigest().encode()
