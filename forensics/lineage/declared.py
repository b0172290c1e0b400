"""What a decision point declared of itself: where its features come from, and what they may be.

Declarations are records like any other, so each has a time from which it holds and bytes that are
sealed; the newest one before a decision is in force for it, whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import PurePath
from typing import Any

from forensics.errors import IntegrityError
from forensics.lake import read, sql
from forensics.lake.snapshot import Location, Snapshot
from forensics.records.times import to_micros

TABLE = "declarations"
#: Environments whose outcomes may be acted on where nothing is declared.
SERVING = ("production", "canary")


@dataclass(frozen=True, slots=True)
class History:
    """Where the values that a feature had are kept: Parquet files and their columns."""

    path: str
    key: str
    time: str
    written: str | None = None


@dataclass(frozen=True, slots=True)
class DeclaredFeature:
    """One feature. ``default`` is what stands in for a value that was not found, where declared."""

    name: str
    dataset: str | None = None
    column: str | None = None
    job: str | None = None
    unit: str | None = None
    max_age_s: float | None = None
    trained_low: float | None = None
    trained_high: float | None = None
    trained_values: tuple[str, ...] = ()
    has_default: bool = False
    default: Any = None
    history: History | None = None


@dataclass(frozen=True, slots=True)
class Declaration:
    """One declaration of a decision point, in force from ``occurred_at`` on."""

    declaration_id: str
    decision_point: str
    occurred_at: datetime
    features: Mapping[str, DeclaredFeature] = field(default_factory=dict)
    steps: tuple[str, ...] = ()
    cache_max_age_s: float | None = None
    serving_environments: tuple[str, ...] = SERVING


def declaration(snapshot: Snapshot, point: str, at: datetime) -> Declaration | None:
    """The declaration of ``point`` in force at ``at``; None where there was none yet.

    Raises:
        IntegrityError: when it is not what was received.
    """
    found = _declarations(snapshot, point, at, limit=1)
    return found[0] if found else None


def declarations(
    snapshot: Snapshot, point: str, until: datetime | None = None
) -> list[Declaration]:
    """All declarations of ``point`` that came into force by ``until``, newest first.

    Raises:
        IntegrityError: when one is not what was received.
    """
    return _declarations(snapshot, point, until, limit=None)


def _declarations(
    snapshot: Snapshot, point: str, until: datetime | None, limit: int | None
) -> list[Declaration]:
    paths = snapshot.paths(TABLE, last_us=None if until is None else to_micros(until))
    if not paths:
        return []
    by = "" if until is None else f"AND epoch_us(occurred_at) <= {to_micros(until)} "
    with sql.reading("The table of declarations"):
        rows = snapshot.connection.execute(
            f"SELECT filename, file_row_number FROM read_parquet({sql.literal(paths)}, "
            "filename = true, file_row_number = true, union_by_name = true) "
            f"WHERE decision_point = {sql.literal(point)} {by}"
            "ORDER BY occurred_at DESC, declaration_id DESC"
            + (f" LIMIT {limit}" if limit is not None else "")
        ).fetchall()
    return [
        _checked(snapshot, point, Location(TABLE, PurePath(path).name, row)) for path, row in rows
    ]


def _checked(snapshot: Snapshot, point: str, location: Location) -> Declaration:
    (kept,) = read.records(snapshot, [location])
    if kept.verified is False:
        raise IntegrityError(
            f"A declaration of {point} is not what was received.",
            f"Row {location.row} of {TABLE}/{location.file} does not fit its leaf.",
            "Restore the file from a backup.",
        )
    record = kept.record
    features = [_feature(item) for item in record.get("features") or () if item.get("name")]
    return Declaration(
        declaration_id=str(record["declaration_id"]),
        decision_point=record["decision_point"],
        occurred_at=record["occurred_at"],
        features={feature.name: feature for feature in features},
        steps=tuple(record.get("steps") or ()),
        cache_max_age_s=record.get("cache_max_age_s"),
        serving_environments=tuple(record.get("serving_environments") or SERVING),
    )


def _feature(item: Mapping[str, Any]) -> DeclaredFeature:
    kept = item.get("history") or {}
    names = ("path", "key", "time", "written")
    history = History(*map(kept.get, names)) if all(map(kept.get, names[:3])) else None
    return DeclaredFeature(
        name=item["name"],
        dataset=item.get("dataset"),
        column=item.get("column"),
        job=item.get("job"),
        unit=item.get("unit"),
        max_age_s=item.get("max_age_s"),
        trained_low=item.get("trained_low"),
        trained_high=item.get("trained_high"),
        trained_values=tuple(item.get("trained_values") or ()),
        has_default="default" in item,
        default=item.get("default"),
        history=history,
    )
