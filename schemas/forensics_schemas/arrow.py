"""Every record kind as an Arrow schema, with its version: the one place that lists the contract.

Each kind is declared in a module of :mod:`forensics_schemas.kinds`. Feature structs are not
declared: each decision point owns its own, learnt from what it records.

Versions are SchemaVer (MODEL-REVISION-ADDITION): a new optional field is an ADDITION, a rule that
old records may break is a REVISION, and one that old readers cannot survive is a MODEL.
"""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.fields import field, integer, text, time
from forensics_schemas.kinds.access import ACCESS
from forensics_schemas.kinds.change import CHANGE
from forensics_schemas.kinds.decision import DECISION
from forensics_schemas.kinds.declaration import DECLARATION
from forensics_schemas.kinds.erasure import ERASURE
from forensics_schemas.kinds.hold import HOLD
from forensics_schemas.kinds.lineage import LINEAGE
from forensics_schemas.kinds.outcome import OUTCOME
from forensics_schemas.kinds.override import OVERRIDE
from forensics_schemas.kinds.policy import POLICY
from forensics_schemas.kinds.reconstruction import RECONSTRUCTION

VERSIONS = {
    "decision": "1-0-0",
    "change": "1-0-0",
    "override": "1-0-0",
    "outcome": "1-0-0",
    "declaration": "1-0-0",
    "access": "1-0-0",
    "hold": "1-0-0",
    "erasure": "1-0-0",
    "policy": "1-0-0",
    "reconstruction": "1-0-0",
}

SCHEMAS: dict[str, pa.Schema] = {
    "decision": DECISION,
    "change": CHANGE,
    "override": OVERRIDE,
    "outcome": OUTCOME,
    "declaration": DECLARATION,
    "access": ACCESS,
    "hold": HOLD,
    "erasure": ERASURE,
    "policy": POLICY,
    "lineage": LINEAGE,
    "reconstruction": RECONSTRUCTION,
}

#: Columns that the lake adds to every record it keeps.
KEPT = (
    field("raw", pa.binary(), "The exact bytes that were received."),
    field("salt", pa.binary(), "16 random bytes that hide the raw bytes in the leaf."),
    field("leaf", pa.binary(), "Transparency-log leaf hash over salt and raw bytes."),
    text("segment", "The sealed batch that the record came in."),
    integer("leaf_index", "Position of the leaf within its segment."),
    text("source", "Digest of the ingested file, and the form it had."),
    text("reading", "How the bytes were read, where they are not in the contract's own form."),
    time("ingested_at", "When the lake received it."),
    field(
        "exact",
        pa.map_(pa.string(), pa.string()),
        "Values as written where the column's type cannot hold them, by path.",
    ),
    text("extra", "Fields outside the contract, as one JSON object by path."),
)
