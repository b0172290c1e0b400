"""What fed the decisions of a stretch: each source that they name or declare, once, and as SQL.

Many decisions name the same sources. What a detector says of a place that data came from, over
time, is worked out once for it, and brought to the decisions by a number that tells apart the lists
of sources that they have.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from forensics.lake import sql

if TYPE_CHECKING:
    from forensics.reconstruct.detectors.base import Stretch

#: SQL for a number that tells apart what decisions say of their sources, but for times and states.
_KEY = (
    "(hash(list_transform(coalesce(feature_sources, []), lambda s: "
    "hash(s.dataset, s.job, s.run_id, s.features))) >> 1)::BIGINT"
)


class Place(NamedTuple):
    """Where data came from, as decisions name it, and as is declared where they do not."""

    dataset: str | None
    job: str | None
    run_id: str | None


class Source(NamedTuple):
    """A place from which some decisions, those with one ``key``, had some features.

    ``first_us`` and ``last_us`` are the times of the first and the last of them.
    """

    key: int
    place: Place
    features: tuple[str, ...]
    first_us: int
    last_us: int


class Span(NamedTuple):
    """That something is so of a source from ``first_us`` to before ``end_us``."""

    source: Source
    about: str
    first_us: int
    end_us: int


#: What is so of a place, from when to before when.
Told = Callable[[Place], Iterable[tuple[str, int, int]]]


def sources(stretch: Stretch) -> list[Source]:
    """The sources of the features of a stretch's decisions."""
    decisions = stretch.decisions(columns=f"occurred_at, environment, feature_sources, {_KEY} AS k")
    with sql.reading("A table of decisions"):
        rows = stretch.connection.execute(f"""
            SELECT k, min(t), max(t), coalesce(list_transform(any_value(feature_sources), lambda s:
                       [[s.dataset, s.job, s.run_id], coalesce(s.features, [])]), [])
            FROM ({decisions}) GROUP BY k ORDER BY k""").fetchall()
    declared = stretch.declaration.features if stretch.declaration is not None else {}
    found = []
    for key, first, last, named in rows:
        # Of several sources of a feature the last counts.
        by_feature = {name: place for place, names in named for name in names}
        by_place: dict[Place, list[str]] = {}
        for feature in stretch.features:
            dataset, job, run_id = by_feature.get(feature, (None, None, None))
            said = declared.get(feature)
            place = Place(
                dataset or (said.dataset if said else None),
                job or (said.job if said else None),
                run_id,
            )
            if any(place):
                by_place.setdefault(place, []).append(feature)
        for place, features in by_place.items():
            found.append(Source(key, place, tuple(features), first, last))
    return found


def jobs(stretch: Stretch) -> set[str]:
    """The pipelines that fed a stretch's decisions, as these name them or as their runs do.

    Only those of which the lake has runs.
    """
    feeding = stretch.feeding
    known = {run.job for run in feeding.runs}
    if not known:
        return set()
    places = {source.place for source in stretch.sources}
    found = {place.job for place in places if place.job} & known
    for place in places:
        found |= {phase.run.job for phase in feeding.phases(*place) if phase.run is not None}
    return found


def spans(stretch: Stretch, told: Told) -> list[Span]:
    """When what is told of places was so of the sources of a stretch, while they fed decisions."""
    known = cache(lambda place: tuple(told(place)))
    return [
        Span(source, about, max(first, source.first_us), min(end, source.last_us + 1))
        for source in stretch.sources
        for about, first, end in known(source.place)
        if first < end and first <= source.last_us and end > source.first_us
    ]


def of_decisions(stretch: Stretch, name: str, found: Sequence[Span]) -> str | None:
    """A query for the decisions that sources fed in some spans, with what is said of these.

    Args:
        stretch: whose decisions.
        name: of the table that it makes.
        found: any number.
    """
    if not found:
        return None
    first, end = min(span.first_us for span in found), max(span.end_us for span in found)
    return f"SELECT DISTINCT * FROM ({_joined(stretch, name, found, first, end)})"


def without(stretch: Stretch, name: str, found: Sequence[Span], about: str, but: str) -> str:
    """A query for the decisions with features that no source fed in any of some spans.

    Args:
        stretch: whose decisions.
        name: of the table that it makes.
        found: any number.
        about: what is said of them.
        but: an SQL condition for those of which it is not said.
    """
    conditions = [f"({but})"]
    keys: dict[tuple[str, ...], list[int]] = {}
    parts = []
    for span in found:
        source = span.source
        if span.first_us <= source.first_us and span.end_us > source.last_us:
            keys.setdefault(source.features, []).append(source.key)
        else:
            parts.append(span)
    for features, of in keys.items():
        conditions.append(f"(k IN ({', '.join(map(str, sorted({*of})))}) AND {_any(features)})")
    if parts:
        part = _joined(stretch, name, parts, stretch.first_us, stretch.end_us)
        conditions.append(f"(decision_id, t) IN (SELECT (decision_id, t) FROM ({part}))")
    columns = f"request_id, decision_id, occurred_at, environment, features, {_KEY} AS k"
    return (
        f"SELECT request_id, decision_id, t, {sql.literal(about)} AS about "
        f"FROM ({stretch.decisions(columns=columns)}) "
        f"WHERE {stretch.has_features} AND NOT coalesce({' OR '.join(conditions)}, false)"
    )


def _joined(stretch: Stretch, name: str, found: Sequence[Span], first_us: int, end_us: int) -> str:
    """A query for the decisions of a time that sources fed in spans."""
    table = sql.identifier(f"fed_{name}")
    sets = {features: at for at, features in enumerate({span.source.features for span in found})}
    stretch.connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {table} "
        "(k BIGINT, fed BIGINT, about VARCHAR, first BIGINT, until BIGINT)"
    )
    rows = [
        (span.source.key, sets[span.source.features], span.about, span.first_us, span.end_us)
        for span in found
    ]
    stretch.connection.execute(
        f"INSERT INTO {table} SELECT {', '.join(f'unnest(${at})' for at in range(1, 6))}",
        [list(column) for column in zip(*rows, strict=True)],
    )
    there = " ".join(f"WHEN {at} THEN {_any(features)}" for features, at in sets.items())
    columns = f"request_id, decision_id, occurred_at, environment, features, {_KEY} AS k"
    return f"""
        SELECT request_id, decision_id, t, about
        FROM ({stretch.between(first_us, end_us, columns=columns)}) JOIN {table} USING (k)
        WHERE t >= first AND t < until AND CASE fed {there} END"""


def _any(features: Iterable[str]) -> str:
    """SQL for whether a decision has one of some features."""
    there = (f"features.{sql.identifier(name)} IS NOT NULL" for name in features)
    return f"({' OR '.join(there)})"
