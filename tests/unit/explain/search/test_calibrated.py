"""A calibrated model is searched as well as a bare one: its threshold bounds the margin."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence

import numpy as np
import pytest
from decisions import Tree, Written, ensemble
from hypothesis import given
from hypothesis import strategies as st

from forensics.explain.search.effort import Effort, units_of
from forensics.explain.search.engine import search
from forensics.explain.search.problem import Lever, Model
from forensics.explain.search.space import Space
from forensics.lake.sql import Connection
from forensics.replay.logic.read import read_logic

NAMES = ("a", "b", "c")


def calibration(**step: object) -> str:
    """SQL that decision logic makes of a calibration step of the score."""
    steps = [
        {"id": "raw", "kind": "model"},
        {"id": "pd", "kind": "calibration", "of": "raw", **step},
        {"id": "out", "kind": "expression", "sql": "pd"},
    ]
    logic = read_logic(json.dumps({"type": "logic", "steps": steps}).encode())
    value = logic.step("pd").value
    assert value is not None
    return value.replace('"pd#of"', "score")


_STAIRS = [(0.05 * at, at / 20) for at in range(1, 20)]
CALIBRATIONS = {
    "platt": calibration(method="platt", a=-4.0, b=1.8),
    "platt in single precision": calibration(method="platt", a=-4.0, b=1.8, dtype="float32"),
    "isotonic": calibration(
        method="isotonic", x=[at / 40 for at in range(41)], y=[(at / 40) ** 2 for at in range(41)]
    ),
    "isotonic with steps": calibration(
        method="isotonic",
        x=[end for x, _ in _STAIRS for end in (x - 1e-9, x)],
        y=[end for _, y in _STAIRS for end in (y - 0.05, y)],
        dtype="float32",
    ),
    "table": "CASE "
    + " ".join(f"WHEN score < {x!r}::DOUBLE THEN {y!r}::DOUBLE" for x, y in _STAIRS)
    + " ELSE 1.0 END",
    "log-odds": "1 / (1 + exp(-(1.3::DOUBLE * ln(score / (1 - score)) - 0.2::DOUBLE)))",
}


def trees(rng: random.Random, count: int) -> list[Tree]:
    def tree(depth: int) -> Tree:
        if depth == 0:
            return round(rng.gauss(0, 0.35), 3)
        cut = {"feature": rng.randrange(3), "threshold": rng.randrange(1, 12) - 0.5}
        return {**cut, "left": tree(depth - 1), "right": tree(depth - 1)}

    return [tree(3) for _ in range(count)]


def declined(seed: int, sql: str, threshold: float) -> Written:
    """Forty trees over three levers, and a calibrated score that is to fall below a threshold."""
    rng = random.Random(seed)
    values = {name: float(rng.randrange(12)) for name in NAMES}
    model = Model(ensemble(trees(rng, 40)), NAMES, tuple(values.values()), link="logit")
    levers = tuple(Lever(name, 0, 1, 11, 1, scale=rng.choice([4.0, 7.0])) for name in NAMES)
    rules = ((f"pd >= {threshold!r}::DOUBLE", "DECLINE"), (None, "APPROVE"))
    return Written(values, levers, (model,), rules, (("pd", sql),), sparsity=0.01)


@pytest.mark.parametrize("name", CALIBRATIONS)
@pytest.mark.parametrize("seed", range(6))
def test_the_nearest_flip_of_a_calibrated_score_is_found_and_proven(
    name: str, seed: int, connection: Connection
) -> None:
    for threshold in (0.3, 0.52):
        written = declined(seed, CALIBRATIONS[name], threshold)
        cheapest = written.cheapest({"APPROVE"}, connection)
        found = search(
            written.problem(connection), wanted={"APPROVE"}, limit=1, units=units_of(0.3),
            prove=True, verify=written.verifier(connection),
        )  # fmt: skip
        if cheapest is None:
            assert (found.status, found.answers) == ("none_exists", ())
        else:
            assert found.status == "optimal"
            assert found.answers[0].cost == pytest.approx(cheapest, abs=1e-9)


@pytest.mark.parametrize("name", CALIBRATIONS)
def test_what_is_left_of_a_calibration_is_a_bound_on_the_margin(
    name: str, connection: Connection
) -> None:
    """So that the logic need not be asked again, and as much is proven as for a bare model."""
    written = declined(3, CALIBRATIONS[name], 0.52)
    space = Space(written.problem(connection), {"APPROVE"}, Effort())
    (case,) = space.cases()
    region = space.region(case)
    assert region is not None
    assert region.sure
    assert np.isfinite(case.high).all()
    scores = np.nextafter(1 / (1 + np.exp(-case.high)), 0)
    (value,) = _values(CALIBRATIONS[name], scores.tolist(), connection)
    (beyond,) = _values(CALIBRATIONS[name], (scores + 1.1e-6).tolist(), connection)
    assert value < 0.52 <= beyond


def _values(sql: str, scores: Sequence[float], connection: Connection) -> list[float]:
    query = f"SELECT ({sql})::DOUBLE FROM (SELECT unnest(?::DOUBLE[]) AS score)"
    return [row[0] for row in connection.execute(query, [list(scores)]).fetchall()]


@given(
    st.sampled_from(
        [
            *(f"({sql}) >= 0.52::DOUBLE" for sql in CALIBRATIONS.values()),
            *(f"({sql}) >= 0.3" for sql in CALIBRATIONS.values()),
            "score = 0.5", "score <> 0.25", "round(score, 2) = 0.37", "floor(score * 10) % 2 = 0",
            "score::REAL > 0.1", "score::REAL = 0.5", "(score::REAL * 3.7)::DOUBLE < 1.11",
            "0.7 <= score::REAL", "score / (score - 0.5) > 3", "nullif(score, 0.5) IS NULL",
        ]
    ),
    st.lists(st.floats(0.001, 0.999) | st.sampled_from([0.5, 0.25, 0.3, 0.1, 0.37]), min_size=2,
             max_size=6),
)  # fmt: skip
def test_ranges_of_a_score_hold_whatever_the_condition_is_within_them(
    sql: str, scores: list[float]
) -> None:
    from forensics.lake.sql import connect

    with connect(threads=1) as connection:
        written = declined(1, "score", 0.5)._replace(
            rules=((sql, "DECLINE"), (None, "APPROVE")), steps=()
        )
        judge = Space(written.problem(connection), {"APPROVE"}, Effort()).judge
        low, high = min(scores), max(scores)
        none = np.zeros((1, 3), np.int32)
        from forensics.explain.search.scenes import Box

        box = Box(none, none, np.array([[low]]), np.array([[high]]))
        possible, sure = judge.verdict(box)
        points = [*scores, *np.linspace(low, high, 23).tolist()]
        query = f"SELECT ({sql}) IS TRUE FROM (SELECT unnest(?::DOUBLE[]) AS score)"
        approved = [not row[0] for row in connection.execute(query, [points]).fetchall()]
        assert possible[0] or not any(approved)
        assert all(approved) or not sure[0]
