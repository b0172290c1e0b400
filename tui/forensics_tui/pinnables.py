"""What can be pinned of rows and of a decision: each with the question that gives it again."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from forensics.incident.pins import Pinnable
from forensics.incident.pointers import pointer
from forensics.incident.questions import Argument, Question
from forensics.lake.scan import Found, Rates
from forensics.lake.window import DECISION, KEY, POINT, REQUEST, TIME, Row, View
from forensics.reconstruct.contract import to_dict
from forensics.reconstruct.reconstruction import Reconstruction
from forensics.records.jsontext import time_text
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros
from forensics.report.words import age_words, number_words, value_words
from forensics_tui.inert import time_words

#: So many counterfactuals are asked for, here and where a pin is asked again.
COUNTERFACTUALS = 3
_WORDS_MAX = 200
_LARGEST = 3


def iso_words(time_us: int) -> str:
    """A time as commands take it, to the microsecond."""
    return time_text(from_micros(time_us))


def of_rows(
    row: Row | None, view: View, found: Found | None, rates: Rates | None, outcome: str | None
) -> list[Pinnable]:
    """The row under the cursor, how many rows a filter finds, and the rate over the window.

    Args:
        row: None where there is no row.
        view: what is looked at.
        found: its rows, as far as they were found.
        rates: of the rows, as far as they were counted.
        outcome: whose rate is shown.
    """
    offered = []
    if row is not None:
        outcomes = dict(zip(view.columns, row[len(KEY) :], strict=True))
        named = f": {outcomes['outcome']}" if "outcome" in outcomes else ""
        words = f"request {row[REQUEST]} of {row[POINT]}, {time_words(row[TIME])} UTC{named}"
        question = Question("trace", {"id": row[DECISION], "no_replay": True})
        offered.append(_pinnable(question, "/decision/outcome", words))
    since, until = _window(view, rates)
    arguments: dict[str, Argument] = {}
    if len(view.points) == 1:
        arguments["decision-point"] = view.points[0]
    span = ""
    if since is not None and until is not None:
        arguments |= {"since": iso_words(since), "until": iso_words(until)}
        span = f" from {time_words(since)[:16]} to {time_words(until)[:16]}"
    if found is not None and found.done >= 1:
        words = f"{count_of(found.matches, 'decision')}{span}"
        words += f" with {view.where}" if view.where is not None else ""
        where: dict[str, Argument] = {} if view.where is None else {"where": view.where}
        question = Question("find", {**arguments, **where, "count": True})
        offered.append(_pinnable(question, "/decisions", words))
    if rates is not None and rates.done >= 1 and outcome is not None:
        ((hits, decisions),) = rates.columns(outcome, 1)
        words = (
            f"{outcome} {hits / max(decisions, 1):.1%} of {count_of(decisions, 'decision')}{span}"
        )
        if view.where is not None:
            question = Question("find", {**arguments, "where": view.where, "count": True})
            where_words = f"{words} with {view.where}"
            offered.append(_pinnable(question, pointer(["outcomes", outcome]), where_words))
        elif len(view.points) == 1:
            question = Question("timeline", {**arguments, "outcome": outcome})
            offered.append(_pinnable(question, "/rate", words))
            words = f"chart of {outcome}{span}, {hits:,} of {count_of(decisions, 'decision')}"
            offered.append(_pinnable(question, "", words))
    return offered


def _window(view: View, rates: Rates | None) -> tuple[int | None, int | None]:
    """A view's first microsecond and the first beyond it; also where it is all there is."""
    first, end = (rates.first_us, rates.end_us) if rates is not None else (None, None)
    since = view.since_us if view.since_us is not None else first
    return since, view.until_us if view.until_us is not None else end


def of_decision(r: Reconstruction, tab: str) -> list[Pinnable]:
    """The facts of a decision, those of a tab first.

    Args:
        r: the decision, replayed or not.
        tab: what one looks at: ``summary``, ``features``, ``why``, ``what if``, ``changes``, …
    """
    # It was asked for by the decision's id; people know it by the request's.
    said = {**to_dict(r), "request_id": r.decision.request_id}
    groups = {
        "summary": [*_outcome(said), *_findings(said), *_replay(said)],
        "features": list(_features(said)),
        "why": list(_why(said)),
        "what if": list(_what_if(said)),
        "changes": list(_changes(said)),
        "record": list(_record(said)),
        "gaps": list(_gaps(said)),
    }
    first = groups.pop(tab, [])
    return [*first, *(one for group in groups.values() for one in group)]


def _question(said: Mapping[str, Any], *, replayed: bool) -> Question:
    identifier = str(said["decision"]["decision_id"])
    if replayed:
        return Question("trace", {"id": identifier, "counterfactuals": COUNTERFACTUALS})
    return Question("trace", {"id": identifier, "no_replay": True})


def _outcome(said: Mapping[str, Any]) -> Iterator[Pinnable]:
    decision, recorded = said["decision"], _question(said, replayed=False)
    request = f"request {said['request_id']}"
    yield _pinnable(recorded, "/decision/outcome", f"{request}: outcome {decision['outcome']}")
    if decision["score"] is not None:
        words = f"{request}: score {number_words(decision['score'])}"
        if decision["threshold"] is not None:
            words += f", threshold {number_words(decision['threshold'])}"
        yield _pinnable(recorded, "/decision/score", words)


def _findings(said: Mapping[str, Any]) -> Iterator[Pinnable]:
    replayed = _question(said, replayed=True)
    for at, finding in enumerate(said["findings"]):
        mended = finding["detail"].get("mended")
        words = finding["statement"]
        yield _pinnable(replayed, f"/findings/{at}/statement", words)
        if mended and mended.get("outcome"):
            words = (
                f"with {finding['detail'].get('feature')} = {value_words(mended.get('value'))} the "
                f"outcome of request {said['request_id']} is {mended['outcome']}, replayed"
            )
            yield _pinnable(replayed, f"/findings/{at}/detail/mended/outcome", words)


def _replay(said: Mapping[str, Any]) -> Iterator[Pinnable]:
    replay = said["replay"]
    if replay.get("verdict"):
        verdict = str(replay["verdict"]).replace("_", " ")
        words = f"replay of request {said['request_id']}: {verdict}"
        yield _pinnable(_question(said, replayed=True), "/replay/verdict", words)


def _features(said: Mapping[str, Any]) -> Iterator[Pinnable]:
    recorded = _question(said, replayed=False)
    for at, feature in enumerate(said["features"]):
        if feature["evidence"] == "recorded":
            words = f"request {said['request_id']}: {feature['name']} = "
            words += value_words(feature["value"])
            if feature["usual"] and feature["usual"].get("median") is not None:
                words += f" (usual median {value_words(feature['usual']['median'])})"
            yield _pinnable(recorded, f"/features/{at}/value", words)


def _why(said: Mapping[str, Any]) -> Iterator[Pinnable]:
    found = said["attributions"]
    values: Sequence[Mapping[str, Any]] = found.get("values") or ()
    if not values:
        return
    replayed = _question(said, replayed=True)
    parts = [f"{one['feature']} {one['value']:+.3f}" for one in values]
    more = f", {len(parts) - _LARGEST} more" if len(parts) > _LARGEST else ""
    decision = said["decision"]
    words = f"why {said['request_id']} was {decision['outcome']}: {', '.join(parts[:_LARGEST])}"
    yield _pinnable(replayed, "/attributions/values", words + more)
    for at, part in enumerate(parts):
        words = f"request {said['request_id']}: {part} towards the score ({found.get('unit')})"
        yield _pinnable(replayed, f"/attributions/values/{at}/value", words)


def _what_if(said: Mapping[str, Any]) -> Iterator[Pinnable]:
    replayed = _question(said, replayed=True)
    for at, flip in enumerate(said["counterfactuals"]):
        change = " and ".join(one["statement"] for one in flip["changes"])
        words = f"request {said['request_id']} would have been {flip['outcome']} with {change}"
        yield _pinnable(replayed, f"/counterfactuals/{at}/outcome", words)
    if said["counterfactual_search"].get("statement"):
        words = f"request {said['request_id']}: {said['counterfactual_search']['statement']}"
        yield _pinnable(replayed, "/counterfactual_search/statement", words)


def _changes(said: Mapping[str, Any]) -> Iterator[Pinnable]:
    recorded = _question(said, replayed=False)
    for at, change in enumerate(said["changes"]):
        words = f"{age_words(change['before_s'])} before request {said['request_id']}: "
        yield _pinnable(recorded, f"/changes/{at}/statement", words + change["statement"])


def _record(said: Mapping[str, Any]) -> Iterator[Pinnable]:
    recorded = _question(said, replayed=False)
    decision, integrity = said["decision"], said["integrity"]
    words = f"the record of request {said['request_id']}, decision {decision['decision_id']}"
    yield _pinnable(recorded, "/decision", words)
    if integrity["leaf"] is not None:
        state = {True: "received bytes match", False: "not what was sealed", None: "not checked"}
        words = f"request {said['request_id']} is leaf {integrity['leaf_index']} of segment "
        words += f"{str(integrity['segment'])[:8]}: {state[integrity['verified']]}"
        yield _pinnable(recorded, "/integrity/verified", words)


def _gaps(said: Mapping[str, Any]) -> Iterator[Pinnable]:
    recorded = _question(said, replayed=False)
    words = f"the evidence of request {said['request_id']} is of class "
    words += str(said["completeness"]["class"])
    yield _pinnable(recorded, "/completeness/class", words)
    for at, gap in enumerate(said["completeness"]["missing"]):
        words = f"missing of request {said['request_id']}: {gap['field']}: {gap['reason']}"
        yield _pinnable(recorded, f"/completeness/missing/{at}/reason", words)


def _pinnable(question: Question, pointer: str, words: str) -> Pinnable:
    return Pinnable(question, pointer, _line(words))


def _line(words: str) -> str:
    return safe_text(words, _WORDS_MAX)
