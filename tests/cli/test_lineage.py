"""``forensics lineage``: what it prints in each form, and what its exit status says."""

import json
import re
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from forensics.testing import declaration_record

Run = Callable[..., Any]
#: An escape, a title, a link, a change of direction, quotes of every form, and Mermaid's own marks.
HOSTILE = '\x1b[31m\x1b]0;t\x07\u202e"]; n9 --> n8\n%%{init: {}}%% `<b>&#34;\\" {{}}|x|'


def said(
    job: str, inputs: Iterable[str], outputs: Iterable[str], minute: int, /, **more: Any
) -> dict[str, Any]:
    return {
        "eventTime": f"2026-10-01T00:{minute:02}:00Z",
        "eventType": "COMPLETE",
        "producer": "https://example.org/p",
        "schemaURL": "https://openlineage.io/spec/2-0-2/OpenLineage.json",
        "run": {"runId": f"{minute:08}-0000-0000-0000-000000000000"},
        "job": {"namespace": "etl", "name": job, "facets": {
            "sourceCodeLocation": {"type": "git", "url": "u", "version": "9f2c" * 10}}},
        "inputs": [{"namespace": "wh", "name": name} for name in inputs],
        "outputs": [{"namespace": "wh", "name": name} for name in outputs],
    } | more  # fmt: skip


@pytest.fixture
def told(lake: Path, take_in: Callable[..., Any]) -> Path:
    """A small warehouse whose orders failed a test, and that has a cycle."""
    failed = {"assertion": "unique", "column": "id", "success": False}
    tested = {"namespace": "wh", "name": "orders", "facets": {
        "dataQualityAssertions": {"assertions": [failed]}}}  # fmt: skip
    columns = {"amount": {"inputFields": [{"namespace": "wh", "name": "orders", "field": "total"}]}}
    features = {"namespace": "wh", "name": "features", "facets": {
        "columnLineage": {"fields": columns}}}  # fmt: skip
    take_in([
        said("load", ["raw"], ["orders"], 1),
        said("check", [], [], 2, inputs=[tested]),
        said("join", ["orders", "fx"], [], 3, outputs=[features]),
        said("back", ["features"], ["raw"], 4, eventType="FAIL"),
        declaration_record(occurred_at="2026-10-01T00:00:00Z", features=[
            {"name": "amount", "dataset": "wh/features"}, {"name": "x", "dataset": "wh/none"}]),
    ])  # fmt: skip
    return lake


def test_the_tree_names_jobs_code_runs_states_and_failed_tests(told: Path, run: Run) -> None:
    ran = run("lineage", "orders", "--lake", told)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out == (
        "wh/orders\n"
        "  ✗ unique of id failed 2026-10-01 00:02\n"
        "\n"
        "upstream · 3 datasets, 3 jobs\n"
        "  └─ job etl/load · code 9f2c9f2c9f2… · COMPLETE 2026-10-01 00:01\n"
        "     └─ wh/raw\n"
        "        └─ job etl/back · code 9f2c9f2c9f2… · FAIL 2026-10-01 00:04\n"
        "           └─ wh/features\n"
        "              └─ job etl/join · code 9f2c9f2c9f2… · COMPLETE 2026-10-01 00:03\n"
        "                 ├─ wh/fx\n"
        "                 └─ wh/orders  ↻ cycle\n"
        "\n"
        "downstream · 2 datasets, 1 feature, 4 jobs\n"
        "  ├─ job etl/check · code 9f2c9f2c9f2… · COMPLETE 2026-10-01 00:02\n"
        "  └─ job etl/join · code 9f2c9f2c9f2… · COMPLETE 2026-10-01 00:03\n"
        "     └─ wh/features\n"
        "        ├─ feature credit_line.amount\n"
        "        └─ job etl/back · code 9f2c9f2c9f2… · FAIL 2026-10-01 00:04\n"
        "           └─ wh/raw\n"
        "              └─ job etl/load · code 9f2c9f2c9f2… · COMPLETE 2026-10-01 00:01\n"
        "                 └─ wh/orders  ↻ cycle\n"
    )


def test_a_column_says_which_edges_are_of_columns_and_which_of_datasets(
    told: Path, run: Run
) -> None:
    ran = run("lineage", "feature:credit_line.amount", "--lake", told, "--upstream", "--depth", "2")
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[3] == "  └─ column wh/features#amount"
    assert lines[4] == "     └─ column wh/orders#total"
    assert lines[5].startswith("          by etl/join · code 9f2c9f2c9f2… · COMPLETE 2026-10-01")
    assert lines[6].endswith("COMPLETE 2026-10-01 00:01 · dataset only")
    assert "1 edge between columns, 2 of datasets only" in lines[-1]


def test_json_names_nodes_and_edges(told: Path, run: Run) -> None:
    ran = run("lineage", "job:etl/join", "--lake", told, "--depth", "0", "--json")
    answer = ran.json
    assert (ran.code, answer["roots"], answer["depth"]) == (0, ["job:etl/join"], 0)
    ids = [node["id"] for node in answer["nodes"]]
    assert ids == ["job:etl/join", "dataset:wh/fx", "dataset:wh/orders", "dataset:wh/features",
                   "feature:credit_line.amount"]  # fmt: skip
    (job, *_) = answer["nodes"]
    assert job["last_run"]["state"] == "COMPLETE"
    assert {(edge["from"], edge["to"]) for edge in answer["edges"]} == {
        ("dataset:wh/fx", ids[0]), ("dataset:wh/orders", ids[0]), (ids[0], "dataset:wh/features"),
        ("dataset:wh/features", "feature:credit_line.amount"),
    }  # fmt: skip
    assert answer["edges"][0]["declared_at"] == "2026-10-01T00:03:00Z"
    whole = run("lineage", "job:etl/join", "--lake", told, "--depth", "all", "--json").json
    assert whole["depth"] is None


def test_graphviz_and_mermaid_hold_the_same_graph(told: Path, run: Run) -> None:
    answer = run("lineage", "orders", "--lake", told, "--json").json
    drawn = run("lineage", "orders", "--lake", told, "--mermaid")
    assert drawn.out.startswith("flowchart LR\n")
    assert len(re.findall(r"^    n\d+ -->", drawn.out, re.M)) == len(answer["edges"])
    assert len(re.findall(r'^    n\d+\S*"', drawn.out, re.M)) == len(answer["nodes"])
    assert 'n0[("dataset wh/orders<br/>' in drawn.out
    drawn = run("lineage", "orders", "--lake", told, "--dot")
    assert drawn.out.startswith("digraph lineage {\n")
    assert drawn.out.count(" -> ") == len(answer["edges"])
    assert drawn.out.count("label=") == len(answer["nodes"])


def test_what_is_missing_is_said_in_words_and_by_the_exit_status(told: Path, run: Run) -> None:
    ran = run("lineage", "feature:credit_line.x", "--lake", told)
    assert ran.code == 4
    assert "missing   No lineage event names dataset:wh/none." in ran.out
    assert run("lineage", "credit_line.x", "--lake", told, "--json").json["missing"]


def test_what_is_not_known_or_not_unique_has_its_exit_status(told: Path, run: Run) -> None:
    ran = run("lineage", "dataset:wh/order", "--lake", told)
    assert (ran.code, ran.out) == (3, "")
    assert "Nearest: dataset:wh/orders" in ran.err
    assert run("lineage", "orders", "--lake", told, "--as-of", "2026-09-01").code == 3
    for wrong in (["--depth", "-1"], ["--json", "--dot"], ["--connected", "--upstream"]):
        assert run("lineage", "orders", "--lake", told, *wrong).code == 2


def test_a_run_is_found_by_the_beginning_of_its_id(
    lake: Path, take_in: Callable[..., Any], run: Run
) -> None:
    take_in([
        said("load", ["raw"], ["t"], 1, run={"runId": "89e582bf-1111"}),
        said("load", ["raw"], ["t"], 2, run={"runId": "89e582bf-2222"}),
        said("load", ["raw"], ["t"], 3, run={"runId": "89e58"}),
    ])  # fmt: skip
    for asked in ("run:89e582bf-1", "89e582bf-1"):
        ran = run("lineage", asked, "--lake", lake, "--json")
        assert ran.json["roots"] == ["run:89e582bf-1111"]
    assert run("lineage", "run:89e58", "--lake", lake, "--json").json["roots"] == ["run:89e58"]
    ran = run("lineage", "run:89e582bf", "--lake", lake)
    assert ran.code == 2
    assert "names 2 things: run:89e582bf-1111, run:89e582bf-2222." in ran.err
    assert run("lineage", "89e582", "--lake", lake).code == 3, "may be the beginning of anything"


def test_hostile_names_are_inert_in_every_form(
    lake: Path, take_in: Callable[..., Any], run: Run
) -> None:
    take_in([said("load", [HOSTILE], ["safe"], 1), said("more", ["safe"], [HOSTILE + "2"], 2)])
    for form in ((), ("--mermaid",), ("--dot",), ("--json",), ("--connected",)):
        out = run("lineage", "safe", "--lake", lake, *form).out
        assert out.replace("\n", "").isprintable(), form
    drawn = run("lineage", "safe", "--lake", lake, "--mermaid").out
    assert len(re.findall(r"-->", drawn)) == 4, "none of them from a name"
    assert "%%" not in drawn
    for label in re.findall(r'"(.*)"', drawn):
        assert re.fullmatch(r"(?:[\w _./:\-=+,]|#\d+;|<br/>|·)*", label)
    drawn = run("lineage", "safe", "--lake", lake, "--dot").out
    labels = re.findall(r'\[label="((?:[^"\\]|\\.)*)", shape=\w+[^"]*\];$', drawn, re.M)
    assert len(labels) == 5, "every label ends where it should"
    asked = run("lineage", "dataset:wh/" + HOSTILE + "2", "--lake", lake, "--json")
    assert asked.json["nodes"][0]["name"] == HOSTILE + "2"
    assert run("lineage", "\x1b[2J", "--lake", lake).err.replace("\n", "").isprintable()


def test_long_names_are_cut_to_the_width_and_each_node_stands_once(
    lake: Path, take_in: Callable[..., Any], run: Run
) -> None:
    long = "a" * 150
    take_in([
        said("join", [long + "1", long + "2"], ["t"], 1),
        said(long, ["t", "u"], ["v", "w"], 2),
        said("last", ["v", "w"], ["x"], 3),
    ])  # fmt: skip
    lines = run("lineage", "t", "--lake", lake, columns=100).out.splitlines()
    assert max(map(len, lines)) <= 100
    assert any(re.search(r"a…a+1$", line) for line in lines), "both ends are there"
    drawn = [line for line in lines if "etl/last" in line]
    assert len(drawn) == 2
    assert sum("above" in line or "below" in line for line in drawn) == 1


def test_more_than_a_screen_can_hold_is_counted(
    lake: Path, take_in: Callable[..., Any], run: Run
) -> None:
    take_in([said("wide", [f"d{number:04}" for number in range(700)], ["t"], 1)])
    ran = run("lineage", "t", "--lake", lake)
    assert len(ran.out.splitlines()) < 420
    assert "and 301 more" in ran.out
    assert len(run("lineage", "t", "--lake", lake, "--json").json["nodes"]) == 702


def test_the_past_is_shown_as_it_was(told: Path, take_in: Callable[..., Any], run: Run) -> None:
    take_in([said("load", ["raw2"], ["orders"], 10)])
    now = run("lineage", "orders", "--upstream", "--lake", told).out
    then = run("lineage", "orders", "--upstream", "--lake", told, "--as-of", "2026-10-01T00:05").out
    assert ("wh/raw2" in now, "wh/raw\n" in now) == (True, False)
    assert "as of 2026-10-01 00:05:00.000 UTC\n" in then
    assert ("wh/raw2" in then, "wh/raw\n" in then) == (False, True)
    ever = run("lineage", "orders", "--upstream", "--all-time", "--lake", told).out
    assert "wh/raw · no longer\n" in ever
    assert "everything that was ever declared" in ever
    assert run("lineage", "orders", "--lake", told, "--known-by", "2026-10-01").code == 3


def test_a_run_shows_its_parts(lake: Path, take_in: Callable[..., Any], run: Run) -> None:
    whole = {"job": {"namespace": "etl", "name": "dag"}, "run": {"runId": "whole"}}
    take_in([
        said("dag", [], [], 1, run={"runId": "whole"}),
        said("dag.load", ["raw"], ["t"], 2, run={"runId": "part", "facets": {"parent": whole}}),
    ])  # fmt: skip
    ran = run("lineage", "run:whole", "--lake", lake)
    assert ran.code == 0
    lines = ran.out.splitlines()
    assert lines[-5:-3] == ["parts · 1", "  run whole of etl/dag"]
    assert lines[-2:] == [
        "    run part of etl/dag.load",
        "      code 9f2c9f2c9f2… · COMPLETE 2026-10-01 00:02",
    ]
    assert json.loads(run("lineage", "part", "--lake", lake, "--json").out)["nodes"][0]["parent"]
