"""Where things lie in an evidence bundle, and what its manifest says.

Nobody signs the manifest: it finds what is in the bundle, and tells of what is not. What is proven
of a record, its proof says.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Literal

from forensics.errors import IntegrityError
from forensics.lake.verify.bundle_zip import is_name

FORM = "decision-forensics/bundle/1"
MANIFEST = "MANIFEST.json"
CHECKPOINT = "log/checkpoint"
KEYS = "keys.txt"
KEY_CHANGES = "log/key-changes"
SEGMENTS = "log/segments"
ANCHORS = "log/anchors"
RECORDS = "records"
ARTIFACTS = "artifacts/sha256"
#: What an artifact is that no record names, but another artifact.
NAMED_BY = "named by "

#: Why something is not in a bundle.
Why = Literal["erased", "masked", "unreadable", "not_sealed", "not_stored", "altered", "too_much"]


@dataclass(frozen=True, slots=True)
class Item:
    """A sealed record: its table, segment, leaf and id.

    ``bytes`` says whether the received bytes are in the bundle, ``id_in`` whether they hold the id
    or only the lake's columns do.
    """

    table: str
    segment: str
    leaf_index: int
    leaf: str
    id: str
    bytes: bool
    id_in: Literal["bytes", "columns"] = "bytes"

    @property
    def folder(self) -> str:
        """Where its files are."""
        return f"{RECORDS}/{self.segment}-{self.leaf_index}"


@dataclass(frozen=True, slots=True)
class Artifact:
    """What a decision names by its SHA-256, and as what; ``file`` is None where it is not here."""

    digest: str
    part: str
    file: str | None


@dataclass(frozen=True, slots=True)
class Shown:
    """A decision with its record and what belongs to it, each by its folder."""

    decision_id: str
    request_id: str
    decision_point: str
    occurred_at: str
    record: str | None
    belongs: dict[str, list[str]] = field(default_factory=dict)
    artifacts: list[Artifact] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LeftOut:
    """Something that is not in the bundle, why, and what more is known of that."""

    what: str
    why: Why
    detail: str
    of: str = ""


@dataclass(slots=True)
class Manifest:
    """The whole manifest. ``files`` has SHA-256 in hexadecimal and size by name."""

    lake: str
    made_at: str
    made_by: dict[str, str | None]
    made_for: dict[str, str | None]
    log: dict[str, Any]
    decisions: list[Shown] = field(default_factory=list)
    records: dict[str, Item] = field(default_factory=dict)
    left_out: list[LeftOut] = field(default_factory=list)
    files: dict[str, dict[str, Any]] = field(default_factory=dict)

    def to_bytes(self) -> bytes:
        """The manifest as it lies in the bundle."""
        said = {"bundle": FORM, **asdict(self)}
        return (json.dumps(said, indent=1, sort_keys=True) + "\n").encode()

    @classmethod
    def parse(cls, data: bytes) -> Manifest:
        """The manifest that ``data`` writes.

        Raises:
            IntegrityError: when it is none, or of another version.
        """
        try:
            said = json.loads(data.decode("utf-8"), object_pairs_hook=_once, parse_constant=_no)
            if said.pop("bundle") != FORM:
                raise ValueError
            found = cls(**_checked(cls, said))
            found.decisions = [_shown(one) for one in found.decisions]
            found.records = {
                folder: Item(**_checked(Item, one)) for folder, one in found.records.items()
            }
            found.left_out = [LeftOut(**_checked(LeftOut, one)) for one in found.left_out]
            _check_shape(found)
        except (ValueError, TypeError, LookupError, AttributeError, RecursionError) as error:
            raise IntegrityError(
                "The bundle's manifest cannot be read.",
                f"It is no {FORM}.",
                "Ask for the bundle again.",
            ) from error
        return found


def _shown(said: Any) -> Shown:
    found = Shown(**_checked(Shown, said))
    made = [Artifact(**_checked(Artifact, one)) for one in found.artifacts]
    return Shown(**{**{f.name: getattr(found, f.name) for f in fields(Shown)}, "artifacts": made})


def _check_shape(found: Manifest) -> None:
    """See that everything has the type that the rest relies on."""
    said = [*found.made_by.values(), *found.made_for.values()]
    if any(one is not None and not isinstance(one, str) for one in said):
        raise ValueError("made_by")
    if any(type(text) is not str for text in (found.lake, found.made_at)):
        raise ValueError("lake")
    for folder, item in found.records.items():
        texts = (item.table, item.segment, item.leaf, item.id)
        sound = all(isinstance(text, str) for text in texts) and isinstance(item.bytes, bool)
        if not sound or type(item.leaf_index) is not int or item.folder != folder:
            raise ValueError(folder)
        if len(item.segment) != 32 or not is_name(item.segment) or item.id_in not in _ID_IN:
            raise ValueError(folder)
    for name, file in found.files.items():
        if not is_name(name) or set(file) != {"sha256", "size"} or type(file["size"]) is not int:
            raise ValueError(name)
    for shown in found.decisions:
        folders = [shown.record, *(one for of in shown.belongs.values() for one in of)]
        if any(one is not None and one not in found.records for one in folders):
            raise ValueError(shown.decision_id)
        if not isinstance(shown.decision_id, str):
            raise ValueError("decision_id")
        for one in shown.artifacts:
            named = [one.digest, one.part, *([one.file] if one.file is not None else [])]
            if any(type(text) is not str for text in named):
                raise ValueError(shown.decision_id)
    for left in found.left_out:
        if not all(isinstance(getattr(left, f.name), str) for f in fields(LeftOut)):
            raise ValueError("left_out")


_ID_IN = ("bytes", "columns")


def _checked(of: Any, said: Any) -> dict[str, Any]:
    if set(said) != {f.name for f in fields(of)}:
        raise ValueError(said.keys())
    return dict(said)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name stands twice")
    return found


def _no(_: str) -> None:
    raise ValueError
