"""Steps of other rule engines take their inputs from a frame and give it their answers."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from credit import FEATURES, Kept, record

from forensics.errors import ReplayError
from forensics.lake.frames import RowFrame
from forensics.lake.sql import connect
from forensics.records.decision import Decision
from forensics.replay.engine_steps import Engines
from forensics.replay.logic import bind, read_logic
from forensics.replay.replay import replay

pytest.importorskip("zen")
pytest.importorskip("cel_expr_python")

TABLE = {
    "hitPolicy": "first",
    "inputs": [
        {"id": "a", "name": "Amount", "field": "cart.total"},
        {"id": "v", "name": "Customer", "field": "vip"},
    ],
    "outputs": [{"id": "o", "name": "Outcome", "field": "answer.outcome"}],
    "rules": [
        {"_id": "large", "a": "> 1000", "v": "", "o": '"REVIEW"'},
        {"_id": "rest", "a": "", "v": "", "o": '"APPROVE"'},
    ],
}
GRAPH = {
    "nodes": [
        {"id": "i", "name": "request", "type": "inputNode"},
        {"id": "t", "name": "limits", "type": "decisionTableNode", "content": TABLE},
        {"id": "o", "name": "response", "type": "outputNode"},
    ],
    "edges": [
        {"id": "1", "sourceId": "i", "targetId": "t"},
        {"id": "2", "sourceId": "t", "targetId": "o"},
    ],
}


@pytest.fixture
def kept(tmp_path: Path) -> Kept:
    return Kept(tmp_path)


@pytest.fixture
def engines(kept: Kept) -> Iterator[Engines]:
    engines = Engines(kept)
    yield engines
    engines.close()


def logic(kept: Kept, **changes: Any) -> dict[str, Any]:
    policy = {
        "id": "policy",
        "kind": "zen",
        "artifact": kept.put(GRAPH),
        "input": {"cart.total": "CASE WHEN adult THEN amount ELSE 0 END", "vip": "config.vip"},
        "output": "answer.outcome",
    }
    adult = {"id": "adult", "kind": "cel", "expression": "age >= 18 && amount > 0.0"}
    return {"type": "logic", "name": "limits", "steps": [adult, {**policy, **changes}]}


def run(engines: Engines, document: Any, rows: dict[str, Any], count: int = 1) -> list[Any]:
    connection = connect(threads=1)
    config = {"vip": False}
    bound = bind(read_logic(json.dumps(document).encode()), list(rows), list(config), connection)
    frame = RowFrame(connection, rows, config, count)
    answer = bound.run(frame, lambda use, frame: [], evaluate=engines.evaluate)
    return list(answer.outcome)


def test_a_step_of_one_engine_feeds_a_step_of_the_other(engines: Engines, kept: Kept) -> None:
    rows = {"age": [34.0, 17.0, 34.0, 18.0], "amount": [2000.0, 2000.0, 1000.0, 1000.5]}
    found = run(engines, logic(kept), rows, 4)
    assert found == ["REVIEW", "APPROVE", "APPROVE", "REVIEW"]
    assert engines.decided == {
        "adult": [None] * 4,
        "policy": ["large", "rest", "rest", "large"],
    }


def test_without_inputs_an_engine_sees_everything_by_name(engines: Engines, kept: Kept) -> None:
    document = logic(kept, input=None, kind="cel", output=None, artifact=None)
    text = "adult && features.age > 20.0 && !config.vip && amount < 5000.0 ? 'YES' : 'NO'"
    document["steps"][1]["expression"] = text
    assert run(engines, document, {"age": 34.0, "amount": [1.0, 9000.0]}, 2) == ["YES", "NO"]


def test_a_field_that_a_table_looks_at_and_the_step_does_not_give_is_named(
    engines: Engines, kept: Kept
) -> None:
    document = logic(kept, input={"cart.total": "amount"})
    with pytest.raises(ReplayError, match="its rules look at vip, which the step's input does not"):
        run(engines, document, {"age": 34.0, "amount": 1.0})


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"artifact": "sha256:" + "0" * 64}, "is not in the lake"),
        ({"input": {"cart.total": "'nan'::DOUBLE", "vip": "1"}}, "cart.total is NaN or infinite"),
        ({"kind": "cel", "artifact": None, "expression": "nothing > 1"}, "undeclared reference"),
        ({"kind": "cel", "artifact": None, "expression": "1 +"}, "cannot be parsed"),
    ],
)
def test_a_step_that_cannot_be_run_says_which_and_why(
    engines: Engines, kept: Kept, changes: dict[str, Any], why: str
) -> None:
    with pytest.raises(ReplayError, match=why) as caught:
        run(engines, logic(kept, **changes), {"age": 34.0, "amount": 1.0})
    assert "Step policy" in str(caught.value)


def decision(kept: Kept, outcome: str, document: Any) -> Decision:
    features = {**dict.fromkeys(FEATURES), "age": 34.0, "amount": 2000.0}
    config = {"vip": False}
    step = {"id": "policy", "kind": "rules", "digest": kept.put(document)}
    made = record(features, outcome, None)
    return replace(
        made,
        config={"digest": kept.put(config), "values": json.dumps(config)},
        steps=({**step, "outputs": json.dumps({"outcome": outcome})},),
    )


def test_a_decision_of_two_engines_replays_bit_by_bit_or_diverges(kept: Kept) -> None:
    same = replay(decision(kept, "REVIEW", logic(kept)), kept)
    assert (same.verdict, same.replayed["outcome"]) == ("bit_exact", "REVIEW")
    other = replay(decision(kept, "APPROVE", logic(kept)), kept)
    assert (other.verdict, other.replayed["outcome"]) == ("diverged", "REVIEW")


def test_a_decision_whose_engine_fails_is_not_replayable(kept: Kept) -> None:
    document = logic(kept, input={"cart.total": "amount"})
    found = replay(decision(kept, "REVIEW", document), kept)
    assert found.verdict == "not_replayable"
    assert any("vip" in text for text in found.missing)
