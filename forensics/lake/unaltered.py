"""Whether data files are those that the log names, before their records go into other files.

A rewriting seals the bytes that it writes: what an attacker changed in a column would be sealed
with them, and nothing but a comparison with the received bytes would tell any more.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import file_digest
from pathlib import Path

from forensics.errors import IntegrityError
from forensics.integrity import note as notes
from forensics.integrity.file_note import FileNote
from forensics.lake import layout, log
from forensics.lake.log import Log
from forensics.lake.log_restore import restored
from forensics.lake.seal_keys import origin_of


def digests(root: Path) -> dict[str, str]:
    """The SHA-256 of every data file that the log speaks of, by ``table/name``.

    Raises:
        IntegrityError: when the log's checkpoint cannot be read.
    """
    if not log.exists(root):
        return {}
    ours = Log(root, origin_of(layout.identity(root)))
    found = {}
    for entry in restored(ours).entries:
        file = None if entry is None else FileNote.parse(ours.origin, notes.parse(entry).text)
        if file is not None:
            found[file.location] = file.digest
    return found


def check(root: Path, table: str, name: str, known: Mapping[str, str]) -> None:
    """See that a data file has the bytes that the log names; one it does not name yet may have any.

    Raises:
        IntegrityError: when it has others.
    """
    wanted = known.get(f"{table}/{name}")
    if wanted is None:
        return
    with (root / table / name).open("rb") as stream:
        digest = file_digest(stream, "sha256").hexdigest()
    if digest != wanted:
        raise IntegrityError(
            f"{table}/{name} has other bytes than when it was committed.",
            "Nothing was changed: what is wrong in it would be sealed anew.",
            "Restore it from a backup; forensics verify says what is concerned.",
        )
