"""Forgetting a person: what is left of their records is that they existed, and their leaves.

The key that received bytes were encrypted under is destroyed, which reaches backups of the lake.
Then every data file that holds the person's records is written anew without what they say, and the
old one is deleted at once. A leaf stays where it was, so that all proofs hold, its own among them;
what it commits to can no longer be shown.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forensics.errors import LakeError
from forensics.lake import derived, profile, sql, tables, writer
from forensics.lake.catalog import Catalog, DataFile
from forensics.lake.files import exclusive, sync
from forensics.lake.parquet import read_checked, write_batches
from forensics.lake.protect import key_store
from forensics.lake.read import from_micros, to_micros
from forensics.lake.snapshot import Snapshot, take
from forensics.privacy import cipher

#: What stays of an erased record: what it is found and proven by, and what decided it.
STAYS: Mapping[str, frozenset[str]] = {
    "decisions": frozenset(
        ("decision_point", "decision_id", "request_id", "occurred_at", "outcome", "recorded_at",
         "environment", "writer", "subject", "model", "config")
    ),
    "overrides": frozenset(
        ("override_id", "decision_id", "request_id", "decision_point", "occurred_at", "actor",
         "role", "authority", "final_outcome", "recorded_at")
    ),
    "outcomes": frozenset(
        ("decision_id", "request_id", "decision_point", "label", "occurred_at", "arrived_at")
    ),
}  # fmt: skip
#: Tables whose records belong to a decision.
_BELONGING = ("overrides", "outcomes")
_DAY_US = 86_400_000_000
_PROVEN = frozenset(("leaf", "segment", "leaf_index", "ingested_at", "source", "reading"))


@dataclass(slots=True)
class Erased:
    """What an erasure reached: decisions, records that belong to them, keys and data files."""

    token: str
    decisions: int = 0
    records: int = 0
    keys: int = 0
    files: int = 0


@dataclass(frozen=True, slots=True)
class Theirs:
    """What a lake holds of a person.

    ``decisions`` are ids by table; ``others`` counts overrides and outcome labels of them.
    ``leaves`` is the SHA-256 over the leaves of all these records, sorted. ``days`` are those of
    the decisions, since 1970, by table.
    """

    token: str
    decisions: Mapping[str, frozenset[str]]
    days: Mapping[str, frozenset[int]]
    others: int
    leaves: str

    @property
    def count(self) -> int:
        """How many decisions."""
        return sum(map(len, self.decisions.values()))

    @property
    def ids(self) -> frozenset[str]:
        """The decisions' ids."""
        return frozenset(one for of in self.decisions.values() for one in of)


def holds(snapshot: Snapshot, token: str, now: datetime | None = None) -> list[dict[str, Any]]:
    """The holds on a person that are in force, oldest first, as mappings.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    paths = snapshot.paths("holds")
    if not paths:
        return []
    time = to_micros(now or datetime.now(UTC))
    with sql.reading("The table of holds"):
        rows = snapshot.connection.execute(
            'SELECT hold_id, "order", actor, reason, occurred_at::VARCHAR, expires_at::VARCHAR '
            f"FROM read_parquet({sql.literal(paths)}, union_by_name = true) AS held "
            "WHERE subject = $1 AND releases IS NULL "
            f"AND (expires_at IS NULL OR epoch_us(expires_at) > {time}) "
            f"AND hold_id NOT IN (SELECT releases FROM read_parquet({sql.literal(paths)}, "
            "union_by_name = true) WHERE releases IS NOT NULL AND subject = $1) "
            "ORDER BY held.occurred_at, hold_id",
            [token],
        ).fetchall()
    names = ("hold_id", "order", "actor", "reason", "occurred_at", "expires_at")
    return [dict(zip(names, row, strict=True)) for row in rows]


def order_of(snapshot: Snapshot, erasure_id: str) -> tuple[datetime, str, str] | None:
    """When an erasure was carried out, on what order and by whom; None where none is recorded.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    paths = snapshot.paths("erasures")
    if not paths:
        return None
    with sql.reading("The table of erasures"):
        row = snapshot.connection.execute(
            'SELECT epoch_us(occurred_at), "order", actor FROM '
            f"read_parquet({sql.literal(paths)}, union_by_name = true) WHERE erasure_id = $1",
            [erasure_id],
        ).fetchone()
    return (from_micros(row[0]), row[1], row[2]) if row is not None else None


def theirs(snapshot: Snapshot, subject: str) -> Theirs:
    """What the lake holds of a person.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    token = key_store(snapshot.root).token(subject)
    by_table: dict[str, frozenset[str]] = {}
    days: dict[str, frozenset[int]] = {}
    leaves: list[bytes] = []
    for point in snapshot.points():
        paths = snapshot.paths(f"decisions/{point}")
        with sql.reading(f"The decisions of {point}"):
            rows = snapshot.connection.execute(
                f"SELECT decision_id, leaf, epoch_us(occurred_at) // {_DAY_US} FROM "
                f"read_parquet({sql.literal(paths)}, union_by_name = true) "
                "WHERE subject.id IN ($1, $2)",
                [subject, token],
            ).fetchall()
        if rows:
            by_table[f"decisions/{point}"] = frozenset(row[0] for row in rows)
            days[f"decisions/{point}"] = frozenset(row[2] for row in rows)
            leaves += [row[1] for row in rows if row[1] is not None]
    ids = sorted(one for of in by_table.values() for one in of)
    others = 0
    for table in _BELONGING:
        paths = snapshot.paths(table)
        if not paths or not ids:
            continue
        with sql.reading(f"The table of {table}"):
            rows = snapshot.connection.execute(
                f"SELECT leaf FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
                "WHERE decision_id IN (SELECT unnest($1::VARCHAR[]))",
                [ids],
            ).fetchall()
        others += len(rows)
        leaves += [row[0] for row in rows if row[0] is not None]
    digest = hashlib.sha256(b"".join(sorted(leaves))).hexdigest()
    return Theirs(token, by_table, days, others, f"sha256:{digest}")


def erase(root: Path, subject: str, erasure_id: str) -> Erased:
    """Destroy a person's keys, and what the lake says of them.

    What a process that died had begun is finished by the next that erases the same person.

    Args:
        root: the lake.
        subject: the person's id.
        erasure_id: what stands in the place of what was erased, and names the order.

    Raises:
        LakeError: when somebody else writes to the lake for long.
        IntegrityError: when a data file is not what was written; it stays as it is then.
    """
    store = key_store(root)
    done = Erased(store.token(subject))
    with exclusive(root / ".lock"):
        snapshot = take(root)
        held = theirs(snapshot, subject)
        if in_force := holds(snapshot, done.token):  # set since it was last looked
            first = in_force[0]
            raise LakeError(
                f"{first['hold_id']} holds that person's records on the order {first['order']}.",
                "Nothing was erased.",
            )
        done.keys = store.destroy(done.token, erasure_id)
        touched = [table for table in (*held.decisions, *_BELONGING) if table in snapshot.tables]
        for table in touched:
            for file in snapshot.files(table):
                _rewrite(root, table, file, held.ids, subject, erasure_id, done)
        known = writer.refreshed(root, take(root))
        summed = _summed_anew(root, known, held)
        writer.publish(root, replace(known, profiles=summed), whole=True)
        for name in set(known.profiles) - set(summed):
            (root / "index" / name).unlink(missing_ok=True)
    for table in touched:
        tables.vacuum(root, table, grace_hours=0, full=False)
    derived.sweep(take(root))
    return done


def _summed_anew(root: Path, known: Catalog, held: Theirs) -> tuple[str, ...]:
    """The daily summaries, of which those of the person's days are made from what is left.

    The greatest value of a day is somebody's.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    folder, names = root / "index", known.profiles
    for table, days in held.days.items():
        if not names:
            break
        names = (profile.without(folder, names, table.partition("/")[2], days),)
        for day in sorted(days):
            first, end = day * _DAY_US, (day + 1) * _DAY_US
            parts = []
            for file in known.tables[table].files:
                if file.last_us >= first and file.first_us < end:
                    records = read_checked(root / table / file.name, ["occurred_at", "features"])
                    times = records["occurred_at"].cast(pa.int64())
                    within = pc.and_(pc.greater_equal(times, first), pc.less(times, end))
                    parts.append(records.filter(within))
            if parts:
                whole = pa.concat_tables(parts, promote_options="permissive")
                made = profile.write(folder, table, whole.combine_chunks())
                names += (made,) if made else ()
    return names


def _rewrite(
    root: Path,
    table: str,
    file: DataFile,
    ids: Collection[str],
    subject: str,
    erasure_id: str,
    done: Erased,
) -> None:
    """Exchange a data file for one without what the person's records in it say."""
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = table.partition("/")[0]
    mine = _mine(root, table, file, ids, subject, done.token)
    if not mine:
        return
    records = read_checked(root / table / file.name)
    mask = pa.array([row in mine for row in range(records.num_rows)])
    already = pc.and_(mask, pc.is_null(records["salt"])) if "salt" in records.schema.names else None
    if already is not None and pc.sum(already).as_py() == len(mine):
        return
    if kind == "decisions":
        done.decisions += len(mine)
    else:
        done.records += len(mine)
    changed = _without(records, mask, kind, erasure_id, done.token)
    name = f"part-{uuid.uuid4().hex}.parquet"
    size = write_batches(iter(changed.to_batches()), changed.schema, root / table / name)
    sync(root / table)
    new = DataFile(name, file.rows, file.first_us, file.last_us, size)
    tables.replace_files(root, table, [file], [new])
    done.files += 1


def _mine(
    root: Path, table: str, file: DataFile, ids: Collection[str], subject: str, token: str
) -> set[int]:
    """Rows of a data file that are about the person."""
    path = sql.literal(str(root / table / file.name))
    connection = sql.connect([root])
    source = f"read_parquet({path}, file_row_number = true)"
    with sql.reading(f"A data file of {table}"):
        if table.startswith("decisions/"):
            rows = connection.execute(
                f"SELECT file_row_number FROM {source} WHERE subject.id IN ($1, $2)",
                [subject, token],
            ).fetchall()
        else:
            rows = connection.execute(
                f"SELECT file_row_number FROM {source} "
                "WHERE decision_id IN (SELECT unnest($1::VARCHAR[]))",
                [sorted(ids)],
            ).fetchall()
    return {row[0] for row in rows}


def _without(records: Any, mask: Any, kind: str, erasure_id: str, token: str) -> Any:
    """The records, of which those in ``mask`` say nothing any more."""
    import pyarrow as pa
    import pyarrow.compute as pc

    columns = {}
    for column in records.schema:
        values = records[column.name].combine_chunks()
        if isinstance(values, pa.ChunkedArray):
            values = pa.concat_arrays(values.chunks) if values.num_chunks else values
        if column.name == "raw":
            values = pc.if_else(mask, pa.scalar(cipher.erased(erasure_id), pa.binary()), values)
        elif column.name == "subject":
            values = _subject(values, mask, token)
        elif column.name not in STAYS[kind] | _PROVEN:
            values = _nulled(values, mask)
        columns[column.name] = values.cast(column.type)
    return pa.table(columns, schema=records.schema)


def _nulled(values: Any, mask: Any) -> Any:
    """The values, null where ``mask`` is; nothing of them stays under the null."""
    import pyarrow as pa

    kept = pa.array(
        [None if hidden else at for at, hidden in enumerate(mask.to_pylist())], pa.int64()
    )
    return values.take(kept)


def _subject(values: Any, mask: Any, token: str) -> Any:
    import pyarrow as pa
    import pyarrow.compute as pc

    hidden = _nulled(values, mask)
    children = []
    for at, child in enumerate(values.type):
        part = hidden.field(at) if not hidden.null_count else pc.struct_field(hidden, [at])
        if child.name == "id":
            part = pc.if_else(mask, pa.scalar(token, child.type), part)
        children.append(part)
    gone = pc.and_(pc.is_null(values), pc.invert(mask))
    return pa.StructArray.from_arrays(children, fields=list(values.type), mask=gone)
