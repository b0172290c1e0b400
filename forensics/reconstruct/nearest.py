"""Ids near one that was not found: a mistyped or cut-off id is what is asked for at 3 AM."""

from __future__ import annotations

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot

#: Ids looked at, newest first, so that the answer to a wrong id does not take minutes.
_ROWS_MAX = 5_000_000
_SHOWN = 3


def nearest_ids(snapshot: Snapshot, identifier: str) -> list[str]:
    """At most three ids that begin with, contain or resemble ``identifier``, best first.

    Capitals count for nothing, but in which of two that are equally near comes first.
    """
    files = sorted(
        (
            (file.last_us, file.rows, str(snapshot.root / name / file.name))
            for name, table in snapshot.tables.items()
            if name.startswith("decisions/")
            for file in table.files
        ),
        reverse=True,
    )
    paths, rows = [], 0
    for _, count, path in files:
        if rows >= _ROWS_MAX:
            break
        paths.append(path)
        rows += count
    if not paths:
        return []
    exact, wanted = sql.literal(identifier), sql.literal(identifier.lower())
    query = f"""
        SELECT id FROM (
            SELECT id, lower(id) AS folded FROM (
                SELECT DISTINCT unnest([request_id, decision_id]) AS id
                FROM read_parquet({sql.literal(paths)})
            )
        )
        WHERE contains(folded, {wanted}) OR (
            abs(length(folded) - {len(identifier)}) <= 2 AND levenshtein(folded, {wanted}) <= 2
        )
        ORDER BY NOT starts_with(folded, {wanted}), levenshtein(folded, {wanted}),
            levenshtein(id, {exact}), id
        LIMIT {_SHOWN}
        """
    with sql.reading("The ids of the decisions"):
        return [row[0] for row in snapshot.connection.execute(query).fetchall()]
