"""Frames give values their names, and expressions the values they name."""

from __future__ import annotations

import math
from typing import Any

import pyarrow as pa
import pytest

from forensics.errors import ReplayError
from forensics.lake.frames import RowFrame, TableFrame
from forensics.lake.sql import connect
from forensics.records.decision import ExactNumber

CONNECTION = connect(threads=1)


def evaluated(
    sql: str, features: dict[str, Any], config: dict[str, Any] | None = None, count: int = 1
) -> list[Any]:
    frame = RowFrame(CONNECTION, features, config or {}, count)
    frame.evaluate([("answer", sql)], ["answer"], [*features, *(config or {})])
    return list(frame.column("answer"))


def test_values_differ_by_row_or_are_one_for_all_and_keep_their_order() -> None:
    values = [float(at % 7) for at in range(100_000)]
    assert evaluated("x + y", {"x": values}, {"y": 1}, len(values)) == [v + 1 for v in values]
    with_gaps = [0.1, 0.6, None, math.nan]
    assert evaluated("x >= 0.5", {"x": with_gaps}, count=4) == [False, True, None, True]


def test_names_that_features_and_configuration_share_are_reached_by_group() -> None:
    frame = RowFrame(CONNECTION, {"cap": 5}, {"cap": 3})
    frame.evaluate(
        [("answer", "features.cap > config.cap")], ["answer"], ["features.cap", "config.cap"]
    )
    assert frame.column("answer") == [True]


def test_each_expression_sees_the_ones_before_it() -> None:
    chain = [("a", "x + 1"), ("b", "a * 2"), ("c1", "b - x")]
    row = RowFrame(CONNECTION, {"x": 3.0}, {})
    row.evaluate(chain, ["c1"], ["x"])
    table = TableFrame(CONNECTION, pa.table({"x": [3.0, 4.0]}), {})
    table.evaluate(chain, ["c1"], ["x"])
    assert row.column("c1") == [5.0]
    assert table.column("c1").to_pylist() == [5.0, 6.0]


def test_a_column_of_float32_is_compared_as_the_double_it_is() -> None:
    table = TableFrame(CONNECTION, pa.table({"x": [0.0]}), {})
    table.put("score", pa.array([0.1], pa.float32()))
    table.evaluate([("same", "score = 0.1"), ("more", "score > 0.1")], ["same", "more"], ["score"])
    assert table.column("same").to_pylist() == [False]
    assert table.column("more").to_pylist() == [True]


def test_only_rows_that_a_mask_lets_through_have_a_value() -> None:
    mask = [("m", "x > 1")]
    row = RowFrame(CONNECTION, {"x": [1.0, 2.0, None]}, {}, 3)
    row.evaluate(mask, ["m"], ["x"])
    row.put("score", [0.1, 0.2, 0.3], "m")
    table = TableFrame(CONNECTION, pa.table({"x": [1.0, 2.0, None]}), {})
    table.evaluate(mask, ["m"], ["x"])
    table.put("score", [0.1, 0.2, 0.3], "m")
    assert row.column("score") == table.column("score").to_pylist() == [None, 0.2, None]


def test_exact_numbers_are_compared_exactly() -> None:
    value = ExactNumber("12345678901234567890.5")
    assert evaluated("x > 12345678901234567890.4", {"x": value}) == [True]
    assert evaluated("x = 12345678901234567890.5", {"x": value}) == [True]


def test_quotes_and_statements_in_values_stay_values() -> None:
    hostile = "'; DROP TABLE x; --"
    assert evaluated("x = '''; DROP TABLE x; --'", {"x": hostile}) == [True]
    assert evaluated('"a""b" = 1', {'a"b': 1}) == [True]


def test_what_cannot_be_evaluated_is_a_replay_error() -> None:
    with pytest.raises(ReplayError):
        evaluated("x > 1", {"x": "text"})
