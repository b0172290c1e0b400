"""What is done to a lake: taking records in, keeping it fast, erasing, and who looked."""

from __future__ import annotations

from datetime import datetime
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.api.opened import Opened
from forensics.api.times import instants

if TYPE_CHECKING:
    from forensics.ingest.forget import Erasure
    from forensics.ingest.interface import Options
    from forensics.ingest.run import Report
    from forensics.lake.compact import Compaction


class Upkeep(Opened):
    """What is done to a lake, and who looked at it."""

    def ingest(self, path: str | PathLike[str], options: Options | None = None) -> Report:
        """Take a file of records in; its form is told by its content."""
        from forensics.ingest.interface import NO_OPTIONS
        from forensics.ingest.run import run
        from forensics.ingest.sources import open_source

        return run(self.root, open_source(Path(path)), options or NO_OPTIONS)

    def compact(self) -> Compaction:
        """Merge small files, so that scans stay fast; look-ups are so already."""
        from forensics.ingest.reread import differences
        from forensics.lake.compact import compact

        return compact(self.root, compare=differences)

    def accesses(
        self,
        decision: str | None = None,
        *,
        subject: str | None = None,
        actor: str | None = None,
        case: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        limit: int | None = None,
    ) -> list[dict[str, Any]]:
        """Looks at decisions, newest first; those that wait are taken in first.

        Args:
            decision: only looks at what this request or decision id names.
            subject: only looks at decisions about this one.
            actor: only looks of this user or token.
            case: only looks for this case.
            since: from this time on.
            until: before this time.
            limit: at most so many, the newest.

        Raises:
            NotFoundError: when no decision has that id.
            IntegrityError: when a data file cannot be read.
        """
        from forensics.ingest.looks import land
        from forensics.lake.accesses import Asked, accesses, decisions_of
        from forensics.reconstruct.named import named

        land(self.root)
        snapshot = self.snapshot()
        ids: frozenset[str] | None = None
        if decision is not None:
            found = named(snapshot, snapshot.locate(decision), decision, look=False)
            ids = frozenset(one.decision_id for _, one in found)
        if subject is not None:
            theirs = decisions_of(snapshot, subject)
            ids = theirs if ids is None else ids & theirs
        start, end = instants(since, until)
        return list(accesses(snapshot, Asked(ids, actor, case, start, end, limit)))

    def erase(self, subject: str, order: str, *, reason: str | None = None) -> Erasure:
        """Erase what the lake says of a person; see :func:`forensics.ingest.forget.erase`."""
        from forensics.ingest.forget import erase

        return erase(self.root, subject, order, reason=reason)
