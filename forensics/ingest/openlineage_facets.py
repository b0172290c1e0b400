"""What the lake's columns take from OpenLineage facets.

A facet is an extra with a version of its own: whatever in it has an odd shape is passed over, and
the rest of it counts. Nothing here can refuse an event.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, TypeAlias

Json: TypeAlias = dict[str, Any]

#: Facets that say how many rows were read or written, best first; ``dataQuality`` and ``stats`` are
#: old names.
_ROW_COUNTS = (
    "outputStatistics",
    "inputStatistics",
    "dataQualityMetrics",
    "dataQuality",
    "stats",
)
_ASSERTIONS = ("dataQualityAssertions", "greatExpectations_assertions")
#: Tags and variables of the environment that name the revision of the code that ran, best first.
_REVISIONS = (
    "code_version",
    "git_commit",
    "git_sha",
    "git_revision",
    "commit_sha",
    "github_sha",
    "ci_commit_sha",
)
_IN_URL = re.compile(r"/([0-9a-f]{40})(?:/|$)")
_INTEGER_MAX = (1 << 63) - 1


def dataset(general: Json, own: Json) -> Json:
    """The columns about one dataset of an event, beside its names.

    Args:
        general: its ``facets``.
        own: its ``inputFacets`` or ``outputFacets``.
    """
    columns, types = _fields(general.get("schema"))
    return {
        "version": _text_or_number(_of(general.get("version")).get("datasetVersion")),
        "columns": columns,
        "types": types,
        "rows": _rows(own, general),
        "assertions": _assertions(general, own),
        "symlinks": _symlinks(general.get("symlinks")),
    }


def _fields(schema: Any) -> tuple[list[str] | None, list[str | None] | None]:
    """Names and types of the columns; those within a column follow it, as ``column.inner``."""
    given = _of(schema).get("fields")
    if type(given) is not list:
        return None, None
    names: list[str] = []
    types: list[str | None] = []
    for prefix, field in _nested(given, ""):
        names.append(prefix + field["name"])
        types.append(_text(field.get("type")))
    return names, types


def _nested(fields: list[Any], prefix: str) -> Iterator[tuple[str, Json]]:
    for field in fields:
        if type(field) is dict and type(field.get("name")) is str:
            yield prefix, field
            inner = field.get("fields")
            if type(inner) is list and inner:
                yield from _nested(inner, f"{prefix}{field['name']}.")


def _rows(own: Json, general: Json) -> int | None:
    for name in _ROW_COUNTS:
        for facets in (own, general):
            count = _of(facets.get(name)).get("rowCount")
            if type(count) is float and count.is_integer():
                count = int(count)
            if type(count) is int and 0 <= count <= _INTEGER_MAX:
                return count
    return None


def _assertions(general: Json, own: Json) -> list[Json]:
    """What was tested; some senders say the same in ``facets`` and in ``inputFacets``."""
    found: list[Json] = []
    for facets in (general, own):
        for name in _ASSERTIONS:
            for item in _list(_of(facets.get(name)).get("assertions")):
                given = _of(item)
                kind = _text(given.get("assertion", given.get("expectationType")))
                success = given.get("success")
                if kind is None or type(success) is not bool:
                    continue
                assertion = {
                    "assertion": kind,
                    "column": _text(given.get("column")),
                    "success": success,
                    "severity": _text(given.get("severity")),
                    "name": _text(given.get("name")),
                }
                if assertion not in found:
                    found.append(assertion)
    return found


def _symlinks(facet: Any) -> list[Json]:
    return [
        {"namespace": item["namespace"], "name": item["name"]}
        for item in _list(_of(facet).get("identifiers"))
        if _names(item)
    ]


def column_edges(given: Json) -> Iterator[Json]:
    """Edges into one dataset of an event, as ``columnLineage`` and ``lineage`` say them.

    Args:
        given: the dataset as the event has it, its names checked.
    """
    facets = _of(given.get("facets"))
    lineage = _of(facets.get("columnLineage"))
    target = (given["namespace"], given["name"])
    for column, sources in _of(lineage.get("fields")).items():
        entry = _of(sources)
        for source in _list(entry.get("inputFields")):
            usual = _text(entry.get("transformationType"))
            yield from _edge(target, column, source, usual, whole=False)
    for source in _list(lineage.get("dataset")):
        yield from _edge(target, None, source, None, whole=False)
    yield from _explicit(target, _of(facets.get("lineage")))


def job_edges(facets: Json) -> list[Json]:
    """Edges that a job's own ``lineage`` facet says, between datasets."""
    found: list[Json] = []
    for item in _list(_of(facets.get("lineage")).get("entries")):
        if _names(item) and item.get("type") == "DATASET":
            found += _explicit((item["namespace"], item["name"]), item)
    return found


def _explicit(target: tuple[str, str], lineage: Json) -> Iterator[Json]:
    for column, sources in _of(lineage.get("fields")).items():
        for source in _list(_of(sources).get("inputs")):
            yield from _edge(target, column, source, None, whole=True)
    for source in _list(lineage.get("inputs")):
        yield from _edge(target, None, source, None, whole=True)


def _edge(
    target: tuple[str, str], column: str | None, source: Any, usual: str | None, *, whole: bool
) -> Iterator[Json]:
    """One edge.

    Args:
        target: namespace and name of the dataset that it leads to.
        column: its column; None where the whole dataset depends on the source.
        source: what it comes from, as the event has it.
        usual: the transformation where the source says none.
        whole: whether the source may be a whole dataset, without a column.
    """
    if not _names(source) or source.get("type", "DATASET") != "DATASET":
        return
    field = _text(source.get("field"))
    if field is None and not whole:
        return
    yield {
        "output_namespace": target[0],
        "output_name": target[1],
        "output_column": column,
        "input_namespace": source["namespace"],
        "input_name": source["name"],
        "input_column": field,
        "transformation": _transformations(source.get("transformations")) or usual,
    }


def _transformations(given: Any) -> str | None:
    """All transformations of one edge, as ``TYPE/SUBTYPE, TYPE/SUBTYPE``."""
    texts: dict[str, None] = {}
    for item in _list(given):
        kind, subtype = _text(_of(item).get("type")), _text(_of(item).get("subtype"))
        if kind:
            texts[f"{kind}/{subtype}" if subtype else kind] = None
    return ", ".join(texts) or None


def parent(facets: Json) -> Json | None:
    """The run that this one is part of; ``parentRun`` is the facet's old name."""
    for name in ("parent", "parentRun"):
        facet = _of(facets.get(name))
        job, run = _of(facet.get("job")), _of(facet.get("run"))
        found = {
            "job_namespace": _text(job.get("namespace")),
            "job_name": _text(job.get("name")),
            "run_id": _text(run.get("runId")),
        }
        if any(found.values()):
            return found
    return None


def code_version(run_facets: Json, job_facets: Json) -> str | None:
    """The revision of the job's code: what a facet says, or what its link to the code is fixed to.

    Read in this order: ``sourceCodeLocation``, tags of the run and of the job, variables of the
    run's environment, and last a commit's full SHA-1 in the link to the code.
    """
    location = _of(job_facets.get("sourceCodeLocation"))
    version = _text_or_number(location.get("version"))
    if version:
        return version
    tags = [
        *_list(_of(run_facets.get("tags")).get("tags")),
        *_list(_of(job_facets.get("tags")).get("tags")),
    ]
    said = {_lower(_of(tag).get("key")): _of(tag).get("value") for tag in reversed(tags)}
    variables = _list(_of(run_facets.get("environmentVariables")).get("environmentVariables"))
    known = {_lower(_of(item).get("name")): _of(item).get("value") for item in variables}
    for values in (said, known):
        for name in _REVISIONS:
            version = _text_or_number(values.get(name))
            if version:
                return version
    pinned = _IN_URL.search(_text(location.get("url")) or "")
    return pinned.group(1) if pinned else None


def error(facets: Json) -> str | None:
    """What the run failed of."""
    return _text(_of(facets.get("errorMessage")).get("message"))


def _names(value: Any) -> bool:
    """Whether ``value`` is an object that names a dataset."""
    return (
        type(value) is dict
        and type(value.get("namespace")) is str
        and type(value.get("name")) is str
    )


def _of(value: Any) -> Json:
    return value if type(value) is dict else {}


def _list(value: Any) -> list[Any]:
    return value if type(value) is list else []


def _text(value: Any) -> str | None:
    return value if type(value) is str else None


def _lower(value: Any) -> str:
    return value.lower() if type(value) is str else ""


def _text_or_number(value: Any) -> str | None:
    return str(value) if type(value) is int else _text(value)
