"""Random events: the answer is what a plain search over all that was declared by then finds."""

import random
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import pytest

from forensics.api import Lake
from forensics.errors import NotFoundError

Event = Callable[..., dict[str, Any]]
#: From a node to another, at a cost: 1 where a job is entered.
Arrows = dict[str, dict[str, int]]
COLUMNS = ("p", "q")


def random_events(rng: random.Random, event: Event) -> list[dict[str, Any]]:
    """Some jobs over some datasets in several versions, in runs of several events each."""
    jobs = [f"j{n}" for n in range(7)]
    datasets = [f"d{n}" for n in range(9)]
    events = []
    for number in range(45):
        job = rng.choice(jobs)
        inputs = rng.sample(datasets, rng.randint(0, 3))
        outputs = rng.sample(datasets, rng.randint(0, 2))
        columns = {
            output: {
                column: [(rng.choice(inputs), rng.choice(COLUMNS))]
                for column in COLUMNS
                if rng.random() < 0.7
            }
            for output in outputs
            if inputs and rng.random() < 0.5
        }
        roll, at, run = rng.random(), rng.randint(0, 300), f"r{number}"
        if roll < 0.15:
            events.append(event(job, inputs, outputs, at=at, static=True, columns=columns))
        elif roll < 0.25 and outputs:
            events.append(event(dataset=outputs[0], at=at, columns=columns))
        else:
            half = len(inputs) // 2
            end = rng.choice(["COMPLETE", "COMPLETE", "COMPLETE", "FAIL", "RUNNING"])
            events.append(event(job, inputs[:half], at=at, run=run, type="START"))
            events.append(
                event(
                    job, inputs[half:], outputs, at=at + rng.randint(1, 20), run=run, type=end,
                    columns=columns,
                )
            )  # fmt: skip
    rng.shuffle(events)
    return events


class Reference:
    """What holds after some events, worked out one by one."""

    def __init__(self, events: Iterable[dict[str, Any]], until: str) -> None:
        by_job: dict[str, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
        statics: dict[str, dict[str, Any]] = {}
        for number, said in enumerate(sorted(events, key=lambda e: e["eventTime"])):
            if said["eventTime"] > until:
                continue
            if "dataset" in said:
                if _edges([said["dataset"]]):
                    statics[said["dataset"]["name"]] = said
            elif "run" in said:
                by_job[said["job"]["name"]][said["run"]["runId"]].append(said)
            elif said["inputs"] or said["outputs"]:
                by_job[said["job"]["name"]][f"static {number}"].append(said)
        self.columns: list[tuple[str | None, str, str, str, str]] = []
        self.reads: set[tuple[str, str]] = set()
        self.writes: set[tuple[str, str]] = set()
        for job, units in by_job.items():
            chosen = max(units.values(), key=_rank)
            self.reads |= {(job, item["name"]) for each in chosen for item in each["inputs"]}
            self.writes |= {(job, item["name"]) for each in chosen for item in each["outputs"]}
            self.columns += [
                (job, *edge) for each in chosen for edge in _edges(each["outputs"])
            ]  # fmt: skip
        self.columns += [
            (None, *edge) for said in statics.values() for edge in _edges([said["dataset"]])
        ]

    def arrows(self, *, upstream: bool) -> Arrows:
        """Every step in one direction between jobs, datasets and columns."""
        found: Arrows = defaultdict(dict)
        told = {(job, output) for job, output, *_ in self.columns}
        names = {name for _, name in self.reads | self.writes}
        first, then = (self.writes, self.reads) if upstream else (self.reads, self.writes)
        for job, name in first:
            found[name][job] = 1
        for job, name in then:
            found[job][name] = 0
        for job, output, column, source, field in self.columns:
            ends = (f"{output}#{column}", f"{source}#{field}")
            wholes = (output, source)
            names.update(wholes)
            a, b = ends if upstream else ends[::-1]
            found[a][b] = 1
            if job is None:
                a, b = wholes if upstream else wholes[::-1]
                found[a][b] = 1
        outputs = defaultdict(set)
        for job, name in self.writes:
            outputs[job].add(name)
        for name in names:
            for column in COLUMNS:
                for job, _ in (pair for pair in first if pair[1] == name):
                    if upstream and (job, name) not in told:
                        found[f"{name}#{column}"][job] = 1
                    untold = {each for each in outputs[job] if (job, each) not in told}
                    if not upstream and (untold or not outputs[job]):
                        found[f"{name}#{column}"][f"{job} partly"] = 1
                        found[f"{job} partly"].update(dict.fromkeys(untold, 0))
        return found


def _rank(unit: list[dict[str, Any]]) -> tuple[bool, str]:
    """A completed run before any other, and then the later one."""
    done = [e["eventTime"] for e in unit if e.get("eventType", "COMPLETE") == "COMPLETE"]
    return bool(done), max(done or [e["eventTime"] for e in unit])


def _edges(outputs: list[dict[str, Any]]) -> list[tuple[str, str, str, str]]:
    return [
        (output["name"], column, source["name"], source["field"])
        for output in outputs
        for column, entry in output.get("facets", {})
        .get("columnLineage", {"fields": {}})["fields"]
        .items()
        for source in entry["inputFields"]
    ]


def _reached(arrows: Arrows, root: str, depth: int | None) -> dict[str, int]:
    """The least cost to every node, by relaxing until nothing changes."""
    costs = {root: 0}
    changed = True
    while changed:
        changed = False
        for node, cost in list(costs.items()):
            for far, step in arrows.get(node, {}).items():
                if cost + step < costs.get(far, 1_000):
                    costs[far] = cost + step
                    changed = True
    found: dict[str, int] = {}
    for node, cost in costs.items():
        name = node.removesuffix(" partly")
        if depth is None or cost <= depth:
            found[name] = min(cost, found.get(name, cost))
    return found


@pytest.mark.parametrize("seed", range(4))
def test_what_is_reached_is_what_a_plain_search_reaches(
    told: Callable[..., Lake], event: Event, seed: int
) -> None:
    rng = random.Random(seed)
    events = random_events(rng, event)
    # Ties of two runs of a job would leave it open which of them is the last.
    ends = [(e["job"]["name"], e["eventTime"]) for e in events if "job" in e]
    events = [
        e for e in events if "job" not in e or ends.count((e["job"]["name"], e["eventTime"])) == 1
    ]
    for part in (0, 1):  # two files whose times overlap, and one that is all the rest
        told(*events[part * 20 : part * 20 + 20])
    lake = told(*sorted(events[40:], key=lambda said: said["eventTime"]))
    compared = 0
    for _ in range(25):
        until = rng.choice(events)["eventTime"]
        reference = Reference(events, until)
        nodes = {*(f"d{n}" for n in range(9)), *(f"j{n}" for n in range(7))}
        nodes |= {f"d{n}#{column}" for n in range(9) for column in COLUMNS}
        root = rng.choice(sorted(nodes))
        depth = rng.choice([None, 0, 1, 2, 3])
        kind = "column" if "#" in root else "dataset" if root[0] == "d" else "job"
        try:
            found = lake.lineage(f"{kind}:n/{root}", depth=depth, as_of=until)
        except NotFoundError:
            assert not any(_reached(reference.arrows(upstream=up), root, None).keys() - {root}
                           for up in (True, False) if kind != "column")  # fmt: skip
            continue
        for name, up in (("upstream", True), ("downstream", False)):
            said = {
                node.id.text.partition("/")[2]: getattr(node, name)
                for node in found.nodes
                if getattr(node, name) is not None
            }
            assert said == _reached(reference.arrows(upstream=up), root, depth), (root, until, name)
            compared += len(said) > 1
    assert compared > 5


@pytest.mark.parametrize("seed", range(2))
def test_the_writer_of_what_a_run_read_is_the_last_that_ended_well_before(
    told: Callable[..., Lake], event: Event, seed: int
) -> None:
    rng = random.Random(seed)
    datasets = [f"d{n}" for n in range(5)]
    runs = []
    minutes = rng.sample(range(1000), 60)  # no two at once
    for number in range(30):
        began, ended = sorted(minutes[2 * number : 2 * number + 2])
        inputs = rng.sample(datasets, rng.randint(0, 2))
        outputs = rng.sample(datasets, rng.randint(0, 2))
        end = rng.choice(["COMPLETE", "COMPLETE", "COMPLETE", "FAIL", "ABORT"])
        runs.append((f"r{number}", inputs, outputs, began, ended, end))
    events = [
        said
        for name, inputs, outputs, began, ended, end in runs
        for said in (
            event(f"job-{name}", inputs, at=began, run=name, type="START"),
            event(f"job-{name}", inputs, outputs, at=ended, run=name, type=end),
        )
    ]
    rng.shuffle(events)
    lake = told(*events)
    above: Arrows = defaultdict(dict)
    below: Arrows = defaultdict(dict)
    for name, inputs, outputs, began, _, _ in runs:
        for dataset in inputs:
            before = [
                (ended, writer)
                for writer, _, written, _, ended, end in runs
                if dataset in written and ended < began and end == "COMPLETE"
            ]
            writer = max(before)[1] if before else None
            source = f"{dataset}@{writer}" if writer else dataset
            above[name][source] = 0
            below[source][name] = 1
            if writer:
                above[source][writer] = 1
        for dataset in outputs:
            below[name][f"{dataset}@{name}"] = 0
    for name, *_ in rng.sample(runs, 12):
        depth = rng.choice([None, 1, 2])
        found = lake.lineage(f"run:{name}", depth=depth)
        for side, arrows in (("upstream", above), ("downstream", below)):
            said = {
                node.id.part if node.id.kind == "run" else node.id.text.partition("/")[2]: cost
                for node in found.nodes
                if (cost := getattr(node, side)) is not None
            }
            assert said == _reached(arrows, name, depth), (name, side, depth)
