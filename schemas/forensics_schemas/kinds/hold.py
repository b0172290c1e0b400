"""That a person's records may not be erased."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import ID, text, time

HOLD = pa.schema(
    [
        text("hold_id", "Unique name of the hold.", required=True, rule=ID),
        time("occurred_at", "From when on it holds.", required=True),
        text("subject", "Token of the person whose records may not be erased.", required=True),
        text("order", "The order or case that it rests on.", required=True),
        text("actor", "Who set it.", required=True),
        text("reason", "Why."),
        time("expires_at", "Until when; until it is released where absent."),
        text("releases", "The hold that this one ends.", rule=ID),
        time("recorded_at", "When we knew."),
    ]
)
