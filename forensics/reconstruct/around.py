"""What decisions around one decision tell: of its request, its minute, its subject and its day.

Asked only where a detector needs it, by scans of the typed columns of some minutes; what is usual
for a day is counted by ten minutes, so that a busy point is not read for longer than that.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

from forensics.lake import sql
from forensics.lake.snapshot import Snapshot
from forensics.records.decision import Decision
from forensics.records.times import to_micros

if TYPE_CHECKING:
    from forensics.lineage.run import Run
    from forensics.reconstruct.changes import Change
    from forensics.reconstruct.detectors.base import Stretch

_SECOND_US = 1_000_000
MINUTE_US = 60 * _SECOND_US
#: What is usual is counted by so much, of which a busy point has enough decisions.
SPAN_US = 10 * MINUTE_US
DAY_US = 24 * 60 * MINUTE_US
#: How far apart decisions of one request may be.
REQUEST_US = 10 * MINUTE_US
#: How near two decisions of the same question must be.
REPEAT_US = 10 * _SECOND_US
#: Of how many comparable decisions which share must have a kind of step for it to be usual.
COMPARABLE_MIN = 20
USUAL_SHARE = 0.98

#: The versions of a row: of a model or configuration the digest, else what people call it.
VERSIONS = (
    "model.name AS model_name, coalesce(nullif(model.digest, ''), model.version) AS model_version, "
    "config.name AS config_name, coalesce(nullif(config.digest, ''), config.revision) "
    "AS config_version"
)
#: Whether the versions of rows ``d`` and ``g`` of the same component differ.
_DIFFER = (
    "((d.model_name IS NOT DISTINCT FROM g.model_name AND d.model_version <> g.model_version) OR "
    "(d.config_name IS NOT DISTINCT FROM g.config_name AND d.config_version <> g.config_version))"
)

#: A number that tells rows apart by the versions that they used.
_USED = "hash(model_name, model_version, config_name, config_version)"
#: Decisions ``d`` with others of the same request ``g`` among ``near`` that used other versions.
MATES = f"""
    WITH near AS NOT MATERIALIZED ({{near}}), several AS (
        SELECT hash(request_id, env) AS request FROM near GROUP BY ALL
        HAVING min({_USED}) <> max({_USED})
    )
    SELECT {{answer}} FROM ({{d}}) AS d
    JOIN (SELECT * FROM near WHERE hash(request_id, env) IN (SELECT request FROM several)) AS g
      ON d.request_id = g.request_id AND d.env = g.env AND d.decision_id <> g.decision_id
     AND abs(d.t - g.t) <= {{within}} AND {_DIFFER}"""

#: A row for each of the two; braces are doubled for the templates below.
_PARTS = (
    "unnest([{{'part': 'model', 'name': model_name, 'version': model_version}}, "
    "{{'part': 'config', 'name': config_name, 'version': config_version}}], recursive := true)"
)
#: Decisions ``d`` at whose time another replica ``g`` used another version, before and after,
#: within the same minute; ``near`` has the whole minutes.
REPLICAS = f"""
    WITH minutes AS (
        SELECT env, t // {MINUTE_US} AS minute FROM ({{near}}) WHERE replica IS NOT NULL
        GROUP BY ALL HAVING min({_USED}) <> max({_USED})
    ), used AS (
        SELECT env, t // {MINUTE_US} AS minute, replica, model_name, model_version, config_name,
               config_version, min(t) AS first, max(t) AS last
        FROM ({{near}}) WHERE replica IS NOT NULL
          AND (env, t // {MINUTE_US}) IN (SELECT (env, minute) FROM minutes) GROUP BY ALL
    ), spans AS (
        SELECT env, minute, part, name, version, replica, min(first) AS first, max(last) AS last
        FROM (SELECT env, minute, replica, first, last, {_PARTS} FROM used)
        WHERE version IS NOT NULL GROUP BY ALL
    ), mixed AS (
        SELECT env, minute, part, name FROM spans GROUP BY ALL HAVING min(version) <> max(version)
    )
    SELECT {{answer}} FROM (
        SELECT request_id, decision_id, t, env, replica, t // {MINUTE_US} AS minute, {_PARTS}
        FROM ({{d}}) WHERE (env, t // {MINUTE_US}) IN (SELECT (env, minute) FROM mixed)
    ) AS d JOIN spans AS g
      ON d.env = g.env AND d.minute = g.minute AND d.part = g.part AND d.replica <> g.replica
     AND d.name IS NOT DISTINCT FROM g.name AND d.version <> g.version
     AND d.t BETWEEN g.first AND g.last"""

#: Decisions ``d`` with others of the same subject and inputs under other ids among ``near``.
REPEATS = """
    WITH near AS NOT MATERIALIZED ({near}), several AS (
        SELECT id, env FROM (
            SELECT subject.id AS id, env, unnest([t // {within}, t // {within} + 1]) AS bucket
            FROM near WHERE subject.id IS NOT NULL
        ) GROUP BY id, env, bucket HAVING count(*) > 1
    ), found AS (
        SELECT near.*, subject.id AS id FROM near
        WHERE (subject.id, env) IN (SELECT (id, env) FROM several)
    )
    SELECT {answer} FROM ({d}) AS d JOIN found AS g
      ON d.subject.id = g.id AND d.env = g.env AND d.decision_id <> g.decision_id
     AND abs(d.t - g.t) <= {within} AND d.features IS NOT DISTINCT FROM g.features"""


class Mate(NamedTuple):
    """Another decision, or another replica, with what it used instead of ``mine``."""

    part: str
    mine: str
    theirs: str
    #: The decision's id, or the replica's name.
    name: str


def between(snapshot: Snapshot, point: str, first_us: int, end_us: int, columns: str = "*") -> str:
    """A query for a point's decisions from one time to before another, with ``t`` and ``env``."""
    paths = snapshot.paths(f"decisions/{point}", first_us, end_us - 1)
    source = f"read_parquet({sql.literal(paths)}, union_by_name = true)"
    if not paths:  # any file tells the columns
        paths = snapshot.paths(f"decisions/{point}")[:1]
        source = f"(FROM read_parquet({sql.literal(paths)}) LIMIT 0)"
    return (
        f"SELECT {columns}, epoch_us(occurred_at) AS t, "
        f"coalesce(environment, 'production') AS env FROM {source} "
        f"WHERE occurred_at >= make_timestamptz({first_us}) "
        f"AND occurred_at < make_timestamptz({end_us})"
    )


class Around:
    """The decisions around one decision.

    Args:
        snapshot: the lake.
        decision: the decision, which must be in the lake.
        kinds: whether :meth:`usual_kinds` will be asked: one reading then answers everything.
    """

    def __init__(self, snapshot: Snapshot, decision: Decision, *, kinds: bool = False) -> None:
        self._snapshot = snapshot
        self._decision = decision
        self._kinds = kinds
        self._at = to_micros(decision.occurred_at)
        self._runs: dict[tuple[str, int], Sequence[Run]] = {}

    def request_mates(self) -> list[Mate]:
        """Decisions of the same request and environment that used other versions, nearest first."""
        mine = _versions(self._decision)
        found = []
        for row in sorted(self._near, key=lambda row: abs(row.first - self._at)):
            if row.same_request and row.decision_id not in (None, self._decision.decision_id):
                found += _differing(mine, row, str(row.decision_id))
        return found

    def other_replicas(self) -> list[Mate]:
        """Replicas that used other versions both before and after, within the same minute."""
        mine = _versions(self._decision)
        spans: dict[tuple[str, str, str | None, str], list[int]] = {}
        for row in self._near:
            if row.replica is None or row.replica == self._decision.other.get("replica"):
                continue
            for part, called, version in row.versions:
                if row.in_minute and version is not None:
                    key = (row.replica, part, called, version)
                    spans.setdefault(key, []).extend((row.first, row.last))
        found = []
        for (replica, part, called, version), times in sorted(spans.items(), key=str):
            own_name, own = mine[part]
            if own is None or own_name != called or own == version:
                continue
            if min(times) <= self._at <= max(times):
                found.append(Mate(_named(part, own_name), own, version, replica))
        return found

    def repeats(self) -> list[str]:
        """Ids of decisions on the same subject and inputs within seconds, nearest first."""
        subject = self._decision.subject.get("id")
        mine = self._decision.decision_id
        if all(value is None for value in self._decision.features.values()):
            return []  # nobody knows what was asked
        if not any(row.same_subject and row.decision_id != mine for row in self._near):
            return []
        columns = "decision_id, subject, features, occurred_at, environment"
        near = self._between(self._at - REPEAT_US, self._at + REPEAT_US + 1, columns)
        query = (
            f"WITH near AS (SELECT * FROM ({near}) WHERE subject.id = {sql.literal(str(subject))} "
            f"AND env = {sql.literal(self._decision.environment)}) "
            f"SELECT DISTINCT g.decision_id, abs(g.t - {self._at}) AS apart "
            "FROM near AS d JOIN near AS g ON d.features IS NOT DISTINCT FROM g.features "
            f"WHERE d.decision_id = {sql.literal(mine)} AND d.t = {self._at} "
            "AND g.decision_id <> d.decision_id ORDER BY apart, g.decision_id"
        )
        with sql.reading("A table of decisions"):
            rows = self._snapshot.connection.execute(query).fetchall()
        return [str(row[0]) for row in rows]

    def usual_kinds(self) -> list[str] | None:
        """Kinds of steps that such decisions of that day have; None where too few tell."""
        near = self._near if self._kinds else self._read(kinds=True)
        seen = [(set(row.kinds), row.decisions) for row in near if row.kinds is not None]
        count = sum(decisions for _, decisions in seen)
        if count >= COMPARABLE_MIN:
            return sorted(
                kind
                for kind in set().union(*(kinds for kinds, _ in seen))
                if kind is not None
                and sum(n for kinds, n in seen if kind in kinds) >= USUAL_SHARE * count
            )
        # A day is read only where its ten minutes are not enough.
        day = self._at // DAY_US * DAY_US
        query = usual_kinds(self._snapshot, self._decision.decision_point, day, day + DAY_US)
        with sql.reading("A table of decisions"):
            rows = self._snapshot.connection.execute(
                f"SELECT expected FROM ({query}) WHERE span = {self._at // SPAN_US} "
                f"AND env = {sql.literal(self._decision.environment)}"
            ).fetchall()
        return sorted(rows[0][0]) if rows and rows[0][0] is not None else None

    def runs_before(self, dataset: str, time: datetime) -> Sequence[Run]:
        """The runs that wrote a dataset before ``time``, newest first."""
        from forensics.lineage import runs
        from forensics.reconstruct.scales import RUNS_BEFORE

        key = (dataset, to_micros(time))
        if key not in self._runs:
            self._runs[key] = runs.writers(self._snapshot, dataset, before=time, limit=RUNS_BEFORE)
        return self._runs[key]

    def last_change(self, component: str) -> Change | None:
        """What became different last at a component that serves every environment alike."""
        from forensics.reconstruct import changes

        decision = self._decision
        before = changes.before(
            self._snapshot,
            decision.occurred_at,
            decision_point=decision.decision_point,
            limit=None,
        )
        return next((c for c in before if c.component == component), None)

    def rewritten_us(self, dataset: str, after_us: int) -> int:
        """When another run completed that wrote a dataset, first after a time."""
        from forensics.lineage.feeding import rewritten_us

        return rewritten_us(self._snapshot, dataset, after_us)

    def has_pipeline_changes(self, features: Collection[str]) -> bool:
        """Whether changes of pipelines that feed some features were recorded by then."""
        from forensics.reconstruct.changes.explicit import recorded

        return any(
            change.kind == "pipeline"
            and to_micros(change.occurred_at) <= self._at
            and not {*features}.isdisjoint(change.features)
            for change in recorded(self._snapshot, decision_point=self._decision.decision_point)
        )

    def _between(self, first_us: int, end_us: int, columns: str) -> str:
        return between(
            self._snapshot, self._decision.decision_point, first_us, end_us, columns=columns
        )

    @cached_property
    def _near(self) -> list[_Near]:
        return self._read(kinds=self._kinds)

    def _read(self, *, kinds: bool) -> list[_Near]:
        """Decisions of the request and the subject one by one, others of the minute by replica.

        With ``kinds`` also those of the ten minutes, by the kinds of their steps.
        """
        columns = f"request_id, decision_id, replica, subject.id AS subject_id, {VERSIONS}"
        listed, in_span = "NULL::VARCHAR[]", "false"
        if kinds:
            columns += ", coalesce(list_transform(steps, lambda s: s.kind), []) AS kinds, cache.hit"
            listed = "CASE WHEN in_span THEN kinds END"
            in_span = f"t // {SPAN_US} = {self._at // SPAN_US} AND NOT coalesce(hit, false)"
        near = self._between(self._at - REQUEST_US, self._at + REQUEST_US + 1, columns)
        subject = self._decision.subject.get("id")
        same_subject = (
            f"subject_id = {sql.literal(str(subject))} AND abs(t - {self._at}) <= {REPEAT_US}"
            if subject is not None
            else "false"
        )
        query = f"""
            SELECT CASE WHEN same_request OR same_subject THEN decision_id END, same_request,
                   same_subject, in_minute, replica, model_name, model_version, config_name,
                   config_version, {listed}, min(t), max(t), count(*)
            FROM (SELECT *, request_id = {sql.literal(self._decision.request_id)} AS same_request,
                         coalesce({same_subject}, false) AS same_subject, {in_span} AS in_span,
                         t // {MINUTE_US} = {self._at // MINUTE_US} AS in_minute
                  FROM ({near}))
            WHERE env = {sql.literal(self._decision.environment)}
              AND (same_request OR same_subject OR in_minute OR in_span)
            GROUP BY ALL"""
        with sql.reading("A table of decisions"):
            rows = self._snapshot.connection.execute(query).fetchall()
        return [_Near(*row) for row in rows]


class _Near(NamedTuple):
    #: None where it stands for several, which are of neither the request nor the subject.
    decision_id: str | None
    same_request: bool
    same_subject: bool
    in_minute: bool
    replica: str | None
    model_name: str | None
    model_version: str | None
    config_name: str | None
    config_version: str | None
    #: Of those that are comparable: in the ten minutes, and not from a cache.
    kinds: list[str | None] | None
    first: int
    last: int
    decisions: int

    @property
    def versions(self) -> tuple[tuple[str, str | None, str | None], ...]:
        return (
            ("model", self.model_name, self.model_version),
            ("config", self.config_name, self.config_version),
        )


def _versions(decision: Decision) -> dict[str, tuple[str | None, str | None]]:
    model, config = decision.model, decision.config
    return {
        "model": (model.get("name"), model.get("digest") or model.get("version")),
        "config": (config.get("name"), config.get("digest") or config.get("revision")),
    }


def _differing(mine: dict[str, tuple[str | None, str | None]], row: _Near, name: str) -> list[Mate]:
    found = []
    for part, their_name, theirs in row.versions:
        own_name, own = mine[part]
        if own_name == their_name and own is not None and theirs is not None and own != theirs:
            found.append(Mate(_named(part, own_name), own, theirs, name))
    return found


def _named(part: str, name: str | None) -> str:
    return f"{part} {name}" if name else part


def usual_kinds_query(stretch: Stretch) -> str:
    """:func:`usual_kinds` for the days of a stretch."""
    first, end = (
        stretch.first_us // DAY_US * DAY_US,
        -(-stretch.end_us // DAY_US) * DAY_US,
    )
    return usual_kinds(stretch.snapshot, stretch.point, first, end)


def usual_kinds(snapshot: Snapshot, point: str, first_us: int, end_us: int) -> str:
    """A query for the kinds of steps that are usual, by environment and span of ten minutes.

    What other decisions of that span have, without answers from a cache; of that day where the
    span has too few, and NULL where the day has too few.

    Args:
        snapshot: the lake.
        point: the decision point.
        first_us: where the first day, or the only span, begins.
        end_us: where the last day ends.
    """
    columns = "steps, cache, occurred_at, environment"
    # Most decisions have the same steps: counted as they come, few lists are left to work on.
    seen = f"""
        SELECT env, span, span // {DAY_US // SPAN_US} AS day, n,
               list_distinct(list_filter(coalesce(steps, []), lambda k: k IS NOT NULL)) AS kinds
        FROM (SELECT env, t // {SPAN_US} AS span, list_transform(steps, lambda s: s.kind) AS steps,
                     count(*) AS n
              FROM ({between(snapshot, point, first_us, end_us, columns=columns)})
              WHERE NOT coalesce(cache.hit, false) GROUP BY ALL)"""
    return f"""
        WITH seen AS ({seen}), totals AS (
            SELECT env, day, span, sum(n) AS n FROM seen GROUP BY env, day, span
        ), counted AS (
            SELECT env, day, span, kind, sum(n) AS n
            FROM (SELECT env, day, span, n, unnest(kinds) AS kind FROM seen)
            GROUP BY env, day, span, kind
        ), spans AS (
            SELECT t.env, t.day, t.span, t.n,
                   coalesce(list(c.kind ORDER BY c.kind)
                            FILTER (WHERE c.n >= {USUAL_SHARE} * t.n), []) AS kinds
            FROM totals AS t LEFT JOIN counted AS c USING (env, day, span) GROUP BY ALL
        ), days AS (
            SELECT t.env, t.day, t.n,
                   coalesce(list(c.kind ORDER BY c.kind)
                            FILTER (WHERE c.n >= {USUAL_SHARE} * t.n), []) AS kinds
            FROM (SELECT env, day, sum(n) AS n FROM totals GROUP BY ALL) AS t
            LEFT JOIN (SELECT env, day, kind, sum(n) AS n FROM counted GROUP BY ALL) AS c
            USING (env, day) GROUP BY ALL
        )
        SELECT h.env, h.span, CASE WHEN h.n >= {COMPARABLE_MIN} THEN h.kinds
                                   WHEN d.n >= {COMPARABLE_MIN} THEN d.kinds END AS expected
        FROM spans AS h JOIN days AS d USING (env, day)"""
