"""The detector of failed tests of the data that fed a decision's features."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import timedelta
from typing import ClassVar

from forensics.lineage.feeding import AFTER_US, Result, failing
from forensics.lineage.provenance import Origin
from forensics.reconstruct import fed
from forensics.reconstruct.case import Case
from forensics.reconstruct.detectors.base import Detector, Said, Stretch, ago, has_features
from forensics.reconstruct.reconstruction import Finding
from forensics.records.times import to_micros

_TESTED = ""


class FailedDataTest(Detector):
    """The data that fed a feature had failed a test when it was decided on."""

    kind = "failed_data_test"
    checks = (
        "No data test of a dataset that fed a feature, or of the run that wrote it, had failed and "
        "not held since on the same data."
    )
    needs = (
        "OpenLineage events with the facet dataQualityAssertions, as dbt and Great Expectations "
        "send them, and feature sources or a declaration that name the dataset or the run."
    )
    says: ClassVar[Mapping[str, Said]] = {
        "failed": Said("warning", "data that fed its features had failed the test {0}"),
        "warned": Said("info", "data that fed its features had failed the test {0}, which warns"),
        "untested": Said(
            "not_checkable", "no test of data that fed its features, or of the runs, is in the lake"
        ),
    }

    def look(self, case: Case) -> Iterator[Finding]:
        """See :class:`Detector`."""
        if not has_features(case):
            return
        broken: dict[Result, list[tuple[str, Origin]]] = {}
        told = False
        for name, origin in case.origins.items():
            if case.decision.features.get(name) is not None:
                results = _results(case, origin)
                told = told or bool(results)
                for result in failing(results):
                    broken.setdefault(result, []).append((name, origin))
        by_test: dict[str, list[Result]] = {}
        for result in broken:
            by_test.setdefault(_about(result), []).append(result)
        for about, results in by_test.items():
            yield self._finding(case, about, {one: broken[one] for one in results})
        if not told:
            yield self.unknown("untested")

    def _finding(
        self, case: Case, about: str, broken: Mapping[Result, list[tuple[str, Origin]]]
    ) -> Finding:
        last = max(broken, key=lambda one: one.us)
        fed_by = [item for items in broken.values() for item in items]
        names = [name for name, _ in fed_by]
        hit = [name for name, origin in fed_by if last.column in (name, origin.column)] or names
        before = (to_micros(case.decision.occurred_at) - last.us) / 1e6
        writers = sorted({o.run.run_id for _, o in fed_by if o.run is not None})
        wrote = f", written by run {writers[0][:8]}" if len(writers) == 1 else ""
        return self.found(
            about,
            f"test {last.called} had failed {ago(timedelta(seconds=before))} earlier in run "
            f"{last.run_id[:8]} of {last.job.rpartition('/')[2]}; {_some(hit)} "
            f"{'comes' if len(hit) == 1 else 'come'} from there{wrote}",
            {
                "test": last.test,
                "dataset": last.dataset,
                "column": last.column,
                "severity": last.severity,
                "run_id": last.run_id,
                "job": last.job,
                "features": names,
                "written_by": writers,
            },
        )

    def rows(self, stretch: Stretch) -> Iterator[str]:
        """See :class:`Detector`."""
        if not stretch.features:
            return
        feeding = stretch.feeding

        def told(place: fed.Place) -> Iterator[tuple[str, int, int]]:
            for phase in feeding.phases(*place):
                results = feeding.told(phase, place.dataset)
                for about, first, end in [*_failures(results), *_tested(results)]:
                    yield about, max(first, phase.first_us), min(end, phase.end_us)

        spans = fed.spans(stretch, told) if feeding.results else []
        broken = [span for span in spans if span.about != _TESTED]
        query = fed.of_decisions(stretch, "broken", broken)
        if query is not None:
            yield query
        tested = [span for span in spans if span.about == _TESTED]
        yield fed.without(stretch, "tested", tested, "untested", "false")


def _results(case: Case, origin: Origin) -> list[Result]:
    """What tests said of the data that an origin is: of its dataset, and by its run itself."""
    dataset = origin.dataset or ""
    found = [
        Result(
            dataset, test.name or test.assertion, test.column, test.success, test.severity,
            f"{test.job_namespace}/{test.job_name}", test.run_id, to_micros(test.at),
        )
        for test in origin.tests
    ]  # fmt: skip
    run = origin.run
    if run is None:
        return found
    ended = run.ended_at or run.started_at or run.first_at
    if origin.evidence == "recorded" and case.around is not None and found:
        until = case.around.rewritten_us(dataset, to_micros(ended))
        found = [result for result in found if result.us < until]
    if origin.doubt:
        return found
    said = {result.key: result for result in found}
    for each in (*run.inputs, *run.outputs):
        for test in each.assertions:
            own = Result(
                each.text, test.name or test.assertion, test.column, test.success, test.severity,
                run.job, run.run_id, to_micros(ended),
            )  # fmt: skip
            if own.key not in said:
                found.append(own)
    return found


def _failures(results: list[Result]) -> Iterator[tuple[str, int, int]]:
    """Of each test from when to before when its last result is a failure."""
    by_key: dict[tuple[str, str, str | None], list[Result]] = {}
    for result in sorted(results, key=lambda one: (one.us, not one.success)):
        by_key.setdefault(result.key, []).append(result)
    for told in by_key.values():
        for at, result in enumerate(told):
            # Told at a time, it is known right after.
            end = told[at + 1].us + 1 if at + 1 < len(told) else AFTER_US
            if not result.success:
                yield _about(result), result.us + 1, end


def _tested(results: list[Result]) -> Iterator[tuple[str, int, int]]:
    """From when on there is any result."""
    if results:
        yield _TESTED, min(result.us for result in results) + 1, AFTER_US


def _about(result: Result) -> str:
    warns = (result.severity or "").casefold() == "warn"
    return f"{'warned' if warns else 'failed'}:{result.called}"


def _some(names: list[str]) -> str:
    more = len(names) - 3
    return ", ".join(names[:3]) + (f" and {more} more" if more > 0 else "")
