"""A new postmortem: what can be counted stands there as pins, the rest is left to fill in."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

from forensics.errors import NotFoundError, UsageError
from forensics.incident.asking import Answers
from forensics.incident.document import Document, front_text
from forensics.incident.pin_text import pin_text
from forensics.incident.pins import Pin, Pinnable, pin
from forensics.incident.pointers import pointer
from forensics.incident.questions import Argument, Question
from forensics.lake.layout import identity
from forensics.lake.snapshot import Snapshot
from forensics.records.jsontext import time_text
from forensics.records.plural import count_of
from forensics.records.safe_text import safe_text
from forensics.records.times import from_micros

#: What came before, to tell what is usual.
USUAL = timedelta(days=7)
_AROUND = timedelta(days=1)
_AROUND_MAX = timedelta(days=7)
#: Decisions that are looked at for one that would have ended otherwise.
_EXAMPLES = 10
_CHANGES_MAX = 12
_FINDINGS_MAX = 8


def template(
    snapshot: Snapshot,
    since: datetime,
    until: datetime,
    decision_point: str | None = None,
    *,
    title: str | None = None,
    now: datetime | None = None,
) -> Document:
    """A new postmortem of a window of one decision point's decisions.

    Args:
        snapshot: the lake.
        since: when the incident began.
        until: when it was over.
        decision_point: whose decisions; may be None where there is one.
        title: what it is called; else what moved.
        now: when it is written; the present time where None.

    Raises:
        NotFoundError: when the window holds no decision.
        UsageError: when there is no such decision point, several and none is named, or the window
            ends before it begins.
    """
    if until <= since:
        raise UsageError(f"The window ends at {_at(until)} and begins at {_at(since)}.")
    with Answers(snapshot) as answers:
        return _Template(answers, _point(snapshot, decision_point), since, until, now).document(
            title
        )


def _point(snapshot: Snapshot, named: str | None) -> str:
    points = snapshot.points()
    if named is None and len(points) == 1:
        return points[0]
    if named in points:
        assert named is not None
        return named
    raise UsageError(
        f"No decision point {named!r} in this lake." if named else "Name one decision point.",
        f"It has: {', '.join(points) or 'none yet'}.",
    )


class _Template:
    """A postmortem in the making."""

    def __init__(
        self,
        answers: Answers,
        point: str,
        since: datetime,
        until: datetime,
        now: datetime | None,
    ) -> None:
        self._answers = answers
        self._point = point
        self._since, self._until = since, until
        self._now = now or datetime.now(UTC)
        self._counted = self._window("find", since, until, count=True)
        counts = answers.ask(self._counted)
        if not counts["decisions"]:
            raise NotFoundError(
                f"No decision of {point} from {_at(since)} to {_at(until)}.",
                "",
                "Look what there is: forensics timeline",
            )
        self._usual_since = max(since - USUAL, self._first())
        self._outcome = self._affected(counts)
        self._here = self._rate(since, until)
        self._before = self._rate(self._usual_since, since)

    def document(self, title: str | None) -> Document:
        front = front_text(
            {
                "title": safe_text(title or self._title()),
                "lake": safe_text(self._answers.snapshot.root.resolve().name),
                "lake_id": identity(self._answers.snapshot.root),
                "decision_point": self._point,
                "since": self._since,
                "until": self._until,
                "created": self._now.replace(microsecond=0),
            }
        )
        sections = [
            ("Summary", "*What happened, to whom, and how it ended: three sentences for someone "
                        "who was not there.*"),
            ("Impact", self._pins(self._impact())),
            ("Timeline", self._pins(self._timeline())),
            ("Root cause", "*What made it happen, and what shows that. A change that coincides "
                           "with a jump is not yet its cause.*"),
            ("One decision", self._pins(self._decision())),
            ("What went well", "- "),
            ("What went badly", "- "),
            ("Actions", "| action | owner | due |\n| --- | --- | --- |\n|  |  |  |"),
        ]  # fmt: skip
        parts = [f"## {name}\n\n{text}\n" for name, text in sections if text]
        return Document.of("\n".join([front, *parts]))

    def _pins(self, pinnables: Iterator[Pinnable]) -> str:
        return "\n".join(pin_text(self._pin(each)) for each in pinnables).rstrip("\n")

    def _pin(self, pinnable: Pinnable) -> Pin:
        return pin(self._answers.snapshot, pinnable, answers=self._answers, now=self._now)

    def _window(self, command: str, since: datetime, until: datetime, **more: Argument) -> Question:
        times = {"since": time_text(since), "until": time_text(until)}
        return Question(command, {"decision-point": self._point, **times, **more})

    def _rate(self, since: datetime, until: datetime) -> Question | None:
        if since >= until:
            return None
        return self._window("timeline", since, until, outcome=self._outcome, bins=1)

    def _first(self) -> datetime:
        files = self._answers.snapshot.files(f"decisions/{self._point}")
        return _minute(from_micros(min(file.first_us for file in files)))

    def _last(self) -> datetime:
        files = self._answers.snapshot.files(f"decisions/{self._point}")
        return _minute(from_micros(max(file.last_us for file in files))) + timedelta(minutes=1)

    def _affected(self, counts: Mapping[str, Any]) -> str:
        """The outcome whose share rose most against what is usual; else the second most frequent.

        One that becomes more frequent is what an incident does to people; that another becomes
        rarer follows.
        """
        here: dict[str, int] = counts["outcomes"]
        usual: Mapping[str, int] = {}
        if self._usual_since < self._since:
            before = self._window("find", self._usual_since, self._since, count=True)
            usual = self._answers.ask(before)["outcomes"]
        if not usual:
            return [*here, *here][1]
        total, before_total = sum(here.values()), sum(usual.values())
        return max(here, key=lambda name: here[name] / total - usual.get(name, 0) / before_total)

    def _title(self) -> str:
        assert self._here is not None
        rate = self._answers.ask(self._here)["rate"]
        words = f"{self._point}: {self._outcome} at {_percent(rate)}"
        if self._before is not None:
            words += f", usually {_percent(self._answers.ask(self._before)['rate'])}"
        return f"{words}, {self._since:%Y-%m-%d}"

    def _impact(self) -> Iterator[Pinnable]:
        counts = self._answers.ask(self._counted)
        span = f"from {_at(self._since)} to {_at(self._until)} UTC"
        words = f"{count_of(counts['decisions'], 'decision')} of {self._point} {span}"
        yield Pinnable(self._counted, "/decisions", words)
        words = f"They are about {count_of(counts['subjects'], 'subject')}"
        if counts["without_subject"]:
            words += f"; {counts['without_subject']:,} of them name none"
        yield Pinnable(self._counted, "/subjects", words)
        outcomes = ", ".join(f"{count:,} {name}" for name, count in counts["outcomes"].items())
        yield Pinnable(self._counted, "/outcomes", safe_text(f"Their outcomes: {outcomes}"))
        if self._here is not None:
            rate = self._answers.ask(self._here)["rate"]
            words = safe_text(f"{_percent(rate)} of them were {self._outcome}")
            yield Pinnable(self._here, "/rate", words)
        if self._before is not None:
            before = self._answers.ask(self._before)
            words = (
                f"Usually it is {_percent(before['rate'])}: the share of {self._outcome} among the "
                f"{count_of(before['decisions'], 'decision')} from {_at(self._usual_since)} "
                "on until then"
            )
            yield Pinnable(self._before, "/rate", safe_text(words))

    def _timeline(self) -> Iterator[Pinnable]:
        length = min(max(_AROUND, self._until - self._since), _AROUND_MAX)
        since, until = max(self._since - length, self._first()), self._until + length
        wide = self._window(
            "timeline", since, max(min(until, self._last()), self._until), outcome=self._outcome
        )
        answer = self._answers.ask(wide)
        end = _at(datetime.fromisoformat(answer["until"]))
        words = f"The rate of {self._outcome} from {_at(since)} to {end} UTC, and what changed"
        yield Pinnable(wide, "", safe_text(words))
        events = [*self._moments(wide, answer), *self._findings()]
        events.sort(key=lambda event: datetime.fromisoformat(event[0]))
        yield from (each for _, each in events)

    def _moments(self, wide: Question, answer: Mapping[str, Any]) -> Iterator[tuple[str, Pinnable]]:
        moments = list(enumerate(answer["moments"]))
        start = time_text(self._since)
        # Those with a jump come first; of the others those nearest to the beginning tell most.
        moments.sort(key=lambda item: (not item[1]["jump"], _apart(item[1]["at"], start)))
        for number, moment in moments[:_CHANGES_MAX]:
            at = f"{_shown(moment['at'])} UTC: "
            if not moment["jump"]:
                for place, change in enumerate(moment["changes"]):
                    where = pointer(["moments", number, "changes", place])
                    words = safe_text(at + change["statement"])
                    yield moment["at"], Pinnable(wide, where, words)
                continue
            words = at + "; ".join(change["statement"] for change in moment["changes"])
            before, after = moment["before"]["rate"], moment["after"]["rate"]
            words += f" · {self._outcome} went from {_percent(before)} to {_percent(after)}"
            yield moment["at"], Pinnable(wide, pointer(["moments", number]), safe_text(words))

    def _findings(self) -> Iterator[tuple[str, Pinnable]]:
        question, answer = self._checked()
        for number, found in enumerate(answer["found"][:_FINDINGS_MAX]):
            if found["severity"] == "info":
                continue
            words = (
                f"{_shown(found['first'])} UTC: the first of "
                f"{count_of(found['count'], 'decision')} ({_percent(found['share'])}) "
                f"with {found['kind'].replace('_', ' ')}: "
                f"{found['statement']}; the last at {_shown(found['last'])}"
            )
            where = pointer(["found", number])
            yield found["first"], Pinnable(question, where, safe_text(words))

    def _checked(self) -> tuple[Question, Mapping[str, Any]]:
        question = self._window("check", self._since, self._until, limit=_EXAMPLES)
        return question, self._answers.ask(question)

    def _decision(self) -> Iterator[Pinnable]:
        """One decision with the worst finding, that would have ended otherwise where there is one.

        Of those that would, or of all, the first with the outcome that became more frequent.
        """
        worst = next((f for f in self._checked()[1]["found"] if f["severity"] != "info"), None)
        if worst is None:
            return
        candidates: list[tuple[tuple[bool, bool], Question, Mapping[str, Any]]] = []
        for identifier in worst["examples"]:
            question = Question("trace", {"id": identifier})
            said = self._answers.ask(question)
            if not isinstance(said, dict):  # a request with several decisions
                continue
            outcome, mended = said["decision"]["outcome"], _mended(said, worst["kind"])
            turned = mended is not None and mended[1]["outcome"] != outcome
            rank = (not turned, outcome != self._outcome)
            candidates.append((rank, question, said))
            if rank == (False, False):
                break
        if candidates:
            _, question, said = min(candidates, key=lambda each: each[0])
            yield from _traced(question, said, worst["kind"])


def _mended(said: Mapping[str, Any], kind: str) -> tuple[int, Mapping[str, Any]] | None:
    """Which finding of a kind says what had come of the usual value, and what it says."""
    for number, finding in enumerate(said["findings"]):
        mended = finding["detail"].get("mended")
        if finding["kind"] == kind and isinstance(mended, dict) and mended.get("outcome"):
            return number, mended
    return None


def _traced(question: Question, said: Mapping[str, Any], kind: str) -> Iterator[Pinnable]:
    decision = said["decision"]
    words = f"Request {said['request_id']}, {_shown(decision['occurred_at'])} UTC: "
    yield Pinnable(question, "/decision/outcome", safe_text(words + decision["outcome"]))
    for number, finding in enumerate(said["findings"]):
        if finding["kind"] == kind:
            words = f"{kind.replace('_', ' ').capitalize()}: {finding['statement']}"
            where = pointer(["findings", number, "statement"])
            yield Pinnable(question, where, safe_text(words))
            break
    if mended := _mended(said, kind):
        number, then = mended
        feature, value = said["findings"][number]["detail"].get("feature"), then.get("value")
        shown = f"{value:.4g}" if isinstance(value, float) else value
        words = f"With {feature} = {shown} the outcome is {then['outcome']}, replayed"
        where = pointer(["findings", number, "detail", "mended"])
        yield Pinnable(question, where, safe_text(words))
    verdict = said["replay"]["verdict"]
    if verdict:
        words = f"Replay of the recorded artifacts on the recorded inputs: {verdict}"
        yield Pinnable(question, "/replay/verdict", words.replace("_", " "))
    if said["attributions"]["values"]:
        top = max(said["attributions"]["values"], key=lambda one: abs(one["value"]))
        unit = said["attributions"]["unit"].replace("_", "-")
        words = f"{top['feature']} moved the score most: {top['value']:+.2f} {unit}"
        yield Pinnable(question, "/attributions", safe_text(words))


def _minute(time: datetime) -> datetime:
    return time.replace(second=0, microsecond=0)


def _at(time: datetime) -> str:
    zoned = time.astimezone(UTC)
    return f"{zoned:%Y-%m-%d %H:%M:%S}" if zoned.second else f"{zoned:%Y-%m-%d %H:%M}"


def _shown(text: str) -> str:
    return f"{datetime.fromisoformat(text):%Y-%m-%d %H:%M:%S}"


def _apart(one: str, other: str) -> float:
    apart = datetime.fromisoformat(one) - datetime.fromisoformat(other)
    return abs(apart.total_seconds())


def _percent(share: float | None) -> str:
    if share is None:
        return "nothing"
    return f"{100 * share:.0f} %" if share in (0, 1) else f"{100 * share:.1f} %"
