"""Which other records belong to a decision: what became of it, and what was in force for it."""

from __future__ import annotations

from pathlib import PurePath

from forensics.lake import read, seen, sql
from forensics.lake.read import Kept
from forensics.lake.snapshot import Location, Snapshot
from forensics.records.decision import Decision
from forensics.records.times import to_micros

#: What each kind of record is called by, in the contract's names.
_IDS = {
    "overrides": "decision_id",
    "outcomes": "decision_id",
    "changes": "change_id",
    "declarations": "declaration_id",
}
#: As many changes can be in force for one decision; those that came last are taken.
_CHANGES_MAX = 200


def of(snapshot: Snapshot, decision: Decision) -> dict[str, list[Kept]]:
    """The records that belong to a decision, by table.

    Overrides and outcome labels name it. Of changes it has the last of each kind and component
    that holds at its time, and those that brought its model or configuration; of declarations the
    one in force.

    Raises:
        IntegrityError: when a data file cannot be read.
    """
    found: dict[str, list[Kept]] = {}
    if {"overrides", "outcomes"} & snapshot.tables.keys():
        located = snapshot.locate(decision.decision_id)
        for table in ("overrides", "outcomes"):
            wanted = [place for place in located if place.table == table]
            found[table] = [
                kept
                for kept in (read.records(snapshot, wanted) if wanted else ())
                if decision.decision_id in (kept.record.get("decision_id"), *kept.named)
            ]
    at, point = to_micros(decision.occurred_at), sql.literal(decision.decision_point)
    found["declarations"] = _last(
        snapshot,
        "declarations",
        at,
        f"decision_point = {point} ORDER BY occurred_at DESC, declaration_id DESC LIMIT 1",
    )
    environment = sql.literal(decision.environment)
    brought = [str(group["digest"]) for group in (decision.model, decision.config)
               if group.get("digest")]  # fmt: skip
    in_force = (
        "row_number() OVER (PARTITION BY kind, component, decision_point, environment "
        "ORDER BY occurred_at DESC, change_id DESC) = 1 "
        f"AND (expires_at IS NULL OR epoch_us(expires_at) > {at})"
    )
    if brought:
        in_force = f"({in_force}) OR to_digest IN ({', '.join(map(sql.literal, brought))})"
    found["changes"] = _last(
        snapshot,
        "changes",
        at,
        f"(decision_point IS NULL OR decision_point = {point}) "
        f"AND (environment IS NULL OR environment = {environment}) QUALIFY {in_force} "
        f"ORDER BY occurred_at DESC, change_id DESC LIMIT {_CHANGES_MAX}",
    )
    for records in found.values():
        seen.tell(snapshot.root, records)
    return {table: records for table, records in found.items() if records}


def id_of(table: str, kept: Kept) -> str:
    """What a record that belongs to a decision is found by."""
    name = _IDS[table]
    value = kept.record.get(name) or next((one for one in kept.named if one), None)
    return str(value) if value is not None else f"row {kept.location.row}"


def _last(snapshot: Snapshot, table: str, at_us: int, condition: str) -> list[Kept]:
    paths = snapshot.paths(table, last_us=at_us)
    if not paths:
        return []
    with sql.reading(f"The table of {table}"):
        rows = snapshot.connection.execute(
            f"SELECT filename, file_row_number FROM read_parquet({sql.literal(paths)}, "
            "filename = true, file_row_number = true, union_by_name = true) "
            f"WHERE epoch_us(occurred_at) <= {at_us} AND {condition}"
        ).fetchall()
    return read.records(snapshot, [Location(table, PurePath(path).name, row) for path, row in rows])
