"""Looks at decisions, on their way into the table ``access``.

To commit each look would cost a trace more than the trace. So a look is a line at the end of
``LAKE/spool/access.log``, with its checksum behind it as blanks, there before anything is shown,
and whoever writes to the lake next takes the lines in. A line is there for good once it is written,
whether or not its process lives on; a power failure may cost the last seconds, as it may cost an
answer that nobody has read yet.
"""

from __future__ import annotations

import hashlib
import os
import sys
import time
import tomllib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forensics.errors import LakeError
from forensics.lake.files import exclusive
from forensics.lake.spooled import signed
from forensics.records.jsontext import dumps, time_text
from forensics.records.looker import Looker, current

if sys.platform != "win32":
    import fcntl

_NAME = "access.log"
_CLAIMED = ".landing"
#: So many decisions are named in one look; how many there were is said in any case.
_IDS_MAX = 1_000
#: Within so many seconds the same look is one look, however often a screen asks.
_SAME_S = 300.0
_last: dict[tuple[object, ...], float] = {}
#: Looks of this process that could not be written down, and why.
unrecorded: list[str] = []


def saw(
    root: Path,
    decision_ids: Iterable[str],
    *,
    decision_point: str | None = None,
    decisions: int | None = None,
    shown: tuple[datetime, datetime] | None = None,
    unmasked: Iterable[str] = (),
    question: str | None = None,
) -> None:
    """Write down that whoever looks now sees some decisions; call it before they are shown.

    Args:
        root: the lake.
        decision_ids: which, or the first of them.
        decision_point: the one that was asked about.
        decisions: how many, where not all are named.
        shown: when the first and the last of these were made.
        unmasked: paths of personal fields that are shown in the clear.
        question: what was asked; only its digest is kept, since it may name a person.

    Raises:
        LakeError: when it cannot be written down, and ``lake.toml`` has ``[access] required``.
    """
    named = list(dict.fromkeys(decision_ids))
    looker, now = current(), datetime.now(UTC)
    role = _role(root, looker)
    clear = sorted(unmasked)
    key = root, looker, tuple(named), decision_point, decisions, question, tuple(clear)
    if time.monotonic() - _last.get(key, -_SAME_S) < _SAME_S:
        return
    _last.clear()  # a look goes on until there is another
    _last[key] = time.monotonic()
    look: dict[str, Any] = {
        "record": "access",
        "access_id": f"a-{os.urandom(12).hex()}",
        "occurred_at": time_text(now),
        "actor": looker.actor,
        "role": role,
        "how": looker.how,
        "decision_point": decision_point,
        "decision_ids": named[:_IDS_MAX],
        "decisions": len(named) if decisions is None else decisions,
        "shown_from": time_text(shown[0]) if shown is not None else None,
        "shown_to": time_text(shown[1]) if shown is not None else None,
        "unmasked": clear or None,
        "question": _digest(question) if question is not None else None,
        "case": looker.case,
        "reason": looker.reason,
        "host": os.uname().nodename if hasattr(os, "uname") else None,
    }
    line = dumps({name: _clean(value) for name, value in look.items() if value is not None})
    try:
        _append(root / "spool" / _NAME, signed(line.encode()) + b"\n")
    except OSError as error:
        why = error.strerror or str(error)
        if _is_required(root):
            raise LakeError(
                "This look cannot be recorded, so nothing is shown.",
                f"{root / 'spool' / _NAME}: {why}.",
                "Make the lake writable; its lake.toml says that access has to be recorded.",
            ) from error
        unrecorded.append(why)


def _role(root: Path, looker: Looker) -> str | None:
    """The role that somebody looks in: one that the policy gives them, where there is a policy."""
    from forensics.lake import policies

    if not policies.is_guarded(root):
        return looker.role
    held = policies.in_force(root).role_of(looker)
    return held.name if held is not None else None


def _clean(value: Any) -> Any:
    """Text that can be written down, whatever bytes it was given as."""
    return value.encode("utf-8", "replace").decode() if isinstance(value, str) else value


def _digest(question: str) -> str:
    return "sha256:" + hashlib.sha256(question.encode()).hexdigest()


def _append(path: Path, line: bytes) -> None:
    while True:
        try:
            descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
        except FileNotFoundError:
            path.parent.mkdir(parents=True, exist_ok=True)
            continue
        try:
            if sys.platform != "win32":
                fcntl.flock(descriptor, fcntl.LOCK_EX)
            if not _is_at(path, descriptor):  # it was claimed while we waited
                continue
            before = os.fstat(descriptor).st_size
            if os.write(descriptor, line) != len(line):  # the disk is full: leave no half line
                os.ftruncate(descriptor, before)
                raise OSError(28, "No space left on device")
            return
        finally:
            os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    try:
        there, ours = path.stat(), os.fstat(descriptor)
    except FileNotFoundError:
        return False
    return (there.st_dev, there.st_ino) == (ours.st_dev, ours.st_ino)


def _is_required(root: Path) -> bool:
    try:
        text = (root / "lake.toml").read_text(encoding="utf-8")
        return bool(tomllib.loads(text).get("access", {}).get("required"))
    except (OSError, ValueError, AttributeError):
        return True  # who cannot tell does not show


def waiting(root: Path) -> bool:
    """Whether looks wait to be taken into the lake."""
    folder = root / "spool"
    path = folder / _NAME
    return (path.is_file() and path.stat().st_size > 0) or any(folder.glob(f"access-*{_CLAIMED}"))


@contextmanager
def claimed(root: Path) -> Iterator[list[Path]]:
    """The files of looks to take in, which nobody writes any more; they are gone afterwards.

    Where taking them in fails, or the process dies, they stay for the next.
    """
    folder = root / "spool"
    path = folder / _NAME
    with exclusive(folder / ".access.lock"):
        if path.is_file() and path.stat().st_size:
            descriptor = os.open(path, os.O_RDWR)
            try:
                if sys.platform != "win32":
                    fcntl.flock(descriptor, fcntl.LOCK_EX)
                path.rename(folder / f"access-{os.urandom(8).hex()}{_CLAIMED}")
            finally:
                os.close(descriptor)
        files = sorted(folder.glob(f"access-*{_CLAIMED}"))
        yield files
        for file in files:
            file.unlink()
