"""Writing again what of the log is damaged and can be told from the rest of it.

Nothing is signed and nothing is believed for it: all that is written has the root that was signed.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from forensics.lake import catalog, layout, log_restore, sealed, sql, tables
from forensics.lake.files import exclusive, write_durably
from forensics.lake.log import Log, exists
from forensics.lake.seal_keys import origin_of
from forensics.lake.verify import chain, lists, rows
from forensics.lake.verify.lists import Seen


def mend(root: Path) -> list[str]:
    """Mend the log of the lake at ``root``: its tiles, its bundles, its lists of leaves.

    Returns:
        The files that were written again, within the lake.

    Raises:
        IntegrityError: when the log's checkpoint cannot be read.
    """
    if not exists(root):
        return []
    lake_id = layout.identity(root)
    with exclusive(root / ".lock"):
        written = [f"log/{path}" for path in log_restore.restore(Log(root, origin_of(lake_id)))]
        known = chain.check(root, lake_id, (), ()).segments
        damaged = {}
        for segment, entry in known.items():
            if lists.load(root, segment, entry, seen := Seen()) is None:
                damaged[segment] = entry
            else:
                written += _write(root, seen)
        if damaged:
            written += _from_records(root, damaged)
    return written


def _from_records(root: Path, damaged: dict[str, chain.SegmentEntry]) -> list[str]:
    """Make lists again from the records that they list, wherever these are."""
    written: list[str] = []
    connection = rows.connect(root)
    for table in catalog.table_names(root):
        for file in tables.state(root, table).files:
            path = sql.literal(str(root / table / file.name))
            with sql.reading(f"{table}/{file.name}"):
                held = connection.execute(
                    f"SELECT DISTINCT segment FROM read_parquet({path})"
                ).fetchall()
            for segment in {name for (name,) in held} & damaged.keys():
                give = partial(lists.made, root, connection, table, file.name, segment)
                seen = Seen()
                lists.load(root, segment, damaged[segment], seen, give)
                written += _write(root, seen)
    return written


def _write(root: Path, seen: Seen) -> list[str]:
    written = []
    for segment, listed in seen.restored.items():
        path = sealed.path_of(root, segment)
        tail = sealed.tail(listed.manifest_bytes)
        write_durably(path, listed.leaves + listed.around + tail)
        written.append(path.relative_to(root).as_posix())
    return written
