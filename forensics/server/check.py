"""What is wrong with records, told before the answer, by the code that will take them in.

Where a record is not evidently sound, the ingest itself judges it, on the feature types that the
lake had when the server began and those that came through it since. What another writer adds
meanwhile can still send a record to quarantine when it lands.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

from forensics.ingest import openlineage
from forensics.ingest.assemble import KINDS, kind_of
from forensics.ingest.decode import Refused, decode
from forensics.ingest.interface import NO_OPTIONS, Chunk
from forensics.ingest.json_lines import JsonLinesParser
from forensics.lake import catalog
from forensics.lake.snapshot import take
from forensics.lake.writer import feature_types
from forensics.server import spool
from forensics.server.bodies import Numbered
from forensics.server.evident import Evident, decoded


@dataclass(frozen=True, slots=True)
class Door:
    """One address that takes records."""

    path: str
    #: What a token needs.
    scope: str
    #: Of the spool.
    folder: str
    kinds: frozenset[str]

    @property
    def of_events(self) -> bool:
        """Whether it takes OpenLineage events, which are told apart by no kind."""
        return self.folder == spool.EVENTS


DOORS = (
    Door("/api/v1/lineage", "lineage", "lineage", frozenset({"lineage"})),
    Door("/api/v1/lineage/batch", "lineage", "lineage", frozenset({"lineage"})),
    Door("/v1/decisions", "decisions", "records", frozenset({"decision"})),
    Door("/v1/changes", "changes", "records", frozenset({"change"})),
    Door("/v1/records", "records", "records", frozenset(KINDS)),
)


#: Half a surrogate pair, or no number: such an event cannot be told from others.
_ODD_MARKS = (b"\\ud", b"\\uD", b"NaN", b"Infinity")

_SOME_RECORD = (
    b'{"decision_point":"p","decision_id":"d","occurred_at":"2026-01-01T00:00:00Z","outcome":"o"}'
)


@dataclass(slots=True)
class Verdict:
    """What becomes of one request's records."""

    #: Lines for the spool: what can be taken, and what goes to quarantine from there.
    lines: list[bytes] = field(default_factory=list)
    taken: int = 0
    #: By number within the request, why a record cannot be taken.
    rejected: list[tuple[int, str]] = field(default_factory=list)


class Checker:
    """Knows the features of each decision point. Calls come from one thread at a time."""

    def __init__(self, root: Path) -> None:
        tables = take(root).tables
        self._known = {name: dict(table.features) for name, table in tables.items()}
        self._evident: dict[str, Evident] = {}
        # The first of all records would wait a quarter of a second for what is loaded lazily.
        JsonLinesParser().parse(Chunk("none", 1, _SOME_RECORD, 0), {}, NO_OPTIONS)

    def check(self, door: Door, requests: Sequence[Sequence[Numbered]]) -> list[Verdict]:
        """One verdict for each request to a door, in their order."""
        owners = [
            (place, number) for place, records in enumerate(requests) for number, _ in records
        ]
        lines = [line for records in requests for _, line in records]
        refused: dict[int, str] = {}
        if door.of_events:
            reasons = judge_events(lines)
        else:
            refused, reasons = self._judge(door, lines)
        verdicts = [Verdict() for _ in requests]
        for at, (place, number) in enumerate(owners):
            verdict = verdicts[place]
            if at in refused:
                verdict.rejected.append((number, refused[at]))
                continue
            verdict.lines.append(lines[at])
            if at in reasons:
                verdict.rejected.append((number, reasons[at]))
            else:
                verdict.taken += 1
        return verdicts

    def _judge(self, door: Door, lines: Sequence[bytes]) -> tuple[dict[int, str], dict[int, str]]:
        """By place, why a record may not come in here, and why it goes to quarantine."""
        places: Sequence[int] = range(len(lines))
        if "decision" in door.kinds:
            places = [at for at in places if not self._is_evident(lines[at])]
        if not places:
            return {}, {}
        refused, reasons = self._judge_all(door, [lines[at] for at in places])
        return (
            {places[at]: reason for at, reason in refused.items()},
            {places[at]: reason for at, reason in reasons.items()},
        )

    def _is_evident(self, line: bytes) -> bool:
        record = decoded(line)
        if record is None:
            return False
        table = f"decisions/{record.get('decision_point')}"
        if table not in self._known:
            return False
        if table not in self._evident:
            self._evident[table] = Evident(self._known[table])
        return self._evident[table].covers(line, record)

    def _judge_all(
        self, door: Door, lines: Sequence[bytes]
    ) -> tuple[dict[int, str], dict[int, str]]:
        """The same for records that the ingest has to judge."""
        chunk = Chunk("request", 1, b"\n".join(lines), 0)
        parsed = JsonLinesParser().parse(chunk, self._known, NO_OPTIONS)
        refused: dict[int, str] = {}
        reasons: dict[int, str] = {}
        for name, table in parsed.tables.items():
            kind = catalog.kind_of(name)
            if kind not in door.kinds:
                for source in table["source"].to_pylist():
                    refused[int(source.rpartition("#")[2]) - 1] = _not_here(kind, door)
            elif kind == "decision":
                self._learn(name, feature_types(table))
        for reject in parsed.rejects:
            told = _told_kind(reject.raw)
            if told is not None and told not in door.kinds:
                # Not even through quarantine: the sender may not write these.
                refused[reject.line - 1] = _not_here(told, door)
            else:
                reasons[reject.line - 1] = reject.reason
        return refused, reasons

    def _learn(self, table: str, types: dict[str, str]) -> None:
        known = self._known.setdefault(table, {})
        if types.keys() - known.keys():
            self._known[table] = {**types, **known}
            self._evident.pop(table, None)


def judge_events(lines: Sequence[bytes]) -> dict[int, str]:
    """By place, why an OpenLineage event goes to quarantine.

    Most events are evidently sound, which takes a fiftieth of taking in a single one; the ingest
    itself judges the others.
    """
    doubtful = [at for at, line in enumerate(lines) if not _is_evidently_event(line)]
    if not doubtful:
        return {}
    chunk = Chunk("request", 1, b"\n".join(lines[at] for at in doubtful), 0)
    parsed = JsonLinesParser(events_only=True).parse(chunk, {}, NO_OPTIONS)
    return {doubtful[reject.line - 1]: reject.reason for reject in parsed.rejects}


def _is_evidently_event(line: bytes) -> bool:
    if any(mark in line for mark in _ODD_MARKS):
        return False
    try:
        event = decode(line, careful=False, bytes_max=openlineage.EVENT_BYTES_MAX)
        openlineage.check(event)
        return datetime.fromisoformat(event["eventTime"]).tzinfo is not None
    except (Refused, openlineage.Invalid, TypeError, ValueError):
        return False


def _not_here(kind: str, door: Door) -> str:
    return f"the record is of the kind {kind}; {door.path} takes {', '.join(sorted(door.kinds))}"


def _told_kind(raw: bytes) -> str | None:
    """The kind that a record says or shows; None where it can land as none."""
    try:
        record = decode(raw)
    except Refused:
        return None
    if openlineage.is_event(record):
        return "lineage"
    kind = record.get("record") or kind_of(record)
    return kind if kind in KINDS else None
