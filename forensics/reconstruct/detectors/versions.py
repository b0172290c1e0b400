"""Detectors of what ran: cached answers, mixed versions, configurations, pipelines, artifacts."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from datetime import timedelta
from typing import Any, ClassVar

from forensics.errors import ForensicsError
from forensics.lake import sql, summaries
from forensics.lake.read import to_micros
from forensics.reconstruct.case import Case
from forensics.reconstruct.changes import Change
from forensics.reconstruct.detectors.base import (
    SECOND_US,
    Detector,
    Said,
    Stretch,
    ago,
    announced,
    any_step,
    json_number,
    number,
    short,
)
from forensics.reconstruct.reconstruction import Finding
from forensics.records.decision import Decision
from forensics.records.jsontext import dumps

_HOUR_US = 3600 * SECOND_US


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
        "unrecorded": Said("not_checkable", "a cache took part, and its entry was not recorded"),
        "no_maker": Said("not_checkable", "the cache entry does not say which model made it"),
        "no_limit": Said(
            "not_checkable",
            "how old the cache entry was, or may be, is neither recorded nor declared",
        ),
    }
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
        if not cache.get("hit"):
            return
        written = cache.get("written_at")
        age = f", written {ago(decision.occurred_at - written)} earlier" if written else ""
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
        return {
            "model": f"{hit} AND {compared['model']} AND cache.model_digest <> model.digest",
            "config": f"{hit} AND {compared['config']} AND cache.config_digest <> config.digest",
            "expired": f"{hit} AND (t - epoch_us(cache.written_at)) / 1e6 > {limit}",
            "unrecorded": f"{nothing} AND {took_part}",
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
            f"(t BETWEEN {us} AND {us + self.ROLLOUT_US} AND {_concerns(change)})"
            for change in rollouts
            if stretch.first_us - self.ROLLOUT_US
            <= (us := to_micros(change.occurred_at))
            < stretch.end_us
        ]
        partial = [
            f"(t >= {to_micros(change.occurred_at)} AND {_concerns(change)} AND "
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


class UnreviewedConfig(Detector):
    """The configuration in force was published without review; says what it changed here."""

    kind = "config_without_review"
    checks = (
        "Somebody reviewed the configuration in force, and its threshold was not moved under a "
        "model that stayed."
    )
    needs = (
        "The digest or revision of the configuration, the `config` change that published it, and "
        "the artifacts before and after to tell what it changed."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "flips": Said("error", "{0}, which nobody reviewed, changed the outcome"),
        "between": Said(
            "warning",
            "the score lies between the threshold of {0}, which nobody reviewed, and the one "
            "before",
        ),
        "moved": Said(
            "warning", "{0}, which nobody reviewed, was in force; replay tells its effect"
        ),
        "same": Said(
            "info",
            "{0}, which nobody reviewed, was in force, without effect as far as its threshold goes",
        ),
        "alone": Said("info", "the threshold had been moved within a day, under the same model"),
        "no_config": Said("not_checkable", "the record names no configuration"),
        "no_change": Said("not_checkable", "no change tells who published the configuration"),
    }
    beyond_columns = (
        "Which outcomes an unreviewed configuration changed takes replay: `forensics trace` says "
        "it of one decision, `forensics whatif --config` of a window."
    )
    RECENT_US = 24 * _HOUR_US

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        config, decision = case.decision.config, case.decision
        if not config.get("digest") and not config.get("revision"):
            yield self.unknown("no_config")
            return
        published = next((c for c in announced(case) if self._published(c, decision)), None)
        if published is None:
            yield self.unknown("no_change")
            return
        moved = _moved(published, config.get("digest"), case.config_values)
        if not published.reviewed_by:
            yield self._unreviewed(case, published, moved)
        if self._is_alone(case, published, moved):
            before, now = (moved or {})["threshold"]
            yield self.found(
                "alone",
                f"threshold {dumps(before)} → {dumps(now)} came "
                f"{ago(decision.occurred_at - published.occurred_at)} earlier, no model with it",
                {"change_id": published.change_id},
            )

    def _published(self, change: Change, decision: Decision) -> bool:
        digest, revision = (decision.config.get(key) for key in ("digest", "revision"))
        if change.kind != "config":
            return False
        if change.to_digest is not None:
            return bool(digest == change.to_digest)
        at_home = change.environment in (None, decision.environment)
        return bool(revision) and change.to_version == revision and at_home

    def _unreviewed(
        self, case: Case, published: Change, moved: Mapping[str, tuple[Any, Any]] | None
    ) -> Finding:
        decision = case.decision
        what = ", ".join(
            f"{name} {dumps(a)} → {dumps(b)}" for name, (a, b) in (moved or {}).items()
        )
        statement = (
            f"config {published.component} {published.from_version} → {published.to_version} "
            f"was published without review {ago(decision.occurred_at - published.occurred_at)} "
            "earlier" + (f": {what}" if what else "")
        )
        detail: dict[str, Any] = {
            "change_id": published.change_id,
            "published_at": published.occurred_at,
            "moved": moved or {},
        }
        code = _effect(moved, number(decision.score))
        if code == "between" and _decided_apart(case, set(moved or {})):
            code = "same"
        before = case.config_values(published.from_digest) if published.from_digest else None
        if case.what_if is not None and before:
            try:
                outcome, _ = case.what_if({}, before)
            except ForensicsError:
                pass
            else:
                detail["outcome_before"] = outcome
                code = "same" if outcome == decision.outcome else "flips"
                same = "the same" if code == "same" else outcome
                statement += f"; under {published.from_version} the outcome is {same}"
        elif code == "between":
            statement += "; the score lies between"
        return self.found(f"{code}:{_called(published)}", statement, detail)

    def _is_alone(
        self, case: Case, published: Change, moved: Mapping[str, tuple[Any, Any]] | None
    ) -> bool:
        since = to_micros(published.occurred_at)
        recent = to_micros(case.decision.occurred_at) - since <= self.RECENT_US
        if not recent or "threshold" not in (moved or {}):
            return False
        return not any(
            change.kind == "deploy"
            and change.environment in (None, case.decision.environment)
            and change.component == case.decision.model.get("name")
            and to_micros(change.occurred_at) >= since - self.RECENT_US
            for change in announced(case)
        )

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        named = "(config.digest <> '' OR config.revision <> '')"
        used = stretch.connection.execute(
            f"SELECT DISTINCT config.digest, config.revision FROM ({stretch.decisions()})"
        ).fetchall()
        digests, revisions = ({row[at] for row in used} for at in (0, 1))
        candidates = [
            change
            for change in stretch.announced
            if change.kind == "config"
            and (
                change.to_digest in digests if change.to_digest else change.to_version in revisions
            )
        ]
        values = _config_values(stretch)
        rules = {
            item.digest
            for item in summaries.in_use(
                stretch.snapshot, until_us=stretch.end_us, point=stretch.point, kind="rules"
            )
            if item.digest
        }
        index = _case((self._match(change), at) for at, change in enumerate(candidates))
        effects: dict[str, list[str]] = {}
        alone: list[str] = []
        deploys = [c for c in stretch.announced if c.kind == "deploy"]
        for at, change in enumerate(candidates):
            moved = _moved(change, change.to_digest, values)
            if not change.reviewed_by:
                apart = _decided_apart_sql({digest: values(digest) for digest in rules}, moved)
                for code, condition in _effect_sql(moved, apart).items():
                    about = f"{code}:{_called(change)}"
                    effects.setdefault(about, []).append(f"({index}) = {at} AND {condition}")
            if "threshold" in (moved or {}):
                since = to_micros(change.occurred_at)
                with_it = " OR ".join(
                    f"coalesce(t >= {us} AND model.name = {sql.literal(deploy.component)} "
                    f"AND {_concerns(deploy)}, false)"
                    for deploy in deploys
                    if (us := to_micros(deploy.occurred_at)) >= since - self.RECENT_US
                )
                alone.append(
                    f"({index}) = {at} AND t - {since} <= {self.RECENT_US} "
                    f"AND NOT ({with_it or 'false'})"
                )
        return {
            **{about: _any(conditions) for about, conditions in effects.items()},
            "alone": _any(alone),
            "no_config": f"NOT coalesce({named}, false)",
            "no_change": f"{named} AND ({index}) IS NULL",
        }

    def _match(self, change: Change) -> str:
        since = f"t >= {to_micros(change.occurred_at)}"
        if change.to_digest is not None:
            return f"{since} AND config.digest = {sql.literal(change.to_digest)}"
        at_home = f" AND env = {sql.literal(change.environment)}" if change.environment else ""
        return f"{since} AND config.revision = {sql.literal(change.to_version or '')}{at_home}"


def _called(change: Change) -> str:
    """What a change brought, as people call it."""
    return f"{change.kind} {change.component} {change.to_version or short(change.to_digest or '')}"


def _moved(
    change: Change, digest: str | None, config_values: Any
) -> dict[str, tuple[Any, Any]] | None:
    """Values that a change replaced, as before and after; None where either is not known."""
    before = config_values(change.from_digest) if change.from_digest else None
    now = config_values(digest) if digest else None
    if before is None or now is None:
        return None
    return {
        name: (before.get(name), now.get(name))
        for name in dict.fromkeys((*now, *before))
        if before.get(name) != now.get(name)
    }


def _effect(moved: Mapping[str, tuple[Any, Any]] | None, score: float | None) -> str:
    """What can be said of a change's effect without a replay."""
    if moved is None:
        return "moved"
    if not moved:
        return "same"
    before, now = (number(value) for value in moved.get("threshold", (None, None)))
    if set(moved) != {"threshold"} or before is None or now is None or score is None:
        return "moved"
    return "between" if (score >= before) != (score >= now) else "same"


def _effect_sql(moved: Mapping[str, tuple[Any, Any]] | None, apart: str) -> dict[str, str]:
    """:func:`_effect` as conditions by code; ``apart`` is that of :func:`_decided_apart`."""
    before, now = (number(value) for value in (moved or {}).get("threshold", (None, None)))
    if moved is not None and set(moved) == {"threshold"} and before is not None and now is not None:
        between = f"(score >= {before!r}) <> (score >= {now!r})"
        untouched = f"CASE WHEN {between} THEN {apart} ELSE true END"
        return {
            "between": f"{between} AND NOT ({untouched})",
            "same": f"score IS NOT NULL AND ({untouched})",
            "moved": "score IS NULL",
        }
    return {"same" if moved == {} else "moved": "true"}


def _decided_apart(case: Case, moved: Collection[str]) -> bool:
    """Whether the rule that decided comes before all that use a value that was moved."""
    rules = next((s for s in reversed(case.decision.steps) if s.get("kind") == "rules"), None)
    if rules is None or not rules.get("digest"):
        return False
    outputs = rules.get("outputs")
    rule = outputs.get("rule") if isinstance(outputs, dict) else None
    document = case.config_values(rules["digest"])
    return isinstance(rule, str) and rule in _first_rules(document, moved)


def _decided_apart_sql(
    documents: Mapping[str, Mapping[str, Any] | None],
    moved: Mapping[str, tuple[Any, Any]] | None,
) -> str:
    """:func:`_decided_apart` of a row, with the rule sets in use by digest."""
    last = "list_filter(steps, lambda s: s.kind = 'rules')[-1]"
    conditions = [
        f"({last}.digest = {sql.literal(digest)} AND "
        f"TRY(json_type({last}.outputs, '$.rule')) = 'VARCHAR' AND "
        f"({last}.outputs ->> '$.rule') IN ({', '.join(map(sql.literal, first))}))"
        for digest, document in documents.items()
        if (first := _first_rules(document, set(moved or {})))
    ]
    return _any(conditions)


def _first_rules(document: Mapping[str, Any] | None, moved: Collection[str]) -> list[str]:
    """Ids of the rules of a rule set up to the first that names something that was moved."""
    rules = (document or {}).get("rules")
    if (document or {}).get("type") != "rules" or not isinstance(rules, list):
        return []
    found = []
    for rule in rules:
        if not isinstance(rule, dict) or not isinstance(rule.get("when"), str):
            break
        if set(re.findall(r"\w+", rule["when"].casefold())) & {name.casefold() for name in moved}:
            break  # as SQL reads names
        found.append(str(rule.get("id")))
    return found


def _config_values(stretch: Stretch) -> Any:
    from forensics.lake.artifacts import ArtifactStore
    from forensics.reconstruct.config_values import config_values

    store = ArtifactStore(stretch.snapshot.root)
    return lambda digest: config_values(store, digest)


class NewPipelineCode(Detector):
    """Features were written by pipeline code that is hours old."""

    kind = "new_pipeline_code"
    checks = "No feature was written by pipeline code that is less than a day old."
    needs = "`pipeline` changes that name the features they feed, and feature sources."
    says: ClassVar[Mapping[str, Said]] = {
        "new": Said("info", "features were written by pipeline code less than a day old")
    }
    RECENT = timedelta(hours=24)

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision = case.decision
        for change in case.changes:
            age = decision.occurred_at - change.occurred_at
            if change.kind != "pipeline" or age < timedelta(0):
                continue
            fed = [name for name in change.features if decision.features.get(name) is not None]
            if age > self.RECENT or not fed or not served(decision, change, change.features):
                continue
            yield self.found(
                "new",
                f"{len(fed)} features come from {change.component} code {change.from_version} → "
                f"{change.to_version}, in force for {ago(age)}",
                {"change_id": change.change_id, "features": fed},
            )
            return

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        day = self.RECENT // timedelta(microseconds=1)
        columns = "request_id, decision_id, occurred_at, environment, feature_sources" + (
            ", features" if stretch.features else ""
        )
        queries = []
        for change in stretch.changes:
            since = to_micros(change.occurred_at)
            fed = [name for name in change.features if name in stretch.features]
            first, end = max(since, stretch.first_us), min(since + day + 1, stretch.end_us)
            if change.kind != "pipeline" or not fed or first >= end:
                continue
            names = sql.literal(change.features)
            source = (
                "list_filter(feature_sources, lambda s: "
                f"coalesce(list_has_any(s.features, {names}), false))[1]"
            )
            run = f"source.run_id = {sql.literal(change.run_id)}" if change.run_id else "false"
            later = f"epoch_us(source.event_time) >= {since - 60 * SECOND_US}"
            there = " OR ".join(f"features.{sql.identifier(name)} IS NOT NULL" for name in fed)
            queries.append(
                f"SELECT request_id, decision_id, t FROM (SELECT *, {source} AS source "
                f"FROM ({stretch.between(first, end, columns=columns)}) WHERE {there}) "
                f"WHERE coalesce({run}, false) OR coalesce({later}, true)"
            )
        if queries:
            yield f"SELECT DISTINCT *, 'new' AS about FROM ({' UNION ALL '.join(queries)})"


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
        return {"altered": _any([*parts, any_step(f"s.digest IN ({digests})")])}


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
                f"{case.twins} more record(s) with other content carry the same decision id",
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
                d=stretch.decisions(columns=columns),
                near=near,
                within=self.NEAR_US,
                answer="DISTINCT d.request_id, d.decision_id, d.t, 'repeated' AS about",
            )


def served(decision: Decision, change: Change, features: Sequence[str]) -> bool:
    """Whether the values of ``features`` were written after ``change``."""
    for source in decision.feature_sources:
        if set(features).isdisjoint(source.get("features") or ()):
            continue
        if change.run_id is not None and source.get("run_id") == change.run_id:
            return True
        written = source.get("event_time")
        return written is None or written >= change.occurred_at - timedelta(minutes=1)
    return True


def _brought(case: Case, digest: str) -> str:
    """What brought ``digest``, in words."""
    change = next((c for c in case.changes if c.to_digest == digest), None)
    return f"; {change.step} at {change.occurred_at:%Y-%m-%d %H:%M:%S}" if change else ""


def _is_partial(change: Change) -> bool:
    return change.traffic_share is not None and 0 < change.traffic_share < 1


def _concerns(change: Change) -> str:
    """SQL for whether a change of a deploy, configuration or flag is among a decision's changes."""
    if change.environment is None:
        return "true"
    return f"env = {sql.literal(change.environment)}"


def _case(branches: Any) -> str:
    """SQL for the number of the first condition that holds, NULL where none does."""
    whens = " ".join(f"WHEN {condition} THEN {number_}" for condition, number_ in branches)
    return f"CASE {whens} END" if whens else "NULL::INTEGER"


def _any(conditions: Sequence[str]) -> str:
    return " OR ".join(f"coalesce({one}, false)" for one in conditions) or "false"
