"""Detectors of what the decision was given: ages, defaults, trained ranges, skew."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from forensics.lake import sql
from forensics.lineage.declared import DeclaredFeature
from forensics.reconstruct.case import Case
from forensics.reconstruct.detectors.base import (
    NUMERIC,
    Detector,
    Said,
    Stretch,
    ago,
    any_source,
    has_features,
    number,
)
from forensics.reconstruct.reconstruction import Finding
from forensics.records.jsontext import dumps, number_text

#: What a feature store may say of a feature, as Feast does; some leave out `_VALUE`, or shout less.
STATUSES = ("PRESENT", "NULL", "NOT_FOUND", "OUTSIDE_MAX_AGE")


def _status(source: Mapping[str, Any]) -> str | None:
    """What the store said of a feature source; None where it said nothing that is known."""
    status = str(source.get("status") or "").upper().removesuffix("_VALUE")
    return status if status in STATUSES else None


#: SQL for :func:`_status` of a feature source ``s``; what is not known stays as it is.
_STATUS = "regexp_replace(upper(s.status), '_VALUE$', '')"
_KNOWN = f"{_STATUS} IN ({', '.join(map(sql.literal, STATUSES))})"
_UNKNOWN = f"s.status IS NOT NULL AND {_STATUS} NOT IN ({', '.join(map(sql.literal, STATUSES))})"
_UNKNOWN_STATUS = Said(
    "not_checkable", f"the feature store gave a status that is none of {', '.join(STATUSES)}"
)


def _has_unknown_status(case: Case) -> bool:
    sources = case.decision.feature_sources
    return any(s.get("status") is not None and _status(s) is None for s in sources)


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
        "unknown_status": _UNKNOWN_STATUS,
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
            if _status(source) is not None:
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
        outside = [s for s in decision.feature_sources if _status(s) == "OUTSIDE_MAX_AGE"]
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
        if _has_unknown_status(case):
            yield self.unknown("unknown_status")
        elif not told:
            yield self.unknown("unrecorded")

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        if not stretch.features:
            return {}
        there = stretch.has_features
        status = _or_false(any_source("s.status IS NOT NULL"))  # known or not
        flags = {
            "outside": f"{there} AND {_has_status('OUTSIDE_MAX_AGE')}",
            "unknown_status": f"{there} AND {any_source(_UNKNOWN)}",
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
    return any_source(f"{_STATUS} = {sql.literal(status)}")


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
        "unknown_status": _UNKNOWN_STATUS,
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
            status: [s for s in decision.feature_sources if _status(s) == status]
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
            if _status(source) is not None
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
        if _has_unknown_status(case):
            yield self.unknown("unknown_status")
        elif not any_status and not declared:
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
            "unknown_status": f"{there} AND {any_source(_UNKNOWN)}",
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
            f"lambda s: {_KNOWN}), lambda s: coalesce(s.features, [])))"
        )
        columns = "request_id, decision_id, occurred_at, environment, feature_sources, features"
        yield _unnested(
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
        "not_a_number": Said("warning", "{0} is no number, and the model was trained on a range"),
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
            elif told is not None and math.isnan(told) and _bounds(feature) is not None:
                yield self.found(
                    f"not_a_number:{name}",
                    f"{name} is no number (NaN), and the model was trained on a range",
                    {"feature": name},
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
                value = f"features.{sql.identifier(name)}::DOUBLE"
                far = f"({value} < {far_low} OR {value} > {far_high})"
                conditions[f"not_a_number:{name}"] = f"isnan({value})"
                conditions[f"far:{name}"] = f"NOT isnan({value}) AND {far}"
                conditions[f"outside:{name}"] = (
                    f"NOT isnan({value}) AND ({value} < {low} OR {value} > {high}) AND NOT {far}"
                )
        if conditions:
            columns = "request_id, decision_id, occurred_at, environment, features"
            yield _unnested(conditions, stretch.decisions(columns=columns))


def _unnested(conditions: Mapping[str, str], d: str) -> str:
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
