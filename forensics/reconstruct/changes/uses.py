"""What decisions show: each component version's uses, and the changes between them."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from itertools import pairwise

from forensics.lake import summaries
from forensics.lake.snapshot import Snapshot
from forensics.lake.summaries import Tenure, Usage
from forensics.reconstruct.changes.change import Change, made_id
from forensics.records.times import from_micros, to_micros

#: A version is gone, or new, where chance explains so many decisions without it less often.
CHANCE = 1e-6
#: Versions that were in use at once for longer were meant to be: a canary, not a rolling deploy.
_ROLLING_US = 3_600_000_000

#: The kind of change that another version of a thing is.
KINDS = {
    "model": "deploy",
    "config": "config",
    "rules": "artifact",
    "feature_fetch": "pipeline",
    "feature": "schema",
    "human": "other",
}
#: Components that serve all environments of a decision point alike.
SHARED = frozenset(("feature_fetch", "consumer", "api", "tool", "human", "agent"))

Component = tuple[str, str, str | None]


@dataclass(frozen=True, eq=False)
class Uses:
    """The uses of all component versions at one decision point."""

    snapshot: Snapshot
    point: str
    known_by: datetime | None
    #: By environment, kind and name; each oldest first.
    components: dict[Component, list[Tenure]]

    def decisions(self, environment: str) -> Tenure | None:
        """The first to the last decision in an environment."""
        uses = self.components.get((environment, "decisions", None))
        return uses[0] if uses else None

    def environments(self) -> list[str]:
        """Environments in which decisions were made, production first."""
        names = {environment for environment, kind, _ in self.components if kind == "decisions"}
        return sorted(names, key=lambda name: (name != "production", name))

    @cached_property
    def _hours(self) -> list[Usage]:
        until = 2**62 if self.known_by is None else to_micros(self.known_by)
        return summaries.in_use(self.snapshot, until_us=until, point=self.point, kind="decisions")

    def count(self, environment: str | None, first_us: int, last_us: int) -> int:
        """Decisions in the hours that lie wholly within; of all environments where None."""
        return sum(
            use.decisions
            for use in self._hours
            if use.first_us > first_us
            and use.last_us < last_us
            and environment in (None, use.environment)
        )


def uses(snapshot: Snapshot, point: str, known_by: datetime | None = None) -> Uses:
    """What was in use at ``point``, as the summaries tell."""
    known = None if known_by is None else to_micros(known_by)
    components: dict[Component, list[Tenure]] = {}
    for tenure in summaries.tenures(snapshot, point, known_by_us=known):
        components.setdefault((tenure.environment, tenure.kind, tenure.name), []).append(tenure)
    joined = {key: _joined(found) for key, found in components.items()}
    return Uses(snapshot, point, known_by, joined)


def by_chance(share: float, decisions: int) -> bool:
    """Whether a version of this share may be missing in so many decisions by chance alone."""
    if share >= 1 or decisions <= 0:
        return decisions <= 0
    return decisions * math.log1p(-share) > math.log(CHANCE)


def _joined(found: list[Tenure]) -> list[Tenure]:
    """Uses of one component, those that only chance parted made one."""
    result: list[Tenure] = []
    last: dict[tuple[str | None, str | None], int] = {}
    for use in found:
        version = (use.version, use.digest)
        at = last.get(version)
        if at is not None:
            before = result[at]
            seen = before.decisions + use.decisions
            among = (before.through - before.earlier) + (use.through - use.earlier)
            if by_chance(seen / max(among, seen), use.earlier - before.through):
                result[at] = before._replace(
                    decisions=seen, last_us=max(before.last_us, use.last_us), through=use.through
                )
                continue
        last[version] = len(result)
        result.append(use)
    return result


@dataclass(frozen=True, slots=True)
class Seen:
    """A change between two uses, and the use that begins with it."""

    change: Change
    use: Tenure


def transitions(found: Uses) -> Iterator[Seen]:
    """Where a use began that is not the first thing that the evidence holds, and where one ended.

    The first version of a component is what was there when the evidence begins, not a change; but
    for one that its decision point had not run before, as in a new environment.
    """
    everywhere: dict[tuple[str, str | None], list[Tenure]] = {}
    of_kind: dict[tuple[str, str], int] = {}
    for (environment, kind, name), all_uses in found.components.items():
        everywhere.setdefault((kind, name), []).extend(all_uses)
        first_us = min(use.first_us for use in all_uses)
        of_kind[environment, kind] = min(first_us, of_kind.get((environment, kind), first_us))
    for component, all_uses in found.components.items():
        kind = component[1]
        if kind == "decisions":
            continue
        if kind == "feature":
            yield from _schema(found, component, all_uses)
            continue
        for at, use in enumerate(all_uses):
            earlier = all_uses[:at]
            begun = of_kind[component[:2]] == use.first_us
            if seen := (
                _begun(found, use, earlier)
                if earlier
                else _first(found, component[0], use, everywhere[component[1:]], begun=begun)
            ):
                yield seen
            if (ended := _ended(use, all_uses)) and not _agree(use, ended):
                yield _ending(found, use, ended)


def _begun(found: Uses, use: Tenure, earlier: list[Tenure]) -> Seen | None:
    """A use after others; none is told where nothing says that it is another version."""
    before = max(earlier, key=_latest)
    if _agree(before, use) and not _same(before, use):
        for name in ("digest", "version"):
            if getattr(use, name) and not any(getattr(other, name) for other in earlier):
                return _first_told(found, use, before, name)
        telling = [
            other
            for other in earlier
            if (other.digest or not use.digest) and (other.version or not use.version)
        ]
        before = max(telling, key=_latest, default=before)
        if _agree(before, use):
            return None
    beside = before.last_us - use.first_us > _ROLLING_US
    again = any(_same(other, use) for other in earlier)
    change = _change(found, use, before, use.first_us, beside=beside, again=again)
    return Seen(change, use)


def _latest(use: Tenure) -> tuple[int, int]:
    return use.last_us, use.first_us


def _agree(a: Tenure, b: Tenure) -> bool:
    """Whether nothing that both tell of their version differs."""
    pairs = ((a.version, b.version), (a.digest, b.digest))
    return all(not one or not other or one == other for one, other in pairs)


def _first_told(found: Uses, use: Tenure, before: Tenure | None, name: str) -> Seen:
    """The first use that tells its digest or version: who knows whether it changed."""
    change = _change(found, use, before, use.first_us, beside=False, again=False)
    called = (use.version if name == "digest" else None) or ""
    told = str(getattr(use, name)).removeprefix("sha256:")
    told = told[:8] if name == "digest" else told
    what = f"{called} {name} {told} first seen".strip()
    return Seen(replace(change, what=what, agreement=None), use)


def _first(
    found: Uses, environment: str, use: Tenure, everywhere: list[Tenure], *, begun: bool
) -> Seen | None:
    """A component's first use in an environment, where it is a change at its decision point.

    ``everywhere`` are its uses in all environments; ``begun``: none of its kind was told before.
    """
    elsewhere = [
        other for other in everywhere if other.first_us < use.first_us and other is not use
    ]
    if any(_same(other, use) for other in elsewhere):
        return None
    if elsewhere:
        before = max(elsewhere, key=_latest)
        beside = before.last_us > use.first_us
        return Seen(_change(found, use, before, use.first_us, beside=beside, again=False), use)
    whole = found.decisions(environment)
    if whole is None or use.first_us - whole.first_us < _ROLLING_US:
        return None
    since = max(found.count(environment, use.first_us - 1, use.last_us + 1), use.decisions)
    missing = found.count(environment, whole.first_us - 1, use.first_us)
    if by_chance(use.decisions / since, missing):
        return None
    if begun:
        return _first_told(found, use, None, "version" if use.version else "digest")
    return Seen(_change(found, use, None, use.first_us, beside=False, again=False), use)


def _ended(use: Tenure, all_uses: list[Tenure]) -> Tenure | None:
    """The version that went on alone when ``use`` ended; None where nothing ended that way."""
    through = max(other.through for other in all_uses)
    if by_chance(use.decisions / max(use.through - use.earlier, 1), through - use.through):
        return None
    beside = [
        other
        for other in all_uses
        if not _same(other, use) and other.first_us + _ROLLING_US < use.last_us < other.last_us
    ]
    return max(beside, key=lambda other: other.last_us, default=None)


def _ending(found: Uses, use: Tenure, left: Tenure) -> Seen:
    change = _change(found, left, use, use.last_us, beside=False, again=False)
    return Seen(change, left)


def _schema(found: Uses, component: Component, types: list[Tenure]) -> Iterator[Seen]:
    """A feature that appears, vanishes or changes its type."""
    environment, _, name = component
    whole = found.decisions(environment)
    if whole is None:
        return
    for before, use in pairwise(types):
        what = f"feature {name} changed its type: {before.version} → {use.version}"
        yield Seen(_said(found, use, use.first_us, what), use)
    first, last = types[0], types[-1]
    late = first.first_us - whole.first_us > _ROLLING_US
    early = whole.last_us - last.last_us > _ROLLING_US
    if not (late or early):
        return
    had = sum(use.decisions for use in types)
    without = (first.first_us - whole.first_us) + (whole.last_us - last.last_us)
    length = max(whole.last_us - whole.first_us, 1)
    # Traffic is uneven, so the hours are counted, but not where they can hardly matter.
    if by_chance(min(had / whole.decisions, 0.999), 3 * whole.decisions * without // length):
        return
    share = had / max(found.count(environment, first.first_us - 1, last.last_us + 1), had)
    if late and not _elsewhere(found, component, first.first_us):
        missing = found.count(environment, whole.first_us - 1, first.first_us)
        if not by_chance(share, missing):
            yield Seen(_said(found, first, first.first_us, f"feature {name} first seen"), first)
    if early:
        missing = found.count(environment, last.last_us, whole.last_us + 1)
        if not by_chance(share, missing):
            yield Seen(_said(found, last, last.last_us, f"feature {name} last seen"), last)


def _elsewhere(found: Uses, component: Component, us: int) -> bool:
    return any(
        others[0].first_us < us
        for key, others in found.components.items()
        if key[1:] == component[1:] and key != component
    )


def _said(found: Uses, use: Tenure, us: int, what: str) -> Change:
    return Change(
        change_id=made_id("seen", found.point, *use[:5], us, what),
        occurred_at=from_micros(us),
        kind="schema",
        component=found.point,
        decision_point=found.point,
        environment=use.environment,
        features=(use.name,) if use.name else (),
        known_at=_known(use, us),
        what=what,
        evidence="inferred",
        source="decisions",
        agreement="unannounced",
        seen_at=from_micros(us),
        seen_by="decisions",
    )


def _change(
    found: Uses, use: Tenure, before: Tenure | None, us: int, *, beside: bool, again: bool
) -> Change:
    """The change that a use begins with, or that ``before`` ends with."""
    detail: dict[str, object] = {"step": use.kind, "decisions": use.decisions}
    if again:
        detail["seen_before"] = True
    if beside:
        detail["beside"] = True
    return Change(
        change_id=made_id("seen", found.point, *use[:5], us),
        occurred_at=from_micros(us),
        kind=KINDS.get(use.kind, "deploy"),
        component=use.name or use.kind,
        decision_point=found.point,
        environment=use.environment,
        from_version=before.version if before else None,
        to_version=use.version,
        from_digest=before.digest if before else None,
        to_digest=use.digest,
        known_at=_known(use, us),
        detail=detail,
        evidence="inferred",
        source="decisions",
        agreement="unannounced",
        seen_at=from_micros(us),
        seen_by="decisions",
    )


def _known(use: Tenure, us: int) -> datetime:
    """When we knew of a use: counts of older versions of this program do not say it."""
    return from_micros(use.known_us if use.known_us is not None and us == use.first_us else us)


def _same(a: Tenure, b: Tenure) -> bool:
    return (a.version, a.digest) == (b.version, b.digest)
