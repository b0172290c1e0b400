"""Reading whole records: from a location to a record as it was written."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any

from forensics.lake import sql
from forensics.lake.snapshot import Location, Snapshot
from forensics.records.decision import Decision, ExactNumber
from forensics.records.jsontext import loads

_PARTS = frozenset(field.name for field in fields(Decision)) | {
    "segment", "leaf_index", "salt", "leaf", "source", "ingested_at", "exact"
}  # fmt: skip
_SEALED = ("segment", "leaf_index", "salt", "leaf", "source", "ingested_at")
_TIMES = frozenset(
    ("occurred_at", "recorded_at", "written_at", "at", "event_time", "started_at", "ended_at",
     "arrived_at", "expires_at", "ingested_at")
)  # fmt: skip
#: Fields that hold JSON of any shape, as text.
_JSON = frozenset(("values", "calls", "inputs", "outputs", "detail"))
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

#: What ``exact`` says of a feature that its record does not have at all.
ABSENT = "absent"


def from_micros(micros: int) -> datetime:
    """The time ``micros`` microseconds after 1970, UTC."""
    return _EPOCH + timedelta(microseconds=micros)


def to_micros(time: datetime) -> int:
    """Microseconds from 1970 to ``time``."""
    return (time - _EPOCH) // timedelta(microseconds=1)


def rows(snapshot: Snapshot, locations: Iterable[Location]) -> list[dict[str, Any]]:
    """The records at ``locations``, each as a mapping by column name, without their received bytes.

    Times are datetimes, ``salt`` and ``leaf`` bytes, fields that hold JSON are parsed, and what was
    not recorded is left out.
    """
    by_file: dict[tuple[str, str], list[int]] = {}
    for location in locations:
        by_file.setdefault((location.table, location.file), []).append(location.row)
    records = []
    for (table, file), numbers in by_file.items():
        path = sql.literal(str(snapshot.root / table / file))
        result = snapshot.connection.execute(
            "SELECT to_json(COLUMNS(* EXCLUDE (raw, salt, leaf, file_row_number)))::VARCHAR, "
            "to_json(hex(salt)) AS salt, to_json(hex(leaf)) AS leaf "
            f"FROM read_parquet({path}, file_row_number = true) "
            f"WHERE file_row_number IN ({', '.join(map(str, numbers))})"
        )
        names = [column[0] for column in result.description]
        for values in result.fetchall():
            record = {
                name: _typed(name, json.loads(text))
                for name, text in zip(names, values, strict=True)
                if text is not None and text != "null"
            }
            for name in ("salt", "leaf"):
                record[name] = bytes.fromhex(record[name])
            records.append(record)
    return records


def received_bytes(snapshot: Snapshot, location: Location) -> bytes:
    """The exact bytes that the record at ``location`` was received as."""
    path = sql.literal(str(snapshot.root / location.table / location.file))
    ((raw,),) = snapshot.connection.execute(
        f"SELECT raw FROM read_parquet({path}, file_row_number = true) "
        f"WHERE file_row_number = {location.row}"
    ).fetchall()
    return bytes(raw)


def decision(record: dict[str, Any], types: dict[str, str]) -> Decision:
    """A decision from its row.

    Args:
        record: one of :func:`rows`, from a table of decisions.
        types: the decision point's feature types by name.
    """
    exact: dict[str, str] = record.get("exact") or {}
    return Decision(
        decision_point=record["decision_point"],
        decision_id=record["decision_id"],
        request_id=record["request_id"],
        occurred_at=record["occurred_at"],
        outcome=record["outcome"],
        environment=record.get("environment", "production"),
        score=_number(record.get("score"), exact.get("score")),
        score_dtype=record.get("score_dtype"),
        score_bytes=bytes.fromhex(record["score_bytes"]) if "score_bytes" in record else None,
        threshold=_number(record.get("threshold"), exact.get("threshold")),
        features=_features(record.get("features") or {}, types, exact),
        feature_types=types,
        model=record.get("model") or {},
        config=record.get("config") or {},
        execution=record.get("execution") or {},
        subject=record.get("subject") or {},
        writer=record.get("writer") or {},
        cache=record.get("cache") or {},
        consumer=record.get("consumer") or {},
        explanation=record.get("explanation") or {},
        capture=record.get("capture") or {},
        feature_sources=tuple(record.get("feature_sources") or ()),
        steps=tuple(record.get("steps") or ()),
        candidates=tuple(record.get("candidates") or ()),
        other={name: value for name, value in record.items() if name not in _PARTS},
        extra=loads(record["extra"]) if "extra" in record else {},
        sealed={name: record[name] for name in _SEALED if name in record},
    )


def _features(
    values: dict[str, Any], types: dict[str, str], exact: dict[str, str]
) -> dict[str, Any]:
    """Features as written: exact numbers instead of rounded ones, absent ones left out."""
    features: dict[str, Any] = {}
    for name, value in values.items():
        written = exact.get(f"features.{name}")
        if written != ABSENT:
            features[name] = _number(value, written) if written != "null" else None
    for path, written in exact.items():
        name = path.removeprefix("features.")
        if path != name and name not in values and written != ABSENT:
            features[name] = None  # a feature that so far was nothing but null
    return features


def _number(value: Any, written: str | None) -> Any:
    if written is None:
        return value
    return loads(written) if written.startswith("[") else ExactNumber(written)


def _typed(name: str, value: Any) -> Any:
    """``value`` with times and JSON texts within it made what they stand for, nulls left out."""
    if isinstance(value, str):
        if name in _TIMES:
            return datetime.fromisoformat(value)
        return loads(value) if name in _JSON else value
    if name in ("features", "exact", "attributions"):
        return value  # names in here are the user's, not the contract's
    if isinstance(value, dict):
        return {key: _typed(key, item) for key, item in value.items() if item is not None}
    if isinstance(value, list):
        return [_typed("", item) for item in value]
    return value
