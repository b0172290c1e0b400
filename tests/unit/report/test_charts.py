"""Charts say what the numbers say, whatever the numbers and names are."""

from __future__ import annotations

import math
import re
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.report.charts import COLOURS, WIDTH, rate_chart, waterfall

BINS = [
    {"start": f"2026-10-05T{hour:02}:00:00Z", "end": f"2026-10-05T{hour + 1:02}:00:00Z",
     "decisions": 10, "hits": hits, "rate": hits / 10}
    for hour, hits in enumerate([1, 2, 4, 0])
]  # fmt: skip


def timeline(**changes: Any) -> dict[str, Any]:
    return {
        "decision_point": "p", "outcome": "NO", "since": "2026-10-05T00:00:00Z",
        "until": "2026-10-05T04:00:00Z", "decisions": 40, "hits": 7, "rate": 0.175, "bins": BINS,
        "moments": [{"at": "2026-10-05T02:00:00Z", "jump": True, "before": {"rate": 0.1},
                     "after": {"rate": 0.4}, "changes": [{"statement": "deploy m v1 → v2"}]}],
    } | changes  # fmt: skip


def shapes(svg: str, kind: str) -> list[dict[str, str]]:
    return [dict(e.attrib) for e in ElementTree.fromstring(svg).iter() if e.get("class") == kind]


def test_bars_stand_in_the_proportion_of_the_rates() -> None:
    bars = shapes(rate_chart(timeline()), "bar")
    heights = [float(bar["height"]) for bar in bars]
    assert heights[1] == pytest.approx(2 * heights[0], abs=0.2)
    assert heights[2] == pytest.approx(4 * heights[0], abs=0.2)
    places = [float(bar["x"]) for bar in bars]
    assert places[2] - places[1] == pytest.approx(places[1] - places[0], abs=0.2)


def test_a_jump_stands_where_it_was_with_its_change_below() -> None:
    svg = rate_chart(timeline())
    (jump,) = shapes(svg, "jump")
    assert float(jump["x1"]) == pytest.approx(float(shapes(svg, "bar")[2]["x"]), abs=0.2)
    assert "10 % → 40 %  deploy m v1 → v2" in svg


def test_contributions_follow_each_other_from_the_base_to_the_sum() -> None:
    values = [{"feature": "a", "value": 1.0}, {"feature": "b", "value": -3.0}]
    svg = waterfall(
        {"values": values, "base_value": 1.0, "threshold_value": 0.0, "unit": "log_odds"}
    )
    (up,), (down,) = shapes(svg, "up"), shapes(svg, "down")
    assert float(down["width"]) == pytest.approx(3 * float(up["width"]), abs=0.3)
    assert float(up["x"]) == pytest.approx(float(down["x"]), abs=0.2), "where b ends a begins"
    texts = [e.text for e in ElementTree.fromstring(svg).iter() if e.tag.endswith("text")]
    assert [text for text in texts if text and re.fullmatch(r"[+-]\d+\.\d+", text)] == [
        "+1.00", "-3.00", "+1.00", "-1.00",
    ]  # fmt: skip


def test_many_contributions_end_in_one_for_the_rest() -> None:
    values = [{"feature": f"f{n}", "value": 1.0} for n in range(30)]
    assert "20 more" in waterfall({"values": values, "base_value": 0.0})


@pytest.mark.parametrize(
    "changes",
    [
        {"bins": [], "moments": [], "rate": None, "decisions": 0},
        {"bins": [{**BINS[0], "rate": None, "decisions": 0, "hits": 0}]},
        {"bins": [{**BINS[0], "rate": 0.0, "hits": 0}]},
        {"since": "2026-10-05T00:00:00Z", "until": "2026-10-05T00:00:00.000001Z"},
        {"since": "1990-01-01T00:00:00Z", "until": "2090-01-01T00:00:00Z"},
        {"moments": [{"at": "2027-01-01T00:00:00Z", "jump": True, "before": {"rate": None},
                      "after": {"rate": None}, "changes": []}] * 40},
    ],
)  # fmt: skip
def test_odd_timelines_are_drawn_too(changes: dict[str, Any]) -> None:
    ElementTree.fromstring(rate_chart(timeline(**changes)))


@given(
    st.lists(st.tuples(st.text(), st.floats(-1e9, 1e9)), min_size=1, max_size=30),
    st.floats(-1e9, 1e9),
    st.none() | st.floats(-1e9, 1e9),
)
def test_any_names_and_values_give_well_formed_pictures_within_the_frame(
    values: list[tuple[str, float]], base: float, threshold: float | None
) -> None:
    rows = [{"feature": name, "value": value} for name, value in values]
    answer = {"values": rows, "base_value": base, "threshold_value": threshold, "unit": "x"}
    root = ElementTree.fromstring(waterfall(answer, {name: name for name, _ in values}))
    for element in root.iter():
        for name in ("x", "x1", "x2"):
            place = float(element.get(name, "0"))
            assert math.isfinite(place)
            assert -1 <= place <= WIDTH + 1


def test_the_sheet_for_a_chart_alone_has_every_class_and_no_address() -> None:
    svg = rate_chart(timeline()) + waterfall({"values": [{"feature": "a", "value": 1}]})
    for kind in set(re.findall(r'class="(\w+)"', svg)):
        assert f".{kind}{{" in COLOURS
    assert "url" not in COLOURS
