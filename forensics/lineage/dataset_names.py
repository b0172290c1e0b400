"""The names of datasets: symlinks facets tell which name the same one."""

from __future__ import annotations

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot

#: Aliases by the files that tell them: a trace asks for those of several datasets.
_ALIASES: dict[tuple[str, ...], list[tuple[str, str]]] = {}


def names_of(snapshot: Snapshot, dataset: str) -> set[str]:
    """All names of a dataset, ``namespace/name``, as symlinks facets tell them."""
    pairs, names = _aliases(snapshot), {dataset}
    grown = True
    while grown:
        grown = False
        for one, other in pairs:
            if (one in names) != (other in names):
                names |= {one, other}
                grown = True
    return names


def _aliases(snapshot: Snapshot) -> list[tuple[str, str]]:
    """Pairs of names of one dataset, of all datasets."""
    paths = snapshot.paths("lineage")
    pairs = _ALIASES.get(tuple(paths))
    if pairs is None:
        query = f"""
            SELECT DISTINCT pair.name, pair.alias FROM (
                SELECT unnest(aliases) AS pair
                FROM read_parquet({sql.literal(paths)}, union_by_name = true)
                WHERE len(aliases) > 0
            )
        """
        with sql.reading("The table of lineage events"):
            pairs = snapshot.connection.execute(query).fetchall() if paths else []
        _ALIASES.clear()
        _ALIASES[tuple(paths)] = pairs
    return pairs
