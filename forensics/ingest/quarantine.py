"""The quarantine: records that could not be taken in, with the reason and the bytes kept.

One JSON-lines file per ingest source that had any, named by the content it holds: the same bad
lines met again land in the same file and are not kept twice.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from forensics.errors import NotFoundError
from forensics.ingest.interface import Reject
from forensics.lake.files import write_durably


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
    lines = "".join(_line(item) for item in kept).encode()
    path = _path(root, (item.id for item in kept))
    if not path.exists():
        write_durably(path, lines)
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


def waiting(root: Path, source: str) -> dict[int, Kept]:
    """What is in quarantine from a source of this name, by line."""
    return {item.line: item for item in load(root) if item.source == source}


def resolve(root: Path, identifiers: Iterable[str]) -> None:
    """Mark records as landed or discarded; their bytes stay."""
    path = root / "quarantine" / "resolved.txt"
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    text += "".join(f"{identifier} {now}\n" for identifier in identifiers)
    write_durably(path, text.encode())


def forget(root: Path, text: str) -> int:
    """Take records out for good in whose bytes ``text`` stands; how many there were."""
    gone = 0
    for path in sorted((root / "quarantine").glob("*.jsonl")):
        kept: list[bytes] = []
        ids: list[str] = []
        lines = path.read_bytes().splitlines(keepends=True)
        for line in lines:
            item = json.loads(line)
            told = (base64.b64decode(item["raw"]), item["reason"].encode(), item["source"].encode())
            if not any(mentions(part, text) for part in told):
                kept.append(line)
                ids.append(item["id"])
        gone += len(lines) - len(kept)
        if len(kept) < len(lines):
            if kept:
                write_durably(_path(root, ids), b"".join(kept))
            path.unlink()
    return gone


def mentions(data: bytes, text: str) -> bool:
    """Whether ``text`` stands in some bytes, as it is or as JSON may write it."""
    plain, ascii_ = json.dumps(text, ensure_ascii=False)[1:-1], json.dumps(text)[1:-1]
    written = {text, plain, ascii_, ascii_.replace("/", "\\/"), plain.replace("/", "\\/")}
    lower = data.lower()  # hexadecimal digits may be either
    return any(one.encode() in data or one.encode().lower() in lower for one in written)


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
    for path in sorted((root / "quarantine").glob("*.jsonl")):
        with path.open("rb") as stream:
            for line in stream:
                item = json.loads(line)
                raw = base64.b64decode(item["raw"])
                yield Kept(
                    item["id"], item["source"], item["line"], item["reason"], raw, item["reading"]
                )


def _id_of(source: str, reject: Reject) -> str:
    digest = hashlib.sha256(f"{source}\n{reject.line}\n".encode() + reject.raw).hexdigest()
    return f"q-{digest[:10]}"


def _line(item: Kept) -> str:
    data = {
        "id": item.id,
        "source": item.source,
        "line": item.line,
        "reason": item.reason,
        "reading": item.reading,
        "raw": base64.b64encode(item.raw).decode(),
    }
    return json.dumps(data) + "\n"
