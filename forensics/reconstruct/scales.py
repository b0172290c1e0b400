"""Scales: whether a value, or a whole run's values, is a power of ten away from what was usual.

A value alone tells little where a feature's tail is long; what its run wrote for everybody tells.
So a run that measured its output is compared with the runs before it, and a single value only says
more than "large" where it is far beyond everything seen, or new code wrote it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot
from forensics.lake.usual import FAR, SMALL, Usual

#: What unit mistakes do: per cent for a ratio, cents for units, milliseconds for seconds, a sign.
FACTORS = (100.0, 1000.0, 1e6, 0.01, 0.001, 1e-6, -1.0)
#: A value this many spreads beyond the usual range is not merely a large one.
BEYOND = 5.0
#: A value beyond everything seen is far, where so many days were seen.
FAR_DAYS = 3
#: How many runs before a run tell what it usually writes.
RUNS_BEFORE = 20
#: How many days before a decision tell what is usual.
USUAL_DAYS = 30


class Scale(NamedTuple):
    """Where a feature's values are of another scale; see :meth:`judge`."""

    below: float
    above: float
    #: Absolute values below this are too small; 0 where that cannot be told.
    small: float
    q01: float
    q99: float
    low: float
    high: float
    far_above: float
    far_below: float

    def judge(self, value: float) -> bool | None:
        """Whether a value of another scale is far beyond all that was seen; None of this scale."""
        if not math.isfinite(value) or value == 0 or self.low <= value <= self.high:
            return None
        turned = value < 0 <= self.low or value > 0 >= self.high
        size = abs(value)
        if not (value < self.below or value > self.above or size < self.small or turned):
            return None
        if not any(self.q01 <= value / factor <= self.q99 for factor in FACTORS):
            return None
        return size > self.far_above or size < self.far_below


def scale_of(usual: Usual) -> Scale | None:
    """The scale that ``usual`` tells; None where the median is zero or no number."""
    low, high = sorted((usual.q01, usual.q99))
    if usual.median == 0 or not all(map(math.isfinite, (usual.median, low, high))):
        return None
    spread = max(high - low, abs(usual.median))
    one_sign = low * high > 0
    seen_long = usual.days >= FAR_DAYS
    all_seen = sorted((abs(usual.low), abs(usual.high)))
    return Scale(
        below=low - BEYOND * spread,
        above=high + BEYOND * spread,
        small=min(abs(low), abs(high)) * SMALL if one_sign else 0.0,
        q01=low,
        q99=high,
        low=usual.low,
        high=usual.high,
        far_above=all_seen[1] * FAR if seen_long else math.inf,
        far_below=all_seen[0] / FAR if seen_long and usual.low * usual.high > 0 else 0.0,
    )


def factors_of(value: float, usual: Usual) -> list[float]:
    """The powers of ten, or -1, that ``value`` may be off by, the most likely first."""
    low, high = sorted((usual.q01, usual.q99))
    fits = [factor for factor in FACTORS if low <= value / factor <= high]
    return sorted(fits, key=lambda f: abs(math.log(abs(value / f / usual.median))))


class Measured(NamedTuple):
    """How a run's values of a column are off: by ``factor`` from what runs before wrote."""

    factor: float
    value: float
    before: float


class Told(NamedTuple):
    """What a run measured of a column: its median and 95 % quantile, as far as it did."""

    median: float | None
    high: float | None


def quantiles_of(measures: Mapping[str, Any]) -> Told | None:
    """What an entry of the facet dataQualityMetrics tells; None where it has no such quantile."""
    quantiles = measures.get("quantiles")
    if not isinstance(quantiles, Mapping):
        return None
    found = {}
    for key, value in quantiles.items():
        try:
            at = float(key)
        except ValueError:
            continue
        if isinstance(value, (int, float)) and math.isfinite(value):
            found[at] = float(value)
    median, high = found.get(0.5), found.get(0.95)
    return None if median is None and high is None else Told(median, high)


class RunJump(NamedTuple):
    """A run that wrote a feature on another scale, for decisions of one day (since 1970)."""

    run_id: str
    feature: str
    day: int
    measured: Measured


def run_jump(measures: Told, usual: Usual, earlier: Iterable[Told | None]) -> Measured | None:
    """How far a run's column is from its usual scale; None where it is not, or nobody can tell.

    Args:
        measures: what it told of the column.
        usual: what decisions had of the feature.
        earlier: what runs before told of it; only asked for where this run departs.
    """
    departs = _departs(measures, usual)
    if departs is None:
        return None
    factor, value, at = departs
    others = []
    for entry in earlier:
        other = _departs(entry, usual) if entry is not None else None
        said = entry[at] if entry is not None else None
        if said and (other is None or other[0] != factor):
            others.append(said)
    if not others:
        return None
    before = _median(others)
    near = before and value / before / factor
    return Measured(factor, value, before) if near and 1 / 1.5 <= near <= 1.5 else None


def _median(values: Sequence[float]) -> float:
    """As :func:`statistics.median`, which takes longer to import than a trace can spare."""
    ordered, middle = sorted(values), len(values) // 2
    return ordered[middle] if len(values) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def may_depart(measures: Told, usual: Usual) -> bool:
    """Whether earlier runs are needed to judge a run's column."""
    return _departs(measures, usual) is not None


def _departs(measures: Told, usual: Usual) -> tuple[float, float, int] | None:
    """Factor, value and its place, where a run's values are far from what decisions had."""
    for at, expected in enumerate((usual.median, usual.q99)):
        said = measures[at]
        if not said or not expected or not math.isfinite(expected):
            continue
        ratio = said / expected
        if ratio <= 0:
            return None
        size = math.log10(ratio)
        for factor, log in _LOGS.items():
            if abs(size - log) < 0.5:
                return factor, said, at
        return None
    return None


#: The powers of ten that whole runs can be off by.
_LOGS = {factor: math.log10(factor) for factor in FACTORS if factor > 0}


class RunMeasures(NamedTuple):
    """What a completed run measured of one dataset that it wrote, by column."""

    run_id: str
    dataset: str
    done_us: int
    columns: Mapping[str, Told]


def run_measures(snapshot: Snapshot, first_us: int, end_us: int) -> list[RunMeasures]:
    """The measures that runs took of what they wrote between two times, oldest first.

    Runs that did not complete are left out. Read by SQL from the received bytes at once: merging
    each run alone takes longer than the whole check.
    """
    from forensics.records.jsontext import loads

    paths = snapshot.paths("lineage", first_us, end_us)
    if not paths:
        return []
    query = f"""
        WITH events AS (
            SELECT job_namespace, job_name, run_id, event_type, epoch_us(occurred_at) AS us,
                   decode(raw) AS event
            FROM read_parquet({sql.literal(paths)}, union_by_name = true)
            WHERE kind = 'run' AND event_type IS NOT NULL
              AND occurred_at BETWEEN make_timestamptz({first_us}) AND make_timestamptz({end_us})
              AND (event_type IN ('COMPLETE', 'FAIL', 'ABORT') OR len(writes) > 0)
        ), runs AS (
            SELECT job_namespace, job_name, run_id, max(us) AS done
            FROM events WHERE event_type IN ('COMPLETE', 'FAIL', 'ABORT') GROUP BY ALL
            HAVING arg_max(event_type, us) = 'COMPLETE'
        ), outputs AS (
            SELECT run_id, done, us, event, unnest(
                       range(coalesce(json_array_length(event, '$.outputs'), 0)::BIGINT)
                   ) AS place
            FROM events JOIN runs USING (job_namespace, job_name, run_id)
        )
        SELECT run_id, done, us, json_extract_string(event, '$.outputs[' || place || '].namespace')
                   || '/' || json_extract_string(event, '$.outputs[' || place || '].name'),
               json_extract(event, '$.outputs[' || place
                   || '].facets.dataQualityMetrics.columnMetrics')::VARCHAR AS measures
        FROM outputs WHERE measures IS NOT NULL ORDER BY us
    """
    with sql.reading("The table of lineage events"):
        rows = snapshot.connection.execute(query).fetchall()
    found: dict[tuple[str, str], RunMeasures] = {}
    for run_id, done, _, dataset, text in rows:
        columns = loads(text)
        if isinstance(columns, dict) and dataset:
            said = {
                name: measured
                for name, entry in columns.items()
                if isinstance(entry, dict) and (measured := quantiles_of(entry)) is not None
            }
            found[run_id, dataset] = RunMeasures(run_id, dataset, done, said)
    return sorted(found.values(), key=lambda run: (run.done_us, run.run_id))


def jumps(
    runs: Sequence[RunMeasures],
    usual: Mapping[int, Mapping[str, Usual]],
    columns: Mapping[str, str],
) -> list[RunJump]:
    """The runs that wrote a feature on another scale, for each day of ``usual``.

    Args:
        runs: with all that came before, oldest first.
        usual: what was usual before each day.
        columns: the column of each feature.
    """
    found = []
    days = sorted(usual)
    for at, run in enumerate(runs):
        before = [other for other in runs[:at] if other.dataset == run.dataset][-RUNS_BEFORE:]
        first = run.done_us // 86_400_000_000
        for day in days:
            if day < first:
                continue  # a run cannot feed what was decided before it
            for feature, column in columns.items():
                measures, what = run.columns.get(column), usual[day].get(feature)
                if measures is None or what is None:
                    continue
                earlier = (other.columns.get(column) for other in before)
                measured = run_jump(measures, what, earlier)
                if measured is not None:
                    found.append(RunJump(run.run_id, feature, day, measured))
    return found
