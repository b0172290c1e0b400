"""An evidence bundle against the proofs in it: needs no lake, and believes nothing but keys."""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from forensics.errors import ForensicsError, IntegrityError
from forensics.integrity import note as notes
from forensics.integrity import timestamp, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.key_change import KeyChange
from forensics.integrity.leaf import leaf_hash
from forensics.integrity.manifest import Manifest as SegmentManifest
from forensics.integrity.manifest import iso
from forensics.integrity.note import COSIGNATURE, Key
from forensics.integrity.proof import SUFFIX, Proof
from forensics.lake import sealed
from forensics.lake.artifacts import PREFIX
from forensics.lake.verify import bundle_layout as at
from forensics.lake.verify.bundle_layout import Item, Manifest
from forensics.lake.verify.bundle_zip import Archive
from forensics.lake.verify.defects import Defect, Findings, Kind
from forensics.records.jsontext import loads


@dataclass(frozen=True, slots=True)
class Vouched:
    """What somebody else said of the log: of how many entries, who, and from when."""

    size: int
    by: str

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return asdict(self)


@dataclass(slots=True)
class Checked:
    """What a bundle holds, and what is wrong with it."""

    manifest: Manifest
    findings: Findings = field(default_factory=Findings)
    checkpoint: Checkpoint | None = None
    #: Keys that are trusted at the end, and whether only the bundle itself names them.
    keys: list[Key] = field(default_factory=list)
    on_its_own_word: bool = False
    #: Records whose received bytes were proven, and those of which only the leaf was.
    proven: int = 0
    leaves_only: int = 0
    artifacts: int = 0
    vouched: list[Vouched] = field(default_factory=list)
    sealed: dict[str, SegmentManifest] = field(default_factory=dict)

    @property
    def status(self) -> str:
        """``whole``, ``incomplete`` or ``broken``."""
        if self.findings.broken:
            return "broken"
        return "incomplete" if self.findings.gaps else "whole"

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        times = sorted(manifest.sealed for manifest in self.sealed.values())
        said = self.manifest
        return {
            "status": self.status,
            "lake": said.lake,
            "made_at": said.made_at,
            "made_by": said.made_by,
            "made_for": said.made_for,
            "decisions": [shown.decision_id for shown in said.decisions],
            "records": {"proven": self.proven, "leaf_only": self.leaves_only},
            "artifacts": self.artifacts,
            "files": len(said.files),
            "sealed_from": iso(times[0]) if times else None,
            "sealed_to": iso(times[-1]) if times else None,
            "log": {
                "origin": self.checkpoint.origin if self.checkpoint else None,
                "size": self.checkpoint.size if self.checkpoint else None,
                "root": self.checkpoint.root.hex() if self.checkpoint else None,
                "keys": [str(key) for key in self.keys],
                "keys_trusted_from": "the bundle itself" if self.on_its_own_word else "outside",
                "vouched_for": [one.to_dict() for one in self.vouched],
            },
            "left_out": [asdict(one) for one in said.left_out],
            "defects": [defect.to_dict() for defect in self.findings.defects],
            "gaps": [gap.to_dict() for gap in self.findings.gaps],
        }


def check(path: Path, trusted: Sequence[Key] = ()) -> Checked:
    """Check the bundle at ``path``.

    Args:
        path: the zip archive.
        trusted: keys from outside the bundle; where there are none, its own are believed.

    Raises:
        UsageError: when it cannot be opened.
        IntegrityError: when it is no bundle at all, so that nothing of it was read.
    """
    with Archive(path) as archive:
        if at.MANIFEST not in archive.members:
            raise IntegrityError(f"{path.name} is no evidence bundle.", f"No {at.MANIFEST} in it.")
        return _Check(archive, list(trusted)).run()


class _Check:
    def __init__(self, archive: Archive, trusted: list[Key]) -> None:
        self._archive, self._trusted = archive, trusted
        self._done = Checked(Manifest.parse(archive.read(at.MANIFEST)))
        self._said = self._done.manifest
        self._origin = f"decision-forensics/{self._said.lake}"
        #: Files that are as the manifest says; nothing else is used.
        self._sound: set[str] = set()
        #: Every key that the log ever added: what it sealed, the log vouches for.
        self._ever: list[Key] = []

    def run(self) -> Checked:
        self._files()
        if not self._said.records:
            self._done.findings.gap("There is no record in the bundle.")
        if self._checkpoint():
            self._keys()
            self._anchors()
            for segment in sorted({item.segment for item in self._said.records.values()}):
                self._attempt(f"Segment {segment}", self._segment, segment)
            for folder, item in sorted(self._said.records.items()):
                self._attempt(f"{item.id} ({folder})", self._record, item)
        self._decisions()
        for left in self._said.left_out:
            self._done.findings.gap(f"{left.what} is not in the bundle: {left.detail}")
        return self._done

    def _wrong(self, kind: Kind, statement: str, file: str | None = None) -> None:
        self._done.findings.add(Defect(kind, statement, file=file))

    def _attempt(self, what: str, function: Any, *arguments: Any) -> None:
        try:
            function(*arguments)
        except _MissingError as error:
            self._done.findings.gap(f"{what} cannot be proven: {error} is not there as it was")
        except ForensicsError as error:
            self._wrong("forged", f"{what} is not proven. {error}")

    def _files(self) -> None:
        """Compare every file with what the manifest says of it."""
        there = self._archive.members.keys() - {at.MANIFEST}
        for name in sorted(there - self._said.files.keys()):
            self._wrong("inserted", f"{name} is in the bundle, and its manifest does not know it.")
        for name in sorted(self._said.files.keys() - there):
            self._done.findings.gap(f"{name} is missing from the bundle.")
        for name in sorted(there & self._said.files.keys()):
            said, size, digest = self._said.files[name], 0, hashlib.sha256()
            try:
                for part in self._archive.parts(name):
                    size += len(part)
                    digest.update(part)
            except IntegrityError as error:
                self._wrong("altered", f"{name} cannot be read. {error.why}", name)
                continue
            if (digest.hexdigest(), size) != (said["sha256"], said["size"]):
                self._wrong("altered", f"{name} has other bytes than the manifest says.", name)
            else:
                self._sound.add(name)

    def _read(self, name: str) -> bytes:
        if name not in self._sound:
            raise _MissingError(name)
        return self._archive.read(name)

    def _proof(self, name: str, leaf: bytes, note: bytes) -> Proof:
        """The proof in a file, whose path leads from ``leaf`` to the root of ``note``."""
        proof = Proof.parse(self._read(name))
        if proof.checkpoint != note:
            raise IntegrityError(f"{name} is a proof under another checkpoint.")
        found = Checkpoint.parse(notes.parse(note).text)
        if tree.root_from_inclusion(leaf, proof.index, found.size, proof.path) != found.root:
            raise IntegrityError(f"The path in {name} does not lead to the signed root.")
        return proof

    def _checkpoint(self) -> bool:
        if not self._said.records and at.CHECKPOINT not in self._said.files:
            return False
        try:
            self._note = self._read(at.CHECKPOINT)
            found = Checkpoint.parse(notes.parse(self._note).text)
        except _MissingError as error:
            self._done.findings.gap(f"Nothing can be proven: {error} is not there as it was.")
            return False
        except IntegrityError as error:
            self._wrong("forged", f"The checkpoint cannot be read. {error}", at.CHECKPOINT)
            return False
        self._done.checkpoint = found
        if found.origin != self._origin:
            self._wrong("forged", f"The checkpoint is of {found.origin}, another lake.")
            return False
        return True

    def _changes(self) -> Iterator[tuple[int, bytes]]:
        pattern = re.compile(re.escape(at.KEY_CHANGES) + r"/(0|[1-9][0-9]{0,11})\.entry")
        found = (pattern.fullmatch(name) for name in self._said.files)
        for number in sorted(int(match[1]) for match in found if match is not None):
            name = f"{at.KEY_CHANGES}/{number}"
            entry = self._read(f"{name}.entry")
            proof = self._proof(f"{name}{SUFFIX}", tree.leaf_hash(entry), self._note)
            if proof.index != number:
                raise IntegrityError(f"Key change {number} stands as entry {proof.index}.")
            yield number, entry

    def _keys(self) -> None:
        """Follow the keys from those that are trusted; see that one of them signed."""
        valid: list[Key] = []
        complete = True
        keys = [key for key in self._trusted if key.algorithm != COSIGNATURE]
        self._done.on_its_own_word = not keys
        try:
            for number, entry in self._changes():
                note = notes.parse(entry)
                change = KeyChange.parse(self._origin, note.text)
                if change is None:
                    raise IntegrityError(f"Entry {number} is no change of keys.")
                self._ever.append(change.key)
                if valid:
                    valid = change.applied(note, valid)
                elif change.action == "add" and notes.signers(note, [change.key]):
                    valid = [change.key]
                else:
                    raise IntegrityError("They do not begin with a key that vouches for itself.")
                try:
                    keys = change.applied(note, keys)
                except IntegrityError:
                    continue  # of no key that is trusted: it changes nothing for who trusts others
        except _MissingError as error:
            complete = False
            self._done.findings.gap(f"Keys cannot be followed: {error} is not there as it was.")
        except ForensicsError as error:
            self._wrong("forged", f"The changes of keys do not hold. {error}")
        self._done.keys = keys = valid if self._done.on_its_own_word else keys
        try:
            signed_by = notes.signers(notes.parse(self._note), keys)
        except IntegrityError as error:
            self._wrong("forged", f"The checkpoint was altered. {error}", at.CHECKPOINT)
            return
        if not signed_by and complete:
            who = "the bundle's own keys" if self._done.on_its_own_word else "a key you trust"
            names = ", ".join(s.key_id.hex() for s in notes.parse(self._note).signatures)
            what = f"The checkpoint is not signed by {who}, but by {names}."
            self._wrong("forged", what, at.CHECKPOINT)
        if at.KEYS in self._sound and complete:
            listed = set(self._read(at.KEYS).decode("utf-8", "replace").split("\n")) - {""}
            if listed != {str(key) for key in self._ever}:
                self._wrong("forged", f"{at.KEYS} has other keys than the log added.", at.KEYS)

    def _segment(self, segment: str) -> None:
        folder = f"{at.SEGMENTS}/{segment}"
        entry = self._read(f"{folder}/entry")
        self._proof(f"{folder}/entry{SUFFIX}", tree.leaf_hash(entry), self._note)
        note = notes.parse(entry)
        inner = Checkpoint.parse(note.text)
        if sealed.segment_of(self._origin, inner.origin) != segment:
            raise IntegrityError("Its entry in the log is that of another.", inner.origin)
        if not notes.signers(note, self._ever):
            raise IntegrityError("No key that the log ever added signed it.")
        written = self._read(f"{folder}/manifest.txt")
        proof = self._proof(f"{folder}/manifest{SUFFIX}", tree.leaf_hash(written), entry)
        said = SegmentManifest.parse(written)
        fits = (said.segment, said.lake, said.records + 1) == (segment, self._said.lake, inner.size)
        if proof.index != 0 or not fits:
            raise IntegrityError("Its manifest is that of another.")
        self._done.sealed[segment] = said

    def _record(self, item: Item) -> None:
        if item.segment not in self._done.sealed:
            raise _MissingError(f"its segment {item.segment}")
        stated = self._read(f"{item.folder}/leaf")
        if stated != f"{item.leaf}\n".encode():
            raise IntegrityError("The manifest names another leaf.")
        leaf = bytes.fromhex(item.leaf)
        raw = self._read(f"{item.folder}/record.json") if item.bytes else None
        if raw is not None and leaf_hash(self._read(f"{item.folder}/salt.bin"), raw) != leaf:
            raise IntegrityError("Its received bytes are not those of its leaf.")
        entry = self._read(f"{at.SEGMENTS}/{item.segment}/entry")
        proof = self._proof(f"{item.folder}/record{SUFFIX}", leaf, entry)
        if proof.index != item.leaf_index or proof.index == 0:
            raise IntegrityError(f"It stands as leaf {proof.index}, not {item.leaf_index}.")
        if self._done.sealed[item.segment].table != item.table:
            raise IntegrityError(f"Its segment is one of {self._done.sealed[item.segment].table}.")
        if raw is None:
            self._done.leaves_only += 1
            return
        if item.id_in == "columns":
            self._done.findings.gap("The lake names records otherwise than their bytes do", 1)
        elif item.id not in texts_of(raw):
            raise IntegrityError("Its bytes are those of another record: its id is not in them.")
        self._done.proven += 1

    def _decisions(self) -> None:
        """That records and artifacts are those of the decisions that they are given for."""
        seen: set[str] = set()
        for shown in self._said.decisions:
            item = self._said.records.get(shown.record or "")
            named = [item.id] if item is not None else []
            for kind in ("overrides", "outcomes"):
                named += [self._said.records[one].id for one in shown.belongs.get(kind, ())]
            if any(name != shown.decision_id for name in named):
                self._wrong("forged", f"{shown.decision_id} is given the record of another.")
            text = b""
            if item is not None and item.bytes and f"{item.folder}/record.json" in self._sound:
                text = self._archive.read(f"{item.folder}/record.json")
            for one in shown.artifacts:
                by_record = not one.part.startswith(at.NAMED_BY)
                if text and by_record and one.digest.encode() not in text:
                    what = f"The record of {shown.decision_id} names no artifact {one.digest[:19]}…"
                    self._wrong("forged", what)
                if one.file is None or one.file in seen:
                    continue
                seen.add(one.file)
                if one.file not in self._said.files:
                    self._wrong("forged", f"{one.file} is named, and the bundle has none such.")
                elif one.file in self._sound:
                    digest = self._said.files[one.file]["sha256"]
                    if one.digest != PREFIX + digest:
                        self._wrong("altered", f"{one.file} is not the artifact it is said to be.")
                    self._done.artifacts += 1

    def _anchors(self) -> None:
        head = f"{at.ANCHORS}/"
        sizes = {name[len(head) :].partition("/")[0] for name in self._said.files
                 if name.startswith(head)}  # fmt: skip
        for size in sorted(sizes):
            self._attempt(f"What others said of the log ({head}{size})", self._anchor, head + size)

    def _anchor(self, folder: str) -> None:
        note = notes.parse(self._read(f"{folder}/checkpoint"))
        before = Checkpoint.parse(note.text)
        now = self._done.checkpoint
        assert now is not None
        old, path = _consistency(self._read(f"{folder}/consistency"), self._note)
        if (before.origin, before.size) != (self._origin, old) or not tree.is_consistent(
            old, before.root, now.size, now.root, path
        ):
            raise IntegrityError("It is of another log, or of one that did not only grow.")
        witnesses = [key for key in self._trusted if key.algorithm == COSIGNATURE]
        for key in notes.signers(note, witnesses):
            self._done.vouched.append(Vouched(old, f"witness {key.name}"))
        if f"{folder}/timestamp.tsr" in self._said.files:
            stamped = self._read(f"{folder}/stamped")
            if notes.parse(stamped).text != note.text:
                raise IntegrityError("The timestamp is of another checkpoint.")
            timestamp.check(self._read(f"{folder}/timestamp.tsr"), stamped)
            by = "a time-stamping authority: openssl ts -verify tells which"
            self._done.vouched.append(Vouched(old, by))


class _MissingError(Exception):
    """A file of the bundle is not there, or is not as the manifest says, which was told already."""


def _consistency(data: bytes, note: bytes) -> tuple[int, list[bytes]]:
    """The size of the earlier tree and the path, as a request to a C2SP witness writes them."""
    head, cut, checkpoint = data.partition(b"\n\n")
    try:
        first, *lines = head.decode("ascii").split("\n")
        word, number = first.split(" ")
        path = [base64.b64decode(line, validate=True) for line in lines]
        if word != "old" or not cut or checkpoint != note or str(int(number)) != number:
            raise ValueError
    except (ValueError, binascii.Error):
        raise IntegrityError("The proof that the log only grew cannot be read.") from None
    return int(number), path


def texts_of(raw: bytes) -> set[str]:
    """Every value in a record that is a text or a number, as text."""
    found: set[str] = set()
    try:
        waiting = [loads(raw.decode("utf-8"))]
    except (ValueError, RecursionError):
        return found
    while waiting:
        value = waiting.pop()
        if isinstance(value, dict):
            waiting += value.values()
        elif isinstance(value, list):
            waiting += value
        elif value is not None and not isinstance(value, bool):
            found.add(str(value))
    return found
