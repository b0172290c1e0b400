"""One record against the log, by proof rather than by looking at everything."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from forensics.errors import ForensicsError, IntegrityError, NotFoundError
from forensics.integrity import note as notes
from forensics.integrity import tiles, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.leaf import leaf_hash
from forensics.integrity.manifest import iso
from forensics.integrity.note import Key
from forensics.integrity.proof import Proof
from forensics.integrity.tiles import WIDTH
from forensics.lake import layout, seal_keys, sealed, sql
from forensics.lake.log import Log, exists
from forensics.lake.log_restore import restored
from forensics.lake.protect import ERASED, received
from forensics.lake.read import Kept
from forensics.lake.seal import around_sql
from forensics.lake.sealed import Sealed
from forensics.lake.verify import chain
from forensics.lake.verify.compared import Compare, compared

_TODO = "Restore the lake from a backup; forensics verify says what else is concerned."


@dataclass(frozen=True, slots=True)
class Proven:
    """A record that the log vouches for, with everything that shows it."""

    id: str
    table: str
    raw: bytes
    salt: bytes
    listed: Sealed
    leaf_index: int
    #: The segment's checkpoint as a note: the entry of the log.
    entry: bytes
    record_proof: Proof
    manifest_proof: Proof
    segment_proof: Proof
    checkpoint: Checkpoint
    keys: tuple[Key, ...]
    on_its_own_word: bool
    #: All keys that ever signed for the lake: the segment may have been sealed by an older one,
    #: which the log vouches for.
    published: tuple[Key, ...]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        manifest = self.listed.manifest
        return {
            "id": self.id,
            "status": "whole",
            "table": self.table,
            "segment": manifest.segment,
            "leaf_index": self.leaf_index,
            "leaf": leaf_hash(self.salt, self.raw).hex(),
            "sealed": iso(manifest.sealed),
            "late": manifest.late,
            "log": {
                "origin": self.checkpoint.origin,
                "size": self.checkpoint.size,
                "root": self.checkpoint.root.hex(),
                "keys": [str(key) for key in self.keys],
                "keys_trusted_from": "the lake itself" if self.on_its_own_word else "outside",
            },
        }


def prove(
    root: Path,
    kept: Kept,
    trusted: Sequence[Key],
    remembered: Sequence[tuple[str, bytes]] = (),
    compare: Compare | None = None,
) -> Proven | None:
    """The proof of one record; None where it is not sealed yet.

    Args:
        root: the lake.
        kept: the record.
        trusted: keys from outside the lake; where there are none, the lake's own are believed.
        remembered: checkpoints that were seen before, each after what to call it.
        compare: tells where the record's columns do not say what its bytes say.

    Raises:
        IntegrityError: when the record or the log is not what was sealed.
    """
    record, segment, index = kept.sealed, kept.sealed["segment"], kept.sealed["leaf_index"]
    name = kept.named[0] or "The record"
    if record["salt"] is None and record["leaf"] is not None:
        raise _without_salt(root, kept, name)
    if record["salt"] is None or segment is None or not exists(root):
        return None
    lake_id = layout.identity(root)
    ours = Log(root, seal_keys.origin_of(lake_id))
    if ours.note is None or ours.checkpoint.origin != ours.origin:
        raise IntegrityError("The log is that of another lake.", f"{ours.checkpoint.origin}.")
    keys, own = _signed_by(root, lake_id, ours, trusted)
    complete = _complete(ours)
    _not_rolled_back(ours, complete, remembered)
    found = _entry_of(ours, segment)
    if found is None:
        return None
    number, entry = found
    inner = Checkpoint.parse(notes.parse(entry).text)
    listed = sealed.read(root, segment)
    if listed.records + 1 != inner.size or listed.root != inner.root:
        raise IntegrityError(f"The list of leaves of segment {segment} is not what was sealed.")
    raw = received(root, record_bytes(root, kept))
    leaf = leaf_hash(record["salt"], raw)
    if not 0 < index <= listed.records or listed.leaf(index) != leaf or kept.verified is False:
        raise IntegrityError(
            f"{name} is not what was sealed.",
            f"It stands as leaf {index} of segment {segment}.",
            _TODO,
        )
    _check_row(root, kept, listed, compare)
    path = tuple(tree.inclusion(listed.tree, index, inner.size))
    first = tuple(tree.inclusion(listed.tree, 0, inner.size))
    outer = tuple(tree.inclusion(complete, number, ours.size))
    proven = Proven(
        id=name, table=kept.location.table, raw=raw, salt=record["salt"], listed=listed,
        leaf_index=index, entry=entry, record_proof=Proof(index, path, entry),
        manifest_proof=Proof(0, first, entry),
        segment_proof=Proof(number, outer, ours.note.to_bytes()),
        checkpoint=ours.checkpoint, keys=tuple(keys), on_its_own_word=own,
        published=tuple(seal_keys.published(root)),
    )  # fmt: skip
    check(proven)
    return proven


def _complete(ours: Log) -> tree.Complete:
    """Complete subtrees of the log: from its tiles, or, where these are damaged, its entries.

    Raises:
        IntegrityError: when neither give the root that was signed.
    """
    with suppress(IntegrityError):
        complete = tiles.complete(ours.size, ours.read)
        if tree.root_of(complete, ours.size) == ours.checkpoint.root:
            return complete
    found = restored(ours)
    if not found.vouched:
        raise IntegrityError(
            "Neither the log's tiles nor its entries give the root that was signed.",
            "",
            "Restore the folder log from a backup.",
        )
    return tree.in_memory(found.hashes)


def _check_row(root: Path, kept: Kept, listed: Sealed, compare: Compare | None) -> None:
    """See that what the lake keeps beside the received bytes of a record is as it was sealed.

    Raises:
        IntegrityError: when it is not; it names the column.
    """
    location, name = kept.location, kept.named[0] or "The record"
    path = root / location.table / location.file
    index = kept.sealed["leaf_index"]
    with sql.reading(f"A record in {location.table}/{location.file}"):
        row = sql.connect([root]).sql(
            f"SELECT * EXCLUDE (file_row_number), {around_sql(location.table)} AS around "
            f"FROM read_parquet({sql.literal(str(path))}, file_row_number = true) "
            f"WHERE file_row_number = {location.row}"
        )
        read = row.to_arrow_table()
    if sealed.digest(listed.around) != listed.manifest.rows:
        raise IntegrityError(
            f"The list of leaves of segment {kept.sealed['segment']} is not what was sealed."
        )
    if read["around"][0].as_py() != listed.around_of(index):
        what = f"{name} has another id, time, time of receipt, source or reading than was sealed."
        raise IntegrityError(what, f"It stands in {location.table}/{location.file}.", _TODO)
    if compare is None:
        return
    import pyarrow.parquet as pq

    records = read.drop_columns(["around"]).cast(pq.read_schema(path))
    found = compared(root, location.table, records, compare)
    columns = sorted({column for _, column in found})
    if columns:
        raise IntegrityError(
            f"{name}: its column {', '.join(columns)} is not what its received bytes say.",
            f"It stands in {location.table}/{location.file}; the bytes are those that were sealed.",
            _TODO,
        )


def _without_salt(root: Path, kept: Kept, name: str) -> ForensicsError:
    """What to say of a record that has a leaf and no salt: it was erased, or tampered with."""
    segment, index, leaf = (kept.sealed[key] for key in ("segment", "leaf_index", "leaf"))
    why = str(kept.sealed.get("unreadable") or "")
    if why.startswith(ERASED) and sealed.is_listed(root, segment, index, leaf):
        return NotFoundError(
            f"{name} was erased ({why.removeprefix(ERASED)}); its bytes can be shown to nobody.",
            f"Its leaf stands in the log, as leaf {index} of segment {segment[:8]}.",
            "forensics verify, of the whole lake, tells whether it was rightly erased.",
        )
    return IntegrityError(
        f"{name} is not what was sealed.",
        "Its salt is gone." if not why else f"It says {why}, and its leaf is not the sealed one.",
        _TODO,
    )


def check(proven: Proven) -> None:
    """Check the proofs as a stranger would.

    Raises:
        IntegrityError: when one does not hold.
    """
    inner = sealed.origin_of(proven.checkpoint.origin, proven.listed.manifest.segment)
    leaf = leaf_hash(proven.salt, proven.raw)
    proven.record_proof.check(leaf, proven.published, inner)
    manifest = tree.leaf_hash(proven.listed.manifest_bytes)
    proven.manifest_proof.check(manifest, proven.published, inner)
    entry = tree.leaf_hash(proven.entry)
    proven.segment_proof.check(entry, proven.keys, proven.checkpoint.origin)


def record_bytes(root: Path, kept: Kept) -> bytes:
    """The received bytes of one record.

    Raises:
        IntegrityError: when there are none.
    """
    location = kept.location
    path = sql.literal(str(root / location.table / location.file))
    with sql.reading(f"A record in {location.table}/{location.file}"):
        ((raw,),) = (
            sql.connect([root])
            .execute(
                f"SELECT raw FROM read_parquet({path}, file_row_number = true) "
                f"WHERE file_row_number = {location.row}"
            )
            .fetchall()
        )
    if raw is None:
        name = kept.named[0] or "The record"
        raise IntegrityError(
            f"{name} is not what was sealed.", "Its received bytes are gone.", _TODO
        )
    return bytes(raw)


def _signed_by(
    root: Path, lake_id: str, ours: Log, trusted: Sequence[Key]
) -> tuple[list[Key], bool]:
    """The keys that vouch for the checkpoint, and whether only the lake names them."""
    assert ours.note is not None
    keys = list(trusted) or seal_keys.published(root)
    found = notes.signers(ours.note, keys)
    if not found and trusted:  # a key that came later may follow from one that is trusted
        whole = chain.check(root, lake_id, trusted, ())
        found = [] if whole.findings.broken else notes.signers(ours.note, whole.keys)
    if not found:
        raise IntegrityError("The log's checkpoint is not signed by a key that is trusted.")
    return found, not trusted


def _not_rolled_back(
    ours: Log, complete: tree.Complete, remembered: Sequence[tuple[str, bytes]]
) -> None:
    for called, data in remembered:
        before = Checkpoint.parse(notes.parse(data).text)
        same = before.origin == ours.origin and before.size <= ours.size
        if not same or tree.root_of(complete, before.size) != before.root:
            raise IntegrityError(
                f"The log is not the one that {called} saw.",
                f"It has {ours.size:,} entries; {before.size:,} were seen then.",
                "An older or another state was put in its place.",
            )


def _entry_of(ours: Log, segment: str) -> tuple[int, bytes] | None:
    """The number of the entry that seals ``segment``, and the entry."""
    wanted = f"{sealed.origin_of(ours.origin, segment)}\n".encode()
    newest_first = list(tiles.of_size(ours.size, None))[::-1]
    for tile in newest_first:
        bundle = ours.read(tile)
        if wanted not in bundle:
            continue
        for at, entry in enumerate(tiles.unpacked(bundle)):
            if entry.startswith(wanted):
                return tile.number * WIDTH + at, entry
    return None
