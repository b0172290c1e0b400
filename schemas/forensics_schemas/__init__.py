"""The record contract: declared in :mod:`forensics_schemas.kinds`, JSON Schemas generated from it.

The package is data first: ``*.schema.json`` lie beside this file, and reading one needs no pyarrow.
"""

import json
from importlib.resources import files
from typing import Any

KINDS = (
    "decision", "change", "override", "outcome", "declaration", "access", "hold", "erasure",
    "policy", "reconstruction",
)  # fmt: skip


def json_schema(kind: str) -> dict[str, Any]:
    """The published JSON Schema (draft 2020-12) of one record kind.

    Raises:
        KeyError: when ``kind`` is not one of :data:`KINDS`.
    """
    if kind not in KINDS:
        raise KeyError(kind)
    text = files(__package__).joinpath(f"{kind}.schema.json").read_text(encoding="utf-8")
    schema: dict[str, Any] = json.loads(text)
    return schema
