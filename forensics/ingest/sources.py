"""Which reader a file needs, told by its first bytes."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from forensics.errors import UsageError
from forensics.ingest.interface import Source
from forensics.ingest.json_lines import JsonLines

FORMATS = ("auto", "jsonl", "parquet")
#: A file whose footer is encrypted begins otherwise; it is named for what it is, and refused.
_PARQUET = (b"PAR1", b"PARE")


def open_source(path: Path, form: str = "auto") -> Source:
    """A source of records for ``path``; ``-`` is standard input.

    Raises:
        UsageError: when the file cannot be read, or is none that is understood.
    """
    magic = first_bytes(path)
    if magic is None:
        return JsonLines("stdin", io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False)))
    if form == "parquet" or (form == "auto" and magic in _PARQUET):
        from forensics.ingest.parquet_file import ParquetRecords

        return ParquetRecords.open(path)
    return JsonLines.open(path)


def first_bytes(path: Path) -> bytes | None:
    """The first four bytes of ``path``; None for standard input, which cannot be looked at twice.

    Raises:
        UsageError: when the file cannot be read.
    """
    if str(path) == "-":
        return None
    try:
        with path.open("rb") as stream:
            return stream.read(4)
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", f"{error.strerror}.") from error
