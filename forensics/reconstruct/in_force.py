"""Which component versions of one decision point were in force at a second."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime

from forensics.lake.around import Around, around
from forensics.lake.snapshot import Snapshot
from forensics.lake.summaries import Tenure
from forensics.reconstruct.changes.change import Change
from forensics.reconstruct.changes.matched import concerns
from forensics.reconstruct.changes.query import Account
from forensics.reconstruct.changes.uses import KINDS, Component, by_chance
from forensics.reconstruct.state import Ended, Live, Status
from forensics.records.jsontext import loads
from forensics.records.times import from_micros, to_micros

_SECOND_US = 1_000_000
_HOUR_US = 3_600 * _SECOND_US
#: So many decisions on either side tell shares and places well enough.
_ENOUGH = 2_000
_REACHES_US = tuple(seconds * _SECOND_US for seconds in (1, 10, 60, 600, 3_600, 10_800, 43_200))
_ANNOUNCING = frozenset(("deploy", "config", "pipeline", "artifact", "other"))


@dataclass(frozen=True, slots=True)
class InForce:
    """What was in force at one decision point, and which runs fed its decisions, by job."""

    live: tuple[Live, ...]
    ended: tuple[Ended, ...]
    served: dict[str, tuple[str, ...]]


def in_force(
    snapshot: Snapshot, known: Account, time: datetime, known_by: datetime | None
) -> InForce:
    """What was in force at the decision point of ``known`` at ``time``."""
    at = to_micros(time)
    uses = known.uses
    components = [c for c in uses.components if c[1] not in ("decisions", "feature")]
    spans = {(kind, name): _constant(known, (kind, name), at) for _, kind, name in components}
    reach = _reach(known, at)
    spans = {
        key: (max(low, at - reach), min(high, at + reach)) for key, (low, high) in spans.items()
    }
    near = around(
        snapshot, uses.point, at, reach, spans, None if known_by is None else to_micros(known_by)
    )
    by_component: dict[Component, list[Around]] = {}
    totals: dict[tuple[str, str | None], int] = {}
    for item in near:
        by_component.setdefault((item.environment, item.kind, item.name), []).append(item)
        key = (item.kind, item.name)
        totals[key] = totals.get(key, 0) + item.decisions
    over = {name: ended for name in uses.environments() if (ended := _over(known, name, at))}
    found: list[Live] = []
    for component in components:
        if component[0] in over:
            continue
        told = _Component(known, component, at, by_component.get(component, []))
        span = spans[component[1:]]
        found += told.live(span, totals.get(component[1:], 0))
    found += _announced_elsewhere(known, components, at)
    return InForce(tuple(found), tuple(over.values()), _served(near))


def _constant(known: Account, key: tuple[str, str | None], at: int) -> tuple[int, int]:
    """The time around ``at`` in which a component's versions were the same, in all environments."""
    low, high = -(2**62), 2**62
    for (_, kind, name), found in known.uses.components.items():
        if (kind, name) != key:
            continue
        for use in found:
            for edge, step in ((use.first_us, 0), (use.last_us, 1)):
                if edge + step <= at:
                    low = max(low, edge + step)
                else:
                    high = min(high, edge + step - 1)
    return low, high


def _reach(known: Account, at: int) -> int:
    """How far around ``at`` enough decisions are, by the hour that it lies in."""
    within = known.uses.count(None, at - _HOUR_US, at + _HOUR_US)
    hours = max(within, 1) / _HOUR_US
    return next((reach for reach in _REACHES_US if hours * reach >= _ENOUGH), _REACHES_US[-1])


def _over(known: Account, environment: str, at: int) -> Ended | None:
    """How an environment ended by ``at``; None where it did not, as far as anybody can tell.

    It did where its decision point went on and chance does not explain that none of the decisions
    was its own. A canary's end is when its version was rolled out elsewhere, where that was said.
    """
    whole = known.uses.decisions(environment)
    if whole is None or at <= whole.last_us:
        return None
    last = max(
        found.last_us
        for name in known.uses.environments()
        if (found := known.uses.decisions(name)) is not None
    )
    mine = known.uses.count(environment, whole.first_us - 1, whole.last_us + 1)
    all_ = known.uses.count(None, whole.first_us - 1, whole.last_us + 1)
    missing = known.uses.count(None, whole.last_us, last + 1)
    if by_chance(mine / max(all_, mine, 1), missing):
        return None
    ran = {
        use.digest or use.version
        for (name, kind, _), found in known.uses.components.items()
        if name == environment and kind == "model"
        for use in found
        if use.last_us >= whole.last_us - _HOUR_US
    }
    ending = [
        change
        for change in known.changes
        if change.source == "changes"
        and change.kind in _ANNOUNCING
        and to_micros(change.occurred_at) >= whole.last_us
        and (
            change.environment == environment
            or (
                change.environment is not None
                and ran & {change.to_digest, change.to_version} - {None}
            )
        )
    ]
    ended_by = min(ending, key=lambda change: change.occurred_at, default=None)
    if ended_by is not None and at < to_micros(ended_by.occurred_at):
        return None
    return Ended(known.uses.point, environment, from_micros(whole.last_us), ended_by)


class _Component:
    """One component in one environment at one time."""

    def __init__(self, known: Account, component: Component, at: int, near: list[Around]) -> None:
        self._known, self._component, self._at = known, component, at
        self._near = near
        self._uses = known.uses.components[component]

    def live(self, span: tuple[int, int], total: int) -> Iterator[Live]:
        """The versions in force: mostly one, in a canary several."""
        at = self._at
        covering = [use for use in self._uses if use.first_us <= at <= use.last_us]
        if len(covering) > 1:
            covering = [use for use in covering if self._there(use)] or covering
        if covering:
            for use in covering:
                yield self._line(use, "live", span, total)
            return
        before = max(
            (use for use in self._uses if use.last_us < at), key=lambda u: u.last_us, default=None
        )
        after = min(
            (use for use in self._uses if use.first_us > at), key=lambda u: u.first_us, default=None
        )
        if after is not None:
            yield from self._between(before, after, span, total)
        elif before is not None:
            yield from self._after(before, span, total)

    def _between(
        self, before: Tenure | None, after: Tenure, span: tuple[int, int], total: int
    ) -> Iterator[Live]:
        """The time between the last use of one version and the first of another."""
        told = self._known.matched.announced.get(after)
        # Of an environment that has not decided yet only its own announcements tell.
        here = told is not None and (before or told.environment == self._component[0])
        if told is not None and here and to_micros(told.occurred_at) <= self._at:
            yield self._line(after, "announced", span, total)
            if before is not None:
                yield self._line(before, "last_seen", span, total)
        elif before is not None:
            said = told is not None or _version(before) == _version(after)
            yield self._line(before, "live" if said else "last_seen", span, total)

    def _after(self, before: Tenure, span: tuple[int, int], total: int) -> Iterator[Live]:
        """The time after the last use that the evidence holds."""
        whole = self._known.uses.decisions(self._component[0])
        if whole is not None and whole.last_us > before.last_us:
            share = before.decisions / max(before.through - before.earlier, before.decisions)
            missing = self._known.uses.count(self._component[0], before.last_us, whole.last_us + 1)
            if not by_chance(share, missing) and not self._announced_after(before):
                return  # the component itself is gone
        change = self._announced_after(before)
        if change is not None:
            yield self._announced(change, before)
        yield self._line(before, "last_seen", span, total)

    def _announced_after(self, before: Tenure) -> Change | None:
        """What was announced for this component since its last use, newest first."""
        taken = {id(change) for change in self._known.matched.announced.values()}
        for change in self._known.matched.changes:
            if (
                change.source == "changes"
                and change.kind in _ANNOUNCING
                and id(change) not in taken
                and before.last_us < to_micros(change.occurred_at) <= self._at
                and (change.to_version or change.to_digest)
                and concerns(change, self._component)
                and (
                    change.component == self._component[2]
                    or (change.from_digest is not None and change.from_digest == before.digest)
                )
            ):
                return change
        return None

    def _there(self, use: Tenure) -> bool:
        """Whether a version that was used before and after was used around the time too."""
        mine = [item for item in self._near if (item.version, item.digest) == _version(use)]
        before = max((i.nth_before for i in mine if i.nth_before is not None), default=0)
        nexts = [i.nth_after for i in mine if i.nth_after is not None]
        everything = sum(item.all_decisions for item in self._near)
        after = min(nexts) if nexts else everything + 1
        seen = sum(item.all_decisions for item in mine)
        return by_chance(seen / max(everything, 1), after - before - 1) or after - before == 1

    def _line(self, use: Tenure, status: Status, span: tuple[int, int], total: int) -> Live:
        told = self._known.matched.announced.get(use)
        if told is not None and to_micros(told.occurred_at) > max(use.first_us, self._at):
            told = None  # nobody had said so yet
        mine = [
            item
            for item in self._near
            if (item.version, item.digest) == _version(use) and item.decisions
        ]
        others = [
            item
            for item in self._near
            if (item.version, item.digest) != _version(use) and item.decisions
        ]
        decisions = sum(item.decisions for item in mine) if status == "live" else 0
        replaced = self._replaced(use)
        first = from_micros(use.first_us)
        values = next((item.held for item in mine if item.held is not None), None)
        return Live(
            decision_point=self._known.uses.point,
            environment=self._component[0],
            kind=use.kind,
            name=use.name,
            version=use.version,
            digest=use.digest,
            status=status,
            share=decisions / total if status == "live" and total else None,
            decisions=decisions,
            span=(from_micros(span[0]), from_micros(span[1])) if status == "live" else None,
            since=told.occurred_at if told is not None else first,
            since_known=told is not None or not self._begins(use),
            first_used=first,
            last_used=self._last_used(use),
            next_used=self._next_used(use),
            replaced_version=replaced[0],
            replaced_digest=replaced[1],
            announced=told,
            regions=tuple(sorted({item.region for item in mine if item.region})),
            replicas=tuple(sorted({item.replica for item in mine if item.replica})),
            everywhere=not others,
            values=loads(values) if values is not None else None,
        )

    def _announced(self, change: Change, before: Tenure) -> Live:
        return _only_announced(
            self._known, change, self._component, (before.version, before.digest)
        )

    def _begins(self, use: Tenure) -> bool:
        """Whether a version was in use when the evidence of its environment begins."""
        whole = self._known.uses.decisions(self._component[0])
        first = self._uses[0].first_us == use.first_us
        return first and whole is not None and use.first_us - whole.first_us < _HOUR_US

    def _replaced(self, use: Tenure) -> tuple[str | None, str | None]:
        told = self._known.matched.announced.get(use)
        earlier = [
            other
            for other in self._uses
            if other.first_us < use.first_us and _version(other) != _version(use)
        ]
        last = max(earlier, key=lambda other: other.last_us, default=None)
        if last is not None:
            return _version(last)
        return (told.from_version, told.from_digest) if told is not None else (None, None)

    def _last_used(self, use: Tenure) -> datetime | None:
        if use.first_us > self._at:
            return None
        if use.last_us <= self._at:
            return from_micros(use.last_us)
        seen = [
            item.last_before_us
            for item in self._near
            if (item.version, item.digest) == _version(use) and item.last_before_us is not None
        ]
        return from_micros(max(seen)) if seen else None

    def _next_used(self, use: Tenure) -> datetime | None:
        if use.first_us > self._at:
            return from_micros(use.first_us)
        seen = [
            item.first_after_us
            for item in self._near
            if (item.version, item.digest) == _version(use) and item.first_after_us is not None
        ]
        return from_micros(min(seen)) if seen and use.last_us > self._at else None


def _version(use: Tenure) -> tuple[str | None, str | None]:
    return use.version, use.digest


def _only_announced(
    known: Account,
    change: Change,
    component: Component,
    replaced: tuple[str | None, str | None],
) -> Live:
    environment, kind, name = component
    return Live(
        decision_point=known.uses.point,
        environment=environment,
        kind=kind,
        name=name,
        version=change.to_version,
        digest=change.to_digest,
        status="announced",
        share=None,
        decisions=0,
        span=None,
        since=change.occurred_at,
        since_known=True,
        first_used=None,
        last_used=None,
        next_used=None,
        replaced_version=replaced[0],
        replaced_digest=replaced[1],
        announced=change,
    )


def _announced_elsewhere(
    known: Account, components: Iterable[Component], at: int
) -> Iterator[Live]:
    """What was announced for an environment or a component of which no decision is known."""
    environments = set(known.uses.environments())
    names = {(environment, name) for environment, _, name in components}
    kinds = {change: kind for kind, change in reversed(KINDS.items())} | {"deploy": "model"}
    seen: set[tuple[str | None, str, str]] = set()
    for change in known.matched.changes:  # newest first
        place = (change.environment, change.kind, change.component)
        if (
            change.source != "changes"
            or change.kind not in ("deploy", "config", "artifact")
            or change.environment is None
            or to_micros(change.occurred_at) > at
            or change.environment in environments
            or (change.environment, change.component) in names
            or place in seen
        ):
            continue
        seen.add(place)
        component = (change.environment, kinds[change.kind], change.component)
        yield _only_announced(known, change, component, (change.from_version, change.from_digest))


def _served(near: list[Around]) -> dict[str, tuple[str, ...]]:
    """The runs that fed the last decisions, by job: one, or one for each environment."""
    newest: dict[tuple[str, str], tuple[int, str]] = {}
    for item in near:
        if item.kind == "run" and item.name and item.version and item.last_before_us is not None:
            key = (item.name, item.environment)
            newest[key] = max(newest.get(key, (0, "")), (item.last_before_us, item.version))
    # Environments decide at different times: a run that another replaced since is of the past.
    served: dict[str, set[str]] = {}
    for (job, environment), (_, run) in newest.items():
        if environment == "production" or (job, "production") not in newest:
            served.setdefault(job, set()).add(run)
    return {job: tuple(sorted(runs)) for job, runs in served.items()}
