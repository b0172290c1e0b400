"""Names of summary files: each says the digest of its bytes, so that damage does not go unseen.

Pages of Parquet carry checksums, what is around them does not. Summaries are small enough to be
hashed whenever they are read.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from forensics.errors import IntegrityError

if TYPE_CHECKING:
    import pyarrow as pa

#: Stands before a digest; files of older versions have a random name without it.
_SIGN = "s"
_DIGITS = 40


def write(folder: Path, kind: str, rows: pa.Table) -> str:
    """Write a summary file and return its name.

    Args:
        folder: the index folder.
        kind: what the name begins with.
        rows: its content.
    """
    from forensics.lake.parquet import write_table

    path = folder / f".{kind}-{uuid.uuid4().hex}.tmp"
    write_table(rows, path)
    name = f"{kind}-{_SIGN}{_digest(path)}.parquet"
    path.replace(folder / name)
    return name


def paths(folder: Path, names: Iterable[str], todo: str) -> list[str]:
    """The paths of summary files, whose bytes are those that their names say.

    Args:
        folder: the index folder.
        names: of the files.
        todo: what to do where one is damaged.

    Raises:
        IntegrityError: when a file is not what was written, or is gone.
    """
    found = []
    for name in names:
        path = folder / name
        said = name.rpartition("-")[2].removesuffix(".parquet")
        if said.startswith(_SIGN):
            try:
                digest = _digest(path)
            except OSError as error:
                what = f"The summary {name} cannot be read."
                raise IntegrityError(what, f"{error.strerror}.", todo) from error
            if digest != said.removeprefix(_SIGN):
                what = f"The summary {name} is not what was written."
                raise IntegrityError(what, "Its bytes have another digest.", todo)
        found.append(str(path))
    return found


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()[:_DIGITS]
