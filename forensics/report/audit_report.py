"""An audit as a document: how complete the evidence of a window is, with a chart of its days."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime

from forensics.reconstruct.audit_answer import CLASSES, Audit, Point
from forensics.records.jsontext import time_text
from forensics.records.plural import count_of, share_words
from forensics.records.times import from_micros
from forensics.report import charts
from forensics.report.audit import MEANINGS
from forensics.report.blocks import Chart
from forensics.report.decision_words import moment
from forensics.report.document import Document, Item, Note, Reference, Row, Rows, Section, Statement
from forensics.report.words import capital

_COVERAGE = {
    "proven": "no decision is missing: independent counts of the whole window give what the lake "
    "holds",
    "contradicted": "decisions are missing from the lake",
    "assumed": "nothing says that a decision is missing, and no independent count proves that none "
    "is",
}
#: So many writers, holes and counts that differ are listed.
_LISTED = 50
_WRITERS = ("writer", "numbers", "never came", "used twice", "lost, as it says")
_HOLES = ("writer", "never came", "between the numbers", "in the time")
_COUNTS = ("decision point", "window", "counted", "held", "missing", "counted by")


def document(audit: Audit, now: datetime, options: Sequence[str] = ()) -> Document:
    """An audit.

    Args:
        audit: its answer.
        now: when it is made.
        options: those of the command line that say what was counted and required.
    """
    words = ["forensics", "audit", "--since", time_text(audit.since), "--until",
             time_text(audit.until), *options, "--json"]  # fmt: skip
    ref = Reference(shlex.join(words))
    gaps = []
    if audit.coverage == "contradicted":
        gaps.append("decisions are missing from the lake")
    if audit.below:
        below = count_of(audit.below, "decision is", "decisions are")
        gaps.append(f"{below} below {audit.required}, which is required")
    window = f"{audit.since:%Y-%m-%d %H:%M} to {audit.until:%Y-%m-%d %H:%M} UTC, end not included"
    return Document(
        kind="audit",
        title="Completeness of the evidence",
        facts=(
            ("window", window),
            ("newest decision", moment(audit.newest)),
            ("made", moment(now)),
        ),
        verdict=(
            f"of {count_of(audit.decisions, 'decision')} {lost:,} cannot be reproduced"
            if (lost := audit.classes["none"])
            else f"all {count_of(audit.decisions, 'decision')} can be reproduced"
        ),
        note=f"Not as it should be: {'; '.join(gaps)}" if gaps else _COVERAGE[audit.coverage],
        sections=(
            Section("In short", tuple(_short(audit, ref))),
            Section("Is any decision missing?", tuple(_missing(audit, ref))),
            *(
                Section(point.decision_point, tuple(_point(point, number, ref)))
                for number, point in enumerate(audit.points)
            ),
        ),
        made_at=now,
        gaps=tuple(gaps),
        data={"audit": audit.to_dict()},
    )


def _short(audit: Audit, ref: Reference) -> Iterator[Item]:
    rows = tuple(
        Row(
            (one, f"{audit.classes[one]:,}", share_words(audit.classes[one], audit.decisions),
             MEANINGS[one]),
            "recomputed",
            ref.at(f"/classes/{one}"),
        )
        for one in reversed(CLASSES)
    )  # fmt: skip
    yield Rows("classes", ("class", "decisions", "share", "what can be said of them"), rows)
    if audit.required is not None:
        met = "Every decision is" if not audit.below else f"{audit.below:,} decisions are not"
        yield Statement(
            "required", f"{met} {audit.required} or better, as is required.", "recomputed",
            ref.at("/below_required"), value=audit.below, strong=bool(audit.below),
        )  # fmt: skip


def _missing(audit: Audit, ref: Reference) -> Iterator[Item]:
    text = _COVERAGE[audit.coverage]
    yield Statement(
        "coverage", f"{capital(text)}.",
        "inferred" if audit.coverage == "assumed" else "recomputed", ref.at("/coverage"),
        value=audit.coverage, strong=True,
    )  # fmt: skip
    whole = sum(not (one.missing or one.twice) for one in audit.writers)
    if whole:
        yield Statement(
            "writers", f"{count_of(whole, 'writer')} numbered their records without a gap.",
            "recomputed", ref.at("/writers"), value=whole,
        )  # fmt: skip
    broken = [(at, one) for at, one in enumerate(audit.writers)
              if one.missing or one.twice or one.dropped]  # fmt: skip
    if broken:
        rows = tuple(
            Row(
                (one.writer, f"{one.first:,} to {one.last:,}", f"{one.missing:,}",
                 f"{one.twice:,}", f"{one.dropped:,}"),
                "recomputed", ref.at(f"/writers/{at}"),
            )
            for at, one in broken[:_LISTED]
        )  # fmt: skip
        yield Rows("writers", _WRITERS, rows)
        holes = tuple(
            Row(
                (one.writer, f"{hole.missing:,}", f"{hole.after:,} and {hole.before:,}",
                 f"{from_micros(hole.after_us):%Y-%m-%d %H:%M:%S} to "
                 f"{from_micros(hole.before_us):%Y-%m-%d %H:%M:%S}"),
                "recomputed", ref.at(f"/writers/{at}/holes/{number}"),
            )
            for at, one in broken
            for number, hole in enumerate(one.holes)
        )  # fmt: skip
        if holes:
            yield Rows("holes", _HOLES, holes[:_LISTED])
    for number, point in enumerate(audit.points):
        if point.unnumbered:
            yield Statement(
                "unnumbered",
                f"{count_of(point.unnumbered, 'record')} of {point.decision_point} without a "
                "number of the writer, so that missing ones do not show.",
                "recomputed",
                ref.at(f"/decision_points/{number}/unnumbered"),
                value=point.unnumbered,
            )
    if audit.compared:
        rows = tuple(
            Row(
                (one.counted.decision_point or "all",
                 f"{one.counted.since:%Y-%m-%d %H:%M} to {one.counted.until:%Y-%m-%d %H:%M}",
                 f"{one.counted.decisions:,}", f"{one.held:,}", f"{one.missing:,}",
                 one.counted.source),
                "recomputed", ref.at(f"/counts/{at}"),
            )
            for at, one in sorted(enumerate(audit.compared), key=lambda pair: -abs(pair[1].missing))
        )  # fmt: skip
        yield Rows("counts", _COUNTS, rows[:_LISTED])
        if len(rows) > _LISTED:
            yield Note(f"And {len(rows) - _LISTED:,} counts more, which differ less.")
    for number, text in enumerate(audit.unused_counts):
        yield Statement("unused_count", text, "missing", ref.at(f"/unused_counts/{number}"),
                        "it could not be used")  # fmt: skip


def _point(point: Point, number: int, ref: Reference) -> Iterator[Item]:
    days: list[tuple[str, Mapping[str, int]]] = [
        (str(day.day), {one: day.classes[one] for one in CLASSES}) for day in point.days
    ]
    yield Chart(charts.days(point.decision_point, days), tuple(_bars(days)))
    empty = [name for name, classes in days if not sum(classes.values())]
    if empty:
        some = ", ".join(empty[:10]) + (f" and {len(empty) - 10} more" if len(empty) > 10 else "")
        yield Statement(
            "empty_days", f"On these days no decision is recorded: {some}.", "recomputed",
            ref.at(f"/decision_points/{number}/days"), value=len(empty),
        )  # fmt: skip
    if point.gaps:
        rows = tuple(
            Row(
                (gap.field, f"{gap.decisions:,}", share_words(gap.decisions, point.decisions),
                 gap.why, f"{gap.alone:,}"),
                "recomputed", ref.at(f"/decision_points/{number}/gaps/{at}"),
            )
            for at, gap in enumerate(point.gaps)
        )  # fmt: skip
        head = ("missing field", "decisions", "share", "so", "lack nothing else")
        yield Rows("gaps", head, rows)
    rows = tuple(
        Row(
            (name, f"{sum(classes.values()):,}", *(f"{classes[one]:,}" for one in CLASSES[::-1])),
            "recomputed", ref.at(f"/decision_points/{number}/days/{at}"),
        )
        for at, (name, classes) in enumerate(days)
    )  # fmt: skip
    yield Rows("days", ("day", "decisions", *reversed(CLASSES)), rows)


def _bars(days: Sequence[tuple[str, Mapping[str, int]]]) -> Iterator[str]:
    """The days as bars of characters: a letter for each class, as many as its share."""
    most = max((sum(classes.values()) for _, classes in days), default=0) or 1
    letters = {"C2": "█", "C1": "▓", "C0": "▒", "none": "░"}
    yield "█ C2  ▓ C1  ▒ C0  ░ none"
    for name, classes in days:
        bar = "".join(letters[one] * (-(-classes[one] * 40 // most)) for one in reversed(CLASSES))
        yield f"{name}  {sum(classes.values()):>9,}  {bar}".rstrip()
