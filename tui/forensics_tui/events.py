"""What happened, as a line on an axis and as a page of its own: changes, runs and findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from forensics.lake.happened import Ran
from forensics.reconstruct.changes import Change
from forensics.reconstruct.check import Noticed
from forensics.reconstruct.jumps import Moment, Stretch
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros, to_micros
from forensics.report.spans import Line, Span, Style, span, wrapped
from forensics.report.timeline import length_words, percent, rates_words
from forensics.report.words import age_words, number_words, time_words, value_words

LaneName = Literal["changes", "controls", "runs", "findings"]
_CONTROLS = frozenset(("flag", "control", "override"))
_SEVERITY: dict[str, tuple[str, Style]] = {
    "error": ("✗", "bad"), "warning": ("!", "warn"), "info": ("·", "dim"),
    "not_checkable": ("?", "dim"),
}  # fmt: skip
#: Where there is room for one sign, the first of these is shown.
_RANK = "◆✗?!△▲◇•·…"
_LABEL = 22


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """One thing that happened. ``moment`` is what a change moved, where that is known."""

    at_us: int
    lane: LaneName
    sign: str
    style: Style
    #: Not made inert yet.
    words: str
    of: Change | Ran | Noticed
    moment: Moment | None = None

    @property
    def rank(self) -> int:
        """Which of two signs in one place is shown: the lower."""
        return _RANK.find(self.sign)

    @property
    def is_change(self) -> bool:
        """Whether something became different."""
        return isinstance(self.of, Change) and self.of.source != "overrides"

    @property
    def is_jump(self) -> bool:
        """Whether the rate jumped."""
        return self.moment is not None and self.moment.jump

    @property
    def right(self) -> str:
        """What it moved, in a few characters."""
        moment = self.moment
        if moment is None or moment.difference is None:
            return ""
        rates = rates_words(moment)
        return f"{rates} {100 * moment.difference:+.1f}" if moment.jump else rates


def same(a: Event, b: Event) -> bool:
    """Whether two events tell of the same thing."""
    return a.at_us == b.at_us and a.lane == b.lane and _identity(a) == _identity(b)


def _identity(event: Event) -> tuple[str, ...]:
    match event.of:
        case Change() as change:
            return change.change_id, change.source
        case Ran() as ran:
            return ran.namespace or "", ran.name, ran.run_id
        case noticed:
            return noticed.kind, noticed.about


def of_changes(changes: Iterable[Change], moments: Sequence[Moment]) -> Iterator[Event]:
    """Changes, each with what it moved."""
    moved = {_key(change): moment for moment in moments for change in moment.changes}
    for change in changes:
        moment = moved.get(_key(change))
        lane: LaneName = "controls" if change.kind in _CONTROLS else "changes"
        sign, style = _change_sign(change, lane)
        if moment is not None and moment.jump:
            sign, style = "◆", "bad"
        where = f" · {change.environment}" if change.environment else ""
        yield Event(
            to_micros(change.true_from), lane, sign, style, change.statement + where, change, moment
        )


def _key(change: Change) -> tuple[str, datetime, str]:
    return change.change_id, change.occurred_at, change.source


def _change_sign(change: Change, lane: LaneName) -> tuple[str, Style]:
    if change.agreement == "unseen":
        return "?", "warn"
    if change.agreement == "unannounced":
        return "△", "warn"
    return ("◇", "accent") if lane == "controls" else ("▲", "warn")


def of_runs(runs: Iterable[Ran]) -> Iterator[Event]:
    """Pipeline runs, at their ends."""
    for ran in runs:
        sign, style = _run_sign(ran)
        code = f", code {ran.code_version}" if ran.code_version else ""
        error = f": {ran.error}" if ran.error else ""
        words = f"run {ran.name} {ran.run_id[:8]} {_state(ran)}{code}{error}"
        yield Event(ran.at_us, "runs", sign, style, words, ran)


def _run_sign(ran: Ran) -> tuple[str, Style]:
    if ran.ended_us is None:
        return "…", "dim"
    return ("✗", "bad") if ran.failed else ("•", "accent")


def _state(ran: Ran) -> str:
    states = {"COMPLETE": "completed", "FAIL": "failed", "ABORT": "aborted", None: "began, no end"}
    return states.get(ran.state, str(ran.state).lower())


def of_findings(found: Iterable[Noticed]) -> Iterator[Event]:
    """What detectors noticed, at the first decision that it is said of."""
    for noticed in found:
        sign, style = _SEVERITY[noticed.severity]
        words = f"{_kind(noticed)}: {noticed.count:,} × {noticed.statement}"
        yield Event(to_micros(noticed.first), "findings", sign, style, words, noticed)


def _kind(noticed: Noticed) -> str:
    return noticed.kind.replace("_", " ")


def node_of(event: Event | None) -> str | None:
    """The run that an event tells of, as lineage names it; None where it tells of none."""
    match event.of if event is not None else None:
        case Ran() as ran:
            return f"run:{ran.run_id}"
        case Change() as change if change.run_id:
            return f"run:{change.run_id}"
    return None


def label(event: Event, *, dated: bool) -> str:
    """An event in the words that stand on the chart."""
    time = from_micros(event.at_us)
    when = f"{time:%m-%d %H:%M}" if dated else f"{time:%H:%M:%S}"
    what = event.of.step if isinstance(event.of, Change) else event.words
    return f"{when} {event.right} {safe_text(what)}".replace("  ", " ")


def page(event: Event, outcome: str, width: int) -> list[Line]:
    """All that is known of an event."""
    match event.of:
        case Change() as change:
            lines = [
                *_change(change, width),
                *_moved(event.moment, change, outcome, width),
                *_change_facts(change, width),
            ]
        case Noticed() as noticed:
            lines = list(_noticed(noticed, width))
        case _:
            lines = [[span(event.words)]]
    return [[span(time_words(from_micros(event.at_us)), "dim")], *lines]


def _fact(name: str, words: str, width: int, style: Style = "") -> Iterator[Line]:
    room = max(width - _LABEL, 20)
    parts = wrapped(safe_text(words, 4_000), room)
    for number, part in enumerate(parts):
        cut = [part[at : at + room] for at in range(0, len(part), room)] or [""]
        for again, piece in enumerate(cut):
            first = number == 0 and again == 0
            yield [Span(f"  {name if first else '':<{_LABEL - 2}}", "dim"), Span(piece, style)]


def _change(change: Change, width: int) -> Iterator[Line]:
    style: Style = "warn" if change.agreement in ("unannounced", "unseen") else "bold"
    for part in wrapped(safe_text(change.step, 2_000), width):
        yield [Span(part, style)]
    yield []
    facts = [("reason", change.reason), ("by", change.actor), ("authority", change.authority)]
    if change.source == "changes":
        facts.append(("reviewed by", change.reviewed_by or "nobody, as far as it was recorded"))
    for name, words in facts:
        if words:
            yield from _fact(name, words, width)


def _change_facts(change: Change, width: int) -> Iterator[Line]:
    yield []
    facts = [
        ("environment", change.environment),
        ("decision point", change.decision_point),
        ("from", _version(change.from_version, change.from_digest)),
        ("to", _version(change.to_version, change.to_digest)),
        ("features", ", ".join(change.features)),
        ("run", change.run_id),
        ("share of the traffic", _share(change.traffic_share)),
        ("until", time_words(change.expires_at) if change.expires_at else None),
    ]
    for name, words in facts:
        if words:
            yield from _fact(name, words, width)
    yield from _fact("true from", _true_from(change), width)
    if change.known_at is not None:
        late = change.known_at - change.true_from
        words = time_words(change.known_at)
        words += f", {age_words(late)} later" if abs(late.total_seconds()) >= 1 else ""
        yield from _fact("known since", words, width)
    if change.agreement == "unannounced":
        yield from _fact("announced", "by nobody", width, "warn")
    elif change.confirmation:
        unseen: Style = "warn" if change.agreement == "unseen" else ""
        yield from _fact("evidence", change.confirmation, width, unseen)
    yield from _fact("told by", f"{change.source}, {change.evidence}", width)
    for name, value in change.detail.items():
        yield from _fact(safe_text(name, _LABEL - 3), value_words(value), width)


def _true_from(change: Change) -> str:
    words = time_words(change.true_from)
    if change.true_from != change.occurred_at:
        words += f"; announced for {time_words(change.occurred_at)}"
    return words


def _version(version: str | None, digest: str | None) -> str:
    return " ".join(part for part in (version, digest) if part)


def _share(share: float | None) -> str | None:
    return None if share is None else f"{share:.0%}"


def _moved(moment: Moment | None, change: Change, outcome: str, width: int) -> Iterator[Line]:
    if change.source == "overrides":
        return
    yield []
    if moment is None:
        yield [span(f"The rate of {outcome or 'an outcome'} is still being counted.", "dim")]
        return
    yield [span(f"{outcome} before and after", "bold")]
    for name, side in (("before", moment.before), ("after", moment.after)):
        yield from _fact(name, _side(side), width)
    if moment.difference is None or moment.interval is None or moment.z is None:
        yield from _fact("", str(moment.reason), width)
    else:
        low, high = (100 * end for end in moment.interval)
        words = f"{100 * moment.difference:+.1f} points, 95 % interval {low:+.1f} to {high:+.1f}"
        yield from _fact("difference", words, width, "bad" if moment.jump else "")
        usual = f", usually within {100 * moment.usual:.1f}" if moment.usual is not None else ""
        yield from _fact("", f"z {number_words(moment.z, 2)}{usual}", width)
        jump = "a jump coincides with it, which need not be caused by it"
        yield from _fact("", jump if moment.jump else "no jump", width)
    others = [other for other in moment.changes if other is not change and other != change]
    if others:
        yield []
        yield [Span("at the same moment, so that nobody can tell which", "bold")]
        for other in others:
            for part in wrapped(safe_text(other.statement, 500), width - 2):
                yield [Span(f"  {part}")]


def _side(side: Stretch) -> str:
    length = length_words(side.end - side.start)
    start = f"{side.start:%Y-%m-%d %H:%M:%S}"
    words = f"{percent(side.rate)}: {side.hits:,} of {count_of(side.decisions, 'decision')}"
    return f"{words} in {length} from {start}"


def _noticed(noticed: Noticed, width: int) -> Iterator[Line]:
    style = _SEVERITY[noticed.severity][1]
    for part in wrapped(safe_text(noticed.statement, 2_000), width):
        yield [Span(part, style)]
    yield []
    share = count_of(noticed.count, "decision")
    share += f", {number_words(100 * noticed.share, 2)} % of those checked"
    facts = [
        ("detector", _kind(noticed)), ("severity", noticed.severity.replace("_", " ")),
        ("said of", share), ("first", time_words(noticed.first)),
        ("last", time_words(noticed.last)),
        ("for example", ", ".join(noticed.examples)),
    ]  # fmt: skip
    for name, words in facts:
        if words:
            yield from _fact(name, words, width)
    if noticed.changes_before:
        yield []
        yield [Span("changed shortly before the first of them", "bold")]
        for change in noticed.changes_before:
            age = age_words(noticed.first - change.occurred_at)
            for part in wrapped(safe_text(f"{age} before: {change.statement}", 500), width - 2):
                yield [Span(f"  {part}")]
