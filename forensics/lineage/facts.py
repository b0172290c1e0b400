"""What is known of the nodes of an answer: last runs, code versions, failed tests, other names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from forensics.lake.lineage import LineageTables, Pair, RunFacts
from forensics.lineage.graph import main_names
from forensics.lineage.nodes import Edge, Id
from forensics.records.times import from_micros

Facts = dict[str, Any]


def facts_of(
    tables: LineageTables,
    found: Iterable[Id],
    edges: Sequence[Edge],
    versions: Mapping[Id, str] | None = None,
) -> tuple[dict[Id, Facts], dict[Pair, Facts]]:
    """Facts of the nodes ``found``, and of the jobs between columns, which are no nodes.

    Args:
        tables: the events.
        found: the nodes.
        edges: the edges between them.
        versions: what facets call versions of datasets that are named by the runs that wrote them.
    """
    nodes = list(found)
    jobs = {node.pair for node in nodes if node.kind == "job"}
    between = {edge.job for edge in edges if edge.level == "column" and edge.job is not None}
    by_job = {run.job: _job(run) for run in tables.last_runs(sorted(jobs | between))}
    runs = [node for node in nodes if node.kind == "run"]
    by_run = {
        (*run.job, run.run_id): _run(run) for run in tables.runs([node.run_key for node in runs])
    }
    datasets = {node.pair for node in nodes if node.kind in ("dataset", "column")}
    by_dataset = _datasets(tables, datasets)
    facts: dict[Id, Facts] = {}
    for node in nodes:
        match node.kind:
            case "job":
                facts[node] = by_job.get(node.pair, {})
            case "run":
                facts[node] = by_run.get(node.run_key, {})
            case "dataset":
                facts[node] = by_dataset[node.pair]
            case "column":
                failed = [
                    test
                    for test in by_dataset[node.pair].get("failed_assertions", ())
                    if test["column"] == node.part
                ]
                facts[node] = {"failed_assertions": failed} if failed else {}
            case "version":
                named = (versions or {}).get(node)
                facts[node] = {"version_name": named} if named else {}
    return facts, {job: by_job[job] for job in sorted(between) if job in by_job}


def _datasets(tables: LineageTables, datasets: set[Pair]) -> dict[Pair, Facts]:
    """Facts by a dataset's main name: what is said under its other names is said of it."""
    facts: dict[Pair, Facts] = {pair: {} for pair in sorted(datasets)}
    names = main_names(tables.symlinks)
    of = {other: main for other, main in names.items() if main in facts} | {
        pair: pair for pair in facts
    }
    for other, main in sorted(of.items()):
        if other != main:
            facts[main].setdefault("also", []).append({"namespace": other[0], "name": other[1]})
    for pair, version in tables.versions(list(of)).items():
        facts[of[pair]]["version"] = version
    for test in tables.failed_assertions(list(of)):
        said = {
            "assertion": test.assertion,
            "column": test.column,
            "severity": test.severity,
            "at": from_micros(test.us),
            "run_id": test.run_id,
        }
        facts[of[test.dataset]].setdefault("failed_assertions", []).append(said)
    return facts


def _run(run: RunFacts) -> Facts:
    said: Facts = {
        "state": run.state,
        "started_at": from_micros(run.first_us),
        "last_event_at": from_micros(run.last_us),
        "code_version": run.code_version,
        "error": run.error,
    }
    if run.parent is not None:
        namespace, name, run_id = run.parent
        said["parent"] = {"job_namespace": namespace, "job": name, "run_id": run_id}
    return {key: value for key, value in said.items() if value is not None}


def _job(run: RunFacts) -> Facts:
    facts = _run(run)
    code_version = facts.pop("code_version", None)
    said: Facts = {"last_run": {"run_id": run.run_id, **facts}} if run.run_id else {
        "declared_at": facts["last_event_at"]
    }  # fmt: skip
    return said | ({"code_version": code_version} if code_version else {})
