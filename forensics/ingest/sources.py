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
    if str(path) == "-":
        return JsonLines("stdin", io.BufferedReader(io.FileIO(sys.stdin.fileno(), closefd=False)))
    try:
        with path.open("rb") as stream:
            magic = stream.read(4)
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", f"{error.strerror}.") from error
    if form == "parquet" or (form == "auto" and magic in _PARQUET):
        from forensics.ingest.parquet_file import ParquetRecords

        return ParquetRecords.open(path)
    return JsonLines.open(path)
