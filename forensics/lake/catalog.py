"""The catalog: which files are live and indexed, known without asking Delta.

The Delta logs are the truth. The catalog is a small derived file that says which files each table
had at which Delta version, and which index runs cover them. A reader may trust it for a table
exactly when the table has no commit after that version, which one look at the log folder tells; so
a look-up on a settled lake needs neither the Delta library nor a replay of its log. A table that
has moved on is read through Delta, and its files that no index covers are scanned: slower, never
wrong. The catalog can be deleted at any time; the next writer makes it anew.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, NamedTuple

from forensics.errors import LakeError
from forensics.lake.files import write_durably

FORMAT = 1
DECISIONS = "decisions"
#: The tables beside those of decisions, by the kind of record that they hold.
TABLES = {
    "change": "changes",
    "override": "overrides",
    "outcome": "outcomes",
    "declaration": "declarations",
    "access": "access",
    "hold": "holds",
    "erasure": "erasures",
    "policy": "policies",
    "lineage": "lineage",
}


class DataFile(NamedTuple):
    """One live Parquet file of a table. Times are microseconds since 1970 UTC."""

    name: str
    rows: int
    first_us: int
    last_us: int
    size: int


class Run(NamedTuple):
    """One index file: entries sorted by key, with the range of keys it holds."""

    name: str
    low: int
    high: int
    entries: int
    #: Size class; runs of one class are merged together.
    level: int


@dataclass(frozen=True, slots=True)
class Table:
    """A table's state: its Delta version, its live files, and its features' types by name."""

    version: int
    files: tuple[DataFile, ...]
    features: dict[str, str] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """Records in all live files."""
        return sum(file.rows for file in self.files)


@dataclass(frozen=True, slots=True)
class Catalog:
    """The state of every table by name (``decisions/<point>``, ``changes``, …), and the index."""

    tables: dict[str, Table] = field(default_factory=dict)
    runs: tuple[Run, ...] = ()
    profiles: tuple[str, ...] = ()
    usages: tuple[str, ...] = ()

    def with_table(self, name: str, table: Table) -> Catalog:
        """This with one table in another state."""
        return replace(self, tables={**self.tables, name: table})


def kind_of(table: str) -> str:
    """The kind of record that ``table`` holds."""
    return next((kind for kind, name in TABLES.items() if name == table), "decision")


def path_of(root: Path) -> Path:
    """Where the catalog lies."""
    return root / "index" / "catalog.json"


def read(root: Path) -> Catalog:
    """The catalog of the lake at ``root``; an empty one where none is there or it is damaged.

    So too where an index file that it names is gone. A damaged catalog costs time, not truth:
    everything in it is derived.
    """
    try:
        digest, _, text = path_of(root).read_bytes().partition(b"\n")
        if digest != _digest(text):
            return Catalog()
        data: dict[str, Any] = json.loads(text)
        if data["format"] != FORMAT:
            return Catalog()
        tables = {
            name: Table(
                table["version"],
                tuple(DataFile(*file) for file in table["files"]),
                table["features"],
            )
            for name, table in data["tables"].items()
        }
        runs = tuple(Run(*run) for run in data["runs"])
        known = Catalog(tables, runs, tuple(data["profiles"]), tuple(data["usages"]))
        there = {path.name for path in (root / "index").iterdir()}
        return known if index_files(known) <= there else Catalog()
    except (OSError, ValueError, LookupError, TypeError, AttributeError, RecursionError):
        return Catalog()


def index_files(known: Catalog) -> set[str]:
    """Names of all files in the index folder that ``known`` refers to."""
    return {run.name for run in known.runs} | set(known.profiles) | set(known.usages)


def write(root: Path, catalog: Catalog) -> None:
    """Replace the catalog durably; the caller holds the lake's lock."""
    data = {
        "format": FORMAT,
        "tables": {
            name: {"version": t.version, "features": t.features, "files": t.files}
            for name, t in sorted(catalog.tables.items())
        },
        "runs": catalog.runs,
        "profiles": catalog.profiles,
        "usages": catalog.usages,
    }
    text = json.dumps(data, separators=(",", ":")).encode()
    write_durably(path_of(root), _digest(text) + b"\n" + text)


def _digest(text: bytes) -> bytes:
    """The catalog's first line: believing a flipped bit in it would hide records."""
    return hashlib.sha256(text).hexdigest().encode()


def table_names(root: Path) -> list[str]:
    """Names of all tables that are on disk."""
    names = [
        f"{DECISIONS}/{point.name}"
        for point in sorted((root / DECISIONS).glob("*"))
        if (point / "_delta_log").is_dir()
    ]
    return names + [name for name in TABLES.values() if (root / name / "_delta_log").is_dir()]


def is_current(root: Path, name: str, version: int) -> bool:
    """Whether ``version`` is the table's newest Delta version.

    Delta versions have no holes, so the newest is the one whose successor is not there. The file of
    the version itself must be there too: a log that was cleaned away cannot vouch for anything.
    """
    log = root / name / "_delta_log"
    return (log / f"{version:020}.json").exists() and not (log / f"{version + 1:020}.json").exists()


def require_lake(root: Path) -> None:
    """Raise LakeError unless ``root`` holds a lake."""
    if not (root / "lake.toml").is_file():
        what = f"No lake at {root}."
        why = "The folder has no lake.toml." if root.is_dir() else "There is no such folder."
        todo = f"Name yours: --lake DIR or FORENSICS_LAKE. To make one: forensics init {root}"
        raise LakeError(what, why, todo)
