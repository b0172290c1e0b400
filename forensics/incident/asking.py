"""Asking a question again: the same value as its command prints with ``--json``.

A command that prints several answers, one on each line, gives a list of them.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from itertools import islice
from typing import TYPE_CHECKING, Any

from forensics.errors import UsageError
from forensics.incident.questions import Argument, Question
from forensics.lake.snapshot import Snapshot
from forensics.records.jsontext import dumps, loads

if TYPE_CHECKING:
    from forensics.lake.find import Query
    from forensics.lake.leaves import Leaves
    from forensics.lineage.nodes import Direction
    from forensics.replay.client import Workers

#: By command, what may be another every time it is asked, though the evidence is the same: the
#: library that replays here, and by how much its sums are off. A pin leaves these parts out.
VARYING: Mapping[str, tuple[str, ...]] = {
    "trace": tuple(
        f"{several}{part}"
        for several in ("", "/*")
        for part in ("/replay/runtime/replayed", "/attributions/additivity_error")
    ),
}
#: More decisions are not listed, only counted.
ROWS_MAX = 100_000
_COUNTERFACTUALS = 1
_EXAMPLES = 3
_DEPTH = 5


class Answers:
    """Questions asked of one snapshot, each only once. Use it as a context manager, in one thread.

    Replays leave model processes running for the next ones; leaving the context ends them.
    """

    def __init__(self, snapshot: Snapshot) -> None:
        self.snapshot = snapshot
        self._known: dict[tuple[str, str], Any] = {}
        self._leaves: dict[tuple[object, ...], Leaves | None] = {}
        self._workers: Workers | None = None

    def __enter__(self) -> Answers:
        return self

    def __exit__(self, *_: object) -> None:
        if self._workers is not None:
            self._workers.close()
            self._workers = None

    def ask(self, question: Question) -> Any:
        """The JSON value of the answer.

        Raises:
            ForensicsError: as the command fails.
        """
        key = (question.command, dumps(dict(question.arguments)))
        if key not in self._known:
            self._known[key] = loads(dumps(self._asked(question)))
        return self._known[key]

    def leaves(
        self, point: str | None, since: datetime | None, until: datetime | None, *, received: bool
    ) -> Leaves | None:
        """The leaves of a window of one decision point, or of all where None.

        See :func:`forensics.lake.leaves.leaves`.
        """
        from forensics.lake.leaves import leaves
        from forensics.records.times import to_micros

        key = (point, since, until, received)
        if key not in self._leaves:
            points = self.snapshot.points() if point is None else [point]
            ends = (None if time is None else to_micros(time) for time in (since, until))
            self._leaves[key] = leaves(self.snapshot, points, *ends, received=received)
        return self._leaves[key]

    def _asked(self, question: Question) -> Any:
        arguments = question.arguments
        point = arguments.get("decision-point")
        if question.command != "find":
            _check_point(self.snapshot, point)
        if question.command != "trace":
            return _COMMANDS[question.command](self.snapshot, arguments)
        replay = not arguments.get("no-replay")
        if replay and self._workers is None:
            from forensics.replay.client import Workers

            self._workers = Workers()
        return _trace(self.snapshot, arguments, replay, self._workers)


def ask(snapshot: Snapshot, question: Question) -> Any:
    """The JSON value that the question's command prints with ``--json``.

    Raises:
        ForensicsError: as the command fails.
    """
    with Answers(snapshot) as answers:
        return answers.ask(question)


def _check_point(snapshot: Snapshot, point: object) -> None:
    points = snapshot.points()
    if point is not None and point not in points:
        raise UsageError(
            f"No decision point {point!r} in this lake.",
            f"It has: {', '.join(points) or 'none yet'}.",
        )


_Arguments = Mapping[str, Argument]


def _text(arguments: _Arguments, name: str) -> str | None:
    value = arguments.get(name)
    return None if value is None else str(value)


def _whole(arguments: _Arguments, name: str, otherwise: int) -> int:
    value = arguments.get(name, otherwise)
    assert isinstance(value, int)
    return value


def _time(arguments: _Arguments, name: str) -> datetime | None:
    value = arguments.get(name)
    return None if value is None else datetime.fromisoformat(str(value))


def _trace(snapshot: Snapshot, arguments: _Arguments, replay: bool, workers: Any) -> Any:
    from forensics.reconstruct.trace import trace

    found = trace(
        snapshot,
        str(arguments["id"]),
        replay=replay,
        counterfactuals=_whole(arguments, "counterfactuals", _COUNTERFACTUALS),
        workers=workers,
    )
    answers = [one.to_dict() for one in found]
    return answers[0] if len(answers) == 1 else answers


def query(question: Question) -> Query:
    """What a ``find`` looks for."""
    from forensics.lake.find import Query

    arguments = question.arguments
    return Query(
        decision_point=_text(arguments, "decision-point"),
        since=_time(arguments, "since"),
        until=_time(arguments, "until"),
        subject=_text(arguments, "subject"),
        outcome=_text(arguments, "outcome"),
        model_version=_text(arguments, "model-version"),
        environment=_text(arguments, "environment"),
        where=_text(arguments, "where"),
        limit=_whole(arguments, "limit", 0) or None,
        oldest_first=bool(arguments.get("oldest")),
        features=bool(arguments.get("features")),
    )


def _find(snapshot: Snapshot, arguments: _Arguments) -> Any:
    from forensics.lake.counting import tally
    from forensics.lake.find import rows, with_features

    wanted = query(Question("find", arguments))
    if arguments.get("count"):
        return tally(snapshot, wanted).to_dict()
    found = [with_features(row) for row in islice(rows(snapshot, wanted), ROWS_MAX + 1)]
    if len(found) > ROWS_MAX:
        raise UsageError(
            f"More than {ROWS_MAX:,} decisions match.",
            "So many are not kept to be compared.",
            "Ask for their count, or for a limit.",
        )
    return found


def _timeline(snapshot: Snapshot, arguments: _Arguments) -> Any:
    from forensics.reconstruct.timeline import timeline

    return timeline(
        snapshot,
        _time(arguments, "since"),
        _time(arguments, "until"),
        decision_point=_text(arguments, "decision-point"),
        outcome=_text(arguments, "outcome"),
        bins=_whole(arguments, "bins", 0) or None,
    ).to_dict()


def _as_of(snapshot: Snapshot, arguments: _Arguments) -> Any:
    from forensics.reconstruct.as_of import as_of

    time = _time(arguments, "time")
    assert time is not None
    return as_of(
        snapshot,
        time,
        decision_point=_text(arguments, "decision-point"),
        known_by=_time(arguments, "known-by"),
    ).to_dict()


def _check(snapshot: Snapshot, arguments: _Arguments) -> Any:
    from forensics.reconstruct.check import check

    kinds = arguments.get("kind", ())
    assert isinstance(kinds, tuple)
    return check(
        snapshot,
        since=_time(arguments, "since"),
        until=_time(arguments, "until"),
        decision_point=_text(arguments, "decision-point"),
        kinds=kinds,
        examples=_whole(arguments, "limit", _EXAMPLES),
        replay=bool(arguments.get("replay")),
    ).to_dict()


def _diff(snapshot: Snapshot, arguments: _Arguments) -> Any:
    from forensics.reconstruct.compare import compare

    ids = arguments["ids"]
    assert isinstance(ids, tuple)
    return compare(snapshot, *ids).to_dict()


def _lineage(snapshot: Snapshot, arguments: _Arguments) -> Any:
    from forensics.lineage.lookup import lineage

    depth = str(arguments.get("depth", _DEPTH))
    if depth != "all" and not (depth.isascii() and depth.isdigit()):
        raise UsageError(f"{depth!r} is no depth.", "", "Use a whole number or `all`.")
    return lineage(
        snapshot,
        str(arguments["node"]),
        direction=_direction(arguments),
        depth=None if depth == "all" else int(depth),
        as_of=_time(arguments, "as-of"),
        known_by=_time(arguments, "known-by"),
        all_time=bool(arguments.get("all-time")),
        columns=bool(arguments.get("columns")),
        namespace=_text(arguments, "namespace"),
    ).to_dict()


def _direction(arguments: _Arguments) -> Direction:
    if arguments.get("connected"):
        return "connected"
    if bool(arguments.get("upstream")) == bool(arguments.get("downstream")):
        return "both"
    return "upstream" if arguments.get("upstream") else "downstream"


_COMMANDS: dict[str, Callable[[Snapshot, _Arguments], Any]] = {
    "find": _find,
    "timeline": _timeline,
    "as-of": _as_of,
    "check": _check,
    "diff": _diff,
    "lineage": _lineage,
}
