"""That a person's records were erased."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import ID, integer, text, time

ERASURE = pa.schema(
    [
        text("erasure_id", "Unique name of the erasure.", required=True, rule=ID),
        time("occurred_at", "When it was carried out.", required=True),
        text("subject", "Token of the person whose records were erased.", required=True),
        text("order", "The order or request that it rests on.", required=True),
        text("actor", "Who carried it out.", required=True),
        text("reason", "Why."),
        integer("decisions", "How many decisions about the person the lake held."),
        integer("records", "How many records of other kinds belonged to them."),
        text("leaves", "SHA-256 over the leaves of all these records, sorted."),
        time("recorded_at", "When we knew."),
    ]
)
