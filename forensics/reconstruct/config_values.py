"""The values of a configuration that is kept as an artifact."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forensics.errors import ForensicsError
from forensics.lake.artifacts import ArtifactStore
from forensics.records.jsontext import loads


def config_values(artifacts: ArtifactStore, digest: str) -> Mapping[str, Any] | None:
    """The values of the configuration ``digest``; None where it is not there or no JSON object."""
    try:
        data = artifacts.read(digest)
        values = loads(data.decode()) if data is not None else None
    except (ForensicsError, ValueError):
        return None
    return values if isinstance(values, dict) else None
