"""The last checkpoint that was seen of each lake, remembered outside of it.

Whoever can replace a whole lake can replace it by an older one, signed and whole. Only somebody who
remembers sees that.
"""

from __future__ import annotations

import os
from pathlib import Path

from forensics.lake.files import write_durably


def path_of(lake_id: str) -> Path:
    """Where the checkpoint of a lake is remembered: the XDG state folder."""
    base = os.environ.get("XDG_STATE_HOME")
    state = Path(base) if base else Path.home() / ".local" / "state"
    return state / "decision-forensics" / f"{lake_id}.checkpoint"


def recall(lake_id: str) -> bytes | None:
    """The note that was remembered; None where nothing was."""
    try:
        return path_of(lake_id).read_bytes()
    except FileNotFoundError:
        return None


def remember(lake_id: str, note: bytes) -> None:
    """Remember a checkpoint that was found to hold."""
    path = path_of(lake_id)
    if recall(lake_id) != note:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, note)
