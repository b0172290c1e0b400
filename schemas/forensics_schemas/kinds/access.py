"""That somebody looked at decisions."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import ID, POINT, integer, text, texts, time

ACCESS = pa.schema(
    [
        text("access_id", "Unique name of the look.", required=True, rule=ID),
        time("occurred_at", "When somebody looked.", required=True),
        text("actor", "Who looked: the system's user, or the name of a token.", required=True),
        text("role", "In what role."),
        text("how", "By what: trace, find, tui, report, and so on.", required=True),
        text("decision_point", "The decision point, where one was asked about.", rule=POINT),
        texts("decision_ids", "The decisions that were shown; of many the first ones."),
        integer("decisions", "How many decisions were shown."),
        time("shown_from", "When the first of many decisions that were shown was made."),
        time("shown_to", "When the last of them was made."),
        texts("unmasked", "Paths of personal fields that were shown in the clear."),
        text("question", "SHA-256 of the question, which may name a person itself."),
        text("case", "The case that it was for."),
        text("reason", "Why."),
        text("host", "On which machine."),
        time("recorded_at", "When we knew."),
    ]
)
