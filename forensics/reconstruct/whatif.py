"""One decision under a change, with how far the evidence carries."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from forensics.lake.artifacts import ArtifactStore
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.completeness import completeness
from forensics.reconstruct.named import named
from forensics.reconstruct.reconstruction import Completeness
from forensics.records.decision import Decision
from forensics.replay.bulk.one import OneWhatIf, what_if_one
from forensics.replay.bulk.resolve import Asked, change_of
from forensics.replay.client import Workers
from forensics.replay.session import ReplaySession


@dataclass(frozen=True, slots=True)
class WhatIfOne:
    """A decision, what it would have been, and the class of the evidence for that."""

    decision: Decision
    answer: OneWhatIf
    completeness: Completeness

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        decision = self.decision
        return {
            "request_id": decision.request_id,
            "decision_id": decision.decision_id,
            "decision_point": decision.decision_point,
            "occurred_at": decision.occurred_at,
            **self.answer.to_dict(),
            "completeness": {
                "class": self.completeness.class_,
                "missing": [
                    {"field": name, "reason": reason} for name, reason in self.completeness.missing
                ],
            },
        }


def what_if(
    snapshot: Snapshot, identifier: str, asked: Asked, *, workers: Workers
) -> list[WhatIfOne]:
    """All decisions that ``identifier`` names under a change, oldest first.

    Args:
        snapshot: the lake.
        identifier: a request id or a decision id.
        asked: what is to be different.
        workers: model processes to use and to leave running.

    Raises:
        NotFoundError: when no decision has that id.
        UsageError: when nothing is to be different, or something that is named is not known.
    """
    found = named(snapshot, snapshot.locate(identifier), identifier)
    artifacts = ArtifactStore(snapshot.root)
    answers = []
    for kept, decision in found:
        with ReplaySession(
            decision, artifacts, connection=snapshot.connection, workers=workers
        ) as session:
            types = snapshot.tables[kept.location.table].features
            change = change_of(snapshot, asked, types, session.values)
            answer = what_if_one(session, change, snapshot.connection, workers)
        answers.append(
            WhatIfOne(decision, answer, completeness(decision, answer.replay, artifacts))
        )
    return answers
