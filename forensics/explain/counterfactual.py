"""What would have changed a decision: the nearest other values of what its subject can change.

The search is of the whole decision, models and logic, within the declared constraints; every answer
is replayed before it is given, at its stated value, by the models' own libraries. What the search
proved is said with it: that nothing nearer exists, how much nearer something could be, or that no
change within the constraints gives another outcome.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress
from typing import Any, cast

from forensics.errors import DependencyError, ReplayError, UsageError
from forensics.explain.problems import problem_of
from forensics.explain.search.effort import units_of
from forensics.explain.search.problem import Answer, Found, Lever, Problem, Range
from forensics.records.replay import (
    Counterfactual,
    CounterfactualChange,
    CounterfactualSearch,
    SearchStatus,
)
from forensics.replay.session import ReplaySession

#: How much work a search may do where nobody says, as the seconds that it takes: see
#: :func:`~forensics.explain.search.effort.units_of`. Enough for a proof in most cases.
TIME_S = 0.07
#: Likewise where features follow levers or constraints link levers: a proof takes little of that,
#: or so much more that nobody would wait for it.
TIME_LINKED_S = 0.05
_CUT_SHORT = "before the clock ended the search, which another run need not repeat"


def prepare_search() -> None:
    """Import the search, with numpy, beside what comes before it: that mostly waits for others."""
    import threading

    def load() -> None:
        with suppress(ImportError):  # the search itself says what is missing
            import forensics.explain.search.engine  # noqa: F401

    threading.Thread(target=load).start()  # no daemon: Python must not end within numpy's C++


def counterfactuals(
    session: ReplaySession,
    *,
    limit: int = 3,
    target: str | Collection[str] | None = None,
    time_s: float | None = None,
    prove: bool = True,
) -> CounterfactualSearch:
    """The nearest changes of levers after which the outcome is another, nearest first.

    Different sets of levers are preferred over the same ones again. The distance is the sum over
    changed levers of their cost times the change, in units of their scale, and
    :data:`~forensics.explain.problems.SPARSITY` for each lever.

    Args:
        session: the decision with its models and logic.
        limit: how many to return at most.
        target: outcomes that count; any other than the recorded one where None.
        time_s: how much work to do, as the seconds that it takes on an idle machine of the kind in
            ``bench/README.md``. The work is what is counted, so that the answer does not depend on
            the machine or on what else runs on it. :data:`TIME_S` where None, or
            :data:`TIME_LINKED_S`.
        prove: go on until the first answer is proven to be the nearest, or the work is done.

    Raises:
        ReplayError: when the decision cannot be searched; says why.
        UsageError: when the declared levers or constraints contradict themselves.
    """
    decision, logic = session.decision, session.logic
    if logic is None or session.missing:
        raise ReplayError("The decision cannot be replayed.", "; ".join(session.missing))
    rule = session.rule
    if rule is None or rule.outcome != decision.outcome:
        raise ReplayError("Replay gives another outcome than was recorded.")
    problem = problem_of(session, logic)
    known = {outcome for _, outcome in problem.logic.rules}
    wanted = known if target is None else {target} if isinstance(target, str) else set(target)
    wanted -= {decision.outcome}
    if target is not None and (unknown := sorted(wanted - known)) and known:
        raise UsageError(
            f"No rule gives the outcome {unknown[0]!r}.",
            f"Known are {', '.join(sorted(known))}.",
        )
    if not problem.levers:
        raise ReplayError("Nothing may be changed: no lever is a feature of this decision.")
    if not wanted:
        raise ReplayError("Which outcomes there are is not known from the decision logic.")
    try:
        from forensics.explain.search.engine import search
    except ImportError as error:
        raise DependencyError(
            "Changes cannot be searched for: numpy is not installed here.",
            "",
            "pip install 'decision-forensics[models]'",
        ) from error

    def verify(settings: Sequence[Mapping[str, Any]]) -> list[str | None]:
        columns = _columns(settings, problem)
        decided = session.decide(columns, len(settings))
        allowed = session.allowed(columns, len(settings))
        pairs = zip(decided.outcomes, allowed, strict=True)
        return [outcome if holds else None for outcome, holds in pairs]

    if time_s is None:
        time_s = TIME_LINKED_S if problem.derived or problem.constraints else TIME_S
    units = units_of(time_s)
    found = search(problem, wanted=wanted, limit=limit, units=units, prove=prove, verify=verify)
    answers = _answers(session, problem, found.answers)
    status = cast("SearchStatus", found.status)
    return CounterfactualSearch(answers, status, found.lower_bound, statement_of(found))


def search_changes(
    session: ReplaySession,
    limit: int,
    *,
    time_s: float | None = None,
    target: tuple[str, ...] = (),
) -> tuple[CounterfactualSearch | None, str | None]:
    """The search for counterfactuals, or why there is none; None twice where none was asked for.

    Args:
        session: the decision.
        limit: how many answers; nothing is searched for where 0.
        time_s: how much work it may do, as the seconds that it takes; see :func:`counterfactuals`.
        target: outcomes that count; any other than the recorded one where empty.

    Raises:
        UsageError: when the declared levers or constraints contradict themselves.
    """
    if not limit:
        return None, None
    try:
        found = counterfactuals(session, limit=limit, time_s=time_s, target=target or None)
    except (ReplayError, DependencyError) as error:
        return None, str(error)
    return found, None


def _answers(
    session: ReplaySession, problem: Problem, answers: Sequence[Answer]
) -> tuple[Counterfactual, ...]:
    if not answers:
        return ()
    columns = _columns([answer.changes for answer in answers], problem)
    decided = session.decide(columns, len(answers))
    levers = {lever.name: lever for lever in problem.levers}
    recorded = session.decision.features
    found = []
    for answer, score, outcome in zip(answers, decided.scores, decided.outcomes, strict=True):
        if outcome is None or outcome != answer.outcome:
            raise ReplayError(f"A change replayed once more gave {outcome}, not {answer.outcome}.")
        changes = []
        for name, value in answer.changes.items():
            before, own = recorded.get(name), answer.ranges.get(name, Range(value, value, False))
            statement = f"{name} {_words(levers[name], before, own)}"
            changes.append(CounterfactualChange(name, before, value, statement))
        shown = float(score) if score == score else None
        found.append(Counterfactual(tuple(changes), outcome, shown, answer.cost, verified=True))
    return tuple(found)


def _columns(settings: Sequence[Mapping[str, Any]], problem: Problem) -> dict[str, list[Any]]:
    names = dict.fromkeys(name for setting in settings for name in setting)
    return {
        name: [setting.get(name, problem.values[name]) for setting in settings] for name in names
    }


def _words(lever: Lever, current: Any, range_: Range) -> str:
    """The values of a lever with the same effect, for reading."""
    if lever.categories:
        choices = range_.choices or (range_.near,)
        return " or ".join(str(choice) for choice in choices)
    digits = 0 if lever.integer else lever.digits
    near, far = f"{range_.near:,.{digits}f}", f"{range_.far:,.{digits}f}"
    if range_.near == range_.far:
        return near
    below = range_.far < range_.near
    if range_.ended and current is not None:
        return f"at most {near}" if below else f"at least {near}"
    return f"between {far} and {near}" if below else f"between {near} and {far}"


def statement_of(found: Found) -> str:
    """What a search proved, in a sentence; and that it was the clock that ended it, if it was."""
    nearest = found.answers[0].cost if found.answers else None
    given = "in the time given" if not found.cut_short else _CUT_SHORT
    percent = int(100 * (found.lower_bound or 0.0) / nearest) if nearest else 0
    match found.status:
        case "optimal":
            return "proven: no nearer change within the constraints gives another outcome"
        case "none_exists":
            return "proven: no change within the constraints gives another outcome"
        case "gap" if percent:
            return (
                f"not proven {given}: a change at {percent}% of the distance may exist, none nearer"
            )
        case "gap":
            return f"not proven {given}: a nearer change may exist"
    return f"none was found {given}; one may exist"
