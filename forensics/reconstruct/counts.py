"""Counts of decisions by somebody else: a gateway, a service's own counters.

What a lake holds can prove that nothing in it was altered, never that nothing is missing: for that
it is compared with a count that came another way.
"""

from __future__ import annotations

import csv
import io
import itertools
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

from forensics.errors import UsageError
from forensics.records.times import from_micros

DAY = timedelta(days=1)
#: Labels that may name the decision point, the first that there is.
LABELS = ("decision_point", "point")
_SIZE_MAX = 256 << 20
_SAMPLE = re.compile(
    r"(?P<name>[a-zA-Z_:][a-zA-Z0-9_:]*)\s*(?:\{(?P<labels>.*)\})?\s+(?P<value>\S+)"
    r"(?:\s+(?P<time>\S+))?(?:\s+#.*)?"
)
_LABEL = re.compile(r'\s*([a-zA-Z_][a-zA-Z0-9_]*)\s*=\s*"((?:[^"\\]|\\.)*)"\s*(?:,|$)')


@dataclass(frozen=True, slots=True)
class Counted:
    """How many decisions somebody else counted from one time to before another.

    ``decision_point`` is None where all of them were counted together.
    """

    decision_point: str | None
    since: datetime
    until: datetime
    decisions: int
    source: str


def read_counts(path: Path, metric: str | None = None) -> list[Counted]:
    """The counts in a file.

    A CSV or JSON lines file has ``count`` and either ``day``, or ``since`` and ``until``, and may
    have ``decision_point``. A Prometheus text file, or the JSON of its API (``query_range``), has
    samples of a counter with their times: each rise between two is a count, and where the counter
    was set back it began again at 0.

    Args:
        path: the file.
        metric: the counter's name, where a file has several.

    Raises:
        UsageError: when it is none of these, or a line of it says nothing that can be counted.
    """
    try:
        if path.stat().st_size > _SIZE_MAX:
            raise UsageError(f"{path} is too large for counts.", "256 MiB is the most.")
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} cannot be read.", str(error)) from error
    source = path.name
    start = text.lstrip()[:1]
    if start == "{" and '"resultType"' in text[:4096]:
        return list(_from_api(text, source, metric))
    if start in ("{", "["):
        return [_row(row, source, at) for at, row in enumerate(_json_rows(text, source), 1)]
    if start == "#" or _is_exposition(text):
        return list(_from_exposition(text, source, metric))
    rows = csv.DictReader(io.StringIO(text), skipinitialspace=True)
    _check_head(rows.fieldnames or (), source)
    found = [_row(row, source, at) for at, row in enumerate(rows, 2)]
    if not found:
        raise UsageError(f"{source} has no counts.", "Nothing follows its first line.", _FORM)
    return found


_FORM = (
    "A count file is a CSV that begins with the line `decision_point,day,count`, or with since and "
    "until instead of day; JSON lines of the same; or a Prometheus text file with times."
)


def _check_head(names: Sequence[str], source: str) -> None:
    """See that a CSV's first line names its columns: without it a count would be taken for it.

    Raises:
        UsageError: when it does not.
    """
    there = set(names)
    spans = "day" in there or {"since", "until"} <= there
    if there & {"count", "decisions"} and spans:
        return
    head = ",".join(map(str, names))
    raise UsageError(
        f"{source} does not say what it counts.",
        f"Its first line names no count, or neither day nor since and until: {head!r:.80}"
        if head
        else "It is empty.",
        _FORM,
    )


def _json_rows(text: str, source: str) -> Iterator[Mapping[str, Any]]:
    try:
        rows = json.loads(text) if text.lstrip().startswith("[") else None
        if rows is None:
            rows = [json.loads(line) for line in text.splitlines() if line.strip()]
    except json.JSONDecodeError as error:
        raise UsageError(f"{source} is no JSON.", str(error)) from error
    for row in rows:
        if not isinstance(row, dict):
            raise UsageError(f"{source} has something that is no count.", f"It is {row!r:.60}.")
        yield row


def _row(row: Mapping[str, Any], source: str, at: int) -> Counted:
    """A count from a line that names its columns."""

    def refuse(why: str) -> UsageError:
        return UsageError(
            f"Line {at} of {source} is no count: {why}.",
            "",
            "A count has count and day, or count, since and until; decision_point too where "
            "several were counted.",
        )

    number = row.get("count", row.get("decisions"))
    try:
        count = int(str(number))
    except ValueError:
        raise refuse(f"its count is {number!r}") from None
    if count < 0:
        raise refuse(f"its count is {count}")
    try:
        if row.get("day"):
            since = datetime.combine(date.fromisoformat(str(row["day"])), datetime.min.time(), UTC)
            until = since + DAY
        else:
            since, until = (_time(row.get(name)) for name in ("since", "until"))
    except (ValueError, OverflowError) as error:
        raise refuse(str(error)) from None
    if until <= since:
        raise refuse("it ends before it begins")
    return Counted(row.get("decision_point") or row.get("point") or None, since, until, count,
                   source)  # fmt: skip


def _time(value: Any) -> datetime:
    if not value:
        raise ValueError("it has neither day nor since and until")
    time = datetime.fromisoformat(str(value))
    return time.replace(tzinfo=UTC) if time.tzinfo is None else time


def _is_exposition(text: str) -> bool:
    first = next((line for line in text.splitlines() if line.strip()), "")
    found = _SAMPLE.fullmatch(first.strip())
    return found is not None and _number(found["value"]) is not None


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


_Series = dict[tuple[str, tuple[tuple[str, str], ...]], list[tuple[int, float]]]


def _from_exposition(text: str, source: str, metric: str | None) -> Iterator[Counted]:
    series: _Series = {}
    for at, line in enumerate(text.splitlines(), 1):
        line = line.strip()
        if not line or line.startswith("#"):
            continue
        found = _SAMPLE.fullmatch(line)
        value = _number(found["value"]) if found else None
        if found is None or value is None:
            raise UsageError(f"Line {at} of {source} is no sample of a metric.", f"{line!r:.80}")
        if metric is not None and found["name"] != metric:
            continue
        time = _number(found["time"]) if found["time"] else None
        if time is None:
            raise UsageError(
                f"Line {at} of {source} has no time.",
                "A counter says nothing about a window without the times of its samples.",
                "Give samples with times, one of the beginning and one of the end, or the JSON of "
                "Prometheus' query_range.",
            )
        # Prometheus writes milliseconds, OpenMetrics seconds; nothing was counted in 1970.
        us = round(time * (1e6 if time < 1e11 else 1e3))
        key = found["name"], tuple(sorted(_labels(found["labels"] or "", source, at).items()))
        series.setdefault(key, []).append((us, value))
    yield from _rises(series, source, metric)


def _labels(text: str, source: str, at: int) -> dict[str, str]:
    labels, place = {}, 0
    while place < len(text):
        found = _LABEL.match(text, place)
        if found is None:
            raise UsageError(f"Line {at} of {source} has labels that cannot be read.", text[:80])
        labels[found[1]] = re.sub(r"\\(.)", lambda m: "\n" if m[1] == "n" else m[1], found[2])
        place = found.end()
    return labels


def _from_api(text: str, source: str, metric: str | None) -> Iterator[Counted]:
    series: _Series = {}
    try:
        answer = json.loads(text)
        for one in answer["data"]["result"]:
            labels = {str(k): str(v) for k, v in one["metric"].items()}
            name = labels.pop("__name__", "")
            if metric is not None and name != metric:
                continue
            values = [(round(float(t) * 1e6), float(v)) for t, v in one["values"]]
            series.setdefault((name, tuple(sorted(labels.items()))), []).extend(values)
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{source} is no answer of Prometheus' query_range.", str(error)
        ) from error
    yield from _rises(series, source, metric)


def _rises(series: _Series, source: str, metric: str | None) -> Iterator[Counted]:
    names = sorted({name for name, _ in series})
    if len(names) > 1:
        raise UsageError(
            f"{source} has several metrics.", f"They are {', '.join(names[:12])}.",
            "Name the one that counts decisions: --metric NAME",
        )  # fmt: skip
    if not series:
        wanted = f" called {metric!r}" if metric else ""
        raise UsageError(f"{source} has no sample of a metric{wanted}.")
    by_point: dict[str | None, list[dict[int, float]]] = {}
    for (_, labels), samples in sorted(series.items()):
        if not all(math.isfinite(value) for _, value in samples):
            raise UsageError(f"{source} has a sample that is no number.")
        named = dict(labels)
        point = next((named[label] for label in LABELS if label in named), None)
        by_point.setdefault(point, []).append(dict(samples))
    for point, counters in by_point.items():
        times = sorted({time for counter in counters for time in counter})
        if len(times) < 2:
            raise UsageError(
                f"{source} has samples of one time only.",
                "How much a counter rose takes two.",
                "Give samples of the beginning and of the end of the window.",
            )
        # A process that was started in between began at 0; one that ended counts no further.
        last = [counter.get(times[0], 0.0) for counter in counters]
        for began, ended in itertools.pairwise(times):
            total = 0.0
            for at, counter in enumerate(counters):
                now = counter.get(ended, last[at])
                total += now - last[at] if now >= last[at] else now
                last[at] = now
            yield Counted(point, from_micros(began), from_micros(ended), round(total), source)


def by_day(counts: Iterable[Counted], since: datetime, until: datetime) -> list[Counted]:
    """Those counts that lie wholly within a window, neighbours of one day as one, oldest first.

    Counters are read at other moments than decisions are made: the less often it is compared, the
    less that matters.
    """
    inside = [one for one in counts if one.since >= since and one.until <= until]
    inside.sort(key=lambda one: (one.source, one.decision_point or "", one.since))
    merged: list[Counted] = []
    for one in inside:
        last = merged[-1] if merged else None
        if (
            last is not None
            and (last.source, last.decision_point) == (one.source, one.decision_point)
            and last.until == one.since
            and last.since.date() == one.since.date()
        ):
            merged[-1] = replace(last, until=one.until, decisions=last.decisions + one.decisions)
        else:
            merged.append(one)
    return merged
