"""Conditions against DuckDB: what is said to be certain of a box is so for every point in it."""

from __future__ import annotations

import itertools
import math
import random
from typing import Any

import numpy as np
import pytest
from decisions import Written, expression

from forensics.errors import UsageError
from forensics.explain.search.conditions import (
    Call,
    Constant,
    Name,
    Opaque,
    condition_of,
    names_of,
    replace,
)
from forensics.explain.search.engine import search
from forensics.explain.search.problem import Lever
from forensics.explain.search.scenes import Box
from forensics.explain.search.space import Space
from forensics.lake.sql import Connection

_CONDITIONS = (
    "x > y", "x >= 2 OR y < 0", "NOT (x = y)", "x <> 3", "x BETWEEN y AND 3",
    "x NOT BETWEEN 0 AND 2",
    "x IN (1, 2, y)", "x NOT IN (0, 3)", "x IS NULL", "x IS NOT NULL AND y > 0", "x + y > 2.5",
    "x - y * 2 <= 0", "x / y < 0.7", "x / (y - 1) >= 1", "-x > y", "abs(x - 2) > abs(y)",
    "least(x, y, 1) = 1", "greatest(x, y) < 3", "coalesce(x, y) > 1", "ifnull(x, -1) < y",
    "nullif(x, y) > 1", "nullif(x, 2) IS NULL", "if(x > 1, y, 3) > 1", "floor(x / 2) = y",
    "ceil(x * 0.3) > y", "round(x * 0.7) >= y", "round(x * 0.37, 1) > y * 0.1", "sqrt(x) > y",
    "ln(x) > y", "exp(x) < 20 * y", "log10(x + 1) * 10 > y", "log2(x) >= 1", "x IS DISTINCT FROM y",
    "x IS NOT DISTINCT FROM 2", "(x > 1) = (y > 1)", "(x > 1) IS TRUE", "CAST(x AS DOUBLE) > y",
    "x::INTEGER >= 2", "CASE WHEN x > 2 THEN 'a' WHEN y > 1 THEN 'b' END = 'b'",
    "CASE WHEN x > y THEN x ELSE y END > 2", "CASE WHEN x > 2 THEN y END IS NULL",
    "z = 'car'", "z <> 'home' OR x > 3", "z > 'home'", "z IN ('car', 'trip') AND y > 0",
    "z IS NULL",
    "coalesce(z, 'none') = 'none'", "upper(z) = 'CAR'", "x % 2 = 1", "x > NULL", "TRUE", "x > 1e0",
    "x = 1 AND NULL", "x = 1 OR NULL", "0.1 + 0.2 = x * 0.1", "CASE x WHEN 1 THEN y ELSE 2 END > 1",
)  # fmt: skip
_VALUES: dict[str, list[Any]] = {
    "x": [None, -1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0],
    "y": [-1.0, 0.0, 1.0, 2.0, 3.0],
    "z": [None, "car", "home", "trip"],
}


def _written(condition: str) -> Written:
    return Written(
        {"x": None, "y": 0.0, "z": None},
        (
            Lever("x", categories=tuple(v for v in _VALUES["x"] if v is not None)),
            Lever("y", categories=tuple(_VALUES["y"])),
            Lever("z", categories=tuple(v for v in _VALUES["z"] if v is not None)),
        ),
        (),
        ((condition, "YES"), (None, "NO")),
    )


@pytest.mark.parametrize("condition", _CONDITIONS)
def test_what_is_certain_of_a_box_is_so_at_every_point_of_it(
    condition: str, connection: Connection
) -> None:
    written = _written(condition)
    space = Space(written.problem(connection), {"YES"})
    # Cells that a condition does not part are one position; the first value of each stands for it.
    shown = [[axis.raw(at) if at != axis.current else written.values[axis.lever.name]
              for at in range(axis.size)] for axis in space.axes]  # fmt: skip
    points = list(itertools.product(*(range(axis.size) for axis in space.axes)))
    names = [axis.lever.name for axis in space.axes]
    settings = [
        {name: shown[at][place] for at, (name, place) in enumerate(zip(names, point, strict=True))}
        for point in points
    ]
    real = [own[0] == "YES" for own in written.outcomes(settings, connection)]
    is_yes = dict(zip(points, real, strict=True))
    rng = random.Random(condition)
    for _ in range(60):
        ends = [sorted(rng.choices(range(axis.size), k=2)) for axis in space.axes]
        if rng.random() < 0.5:
            ends = [[low, low] for low, _ in ends]
        low = np.array([[end[0] for end in ends]])
        high = np.array([[end[1] for end in ends]])
        none = np.zeros((1, 0))
        possible, sure = space.judge.verdict(Box(low, high, none, none))
        inside = [is_yes[point] for point in itertools.product(*(range(a, b + 1) for a, b in ends))]
        assert possible[0] or not any(inside)
        assert not sure[0] or all(inside)


@pytest.mark.parametrize("condition", _CONDITIONS)
def test_the_nearest_point_where_a_condition_holds_is_found(
    condition: str, connection: Connection
) -> None:
    written = _written(condition)
    cheapest = written.cheapest({"YES"}, connection)
    found = search(
        written.problem(connection), wanted={"YES"}, units=None,
        verify=written.verifier(connection),
    )  # fmt: skip
    assert (found.answers[0].cost if found.answers else None) == cheapest


def test_points_are_certain_wherever_nothing_is_beyond_this_arithmetic(
    connection: Connection,
) -> None:
    unknown = {"upper(z) = 'CAR'", "x % 2 = 1", "0.1 + 0.2 = x * 0.1"}
    unsure = set()
    for condition in _CONDITIONS:
        space = Space(_written(condition).problem(connection), {"YES"})
        points = np.array(list(itertools.product(*(range(axis.size) for axis in space.axes))))
        none = np.zeros((len(points), 0))
        possible, sure = space.judge.verdict(Box(points, points, none, none))
        if (possible != sure).any():
            unsure.add(condition)
    assert unsure >= unknown
    # Fractions may be off in their last digit, which matters where they equal what they meet.
    fractions = (
        "x / y < 0.7", "x / (y - 1) >= 1", "x + y > 2.5", "floor(x / 2) = y", "log2(x) >= 1",
        "round(x * 0.37, 1) > y * 0.1", "sqrt(x) > y", "ln(x) > y", "x - y * 2 <= 0",
    )  # fmt: skip
    assert unsure - unknown <= set(fractions)


def test_names_are_known_however_they_are_written(connection: Connection) -> None:
    ((text,),) = connection.execute(
        "SELECT json_serialize_sql('SELECT Features.X > config.t AND x < 3')"
    ).fetchall()
    import json

    tree = json.loads(text)["statements"][0]["node"]["select_list"][0]
    found = condition_of(tree, {"features.x": "x", "x": "x", "config.t": "the threshold"})
    assert names_of(found) == {"x", "the threshold"}
    with pytest.raises(UsageError, match="config"):
        condition_of(tree, {"features.x": "x", "x": "x"})


def test_what_is_not_known_is_opaque_and_keeps_its_names(connection: Connection) -> None:
    found = expression("regexp_matches(z, 'a.*') AND x > 1", ["x", "z"], connection)
    assert isinstance(found, Call)
    (opaque,) = [part for part in found.arguments if isinstance(part, Opaque)]
    assert opaque.names == ("z",)
    assert opaque.tree["function_name"] == "regexp_matches"
    assert names_of(found) == {"x", "z"}


def test_a_comparison_with_a_choice_becomes_a_choice_of_comparisons(connection: Connection) -> None:
    band = expression("CASE WHEN x < 1 THEN 'A' ELSE 'B' END", ["x"], connection)
    found = replace(expression("band = 'A'", ["band"], connection), {"band": band})
    assert isinstance(found, Call)
    assert found.operation == "case"
    assert found.arguments[1:] == (
        Call("=", (Constant("A"), Constant("A"))),
        Call("=", (Constant("B"), Constant("A"))),
    )
    assert replace(Name("x"), {}) == Name("x")


def test_values_that_are_not_numbers_at_all_are_left_to_the_real_decision(
    connection: Connection,
) -> None:
    written = _written("y > w")._replace(values={"x": None, "y": 0.0, "z": None, "w": float("nan")})
    found = search(
        written.problem(connection), wanted={"NO"}, units=None,
        verify=written.verifier(connection),
    )  # fmt: skip
    assert found.answers[0].changes == {}
    assert math.isclose(found.answers[0].cost, 0.0)


def test_a_lever_that_is_not_a_number_at_all_is_one_once_it_is_set(connection: Connection) -> None:
    """NaN is above every number to DuckDB, unlike NULL."""
    nan = float("nan")
    written = Written(
        {"x": nan}, (Lever("x", 0, 1, 9),), (), (("x > 100", "HIGH"), ("x < 4", "LOW"))
    )
    for wanted, changes in (("HIGH", {}), ("LOW", {"x": 0.0})):
        found = search(
            written.problem(connection), wanted={wanted}, units=None,
            verify=written.verifier(connection),
        )  # fmt: skip
        assert found.status == "optimal"
        assert found.answers[0].changes == changes
