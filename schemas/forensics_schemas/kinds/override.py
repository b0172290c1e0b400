"""A person's replacement of one decision's outcome."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import ID, POINT, flag, text, time

OVERRIDE = pa.schema(
    [
        text("override_id", "Unique name of the override.", required=True, rule=ID),
        text("decision_id", "The decision that was overridden.", required=True, rule=ID),
        text("request_id", "Its request.", rule=ID),
        text("decision_point", "Its decision point.", rule=POINT),
        time("occurred_at", "When it was overridden.", required=True),
        text("actor", "Who did it.", required=True),
        text("role", "In what role."),
        text("authority", "By what authority."),
        text("scope", "What it covers."),
        time("expires_at", "Until when."),
        text("reason", "Why."),
        text("original_outcome", "What had been decided."),
        text("final_outcome", "What holds now.", required=True),
        flag("reversible", "Whether it can be undone."),
        time("recorded_at", "When we knew."),
    ]
)
