"""The quarantine: records that could not be taken in, with the reason and the bytes kept.

One JSON-lines file per ingest source that had any, named by the content it holds: the same bad
lines met again land in the same file and are not kept twice. Where a privacy policy is in force
each line's bytes, reason and source are encrypted under a key of the quarantine's own, since what
could not be read may say anything about anybody.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forensics.errors import LakeError, NotFoundError
from forensics.ingest.interface import Reject
from forensics.lake import looks, policies
from forensics.lake.files import write_durably
from forensics.lake.quarantined import opened, sealed
from forensics.lake.spooled import signed
from forensics.privacy.policy import QUARANTINE
from forensics.records.looker import current
from forensics.records.mention import Mention


@dataclass(frozen=True, slots=True)
class Kept:
    """One record in quarantine."""

    id: str
    source: str
    line: int
    reason: str
    raw: bytes
    #: How its source was read, as :meth:`forensics.records.reading.Options.to_text` says it.
    reading: str | None = None


def keep(
    root: Path, source: str, rejects: Iterable[Reject], reading: str | None = None
) -> list[Kept]:
    """Keep rejected records durably and return them with their ids."""
    kept = [Kept(_id_of(source, r), source, r.line, r.reason, r.raw, reading) for r in rejects]
    if not kept:
        return []
    path = _path(root, (item.id for item in kept))
    if not path.exists():
        plain = policies.in_force(root).is_open
        lines = (_fields(item) if plain else sealed(root, _fields(item)) for item in kept)
        write_durably(path, b"".join(signed(json.dumps(line).encode()) + b"\n" for line in lines))
    return kept


def load(root: Path, identifier: str | None = None) -> list[Kept]:
    """Records in quarantine that have not been retried with success.

    Args:
        root: the lake's folder.
        identifier: one record's id; all where None.

    Raises:
        NotFoundError: when there is no such record.
    """
    done = resolved(root)
    # A file that has grown is met with its old bad lines too: one record, kept in two files.
    items = list({item.id: item for item in _all(root) if item.id not in done}.values())
    if identifier is None:
        return items
    found = [item for item in items if item.id == identifier]
    if not found:
        left = "has left the quarantine" if identifier in done else "is not in quarantine"
        raise NotFoundError(
            f"{identifier} {left}.",
            f"Records in quarantine: {len(items):,}.",
            "List them: forensics ingest --quarantine",
        )
    return found[:1]


def seen(root: Path, kept: Sequence[Kept]) -> list[Kept]:
    """Records in quarantine as whoever looks may see them; the look is written down.

    Whose role is not for ``quarantine``, or for everything, sees that they are there and of what
    kind their fault is: a reason names a value, and a record may be anybody's.

    Raises:
        LakeError: when the look cannot be recorded, and has to be.
    """
    policy, looker = policies.in_force(root), current()
    if policy.is_open or not kept:
        return list(kept)
    may = policy.may_see_quarantine(looker)
    looks.saw(root, (), decisions=0, unmasked=(QUARANTINE,) if may else (), question="quarantine")
    if may:
        return list(kept)
    return [replace(item, reason=kind_of_reason(item.reason), raw=b"") for item in kept]


def may_see(root: Path) -> bool:
    """Whether whoever looks may see records in quarantine."""
    return policies.in_force(root).may_see_quarantine(current())


def kind_of_reason(reason: str) -> str:
    """A reason without the value it names, so that like reasons can be counted together."""
    text = re.sub(r' (text|number|boolean) ("(?:[^"\\]|\\.)*"|\S+?)(?=[,; )]|$)', r" \1", reason)
    return re.sub(r"\b(character|byte) \d+(: \w+)?", r"\1 …", text)


def waiting(root: Path, source: str) -> dict[int, Kept]:
    """What is in quarantine from a source of this name, by line."""
    return {item.line: item for item in load(root) if item.source == source}


def resolve(root: Path, identifiers: Iterable[str]) -> None:
    """Mark records as landed or discarded; their bytes stay."""
    path = root / "quarantine" / "resolved.txt"
    text = path.read_bytes() if path.exists() else b""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    lines = (signed(f"{identifier} {now}".encode()) for identifier in identifiers)
    write_durably(path, text + b"".join(line + b"\n" for line in lines))


def forget(root: Path, text: str) -> int:
    """Take records out for good in whose bytes ``text`` stands as a word; how many there were."""
    word, gone = Mention(text), 0
    for path, lines in _lines(root):
        kept = [line for line in lines if not _says(root, line, word)]
        gone += len(lines) - len(kept)
        if len(kept) < len(lines):
            if kept:
                named = _path(root, (json.loads(line)["id"] for line in kept))
                write_durably(named, b"".join(kept))
            path.unlink()
    return gone


def mentioning(root: Path, text: str) -> int:
    """How many records there are in whose bytes ``text`` stands as a word."""
    word = Mention(text)
    return sum(_says(root, line, word) for _, lines in _lines(root) for line in lines)


def _lines(root: Path) -> Iterator[tuple[Path, list[bytes]]]:
    for path in sorted((root / "quarantine").glob("*.jsonl")):
        yield path, path.read_bytes().splitlines(keepends=True)


def _says(root: Path, line: bytes, word: Mention) -> bool:
    item = _kept(root, json.loads(line))
    return any(map(word.stands_in, (item.raw, item.reason.encode(), item.source.encode())))


def _path(root: Path, ids: Iterable[str]) -> Path:
    """The file of some records, whose name commits to theirs."""
    name = hashlib.sha256("".join(ids).encode()).hexdigest()[:32]
    return root / "quarantine" / f"{name}.jsonl"


def resolved(root: Path) -> set[str]:
    """Ids of the records that have left the quarantine."""
    path = root / "quarantine" / "resolved.txt"
    if not path.exists():
        return set()
    return {line.split(" ", 1)[0] for line in path.read_text(encoding="utf-8").splitlines()}


def _all(root: Path) -> Iterator[Kept]:
    for _, lines in _lines(root):
        for line in lines:
            yield _kept(root, json.loads(line))


def _kept(root: Path, said: dict[str, Any]) -> Kept:
    plain, why = opened(root, said)
    if plain is None:
        raise LakeError(
            f"{said['id']} in quarantine cannot be read: {why}",
            "It is encrypted under the quarantine's key.",
            "Name the key store's folder: FORENSICS_KEY_STORE",
        )
    raw = base64.b64decode(plain["raw"])
    return Kept(plain["id"], plain["source"], plain["line"], plain["reason"], raw, plain["reading"])


def _id_of(source: str, reject: Reject) -> str:
    digest = hashlib.sha256(f"{source}\n{reject.line}\n".encode() + reject.raw).hexdigest()
    return f"q-{digest[:10]}"


def _fields(item: Kept) -> dict[str, Any]:
    return {
        "id": item.id,
        "source": item.source,
        "line": item.line,
        "reason": item.reason,
        "reading": item.reading,
        "raw": base64.b64encode(item.raw).decode(),
    }
