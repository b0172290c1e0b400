"""Replay of a lake both ways: all rows at once, and one after another from their received bytes."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from forensics.lake import read
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.snapshot import Location, take
from forensics.replay.bulk.engine import Engine
from forensics.replay.bulk.judge import Judge
from forensics.replay.bulk.task import SegmentTask, asked_for
from forensics.replay.client import Workers
from forensics.replay.replay import replay_session
from forensics.replay.session import ReplaySession

#: Names the same decision in both: data file and row.
Place = tuple[str, int]


class Said(NamedTuple):
    """What is compared: the verdict, and the step or what is missing."""

    verdict: str
    step: str
    missing: frozenset[str]


def at_once(root: Path, point: str) -> dict[Place, Said]:
    """The verdict on every decision, by columns."""
    snapshot = take(root)
    types = snapshot.tables[f"decisions/{point}"].features
    found = {}
    with Engine(root, point, types) as engine:
        judge = Judge(engine)
        for file in snapshot.files(f"decisions/{point}"):
            for batch, _ in asked_for(engine, SegmentTask(root, point, file.name, types)):
                for row, code in enumerate(judge.judge(batch).kinds):
                    kind = judge.kinds.values[code]
                    lacks = kind.reason if kind.verdict == "not_replayable" else ()
                    place = file.name, batch.first_row + row
                    found[place] = Said(kind.verdict, kind.step, frozenset(lacks))
    return found


def one_by_one(root: Path, point: str, every: int = 1) -> Iterator[tuple[Place, Said]]:
    """The verdict on every decision, or on each nth, by the replay of one."""
    snapshot = take(root)
    table = f"decisions/{point}"
    artifacts = ArtifactStore(root)
    workers = Workers()
    try:
        for file in snapshot.files(table):
            places = [Location(table, file.name, row) for row in range(0, file.rows, every)]
            for kept in read.records(snapshot, places):
                decision = read.decision(kept, snapshot.tables[table].features)
                with ReplaySession(
                    decision, artifacts, connection=snapshot.connection, workers=workers
                ) as session:
                    replay = replay_session(session)
                first = replay.first_divergence
                said = Said(replay.verdict, first.step if first else "", frozenset())
                if replay.verdict == "not_replayable":
                    said = Said(replay.verdict, "", frozenset(replay.missing))
                yield (kept.location.file, kept.location.row), said
    finally:
        workers.close()
