"""Past values of features, looked up in Parquet files as of a time.

The files are another system's and may lie outside of the lake. A declaration names them, and a
declaration comes in through ingest, so it reaches only folders that ``lake.toml`` allows::

    history = ["../feature_history"]
"""

from __future__ import annotations

import glob
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from forensics.errors import UsageError
from forensics.lake import sql
from forensics.records.times import from_micros, to_micros


@dataclass(frozen=True, slots=True)
class Past:
    """One row of a history: from when its values were true, when they were written, and they."""

    true_from: datetime
    written: datetime | None
    values: dict[str, Any]


def as_of(
    root: Path,
    pattern: str,
    *,
    key: str,
    time: str,
    written: str | None,
    columns: Sequence[str],
    subject: str,
    at: datetime,
) -> Past | None:
    """The newest row of ``subject`` that was true, and written, by ``at``; None where none was.

    Args:
        root: the lake's folder.
        pattern: path of the Parquet files, from the lake's folder; ``*`` and ``**`` as in a shell.
        key: the column that names the subject.
        time: the column with the time from which a row was true.
        written: the column with the time when it was written, where there is one: rows that came
            later were not known then, however early they are dated.
        columns: the columns to look up.
        subject: whom to look up.
        at: the time.

    Raises:
        UsageError: when the files lie where ``lake.toml`` does not allow, are not there, or lack a
            column.
        IntegrityError: when they cannot be read.
    """
    folders = [root, *_allowed(root)]
    files = _files(root, pattern, folders)
    connection = sql.connect(folders)
    source = f"read_parquet({sql.literal(files)}, union_by_name = true)"
    with sql.reading(f"History {pattern}"):
        there = {row[0] for row in connection.execute(f"DESCRIBE FROM {source}").fetchall()}
        wanted = [key, time, *([written] if written else []), *columns]
        lacking = [name for name in wanted if name not in there]
        if lacking:
            raise UsageError(f"History {pattern} has no column {lacking[0]!r}.")
        limit = to_micros(at)
        moments = [
            f"epoch_us({sql.identifier(name)}::TIMESTAMPTZ)" for name in (time, written) if name
        ]
        values = ", ".join(map(sql.identifier, columns))
        row = connection.execute(
            f"SELECT {', '.join(moments)}, {values} FROM {source} "
            f"WHERE {sql.identifier(key)}::VARCHAR = {sql.literal(subject)} "
            + "".join(f"AND {moment} <= {limit} " for moment in moments)
            + f"ORDER BY {', '.join(f'{moment} DESC' for moment in moments)} LIMIT 1"
        ).fetchone()
    if row is None:
        return None
    return Past(
        from_micros(row[0]),
        from_micros(row[1]) if written else None,
        dict(zip(columns, row[len(moments) :], strict=True)),
    )


def _allowed(root: Path) -> list[Path]:
    settings = tomllib.loads((root / "lake.toml").read_text(encoding="utf-8"))
    return [root / str(folder) for folder in settings.get("history") or ()]


def _files(root: Path, pattern: str, folders: Sequence[Path]) -> list[str]:
    """The files, none of which lies, by a link or otherwise, outside of ``folders``."""
    whole = pattern if Path(pattern).is_absolute() else f"{glob.escape(str(root))}/{pattern}"
    # Path.glob takes no absolute pattern.
    found = sorted(Path(path) for path in glob.glob(whole, recursive=True))  # noqa: PTH207
    if not found:
        raise UsageError(f"History {pattern} has no files.")
    real = [folder.resolve() for folder in folders]
    for path in found:
        if not any(path.resolve().is_relative_to(folder) for folder in real):
            raise UsageError(
                f"History {pattern} lies outside of the lake.",
                "A declaration may come from anybody who can send records.",
                f"Allow its folder in {root / 'lake.toml'}: history = [FOLDER]",
            )
    return [str(path.resolve()) for path in found]
