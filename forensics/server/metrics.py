"""Counts of what the server did, in Prometheus' text format 0.0.4."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"
#: Upper bounds in seconds; the last bucket has none.
BUCKETS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)


@dataclass(slots=True)
class Histogram:
    """How long requests took."""

    counts: list[int] = field(default_factory=lambda: [0] * (len(BUCKETS) + 1))
    sum_seconds: float = 0.0

    def observe(self, seconds: float) -> None:
        """Count one request."""
        self.counts[bisect_left(BUCKETS, seconds)] += 1
        self.sum_seconds += seconds


@dataclass(slots=True)
class Metrics:
    """What only the server knows; the rest is asked of its parts when somebody looks."""

    requests: Counter[tuple[str, int]] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    rejected: Counter[str] = field(default_factory=Counter)
    seconds: dict[str, Histogram] = field(default_factory=dict)

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count one answer."""
        self.requests[path, status] += 1
        self.seconds.setdefault(path, Histogram()).observe(seconds)

    def lines(self) -> Iterator[str]:
        """All of this as text."""
        yield from counter(
            "forensics_requests_total",
            "Answers by path and status.",
            [({"path": p, "status": str(s)}, n) for (p, s), n in sorted(self.requests.items())],
        )
        for name, words, counts in (
            ("taken", "Records acknowledged as durable.", self.taken),
            ("rejected", "Records refused or sent to quarantine at the door.", self.rejected),
        ):
            values = [({"path": path}, count) for path, count in sorted(counts.items())]
            yield from counter(f"forensics_records_{name}_total", words, values)
        name = "forensics_request_seconds"
        yield from _head(name, "histogram", "Time from a request's head to its answer.")
        for path, histogram in sorted(self.seconds.items()):
            total = 0
            bounds = [*map(str, BUCKETS), "+Inf"]
            for bound, count in zip(bounds, histogram.counts, strict=True):
                total += count
                yield _line(f"{name}_bucket", {"path": path, "le": bound}, total)
            yield _line(f"{name}_sum", {"path": path}, histogram.sum_seconds)
            yield _line(f"{name}_count", {"path": path}, total)


Values = Iterable[tuple[Mapping[str, str], float]]


def counter(name: str, words: str, values: Values) -> Iterator[str]:
    """Lines of a counter."""
    yield from _head(name, "counter", words)
    for labels, value in values:
        yield _line(name, labels, value)


def gauge(name: str, words: str, value: float) -> Iterator[str]:
    """Lines of a gauge without labels."""
    yield from _head(name, "gauge", words)
    yield _line(name, {}, value)


def _head(name: str, kind: str, words: str) -> Iterator[str]:
    yield f"# HELP {name} {words}"
    yield f"# TYPE {name} {kind}"


def _line(name: str, labels: Mapping[str, str], value: float) -> str:
    told = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
    shown = f"{value:.6g}" if value % 1 else f"{value:.0f}"
    return f"{name}{{{told}}} {shown}" if told else f"{name} {shown}"


def _escaped(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")
