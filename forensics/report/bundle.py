"""Evidence bundles: one zip with decisions, what belongs to them, and the proof of each.

Whoever gets one needs neither the lake nor this program: see ``bundle_check.md``, which goes along.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forensics.errors import ForensicsError, LakeError, NotFoundError, UsageError
from forensics.lake import looks
from forensics.lake.artifacts import PREFIX, ArtifactStore
from forensics.lake.protect import ERASED
from forensics.lake.read import Kept
from forensics.lake.snapshot import Location, Snapshot
from forensics.lake.verify import bundle_layout as at
from forensics.lake.verify import bundle_zip
from forensics.lake.verify.bundle_check import texts_of
from forensics.lake.verify.bundle_layout import Artifact, Item, LeftOut, Manifest, Shown, Why
from forensics.lake.verify.bundle_proofs import Prover
from forensics.lake.verify.bundle_zip import Content
from forensics.reconstruct import redacted
from forensics.reconstruct.named import named
from forensics.records.decision import Decision
from forensics.records.jsontext import time_text
from forensics.records.looker import Looker, current, looking
from forensics.report import bundle_belonging

_DIGEST = re.compile(rb"sha256:[0-9a-f]{64}")
#: Rules name other artifacts; a model of many megabytes is not searched for such names.
_SEARCHED_BYTES_MAX = 1 << 20
_ARTIFACT_BYTES_MAX = 2 << 30
_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Bundle:
    """A bundle that was written: where, how large, and what its manifest says."""

    path: Path
    size: int
    digest: str
    manifest: Manifest

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        said = self.manifest
        return {
            "path": str(self.path),
            "size": self.size,
            "digest": self.digest,
            "lake": said.lake,
            "made_at": said.made_at,
            "decisions": [shown.decision_id for shown in said.decisions],
            "records": len(said.records),
            "files": len(said.files),
            "left_out": [asdict(one) for one in said.left_out],
        }


def bundle(
    snapshot: Snapshot,
    decision_ids: Iterable[str],
    out: Path,
    *,
    report: Mapping[str, bytes] | None = None,
    by: Looker | None = None,
    made_at: datetime | None = None,
) -> Bundle:
    """Write the evidence of some decisions to ``out``, to be checked by anybody.

    The same lake, the same looker, report and time give the same bytes.

    Args:
        snapshot: the lake.
        decision_ids: request ids or decision ids.
        out: the zip file; what is there is replaced.
        report: forms of a report that go along, by file name.
        by: who looks; what that role may not see is not in the bundle.
        made_at: when it is made; now where None.

    Raises:
        NotFoundError: when no decision has one of the ids.
        IntegrityError: when a record is not what was sealed: no bundle is made of it.
        LakeError: when the file cannot be written, or the look cannot be recorded.
    """
    looker = by or current()
    with looking(**{name: value for name, value in asdict(looker).items() if value}):
        made = _Bundle(snapshot, looker, made_at or datetime.now(UTC))
        made.add_all(list(dict.fromkeys(decision_ids)))
        members = made.members(report or {})
    try:
        bundle_zip.write(out, members)
        with out.open("rb") as stream:
            digest = hashlib.file_digest(stream, "sha256").hexdigest()
        size = out.stat().st_size
    except OSError as error:
        raise LakeError(f"{out} cannot be written.", f"{error.strerror or error}.") from error
    return Bundle(out, size, PREFIX + digest, made.manifest)


@dataclass
class _Bundle:
    """What is gathered so far."""

    snapshot: Snapshot
    looker: Looker
    made_at: datetime
    _files: dict[str, Content] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._prover = Prover(self.snapshot)
        self._store = ArtifactStore(self.snapshot.root)
        self._taken: dict[str, Artifact] = {}
        self._folders: dict[Location, str] = {}
        self._artifact_bytes = 0
        of = self._prover.checkpoint
        self.manifest = Manifest(
            lake=self._prover.lake_id,
            made_at=time_text(self.made_at),
            made_by={"actor": self.looker.actor, "role": self.looker.role},
            made_for={"case": self.looker.case, "reason": self.looker.reason},
            log={"origin": of.origin, "size": of.size, "root": of.root.hex()},
        )

    def add_all(self, ids: list[str]) -> None:
        """Add the decisions that bear ``ids``; that somebody looks at them is recorded first."""
        found: dict[str, tuple[Kept, Decision]] = {}
        for identifier in ids:
            located = self.snapshot.locate(identifier)
            for kept, decision in named(self.snapshot, located, identifier, look=False):
                found[f"{kept.location}"] = kept, decision
        if not found:
            raise NotFoundError("No decision was named.", "A bundle is of at least one.")
        looks.saw(
            self.snapshot.root,
            sorted({decision.decision_id for _, decision in found.values()}),
            unmasked={p for kept, _ in found.values() for p in kept.sealed.get("unmasked") or ()},
        )
        ordered = sorted(found.values(), key=lambda one: (one[1].occurred_at, one[1].decision_id))
        for kept, decision in ordered:
            self._add(kept, decision)

    def _add(self, kept: Kept, decision: Decision) -> None:
        shown = Shown(
            decision.decision_id,
            decision.request_id,
            decision.decision_point,
            time_text(decision.occurred_at),
            self._record(kept, decision.decision_id, decision),
        )
        for kind, records in bundle_belonging.of(self.snapshot, decision).items():
            folders = [self._record(one, bundle_belonging.id_of(kind, one), None, of=decision)
                       for one in records]  # fmt: skip
            shown.belongs[kind] = sorted(folder for folder in folders if folder is not None)
        named = [("model", decision.model.get("digest")), ("config", decision.config.get("digest"))]
        named += [(f"step {step.get('id') or number}", step.get("digest"))
                  for number, step in enumerate(decision.steps, start=1)]  # fmt: skip
        for part, digest in named:
            if digest and all(one.digest != digest for one in shown.artifacts):
                self._artifact(shown, str(digest), part)
        self.manifest.decisions.append(shown)

    def _record(
        self, kept: Kept, name: str, decision: Decision | None, of: Decision | None = None
    ) -> str | None:
        """Add a record with its proof; its folder, or None where it is not sealed."""
        if kept.location in self._folders:
            return self._folders[kept.location]
        table = kept.location.table
        what = f"the received bytes of {name} ({table})"
        belongs_to = decision or of
        owner = belongs_to.decision_id if belongs_to else ""
        masked: dict[str, str] = kept.sealed.get("redacted") or {}
        unreadable = str(kept.sealed.get("unreadable") or "")
        (leaf,) = self._prover.leaves([kept], unmasked=not masked and not unreadable)
        if leaf is None:
            why = "it is not sealed yet, so nothing is proven of it; forensics anchor seals it"
            self._without(f"the record {name} ({table})", "not_sealed", why, owner)
            return None
        has_id = leaf.raw is not None and name in texts_of(leaf.raw)
        item = Item(
            table, leaf.segment, leaf.leaf_index, leaf.leaf.hex(), name, leaf.raw is not None,
            "bytes" if has_id or leaf.raw is None else "columns",
        )  # fmt: skip
        if item.folder in self.manifest.records:
            return item.folder
        self.manifest.records[item.folder] = item
        self._folders[kept.location] = item.folder
        self._files |= self._prover.record_files(item.folder, leaf)
        if unreadable.startswith(ERASED):
            gone = redacted.erasure(self.snapshot, decision) if decision is not None else None
            self._without(what, "erased", gone.statement if gone else unreadable, owner)
        elif unreadable:
            self._without(what, "unreadable", unreadable, owner)
        elif masked:
            role = f"the role {self.looker.role}" if self.looker.role else self.looker.actor
            detail = f"{role} may not see {', '.join(sorted(masked))}; its leaf and proof are here"
            self._without(what, "masked", detail, owner)
        elif leaf.raw is None:
            self._without(what, "unreadable", "they or their salt are not in the lake", owner)
        return item.folder

    def _artifact(self, shown: Shown, digest: str, part: str) -> None:
        """Add what a decision names by its digest, and what that names."""
        if digest in self._taken:
            shown.artifacts.append(Artifact(digest, part, self._taken[digest].file))
            return
        name = f"artifact {digest} ({part})"
        made = Artifact(digest, part, None)
        try:
            path = self._store.path(digest)
        except ForensicsError as error:
            path = None
            self._without(name, "altered", str(error), shown.decision_id)
        else:
            if path is None:
                why = "it was never put into the lake: forensics ingest --format artifact FILE"
                self._without(name, "not_stored", why, shown.decision_id)
        if path is not None:
            size = path.stat().st_size
            if self._artifact_bytes + size > _ARTIFACT_BYTES_MAX:
                why = f"a bundle has at most {_ARTIFACT_BYTES_MAX >> 30} GiB of artifacts"
                self._without(name, "too_much", why, shown.decision_id)
            else:
                self._artifact_bytes += size
                file = f"{at.ARTIFACTS}/{digest.removeprefix(PREFIX)}"
                self._files[file] = path
                made = Artifact(digest, part, file)
        self._taken[digest] = made
        shown.artifacts.append(made)
        if path is not None and path.stat().st_size <= _SEARCHED_BYTES_MAX:
            for one in sorted(set(_DIGEST.findall(path.read_bytes()))):
                inner = one.decode()
                if inner not in {had.digest for had in shown.artifacts}:
                    self._artifact(shown, inner, at.NAMED_BY + digest)

    def _without(self, what: str, why: Why, detail: str, of: str) -> None:
        found = LeftOut(what, why, detail, of)
        if found not in self.manifest.left_out:
            self.manifest.left_out.append(found)

    def members(self, report: Mapping[str, bytes]) -> dict[str, Content]:
        """All files by name, the manifest among them."""
        segments = sorted({item.segment for item in self.manifest.records.values()})
        files = self._files
        files |= self._prover.segment_files(segments)
        files |= self._prover.log_files(segments)
        files |= {
            "CHECK.md": (_HERE / "bundle_check.md").read_bytes(),
            "check/check.go": (_HERE / "bundle_check.go").read_bytes(),
            "check/go.mod": _GO_MOD.encode(),
        }
        for name, data in report.items():
            if "/" in name or not bundle_zip.is_name(name) or name in {*files, at.MANIFEST}:
                raise UsageError(f"A report cannot be called {name!r} in a bundle.")
            files[name] = data
        self.manifest.files = {name: _file(files[name]) for name in sorted(files)}
        return {**files, at.MANIFEST: self.manifest.to_bytes()}


#: What the program needs beside Go itself, by version; Go's own source has the same packages.
_GO_MOD = "module check\n\ngo 1.23\n\nrequire golang.org/x/mod v0.17.0\n"


def _file(content: Content) -> dict[str, Any]:
    if isinstance(content, bytes):
        return {"sha256": hashlib.sha256(content).hexdigest(), "size": len(content)}
    with content.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    return {"sha256": digest, "size": content.stat().st_size}
