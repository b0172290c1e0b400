"""One run of a job: what all events about it say together.

A run is named by its job's namespace and name and its own id, since some senders give one id to the
runs of several jobs. Its events are put in the order of their times, whenever they arrived: a facet
that is sent again replaces the earlier one of its name, inputs and outputs accumulate. Events of
one instant go by their type, START first and final states last, and then by their id, so that the
same events always give the same run.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from forensics.ingest import openlineage_facets
from forensics.records.times import from_micros

#: The states that a run ends in; of two at one instant the later one here counts.
ENDED = ("COMPLETE", "ABORT", "FAIL")
_RANK = {type_: rank for rank, type_ in enumerate(("START", "RUNNING", None, "OTHER", *ENDED))}


@dataclass(frozen=True, slots=True)
class Assertion:
    """A test of a dataset and whether it held. ``column`` is None for one of the whole dataset."""

    assertion: str
    success: bool
    column: str | None = None
    severity: str | None = None
    name: str | None = None


@dataclass(frozen=True, slots=True)
class RunDataset:
    """A dataset that a run read or wrote.

    ``columns`` and ``types`` go together; both are empty where no schema was sent. ``rows`` is how
    many were read or written. ``facets`` holds all of them as received, also those that are about
    this reading or writing of the dataset alone.
    """

    namespace: str
    name: str
    version: str | None = None
    columns: tuple[str, ...] = ()
    types: tuple[str | None, ...] = ()
    rows: int | None = None
    assertions: tuple[Assertion, ...] = ()
    symlinks: tuple[tuple[str, str], ...] = ()
    facets: Mapping[str, Any] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The dataset as other records name it: ``namespace/name``."""
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True)
class Parent:
    """The run that another is part of, as far as its events say."""

    job_namespace: str | None
    job_name: str | None
    run_id: str | None


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a job.

    ``state`` is the last of COMPLETE, FAIL and ABORT, else RUNNING, START or OTHER, else None.
    ``started_at`` is the time of its first START, ``ended_at`` of the event that gave its state
    where it has ended; each None where there is no such event. ``first_known_at`` is when the lake
    received the first of its ``events`` events. ``verified`` says whether the received bytes of all
    of them fit their leaves.
    """

    job_namespace: str
    job_name: str
    run_id: str
    state: str | None
    started_at: datetime | None
    ended_at: datetime | None
    nominal_at: datetime | None
    code_version: str | None
    producer: str
    error: str | None
    parent: Parent | None
    inputs: tuple[RunDataset, ...]
    outputs: tuple[RunDataset, ...]
    facets: Mapping[str, Any]
    job_facets: Mapping[str, Any]
    events: int
    first_at: datetime
    last_at: datetime
    first_known_at: datetime
    verified: bool

    @property
    def job(self) -> str:
        """The job as other records name it: ``namespace/name``."""
        return f"{self.job_namespace}/{self.job_name}"


class Told(NamedTuple):
    """One event about a run, with what the lake keeps of it."""

    event: dict[str, Any]
    event_id: str
    occurred_us: int
    ingested_us: int
    verified: bool


def merged(told: Iterable[Told]) -> list[Run]:
    """The runs that events are about, the earliest first; events about none are passed over."""
    by_run: dict[tuple[str, str, str], dict[str, Told]] = {}
    for item in told:
        job, run = item.event.get("job"), item.event.get("run")
        if job and run:
            key = (job["namespace"], job["name"], run["runId"])
            by_run.setdefault(key, {}).setdefault(item.event_id, item)
    runs = [_run(key, sorted(items.values(), key=_order)) for key, items in by_run.items()]
    return sorted(runs, key=lambda run: (run.first_at, run.job_namespace, run.job_name, run.run_id))


def _order(told: Told) -> tuple[int, str, int, str]:
    _, _, fraction = told.event["eventTime"].partition(".")
    digits = fraction[: len(fraction) - len(fraction.lstrip("0123456789"))]
    rank = _RANK[told.event.get("eventType")]
    return told.occurred_us, digits[6:].rstrip("0"), rank, told.event_id


def _run(key: tuple[str, str, str], told: list[Told]) -> Run:
    """One run.

    Args:
        key: its job's namespace and name, and its id.
        told: its events, each once, in order.
    """
    facets: dict[str, Any] = {}
    job_facets: dict[str, Any] = {}
    inputs = _Datasets("inputFacets")
    outputs = _Datasets("outputFacets")
    for item in told:
        _put(facets, item.event["run"].get("facets"))
        _put(job_facets, item.event["job"].get("facets"))
        inputs.add(item.event.get("inputs"))
        outputs.add(item.event.get("outputs"))
    types = [item.event.get("eventType") for item in told]
    ended = [item for item, type_ in zip(told, types, strict=True) if type_ in ENDED]
    started = [item for item, type_ in zip(told, types, strict=True) if type_ == "START"]
    if ended:
        state = ended[-1].event["eventType"]
    else:
        state = next((type_ for type_ in ("RUNNING", "START", "OTHER") if type_ in types), None)
    parent = openlineage_facets.parent(facets)
    return Run(
        *key,
        state=state,
        started_at=from_micros(started[0].occurred_us) if started else None,
        ended_at=from_micros(ended[-1].occurred_us) if ended else None,
        nominal_at=_nominal(facets),
        code_version=openlineage_facets.code_version(facets, job_facets),
        producer=told[-1].event["producer"],
        error=openlineage_facets.error(facets),
        parent=Parent(**parent) if parent else None,
        inputs=inputs.all(),
        outputs=outputs.all(),
        facets=facets,
        job_facets=job_facets,
        events=len(told),
        first_at=from_micros(told[0].occurred_us),
        last_at=from_micros(told[-1].occurred_us),
        first_known_at=from_micros(min(item.ingested_us for item in told)),
        verified=all(item.verified for item in told),
    )


class _Datasets:
    """Inputs or outputs as events add to them, by name."""

    def __init__(self, own: str) -> None:
        self._own = own
        self._facets: dict[tuple[str, str], tuple[dict[str, Any], dict[str, Any]]] = {}

    def add(self, given: list[dict[str, Any]] | None) -> None:
        """Add what one event says."""
        for item in given or ():
            general, own = self._facets.setdefault((item["namespace"], item["name"]), ({}, {}))
            _put(general, item.get("facets"))
            _put(own, item.get(self._own))

    def all(self) -> tuple[RunDataset, ...]:
        """The datasets by their names."""
        return tuple(
            _dataset(namespace, name, general, own)
            for (namespace, name), (general, own) in sorted(self._facets.items())
        )


def _dataset(namespace: str, name: str, general: dict[str, Any], own: dict[str, Any]) -> RunDataset:
    said = openlineage_facets.dataset(general, own)
    return RunDataset(
        namespace,
        name,
        version=said["version"],
        columns=tuple(said["columns"] or ()),
        types=tuple(said["types"] or ()),
        rows=said["rows"],
        assertions=tuple(Assertion(**item) for item in said["assertions"]),
        symlinks=tuple((item["namespace"], item["name"]) for item in said["symlinks"]),
        facets=general | own,
    )


def _put(facets: dict[str, Any], given: dict[str, Any] | None) -> None:
    """Put facets in place of those of the same name, and take out those that are deleted."""
    for name, facet in (given or {}).items():
        if facet is None:
            continue
        if facet.get("_deleted") is True:
            facets.pop(name, None)
        else:
            facets[name] = facet


def _nominal(facets: Mapping[str, Any]) -> datetime | None:
    text = (facets.get("nominalTime") or {}).get("nominalStartTime")
    try:
        time = datetime.fromisoformat(text) if isinstance(text, str) else None
    except ValueError:
        return None
    return time if time is not None and time.tzinfo is not None else None
