"""Records beside decisions that were found by their columns, as whoever looks may see them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path, PurePath
from typing import Any, NamedTuple

from forensics.lake import catalog, looks, policies, read
from forensics.lake.read import Kept
from forensics.lake.snapshot import Location, Snapshot
from forensics.lake.subject_keys import is_marked

#: What a query asks for beside its columns, so that its rows can be told; see :func:`source`.
PLACE = "filename, file_row_number"


class Fields(NamedTuple):
    """Fields of a record as they may be seen, and by what rule others may not."""

    values: dict[str, Any]
    redacted: dict[str, str]


def source(paths: str) -> str:
    """The SQL table function over some data files with which :data:`PLACE` can be asked for.

    Args:
        paths: of the files, as an SQL literal.
    """
    return f"read_parquet({paths}, union_by_name = true, filename = true, file_row_number = true)"


def fields(
    snapshot: Snapshot, table: str, places: Sequence[tuple[str, int]], names: Sequence[str]
) -> list[Fields] | None:
    """Fields of records that columns may do without; None where columns say all there is.

    Args:
        snapshot: the lake.
        table: ``changes`` or ``overrides``.
        places: of the records, as a query answers :data:`PLACE`.
        names: of the fields.

    Raises:
        IntegrityError: when received bytes cannot be read at all.
    """
    root = snapshot.root
    if not places or not (policies.is_guarded(root) or is_marked(root)):
        return None
    wanted = [Location(table, PurePath(path).name, row) for path, row in places]
    found = {kept.location: kept for kept in read.records(snapshot, wanted)}
    tell(root, found.values())
    return [
        Fields(
            {name: found[one].record.get(name) for name in names},
            dict(found[one].sealed.get("redacted") or {}),
        )
        for one in wanted
    ]


def tell(root: Path, records: Iterable[Kept]) -> None:
    """Write down that whoever looks sees personal fields of records beside decisions, if they do.

    Raises:
        LakeError: as :func:`forensics.lake.looks.saw`.
    """
    unmasked: set[str] = set()
    decisions: set[str] = set()
    for kept in records:
        kind = catalog.kind_of(kept.location.table)
        paths = kept.sealed.get("unmasked") or ()
        unmasked |= {f"{kind}.{path}" for path in paths}
        if paths and "decision_id" in kept.record:
            decisions.add(str(kept.record["decision_id"]))
    if unmasked:
        looks.saw(root, sorted(decisions), unmasked=unmasked)
