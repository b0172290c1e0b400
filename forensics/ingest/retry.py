"""Reading records in quarantine again, as they were or mended."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path

from forensics.errors import UsageError
from forensics.ingest import packed, quarantine
from forensics.ingest.interface import NO_OPTIONS, Options
from forensics.ingest.quarantine import Kept
from forensics.ingest.run import Report, run
from forensics.ingest.sources import json_source


def retry(
    root: Path, kept: Sequence[Kept], options: Options, *, mended: bytes | None = None
) -> Report:
    """Take records in again.

    Args:
        root: the lake.
        kept: what to read again; one that lands leaves the quarantine, and its old bytes stay.
        options: how fields are named; as when the record was first met where none is said.
        mended: the bytes to take instead of those kept, for a single record.

    Raises:
        UsageError: when fields are to be named otherwise by somebody who may not see the record:
            what is personal would land in fields that are not.
    """
    whole = Report()
    may_see = mended is not None or quarantine.may_see(root)
    for item in kept:
        if not may_see and options not in (NO_OPTIONS, Options.from_text(item.reading)):
            raise UsageError(
                f"The fields of {item.id} cannot be named otherwise by you.",
                "You may not see what is in quarantine, and would see it in other fields.",
                f"Give the record mended: forensics ingest --retry {item.id} MENDED_FILE",
            )
        raw = (item.raw if mended is None else mended).strip(b"\r\n")
        stream = packed.buffered(io.BytesIO(raw))
        source = json_source(item.source, stream, first_line=item.line)
        said = options if options != NO_OPTIONS else Options.from_text(item.reading)
        report = run(root, source, said, workers=0)
        if report.landed_total or report.already_present:
            quarantine.resolve(root, [item.id])
        whole.add(report)
    return whole
