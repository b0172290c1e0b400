"""What a state says: versions, pipelines, flags, controls and overrides in force at a time."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Literal

from forensics.reconstruct.changes.change import Change

Status = Literal["live", "announced", "last_seen"]


@dataclass(frozen=True, slots=True)
class Live:
    """One component version at the time asked for.

    ``status`` is ``live`` where decisions used it before and after that time and nothing says
    otherwise in between; ``announced`` where somebody said so and no decision had used it yet;
    ``last_seen`` where it is what was used last, and what came after is announced or not known.

    ``share`` is its share of the decisions in ``span`` among all versions of the same component,
    over all environments of the decision point; None where the span holds none. ``regions`` and
    ``replicas`` are those that used it in the span; ``everywhere`` says that no others used
    another version in this environment. ``since_known`` is false where the version was in use
    already when the evidence begins, and nobody announced it.
    """

    decision_point: str
    environment: str
    kind: str
    name: str | None
    version: str | None
    digest: str | None
    status: Status
    share: float | None
    decisions: int
    span: tuple[datetime, datetime] | None
    since: datetime
    since_known: bool
    first_used: datetime | None
    last_used: datetime | None
    next_used: datetime | None
    replaced_version: str | None
    replaced_digest: str | None
    announced: Change | None
    regions: tuple[str, ...] = ()
    replicas: tuple[str, ...] = ()
    everywhere: bool = True
    values: Any = None

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        told = self.announced
        return {
            "decision_point": self.decision_point,
            "environment": self.environment,
            "kind": self.kind,
            "name": self.name,
            "version": self.version,
            "digest": self.digest,
            "values": self.values,
            "status": self.status,
            "share": self.share,
            "decisions": self.decisions,
            "span": list(self.span) if self.span else None,
            "since": self.since,
            "since_known": self.since_known,
            "first_used": self.first_used,
            "last_used": self.last_used,
            "next_used": self.next_used,
            "replaced_version": self.replaced_version,
            "replaced_digest": self.replaced_digest,
            "regions": list(self.regions),
            "replicas": list(self.replicas),
            "everywhere": self.everywhere,
            "announced_by": told.change_id if told else None,
            "announced_at": told.occurred_at if told else None,
            "actor": told.actor if told else None,
            "reviewed_by": told.reviewed_by if told else None,
            "traffic_share_announced": told.traffic_share if told else None,
            "evidence": "inferred" if self.status == "last_seen" else "recorded",
        }


@dataclass(frozen=True, slots=True)
class Pipeline:
    """A job as it was: the run in force, with its code, and the one that decisions were served.

    ``run_id`` is the last run that had completed. ``failed`` is the error of the runs since then
    that failed, ``failed_at`` when the first of them did. ``served`` are the runs that fed the last
    decisions before the time, one for each environment that differs.
    """

    job: str
    code_version: str | None
    run_id: str | None
    ended_at: datetime | None
    since: datetime | None
    replaced_version: str | None
    announced: Change | None
    failed: str | None
    failed_at: datetime | None
    served: tuple[str, ...]
    source: Literal["lineage", "decisions"]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        told = self.announced
        return {
            "job": self.job,
            "code_version": self.code_version,
            "run_id": self.run_id,
            "ended_at": self.ended_at,
            "since": self.since,
            "replaced_version": self.replaced_version,
            "announced_by": told.change_id if told else None,
            "announced_at": told.occurred_at if told else None,
            "actor": told.actor if told else None,
            "failed": self.failed,
            "failed_at": self.failed_at,
            "served_run_ids": list(self.served),
            "evidence": "recorded",
            "source": self.source,
        }


@dataclass(frozen=True, slots=True)
class Overridden:
    """Overrides that stood at the time: how many, and those that reach beyond one decision."""

    standing: int
    last_at: datetime | None
    wide: tuple[Change, ...]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "standing": self.standing,
            "last_at": self.last_at,
            "beyond_one_decision": [change.to_dict() for change in self.wide],
        }


@dataclass(frozen=True, slots=True)
class Ended:
    """An environment that decided nothing any more at the time."""

    decision_point: str
    environment: str
    last_used: datetime
    ended_by: Change | None

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "decision_point": self.decision_point,
            "environment": self.environment,
            "last_used": self.last_used,
            "ended_by": self.ended_by.change_id if self.ended_by else None,
        }


@dataclass(frozen=True, slots=True)
class State:
    """The state of every decision point at ``time``."""

    time: datetime
    live: tuple[Live, ...]
    #: The newest changes before the time.
    changes: tuple[Change, ...]
    known_by: datetime | None = None
    pipelines: tuple[Pipeline, ...] = ()
    #: Flags and controls in force, newest first; those that have expired are not.
    controls: tuple[Change, ...] = ()
    overrides: Overridden = field(default=Overridden(0, None, ()))
    ended: tuple[Ended, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "time": self.time,
            "known_by": self.known_by,
            "live": [live.to_dict() for live in self.live],
            "pipelines": [pipeline.to_dict() for pipeline in self.pipelines],
            "controls": [change.to_dict() for change in self.controls],
            "overrides": self.overrides.to_dict(),
            "ended": [ended.to_dict() for ended in self.ended],
            "changes": [change.to_dict() for change in self.changes],
        }

    def _repr_html_(self) -> str:
        from forensics.reconstruct.notebook import table_html

        return table_html([live.to_dict() for live in self.live])
