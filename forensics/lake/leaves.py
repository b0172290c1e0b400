"""The leaves of all decisions of a window as one digest, and whether received bytes still match.

A count over a window rests on all of its decisions: that the number is the same does not say that
they are.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from forensics.lake import read, sql
from forensics.lake.snapshot import Location, Snapshot

#: More than so many are not gone through: that takes a second and 130 MB.
LEAVES_MAX = 1_000_000
#: Of more than so many the received bytes are not hashed again.
BYTES_MAX = 10_000


@dataclass(frozen=True, slots=True)
class Leaves:
    """How many decisions a window holds, and a digest of their leaves in order of their bytes.

    ``altered`` are ids of decisions whose received bytes are not those of their leaf, the first
    few; None where they were not hashed. Decisions without a leaf count by their id.
    """

    decisions: int
    digest: str
    altered: tuple[str, ...] | None


def leaves(
    snapshot: Snapshot,
    points: Sequence[str],
    since_us: int | None,
    until_us: int | None,
    *,
    received: bool = False,
) -> Leaves | None:
    """The leaves of a window; None where it has more decisions than :data:`LEAVES_MAX`.

    Args:
        snapshot: the lake.
        points: whose decisions.
        since_us: from this time on.
        until_us: before this time.
        received: hash the received bytes too, where there are at most :data:`BYTES_MAX` decisions.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    last_us = None if until_us is None else until_us - 1
    conditions = ["true"]
    if since_us is not None:
        conditions.append(f"occurred_at >= make_timestamptz({since_us})")
    if until_us is not None:
        conditions.append(f"occurred_at < make_timestamptz({until_us})")
    count, found, places = 0, [], []
    with sql.reading("A table of decisions"):
        for point in points:
            table = f"decisions/{point}"
            paths = snapshot.paths(table, since_us, last_us)
            if not paths:
                continue
            source = (
                f"read_parquet({sql.literal(paths)}, union_by_name = true, filename = true, "
                f"file_row_number = true) WHERE {' AND '.join(conditions)}"
            )
            count += _number(snapshot, f"SELECT count(*) FROM {source}")
            if count > LEAVES_MAX:
                return None
            names = {
                row[0] for row in snapshot.connection.execute(f"DESCRIBE FROM {source}").fetchall()
            }
            leaf = "leaf" if "leaf" in names else "NULL"  # another program may have written them
            result = snapshot.connection.execute(f"SELECT {leaf}, decision_id FROM {source}")
            while rows := result.fetchmany(10_000):
                found += [leaf or f"id:{decision_id}".encode() for leaf, decision_id in rows]
            if received and count <= BYTES_MAX:
                rows = snapshot.connection.execute(
                    f"SELECT filename, file_row_number FROM {source}"
                ).fetchall()
                places += [Location(table, Path(file).name, row) for file, row in rows]
    digest = _digest(sorted(found))
    if not received or count > BYTES_MAX:
        return Leaves(count, digest, None)
    unfit = read.records(snapshot, read.altered(snapshot, places))
    altered = [str(kept.record["decision_id"]) for kept in unfit if kept.verified is False]
    return Leaves(count, digest, tuple(sorted(altered)[:10]))


def _number(snapshot: Snapshot, query: str) -> int:
    ((count,),) = snapshot.connection.execute(query).fetchall()
    return int(count)


def _digest(ordered: Sequence[bytes]) -> str:
    digest = hashlib.sha256()
    for leaf in ordered:
        digest.update(len(leaf).to_bytes(4, "big") + leaf)
    return f"sha256:{digest.hexdigest()}"
