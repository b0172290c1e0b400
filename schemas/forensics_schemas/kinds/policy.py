"""What is personal and who may see it from then on."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import DIGEST, ID, text, time

POLICY = pa.schema(
    [
        text("policy_id", "Unique name of the version.", required=True, rule=ID),
        time("occurred_at", "From when on it is in force.", required=True),
        text("digest", "SHA-256 of the file's bytes.", required=True, rule=DIGEST),
        text("text", "The file as written; absent where there is none from then on."),
        text("actor", "Who put it in force.", required=True),
        text("reason", "Why."),
        text("host", "On which machine."),
        time("recorded_at", "When we knew."),
    ]
)
