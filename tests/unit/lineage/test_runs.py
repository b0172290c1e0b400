"""Runs: all events about one run, in whatever order and however often they came, say one thing."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from forensics.ingest.openlineage import event_id
from forensics.ingest.run import Report
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import compact, layout
from forensics.lake.snapshot import take
from forensics.lineage import run as one_run
from forensics.lineage import runs
from forensics.lineage.dataset_names import names_of
from forensics.records.times import to_micros
from forensics.testing import decision_record, run_event, write_lines

TakeIn = Callable[..., Report]
Json = dict[str, Any]
NOON = datetime(2026, 10, 1, 12, tzinfo=UTC)


def at(minutes: float) -> datetime:
    return NOON + timedelta(minutes=minutes)


def event(minutes: float, type_: str | None = "COMPLETE", run: str = "r", **changes: Any) -> Json:
    """An event of a run; facets of the run and the job by name, the rest as of run_event."""
    run_facets, job_facets = changes.pop("run_facets", {}), changes.pop("job_facets", {})
    told = run_event(run, at=at(minutes), **changes)
    told["eventType"] = type_
    told["run"]["facets"] = run_facets
    told["job"]["facets"] |= job_facets
    return {name: value for name, value in told.items() if value is not None}


def dataset(name: str, own: Mapping[str, Any] = {}, **facets: Any) -> Json:
    return {"namespace": "warehouse", "name": name, "facets": facets, "outputFacets": dict(own)}


def told(*events: Json) -> Iterator[one_run.Told]:
    for number, item in enumerate(events):
        occurred = to_micros(datetime.fromisoformat(item["eventTime"]))
        received = to_micros(at(10_000 + number))
        yield one_run.Told(item, event_id(item), occurred, received, True)


def merged(*events: Json) -> one_run.Run:
    (run,) = one_run.merged(told(*events))
    return run


def test_facets_replace_those_of_their_name_and_datasets_accumulate() -> None:
    run = merged(
        event(0, "START", inputs=["a"], run_facets={"nominalTime": {"n": 1}, "x": {"v": 1}},
              outputs=[dataset("o", own={"outputStatistics": {"rowCount": 1}})]),
        event(1, "RUNNING", inputs=["b"], run_facets={"x": {"w": 2}}, job_facets={"sql": {"q": 1}}),
        event(2, inputs=["a", "c"], job_facets={"sql": {"_deleted": True}},
              outputs=[dataset("o", {"outputStatistics": {"rowCount": 7}},
                               version={"datasetVersion": "v7"}),
                       dataset("p")]),
    )  # fmt: skip
    assert run.facets == {"nominalTime": {"n": 1}, "x": {"w": 2}}
    assert run.job_facets == {}
    assert [item.text for item in run.inputs] == ["warehouse/a", "warehouse/b", "warehouse/c"]
    assert [(item.name, item.version, item.rows) for item in run.outputs] == [
        ("o", "v7", 7), ("p", None, None)
    ]  # fmt: skip
    assert run.outputs[0].facets == {
        "version": {"datasetVersion": "v7"}, "outputStatistics": {"rowCount": 7}
    }  # fmt: skip


TYPES: list[tuple[list[str | None], str | None, float | None, float | None]] = [
    # types by minute, state, first START, end
    (["START", "COMPLETE"], "COMPLETE", 0, 1),
    (["START", "START", "COMPLETE"], "COMPLETE", 0, 2),
    (["OTHER", "START", "OTHER"], "START", 1, None),
    (["START", "RUNNING", "START"], "RUNNING", 0, None),
    (["COMPLETE", "START"], "COMPLETE", 1, 0),
    (["START", "FAIL", "START", "COMPLETE"], "COMPLETE", 0, 3),
    (["START", "COMPLETE", "FAIL", "OTHER"], "FAIL", 0, 2),
    (["START", "ABORT"], "ABORT", 0, 1),
    (["OTHER"], "OTHER", None, None),
    ([None], None, None, None),
    ([None, "COMPLETE"], "COMPLETE", None, 1),
]


@pytest.mark.parametrize(("types", "state", "started", "ended"), TYPES)
def test_the_state_is_the_last_final_one_else_how_far_it_got(
    types: list[str | None], state: str | None, started: float | None, ended: float | None
) -> None:
    run = merged(*(event(minute, type_) for minute, type_ in enumerate(types)))
    assert (run.state, run.events) == (state, len(types))
    assert run.started_at == (None if started is None else at(started))
    assert run.ended_at == (None if ended is None else at(ended))
    assert (run.first_at, run.last_at) == (at(0), at(len(types) - 1))


def test_a_run_says_what_its_facets_say_of_it() -> None:
    parent = {"run": {"runId": "p"}, "job": {"namespace": "n", "name": "dag"}}
    run = merged(
        event(0, "START", code="88ac", run_facets={
            "parent": parent, "nominalTime": {"nominalStartTime": "2026-10-01T11:00:00+01:00"}}),
        event(1, "FAIL", run_facets={"errorMessage": {"message": "disk full"}}),
    )  # fmt: skip
    assert (run.job, run.run_id, run.code_version) == ("pipelines/billing_features", "r", "88ac")
    assert run.producer == "https://example.org/scheduler"
    assert (run.error, run.parent) == ("disk full", one_run.Parent("n", "dag", "p"))
    assert run.nominal_at == NOON - timedelta(hours=2)
    assert (run.first_known_at, run.verified) == (at(10_000), True)


def test_what_facets_say_oddly_is_left_out() -> None:
    run = merged(event(0, run_facets={"nominalTime": {"nominalStartTime": "2026-10-01T11:00:00"},
                                      "parent": {"run": 1}, "errorMessage": {}}))  # fmt: skip
    assert (run.nominal_at, run.parent, run.error) == (None, None, None)


def test_one_id_in_two_jobs_is_two_runs() -> None:
    both = one_run.merged(told(event(1), event(0, job="other"), event(2, job="other")))
    assert [(run.job_name, run.events) for run in both] == [("other", 2), ("billing_features", 1)]


def test_nanoseconds_order_events_that_share_a_microsecond() -> None:
    late, early = (
        event(0, "OTHER", run_facets={"x": {"v": nano}})
        | {"eventTime": f"2026-10-01T12:00:00.00000000{nano}Z"}
        for nano in (2, 1)
    )
    assert merged(late, early).facets == {"x": {"v": 2}}


FACETS = st.dictionaries(
    st.sampled_from(["x", "y"]), st.fixed_dictionaries({"v": st.integers(0, 3)}), max_size=2
)
EVENTS = st.lists(
    st.builds(
        lambda minute, type_, run, job, read, written, facets: event(
            minute, type_, run, job=job, inputs=read, run_facets=facets,
            outputs=[dataset(name, version={"datasetVersion": f"{minute}"}) for name in written]),
        st.integers(0, 6),
        st.sampled_from(["START", "RUNNING", "OTHER", None, "COMPLETE", "FAIL", "ABORT"]),
        st.sampled_from(["r", "s"]),
        st.sampled_from(["a", "b"]),
        st.lists(st.sampled_from("abc"), unique=True),
        st.lists(st.sampled_from("xy"), unique=True),
        FACETS,
    ),
    min_size=1, max_size=8,
)  # fmt: skip


def seen(found: list[one_run.Run]) -> list[one_run.Run]:
    """Runs without when they were received, and how often: that may differ."""
    return [replace(run, first_known_at=NOON) for run in found]


@given(EVENTS, st.data())
def test_order_and_repetition_change_nothing(events: list[Json], data: st.DataObject) -> None:
    again = data.draw(st.lists(st.sampled_from(events)))
    shuffled = data.draw(st.permutations([*events, *again]))
    assert seen(one_run.merged(told(*shuffled))) == seen(one_run.merged(told(*events)))


@settings(max_examples=6)
@given(EVENTS, st.randoms(use_true_random=False))
def test_a_lake_gives_one_view_of_events_in_whatever_files_words_and_order_they_came(
    events: list[Json], chance: random.Random
) -> None:
    with TemporaryDirectory() as name:
        folder = Path(name)
        together = _lake(folder / "one", [write_lines(folder / "all.jsonl", events)])
        assert together == seen(one_run.merged(told(*events)))
        copies = [*events, *chance.sample(events, len(events) // 2)]
        chance.shuffle(copies)
        cut = chance.randint(0, len(copies))
        files = []
        for number, part in enumerate((copies[:cut], copies[cut:])):
            path = folder / f"part-{number}"
            path.write_text(json.dumps([_respaced(item, chance) for item in part], indent=1))
            files.append(path)
        assert _lake(folder / "two", files) == together


@pytest.mark.torture
def test_lakes_give_one_view_of_very_many_events() -> None:
    one_view = (
        test_a_lake_gives_one_view_of_events_in_whatever_files_words_and_order_they_came
    ).hypothesis.inner_test
    settings(max_examples=200)(given(EVENTS, st.randoms(use_true_random=False))(one_view))()


def _respaced(value: Any, chance: random.Random) -> Any:
    if isinstance(value, dict):
        names = list(value)
        chance.shuffle(names)
        return {name: _respaced(value[name], chance) for name in names}
    return value


def _lake(root: Path, files: list[Path]) -> list[one_run.Run]:
    layout.create(root)
    for path in files:
        assert ingest(root, open_source(path)).quarantined_total == 0
    snapshot = take(root)
    return sorted(
        (run for name in ("r", "s") for run in seen(runs.by_id(snapshot, name))),
        key=lambda run: (run.first_at, run.job_namespace, run.job_name, run.run_id),
    )


def test_a_run_is_found_among_others_also_once_files_are_merged(
    lake: Path, take_in: TakeIn
) -> None:
    for minute in range(3):
        take_in([event(minute, "START" if minute == 0 else "RUNNING"), event(minute, run="q"),
                 decision_record()])  # fmt: skip
    before = runs.by_id(take(lake), "r")
    assert [(run.state, run.events) for run in before] == [("RUNNING", 3)]
    compact.compact(lake)
    assert runs.by_id(take(lake), "r") == before
    assert runs.by_id(take(lake), "nobody") == []


def test_text_that_no_column_holds_is_mended_in_the_view_of_a_run_too(
    lake: Path, take_in: TakeIn
) -> None:
    odd = json.dumps(event(0, run_facets={"errorMessage": {"message": "cut: \ud83d"}}))
    take_in([odd.replace("\\ud83d", "\\uD83D")])
    assert [run.error for run in runs.by_id(take(lake), "r")] == ["cut: \ufffd"]


def test_ids_of_other_records_and_events_are_no_runs(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(request_id="r-1"), event(0)])
    assert runs.by_id(take(lake), "r-1") == []
    assert runs.by_id(take(lake), event_id(event(0))) == []


# Who wrote a dataset


def writers(lake: Path, name: str, minutes: float, limit: int = 9) -> list[tuple[str, str]]:
    found = runs.writers(take(lake), name, before=at(minutes), limit=limit)
    return [(run.job_name, run.run_id) for run in found]


def test_writers_are_the_runs_that_were_complete_before_newest_first(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        event(0, "START", "a", outputs=["x"]), event(1, "COMPLETE", "a"),
        event(2, "START", "b"), event(4, "COMPLETE", "b", outputs=["x", "y"]),
        event(5, "START", "failed", outputs=["x"]), event(6, "FAIL", "failed", outputs=["x"]),
        event(7, "START", "open", outputs=["x"]),
        event(8, "COMPLETE", "reader", inputs=["x"], outputs=["y"]),
        event(9, "COMPLETE", "undone", outputs=["x"]), event(10, "FAIL", "undone"),
        event(11, "COMPLETE", "b", job="other", outputs=["x"]), event(12, "OTHER", "a"),
    ])  # fmt: skip
    b, a, other = (("billing_features", "b"), ("billing_features", "a"), ("other", "b"))
    assert writers(lake, "warehouse/x", 20) == [other, b, a]
    assert writers(lake, "warehouse/x", 20, limit=1) == [other]
    assert writers(lake, "warehouse/x", 8) == [b, a]
    assert writers(lake, "warehouse/x", 4) == [a]
    assert writers(lake, "warehouse/x", 1) == []
    assert writers(lake, "x", 20) == []


def test_a_dataset_is_known_by_every_name_that_a_symlink_gave_it(
    lake: Path, take_in: TakeIn
) -> None:
    def linked(name: str, other: str) -> Json:
        link = {"namespace": "warehouse", "name": other, "type": "TABLE"}
        return dataset(name, symlinks={"identifiers": [link]})

    take_in([event(0, outputs=["path"], run="writer"),
             event(1, inputs=[linked("table", "path")], run="reader"),
             event(2, inputs=[linked("view", "table")], run="other"),
             event(3, outputs=["elsewhere"], run="foreign")])  # fmt: skip
    for name in ("path", "table", "view"):
        assert writers(lake, f"warehouse/{name}", 9) == [("billing_features", "writer")]
    assert names_of(take(lake), "warehouse/view") == {
        "warehouse/path", "warehouse/table", "warehouse/view"
    }  # fmt: skip


def test_several_questions_are_answered_as_each_alone(lake: Path, take_in: TakeIn) -> None:
    tested = {"dataQualityAssertions": {"assertions": [{"assertion": "unique", "success": True}]}}
    take_in([
        event(0, "START", "a", outputs=["x"]), event(1, "COMPLETE", "a"),
        event(2, "COMPLETE", "b", outputs=["x", "y"]), event(8, "ABORT", "b"),
        event(5, "COMPLETE", "c", inputs=[dataset("y", **tested)], outputs=["x"]),
    ])  # fmt: skip
    snapshot = take(lake)
    asked = [runs.Asked(f"warehouse/{name}", at(minute), limit)
             for name in ("x", "y", "z") for minute in (3, 9) for limit in (1, 2)]  # fmt: skip
    assert runs.writers_of(snapshot, asked) == [
        runs.writers(snapshot, name, before=before, limit=limit) for name, before, limit in asked
    ]
    assert {run.state for run in runs.writers_of(snapshot, asked[:1])[0]} == {"COMPLETE"}
    assert runs.by_ids(snapshot, ["a", "b", "none"], until=at(3)) == {
        name: runs.by_id(snapshot, name, until=at(3)) for name in ("a", "b", "none")
    }
    spans = [runs.Span(f"warehouse/{name}", after, at(9))
             for name in ("x", "y") for after in (None, at(2), at(6))]  # fmt: skip
    found = runs.tests_of(snapshot, spans)
    assert found == [
        runs.tests(snapshot, name, after=after, before=before) for name, after, before in spans
    ]
    assert [len(tests) for tests in found] == [0, 0, 0, 1, 1, 0]
    assert (runs.writers_of(snapshot, []), runs.tests_of(snapshot, [])) == ([], [])
    assert runs.by_ids(snapshot, []) == {}


def test_a_lake_without_lineage_has_neither_writers_nor_tests(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record()])
    assert writers(lake, "warehouse/x", 9) == []
    assert runs.tests(take(lake), "warehouse/x", after=None, before=NOON) == []


# What was tested


def with_results(*results: tuple[str, bool]) -> Json:
    assertions = [{"assertion": name, "success": held, "column": "id"} for name, held in results]
    return dataset("x", dataQualityAssertions={"assertions": assertions})


def test_results_of_tests_are_those_of_the_time_once_for_each_run(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([
        event(0, run="old", inputs=[with_results(("unique", True))]),
        event(1, "START", "new", inputs=[with_results(("unique", False), ("not_null", True))]),
        event(2, "COMPLETE", "new", inputs=[with_results(("unique", False), ("not_null", True))]),
        event(3, run="writer", outputs=[with_results(("unique", True))]),
        event(4, run="late", inputs=[with_results(("unique", True))]),
        event(3, run="of y", inputs=[dataset("y", **with_results(("unique", True))["facets"])]),
    ])  # fmt: skip
    found = runs.tests(take(lake), "warehouse/x", after=at(1), before=at(4))
    assert [(test.run_id, test.assertion, test.success, test.at) for test in found] == [
        ("new", "not_null", True, at(2)), ("new", "unique", False, at(2)),
        ("writer", "unique", True, at(3)),
    ]  # fmt: skip
    everything = runs.tests(take(lake), "warehouse/x", after=None, before=at(9))
    assert [test.run_id for test in everything] == ["old", "new", "new", "writer", "late"]


@pytest.fixture
def dbt(corpus: Path, lake: Path) -> Path:
    """A lake with what dbt-duckdb sent of a seed, a run, a test and a build."""
    for path in sorted((corpus / "openlineage" / "dbt_duckdb").glob("*.jsonl")):
        assert ingest(lake, open_source(path)).quarantined_total == 0
    return lake


def test_dbts_own_runs_and_tests_are_told_as_dbt_told_them(dbt: Path, corpus: Path) -> None:
    snapshot = take(dbt)
    name = "duckdb://warehouse.duckdb/warehouse.main.stg_customers"
    (run,) = runs.writers(snapshot, name, before=datetime(2027, 1, 1, tzinfo=UTC))
    assert run.state == "COMPLETE"
    assert run.verified
    assert run.parent is not None
    assert name in {output.text for output in run.outputs}
    (parent,) = runs.by_id(snapshot, run.parent.run_id or "")
    assert parent.job_name.startswith("dbt-")
    found = runs.tests(snapshot, name, after=None, before=datetime(2027, 1, 1, tzinfo=UTC))
    results = json.loads(
        (corpus / "openlineage" / "dbt_duckdb" / "03_test_good.run_results.json").read_text("utf-8")
    )["results"]
    named = {
        item["unique_id"].split(".")[2] for item in results if "stg_customers" in item["unique_id"]
    }
    assert {test.name for test in found} >= named != set()
    assert all(test.success for test in found)


def test_looking_a_run_up_loads_nothing_heavy(lake: Path, take_in: TakeIn) -> None:
    take_in([event(0, outputs=["x"])])
    program = (
        "import sys, datetime as d; from pathlib import Path\n"
        "from forensics.lake.snapshot import take; from forensics.lineage import runs\n"
        f"snapshot = take(Path({str(lake)!r}))\n"
        "assert runs.by_id(snapshot, 'r') and runs.writers(snapshot, 'warehouse/x', "
        "before=d.datetime.now(d.UTC))\n"
        "print([m for m in ('pyarrow', 'numpy', 'pandas', 'msgspec', 'deltalake') "
        "if m in sys.modules])"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, check=True, text=True
    )
    assert done.stdout == "[]\n"
