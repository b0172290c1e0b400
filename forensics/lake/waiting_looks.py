"""Looks that wait to be taken into the table ``access``: written down, and not yet sealed."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

from forensics.lake.spooled import look_files, unsigned
from forensics.records.jsontext import loads


def waiting(root: Path, decisions: Collection[str]) -> Iterator[dict[str, Any]]:
    """Looks at any of ``decisions`` that wait, as mappings, in no order; times are datetimes.

    A line that is being written at this moment, or is not what was written, is left out: verify
    names it, and whoever takes it in puts it into quarantine.
    """
    for path in look_files(root):
        try:
            lines = path.read_bytes().splitlines()
        except OSError:  # it is not there, or somebody takes it in just now
            continue
        for line in lines:
            try:
                look = loads((unsigned(line) or b"").decode())
                look["occurred_at"] = datetime.fromisoformat(look["occurred_at"])
                seen = not set(look.get("decision_ids") or ()).isdisjoint(decisions)
            except (ValueError, KeyError, TypeError):
                continue
            if seen:
                yield look
