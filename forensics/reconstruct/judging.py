"""The detectors' window forms as queries: what each says of the decisions of a stretch.

A detector's flags become bits of one number per decision, so that one pass over the columns
answers for all of them, and what is counted is how often each combination occurs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from forensics.lake import sql
from forensics.reconstruct.detectors.base import SHAPE, Detector, Stretch

#: Flags of one number.
_BITS = 60
#: The columns of a stretch's rows that flags are written over.
_STEP_LISTS = ", ".join(
    f"list_transform(steps, lambda s: {value}) AS {name}"
    for name, value in (
        ("ids", "s.id"),
        ("kinds", "s.kind"),
        # Numbers, since arithmetic with times of a zone is slow.
        ("starts", "epoch_us(s.started_at)"),
        ("ends", "epoch_us(s.ended_at)"),
    )
)


class Code(NamedTuple):
    """What a detector says: its kind, and the code with what it concerns."""

    kind: str
    about: str


@dataclass(slots=True)
class Count:
    """How many decisions something is said of, when first and last, and some of them."""

    count: int
    first_us: int
    last_us: int
    #: Request ids of the first ones.
    examples: list[str]

    def add(self, other: Count, examples: int) -> None:
        """Count those of another stretch too, which is later."""
        self.count += other.count
        self.first_us = min(self.first_us, other.first_us)
        self.last_us = max(self.last_us, other.last_us)
        self.examples = (self.examples + other.examples)[:examples]


def counts(
    stretch: Stretch, detectors: Sequence[Detector], examples: int
) -> tuple[int, dict[Code, Count]]:
    """How many decisions a stretch has, and how often each thing is said of them."""
    found: dict[Code, Count] = {}

    def add(code: Code, count: Count) -> None:
        if code in found:
            found[code].add(count, examples)
        else:
            found[code] = count

    codes, query = _flags(stretch, detectors)
    masks = [f"m{at}" for at in range(-(-len(codes) // _BITS))]
    some = f"arg_min(request_id, t, {max(examples, 1)})"
    total = 0
    with sql.reading("A table of decisions"):
        rows = stretch.connection.execute(
            f"SELECT count(*), min(t), max(t), {some} {''.join(f', {m}' for m in masks)} "
            f"FROM ({query}) GROUP BY ALL ORDER BY min(t)"
        ).fetchall()
        for count, first, last, ids, *values in rows:
            if not count:
                continue
            total += count
            for code in _said(codes, values):
                add(code, Count(count, first, last, ids[:examples]))
        for kind, query in _rows(stretch, detectors):
            for about, count, first, last, ids in stretch.connection.execute(
                f"SELECT about, count(*), min(t), max(t), {some} FROM ({query}) "
                "WHERE about IS NOT NULL GROUP BY about"
            ).fetchall():
                add(Code(kind, about), Count(count, first, last, ids[:examples]))
    return total, found


def each(
    stretch: Stretch, detectors: Sequence[Detector]
) -> Iterator[tuple[str, str, frozenset[Code]]]:
    """Of every decision of a stretch the request id, the decision id and what is said of it."""
    codes, query = _flags(stretch, detectors)
    further: dict[tuple[str, int], set[Code]] = {}
    with sql.reading("A table of decisions"):
        for kind, rows in _rows(stretch, detectors):
            for decision_id, t, about in stretch.connection.execute(
                f"SELECT decision_id, t, about FROM ({rows}) WHERE about IS NOT NULL"
            ).fetchall():
                further.setdefault((decision_id, t), set()).add(Code(kind, about))
        for request_id, decision_id, t, *values in stretch.connection.execute(query).fetchall():
            said = set(_said(codes, values)) | further.get((decision_id, t), set())
            yield request_id, decision_id, frozenset(said)


def _flags(stretch: Stretch, detectors: Sequence[Detector]) -> tuple[list[Code], str]:
    """The codes that are bits, in their order, and a query for each decision's numbers."""
    conditions = {
        Code(detector.kind, about): condition
        for detector in detectors
        for about, condition in detector.flags(stretch).items()
        if condition != "false"
    }
    codes = list(conditions)
    numbers = []
    for first in range(0, len(codes), _BITS):
        bits = [
            f"(coalesce({conditions[code]}, false)::UBIGINT << {at})"
            for at, code in enumerate(codes[first : first + _BITS])
        ]
        numbers.append(f"{' | '.join(bits)} AS m{first // _BITS}")
    overrides = (
        "LEFT JOIN overrides AS o ON o.decision_id = d.decision_id" if stretch.has_overrides else ""
    )
    return codes, (
        f"SELECT {', '.join(['d.request_id', 'd.decision_id', 'd.t', *numbers])} "
        f"FROM (SELECT *, {_STEP_LISTS}, {SHAPE} AS shape FROM ({stretch.decisions()})) AS d "
        + overrides
    )


def _said(codes: Sequence[Code], numbers: Sequence[int]) -> Iterator[Code]:
    for at, code in enumerate(codes):
        if numbers[at // _BITS] >> at % _BITS & 1:
            yield code


def _rows(stretch: Stretch, detectors: Sequence[Detector]) -> Iterator[tuple[str, str]]:
    for detector in detectors:
        for query in detector.rows(stretch):
            yield detector.kind, query
