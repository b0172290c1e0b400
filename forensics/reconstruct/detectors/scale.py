"""The detector of features on another scale: in what a run wrote, or in one value."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from forensics.errors import ForensicsError
from forensics.lake import sql
from forensics.reconstruct.case import Case
from forensics.reconstruct.changes import Change
from forensics.reconstruct.detectors.base import (
    NUMERIC,
    SECOND_US,
    Detector,
    Said,
    Stretch,
    has_features,
    number,
)
from forensics.reconstruct.detectors.pipelines import (
    NewCode,
    NewPipelineCode,
    code_of,
    served,
)
from forensics.reconstruct.reconstruction import Finding
from forensics.reconstruct.scales import (
    FACTORS,
    Measured,
    factors_of,
    may_depart,
    quantiles_of,
    run_jump,
    scale_of,
)
from forensics.records.jsontext import number_text
from forensics.records.times import to_micros

_DAY_US = 86_400 * SECOND_US


def _size(factor: float) -> str:
    if factor == -1:
        return "of the other sign than usual"
    if factor > 1:
        return f"{factor:,.0f} × its usual scale"
    return f"1/{1 / factor:,.0f} of its usual scale"


def _days(days: int) -> str:
    return "day" if days == 1 else f"{days} days"


class ScaleJump(Detector):
    """A numeric feature is a power of ten away from where it has been for weeks."""

    kind = "scale_jump"
    checks = (
        "No numeric feature is 100, 1,000 or a million times its usual scale or a part of it, or "
        "of the other sign: in what its run wrote, or in the value alone."
    )
    needs = (
        "Decisions of earlier days; the run that wrote the feature with the facet "
        "dataQualityMetrics, which alone shows small values and tells jumps from long tails."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "run": Said("error", "{0} was written on another scale by its pipeline run"),
        "jump": Said("error", "{0} is of another scale than it has been"),
        "large": Said("info", "{0} is far from usual, as single values may be"),
        "no_usual": Said(
            "not_checkable",
            "no earlier days of its features are summed up in the lake; forensics compact sums up "
            "those that it holds",
        ),
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        if not case.usual:
            if has_features(case):
                yield self.unknown("no_usual")
            return
        for name, value in case.decision.features.items():
            usual, size = case.usual.get(name), number(value)
            if usual is None or size is None:
                continue
            measured = self._run_jump(case, name)
            if measured is not None:
                yield self._finding(case, "run", name, size, [measured.factor], measured)
                continue
            scale = scale_of(usual)
            far = scale.judge(size) if scale is not None else None
            if far is None:
                continue
            factors = self._by_history(case, name, size) or factors_of(size, usual)
            is_jump = not self._was_measured(case, name) and (far or self._has_new_code(case, name))
            yield self._finding(case, "jump" if is_jump else "large", name, size, factors, None)

    def _by_history(self, case: Case, name: str, value: float) -> list[float]:
        """The factor between what was served and what the feature's history says, if it is one."""
        origin = case.origins.get(name)
        looked = number(origin.history.value) if origin and origin.history else None
        if not looked:
            return []
        return [factor for factor in FACTORS if math.isclose(value, looked * factor, rel_tol=1e-6)]

    def _run_jump(self, case: Case, name: str) -> Measured | None:
        origin, usual = case.origins.get(name), case.usual[name]
        if origin is None or origin.run is None or origin.evidence != "recorded":
            return None
        measures = quantiles_of(origin.metrics(origin.run))
        if measures is None or not may_depart(measures, usual) or case.around is None:
            return None
        ended = origin.run.ended_at or origin.run.started_at
        if ended is None or origin.dataset is None:
            return None
        before = case.around.runs_before(origin.dataset, ended)
        return run_jump(measures, usual, (quantiles_of(origin.metrics(run)) for run in before))

    def _was_measured(self, case: Case, name: str) -> bool:
        origin = case.origins.get(name)
        return (
            origin is not None
            and origin.evidence == "recorded"
            and quantiles_of(origin.metrics(origin.run)) is not None
        )

    def _has_new_code(self, case: Case, name: str) -> bool:
        return any(
            change.kind == "pipeline"
            and name in change.features
            and timedelta(0)
            <= case.decision.occurred_at - change.occurred_at
            <= NewPipelineCode.RECENT
            and served(case.decision, change, [name])
            for change in case.changes
        )

    def _finding(
        self,
        case: Case,
        code: str,
        name: str,
        value: float,
        factors: list[float],
        measured: Measured | None,
    ) -> Finding:
        usual, factor = case.usual[name], factors[0]
        size = " or ".join(map(_size, factors))
        if measured is not None:
            statement = (
                f"{name} = {number_text(value)}, {size}: its run wrote a median of "
                f"{measured.value:.3g}, runs before {measured.before:.3g}"
            )
        else:
            statement = (
                f"{name} = {number_text(value)}, {size} "
                f"(usual: {usual.median:.3g}, the median of the {_days(usual.days)} before)"
            )
        writer = _writer_of(case, name)
        detail: dict[str, Any] = {
            "feature": name, "value": value, "factor": factor, "factors": factors,
            "usual": usual._asdict(),
        }  # fmt: skip
        if measured is not None:
            detail["run"] = {"median": measured.value, "median_before": measured.before}
        if writer:
            statement += f"; {writer['statement']}"
            detail["writer"] = writer
        # One value does not tell which of two factors it is: what it would have been is not known.
        if case.what_if is not None and code != "large" and len(factors) == 1:
            mended = value / factor
            try:
                outcome, score = case.what_if({name: mended}, {})
            except ForensicsError:
                pass
            else:
                detail["mended"] = {"value": mended, "outcome": outcome, "score": score}
        return self.found(f"{code}:{name}", statement, detail, "inferred")

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        if not stretch.features:
            return {}
        days = ", ".join(map(str, sorted(stretch.usual))) or "NULL"
        known = f"coalesce(t // {_DAY_US} IN ({days}), false)"
        return {"no_usual": f"{stretch.has_features} AND NOT {known}"}

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        numeric = [name for name, type_ in stretch.features.items() if type_ in NUMERIC]
        if not numeric or not stretch.usual:
            return
        by_run = self._run_rows(stretch, numeric)
        if by_run:
            yield f"SELECT request_id, decision_id, t, 'run:' || feature AS about FROM ({by_run})"
        scales = _scales_table(stretch, numeric)
        if not scales:
            return
        times = self._candidates(stretch, numeric, scales)
        if not times:
            return
        columns = "decision_id, occurred_at, environment, feature_sources"
        some = "WHERE occurred_at IN (" + ", ".join(f"make_timestamptz({t})" for t in times) + ")"
        sources = stretch.decisions(columns=columns)
        if len(times) <= _TIMES_MAX:
            sources = f"SELECT * FROM ({sources}) {some}"
        source = "list_filter(feature_sources, lambda s: list_contains(s.features, feature))[-1]"
        first = "list_filter(feature_sources, lambda s: list_contains(s.features, feature))[1]"
        other_run = (
            f"WHERE (decision_id, t, feature) NOT IN "
            f"(SELECT (decision_id, t, feature) FROM ({by_run}))"
            if by_run
            else ""
        )
        measured = f"({source}.run_id, feature) IN (SELECT (run_id, feature) FROM run_measured)"
        far = f"(far OR {self._new_code(stretch, first)})"
        yield f"""
            SELECT DISTINCT request_id, decision_id, t, CASE
                       WHEN NOT coalesce({measured}, false) AND {far} THEN 'jump:' ELSE 'large:'
                   END || feature AS about
            FROM off_scale JOIN ({sources}) USING (decision_id, t) {other_run}"""

    def _candidates(self, stretch: Stretch, numeric: list[str], scales: str) -> list[int]:
        """Makes the table ``off_scale`` of values that are, and tells when they were decided on.

        Without feature sources, which take longer to read than everything else.
        """
        candidates = {
            name: condition
            for name in numeric
            if (condition := _candidate(stretch, name)) is not None
        }
        if not candidates:
            return []
        items = ", ".join(
            f"CASE WHEN {condition} THEN "
            f"{{'feature': {sql.literal(name)}, 'value': {_value(name)}}} END"
            for name, condition in candidates.items()
        )
        fits = " OR ".join(f"value / {factor!r} BETWEEN q01 AND q99" for factor in FACTORS)
        d = stretch.decisions(columns="request_id, decision_id, occurred_at, environment, features")
        stretch.connection.execute(f"""
            CREATE OR REPLACE TEMP TABLE off_scale AS
            SELECT request_id, decision_id, t, feature,
                   abs(value) > far_above OR abs(value) < far_below AS far
            FROM (
                SELECT *, item.feature AS feature, item.value AS value FROM (
                    SELECT *, unnest(list_filter([{items}], lambda x: x IS NOT NULL)) AS item
                    FROM ({d}) WHERE {" OR ".join(f"({c})" for c in candidates.values())}
                )
            ) AS c JOIN ({scales}) AS s ON s.day = c.t // {_DAY_US} AND s.name = c.feature
            WHERE isfinite(value) AND value <> 0 AND NOT value BETWEEN low AND high
              AND (value < below OR value > above OR abs(value) < small
                   OR (value < 0 AND low >= 0) OR (value > 0 AND high <= 0))
              AND ({fits})""")
        rows = stretch.connection.execute("SELECT DISTINCT t FROM off_scale").fetchall()
        return [row[0] for row in rows]

    def _run_rows(self, stretch: Stretch, numeric: list[str]) -> str | None:
        jumps = [jump for jump in stretch.run_jumps if jump.feature in numeric]
        if not jumps:
            return None
        first = max(stretch.first_us, min(jump.day for jump in jumps) * _DAY_US)
        end = min(stretch.end_us, (max(jump.day for jump in jumps) + 1) * _DAY_US)
        columns = "request_id, decision_id, occurred_at, environment, feature_sources, features"
        d = stretch.between(first, max(first, end), columns=columns)
        values = ", ".join(
            f"({sql.literal(jump.run_id)}, {sql.literal(jump.feature)}, {jump.day})"
            for jump in jumps
        )
        runs = sql.literal(sorted({jump.run_id for jump in jumps}))
        there = " OR ".join(
            f"(j.feature = {sql.literal(name)} AND {_value(name, 'd.features')} IS NOT NULL)"
            for name in sorted({jump.feature for jump in jumps})
        )
        return f"""
            SELECT DISTINCT d.request_id, d.decision_id, d.t, j.feature
            FROM (SELECT * FROM ({d}) WHERE
                  list_has_any(list_transform(feature_sources, lambda s: s.run_id), {runs})) AS d
            JOIN (VALUES {values}) AS j(run_id, feature, day)
              ON d.t // {_DAY_US} = j.day
             AND list_filter(d.feature_sources,
                             lambda s: list_contains(s.features, j.feature))[-1].run_id = j.run_id
            WHERE {there}"""

    def _new_code(self, stretch: Stretch, source: str) -> str:
        """Whether code that wrote the feature is new, as :meth:`_has_new_code` says it."""
        day = NewPipelineCode.RECENT // timedelta(microseconds=1)
        conditions = []
        for change in stretch.changes:
            since = to_micros(change.occurred_at)
            if change.kind == "pipeline" and change.features and since >= stretch.first_us - day:
                names = ", ".join(map(sql.literal, change.features))
                conditions.append(
                    f"(feature IN ({names}) AND t BETWEEN {since} AND {since + day} "
                    f"AND {_written_since(change, source)})"
                )
        return " OR ".join(conditions) or "false"


#: So many times are worth naming to a reader of files.
_TIMES_MAX = 10_000


def _value(name: str, features: str = "features") -> str:
    return f"{features}.{sql.identifier(name)}::DOUBLE"


def _written_since(change: Change, source: str) -> str:
    """SQL for :func:`served` of a feature whose source is ``source``."""
    since = to_micros(change.occurred_at) - 60 * SECOND_US
    run = f"{source}.run_id = {sql.literal(change.run_id)}" if change.run_id else "false"
    return f"(coalesce({run}, false) OR coalesce(epoch_us({source}.event_time) >= {since}, true))"


def _candidate(stretch: Stretch, name: str) -> str | None:
    """SQL for values that may be of another scale on some day of the stretch."""
    found = [
        scale
        for day in stretch.usual.values()
        if name in day and (scale := scale_of(day[name])) is not None
    ]
    if not found:
        return None
    value = _value(name)
    least = max(*(s.below for s in found), *(0.0 if s.low >= 0 else -math.inf for s in found))
    most = min(*(s.above for s in found), *(0.0 if s.high <= 0 else math.inf for s in found))
    small = max(s.small for s in found)
    parts = [f"{value} < {least!r}", f"{value} > {most!r}"]
    if small > 0:
        parts.append(f"abs({value}) < {small!r}")
    return " OR ".join(parts)


def _scales_table(stretch: Stretch, numeric: list[str]) -> str | None:
    """The scales of the stretch's days and features as a query."""
    wanted = set(numeric)
    rows = [
        f"({day}, {sql.literal(name)}, "
        + ", ".join(f"{'inf' if bound == math.inf else repr(bound)!s}" for bound in scale).replace(
            "inf", "'Infinity'::DOUBLE"
        )
        + ")"
        for day, features in stretch.usual.items()
        for name, usual in features.items()
        if name in wanted and (scale := scale_of(usual)) is not None
    ]
    names = "day, name, below, above, small, q01, q99, low, high, far_above, far_below"
    return f"SELECT * FROM (VALUES {', '.join(rows)}) AS v({names})" if rows else None


def _new_code(case: Case, feature: str) -> NewCode | None:
    """The code that wrote a feature, where runs tell that it was new."""
    origin = case.origins.get(feature)
    code = code_of(case, origin) if origin is not None else None
    if code is None or case.decision.occurred_at - code.since > NewPipelineCode.RECENT:
        return None
    return code


def _writer_of(case: Case, feature: str) -> dict[str, Any] | None:
    """The run that wrote a feature's value, and the code change before it."""
    source = next(
        (s for s in case.decision.feature_sources if feature in (s.get("features") or ())), None
    )
    if source is None:
        return None
    job = str(source.get("job") or source.get("view") or "its source").rsplit("/", 1)[-1]
    run = str(source.get("run_id") or "")
    statement = f"written by {job}" + (f" run {run[:8]}" if run else "")
    if source.get("event_time"):
        statement += f" at {source['event_time']:%H:%M:%S}"
    change = next(
        (
            c
            for c in case.changes
            if c.kind == "pipeline" and feature in c.features
            and served(case.decision, c, [feature])
        ),
        None,
    )  # fmt: skip
    if change is not None and change.from_version and change.to_version:
        statement += f", code {change.from_version} → {change.to_version}"
    elif (code := _new_code(case, feature)) is not None:
        statement += f", code {code.before} → {code.now} (nobody announced it)"
    return {
        "statement": statement,
        "job": source.get("job"),
        "run_id": source.get("run_id"),
        "event_time": source.get("event_time"),
        "change_id": change.change_id if change else None,
    }
