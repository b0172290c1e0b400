"""What differs between the states at two times."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import Literal, TypeVar

from forensics.reconstruct.changes.change import Change
from forensics.reconstruct.state import Live, Overridden, Pipeline, State
from forensics.records.jsontext import dumps

_T = TypeVar("_T", Live, Pipeline, Change)
Kind = Literal["component", "pipeline", "control", "environment", "overrides", "change"]


@dataclass(frozen=True, slots=True, eq=False)
class Moved:
    """One difference: ``before`` and ``after`` in words, None where there was or is nothing.

    ``now`` are the parts of the later state that it concerns.
    """

    kind: Kind
    what: str
    before: str | None
    after: str | None
    now: tuple[Live | Pipeline | Change, ...] = ()


def moved(before: State, after: State) -> list[Moved]:
    """What ``after`` says otherwise than ``before``.

    Shares of traffic and times of last use, which are never the same twice, are no difference; nor
    is whether a version was used up to the time or only before it.
    """
    return [
        *_environments(before, after),
        *_lives(before.live, after.live),
        *_pipelines(before.pipelines, after.pipelines),
        *_controls(before.controls, after.controls),
        *_overrides(before.overrides, after.overrides),
        *_newer(before, after),
    ]


def _by(
    things: Iterable[_T], key: Callable[[_T], tuple[str, ...]]
) -> dict[tuple[str, ...], list[_T]]:
    found: dict[tuple[str, ...], list[_T]] = {}
    for thing in things:
        found.setdefault(key(thing), []).append(thing)
    return found


def _component(live: Live) -> tuple[str, ...]:
    return live.decision_point, live.environment, live.kind, live.name or ""


def _version(live: Live) -> tuple[str, str, bool]:
    return live.version or "", live.digest or "", live.status == "announced"


def _place(live: Live) -> tuple[str, str]:
    return live.decision_point, live.environment


def _environments(before: State, after: State) -> Iterator[Moved]:
    """Environments that came to decide, or did so no longer: said once, not of each component."""
    was, now = (
        {
            **{(one.decision_point, one.environment): "ended" for one in state.ended},
            **{_place(live): "decides" for live in state.live},
        }
        for state in (before, after)
    )
    for key in dict.fromkeys((*now, *was)):
        if was.get(key) != now.get(key):
            point, environment = key
            lives = tuple(live for live in after.live if _place(live) == key)
            what = f"environment {environment} · {point}"
            yield Moved("environment", what, was.get(key), now.get(key), lives)


def _lives(before: tuple[Live, ...], after: tuple[Live, ...]) -> Iterator[Moved]:
    """Versions of components, in environments that decided at both times."""
    both = set(map(_place, before)) & set(map(_place, after))
    was, now = (
        _by((live for live in lives if _place(live) in both), _component)
        for lives in (before, after)
    )
    points = {live.decision_point for live in (*before, *after)}
    for key in dict.fromkeys((*now, *was)):
        old, new = was.get(key, []), now.get(key, [])
        if sorted(map(_version, old)) == sorted(map(_version, new)):
            continue
        point, environment, kind, name = key
        kind = "fetch" if kind == "feature_fetch" else kind
        of = f" · {point}" if len(points) > 1 else ""
        what = f"{kind} {name}".strip() + f" · {environment}{of}"
        fresh = tuple(live for live in new if _version(live) not in set(map(_version, old)))
        yield Moved("component", what, _versions(old), _versions(new), fresh or tuple(new))


def _versions(lives: list[Live]) -> str | None:
    """Versions beside each other; by their digests where they have no other name."""
    words: dict[bool, list[str]] = {False: [], True: []}
    for live in lives:
        digest = (live.digest or "").removeprefix("sha256:")[:6]
        named = live.version or digest or "?"
        several = sum(other.version == live.version for other in lives) > 1
        named += f" ({digest})" if several and live.version and digest else ""
        words[live.status == "announced"].append(named)
    told = [f"{named} announced" for named in words[True]]
    return ", ".join(filter(None, (" beside ".join(words[False]), *told))) or None


def _job(pipeline: Pipeline) -> tuple[str, ...]:
    return (pipeline.job,)


def _pipelines(before: tuple[Pipeline, ...], after: tuple[Pipeline, ...]) -> Iterator[Moved]:
    was, now = _by(before, _job), _by(after, _job)
    for key in dict.fromkeys((*now, *was)):
        old, new = (found[0] if (found := side.get(key)) else None for side in (was, now))
        words, others = _ran(old), _ran(new)
        if words != others:
            yield Moved("pipeline", f"pipeline {key[0]}", words, others, (new,) if new else ())


def _ran(pipeline: Pipeline | None) -> str | None:
    """A pipeline's code, its run and that it failed."""
    if pipeline is None:
        return None
    run = pipeline.run_id or (pipeline.served[0] if pipeline.served else None)
    words = [f"code {pipeline.code_version}"] if pipeline.code_version else []
    words += [f"run {run[:8]}"] if run else []
    words += ["failed"] if pipeline.failed else []
    return ", ".join(words) or "no run"


def _control(change: Change) -> tuple[str, ...]:
    return change.kind, change.component, change.decision_point or "", change.environment or ""


def _controls(before: tuple[Change, ...], after: tuple[Change, ...]) -> Iterator[Moved]:
    was, now = _by(before, _control), _by(after, _control)
    for key in dict.fromkeys((*now, *was)):
        old, new = was.get(key, []), now.get(key, [])
        if [one.change_id for one in old] != [one.change_id for one in new]:
            what = f"{key[0]} {key[1]}" + (f" · {key[3]}" if key[3] else "")
            yield Moved("control", what, _set(old), _set(new), tuple(new))


def _set(changes: list[Change]) -> str | None:
    return ", ".join(one.to_version or one.what or "set" for one in changes) or None


def _overrides(before: Overridden, after: Overridden) -> Iterator[Moved]:
    if before.standing != after.standing:
        counts = f"{before.standing:,}", f"{after.standing:,}"
        yield Moved("overrides", "decisions that stand overridden", *counts)
    known = {change.change_id for change in before.wide}
    for change in after.wide:
        if change.change_id not in known:
            words = f"{change.to_version}, {dumps(change.detail.get('scope'))}"
            yield Moved("overrides", f"override {change.component}", None, words, (change,))


def _newer(before: State, after: State) -> Iterator[Moved]:
    """Changes of the later state that the other does not tell of."""
    known = {(one.change_id, one.agreement) for one in before.changes}
    oldest = min((one.true_from for one in before.changes), default=None)
    for change in after.changes:
        if (change.change_id, change.agreement) in known:
            continue
        if oldest is None or change.true_from >= oldest:
            yield Moved("change", "change", None, change.step, (change,))
