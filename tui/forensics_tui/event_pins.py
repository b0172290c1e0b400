"""What can be pinned of events and of a state: each with the question that gives it again."""

from __future__ import annotations

from forensics.incident.pins import Pinnable
from forensics.incident.questions import Argument, Question
from forensics.lake.happened import Ran
from forensics.reconstruct.changes import Change
from forensics.reconstruct.check import Check, Noticed
from forensics.reconstruct.jumps import Moment
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros
from forensics.report.timeline import rates_words
from forensics_tui.period import Period
from forensics_tui.pinnables import iso_words


def of_moment(
    question: Question, at: int, moment: Moment, change: Change, outcome: str
) -> list[Pinnable]:
    """A change, and what the rate did there.

    Args:
        question: the timeline that tells of it.
        at: which of its moments it is.
        moment: that.
        change: one of the moment's changes.
        outcome: whose rate is told.
    """
    who = f", by {change.actor}" if change.actor else ""
    words = f"{change.true_from:%Y-%m-%d %H:%M:%S} UTC: {change.statement}{who}"
    place = f"/moments/{at}"
    found = [
        Pinnable(
            question,
            f"{place}/changes/{moment.changes.index(change)}/statement",
            safe_text(words),
        )
    ]
    if moment.difference is not None:
        points = 100 * moment.difference
        rates = f"{outcome} went {rates_words(moment)} ({points:+.1f} points) at "
        rates += f"{moment.at:%Y-%m-%d %H:%M:%S} UTC, when {change.step}"
        found.append(Pinnable(question, f"{place}/difference", safe_text(rates)))
    return found


def of_run(ran: Ran) -> list[Pinnable]:
    """That a run ended, and how."""
    when = f"{from_micros(ran.at_us):%Y-%m-%d %H:%M:%S} UTC"
    code = f" with code {ran.code_version}" if ran.code_version else ""
    words = f"{when}: run {ran.run_id} of {ran.name}{code}: {(ran.state or 'no end').lower()}"
    question = Question("lineage", {"node": f"run:{ran.run_id}", "depth": "1"})
    return [Pinnable(question, "", safe_text(words))]


def of_finding(period: Period, check: Check, point: str, noticed: Noticed) -> list[Pinnable]:
    """How many decisions of a window a detector says something of."""
    arguments: dict[str, Argument] = {
        "decision-point": point,
        "since": iso_words(period.since_us),
        "until": iso_words(period.until_us),
        "kind": (noticed.kind,),
    }
    of_kind = [one for one in check.found if one.kind == noticed.kind]
    words = (
        f"{count_of(noticed.count, 'decision')} of {point}, {noticed.first:%Y-%m-%d %H:%M:%S} to "
    )
    words += f"{noticed.last:%Y-%m-%d %H:%M:%S} UTC: {noticed.statement}"
    place = f"/found/{of_kind.index(noticed)}/count"
    return [Pinnable(Question("check", arguments), place, safe_text(words))]


def of_override(change: Change) -> list[Pinnable]:
    """That a person replaced a decision."""
    words = f"{change.occurred_at:%Y-%m-%d %H:%M:%S} UTC: {change.statement} by {change.actor}"
    question = Question("trace", {"id": change.component, "no-replay": True})
    return [Pinnable(question, "/override", safe_text(words))]
