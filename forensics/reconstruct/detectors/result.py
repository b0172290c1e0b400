"""Detectors of what was decided and what came of it: threshold, outcome, consumer, override."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import Any, ClassVar

from forensics.lake import sql
from forensics.lineage.declared import SERVING
from forensics.reconstruct.case import Case
from forensics.reconstruct.detectors.base import (
    CLOCK,
    Detector,
    Said,
    Stretch,
    ago,
    json_number,
    number,
)
from forensics.reconstruct.reconstruction import Finding
from forensics.records.decision import Decision
from forensics.records.jsontext import number_text


class ThresholdMismatch(Detector):
    """The threshold that was compared is not the configured one."""

    kind = "threshold_mismatch"
    checks = "The threshold that the score was compared with is the configured one."
    needs = "The decision's threshold, and `threshold` among its configuration's values."
    says: ClassVar[Mapping[str, Said]] = {
        "differs": Said("error", "the score was compared with another threshold than configured"),
        "no_config": Said("not_checkable", "the record has no configured threshold"),
        "no_threshold": Said(
            "not_checkable", "the record does not say what the score was compared with"
        ),
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        values = case.decision.config.get("values")
        configured = number(values.get("threshold")) if isinstance(values, dict) else None
        compared = number(case.decision.threshold)
        if configured is None and compared is None:
            return
        if configured is None:
            yield self.unknown("no_config")
        elif compared is None:
            yield self.unknown("no_threshold")
        elif configured != compared and not (math.isnan(configured) and math.isnan(compared)):
            yield self.found(
                "differs",
                f"the score was compared with {number_text(compared)}, the configuration says "
                f"{number_text(configured)}",
                {"compared": compared, "configured": configured},
            )

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        configured = json_number('config."values"', "threshold")
        return {
            "differs": f"({configured}) <> threshold",
            "no_config": f"threshold IS NOT NULL AND ({configured}) IS NULL",
            "no_threshold": f"threshold IS NULL AND ({configured}) IS NOT NULL",
        }


class OutcomeContradiction(Detector):
    """The outcome is not what the decision's own rules, score or replay give."""

    kind = "outcome_contradiction"
    checks = "The outcome and score are those that the rules and the model gave, and replay gives."
    needs = "A rules step with its `outcome`, a step with its `score`, or a replay."
    says: ClassVar[Mapping[str, Said]] = {
        "rules": Said("error", "the outcome is another than the rules answered"),
        "replay": Said("error", "replay gives another outcome"),
        "score": Said("warning", "the score is another than the model answered"),
        "unrecorded": Said(
            "not_checkable", "no rules step tells its outcome, and no replay was made"
        ),
    }
    beyond_columns = "Recorded answers are compared; what replay gives is asked for by --replay."
    replay_tells = True
    #: Scores that differ by less were written by something of single precision.
    APART = 1e-6

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision, replay = case.decision, case.replay
        ruled = ruled_outcome(decision)
        replayed = replay.replayed.get("outcome") if replay is not None else None
        if ruled is not None and ruled != decision.outcome:
            yield self.found(
                "rules",
                f"the rules answered {ruled}, and the outcome is {decision.outcome}",
                {"answered": ruled, "outcome": decision.outcome},
            )
        if replayed is not None and str(replayed) != decision.outcome:
            rule = replay.replayed.get("rule") if replay is not None else None
            by = f" by rule {rule}" if rule else ""
            yield self.found(
                "replay",
                f"replay gives {replayed}{by}, and the outcome is {decision.outcome}",
                {"replayed": replayed, "outcome": decision.outcome},
                "recomputed",
            )
        answered, score = _answered_score(decision), number(decision.score)
        if answered is not None and score is not None and self._apart(answered, score):
            yield self.found(
                "score",
                f"the model answered {number_text(answered)}, and the score is "
                f"{number_text(score)}",
                {"answered": answered, "score": score},
            )
        if ruled is None and replayed is None:
            yield self.unknown("unrecorded")

    def _apart(self, a: float, b: float) -> bool:
        return abs(a - b) > self.APART * max(1.0, abs(a), abs(b))

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        last = (
            "list_filter(list_transform(steps, lambda s: CASE WHEN s.kind = 'rules' "
            "THEN coalesce(s.outputs, 'null') END), lambda x: x IS NOT NULL)[-1]"
        )
        told = f"CASE WHEN TRY(json_type({last}, '$.outcome')) = 'VARCHAR' THEN {last} END"
        ruled = f"(({told}) ->> '$.outcome')"
        scores = (
            "list_filter(list_transform(steps, lambda s: CASE WHEN contains(s.outputs, '\"score\"')"
            f" THEN {json_number('s.outputs', 'score')} END), lambda x: x IS NOT NULL)[-1]"
        )
        room = f"{self.APART!r} * greatest(1.0, abs({scores}), abs(score))"
        return {
            "rules": f"{ruled} <> outcome",
            "score": f"abs({scores} - score) > {room} AND NOT isnan({scores}) AND NOT isnan(score)",
            "unrecorded": f"{ruled} IS NULL",
        }


def ruled_outcome(decision: Decision) -> str | None:
    """What the last step of rules recorded as its outcome."""
    outputs = next(
        (step.get("outputs") for step in reversed(decision.steps) if step.get("kind") == "rules"),
        None,
    )
    told = outputs.get("outcome") if isinstance(outputs, dict) else None
    return told if isinstance(told, str) else None


def _answered_score(decision: Decision) -> float | None:
    """The score that the last step with one recorded."""
    for step in reversed(decision.steps):
        outputs = step.get("outputs")
        told = number(outputs.get("score")) if isinstance(outputs, dict) else None
        if told is not None:
            return told
    return None


class ConsumerMisread(Detector):
    """The downstream system did something else than was decided."""

    kind = "consumer_misread"
    checks = "The downstream system did what was decided, or what an override made of it."
    needs = "The consumer's `action`, in the decision point's words for outcomes."
    says: ClassVar[Mapping[str, Said]] = {
        "acted": Said("error", "the downstream system did something else than was decided"),
        "unrecorded": Said("not_checkable", "what the downstream system did was not recorded"),
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        consumer, decision = case.decision.consumer, case.decision
        action = consumer.get("action")
        if action is None:
            if decision.environment in serving(case):
                yield self.unknown("unrecorded")
        elif action != decision.outcome and not self._overridden(case, action):
            received = consumer.get("received")
            heard = f"received {received!r} and " if received is not None else ""
            yield self.found(
                "acted",
                f"{consumer.get('name') or 'the consumer'} {heard}did {action}; "
                f"decided was {decision.outcome}{self._release(case)}",
                {"decided": decision.outcome, "received": received, "action": action},
            )

    def _overridden(self, case: Case, action: str) -> bool:
        override = case.override
        if override is None or override.get("final_outcome") != action:
            return False
        acted = case.decision.consumer.get("at")
        return acted is None or acted >= override["occurred_at"]

    def _release(self, case: Case) -> str:
        """What became different at the consumer last."""
        name = case.decision.consumer.get("name")
        if not name:
            return ""
        last = next((change for change in case.changes if change.component == name), None)
        if last is None and case.around is not None:
            last = case.around.last_change(name)
        if last is None:
            return ""
        return f"; last changed by {last.step} at {last.occurred_at:%Y-%m-%d %H:%M:%S}"

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        other = "consumer.action <> outcome"
        if stretch.has_overrides:
            other += (
                " AND NOT coalesce(o.final_outcome = consumer.action AND "
                "coalesce(epoch_us(consumer.at) >= o.us, true), false)"
            )
        return {
            "acted": other,
            "unrecorded": f"consumer.action IS NULL AND {_served(stretch)}",
        }


class CanaryServed(Detector):
    """What a shadow decided was acted on."""

    kind = "canary_served"
    checks = "Nobody acted on a decision of an environment that must not serve."
    needs = (
        "The decision's environment and the consumer's `action`; which environments serve is "
        "declared, else production and canary."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "served": Said("error", "a decision that must not be served was acted on"),
        "unrecorded": Said(
            "not_checkable", "whether anybody acted on this environment was not recorded"
        ),
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision = case.decision
        if decision.environment in serving(case):
            return
        action = decision.consumer.get("action")
        if action is None:
            yield self.unknown("unrecorded")
        else:
            yield self.found(
                "served",
                f"{decision.consumer.get('name') or 'the consumer'} did {action} on a decision of "
                f"environment {decision.environment}, which does not serve",
                {"environment": decision.environment, "action": action},
            )

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        return {
            "served": f"NOT {_served(stretch)} AND consumer.action IS NOT NULL",
            "unrecorded": f"NOT {_served(stretch)} AND consumer.action IS NULL",
        }


def serving(case: Case) -> tuple[str, ...]:
    """Environments whose outcomes may be acted on."""
    return case.declaration.serving_environments if case.declaration is not None else SERVING


def _served(stretch: Stretch) -> str:
    declared = stretch.declaration
    names = declared.serving_environments if declared is not None else SERVING
    return f"(env IN ({', '.join(map(sql.literal, names))}))" if names else "false"


class OverrideWithoutGround(Detector):
    """Somebody overrode the decision without ground, or the override does not fit the decision."""

    kind = "override_without_ground"
    checks = (
        "An override has a reason and an authority that had not expired, came after the decision, "
        "and was of the outcome that was decided."
    )
    needs = (
        "The override's `reason`, `authority` and, where it has them, `expires_at` and "
        "`original_outcome`."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "ground": Said("warning", "overridden without {0}"),
        "expired": Said("warning", "overridden when the authority for it had expired"),
        "early": Said("warning", "overridden before it was decided"),
        "other": Said("warning", "the override is of another outcome than was decided"),
    }
    _GROUNDS = ("reason", "authority")

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        override = case.override
        if override is None:
            return
        who = f"overridden by {override.get('actor') or '?'} to {override.get('final_outcome')}"
        detail: dict[str, Any] = {"override_id": override.get("override_id")}
        withheld: Mapping[str, str] = override.get("redacted") or {}
        lacking = [
            name
            for name in self._GROUNDS
            if not (override.get(name) or name in withheld or "*" in withheld)
        ]
        if lacking:
            without = " and ".join(lacking)
            yield self.found(
                f"ground:{without}", f"{who} without {without}", {**detail, "lacking": lacking}
            )
        expires, at = override.get("expires_at"), override["occurred_at"]
        if expires is not None and expires < at:
            yield self.found(
                "expired",
                f"{who} at {at:%Y-%m-%d %H:%M:%S}, by an authority that ended at "
                f"{expires:%Y-%m-%d %H:%M:%S}",
                {**detail, "expires_at": expires},
            )
        if at < case.decision.occurred_at - CLOCK:
            yield self.found(
                "early",
                f"{who} {ago(case.decision.occurred_at - at)} before it was decided",
                {**detail, "overridden_at": at},
            )
        original, decided = override.get("original_outcome"), case.decision.outcome
        if original is not None and original not in {decided, *case.overridden_to}:
            yield self.found(
                "other",
                f"{who} from {original}, and the recorded outcome is {decided}: one of the two "
                "records is wrong, or the override is of another decision",
                {**detail, "original_outcome": original, "outcome": decided},
            )

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        if not stretch.has_overrides:
            return {}
        none = {name: f"coalesce(o.{name}, '') = ''" for name in self._GROUNDS}
        both = " AND ".join(none.values())
        return {
            "ground:reason": f"o.us IS NOT NULL AND {none['reason']} AND NOT {none['authority']}",
            "ground:authority": f"o.us IS NOT NULL AND NOT {none['reason']} "
            f"AND {none['authority']}",
            "ground:reason and authority": f"o.us IS NOT NULL AND {both}",
            "expired": "o.expires_us < o.us",
            "early": f"o.us < t - {CLOCK // timedelta(microseconds=1)}",
            "other": "o.original_outcome <> outcome "
            "AND NOT list_contains(o.made, o.original_outcome)",
        }
