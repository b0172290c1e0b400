"""New declarations of a decision point, and overrides of its decisions, as changes."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from itertools import pairwise
from typing import Any

from forensics.lake import seen, sql
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.changes.change import Change
from forensics.records.jsontext import dumps, loads
from forensics.records.plural import count_of
from forensics.records.times import from_micros, to_micros

_LISTED = 4
_DECLARED = ("features", "steps", "cache_max_age_s", "serving_environments")
_OVERRIDE = (
    "override_id", "decision_id", "decision_point", "actor", "role", "authority", "scope", "reason",
    "original_outcome", "final_outcome",
)  # fmt: skip


def declared(
    snapshot: Snapshot, decision_point: str | None = None, known_by: datetime | None = None
) -> Iterator[Change]:
    """What each declaration says otherwise than the one before it.

    Of kind ``schema``: a declaration says what a decision point's inputs are and may be. The first
    one is a change too: from then on there was something to hold decisions against.
    """
    paths = snapshot.paths("declarations")
    if not paths:
        return
    conditions = ["true"]
    if decision_point is not None:
        conditions.append(f"decision_point = {sql.literal(decision_point)}")
    if known_by is not None:
        conditions.append(f"{_KNOWN} <= {to_micros(known_by)}")
    columns = ", ".join(f"to_json({name})::VARCHAR" for name in _DECLARED)
    with sql.reading("The table of declarations"):
        rows = snapshot.connection.execute(
            "SELECT decision_point, declaration_id, epoch_us(occurred_at), "
            f"{_KNOWN}, actor, reviewed_by, {columns} "
            f"FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
            f"WHERE {' AND '.join(conditions)} ORDER BY decision_point, occurred_at, declaration_id"
        ).fetchall()
    for before, row in pairwise([None, *rows]):
        assert row is not None
        same_point = before is not None and before[0] == row[0]
        point, name, occurred, known_us, actor, reviewed_by = row[:6]
        yield Change(
            change_id=name,
            occurred_at=from_micros(occurred),
            kind="schema",
            component=point,
            decision_point=point,
            from_version=before[1] if before is not None and same_point else None,
            to_version=name,
            actor=actor,
            reviewed_by=reviewed_by,
            known_at=from_micros(known_us),
            what="declared: " + _moved(before[6:] if before and same_point else None, row[6:]),
            source="declarations",
        )


def _moved(before: tuple[Any, ...] | None, now: tuple[Any, ...]) -> str:
    was = dict(zip(_DECLARED, map(_loaded, before or ()), strict=False))
    said = {name: loads(text) if text else None for name, text in zip(_DECLARED, now, strict=True)}
    old, new = _by_name(was.get("features")), _by_name(said["features"])
    if before is None:
        return count_of(len(new), "feature") if new else "no features"
    parts = []
    for words, names in (
        ("new", [name for name in new if name not in old]),
        ("gone", [name for name in old if name not in new]),
        ("other", [name for name in new if name in old and old[name] != new[name]]),
    ):
        if names:
            more = f" and {len(names) - _LISTED} more" if len(names) > _LISTED else ""
            parts.append(f"{words} {', '.join(names[:_LISTED])}{more}")
    parts += [
        f"{name} {dumps(was.get(name))} → {dumps(said[name])}"
        for name in _DECLARED[1:]
        if was.get(name) != said[name]
    ]
    return ", ".join(parts) or "the same again"


def _loaded(text: str | None) -> Any:
    return loads(text) if text else None


def _by_name(features: Any) -> dict[str, Any]:
    return {str(item.get("name")): item for item in features or ()}


def overrides(
    snapshot: Snapshot,
    since: datetime | None = None,
    until: datetime | None = None,
    *,
    decision_point: str | None = None,
    known_by: datetime | None = None,
) -> list[Change]:
    """People's replacements of single decisions, oldest first, each as a change."""
    conditions = [] if since is None else [f"epoch_us(occurred_at) >= {to_micros(since)}"]
    rows = _overrides(
        snapshot, since, until, decision_point, known_by, conditions, _ASKED,
        "ORDER BY occurred_at, override_id",
    )  # fmt: skip
    return _seen(snapshot, rows)


#: So many standing overrides that reach beyond one decision are told one by one.
_WIDE_MAX = 100


def standing_overrides(
    snapshot: Snapshot,
    time: datetime,
    *,
    decision_point: str | None = None,
    known_by: datetime | None = None,
) -> tuple[int, datetime | None, list[Change]]:
    """Overrides that stood at ``time``: how many, when the last was made, and the wide ones.

    Wide is one with an end, or whose scope is not its decision alone; newest first.
    """
    at = to_micros(time)
    stood = [f"(expires_at IS NULL OR epoch_us(expires_at) > {at})"]
    asked = (snapshot, None, time, decision_point, known_by)
    found = _overrides(*asked, stood, "count(*), max(epoch_us(occurred_at))", "")
    if not found or not found[0][0]:
        return 0, None, []
    ((count, last),) = found
    wide = (
        "(expires_at IS NOT NULL OR "
        "lower(trim(coalesce(scope, 'decision'))) NOT IN ('this decision', 'decision'))"
    )
    order = f"ORDER BY occurred_at DESC, override_id LIMIT {_WIDE_MAX}"
    rows = _overrides(*asked, [*stood, wide], _ASKED, order)
    return count, from_micros(last), _seen(snapshot, rows)


_KNOWN = "epoch_us(coalesce(recorded_at, ingested_at))"
_TIMES = f"epoch_us(occurred_at), epoch_us(expires_at), {_KNOWN}"
_ASKED = f"{_TIMES}, {', '.join(_OVERRIDE)}, {seen.PLACE}"
#: Those that may be personal, so that columns do without them.
_PERSONAL = ("actor", "reason", "original_outcome", "role", "authority", "scope")


def _overrides(
    snapshot: Snapshot,
    since: datetime | None,
    until: datetime | None,
    decision_point: str | None,
    known_by: datetime | None,
    conditions: list[str],
    columns: str,
    order: str,
) -> list[tuple[Any, ...]]:
    ends = [None if time is None else to_micros(time) for time in (since, until)]
    paths = snapshot.paths("overrides", *ends)
    if not paths:
        return []
    conditions = ["true", *conditions]
    if ends[1] is not None:
        conditions.append(f"epoch_us(occurred_at) <= {ends[1]}")
    if decision_point is not None:
        point = sql.literal(decision_point)
        conditions.append(f"(decision_point IS NULL OR decision_point = {point})")
    if known_by is not None:
        conditions.append(f"{_KNOWN} <= {to_micros(known_by)}")
    with sql.reading("The table of overrides"):
        found: list[tuple[Any, ...]] = snapshot.connection.execute(
            f"SELECT {columns} FROM {seen.source(sql.literal(paths))} "
            f"WHERE {' AND '.join(conditions)} {order}"
        ).fetchall()
    return found


def _seen(snapshot: Snapshot, rows: list[tuple[Any, ...]]) -> list[Change]:
    """Overrides as changes, as whoever looks may see them."""
    changes = [_override(row[:-2]) for row in rows]
    may_see = seen.fields(snapshot, "overrides", [row[-2:] for row in rows], _PERSONAL)
    if may_see is None:
        return changes
    found = []
    for change, (values, redacted) in zip(changes, may_see, strict=True):
        said = dict(values)
        detail = {name: said.pop(name) for name in ("role", "authority", "scope")}
        said["from_version"] = said.pop("original_outcome")
        said["detail"] = {name: value for name, value in detail.items() if value}
        found.append(change.seen_as(said, redacted))
    return found


def _override(row: tuple[Any, ...]) -> Change:
    occurred, expires, known = (None if us is None else from_micros(us) for us in row[:3])
    said = dict(zip(_OVERRIDE, row[3:], strict=True))
    assert occurred is not None
    return Change(
        change_id=said["override_id"],
        occurred_at=occurred,
        kind="override",
        component=said["decision_id"],
        decision_point=said["decision_point"],
        from_version=said["original_outcome"],
        to_version=said["final_outcome"],
        actor=said["actor"],
        reason=said["reason"],
        known_at=known,
        expires_at=expires,
        detail={name: said[name] for name in ("role", "authority", "scope") if said[name]},
        source="overrides",
    )
