"""Detectors of what ran: cached answers, mixed versions, artifacts, records of one decision."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from forensics.lake import sql
from forensics.reconstruct.case import Case
from forensics.reconstruct.changes import Change
from forensics.reconstruct.detectors.base import (
    SECOND_US,
    Detector,
    Said,
    Stretch,
    ago,
    announced,
    any_of,
    any_step,
    concerns,
    json_number,
    number,
    short,
)
from forensics.reconstruct.reconstruction import Finding
from forensics.records.plural import count_of
from forensics.records.times import to_micros


class StaleCache(Detector):
    """The answer came from a cache entry that should not have answered any more."""

    kind = "stale_cache"
    checks = (
        "A cache entry that answered was made by the live model and configuration, and is no older "
        "than its limit."
    )
    needs = (
        "The decision's `cache` group with digests and `written_at`, and a limit: declared "
        "`cache_max_age_s`, else `cache_ttl_s` in the configuration's values."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "model": Said("error", "answered from a cache entry that another model made"),
        "config": Said("error", "answered from a cache entry that another configuration made"),
        "expired": Said("error", "answered from a cache entry older than its limit"),
        "later": Said("error", "answered from a cache entry that was written after it"),
        "unrecorded": Said("not_checkable", "a cache took part, and its entry was not recorded"),
        "no_hit": Said("not_checkable", "whether the cache entry answered was not recorded"),
        "no_maker": Said("not_checkable", "the cache entry does not say which model made it"),
        "no_limit": Said(
            "not_checkable",
            "how old the cache entry was, or may be, is neither recorded nor declared",
        ),
    }
    #: How long a request may take: an entry may be written while it waits.
    LONGEST = timedelta(seconds=10)
    #: Where a configuration says how long an entry may live, in seconds.
    LIMITS = ("cache_ttl_s", "cache_max_age_s", "ttl_s")
    _FIELDS = ("hit", "key_digest", "written_at", "model_digest", "config_digest")

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        cache, decision = case.decision.cache, case.decision
        if all(cache.get(name) is None for name in self._FIELDS):
            if any(step.get("kind") == "cache" for step in decision.steps):
                yield self.unknown("unrecorded")
            return
        if cache.get("hit") is None:
            yield self.unknown("no_hit")
        if not cache.get("hit"):
            return
        written = cache.get("written_at")
        age = f", written {ago(decision.occurred_at - written)} earlier" if written else ""
        if written and written - decision.occurred_at > self.LONGEST:
            age = f", written {ago(written - decision.occurred_at)} later"
            yield self.found(
                "later",
                f"the answer came from a cache entry{age}: one of the two times is wrong, or the "
                "entry was replaced",
                {"written_at": written},
            )
        compared = False
        for part in ("model", "config"):
            entry, live = cache.get(f"{part}_digest"), getattr(decision, part).get("digest")
            if not entry or not live:
                continue
            compared = True
            if entry != live:
                yield self.found(
                    part,
                    f"the answer came from a cache entry of another {part}: {short(entry)}, "
                    f"not the live {short(live)}{age}{_brought(case, live)}",
                    {"part": part, "entry": entry, "live": live, "written_at": written},
                )
        if not compared:
            yield self.unknown("no_maker")
        limit = self._limit(case)
        if written is None or limit is None:
            yield self.unknown("no_limit")
        elif (decision.occurred_at - written).total_seconds() > limit:
            yield self.found(
                "expired",
                f"the answer came from a cache entry{age}, which may live {limit:,.0f} s",
                {"written_at": written, "limit_s": limit},
            )

    def _limit(self, case: Case) -> float | None:
        if case.declaration is not None and case.declaration.cache_max_age_s is not None:
            return case.declaration.cache_max_age_s
        values = case.decision.config.get("values")
        limits = (
            (number(values.get(name)) for name in self.LIMITS)
            if isinstance(values, dict)
            else iter(())
        )
        return next((limit for limit in limits if limit is not None), None)

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        hit = "coalesce(cache.hit, false)"
        compared = {
            part: f"(cache.{part}_digest <> '' AND {part}.digest <> '')"
            for part in ("model", "config")
        }
        declared = stretch.declaration.cache_max_age_s if stretch.declaration else None
        limits = ", ".join(json_number('config."values"', name) for name in self.LIMITS)
        limit = repr(float(declared)) if declared is not None else f"coalesce({limits})"
        nothing = " AND ".join(f"cache.{name} IS NULL" for name in self._FIELDS)
        both = " OR ".join(f"coalesce({one}, false)" for one in compared.values())
        took_part = any_step("s.kind = 'cache'")
        longest_us = self.LONGEST // timedelta(microseconds=1)
        return {
            "model": f"{hit} AND {compared['model']} AND cache.model_digest <> model.digest",
            "config": f"{hit} AND {compared['config']} AND cache.config_digest <> config.digest",
            "expired": f"{hit} AND (t - epoch_us(cache.written_at)) / 1e6 > {limit}",
            "later": f"{hit} AND epoch_us(cache.written_at) - t > {longest_us}",
            "unrecorded": f"{nothing} AND {took_part}",
            "no_hit": f"cache.hit IS NULL AND NOT ({nothing})",
            "no_maker": f"{hit} AND NOT ({both})",
            "no_limit": f"{hit} AND (cache.written_at IS NULL OR ({limit}) IS NULL)",
        }


class MixedVersions(Detector):
    """Different versions of one component took part at the same time."""

    kind = "mixed_versions"
    checks = (
        "The model step ran the model that the decision names; decisions of one request, and "
        "replicas of one environment in one minute, used the same model and configuration."
    )
    needs = "Digests or versions of model and configuration, and the decision's `replica`."
    says: ClassVar[Mapping[str, Said]] = {
        "step": Said("warning", "a model step ran another version than the decision names"),
        "request": Said("warning", "decisions of one request used different versions"),
        "replicas": Said("warning", "replicas used different versions at the same time"),
        "rollout": Said("info", "replicas used different versions during a rollout"),
        "no_replica": Said("not_checkable", "the record does not say which replica decided"),
    }
    #: How far apart decisions of one request may be.
    REQUEST_US = 600 * SECOND_US
    #: How long a rollout may take.
    ROLLOUT_US = 1800 * SECOND_US
    #: Kinds of changes that replicas take one after another.
    ROLLED_OUT = ("deploy", "config", "flag")

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision = case.decision
        for step in decision.steps:
            other = self._other(step, decision.model)
            if step.get("kind") == "model" and other:
                yield self.found(
                    "step",
                    f"step {step.get('id') or 'model'} ran {decision.model.get('name')} {other[0]}"
                    f", the decision names {other[1]}",
                    {"step": step.get("id")},
                )
        if case.around is None:
            return
        mates = case.around.request_mates()
        if mates:
            part, mine, theirs, decision_id = mates[0]
            yield self.found(
                "request",
                f"decision {decision_id} of the same request used {part} {short(theirs)}, this one "
                f"{short(mine)}",
                {"part": part, "decision_id": decision_id, "version": theirs},
            )
        if decision.other.get("replica") is None:
            yield self.unknown("no_replica")
            return
        others = case.around.other_replicas()
        if others:
            part, mine, theirs, replica = others[0]
            code = (
                "rollout"
                if self._is_rollout(case, {v for o in others for v in o[1:3]})
                else ("replicas")
            )
            yield self.found(
                code,
                f"replica {replica} used {part} {short(theirs)} before and after, this one "
                f"{short(mine)}",
                {"part": part, "replica": replica, "version": theirs},
            )

    def _other(self, step: Mapping[str, Any], model: Mapping[str, Any]) -> tuple[str, str] | None:
        """The version that ran and the one that is named, where they differ."""
        if step.get("component") is None or step.get("component") != model.get("name"):
            return None
        for key in ("digest", "version"):
            ran, named = step.get(key), model.get(key)
            if ran and named:
                return (short(str(ran)), short(str(named))) if ran != named else None
        return None

    def _is_rollout(self, case: Case, versions: set[str]) -> bool:
        at = to_micros(case.decision.occurred_at)
        for change in announced(case):
            home = change.environment in (None, case.decision.environment)
            if change.kind in self.ROLLED_OUT and home:
                if at - to_micros(change.occurred_at) <= self.ROLLOUT_US:
                    return True
                if _is_partial(change) and {change.to_digest, change.to_version} & versions:
                    return True
        return False

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        differs = " ".join(
            f"WHEN s.{key} <> '' AND model.{key} <> '' THEN s.{key} <> model.{key}"
            for key in ("digest", "version")
        )
        return {
            "step": any_step(
                f"s.kind = 'model' AND s.component = model.name AND CASE {differs} ELSE false END"
            ),
            "no_replica": "replica IS NULL",
        }

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        from forensics.reconstruct.around import MATES, REPLICAS, VERSIONS

        columns = "request_id, decision_id, occurred_at, environment, replica, model, config"
        d = f"SELECT * FROM ({stretch.decisions(columns=columns)})"
        near = stretch.decisions(self.REQUEST_US, columns=columns)
        yield MATES.format(
            d=f"SELECT *, {VERSIONS} FROM ({d})",
            near=f"SELECT *, {VERSIONS} FROM ({near})",
            within=self.REQUEST_US,
            answer="DISTINCT d.request_id, d.decision_id, d.t, 'request' AS about",
        )
        minutes = stretch.between(
            stretch.first_us // (60 * SECOND_US) * 60 * SECOND_US,
            -(-stretch.end_us // (60 * SECOND_US)) * 60 * SECOND_US,
            columns=columns,
        )
        found = REPLICAS.format(
            d=f"SELECT *, {VERSIONS} FROM ({d})",
            near=f"SELECT *, {VERSIONS} FROM ({minutes})",
            answer="d.request_id, d.decision_id, d.t, d.env, d.version, g.version AS other",
        )
        rollouts = [c for c in stretch.announced if c.kind in self.ROLLED_OUT]
        recent = [
            f"(t BETWEEN {us} AND {us + self.ROLLOUT_US} AND {concerns(change)})"
            for change in rollouts
            if stretch.first_us - self.ROLLOUT_US
            <= (us := to_micros(change.occurred_at))
            < stretch.end_us
        ]
        partial = [
            f"(t >= {to_micros(change.occurred_at)} AND {concerns(change)} AND "
            f"(version IN ({names}) OR other IN ({names})))"
            for change in rollouts
            if _is_partial(change)
            and (names := ", ".join(
                sql.literal(name) for name in (change.to_digest, change.to_version) if name
            ))
        ]  # fmt: skip
        rolled = " OR ".join([*recent, *partial]) or "false"
        yield f"""
            SELECT request_id, decision_id, t,
                   CASE WHEN bool_or({rolled}) THEN 'rollout' ELSE 'replicas' END AS about
            FROM ({found}) GROUP BY request_id, decision_id, t"""


class AlteredArtifact(Detector):
    """An artifact that the decision names is not the one that was stored."""

    kind = "altered_artifact"
    checks = "Artifacts that the decision names have the bytes that their digests promise."
    needs = "The artifacts in the lake."
    says: ClassVar[Mapping[str, Said]] = {
        "altered": Said("error", "an artifact has other bytes than were stored")
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        for digest in sorted(case.altered):
            yield self.found(
                "altered",
                f"artifact {short(digest)} has other bytes than were stored under its digest",
                {"digest": digest},
                "recomputed",
            )

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        if not stretch.altered:
            return {}
        digests = ", ".join(map(sql.literal, sorted(stretch.altered)))
        parts = [f"{part}.digest IN ({digests})" for part in ("model", "config")]
        return {"altered": any_of([*parts, any_step(f"s.digest IN ({digests})")])}


class DuplicateDecision(Detector):
    """Several records claim to be this decision, or the same question was decided twice."""

    kind = "duplicate_decision"
    checks = "No other record has this decision's id, and nothing was decided twice in seconds."
    needs = "Decision ids; the subject and the features for the same question under other ids."
    says: ClassVar[Mapping[str, Said]] = {
        "twins": Said("error", "other records with other content carry the same decision id"),
        "repeated": Said("info", "the same subject and inputs were decided twice within seconds"),
    }
    #: How near two decisions of the same question must be.
    NEAR_US = 10 * SECOND_US

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        if case.twins:
            yield self.found(
                "twins",
                f"{count_of(case.twins, 'more record')} with other content "
                f"{'carries' if case.twins == 1 else 'carry'} the same decision id",
                {"others": case.twins},
            )
        again = case.around.repeats() if case.around is not None else ()
        if again:
            yield self.found(
                "repeated",
                "the same subject and inputs were also decided "
                f"{'as' if len(again) == 1 else f'{len(again)} times, as'} {again[0]} within "
                f"{self.NEAR_US // SECOND_US} s",
                {"others": again},
            )

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        from forensics.reconstruct.around import REPEATS

        ids = stretch.decisions(columns="request_id, decision_id, occurred_at, environment")
        yield f"""
            SELECT request_id, decision_id, t, 'twins' AS about FROM ({ids})
            WHERE decision_id IN (SELECT decision_id FROM twins)"""
        features = ", features" if stretch.features else ""
        columns = f"request_id, decision_id, occurred_at, environment, subject{features}"
        near = stretch.decisions(self.NEAR_US, columns=columns)
        if features:
            yield REPEATS.format(
                d=f"SELECT * FROM ({stretch.decisions(columns=columns)}) "
                f"WHERE {stretch.has_features}",
                near=near,
                within=self.NEAR_US,
                answer="DISTINCT d.request_id, d.decision_id, d.t, 'repeated' AS about",
            )


def _brought(case: Case, digest: str) -> str:
    """What brought ``digest``, in words."""
    change = next((c for c in case.changes if c.to_digest == digest), None)
    return f"; {change.step} at {change.occurred_at:%Y-%m-%d %H:%M:%S}" if change else ""


def _is_partial(change: Change) -> bool:
    return change.traffic_share is not None and 0 < change.traffic_share < 1
