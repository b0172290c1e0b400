"""The parts of bulk replay: closeness of scores, quantiles, and what stands out."""

from __future__ import annotations

import math
import struct
from collections import Counter
from typing import Any

import numpy as np
from credit import record
from hypothesis import given
from hypothesis import strategies as st

from forensics.lake.texts import Texts
from forensics.records.score import contradiction
from forensics.replay.bulk import scores
from forensics.replay.bulk.blast import add_groups
from forensics.replay.bulk.census import Census
from forensics.replay.bulk.common import in_common
from forensics.replay.bulk.kinds import Kind
from forensics.replay.bulk.said import Said, differs
from forensics.replay.bulk.sketch import Sketch
from forensics.replay.bulk.tally import KINDS_MAX, VALUES_MAX, Group, Tally
from forensics.replay.evidence import closeness
from forensics.replay.steps import same_value, value_said

_NAMES = {None: scores.NONE, "exact": scores.EXACT, "ulp": scores.ULP, "apart": scores.APART}
_FLOATS = st.floats(width=32) | st.sampled_from([0.0, -0.0, 0.25, 1e-45, -1e-45, math.inf])


class _Batch:
    """The columns of recorded scores, as a batch has them."""

    def __init__(self, rows: list[tuple[bytes | None, str | None, float | None]]) -> None:
        self.given = rows
        self.rows = len(rows)

    def load(self, _: Any) -> None:
        pass

    def hexadecimal(self, _: str) -> list[tuple[Any, Any]]:
        found: dict[int, list[int]] = {}
        for at, (raw, _, _) in enumerate(self.given):
            if raw is not None:
                found.setdefault(len(raw), []).append(at)
        return [
            (np.array(rows), np.array([list(self.given[at][0] or b"") for at in rows], np.uint8))
            for rows in found.values()
        ]

    def texts(self, _: str) -> Texts:
        values = ["float32", "float64", "int64"]
        codes = [-1 if dtype is None else values.index(dtype) for _, dtype, _ in self.given]
        return Texts(np.array(codes, np.int32), values)

    def numbers(self, _: str) -> tuple[Any, Any]:
        numbers = np.array([np.nan if n is None else n for _, _, n in self.given])
        return numbers, np.array([n is not None for _, _, n in self.given])


@st.composite
def _scores(draw: st.DrawFn) -> tuple[bytes | None, str | None, float | None, float]:
    replayed = draw(_FLOATS)
    dtype = draw(st.sampled_from([None, "float32", "float64", "int64"]))
    near = draw(st.sampled_from(["same", "ulp", "other"]))
    number = replayed if near == "same" else draw(_FLOATS)
    if near == "ulp" and math.isfinite(replayed):
        number = float(
            np.nextafter(np.float32(replayed), np.float32(draw(st.sampled_from([-9, 9]))))
        )
    raw = None
    if draw(st.booleans()):
        kind = draw(st.sampled_from(["<f", "<d", "<q", "<e"]))
        try:
            raw = struct.pack(kind, int(number) if kind == "<q" else number)
        except (ValueError, OverflowError, struct.error):
            raw = b"\x01"
    return raw, dtype, number if draw(st.booleans()) else None, replayed


@given(st.lists(_scores(), min_size=1, max_size=12))
def test_scores_are_as_near_together_as_each_alone(rows: list[Any]) -> None:
    batch: Any = _Batch([row[:3] for row in rows])
    replayed = np.array([row[3] for row in rows])
    found = scores.recorded(batch)
    wanted = [
        _NAMES[
            closeness(
                record({}, "A", None, score_bytes=raw, score_dtype=dtype) if number is None
                else record({}, "A", number, score_bytes=raw, score_dtype=dtype),
                answer,
            )
        ]
        for raw, dtype, number, answer in rows
    ]  # fmt: skip
    assert found.closeness(replayed).tolist() == wanted
    some = np.arange(len(rows))[::2]
    assert found.closeness(replayed[some], some).tolist() == wanted[::2]
    alone = [contradiction(number, raw, dtype) is not None for raw, dtype, number, _ in rows]
    together = [False] * len(rows) if found.contradicts is None else found.contradicts.tolist()
    assert together == alone


@given(
    st.lists(
        st.tuples(
            st.sampled_from([None, 1, 1.5, 0.1, True, "B", [1]]),
            st.sampled_from([None, 1.0, 1.5, float(np.float32(0.1)), True, "B"]),
        ),
        min_size=1,
        max_size=8,
    )
)
def test_a_steps_values_differ_together_as_each_alone(pairs: list[tuple[Any, Any]]) -> None:
    said = [{"value": recorded} if recorded is not None else {} for recorded, _ in pairs]
    found = differs(Said(np.arange(len(pairs), dtype=np.int32), said), [p for _, p in pairs])
    wanted = [
        value_said(outputs) is not None and not same_value(value_said(outputs), replayed)
        for outputs, (_, replayed) in zip(said, pairs, strict=True)
    ]
    assert found.tolist() == wanted


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=200), st.integers(1, 5))
def test_quantiles_of_added_sketches_are_within_one_percent(
    numbers: list[float], parts: int
) -> None:
    whole = Sketch()
    for part in np.array_split(np.array([*numbers, np.nan, np.inf]), parts):
        sketch = Sketch()
        sketch.take(part)
        whole.add(sketch)
    assert whole.count == len(numbers)
    ordered = sorted(numbers)
    for share in (0.0, 0.05, 0.5, 0.95, 1.0):
        true = ordered[int(share * (len(numbers) - 1))]
        found = whole.quantile(share)
        assert found is not None
        assert abs(found - true) <= 0.0101 * abs(true) + 1e-11
    assert Sketch().quantile(0.5) is None


def test_what_stands_out_is_the_value_that_is_usual_here_and_rare_elsewhere() -> None:
    window = Tally(exact=964)
    group = Group(36, 0, 3_600_000_000, [], {
        "region": Counter({"north": 30, "south": 6}),
        "replica": Counter({"a": 12, "b": 12, "c": 12}),
        "model": Counter({"sha256:" + "ab" * 32: 36}),
        "tenant": Counter({None: 36}),
    })  # fmt: skip
    window.kinds[Kind("diverged", "cache")] = group
    window.names = {"sha256:" + "ab" * 32: "pd v1"}
    window.attributes = {"model": Counter({"sha256:" + "ab" * 32: 120, "other": 880})}
    census = Census(
        Counter({0: 40, 1: 60, 2: 900}),
        {"region": Counter({"north": 300, "south": 700}), "replica": Counter(a=400, b=300, c=300)},
    )
    said = [one.statement for one in in_common(group, window, census)]
    assert said == [
        "all 36: time 1970-01-01 00:00 to 1970-01-01 01:00 UTC (10 % of the window)",
        "all 36: model pd v1 (ababab) (12 % of the window)",
        "30 of 36: region north (30 % of the window)",
    ]


def test_counts_stay_small_however_many_values_and_kinds_there_are() -> None:
    one, two = Tally(), Tally()
    for number in range(3_000):
        tally = (one, two)[number % 2]
        tally.attributes.setdefault("replica", Counter())[f"r{number}"] += 1
        tally.group(Kind("diverged", "model", (f"m{number}",))).add(Group(1, number, number))
    one.add(two)
    assert one.count == 3_000
    assert len(one.kinds) <= KINDS_MAX + 1
    assert sum(one.attributes["replica"].values()) == 3_000
    assert len(one.attributes["replica"]) <= VALUES_MAX + 1501
    groups: Any = Counter()
    for number in range(3_000):
        add_groups(groups, Counter({(f"s{number}", "A", "B"): 1}))
    assert groups.total() == 3_000
    assert len(groups) <= VALUES_MAX + 1
