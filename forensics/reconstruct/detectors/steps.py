"""Detectors of how the steps ran: errors, order, gaps and fallbacks."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from functools import partial
from itertools import pairwise
from typing import Any, ClassVar

from forensics.lake import sql
from forensics.reconstruct.case import Case
from forensics.reconstruct.detectors.base import (
    CLOCK,
    NO_STEPS,
    Detector,
    Said,
    Shape,
    Stretch,
    any_source,
    any_step,
    by_shape,
)
from forensics.reconstruct.detectors.result import serving
from forensics.reconstruct.reconstruction import Finding
from forensics.reconstruct.redacted import redaction
from forensics.records.decision import Decision

Step = Mapping[str, Any]
_NO_STEPS = Said("not_checkable", "the record has no steps")


class FailedStep(Detector):
    """A step of the decision ended in an error."""

    kind = "failed_step"
    checks = "No step ended in an error."
    needs = "Steps with their `status` or `error`."
    says: ClassVar[Mapping[str, Said]] = {
        "failed": Said("warning", "a step ended in an error"),
        "no_steps": _NO_STEPS,
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        if not case.decision.steps:
            yield self.unknown("no_steps")
        for step in case.decision.steps:
            if step.get("status") == "error" or step.get("error"):
                yield self.found(
                    "failed",
                    f"step {_name(step)} ended in an error: "
                    f"{step.get('error') or 'no text recorded'}",
                    {"step": _name(step)},
                )

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        return {
            "failed": any_step("s.status = 'error' OR s.error <> ''"),
            "no_steps": NO_STEPS,
        }


class StepsOutOfOrder(Detector):
    """Steps ran in an order in which one cannot have used what another gave."""

    kind = "steps_out_of_order"
    checks = (
        "Every step ended after it started, the model ran on features that were there, rules on a "
        "score that was there, and declared steps ran in their order."
    )
    needs = "Steps with `started_at` and `ended_at`, and the `event_time` of feature sources."
    says: ClassVar[Mapping[str, Said]] = {
        "backwards": Said("warning", "a step ended before it started"),
        "model_first": Said("warning", "the model ran before any features were fetched"),
        "model_raced": Said("warning", "the model ran while features were still being fetched"),
        "rules_raced": Said("warning", "the rules ran while the model was still running"),
        "declared": Said("warning", "declared steps ran in another order"),
        "future": Said("warning", "a feature's value is from after the decision"),
        "no_steps": _NO_STEPS,
        "no_times": Said("not_checkable", "no step says when it ran"),
    }
    #: Clocks of different machines may differ by this much.
    MACHINES = timedelta(seconds=1)

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision = case.decision
        timed = [s for s in decision.steps if s.get("started_at") and s.get("ended_at")]
        if not decision.steps:
            yield self.unknown("no_steps")
        elif not timed:
            yield self.unknown("no_times")
        else:
            yield from self._backwards(timed)
            yield from self._raced(timed)
            yield from self._declared(case)
        late = [
            (source["event_time"], source)
            for source in decision.feature_sources
            if source.get("event_time")
            and source["event_time"] > decision.occurred_at + self.MACHINES
        ]
        if late:
            time, source = max(late, key=lambda item: item[0])
            names = ", ".join(source.get("features") or ()) or str(source.get("view"))
            yield self.found(
                "future",
                f"{names} is from {(time - decision.occurred_at).total_seconds():.0f} s after the "
                "decision",
                {"event_time": time, "view": source.get("view")},
            )

    def _backwards(self, timed: Sequence[Step]) -> Iterator[Finding]:
        wrong = [s for s in timed if s["ended_at"] < s["started_at"]]
        if wrong:
            names = ", ".join(_name(step) for step in wrong)
            yield self.found(
                "backwards", f"step {names} ended before it started", {"steps": names.split(", ")}
            )

    def _raced(self, timed: Sequence[Step]) -> Iterator[Finding]:
        fetches, models, rules = (
            [s for s in timed if s.get("kind") == kind]
            for kind in ("feature_fetch", "model", "rules")
        )
        if models and fetches:
            model = max(models, key=lambda s: s["started_at"])
            began = model["started_at"]
            if all(began + CLOCK < fetch["started_at"] for fetch in fetches):
                yield self.found(
                    "model_first", f"{_name(model)} started before any feature was fetched"
                )
            raced = [f for f in fetches if f["started_at"] <= began < f["ended_at"] - CLOCK]
            if raced:
                yield self.found("model_raced", _raced(model, raced))
        if rules and models:
            rule = max(rules, key=lambda s: s["started_at"])
            began = rule["started_at"]
            raced = [m for m in models if m["started_at"] <= began < m["ended_at"] - CLOCK]
            if raced:
                yield self.found("rules_raced", _raced(rule, raced))

    def _declared(self, case: Case) -> Iterator[Finding]:
        names = case.declaration.steps if case.declaration is not None else ()
        ran = [step for name in names if (step := _first(case.decision, name)) is not None]
        for before, after in pairwise(ran):
            a, b = before.get("started_at"), after.get("started_at")
            if a and b and b + CLOCK < a and before.get("kind") != after.get("kind"):
                yield self.found(
                    "declared",
                    f"{_name(after)} started before {_name(before)}, which is declared to be first",
                    {"steps": [_name(before), _name(after)]},
                )
                return

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        timed = "s.started_at IS NOT NULL AND s.ended_at IS NOT NULL"

        def of(kind: str, then: str = "true") -> str:
            condition = f"coalesce(s.kind = '{kind}' AND {timed} AND {then}, false)"
            return f"list_filter(steps, lambda s: {condition})"

        def last(kind: str) -> str:
            return f"list_max(list_transform({of(kind)}, lambda s: epoch_us(s.started_at)))"

        def first(kind: str) -> str:
            return f"list_min(list_transform({of(kind)}, lambda s: epoch_us(s.started_at)))"

        while_ = f"epoch_us(s.started_at) <= {{0}} AND {{0}} < epoch_us(s.ended_at) - {_CLOCK_US}"
        model, rules = last("model"), last("rules")
        any_timed = any_step(timed)
        after = self.MACHINES // timedelta(microseconds=1)
        slow = {
            "backwards": any_step(f"{timed} AND s.ended_at < s.started_at"),
            "model_first": f"{model} + {_CLOCK_US} < {first('feature_fetch')}",
            "model_raced": f"len({of('feature_fetch', while_.format(model))}) > 0",
            "rules_raced": f"len({of('model', while_.format(rules))}) > 0",
            "declared": f"({any_timed}) AND ({self._declared_sql(stretch)})",
            "no_times": f"NOT ({NO_STEPS}) AND NOT ({any_timed})",
        }
        declared = stretch.declaration.steps if stretch.declaration is not None else ()
        return {
            code: by_shape(stretch, partial(_quick, code, declared=declared), condition)
            for code, condition in slow.items()
        } | {
            "future": any_source(f"epoch_us(s.event_time) > t + {after}"),
            "no_steps": NO_STEPS,
        }

    def _declared_sql(self, stretch: Stretch) -> str:
        """Whether of the declared steps that ran, one began before the one declared before it.

        What ran between two declared steps matters: only neighbours among those that ran are
        compared, so every pair is, under the condition that none between them ran.
        """
        names = stretch.declaration.steps if stretch.declaration is not None else ()
        places = [_place(name) for name in names]
        pairs = []
        for a, before in enumerate(places):
            for b in range(a + 1, len(places)):
                between = "".join(f" AND {places[c]} IS NULL" for c in range(a + 1, b))
                after = places[b]
                pairs.append(
                    f"coalesce(starts[{after}] + {_CLOCK_US} < starts[{before}] "
                    f"AND kinds[{before}] IS DISTINCT FROM kinds[{after}]{between}, false)"
                )
        return " OR ".join(pairs) or "false"


_CLOCK_US = CLOCK // timedelta(microseconds=1)


def _quick(code: str, shape: Shape, declared: Sequence[str]) -> str:
    """A condition of :class:`StepsOutOfOrder` where the kinds and ids of the steps are known."""

    def began(at: int) -> str:
        return f"CASE WHEN ends[{at}] IS NOT NULL THEN starts[{at}] END"

    def of(kind: str) -> list[int]:
        return [at for at, (found, _) in enumerate(shape, 1) if found == kind]

    def all_of(name: str, kind: str) -> str:
        return f"{name}({', '.join(map(began, of(kind)))})"

    def raced(kind: str, others: str) -> list[str]:
        last = all_of("greatest", kind)
        return [
            f"(starts[{at}] <= {last} AND {last} < ends[{at}] - {_CLOCK_US})"
            for at in of(others)
            if of(kind)
        ]

    if code == "backwards":
        conditions = [f"ends[{at}] < starts[{at}]" for at in range(1, len(shape) + 1)]
    elif code == "model_first":
        both = bool(of("model") and of("feature_fetch"))
        began_before = f"{all_of('greatest', 'model')} + {_CLOCK_US} < "
        conditions = [began_before + all_of("least", "feature_fetch")] if both else []
    elif code == "model_raced":
        conditions = raced("model", "feature_fetch")
    elif code == "rules_raced":
        conditions = raced("rules", "model")
    elif code == "declared":
        places = [place for name in declared if (place := _place_in(shape, name)) is not None]
        conditions = [
            f"starts[{after}] + {_CLOCK_US} < starts[{before}]"
            for before, after in pairwise(places)
            if shape[before - 1][0] != shape[after - 1][0]
        ]
        if conditions:
            any_timed = " OR ".join(f"({began(at)}) IS NOT NULL" for at in range(1, len(shape) + 1))
            return f"({any_timed}) AND ({_or(conditions)})"
    else:
        none = [f"({began(at)}) IS NULL" for at in range(1, len(shape) + 1)]
        return " AND ".join(none) or "false"
    return _or(conditions)


def _or(conditions: Sequence[str]) -> str:
    return " OR ".join(f"coalesce({one}, false)" for one in conditions) or "false"


def _place_in(shape: Shape, name: str) -> int | None:
    """Where, counted from 1, the first step of that id, else of that kind, stands."""
    for part in (1, 0):
        for at, step in enumerate(shape, 1):
            if step[part] == name:
                return at
    return None


def _is_unnamed(step: Step) -> bool:
    return step.get("id") is None and step.get("kind") is None


#: SQL for "it has steps, and nobody can see what they are": a policy may mask their names.
_UNNAMED = "coalesce(len(ids) > 0 AND list_count(ids) = 0 AND list_count(kinds) = 0, false)"


class MissingSteps(Detector):
    """A step that belongs to such a decision is not recorded."""

    kind = "missing_steps"
    checks = "Every declared step is there, or else every kind of step that such decisions have."
    needs = (
        "Declared `steps`; else steps of at least 20 decisions of the same point and environment "
        "that day, of which 98 % have the kind."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "declared": Said("warning", "step {0}, which is declared, is missing"),
        "usual": Said("warning", "a {0} step, which such decisions have, is missing"),
        "few": Said(
            "not_checkable",
            "no steps are declared, and too few decisions of that day can be compared with",
        ),
        "nothing": Said(
            "not_checkable", "no steps are declared, and the other decisions of that day have none"
        ),
        "unnamed": Said("not_checkable", "its steps have neither ids nor kinds that can be seen"),
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        decision = case.decision
        withheld = not decision.steps and redaction(decision, "steps") is not None
        if withheld or (decision.steps and all(map(_is_unnamed, decision.steps))):
            yield self.unknown("unnamed")
            return
        declared = case.declaration.steps if case.declaration is not None else ()
        if declared:
            for name in expected(declared, bool(decision.cache.get("hit")), _is_served(case)):
                if _first(decision, name) is None:
                    yield self.found(
                        f"declared:{name}",
                        f"step {name} is missing, which every decision of {decision.decision_point}"
                        " is declared to have",
                        {"step": name},
                    )
            return
        if decision.cache.get("hit"):
            return  # what was not run again cannot be missing
        usual = case.around.usual_kinds() if case.around is not None else None
        if usual is None:
            yield self.unknown("few")
        elif not usual and not decision.steps:
            yield self.unknown("nothing")
        for kind in usual or ():
            if all(step.get("kind") != kind for step in decision.steps):
                yield self.found(
                    f"usual:{kind}",
                    f"there is no {kind} step, which other decisions of that day have",
                    {"step": kind},
                )

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        declared = stretch.declaration.steps if stretch.declaration is not None else ()
        if not declared:
            return {"unnamed": _UNNAMED}
        assert stretch.declaration is not None
        envs = ", ".join(map(sql.literal, stretch.declaration.serving_environments))
        served = f"env IN ({envs})" if envs else "false"
        hit = "coalesce(cache.hit, false)"
        flags = {"unnamed": _UNNAMED}
        for name in dict.fromkeys(declared):
            when = [
                f"({'' if is_hit else 'NOT '}{hit} AND {'' if is_served else 'NOT '}({served}))"
                for is_hit in (True, False)
                for is_served in (True, False)
                if name in expected(declared, is_hit, is_served)
            ]
            flags[f"declared:{name}"] = (
                f"({' OR '.join(when) or 'false'}) AND {_place(name)} IS NULL AND NOT {_UNNAMED}"
            )
        return flags

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        if stretch.declaration is not None and stretch.declaration.steps:
            return
        from forensics.reconstruct.around import SPAN_US, usual_kinds_query

        usual = usual_kinds_query(stretch)
        d = stretch.decisions(
            columns="request_id, decision_id, steps, cache, occurred_at, environment"
        )
        kinds = "coalesce(list_transform(d.steps, lambda s: s.kind), [])"
        names = "list_transform(d.steps, lambda s: coalesce(s.id, s.kind))"
        yield f"""
            SELECT request_id, decision_id, t, unnest(
                CASE WHEN expected IS NULL THEN ['few']
                     WHEN len(expected) = 0 AND len(kinds) = 0 THEN ['nothing']
                     ELSE list_transform(list_filter(expected,
                              lambda k: NOT list_contains(kinds, k)), lambda k: 'usual:' || k) END
            ) AS about
            FROM (SELECT d.*, {kinds} AS kinds, u.expected AS expected FROM ({d}) AS d
                  LEFT JOIN ({usual}) AS u ON u.env = d.env AND u.span = d.t // {SPAN_US}
                  WHERE NOT coalesce(d.cache.hit, false)
                    AND (coalesce(len(d.steps), 0) = 0 OR list_count({names}) > 0))"""


class FallbackUsed(Detector):
    """Something stood in for what should have decided."""

    kind = "fallback_used"
    checks = "No fallback, default or degraded path took part."
    needs = (
        "Steps whose `status`, name or outputs say `fallback`, and the configuration's "
        "`provenance`."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "step": Said("warning", "a fallback answered instead of the step itself"),
        "config": Said("info", "the configuration's values are its built-in defaults"),
        "no_steps": _NO_STEPS,
    }
    _STATUSES = ("fallback", "default", "degraded")

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        if not case.decision.steps:
            yield self.unknown("no_steps")
        used = [_name(step) for step in case.decision.steps if self._is_fallback(step)]
        if used:
            yield self.found(
                "step", f"a fallback answered at step {', '.join(used)}", {"steps": used}
            )
        if case.decision.config.get("provenance") == "default":
            yield self.found("config", "the configuration's values are its built-in defaults")

    def _is_fallback(self, step: Step) -> bool:
        outputs = step.get("outputs")
        said = isinstance(outputs, dict) and outputs.get("fallback") is True
        named = any("fallback" in str(step.get(key) or "").lower() for key in ("id", "component"))
        return said or named or str(step.get("status") or "").lower() in self._STATUSES

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """See :class:`Detector`."""
        statuses = ", ".join(map(sql.literal, self._STATUSES))
        return {
            "step": any_step(
                f"lower(s.status) IN ({statuses}) OR contains(lower(s.id), 'fallback') "
                "OR contains(lower(s.component), 'fallback') OR (contains(s.outputs, 'fallback') "
                "AND TRY(json_extract(s.outputs, '$.fallback'))::VARCHAR = 'true')"
            ),
            "config": "config.provenance = 'default'",
            "no_steps": NO_STEPS,
        }


def expected(declared: Sequence[str], hit: bool, served: bool) -> tuple[str, ...]:
    """The declared steps that a decision must have.

    An answer from the cache needs nothing between the cache and the consumer, and what nobody may
    act on needs no consumer.
    """
    if hit:
        cache = next((at for at, name in enumerate(declared) if "cache" in name), len(declared))
        declared = [name for at, name in enumerate(declared) if at <= cache or "consumer" in name]
    return tuple(name for name in declared if served or "consumer" not in name)


def _absent(shape: Shape, name: str) -> str:
    return "true" if _place_in(shape, name) is None else "false"


def _is_served(case: Case) -> bool:
    return case.decision.environment in serving(case)


def _first(decision: Decision, name: str) -> Step | None:
    """The first step of that id, else of that kind."""
    by_id = next((step for step in decision.steps if step.get("id") == name), None)
    return by_id or next((step for step in decision.steps if step.get("kind") == name), None)


def _place(name: str) -> str:
    """SQL for :func:`_first`: where in the lists that step stands, NULL where it is not there."""
    text = sql.literal(name)
    places = (f"nullif(list_position({of}, {text}), 0)" for of in ("ids", "kinds"))
    return f"coalesce({', '.join(places)})"


def _name(step: Step) -> str:
    return str(step.get("id") or step.get("kind") or "step")


def _raced(step: Step, others: Sequence[Step]) -> str:
    names = ", ".join(_name(other) for other in others)
    began: datetime = step["started_at"]
    left = max(other["ended_at"] for other in others) - began
    return (
        f"{_name(step)} started {left.total_seconds() * 1000:.1f} ms before {names} ended, "
        "so that it may have used what was there before"
    )
