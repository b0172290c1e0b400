"""The detector of configurations that nobody reviewed: what they moved, and what of it told."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from typing import Any, ClassVar

from forensics.errors import ForensicsError
from forensics.lake import sql, summaries
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
    concerns,
    number,
    short,
)
from forensics.reconstruct.reconstruction import Finding
from forensics.records.decision import Decision
from forensics.records.jsontext import dumps
from forensics.records.times import to_micros

_HOUR_US = 3600 * SECOND_US


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
                    f"AND {concerns(deploy)}, false)"
                    for deploy in deploys
                    if (us := to_micros(deploy.occurred_at)) >= since - self.RECENT_US
                )
                alone.append(
                    f"({index}) = {at} AND t - {since} <= {self.RECENT_US} "
                    f"AND NOT ({with_it or 'false'})"
                )
        return {
            **{about: any_of(conditions) for about, conditions in effects.items()},
            "alone": any_of(alone),
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
    return any_of(conditions)


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


def _case(branches: Any) -> str:
    """SQL for the number of the first condition that holds, NULL where none does."""
    whens = " ".join(f"WHEN {condition} THEN {number_}" for condition, number_ in branches)
    return f"CASE {whens} END" if whens else "NULL::INTEGER"
