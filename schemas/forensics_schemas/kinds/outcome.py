"""What turned out to be true about one decision, arriving later."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import ID, POINT, text, time

OUTCOME = pa.schema(
    [
        text("decision_id", "The decision that the label belongs to.", required=True, rule=ID),
        text("request_id", "Its request.", rule=ID),
        text("decision_point", "Its decision point.", rule=POINT),
        text("label", "What turned out to be true.", required=True),
        time("occurred_at", "When it became true."),
        time("arrived_at", "When it was known.", required=True),
        text("source", "Who says so."),
    ]
)
