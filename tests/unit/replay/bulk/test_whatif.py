"""What a change would have done: many at once say what each alone says, and no more than that."""

from __future__ import annotations

import copy
import json
import pickle
from collections import Counter
from contextlib import closing
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from credit import FEATURES, applicants, features_of, record

import forensics
from forensics.errors import NotFoundError, UsageError
from forensics.lake.artifacts import ArtifactStore
from forensics.lake.snapshot import Snapshot, take
from forensics.reconstruct.completeness import completeness
from forensics.replay.bulk.blast import Blast
from forensics.replay.bulk.change import Change
from forensics.replay.bulk.radius import BlastRadius, what_if_window
from forensics.replay.bulk.resolve import Asked, change_of, recorded_values
from forensics.replay.bulk.run import Window, tasks
from forensics.replay.bulk.whatif import what_if_segment
from forensics.replay.client import Workers

from lakes import CONFIG, LOGIC, POINT, as_record, decided, early_model, lake_of  # isort: skip

Record = dict[str, Any]


@pytest.fixture
def small(tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]) -> Path:
    return lake_of(tmp_path / "lake", artifacts, logic_records)


def _change(snapshot: Snapshot, **asked: Any) -> Change:
    settings = tuple(asked.pop("settings", ()))
    types = snapshot.tables[f"decisions/{POINT}"].features
    values = recorded_values(snapshot, Window(POINT))
    return change_of(snapshot, Asked(**asked, settings=settings), types, values)


def _radius(root: Path, window: Window | None = None, **asked: Any) -> BlastRadius:
    snapshot = take(root)
    by = asked.pop("by", None)
    change = _change(snapshot, **asked)
    return what_if_window(snapshot, window or Window(POINT), change, by=by)


def _one_by_one(root: Path, ids: list[str], **asked: Any) -> Counter[tuple[str, str | None]]:
    moves: Counter[tuple[str, str | None]] = Counter()
    with forensics.open(root) as lake:
        for id_ in ids:
            (found,) = lake.whatif(id_, **asked)
            if found.answer.is_answered:
                moves[found.decision.outcome, found.answer.outcome_after] += 1
    return moves


SAMPLED: list[dict[str, Any]] = [
    {"settings": ["threshold=0.45"]},
    {"settings": ["threshold=0.45", "config.max_months_late=1"]},
    {"model": "pd@v1"},
    {"config": "c12"},
    {"settings": ["features.utilisation_3m = utilisation_3m * 1.5 + age / 100"]},
    {"settings": ["utilisation_3m=null", "requested_limit=900000"], "model": "pd@v3"},
]


@pytest.mark.parametrize("asked", SAMPLED, ids=lambda asked: json.dumps(asked)[:40])
def test_many_at_once_move_as_each_of_them_alone(sample_lake: Path, asked: dict[str, Any]) -> None:
    window = Window(
        POINT, datetime(2026, 10, 12, 9, tzinfo=UTC), datetime(2026, 10, 12, 11, tzinfo=UTC)
    )
    with forensics.open(sample_lake) as lake:
        rows = lake.find(decision_point=POINT, since=window.since, until=window.until)
        ids = [str(row["request_id"]) for row in rows]
    found = _radius(sample_lake, window, **asked)
    assert dict(found.moves) == dict(_one_by_one(sample_lake, ids, **asked))
    assert found.count == len(ids)
    assert found.answered == found.count - found.verdicts["diverged"]


def test_the_showcase_is_approved_once_its_feature_is_restored(
    sample_lake: Path, truth: dict[str, Any]
) -> None:
    incident = next(i for i in truth["incidents"] if i["name"] == "billing_scale_jump")
    restored = incident["showcase_restored"]
    with forensics.open(sample_lake) as lake:
        (found,) = lake.whatif(
            incident["showcase"], settings=["features.utilisation_3m = utilisation_3m / 100"]
        )
    assert found.answer.features == (("utilisation_3m", 48.44, restored["utilisation_3m"]),)
    assert found.answer.outcome_after == restored["outcome"]
    assert found.answer.score_after == restored["score"]
    assert found.answer.rule_after == restored["rule"]
    assert [step.step for step in found.answer.steps] == ["score", "rules"]


def test_a_change_back_to_what_was_recorded_changes_nothing(sample_lake: Path) -> None:
    found = _radius(
        sample_lake,
        settings=["features.age = age"],
        by=["model_version"],
    )
    assert found.changed == found.rescored == 0
    assert {before for before, _ in found.moves} == {after for _, after in found.moves}
    assert found.scores["shift"] == dict.fromkeys(found.scores["shift"], 0.0)


def test_groups_and_moves_add_up_to_what_is_answered(sample_lake: Path) -> None:
    by = ["environment", "region", "age", "months_late_max", "cache_hit", "subject", "score"]
    found = _radius(sample_lake, settings=["threshold=0.5"], by=by)
    assert sum(found.moves.values()) == found.answered
    for name in by:
        parts = found.by[name]
        assert sum(part.answered for part in parts) == found.answered, name
        assert sum(part.changed for part in parts) == found.changed, name
        for part in parts:
            assert sum(part.moves.values()) == part.answered
    assert found.rescored == 0
    late = {part.value for part in found.by["months_late_max"]}
    assert all(value is not None for value in late)


def test_the_list_has_every_changed_decision_with_both_sides(
    sample_lake: Path, tmp_path: Path
) -> None:
    snapshot = take(sample_lake)
    change = _change(snapshot, model="pd@v1")
    for name in ("changed.parquet", "changed.csv"):
        found = what_if_window(snapshot, Window(POINT), change, export=tmp_path / name)
    table = pq.read_table(tmp_path / "changed.parquet").to_pylist()
    assert len(table) == found.changed > 1_000
    moves = Counter((row["before"], row["after"]) for row in table)
    assert moves == {m: c for m, c in found.moves.items() if m[0] != m[1]}
    assert len((tmp_path / "changed.csv").read_text().splitlines()) == found.changed + 1
    with forensics.open(sample_lake) as lake:
        for row in table[:3]:
            (one,) = lake.whatif(row["request_id"], model="pd@v1")
            assert one.answer.outcome_after == row["after"]
            assert one.answer.score_after == row["score_after"]
            assert one.answer.rule_after == row["rule_after"]
            assert one.answer.score_before == row["score_before"]


def test_a_part_of_a_file_is_a_plain_function_of_what_can_be_sent(sample_lake: Path) -> None:
    snapshot = take(sample_lake)
    change = _change(snapshot, settings=["threshold=0.5"])
    blast = Blast()
    for task in tasks(snapshot, Window(POINT), workers=64):
        sent, asked = pickle.loads(pickle.dumps((task, change)))
        blast.add(pickle.loads(pickle.dumps(what_if_segment(sent, asked))))
    whole = what_if_window(snapshot, Window(POINT), change, workers=1)
    assert dict(blast.moves) == dict(whole.moves)


def test_decisions_that_are_not_what_was_recorded_are_never_taken_for_unchanged(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    records = copy.deepcopy(logic_records)
    for number, one in enumerate(records):
        if number % 4 == 1:
            one["outcome"] = "ELSE"
        if number % 4 == 2:
            del one["features"]["income"]
    lake = lake_of(tmp_path / "lake", artifacts, records)
    found = _radius(lake, settings=["threshold=0.3"])
    assert (found.count, found.answered) == (60, 30)
    assert found.verdicts["diverged"] == 15
    assert sum(found.lacking.values()) == 15
    assert not found.is_whole
    assert "ELSE" not in {before for before, _ in found.moves}
    said = " ".join(found.limits)
    assert "15 decisions do not replay to what was recorded" in said
    assert "15 decisions cannot be replayed; they are not taken for unchanged" in said
    assert "downstream" in said


def test_what_the_change_itself_needs_and_has_not_is_told_apart(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    records = copy.deepcopy(logic_records)
    for number, one in enumerate(records):
        if number % 2:
            one["features"]["extra"] = 2.0
    other = copy.deepcopy(LOGIC)
    other["steps"][2]["sql"] = "extra * 3"  # type: ignore[index]
    rules = tmp_path / "rules.json"
    rules.write_text(json.dumps(other))
    lake = lake_of(tmp_path / "lake", artifacts, records)
    found = _radius(lake, rules=str(rules))
    assert (found.answered, sum(found.unanswered.values())) == (30, 30)
    assert all("extra" in " ".join(reason) for reason in found.unanswered)
    found = _radius(lake, settings=["features.income = income + extra"])
    assert found.unanswered == {("extra, used by the change",): 30}


def test_features_that_follow_from_a_changed_one_follow(
    small: Path, logic_records: list[Record]
) -> None:
    ids = [one["request_id"] for one in logic_records]
    for settings in (["tenure=11"], ["features.tenure = tenure + 3"], ["enquiries=9"]):
        found = _radius(small, settings=settings)
        assert dict(found.moves) == dict(_one_by_one(small, ids, settings=settings))
    with forensics.open(small) as lake:
        (one,) = lake.whatif(ids[0], settings=["tenure=11"])
    assert ("enquiries", logic_records[0]["features"]["enquiries"], 12.0) in one.answer.features


def test_rules_and_configurations_can_be_files(small: Path, tmp_path: Path) -> None:
    stricter = copy.deepcopy(LOGIC)
    stricter["steps"][4]["rules"].insert(  # type: ignore[index]
        0, {"id": "R8", "when": "age < config.age_min", "outcome": "REFER"}
    )
    rules, config = tmp_path / "rules.json", tmp_path / "config.json"
    rules.write_text(json.dumps(stricter))
    config.write_text(json.dumps({**CONFIG, "age_min": 30, "threshold": 0.4}))
    found = _radius(small, rules=str(rules), config=str(config))
    assert found.answered == 60
    assert any(after == "REFER" for (before, after) in found.moves if before != after)
    again = _radius(small, rules=str(rules), settings=["config.age_min=30", "threshold=0.4"])
    assert again.moves == found.moves
    with pytest.raises(UsageError, match="is no decision logic"):
        _radius(small, rules=str(config))


def test_numbers_that_columns_do_not_hold_are_asked_one_by_one(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    records = copy.deepcopy(logic_records)
    for number, one in enumerate(records):
        if number % 6 == 0:
            one["features"]["limit_balance"] = 12345678901234567890
    lake = lake_of(tmp_path / "lake", artifacts, records)
    ids = [one["request_id"] for one in records]
    settings = ["max_burden=2.5", "config.low=0.9"]
    found = _radius(lake, settings=settings)
    assert dict(found.moves) == dict(_one_by_one(lake, ids, settings=settings))


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({}, "Nothing is to be different"),
        ({"settings": ["thresold=1"]}, "Nearest: .*threshold"),
        ({"settings": ["threshold"]}, "sets nothing"),
        ({"settings": ["threshold=high"]}, "threshold is a number"),
        ({"settings": ["income=rich"]}, "income is of type float64"),
        ({"settings": ["features.income=incom * 2"]}, "Nothing is called 'incom'"),
        ({"settings": ["features.income=read_csv('/etc/passwd')"]}, "not allowed|refers|Function"),
        ({"settings": ["config.nothing=1"]}, "Nothing is called 'config.nothing'"),
        ({"model": "pd@v9"}, "No model 'pd@v9'.*Known: pd@v2"),
        ({"model": "0123456789ab"}, "No model"),
        ({"config": "c9"}, "No configuration 'c9'"),
    ],
)
def test_what_cannot_be_asked_is_refused_with_what_there_is(
    small: Path, asked: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        _radius(small, **asked)
    with forensics.open(small) as lake, pytest.raises(UsageError, match=said):
        lake.whatif("r-1", **asked)


def test_a_name_that_is_both_needs_its_group(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    records = copy.deepcopy(logic_records)
    for one in records:
        one["features"]["threshold"] = 3.0
    lake = lake_of(tmp_path / "lake", artifacts, records)
    with pytest.raises(UsageError, match="both a feature and a value"):
        _radius(lake, settings=["threshold=1"])


def test_groups_that_cannot_be_are_refused(small: Path) -> None:
    with pytest.raises(UsageError, match=r"cannot be grouped by 'agee'.*Nearest: age"):
        _radius(small, settings=["threshold=0.4"], by=["agee"])
    with pytest.raises(UsageError, match="cannot be grouped by 'request_id'"):
        _radius(small, settings=["threshold=0.4"], by=["request_id"])


def test_an_empty_window_is_not_found(small: Path) -> None:
    with forensics.open(small) as lake:
        for window in ({"since": "2031-01-01"}, {"where": "age > 200"}):
            with pytest.raises(NotFoundError):
                lake.whatif(decision_point=POINT, settings=["threshold=0.4"], **window)


def test_the_class_of_the_evidence_is_that_of_each_decision_alone(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    records = copy.deepcopy(logic_records)
    for number, one in enumerate(records):
        if number % 6 == 1:
            del one["execution"]
        if number % 6 == 2:
            one["execution"] = {"calls": {"clock": 1}}
        if number % 6 == 3:
            one["candidates_coverage"] = "exhaustive"
        if number % 6 == 4:
            del one["config"]["values"]
        if number % 6 == 5:
            del one["threshold"]
            one["candidates_coverage"] = "partial"
    lake = lake_of(tmp_path / "lake", artifacts, records)
    found = _radius(lake, settings=["threshold=0.4"])
    alone: Counter[str] = Counter()
    artifacts_ = ArtifactStore(lake)
    with forensics.open(lake) as opened:
        for one in records:
            (trace,) = opened.trace(one["request_id"], counterfactuals=0)
            alone[completeness(trace.decision, trace.replay, artifacts_).class_] += 1
    assert dict(found.classes) == dict(alone)
    assert set(alone) == {"none", "C0", "C1", "C2"}
    assert any("class none" in limit for limit in found.limits)


def test_a_decision_without_a_value_of_any_feature_carries_no_claim(
    tmp_path: Path, service: Any, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    records = copy.deepcopy(logic_records[:2])
    nothing = replace(
        service.decide(dict.fromkeys(service.rows[0])),
        config=records[0]["config"],
        steps=({"id": "policy", "kind": "rules", "digest": service.kept.put(LOGIC)},),
        threshold=0.5,
    )
    with closing(Workers()) as workers:
        records.append(as_record(decided(nothing, service.kept, workers), len(records)))
    found = _radius(lake_of(tmp_path / "lake", artifacts, records), settings=["threshold=0.4"])
    assert found.answered == 3
    assert dict(found.classes) == {"C1": 2, "none": 1}


def test_a_model_stopped_early_is_asked_so_under_a_change_too(tmp_path: Path, service: Any) -> None:
    rows = applicants(2300, 5)
    booster = early_model(tmp_path, rows, FEATURES)
    digest = service.kept.put(tmp_path / "early.ubj")
    records = []
    for number, row in enumerate(rows[2000:2040]):
        features = features_of(row)
        matrix = np.array([[np.nan if v is None else v for v in features.values()]], "f4")
        rounds = (0, 10) if number % 2 else (0, 0)
        score = np.float32(booster.inplace_predict(matrix, iteration_range=rounds)[0])
        late = features["months_late"] is not None and features["months_late"] >= 3
        outcome = "REFER" if 0.4 <= float(score) < 0.5 else "APPROVE"
        outcome = "DECLINE" if late or float(score) >= 0.5 else outcome
        identity = service.identity(outcome) | {"model": {"digest": digest, "name": "pd"}}
        records.append(as_record(record(features, outcome, score, **identity), number))
    kept = [path.read_bytes() for path in service.kept.paths.values()]
    lake = lake_of(tmp_path / "lake", kept, records)
    ids = [one["request_id"] for one in records]
    settings = ["features.utilisation = utilisation + 0.2"]
    found = _radius(lake, settings=settings)
    assert dict(found.moves) == dict(_one_by_one(lake, ids, settings=settings))
    with forensics.open(lake) as opened:
        (one,) = opened.whatif(ids[1], settings=settings)
    changed = dict(records[1]["features"])
    changed["utilisation"] = (changed["utilisation"] or np.nan) + 0.2
    row = np.array([[np.nan if v is None else v for v in changed.values()]], "f4")
    assert one.answer.score_after == booster.inplace_predict(row, iteration_range=(0, 10))[0]
