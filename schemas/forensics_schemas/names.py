"""Names of the contract's fields, for messages and checks."""

from __future__ import annotations

import pyarrow as pa

from forensics_schemas import KINDS
from forensics_schemas.arrow import SCHEMAS


def known_fields() -> list[str]:
    """Every field of every input record, groups as ``group.field``, sorted."""
    names = {"record", "features"}
    for kind in KINDS:
        if kind == "reconstruction":  # which the program writes itself
            continue
        for field in SCHEMAS[kind]:
            names.add(field.name)
            if pa.types.is_struct(field.type):
                names |= {f"{field.name}.{child.name}" for child in field.type}
    return sorted(names)
