"""Names of the contract's fields, for messages and checks."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas.arrow import SCHEMAS

_INPUTS = (
    "decision", "change", "override", "outcome", "declaration", "access", "hold", "erasure",
)  # fmt: skip


def known_fields() -> list[str]:
    """Every field of every input record, groups as ``group.field``, sorted."""
    names = {"record", "features"}
    for kind in _INPUTS:
        for field in SCHEMAS[kind]:
            names.add(field.name)
            if pa.types.is_struct(field.type):
                names |= {f"{field.name}.{child.name}" for child in field.type}
    return sorted(names)
