"""Which reader a file needs, told by its first bytes."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from forensics.errors import UsageError
from forensics.ingest import packed
from forensics.ingest.documents import JsonDocuments, is_document
from forensics.ingest.interface import Source
from forensics.ingest.json_lines import JsonLines

#: A file whose footer is encrypted begins otherwise; it is named for what it is, and refused.
_PARQUET = (b"PAR1", b"PARE")


def open_source(path: Path, form: str = "auto") -> Source:
    """A source of records for ``path``; ``-`` is standard input.

    Args:
        path: the file.
        form: with ``auto`` each file, and each record, says what it is; ``jsonl`` reads line by
            line whatever the file looks like, ``parquet`` a table, and ``openlineage`` takes each
            record for an event.

    Raises:
        UsageError: when the file cannot be read, or is none that is understood.
    """
    magic = first_bytes(path)
    if magic is None:
        stream = packed.buffered(io.FileIO(sys.stdin.fileno(), closefd=False))
        return json_source("stdin", stream, form)
    if form == "parquet" or (form == "auto" and magic in _PARQUET):
        from forensics.ingest.parquet_file import ParquetRecords

        return ParquetRecords.open(path)
    reader = JsonDocuments if form != "jsonl" and is_document(first_text(path)) else JsonLines
    return reader.open(path, events_only=form == "openlineage")


def json_source(
    name: str, stream: io.BufferedReader, form: str = "auto", *, first_line: int = 1
) -> Source:
    """A source for JSON from ``stream``; see :func:`open_source`.

    Args:
        name: what records are said to come from.
        stream: at its beginning; its buffer is what the form is told by.
        form: as of :func:`open_source`.
        first_line: number of its first line.
    """
    document = form != "jsonl" and is_document(packed.head(stream))
    reader = JsonDocuments if document else JsonLines
    return reader(name, stream, first_line=first_line, events_only=form == "openlineage")


def first_text(path: Path) -> bytes:
    """The first bytes of ``path``, unpacked.

    Raises:
        UsageError: when the file cannot be read.
    """
    try:
        with packed.buffered(io.FileIO(path)) as stream:
            return packed.head(stream)
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", f"{error.strerror}.") from error


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
