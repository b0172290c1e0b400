"""Decision logic of several steps: each recorded value is compared, alone and together alike."""

from __future__ import annotations

import copy
import struct
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from credit import FEATURES, RULES, applicants, features_of, record

from both import at_once, one_by_one  # isort: skip
from lakes import CONFIG, LOGIC, POINT, as_record, early_model, lake_of  # isort: skip

Record = dict[str, Any]


def _same_both_ways(lake: Path) -> Counter[tuple[str, str]]:
    together = at_once(lake, POINT)
    alone = dict(one_by_one(lake, POINT))
    assert together == alone
    return Counter((said.verdict, said.step) for said in together.values())


def _changed(records: list[Record], change: Any) -> list[Record]:
    found = copy.deepcopy(records)
    for number, one in enumerate(found):
        change(number, one)
    return found


def _outputs(one: Record, step: str) -> Record:
    found: Record = next(s for s in one["steps"] if s["id"] == step)["outputs"]
    return found


def test_what_every_step_answered_is_reproduced(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    lake = lake_of(tmp_path / "lake", artifacts, logic_records)
    assert _same_both_ways(lake) == {("bit_exact", ""): 60}


def test_a_value_between_features_and_outcome_that_differs_names_its_step(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    def change(number: int, one: Record) -> None:
        if number % 4 == 1:
            _outputs(one, "burden")["value"] = 7.25
        if number % 4 == 2:
            _outputs(one, "band")["value"] = "C"
        if number % 4 == 3:
            _outputs(one, "raw").clear()

    lake = lake_of(tmp_path / "lake", artifacts, _changed(logic_records, change))
    found = _same_both_ways(lake)
    assert found["diverged", "burden"] == 15
    assert found["diverged", "band"] == 15
    assert found["bit_exact", ""] == 30


def test_a_number_rounded_to_float32_is_the_same_value(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    def change(_: int, one: Record) -> None:
        value = _outputs(one, "burden")["value"]
        if value is not None:
            _outputs(one, "burden")["value"] = float(np.float32(value))

    lake = lake_of(tmp_path / "lake", artifacts, _changed(logic_records, change))
    assert _same_both_ways(lake) == {("bit_exact", ""): 60}


def test_a_step_that_failed_at_the_time_gave_no_value(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    def change(number: int, one: Record) -> None:
        if number % 2:
            step = next(s for s in one["steps"] if s["id"] == "burden")
            step |= {"status": "error", "error": f"timed out after {number} ms"}

    lake = lake_of(tmp_path / "lake", artifacts, _changed(logic_records, change))
    _same_both_ways(lake)


def test_values_that_an_expression_cannot_take_fail_alone(
    tmp_path: Path, service: Any, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    casting = copy.deepcopy(LOGIC)
    casting["steps"][2]["sql"] = "cast(product AS DOUBLE)"  # type: ignore[index]
    digest = service.kept.put(casting)

    def change(number: int, one: Record) -> None:
        one["features"]["product"] = "seven" if number % 10 == 3 else str(number)
        one["steps"] = [s for s in one["steps"] if s["id"] != "burden"]
        one["steps"][-1]["digest"] = digest

    records = _changed(logic_records, change)
    kept = [*artifacts, service.kept.read(digest)]
    found = _same_both_ways(lake_of(tmp_path / "lake", kept, records))
    assert found["not_replayable", ""] == 6


def test_every_number_a_feature_can_be_is_seen_alike(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    odd = [None, "NaN", "Infinity", 1e39, 10**30, 10**400, 12345678901234567890, -0.0, 2**53 + 1]

    def change(number: int, one: Record) -> None:
        names = ("income", "utilisation", "months_late")
        if number < 27:
            one["features"][names[number % 3]] = odd[number // 3]
        elif number < 34:
            del one["features"][FEATURES[number - 27]]
        elif number == 34:
            del one["features"]
        elif number == 35:
            one["features"] = {}
        elif number == 36:
            one["features"] = None

    lake = lake_of(tmp_path / "lake", artifacts, _changed(logic_records, change))
    found = _same_both_ways(lake)
    assert found["not_replayable", ""] >= 10


def test_flags_that_may_be_null_are_numbers_to_a_model(tmp_path: Path, service: Any) -> None:
    records = []
    for number, features in enumerate(service.rows[:30]):
        flag = (True, False, None)[number % 3]
        decision = service.decide({**features, "months_late": flag, "enquiries": 2})
        one = as_record(decision, number)
        assert one["features"]["months_late"] is flag
        records.append(one)
    kept = [path.read_bytes() for path in service.kept.paths.values()]
    found = _same_both_ways(lake_of(tmp_path / "lake", kept, records))
    assert found == {("bit_exact", ""): 30}


@pytest.mark.parametrize("early", [False, True])
def test_a_model_stopped_early_is_run_as_each_service_ran_it(
    tmp_path: Path, service: Any, early: bool
) -> None:
    rows = applicants(2300, 5)
    booster = early_model(tmp_path, rows, FEATURES)
    digest = service.kept.put(tmp_path / "early.ubj")
    records = []
    for number, row in enumerate(rows[2000:2040]):
        features = features_of(row)
        rounds = (0, 10) if early == bool(number % 3) else (0, 0)
        matrix = np.array([[np.nan if v is None else v for v in features.values()]], "f4")
        score = np.float32(booster.inplace_predict(matrix, iteration_range=rounds)[0])
        late = features["months_late"] is not None and features["months_late"] >= 3
        outcome = "REFER" if 0.4 <= float(score) < 0.5 else "APPROVE"
        outcome = "DECLINE" if late or float(score) >= 0.5 else outcome
        identity = service.identity(outcome) | {"model": {"digest": digest, "name": "pd"}}
        decision = record(features, outcome, score, **identity)
        records.append(as_record(decision, number))
    kept = [path.read_bytes() for path in service.kept.paths.values()]
    found = _same_both_ways(lake_of(tmp_path / "lake", kept, records))
    assert found == {("bit_exact", ""): 40}


def test_scores_and_outcomes_of_another_models_cache_entry_are_told_apart(
    tmp_path: Path, service: Any
) -> None:
    from credit import python_rules, python_score

    stricter = {**CONFIG, "threshold": 0.3}
    other = service.kept.put({"threshold": 0.3, "max_months_late": 3, "product": "card"})
    records = []
    for number, features in enumerate(service.rows[:60]):
        fresh = service.decide(features)
        stale = python_score(service.old, features)
        if number % 3 == 0:  # the old model's score and outcome
            outcome = python_rules(features, float(stale))
            decision = service.decide(features, raw=stale, outcome=outcome)
            cache = {"hit": True, "model_digest": service.old_model}
        elif number % 3 == 1:  # the old configuration's outcome
            outcome = python_rules(features, float(fresh.score), threshold=0.3)
            decision = replace(fresh, outcome=outcome)
            cache = {"hit": True, "config_digest": other}
        else:  # neither: a score that no model gives
            made_up = np.float32(0.123)
            decision = service.decide(features, raw=made_up)
            cache = {"hit": True, "model_digest": service.old_model, "config_digest": other}
        steps = [dict(step) for step in decision.steps]
        steps[-1].pop("outputs")
        decision = replace(decision, cache=cache, steps=tuple(steps))
        records.append(as_record(decision, number))
    assert stricter["threshold"] == 0.3
    kept = [path.read_bytes() for path in service.kept.paths.values()]
    found = _same_both_ways(lake_of(tmp_path / "lake", kept, records))
    assert found["diverged", "cache"] > 20


def test_features_that_are_given_as_text_reach_the_model_by_the_same_names(
    tmp_path: Path, service: Any
) -> None:
    catboost = pytest.importorskip("catboost")
    random = np.random.default_rng(3)
    channels = ["web", "app", "branch", "café"]
    rows = [[channels[random.integers(4)], float(random.normal())] for _ in range(400)]
    labels = [int(row[1] + (row[0] == "web") > 0) for row in rows]
    pool = catboost.Pool(rows, labels, cat_features=[0], feature_names=["channel", "x"])
    model = catboost.CatBoostClassifier(
        iterations=20, depth=3, verbose=0, thread_count=1, allow_writing_files=False
    )
    model.fit(pool)
    model.save_model(str(tmp_path / "m.cbm"))
    digest = service.kept.put(tmp_path / "m.cbm")
    policy = service.kept.put(
        {
            "type": "rules",
            "name": "p",
            "rules": [{"id": "R1", "when": "score >= 0.5", "outcome": "DECLINE"}],
            "default": {"id": "R0", "outcome": "APPROVE"},
        }
    )
    records = []
    for number, row in enumerate([*rows[:30], ["telephone", 0.5]]):
        score = float(model.predict_proba([row])[0][1])
        outcome = "DECLINE" if score >= 0.5 else "APPROVE"
        decision = record(
            {"channel": row[0], "x": row[1]},
            outcome,
            score,
            score_dtype="float64",
            score_bytes=struct.pack("<d", score),
            threshold=None,
            model={"digest": digest},
            config={"values": {}},
            steps=({"id": "rules", "kind": "rules", "digest": policy},),
        )
        records.append(as_record(decision, number))
    kept = [path.read_bytes() for path in service.kept.paths.values()]
    found = _same_both_ways(lake_of(tmp_path / "lake", kept, records))
    assert sum(found.values()) == 31
    assert found["bit_exact", ""] + found["within_ulp", ""] == 31


def test_text_where_a_model_needs_a_number_is_missing_evidence(
    tmp_path: Path, service: Any
) -> None:
    records = []
    for number, features in enumerate(service.rows[:12]):
        decision = service.decide(features)
        one = as_record(decision, number)
        one["features"]["income"] = None if number % 2 else "a lot"
        records.append(one)
    kept = [path.read_bytes() for path in service.kept.paths.values()]
    found = _same_both_ways(lake_of(tmp_path / "lake", kept, records))
    assert found["not_replayable", ""] == 6
    assert RULES["default"]["outcome"] == "APPROVE"
