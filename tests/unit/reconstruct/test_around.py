"""What decisions around one tell is the same whether it is read at once or bit by bit."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.lake.snapshot import Snapshot, take
from forensics.reconstruct.around import Around, Mate
from forensics.reconstruct.named import decisions
from forensics.testing import decision_record

NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def decided(name: str, seconds: float, **fields: Any) -> dict[str, Any]:
    given = {
        "model": {"name": "pd", "version": "v1"},
        "steps": [{"id": "score", "kind": "model"}, {"id": "policy", "kind": "rules"}],
        "replica": "r1",
        "subject": {"id": name},
        "features": {"amount": 0.5},
    }
    occurred = (NOON + timedelta(seconds=seconds)).isoformat()
    return decision_record(
        request_id=name, decision_id=f"d-{name}", occurred_at=occurred, **{**given, **fields}
    )


@pytest.fixture
def snapshot(lake: Path, take_in: Callable[..., Any]) -> Snapshot:
    other = {"model": {"name": "pd", "version": "v2"}}
    take_in([
        *(decided(f"u{at}", 10 * at) for at in range(50)),
        decided("asked", 125, subject={"id": "s"}),
        decided("again", 131, subject={"id": "s"}),
        decided("elsewhere", 126, subject={"id": "s"}, environment="canary", steps=[]),
        decided("before", 121, replica="r2", **other),
        decided("after", 129, replica="r2", **other),
        *(decided(f"hit{at}", 300 + at, steps=[], cache={"hit": True}) for at in range(9)),
        decided("next span", 601, steps=[]),
        decided("long ago", -90_000, steps=[]),
        *(decided(f"quiet{at}", 90_000 + 700 * at) for at in range(30)),
        {**decided("mate", 400, **other), "request_id": "asked"},
    ])  # fmt: skip
    return take(lake)


def around(snapshot: Snapshot, name: str, *, kinds: bool) -> Around:
    located = snapshot.locate(f"d-{name}")
    ((_, decision),) = decisions(snapshot, located, f"d-{name}", look=False)
    return Around(snapshot, decision, kinds=kinds)


@pytest.mark.parametrize("kinds", [False, True])
def test_every_answer_is_the_same_however_much_is_read_at_once(
    snapshot: Snapshot, kinds: bool
) -> None:
    near = around(snapshot, "asked", kinds=kinds)
    assert near.request_mates() == [Mate("model pd", "v1", "v2", "d-mate")]
    assert near.other_replicas() == [Mate("model pd", "v1", "v2", "r2")]
    assert near.repeats() == ["d-again"]
    assert near.usual_kinds() == ["model", "rules"]


@pytest.mark.parametrize("kinds", [False, True])
def test_where_ten_minutes_are_too_few_the_day_tells(snapshot: Snapshot, kinds: bool) -> None:
    assert around(snapshot, "quiet3", kinds=kinds).usual_kinds() == ["model", "rules"]
    assert around(snapshot, "long ago", kinds=kinds).usual_kinds() is None
