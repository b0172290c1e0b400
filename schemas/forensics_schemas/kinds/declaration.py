"""What a decision point's features are and come from, and what it must do."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import ID, POINT, group, json_value, many, number, text, texts, time

DECLARATION = pa.schema(
    [
        text("declaration_id", "Unique name of the declaration.", required=True, rule=ID),
        text("decision_point", "The decision point it describes.", required=True, rule=POINT),
        time(
            "occurred_at",
            "From when on it holds; a later one of the same decision point replaces it.",
            required=True,
        ),
        many(
            "features",
            "What each feature is, where it comes from and what it may be.",
            text("name", "The feature's name in decisions."),
            text("dataset", "Dataset that it is served from, as namespace/name."),
            text("column", "Its column there; the feature's name where absent."),
            text("job", "Job that writes the dataset, as namespace/name."),
            text("unit", "Its unit, e.g. EUR, ratio, s."),
            number("max_age_s", "The oldest that a value may be when it is used, in seconds."),
            number("trained_low", "Least value that the model was trained on."),
            number("trained_high", "Greatest value that the model was trained on."),
            texts("trained_values", "The values it was trained on, of a feature that is text."),
            json_value("default", "The value that stands in where none was found."),
            group(
                "history",
                "Where the values of the past are kept, to be looked up as of a time.",
                text("path", "Parquet files: a path or pattern, from the lake's folder."),
                text("key", "Column that names the subject."),
                text("time", "Column with the time from which a value was true."),
                text("written", "Column with the time when the value was written."),
            ),
        ),
        texts("steps", "Ids, or else kinds, of the steps that every decision must have, in order."),
        number("cache_max_age_s", "The oldest that a cache entry may be when it answers."),
        texts(
            "serving_environments",
            "Environments whose outcomes may be acted on; production and canary where absent.",
        ),
        text("actor", "Who declared it."),
        text("reviewed_by", "Who approved it."),
        time("recorded_at", "When we knew."),
    ]
)
