"""The library's front: a lake, and the questions it answers; the command line stands on it.

The questions are in one module for each subject, and a :class:`Lake` answers all of them. What an
answer needs is imported when it is asked for.
"""

from __future__ import annotations

from os import PathLike
from pathlib import Path

from forensics.api.found import Found
from forensics.api.history import History
from forensics.api.reports import Reports
from forensics.api.upkeep import Upkeep
from forensics.errors import NotFoundError
from forensics.lake.find import Query


def open_lake(path: str | PathLike[str]) -> Lake:
    """Open the lake at ``path``.

    Raises:
        LakeError: when there is none, or a newer version of this program made it.
    """
    from forensics.lake.layout import identity

    root = Path(path)
    identity(root)
    return Lake(root)


class Lake(Reports, History, Upkeep):
    """The evidence in one folder. Every question sees the newest committed state.

    Answers that replay leave a few model processes running for the next ones; :meth:`close`, or
    using the lake as a context manager, ends them. Use one lake object per thread.
    """


__all__ = ["Found", "Lake", "NotFoundError", "Query", "open_lake"]
