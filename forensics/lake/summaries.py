"""Reading the summaries of what was in use at a time.

Apart from their writer, :mod:`.usage`, because reading them is on the way of a trace and must not
load what writes Parquet.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from itertools import groupby, pairwise
from typing import Any, NamedTuple

from forensics.lake import sql, summed
from forensics.lake.snapshot import Snapshot, index_advice


def _paths(snapshot: Snapshot, names: Iterable[str]) -> list[str]:
    return summed.paths(snapshot.root / "index", names, index_advice(snapshot.root))


class Usage(NamedTuple):
    """One component version in one hour of one environment of one decision point.

    ``kind`` is ``model``, ``config``, ``code``, a step's kind, or ``decisions``: the count of them
    all. ``known_us`` is when the first of these decisions was recorded, else received; None where
    an older version of this program counted.
    """

    point: str
    environment: str
    kind: str
    name: str | None
    version: str | None
    digest: str | None
    hour: int
    decisions: int
    first_us: int
    last_us: int
    known_us: int | None = None


class Tenure(NamedTuple):
    """An unbroken use of one component version in one environment of a decision point.

    ``earlier`` and ``through`` count the component's decisions in all versions before the first and
    through the last hour of it. ``kind`` is as in :class:`Usage`, or ``feature``, whose ``version``
    is its type.
    """

    environment: str
    kind: str
    name: str | None
    version: str | None
    digest: str | None
    decisions: int
    first_us: int
    last_us: int
    known_us: int | None
    earlier: int
    through: int


#: Columns of a decision that usage is counted from, with the type of one that is not there.
USED = {
    "environment": "VARCHAR",
    "occurred_at": "TIMESTAMPTZ",
    "recorded_at": "TIMESTAMPTZ",
    "ingested_at": "TIMESTAMPTZ",
    "model": "STRUCT(name VARCHAR, version VARCHAR, digest VARCHAR)",
    "config": "STRUCT(name VARCHAR, revision VARCHAR, digest VARCHAR)",
    "execution": "STRUCT(code_version VARCHAR, dependency_digest VARCHAR)",
    "capture": "STRUCT(emitter VARCHAR)",
    "steps": "STRUCT(kind VARCHAR, component VARCHAR, version VARCHAR, digest VARCHAR)[]",
}


def counting(point: str, records: str, there: Collection[str]) -> str:
    """The SQL that counts what ``records`` used.

    Args:
        point: their decision point.
        records: where they are, as SQL.
        there: names of the columns that ``records`` has.
    """
    source = f"(SELECT {sql.columns(USED, there)} FROM {records})"
    return sql.query("usage_count", point=sql.literal(point), records=source)


_ROW = (
    "point", "environment", "kind", "name", "version", "digest", "hour", "decisions", "first_us",
    "last_us", "known_us",
)  # fmt: skip
#: What stands for a column that usage files of older versions lack.
_LACKED = {"known_us": "NULL::BIGINT AS known_us"}


def rows(paths: Sequence[str], lacked: bool = False) -> str:
    """All rows of usage files, as SQL; ``lacked`` where no file has the columns of this version."""
    columns = ", ".join(_LACKED.get(name, name) if lacked else name for name in _ROW)
    return f"SELECT {columns} FROM read_parquet({sql.literal(paths)}, union_by_name = true)"


def _usages(snapshot: Snapshot, lacked: bool) -> str:
    """All usage rows, as SQL.

    Files that no summary covers yet, as a dead process or another program leaves them, are counted
    on the spot; not the features in them, which would mean reading all of them.
    """
    paths = _paths(snapshot, snapshot.known.usages)
    parts = [rows(paths, lacked)] if paths else []
    bare: dict[str, list[str]] = {}
    for location in snapshot.unindexed:
        if location.startswith("decisions/"):
            bare.setdefault(location.split("/")[1], []).append(str(snapshot.root / location))
    for point, files in bare.items():
        records = f"read_parquet({sql.literal(files)}, union_by_name = true)"
        described = snapshot.connection.execute(f"DESCRIBE FROM {records}").fetchall()
        parts.append(counting(point, records, {row[0] for row in described}))
    return " UNION ALL ".join(f"({part})" for part in parts)


def _asked(snapshot: Snapshot, query: Callable[[str], str]) -> list[tuple[Any, ...]]:
    """The answer to a query over all usage rows.

    Args:
        snapshot: the lake.
        query: makes it from the rows, as SQL.
    """
    found: list[tuple[Any, ...]] = []
    with sql.reading("The summary of what was in use", index_advice(snapshot.root)):
        for lacked in (False, True):
            usages = _usages(snapshot, lacked)
            if not usages:
                return []
            try:
                found = snapshot.connection.execute(query(usages)).fetchall()
                break
            except sql.BinderError:
                if lacked:
                    raise
    return found


def in_use(
    snapshot: Snapshot, *, until_us: int, point: str | None = None, kind: str | None = None
) -> list[Usage]:
    """All usage that began by ``until_us``, by hour; of one kind, or of all but features."""
    where = f"kind = {sql.literal(kind)}" if kind else "kind <> 'feature'"
    if point:
        where += f" AND point = {sql.literal(point)}"
    where += f" AND first_us <= {until_us}"
    found = _asked(
        snapshot,
        lambda usages: sql.query("usage_merge", usages=f"SELECT * FROM ({usages}) WHERE {where}"),
    )
    return [Usage(*row) for row in found]


def tenures(
    snapshot: Snapshot,
    point: str,
    *,
    known_by_us: int | None = None,
) -> list[Tenure]:
    """The unbroken uses of every component version at a decision point, oldest first.

    Hours are only read of components whose versions were in use by turns or at once: the first and
    last use of the others say as much, at a fraction of the cost.

    Args:
        snapshot: the lake.
        point: the decision point.
        known_by_us: leave out what was recorded, else received, later.
    """
    within = f"point = {sql.literal(point)}"
    if known_by_us is not None:
        within += f" AND coalesce(known_us, first_us) <= {known_by_us}"
    found = _asked(
        snapshot, lambda usages: sql.query("usage_versions", usages=usages, condition=within)
    )
    simple, mixed = _apart(found)
    if mixed:
        named = " OR ".join(
            f"(environment = {sql.literal(environment)} AND kind = {sql.literal(kind)} AND name "
            + ("IS NULL)" if name is None else f"= {sql.literal(name)})")
            for environment, kind, name in mixed
        )
        hours: dict[_Component, list[Usage]] = {}
        for row in _asked(
            snapshot, lambda usages: f"SELECT * FROM ({usages}) WHERE {within} AND ({named})"
        ):
            use = Usage(*row)
            hours.setdefault((use.environment, use.kind, use.name), []).append(use)
        for uses in hours.values():
            simple += _islands(sorted(uses, key=lambda use: use.hour))
    return sorted(simple, key=lambda tenure: (tenure.first_us, tenure.last_us, str(tenure)))


_Component = tuple[str, str, str | None]


def _apart(versions: list[tuple[Any, ...]]) -> tuple[list[Tenure], set[_Component]]:
    """Versions that no other of their component overlaps, and the components of the others."""
    components: dict[_Component, list[tuple[Any, ...]]] = {}
    for row in versions:
        components.setdefault(row[:3], []).append(row)
    simple: list[Tenure] = []
    mixed: set[_Component] = set()
    for component, found in components.items():
        found.sort(key=lambda row: int(row[6]))
        if any(later[6] <= earlier[7] for earlier, later in pairwise(found)):
            mixed.add(component)
            continue
        through = 0
        for row in found:
            simple.append(Tenure._make((*row, through, through + row[5])))
            through += row[5]
    return simple, mixed


def _islands(uses: list[Usage]) -> list[Tenure]:
    """The tenures of one component from its hours: one in which it ran in other versions ends one.

    Args:
        uses: of one component in one environment, by hour; of several files more than once.
    """
    ended: list[list[Usage]] = []
    open_: dict[tuple[str | None, str | None], list[Usage]] = {}
    counts: dict[int, tuple[int, int]] = {}
    through = 0
    for hour, group in groupby(uses, key=lambda use: use.hour):
        within = list(group)
        earlier, through = through, through + sum(use.decisions for use in within)
        counts[hour] = earlier, through
        here = {(use.version, use.digest) for use in within}
        ended += [open_.pop(version) for version in list(open_) if version not in here]
        for use in within:
            open_.setdefault((use.version, use.digest), []).append(use)
    return [
        Tenure(
            *found[0][1:6],
            sum(use.decisions for use in found),
            min(use.first_us for use in found),
            max(use.last_us for use in found),
            min((use.known_us for use in found if use.known_us is not None), default=None),
            counts[found[0].hour][0],
            counts[found[-1].hour][1],
        )
        for found in (*ended, *open_.values())
    ]
