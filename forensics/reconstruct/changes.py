"""Changes: what became different, and when, as far as somebody recorded it."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from forensics.lake import sql
from forensics.lake.read import from_micros, to_micros
from forensics.lake.snapshot import Snapshot

_COLUMNS = (
    "change_id", "kind", "component", "decision_point", "environment", "from_version",
    "to_version", "from_digest", "to_digest", "features", "run_id", "traffic_share", "actor",
    "reviewed_by", "reason",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was different from ``occurred_at`` on."""

    change_id: str
    occurred_at: datetime
    kind: str
    component: str
    decision_point: str | None
    environment: str | None
    from_version: str | None
    to_version: str | None
    from_digest: str | None
    to_digest: str | None
    features: tuple[str, ...]
    run_id: str | None
    traffic_share: float | None
    actor: str | None
    reviewed_by: str | None
    reason: str | None

    @property
    def step(self) -> str:
        """What became what: ``deploy pd v1 → v2``."""
        before, after = self.from_version or "", self.to_version or ""
        if not (before or after):
            before, after = _short(self.from_digest), _short(self.to_digest)
        step = f"{before} → {after}" if before and after else after or before
        return f"{self.kind} {self.component} {step}".strip()

    @property
    def statement(self) -> str:
        """The change in words: ``deploy pd v1 → v2, scheduled retrain``."""
        return f"{self.step}, {self.reason}" if self.reason else self.step

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {"occurred_at": self.occurred_at} | {
            name: getattr(self, name) for name in _COLUMNS
        } | {"statement": self.statement, "evidence": "recorded"}  # fmt: skip


def before(
    snapshot: Snapshot,
    time: datetime,
    *,
    decision_point: str | None = None,
    environment: str | None = None,
    digests: Collection[str] = (),
    limit: int | None = 20,
) -> list[Change]:
    """Changes that may concern a decision, newest first.

    Args:
        snapshot: the lake.
        time: only changes up to this time.
        decision_point: leave out changes that name another decision point.
        environment: leave out changes that name another environment, unless they brought one of
            ``digests``: what was rolled out to one environment may well run in another.
        digests: artifacts that the decision used.
        limit: how many at most; all where None.
    """
    paths = snapshot.paths("changes", last_us=to_micros(time))
    if not paths:
        return []
    conditions = [f"epoch_us(occurred_at) <= {to_micros(time)}"]
    if decision_point is not None:
        point = sql.literal(decision_point)
        conditions.append(f"(decision_point IS NULL OR decision_point = {point})")
    if environment is not None:
        brought = f" OR to_digest IN ({', '.join(map(sql.literal, digests))})" if digests else ""
        name = sql.literal(environment)
        # Pipelines feed every environment alike, whatever their change record names.
        conditions.append(
            f"(environment IS NULL OR environment = {name} OR kind = 'pipeline'{brought})"
        )
    with sql.reading("The table of changes"):
        found = snapshot.connection.execute(
            f"SELECT epoch_us(occurred_at), {', '.join(_COLUMNS)} "
            f"FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
            f"WHERE {' AND '.join(conditions)} ORDER BY occurred_at DESC, change_id"
            + (f" LIMIT {limit}" if limit is not None else "")
        ).fetchall()
    return [_change(row) for row in found]


def _change(row: tuple[Any, ...]) -> Change:
    values = dict(zip(_COLUMNS, row[1:], strict=True))
    values["features"] = tuple(values["features"] or ())
    return Change(occurred_at=from_micros(row[0]), **values)


def _short(digest: str | None) -> str:
    return digest.removeprefix("sha256:")[:8] if digest else ""
