"""What lineage tells of the data that fed decisions: failed tests, new code; both forms agree."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from forms import judged, moment, of

from forensics.api import open_lake
from forensics.testing import change_record, decision_record, declaration_record, run_event

Ask = Callable[..., Callable[[str, str], set[str]]]
TakeIn = Callable[..., Any]
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)
DATASET = "warehouse/features.requests"
KIND = "failed_data_test"


@pytest.fixture
def ask(lake: Path, take_in: TakeIn) -> Ask:
    """Take records in and answer what a detector says of a request, as both forms do."""

    def ask(*records: dict[str, Any]) -> Callable[[str, str], set[str]]:
        take_in(list(records))
        said = judged(lake)
        return lambda request, kind: of(said[request], kind)

    return ask


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def decided(request: str, minutes: float, **changes: Any) -> dict[str, Any]:
    return decision_record(
        request_id=request, decision_id=f"d-{request}", occurred_at=moment(minutes * 60_000),
        **changes,
    )  # fmt: skip


def fed_by(run: str | None = None, dataset: str | None = DATASET, *names: str) -> dict[str, Any]:
    source = {"view": "requests", "features": list(names or ("amount",)), "dataset": dataset}
    named = {**source, "run_id": run}
    return {"feature_sources": [{key: value for key, value in named.items() if value is not None}]}


def checked(*results: bool | str, name: str = "features.requests", column: str | None = "amount"):  # type: ignore[no-untyped-def]
    """A dataset of which tests tell that they held or failed; text is a severity of a failure."""
    facet = {
        "_producer": "https://example.org/dbt", "_schemaURL": "https://example.org/facet",
        "assertions": [
            {"assertion": f"not_null_{n}" if n else "not_null", "success": result is True}
            | ({"column": column} if column else {})
            | ({"severity": result} if isinstance(result, str) else {})
            for n, result in enumerate(results)
        ],
    }  # fmt: skip
    return {
        "namespace": "warehouse", "name": name, "inputFacets": {"dataQualityAssertions": facet}
    }  # fmt: skip


def wrote(run: str, minutes: float, **more: Any) -> dict[str, Any]:
    return run_event(run, at=at(minutes), outputs=["features.requests"], **more)


def checking(run: str, minutes: float, *results: bool | str, **more: Any) -> dict[str, Any]:
    return run_event(run, at=at(minutes), job="dbt_test", inputs=[checked(*results, **more)])


FAILED = f"failed:not_null(amount) of {DATASET}"


class TestFailedTests:
    def test_a_failed_test_of_what_fed_a_decision_is_found_from_its_time_on(self, ask: Ask) -> None:
        said = ask(
            wrote("run-1", -60),
            checking("test-1", -30, False),
            decided("before", -40, **fed_by("run-1")),
            decided("named", 0, **fed_by("run-1")),
            decided("dataset", 0, **fed_by()),
            decided("elsewhere", 0, **fed_by("run-1", "warehouse/other")),
            decided("nowhere", 0),
        )
        assert said("before", KIND) == {"untested"}
        assert said("named", KIND) == {FAILED}
        assert said("dataset", KIND) == {FAILED}
        assert said("elsewhere", KIND) == {"untested"}
        assert said("nowhere", KIND) == {"untested"}

    def test_a_test_that_holds_again_on_the_same_data_is_fine(self, ask: Ask) -> None:
        said = ask(
            wrote("run-1", -60),
            checking("test-1", -50, False, True),
            decided("broken", -40, **fed_by("run-1")),
            checking("test-2", -30, True, True),
            decided("mended", -20, **fed_by("run-1")),
        )
        assert said("broken", KIND) == {FAILED}
        assert said("mended", KIND) == set()

    def test_what_another_run_wrote_later_is_not_what_was_served(self, ask: Ask) -> None:
        said = ask(
            wrote("run-1", -60),
            checking("test-1", -50, True),
            wrote("run-2", -40),
            checking("test-2", -30, False),
            decided("old", 0, **fed_by("run-1")),
            decided("new", 0, **fed_by("run-2")),
            decided("last", 0, **fed_by()),
            wrote("run-3", 10),
            decided("rewritten", 20, **fed_by()),
        )
        assert said("old", KIND) == set()
        assert said("new", KIND) == {FAILED}
        assert said("last", KIND) == {FAILED}
        assert said("rewritten", KIND) == {"untested"}

    def test_what_the_run_itself_tested_of_its_inputs_counts(self, ask: Ask) -> None:
        read = checked(False, name="raw.requests", column=None)
        said = ask(
            run_event("run-1", at=at(-60), inputs=[read], outputs=["features.requests"]),
            decided("r", 0, **fed_by("run-1")),
            decided("inferred", 0, **fed_by()),
        )
        assert said("r", KIND) == {"failed:not_null of warehouse/raw.requests"}
        assert said("inferred", KIND) == {"failed:not_null of warehouse/raw.requests"}

    def test_a_test_that_only_warns_is_told_as_such(self, ask: Ask) -> None:
        said = ask(
            wrote("run-1", -60),
            checking("test-1", -30, "warn", "error"),
            decided("r", 0, **fed_by("run-1")),
        )
        assert said("r", KIND) == {
            f"warned:not_null(amount) of {DATASET}",
            f"failed:not_null_1(amount) of {DATASET}",
        }

    def test_a_dataset_that_only_the_declaration_names_counts(self, ask: Ask) -> None:
        said = ask(
            declaration_record(occurred_at="2026-09-01T00:00:00Z"),
            wrote("run-1", -60),
            checking("test-1", -30, False),
            decided("declared", 0),
            decided("viewed", 0, feature_sources=[{"view": "requests", "features": ["amount"]}]),
            decided("other", 0, **fed_by("run-1", "warehouse/other")),
            decided("empty", 0, features={"channel": "app"}),
        )
        assert said("declared", KIND) == {FAILED}
        assert said("viewed", KIND) == {FAILED}
        assert said("other", KIND) == {"untested"}
        assert said("empty", KIND) == {"untested"}

    def test_tests_of_a_dataset_count_where_no_run_is_known_to_have_written_it(
        self, ask: Ask
    ) -> None:
        said = ask(
            checking("test-1", -30, False),
            decided("dataset", 0, **fed_by()),
            decided("unknown-run", 0, **fed_by("run-9")),
        )
        assert said("dataset", KIND) == {FAILED}
        assert said("unknown-run", KIND) == {FAILED}

    def test_the_trace_names_test_dataset_column_and_run(self, lake: Path, take_in: TakeIn) -> None:
        take_in(
            [
                wrote("run-1-writer", -60), checking("test-1-tester", -30, False),
                decided("r", 0, **fed_by("run-1-writer")),
            ]
        )  # fmt: skip
        with open_lake(lake) as opened:
            (found,) = opened.trace("r", replay=False)
        (finding,) = [one for one in found.findings if one.kind == KIND]
        assert finding.statement == (
            f"test not_null(amount) of {DATASET} had failed 30 min earlier in run test-1-t of "
            "dbt_test; amount comes from there, written by run run-1-wr"
        )
        assert finding.detail["run_id"] == "test-1-tester"
        assert finding.detail["written_by"] == ["run-1-writer"]


class TestNewCode:
    def coded(self, run: str, minutes: float, code: str | None) -> dict[str, Any]:
        return wrote(run, minutes, code=code)

    def test_runs_tell_of_new_code_where_nobody_recorded_a_change(self, ask: Ask) -> None:
        day = 24 * 60
        said = ask(
            self.coded("run-1", -2 * day, "one"),
            self.coded("run-2", -day, "two"),
            self.coded("run-3", -60, "two"),
            decided("old", -day - 10, **fed_by("run-1")),
            decided("stale", -60, **fed_by("run-1")),
            decided("first", -day + 10, **fed_by("run-2")),
            decided("still", -10, **fed_by("run-3")),
            decided("dataset", -10, **fed_by()),
            decided("over", 10, **fed_by("run-3")),
        )
        assert said("old", "new_pipeline_code") == set()
        assert said("stale", "new_pipeline_code") == set()
        assert said("first", "new_pipeline_code") == {"new"}
        assert said("still", "new_pipeline_code") == {"new"}
        assert said("dataset", "new_pipeline_code") == {"new"}
        assert said("over", "new_pipeline_code") == set()

    def test_without_changes_and_codes_it_is_not_checkable(self, ask: Ask) -> None:
        said = ask(
            self.coded("run-1", -300, None),
            self.coded("run-2", -200, "two"),
            decided("uncoded", -250, **fed_by("run-1")),
            decided("coded", -100, **fed_by("run-2")),
            decided("unknown", -100, **fed_by("run-9")),
            decided("nowhere", -100),
            decided("empty", -100, features=None),
        )
        assert said("uncoded", "new_pipeline_code") == {"unrecorded"}
        assert said("coded", "new_pipeline_code") == set()
        assert said("unknown", "new_pipeline_code") == {"unrecorded"}
        assert said("nowhere", "new_pipeline_code") == {"unrecorded"}
        assert said("empty", "new_pipeline_code") == set()

    def test_recorded_changes_of_what_feeds_it_are_enough(self, ask: Ask) -> None:
        long_ago = {"kind": "pipeline", "component": "billing", "occurred_at": moment(day=1)}
        said = ask(
            change_record(**long_ago, features=["amount"]),
            decided("before", -60),
            decided("later", 3 * 24 * 60),
            decided("other", 3 * 24 * 60, features={"channel": "app"}),
        )
        assert said("before", "new_pipeline_code") == {"unrecorded"}
        assert said("later", "new_pipeline_code") == set()
        assert said("other", "new_pipeline_code") == {"unrecorded"}


class TestCauses:
    def test_code_that_nobody_announced_is_named_as_what_came_before_a_fault(
        self, lake: Path, take_in: TakeIn
    ) -> None:
        take_in(
            [
                wrote("run-1", -3 * 24 * 60, code="one"),
                run_event("other", at=at(-61), job="unrelated", outputs=["else"], code="x"),
                run_event("other-2", at=at(-55), job="unrelated", outputs=["else"], code="y"),
                wrote("run-2", -60, code="two"),
                checking("test-1", -50, False),
                decided("r", 0, **fed_by("run-2")),
            ]
        )
        with open_lake(lake) as opened:
            found = opened.check()
        (failed,) = [one for one in found.found if one.kind == KIND]
        assert [change.statement for change in failed.changes_before] == [
            "pipeline billing_features one → two (nobody announced it)"
        ]

    def test_the_trace_names_the_code_that_wrote_a_value_off_scale(
        self, lake: Path, take_in: TakeIn
    ) -> None:
        usual = [
            decided(f"usual-{day}-{n}", -day * 24 * 60 + n, features={"amount": 20 + n})
            for day in range(1, 6)
            for n in range(40)
        ]
        off = decided("off", 0, features={"amount": 4000}, **fed_by("run-2"))
        take_in([*usual, wrote("run-1", -200, code="one"), wrote("run-2", -60, code="two"), off])
        with open_lake(lake) as opened:
            (found,) = opened.trace("off", replay=False)
        (jump,) = [one for one in found.findings if one.kind == "scale_jump"]
        assert jump.statement.endswith("run run-2, code one → two (nobody announced it)")
