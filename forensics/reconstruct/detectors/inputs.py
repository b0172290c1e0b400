"""Detectors of what the decision was given: scales, ages, defaults, trained ranges, skew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from forensics.errors import ForensicsError
from forensics.lake import sql
from forensics.lake.read import to_micros
from forensics.lineage.declared import DeclaredFeature
from forensics.reconstruct.case import Case
from forensics.reconstruct.changes import Change
from forensics.reconstruct.detectors.base import (
    SECOND_US,
    Detector,
    Said,
    Stretch,
    ago,
    any_source,
    has_features,
    number,
)
from forensics.reconstruct.detectors.versions import NewPipelineCode, served
from forensics.reconstruct.reconstruction import Finding
from forensics.reconstruct.scales import (
    FACTORS,
    Measured,
    factor_of,
    may_depart,
    quantiles_of,
    run_jump,
    scale_of,
)
from forensics.records.jsontext import dumps, number_text

_DAY_US = 86_400 * SECOND_US


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
        "no_usual": Said("not_checkable", "no earlier days of its features are in the lake"),
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
                yield self._finding(case, "run", name, size, measured.factor, measured)
                continue
            scale = scale_of(usual)
            far = scale.judge(size) if scale is not None else None
            if far is None:
                continue
            factor = factor_of(size, usual)
            assert factor is not None  # some factor fits, or the judgement were another
            is_jump = not self._was_measured(case, name) and (far or self._has_new_code(case, name))
            yield self._finding(case, "jump" if is_jump else "large", name, size, factor, None)

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
        factor: float,
        measured: Measured | None,
    ) -> Finding:
        usual = case.usual[name]
        size = (
            "of the other sign than usual" if factor == -1
            else f"{factor:,.0f} × its usual scale" if factor > 1
            else f"1/{1 / factor:,.0f} of its usual scale"
        )  # fmt: skip
        if measured is not None:
            statement = (
                f"{name} = {number_text(value)}, {size}: its run wrote a median of "
                f"{measured.value:.3g}, runs before {measured.before:.3g}"
            )
        else:
            statement = (
                f"{name} = {number_text(value)}, {size} "
                f"(median {usual.median:.3g} over {usual.days} days)"
            )
        writer = _writer_of(case, name)
        detail: dict[str, Any] = {
            "feature": name, "value": value, "factor": factor, "usual": usual._asdict(),
        }  # fmt: skip
        if measured is not None:
            detail["run"] = {"median": measured.value, "median_before": measured.before}
        if writer:
            statement += f"; {writer['statement']}"
            detail["writer"] = writer
        if case.what_if is not None and code != "large":
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
#: SQL types of features that count as numbers.
NUMERIC = frozenset(
    ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER")
)


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
    return {
        "statement": statement,
        "job": source.get("job"),
        "run_id": source.get("run_id"),
        "event_time": source.get("event_time"),
        "change_id": change.change_id if change else None,
    }


class ExpiredFeature(Detector):
    """A feature was older than it may be when it is used."""

    kind = "expired_feature"
    checks = "No feature was older than its store or its declaration allows."
    needs = (
        "Feature sources with the store's `status`, or with `event_time` and a declared "
        "`max_age_s`."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "outside": Said("warning", "the feature store gave a value older than it allows"),
        "too_old": Said("warning", "a feature was older than declared"),
        "unrecorded": Said(
            "not_checkable", "no feature's status is recorded, nor its age together with a limit"
        ),
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision = case.decision
        if not has_features(case):
            return
        limits = _limits(case.declaration.features if case.declaration is not None else {})
        told = False
        old: list[tuple[str, float, float]] = []
        for source in decision.feature_sources:
            names = set(source.get("features") or ())
            if source.get("status") is not None:
                told = True
            written = source.get("event_time")
            if written is None:
                continue
            age_s = (decision.occurred_at - written).total_seconds()
            for limit, of in limits.items():
                if fed := names & of:
                    told = True
                    if age_s > limit:
                        old.append((", ".join(sorted(fed)), age_s, limit))
        outside = [s for s in decision.feature_sources if s.get("status") == "OUTSIDE_MAX_AGE"]
        if outside:
            yield self.found(
                "outside",
                f"the feature store gave {_fed(outside)} though older than it allows",
                {"features": [name for s in outside for name in s.get("features") or ()]},
            )
        if old:
            names_, age_s, limit = max(old, key=lambda item: item[1] - item[2])
            yield self.found(
                "too_old",
                f"{names_}: {ago(timedelta(seconds=age_s))} old, at most "
                f"{ago(timedelta(seconds=limit))} is declared",
                {"features": names_.split(", "), "age_s": age_s, "max_age_s": limit},
            )
        if not told:
            yield self.unknown("unrecorded")

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        if not stretch.features:
            return {}
        there = stretch.has_features
        status = _or_false(any_source("s.status IS NOT NULL"))
        flags = {
            "outside": f"{there} AND {_has_status('OUTSIDE_MAX_AGE')}",
            "unrecorded": f"{there} AND NOT {status}",
        }
        declared = stretch.declaration.features if stretch.declaration is not None else {}
        limits = _limits(declared)
        if not limits:
            return flags
        written = "list_min(list_transform(feature_sources, lambda s: s.event_time))"
        oldest = f"coalesce((t - epoch_us({written})) / 1e6 > {min(limits)!r}, false)"
        told, old = [], []
        for limit, names in limits.items():
            fed = f"list_has_any(s.features, {sql.literal(sorted(names))})"
            told.append(f"(s.event_time IS NOT NULL AND {fed})")
            old.append(f"({fed} AND (t - epoch_us(s.event_time)) / 1e6 > {limit!r})")
        # Lists of names are long to compare: only where age or status ask for it.
        too_old, aged = (any_source(" OR ".join(conditions)) for conditions in (old, told))
        flags["too_old"] = f"{there} AND CASE WHEN {oldest} THEN {too_old} ELSE false END"
        flags["unrecorded"] = (
            f"{there} AND CASE WHEN {status} THEN false ELSE NOT {_or_false(aged)} END"
        )
        return flags


def _or_false(condition: str) -> str:
    return f"coalesce({condition}, false)"


def _has_status(status: str) -> str:
    return any_source(f"s.status = {sql.literal(status)}")


def _limits(features: Mapping[str, DeclaredFeature]) -> dict[float, set[str]]:
    """The features that have each declared greatest age, in seconds."""
    found: dict[float, set[str]] = {}
    for feature in features.values():
        if feature.max_age_s is not None:
            found.setdefault(float(feature.max_age_s), set()).add(feature.name)
    return found


def _fed(sources: list[Mapping[str, Any]]) -> str:
    names = [str(name) for source in sources for name in source.get("features") or ()]
    return ", ".join(names) or ", ".join(str(source.get("view")) for source in sources)


class DefaultedFeature(Detector):
    """A default or nothing stood in for a feature that was not found."""

    kind = "defaulted_feature"
    checks = "Every feature was found, and none is its declared default where nobody says it was."
    needs = "Feature sources with the store's `status`, or declared defaults."
    says: ClassVar[Mapping[str, Said]] = {
        "not_found": Said("warning", "the feature store found no value"),
        "null": Said("info", "the feature store had a null"),
        "default": Said("info", "{0} is its declared default, and no status says it was found"),
        "unrecorded": Said(
            "not_checkable", "no feature's status is recorded, and no default is declared"
        ),
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision = case.decision
        if not has_features(case):
            return
        by_status = {
            status: [s for s in decision.feature_sources if s.get("status") == status]
            for status in ("NOT_FOUND", "NULL")
        }
        if missing := by_status["NOT_FOUND"]:
            yield self.found(
                "not_found",
                f"the feature store found no value for {_fed(missing)}",
                {"features": [name for s in missing for name in s.get("features") or ()]},
            )
        if null := by_status["NULL"]:
            yield self.found("null", f"the feature store had a null for {_fed(null)}")
        told = {
            str(name)
            for source in decision.feature_sources
            if source.get("status") is not None
            for name in source.get("features") or ()
        }
        any_status = any(s.get("status") is not None for s in decision.feature_sources)
        declared = _defaults(case.declaration.features if case.declaration is not None else {})
        for name, default in declared.items():
            if name not in told and _is_default(decision.features.get(name), default):
                yield self.found(
                    f"default:{name}",
                    f"{name} is its declared default {dumps(default)}, and no status says that it "
                    "was found",
                    {"feature": name, "default": default},
                )
        if not any_status and not declared:
            yield self.unknown("unrecorded")

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        if not stretch.features:
            return {}
        declared = _defaults(
            stretch.declaration.features if stretch.declaration is not None else {}
        )
        there = stretch.has_features
        unrecorded = f"{there} AND NOT {_or_false(any_source('s.status IS NOT NULL'))}"
        return {
            "not_found": f"{there} AND {_has_status('NOT_FOUND')}",
            "null": f"{there} AND {_has_status('NULL')}",
            "unrecorded": "false" if declared else unrecorded,
        }

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        declared = _defaults(
            stretch.declaration.features if stretch.declaration is not None else {}
        )
        conditions = {
            f"default:{name}": f"{condition} AND NOT list_contains(told, {sql.literal(name)})"
            for name, default in declared.items()
            if (condition := _is_default_sql(stretch, name, default)) is not None
        }
        if not conditions:
            return
        told = (
            "flatten(list_transform(list_filter(coalesce(feature_sources, []), "
            "lambda s: s.status IS NOT NULL), lambda s: coalesce(s.features, [])))"
        )
        columns = "request_id, decision_id, occurred_at, environment, feature_sources, features"
        yield unnested(
            conditions, f"SELECT *, {told} AS told FROM ({stretch.decisions(columns=columns)})"
        )


def _defaults(features: Mapping[str, DeclaredFeature]) -> dict[str, Any]:
    """Declared defaults that are plain values; a null is told by its status alone."""
    return {
        feature.name: feature.default
        for feature in features.values()
        if feature.has_default and isinstance(feature.default, (str, int, float))
    }


def _is_default(value: Any, default: Any) -> bool:
    if isinstance(default, (bool, str)) or isinstance(value, (bool, str)):
        return type(value) is type(default) and bool(value == default)
    return isinstance(value, (int, float)) and float(value) == float(default)


def _is_default_sql(stretch: Stretch, name: str, default: Any) -> str | None:
    type_ = stretch.features.get(name)
    column = f"features.{sql.identifier(name)}"
    if isinstance(default, bool):
        return f"{column} = {'true' if default else 'false'}" if type_ == "BOOLEAN" else None
    if isinstance(default, str):
        return f"{column} = {sql.literal(default)}" if type_ == "VARCHAR" else None
    return f"{column}::DOUBLE = {float(default)!r}" if type_ in NUMERIC else None


class OutsideTraining(Detector):
    """A feature is outside what the model was trained on."""

    kind = "outside_training"
    checks = "Features are within the ranges and values that the model was trained on."
    needs = "Declared `trained_low`, `trained_high` or `trained_values`."
    says: ClassVar[Mapping[str, Said]] = {
        "far": Said("warning", "{0} is further outside the trained range than that is wide"),
        "unseen": Said("warning", "{0} has a value that the model was not trained on"),
        "outside": Said("info", "{0} is outside the range that the model was trained on"),
        "undeclared": Said(
            "not_checkable", "what the model was trained on is declared for none of its features"
        ),
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        features = case.decision.features
        if not has_features(case):
            return
        declared = case.declaration.features if case.declaration is not None else {}
        ranges = {name: f for name, f in declared.items() if _is_trained(f)}
        if not ranges:
            yield self.unknown("undeclared")
        for name, feature in ranges.items():
            value = features.get(name)
            told = number(value)
            if isinstance(value, str) and feature.trained_values:
                if value not in feature.trained_values:
                    yield self.found(
                        f"unseen:{name}",
                        f"{name} = {value} is none of the {len(feature.trained_values)} values "
                        "that the model was trained on",
                        {"feature": name, "value": value},
                    )
            elif told is not None and (code := _trained(feature, told)) is not None:
                low, high = feature.trained_low, feature.trained_high
                span = " to ".join(number_text(float(b)) for b in (low, high) if b is not None)
                far = "far outside" if code == "far" else "outside"
                yield self.found(
                    f"{code}:{name}",
                    f"{name} = {number_text(told)} is {far} {span}, which the model was trained on",
                    {"feature": name, "value": told, "low": low, "high": high},
                )

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        declared = stretch.declaration.features if stretch.declaration is not None else {}
        if not stretch.features or any(map(_is_trained, declared.values())):
            return {}
        return {"undeclared": stretch.has_features}

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        declared = stretch.declaration.features if stretch.declaration is not None else {}
        conditions: dict[str, str] = {}
        for name, feature in declared.items():
            type_ = stretch.features.get(name)
            if type_ == "VARCHAR" and feature.trained_values:
                values = ", ".join(map(sql.literal, feature.trained_values))
                column = f"features.{sql.identifier(name)}"
                conditions[f"unseen:{name}"] = f"{column} NOT IN ({values})"
            elif type_ in NUMERIC and (bounds := _bounds(feature)):
                far_low, low, high, far_high = (_bound(bound) for bound in bounds)
                value = _value(name)
                far = f"({value} < {far_low} OR {value} > {far_high})"
                conditions[f"far:{name}"] = f"NOT isnan({value}) AND {far}"
                conditions[f"outside:{name}"] = (
                    f"NOT isnan({value}) AND ({value} < {low} OR {value} > {high}) AND NOT {far}"
                )
        if conditions:
            columns = "request_id, decision_id, occurred_at, environment, features"
            yield unnested(conditions, stretch.decisions(columns=columns))


def unnested(conditions: Mapping[str, str], d: str) -> str:
    """A query for rows of ``d`` with each code whose condition holds."""
    items = ", ".join(
        f"CASE WHEN {c} THEN {sql.literal(about)} END" for about, c in conditions.items()
    )
    return f"""
        SELECT request_id, decision_id, t,
               unnest(list_filter([{items}], lambda x: x IS NOT NULL)) AS about
        FROM ({d}) WHERE {" OR ".join(f"coalesce({c}, false)" for c in conditions.values())}"""


def _is_trained(feature: DeclaredFeature) -> bool:
    return bool(feature.trained_values) or _bounds(feature) is not None


def _bounds(feature: DeclaredFeature) -> tuple[float, float, float, float] | None:
    """Where a value is far below, below, above and far above what was trained on."""
    low, high = number(feature.trained_low), number(feature.trained_high)
    if low is None and high is None:
        return None
    width = high - low if low is not None and high is not None else math.inf
    width = width if width > 0 else math.inf
    least = -math.inf if low is None else low
    most = math.inf if high is None else high
    return least - width, least, most, most + width


def _trained(feature: DeclaredFeature, value: float) -> str | None:
    bounds = _bounds(feature)
    if bounds is None:
        return None
    far_low, low, high, far_high = bounds
    if value < far_low or value > far_high:
        return "far"
    return "outside" if value < low or value > high else None


def _bound(bound: float) -> str:
    if math.isinf(bound):
        return f"'{'-' if bound < 0 else ''}Infinity'::DOUBLE"
    return repr(bound)


class TrainingServingSkew(Detector):
    """What was served is not what the feature's history has for that time."""

    kind = "training_serving_skew"
    checks = "Served values are those that the feature's own history has as of the decision's time."
    needs = (
        "A declared `history` of the feature, as Parquet files that hold the subject's past values."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "differs": Said("warning", "{0} was served as another value than its history has"),
        "undeclared": Said("not_checkable", "no history of any feature is declared"),
        "not_looked_up": Said("not_checkable", "{0}"),
        "window": Said(
            "not_checkable", "histories are looked up for one decision, by forensics trace"
        ),
    }
    beyond_columns = "Histories are looked up for one decision at a time: `forensics trace`."

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        if not has_features(case):
            return
        looked = {
            name: origin.history
            for name, origin in case.origins.items()
            if origin.history is not None
        }
        if not looked:
            yield self.unknown("undeclared")
        for name, past in looked.items():
            if past.agrees is False:
                yield self.found(
                    f"differs:{name}",
                    f"{name} was served as {dumps(case.decision.features.get(name))}, its history "
                    f"has {dumps(past.value)} for that time",
                    {
                        "feature": name,
                        "served": case.decision.features.get(name),
                        "as_of": past.value,
                        "true_from": past.true_from,
                    },
                    "recomputed",
                )
        reasons = dict.fromkeys(past.reason for past in looked.values() if past.agrees is None)
        for reason in reasons:
            yield self.unknown(f"not_looked_up:{reason or 'its history says nothing'}")

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        if not stretch.features:
            return {}
        declared = stretch.declaration.features if stretch.declaration is not None else {}
        has_history = any(feature.history is not None for feature in declared.values())
        return {"window" if has_history else "undeclared": stretch.has_features}
