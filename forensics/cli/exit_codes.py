"""What the exit status says."""

from __future__ import annotations

from enum import IntEnum

from forensics.errors import (
    ForensicsError,
    IntegrityError,
    NotFoundError,
    UsageError,
)


class ExitCode(IntEnum):
    """Exit status of every command."""

    #: Answered.
    ANSWERED = 0
    #: Failed: the lake, a file or this program.
    FAILED = 1
    #: The question cannot be asked so.
    USAGE = 2
    #: What was asked for is not there.
    NOT_FOUND = 3
    #: Answered, but evidence is incomplete, replay diverged, or records went to quarantine.
    INCOMPLETE = 4
    #: Evidence is not what was sealed.
    INTEGRITY = 5
    #: Stopped by an interrupt (Ctrl-C), as shells count it.
    STOPPED = 130


def of(error: type[ForensicsError]) -> ExitCode:
    """The exit status for an error class."""
    for class_, code in (
        (UsageError, ExitCode.USAGE),
        (NotFoundError, ExitCode.NOT_FOUND),
        (IntegrityError, ExitCode.INTEGRITY),
    ):
        if issubclass(error, class_):
            return code
    return ExitCode.FAILED
