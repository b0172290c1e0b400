"""Holds on a person's records, and their erasure on an order: both are records themselves."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forensics.errors import LakeError, NotFoundError, UsageError
from forensics.ingest import own_records, quarantine
from forensics.ingest.looks import land
from forensics.ingest.reread import differences
from forensics.lake import erase as erase_
from forensics.lake import erasing
from forensics.lake.erasing import Erasing
from forensics.lake.files import exclusive
from forensics.lake.snapshot import take
from forensics.lake.subject_keys import key_store
from forensics.lake.theirs import Theirs, theirs
from forensics.records.jsontext import time_text

_BLOCK_BYTES = 1 << 24


@dataclass(frozen=True, slots=True)
class Erasure:
    """What was erased on an order, and what of the person was not reached."""

    erasure_id: str
    order: str
    token: str
    decisions: int
    records: int
    keys: int
    files: int
    quarantined: int
    #: Where in the lake the person's id stands still: files, and other tables' records.
    left: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {name: getattr(self, name) for name in self.__slots__} | {"left": list(self.left)}


def hold(
    root: Path,
    subject: str,
    order: str,
    *,
    reason: str | None = None,
    expires_at: datetime | None = None,
    releases: str | None = None,
) -> str:
    """Keep a person's records from being erased, or end a hold; the id of the new record.

    Args:
        root: the lake.
        subject: the person's id.
        order: the order or case that it rests on.
        reason: why.
        expires_at: until when; until it is released where None.
        releases: the hold to end.

    Raises:
        NotFoundError: when there is no such hold on that person.
        LakeError: when the person's records are being erased.
    """
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise UsageError("That hold would have expired already.", f"It is until {expires_at}.")
    token = key_store(root).token(subject)
    with _alone(root):
        under_way = erasing.read(root)
        if under_way is not None and under_way.token == token:
            raise LakeError(
                f"That person's records are being erased, by {under_way.erasure_id}.",
                f"It was begun on the order {under_way.order}, and not finished.",
                "Nothing can be held any more. Finish it: forensics erase --resume",
            )
        if releases is not None and releases not in _in_force(root, token):
            raise NotFoundError(
                f"No hold {releases!r} on that person is in force.",
                "",
                "List them: forensics hold SUBJECT --list",
            )
        identifier = own_records.named("h")
        own_records.write(
            root,
            {
                "record": "hold", "hold_id": identifier, "subject": token, "order": order,
                "reason": reason, "expires_at": time_text(expires_at) if expires_at else None,
                "releases": releases,
            },
        )  # fmt: skip
    return identifier


def holds(root: Path, subject: str | None = None) -> list[dict[str, Any]]:
    """The holds that are in force on a person, or on anybody, oldest first."""
    token = None if subject is None else key_store(root).token(subject)
    return erase_.holds(take(root), token)


def _in_force(root: Path, token: str) -> set[str]:
    return {one["hold_id"] for one in erase_.holds(take(root), token)}


@contextmanager
def _alone(root: Path) -> Iterator[None]:
    """Let nobody set a hold while something is erased, and the other way round."""
    with exclusive(root / "spool" / ".erase.lock"):
        yield


def erase(root: Path, subject: str, order: str, *, reason: str | None = None) -> Erasure:
    """Erase what the lake says of a person.

    What is to be done is written down first: a process that dies on the way leaves an erasure that
    is unfinished and says so, and that :func:`resume` or the next erasure finishes.

    Args:
        root: the lake.
        subject: the person's id.
        order: the order or request that it rests on.
        reason: why.

    Raises:
        NotFoundError: when the lake holds nothing about that person.
        LakeError: when a hold is in force, or records still wait in the spool.
        IntegrityError: when a data file is not what was written; it stays as it is then.
    """
    if not subject:
        raise UsageError("Name the person whose records are to be erased.")
    land(root)
    with _alone(root):
        if (before := erasing.read(root)) is not None:
            finished = _finish(root, before)
            if finished.token == key_store(root).token(subject):
                return finished
        if waiting := list((root / "spool").glob("*/*")):
            raise LakeError(
                f"{len(waiting)} files wait in the spool, and may be about that person.",
                "Nothing was erased.",
                "Let forensics serve take them in first.",
            )
        held = theirs(take(root), subject)
        if in_force := erase_.holds(take(root), held.token):
            first = in_force[0]
            raise LakeError(
                f"{first['hold_id']} holds that person's records on the order {first['order']}.",
                f"{first['actor']} set it at {first['occurred_at']:%Y-%m-%d %H:%M:%S}. "
                "Nothing was erased.",
                f"Once the order has ended: forensics hold SUBJECT --release {first['hold_id']}",
            )
        if not (held.count or held.others or quarantine.mentioning(root, subject)):
            raise NotFoundError(
                "The lake holds no decision about that person.", "Nothing was erased."
            )
        begun = Erasing(own_records.named("e"), held.token, order, reason, subject)
        erasing.write(root, begun)
        return _finish(root, begun)


def resume(root: Path) -> Erasure | None:
    """Finish the erasure that a process began and did not; None where there is none.

    Raises:
        LakeError: when the key store that names the person is not here.
        IntegrityError: when a data file is not what was written; it stays as it is then.
    """
    with _alone(root):
        begun = erasing.read(root)
        return None if begun is None else _finish(root, begun)


def _finish(root: Path, begun: Erasing) -> Erasure:
    """Do what is written down, or what of it was not done yet."""
    subject = begun.person(root)
    begun = _recorded(root, begun, theirs(take(root), subject))
    done = erase_.erase(root, subject, begun.erasure_id, differences)
    gone = quarantine.forget(root, subject)
    erasing.remove(root)
    return Erasure(
        begun.erasure_id, begun.order, begun.token, done.decisions, done.records, done.keys,
        done.files, gone, tuple(_standing(root, subject)),
    )  # fmt: skip


def _recorded(root: Path, begun: Erasing, held: Theirs) -> Erasing:
    """What is written down, with a record of it that names all that is erased.

    Where more of the person's records came in since a process died, there is another one.
    """
    known = erase_.erasure(take(root), begun.erasure_id)
    if known is not None and known["leaves"] == held.leaves:
        return begun
    if known is not None:
        begun = begun.again(own_records.named("e"))
        erasing.write(root, begun)
    own_records.write(
        root,
        {
            "record": "erasure", "erasure_id": begun.erasure_id, "subject": begun.token,
            "order": begun.order, "reason": begun.reason, "decisions": held.count,
            "records": held.others, "leaves": held.leaves,
        },
    )  # fmt: skip
    return begun


def _standing(root: Path, subject: str) -> list[str]:
    """Where the person's id stands still: files beside the tables, and tables not reached."""
    wanted, left = subject.encode(), []
    for path in sorted(root.rglob("*")):
        if path.suffix == ".parquet" or not path.is_file():
            continue
        before = b""
        with path.open("rb") as stream:
            while block := stream.read(_BLOCK_BYTES):
                if wanted in before + block:
                    left.append(str(path.relative_to(root)))
                    break
                before = block[-len(wanted) :]
    snapshot = take(root)
    for table, count in erase_.mentions(snapshot, subject):
        left.append(f"{table} ({count:,} records)")
    return left
