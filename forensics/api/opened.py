"""What every question to a lake stands on: its newest state, and the processes that run models."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from forensics.lake.artifacts import ArtifactStore
from forensics.lake.snapshot import Snapshot, take

if TYPE_CHECKING:
    from forensics.replay.client import Workers


class Opened:
    """A lake in one folder, and what is kept between two questions to it."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.artifacts = ArtifactStore(root)
        self._last: Snapshot | None = None
        self._workers: Workers | None = None

    def snapshot(self) -> Snapshot:
        """The lake as it is now; the last one again where nothing was committed since."""
        new = take(self.root)
        if self._last is None or new != self._last:
            self._last = new
        return self._last

    def snapshot_with(self, decision_point: str | None) -> Snapshot:
        """The lake as it is now, which must have the decision point, where one is named.

        Raises:
            UsageError: when it has not.
        """
        snapshot = self.snapshot()
        snapshot.points(decision_point)  # refuses one that is not there
        return snapshot

    def workers(self) -> Workers:
        """The model processes, which stay for the next question until :meth:`close`."""
        if self._workers is None:
            from forensics.replay.client import Workers

            self._workers = Workers()
        return self._workers

    def close(self) -> None:
        """End the model processes that answers have left running."""
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()
