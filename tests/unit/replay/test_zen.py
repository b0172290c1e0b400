"""ZEN's decision graphs are answered as ZEN answers them, with the rows that decided."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import ReplayError
from forensics.replay.client import RuleWorker
from forensics.replay.engines import EngineAnswer, EngineRule, ask

pytest.importorskip("zen")

#: Credit lines: id, what the amount must be above, the country where it must be one, and outcome.
LINES: tuple[tuple[str, float, str | None, str], ...] = (
    ("top", 1000, "CH", "REVIEW"),
    ("high", 1000, None, "DECLINE"),
    ("edge", 0.3, "DE", "REFER"),
    ("small", 0.25, "CH", "APPROVE"),
)
TABLE = {
    "hitPolicy": "first",
    "inputs": [
        {"id": "a", "name": "Amount", "field": "cart.total"},
        {"id": "c", "name": "Country", "field": "country"},
    ],
    "outputs": [{"id": "o", "name": "Outcome", "field": "outcome"}],
    "rules": [
        *(
            {"_id": id_, "a": f"> {above}", "c": f'"{where}"' if where else "", "o": f'"{what}"'}
            for id_, above, where, what in LINES
        ),
        {"_id": "rest", "a": "", "c": "", "o": '"NONE"'},
    ],
}


def graph(*nodes: Mapping[str, Any]) -> dict[str, Any]:
    """A graph of nodes one after another."""
    chain = [
        {"id": "in", "name": "request", "type": "inputNode"},
        *nodes,
        {"id": "out", "name": "response", "type": "outputNode"},
    ]
    edges = [
        {"id": f"e{at}", "sourceId": a["id"], "targetId": b["id"], "type": "edge"}
        for at, (a, b) in enumerate(pairwise(chain))
    ]
    return {"nodes": chain, "edges": edges}


def table(**changes: Any) -> dict[str, Any]:
    content = {**TABLE, **changes}
    return {"id": "t", "name": "policy", "type": "decisionTableNode", "content": content}


def expressions(id_: str = "x", **by_name: str) -> dict[str, Any]:
    entries = [{"id": name, "key": name, "value": text} for name, text in by_name.items()]
    content = {"expressions": entries, "passThrough": True}
    return {"id": id_, "name": f"node {id_}", "type": "expressionNode", "content": content}


def function(source: str, id_: str = "f") -> dict[str, Any]:
    content = {"source": source}
    return {"id": id_, "name": "script", "type": "functionNode", "content": content}


Load = Callable[..., RuleWorker]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Starts rule sets in their processes, which end with the test."""
    running = []

    def load(rules: Any, **limits: Any) -> RuleWorker:
        path = tmp_path / f"rules-{len(running)}"
        path.write_bytes(rules if isinstance(rules, bytes) else json.dumps(rules).encode())
        running.append(RuleWorker(path, "zen", **limits))
        return running[-1]

    yield load
    for worker in running:
        worker.close()


def one(worker: RuleWorker, row: Mapping[str, Any], output: str | None = None) -> EngineAnswer:
    (answer,) = ask(worker, [row], output)
    return answer


def by_hand(row: Mapping[str, Any]) -> tuple[str, str]:
    """The table written again in Python, so that a test can disagree with it."""
    for id_, above, where, what in LINES:
        total, country = row.get("cart", {}).get("total"), row.get("country")
        if total is not None and total > above and where in (None, country):
            return id_, what
    return "rest", "NONE"


def test_the_table_decides_as_it_reads_and_names_the_row(load: Load) -> None:
    rng = random.Random(3)
    totals: Sequence[float | None] = (0.25, 0.3, 0.1 + 0.2, 0.26, 999.99, 1000, 1000.01, 1e9, None)
    rows: list[dict[str, Any]] = [
        {"cart": {"total": rng.choice(totals)}, "country": rng.choice(["CH", "DE", "FR", None])}
        for _ in range(2_500)
    ]
    answers = ask(load(graph(table())), rows, "outcome")
    assert [(answer.rules[0].id, answer.value) for answer in answers] == [
        by_hand(row) for row in rows
    ]
    assert all(answer.rules[0].node == "policy" for answer in answers)
    assert {rule.row for answer in answers for rule in answer.rules} == {1, 2, 3, 4, 5}


def test_a_number_is_the_decimal_that_its_text_writes_and_the_other_answer_is_told(
    load: Load,
) -> None:
    worker = load(graph(table()))
    just_above = one(worker, {"cart": {"total": 0.1 + 0.2}, "country": "DE"}, "outcome")
    assert (just_above.value, just_above.from_dict) == ("REFER", "NONE")
    just_at = one(worker, {"cart": {"total": 0.3}, "country": "DE"}, "outcome")
    assert (just_at.value, just_at.from_dict) == ("NONE", "NONE")


def test_what_is_told_of_dicts_is_what_a_service_gets_from_one(load: Load) -> None:
    import zen

    rules = graph(expressions(y="x * 3", z="x > 0.3 ? 'above' : 'not above'"))
    service = zen.ZenEngine().create_decision(json.dumps(rules))
    worker = load(rules)
    rng = random.Random(5)
    rows = [
        {"x": value} for value in (0.1 + 0.2, 1 / 3, *(rng.lognormvariate(0, 9) for _ in "x" * 50))
    ]
    for row, answer in zip(rows, ask(worker, rows), strict=True):
        assert answer.value == service.evaluate(json.dumps(row))["result"]
        assert answer.from_dict == service.evaluate(row)["result"]
    assert any(answer.value != answer.from_dict for answer in ask(worker, rows))


@pytest.mark.parametrize(
    ("number", "shown"),
    [
        (1, 1),
        (1.0, 1),
        (-0.0, 0),
        (0.1, 0.1),
        (2**53 + 1, 2**53 + 1),
        (2**64 - 1, 2**64 - 1),
        (1e-29, 0),
        (5e-324, 0),
        (7e28, 7e28),
    ],
)
def test_numbers_within_range_come_back(load: Load, number: float, shown: float) -> None:
    answer = one(load(graph(expressions(y="x"))), {"x": number}, "y")
    assert (answer.value, answer.error) == (shown, None)


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ({"x": float("nan")}, "x is NaN or infinite"),
        ({"x": {"y": [1, float("-inf")]}}, r"x\.y\[1\] is NaN or infinite"),
        ({"x": 1e30}, "out of range"),
        ({"x": 10**40}, "out of range"),
        ({"x": "text"}, "node node x: Failed to evaluate expression"),
        ({"y": 1}, "node node x: Failed to evaluate expression"),
    ],
)
def test_a_row_that_cannot_be_answered_says_why_and_the_others_are_answered(
    load: Load, row: Mapping[str, Any], why: str
) -> None:
    import re

    before, bad, after = ask(load(graph(expressions(y="x > 1"))), [{"x": 1}, row, {"x": 2}], "y")
    assert (before.value, after.value) == (False, True)
    assert bad.value is None
    assert re.search(why, bad.error or "")
    assert "backtrace" not in (bad.error or "")


def test_a_field_that_a_deciding_row_looked_at_in_vain_is_told(load: Load) -> None:
    worker = load(graph(table()))
    assert one(worker, {"cart": {"total": 2000}, "country": None}).absent == ()
    assert one(worker, {"cart": {"total": 2000}}).absent == ("country",)
    assert set(one(worker, {"cart": {}}).absent) == {"cart.total", "country"}


def test_every_row_of_a_collecting_table_is_named_also_in_a_loop(load: Load) -> None:
    rows = [{"cart": {"total": 2000}, "country": "CH"}, {"cart": {"total": 1}, "country": "DE"}]
    collected = one(load(graph(table(hitPolicy="collect"))), rows[0])
    assert [rule.id for rule in collected.rules] == ["top", "high", "small", "rest"]
    looped = {"executionMode": "loop", "inputField": "carts"}
    each = one(load(graph(table(**looped))), {"carts": rows})
    assert [rule.id for rule in each.rules] == ["top", "edge"]
    assert each.absent == ()
    both = one(load(graph(table(hitPolicy="collect", **looped))), {"carts": rows})
    assert [rule.id for rule in both.rules] == ["top", "high", "small", "rest", "edge", "rest"]


def test_rows_without_an_id_are_named_by_their_place_and_tables_in_order(load: Load) -> None:
    nameless = [{k: v for k, v in rule.items() if k != "_id"} for rule in TABLE["rules"]]
    second = {**table(rules=nameless, passThrough=True), "id": "a", "name": "again"}
    first = table(passThrough=True)
    answer = one(load(graph(first, second)), {"cart": {"total": 2000}, "country": "FR"})
    assert answer.rules == (EngineRule("policy", "high", 2), EngineRule("again", "row 2", 2))
    assert one(load(graph(table(rules=[]))), {}).rules == ()


def test_switches_and_functions_are_run(load: Load) -> None:
    switch = {
        "id": "s",
        "name": "split",
        "type": "switchNode",
        "content": {"statements": [{"id": "s1", "condition": "x > 1"}]},
    }
    rules = graph(switch, function("export const handler = async (i) => ({y: i.x * 2 + 0.5})"))
    rules["edges"][1]["sourceHandle"] = "s1"
    worker = load(rules)
    assert one(worker, {"x": 2}).value == {"y": 4.5}
    assert one(worker, {"x": 1}).value == {}


def test_a_function_keeps_nothing_from_one_row_to_the_next(load: Load) -> None:
    source = (
        "let n = 0; export const handler = async () =>"
        " ({n: ++n, m: globalThis.m = (globalThis.m ?? 0) + 1})"
    )
    answers = ask(load(graph(function(source))), [{}] * 3)
    assert [answer.value for answer in answers] == [{"n": 1, "m": 1}] * 3


def test_a_policy_document_is_run_and_misses_what_is_not_there(load: Load) -> None:
    model = {"name": "customer", "properties": [{"id": "p", "name": "score", "type": "number"}]}
    arms = [
        {"id": "a", "condition": "customer.score >= 80", "value": '"gold"'},
        {"id": "b", "condition": "", "value": '"bronze"'},
    ]
    match = {"key": "customer.tier", "arms": arms}
    blocks = [
        {"id": "m", "type": "dataModel", "props": {"data": model}},
        {"id": "t", "type": "match", "props": {"data": match}},
    ]
    worker = load({"blocks": blocks})
    assert one(worker, {"customer": {"score": 90}}, "customer.tier").value == "gold"
    assert "customer.score" in (one(worker, {"customer": {}}).error or "")
    with pytest.raises(ReplayError, match=r"imports shared\.json, which are other files"):
        load({"imports": ["shared.json"], "blocks": blocks}).describe()


def test_it_says_what_runs_it_and_what_is_not_the_same_every_time(load: Load) -> None:
    described = load(
        graph(
            table(),
            expressions(age="d().diff(d(born), 'year')"),
            expressions("y", born="d(born)"),
            expressions("z", lot="rand(100)"),
            function("export const handler = async (i) => ({at: Date.now(), p: Math.random()})"),
        )
    ).describe()
    assert described["runtime"].startswith("zen-engine 2.")
    assert (described["kind"], described["nodes"]) == ("graph", 7)
    assert described["unsteady"] == {
        "node x": ["clock"],
        "node z": ["chance"],
        "script": ["clock", "chance"],
    }


@pytest.mark.parametrize(
    ("node", "why"),
    [
        ({"type": "customNode", "content": {"kind": "scorer"}}, "policy is a custom one"),
        (
            {"type": "decisionNode", "content": {"key": "limits.json"}},
            "asks for the decision 'limits.json', which is another file",
        ),
        ({"type": "teapotNode", "content": {}}, "unknown variant `teapotNode`"),
        ({"type": "decisionTableNode", "content": {**TABLE, "hitPolicy": "unique"}}, "`unique`"),
    ],
)
def test_what_needs_more_than_the_file_is_refused(
    load: Load, node: Mapping[str, Any], why: str
) -> None:
    with pytest.raises(ReplayError, match=why):
        load(graph({"id": "t", "name": "policy", **node})).describe()


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "not JSON"),
        (b"rules:\n  - a", "not JSON"),
        (b"\xff\xfe{}", "not JSON"),
        (b"[]", "neither a decision graph nor a policy"),
        (b'{"type": "rules"}', "neither a decision graph nor a policy"),
        (b'{"nodes": [7], "edges": []}', "no id, name or type"),
        (b'{"nodes": 7, "edges": []}', "nodes are no list"),
        (b'{"nodes": [], "edges": []}', "ZEN cannot read it"),
        (b'{"nodes": []}', "missing field `edges`"),
    ],
)
def test_what_is_no_graph_is_refused(load: Load, data: bytes, why: str) -> None:
    with pytest.raises(ReplayError, match=why):
        load(data).describe()


def test_a_graph_that_goes_in_circles_is_refused(load: Load) -> None:
    rules = graph(table(), expressions(y="1"))
    rules["edges"].append({"id": "back", "sourceId": "x", "targetId": "t"})
    with pytest.raises(ReplayError, match="cyclicGraph"):
        load(rules).describe()
