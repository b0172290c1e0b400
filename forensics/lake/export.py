"""Rows written to a file that a person takes away, piece by piece: CSV, Parquet, or JSON lines."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

import pyarrow as pa
import pyarrow.parquet as pq

from forensics.errors import UsageError
from forensics.records.csvtext import csv_line
from forensics.records.jsontext import dumps

#: How the names of files end that can be written.
SUFFIXES = (".csv", ".parquet", ".jsonl")
#: Types of columns by what they hold.
_TYPES: dict[str, pa.DataType] = {
    "text": pa.string(),
    "number": pa.float64(),
    "integer": pa.int64(),
    "flag": pa.bool_(),
    "time": pa.timestamp("us", "UTC"),
}


class RowWriter:
    """Writes rows to ``path``, which is whole once the writer is left without an error.

    Args:
        path: ends in ``.csv``, ``.parquet`` or ``.jsonl``.
        columns: what each column holds, by name: ``text``, ``number``, ``integer``, ``flag`` or
            ``time``.

    Raises:
        UsageError: when the name ends otherwise, or the file cannot be written.
    """

    def __init__(self, path: Path, columns: Mapping[str, str]) -> None:
        kind = path.suffix.lower()
        if kind not in SUFFIXES:
            raise UsageError(
                f"{path} is neither CSV nor Parquet nor JSON lines by its name.",
                "",
                "Use FILE.csv, FILE.parquet or FILE.jsonl.",
            )
        self._line = csv_line if kind == ".csv" else self._json_line
        self.path = path
        #: How many rows were written.
        self.count = 0
        self._schema = pa.schema([(name, _TYPES[kind]) for name, kind in columns.items()])
        self._unfinished = path.with_name(f".{path.name}.unfinished")
        self._text: IO[str] | None = None
        self._parquet: pq.ParquetWriter | None = None
        try:
            if kind != ".parquet":
                self._text = self._unfinished.open("w", encoding="utf-8", newline="")
                if kind == ".csv":
                    self._text.write(csv_line(columns) + "\n")
            else:
                self._parquet = pq.ParquetWriter(
                    self._unfinished, self._schema, compression="zstd", write_page_checksum=True
                )
        except OSError as error:
            raise self._refused(error) from error

    def write(self, rows: Sequence[Iterable[Any]]) -> None:
        """Append rows, each a value for each column.

        Raises:
            UsageError: when the file cannot be written.
        """
        if not rows:
            return
        self.count += len(rows)
        try:
            if self._text is not None:
                self._text.writelines(self._line(row) + "\n" for row in rows)
            elif self._parquet is not None:
                columns = zip(*rows, strict=True)
                arrays = [
                    pa.array(values, field.type)
                    for values, field in zip(columns, self._schema, strict=True)
                ]
                self._parquet.write_table(pa.Table.from_arrays(arrays, schema=self._schema))
        except OSError as error:
            raise self._refused(error) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            for open_ in (self._text, self._parquet):
                if open_ is not None:
                    open_.close()
            if kind is None:
                self._unfinished.replace(self.path)
        except OSError as failure:
            raise self._refused(failure) from failure
        finally:
            self._unfinished.unlink(missing_ok=True)

    def _json_line(self, row: Iterable[Any]) -> str:
        return dumps(dict(zip(self._schema.names, row, strict=True)))

    def _refused(self, error: OSError) -> UsageError:
        return UsageError(f"{self.path} cannot be written.", f"{error.strerror or error}.")
