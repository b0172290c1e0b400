"""Both forms of the detectors agree on decisions that nobody would make up by hand."""

from __future__ import annotations

import tempfile
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
from forms import judged, moment
from hypothesis import Phase, given, settings
from hypothesis import strategies as st

from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout
from forensics.testing import run_event, write_lines

DIGESTS = st.sampled_from([None, "sha256:" + "a" * 64, "sha256:" + "b" * 64])
NAMES = st.sampled_from([None, "", "pd", "it's"])
TIMES = st.sampled_from([None, 0.0, 0.4, 0.9, 1.0, 2.5, 4.0, 1_500.0])
NUMBERS = st.sampled_from([None, 0, -1, 0.5, 0.55, 0.6, 1, 60.0, 5_000.0, -0.5, 1e300, "NaN"])
JSON = st.sampled_from(
    [None, {}, {"score": 0.5}, {"score": "0.5"}, {"outcome": "APPROVE"}, {"outcome": "DECLINE"},
     {"outcome": None}, {"fallback": True}, {"fallback": "true"}, [], "text", 7, {"score": 1e-7}]
)  # fmt: skip


def times(ms: float | None) -> str | None:
    return None if ms is None else moment(ms)


def without_nulls(record: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in record.items() if value is not None}


STEPS = st.builds(
    lambda **fields: without_nulls(fields),
    id=st.sampled_from([None, "fetch", "model", "fallback-1", "cache"]),
    kind=st.sampled_from([None, "feature_fetch", "model", "rules", "cache", "consumer"]),
    component=NAMES,
    version=st.sampled_from([None, "v1", "v2"]),
    digest=DIGESTS,
    started_at=TIMES.map(times),
    ended_at=TIMES.map(times),
    outputs=JSON,
    status=st.sampled_from([None, "ok", "error", "Fallback", "cached"]),
    error=st.sampled_from([None, "", "timeout"]),
)
SOURCES = st.builds(
    lambda **fields: without_nulls(fields),
    view=NAMES,
    features=st.sampled_from([None, [], ["amount"], ["ratio", "amount"], ["other"]]),
    event_time=st.sampled_from([None, -90_000.0, -1.0, 900.0, 2_000.0]).map(times),
    status=st.sampled_from([None, "PRESENT", "NULL", "NOT_FOUND", "OUTSIDE_MAX_AGE"]),
    run_id=st.sampled_from([None, "run-1", "run-2"]),
    dataset=st.sampled_from([None, "warehouse/a", "warehouse/b"]),
)
MODELS = st.builds(
    lambda **fields: without_nulls(fields),
    name=NAMES, version=st.sampled_from([None, "v1", "v2"]), digest=DIGESTS,
)  # fmt: skip
CONFIGS = st.builds(
    lambda **fields: without_nulls(fields),
    revision=st.sampled_from([None, "c1", "c2"]),
    digest=DIGESTS,
    values=st.sampled_from(
        [None, {}, [], {"threshold": 0.5}, {"threshold": "0.5"}, {"threshold": 1, "ttl_s": 2},
         {"cache_ttl_s": 0.5}, {"threshold": None}, {"it's": 1}]
    ),
    provenance=st.sampled_from([None, "default", "remote"]),
)  # fmt: skip
CACHES = st.builds(
    lambda **fields: without_nulls(fields),
    hit=st.sampled_from([None, True, False]),
    written_at=TIMES.map(times),
    model_digest=DIGESTS,
    config_digest=DIGESTS,
)
OUTCOMES = st.sampled_from(["APPROVE", "DECLINE"])
DECISIONS = st.builds(
    lambda **fields: without_nulls(fields),
    record=st.just("decision"),
    decision_point=st.just("p"),
    decision_id=st.sampled_from([f"d{n}" for n in range(12)]),
    request_id=st.sampled_from([f"r{n}" for n in range(8)]),
    occurred_at=st.sampled_from([0, 1, 900, 5_000, 61_000, 700_000]).map(moment),
    outcome=OUTCOMES,
    environment=st.sampled_from([None, "production", "shadow", "it's"]),
    replica=st.sampled_from([None, "a", "b"]),
    subject=st.sampled_from([None, {"id": "s1"}, {"purpose": "x"}]),
    model=MODELS,
    config=CONFIGS,
    cache=st.none() | CACHES,
    score=NUMBERS,
    threshold=st.sampled_from([None, 0.5, 1]),
    consumer=st.sampled_from(
        [None, {"name": "core"}, {"action": "APPROVE"}, {"action": "DECLINE", "at": moment(3_000)}]
    ),
    features=st.fixed_dictionaries(
        {}, optional={"amount": NUMBERS, "ratio": NUMBERS, "channel": NAMES}
    ),
    feature_sources=st.lists(SOURCES, max_size=3),
    steps=st.none() | st.lists(STEPS, max_size=5),
)
OVERRIDES = st.builds(
    lambda **fields: without_nulls(fields),
    record=st.just("override"),
    override_id=st.uuids(version=4).map(str),
    decision_id=st.sampled_from([f"d{n}" for n in range(12)]),
    actor=st.just("officer"),
    # No two at one time: which of those is the newer nobody can tell.
    occurred_at=st.integers(0, 9_000).map(moment),
    expires_at=st.sampled_from([None, moment(4_000)]),
    reason=st.sampled_from([None, "", "seen"]),
    authority=st.sampled_from([None, "CP-7"]),
    original_outcome=st.none() | OUTCOMES,
    final_outcome=OUTCOMES,
)
CHANGES = st.builds(
    lambda **fields: without_nulls(fields),
    record=st.just("change"),
    change_id=st.uuids(version=4).map(str),
    occurred_at=st.integers(-9_000_000, 4_000).map(moment),
    kind=st.sampled_from(["deploy", "config", "pipeline", "flag"]),
    component=st.sampled_from(["pd", "it's", "billing"]),
    environment=st.sampled_from([None, "production"]),
    from_version=st.just("c1"),
    to_version=st.sampled_from(["c2", "v2"]),
    from_digest=DIGESTS,
    to_digest=DIGESTS,
    features=st.sampled_from([None, ["amount"], ["ratio", "gone"]]),
    run_id=st.sampled_from([None, "run-1"]),
    traffic_share=st.sampled_from([None, 0.5, 1.0]),
    reviewed_by=st.sampled_from([None, "board"]),
)
FEATURES = [
    {"name": "amount", "max_age_s": 60, "trained_low": 0, "trained_high": 50, "default": 0},
    {"name": "ratio", "trained_low": 0.25, "dataset": "warehouse/a"},
    {"name": "channel", "trained_values": ["pd", "it's"], "default": "pd"},
]
DECLARATIONS = st.builds(
    lambda **fields: without_nulls(fields),
    record=st.just("declaration"),
    declaration_id=st.uuids(version=4).map(str),
    decision_point=st.just("p"),
    occurred_at=st.sampled_from([-9_000_000, 1, 700]).map(moment),
    features=st.sampled_from([None, FEATURES, FEATURES[:1]]),
    steps=st.sampled_from([None, ["fetch", "cache", "model", "consumer"], ["rules", "it's"]]),
    cache_max_age_s=st.sampled_from([None, 1.0]),
    serving_environments=st.sampled_from([None, ["production", "it's"]]),
)


def checked(name: str, held: list[bool]) -> dict[str, Any]:
    facet = {
        "_producer": "https://example.org/dbt", "_schemaURL": "https://example.org/facet",
        "assertions": [
            {"assertion": f"test-{at}", "success": success, "column": "amount"}
            for at, success in enumerate(held)
        ],
    }  # fmt: skip
    return {"namespace": "warehouse", "name": name, "facets": {"dataQualityAssertions": facet}}


DATASETS = st.builds(checked, st.sampled_from(["a", "b"]), st.lists(st.booleans(), max_size=2))
#: No two at one time, and each run in one event: what is left open there nobody can tell.
EVENTS = st.builds(
    lambda ms, **fields: run_event(at=datetime.fromisoformat(moment(ms)), **fields),
    st.integers(-100_000_000, 4_000),
    run_id=st.sampled_from(["run-1", "run-2", "run-3", "run-4", "run-5"]),
    job=st.sampled_from(["billing", "dbt"]),
    event_type=st.sampled_from(["COMPLETE", "COMPLETE", "COMPLETE", "FAIL"]),
    code=st.sampled_from([None, "c1", "c2"]),
    inputs=st.lists(DATASETS, max_size=1),
    outputs=st.lists(DATASETS, max_size=1),
)


#: Without shrinking, which would take minutes: an example is a lake.
PHASES = (Phase.explicit, Phase.reuse, Phase.generate)


#: What lands together.
RECORDS = given(
    st.lists(DECISIONS, min_size=1, max_size=14, unique_by=lambda r: (r["decision_id"],)),
    st.lists(OVERRIDES, max_size=4, unique_by=lambda r: r["occurred_at"]),
    st.lists(CHANGES, max_size=5, unique_by=lambda r: r["occurred_at"]),
    st.lists(DECLARATIONS, max_size=2, unique_by=lambda r: r["occurred_at"]),
    st.lists(EVENTS, max_size=5, unique_by=(lambda e: e["eventTime"], lambda e: e["run"]["runId"])),
)


@settings(max_examples=6, phases=PHASES)
@RECORDS
def test_both_forms_agree_on_decisions_of_any_shape(
    decisions: list[dict[str, Any]],
    overrides: list[dict[str, Any]],
    changes: list[dict[str, Any]],
    declarations: list[dict[str, Any]],
    events: list[dict[str, Any]],
) -> None:
    with tempfile.TemporaryDirectory() as place:
        lake = Path(place) / "lake"
        layout.create(lake)
        records = [*decisions, *overrides, *changes, *declarations, *events]
        report = ingest(lake, open_source(write_lines(Path(place) / "records.jsonl", records)))
        assert report.quarantined_total == 0
        judged(lake)


@pytest.mark.torture
def test_both_forms_agree_on_very_many_decisions_of_any_shape() -> None:
    agree = test_both_forms_agree_on_decisions_of_any_shape.hypothesis.inner_test
    settings(max_examples=200, phases=PHASES)(RECORDS(agree))()
