"""What decisions of a window lack, by their columns, and which class of evidence they reach.

The classes are those that :mod:`forensics.reconstruct.completeness` gives one traced decision.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC
from typing import NamedTuple

from forensics.lake import coverage
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.snapshot import Snapshot
from forensics.reconstruct.audit_answer import CLASSES, Class, Day, Gap, Point
from forensics.records.times import DAY_US, from_micros
from forensics.replay import needs

_EMPTY_JSON = "IN ('', 'null', '{}', '[]', '\"\"', '0', 'false')"


class Condition(NamedTuple):
    """What a decision may lack: the field, what cannot be said then, and SQL that finds it."""

    field: str
    why: str
    #: The least class that it keeps a decision from.
    keeps_from: Class
    sql: str


def conditions_of(snapshot: Snapshot, point: str, window: tuple[int, int]) -> tuple[Condition, ...]:
    """What a decision of ``point`` may lack, in the order in which a trace names it."""
    store = ArtifactStore(snapshot.root)
    without: dict[str, list[str]] = {}
    for components in coverage.components(snapshot, point, *window):
        for _, why in needs.lacking(components, store):
            without.setdefault(why, []).append(str(components.key))

    def lacks(why: str) -> str:
        keys = ", ".join(without.get(why, ()))
        return f"{coverage.COMPONENTS} IN ({keys})" if keys else "false"

    values = 'config."values"'
    calls = f"(execution.calls IS NULL OR execution.calls {_EMPTY_JSON})"
    partial = "coalesce(candidates_coverage, '') = 'partial'"
    full = "coalesce(candidates_coverage, '') = 'exhaustive'"
    return (
        Condition("model.digest", needs.NO_DIGEST, "C0", lacks(needs.NO_DIGEST)),
        Condition("model artifact", needs.NO_MODEL, "C0", lacks(needs.NO_MODEL)),
        Condition("decision logic artifact", needs.NO_RULES, "C0", lacks(needs.NO_RULES)),
        Condition("features", "from what was decided is not known", "C0",
                   "no_features"),
        Condition("score", "a replayed score has nothing to be compared with", "C0",
                   "score IS NULL"),
        Condition("execution.pure",
                   "whether clock, random numbers or network took part is not known", "C0",
                   f"NOT coalesce(execution.pure, false) AND {calls}"),
        Condition("config.values", "what another threshold would have done cannot be said", "C1",
                   f"{values} IS NULL OR {values} {_EMPTY_JSON}"),
        Condition("threshold", "what the score was compared with is not known", "C1",
                   f"threshold IS NULL AND TRY(json_type({values}, '$.threshold')) IS NULL"),
        Condition("some candidates' values", "what a looser rule would have done cannot be said",
                   "C2", partial),
        Condition("values of candidates not taken",
                   "what a looser rule would have done cannot be said", "C2",
                   f"NOT ({full} OR {partial})"),
    )  # fmt: skip


def point_of(
    name: str,
    found: Mapping[tuple[int, int], int],
    conditions: tuple[Condition, ...],
    window: tuple[int, int],
) -> Point:
    """One decision point's days and gaps.

    Args:
        name: the decision point.
        found: how many decisions there are of each day (days since 1970) and of what they lack: a
            bit for each condition in its place, and one more where the writer numbers nothing.
        conditions: those of :func:`conditions_of`.
        window: first and last microsecond, the last excluded.
    """
    unnumbered = 1 << len(conditions)
    return Point(
        name,
        _days(found, conditions, window),
        _gaps(found, conditions),
        sum(count for (_, lacking), count in found.items() if lacking & unnumbered),
    )


def _class(lacking: int, conditions: tuple[Condition, ...]) -> Class:
    """The class that a decision reaches that lacks what the bits say."""
    kept = {one.keeps_from for at, one in enumerate(conditions) if lacking >> at & 1}
    if "C0" in kept:
        return "none"
    if "C1" in kept:
        return "C0"
    return "C1" if "C2" in kept else "C2"


def _days(
    found: Mapping[tuple[int, int], int],
    conditions: tuple[Condition, ...],
    window: tuple[int, int],
) -> tuple[Day, ...]:
    """Every day of the window, also one without a decision."""
    if not found:
        return ()
    first, last = window[0] // DAY_US, (window[1] - 1) // DAY_US
    classes: dict[int, dict[Class, int]] = {
        day: dict.fromkeys(CLASSES, 0) for day in range(first, last + 1)
    }
    for (day, lacking), count in found.items():
        classes[day][_class(lacking, conditions)] += count
    return tuple(
        Day(from_micros(day * DAY_US).astimezone(UTC).date(), of) for day, of in classes.items()
    )


def _gaps(
    found: Mapping[tuple[int, int], int], conditions: tuple[Condition, ...]
) -> tuple[Gap, ...]:
    by_lacking: dict[int, int] = {}
    for (_, lacking), count in found.items():
        by_lacking[lacking] = by_lacking.get(lacking, 0) + count
    gaps = []
    for at, one in enumerate(conditions):
        bit = 1 << at
        decisions = sum(count for lacking, count in by_lacking.items() if lacking & bit)
        alone = sum(
            count
            for lacking, count in by_lacking.items()
            if lacking & bit and _class(lacking ^ bit, conditions) != _class(lacking, conditions)
        )
        if decisions:
            gaps.append(Gap(one.field, one.why, one.keeps_from, decisions, alone))
    # What keeps decisions from the lower class costs more.
    rank = {name: at for at, name in enumerate(CLASSES)}
    return tuple(sorted(gaps, key=lambda gap: (rank[gap.keeps_from], -gap.alone, -gap.decisions)))
