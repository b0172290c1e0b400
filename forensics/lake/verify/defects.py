"""What a verification finds: defects, gaps in what can be proven, and how far it looked."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from forensics.integrity.manifest import iso

Kind = Literal[
    "altered",  # a record, file or proof has other bytes than were sealed
    "dropped",  # a sealed record is not there
    "inserted",  # a record is there that was never sealed, or is there twice
    "reordered",  # a record stands in another's place
    "back_dated",  # times contradict the order in which things were sealed
    "misread",  # columns say something else than the received bytes
    "forged",  # the log is signed by nobody who is trusted, or contradicts itself
    "rolled_back",  # the log has lost or changed what it once had
    "derived",  # what is derived, the index or the catalog, hides or invents records
]
#: Defects of one kind are listed up to this many; all are counted.
LISTED_MAX = 200


@dataclass(frozen=True, slots=True)
class Defect:
    """One thing that is not as it was sealed. Times are microseconds since 1970 UTC."""

    kind: Kind
    statement: str
    table: str | None = None
    file: str | None = None
    segment: str | None = None
    leaf_index: int | None = None
    id: str | None = None
    first: int | None = None
    last: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping, without what is not known."""
        found = {name: value for name, value in asdict(self).items() if value is not None}
        for name in ("first", "last"):
            if name in found:
                found[name] = iso(found[name])
        return found


@dataclass(frozen=True, slots=True)
class Gap:
    """Records or claims that nothing can be proven of, and why."""

    statement: str
    records: int = 0

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return asdict(self)


@dataclass(slots=True)
class Findings:
    """Defects and gaps, the first of each kind in full."""

    defects: list[Defect] = field(default_factory=list)
    counts: Counter[str] = field(default_factory=Counter)
    gaps: list[Gap] = field(default_factory=list)

    def add(self, defect: Defect) -> None:
        """Count a defect, and list it while there is room."""
        self.counts[defect.kind] += 1
        if self.counts[defect.kind] <= LISTED_MAX:
            self.defects.append(defect)

    def gap(self, statement: str, records: int = 0) -> None:
        """Note what cannot be proven; what is said twice is added up."""
        for at, known in enumerate(self.gaps):
            if known.statement == statement:
                self.gaps[at] = Gap(statement, known.records + records)
                return
        self.gaps.append(Gap(statement, records))

    def take(self, other: Findings) -> None:
        """Add what another part found."""
        for defect in other.defects:
            if len([d for d in self.defects if d.kind == defect.kind]) < LISTED_MAX:
                self.defects.append(defect)
        self.counts += other.counts
        for gap in other.gaps:
            self.gap(gap.statement, gap.records)

    @property
    def broken(self) -> bool:
        """Whether anything is not as it was sealed."""
        return bool(self.counts)


def altered_file(location: str, statement: str, **more: Any) -> Defect:
    """That a data file, as ``table/file``, is not what it was."""
    table, _, name = location.rpartition("/")
    return Defect("altered", statement, table=table, file=name, **more)


def named(values: Iterable[str], most: int = 3) -> str:
    """The first of ``values`` and how many more there are."""
    listed = list(values)
    more = f" and {len(listed) - most:,} more" if len(listed) > most else ""
    return ", ".join(listed[:most]) + more
