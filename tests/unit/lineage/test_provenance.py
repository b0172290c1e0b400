"""Each feature is traced to the run that wrote it, to its tests, and to its past value."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.lake import read
from forensics.lake.snapshot import take
from forensics.lineage.declared import declaration
from forensics.lineage.provenance import Origin, origins
from forensics.testing import decision_record, declaration_record, run_event

NOON = datetime(2026, 10, 21, 12, tzinfo=UTC)
TABLE = "features.billing"
DATASET = f"warehouse/{TABLE}"


def hours(count: float) -> datetime:
    return NOON + timedelta(hours=count)


def decision(**source: Any) -> dict[str, Any]:
    sources = [{"features": ["amount"], **source}] if source else None
    return decision_record(
        decision_id="d-1", occurred_at=NOON.isoformat(), features={"amount": 0.5},
        feature_sources=sources, subject={"id": "s-1"},
    )  # fmt: skip


def declared(**feature: Any) -> dict[str, Any]:
    return declaration_record(
        occurred_at=hours(-24).isoformat(), features=[{"name": "amount", **feature}]
    )


@pytest.fixture
def origin_of(lake: Path, take_in: Callable[..., Any]) -> Callable[..., Origin | None]:
    """The origin of the feature ``amount`` of decision d-1 once records are in the lake."""

    def origin_of(*records: Any) -> Origin | None:
        report = take_in(records)
        assert report.quarantined_total == 0
        snapshot = take(lake)
        (kept,) = read.records(snapshot, snapshot.locate("d-1"))
        decided = read.decision(kept, {"amount": "float64"})
        said = declaration(snapshot, "credit_line", decided.occurred_at)
        return origins(snapshot, decided, said).get("amount")

    return origin_of


def test_the_run_that_the_record_names_is_looked_up(origin_of: Callable[..., Origin]) -> None:
    before, mine, later = (str(uuid.uuid4()) for _ in range(3))
    found = origin_of(
        run_event(before, at=hours(-4), code="88ac", outputs=[TABLE]),
        run_event(mine, at=hours(-2), event_type="START"),
        run_event(mine, at=hours(-1), code="3e1f", outputs=[TABLE]),
        run_event(later, at=hours(-0.5), code="ffff", outputs=[TABLE]),
        decision(dataset=DATASET, run_id=mine, job="pipelines/billing_features"),
    )
    assert found.run is not None
    assert found.previous is not None
    assert (found.evidence, found.reason, found.column) == ("recorded", None, "amount")
    assert (found.run.run_id, found.run.code_version, found.run.ended_at) == (
        mine, "3e1f", hours(-1),
    )  # fmt: skip
    assert (found.previous.run_id, found.previous.code_version) == (before, "88ac")


def test_without_a_run_id_it_is_the_last_that_had_completed(
    origin_of: Callable[..., Origin],
) -> None:
    runs = [str(uuid.uuid4()) for _ in range(4)]
    found = origin_of(
        run_event(runs[0], at=hours(-3), outputs=[TABLE]),
        run_event(runs[1], at=hours(-2), outputs=[TABLE], event_type="FAIL"),
        run_event(runs[2], at=hours(-1), outputs=[TABLE], event_type="START"),
        run_event(runs[2], at=hours(1), outputs=[TABLE]),
        decision(dataset=DATASET),
    )
    assert (found.evidence, found.run_id) == ("inferred", runs[0])


def test_a_declaration_names_dataset_and_column_where_the_record_does_not(
    origin_of: Callable[..., Origin],
) -> None:
    run = str(uuid.uuid4())
    metrics = {"_producer": "p", "_schemaURL": "s", "rowCount": 9,
               "columnMetrics": {"amount_eur": {"max": 1.5}}}  # fmt: skip
    output = {"namespace": "warehouse", "name": TABLE, "facets": {"dataQualityMetrics": metrics}}
    found = origin_of(
        run_event(run, at=hours(-1), outputs=[output]),
        declared(dataset=DATASET, column="amount_eur"),
        decision(),
    )
    assert (found.dataset, found.column, found.run_id) == (DATASET, "amount_eur", run)
    assert found.metrics(found.run) == {"max": 1.5}
    assert found.written_at == hours(-1)


def test_of_runs_that_share_an_id_the_dataset_tells_which(
    origin_of: Callable[..., Origin],
) -> None:
    run = str(uuid.uuid4())
    found = origin_of(
        run_event(run, at=hours(-2), job="extract", code="aaaa", outputs=["raw.bills"]),
        run_event(run, at=hours(-1), job="features", code="bbbb", outputs=[TABLE]),
        decision(dataset=DATASET, run_id=run),
    )
    assert found.run is not None
    assert found.run.code_version == "bbbb"


def test_what_is_missing_is_said(origin_of: Callable[..., Origin]) -> None:
    run = str(uuid.uuid4())
    found = origin_of(
        run_event(run, at=hours(1), outputs=[TABLE]), decision(dataset=DATASET, status="PRESENT")
    )
    assert (found.evidence, found.status) == ("missing", "PRESENT")
    assert found.reason == f"no run in the lake wrote {DATASET} before the decision"


def test_a_run_without_events_is_said_to_have_none(origin_of: Callable[..., Origin]) -> None:
    found = origin_of(
        run_event(str(uuid.uuid4()), at=hours(-1), outputs=["other"]),
        decision(dataset=DATASET, run_id="run-7"),
    )
    assert (found.run, found.evidence) == (None, "recorded")
    assert found.reason == "no lineage event of that run is in the lake"


def test_nothing_recorded_nor_declared_is_nothing_known(origin_of: Callable[..., Origin]) -> None:
    assert origin_of(decision()) is None


def test_tests_of_the_dataset_until_the_decision_count(origin_of: Callable[..., Origin]) -> None:
    def tested(success: bool) -> dict[str, Any]:
        assertions = [{"assertion": "not_null", "column": "amount", "success": success}]
        facet = {"_producer": "p", "_schemaURL": "s", "assertions": assertions}
        return {"namespace": "warehouse", "name": TABLE,
                "inputFacets": {"dataQualityAssertions": facet}}  # fmt: skip

    mine = str(uuid.uuid4())
    found = origin_of(
        run_event(mine, at=hours(-3), outputs=[TABLE]),
        run_event(str(uuid.uuid4()), job="test", at=hours(-2), inputs=[tested(False)]),
        run_event(str(uuid.uuid4()), job="test", at=hours(2), inputs=[tested(True)]),
        decision(dataset=DATASET, run_id=mine),
    )
    assert [(test.assertion, test.column, test.success) for test in found.tests] == [
        ("not_null", "amount", False)
    ]


@pytest.mark.parametrize(
    ("kept", "agrees"), [(0.5, True), (50.0, False), (None, False)], ids=["same", "skew", "null"]
)
def test_the_past_value_is_compared_with_what_was_served(
    lake: Path, origin_of: Callable[..., Origin], kept: float | None, agrees: bool
) -> None:
    (lake / "history").mkdir()
    rows = {
        "client": ["s-1", "s-1"],
        "as_of": [hours(-5), hours(1)],
        "amount": pa.array([kept, 9.0], pa.float32()),
    }
    pq.write_table(pa.table(rows), lake / "history" / "part.parquet")
    history = {"path": "history/*.parquet", "key": "client", "time": "as_of"}
    found = origin_of(declared(history=history), decision())
    assert found.history is not None
    assert (found.history.value, found.history.agrees) == (kept, agrees)
    assert found.history.true_from == hours(-5)


def test_a_history_that_cannot_be_read_says_why(origin_of: Callable[..., Origin]) -> None:
    history = {"path": "gone/*.parquet", "key": "client", "time": "as_of"}
    found = origin_of(declared(history=history), decision())
    assert found.history is not None
    assert found.history.agrees is None
    assert "has no files" in str(found.history.reason)


def test_a_run_is_told_as_it_was_when_the_decision_was_made(
    origin_of: Callable[..., Origin],
) -> None:
    run = str(uuid.uuid4())
    found = origin_of(
        run_event(run, at=hours(-2), code="old", outputs=[TABLE]),
        run_event(run, at=hours(1), code="new", outputs=[TABLE], event_type="FAIL"),
        decision(dataset=DATASET),
    )
    assert found.run is not None
    assert (found.run.code_version, found.run.state, found.run.ended_at) == (
        "old", "COMPLETE", hours(-2),
    )  # fmt: skip
    assert found.doubt is None


def test_a_named_run_that_cannot_have_written_the_value_is_doubted(
    origin_of: Callable[..., Origin],
) -> None:
    run = str(uuid.uuid4())
    found = origin_of(
        run_event(run, at=hours(1), outputs=[TABLE]), decision(dataset=DATASET, run_id=run)
    )
    assert "after the decision" in str(found.doubt)


@pytest.mark.parametrize(
    ("output", "state", "why"),
    [("other", "COMPLETE", "and not"), (TABLE, "FAIL", "ended in FAIL")],
)
def test_a_run_that_failed_or_wrote_something_else_is_doubted(
    origin_of: Callable[..., Origin], output: str, state: str, why: str
) -> None:
    run = str(uuid.uuid4())
    found = origin_of(
        run_event(run, at=hours(-1), outputs=[output], event_type=state),
        decision(dataset=DATASET, run_id=run),
    )
    assert why in str(found.doubt)


def test_of_two_jobs_with_one_run_id_the_one_that_had_written_by_then_is_named(
    origin_of: Callable[..., Origin],
) -> None:
    run = str(uuid.uuid4())
    found = origin_of(
        run_event(run, at=hours(-2), job="early", outputs=[TABLE]),
        run_event(run, at=hours(2), job="late", outputs=[TABLE]),
        decision(dataset=DATASET, run_id=run),
    )
    assert found.run is not None
    assert (found.run.job_name, found.doubt) == ("early", None)
