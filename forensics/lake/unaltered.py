"""Whether data files are those that the log names, before their records go into other files.

A rewriting seals the bytes that it writes: what an attacker changed in a column would be sealed
with them, and nothing but a comparison with the received bytes would tell any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa

from forensics.errors import IntegrityError
from forensics.integrity import note as notes
from forensics.integrity.file_note import FileNote
from forensics.lake import layout, log, seal
from forensics.lake.files import exclusive
from forensics.lake.log import Log
from forensics.lake.log_restore import restored
from forensics.lake.parquet import open_checked, said
from forensics.lake.seal_keys import origin_of
from forensics.lake.snapshot import take
from forensics.lake.verify.compared import Compare, compared


class Named(NamedTuple):
    """What the log speaks of: the SHA-256 of data files by ``table/name``, and segments."""

    digests: Mapping[str, str]
    segments: frozenset[str]


def named(root: Path) -> Named:
    """What the log of a lake speaks of.

    Raises:
        IntegrityError: when the log's checkpoint cannot be read.
    """
    if not log.exists(root):
        return Named({}, frozenset())
    ours = Log(root, origin_of(layout.identity(root)))
    digests, segments = {}, set()
    for entry in restored(ours).entries:
        if entry is None:
            continue
        file = FileNote.parse(ours.origin, notes.parse(entry).text)
        if file is not None:
            digests[file.location] = file.digest
        elif (segment := seal.segment_of_entry(ours, entry)) is not None:
            segments.add(segment)
    return Named(digests, frozenset(segments))


def check(root: Path, table: str, name: str, known: Named) -> None:
    """See that a data file has the bytes that the log names.

    One that it does not name may have any, as long as none of its records was sealed before.

    Raises:
        IntegrityError: when it has others, or holds sealed records and is not named.
    """
    location = f"{table}/{name}"
    wanted = known.digests.get(location)
    if wanted is None:
        if not known.segments.isdisjoint(seal.segments_in(root, location)):
            raise IntegrityError(
                f"{location} holds sealed records, and the log does not name it.",
                "A process ended before it could seal what it had rewritten, or it was altered.",
                "forensics compact compares its columns with the received bytes, and seals it.",
            )
        return
    with (root / location).open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    if digest != wanted:
        raise IntegrityError(
            f"{location} has other bytes than when it was committed.",
            "Nothing was changed: what is wrong in it would be sealed anew.",
            "Restore it from a backup; forensics verify says what is concerned.",
        )


def adopt(root: Path, compare: Compare) -> Named:
    """Seal rewritten files that the log does not name, if their columns are what was received.

    A compaction or an erasure that died leaves such files; so does who altered one and renamed it.

    Args:
        root: the lake.
        compare: tells columns from received bytes.

    Returns:
        What the log speaks of then.

    Raises:
        IntegrityError: when a column of such a file says anything else than the received bytes.
    """
    known = named(root)
    with exclusive(root / ".lock"):
        found = []
        for table, state in take(root).tables.items():
            for file in state.files:
                location = f"{table}/{file.name}"
                if location in known.digests:
                    continue
                if known.segments.isdisjoint(seal.segments_in(root, location)):
                    continue
                _see_columns(root, table, file.name, compare)
                found.append(seal.file_note(root, table, file.name, file.rows))
        if not found:
            return known
        seal.seal(root, (), found, late=True)
    return named(root)


def _see_columns(root: Path, table: str, name: str, compare: Compare) -> None:
    path = root / table / name
    with said(path), open_checked(path) as file:
        for batch in file.iter_batches():
            records = pa.Table.from_batches([batch])
            for row, column in compared(root, table, records, compare):
                id_ = records[seal.id_column(table)][row].as_py()
                raise IntegrityError(
                    f"{id_} in {table}/{name}: its column {column} is not what was received.",
                    "The log does not name this file, so nothing was sealed, merged or removed.",
                    "forensics verify says what is concerned; restore it from a backup.",
                )
