"""Records that this program itself writes: holds, erasures, policies."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forensics.errors import LakeError
from forensics.ingest.assemble import assemble
from forensics.ingest.decode import decode
from forensics.ingest.interface import NO_OPTIONS
from forensics.lake import writer
from forensics.lake.snapshot import Snapshot, take
from forensics.lake.writer import Staged
from forensics.records.jsontext import dumps, time_text
from forensics.records.looker import current


def named(prefix: str) -> str:
    """A new id."""
    return f"{prefix}-{secrets.token_hex(8)}"


def write(root: Path, record: dict[str, Any]) -> None:
    """Write a record of one of our own kinds, durably and sealed, with time and actor.

    Args:
        root: the lake.
        record: with ``record``, its kind; what is None is left out.

    Raises:
        LakeError: when it cannot be written.
    """
    whole = record | {"occurred_at": time_text(datetime.now(UTC)), "actor": current().actor}
    line = dumps({name: value for name, value in whole.items() if value is not None}).encode()
    parsed = assemble("order", [(1, line, decode(line))], {}, NO_OPTIONS, own=True)
    if parsed.rejects:
        why = parsed.rejects[0].reason
        raise LakeError("The record of it could not be written.", f"{why}.", "Nothing was done.")
    ((table, records),) = parsed.tables.items()

    def stage(snapshot: Snapshot) -> Staged:
        return writer.stage(snapshot, table, records)

    writer.commit(root, stage(take(root)), stage)
