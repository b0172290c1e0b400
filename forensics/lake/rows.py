"""Rows of named values in a file that a person brings: CSV, JSON, JSON lines or Parquet."""

from __future__ import annotations

import re
from typing import Any

from forensics.errors import UsageError
from forensics.records.jsontext import loads

Row = dict[str, Any]


def read_rows(data: bytes, name: str) -> list[Row]:
    """The rows of a file, told by its content.

    CSV has its names in the first line; an empty cell is None, ``true`` and ``false`` are booleans,
    and a cell that reads as a number is one. JSON is a list of objects, an object with ``columns``
    and ``data``, or an object a line.

    Args:
        data: the file's bytes.
        name: how to call it in messages.

    Raises:
        UsageError: when it is none of these, or rows differ in their names.
    """
    head = data.lstrip()[:1]
    try:
        if data[:4] == b"PAR1":
            rows = _parquet(data)
        elif head in (b"[", b"{"):
            rows = _json(data.decode())
        else:
            rows = _csv(data.decode("utf-8-sig"))
    except (ValueError, RecursionError) as error:
        raise _unreadable(name, f"{str(error).splitlines()[0][:200]}.") from error
    if not rows:
        raise _unreadable(name, "It has no rows.")
    for number, row in enumerate(rows, 1):
        if row.keys() != rows[0].keys():
            odd = sorted(row.keys() ^ rows[0].keys())
            raise _unreadable(name, f"Row {number} differs from the first in {', '.join(odd[:3])}.")
    return rows


def _unreadable(name: str, why: str) -> UsageError:
    return UsageError(
        f"{name} cannot be read as rows.", why, "It is to be CSV, JSON, JSON lines or Parquet."
    )


def _parquet(data: bytes) -> list[Row]:
    import io

    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        rows: list[Row] = pq.read_table(
            io.BytesIO(data), page_checksum_verification=True
        ).to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise ValueError(str(error)) from error
    return rows


def _json(text: str) -> list[Row]:
    try:
        document = loads(text)
    except ValueError:
        document = [loads(line) for line in text.splitlines() if line.strip()]
    if isinstance(document, dict):
        if isinstance(document.get("columns"), list) and isinstance(document.get("data"), list):
            names = [str(name) for name in document["columns"]]
            return [dict(zip(names, values, strict=True)) for values in document["data"]]
        document = [document]
    if not isinstance(document, list) or not all(isinstance(row, dict) for row in document):
        raise ValueError("its JSON is no list of objects")
    return document


def _csv(text: str) -> list[Row]:
    import csv
    import io

    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    try:
        lines = [line for line in reader if line]
    except csv.Error as error:
        raise ValueError(f"it is no CSV: {error}") from error
    if not lines:
        return []
    names = lines[0]
    if len(set(names)) != len(names):
        raise ValueError("two columns have the same name")
    rows = []
    for number, line in enumerate(lines[1:], 2):
        if len(line) != len(names):
            raise ValueError(f"record {number} has {len(line)} cells, the first line {len(names)}")
        rows.append({name: _cell(cell) for name, cell in zip(names, line, strict=True)})
    return rows


_WORDS: dict[str, Any] = {"": None, "true": True, "false": False, "True": True, "False": False}
_INTEGER = re.compile(r"[+-]?[0-9]{1,400}")
_FLOAT = re.compile(
    r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)(e[+-]?[0-9]+)?|nan|[+-]?inf(inity)?", re.IGNORECASE
)


def _cell(text: str) -> Any:
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.fullmatch(text):
        return int(text)
    return float(text) if _FLOAT.fullmatch(text) else text
