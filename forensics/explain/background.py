"""Background rows, pinned by digest: what interventional attributions compare a decision with."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from forensics.errors import NotFoundError
from forensics.lake.artifacts import PREFIX, digest_of
from forensics.lake.rows import read_rows
from forensics.records.decision import Decision
from forensics.replay.evidence import Artifacts


class BackgroundRows(NamedTuple):
    """Rows of features by name, all that the artifact has."""

    digest: str
    rows: Sequence[Mapping[str, Any]]


def load(given: str, artifacts: Artifacts) -> BackgroundRows:
    """The rows that ``given`` names: a digest in the lake, or a file.

    Raises:
        NotFoundError: when the lake has no such artifact, or there is no such file.
        UsageError: when it holds no rows.
    """
    if given.startswith(PREFIX):
        data = artifacts.read(given)
        if data is None:
            raise NotFoundError(
                f"No artifact {given[:19]}… in this lake.", "",
                "Take it in: forensics ingest --format artifact FILE",
            )  # fmt: skip
    else:
        try:
            data = Path(given).read_bytes()
        except OSError as error:
            raise NotFoundError(f"{given} cannot be read.", f"{error.strerror}.") from error
    return BackgroundRows(digest_of(data), read_rows(data, given))


def declared(decision: Decision, config: Mapping[str, Any]) -> str | None:
    """The digest of the background that the record names, or else the configuration."""
    found = decision.explanation.get("background_digest") or config.get("background_digest")
    return str(found) if found else None
