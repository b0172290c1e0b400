"""The transparency log on disk: a folder of tiles and bundles with a signed checkpoint.

``LAKE/log`` is a C2SP tlog-tiles log and can be served or mirrored as it is. The checkpoint is
written last and is the truth about the log's size; what lies beyond it was never published, and the
next append writes over it.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterable, Sequence
from pathlib import Path

from forensics.errors import IntegrityError
from forensics.integrity import note as notes
from forensics.integrity import signing, tiles, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.note import Note
from forensics.integrity.signing import Signer
from forensics.integrity.tiles import WIDTH, Tile
from forensics.lake.files import sync, write_durably


class Log:
    """The log of the lake at ``root`` as it is now.

    Raises:
        IntegrityError: when its checkpoint cannot be read.
    """

    def __init__(self, root: Path, origin: str) -> None:
        self.folder = root / "log"
        self.origin = origin
        #: The checkpoint as a note, verbatim; None where nothing was ever sealed.
        self.note: Note | None = None
        self.checkpoint = Checkpoint(origin, 0, tree.EMPTY_ROOT)
        if exists(root):
            self.note = notes.parse((self.folder / "checkpoint").read_bytes())
            self.checkpoint = Checkpoint.parse(self.note.text)

    @property
    def size(self) -> int:
        """Entries that the checkpoint covers."""
        return self.checkpoint.size

    def read(self, tile: Tile) -> bytes:
        """The bytes of a tile or bundle; of a partial one that has gone, from a wider one.

        Raises:
            IntegrityError: when none is there, or it is too short.
        """
        data = self._first_of(tile)
        if tile.level is None:
            entries = tiles.unpacked(data)
            enough, data = len(entries) >= tile.width, tiles.packed(entries[: tile.width])
        else:
            size = tile.width * tree.HASH_BYTES
            enough, data = len(data) >= size, data[:size]
        if not enough:
            raise IntegrityError(f"{tile.path} of the log is too short.", "", _RESTORE)
        return data

    def entries(self, first: int = 0) -> list[bytes]:
        """The entries from number ``first`` on.

        Raises:
            IntegrityError: when a bundle is not there or breaks off.
        """
        found: list[bytes] = []
        for tile in tiles.of_size(self.size, None):
            if (tile.number + 1) * WIDTH > first:
                found += tiles.unpacked(self.read(tile))
        return found[first % WIDTH if first else 0 :] if found else []

    def append(self, entries: Sequence[bytes], signers: Sequence[Signer]) -> None:
        """Add entries, durably, and sign the new checkpoint. The caller holds the lake's lock.

        Raises:
            IntegrityError: when the log's edge is not what was signed, and cannot be told again:
                what is built on it would never give a root that holds.
        """
        if not self._is_sound():
            from forensics.lake.log_restore import restore

            restore(self)
            if not self._is_sound():
                raise IntegrityError("The log's edge is not what was signed.", "", _RESTORE)
        written, size = tiles.grown(self.size, self.read, map(tree.leaf_hash, entries))
        for tile, data in self._bundles(entries, size):
            written[tile] = data
        for tile, data in written.items():
            self.write(tile, data)
        known = {tile: data for tile, data in written.items() if tile.level is not None}

        def read(tile: Tile) -> bytes:
            return known[tile] if tile in known else self.read(tile)

        root = tree.root_of(tiles.complete(size, read), size)
        checkpoint = Checkpoint(self.origin, size, root)
        note = signing.signed(checkpoint.text(), signers)
        self.folder.mkdir(parents=True, exist_ok=True)
        write_durably(self.folder / "checkpoint", note)
        self.checkpoint, self.note = checkpoint, notes.parse(note)
        self._sweep(tile for tile in written if tile.width == WIDTH)

    def _bundles(self, entries: Sequence[bytes], size: int) -> Iterable[tuple[Tile, bytes]]:
        number, start = divmod(self.size, WIDTH)
        before = self.read(Tile(None, number, start)) if start else b""
        at = 0
        while at < len(entries):
            width = min(WIDTH, size - number * WIDTH)
            taken = entries[at : at + width - start]
            yield Tile(None, number, width), before + tiles.packed(taken)
            at, number, start, before = at + len(taken), number + 1, 0, b""

    def _is_sound(self) -> bool:
        """Whether the tiles at the edge give the signed root, and the last bundle their hashes."""
        number, width = divmod(self.size, WIDTH)
        try:
            root = tree.root_of(tiles.complete(self.size, self.read), self.size)
            hashes = self.read(Tile(0, number, width)) if width else b""
            entries = tiles.unpacked(self.read(Tile(None, number, width))) if width else []
        except IntegrityError:
            return False
        held = b"".join(map(tree.leaf_hash, entries))
        return (root, hashes) == (self.checkpoint.root, held)

    def write(self, tile: Tile, data: bytes) -> None:
        """Put a tile where it belongs, durably."""
        path = self.folder / tile.path
        for folder in [*path.parents][::-1]:
            if not folder.exists():
                folder.mkdir()
                sync(folder.parent)
        write_durably(path, data)

    def _sweep(self, full: Iterable[Tile]) -> None:
        """Partial tiles go once the full one is there, as the specification allows."""
        for tile in full:
            shutil.rmtree(self.folder / f"{tile.path}.p", ignore_errors=True)

    def _first_of(self, tile: Tile) -> bytes:
        for path in (self.folder / tile.path, *self._wider(tile)):
            try:
                return path.read_bytes()
            except FileNotFoundError:
                continue
        raise IntegrityError(f"{tile.path} of the log is gone.", "", _RESTORE)

    def _wider(self, tile: Tile) -> list[Path]:
        whole = self.folder / tile._replace(width=WIDTH).path
        partial = sorted(
            (int(path.name), path)
            for path in Path(f"{whole}.p").glob("[0-9]*")
            if path.name.isdigit() and int(path.name) > tile.width
        )
        return [*(path for _, path in partial), whole]


def exists(root: Path) -> bool:
    """Whether anything in the lake was ever sealed."""
    return (root / "log" / "checkpoint").is_file()


_RESTORE = "Restore the folder log from a backup."
