"""Holds on a person's records, and their erasure on an order: both are records themselves."""

from __future__ import annotations

import io
import secrets
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

from forensics.errors import LakeError, NotFoundError, UsageError
from forensics.ingest import quarantine
from forensics.ingest.json_lines import JsonLines
from forensics.ingest.looks import land
from forensics.ingest.run import run
from forensics.lake import erase as erase_
from forensics.lake.protect import key_store
from forensics.lake.snapshot import take
from forensics.records.jsontext import dumps, time_text
from forensics.records.looker import current

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
    #: Files of the lake in whose bytes the person's id stands still.
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
    """
    if expires_at is not None and expires_at <= datetime.now(UTC):
        raise UsageError("That hold would have expired already.", f"It is until {expires_at}.")
    token = key_store(root).token(subject)
    if releases is not None and releases not in _in_force(root, token):
        raise NotFoundError(
            f"No hold {releases!r} on that person is in force.",
            "",
            "List them: forensics hold SUBJECT --list",
        )
    identifier = f"h-{secrets.token_hex(8)}"
    _write(
        root,
        {
            "record": "hold", "hold_id": identifier, "subject": token, "order": order,
            "reason": reason, "expires_at": time_text(expires_at) if expires_at else None,
            "releases": releases,
        },
    )  # fmt: skip
    return identifier


def holds(root: Path, subject: str) -> list[dict[str, Any]]:
    """The holds on a person that are in force, oldest first."""
    return erase_.holds(take(root), key_store(root).token(subject))


def _in_force(root: Path, token: str) -> set[str]:
    return {one["hold_id"] for one in erase_.holds(take(root), token)}


def erase(root: Path, subject: str, order: str, *, reason: str | None = None) -> Erasure:
    """Erase what the lake says of a person.

    The record of it comes first, so that a process that dies on the way has said what it was about
    to do; who erases the same person again finishes it.

    Args:
        root: the lake.
        subject: the person's id.
        order: the order or request that it rests on.
        reason: why.

    Raises:
        NotFoundError: when the lake holds no decision about that person.
        LakeError: when a hold is in force, or records still wait in the spool.
        IntegrityError: when a data file is not what was written; it stays as it is then.
    """
    if not subject:
        raise UsageError("Name the person whose records are to be erased.")
    land(root)
    if waiting := list((root / "spool").glob("*/*")):
        raise LakeError(
            f"{len(waiting)} files wait in the spool, and may be about that person.",
            "Nothing was erased.",
            "Let forensics serve take them in first.",
        )
    snapshot = take(root)
    held = erase_.theirs(snapshot, subject)
    if in_force := erase_.holds(snapshot, held.token):
        first = in_force[0]
        raise LakeError(
            f"{first['hold_id']} holds that person's records on the order {first['order']}.",
            f"{first['actor']} set it at {first['occurred_at']}. Nothing was erased.",
            f"Once the order has ended: forensics hold SUBJECT --release {first['hold_id']}",
        )
    if not held.count:
        raise NotFoundError("The lake holds no decision about that person.", "Nothing was erased.")
    erasure_id = f"e-{secrets.token_hex(8)}"
    _write(
        root,
        {
            "record": "erasure", "erasure_id": erasure_id, "subject": held.token, "order": order,
            "reason": reason, "decisions": held.count, "records": held.others,
            "leaves": held.leaves,
        },
    )  # fmt: skip
    done = erase_.erase(root, subject, erasure_id)
    gone = quarantine.forget(root, subject)
    return Erasure(
        erasure_id, order, held.token, done.decisions, done.records, done.keys, done.files, gone,
        tuple(_standing(root, subject)),
    )  # fmt: skip


def _write(root: Path, record: dict[str, Any]) -> None:
    now = datetime.now(UTC)
    record |= {"occurred_at": time_text(now), "actor": current().actor}
    line = dumps({name: value for name, value in record.items() if value is not None})
    stream = cast("io.BufferedReader", io.BufferedReader(io.BytesIO(line.encode() + b"\n")))
    report = run(root, JsonLines("order", stream, own=True), workers=0)
    if report.landed_total != 1:
        reasons = ", ".join(report.quarantined) or "it is there already"
        raise LakeError(
            "The record of it could not be written.", f"{reasons}.", "Nothing was done."
        )


def _standing(root: Path, subject: str) -> list[str]:
    """Files beside the tables in whose bytes the person's id stands."""
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
    return left
