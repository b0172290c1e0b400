"""Rules from outside end in time, and take no more memory than they may."""

from __future__ import annotations

import time
from typing import Any

import pyarrow as pa
import pytest

from forensics.errors import ReplayError
from forensics.lake.effort import Texts, limit_effort
from forensics.lake.expressions import check
from forensics.lake.frames import RowFrame, TableFrame
from forensics.lake.sql import SqlError, connect, limited

CONNECTION = connect(threads=1)
#: Every row costs much, and there are many.
SLOW = " + ".join(f"pow(x, {exponent}.5)" for exponent in range(300))

ENDLESS = f"SELECT sum({SLOW}) FROM range(1_000_000_000_000) AS rows(x)"


def evaluate(expression: str, values: dict[str, Any], rows: int = 1) -> list[Any]:
    check(expression, list(values), connection=CONNECTION)
    frame = RowFrame(CONNECTION, values, {}, rows)
    frame.evaluate([("answer", expression)], ["answer"], list(values))
    return list(frame.column("answer"))


def test_a_query_that_takes_too_long_is_ended_and_the_connection_lives_on() -> None:
    with (
        pytest.raises(ReplayError, match=r"The rule needed more than 0\.2 s") as caught,
        limited(CONNECTION, 0.2),
    ):
        CONNECTION.execute(ENDLESS)
    assert caught.value.why
    assert caught.value.todo
    assert CONNECTION.execute("SELECT 1").fetchall() == [(1,)]


def test_time_that_is_up_between_two_queries_ends_the_second() -> None:
    def two_queries() -> None:
        with limited(CONNECTION, 0.05):
            CONNECTION.execute("SELECT 1").fetchall()
            time.sleep(0.2)
            CONNECTION.execute(ENDLESS)

    with pytest.raises(ReplayError, match="needed more than"):
        two_queries()


def test_an_interrupt_by_somebody_else_and_other_errors_stay_what_they_are() -> None:
    with pytest.raises(SqlError, match="nothing_such"), limited(CONNECTION, 5):
        CONNECTION.execute("SELECT nothing_such")


def test_a_table_of_many_decisions_is_ended_too(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("forensics.lake.frames._LIMIT_S", 0.1)
    rows = pa.table({"x": pa.array([1.5] * 300_000)})
    frame = TableFrame(CONNECTION, rows, {})
    with pytest.raises(ReplayError, match="Evaluating the rules needed more than"):
        frame.evaluate([("answer", SLOW)], ["answer"], ["x"])


HEAVY = [
    pytest.param("length(concat(" + ",".join(["x"] * 4_000) + ")) > 1", "1 GiB", id="one concat"),
    pytest.param("length(" + "lower(" * 200 + "x || x" + ")" * 200 + ") > 1", "1 GiB", id="nested"),
    pytest.param("regexp_matches(x, '((a|b){30}){30}c')", "20 s", id="one regular expression"),
    pytest.param("x ~ '(\\pL{9}\\PN){9}c'", "20 s", id="letters of Unicode"),
    pytest.param("x ~ '.*(a.{900}c){1,40}'", "20 s", id="operator"),
    pytest.param("x similar to '%(a{900}b){300}'", "20 s", id="similar"),
    pytest.param("x like y", "20 s", id="like of two texts"),
    pytest.param("x not ilike y escape '!'", "20 s", id="ilike with an escape"),
    pytest.param("x ~~~ y", "20 s", id="glob"),
    pytest.param("regexp_full_match(x, y)", "not written out", id="a pattern from data"),
    pytest.param(
        "case when " + " or ".join(["lower(x) < upper(x)"] * 300) + " then 2 end",
        "1 GiB",
        id="in a case",
    ),
]  # fmt: skip


@pytest.mark.parametrize(("expression", "why"), HEAVY)
def test_what_one_batch_could_not_end_in_time_is_refused_before(expression: str, why: str) -> None:
    values = {"x": "ab" * 2_000_000, "y": "%" + "a_" * 100_000}
    with pytest.raises(ReplayError, match=why):
        evaluate(expression, values)


def test_text_that_doubles_from_step_to_step_is_refused() -> None:
    steps = [("s0", "x || x"), *((f"s{n}", f"s{n - 1} || s{n - 1}") for n in range(1, 40))]
    frame = RowFrame(CONNECTION, {"x": "a"}, {}, 1)
    with pytest.raises(ReplayError, match="1 GiB"):
        frame.evaluate(steps, ["s39"], ["x"])


def test_many_rows_of_short_text_count_as_much_as_one_long_text() -> None:
    expression = "length(concat(" + ",".join(["x"] * 3_000) + ")) > 1"
    texts = [f"{row:0>200}" for row in range(4_096)]
    with pytest.raises(ReplayError, match="1 GiB"):
        evaluate(expression, {"x": texts}, len(texts))
    table = TableFrame(CONNECTION, pa.table({"x": texts}), {})
    with pytest.raises(ReplayError, match="1 GiB"):
        table.evaluate([("answer", expression)], ["answer"], ["x"])
    coded = TableFrame(CONNECTION, pa.table({"x": pa.array(texts).dictionary_encode()}), {})
    with pytest.raises(ReplayError, match="1 GiB"):
        coded.evaluate([("answer", expression)], ["answer"], ["x"])


def test_ordinary_rules_over_many_decisions_are_run() -> None:
    whens = " ".join(
        f"WHEN lower(country) = 'c{at}' AND email LIKE '%@mail{at}.example'"
        f" AND regexp_matches(email, '^[a-z]+[0-9]*@[a-z0-9.]{{3,60}}$') THEN {at}"
        for at in range(60)
    )
    rows = {
        "country": [f"C{at % 60}" for at in range(5_000)],
        "email": [f"someone{at}@mail{at % 60}.example" for at in range(5_000)],
    }
    assert evaluate(f"CASE {whens} END", rows, 5_000) == [at % 60 for at in range(5_000)]


def test_numbers_alone_are_not_looked_at() -> None:
    limit_effort(CONNECTION, [("a", "x > 1 AND y < 2")], {"x": 1.0, "y": [1.0]}, 1)
    limit_effort(CONNECTION, [("a", "x || y = 'ab'")], {"x": None, "y": pa.array([1, 2])}, 2)


@pytest.mark.parametrize(
    ("values", "batch", "longest"),
    [
        ("né", 6, 3),
        (["a", None, "abc"], 4, 3),
        ([1.0, None], 0, 0),
        (("a", "b"), 8, 4),
        (pa.array(["a", None, "né"]), 4, 3),
        (pa.chunked_array([pa.array(["ab", "ab"]).dictionary_encode()]), 4, 2),
        (pa.array([1, 2]), 0, 0),
        (pa.array([], pa.string()), 0, 0),
        (None, 0, 0),
        ("\ud800", 2, 1),
    ],
)
def test_text_is_measured_in_bytes(values: Any, batch: int, longest: int) -> None:
    assert Texts.of(values, 2) == (batch, longest)
