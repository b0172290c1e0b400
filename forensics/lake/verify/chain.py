"""The log itself: is it whole, signed by who is trusted, and the one that it always was?"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from forensics.errors import ForensicsError, IntegrityError
from forensics.integrity import note as notes
from forensics.integrity import tick, tiles, timestamp, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.file_note import FileNote
from forensics.integrity.key_change import KeyChange
from forensics.integrity.note import Key, Note
from forensics.integrity.tiles import WIDTH, Tile
from forensics.lake import log, seal_keys, sealed
from forensics.lake.log import Log
from forensics.lake.verify.defects import Defect, Findings, named


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One segment as the log names it: the entry's number, its tree's size and root."""

    number: int
    size: int
    root: bytes
    previous: str | None


@dataclass(slots=True)
class Chain:
    """What the log says, as far as it holds."""

    origin: str
    size: int = 0
    root: bytes = tree.EMPTY_ROOT
    note: Note | None = None
    segments: dict[str, SegmentEntry] = field(default_factory=dict)
    files: dict[str, FileNote] = field(default_factory=dict)
    #: Keys that are trusted at the end of the log, and whether only the lake itself names them.
    keys: list[Key] = field(default_factory=list)
    on_its_own_word: bool = False
    #: The time that the last tick says, in microseconds since 1970 UTC.
    ticked: int | None = None
    #: Sizes at which somebody else vouched for the log.
    anchored: list[int] = field(default_factory=list)
    findings: Findings = field(default_factory=Findings)


def check(
    root: Path, lake_id: str, trusted: Sequence[Key], remembered: Iterable[tuple[str, bytes]]
) -> Chain:
    """Read and check the log of the lake at ``root``.

    Args:
        root: the lake.
        lake_id: whose log it must be.
        trusted: keys from outside the lake; where there are none, the lake's own are believed.
        remembered: checkpoints that were seen before, as notes, each after what to call it.
    """
    chain = Chain(seal_keys.origin_of(lake_id))
    earlier = list(remembered)
    if not log.exists(root):
        _absent(root, chain, earlier)
        return chain
    try:
        ours = Log(root, chain.origin)
    except ForensicsError as error:
        return _broken(chain, f"The log's checkpoint cannot be read. {error}")
    assert ours.note is not None
    if ours.checkpoint.origin != chain.origin:
        return _broken(chain, f"The log is that of {ours.checkpoint.origin}, another lake.")
    chain.note, chain.size, chain.root = ours.note, ours.size, ours.checkpoint.root
    try:
        entries = ours.entries()
    except IntegrityError as error:
        return _broken(chain, f"The log's entries cannot be read. {error}")
    if len(entries) != ours.size:
        return _broken(chain, f"The log has {len(entries):,} entries, not {ours.size:,}.")
    packed = b"".join(map(tree.leaf_hash, entries))
    _check_tiles(ours, entries, packed, chain)
    _check_earlier(chain, packed, earlier)
    _check_anchors(root, chain, packed)
    _walk(root, chain, entries, trusted)
    return chain


def _absent(root: Path, chain: Chain, earlier: list[tuple[str, bytes]]) -> None:
    if earlier or (root / "log" / "tile").exists():
        what = "The log's checkpoint is gone"
        chain.findings.add(Defect("rolled_back", f"{what}; records have been sealed before."))
    else:
        chain.findings.gap("Nothing in this lake was ever sealed.")


def _broken(chain: Chain, statement: str) -> Chain:
    chain.findings.add(Defect("forged", statement))
    return chain


def _check_tiles(ours: Log, entries: list[bytes], packed: bytes, chain: Chain) -> None:
    """Every file of the log holds what the entries give; the root is the one that was signed."""
    known = tree.levels(packed) if packed else [b""]
    found = known[-1] if packed else tree.EMPTY_ROOT
    if found != ours.checkpoint.root:
        _broken(chain, "The log's entries do not give the root that was signed.")
    folder = ours.folder / "tile"
    expected = set(tiles.of_size(ours.size, None))
    for level in range(tiles.levels_of(ours.size)):
        expected.update(tiles.of_size(ours.size, level))
    there = {
        path.relative_to(ours.folder).as_posix() for path in folder.rglob("*") if path.is_file()
    }
    for tile in sorted(expected, key=lambda tile: tile.path):
        if tile.path not in there:
            chain.findings.add(
                Defect("altered", f"{tile.path} of the log is gone.", file=tile.path)
            )
    for path in sorted(there):
        found_tile = _tile_at(path)
        if found_tile is None:
            continue
        tile = found_tile
        first, last = tile.number * WIDTH, tile.number * WIDTH + tile.width
        if last > ours.size >> 8 * (tile.level or 0):
            statement = f"{path} lies beyond the checkpoint: a writer died, or it was put back."
            chain.findings.gap(statement)
            continue
        if tile.level is None:
            right = tiles.packed(entries[first:last])
        else:
            right = known[8 * tile.level][first * 32 : last * 32]
        if (ours.folder / path).read_bytes() != right:
            statement = f"{path} of the log is not what its entries give."
            chain.findings.add(Defect("altered", statement, file=path))


def _tile_at(path: str) -> Tile | None:
    """The tile that lies at ``path`` in the log; None where none is to."""
    parts = path.removeprefix("tile/").split("/")
    kind, *numbers = parts
    width = WIDTH
    try:
        if numbers[-2].endswith(".p") if len(numbers) > 1 else False:
            width = int(numbers.pop())
            numbers[-1] = numbers[-1].removesuffix(".p")
        number = int("".join(part.removeprefix("x") for part in numbers))
        tile = Tile(None if kind == "entries" else int(kind), number, width)
    except ValueError:
        return None
    return tile if tile.path == path else None


def _check_earlier(chain: Chain, packed: bytes, earlier: list[tuple[str, bytes]]) -> None:
    for called, data in earlier:
        try:
            before = Checkpoint.parse(notes.parse(data).text)
        except IntegrityError as error:
            chain.findings.add(Defect("altered", f"{called} cannot be read. {error}"))
            continue
        if before.origin != chain.origin:
            statement = f"{called} is of {before.origin}, another lake."
        elif before.size > chain.size:
            statement = (
                f"The log has {chain.size:,} entries; {called} saw {before.size:,}: an older "
                "state was put in its place, or its end was cut off."
            )
        elif tree.root(packed[: before.size * 32]) != before.root:
            statement = f"The log is not the one that {called} saw: its beginning is another."
        else:
            continue
        chain.findings.add(Defect("rolled_back", statement))


def _check_anchors(root: Path, chain: Chain, packed: bytes) -> None:
    """Checkpoints that others vouched for are of this log; who they are is for their own tools."""
    for folder in sorted((root / "log" / "anchors").glob("[0-9]*")):
        called = f"log/anchors/{folder.name}"
        stamped, reply = folder / "stamped", folder / "timestamp.tsr"
        _check_earlier(chain, packed, [(called, _bytes_of(folder / "checkpoint"))])
        try:
            if reply.exists() or stamped.exists():
                _check_earlier(chain, packed, [(f"{called}/stamped", _bytes_of(stamped))])
                timestamp.check(_bytes_of(reply), _bytes_of(stamped))
        except IntegrityError as error:
            statement = f"The timestamp in {called} does not hold. {error}"
            chain.findings.add(Defect("altered", statement, file=called))
        chain.anchored.append(int(folder.name) if folder.name.isdigit() else 0)


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _walk(root: Path, chain: Chain, entries: list[bytes], trusted: Sequence[Key]) -> None:
    """Read all entries in order, following the keys from those that are trusted."""
    chain.on_its_own_word = not trusted
    chain.keys = list(trusted)
    valid: list[Key] = []
    heard: list[Key] = []
    previous: str | None = None
    number = 0
    try:
        for number, entry in enumerate(entries):
            note = notes.parse(entry)
            change = KeyChange.parse(chain.origin, note.text)
            if change is not None:
                valid = change.applied(note, valid) if valid else _first(change, note)
                chain.keys = _followed(change, note, chain.keys)
                heard.append(change.key)
                continue
            if not notes.signers(note, valid):
                raise IntegrityError("No key of the log signed it.")
            file = FileNote.parse(chain.origin, note.text)
            if file is not None:
                chain.files[file.location] = file
                continue
            if (at := tick.parse(chain.origin, note.text)) is not None:
                chain.ticked = at
                continue
            checkpoint = Checkpoint.parse(note.text)
            segment = sealed.segment_of(chain.origin, checkpoint.origin)
            if segment is None or segment in chain.segments:
                raise IntegrityError(f"It seals {checkpoint.origin} once more, or nothing of ours.")
            chain.segments[segment] = SegmentEntry(
                number, checkpoint.size, checkpoint.root, previous
            )
            previous = segment
    except ForensicsError as error:
        _broken(chain, f"Entry {number} of the log does not hold. {error}")
    if not trusted:
        chain.keys = valid
    try:
        unheard = {key.hash for key in seal_keys.published(root)} - {key.hash for key in heard}
        if unheard:
            _broken(chain, f"log/keys has keys that the log never added: {named(sorted(unheard))}.")
    except ForensicsError as error:
        _broken(chain, str(error))
    assert chain.note is not None
    try:
        signed_by = notes.signers(chain.note, chain.keys)
    except IntegrityError as error:
        _broken(chain, f"The log's checkpoint was altered. {error}")
        return
    if not signed_by:
        who = "the keys in the lake" if chain.on_its_own_word else "a key that is trusted"
        names = ", ".join(s.key_id.hex() for s in chain.note.signatures)
        _broken(chain, f"The log's checkpoint is not signed by {who}, but by {names}.")


def _first(change: KeyChange, note: Note) -> list[Key]:
    """The first key of a log has nobody before it to vouch for it."""
    if change.action != "add" or not notes.signers(note, [change.key]):
        raise IntegrityError("It does not begin with a key that vouches for itself.")
    return [change.key]


def _followed(change: KeyChange, note: Note, keys: list[Key]) -> list[Key]:
    """The keys that are trusted after a change, if a trusted one made it."""
    try:
        return change.applied(note, keys)
    except IntegrityError:
        return keys
