"""The detectors for one decision: each a small class with a name and what it checks."""

from __future__ import annotations

import math
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from forensics.errors import ForensicsError
from forensics.lake.summaries import Usual
from forensics.reconstruct.case import Case
from forensics.reconstruct.changes import Change
from forensics.reconstruct.reconstruction import Finding, Severity
from forensics.records.decision import Decision
from forensics.records.jsontext import number_text


class ScaleJump:
    """A numeric feature is a power of ten away from where it has been for weeks."""

    kind = "scale_jump"
    #: What unit mistakes do: per cent for a ratio, cents for units, milliseconds for seconds.
    FACTORS = (100.0, 1000.0, 1e6, 0.01, 0.001, 1e-6)
    #: A value this much beyond the usual range is not merely a large one.
    BEYOND = 5.0

    def look(self, case: Case) -> Iterator[Finding]:
        if not case.usual:
            if case.decision.features:
                yield _unknown(self.kind, "no earlier days of its features are in the lake")
            return
        for name, value in case.decision.features.items():
            usual = case.usual.get(name)
            if usual is None or not isinstance(value, (int, float)) or isinstance(value, bool):
                continue
            factor = self._factor(float(value), usual)
            if factor is not None:
                yield self._finding(case, name, float(value), usual, factor)

    def _factor(self, value: float, usual: Usual) -> float | None:
        if not math.isfinite(value) or value == 0 or usual.median == 0:
            return None
        low, high = sorted((usual.q01, usual.q99))
        spread = max(high - low, abs(usual.median))
        if low - self.BEYOND * spread <= value <= high + self.BEYOND * spread:
            small = abs(value) * 50 < min(abs(low), abs(high)) and low * high > 0
            if not small:
                return None
        fits = [factor for factor in self.FACTORS if low <= value / factor <= high]
        return min(fits, key=lambda f: abs(math.log(abs(value / f / usual.median))), default=None)

    def _finding(self, case: Case, name: str, value: float, usual: Usual, factor: float) -> Finding:
        size = f"{factor:,.0f} ×" if factor > 1 else f"1/{1 / factor:,.0f} of"
        statement = (
            f"{name} = {number_text(value)}, {size} its usual scale "
            f"(median {usual.median:.3g} over {usual.days} days)"
        )
        writer = _writer_of(case, name)
        detail: dict[str, Any] = {
            "feature": name, "value": value, "factor": factor, "usual": usual._asdict(),
        }  # fmt: skip
        if writer:
            statement += f"; {writer['statement']}"
            detail["writer"] = writer
        if case.what_if is not None:
            mended = value / factor
            try:
                outcome, score = case.what_if({name: mended}, {})
            except ForensicsError:
                pass
            else:
                detail["mended"] = {"value": mended, "outcome": outcome, "score": score}
        return Finding(self.kind, "error", statement, detail, "inferred")


class StaleCache:
    """The answer came from a cache entry that a replaced model or configuration made."""

    kind = "stale_cache"

    def look(self, case: Case) -> Iterator[Finding]:
        cache, decision = case.decision.cache, case.decision
        if not cache.get("hit"):
            if not cache and any(step.get("kind") == "cache" for step in decision.steps):
                yield _unknown(self.kind, "a cache took part, and its entry was not recorded")
            return
        compared = False
        for part in ("model", "config"):
            entry, live = cache.get(f"{part}_digest"), getattr(decision, part).get("digest")
            if not entry or not live:
                continue
            compared = True
            if entry != live:
                written = cache.get("written_at")
                age = f", written {_ago(decision.occurred_at - written)} earlier" if written else ""
                yield Finding(
                    self.kind,
                    "error",
                    f"the answer came from a cache entry of another {part}: {_short(entry)}, "
                    f"not the live {_short(live)}{age}",
                    {"part": part, "entry": entry, "live": live, "written_at": written},
                )
        if not compared:
            yield _unknown(self.kind, "the cache entry does not say which model made it")


class ConsumerMisread:
    """The downstream system did something else than was decided."""

    kind = "consumer_misread"

    def look(self, case: Case) -> Iterator[Finding]:
        consumer = case.decision.consumer
        action, decided = consumer.get("action"), case.decision.outcome
        if action is None:
            yield _unknown(self.kind, "what the downstream system did was not recorded")
        elif action != decided:
            received = consumer.get("received")
            heard = f"received {received!r} and " if received is not None else ""
            yield Finding(
                self.kind,
                "error",
                f"{consumer.get('name') or 'the consumer'} {heard}did {action}; "
                f"decided was {decided}",
                {"decided": decided, "received": received, "action": action},
            )


class UnreviewedConfig:
    """The configuration in force was published without review; says what it changed here."""

    kind = "config_without_review"

    def look(self, case: Case) -> Iterator[Finding]:
        digest = case.decision.config.get("digest")
        if not digest and not case.decision.config.get("revision"):
            yield _unknown(self.kind, "the record names no configuration")
            return
        revision = case.decision.config.get("revision")
        published = next(
            (
                c
                for c in case.changes
                if c.kind == "config"
                and (c.to_digest == digest or (c.to_digest is None and c.to_version == revision))
            ),
            None,
        )
        if published is None or published.reviewed_by:
            return
        before = case.config_values(published.from_digest) if published.from_digest else None
        now = case.decision.config.get("values") or (case.config_values(digest) if digest else {})
        moved = {
            name: (before.get(name), value)
            for name, value in (now or {}).items()
            if before is not None and before.get(name) != value
        }
        what = ", ".join(f"{name} {a} → {b}" for name, (a, b) in moved.items())
        age = _ago(case.decision.occurred_at - published.occurred_at)
        statement = (
            f"config {published.component} {published.from_version} → {published.to_version} "
            f"was published without review {age} earlier" + (f": {what}" if what else "")
        )
        severity: Severity = "warning"
        detail: dict[str, Any] = {"change_id": published.change_id, "moved": moved}
        if case.what_if is not None and before:
            try:
                outcome, _ = case.what_if({}, before)
            except ForensicsError:
                pass
            else:
                detail["outcome_before"] = outcome
                if outcome != case.decision.outcome:
                    severity = "error"
                    statement += f"; under {published.from_version} the outcome is {outcome}"
        yield Finding(self.kind, severity, statement, detail)


class NewPipelineCode:
    """Features were written by pipeline code that is hours old."""

    kind = "new_pipeline_code"
    RECENT = timedelta(hours=24)

    def look(self, case: Case) -> Iterator[Finding]:
        decision = case.decision
        for change in case.changes:
            if change.kind != "pipeline" or not change.features:
                continue
            age = decision.occurred_at - change.occurred_at
            fed = [name for name in change.features if name in decision.features]
            if age > self.RECENT or not fed or not _served(decision, change, fed):
                continue
            yield Finding(
                self.kind,
                "info",
                f"{len(fed)} features come from {change.component} code {change.from_version} → "
                f"{change.to_version}, in force for {_ago(age)}",
                {"change_id": change.change_id, "features": fed},
            )
            return


class ThresholdMismatch:
    """The threshold that was compared is not the configured one."""

    kind = "threshold_mismatch"

    def look(self, case: Case) -> Iterator[Finding]:
        values = case.decision.config.get("values")
        configured = values.get("threshold") if isinstance(values, dict) else None
        compared = case.decision.threshold
        if configured is not None and compared is not None and configured != compared:
            yield Finding(
                self.kind,
                "error",
                f"the score was compared with {compared}, the configuration says {configured}",
                {"compared": compared, "configured": configured},
            )


class FailedStep:
    """A step of the decision ended in an error."""

    kind = "failed_step"

    def look(self, case: Case) -> Iterator[Finding]:
        for step in case.decision.steps:
            if step.get("status") == "error" or step.get("error"):
                name = step.get("id") or step.get("kind")
                yield Finding(
                    self.kind,
                    "warning",
                    f"step {name} ended in an error: {step.get('error') or 'no text recorded'}",
                    {"step": name},
                )


class OverrideWithoutGround:
    """Somebody overrode the decision without a reason, or without authority."""

    kind = "override_without_ground"

    def look(self, case: Case) -> Iterator[Finding]:
        override = case.override
        if override is None:
            return
        lacking = [name for name in ("reason", "authority") if not override.get(name)]
        if lacking:
            yield Finding(
                self.kind,
                "warning",
                f"overridden by {override.get('actor')} to {override.get('final_outcome')} "
                f"without {' and '.join(lacking)}",
                {"override_id": override.get("override_id"), "lacking": lacking},
            )


class AlteredArtifact:
    """An artifact that the decision names is not the one that was stored."""

    kind = "altered_artifact"

    def look(self, case: Case) -> Iterator[Finding]:
        for digest in sorted(case.altered):
            yield Finding(
                self.kind,
                "error",
                f"artifact {_short(digest)} has other bytes than were stored under its digest",
                {"digest": digest},
                "recomputed",
            )


class DuplicateDecision:
    """Several different records claim to be this decision."""

    kind = "duplicate_decision"

    def look(self, case: Case) -> Iterator[Finding]:
        if case.twins:
            yield Finding(
                self.kind,
                "error",
                f"{case.twins} more record(s) with other content carry the same decision id",
                {"others": case.twins},
            )


def _unknown(kind: str, why: str) -> Finding:
    return Finding(kind, "not_checkable", f"{kind} cannot be checked: {why}", {}, "missing")


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
            and _served(case.decision, c, [feature])
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


def _served(decision: Decision, change: Change, features: list[str]) -> bool:
    """Whether the values of ``features`` were written after ``change``."""
    for source in decision.feature_sources:
        if set(features).isdisjoint(source.get("features") or ()):
            continue
        if change.run_id is not None and source.get("run_id") == change.run_id:
            return True
        written = source.get("event_time")
        return written is None or written >= change.occurred_at - timedelta(minutes=1)
    return True


def _short(digest: str) -> str:
    return digest.removeprefix("sha256:")[:8]


def _ago(age: timedelta) -> str:
    seconds = age.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} days"
