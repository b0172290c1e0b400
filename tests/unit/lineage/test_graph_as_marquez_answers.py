"""Lineage answers beside those of Marquez 0.51 (MarquezProject/marquez, Apache-2.0).

The events are Marquez's own fixtures, or are built as its tests ``LineageDaoTest``,
``LineageServiceTest``, ``ColumnLineageDaoTest`` and ``ColumnLineageServiceTest`` build theirs; each
test below names the one whose counts and names it expects. Marquez has no directions: it answers
with all jobs that share datasets, step by step, which is ``direction="connected"`` here. Its depth
counts jobs, as ours does.

Where ours differs on purpose, the test says why.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forensics.api import Lake
from forensics.errors import NotFoundError
from forensics.lineage.nodes import Id, Lineage

Event = Callable[..., dict[str, Any]]
Told = Callable[..., Lake]


def marquez_id(node: Id) -> str:
    """A node's id as Marquez writes it."""
    kind = "datasetField" if node.kind == "column" else node.kind
    return ":".join([kind, node.namespace, node.name, *([node.part] if node.part else [])])


def nodes(lineage: Lineage, kind: str | None = None) -> set[str]:
    return {marquez_id(node.id) for node in lineage.nodes if kind in (None, node.id.kind)}


def edges(lineage: Lineage) -> set[tuple[str, str]]:
    return {(marquez_id(edge.source), marquez_id(edge.target)) for edge in lineage.edges}


def fixture_edges(path: Path, name: str) -> set[tuple[str, str]]:
    found = json.loads(path.read_text(encoding="utf-8"))[name]
    return {(edge["origin"], edge["destination"]) for edge in found}


def consumers(
    event: Event, steps: list[tuple[str, int, str | None]], source: str, at: float
) -> Iterator[dict[str, Any]]:
    """Jobs that read ``source``, as many as the first step says, and those that read of them.

    As ``LineageTestUtils.writeDownstreamLineage`` names them: ``readJob0<-commonDataset`` writes
    ``outputData<-readJob0<-commonDataset``.
    """
    name, count, output = steps[0]
    for number in range(count):
        job = f"{name}{number}<-{source}"
        written = f"{output}<-{job}" if output else None
        yield event(job, [source], [written] if written else [], at=at)
        if written:
            yield from consumers(event, steps[1:], written, at + 1)


@pytest.fixture
def apples(corpus: Path, told: Told) -> Lake:
    """A lake that was told the apples fixture, whose README tells the story."""
    folder = corpus / "openlineage" / "marquez_fixtures" / "apples"
    return told(*(json.loads(path.read_bytes()) for path in sorted(folder.glob("*.json"))))


def test_the_apples_after_the_last_pie(apples: Lake) -> None:
    """``graphql/LineageTest`` asks for this job to depth 10 of the current versions of jobs.

    The second picking was of crab apples, and the filling of that day has sugar in it.
    """
    found = apples.lineage(
        "job:grandmas.kitchen/prepare_apple_filling", direction="connected", depth=10
    )
    kitchen = "grandmas.kitchen"
    wanted = {
        ("dataset:backyard:crab.apples", f"job:{kitchen}:gather_apples"),
        (f"job:{kitchen}:gather_apples", f"dataset:{kitchen}:apples"),
        (f"dataset:{kitchen}:apples", f"job:{kitchen}:prepare_apple_filling"),
        (f"dataset:{kitchen}:cinnamon", f"job:{kitchen}:prepare_apple_filling"),
        ("dataset:cupboard:sugar", f"job:{kitchen}:prepare_apple_filling"),
        (f"job:{kitchen}:prepare_apple_filling", f"dataset:{kitchen}:apple.filling"),
        (f"dataset:{kitchen}:apples", f"job:{kitchen}:prepare_apple_cider"),
        ("dataset:cupboard:sugar", f"job:{kitchen}:prepare_apple_cider"),
        (f"job:{kitchen}:prepare_apple_cider", f"dataset:{kitchen}:apple.cider"),
        (f"dataset:{kitchen}:apple.cider", f"job:{kitchen}:prepare_vinegar"),
        (f"job:{kitchen}:prepare_vinegar", "dataset:cupboard:apple.vinegar"),
        (f"dataset:{kitchen}:apple.filling", f"job:{kitchen}:prepare_apple_pie"),
        (f"job:{kitchen}:prepare_apple_pie", f"dataset:{kitchen}:apple.pie"),
    }
    assert edges(found) == wanted
    assert nodes(found) == {end for edge in wanted for end in edge}


def test_the_pie_that_tasted_off_and_the_one_before(apples: Lake) -> None:
    """What the README asks of the graph: the two pies came from different apples."""
    first = apples.lineage("apple.pie", direction="upstream", as_of="2020-09-04")
    second = apples.lineage("apple.pie", direction="upstream")
    changed = {"dataset:laurents-orchard:red.delicious"}, {
        "dataset:backyard:crab.apples", "dataset:cupboard:sugar",
    }  # fmt: skip
    assert (nodes(first) - nodes(second), nodes(second) - nodes(first)) == changed
    runs = apples.lineage("run:bcef9942-cb5c-476a-995b-3e5ca14aff27", direction="upstream")
    assert {node.id.part[:8] for node in runs.nodes if node.id.kind == "run"} == {
        "bcef9942", "e7d71919", "155dbf08",
    }, "and so did its run"  # fmt: skip


def test_the_dataset_node_of_the_lineage_fixture(corpus: Path, told: Told, event: Event) -> None:
    """``lineage/node.json``, a node as the API serialises it."""
    path = corpus / "openlineage" / "marquez_fixtures" / "lineage" / "node.json"
    common = ("namespace", "commonDataset")
    lake = told(
        event(("namespace", "writeJob"), [], [common], at=1),
        event(("namespace", "readJob19<-commonDataset"), [common], [], at=2),
    )
    found = edges(lake.lineage("dataset:namespace/commonDataset", depth=1))
    assert found == fixture_edges(path, "inEdges") | fixture_edges(path, "outEdges")


def test_the_column_node_of_the_column_lineage_fixture(
    corpus: Path, told: Told, event: Event
) -> None:
    """``column_lineage/node.json``; its own transformation is a type without a subtype."""
    path = corpus / "openlineage" / "marquez_fixtures" / "column_lineage" / "node.json"
    node = json.loads(path.read_text(encoding="utf-8"))

    def written(name: str, field: str, source: str, column: str) -> dict[str, Any]:
        inputs = [{"namespace": "namespace", "name": source, "field": column}]
        fields = {field: {"inputFields": inputs,
                          "transformationType": node["data"]["transformationType"]}}  # fmt: skip
        return {"namespace": "namespace", "name": name,
                "facets": {"columnLineage": {"fields": fields}}}  # fmt: skip

    other, common = ("namespace", "otherDataset"), ("namespace", "commonDataset")
    lake = told(
        event(
            "in", [other], [written("commonDataset", "columnA", "otherDataset", "columnB")], at=1
        ),
        event("out", [common], [written("otherDataset", "columnC", "commonDataset", "columnA")]),
    )
    found = lake.lineage("column:namespace/commonDataset#columnA")
    assert edges(found) == fixture_edges(path, "inEdges") | fixture_edges(path, "outEdges")
    assert {edge.transformations for edge in found.edges} == {("IDENTITY",)}


@pytest.mark.parametrize("name", ["event_simple.json", "event_unicode.json"])
def test_the_events_of_the_api_fixtures(corpus: Path, told: Told, name: str) -> None:
    """``open_lineage/*.json``: a job is linked to each dataset that its one event names."""
    path = corpus / "openlineage" / "marquez_fixtures" / "open_lineage" / name
    said = json.loads(path.read_text(encoding="utf-8"))
    lake = told(said)
    job = f"job:{said['job']['namespace']}:{said['job']['name']}"
    wanted = {(f"dataset:{d['namespace']}:{d['name']}", job) for d in said["inputs"]} | {
        (job, f"dataset:{d['namespace']}:{d['name']}") for d in said["outputs"]
    }
    assert edges(lake.lineage(f"job:{said['job']['namespace']}/{said['job']['name']}")) == wanted


def test_jobs_two_steps_away_in_any_direction(told: Told, event: Event) -> None:
    """``LineageDaoTest.testGetLineage``: 20 readers, a downstream job of each, and one writer."""
    steps = [("readJob", 20, "outputData"), ("downstreamJob", 1, None)]
    lake = told(
        event("writeJob", [], ["commonDataset"], at=0),
        *consumers(event, steps, "commonDataset", 1),
        event("writeRandomDataset", ["randomDataset"], [], at=3),
    )
    found = nodes(
        lake.lineage("job:n/readJob0<-commonDataset", direction="connected", depth=2), "job"
    )
    assert len(found) == 41
    assert "job:n:writeJob" in found
    assert "job:n:writeRandomDataset" not in found


def test_the_whole_graph_of_a_depth(told: Told, event: Event) -> None:
    """``LineageServiceTest.testLineage``: 51 jobs and 46 datasets; the final consumer is too far.

    Also the edges of the common dataset, the last run of its writer, and the runs upstream of a
    last consumer, which Marquez finds by the version of a dataset that a run read.
    """
    old = [("readJob", 20, "outputData"), ("downstreamJob", 1, "outputData2"),
           ("finalConsumer", 1, None)]  # fmt: skip
    new = [("newReadJob", 5, "outputData3"), ("newDownstreamJob", 1, None)]
    lake = told(
        event("writeJob", [], ["commonDataset"], at=0, run="first"),
        *consumers(event, old, "commonDataset", 1),
        event("writeJob", [], ["commonDataset"], at=10, run="second"),
        *consumers(event, new, "commonDataset", 11),
    )
    found = lake.lineage("job:n/writeJob", direction="connected", depth=2)
    assert (len(nodes(found, "job")), len(nodes(found, "dataset"))) == (51, 46)
    assert not any("finalConsumer" in name for name in nodes(found))
    (writer,) = (node for node in found.nodes if node.id.name == "writeJob")
    assert writer.facts["last_run"]["run_id"] == "second"
    common = {target for source, target in edges(found) if source == "dataset:n:commonDataset"}
    assert len(common) == 25
    name = "downstreamJob0<-outputData<-readJob0<-commonDataset"
    assert {source for source, target in edges(found) if target == f"job:n:{name}"} == {
        "dataset:n:outputData<-readJob0<-commonDataset"
    }
    last = "newDownstreamJob0<-outputData3<-newReadJob0<-commonDataset"
    runs = lake.lineage(f"run:{last}-12", direction="upstream", depth=10)
    assert [node.id.name for node in runs.nodes if node.id.kind == "run"] == [
        last, "newReadJob0<-commonDataset", "writeJob",
    ]  # fmt: skip
    assert runs.nodes[-1].id.part == "second"


def test_only_what_the_last_version_of_a_job_touches(told: Told, event: Event) -> None:
    """``LineageDaoTest.testGetInputDatasetsWithJobThatHasMultipleVersions``: seven jobs."""
    lake = told(
        event("writeJob", [], ["commonDataset"], at=0),
        *consumers(
            event, [("readJob", 3, "outputData"), ("downstreamJob", 1, None)], "commonDataset", 1
        ),
        *consumers(
            event, [("readJob", 3, "outputData2"), ("downstreamJob", 1, None)], "commonDataset", 5
        ),
    )  # fmt: skip
    found = lake.lineage("job:n/readJob0<-commonDataset", direction="connected", depth=2)
    assert len(nodes(found, "job")) == 7
    reader = "job:n:readJob0<-commonDataset"
    assert {target for source, target in edges(found) if source == reader} == {
        "dataset:n:outputData2<-readJob0<-commonDataset"
    }


def test_a_job_whose_last_run_touched_nothing_stands_alone(told: Told, event: Event) -> None:
    """``LineageDaoTest.testGetLineageChangedJobVersion`` and ``…JobThatHasNoDatasets``.

    ``LineageServiceTest.testLineageForOrphanedDataset`` for the dataset that it had written.
    """
    lake = told(event("writeJob", [], ["commonDataset"], at=1))
    both = {"job:n:writeJob", "dataset:n:commonDataset"}
    assert nodes(lake.lineage("commonDataset", direction="connected")) == both
    lake = told(event("writeJob", at=2))
    assert nodes(lake.lineage("job:n/writeJob", direction="connected")) == {"job:n:writeJob"}
    alone = lake.lineage("dataset:n/commonDataset", direction="connected")
    assert nodes(alone) == {"dataset:n:commonDataset"}


def test_a_cycle_of_three_jobs(told: Told, event: Event) -> None:
    """``LineageServiceTest.testLineageWithWithCycle``: six nodes, one edge each way at each."""
    lake = told(
        event("writeJob", ["commonDataset"], ["intermediateDataset"], at=1),
        event("intermediateJob", ["intermediateDataset"], ["finalDataset"], at=2),
        event("cycleJob", ["finalDataset"], ["commonDataset"], at=3),
    )
    for direction in ("connected", "upstream", "downstream", "both"):
        found = lake.lineage("job:n/intermediateJob", direction=direction, depth=5)
        assert len(nodes(found)) == 6
        assert ("job:n:cycleJob", "dataset:n:commonDataset") in edges(found)
        assert ("dataset:n:commonDataset", "job:n:writeJob") in edges(found)
        assert len(edges(found)) == 6


def test_a_run_that_is_run_again_under_its_id(told: Told, event: Event) -> None:
    """``LineageServiceTest.testGetLineageJobRunTwice``: three nodes from either dataset."""
    lake = told(
        event("someJob", ["input-dataset"], [], at=1, run="r", type="START"),
        event("someJob", [], ["output-dataset"], at=2, run="r"),
        event("someJob", ["input-dataset"], [], at=3, run="r", type="START"),
        event("someJob", [], ["output-dataset"], at=4, run="r"),
    )
    first = lake.lineage("input-dataset", direction="connected", depth=5)
    assert len(nodes(first)) == 3
    assert nodes(lake.lineage("output-dataset", direction="connected", depth=5)) == nodes(first)


def test_a_streaming_job_counts_while_it_runs(told: Told, event: Event) -> None:
    """``LineageServiceTest.testGetLineageForRunningStreamingJob``: three jobs and two datasets."""
    streaming = {"jobType": {"processingType": "STREAMING", "integration": "FLINK"}}
    lake = told(
        event("someInputBatchJob", [], ["input-dataset"], at=1),
        event("streamingjob", ["input-dataset"], ["output-dataset"], at=2, type="RUNNING",
              job_facets=streaming),
        event("someOutputBatchJob", ["output-dataset"], [], at=3),
    )  # fmt: skip
    first = lake.lineage("input-dataset", direction="connected", depth=5)
    assert len(nodes(first)) == 5
    assert nodes(lake.lineage("output-dataset", direction="connected", depth=5)) == nodes(first)


def test_a_streaming_job_that_ends_without_naming_its_datasets_again(
    told: Told, event: Event
) -> None:
    """``LineageServiceTest.testGetLineageForCompleteStreamingJob``: a job and two datasets.

    The run is one here: its events add up. Marquez's test gives the second event another run id,
    and has a rule for streaming jobs that a last event without datasets changes nothing.
    """
    lake = told(
        event("streamingjob", ["input-dataset"], ["output-dataset"], at=1, type="RUNNING", run="r"),
        event("streamingjob", at=2, run="r"),
    )
    assert len(nodes(lake.lineage("output-dataset", direction="connected", depth=5))) == 3


@pytest.mark.parametrize("state", ["RUNNING", "FAIL"])
def test_a_job_that_never_completed_is_in_our_graph_and_not_in_theirs(
    told: Told, event: Event, state: str
) -> None:
    """Ours differs from ``LineageDaoTest.testGetLineageWithNewJobInRunningState`` and ``…Failed…``.

    Marquez leaves the datasets of a job out while it runs. For forensics, what a job that runs or
    failed has read and may have written in part is evidence: it is shown, with its state, until a
    run of the job completes. The tests with failed jobs send the type FAILED, which is none of the
    specification; at FAIL Marquez takes that run for the job's last version, and ours keeps the
    last one that completed.
    """
    lake = told(
        event("writeJob", [], ["commonDataset"], at=1),
        event("consumer", ["commonDataset"], [], at=2, type=state),
    )
    found = lake.lineage("commonDataset", direction="connected")
    assert nodes(found, "job") == {"job:n:writeJob", "job:n:consumer"}
    states = {n.id.name: n.facts["last_run"]["state"] for n in found.nodes if n.id.kind == "job"}
    assert states == {"writeJob": "COMPLETE", "consumer": state}


def test_a_symlink_makes_two_names_one_dataset(told: Told, event: Event) -> None:
    """Ours differs from ``LineageServiceTest.testSymlinkDatasetLineage``, which finds two nodes.

    Its comment wants both jobs linked, since both names are one dataset; its facet has an object
    where the specification has a list, so that no symlink is made. With the list, ours links them.
    """
    named = {"identifiers": [{"namespace": "n", "name": "symlinkDataset", "type": "DB_TABLE"}]}
    main = {"namespace": "n", "name": "mainDataset", "facets": {"symlinks": named}}
    lake = told(
        event("firstJob", [main], [], at=1), event("secondJob", ["symlinkDataset"], [], at=2)
    )
    assert nodes(lake.lineage("symlinkDataset", direction="connected", depth=5)) == {
        "job:n:firstJob", "job:n:secondJob", "dataset:n:mainDataset",
    }  # fmt: skip


def told_abc(event: Event) -> list[dict[str, Any]]:
    """``ColumnLineageTestUtils``: b's col_c is made of a's col_a and col_b, c's col_d of col_c."""
    return [
        event("ab", ["dataset_a"], ["dataset_b"], at=1,
              columns={"dataset_b": {"col_c": [("dataset_a", "col_a"), ("dataset_a", "col_b")]}}),
        event("bc", ["dataset_b"], ["dataset_c"], at=2,
              columns={"dataset_c": {"col_d": [("dataset_b", "col_c")]}}),
    ]  # fmt: skip


A, B = "datasetField:n:dataset_a:col_a", "datasetField:n:dataset_a:col_b"
C, D = "datasetField:n:dataset_b:col_c", "datasetField:n:dataset_c:col_d"


def test_the_columns_upstream_of_a_column_and_of_its_dataset(told: Told, event: Event) -> None:
    """``ColumnLineageServiceTest.testLineageByDatasetFieldId`` and ``…ByDatasetId``: the same."""
    lake = told(*told_abc(event))
    found = lake.lineage("column:n/dataset_b#col_c", direction="upstream", depth=20)
    assert nodes(found) == {A, B, C}
    assert edges(found) == {(A, C), (B, C)}
    whole = lake.lineage("dataset:n/dataset_b", columns=True, direction="upstream", depth=20)
    assert (nodes(whole), edges(whole)) == (nodes(found), edges(found))
    assert edges(lake.lineage("column:n/dataset_c#col_d", direction="upstream")) == {
        (A, C), (B, C), (C, D),
    }, "ColumnLineageDaoTest.testGetLineage"  # fmt: skip


def test_the_columns_on_both_sides_of_a_column_and_of_its_job(told: Told, event: Event) -> None:
    """``ColumnLineageServiceTest.testGetLineageWithDownstream`` and ``testGetLineageByJob``."""
    lake = told(*told_abc(event))
    for asked in ("column:n/dataset_b#col_c", "dataset:n/dataset_b", "job:n/ab"):
        found = lake.lineage(asked, columns=True, depth=20)
        assert nodes(found) == {A, B, C, D}
        assert edges(found) == {(A, C), (B, C), (C, D)}


def test_a_column_that_nothing_is_known_of(told: Told, event: Event) -> None:
    """``ColumnLineageServiceTest.testLineageWhenLineageEmpty``: an error where there is no such.

    For a column without sources Marquez answers with no node; ours has the column itself.
    """
    lake = told(*told_abc(event))
    for asked in ("column:n/dataset_b#col_d", "column:n/dataset_d#col_a"):
        with pytest.raises(NotFoundError):
            lake.lineage(asked)
    assert nodes(lake.lineage("column:n/dataset_a#col_a", direction="upstream")) == {A}


def test_the_depth_of_column_lineage(told: Told, event: Event) -> None:
    """``ColumnLineageDaoTest.testGetLineageWithLimitedDepth``: at depth 1 one column only."""
    columns = {"dataset_d": {"col_e": [("dataset_c", "col_d")]}}
    lake = told(*told_abc(event), event("cd", ["dataset_c"], ["dataset_d"], at=3, columns=columns))
    last = "column:n/dataset_d#col_e"
    assert edges(lake.lineage(last, direction="upstream", depth=1)) == {
        (D, "datasetField:n:dataset_d:col_e")
    }
    written = {target for _, target in edges(lake.lineage(last, direction="upstream", depth=20))}
    assert len(written) == 3


def test_a_cycle_of_columns(told: Told, event: Event) -> None:
    """``ColumnLineageDaoTest.testGetLineageWhenCycleExists``: three columns that have sources."""
    columns = {"dataset_a": {"col_a": [("dataset_c", "col_d")]}}
    lake = told(*told_abc(event), event("ca", ["dataset_c"], ["dataset_a"], at=3, columns=columns))
    for asked in ("column:n/dataset_a#col_a", "column:n/dataset_c#col_d"):
        found = edges(lake.lineage(asked, direction="upstream", depth=20))
        assert {target for _, target in found} == {A, C, D}
        assert found == {(A, C), (B, C), (C, D), (D, A)}


def test_two_jobs_that_write_a_column_are_both_its_sources(told: Told, event: Event) -> None:
    """``ColumnLineageDaoTest.testGetLineageWhenTwoJobsWriteToSameDataset``."""
    lake = told(
        event("one", ["dataset_a"], ["dataset_b"], at=1,
              columns={"dataset_b": {"col_c": [("dataset_a", "col_a")]}}),
        event("two", ["dataset_a"], ["dataset_b"], at=2,
              columns={"dataset_b": {"col_c": [("dataset_a", "col_b")]}}),
    )  # fmt: skip
    found = lake.lineage("column:n/dataset_b#col_c", direction="upstream")
    assert edges(found) == {(A, C), (B, C)}


def test_column_lineage_at_a_point_in_time(told: Told, event: Event) -> None:
    """``ColumnLineageDaoTest.testGetLineagePointInTime``: nothing before it was declared."""
    lake = told(*told_abc(event))
    asked = "column:n/dataset_b#col_c"
    with pytest.raises(NotFoundError):
        lake.lineage(asked, as_of="2026-10-01T00:00:59Z")
    assert len(lake.lineage(asked, direction="upstream", as_of="2026-10-01T00:01:01Z").edges) == 2
