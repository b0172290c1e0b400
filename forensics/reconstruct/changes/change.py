"""One change, and how it is said."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Any, Literal

#: Who says that something changed: a record of it, or what decisions, runs and others show.
Source = Literal["changes", "decisions", "lineage", "declarations", "overrides"]
#: Whether what was announced was seen, and what was seen announced; None where nobody can tell.
Agreement = Literal["confirmed", "unseen", "unannounced"]


@dataclass(frozen=True, slots=True)
class Change:
    """Something that was different from ``occurred_at`` on."""

    change_id: str
    occurred_at: datetime
    kind: str
    component: str
    decision_point: str | None = None
    environment: str | None = None
    from_version: str | None = None
    to_version: str | None = None
    from_digest: str | None = None
    to_digest: str | None = None
    features: tuple[str, ...] = ()
    run_id: str | None = None
    traffic_share: float | None = None
    actor: str | None = None
    reviewed_by: str | None = None
    reason: str | None = None
    #: When we knew: when it was recorded, else received.
    known_at: datetime | None = None
    expires_at: datetime | None = None
    detail: Mapping[str, Any] = field(default_factory=dict)
    #: What happened, in words, where versions do not say it.
    what: str | None = None
    evidence: Literal["recorded", "inferred"] = "recorded"
    source: Source = "changes"
    agreement: Agreement | None = None
    #: The first use or run that shows it, and what showed it; for derived ones ``occurred_at``.
    seen_at: datetime | None = None
    seen_by: Literal["decisions", "lineage"] | None = None

    def seen_as(self, values: Mapping[str, Any], redacted: Mapping[str, str]) -> Change:
        """This with fields as they may be seen; ``detail`` says by what rule others may not."""
        said = dict(values)
        detail = said.get("detail") or {}
        said["detail"] = detail if isinstance(detail, Mapping) else {"detail": detail}
        if redacted:
            said["detail"] = {**said["detail"], "redacted": dict(redacted)}
        return replace(self, **said)

    @property
    def true_from(self) -> datetime:
        """From when on it was true: its own time, or the first use of what was announced late."""
        return min(self.occurred_at, self.seen_at) if self.seen_at else self.occurred_at

    @property
    def authority(self) -> str | None:
        """By what authority, as far as ``detail`` says so."""
        value = self.detail.get("authority")
        return None if value is None else str(value)

    @property
    def step(self) -> str:
        """What became what: ``deploy pd v1 → v2``."""
        step = f"{self.kind} {self.component} {self.what or self._versions()}".strip()
        return f"{step} (nobody announced it)" if self.agreement == "unannounced" else step

    @property
    def statement(self) -> str:
        """The change in words: ``deploy pd v1 → v2, scheduled retrain``."""
        return f"{self.step}, {self.reason}" if self.reason else self.step

    @property
    def confirmation(self) -> str | None:
        """What the evidence says of an announcement; None where it says nothing."""
        if self.agreement == "unseen":
            return f"announced, and no {self.detail.get('unseen', 'decision')} has used it"
        if self.agreement != "confirmed" or self.seen_at is None:
            return None
        late = self.occurred_at - self.seen_at
        said = f"confirmed by {self.seen_by} since {self.seen_at:%Y-%m-%d %H:%M:%S}"
        return f"{said}, before it was announced" if late > timedelta(minutes=10) else said

    def _versions(self) -> str:
        before, after = self.from_version or "", self.to_version or ""
        if before == after:
            before, after = _short(self.from_digest), _short(self.to_digest)
        step = f"{before} → {after}" if before and after else after or before
        if self.detail.get("beside"):
            step = f"{after} beside {before}"
        return f"{step} again" if self.detail.get("seen_before") else step

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {
            "change_id": self.change_id,
            "occurred_at": self.occurred_at,
            "known_at": self.known_at,
            "kind": self.kind,
            "component": self.component,
            "decision_point": self.decision_point,
            "environment": self.environment,
            "from_version": self.from_version,
            "to_version": self.to_version,
            "from_digest": self.from_digest,
            "to_digest": self.to_digest,
            "features": list(self.features),
            "run_id": self.run_id,
            "traffic_share": self.traffic_share,
            "actor": self.actor,
            "reviewed_by": self.reviewed_by,
            "authority": self.authority,
            "reason": self.reason,
            "expires_at": self.expires_at,
            "detail": dict(self.detail),
            "statement": self.statement,
            "agreement": self.agreement,
            "seen_at": self.seen_at,
            "seen_by": self.seen_by,
            "confirmation": self.confirmation,
            "evidence": self.evidence,
            "source": self.source,
        }


def made_id(prefix: str, *parts: object) -> str:
    """The id of a derived change: the same whenever it is derived again."""
    text = "\x1f".join(map(str, parts))
    return f"{prefix}-{hashlib.sha256(text.encode()).hexdigest()[:12]}"


def _short(digest: str | None) -> str:
    return digest.removeprefix("sha256:")[:8] if digest else ""
