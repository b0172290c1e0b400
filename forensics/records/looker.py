"""Who is looking: every look at a decision is itself recorded, with who, for which case and why."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Looker:
    """Somebody who looks at decisions.

    Args:
        actor: the system's user, or the name of a token.
        how: by what: a command's name, ``tui``, ``api``.
        role: in what role.
        case: for which case.
        reason: why.
    """

    actor: str
    how: str = "api"
    role: str | None = None
    case: str | None = None
    reason: str | None = None


_current: ContextVar[Looker | None] = ContextVar("looker", default=None)


def current() -> Looker:
    """Who looks now: what :func:`looking` said, else the system's user and the environment.

    ``FORENSICS_ROLE``, ``FORENSICS_CASE`` and ``FORENSICS_REASON`` say role, case and reason.
    """
    told = _current.get()
    if told is not None:
        return told
    say = os.environ.get
    return Looker(
        actor=_user(),
        role=say("FORENSICS_ROLE") or None,
        case=say("FORENSICS_CASE") or None,
        reason=say("FORENSICS_REASON") or None,
    )


def _user() -> str:
    """The name of the user whom the system runs us for, whatever the environment says."""
    try:
        import pwd

        return pwd.getpwuid(os.getuid()).pw_name
    except (ImportError, KeyError):  # not POSIX, or a container's user without a name
        uid = os.getuid() if hasattr(os, "getuid") else "?"
        return f"uid {uid}"


@contextmanager
def looking(**said: str | None) -> Iterator[Looker]:
    """Say who looks, or how, or what for, within this context.

    Args:
        said: fields of :class:`Looker` that are others than now; what is None stays as it is.
    """
    looker = replace(current(), **{name: value for name, value in said.items() if value})
    token = _current.set(looker)
    try:
        yield looker
    finally:
        _current.reset(token)
