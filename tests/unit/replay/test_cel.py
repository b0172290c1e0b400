"""CEL's expressions mean what the language's definition says they mean."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import ReplayError
from forensics.replay.client import RuleWorker
from forensics.replay.engines import EngineAnswer, ask

pytest.importorskip("cel_expr_python")

Load = Callable[..., RuleWorker]


@pytest.fixture
def load(tmp_path: Path) -> Iterator[Load]:
    """Starts rule sets in their processes, which end with the test."""
    running = []

    def load(rules: Any, **limits: Any) -> RuleWorker:
        path = tmp_path / f"rules-{len(running)}"
        data = rules.encode() if isinstance(rules, str) else rules
        path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
        running.append(RuleWorker(path, "cel", **limits))
        return running[-1]

    yield load
    for worker in running:
        worker.close()


def one(worker: RuleWorker, row: Mapping[str, Any]) -> EngineAnswer:
    (answer,) = ask(worker, [row])
    return answer


@pytest.mark.parametrize("age", [34, 34.0, 18, 18.0, 17.999, 17])
def test_whole_numbers_and_doubles_compare_as_numbers(load: Load, age: float) -> None:
    assert one(load("age >= 18 && age < 18.5 || age in [34]"), {"age": age}).value == (age >= 18)


@pytest.mark.parametrize(
    ("expression", "row", "value"),
    [
        ("x == null || x > 1", {"x": None}, True),
        ("x > 3 || x <= 3", {"x": math.nan}, False),
        ("has(cart.coupon) && cart.coupon == 'A'", {"cart": {"total": 1}}, False),
        ("has(cart.coupon) && cart.coupon == 'A'", {"cart": {"coupon": "A"}}, True),
        ("cart.none > 1 || true", {"cart": {}}, True),
        ("false && x > 1", {"x": "text"}, False),
        ("size(name)", {"name": "é😀"}, 2),
        ("name.startsWith('é') && name.matches('^.+[0-9]$')", {"name": "é7"}, True),
        ("name.lowerAscii().split('@')[1]", {"name": "A@B.example"}, "b.example"),
        ("math.greatest(x, 2.5)", {"x": 1}, 2.5),
        ("tags.exists(t, t == 'new') && tags.all(t, t != '')", {"tags": ["a", "new"]}, True),
        ("tags.filter(t, t > 1).map(t, t * 2)", {"tags": [1, 2, 3]}, [4, 6]),
        ("7 / 2", {}, 3),
        ("-7 % 3", {}, -1),
        ("7.0 / 2.0", {}, 3.5),
        ("x + 1", {"x": 2**53}, 2**53 + 1),
        ("{'a': x, 'b': [null, 1u]}", {"x": "y"}, {"a": "y", "b": [None, 1]}),
        ("{2: 'a', true: 'b', 'c': 1}", {}, {"2": "a", "true": "b", "c": 1}),
        ("timestamp(t) - duration('90m')", {"t": "2026-01-01T00:30:00Z"}, "2025-12-31T23:00:00Z"),
        ("timestamp(t).getDayOfWeek('Asia/Tokyo')", {"t": "2026-01-01T20:00:00Z"}, 5),
        ("duration('0s') - duration('1.5s')", {}, "-1.5s"),
        ("duration('250000000000.000001s')", {}, "250000000000.000001s"),
        ("size", {"size": 3}, 3),
        ("size([1, 2]) == size", {"size": 2}, True),
        ("double(age) / 2.0", {"age": 35}, 17.5),
        ("string(age)", {"age": 34.0}, "34"),
        ('{"a": 1}', {}, {"a": 1}),
    ],
)
def test_an_expression_is_evaluated(
    load: Load, expression: str, row: Mapping[str, Any], value: Any
) -> None:
    answer = one(load(expression), row)
    assert (answer.value, answer.error) == (value, None)
    assert type(answer.value) is type(value)


@pytest.mark.parametrize(
    ("expression", "row", "why"),
    [
        ("age + 1 > 18", {"age": 34.0}, r"No matching overloads found: double \+ int64"),
        ("age > 18", {"age": None}, "null_type > int64"),
        ("age > 18", {"age": "34"}, "string > int64"),
        ("age > 18", {"Age": 34}, "undeclared reference to 'age'"),
        ("cart.none > 1", {"cart": {}}, 'Key not found in map : "none"'),
        ("1 / x", {"x": 0}, "divide by zero"),
        ("x + 1", {"x": 2**63 - 1}, "overflow"),
        ("x > 1", {"x": 2**64}, "out of range"),
        ("1 + 'a' == x", {"x": 1}, r"no matching overload for '_\+_' applied to '\(int, string\)'"),
        ("size(x)", {"x": "a\0b"}, "NUL"),
        ("size(x)", {"x": [{"k\0": 1}]}, "NUL"),
        ("b'ab'", {}, "JSON does not have: bytearray"),
        ("type(1)", {}, "JSON does not have"),
        ("int > 3", {"int": 4}, "overload"),
        ("now() > timestamp('2026-01-01T00:00:00Z')", {}, "undeclared reference to 'now'"),
    ],
)
def test_a_row_that_cannot_be_answered_says_why_and_never_another_value(
    load: Load, expression: str, row: Mapping[str, Any], why: str
) -> None:
    import re

    answer = one(load(expression), row)
    assert answer.value is None
    assert re.search(why, answer.error or ""), answer.error
    assert "\n" not in (answer.error or "")


def test_a_bad_row_costs_no_other(load: Load) -> None:
    answers = ask(load("age > 18"), [{"age": 34.0}, {"other": 1}, {"age": "x"}, {"age": 3}])
    assert [answer.value for answer in answers] == [True, None, None, False]
    assert [answer.error is None for answer in answers] == [True, False, False, True]


def test_declared_inputs_are_of_the_type_that_the_service_had(load: Load) -> None:
    rules = {
        "type": "cel",
        "inputs": {"age": "int", "score": "double", "since": "timestamp", "left": "uint"},
        "expressions": {
            "half": "age / 2",
            "risk": "score / 2.0",
            "before": "since < timestamp('2026-01-01T00:00:00Z')",
            "more": "left + 1u",
        },
    }
    row = {"age": 35.0, "score": 1, "since": "2025-12-31T23:30:00-01:00", "left": 2.0}
    worker = load(rules)
    assert one(worker, row).value == {"half": 17, "risk": 0.5, "before": False, "more": 3}
    assert one(worker, {**row, "left": 2**64 - 2}).value["more"] == 2**64 - 1
    unfit = {"age": [34.5, True, math.inf, "34"], "score": ["1"], "since": ["2025-12-31", 5]}
    for name, value in [("left", -1), *((n, v) for n, values in unfit.items() for v in values)]:
        error = one(worker, {**row, name: value}).error or ""
        assert f"{name} is {value!r}, and is declared {rules['inputs'][name]}" in error
    assert "null_type" in (one(worker, {**row, "age": None}).error or "")
    assert "null_type" in (one(worker, {**row, "since": None}).error or "")


def test_expressions_use_the_ones_before_them_and_an_outcome_only_what_it_needs(load: Load) -> None:
    worker = load(
        {
            "type": "cel",
            "expressions": {
                "adult": "age >= 18",
                "burden": "debt / income",
                "due": "timestamp(opened) + duration('24h')",
                "late": "due < timestamp('2026-06-01T00:00:00Z')",
            },
            "outcome": "!adult || burden > 3 ? 'DECLINE' : late ? 'REFER' : 'APPROVE'",
        }
    )
    row = {"age": 34.0, "debt": 4, "income": 2, "opened": "2026-05-01T00:00:00Z"}
    assert one(worker, row).value == {
        "adult": True,
        "burden": 2,
        "due": "2026-05-02T00:00:00Z",
        "late": True,
        "outcome": "REFER",
    }
    child = {**row, "age": 3, "income": 0}
    assert one(worker, child).value["outcome"] == "DECLINE"
    assert "burden" not in one(worker, child).value
    nothing = one(worker, {**row, "income": 0})
    assert nothing.error is not None
    assert nothing.error.startswith("expression outcome: ")
    assert worker.describe()["expressions"] == ["adult", "burden", "due", "late", "outcome"]


def test_without_an_outcome_every_expression_must_succeed(load: Load) -> None:
    worker = load({"type": "cel", "expressions": {"a": "1", "b": "a / x"}})
    assert one(worker, {"x": 1}).value == {"a": 1, "b": 1}
    assert one(worker, {"x": 0}).error == "expression b: divide by zero"


def test_times_and_decimals_of_a_lake_reach_an_expression(load: Load) -> None:
    worker = load("timestamp(at) < timestamp('2026-01-02T00:00:00Z') && day < '2026' && cost < 1.5")
    row = {
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "day": date(2025, 12, 31),
        "cost": Decimal("1.2"),
    }
    assert one(worker, row).value is True
    assert one(worker, {**row, "at": datetime(2026, 1, 1)}).value is True  # noqa: DTZ001


def test_it_says_what_runs_it(load: Load) -> None:
    assert load("true").describe()["runtime"].startswith("cel-expr-python 0.")


@pytest.mark.parametrize(
    ("data", "why"),
    [
        ("", "cannot be parsed"),
        ("a >", "cannot be parsed: at 1:4"),
        ("x; y", "cannot be parsed"),
        (b"\xff", "not UTF-8"),
        ({"type": "rules"}, "its type is 'rules'"),
        ({"type": "cel"}, "needs one 'expression'"),
        ({"type": "cel", "expressions": {}}, "needs one 'expression'"),
        ({"type": "cel", "expressions": []}, "needs one 'expression'"),
        ({"type": "cel", "expression": "1", "outcome": "2"}, "needs one 'expression'"),
        ({"type": "cel", "expression": 1}, "is not text"),
        ({"type": "cel", "expressions": {"int": "1"}}, "cannot be called 'int'"),
        ({"type": "cel", "expressions": {"a-b": "1"}}, "cannot be called 'a-b'"),
        ({"type": "cel", "expressions": {"a": "1 +"}}, "expression a cannot be parsed"),
        ({"type": "cel", "expression": "x", "inputs": {"x": "float"}}, "of type 'float'"),
        ({"type": "cel", "expression": "x", "inputs": ["x"]}, "no types by name"),
    ],
)
def test_what_is_no_expression_is_refused(load: Load, data: Any, why: str) -> None:
    with pytest.raises(ReplayError, match=why):
        load(data).describe()
