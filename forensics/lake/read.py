"""Reading whole records: from a location to a record as it was written."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import fields
from datetime import UTC, datetime
from typing import Any, NamedTuple

from forensics.errors import IntegrityError
from forensics.integrity.leaf import leaf_hash
from forensics.lake import policies, sql
from forensics.lake.keys import key_columns
from forensics.lake.snapshot import Location, Snapshot
from forensics.records.decision import Decision
from forensics.records.jsontext import loads
from forensics.records.reading import Options
from forensics.records.times import from_micros

_PARTS = frozenset(field.name for field in fields(Decision)) | {"record", "schema"}
_NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
_TIMES = frozenset(
    ("occurred_at", "recorded_at", "written_at", "at", "event_time", "started_at", "ended_at",
     "arrived_at", "expires_at", "ingested_at")
)  # fmt: skip
#: Fields that hold JSON of any shape, as text.
_JSON = frozenset(("values", "calls", "inputs", "outputs", "detail"))


class Kept(NamedTuple):
    """One record as the lake keeps it.

    ``record`` has the contract's names, with times as datetimes; what was not recorded is absent.
    ``verified`` says whether its received bytes are the ones that its leaf commits to and name the
    record as its columns do; None where another program wrote it, without bytes and leaf.
    """

    location: Location
    record: dict[str, Any]
    sealed: dict[str, Any]
    extra: dict[str, Any]
    verified: bool | None
    #: The ids that look-ups find it by.
    named: tuple[str | None, ...]


#: The columns that the lake adds to a record, as SQL.
_KEPT = {
    "raw": "raw",
    "salt": "salt",
    "leaf": "leaf",
    "segment": "segment",
    "leaf_index": "leaf_index",
    "source": "source",
    "ingested_at": "epoch_us(ingested_at)",
    "reading": "reading",
    "extra": "extra",
}
#: Those of them that a record is read from.
_READ = frozenset(("raw", "reading", "extra"))
#: Columns that are nobody's record.
_OURS = ("raw", "salt", "leaf", "segment", "leaf_index", "source", "reading", "ingested_at",
         "exact", "extra")  # fmt: skip
_AS_COLUMNS = Options(from_columns=True).to_text() or ""


def records(snapshot: Snapshot, locations: Iterable[Location]) -> list[Kept]:
    """The records at ``locations``.

    They are read from their received bytes, which are checked against their leaves, and not from
    the typed columns beside them: those are for scanning many, and a flipped bit in them would pass
    unseen. It is also several times faster, since one column is decoded instead of a hundred.

    Raises:
        IntegrityError: when received bytes cannot be read at all.
    """
    found = [_kept(*one) for one in _stored(snapshot, locations)]
    return _masked(snapshot, found)


def altered(snapshot: Snapshot, locations: Iterable[Location]) -> list[Location]:
    """Those of ``locations`` whose received bytes are not those of their leaf.

    As :func:`records` tells it, in a third of the time: nothing in a record is read but its ids.

    Raises:
        IntegrityError: when received bytes cannot be read at all.
    """
    return [
        location
        for location, kept, named in _stored(snapshot, locations)
        if _verified(_named(kept["raw"], Options.from_text(kept["reading"])), kept, named) is False
    ]


def _stored(
    snapshot: Snapshot, locations: Iterable[Location]
) -> Iterator[tuple[Location, dict[str, Any], dict[str, str | None]]]:
    """What the lake keeps at each location, and the ids that it is found by."""
    by_file: dict[tuple[str, str], list[int]] = {}
    for location in locations:
        by_file.setdefault((location.table, location.file), []).append(location.row)
    for (table, file), numbers in by_file.items():
        path = sql.literal(str(snapshot.root / table / file))
        source = f"read_parquet({path}, file_row_number = true)"
        ids = key_columns(table)
        with sql.reading(f"A record in {table}/{file}"):
            for row, kept, named in _fetch(snapshot, source, numbers, ids):
                yield Location(table, file, row), kept, named


def _masked(snapshot: Snapshot, found: list[Kept]) -> list[Kept]:
    """The records as whoever looks may see them."""
    unreadable = any("unreadable" in kept.sealed for kept in found)
    if not unreadable and not policies.is_guarded(snapshot.root):
        return found
    from forensics.lake.protect import shown

    root, said = snapshot.root, policies.in_force(snapshot.root, snapshot)
    return [
        kept._replace(
            record=seen.record,
            sealed=kept.sealed | seen.facts,
            extra={name: value for name, value in kept.extra.items() if name in seen.record},
        )
        if (seen := shown(root, said, kept.location.table, kept.record, kept.sealed)) is not None
        else kept
        for kept in found
    ]


_Row = tuple[int, dict[str, Any], dict[str, str | None]]


def _fetch(snapshot: Snapshot, source: str, numbers: list[int], ids: tuple[str, ...]) -> list[_Row]:
    """Of each row its number, what the lake keeps with it, and its ids."""
    connection = snapshot.connection
    where = f"WHERE file_row_number IN ({', '.join(map(str, numbers))})"
    names = [*_KEPT, *ids]
    columns = [*_KEPT.values(), *ids]
    try:
        fetched = connection.execute(
            f"SELECT file_row_number, {', '.join(columns)} FROM {source} {where}"
        ).fetchall()
    except sql.BinderError:  # another program wrote the file, without some of the columns
        there = {row[0] for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
        columns = [
            column if name in there else "NULL" for name, column in zip(names, columns, strict=True)
        ]
        fetched = connection.execute(
            f"SELECT file_row_number, {', '.join(columns)} FROM {source} {where}"
        ).fetchall()
    rows: list[_Row] = []
    for number, *values in fetched:
        facts = dict(zip(names, values, strict=True))
        kept = {name: facts[name] for name in _KEPT}
        if kept["raw"] is not None and kept["raw"].startswith(b"\0"):  # no record begins so
            from forensics.lake.protect import opened

            kept["raw"], unreadable = opened(snapshot.root, kept["raw"])
            if unreadable is not None:
                kept["unreadable"] = unreadable
        if kept["raw"] is None:
            without = ", ".join(("file_row_number", *(_OURS if "unreadable" in kept else ())))
            ((text,),) = connection.execute(
                f"SELECT to_json(all_)::VARCHAR FROM (SELECT * EXCLUDE ({without}) "
                f"FROM {source} WHERE file_row_number = {number}) AS all_"
            ).fetchall()
            kept |= {"raw": text.encode(), "reading": _AS_COLUMNS}
        rows.append((number, kept, {name: facts[name] for name in ids}))
    return rows


def _kept(location: Location, kept: dict[str, Any], named: dict[str, str | None]) -> Kept:
    options = Options.from_text(kept["reading"])
    record = {
        name: value if name == "features" else _typed(name, value, options.from_columns)
        for name, value in _named(kept["raw"], options).items()
        if value is not None
    }
    verified = _verified(record, kept, named)
    sealed = {name: value for name, value in kept.items() if name not in _READ}
    received = sealed["ingested_at"]
    sealed["ingested_at"] = from_micros(received) if received is not None else None
    extra = loads(kept["extra"]) if kept["extra"] else {}
    return Kept(location, record, sealed, extra, verified, tuple(named.values()))


def _verified(
    record: dict[str, Any], kept: dict[str, Any], named: dict[str, str | None]
) -> bool | None:
    """Whether the received bytes are those of their leaf and name the record as its columns do."""
    if not kept["salt"] or not kept["leaf"] or "unreadable" in kept:
        return None
    agree = all(str(record.get(name)) == value for name, value in named.items())
    return agree and leaf_hash(kept["salt"], kept["raw"]) == kept["leaf"]


def _named(raw: bytes, options: Options) -> dict[str, Any]:
    """A record as it was received, under the names of the contract and with both its ids."""
    try:
        record = loads(raw.decode())
    except ValueError as error:
        raise IntegrityError(
            "The received bytes of a record cannot be read.", str(error), "Restore the file."
        ) from error
    record = options.renamed(record)
    if record.get("decision_id") is None:
        record["decision_id"] = record.get("request_id")
    if record.get("request_id") is None:
        record["request_id"] = record["decision_id"]
    return record


def decision(kept: Kept, types: dict[str, str]) -> Decision:
    """A decision from its record.

    Args:
        kept: one of :func:`records`, from a table of decisions.
        types: the decision point's feature types by name.
    """
    record = kept.record
    return Decision(
        decision_point=record["decision_point"],
        decision_id=str(record["decision_id"]),
        request_id=str(record["request_id"]),
        occurred_at=record["occurred_at"],
        outcome=str(record["outcome"]),
        environment=record.get("environment", "production"),
        score=_number(record.get("score")),
        score_dtype=record.get("score_dtype"),
        score_bytes=bytes.fromhex(record["score_bytes"]) if "score_bytes" in record else None,
        threshold=_number(record.get("threshold")),
        features=_features(record.get("features") or {}, types),
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
        other={
            name: value
            for name, value in record.items()
            if name not in _PARTS and name not in kept.extra
        },
        extra=kept.extra,
        sealed=kept.sealed,
    )


def _features(values: dict[str, Any], types: dict[str, str]) -> dict[str, Any]:
    """Features in the order of their types, those without one last."""
    order = {name: at for at, name in enumerate(types)}
    return {
        name: _number(value) if types.get(name) == "float64" else value
        for name, value in sorted(values.items(), key=lambda item: order.get(item[0], len(order)))
    }


def _number(value: Any) -> Any:
    """A number; not-a-number and the infinities may have been written as text."""
    return _NON_FINITE.get(value, value) if type(value) is str else value


def _typed(name: str, value: Any, from_columns: bool) -> Any:
    """``value`` with times within it as datetimes and nulls left out."""
    if name in _JSON:
        is_text = from_columns and isinstance(value, str)
        return loads(value) if is_text else value
    if isinstance(value, str):
        return datetime.fromisoformat(value).astimezone(UTC) if name in _TIMES else value
    if name == "attributions":
        return value  # names in here are the user's, not the contract's
    if isinstance(value, dict):
        return {
            key: _typed(key, item, from_columns) for key, item in value.items() if item is not None
        }
    if isinstance(value, list):
        return [_typed("", item, from_columns) for item in value]
    return value
