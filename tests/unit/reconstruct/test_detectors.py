"""Each detector on small lakes made for it; both of its forms are asked, and must agree."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from forms import judged, moment, of, step

from forensics.api import open_lake
from forensics.lake.artifacts import ArtifactStore
from forensics.reconstruct.detectors import DETECTORS
from forensics.testing import change_record, decision_record, declaration_record, override_record

TakeIn = Callable[..., Any]
A, B = "sha256:" + "a" * 64, "sha256:" + "b" * 64


@pytest.fixture
def ask(lake: Path, take_in: TakeIn) -> Callable[..., Callable[[str, str], set[str]]]:
    """Take records in and answer what a detector says of a request."""

    def ask(*records: dict[str, Any]) -> Callable[[str, str], set[str]]:
        take_in(list(records))
        said = judged(lake)
        return lambda request, kind: of(said[request], kind)

    return ask


def decided(request: str, **changes: Any) -> dict[str, Any]:
    """A decision at noon of 2026-10-01, or at another ``ms`` after it."""
    at = moment(changes.pop("ms", 0), changes.pop("day", 1))
    return decision_record(
        request_id=request, decision_id=f"d-{request}", occurred_at=at, **changes
    )


def declared(**changes: Any) -> dict[str, Any]:
    return declaration_record(**{"occurred_at": "2026-09-01T00:00:00Z", **changes})


def test_every_detector_says_what_it_checks_what_it_needs_and_what_it_can_answer() -> None:
    kinds = [detector.kind for detector in DETECTORS]
    assert len(set(kinds)) == len(kinds)
    for detector in DETECTORS:
        assert detector.checks.endswith("."), detector.kind
        assert detector.needs.endswith("."), detector.kind
        assert detector.says, detector.kind
        for code, said in detector.says.items():
            assert ":" not in code
            assert said.words[0].islower() or said.words[0] == "{", (detector.kind, code)
            assert not said.words.endswith("."), (detector.kind, code)


def test_a_bare_record_is_never_called_clean(ask: Any) -> None:
    said = ask(decided("r", features=None, score=None, threshold=None, model=None))
    for kind, about in (
        ("failed_step", {"no_steps"}),
        ("steps_out_of_order", {"no_steps"}),
        ("missing_steps", {"few"}),
        ("fallback_used", {"no_steps"}),
        ("consumer_misread", {"unrecorded"}),
        ("config_without_review", {"no_config"}),
        ("mixed_versions", {"no_replica"}),
        ("outcome_contradiction", {"unrecorded"}),
    ):
        assert said("r", kind) == about, kind


def test_what_is_absent_is_said_as_not_checkable_because(lake: Path, take_in: TakeIn) -> None:
    take_in([decided("r")])
    with open_lake(lake) as opened:
        (found,) = opened.trace("r", replay=False)
    unknown = [one for one in found.findings if one.severity == "not_checkable"]
    assert unknown
    assert all(" is not checkable, because " in one.statement for one in unknown)
    assert all(one.evidence == "missing" for one in unknown)


class TestCache:
    def cached(self, request: str, written_ms: float = -60_000, **cache: Any) -> dict[str, Any]:
        return decided(
            request,
            model={"name": "pd", "version": "v1", "digest": A},
            config={"values": {"cache_ttl_s": 3600}},
            cache={"hit": True, "written_at": moment(written_ms), "model_digest": A, **cache},
        )

    def test_an_entry_of_the_live_model_within_its_limit_is_fine(self, ask: Any) -> None:
        assert ask(self.cached("r"))("r", "stale_cache") == set()

    def test_an_entry_of_another_model_is_stale(self, ask: Any) -> None:
        assert ask(self.cached("r", model_digest=B))("r", "stale_cache") == {"model"}

    def test_an_entry_of_another_configuration_is_stale(self, ask: Any) -> None:
        record = self.cached("r", config_digest=B)
        record["config"] |= {"digest": A}
        assert ask(record)("r", "stale_cache") == {"config"}

    def test_an_entry_older_than_the_configured_limit_is_stale(self, ask: Any) -> None:
        said = ask(self.cached("old", -3_600_001), self.cached("young", -3_600_000))
        assert said("old", "stale_cache") == {"expired"}
        assert said("young", "stale_cache") == set()

    def test_a_declared_limit_goes_before_a_configured_one(self, ask: Any) -> None:
        said = ask(declared(cache_max_age_s=30), self.cached("r"))
        assert said("r", "stale_cache") == {"expired"}

    def test_what_the_entry_does_not_say_is_not_checkable(self, ask: Any) -> None:
        said = ask(
            decided("bare", cache={"hit": True}),
            decided("silent", steps=[step("cache", 0, 1)]),
            decided("missed", cache={"hit": False}),
        )
        assert said("bare", "stale_cache") == {"no_maker", "no_limit"}
        assert said("silent", "stale_cache") == {"unrecorded"}
        assert said("missed", "stale_cache") == set()

    def test_an_entry_from_after_the_decision_is_found(self, ask: Any) -> None:
        said = ask(self.cached("after", 10_001), self.cached("while", 10_000))
        assert said("after", "stale_cache") == {"later"}
        assert said("while", "stale_cache") == set()

    def test_an_entry_that_may_not_have_answered_is_not_checkable(self, ask: Any) -> None:
        said = ask(self.cached("r", hit=None, model_digest=B))
        assert said("r", "stale_cache") == {"no_hit"}


class TestThresholdAndOutcome:
    def test_the_threshold_compared_is_the_configured_one(self, ask: Any) -> None:
        cases: list[tuple[Any, Any, set[str]]] = [
            (0.5, {"threshold": 0.5}, set()),
            (0.5, {"threshold": 0.58}, {"differs"}),
            (1, {"threshold": 1.0}, set()),
            (0.5, {"threshold": "0.5"}, {"no_config"}),
            (0.5, {"threshold": True}, {"no_config"}),
            (0.5, None, {"no_config"}),
            (None, {"threshold": 0.5}, {"no_threshold"}),
            (None, None, set()),
        ]
        said = ask(
            *(
                decided(f"r{at}", threshold=threshold, config=values and {"values": values})
                for at, (threshold, values, _) in enumerate(cases)
            )
        )
        for at, case in enumerate(cases):
            assert said(f"r{at}", "threshold_mismatch") == case[2], case

    def test_an_outcome_that_the_rules_did_not_give_is_an_error(self, ask: Any) -> None:
        rules = [step("rules", 0, 1, outputs={"outcome": "DECLINE"})]
        said = ask(
            decided("other", outcome="APPROVE", steps=rules),
            decided("same", outcome="DECLINE", steps=rules),
            decided("odd", steps=[step("rules", 0, 1, outputs={"outcome": 7})]),
            decided("text", steps=[step("rules", 0, 1, outputs="DECLINE")]),
        )
        assert said("other", "outcome_contradiction") == {"rules"}
        assert said("same", "outcome_contradiction") == set()
        assert said("odd", "outcome_contradiction") == {"unrecorded"}
        assert said("text", "outcome_contradiction") == {"unrecorded"}

    def test_a_score_that_the_model_did_not_give_is_odd(self, ask: Any) -> None:
        def scored(request: str, answered: Any) -> dict[str, Any]:
            outcome = step("rules", 2, 3, outputs={"outcome": "APPROVE"})
            return decided(
                request,
                score=0.25,
                steps=[step("model", 0, 1, outputs={"score": answered}), outcome],
            )

        said = ask(scored("other", 0.26), scored("near", 0.25 + 1e-9), scored("text", "0.9"))
        assert said("other", "outcome_contradiction") == {"score"}
        assert said("near", "outcome_contradiction") == set()
        assert said("text", "outcome_contradiction") == set()


class TestConsumer:
    def test_the_consumer_does_what_was_decided(self, ask: Any) -> None:
        said = ask(
            decided("well", consumer={"action": "APPROVE"}),
            decided("ill", consumer={"name": "core", "received": "A", "action": "DECLINE"}),
            decided("silent"),
        )
        assert said("well", "consumer_misread") == set()
        assert said("ill", "consumer_misread") == {"acted"}
        assert said("silent", "consumer_misread") == {"unrecorded"}

    def test_who_acts_on_an_override_has_not_misread(self, ask: Any) -> None:
        acted = {"action": "DECLINE", "at": moment(5_000)}
        override = {"final_outcome": "DECLINE", "authority": "CP-7"}
        said = ask(
            decided("before", consumer=acted),
            override_record(decision_id="d-before", occurred_at=moment(6_000), **override),
            decided("after", consumer=acted),
            override_record(decision_id="d-after", occurred_at=moment(4_000), **override),
        )
        assert said("before", "consumer_misread") == {"acted"}
        assert said("after", "consumer_misread") == set()

    def test_what_a_shadow_decides_must_not_be_acted_on(self, ask: Any) -> None:
        said = ask(
            decided("acted", environment="shadow", consumer={"action": "APPROVE"}),
            decided("silent", environment="shadow"),
            decided("canary", environment="canary", consumer={"action": "APPROVE"}),
        )
        assert said("acted", "canary_served") == {"served"}
        assert said("silent", "canary_served") == {"unrecorded"}
        assert said("silent", "consumer_misread") == set()
        assert said("canary", "canary_served") == set()

    def test_which_environments_serve_is_declared(self, ask: Any) -> None:
        said = ask(
            declared(serving_environments=["production"]),
            decided("canary", environment="canary", consumer={"action": "APPROVE"}),
            decided("production", consumer={"action": "APPROVE"}),
        )
        assert said("canary", "canary_served") == {"served"}
        assert said("production", "canary_served") == set()


class TestOverrides:
    def test_an_override_has_its_grounds(self, ask: Any) -> None:
        cases: list[tuple[dict[str, Any], set[str]]] = [
            ({"authority": "CP-7"}, set()),
            ({}, {"ground:authority"}),
            ({"reason": None, "authority": "CP-7"}, {"ground:reason"}),
            ({"reason": ""}, {"ground:reason and authority"}),
            ({"authority": "CP-7", "expires_at": moment(-1)}, {"expired"}),
            ({"authority": "CP-7", "expires_at": moment(3_600_000)}, set()),
        ]
        said = ask(
            *(decided(f"r{at}", outcome="DECLINE") for at in range(len(cases))),
            *(
                override_record(decision_id=f"d-r{at}", occurred_at=moment(1_000), **given)
                for at, (given, _) in enumerate(cases)
            ),
        )
        for at, case in enumerate(cases):
            assert said(f"r{at}", "override_without_ground") == case[1], case

    def test_an_override_from_before_the_decision_is_found(self, ask: Any) -> None:
        said = ask(
            decided("r", outcome="DECLINE"),
            override_record(decision_id="d-r", occurred_at=moment(-5), authority="CP-7"),
        )
        assert said("r", "override_without_ground") == {"early"}

    def test_only_the_newest_override_counts(self, ask: Any) -> None:
        said = ask(
            decided("r", outcome="DECLINE"),
            override_record(decision_id="d-r", occurred_at=moment(1_000), reason=None),
            override_record(decision_id="d-r", occurred_at=moment(2_000), authority="CP-7"),
        )
        assert said("r", "override_without_ground") == set()

    def test_an_override_of_another_outcome_than_was_decided_is_found(self, ask: Any) -> None:
        def override(request: str, ms: int, original: str | None, final: str) -> dict[str, Any]:
            return override_record(
                decision_id=f"d-{request}", occurred_at=moment(ms), authority="CP-7",
                original_outcome=original, final_outcome=final,
            )  # fmt: skip

        said = ask(
            *(decided(r, outcome="APPROVE") for r in ("right", "silent", "wrong", "same", "again")),
            override("right", 1_000, "APPROVE", "DECLINE"),
            override("silent", 1_000, None, "DECLINE"),
            override("wrong", 1_000, "REFER", "DECLINE"),
            override("same", 1_000, "REFER", "REFER"),
            override("again", 1_000, "APPROVE", "REFER"),
            override("again", 2_000, "REFER", "DECLINE"),
        )
        assert said("right", "override_without_ground") == set()
        assert said("silent", "override_without_ground") == set()
        assert said("wrong", "override_without_ground") == {"other"}
        assert said("same", "override_without_ground") == {"other"}
        assert said("again", "override_without_ground") == set()


class TestSteps:
    def ran(self, request: str, *steps: dict[str, Any], **more: Any) -> dict[str, Any]:
        return decided(request, ms=50, steps=list(steps), **more)

    def test_steps_in_order_are_fine_and_parallel_fetches_too(self, ask: Any) -> None:
        said = ask(
            self.ran(
                "r",
                step("feature_fetch", 0, 5, id="a"),
                step("feature_fetch", 0.2, 7, id="b"),
                step("model", 7, 9),
                step("rules", 9, 10),
            )
        )
        assert said("r", "steps_out_of_order") == set()

    def test_races_and_reversals_are_found(self, ask: Any) -> None:
        cases: list[tuple[list[dict[str, Any]], set[str]]] = [
            ([step("rules", 5, 4)], {"backwards"}),
            ([step("feature_fetch", 5, 9), step("model", 1, 4)], {"model_first"}),
            ([step("feature_fetch", 0, 9), step("model", 4, 12)], {"model_raced"}),
            ([step("feature_fetch", 0, 4.5), step("model", 4, 12)], set()),
            ([step("model", 0, 9), step("rules", 4, 12)], {"rules_raced"}),
            ([step("rules", 0, 1), step("model", 4, 12)], set()),
            ([{"id": "x", "kind": "model"}], {"no_times"}),
        ]
        said = ask(*(self.ran(f"r{at}", *steps) for at, (steps, _) in enumerate(cases)))
        for at, case in enumerate(cases):
            assert said(f"r{at}", "steps_out_of_order") == case[1], case

    def test_rare_lists_of_steps_are_judged_too(self, lake: Path, take_in: TakeIn) -> None:
        # More lists than there are short conditions for.
        records = [
            self.ran(f"r{at}", *(step("tool", n, n + 1, id=f"t{n}") for n in range(at)),
                     step("feature_fetch", 5, 9), step("model", 1 if at % 2 else 10, 4 + 8))
            for at in range(24)
        ]  # fmt: skip
        take_in(records)
        said = judged(lake)
        for at in range(24):
            expected = {"model_first"} if at % 2 else set()
            assert of(said[f"r{at}"], "steps_out_of_order") == expected, at

    def test_a_value_from_the_future_is_found(self, ask: Any) -> None:
        def fed(request: str, ms: float) -> dict[str, Any]:
            source = {"view": "v", "features": ["amount"], "event_time": moment(ms)}
            return self.ran(request, step("model", 0, 1), feature_sources=[source])

        said = ask(fed("late", 2_000), fed("well", 900))
        assert said("late", "steps_out_of_order") == {"future"}
        assert said("well", "steps_out_of_order") == set()

    def test_declared_steps_run_in_their_order(self, ask: Any) -> None:
        said = ask(
            declared(steps=["fetch", "check", "rules"]),
            self.ran("r", step("feature_fetch", 0, 1, id="fetch"), step("rules", 2, 3),
                     step("api", 4, 5, id="check")),
            self.ran("well", step("feature_fetch", 0, 1, id="fetch"),
                     step("api", 2, 3, id="check"), step("rules", 4, 5)),
        )  # fmt: skip
        assert said("r", "steps_out_of_order") == {"declared"}
        assert said("well", "steps_out_of_order") == set()

    def test_a_declared_step_that_is_absent_is_missing(self, ask: Any) -> None:
        said = ask(
            declared(steps=["fetch", "cache", "model", "consumer"]),
            self.ran("r", step("feature_fetch", 0, 1, id="fetch"), step("cache", 1, 2)),
            self.ran("hit", step("feature_fetch", 0, 1, id="fetch"), step("cache", 1, 2),
                     step("consumer", 2, 3), cache={"hit": True}),
            self.ran("shadow", step("feature_fetch", 0, 1, id="fetch"), step("cache", 1, 2),
                     step("model", 2, 3), environment="shadow"),
        )  # fmt: skip
        assert said("r", "missing_steps") == {"declared:model", "declared:consumer"}
        assert said("hit", "missing_steps") == set()
        assert said("shadow", "missing_steps") == set()

    def test_a_kind_of_step_that_such_decisions_have_is_missing(self, ask: Any) -> None:
        usual = [
            self.ran(f"u{at}", step("feature_fetch", 0, 1), step("model", 1, 2)) for at in range(60)
        ]
        said = ask(*usual, self.ran("r", step("feature_fetch", 0, 1)))
        assert said("r", "missing_steps") == {"usual:model"}
        assert said("u1", "missing_steps") == set()

    def test_steps_whose_names_are_masked_are_not_said_to_be_missing(self, ask: Any) -> None:
        masked = [step("model", at, at + 1) | {"id": None, "kind": None} for at in range(2)]
        said = ask(declared(steps=["fetch", "model"]), self.ran("r", *masked))
        assert said("r", "missing_steps") == {"unnamed"}

    def test_unnamed_steps_are_not_compared_with_what_is_usual(self, ask: Any) -> None:
        usual = [self.ran(f"u{at}", step("model", 1, 2)) for at in range(60)]
        said = ask(*usual, self.ran("r", step("model", 0, 1) | {"id": None, "kind": None}))
        assert said("r", "missing_steps") == {"unnamed"}
        assert said("u1", "missing_steps") == set()

    def test_few_decisions_tell_nothing_of_what_is_usual(self, ask: Any) -> None:
        said = ask(self.ran("a", step("model", 0, 1)), self.ran("b", step("rules", 0, 1)))
        assert said("a", "missing_steps") == {"few"}

    def test_errors_and_fallbacks_are_found(self, ask: Any) -> None:
        said = ask(
            self.ran("error", step("api", 0, 1, status="error", error="timeout")),
            self.ran("text", step("api", 0, 1, error="no answer")),
            self.ran("fallback", step("model", 0, 1, status="fallback")),
            self.ran("output", step("model", 0, 1, outputs={"fallback": True})),
            self.ran("name", step("rules", 0, 1, id="fallback_rules")),
            self.ran("none", step("model", 0, 1, outputs={"fallback": False})),
            self.ran("config", step("model", 0, 1), config={"provenance": "default"}),
        )
        assert said("error", "failed_step") == said("text", "failed_step") == {"failed"}
        for request in ("fallback", "output", "name"):
            assert said(request, "fallback_used") == {"step"}, request
        assert said("none", "fallback_used") == set()
        assert said("config", "fallback_used") == {"config"}


class TestVersions:
    def test_the_model_step_runs_the_model_that_is_named(self, ask: Any) -> None:
        model = {"name": "pd", "version": "v2", "digest": B}

        def ran(request: str, **of_step: Any) -> dict[str, Any]:
            return decided(request, model=model, steps=[step("model", 0, 1, **of_step)])

        said = ask(
            ran("other", component="pd", version="v1", digest=A),
            ran("named", component="pd", version="v1"),
            ran("same", component="pd", version="v2", digest=B),
            ran("second", component="fraud", digest=A),
        )
        assert said("other", "mixed_versions") >= {"step"}
        assert said("named", "mixed_versions") >= {"step"}
        assert "step" not in said("same", "mixed_versions")
        assert "step" not in said("second", "mixed_versions")

    def test_decisions_of_one_request_use_one_version(self, lake: Path, take_in: TakeIn) -> None:
        def part(request: str, id_: str, version: str, **more: Any) -> dict[str, Any]:
            model = {"name": "pd", "version": version}
            return decision_record(
                request_id=request, decision_id=id_, occurred_at=moment(len(id_)), model=model,
                replica="r0", **more,
            )  # fmt: skip

        take_in(
            [
                part("mixed", "m1", "v1"), part("mixed", "m-2", "v2"),
                part("same", "s1", "v1"), part("same", "s-2", "v1"),
                part("shadowed", "h1", "v1"), part("shadowed", "h-2", "v2", environment="shadow"),
            ]
        )  # fmt: skip
        said = judged(lake)
        assert of(said["mixed"], "mixed_versions") == {"request"}
        assert of(said["same"], "mixed_versions") == set()
        assert of(said["shadowed"], "mixed_versions") == set()

    def replicas(self, *uses: tuple[int, str, str]) -> list[dict[str, Any]]:
        return [
            decided(f"r{at}", ms=at * 1_000, replica=replica, model={"name": "pd", "digest": model})
            for at, replica, model in uses
        ]

    def test_replicas_that_use_different_versions_by_turns_are_mixed(self, ask: Any) -> None:
        said = ask(*self.replicas((0, "a", A), (1, "b", B), (2, "a", A)))
        assert said("r1", "mixed_versions") == {"replicas"}
        assert said("r0", "mixed_versions") == set()

    def test_a_switch_of_all_replicas_is_no_mixture(self, ask: Any) -> None:
        said = ask(*self.replicas((0, "a", A), (1, "b", A), (2, "a", B), (3, "b", B)))
        assert all(said(f"r{at}", "mixed_versions") == set() for at in range(4))

    def test_a_rollout_may_be_mixed_for_a_while(self, ask: Any) -> None:
        deploy = change_record(occurred_at=moment(-60_000), to_digest=B)
        said = ask(deploy, *self.replicas((0, "a", A), (1, "b", B), (2, "a", A)))
        assert said("r1", "mixed_versions") == {"rollout"}

    def test_a_part_of_the_traffic_may_have_another_version_for_long(self, ask: Any) -> None:
        day_ago = moment(-86_400_000)
        deploy = change_record(occurred_at=day_ago, to_digest=B, traffic_share=0.1)
        said = ask(deploy, *self.replicas((0, "a", A), (1, "b", B), (2, "a", A)))
        assert said("r1", "mixed_versions") == {"rollout"}


class TestConfig:
    def configured(self, lake: Path, *values: dict[str, Any]) -> list[str]:
        store = ArtifactStore(lake)
        return [store.put(json.dumps(one).encode()) for one in values]

    def published(self, before: str, now: str, **more: Any) -> dict[str, Any]:
        return change_record(
            **{"kind": "config", "component": "credit_line", "occurred_at": moment(-7_200_000),
               "from_version": "c1", "to_version": "c2", "from_digest": before, "to_digest": now,
               **more}
        )  # fmt: skip

    def test_a_score_between_two_thresholds_is_what_nobody_reviewed(
        self, lake: Path, ask: Any
    ) -> None:
        before, now = self.configured(lake, {"threshold": 0.6}, {"threshold": 0.5})
        said = ask(
            self.published(before, now),
            decided("between", score=0.55, config={"digest": now}),
            decided("above", score=0.65, config={"digest": now}),
            decided("at", score=0.5, config={"digest": now}),
            decided("earlier", day=1, ms=-7_300_000, score=0.55, config={"digest": now}),
        )
        assert said("between", "config_without_review") == {
            "between:config credit_line c2",
            "alone",
        }
        assert said("above", "config_without_review") == {"same:config credit_line c2", "alone"}
        assert said("at", "config_without_review") == {"between:config credit_line c2", "alone"}
        assert said("earlier", "config_without_review") == {"no_change"}

    def test_what_was_reviewed_is_fine_and_what_moved_more_is_told(
        self, lake: Path, ask: Any
    ) -> None:
        before, now = self.configured(lake, {"limit": 3, "x": 1}, {"limit": 2, "x": 1})
        said = ask(
            self.published(before, now, reviewed_by="board"),
            self.published(now, before, to_version="c3"),
            decided("reviewed", config={"digest": now}),
            decided("moved", config={"digest": before}),
            decided("unknown", config={"digest": A}),
            decided("none"),
        )
        assert said("reviewed", "config_without_review") == set()
        assert said("moved", "config_without_review") == {"moved:config credit_line c3"}
        assert said("unknown", "config_without_review") == {"no_change"}
        assert said("none", "config_without_review") == {"no_config"}

    def test_a_threshold_that_came_with_a_model_is_not_alone(self, lake: Path, ask: Any) -> None:
        before, now = self.configured(lake, {"threshold": 0.6}, {"threshold": 0.5})
        said = ask(
            change_record(occurred_at=moment(-7_000_000)),
            self.published(before, now, reviewed_by="board"),
            decided("r", config={"digest": now}),
        )
        assert said("r", "config_without_review") == set()

    def test_a_revision_stands_for_a_digest_that_was_not_recorded(self, ask: Any) -> None:
        published = self.published(A, B, to_digest=None, from_digest=None)
        said = ask(published, decided("r", config={"revision": "c2"}))
        assert said("r", "config_without_review") == {"moved:config credit_line c2"}


class TestInputs:
    def test_features_that_the_store_calls_old_or_absent_are_found(self, ask: Any) -> None:
        def fed(request: str, status: str) -> dict[str, Any]:
            source = {"view": "v", "features": ["amount"], "status": status}
            return decided(request, feature_sources=[source])

        said = ask(fed("old", "OUTSIDE_MAX_AGE"), fed("none", "NOT_FOUND"), fed("null", "NULL"),
                   fed("well", "PRESENT"), decided("bare"))  # fmt: skip
        assert said("old", "expired_feature") == {"outside"}
        assert said("none", "defaulted_feature") == {"not_found"}
        assert said("null", "defaulted_feature") == {"null"}
        assert said("well", "expired_feature") == said("well", "defaulted_feature") == set()
        assert said("bare", "expired_feature") == {"unrecorded"}
        assert said("bare", "defaulted_feature") == {"unrecorded"}

    def test_a_status_is_read_in_any_case_and_an_unknown_one_is_not_taken_for_well(
        self, ask: Any
    ) -> None:
        def fed(request: str, status: str) -> dict[str, Any]:
            source = {"view": "v", "features": ["amount"], "status": status}
            return decided(request, feature_sources=[source])

        said = ask(
            declared(features=[{"name": "amount", "default": 7}]),
            fed("old", "outside_max_age"), fed("none", "Not_Found"), fed("null", "NULL_VALUE"),
            fed("stale", "STALE"), fed("empty", ""),
        )  # fmt: skip
        assert said("old", "expired_feature") == {"outside"}
        assert said("none", "defaulted_feature") == {"not_found"}
        assert said("null", "defaulted_feature") == {"null"}
        for request in ("stale", "empty"):
            assert said(request, "expired_feature") == {"unknown_status"}, request
            assert "unknown_status" in said(request, "defaulted_feature"), request

    def test_a_value_older_than_declared_is_found(self, ask: Any) -> None:
        def fed(request: str, age_ms: float, name: str = "amount") -> dict[str, Any]:
            source = {"view": "v", "features": [name], "event_time": moment(-age_ms)}
            return decided(request, feature_sources=[source])

        features = [{"name": "amount", "max_age_s": 60}]
        said = ask(declared(features=features), fed("old", 60_001), fed("young", 60_000),
                   fed("other", 90_000, "channel"))  # fmt: skip
        assert said("old", "expired_feature") == {"too_old"}
        assert said("young", "expired_feature") == set()
        assert said("other", "expired_feature") == {"unrecorded"}

    def test_a_declared_default_without_a_status_is_told(self, ask: Any) -> None:
        features = [{"name": "amount", "default": 0}, {"name": "channel", "default": "app"}]
        found = {"view": "v", "features": ["amount"], "status": "PRESENT"}
        said = ask(
            declared(features=features),
            decided("both", features={"amount": 0, "channel": "app"}),
            decided("there", features={"amount": 0, "channel": "web"}, feature_sources=[found]),
            decided("other", features={"amount": 3, "channel": None}),
        )
        assert said("both", "defaulted_feature") == {"default:amount", "default:channel"}
        assert said("there", "defaulted_feature") == set()
        assert said("other", "defaulted_feature") == set()

    def test_values_outside_what_the_model_was_trained_on_are_found(self, ask: Any) -> None:
        cases: list[tuple[Any, Any, set[str]]] = [
            (100.5, "app", {"outside:amount"}),
            (100, "app", set()),
            (0, "web", set()),
            (-100, "app", {"outside:amount"}),
            (201, "app", {"far:amount"}),
            (-101, "app", {"far:amount"}),
            (None, None, set()),
            (float("nan"), "app", {"not_a_number:amount"}),
            (float("inf"), "app", {"far:amount"}),
            (50, "fax", {"unseen:channel"}),
        ]
        features = [
            {"name": "amount", "trained_low": 0, "trained_high": 100},
            {"name": "channel", "trained_values": ["app", "web"]},
        ]
        said = ask(
            declared(features=features),
            *(
                decided(f"r{at}", features={"amount": amount, "channel": channel})
                for at, (amount, channel, _) in enumerate(cases)
            ),
        )
        for at, case in enumerate(cases):
            assert said(f"r{at}", "outside_training") == case[2], case

    def usual(self, *values: float) -> list[dict[str, Any]]:
        return [
            decided(f"usual-{day}-{at}", day=day, ms=at * 1_000, features={"ratio": value})
            for day in range(1, 5)
            for at, value in enumerate(values)
        ]

    def test_a_value_a_power_of_ten_away_is_found(self, ask: Any) -> None:
        cases: list[tuple[Any, set[str]]] = [
            (0.4, set()),
            (40.0, {"jump:ratio"}),
            (400.0, {"jump:ratio"}),
            (3.0, set()),
            (0.0004, {"jump:ratio"}),
            (0.0, set()),
            (-0.4, {"large:ratio"}),
            (1e9, set()),
            (None, set()),
        ]
        said = ask(
            *self.usual(*(0.2 + at / 100 for at in range(40))),
            *(
                decided(f"r{at}", day=6, features={"ratio": value})
                for at, (value, _) in enumerate(cases)
            ),
        )
        for at, case in enumerate(cases):
            assert said(f"r{at}", "scale_jump") == case[1], case
        assert said("usual-1-0", "scale_jump") == {"no_usual"}

    @pytest.mark.parametrize("factor", [100.0, 0.01, -1.0])
    def test_a_fault_of_days_does_not_become_what_is_usual(self, ask: Any, factor: float) -> None:
        """Three in a hundred values are off from the 11th on, for three days, without measures."""
        honest = [0.2 + at / 250 for at in range(100)]
        code = change_record(
            kind="pipeline", component="billing", features=["ratio"], occurred_at=moment(-1, 11)
        )
        said = ask(
            code,
            *(
                decided(
                    f"{'bad' if wrong else 'usual'}-{day}-{at}",
                    day=day,
                    ms=at * 1_000,
                    features={"ratio": value * factor if wrong else value},
                )
                for day in range(1, 15)
                for at, value in enumerate(honest)
                for wrong in (day in (11, 12, 13) and at in (10, 20, 30),)
            ),
        )
        for day in (11, 12, 13):
            # A sign or a small value alone says little; a day later the code is new no more.
            clear = factor == 100 or day == 11
            expected = "jump:ratio" if clear or factor == 0.01 else "large:ratio"
            for at in (10, 20, 30):
                assert said(f"bad-{day}-{at}", "scale_jump") == {expected}, (day, at)
        for day in (11, 12, 13, 14):
            assert said(f"usual-{day}-40", "scale_jump") == set(), day

    def test_a_feature_that_has_grown_for_good_is_usual_after_a_while(self, ask: Any) -> None:
        said = ask(
            *(
                decided(
                    f"usual-{day}-{at}",
                    day=day,
                    ms=at * 1_000,
                    features={"ratio": (0.2 + at / 100) * (100 if day > 5 else 1)},
                )
                for day in range(1, 14)
                for at in range(40)
            ),
            decided("still", day=9, ms=100_000, features={"ratio": 40.0}),
            decided("later", day=13, ms=100_000, features={"ratio": 40.0}),
        )
        assert said("still", "scale_jump") == {"jump:ratio"}
        assert said("later", "scale_jump") == set()

    def test_what_was_seen_before_is_no_jump_and_a_long_tail_is_only_large(self, ask: Any) -> None:
        usual = self.usual(*(0.2 + at / 100 for at in range(200)), 25.0)
        said = ask(
            *usual,
            decided("seen", day=6, features={"ratio": 24.0}),
            decided("tail", day=6, features={"ratio": 60.0}),
        )
        assert said("seen", "scale_jump") == set()
        assert said("tail", "scale_jump") == {"large:ratio"}

    def test_new_code_makes_a_large_value_a_jump(self, ask: Any) -> None:
        usual = self.usual(*(0.2 + at / 100 for at in range(200)), 25.0)
        code = change_record(
            kind="pipeline", component="billing", features=["ratio"], run_id="run-1",
            occurred_at=moment(-60_000, 6),
        )  # fmt: skip
        old = {"view": "v", "features": ["ratio"], "event_time": moment(-600_000, 6)}
        said = ask(
            *usual, code,
            decided("new", day=6, features={"ratio": 60.0}),
            decided("before", day=6, features={"ratio": 60.0}, feature_sources=[old]),
        )  # fmt: skip
        assert said("new", "scale_jump") == {"jump:ratio"}
        assert said("before", "scale_jump") == {"large:ratio"}
        assert said("new", "new_pipeline_code") == {"new"}
        assert said("before", "new_pipeline_code") == set()


class TestDuplicates:
    def test_two_records_of_one_id_are_twins(self, lake: Path, take_in: TakeIn) -> None:
        take_in([decided("r", score=0.25), decided("r", score=0.75), decided("other")])
        said = judged(lake)
        assert of(said["r"], "duplicate_decision") == {"twins"}
        assert of(said["other"], "duplicate_decision") == set()

    def test_the_same_question_within_seconds_is_told(self, ask: Any) -> None:
        subject, features = {"id": "s-1"}, {"amount": 7, "channel": None}
        same = {"subject": subject, "features": features}
        said = ask(
            decided("first", ms=0, **same),
            decided("again", ms=9_000, **same),
            decided("later", ms=60_000, **same),
            decided("other", ms=1_000, subject=subject, features={"amount": 8, "channel": None}),
        )
        assert said("first", "duplicate_decision") == {"repeated"}
        assert said("again", "duplicate_decision") == {"repeated"}
        assert said("later", "duplicate_decision") == set()
        assert said("other", "duplicate_decision") == set()

    def test_decisions_without_features_are_no_question_asked_twice(self, ask: Any) -> None:
        subject = {"id": "s-1"}
        said = ask(
            decided("first", ms=0, subject=subject, features=None),
            decided("again", ms=9_000, subject=subject, features=None),
        )
        assert said("first", "duplicate_decision") == set()
        assert said("again", "duplicate_decision") == set()


def test_a_history_that_disagrees_with_what_was_served_is_skew(lake: Path, take_in: TakeIn) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    times = pa.array(["2026-10-01T11:00:00+00:00"] * 2).cast(pa.timestamp("us", tz="UTC"))
    (lake / "history").mkdir()
    pq.write_table(
        pa.table({"id": ["s-1", "s-2"], "at": times, "amount": [7.0, 8.0]}),
        lake / "history" / "part.parquet",
    )
    history = {"path": "history/*.parquet", "key": "id", "time": "at"}
    take_in(
        [
            declared(features=[{"name": "amount", "history": history}]),
            decided("same", subject={"id": "s-1"}, features={"amount": 7.0}),
            decided("skewed", subject={"id": "s-2"}, features={"amount": 9.0}),
            decided("unknown", subject={"id": "s-3"}, features={"amount": 9.0}),
        ]
    )
    with open_lake(lake) as opened:
        found = {
            request: [
                finding
                for finding in opened.trace(request, replay=False)[0].findings
                if finding.kind == "training_serving_skew"
            ]
            for request in ("same", "skewed", "unknown")
        }
        (window,) = opened.check(kinds=["training_serving_skew"]).not_checkable
    assert found["same"] == []
    assert [one.severity for one in found["skewed"]] == ["warning"]
    assert found["skewed"][0].detail["as_of"] == 8.0
    assert [one.severity for one in found["unknown"]] == ["not_checkable"]
    assert window.count == 3
    assert "forensics trace" in window.statement


def test_altered_artifacts_are_found_in_a_window_wherever_they_are_named(
    lake: Path, take_in: TakeIn
) -> None:
    store = ArtifactStore(lake)
    digests = [store.put(text) for text in (b"one", b"two", b"three")]
    take_in(
        [
            decided("model", model={"name": "pd", "digest": digests[0]}),
            decided("step", steps=[step("rules", 0, 1, digest=digests[1])]),
            decided("well", model={"name": "pd", "digest": digests[2]}),
        ]
    )
    for digest in digests[:2]:
        path = store.path(digest)
        assert path is not None
        path.write_bytes(b"something else")
    with open_lake(lake) as opened:
        (found,) = opened.check(kinds=["altered_artifact"]).found
    assert found.count == 2
    assert set(found.examples) == {"model", "step"}
