"""OpenLineage: from a RunEvent, JobEvent or DatasetEvent of any version to the lake's columns.

What the specification's core demands is demanded here: time, producer, names, and objects where
it has objects. An event that lacks them is refused, with the path of what is wrong. Kinder than its
JSON Schema we are where known senders need it: ``schemaURL`` may be absent, and so may
``_producer`` and ``_schemaURL`` of facets; a ``runId`` need not be a UUID; null stands for absent.
What a facet says is another matter: it is an extra, so one of an odd shape costs its column and not
the event, whose bytes are kept in any case.
"""

from __future__ import annotations

import hashlib
from typing import Any, TypeAlias

from forensics.ingest import openlineage_facets as facets_
from forensics.records.jsontext import HALF_PAIR, is_text

Event: TypeAlias = dict[str, Any]

EVENT_TYPES = ("START", "RUNNING", "COMPLETE", "ABORT", "FAIL", "OTHER")
#: An event may carry a query plan, so it may be longer than other records.
EVENT_BYTES_MAX = 16 << 20
#: Where in an event the columns of the lake stand, for messages about them.
PATHS = {
    "occurred_at": "eventTime",
    "event_type": "eventType",
    "job_namespace": "job.namespace",
    "job_name": "job.name",
    "run_id": "run.runId",
}
#: How half of a surrogate pair begins in JSON; so do other things, rarely.
HALF_WRITTEN = b"\\ud"
_ID_MAX = 256
#: Names that only decisions and other records of the contract have.
_OTHERS = frozenset(
    ("record", "decision_point", "decision_id", "request_id", "change_id", "override_id",
     "declaration_id")
)  # fmt: skip


class Invalid(Exception):
    """An event that is none; the message names the path and what is wrong there."""


def is_event(record: Event) -> bool:
    """Whether ``record`` has the shape of an event: a time, a producer, and what it is about."""
    if type(record.get("eventTime")) is not str or type(record.get("producer")) is not str:
        return False
    if not _OTHERS.isdisjoint(record):
        return False
    run, job, dataset = record.get("run"), record.get("job"), record.get("dataset")
    return (
        (type(run) is dict and "runId" in run)
        or (type(job) is dict and "namespace" in job and "name" in job)
        or (type(dataset) is dict and "namespace" in dataset and "name" in dataset)
    )


def is_meant_as_event(record: Event) -> bool:
    """Whether ``record`` is nothing else that we know and looks like a damaged event."""
    if not _OTHERS.isdisjoint(record):
        return False
    marks = sum(name in record for name in ("eventTime", "eventType", "producer", "schemaURL"))
    return marks > 0 and any(type(record.get(name)) is dict for name in ("run", "job", "dataset"))


def may_be_event(raw: bytes) -> bool:
    """Whether the JSON text ``raw`` can be an event at all; cheap, for one that is very long."""
    return b'"eventTime"' in raw and b'"producer"' in raw


def event_id(event: Event) -> str:
    """SHA-256 of the event's canonical JSON, in hexadecimal: equal events have equal ids.

    Raises:
        Invalid: when it cannot be written as JSON.
    """
    return hashlib.sha256(_canonical(event)).hexdigest()


def _canonical(event: Event) -> bytes:
    from forensics.ingest.canonical_json import canonical  # readers of landed events need none

    try:
        return canonical(event)
    except ValueError as error:
        raise Invalid(f"the event cannot be told from others: {error}") from None


def whole(value: Any) -> Any:
    """``value`` with U+FFFD for each half of a surrogate pair, which no column can hold."""
    if type(value) is str:
        return value if is_text(value) else HALF_PAIR.sub("\ufffd", value)
    if type(value) is dict:
        return {key: whole(item) for key, item in value.items()}
    return [whole(item) for item in value] if type(value) is list else value


def check(event: Event) -> str:
    """What an event is about: ``run``, ``job`` or ``dataset``.

    Raises:
        Invalid: when it breaks the specification.
    """
    if event.get("eventTime") is None:
        raise Invalid("eventTime is missing")
    _text(event, "producer", "")
    schema_url = event.get("schemaURL")
    if schema_url is not None and type(schema_url) is not str:
        raise Invalid(f"schemaURL is {_said(schema_url)}, expected text")
    run, job, dataset = (_object(event, name, "") for name in ("run", "job", "dataset"))
    if dataset is not None and job is None:
        _check_dataset(dataset, "dataset", None)
        return "dataset"
    if job is None:
        raise Invalid("job is missing" if run is not None else "run, job and dataset are missing")
    if run is None and dataset is not None:
        raise Invalid("job and dataset are both there without run: which is it about?")
    if run is not None:
        _check_run(event, run)
    for name in ("namespace", "name"):
        _text(job, name, "job.")
    _check_facets(job, "job.", "facets")
    for name, own in (("inputs", "inputFacets"), ("outputs", "outputFacets")):
        given = event.get(name)
        if given is not None and type(given) is not list:
            raise Invalid(f"{name} is {_said(given)}, expected a list")
        for at, item in enumerate(given or ()):
            _check_dataset(item, f"{name}[{at}]", own)
    return "job" if run is None else "run"


def translate(event: Event) -> dict[str, Any]:
    """The columns of the lake's table ``lineage`` for one decoded event.

    Every column is there, None where the event does not say it; ``occurred_at`` is the text of
    ``eventTime``, which the caller reads.

    Raises:
        Invalid: when the event breaks the specification.
    """
    kind = check(event)
    text = _canonical(event)
    if HALF_WRITTEN in text:
        event = whole(event)
    run = event["run"] if kind == "run" else {}
    job = event["job"] if kind != "dataset" else {}
    run_facets, job_facets = run.get("facets") or {}, job.get("facets") or {}
    inputs: list[Event] = event.get("inputs") or [] if kind != "dataset" else []
    outputs: list[Event] = event.get("outputs") or [] if kind != "dataset" else [event["dataset"]]
    edges = [edge for given in (*inputs, *outputs) for edge in facets_.column_edges(given)]
    event_type = event.get("eventType")
    read = [_dataset(given, given.get("inputFacets")) for given in inputs]
    written = [
        _dataset(given, None if kind == "dataset" else given.get("outputFacets"))
        for given in outputs
    ]
    aliases = [pair for said in (*read, *written) for pair in _aliases(said)]
    return {
        "event_id": hashlib.sha256(text).hexdigest(),
        "occurred_at": event["eventTime"],
        "kind": kind,
        "event_type": event_type if event_type in EVENT_TYPES else None,
        "job_namespace": job.get("namespace"),
        "job_name": job.get("name"),
        "run_id": run.get("runId"),
        "parent": facets_.parent(run_facets),
        "producer": event["producer"],
        "code_version": facets_.code_version(run_facets, job_facets),
        "error": facets_.error(run_facets),
        "inputs": read,
        "outputs": written,
        "reads": _names(read),
        "writes": _names(written),
        "tested": _names([said for said in (*read, *written) if said["assertions"]]),
        "aliases": [{"name": name, "alias": alias} for name, alias in dict.fromkeys(aliases)],
        "column_edges": edges + facets_.job_edges(job_facets),
    }


def _dataset(given: Event, own: Event | None) -> dict[str, Any]:
    said = facets_.dataset(given.get("facets") or {}, own or {})
    return {"namespace": given["namespace"], "name": given["name"], **said}


def _names(datasets: list[dict[str, Any]]) -> list[str]:
    """All names of datasets, each once."""
    names = [name for said in datasets for name in (_name(said), *map(_name, said["symlinks"]))]
    return list(dict.fromkeys(names))


def _aliases(said: dict[str, Any]) -> list[tuple[str, str]]:
    return [(_name(said), _name(link)) for link in said["symlinks"] if _name(link) != _name(said)]


def _name(said: dict[str, Any]) -> str:
    return f"{said['namespace']}/{said['name']}"


def _check_run(event: Event, run: Event) -> None:
    event_type = event.get("eventType")
    if event_type is not None and event_type not in EVENT_TYPES:
        raise Invalid(f"eventType is {_said(event_type)}, expected one of {', '.join(EVENT_TYPES)}")
    run_id = _text(run, "runId", "run.")
    if not 1 <= len(run_id) <= _ID_MAX or not run_id.isprintable():
        expected = f"expected 1 to {_ID_MAX} printable characters"
        raise Invalid(f"run.runId is {_said(run_id)}, {expected}")
    _check_facets(run, "run.", "facets")


def _check_dataset(given: Any, path: str, own: str | None) -> None:
    if type(given) is not dict:
        raise Invalid(f"{path} is {_said(given)}, expected an object")
    for name in ("namespace", "name"):
        _text(given, name, f"{path}.")
    _check_facets(given, f"{path}.", "facets")
    if own is not None:
        _check_facets(given, f"{path}.", own)


def _check_facets(given: Event, path: str, name: str) -> None:
    """Facets are objects; one that is null was not sent."""
    facets = _object(given, name, path)
    for key, facet in (facets or {}).items():
        if type(facet) is not dict and facet is not None:
            raise Invalid(f"{path}{name}.{key} is {_said(facet)}, expected an object")


def _object(given: Event, name: str, path: str) -> Event | None:
    value = given.get(name)
    if value is not None and type(value) is not dict:
        raise Invalid(f"{path}{name} is {_said(value)}, expected an object")
    return value


def _text(given: Event, name: str, path: str) -> str:
    value = given.get(name)
    if value is None:
        raise Invalid(f"{path}{name} is missing")
    if type(value) is not str:
        raise Invalid(f"{path}{name} is {_said(value)}, expected text")
    if not is_text(value):
        raise Invalid(f"{path}{name} has half a surrogate pair, which is no text")
    return value


def _said(value: Any) -> str:
    # Readers of landed events, which are right, need none of this.
    from forensics.ingest.columns import said

    return said(value)
