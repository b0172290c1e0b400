"""The sealed list of a segment's leaves, as the log vouches for it, and what is seen on the way."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from forensics.errors import IntegrityError
from forensics.integrity.leaf import leaf_hash
from forensics.integrity.manifest import Manifest
from forensics.integrity.tree import HASH_BYTES
from forensics.lake import sealed, sql
from forensics.lake.protect import opened
from forensics.lake.seal import around_sql
from forensics.lake.sealed import Sealed
from forensics.lake.verify import relist
from forensics.lake.verify.chain import SegmentEntry
from forensics.lake.verify.defects import Defect, Findings
from forensics.lake.verify.relist import Made


@dataclass(slots=True)
class Seen:
    """What a file holds: which leaves of each segment, as one byte each, and what was found."""

    rows: int = 0
    segments: dict[str, bytearray] = field(default_factory=dict)
    manifests: dict[str, Manifest] = field(default_factory=dict)
    findings: Findings = field(default_factory=Findings)
    #: Sealed records whose columns were compared with their bytes.
    compared: int = 0
    #: Whether the file could not be read as a whole.
    unreadable: bool = False
    #: Lists of leaves whose files are damaged, as they have to be.
    restored: dict[str, Sealed] = field(default_factory=dict)
    #: Leaves of records that say that they were erased, by the erasure.
    erased: dict[str, list[bytes]] = field(default_factory=dict)


def made(root: Path, connection: sql.Connection, table: str, file: str, segment: str) -> Made:
    """What the records of a segment in one data file give as its list."""
    path = sql.literal(str(root / table / file))
    found = {}
    rows = connection.execute(
        f"SELECT leaf_index, raw, salt, leaf, {around_sql(table)} "
        f"FROM read_parquet({path}) WHERE segment = {sql.literal(segment)}"
    ).fetchall()
    for index, raw, salt, leaf, about in rows:
        plain = opened(root, raw)[0] if raw is not None else None
        if plain is not None and salt is not None:
            leaf = leaf_hash(salt, plain)
        if index is not None and leaf is not None and len(leaf) == HASH_BYTES:
            found[index] = (leaf, about)
    return found


def load(
    root: Path,
    segment: str,
    entry: SegmentEntry | None,
    seen: Seen,
    give: Callable[[], Made] = dict,
) -> Sealed | None:
    """The sealed list of a segment as the log vouches for it; damage to its file is noted.

    Args:
        root: the lake.
        segment: its name.
        entry: what the log says of it; None where it says nothing.
        seen: takes what is found, and the manifest.
        give: gives what its records give as the list, for when the file is damaged.

    Returns:
        None where the log says nothing of it, or a damaged file cannot be told again.
    """
    if entry is None:
        return None
    file = sealed.file_of(root, segment).relative_to(root).as_posix()
    try:
        listed = sealed.read(root, segment)
        manifest = listed.manifest
        if listed.records + 1 != entry.size or listed.root != entry.root:
            raise IntegrityError("Its leaves do not give the root that was sealed.")
        if sealed.digest(listed.around) != manifest.rows or manifest.segment != segment:
            raise IntegrityError("It is not what its manifest says.")
    except IntegrityError as error:
        data = relist.bytes_of(root, segment)
        again = relist.relisted(data, segment, entry.size, entry.root, give())
        what = f"The list of leaves of segment {segment} is not what was sealed"
        if again is None:
            seen.findings.add(Defect("altered", f"{what}. {error}", file=file, segment=segment))
            return None
        what += (
            f": {relist.differences(data, again)}. The records and the sealed root tell what was "
            "there: forensics compact --mend-log writes it again."
        )
        seen.findings.add(Defect("altered", what, file=file, segment=segment))
        seen.restored[segment] = again
        listed, manifest = again, again.manifest
    seen.manifests[segment] = manifest
    return listed
