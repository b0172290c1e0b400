"""No bit of what waits outside the tables can change unseen: small files, every bit of them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from forensics.ingest import quarantine
from forensics.ingest.interface import Reject
from forensics.lake import looks, spooled
from forensics.lake.verify import beside
from forensics.lake.verify.defects import Findings
from forensics.server.spool import Spool


def each_bit(path: Path) -> Iterator[int]:
    """Flip each bit of a file in turn."""
    data = path.read_bytes()
    for bit in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        yield bit
    path.write_bytes(data)


def names(lake: Path) -> list[str | None]:
    found = Findings()
    beside.spool(lake, found)
    beside.quarantine(lake, found)
    return [defect.file for defect in found.defects]


def made(lake: Path, kind: str) -> Path:
    if kind.startswith("spool"):
        writing = Spool(lake, rows_max=9, seconds_max=60)
        writing.append({"records": [b'{"a": 1}', b'{"a": 2}']})
        writing.append({"records": [b'{"a": 3}']})
        if kind == "spool, closed":
            writing.close_due(all_of_them=True)
        (path,) = (lake / "spool" / "records").iterdir()
    elif kind == "looks":
        looks.saw(lake, ["d-1"])
        path = lake / "spool" / "access.log"
    else:
        kept = quarantine.keep(lake, "log", [Reject(1, "It is none", b"no"), Reject(2, "", b"x")])
        quarantine.resolve(lake, [kept[0].id])
        path = lake / "quarantine" / "resolved.txt"
        if kind == "quarantine":
            (path,) = (lake / "quarantine").glob("*.jsonl")
    return path


@pytest.mark.parametrize(
    "kind", ["spool, closed", "spool, open", "looks", "quarantine", "resolved"]
)
def test_every_flipped_bit_is_named(lake: Path, kind: str) -> None:
    looks._last.clear()
    path = made(lake, kind)
    inside = path.relative_to(lake).as_posix()
    assert names(lake) == []
    silent = [bit for bit in each_bit(path) if inside not in names(lake)]
    # A file that lost the end of its first line, or a group its checksum, is read as it was.
    assert silent == [] or (kind == "spool, open" and harmless(path, silent))
    assert names(lake) == []


def harmless(path: Path, bits: list[int]) -> bool:
    """Whether flipping any of ``bits`` leaves the records of the file as they are."""

    def records(data: bytes) -> list[bytes]:
        return [line for line in data.split(b"\n") if line.strip()]

    data = path.read_bytes()
    for bit in bits:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        if records(bytes(flipped)) != records(data):
            return False
    return True


def test_lines_of_older_versions_have_no_checksum_and_are_read() -> None:
    line = b'{"a": 1}'
    assert spooled.unsigned(line) == line
    assert spooled.unsigned(spooled.signed(line)) == line
    assert spooled.unsigned(spooled.signed(line) + b" ") is None
    assert spooled.unsigned(line + b" ") is None


def test_a_file_of_an_older_version_is_taken_in(lake: Path, take_in: Any) -> None:
    path = lake / "spool" / "records" / "records-20260101T000000.000000Z-deadbeef.jsonl"
    path.parent.mkdir(parents=True)
    path.write_bytes(b'\n{"a": 1}\n')
    spooled.check(path)
