"""Parquet: records as rows, taken in by columns.

The file's columns are the contract's fields, groups as structs, features as one struct column. What
counts as the received bytes of a row is its JSON form as DuckDB writes it: the same row gives the
same bytes, and so the same record.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from forensics.errors import UsageError
from forensics.ingest.arrow_records import take_in
from forensics.ingest.interface import Chunk, Options, Parsed
from forensics.lake.sql import SqlError

_CHUNK_ROWS = 200_000
#: Unpacked bytes of a chunk, and of one row group, which is the least that can be read.
_CHUNK_BYTES = 256 << 20
_GROUP_BYTES_MAX = 1 << 30


class _Groups(NamedTuple):
    """Row groups of a file: what a chunk of it is."""

    path: str
    first: int
    last: int


class ParquetRecords:
    """One Parquet file of records."""

    def __init__(self, path: Path, file: pq.ParquetFile) -> None:
        self.name = path.name
        self.total: int | None = path.stat().st_size
        self._path = path
        self._file = file

    @classmethod
    def open(cls, path: Path) -> ParquetRecords:
        """Open a file.

        Raises:
            UsageError: when it is damaged, encrypted, or no Parquet file at all.
        """
        try:
            file = pq.ParquetFile(path, page_checksum_verification=True)
        except (pa.ArrowException, OSError) as error:
            raise UsageError(
                f"{path} cannot be read as Parquet.",
                str(error).splitlines()[0],
                "Write it again, or take the records in as JSON lines.",
            ) from error
        groups = range(file.metadata.num_row_groups)
        largest = max((file.metadata.row_group(at).total_byte_size for at in groups), default=0)
        if largest > _GROUP_BYTES_MAX:
            raise UsageError(
                f"{path} cannot be read as Parquet.",
                f"A row group of it takes {largest:,} bytes unpacked, "
                f"more than {_GROUP_BYTES_MAX:,}.",
                "Write it again with smaller row groups.",
            )
        return cls(path, file)

    def chunks(self) -> Iterator[Chunk]:
        metadata = self._file.metadata
        first, begun, rows, unpacked = 1, 0, 0, 0
        size = self.total or 0
        for group in range(metadata.num_row_groups):
            rows += metadata.row_group(group).num_rows
            unpacked += metadata.row_group(group).total_byte_size
            done = size * (group + 1) // metadata.num_row_groups
            whole = rows >= _CHUNK_ROWS or unpacked >= _CHUNK_BYTES
            if whole or group == metadata.num_row_groups - 1:
                yield Chunk(self.name, first, _Groups(str(self._path), begun, group + 1), done)
                first, begun, rows, unpacked = first + rows, group + 1, 0, 0

    def parser(self) -> ParquetParser:
        return ParquetParser()

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        return self.parser().parse(chunk, features, options)


class ParquetParser:
    """Parses row groups."""

    def parse(self, chunk: Chunk, features: dict[str, dict[str, str]], options: Options) -> Parsed:
        groups = chunk.payload
        assert isinstance(groups, _Groups)
        try:
            with pq.ParquetFile(groups.path, page_checksum_verification=True) as file:
                table = file.read_row_groups(list(range(groups.first, groups.last)))
        except (pa.ArrowException, OSError, NotImplementedError) as error:
            raise UsageError(
                f"Rows {chunk.first:,} and on of {chunk.name} cannot be read.",
                str(error).splitlines()[0],
                "Rows before them have landed; write the file again and repeat.",
            ) from error
        try:
            return take_in(chunk.name, chunk.first, table, features, options)
        except SqlError as error:
            raise UsageError(
                f"{chunk.name} has a column of a type that cannot be taken in.",
                str(error).splitlines()[0],
                "Write it without that column, or take the records in as JSON lines.",
            ) from error
