"""Forgetting a person: what is left of their records is that they existed, and their leaves.

The keys that received bytes were encrypted under are destroyed, which reaches backups of the lake.
Then every data file that holds the person's records is written anew without what they say, and the
old one is deleted at once. A leaf stays where it was, so that all proofs hold, its own among them;
what it commits to can no longer be shown. Each step can be done again, so that an erasure that was
begun is finished by doing it once more.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forensics.lake import derived, profile, sql, tables, unaltered, writer
from forensics.lake.catalog import Catalog, DataFile
from forensics.lake.files import exclusive, sync
from forensics.lake.parquet import read_checked, write_batches
from forensics.lake.protect import alone_change, alone_decision, opened
from forensics.lake.snapshot import Snapshot, take
from forensics.lake.subject_keys import key_store
from forensics.lake.theirs import BESIDE, Theirs, Whose, beside, theirs
from forensics.lake.verify.compared import Compare
from forensics.privacy import cipher
from forensics.records.mention import Mention
from forensics.records.times import DAY_US, from_micros, to_micros

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
    "changes": frozenset(
        ("change_id", "occurred_at", "kind", "component", "decision_point", "environment",
         "from_version", "to_version", "from_digest", "to_digest", "features", "run_id",
         "traffic_share", "recorded_at", "expires_at")
    ),
}  # fmt: skip
_PROVEN = frozenset(("leaf", "segment", "leaf_index", "ingested_at", "source", "reading"))


@dataclass(slots=True)
class Erased:
    """What an erasure reached: decisions, records beside them, keys and data files."""

    token: str
    decisions: int = 0
    records: int = 0
    keys: int = 0
    files: int = 0


def holds(
    snapshot: Snapshot, token: str | None = None, now: datetime | None = None
) -> list[dict[str, Any]]:
    """The holds on a person that are in force, or on anybody, oldest first, as mappings.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    paths = snapshot.paths("holds")
    if not paths:
        return []
    time = to_micros(now or datetime.now(UTC))
    source = f"read_parquet({sql.literal(paths)}, union_by_name = true)"
    with sql.reading("The table of holds"):
        rows = snapshot.connection.execute(
            'SELECT hold_id, "order", actor, reason, epoch_us(occurred_at), epoch_us(expires_at), '
            f"subject FROM {source} AS held WHERE ($1 IS NULL OR subject = $1) "
            "AND releases IS NULL "
            f"AND (expires_at IS NULL OR epoch_us(expires_at) > {time}) AND NOT EXISTS ("
            f"SELECT 1 FROM {source} AS ending WHERE ending.releases = held.hold_id "
            "AND ending.subject = held.subject) ORDER BY held.occurred_at, hold_id",
            [token],
        ).fetchall()
    names = ("hold_id", "order", "actor", "reason", "occurred_at", "expires_at", "subject")
    found = [dict(zip(names, row, strict=True)) for row in rows]
    for one in found:
        for name in ("occurred_at", "expires_at"):
            one[name] = None if one[name] is None else from_micros(one[name])
    return found


def erasure(snapshot: Snapshot, erasure_id: str) -> dict[str, Any] | None:
    """The record of an erasure; None where there is none.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    paths = snapshot.paths("erasures")
    if not paths:
        return None
    names = ("occurred_at", "order", "actor", "subject", "leaves")
    with sql.reading("The table of erasures"):
        row = snapshot.connection.execute(
            'SELECT epoch_us(occurred_at), "order", actor, subject, leaves FROM '
            f"read_parquet({sql.literal(paths)}, union_by_name = true) WHERE erasure_id = $1",
            [erasure_id],
        ).fetchone()
    if row is None:
        return None
    return dict(zip(names, row, strict=True)) | {"occurred_at": from_micros(row[0])}


def order_of(snapshot: Snapshot, erasure_id: str) -> tuple[datetime, str, str] | None:
    """When an erasure was carried out, on what order and by whom; None where none is recorded.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    found = erasure(snapshot, erasure_id)
    return None if found is None else (found["occurred_at"], found["order"], found["actor"])


#: Received bytes that a person's id may stand in: as it is, escaped, or encrypted.
_LIKELY = (
    "contains(raw::VARCHAR, encode($1)::VARCHAR) OR contains(raw::VARCHAR, encode('\\')::VARCHAR) "
    "OR starts_with(raw::VARCHAR, $2::BLOB::VARCHAR)"
)
_AT_A_TIME = 10_000


def mentions(snapshot: Snapshot, subject: str) -> Iterator[tuple[str, int]]:
    """Tables in whose received bytes a person's id stands still, and in how many records.

    Records of others are decrypted for that: of these no more is told than how many they are.

    Raises:
        IntegrityError: when a data file or a record cannot be read.
    """
    word = Mention(subject)
    for table in sorted(snapshot.tables):
        paths = snapshot.paths(table)
        if not paths:
            continue
        found = 0
        with sql.reading(f"The table of {table}"):
            rows = snapshot.connection.execute(
                f"SELECT raw FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
                f"WHERE {_LIKELY}",
                [subject, cipher.ENCRYPTED],
            )
            while some := rows.fetchmany(_AT_A_TIME):
                plain = (opened(snapshot.root, raw)[0] for (raw,) in some)
                found += sum(word.stands_in(one) for one in plain if one is not None)
        if found:
            yield table, found


def erase(root: Path, subject: str, erasure_id: str, compare: Compare) -> Erased:
    """Destroy a person's keys, and what the lake says of them.

    What a process that died had begun is finished by doing it again. The caller has looked for
    holds, and lets nobody set one meanwhile.

    Args:
        root: the lake.
        subject: the person's id.
        erasure_id: what stands in the place of what was erased, and names the order.
        compare: tells columns from received bytes, for rewritten files that nobody has sealed.

    Raises:
        LakeError: when somebody else writes to the lake for long.
        IntegrityError: when a data file is not what was written; it stays as it is then.
    """
    store = key_store(root)
    done = Erased(store.token(subject))
    sealed_as = unaltered.adopt(root, compare)
    written: set[str] = set()
    with exclusive(root / ".lock"):
        snapshot = take(root)
        held = theirs(snapshot, subject)
        alone = [*map(alone_decision, held.ids), *map(alone_change, held.changes)]
        done.keys = store.destroy((done.token, *map(store.token, alone)), erasure_id)
        touched = [table for table in (*held.decisions, *BESIDE) if table in snapshot.tables]
        whose = Whose.of(snapshot, subject, done.token, held.ids)
        for table in touched:
            for file in snapshot.files(table):
                name = _rewrite(root, table, file, whose, erasure_id, done, sealed_as)
                written |= {f"{table}/{name}"} if name else set()
        known = writer.refreshed(root, take(root), written=written)
        summed = _summed_anew(root, known, held)
        writer.publish(root, replace(known, profiles=summed), whole=True)
        for path in (root / "index").glob("profile-*"):  # of one that died on the way, too
            if path.name not in summed:
                path.unlink(missing_ok=True)
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
            first, end = day * DAY_US, (day + 1) * DAY_US
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
    whose: Whose,
    erasure_id: str,
    done: Erased,
    sealed_as: unaltered.Named,
) -> str | None:
    """Exchange a data file for one without what the person's records in it say; its name.

    None where there is nothing to exchange.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    kind = table.partition("/")[0]
    mine = _mine(root, table, file, whose)
    if not mine:
        return None
    unaltered.check(root, table, file.name, sealed_as)
    records = read_checked(root / table / file.name)
    mask = pa.array([row in mine for row in range(records.num_rows)])
    already = pc.and_(mask, pc.is_null(records["salt"])) if "salt" in records.schema.names else None
    if already is not None and pc.sum(already).as_py() == len(mine):
        return None
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
    return name


def _mine(root: Path, table: str, file: DataFile, whose: Whose) -> set[int]:
    """Rows of a data file that are about the person."""
    if not table.startswith("decisions/"):
        return {row for row, _, _ in beside(root, table, file.name, whose)}
    path = sql.literal(str(root / table / file.name))
    with sql.reading(f"A data file of {table}"):
        rows = (
            sql.connect([root])
            .execute(
                f"SELECT file_row_number FROM read_parquet({path}, file_row_number = true) "
                "WHERE subject.id IN ($1, $2)",
                [whose.subject, whose.token],
            )
            .fetchall()
        )
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
