"""What every detector is, and what its two forms look at.

A detector judges one decision with all the evidence around it (:class:`Case`), for a trace, and all
decisions of a window by SQL over their columns (:class:`Stretch`), for ``forensics check``. Both
forms answer in the same codes, and a test holds that they agree decision by decision.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple

from forensics.lake import sql
from forensics.reconstruct.around import between
from forensics.reconstruct.case import Case
from forensics.reconstruct.reconstruction import Evidence, Finding, Severity

if TYPE_CHECKING:
    from forensics.lake.snapshot import Snapshot
    from forensics.lake.usual import Usual
    from forensics.lineage.declared import Declaration
    from forensics.lineage.feeding import Feeding
    from forensics.reconstruct.changes import Change
    from forensics.reconstruct.fed import Source
    from forensics.reconstruct.scales import RunJump


class Said(NamedTuple):
    """What a code means: its severity, and the words for many decisions.

    ``{0}`` stands for the detail after the code's colon. Of ``not_checkable`` the words are why.
    """

    severity: Severity
    words: str


#: The steps of a decision, as kind and id.
Shape = tuple[tuple[str | None, str | None], ...]
#: SQL for a number that tells shapes apart.
SHAPE = "(hash(list_transform(steps, lambda s: [s.kind, s.id])) >> 1)::BIGINT"


@dataclass(frozen=True)
class Stretch:
    """Decisions of one point between two times, as relations that SQL can be written over.

    ``d`` is the relation of the decisions to judge, with the columns of the contract and further
    ``t`` (microseconds since 1970) and ``env`` (never null), and in flags of the steps, as lists,
    ``ids``, ``kinds``, ``starts`` and ``ends`` (microseconds). Within a stretch one declaration
    is in force.
    """

    connection: sql.Connection
    snapshot: Snapshot
    point: str
    first_us: int
    #: The time before which it ends.
    end_us: int
    #: Text and numbers of each feature that the stretch's files have, as SQL types.
    features: Mapping[str, str]
    declaration: Declaration | None
    #: All changes up to the end that may concern the point, newest first.
    changes: tuple[Change, ...]
    #: Whether ``o``, the newest override of each decision, can be used in flags.
    has_overrides: bool
    #: What was usual of each feature before each day since 1970.
    usual: Mapping[int, Mapping[str, Usual]]
    #: Runs that wrote features on another scale.
    run_jumps: tuple[RunJump, ...]
    #: Artifacts whose bytes are not those that were stored.
    altered: frozenset[str]
    #: The commonest lists of steps, as kind and id, by the value of ``d``'s column ``shape``.
    shapes: Mapping[int, Shape]
    #: The runs and tests by the end, of any decision point.
    feeding: Feeding

    @cached_property
    def sources(self) -> list[Source]:
        """What fed its features."""
        from forensics.reconstruct.fed import sources

        return sources(self)

    @property
    def announced(self) -> tuple[Change, ...]:
        """The changes that somebody recorded; see :func:`announced`."""
        return tuple(change for change in self.changes if change.evidence == "recorded")

    @property
    def has_features(self) -> str:
        """SQL for :func:`has_features`."""
        there = (f"features.{sql.identifier(name)} IS NOT NULL" for name in self.features)
        return f"({' OR '.join(there) or 'false'})"

    def decisions(self, margin_us: int = 0, *, columns: str = "*") -> str:
        """A query for the stretch's decisions, and for those up to ``margin_us`` around it."""
        return self.between(self.first_us - margin_us, self.end_us + margin_us, columns=columns)

    def between(self, first_us: int, end_us: int, *, columns: str = "*") -> str:
        """A query for all decisions of the point from one time to before another."""
        return between(self.snapshot, self.point, first_us, end_us, columns)


class Detector:
    """One thing that can be wrong around a model.

    Its kind is its name. ``says`` has every code that it can answer; a finding's ``about`` in its
    detail is the code, and after a colon what it concerns, where that is one of several.
    """

    kind: ClassVar[str]
    #: What it checks, in one sentence.
    checks: ClassVar[str]
    #: What evidence that takes, in one sentence.
    needs: ClassVar[str]
    says: ClassVar[Mapping[str, Said]]
    #: Why a window's columns do not tell it, where they do not.
    beyond_columns: ClassVar[str] = ""
    #: Whether a replay of the window tells that.
    replay_tells: ClassVar[bool] = False

    def look(self, case: Case) -> Iterator[Finding]:
        """What is wrong with one decision; ``not_checkable`` says why nobody can tell."""
        raise NotImplementedError

    def flags(self, stretch: Stretch) -> Mapping[str, str]:
        """SQL conditions over a row of ``d``, by the code that one answers where it is true."""
        return {}

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """Queries that answer ``request_id, decision_id, t, about`` for single decisions.

        For what takes more than the row itself, or names one of many features or steps.
        """
        return iter(())

    def found(
        self,
        about: str,
        statement: str,
        detail: Mapping[str, Any] | None = None,
        evidence: Evidence = "recorded",
    ) -> Finding:
        """A finding of the severity that its code has."""
        severity = self.says[about.partition(":")[0]].severity
        return Finding(self.kind, severity, statement, {"about": about, **(detail or {})}, evidence)

    def unknown(self, about: str) -> Finding:
        """That, and why, nobody can tell."""
        code, _, detail = about.partition(":")
        why = self.says[code].words.format(detail)
        statement = f"{self.kind.replace('_', ' ')} is not checkable, because {why}"
        return Finding(self.kind, "not_checkable", statement, {"about": about}, "missing")


def has_features(case: Case) -> bool:
    """Whether the decision has the value of any feature."""
    return any(value is not None for value in case.decision.features.values())


def announced(case: Case) -> list[Change]:
    """The changes that somebody recorded and that had come by the decision's time, newest first.

    What is derived from use alone was published by nobody, so that nothing can be asked of it.
    """
    at = case.decision.occurred_at
    return [c for c in case.changes if c.evidence == "recorded" and c.occurred_at <= at]


#: Microseconds of a second, as times in SQL are.
SECOND_US = 1_000_000
#: Clocks of one machine may tell times within this in another order than they were.
CLOCK = timedelta(milliseconds=1)


def short(digest: str) -> str:
    """A digest's first eight digits."""
    return digest.removeprefix("sha256:")[:8]


def ago(age: timedelta) -> str:
    """An age in one unit, rounded."""
    seconds = age.total_seconds()
    if seconds < 120:
        return f"{seconds:.0f} s"
    if seconds < 7200:
        return f"{seconds / 60:.0f} min"
    if seconds < 172_800:
        return f"{seconds / 3600:.0f} h"
    return f"{seconds / 86_400:.0f} days"


def number(value: Any) -> float | None:
    """``value`` where it is a number, as a double."""
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        return None
    return float(value)


def json_number(column: str, name: str) -> str:
    """SQL for :func:`number` of a key of a JSON object, NULL where there is none."""
    path = sql.literal(f'$."{name}"')
    kind = f"TRY(json_type({column}, {path}))"
    return (
        f"CASE WHEN {kind} IN ('BIGINT', 'UBIGINT', 'DOUBLE', 'HUGEINT') "
        f"THEN TRY_CAST({column} ->> {path} AS DOUBLE) END"
    )


def any_step(condition: str) -> str:
    """SQL for whether a step ``s`` is as ``condition`` says."""
    return _any("steps", condition)


def any_source(condition: str) -> str:
    """SQL for whether a feature source ``s`` is as ``condition`` says."""
    return _any("feature_sources", condition)


def _any(items: str, condition: str) -> str:
    # Filtering would copy whole structs, names of features and all.
    return f"list_contains(list_transform({items}, lambda s: coalesce({condition}, false)), true)"


def by_shape(stretch: Stretch, quick: Callable[[Shape], str], slow: str) -> str:
    """SQL for a condition on steps, which for the commonest lists of steps is a short one.

    Args:
        stretch: whose decisions.
        quick: the condition where it is known which steps there are, in which places.
        slow: the condition for any list.
    """
    whens = " ".join(f"WHEN {key} THEN {quick(shape)}" for key, shape in stretch.shapes.items())
    return f"CASE shape {whens} ELSE {slow} END" if whens else slow


#: SQL for "the record has no steps".
NO_STEPS = "coalesce(len(steps), 0) = 0"


#: SQL types of features that count as numbers.
NUMERIC = frozenset(
    ("DOUBLE", "FLOAT", "BIGINT", "INTEGER", "SMALLINT", "TINYINT", "UBIGINT", "UINTEGER")
)


def any_of(conditions: Sequence[str]) -> str:
    """SQL for whether any of some conditions is true."""
    return " OR ".join(f"coalesce({one}, false)" for one in conditions) or "false"


def concerns(change: Change) -> str:
    """SQL for whether a change of a deploy, configuration or flag is among a decision's changes."""
    if change.environment is None:
        return "true"
    return f"env = {sql.literal(change.environment)}"
