"""Takes looks at decisions into the lake's table ``access``."""

from __future__ import annotations

from pathlib import Path

from forensics.ingest.json_lines import JsonLines
from forensics.ingest.run import run
from forensics.lake import looks


def land(root: Path) -> int:
    """Take in the looks that wait, and return how many landed.

    The same line twice is one record, so that a process that dies in between does no harm.

    Raises:
        LakeError: when another process holds the lake for long, or it cannot be written.
    """
    if not looks.waiting(root):
        return 0
    with looks.claimed(root) as files:
        return sum(run(root, JsonLines.open(file, own=True)).landed_total for file in files)
