"""One base error: what happened, why, and what to do next.

Every error that a person can meet derives from :class:`ForensicsError`, so that the command line
has one place that turns errors into words and exit codes, and a library user one class to catch.
"""

from __future__ import annotations


class ForensicsError(Exception):
    """What happened, why, and what to do next, each as one sentence or fragment.

    Args:
        what: what happened, with the names and values concerned.
        why: the cause, where it is known.
        todo: what the reader can do about it.
    """

    def __init__(self, what: str, why: str = "", todo: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.why = why
        self.todo = todo

    def __str__(self) -> str:
        return " ".join(part for part in (self.what, self.why, self.todo) if part)


class UsageError(ForensicsError):
    """The question itself cannot be asked: a malformed time, expression, name or option."""


class NotFoundError(ForensicsError):
    """What was asked for is not in the lake; says where was looked and what is nearest.

    Args:
        nearest: the nearest ids that do exist, best first.
    """

    def __init__(
        self, what: str, why: str = "", todo: str = "", *, nearest: tuple[str, ...] = ()
    ) -> None:
        super().__init__(what, why, todo)
        self.nearest = nearest


class LakeError(ForensicsError):
    """The lake cannot be opened, or a table in it is not what it should be."""


class SchemaError(ForensicsError):
    """A record or file contradicts the contract or what the lake already holds."""


class IntegrityError(ForensicsError):
    """Evidence is not what was sealed: a checksum, digest or leaf does not match."""


class ReplayError(ForensicsError):
    """A model or rule set could not be run here."""


class DependencyError(ForensicsError):
    """An optional package is needed and not installed."""
