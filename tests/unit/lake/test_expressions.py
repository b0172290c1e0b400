"""Expressions from outside: what is allowed, and that everything else is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import UsageError
from forensics.lake.expressions import FUNCTIONS, check
from forensics.lake.sql import SqlError, connect

CONNECTION = connect(threads=1)
NAMES = ("score", "threshold", "x", "features.x", "occurred_at", "Name")


def _check(expression: str) -> frozenset[str]:
    return check(expression, NAMES, connection=CONNECTION)


@pytest.mark.parametrize(
    ("expression", "names"),
    [
        ("score >= threshold", {"score", "threshold"}),
        ("SCORE > 0.5", {"score"}),
        ("features.x in (1, 2) and name like 'a%' or x is null", {"features.x", "Name", "x"}),
        ("case when x then 1 else cast(x as double) end between 1 and 2", {"x"}),
        ("not (name ilike 'b''--')", {"Name"}),
        ("date_part('day', occurred_at) > 3", {"occurred_at"}),
        ("occurred_at > TIMESTAMPTZ '2026-01-01' + interval 1 day", {"occurred_at"}),
        ("abs(-x) + 1.5e3 % 2 <> 0", {"x"}),
        ("try_cast(x as int) > 1 and x::decimal(3, 1) = 1", {"x"}),
        ("coalesce(x, 1) = 1 and nullif(x, 1) = 1", {"x"}),
        ("regexp_matches(name, '^a') and x is true", {"Name", "x"}),
        ("x is not distinct from 3 and x not in (1)", {"x"}),
        ("greatest(x, score) > least(1, 2)", {"x", "score"}),
        ("1 = 1", set()),
    ],
)
def test_functions_of_the_names_are_allowed(expression: str, names: set[str]) -> None:
    assert _check(expression) == names


@pytest.mark.parametrize(
    "expression",
    [
        "read_csv('/etc/passwd')",
        "read_text('/etc/passwd') is not null",
        "(select 1)",
        "x in (select 1)",
        "exists (select 1)",
        "getenv('HOME')",
        "current_setting('threads')",
        "query('select 1')",
        "pg_sleep(1)",
        "random() > 0.5",
        "now() > occurred_at",
        "current_date > occurred_at",
        "nextval('s')",
        "list_transform([1], a -> a + 1)",
        "lambda y: y",
        "columns(*)",
        "*",
        "count(*)",
        "sum(x)",
        "max(x) over ()",
        "abs(x) filter (where true)",
        "main.abs(x)",
        "system.main.abs(x)",
        "x[1]",
        "{'a': x}.a",
        "[x]",
        "x::float[]",
        "x::regclass",
        "x collate nocase",
        "try(x)",
        "repeat('a', 1000000000)",
        "replace(name, 'a', 'aa')",
        "$1",
        "?",
        "x, score",
        "x from t",
        "x where true",
        "x group by all",
        "x order by 1",
        "x limit 1",
        "x qualify true",
        "x window w as ()",
        "x union select 1",
        "x as y",
        "distinct x",
        "1; drop table x",
        "x;",
        "x -- comment",
        "x /* comment */",
        "/* */ x",
        "1) or (1",
        "x) or (x",
        "E'\\'' --'",
        "U&'\\0041' = name",
        "X'00' = name",
        "$$ a $$ = name",
        "getenv('x') $$ a $$",
        "'open",
        'x = "open',
        "x\0",
        "",
        " ",
        "x +",
        "(" * 3000 + "x" + ")" * 3000,
        "x" + " + 1" * 2400,
        "x = '" + "a" * 10_000 + "'",
    ],
)
def test_everything_else_is_refused(expression: str) -> None:
    with pytest.raises(UsageError) as caught:
        _check(expression)
    assert caught.value.what
    assert len(str(caught.value)) < 1_000


def test_an_unknown_name_comes_with_the_nearest() -> None:
    with pytest.raises(UsageError, match="Nearest names: threshold"):
        _check("score > thresold")
    with pytest.raises(UsageError, match="single quotes"):
        _check("name = alice")


def test_names_that_differ_only_by_case_cannot_be_used() -> None:
    assert check("a > 1", ["a", "b", "B"], connection=CONNECTION) == {"a"}
    with pytest.raises(UsageError, match="differ only by case"):
        check("b > 1", ["a", "b", "B"], connection=CONNECTION)


def test_no_allowed_function_is_an_aggregate_or_a_table_function() -> None:
    rows = CONNECTION.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions()"
        " WHERE function_type NOT IN ('scalar', 'macro')"
    ).fetchall()
    assert not {name for (name,) in rows} & FUNCTIONS


@given(st.text(max_size=60))
def test_any_text_is_an_answer_or_a_usage_error(text: str) -> None:
    try:
        assert _check(text) <= set(NAMES)
    except UsageError:
        return


PIECES = (
    *("x", "score", "1", "+", "or", "and", "not", "in", "is null", "(", ")", ",", "[", "]", "\n"),
    *("'", '"', "--", "/*", "*/", ";", "$$", "E'", "\\", "select", "from", "as", "::int"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=12))
def test_what_is_allowed_stands_in_parentheses_as_one_condition(words: list[str]) -> None:
    expression = " ".join(words)
    try:
        _check(expression)
    except UsageError:
        return
    query = f"SELECT typeof(({expression})), 'end' FROM (SELECT 1 AS x, 0.5 AS score)"
    try:
        rows = CONNECTION.execute(query).fetchall()
    except SqlError as error:  # types may not fit, but the syntax must
        refused = str(error).lower()
    else:
        refused = ""
        assert [row[1] for row in rows] == ["end"]
    assert "syntax" not in refused, expression
