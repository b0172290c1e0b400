"""The manifest of a segment: its first leaf, which says what the segment is and how much it holds.

Without it a proof would show that a record was sealed, but not that no other record of the same
batch was left out; the count and the link to the segment before close that gap.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, fields
from datetime import UTC, datetime, timedelta

from forensics.errors import IntegrityError

_HEAD = "decision-forensics/segment/1"
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_FORM = re.compile(
    r"decision-forensics/segment/1\n"
    r"lake ([^\n]+)\nsegment ([0-9a-f]{32})\ntable ([a-z0-9_/]+)\nrecords ([1-9][0-9]*)\n"
    r"first (\S+)\nlast (\S+)\nreceived (\S+) (\S+)\nrows sha256:([0-9a-f]{64})\n"
    r"sealed (\S+)( late)?\nprevious ([0-9a-f]{32}|none)\n"
)


@dataclass(frozen=True, slots=True)
class Manifest:
    """What a segment is. Times are microseconds since 1970 UTC.

    ``rows`` is the SHA-256 of the list of the records' ids and surroundings; ``late`` says that
    the segment was not sealed when it was committed, so that nothing is promised of it before
    ``sealed``.
    """

    lake: str
    segment: str
    table: str
    records: int
    first: int
    last: int
    received_first: int
    received_last: int
    rows: str
    sealed: int
    late: bool
    previous: str | None

    def text(self) -> str:
        """The canonical text, whose bytes are the leaf's entry."""
        times = (self.first, self.last, self.received_first, self.received_last, self.sealed)
        first, last, received_first, received_last, sealed = map(iso, times)
        return (
            f"{_HEAD}\nlake {self.lake}\nsegment {self.segment}\ntable {self.table}\n"
            f"records {self.records}\nfirst {first}\nlast {last}\n"
            f"received {received_first} {received_last}\nrows sha256:{self.rows}\n"
            f"sealed {sealed}{' late' if self.late else ''}\nprevious {self.previous or 'none'}\n"
        )

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The manifest that ``data`` writes.

        Raises:
            IntegrityError: when it is none in canonical form.
        """
        try:
            text = data.decode("utf-8")
            match = _FORM.fullmatch(text)
            if match is None:
                raise ValueError
            lake, segment, table, records, *times, rows, sealed, late, previous = match.groups()
            first, last, received_first, received_last = map(micros, times)
            found = cls(
                lake=lake,
                segment=segment,
                table=table,
                records=int(records),
                first=first,
                last=last,
                received_first=received_first,
                received_last=received_last,
                rows=rows,
                sealed=micros(sealed),
                late=late is not None,
                previous=None if previous == "none" else previous,
            )
        except ValueError:
            raise IntegrityError("A segment's manifest cannot be read.") from None
        if found.text() != text:
            raise IntegrityError("A segment's manifest is not in its canonical form.")
        return found

    def differences(self, other: Manifest) -> list[str]:
        """Names of the fields in which ``other`` differs."""
        return [f.name for f in fields(self) if getattr(self, f.name) != getattr(other, f.name)]


def iso(time_us: int) -> str:
    """A time as it is written: ISO 8601, UTC, microseconds; out of range as the number itself."""
    try:
        time = _EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return str(time_us)
    return time.strftime("%Y-%m-%dT%H:%M:%S.%fZ") if time.year >= 1000 else str(time_us)


def micros(text: str) -> int:
    """What :func:`iso` wrote.

    Raises:
        ValueError: when it is no time.
    """
    if text.isascii() and text.removeprefix("-").isdigit():
        return int(text)
    time = datetime.fromisoformat(text)
    if time.tzinfo is None:
        raise ValueError(text)
    return (time - _EPOCH) // timedelta(microseconds=1)
