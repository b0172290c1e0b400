"""A verdict at the door is the one at the landing, and whoever is waved through was sound."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import hypothesis
import hypothesis.strategies as st
import pytest

from forensics.ingest.interface import NO_OPTIONS, Chunk
from forensics.ingest.json_lines import JsonLinesParser
from forensics.server.check import DOORS, Checker, judge_events
from forensics.server.evident import Evident, decoded
from forensics.testing import change_record, decision_record
from forensics_schemas.arrow import SCHEMAS

RECORDS = next(door for door in DOORS if door.path == "/v1/records")
DECISIONS = next(door for door in DOORS if door.path == "/v1/decisions")
KNOWN = {"amount": "float64", "channel": "string", "new": "bool", "past": "list<float64>",
         "odd": "json"}  # fmt: skip
EVENT = {
    "eventType": "START",
    "eventTime": "2026-11-20T12:00:00Z",
    "producer": "p",
    "run": {"runId": "r"},
    "job": {"namespace": "n", "name": "j"},
}

_hostile = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.integers(-(10**30), 10**30)
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(
        [
            "NaN",
            "",
            "2026-10-01T00:00:00Z",
            "2026-10-01",
            "10000-01-01T00:00:00Z",
            "x" * 300,
            "0001-01-01T00:00:00+14:00",
            "change",
            "exhaustive",
            "a\x7fb",
            "a\u202eb",
        ]
    )
)
_values = st.recursive(
    _hostile,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["id", "name", "kind", "at", "x"]), inner, max_size=3)
    ),
    max_leaves=5,
)
_names = st.sampled_from(
    [field.name for field in SCHEMAS["decision"]]
    + ["features", "record", "label", "arrived_at", "change_id", "eventTime", "producer", "job"]
)


@hypothesis.settings(max_examples=400)
@hypothesis.given(
    st.dictionaries(_names, _values, max_size=3),
    st.dictionaries(st.sampled_from([*KNOWN, "Amount", "unknown"]), _values, max_size=2),
    st.booleans(),
)
def test_a_decision_that_is_evidently_sound_is_sound(
    changes: dict[str, Any], features: dict[str, Any], ascii_only: bool
) -> None:
    record = decision_record()
    record["features"] |= features
    record |= changes
    line = json.dumps(record, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    found = decoded(line)
    if found is None or not Evident(KNOWN).covers(line, found):
        return
    table = f"decisions/{found['decision_point']}"
    parsed = JsonLinesParser().parse(Chunk("x", 1, line, 0), {table: KNOWN}, NO_OPTIONS)
    assert parsed.rejects == []
    assert list(parsed.tables) == [table]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"features": None},
        {"features": {"amount": 3, "channel": None, "new": True, "past": [1, 2.5], "odd": {}}},
        {"decision_id": None},
        {"writer": {"id": "w", "sequence": 7}, "steps": [{"kind": "model", "inputs": [1, {}]}]},
        {"candidates": [{"id": "a", "value": 1}], "candidates_coverage": "exhaustive"},
    ],
)  # fmt: skip
def test_usual_decisions_are_evidently_sound(changes: dict[str, Any]) -> None:
    line = json.dumps(decision_record(**changes)).encode()
    found = decoded(line)
    assert found is not None
    assert Evident(KNOWN).covers(line, found)


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (["occurred_at"], "2026-10-01T00:00:00"), (["occurred_at"], 7), (["outcome"], None),
        (["decision_point"], "Credit Line"), (["score"], "high"), (["model"], []),
        (["features", "amount"], "x"), (["features", "Amount"], 1), (["features", "channel"], 4),
        (["request_id"], ""), (["request_id"], "x" * 300), (["candidates_coverage"], "some"),
        (["score_bytes"], "xyz"), (["writer"], {"sequence": 1 << 63}),
        (["subject"], {"id": "a\nb"}),
    ],
)  # fmt: skip
def test_a_bad_decision_has_the_reason_of_the_landing(
    lake: Path, path: list[str], value: Any
) -> None:
    checker = Checker(lake)
    good = decision_record(features={"amount": 1, "channel": "app"})
    (verdict,) = checker.check(DECISIONS, [[(1, json.dumps(good).encode())]])
    assert (verdict.taken, verdict.rejected) == (1, [])
    bad = copy.deepcopy(good)
    inner = bad
    for name in path[:-1]:
        inner = inner[name]
    inner[path[-1]] = value
    lines = [json.dumps(record).encode() for record in (good, bad, good)]
    first, second = checker.check(DECISIONS, [[(1, lines[0]), (5, lines[1])], [(1, lines[2])]])
    known = {"decisions/credit_line": {"amount": "float64", "channel": "string"}}
    parsed = JsonLinesParser().parse(Chunk("x", 1, lines[1], 0), known, NO_OPTIONS)
    assert first.rejected == [(5, parsed.rejects[0].reason)]
    assert first.lines == lines[:2]
    assert (second.taken, second.rejected) == (1, [])


def test_features_are_learned_from_what_came_and_from_the_lake(lake: Path, take_in: Any) -> None:
    take_in([decision_record(features={"amount": 1})])
    checker = Checker(lake)
    for features, taken in (({"amount": "x"}, 0), ({"other": "x"}, 1), ({"other": 1}, 0)):
        line = json.dumps(decision_record(features=features)).encode()
        (verdict,) = checker.check(DECISIONS, [[(1, line)]])
        assert verdict.taken == taken, features


def test_kinds_are_told_apart_in_one_request(lake: Path) -> None:
    lines = [json.dumps(record).encode() for record in (decision_record(), change_record())]
    numbered = list(enumerate(lines, 1))
    (verdict,) = Checker(lake).check(RECORDS, [numbered])
    assert (verdict.taken, verdict.rejected) == (2, [])
    (verdict,) = Checker(lake).check(DECISIONS, [numbered])
    assert (verdict.taken, verdict.lines) == (1, lines[:1])
    assert [number for number, _ in verdict.rejected] == [2]


@hypothesis.given(st.sampled_from([*EVENT, "inputs", "outputs", "dataset", "schemaURL"]), _values)
def test_an_event_has_the_verdict_of_the_landing(name: str, value: Any) -> None:
    line = json.dumps({**EVENT, name: value}, ensure_ascii=False).encode("utf-8", "surrogatepass")
    parsed = JsonLinesParser(events_only=True).parse(Chunk("x", 1, line, 0), {}, NO_OPTIONS)
    expected = {0: parsed.rejects[0].reason} if parsed.rejects else {}
    assert judge_events([line]) == expected


def test_events_of_the_corpus_have_the_verdict_of_the_landing(corpus: Path) -> None:
    lines = []
    for path in sorted((corpus / "openlineage").rglob("*.json*")):
        for text in (path.read_bytes(), *path.read_bytes().splitlines()):
            if b"\n" not in text.strip() and text.strip().startswith(b"{"):
                lines.append(text.strip())
    assert len(lines) > 50
    text = b"\n".join(lines)
    parsed = JsonLinesParser(events_only=True).parse(Chunk("x", 1, text, 0), {}, NO_OPTIONS)
    expected = {reject.line - 1: reject.reason for reject in parsed.rejects}
    assert judge_events(lines) == expected
