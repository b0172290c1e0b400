"""The rows of a view written to a file: the columns that are shown, in the order that is shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from forensics.lake.export import RowWriter
from forensics.lake.pages import Pages
from forensics.lake.window import KEY, Reader, View
from forensics.records.jsontext import dumps
from forensics.records.times import from_micros

_PAGE = 2_048
_KINDS = {
    "VARCHAR": "text",
    "DOUBLE": "number",
    "FLOAT": "number",
    "BIGINT": "integer",
    "INTEGER": "integer",
    "BOOLEAN": "flag",
}


def write(
    reader: Reader, view: View, pages: Pages, path: Path, tell: Callable[[float], bool]
) -> int | None:
    """Write all rows, and how many there are; None where it was ended, which leaves no file.

    Args:
        reader: asked by this only.
        view: whose rows they are.
        pages: the rows.
        path: ends in ``.csv``, ``.parquet`` or ``.jsonl``.
        tell: is told the share that is done, and says whether to go on.

    Raises:
        UsageError: when the file cannot be written.
        Cancelled: when the reader of the pages was cancelled.
    """
    kinds = _kinds(reader, view)
    readers = [_READ.get(kind, _same) for kind in kinds.values()]
    try:
        with RowWriter(path, kinds) as writer:
            while writer.count < pages.total:
                if not tell(writer.count / pages.total):
                    raise _Ended
                rows = pages.rows(writer.count, _PAGE)
                if not rows:  # the lake changed under us
                    break
                writer.write(
                    [
                        [read(value) for read, value in zip(readers, row[len(KEY) :], strict=True)]
                        for row in rows
                    ]
                )
            return writer.count
    except _Ended:
        return None


class _Ended(Exception):
    """Somebody does not want the file any more."""


def _kinds(reader: Reader, view: View) -> dict[str, str]:
    """What each column holds."""
    types = ", ".join(f'typeof("{at}")' for at in range(len(view.columns)))
    every = replace(view, where=None, since_us=None, until_us=None)
    source = reader.source(every, view.columns, reader.files(every)[:1])
    found = reader.ask(f"SELECT {types} FROM ({source}) LIMIT 1") if source is not None else []
    named = zip(view.columns, found[0] if found else (), strict=False)
    kinds = {name: _KINDS.get(type_, "text") for name, type_ in named}
    return {
        name: "time" if name == "occurred_at" else kinds.get(name, "text") for name in view.columns
    }


def _same(value: Any) -> Any:
    return value


def _as_text(value: Any) -> str | None:
    return value if value is None or isinstance(value, str) else dumps(value)


def _as_time(value: int | None) -> Any:
    return from_micros(value) if value is not None else None


_READ: dict[str, Callable[[Any], Any]] = {"text": _as_text, "time": _as_time}
