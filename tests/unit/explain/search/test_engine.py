"""The search against trying everything: the same cheapest answer, or the same absence of one."""

from __future__ import annotations

import importlib
import itertools
import math
import subprocess
import sys
from collections.abc import Mapping, Sequence
from typing import Any

import pytest
from decisions import Written, ensemble, random_decision

from forensics.errors import UsageError
from forensics.explain.search.engine import search
from forensics.explain.search.problem import Answer, Found, Lever, Model
from forensics.lake.sql import Connection


def _asked(written: Written, wanted: set[str], connection: Connection, **options: Any) -> Found:
    options = {"units": None, "verify": written.verifier(connection), **options}
    return search(written.problem(connection), wanted=wanted, **options)


def _within(written: Written, answer: Answer) -> list[dict[str, Any]]:
    """Some hundred settings within the ranges of an answer."""
    lists: list[list[Any]] = []
    for lever in written.levers:
        if lever.name not in answer.changes:
            continue
        found = answer.ranges.get(lever.name)
        if found is None:
            lists.append([answer.changes[lever.name]])
        elif found.choices:
            lists.append(list(found.choices))
        else:
            low, high = sorted((found.near, found.far))
            lists.append([v for v in written.choices(lever)[1:] if low <= v <= high])
    names = [lever.name for lever in written.levers if lever.name in answer.changes]
    every = itertools.product(*lists)
    return [dict(zip(names, values, strict=True)) for values in itertools.islice(every, 300)]


def _seeds(count: int, *, long: bool) -> list[int]:
    """Of decisions whose every combination of values can be tried."""
    found = []
    for seed in range(count):
        written = random_decision(seed, long=long)
        if math.prod(len(written.choices(lever)) for lever in written.levers) <= 25_000:
            found.append(seed)
    return found


@pytest.mark.parametrize(
    ("seed", "long"),
    [*((s, False) for s in _seeds(120, long=False)), *((s, True) for s in _seeds(40, long=True))],
)
def test_answers_are_the_cheapest_and_hold_in_all_of_their_ranges(
    seed: int, long: bool, connection: Connection
) -> None:
    written = random_decision(seed, long=long)
    wanted = {"APPROVE"} if seed % 3 else {"APPROVE", "REFER"}
    cheapest = written.cheapest(wanted, connection)
    found = _asked(written, wanted, connection)
    if cheapest is None:
        assert (found.status, found.answers) == ("none_exists", ())
        return
    assert found.status == "optimal"
    assert found.answers[0].cost == pytest.approx(cheapest, abs=1e-9)
    assert found.lower_bound == pytest.approx(cheapest, abs=1e-8)
    for answer in found.answers:
        settings = [answer.changes, *_within(written, answer)]
        for outcomes in written.outcomes(settings, connection):
            assert set(outcomes) == {answer.outcome}
        assert answer.cost == pytest.approx(written.cost(answer.changes), abs=1e-9)
        assert answer.outcome in wanted


@pytest.mark.parametrize("seed", range(40))
def test_further_answers_do_without_some_lever_of_every_one_before(
    seed: int, connection: Connection
) -> None:
    written = random_decision(seed)
    found = _asked(written, {"APPROVE"}, connection, limit=4)
    levers = [set(answer.changes) for answer in found.answers]
    for earlier, later in itertools.combinations(levers, 2):
        assert not earlier or not earlier <= later
    costs = [answer.cost for answer in found.answers]
    assert costs == sorted(costs)


def test_the_score_must_bear_being_off(connection: Connection) -> None:
    """A value that passes by less than the margin is none: the next one on the grid is."""
    linear = ensemble([], coefficients=[1.0], dtype="d")
    written = Written(
        {"x": 0.0, "t": 0.7000005},
        (Lever("x", 0, 0.1, 20, 1),),
        (Model(linear, ("x",), (0.0,)),),
        (("score > t - 0.0000005 - 0.0000009", "APPROVE"), (None, "DECLINE")),
    )
    (answer,) = _asked(written, {"APPROVE"}, connection, limit=1).answers
    assert answer.changes == {"x": 0.8}


def test_a_real_decision_that_disagrees_is_never_answered(connection: Connection) -> None:
    """The callback has the last word, and the search goes on to the next cheapest."""
    written = _stairs()
    plain = written.verifier(connection)

    def verify(settings: Sequence[Mapping[str, Any]]) -> list[str | None]:
        said = plain(settings)
        return [
            None if s.get("x") == 3 else outcome for s, outcome in zip(settings, said, strict=True)
        ]

    assert _asked(written, {"APPROVE"}, connection).answers[0].changes == {"x": 3}
    found = _asked(written, {"APPROVE"}, connection, verify=verify)
    assert found.refused == 1
    assert found.answers
    assert all(answer.changes.get("x") != 3 for answer in found.answers)


def _stairs() -> Written:
    """Approved from x = 3 or y = 4 on."""
    trees = [
        {"feature": 0, "threshold": 2.5, "left": 1.0, "right": -1.0},
        {"feature": 1, "threshold": 3.5, "left": 1.0, "right": -1.0},
    ]
    return Written(
        {"x": 0, "y": 0, "z": 0},
        tuple(Lever(name, 0, 1, 9, integer=True) for name in "xyz"),
        (Model(ensemble(trees), ("x", "y"), (0.0, 0.0), link="logit"),),
        (("score > 0.6", "DECLINE"), (None, "APPROVE")),
    )


def test_ranges_go_on_to_the_end_of_the_grid_and_say_so(connection: Connection) -> None:
    first, second, *none = _asked(_stairs(), {"APPROVE"}, connection).answers
    assert not none
    assert (first.changes, second.changes) == ({"x": 3}, {"y": 4})
    assert first.ranges["x"]._asdict() == {"near": 3, "far": 9, "ended": True, "choices": ()}


def test_outcomes_that_a_rule_gives_whatever_the_score_are_undone_by_its_feature(
    connection: Connection,
) -> None:
    written = _stairs()._replace(
        rules=(("z < 2 AND y < 7", "DECLINE"), *_stairs().rules), values={"x": 5, "y": 0, "z": 0}
    )
    model = written.models[0]._replace(row=(5.0, 0.0))
    found = _asked(written._replace(models=(model,)), {"APPROVE"}, connection)
    assert [answer.changes for answer in found.answers] == [{"z": 2}, {"y": 7}]
    assert found.status == "optimal"


def test_constraints_that_cannot_be_met_are_proven_so_without_a_search(
    connection: Connection,
) -> None:
    written = _stairs()
    for constraints in (("x > 4", "x < 3"), ("x + y < 0",), ("z > x + 20",)):
        found = _asked(written._replace(constraints=constraints), {"APPROVE"}, connection)
        assert (found.status, found.lower_bound) == ("none_exists", None)
        assert found.nodes < 50


def test_an_outcome_that_nothing_gives_is_proven_not_to_exist(connection: Connection) -> None:
    assert _asked(_stairs(), {"NO SUCH"}, connection).status == "none_exists"
    locked = _stairs()._replace(levers=())
    assert _asked(locked, {"APPROVE"}, connection).status == "none_exists"


def test_a_decision_that_is_a_wanted_one_already_needs_no_change(connection: Connection) -> None:
    found = _asked(_stairs(), {"DECLINE"}, connection)
    assert found.answers[0].changes == {}
    assert (found.answers[0].cost, found.status) == (0.0, "optimal")


def test_without_time_the_answer_is_a_good_one_with_its_gap(connection: Connection) -> None:
    seeds = [seed for seed in range(60) if random_decision(seed, long=True).levers]
    gaps = 0
    for seed in seeds:
        written = random_decision(seed, long=True)
        exact = _asked(written, {"APPROVE"}, connection, limit=1)
        hasty = _asked(written, {"APPROVE"}, connection, limit=1, units=0)
        if not hasty.answers:
            assert hasty.status in ("none_found", "none_exists")
            continue
        assert hasty.answers[0].cost >= exact.answers[0].cost - 1e-9
        assert hasty.lower_bound is not None
        assert hasty.lower_bound <= exact.answers[0].cost + 1e-9
        gaps += hasty.status == "gap"
    assert gaps


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"levers": (Lever("x", 0, 1, 9), Lever("x", 0, 1, 9))}, "twice"),
        ({"levers": (Lever("x", 0, 0, 9),)}, "step"),
        ({"levers": (Lever("x", 0, 1, -1),)}, "no value"),
        ({"levers": (Lever("x", 0, 1, 9, direction="sideways"),)}, "direction"),
        ({"levers": (Lever("x", 0, 1, 9, weight=0),)}, "weight"),
        ({"levers": (Lever("x", 0, 1, 9, scale=-1),)}, "scale"),
        ({"levers": (Lever("x", float("nan"), 1, 9),)}, "finite"),
        ({"levers": (Lever("x", 0, 0.5, 9, integer=True),)}, "whole"),
        ({"levers": (Lever("x", 0.5, 1, 9, integer=True),)}, "whole"),
        ({"levers": (Lever("x", categories=(1, 1)),)}, "twice"),
        ({"levers": (Lever("x", categories=(1, "a")),)}, "both"),
        ({"levers": (Lever("x", categories=(1, 2), direction="up"),)}, "direction"),
        ({"levers": (Lever("x", categories=("a", "b")),)}, "type"),
        ({"levers": (Lever("nobody", 0, 1, 9),)}, "no such feature"),
        ({"derived": {"x": "y + 1"}}, "derived"),
        ({"derived": {"p": "q + 1", "q": "p - 1"}, "constraints": ("p > 0",)}, "each other"),
        ({"sparsity": -1.0}, "0 or more"),
        ({"values": {"x": "text", "y": 0, "z": 0}}, "number"),
    ],
)
def test_what_contradicts_itself_is_a_clear_error(
    change: dict[str, Any], words: str, connection: Connection
) -> None:
    with pytest.raises(UsageError, match=words):
        _asked(_stairs()._replace(**change), {"APPROVE"}, connection)


def test_a_grid_too_long_to_search_value_by_value_says_how_long_it_may_be(
    connection: Connection,
) -> None:
    lever = Lever("x", 0, 0.001, 9_000_000, 3)
    assert _asked(_stairs()._replace(levers=(lever,)), {"APPROVE"}, connection).answers[
        0
    ].changes == {"x": 2.5}
    linked = _stairs()._replace(levers=(lever,), constraints=("x < y + 5",))
    with pytest.raises(UsageError, match="1,048,576"):
        _asked(linked, {"APPROVE"}, connection)


def test_a_long_grid_that_conditions_look_at_is_searched_to_the_value(
    connection: Connection,
) -> None:
    written = _stairs()._replace(
        values={"x": 0.0, "y": 0, "z": 7},
        levers=(Lever("x", 0, 0.001, 400_000, 3),),
        rules=(("x * 3 < z * 100", "DECLINE"), (None, "APPROVE")),
    )
    found = _asked(written, {"APPROVE"}, connection)
    assert found.answers[0].changes == {"x": 233.334}
    assert found.status == "optimal"


def test_the_nouns_need_no_numpy() -> None:
    code = (
        "import sys, forensics.explain.search.problem, forensics.explain.search.conditions;"
        "print('numpy' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "False\n"


@pytest.mark.parametrize("limits", [("parts", "_WORDS_MAX"), ("quick", "_TABLES_MAX")])
def test_problems_too_large_for_tables_are_parted_until_they_fit(
    limits: tuple[str, str], connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With no room for tables at all every proof takes parts and prices alone."""
    module = importlib.import_module(f"forensics.explain.search.{limits[0]}")
    monkeypatch.setattr(module, limits[1], 0)
    for seed in _seeds(40, long=False):
        written = random_decision(seed)
        cheapest = written.cheapest({"APPROVE"}, connection)
        found = _asked(written, {"APPROVE"}, connection)
        assert found.status == ("none_exists" if cheapest is None else "optimal")
        if cheapest is not None:
            assert found.answers[0].cost == pytest.approx(cheapest, abs=1e-9)
