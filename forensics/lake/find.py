"""Finding decisions: by point, time, subject, outcome, model version and any expression."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from forensics.errors import UsageError
from forensics.lake import looks, sql
from forensics.lake.expressions import check
from forensics.lake.protect import columns_seen, hidden_features, subject_is
from forensics.lake.snapshot import Snapshot
from forensics.records.jsontext import loads
from forensics.records.times import from_micros, to_micros

if TYPE_CHECKING:
    import pyarrow as pa

#: So many rows are read at a time, and so many of those found are named in the record of a look.
_BATCH = 1_000
#: Of more than so many found at once, how many and from when is recorded, not each by its id.
_NAMED_MAX = 100_000
#: What every answer has, by name, as an SQL expression over a decision's columns.
COLUMNS = {
    "request_id": "request_id",
    "decision_id": "decision_id",
    "decision_point": "decision_point",
    "occurred_at": "occurred_at",
    "environment": "coalesce(environment, 'production')",
    "subject": "subject.id",
    "outcome": "outcome",
    "score": "score",
    "threshold": "threshold",
    "model": "model.name",
    "model_version": "model.version",
    "config_revision": "config.revision",
}

#: Other fields that an expression may name, likewise.
FIELDS = {
    "tenant": "tenant",
    "region": "region",
    "replica": "replica",
    "duration_ms": "duration_ms",
    "model_digest": "model.digest",
    "config_digest": "config.digest",
    "cache_hit": "cache.hit",
    "consumer_action": "consumer.action",
    "consumer_received": "consumer.received",
    "code_version": "execution.code_version",
    "writer": "writer.id",
    "sequence": "writer.sequence",
}


@dataclass(frozen=True, slots=True)
class Query:
    """What to look for; everything that is None or empty matches all.

    ``where`` is an SQL scalar expression over the fields of :data:`COLUMNS`, further fields of the
    record, and features by their names, as ``x`` or ``features.x``.
    """

    decision_point: str | None = None
    since: datetime | None = None
    until: datetime | None = None
    subject: str | None = None
    outcome: str | None = None
    model_version: str | None = None
    environment: str | None = None
    where: str | None = None
    limit: int | None = None
    #: Newest first, unless oldest first is wanted.
    oldest_first: bool = False
    #: Answer each decision's features too.
    features: bool = False


def rows(snapshot: Snapshot, query: Query) -> Iterator[dict[str, Any]]:
    """Decisions that match, as mappings by the names of :data:`COLUMNS`, times as datetimes."""
    asked = statement(snapshot, query, micros=True)
    if asked is None:
        return
    with said(query):
        result = snapshot.connection.execute(asked)
        names = [column[0] for column in result.description]
        look = _Look(snapshot, query)
        while batch := result.fetchmany(_BATCH):
            found = [dict(zip(names, values, strict=True)) for values in batch]
            for row in found:
                row["occurred_at"] = from_micros(row["occurred_at"])
            look.at(found)
            yield from found
        look.ends()


class _Look:
    """Records that decisions were found: the first by their ids, of more how many and from when."""

    def __init__(self, snapshot: Snapshot, query: Query) -> None:
        self._snapshot, self._query = snapshot, query
        self._count = 0
        self._times: list[datetime] = []

    def at(self, rows: Sequence[Mapping[str, Any]]) -> None:
        """Some more are about to be shown."""
        times = [row["occurred_at"] for row in rows]
        self._times = [min((*self._times, *times)), max((*self._times, *times))]
        self._count += len(rows)
        if self._count <= _NAMED_MAX:
            self._say([str(row["decision_id"]) for row in rows], None)
        elif self._count - len(rows) <= _NAMED_MAX:
            self._say([], None)  # that more are seen is said before they are

    def ends(self) -> None:
        """All have been shown."""
        if self._count > _NAMED_MAX:
            self._say([], self._count)

    def _say(self, ids: list[str], count: int | None) -> None:
        first, last = self._times
        looks.saw(
            self._snapshot.root,
            ids,
            decision_point=self._query.decision_point,
            decisions=count,
            shown=(first, last),
            question=repr(self._query),
        )


def with_features(row: dict[str, Any]) -> dict[str, Any]:
    """A row of :func:`rows` with its features as a mapping, where they were asked for."""
    if isinstance(row.get("features"), str):
        row["features"] = loads(row["features"])
    return row


def table(snapshot: Snapshot, query: Query) -> pa.Table:
    """Decisions that match, as an Arrow table."""
    import pyarrow as pa

    asked = statement(snapshot, query, micros=False)
    if asked is None:
        return pa.table({name: pa.nulls(0, pa.string()) for name in COLUMNS})
    with said(query):
        found = sql.with_tables(snapshot.connection).sql(asked).to_arrow_table()
    if found.num_rows:
        look = _Look(snapshot, query)
        columns = found.select(["decision_id", "occurred_at"])
        for first in range(0, found.num_rows, _BATCH):
            look.at(columns.slice(first, _BATCH).to_pylist())
        look.ends()
    return found


@contextmanager
def said(query: Query) -> Iterator[None]:
    """A checked expression can still fail on what it meets, as a comparison of text and number."""
    with sql.reading("A table of decisions"):
        try:
            yield
        except sql.ExpressionError as error:
            if query.where is None:
                raise
            what = f"{query.where} cannot be evaluated."
            raise UsageError(what, str(error).splitlines()[0]) from error


def write_parquet(snapshot: Snapshot, query: Query, path: Path) -> int:
    """Write the decisions that match to ``path`` and return how many there are."""
    import pyarrow.parquet as pq

    found = table(snapshot, query)
    pq.write_table(found, path, compression="zstd")
    return int(found.num_rows)


def statement(snapshot: Snapshot, query: Query, *, micros: bool) -> str | None:
    """The SQL text of a query; None when no file can hold an answer.

    Args:
        snapshot: the lake.
        query: what to look for.
        micros: times as microseconds since 1970; else as times.

    Raises:
        UsageError: when the query names what there is not, or its window is no window.
    """
    if query.since is not None and query.until is not None and query.since > query.until:
        raise UsageError(f"The window ends at {query.until} before it begins at {query.since}.")
    points = snapshot.points(query.decision_point)
    selects = [
        select
        for point, used in points_with_names(snapshot, points, query.where)
        if (select := _select(snapshot, query, point, used, micros=micros))
    ]
    if not selects:
        return None
    order = "ASC" if query.oldest_first else "DESC"
    limit = f" LIMIT {query.limit}" if query.limit is not None else ""
    return (
        f"SELECT * FROM ({' UNION ALL BY NAME '.join(selects)}) "
        f"ORDER BY occurred_at {order}, decision_id{limit}"
    )


def points_with_names(
    snapshot: Snapshot, points: Sequence[str], where: str | None
) -> list[tuple[str, list[str]]]:
    """The points whose records have every name that ``where`` uses, and which are features.

    Raises:
        UsageError: when no point has them all, or ``where`` is no expression that can be used.
    """
    if where is None:
        return [(point, []) for point in points]
    found: list[tuple[str, list[str]]] = []
    refused: UsageError | None = None
    for point in points:
        features = snapshot.tables[f"decisions/{point}"].features
        names = {*COLUMNS, *FIELDS, *features, *(f"features.{name}" for name in features)}
        try:
            used = check(where, names, connection=snapshot.connection)
            _refuse_personal(snapshot, point, used)
        except UsageError as error:
            refused = error
            continue
        plain = {name.casefold(): name for name in features}
        taken = {*COLUMNS, *FIELDS}
        found.append(
            (point, [plain[name.casefold()] for name in used
                     if name.casefold() in plain and name not in taken])
        )  # fmt: skip
    if refused is not None and not found:
        raise refused
    return found


def _refuse_personal(snapshot: Snapshot, point: str, used: Collection[str]) -> None:
    """Refuse a condition on what columns do not have: it would find nothing, and not say why."""
    hidden = {name.casefold() for name in hidden_features(snapshot, point)}
    named = [name for name in used if name.casefold().removeprefix("features.") in hidden]
    if named:
        raise UsageError(
            f"A condition cannot ask for {named[0]}.",
            f"It is personal at {point}, and columns do not have what is personal.",
            "Find by other fields, then trace one by one.",
        )


def _select(
    snapshot: Snapshot, query: Query, point: str, used: list[str], *, micros: bool
) -> str | None:
    since = to_micros(query.since) if query.since else None
    until = to_micros(query.until) if query.until else None
    paths = snapshot.paths(f"decisions/{point}", since, until)
    if not paths:
        return None
    conditions = ["true"]
    if since is not None:
        conditions.append(f"occurred_at >= make_timestamptz({since})")
    if until is not None:
        conditions.append(f"occurred_at < make_timestamptz({until})")
    if query.subject is not None:
        conditions.append(subject_is(snapshot.root, query.subject))
    for column, wanted in (
        ("outcome", query.outcome),
        ("model.version", query.model_version),
        ("coalesce(environment, 'production')", query.environment),
    ):
        if wanted is not None:
            conditions.append(f"{column} = {sql.literal(wanted)}")
    source = (
        f"SELECT * FROM read_parquet({sql.literal(paths)}, union_by_name = true) "
        f"WHERE {' AND '.join(conditions)}"
    )
    source = columns_seen(snapshot, point, source)
    columns = [f"{expression} AS {name}" for name, expression in COLUMNS.items()]
    if query.where is not None:
        # Names of the record come first; a feature of the same name is reached as features.x.
        named = [*columns, *(f"{expression} AS {name}" for name, expression in FIELDS.items())]
        named += [f"features[{sql.literal(f)}] AS {sql.identifier(f)}" for f in used]
        has_features = bool(snapshot.tables[f"decisions/{point}"].features)
        named += ["features"] if has_features else []
        source = f"SELECT {', '.join(named)} FROM ({source})"
        source = f"SELECT * FROM ({source}) WHERE ({query.where}\n)"
        columns = list(COLUMNS)
    if micros:
        columns[list(COLUMNS).index("occurred_at")] = "epoch_us(occurred_at) AS occurred_at"
    if query.features and snapshot.tables[f"decisions/{point}"].features:
        columns.append("to_json(features)::VARCHAR AS features" if micros else "features")
    return f"SELECT {', '.join(columns)} FROM ({source})"
