"""Something that was different from then on."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import DIGEST, ID, POINT, json_value, number, text, texts, time

CHANGE = pa.schema(
    [
        text("change_id", "Unique name of the change.", required=True, rule=ID),
        time("occurred_at", "From when on things were different.", required=True),
        text(
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
        text("component", "What changed.", required=True),
        text("decision_point", "The decision point it concerns; all where absent.", rule=POINT),
        text("environment", "Where; everywhere where absent."),
        text("from_version", "What was in force before."),
        text("to_version", "What is in force since."),
        text("from_digest", "Artifact before.", rule=DIGEST),
        text("to_digest", "Artifact since.", rule=DIGEST),
        texts("features", "Features it feeds, for a pipeline."),
        text("run_id", "The pipeline run, where it is one."),
        number("traffic_share", "Share of traffic it applies to, 0 to 1."),
        text("actor", "Who did it."),
        text("reviewed_by", "Who approved it."),
        text("reason", "Why."),
        time("recorded_at", "When we knew."),
        time("expires_at", "When it ends by itself."),
        json_value("detail", "Anything else the emitter said."),
    ]
)
