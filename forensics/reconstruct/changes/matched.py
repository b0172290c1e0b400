"""What was announced set against what was seen: said once, and what has no counterpart is flagged.

An announcement names what was to be in force: a digest, else a version of a component. In each
environment that it concerns the first use of that from its time on confirms it, and no other: what
comes back later without a word was announced by nobody.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from forensics.lake.summaries import Tenure
from forensics.reconstruct.changes.change import Change
from forensics.reconstruct.changes.uses import SHARED, Component, Seen, Uses
from forensics.records.times import from_micros, to_micros

#: Clocks of those who announce and of those who decide may differ so much.
SKEW = timedelta(minutes=10)
#: So much later an announcement still tells what was seen before it, and so much earlier one that
#: names another component with the same versions is taken to speak of it.
LATE = timedelta(hours=24)
_ANNOUNCING = frozenset(("deploy", "config", "flag", "pipeline", "artifact", "control", "other"))


@dataclass(frozen=True, slots=True)
class Matched:
    """Changes of one decision point, each said once, and who announced which use."""

    changes: tuple[Change, ...]
    announced: dict[Tenure, Change]


def match(
    explicit: Iterable[Change], uses: Uses, seen: Iterable[Seen], ran: Iterable[Change]
) -> Matched:
    """All changes of a decision point.

    Args:
        explicit: what was announced, newest first.
        uses: what was in use there.
        seen: changes that the uses show.
        ran: changes that runs show, oldest first.
    """
    index = _Index(uses)
    said = list(explicit)
    announced: dict[Tenure, Change] = {}
    first_use: dict[int, list[Tenure]] = {}
    already: set[int] = set()
    for alias in (False, True):
        for at, change in enumerate(said):
            if change.kind not in _ANNOUNCING:
                continue
            for group in index.candidates(change, alias=alias).values():
                use = _first_use(change, group, announced)
                if use is not None:
                    announced[use] = change
                    first_use.setdefault(at, []).append(use)
                elif not alias and _covers(change, group):
                    already.add(at)
    runs = list(ran)
    by_run = _announced_runs(said, runs)
    told = []
    for at, change in enumerate(said):
        if at in first_use:
            since = from_micros(min(use.first_us for use in first_use[at]))
            told.append(replace(change, agreement="confirmed", seen_at=since, seen_by="decisions"))
        elif at in by_run:
            since = by_run[at].occurred_at
            told.append(replace(change, agreement="confirmed", seen_at=since, seen_by="lineage"))
        elif at in already:
            told.append(replace(change, agreement="confirmed"))
        elif change.kind in _ANNOUNCING and index.unseen(change):
            told.append(replace(change, agreement="unseen"))
        else:
            told.append(change)
    confirming = {id(change) for change in by_run.values()}
    left_runs = [change for change in runs if id(change) not in confirming]
    unclaimed = [item.change for item in seen if item.use not in announced or _ends(item)]
    left = _in_one_place([c for c in unclaimed if not _ran_before(c, runs)])
    announced = {use: told[at] for at, claimed in first_use.items() for use in claimed}
    return Matched((*told, *left_runs, *left), announced)


def _ends(item: Seen) -> bool:
    """Whether the change is the end of another version, not the beginning of the use."""
    return item.use.first_us != to_micros(item.change.occurred_at)


class _Index:
    """Uses by what an announcement may call them."""

    def __init__(self, uses: Uses) -> None:
        self._uses = uses
        self._by_digest: dict[str, list[tuple[Component, int, Tenure]]] = {}
        self._by_version: dict[str, list[tuple[Component, int, Tenure]]] = {}
        self._names: set[str] = set()
        for component, found in uses.components.items():
            if component[1] in ("decisions", "feature"):
                continue
            if component[2]:
                self._names.add(component[2])
            for at, use in enumerate(found):
                if use.digest and use.kind != "code":  # that one is of what the code depends on
                    self._by_digest.setdefault(use.digest, []).append((component, at, use))
                if use.version:
                    self._by_version.setdefault(use.version, []).append((component, at, use))

    def candidates(self, change: Change, *, alias: bool) -> dict[Component, list[Tenure]]:
        """Uses that the change may announce, by component; as an alias where names differ."""
        groups: dict[Component, list[Tenure]] = {}
        digests = [] if alias else self._by_digest.get(change.to_digest or "", [])
        for component, _, use in digests:
            if concerns(change, component):
                groups.setdefault(component, []).append(use)
        for component, at, use in self._by_version.get(change.to_version or "", []):
            if not concerns(change, component) or use in groups.get(component, ()):
                continue
            if change.to_digest and use.digest and use.kind != "code":
                continue  # the digests were compared above, and they tell more than a name
            if alias:
                before = self._uses.components[component][at - 1] if at else None
                fits = (
                    before is not None
                    and change.from_version is not None
                    and before.version == change.from_version
                    and abs(from_micros(use.first_us) - change.occurred_at) <= LATE
                )
            else:
                fits = change.component == component[2]
            if fits:
                groups.setdefault(component, []).append(use)
        return groups

    def unseen(self, change: Change) -> bool:
        """Whether decisions would show the change, and went on without it."""
        if not (change.to_version or change.to_digest):
            return False
        shown = change.component in self._names or (change.from_digest or "") in self._by_digest
        if not shown:
            return False
        time = to_micros(change.occurred_at)
        return any(
            whole.last_us > time
            for environment in self._uses.environments()
            if change.environment in (None, environment)
            and (whole := self._uses.decisions(environment)) is not None
        )


def concerns(change: Change, component: Component) -> bool:
    """Whether a change in its environment would show in a component of another one."""
    environment, kind, _ = component
    return change.environment in (None, environment) or kind in SHARED or change.kind == "pipeline"


def _first_use(
    change: Change, group: list[Tenure], announced: dict[Tenure, Change]
) -> Tenure | None:
    """The use that an announcement stands for, where no other one does."""
    from_us = to_micros(change.occurred_at - SKEW)
    free = [use for use in group if use not in announced]
    later = [use for use in free if use.first_us >= from_us]
    if later:
        return min(later, key=lambda use: use.first_us)
    late_us = to_micros(change.occurred_at - LATE)
    before = [use for use in free if use.first_us >= late_us and use.last_us >= from_us]
    return max(before, key=lambda use: use.first_us, default=None)


def _covers(change: Change, group: list[Tenure]) -> bool:
    time = to_micros(change.occurred_at)
    return any(use.first_us <= time <= use.last_us for use in group)


def _announced_runs(said: list[Change], runs: list[Change]) -> dict[int, Change]:
    """The change of code that runs show, by the place of its announcement."""
    found: dict[int, Change] = {}
    for run in runs:
        if run.kind != "pipeline" or run.what is not None:
            continue
        for at, change in enumerate(said):
            if change.kind != "pipeline" or at in found:
                continue
            named = change.component in (run.component, run.detail.get("job"))
            apart = abs(change.occurred_at - run.occurred_at)
            same = change.run_id is not None and change.run_id == run.run_id
            if same or (named and change.to_version == run.to_version and apart <= LATE):
                found[at] = run
                break
    return found


def _ran_before(change: Change, runs: list[Change]) -> bool:
    """Whether runs show a change of code that the decisions after it show too."""
    return change.kind == "pipeline" and any(
        run.what is None
        and run.component == change.component
        and run.to_version == change.to_version
        and run.occurred_at <= change.occurred_at + SKEW
        for run in runs
    )


def _in_one_place(changes: list[Change]) -> list[Change]:
    """Changes that decisions show, one for what came to several environments within a day."""
    kept: list[Change] = []
    newest: dict[tuple[object, ...], int] = {}
    for change in sorted(changes, key=lambda c: c.occurred_at):
        what = (
            change.kind, change.component, change.from_version, change.to_version,
            change.from_digest, change.to_digest, change.what and change.features,
        )  # fmt: skip
        at = newest.get(what)
        if at is not None and change.occurred_at - kept[at].occurred_at <= LATE:
            first = kept[at]
            places = [*first.detail.get("environments", [first.environment]), change.environment]
            detail = {**first.detail, "environments": sorted(set(map(str, places)))}
            alone = len(detail["environments"]) == 1
            kept[at] = replace(
                first, environment=first.environment if alone else None, detail=detail
            )
            continue
        newest[what] = len(kept)
        kept.append(change)
    return kept


def order(change: Change) -> tuple[datetime, str]:
    """Newest first: the time from which it was true, then its id, both backwards."""
    return change.true_from, change.change_id
