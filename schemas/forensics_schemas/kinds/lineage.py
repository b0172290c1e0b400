"""What the lake keeps of an OpenLineage event beside its bytes: what graphs are made from."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import flag, group, integer, many, text, texts, time

_DATASET = (
    text("namespace", "The dataset's namespace."),
    text("name", "Its name."),
    text("version", "Its version, as the facet `version` says it."),
    texts("columns", "Names of its columns, as the facet `schema` says them, inner ones dotted."),
    texts("types", "Types of its columns, in the same order."),
    integer("rows", "How many rows were read or written, where a facet says so."),
    many(
        "assertions",
        "What was tested, as the facet `dataQualityAssertions` says it.",
        text("assertion", "The test."),
        text("column", "The column that was tested."),
        flag("success", "Whether it held."),
        text("severity", "How bad it is where it did not."),
        text("name", "The test's own name."),
    ),
    many(
        "symlinks",
        "Other names of the same dataset.",
        text("namespace", "The namespace."),
        text("name", "The name."),
    ),
)

LINEAGE = pa.schema(
    [
        text("event_id", "SHA-256 of the event's canonical JSON (RFC 8785).", required=True),
        time("occurred_at", "The event's eventTime.", required=True),
        text("kind", "What it is about.", required=True, enum=("run", "job", "dataset")),
        text("event_type", "START, RUNNING, COMPLETE, ABORT, FAIL, OTHER; absent in some."),
        text("job_namespace", "The job's namespace."),
        text("job_name", "The job's name."),
        text("run_id", "The run's id; with the job's names it names one run."),
        group(
            "parent",
            "The run that it is part of, as the facet `parent` says it.",
            text("job_namespace", "Its job's namespace."),
            text("job_name", "Its job's name."),
            text("run_id", "Its id."),
        ),
        text("producer", "What sent the event."),
        text("code_version", "Revision of the job's code, where a facet says so."),
        text("error", "The error's text, of a run that failed."),
        many("inputs", "What was read.", *_DATASET),
        many("outputs", "What was written; the dataset itself in an event about one.", *_DATASET),
        texts("reads", "The inputs' names and symlinks as namespace/name, to find the event by."),
        texts("writes", "Those of the outputs."),
        texts("tested", "Those of the datasets that something was tested of."),
        many(
            "aliases",
            "Two names of one dataset, as the facet `symlinks` says them.",
            text("name", "Its own name, as namespace/name."),
            text("alias", "The other one."),
        ),
        many(
            "column_edges",
            "Which column came from which, as the facet `columnLineage` says it.",
            text("output_namespace", "The written dataset's namespace."),
            text("output_name", "Its name."),
            text("output_column", "Its column; absent where the whole dataset depends on it."),
            text("input_namespace", "The read dataset's namespace."),
            text("input_name", "Its name."),
            text("input_column", "Its column; absent where the whole dataset is the source."),
            text(
                "transformation",
                "Type and subtype, e.g. DIRECT/IDENTITY; several are joined by a comma.",
            ),
        ),
    ]
)
