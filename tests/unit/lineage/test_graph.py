"""What the graph of lineage says: from what jobs declared last, as it was at a time."""

import itertools
import random
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forensics.api import Lake, open_lake
from forensics.errors import NotFoundError, UsageError
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout
from forensics.lineage.nodes import Lineage
from forensics.testing import declaration_record, write_lines

Event = Callable[..., dict[str, Any]]
Told = Callable[..., Lake]


def side(lineage: Lineage, name: str) -> set[str]:
    """The nodes on one side, without what was asked for; ``n/`` is left out of names."""
    texts = lineage.texts()
    return {
        texts[node.id].replace(":n/", ":")
        for node in lineage.nodes
        if getattr(node, name) is not None and node.id not in lineage.roots
    }


def edges(lineage: Lineage) -> set[tuple[str, str]]:
    texts = lineage.texts()
    return {
        (texts[edge.source].replace(":n/", ":"), texts[edge.target].replace(":n/", ":"))
        for edge in lineage.edges
    }


def test_both_sides_are_walked_through_jobs(told: Told, event: Event) -> None:
    lake = told(
        event("load", ["raw"], ["orders"], at=1),
        event("join", ["orders", "customers"], ["features"], at=2),
        event("train", ["features"], ["model"], at=3),
        event("other", ["elsewhere"], ["nowhere"], at=4),
    )
    found = lake.lineage("dataset:n/features")
    assert side(found, "upstream") == {
        "job:join", "dataset:orders", "dataset:customers", "job:load", "dataset:raw",
    }  # fmt: skip
    assert side(found, "downstream") == {"job:train", "dataset:model"}
    assert ("dataset:orders", "job:join") in edges(found)
    assert side(lake.lineage("features", direction="upstream"), "downstream") == set()
    assert side(lake.lineage("job:n/join"), "upstream") == {
        "dataset:orders", "dataset:customers", "job:load", "dataset:raw",
    }  # fmt: skip


def test_depth_counts_jobs_and_what_lies_beyond_is_counted(told: Told, event: Event) -> None:
    lake = told(*(event(f"j{n}", [f"d{n}"], [f"d{n + 1}"], at=n) for n in range(5)))
    found = lake.lineage("dataset:n/d5", depth=2)
    assert side(found, "upstream") == {"job:j4", "dataset:d4", "job:j3", "dataset:d3"}
    assert {node.id.name: node.beyond for node in found.nodes if node.beyond} == {"d3": 1}
    assert {node.id.name: node.upstream for node in found.nodes} == {
        "d5": 0, "j4": 1, "d4": 1, "j3": 2, "d3": 2,
    }  # fmt: skip
    assert side(lake.lineage("d5", depth=0), "upstream") == set()
    assert side(lake.lineage("job:n/j4", depth=0), "upstream") == {"dataset:d4"}


def test_a_job_that_no_longer_reads_a_dataset_does_not_depend_on_it(
    told: Told, event: Event
) -> None:
    lake = told(
        event("build", ["old"], ["table"], at=1),
        event("build", ["new"], ["table"], at=2),
    )
    assert side(lake.lineage("table"), "upstream") == {"job:build", "dataset:new"}
    assert side(lake.lineage("old"), "downstream") == set(), "known, and connected with nothing"
    ever = lake.lineage("table", all_time=True)
    assert side(ever, "upstream") == {"job:build", "dataset:new", "dataset:old"}
    assert {edge.source.name: edge.current for edge in ever.edges} == {
        "build": True, "new": True, "old": False,
    }  # fmt: skip


def test_the_graph_is_as_it_was_at_a_time(told: Told, event: Event) -> None:
    lake = told(
        event("build", ["old"], ["table"], at=1),
        event("build", ["new"], ["table"], at=60),
    )
    then = lake.lineage("table", as_of="2026-10-01T00:59:59Z")
    assert side(then, "upstream") == {"job:build", "dataset:old"}
    at = lake.lineage("table", as_of="2026-10-01T01:00:00Z")
    assert side(at, "upstream") == {"job:build", "dataset:new"}
    with pytest.raises(NotFoundError, match="no dataset 'n/new'"):
        lake.lineage("dataset:n/new", as_of="2026-10-01T00:30Z")
    with pytest.raises(NotFoundError, match="up to that time"):
        lake.lineage("table", as_of="2026-09-01")


def test_the_graph_is_as_it_was_known_at_a_time(told: Told, event: Event) -> None:
    told(event("build", ["old"], ["table"], at=1))
    time.sleep(0.01)
    known_by = datetime.now(UTC)
    lake = told(event("build", ["new"], ["table"], at=2))
    assert side(lake.lineage("table", known_by=known_by), "upstream") == {
        "job:build", "dataset:old",
    }  # fmt: skip
    assert side(lake.lineage("table"), "upstream") == {"job:build", "dataset:new"}


def test_the_events_of_a_run_add_up(told: Told, event: Event) -> None:
    lake = told(
        event("build", ["a"], [], at=1, run="r", type="START"),
        event("build", ["b"], [], at=2, run="r", type="RUNNING"),
        event("build", [], ["table"], at=3, run="r", type="COMPLETE"),
    )
    assert side(lake.lineage("table"), "upstream") == {"job:build", "dataset:a", "dataset:b"}


@pytest.mark.parametrize("state", ["START", "RUNNING", "OTHER", "FAIL", "ABORT"])
def test_a_run_that_did_not_complete_takes_no_completed_ones_place(
    told: Told, event: Event, state: str
) -> None:
    lake = told(
        event("build", ["good"], ["table"], at=1),
        event("build", ["tried"], ["table"], at=2, type=state),
    )
    found = lake.lineage("table")
    assert side(found, "upstream") == {"job:build", "dataset:good"}
    (job,) = (node for node in found.nodes if node.id.kind == "job")
    assert job.facts["last_run"]["state"] == state, "but it is the last run, and is shown"


@pytest.mark.parametrize("state", ["START", "RUNNING", "OTHER", "FAIL", None])
def test_what_never_completed_counts_until_something_does(
    told: Told, event: Event, state: str | None
) -> None:
    lake = told(event("stream", ["in"], ["out"], at=2, type=state))
    assert side(lake.lineage("out"), "upstream") == {"job:stream", "dataset:in"}


def test_a_run_that_completes_without_datasets_ends_what_was_declared(
    told: Told, event: Event
) -> None:
    lake = told(event("build", ["a"], ["table"], at=1), event("build", at=2))
    assert side(lake.lineage("table"), "upstream") == set()


def test_events_about_jobs_declare_too(told: Told, event: Event) -> None:
    told(
        event("build", ["a"], ["table"], at=1),
        event("build", ["b"], ["table"], at=2, static=True),
    )
    lake = told(event("build", at=3, static=True))
    found = lake.lineage("table")
    assert side(found, "upstream") == {"job:build", "dataset:b"}, (
        "one without datasets says nothing"
    )
    assert all(edge.run_id is None for edge in found.edges)
    lake = told(event("build", ["c"], ["table"], at=4))
    assert side(lake.lineage("table"), "upstream") == {"job:build", "dataset:c"}


def test_events_about_datasets_declare_too(told: Told, event: Event) -> None:
    lake = told(
        event(dataset="view", at=1, columns={"view": {"x": [("gone", "g")]}}),
        event(dataset="view", at=2, columns={"view": {"x": [("table", "a"), ("table", "b")]}}),
        event(dataset="view", at=3),
    )
    found = lake.lineage("dataset:n/view")
    assert side(found, "upstream") == {"dataset:table"}
    found = lake.lineage("column:n/view#x")
    assert side(found, "upstream") == {"column:table#a", "column:table#b"}
    assert {edge.job for edge in found.edges} == {None}
    assert side(lake.lineage("table"), "downstream") == {"dataset:view"}


def test_several_names_of_a_dataset_are_one(told: Told, event: Event) -> None:
    file = {
        "namespace": "s3://bucket",
        "name": "wh/orders",
        "facets": {"symlinks": {"identifiers": [
            {"namespace": "hive://m", "name": "db.orders", "type": "TABLE"},
        ]}},
    }  # fmt: skip
    lake = told(
        event("write", ["raw"], [file], at=1),
        event("read", [("hive://m", "db.orders")], ["report"], at=2),
    )
    for name in ("dataset:hive://m/db.orders", "dataset:s3://bucket/wh/orders", "db.orders"):
        found = lake.lineage(name)
        assert found.roots[0].pair == ("s3://bucket", "wh/orders")
        assert side(found, "upstream") == {"job:write", "dataset:raw"}
        assert side(found, "downstream") == {"job:read", "dataset:report"}
        assert found.nodes[0].facts["also"] == [{"namespace": "hive://m", "name": "db.orders"}]


def test_cycles_end_and_self_reads_are_one_edge_each_way(told: Told, event: Event) -> None:
    lake = told(
        event("merge", ["table", "delta"], ["table"], at=1),
        event("feedback", ["table"], ["delta"], at=2),
    )
    found = lake.lineage("table")
    assert side(found, "upstream") == {"job:merge", "dataset:delta", "job:feedback"}
    assert edges(found) == {
        ("dataset:table", "job:merge"), ("job:merge", "dataset:table"),
        ("dataset:delta", "job:merge"), ("dataset:table", "job:feedback"),
        ("job:feedback", "dataset:delta"),
    }  # fmt: skip
    assert len(found.edges) == len(edges(found))


def test_columns_are_followed_where_jobs_declare_them(told: Told, event: Event) -> None:
    lake = told(
        event("load", ["raw"], ["orders"], at=1),
        event(
            "join", ["orders", "fx"], ["features"], at=2,
            columns={"features": {"amount": [("orders", "total"), ("fx", "rate")],
                                  "age": [("orders", "born")]}},
        ),
    )  # fmt: skip
    found = lake.lineage("column:n/features#amount")
    assert side(found, "upstream") == {
        "column:orders#total", "column:fx#rate", "job:load", "dataset:raw",
    }  # fmt: skip
    levels = {(edge.source.name, edge.target.name): edge.level for edge in found.edges}
    assert levels == {
        ("orders", "features"): "column", ("fx", "features"): "column",
        ("load", "orders"): "dataset", ("raw", "load"): "dataset",
    }  # fmt: skip
    assert {edge.job for edge in found.edges if edge.level == "column"} == {("n", "join")}
    assert found.jobs["n", "join"]["last_run"]["state"] == "COMPLETE"
    down = lake.lineage("column:n/orders#born")
    assert side(down, "downstream") == {"column:features#age"}
    assert side(down, "upstream") == {"job:load", "dataset:raw"}


def test_a_column_goes_only_where_its_edges_lead_and_where_nothing_is_said(
    told: Told, event: Event
) -> None:
    lake = told(
        event(
            "split", ["table"], ["told", "untold"], at=1,
            columns={"told": {"x": [("table", "a")]}},
        ),
        event("report", ["told"], [], at=2),
    )  # fmt: skip
    assert side(lake.lineage("column:n/table#a"), "downstream") == {
        "column:told#x", "job:split", "dataset:untold", "job:report",
    }  # fmt: skip
    told(event(dataset={"namespace": "n", "name": "table", "facets": {"schema": {
        "fields": [{"name": "a"}, {"name": "b"}]}}}, at=3))  # fmt: skip
    assert side(lake.lineage("column:n/table#b"), "downstream") == {
        "job:split", "dataset:untold",
    }, "b went into nothing that is told"  # fmt: skip


def test_a_facet_sent_again_within_a_run_replaces_the_first(told: Told, event: Event) -> None:
    lake = told(
        event("j", ["a"], ["b"], at=1, run="r", type="START", columns={"b": {"x": [("a", "p")]}}),
        event("j", ["a"], ["b"], at=2, run="r", columns={"b": {"x": [("a", "q")]}}),
    )
    assert side(lake.lineage("column:n/b#x"), "upstream") == {"column:a#q"}


def test_what_a_whole_dataset_depends_on_concerns_each_of_its_columns(
    told: Told, event: Event
) -> None:
    target = {
        "namespace": "n", "name": "b",
        "facets": {"columnLineage": {
            "fields": {"x": {"inputFields": [{"namespace": "n", "name": "a", "field": "p"}]}},
            "dataset": [{"namespace": "n", "name": "a", "field": "region",
                         "transformations": [{"type": "INDIRECT", "subtype": "FILTER"}]}],
        }},
    }  # fmt: skip
    lake = told(event("j", ["a"], [target], at=1))
    found = lake.lineage("column:n/b#x")
    assert side(found, "upstream") == {"column:a#p", "column:a#region"}
    said = {edge.source.part: edge.transformations for edge in found.edges}
    assert said == {"p": (), "region": ("INDIRECT/FILTER",)}
    assert side(lake.lineage("column:n/a#region"), "downstream") == {"dataset:b"}


def test_a_dataset_that_only_column_edges_name_is_read_too(told: Told, event: Event) -> None:
    lake = told(event("model", [], ["b"], at=1, columns={"b": {"x": [("seed", "s")]}}))
    assert side(lake.lineage("b"), "upstream") == {"job:model", "dataset:seed"}


def test_a_dataset_or_a_job_is_walked_by_its_columns_on_demand(told: Told, event: Event) -> None:
    columns = {"b": {"x": [("a", "p")], "y": [("a", "q")]}}
    lake = told(event("j", ["a"], ["b"], at=1, columns=columns))
    for asked in ("dataset:n/b", "job:n/j"):
        found = lake.lineage(asked, columns=True)
        assert {root.part for root in found.roots} == {"x", "y"}
        assert side(found, "upstream") == {"column:a#p", "column:a#q"}
    found = lake.lineage("dataset:n/a", columns=True)
    assert side(found, "downstream") == {"column:b#x", "column:b#y"}


def test_a_feature_is_followed_to_the_column_that_it_is_declared_to_come_from(
    told: Told, event: Event, take_in: Callable[..., Any]
) -> None:
    lake = told(
        event("agg", ["orders"], [("warehouse", "features/requests")], at=1),
        event("fx", [("warehouse", "features/requests")], ["report"], at=1),
    )
    take_in([declaration_record(
        occurred_at="2026-10-01T00:00:00Z",
        features=[{"name": "amount", "dataset": "warehouse/features/requests", "column": "total"},
                  {"name": "lost", "dataset": "nowhere/at.all"}],
    )])  # fmt: skip
    found = lake.lineage("feature:credit_line.amount")
    assert side(found, "upstream") == {
        "column:warehouse/features/requests#total", "job:agg", "dataset:orders",
    }  # fmt: skip
    assert found.missing == ()
    assert "feature:credit_line.amount" in side(lake.lineage("orders"), "downstream")
    before = lake.lineage("orders", as_of="2026-10-01T00:01Z")
    assert "feature:credit_line.amount" in side(before, "downstream")
    lost = lake.lineage("feature:credit_line.lost")
    assert lost.missing == ("No lineage event names dataset:nowhere/at.all.",)


def test_only_the_last_word_on_a_test_of_a_dataset_counts(told: Told, event: Event) -> None:
    def tested(**success: bool) -> dict[str, Any]:
        return {"namespace": "n", "name": "t", "facets": {"dataQualityAssertions": {"assertions": [
            {"assertion": name, "column": "c", "success": held} for name, held in success.items()
        ]}}}  # fmt: skip

    lake = told(
        event("load", [], ["t"], at=1),
        event("test", [tested(unique=False, not_null=False)], at=2),
        event("test", [tested(unique=True, not_null=False)], at=3),
    )
    (failed,) = lake.lineage("t").nodes[0].facts["failed_assertions"]
    assert (failed["assertion"], failed["column"]) == ("not_null", "c")
    then = lake.lineage("t", as_of="2026-10-01T00:02Z").nodes[0].facts["failed_assertions"]
    assert [each["assertion"] for each in then] == ["not_null", "unique"]


def test_a_job_is_told_with_its_code_version_and_last_run(told: Told, event: Event) -> None:
    located = {"sourceCodeLocation": {"type": "git", "url": "u", "version": "abc123"}}
    lake = told(
        event("j", ["a"], ["b"], at=1, job_facets=located),
        event("j", ["a"], ["b"], at=2, type="FAIL", run="r2", job_facets=located,
              run_facets={"errorMessage": {"message": "boom", "programmingLanguage": "x"}}),
    )  # fmt: skip
    (job,) = (node for node in lake.lineage("b").nodes if node.id.kind == "job")
    assert job.facts["code_version"] == "abc123"
    run = job.facts["last_run"]
    assert (run["run_id"], run["state"], run["error"]) == ("r2", "FAIL", "boom")


def test_a_run_is_followed_to_the_runs_that_wrote_what_it_read(told: Told, event: Event) -> None:
    lake = told(
        event("load", ["raw"], ["t"], at=1, run="l1"),
        event("load", ["raw"], ["t"], at=5, run="l2"),
        event("load", ["raw"], ["t"], at=6, run="l3", type="FAIL"),
        event("use", ["t"], ["u"], at=7, run="u1", type="START"),
        event("load", ["raw"], ["t"], at=8, run="l4"),
        event("use", ["t"], ["u"], at=9, run="u1"),
        event("use", ["t"], ["u"], at=10, run="u2"),
    )
    found = lake.lineage("run:u1")
    assert side(found, "upstream") == {"version:t@l2", "run:l2", "dataset:raw"}
    assert side(found, "downstream") == {"version:u@u1"}
    assert {edge.evidence for edge in found.edges if edge.target.part == "u1"} == {
        "inferred", "recorded",
    }  # fmt: skip
    assert side(lake.lineage("l4"), "downstream") == {"version:t@l4", "run:u2", "version:u@u2"}
    version = lake.lineage("version:n/t@l2")
    assert side(version, "upstream") == {"run:l2", "dataset:raw"}
    assert side(version, "downstream") == {"run:u1", "version:u@u1"}
    with pytest.raises(NotFoundError, match="no version:n/t@l9"):
        lake.lineage("version:n/t@l9")


def test_a_named_version_tells_which_run_wrote_it(told: Told, event: Event) -> None:
    def version(name: str) -> dict[str, Any]:
        return {"namespace": "n", "name": "t", "facets": {"version": {"datasetVersion": name}}}

    lake = told(
        event("load", [], [version("v1")], at=1, run="l1"),
        event("load", [], [version("v2")], at=2, run="l2"),
        event("use", [version("v1")], ["u"], at=3, run="old"),
        event("use", [version("v9")], ["u"], at=4, run="odd"),
    )
    found = lake.lineage("run:old")
    assert side(found, "upstream") == {"version:t@l1", "run:l1"}
    assert {edge.evidence for edge in found.edges} == {"recorded"}
    assert side(lake.lineage("run:odd"), "upstream") == {"version:t@v9"}, "nobody wrote it"
    for asked in ("version:n/t@v1", "version:n/t@l1"):
        (node, *_) = lake.lineage(asked).nodes
        assert (node.id.part, node.facts) == ("l1", {"version_name": "v1"})
    assert side(lake.lineage("version:n/t@v9"), "downstream") == {"run:odd", "version:u@odd"}


def test_a_run_without_data_stands_for_its_parts(told: Told, event: Event) -> None:
    lake = told(
        event("dag", at=1, run="d", type="START"),
        event("dag.one", ["a"], ["b"], at=2, run="p1", parent=("dag", "d")),
        event("dag.two", ["b"], ["c"], at=3, run="p2", parent=("dag", "d")),
        event("dag.two.sub", ["z"], ["y"], at=3, run="p3", parent=("dag.two", "p2")),
        event("dag", at=4, run="d"),
    )
    found = lake.lineage("run:d")
    assert {root.part for root in found.roots} == {"d", "p1", "p2", "p3"}
    parts = {(e.source.part, e.target.part) for e in found.edges if e.level == "part"}
    assert parts == {("d", "p1"), ("d", "p2"), ("p2", "p3")}
    assert {n.id.text for n in found.nodes if n.id.kind == "version"} == {
        "version:n/b@p1", "version:n/c@p2", "version:n/y@p3",
    }  # fmt: skip
    part = lake.lineage("run:p1")
    assert ("run:d", "run:p1") in edges(part), "its whole is named"
    assert {root.name for root in lake.lineage("job:n/dag").roots} == {"dag", "dag.one", "dag.two"}


def test_runs_of_several_jobs_that_share_an_id_are_told_apart(told: Told, event: Event) -> None:
    lake = told(
        event("one", ["a"], ["b"], at=1, run="same"),
        event("two", ["c"], ["d"], at=2, run="same"),
    )
    found = lake.lineage("run:same")
    assert {root.name for root in found.roots} == {"one", "two"}
    assert len(set(found.texts().values())) == len(found.nodes)


def test_names_are_found_wherever_their_slashes_part_them(told: Told, event: Event) -> None:
    lake = told(
        event("j", [("s3://b", "x/y")], [("s3://b/x", "z/w")], at=1),
        event("k", [("a", "b/c")], [("a/b", "c")], at=2),
    )
    assert lake.lineage("dataset:s3://b/x/y").roots[0].pair == ("s3://b", "x/y")
    assert lake.lineage("s3://b/x/z/w").roots[0].pair == ("s3://b/x", "z/w")
    with pytest.raises(UsageError, match="names 2 things") as raised:
        lake.lineage("dataset:a/b/c")
    assert "--namespace" in raised.value.todo
    assert lake.lineage("dataset:c", namespace="a/b").roots[0].pair == ("a/b", "c")
    found = lake.lineage("job:n/k")
    assert len(set(found.texts().values())) == 3


def test_a_name_alone_will_do_where_it_names_one_thing(told: Told, event: Event) -> None:
    lake = told(
        event("same", ["same"], ["b"], at=1, run="r"), event("j", ["b"], [("m", "b")], at=2)
    )
    assert lake.lineage("r").roots[0].kind == "run"
    with pytest.raises(UsageError, match="dataset:n/same, job:n/same"):
        lake.lineage("same")
    with pytest.raises(UsageError, match="dataset:m/b, dataset:n/b"):
        lake.lineage("b")
    assert lake.lineage("dataset:b", namespace="m").roots[0].pair == ("m", "b")


def test_the_nearest_names_are_offered_for_one_that_is_not_there(told: Told, event: Event) -> None:
    columns = {"features": {"amount": [("orders", "total")]}}
    lake = told(event("join", ["orders"], ["features"], at=1, columns=columns))
    with pytest.raises(NotFoundError) as raised:
        lake.lineage("dataset:n/ordres")
    assert raised.value.nearest[0] == "dataset:n/orders"
    with pytest.raises(NotFoundError) as raised:
        lake.lineage("column:n/features#amuont")
    assert raised.value.nearest == ("column:n/features#amount",)
    with pytest.raises(NotFoundError):
        lake.lineage("feature:p.f")


def test_a_lake_without_events_says_so(lake: Path, run: Callable[..., Any]) -> None:
    ran = run("lineage", "x", "--lake", lake)
    assert (ran.code, ran.out) == (3, "")
    assert "no lineage events" in ran.err


def test_the_order_of_arrival_makes_no_difference(lake: Path, told: Told, event: Event) -> None:
    events = [
        event("a", ["x"], ["y"], at=1, run="1", type="START", columns={"y": {"c": [("x", "p")]}}),
        event("a", ["x2"], ["y"], at=2, run="1", columns={"y": {"c": [("x", "q")]}}),
        event("a", ["x3"], ["y"], at=2, run="2"),
        event("a", ["x4"], ["y"], at=3, run="3", type="FAIL"),
        event("b", ["y"], ["z"], at=3, static=True),
        event("b", ["y", "w"], ["z"], at=2, run="4"),
    ]
    seen = told(*events)
    asked = list(itertools.product(("y", "column:n/y#c", "run:2"), (False, True)))
    wanted = [seen.lineage(name, all_time=every).to_dict() for name, every in asked]
    for number in range(3):
        shuffled = random.Random(number).sample(events, len(events))
        root = lake.parent / f"lake-{number}"
        layout.create(root)
        for at in range(0, len(events), 2):
            path = write_lines(lake.parent / f"shuffled-{number}-{at}.jsonl", shuffled[at : at + 2])
            ingest(root, open_source(path))
        assert [
            open_lake(root).lineage(name, all_time=every).to_dict() for name, every in asked
        ] == wanted
