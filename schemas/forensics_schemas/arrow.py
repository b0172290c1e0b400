"""Every record kind as an Arrow schema: the one place where the contract is declared.

A field carries its documentation and its JSON rules as Arrow field metadata, so that the Parquet
files describe themselves and :mod:`forensics_schemas.generate` needs no second source. Feature
structs are not declared here: each decision point owns its own, learnt from what it records.

Versions are SchemaVer (MODEL-REVISION-ADDITION): a new optional field is an ADDITION, a rule that
old records may break is a REVISION, and one that old readers cannot survive is a MODEL.
"""

from __future__ import annotations

import json
from typing import Any

import pyarrow as pa

VERSIONS = {
    "decision": "1-0-0",
    "change": "1-0-0",
    "override": "1-0-0",
    "outcome": "1-0-0",
    "declaration": "1-0-0",
    "access": "1-0-0",
    "hold": "1-0-0",
    "erasure": "1-0-0",
    "reconstruction": "1-0-0",
}

#: Delta and every engine that reads it agree on microseconds UTC and on nothing finer.
TIMESTAMP = pa.timestamp("us", tz="UTC")

EVIDENCE = ("recorded", "recomputed", "inferred", "missing", "redacted")
VERDICTS = ("bit_exact", "within_ulp", "same_outcome", "diverged", "not_replayable")
STEP_STATUSES = ("reproduced", "differs", "not_recorded", "not_run")
SEARCHES = ("optimal", "gap", "none_exists", "none_found")
ENVIRONMENTS_USUAL = ("production", "canary", "shadow")


def _field(
    name: str,
    type_: pa.DataType,
    doc: str,
    *,
    required: bool = False,
    enum: tuple[str, ...] | None = None,
    rule: dict[str, Any] | None = None,
    any_json: bool = False,
) -> pa.Field:
    """One field. ``any_json`` marks text that holds a JSON value of any shape, kept as written."""
    meta = {"doc": doc}
    if required:
        meta["required"] = "true"
    if enum:
        meta["enum"] = json.dumps(list(enum))
    if rule:
        meta["rule"] = json.dumps(rule)
    if any_json:
        meta["json"] = "true"
    return pa.field(name, type_, nullable=True, metadata=meta)


def _text(name: str, doc: str, **options: Any) -> pa.Field:
    return _field(name, pa.string(), doc, **options)


def _json(name: str, doc: str, **options: Any) -> pa.Field:
    return _field(name, pa.string(), doc, any_json=True, **options)


def _number(name: str, doc: str, **options: Any) -> pa.Field:
    return _field(name, pa.float64(), doc, **options)


def _integer(name: str, doc: str, **options: Any) -> pa.Field:
    return _field(name, pa.int64(), doc, **options)


def _time(name: str, doc: str, **options: Any) -> pa.Field:
    return _field(name, TIMESTAMP, doc, **options)


def _flag(name: str, doc: str, **options: Any) -> pa.Field:
    return _field(name, pa.bool_(), doc, **options)


def _group(name: str, doc: str, *fields: pa.Field, **options: Any) -> pa.Field:
    return _field(name, pa.struct(fields), doc, **options)


def _many(name: str, doc: str, *fields: pa.Field, **options: Any) -> pa.Field:
    return _field(name, pa.list_(pa.struct(fields)), doc, **options)


def _texts(name: str, doc: str, **options: Any) -> pa.Field:
    return _field(name, pa.list_(pa.string()), doc, **options)


def _numbers(name: str, doc: str, **options: Any) -> pa.Field:
    return _field(name, pa.map_(pa.string(), pa.float64()), doc, **options)


_POINT = {"pattern": "^[a-z][a-z0-9_]{0,62}$"}
_ID = {
    "minLength": 1,
    "maxLength": 256,
    "not": {"type": "string", "pattern": "[\\u0000-\\u001f\\u007f-\\u009f]"},
}
_DIGEST = {"pattern": "^sha256:[0-9a-f]{64}$"}

DECISION = pa.schema(
    [
        _text("decision_point", "The named place that decides.", required=True, rule=_POINT),
        _text(
            "decision_id", "Unique name of this decision; the request id where absent.", rule=_ID
        ),
        _text(
            "request_id",
            "The request that was answered; the decision id where absent. One request may have "
            "several decisions.",
            required=True,
            rule=_ID,
        ),
        _time("occurred_at", "When the decision was made.", required=True),
        _text("outcome", "What was decided, in the decision point's own words.", required=True),
        _time("recorded_at", "When the record was written."),
        _number("duration_ms", "How long deciding took, in milliseconds."),
        _text("trace_id", "W3C trace id, 32 hexadecimal digits."),
        _text("span_id", "W3C span id, 16 hexadecimal digits."),
        _text("parent_id", "The decision that caused this one."),
        _text("tenant", "Whose decision it is where one system serves several."),
        _text(
            "environment",
            "production, canary, shadow, or the emitter's own word; production where absent.",
        ),
        _text("region", "Where it was made."),
        _text("replica", "Which process instance made it."),
        _group(
            "writer",
            "Order is by writer and sequence, since wall clocks lie.",
            _text("id", "Name of the writing process."),
            _integer("sequence", "Counts up by one for each record of this writer."),
            _text("boot_id", "Changes at each start of the writer's machine."),
            _integer("monotonic_ns", "The writer's monotonic clock, in nanoseconds."),
        ),
        _group(
            "subject",
            "The person or thing the decision is about.",
            _text("id", "Pseudonym of the subject.", rule=_ID),
            _text("purpose", "Why the subject's data is processed."),
            _text("legal_basis", "The legal ground for it."),
            _text("erasure_key_id", "Which key protects the subject's personal fields."),
        ),
        _group(
            "model",
            "The model that scored.",
            _text("name", "The model's name."),
            _text("version", "The model's version."),
            _text("digest", "SHA-256 of the exact model file.", rule=_DIGEST),
            _text("training_data", "Reference to what it was trained on."),
            _text("runtime", "Library that ran it, e.g. xgboost."),
            _text("runtime_version", "Version of that library."),
        ),
        _group(
            "execution",
            "What else ran.",
            _text("code_version", "Revision of the deciding code."),
            _text("dependency_digest", "SHA-256 of the resolved dependencies."),
            _integer("seed", "Seed of random numbers, where any are used."),
            _flag("pure", "True when the outcome is a function of the recorded inputs alone."),
            _json("calls", "Results of non-deterministic calls (clock, random numbers, network)."),
        ),
        _many(
            "feature_sources",
            "Where groups of features came from.",
            _text("view", "Feature view."),
            _texts("features", "Names of the features it fed."),
            _text("dataset", "Dataset as namespace/name."),
            _time("event_time", "The time the values were true for."),
            _text("status", "PRESENT, NULL, NOT_FOUND or OUTSIDE_MAX_AGE, as Feast says them."),
            _text("job", "Job that wrote the values, as namespace/name."),
            _text("run_id", "The run that wrote the values."),
        ),
        _group(
            "config",
            "The configuration in force.",
            _text("name", "The configuration's name."),
            _text("revision", "Its revision as people call it, e.g. c14."),
            _text("digest", "SHA-256 of the resolved configuration.", rule=_DIGEST),
            _json("values", "The resolved values: threshold and all."),
            _text(
                "provenance",
                "Where the values came from.",
                enum=("bundled", "remote", "flag", "env", "default", "unknown"),
            ),
        ),
        _many(
            "candidates",
            "The alternatives that were compared.",
            _text("id", "Name of the alternative."),
            _number("value", "The value it was compared by."),
        ),
        _text(
            "candidates_coverage",
            "How complete the alternatives are.",
            enum=("exhaustive", "partial", "taken_only"),
        ),
        _number("score", "The score that was compared."),
        _text(
            "score_dtype", "Type of the score as computed.", enum=("float32", "float64", "int64")
        ),
        _text(
            "score_bytes",
            "The score's exact bytes, little-endian, in hexadecimal. They contradict `score_dtype`"
            " unless they are as many as it has; without it 4 are a float32 and 8 a float64. They"
            " contradict `score` unless that is their value, the float32 nearest to it, or either"
            " of the two rounded to six or more digits, in all or after the point.",
            rule={"pattern": "^([0-9a-f]{2}){1,16}$"},
        ),
        _number("threshold", "The threshold that the score was compared with."),
        _text("label_id", "Stable id under which the outcome label will arrive."),
        _group(
            "consumer",
            "What the downstream system said it received and did.",
            _text("name", "The consuming system."),
            _text("received", "The code or value it says it received."),
            _text("action", "What it did, in the decision point's words for outcomes."),
            _time("at", "When it acted."),
        ),
        _group(
            "cache",
            "The cache entry that answered, or did not.",
            _flag("hit", "True when the answer came from the cache."),
            _text("key_digest", "SHA-256 of the cache key."),
            _time("written_at", "When the entry was made."),
            _text("model_digest", "Model that made the entry.", rule=_DIGEST),
            _text("config_digest", "Configuration that made the entry.", rule=_DIGEST),
        ),
        _many(
            "steps",
            "Each component's part in the decision, in order.",
            _text("id", "Name of the step within the decision."),
            _text("parent", "The step that it is part of."),
            _text(
                "kind",
                "feature_fetch, model, rules, cache, api, agent, tool, human or consumer.",
            ),
            _text("component", "What ran."),
            _text("version", "Its version."),
            _text("digest", "SHA-256 of the artifact that ran.", rule=_DIGEST),
            _time("started_at", "When it began."),
            _time("ended_at", "When it ended."),
            _json("inputs", "What it was given."),
            _json("outputs", "What it answered."),
            _text("status", "ok or error."),
            _text("error", "The error's text."),
        ),
        _group(
            "explanation",
            "The explanation as given at the time.",
            _text("method", "How it was computed."),
            _text("unit", "log_odds, probability or the score's own unit."),
            _number("base_value", "The value before any feature."),
            _numbers("attributions", "Contribution of each feature."),
            _texts("reasons", "Reasons given to the subject."),
            _text("background_digest", "SHA-256 of the background data.", rule=_DIGEST),
            _text("explainer_version", "Version of the explaining library."),
        ),
        _group(
            "capture",
            "How the record was made.",
            _text("emitter", "The emitting system."),
            _text("sdk_version", "Version of its recorder."),
            _number("sampling_rate", "Share of decisions that are recorded, 0 to 1."),
            _integer("dropped", "Records lost before this one, as counted by the writer."),
            _texts("masked", "Paths whose values were masked."),
            _texts("erased", "Paths whose values were erased."),
        ),
        _text("raw_request", "The request as received, as text."),
    ]
)

CHANGE = pa.schema(
    [
        _text("change_id", "Unique name of the change.", required=True, rule=_ID),
        _time("occurred_at", "From when on things were different.", required=True),
        _text(
            "kind",
            "What sort of change.",
            required=True,
            enum=(
                "deploy",
                "config",
                "flag",
                "pipeline",
                "artifact",
                "schema",
                "override",
                "control",
                "other",
            ),
        ),
        _text("component", "What changed.", required=True),
        _text("decision_point", "The decision point it concerns; all where absent.", rule=_POINT),
        _text("environment", "Where; everywhere where absent."),
        _text("from_version", "What was in force before."),
        _text("to_version", "What is in force since."),
        _text("from_digest", "Artifact before.", rule=_DIGEST),
        _text("to_digest", "Artifact since.", rule=_DIGEST),
        _texts("features", "Features it feeds, for a pipeline."),
        _text("run_id", "The pipeline run, where it is one."),
        _number("traffic_share", "Share of traffic it applies to, 0 to 1."),
        _text("actor", "Who did it."),
        _text("reviewed_by", "Who approved it."),
        _text("reason", "Why."),
        _time("recorded_at", "When we knew."),
        _time("expires_at", "When it ends by itself."),
        _json("detail", "Anything else the emitter said."),
    ]
)

OVERRIDE = pa.schema(
    [
        _text("override_id", "Unique name of the override.", required=True, rule=_ID),
        _text("decision_id", "The decision that was overridden.", required=True, rule=_ID),
        _text("request_id", "Its request.", rule=_ID),
        _text("decision_point", "Its decision point.", rule=_POINT),
        _time("occurred_at", "When it was overridden.", required=True),
        _text("actor", "Who did it.", required=True),
        _text("role", "In what role."),
        _text("authority", "By what authority."),
        _text("scope", "What it covers."),
        _time("expires_at", "Until when."),
        _text("reason", "Why."),
        _text("original_outcome", "What had been decided."),
        _text("final_outcome", "What holds now.", required=True),
        _flag("reversible", "Whether it can be undone."),
        _time("recorded_at", "When we knew."),
    ]
)

OUTCOME = pa.schema(
    [
        _text("decision_id", "The decision that the label belongs to.", required=True, rule=_ID),
        _text("request_id", "Its request.", rule=_ID),
        _text("decision_point", "Its decision point.", rule=_POINT),
        _text("label", "What turned out to be true.", required=True),
        _time("occurred_at", "When it became true."),
        _time("arrived_at", "When it was known.", required=True),
        _text("source", "Who says so."),
    ]
)

DECLARATION = pa.schema(
    [
        _text("declaration_id", "Unique name of the declaration.", required=True, rule=_ID),
        _text("decision_point", "The decision point it describes.", required=True, rule=_POINT),
        _time(
            "occurred_at",
            "From when on it holds; a later one of the same decision point replaces it.",
            required=True,
        ),
        _many(
            "features",
            "What each feature is, where it comes from and what it may be.",
            _text("name", "The feature's name in decisions."),
            _text("dataset", "Dataset that it is served from, as namespace/name."),
            _text("column", "Its column there; the feature's name where absent."),
            _text("job", "Job that writes the dataset, as namespace/name."),
            _text("unit", "Its unit, e.g. EUR, ratio, s."),
            _number("max_age_s", "The oldest that a value may be when it is used, in seconds."),
            _number("trained_low", "Least value that the model was trained on."),
            _number("trained_high", "Greatest value that the model was trained on."),
            _texts("trained_values", "The values it was trained on, of a feature that is text."),
            _json("default", "The value that stands in where none was found."),
            _group(
                "history",
                "Where the values of the past are kept, to be looked up as of a time.",
                _text("path", "Parquet files: a path or pattern, from the lake's folder."),
                _text("key", "Column that names the subject."),
                _text("time", "Column with the time from which a value was true."),
                _text("written", "Column with the time when the value was written."),
            ),
        ),
        _texts(
            "steps", "Ids, or else kinds, of the steps that every decision must have, in order."
        ),
        _number("cache_max_age_s", "The oldest that a cache entry may be when it answers."),
        _texts(
            "serving_environments",
            "Environments whose outcomes may be acted on; production and canary where absent.",
        ),
        _text("actor", "Who declared it."),
        _text("reviewed_by", "Who approved it."),
        _time("recorded_at", "When we knew."),
    ]
)

ACCESS = pa.schema(
    [
        _text("access_id", "Unique name of the look.", required=True, rule=_ID),
        _time("occurred_at", "When somebody looked.", required=True),
        _text("actor", "Who looked: the system's user, or the name of a token.", required=True),
        _text("role", "In what role."),
        _text("how", "By what: trace, find, tui, report, and so on.", required=True),
        _text("decision_point", "The decision point, where one was asked about.", rule=_POINT),
        _texts("decision_ids", "The decisions that were shown; of many the first ones."),
        _integer("decisions", "How many decisions were shown."),
        _time("shown_from", "When the first of many decisions that were shown was made."),
        _time("shown_to", "When the last of them was made."),
        _texts("unmasked", "Paths of personal fields that were shown in the clear."),
        _text("question", "SHA-256 of the question, which may name a person itself."),
        _text("case", "The case that it was for."),
        _text("reason", "Why."),
        _text("host", "On which machine."),
        _time("recorded_at", "When we knew."),
    ]
)

HOLD = pa.schema(
    [
        _text("hold_id", "Unique name of the hold.", required=True, rule=_ID),
        _time("occurred_at", "From when on it holds.", required=True),
        _text("subject", "Token of the person whose records may not be erased.", required=True),
        _text("order", "The order or case that it rests on.", required=True),
        _text("actor", "Who set it.", required=True),
        _text("reason", "Why."),
        _time("expires_at", "Until when; until it is released where absent."),
        _text("releases", "The hold that this one ends.", rule=_ID),
        _time("recorded_at", "When we knew."),
    ]
)

ERASURE = pa.schema(
    [
        _text("erasure_id", "Unique name of the erasure.", required=True, rule=_ID),
        _time("occurred_at", "When it was carried out.", required=True),
        _text("subject", "Token of the person whose records were erased.", required=True),
        _text("order", "The order or request that it rests on.", required=True),
        _text("actor", "Who carried it out.", required=True),
        _text("reason", "Why."),
        _integer("decisions", "How many decisions about the person the lake held."),
        _integer("records", "How many records of other kinds belonged to them."),
        _text("leaves", "SHA-256 over the leaves of all these records, sorted."),
        _time("recorded_at", "When we knew."),
    ]
)

_DATASET = (
    _text("namespace", "The dataset's namespace."),
    _text("name", "Its name."),
    _text("version", "Its version, as the facet `version` says it."),
    _texts("columns", "Names of its columns, as the facet `schema` says them, inner ones dotted."),
    _texts("types", "Types of its columns, in the same order."),
    _integer("rows", "How many rows were read or written, where a facet says so."),
    _many(
        "assertions",
        "What was tested, as the facet `dataQualityAssertions` says it.",
        _text("assertion", "The test."),
        _text("column", "The column that was tested."),
        _flag("success", "Whether it held."),
        _text("severity", "How bad it is where it did not."),
        _text("name", "The test's own name."),
    ),
    _many(
        "symlinks",
        "Other names of the same dataset.",
        _text("namespace", "The namespace."),
        _text("name", "The name."),
    ),
)

#: What the lake keeps of an OpenLineage event beside its bytes: what graphs are made from.
LINEAGE = pa.schema(
    [
        _text("event_id", "SHA-256 of the event's canonical JSON (RFC 8785).", required=True),
        _time("occurred_at", "The event's eventTime.", required=True),
        _text("kind", "What it is about.", required=True, enum=("run", "job", "dataset")),
        _text("event_type", "START, RUNNING, COMPLETE, ABORT, FAIL, OTHER; absent in some."),
        _text("job_namespace", "The job's namespace."),
        _text("job_name", "The job's name."),
        _text("run_id", "The run's id; with the job's names it names one run."),
        _group(
            "parent",
            "The run that it is part of, as the facet `parent` says it.",
            _text("job_namespace", "Its job's namespace."),
            _text("job_name", "Its job's name."),
            _text("run_id", "Its id."),
        ),
        _text("producer", "What sent the event."),
        _text("code_version", "Revision of the job's code, where a facet says so."),
        _text("error", "The error's text, of a run that failed."),
        _many("inputs", "What was read.", *_DATASET),
        _many("outputs", "What was written; the dataset itself in an event about one.", *_DATASET),
        _texts("reads", "The inputs' names and symlinks as namespace/name, to find the event by."),
        _texts("writes", "Those of the outputs."),
        _texts("tested", "Those of the datasets that something was tested of."),
        _many(
            "aliases",
            "Two names of one dataset, as the facet `symlinks` says them.",
            _text("name", "Its own name, as namespace/name."),
            _text("alias", "The other one."),
        ),
        _many(
            "column_edges",
            "Which column came from which, as the facet `columnLineage` says it.",
            _text("output_namespace", "The written dataset's namespace."),
            _text("output_name", "Its name."),
            _text("output_column", "Its column; absent where the whole dataset depends on it."),
            _text("input_namespace", "The read dataset's namespace."),
            _text("input_name", "Its name."),
            _text("input_column", "Its column; absent where the whole dataset is the source."),
            _text(
                "transformation",
                "Type and subtype, e.g. DIRECT/IDENTITY; several are joined by a comma.",
            ),
        ),
    ]
)

#: Columns that the lake adds to every record it keeps.
KEPT = (
    pa.field("raw", pa.binary(), metadata={"doc": "The exact bytes that were received."}),
    pa.field(
        "salt",
        pa.binary(),
        metadata={"doc": "16 random bytes that hide the raw bytes in the leaf."},
    ),
    pa.field(
        "leaf", pa.binary(), metadata={"doc": "Transparency-log leaf hash over salt and raw bytes."}
    ),
    pa.field("segment", pa.string(), metadata={"doc": "The sealed batch that the record came in."}),
    pa.field(
        "leaf_index", pa.int64(), metadata={"doc": "Position of the leaf within its segment."}
    ),
    pa.field(
        "source", pa.string(), metadata={"doc": "Digest of the ingested file, and the form it had."}
    ),
    pa.field(
        "reading",
        pa.string(),
        metadata={"doc": "How the bytes were read, where they are not in the contract's own form."},
    ),
    pa.field("ingested_at", TIMESTAMP, metadata={"doc": "When the lake received it."}),
    pa.field(
        "exact",
        pa.map_(pa.string(), pa.string()),
        metadata={"doc": "Values as written where the column's type cannot hold them, by path."},
    ),
    pa.field(
        "extra",
        pa.string(),
        metadata={"doc": "Fields outside the contract, as one JSON object by path."},
    ),
)

_EVIDENCE = _text("evidence", "How this is known.", required=True, enum=EVIDENCE)
_REASON = _text("reason", "Why it is missing, or by which rule it is redacted.")

RECONSTRUCTION = pa.schema(
    [
        _text("request_id", "The id that was asked for.", required=True),
        _group(
            "decision",
            "What was decided.",
            _text("decision_id", "The decision's id.", required=True),
            _text("decision_point", "Where it was decided.", required=True),
            _time("occurred_at", "When.", required=True),
            _text("environment", "In which environment."),
            _text("subject", "About whom."),
            _text("outcome", "What was decided.", required=True),
            _number("score", "The score."),
            _number("threshold", "The threshold it was compared with."),
            _number("duration_ms", "How long deciding took."),
            _json("override", "The last override of it, where there is one."),
            _json("outcome_label", "What turned out to be true, where it is known."),
            _json("consumer", "What the downstream system received and did."),
            _json("cache", "The cache entry that answered."),
            _EVIDENCE,
            required=True,
        ),
        _group(
            "model",
            "By which model.",
            _text("name", "Its name."),
            _text("version", "Its version."),
            _text("digest", "SHA-256 of its file."),
            _text("runtime", "The library and version that ran it."),
            _EVIDENCE,
            _REASON,
            required=True,
        ),
        _group(
            "config",
            "Under which configuration.",
            _text("digest", "SHA-256 of the resolved configuration."),
            _text("revision", "Its revision."),
            _json("values", "The resolved values."),
            _EVIDENCE,
            _REASON,
            required=True,
        ),
        _many(
            "features",
            "From what.",
            _text("name", "The feature.", required=True),
            _json("value", "Its value, as written."),
            _text("type", "Its type in the lake.", required=True),
            _text("source", "Dataset and view it came from."),
            _text("column", "Its column in the dataset."),
            _time("event_time", "The time it was true for."),
            _number("age_s", "Its age at decision time, in seconds."),
            _text("status", "PRESENT, NULL, NOT_FOUND or OUTSIDE_MAX_AGE."),
            _text("producing_job", "The job that wrote it."),
            _text("producing_run", "The run that wrote it."),
            _group(
                "run",
                "What is known of that run from lineage events.",
                _text("state", "How it ended: COMPLETE, FAIL, ABORT, or how far it was."),
                _time("started_at", "When it began."),
                _time("ended_at", "When it ended."),
                _text("code_version", "Revision of the job's code."),
                _text("previous_code_version", "That of the run before it, where it differs."),
                _text("parent_job", "The job of the run that it is part of, e.g. of dbt."),
                _text("parent_run", "That run."),
                _many(
                    "tests",
                    "What was tested of the dataset by decision time, the newest result of each.",
                    _text("assertion", "The test.", required=True),
                    _text("column", "The column that was tested."),
                    _flag("success", "Whether it held.", required=True),
                ),
                _EVIDENCE,
                _REASON,
            ),
            _group(
                "as_of",
                "What the feature's history says the value was at decision time.",
                _json("value", "The value that was true and written by then."),
                _time("true_from", "From when it was true."),
                _time("written_at", "When it was written."),
                _flag("agrees", "Whether it is the value that was served."),
                _EVIDENCE,
                _REASON,
            ),
            _group(
                "usual",
                "What was usual in the days before; absent where those are not in the lake.",
                _number("median", "Median of the days' medians.", required=True),
                _number("q01", "Median of the days' first percentiles.", required=True),
                _number("q99", "Median of the days' last percentiles.", required=True),
                _integer("days", "How many days.", required=True),
                _flag("within", "Whether the value lies between the two.", required=True),
            ),
            _EVIDENCE,
            _REASON,
            required=True,
        ),
        _group(
            "attributions",
            "Which inputs drove it.",
            _text("method", "How they were computed."),
            _number("base_value", "The value before any feature."),
            _number("threshold_value", "The threshold in the same unit."),
            _text("unit", "The unit of the values."),
            _many(
                "values",
                "Contribution of each feature, largest first.",
                _text("feature", "The feature.", required=True),
                _number("value", "Its contribution.", required=True),
            ),
            _number("additivity_error", "Largest difference between the sum and the score."),
            _text("output", "The output that is explained, where the model has several."),
            _group(
                "background",
                "The rows that were integrated over; absent where none are needed.",
                _text("digest", "Their artifact.", required=True),
                _integer("rows", "How many: all of the artifact's.", required=True),
            ),
            _number("standard_error", "Largest standard error; 0 where the method is exact."),
            _integer("seed", "Seed of the samples, where the method draws some."),
            _group(
                "agreement",
                "How the recorded attributions compare with recomputed ones.",
                _text("method", "How those were computed."),
                _text("unit", "The unit compared in."),
                _number("max_difference", "Largest difference of two values."),
                _text("feature", "Where it is."),
                _flag("same_sign", "Whether all values have the same sign."),
                _flag("top_order", "Whether the largest four are the same in the same order."),
            ),
            _EVIDENCE,
            _REASON,
            required=True,
        ),
        _many(
            "counterfactuals",
            "What would have changed it.",
            _many(
                "changes",
                "The features that differ.",
                _text("feature", "The feature.", required=True),
                _json("from", "Its value in the decision."),
                _json("to", "Its value in the counterfactual."),
                _text("statement", "The range of values with the same effect, in words."),
                required=True,
            ),
            _text("outcome", "The outcome with them.", required=True),
            _number("score", "The score with them."),
            _number("distance", "Size of the change, in each feature's usual spread."),
            _flag(
                "verified", "True when the whole decision was replayed with them.", required=True
            ),
            _EVIDENCE,
            required=True,
        ),
        _group(
            "counterfactual_search",
            "What the search for them proved.",
            _text(
                "status",
                "What is known of the nearest change; absent when none was searched for.",
                enum=SEARCHES,
            ),
            _number("lower_bound", "No change that flips the outcome has a smaller distance."),
            _text("statement", "That in words."),
            _EVIDENCE,
            _REASON,
            required=True,
        ),
        _many(
            "steps",
            "How it came about.",
            _text("id", "The step."),
            _text("kind", "Its kind."),
            _text("component", "What ran."),
            _text("version", "Its version."),
            _text("digest", "Its artifact."),
            _time("started_at", "When it began."),
            _number("offset_ms", "Milliseconds after the decision's first step began."),
            _number("duration_ms", "How long it took."),
            _json("inputs", "What it was given."),
            _json("outputs", "What it answered."),
            _text("status", "ok or error."),
            _text("error", "The error's text."),
            _EVIDENCE,
            required=True,
        ),
        _group(
            "replay",
            "Whether the recorded artifacts give the recorded answer.",
            _text("verdict", "The verdict; absent when replay was not asked for.", enum=VERDICTS),
            _json("recorded", "Score and outcome as recorded."),
            _json("replayed", "Score and outcome as replayed."),
            _group(
                "first_divergence",
                "The first step that differs.",
                _text("step", "The step.", required=True),
                _json("recorded", "Its recorded output."),
                _json("replayed", "Its replayed output."),
                _text("statement", "What that means, in words."),
            ),
            _texts("missing", "What replay needs and was never recorded."),
            _group(
                "runtime",
                "What it ran under.",
                _text("recorded", "Library and version at the time."),
                _text("replayed", "Library and version now."),
            ),
            _many(
                "steps",
                "Step by step through the decision logic.",
                _text("step", "The step.", required=True),
                _text("kind", "Its kind.", required=True),
                _text(
                    "status",
                    "Whether replay gives what was recorded.",
                    required=True,
                    enum=STEP_STATUSES,
                ),
                _json("recorded", "Its recorded value."),
                _json("replayed", "Its replayed value."),
                _REASON,
            ),
            _EVIDENCE,
            _REASON,
            required=True,
        ),
        _many(
            "changes",
            "What became different before this decision, newest first.",
            _text("change_id", "The change."),
            _time("occurred_at", "When.", required=True),
            _number("before_s", "Seconds before the decision."),
            _text("kind", "What sort.", required=True),
            _text("component", "Of what.", required=True),
            _text("from_version", "Before."),
            _text("to_version", "Since."),
            _text("environment", "Where; everywhere where absent."),
            _text("run_id", "The pipeline run, where it is one."),
            _texts("features", "Features it feeds."),
            _text("statement", "In words."),
            _time("known_at", "When we knew."),
            _text(
                "source",
                "What says so: a record of the change, or what others show.",
                enum=("changes", "decisions", "lineage", "declarations", "overrides"),
            ),
            _text(
                "agreement",
                "Whether what was announced was seen, and what was seen announced.",
                enum=("confirmed", "unseen", "unannounced"),
            ),
            _time("seen_at", "The first use or run that shows it."),
            _EVIDENCE,
            required=True,
        ),
        _many(
            "findings",
            "What is odd.",
            _text("kind", "The detector.", required=True),
            _text(
                "severity",
                "How bad.",
                required=True,
                enum=("error", "warning", "info", "not_checkable"),
            ),
            _text("statement", "What it found, in words.", required=True),
            _json("detail", "The values it rests on."),
            _EVIDENCE,
            required=True,
        ),
        _group(
            "completeness",
            "What the evidence is good for.",
            _text(
                "class",
                "The class reached; none below C0.",
                enum=("C0", "C1", "C2", "none"),
                required=True,
            ),
            _many(
                "missing",
                "What keeps it from the next class.",
                _text("field", "The field.", required=True),
                _text("reason", "What cannot be said without it.", required=True),
            ),
            required=True,
        ),
        _group(
            "integrity",
            "Where its proof is.",
            _text("segment", "The segment."),
            _integer("leaf_index", "Its position in the segment."),
            _text("leaf", "The leaf hash, in hexadecimal."),
            _flag("verified", "True when the leaf was recomputed from the received bytes."),
            _EVIDENCE,
            _REASON,
            required=True,
        ),
    ]
)

SCHEMAS: dict[str, pa.Schema] = {
    "decision": DECISION,
    "change": CHANGE,
    "override": OVERRIDE,
    "outcome": OUTCOME,
    "declaration": DECLARATION,
    "access": ACCESS,
    "hold": HOLD,
    "erasure": ERASURE,
    "lineage": LINEAGE,
    "reconstruction": RECONSTRUCTION,
}


def field_rules(field: pa.Field) -> dict[str, Any]:
    """What a field's metadata says: ``doc``, ``required``, ``enum``, ``rule``, ``json``."""
    meta = {key.decode(): value.decode() for key, value in (field.metadata or {}).items()}
    return {
        "doc": meta.get("doc", ""),
        "required": meta.get("required") == "true",
        "enum": json.loads(meta["enum"]) if "enum" in meta else None,
        "rule": json.loads(meta["rule"]) if "rule" in meta else {},
        "json": meta.get("json") == "true",
    }
