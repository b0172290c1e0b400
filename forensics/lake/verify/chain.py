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
from forensics.lake import anchored, log, seal_keys, sealed
from forensics.lake.log import Log
from forensics.lake.log_restore import Restored, restored, right_bytes
from forensics.lake.verify.defects import Defect, Findings, named

_CHECKPOINT = "log/checkpoint"


@dataclass(frozen=True, slots=True)
class SegmentEntry:
    """One segment as the log names it: the entry's number, its tree's size and root."""

    number: int
    size: int
    root: bytes
    previous: str | None
    #: Whether an entry before it is lost, so that nobody can say which segment came before it.
    after_gap: bool = False


@dataclass(slots=True)
class Chain:
    """What the log says, as far as it holds."""

    origin: str
    size: int = 0
    root: bytes = tree.EMPTY_ROOT
    note: Note | None = None
    #: Entries that are damaged and cannot be told again: what they said, nobody knows.
    lost: int = 0
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
        return _broken(chain, f"The log's checkpoint cannot be read. {error}", _CHECKPOINT)
    assert ours.note is not None
    if ours.checkpoint.origin != chain.origin:
        what = f"The log is that of {ours.checkpoint.origin}, another lake."
        return _broken(chain, what, _CHECKPOINT)
    bundles = sum(1 for path in (ours.folder / "tile" / "entries").rglob("*") if path.is_file())
    if ours.size > bundles * WIDTH:  # what a checkpoint claims is not to cost memory
        what = f"The log's checkpoint speaks of {ours.size:,} entries; most of them are not there."
        return _broken(chain, what, _CHECKPOINT)
    chain.note, chain.size, chain.root = ours.note, ours.size, ours.checkpoint.root
    found = restored(ours)
    chain.lost = found.entries.count(None)
    _check_tiles(ours, found, chain)
    _check_earlier(chain, found.hashes, earlier)
    _check_anchors(root, chain, found.hashes)
    _walk(root, chain, found.entries, trusted)
    return chain


def _absent(root: Path, chain: Chain, earlier: list[tuple[str, bytes]]) -> None:
    if earlier or (root / "log" / "tile").exists():
        what = "The log's checkpoint is gone"
        chain.findings.add(Defect("rolled_back", f"{what}; records have been sealed before."))
    else:
        chain.findings.gap("Nothing in this lake was ever sealed.")


def _broken(chain: Chain, statement: str, file: str | None = None) -> Chain:
    chain.findings.add(Defect("forged", statement, file=file))
    return chain


def _check_tiles(ours: Log, found: Restored, chain: Chain) -> None:
    """Every file of the log holds what was signed: the root tells entries from tiles."""
    if not found.vouched:
        _broken(chain, "Neither the log's entries nor its tiles give the root that was signed.")
    known_whole = {tile for tile, _ in right_bytes(found, ours.size)} if ours.size else set()
    there = {
        path.relative_to(ours.folder).as_posix()
        for path in (ours.folder / "tile").rglob("*")
        if path.is_file()
    }
    expected = set(tiles.of_size(ours.size, None)).union(
        *(tiles.of_size(ours.size, level) for level in range(tiles.levels_of(ours.size)))
    )
    for tile in sorted(expected, key=lambda tile: tile.path):
        if tile.path not in there:
            statement = f"{tile.path} of the log is gone.{_remedy(found, tile in known_whole)}"
            chain.findings.add(Defect("altered", statement, file=tile.path))
    known = tree.levels(found.hashes) if found.hashes else [b""]
    for path in sorted(there):
        tile_ = _tile_at(path)
        if tile_ is None:
            continue
        first, last = tile_.number * WIDTH, tile_.number * WIDTH + tile_.width
        if last > ours.size >> 8 * (tile_.level or 0):
            statement = f"{path} lies beyond the checkpoint: a writer died, or it was put back."
            chain.findings.gap(statement)
            continue
        held, whole = (ours.folder / path).read_bytes(), True
        if tile_.level is None:
            part = [entry for entry in found.entries[first:last] if entry is not None]
            whole = len(part) == tile_.width
            sound = whole and held == tiles.packed(part)
        else:
            sound = held == known[8 * tile_.level][first * 32 : last * 32]
        if not sound:
            chain.findings.add(_damaged_tile(path, tile_, found, whole))


def _damaged_tile(path: str, tile: Tile, found: Restored, whole: bool) -> Defect:
    """What to say of a tile or bundle that is not what was signed."""
    if tile.level is not None:
        statement = f"{path} of the log has other hashes than its entries give"
    else:
        numbers = found.damaged.get(tile, [])
        which = f" in entry {named(map(str, numbers))}" if numbers else ""
        statement = f"{path} of the log is not what its hashes vouch for{which}"
    return Defect("altered", f"{statement}.{_remedy(found, whole)}", file=path)


def _remedy(found: Restored, whole: bool) -> str:
    """What can be done about a damaged tile, as a sentence to put behind what is wrong."""
    if not found.vouched:
        return ""
    if not whole:
        return " What was lost cannot be told again: restore the folder log from a backup."
    return (
        " The signed root tells what was there, and no record is concerned: "
        "forensics compact --mend-log writes it again."
    )


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


def _check_earlier(
    chain: Chain, packed: bytes, earlier: list[tuple[str, bytes]], file: str | None = None
) -> None:
    for called, data in earlier:
        try:
            before = Checkpoint.parse(notes.parse(data).text)
        except IntegrityError as error:
            chain.findings.add(Defect("altered", f"{called} cannot be read. {error}", file=file))
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
        chain.findings.add(Defect("rolled_back", statement, file=file))


def _check_anchors(root: Path, chain: Chain, packed: bytes) -> None:
    """Checkpoints that others vouched for are of this log; who they are is for their own tools."""
    for folder in sorted((root / "log" / "anchors").glob("[0-9]*")):
        called = f"log/anchors/{folder.name}"
        stamped, reply = folder / "stamped", folder / "timestamp.tsr"
        for name in anchored.damaged(folder):
            statement = f"{called}/{name} is not what was kept; {anchored.SUMS} tells."
            chain.findings.add(Defect("altered", statement, file=f"{called}/{name}"))
        _check_earlier(
            chain, packed, [(called, _bytes_of(folder / "checkpoint"))], f"{called}/checkpoint"
        )
        try:
            if reply.exists() or stamped.exists():
                _check_earlier(
                    chain, packed, [(f"{called}/stamped", _bytes_of(stamped))], f"{called}/stamped"
                )
                timestamp.check(_bytes_of(reply), _bytes_of(stamped))
        except IntegrityError as error:
            statement = f"The timestamp in {called} does not hold. {error}"
            chain.findings.add(Defect("altered", statement, file=f"{called}/timestamp.tsr"))
        chain.anchored.append(int(folder.name) if folder.name.isdigit() else 0)


def _bytes_of(path: Path) -> bytes:
    return path.read_bytes() if path.is_file() else b""


def _walk(
    root: Path, chain: Chain, entries: Sequence[bytes | None], trusted: Sequence[Key]
) -> None:
    """Read all entries in order, following the keys from those that are trusted."""
    chain.on_its_own_word = not trusted
    chain.keys = list(trusted)
    valid: list[Key] = []
    heard: list[Key] = []
    previous: str | None = None
    number, gap = 0, False
    try:
        for number, entry in enumerate(entries):
            if entry is None:
                gap = True
                continue
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
                number, checkpoint.size, checkpoint.root, previous, gap
            )
            previous, gap = segment, False
    except ForensicsError as error:
        _broken(chain, f"Entry {number} of the log does not hold. {error}")
    if not trusted:
        chain.keys = valid
    _check_published(root, chain, {key.hash for key in heard})
    assert chain.note is not None
    try:
        signed_by = notes.signers(chain.note, chain.keys)
    except IntegrityError as error:
        _broken(chain, f"The log's checkpoint was altered. {error}", _CHECKPOINT)
        return
    names = ", ".join(s.key_id.hex() for s in chain.note.signatures)
    if not signed_by:
        who = "the keys in the lake" if chain.on_its_own_word else "a key that is trusted"
        what = f"The log's checkpoint is not signed by {who}, but by {names}."
        _broken(chain, what, _CHECKPOINT)
    elif chain.on_its_own_word and len(signed_by) < len(chain.note.signatures):
        what = f"The log's checkpoint bears signatures ({names}) that its keys did not give."
        _broken(chain, what, _CHECKPOINT)


def _check_published(root: Path, chain: Chain, heard: set[str]) -> None:
    """The public keys that lie in the log are those that its entries added."""
    for path in sorted(seal_keys.public_folder(root).glob("*.vkey")):
        inside = path.relative_to(root).as_posix()
        try:
            keys = seal_keys.read_keys(path)
        except ForensicsError as error:
            _broken(chain, str(error), inside)
            continue
        unheard = {key.hash for key in keys} - heard
        if unheard:
            what = f"log/keys has keys that the log never added: {named(sorted(unheard))}."
            _broken(chain, what, inside)
        elif path.read_bytes() != "".join(f"{key}\n" for key in keys).encode():
            _broken(chain, f"{inside} is not written as keys are.", inside)


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
