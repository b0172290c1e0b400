"""What the attributions of a window say together: size by feature, and who is a reason how often.

A decision's reasons are found as for one decision (:mod:`forensics.explain.reasons`): contributions
less the mean of a reference population, counted towards the side of its outcome. Reference of the
adverse outcomes are the decisions that were not adverse, and the other way round; where nothing is
named adverse, the reference of each outcome are all decisions with another one.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from forensics.errors import UsageError
from forensics.explain.reasons import MOST
from forensics.explain.reference import Reference
from forensics.explain.stored import ModelWindow, Window
from forensics.explain.window import Scoring
from forensics.lake.derived import Piece
from forensics.lake.snapshot import Snapshot
from forensics.records.times import from_micros
from forensics.replay.evidence import Artifacts

#: Of so many decisions at most the medians are taken.
_MEDIAN_ROWS_MAX = 200_000

Vector = NDArray[np.float64]


class FeatureSummary(NamedTuple):
    """One feature over many decisions, in the unit of the contributions.

    ``among_reasons`` is the share of decisions in which it is among the first four reasons for the
    outcome; None where there is nothing to compare with.
    """

    feature: str
    mean_absolute: float
    mean: float
    among_reasons: float | None


class OutcomeSummary(NamedTuple):
    """The decisions of one outcome. ``higher`` is whether it lies on the upper side of the score.

    ``reference_decisions`` are those whose mean contributions its reasons are relative to.
    """

    outcome: str
    decisions: int
    adverse: bool | None
    higher: bool | None
    reference_decisions: int
    features: tuple[FeatureSummary, ...]


@dataclass(frozen=True, slots=True)
class ModelSummary:
    """All decisions that one model scored; ``features`` are largest first.

    Their ``among_reasons`` counts the adverse decisions only. ``confirmed`` decisions are those
    whose recorded score is what the model gives; None where later steps make the score.
    """

    model_digest: str
    method: str
    unit: str
    output: str | None
    runtime: str
    decisions: int
    confirmed: int | None
    base_value: float
    additivity_error: float
    features: tuple[FeatureSummary, ...]
    outcomes: tuple[OutcomeSummary, ...]

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        found = {name: getattr(self, name) for name in ModelSummary.__slots__}
        found["features"] = [feature._asdict() for feature in self.features]
        found["outcomes"] = [
            {**each._asdict(), "features": [feature._asdict() for feature in each.features]}
            for each in self.outcomes
        ]
        return found | {"evidence": "recomputed"}


class Population(NamedTuple):
    """Some decisions' count, sum of contributions, and sum of margins."""

    decisions: int
    total: Vector
    margins: float

    @property
    def mean(self) -> Vector:
        """Mean contributions; zeros where there are no decisions."""
        return self.total / max(self.decisions, 1)

    @property
    def mean_margin(self) -> float:
        """Mean margin."""
        return self.margins / max(self.decisions, 1)


class Sums:
    """What one pass over a model's attributions adds up."""

    def __init__(self, model: ModelWindow) -> None:
        width = len(model.scorer.names)
        self.outcomes: dict[str, Population] = {}
        self.absolute: dict[str, Vector] = {}
        self.confirmed = 0
        self.base = 0.0
        self.error = 0.0
        self._none = Population(0, np.zeros(width), 0.0)
        for piece in model.pieces():
            self._add(piece)

    def of(self, outcomes: Collection[str]) -> Population:
        """The decisions with one of ``outcomes``, together."""
        some = [self.outcomes[name] for name in outcomes if name in self.outcomes]
        return Population(
            sum(each.decisions for each in some),
            sum((each.total for each in some), self._none.total),
            sum(each.margins for each in some),
        )

    def _add(self, piece: Piece) -> None:
        values = piece.values.astype("f8")
        apart = np.abs(piece.base + values.sum(axis=1) - piece.margins)
        self.error = max(self.error, float(apart.max(initial=0.0)))
        self.confirmed += int(piece.confirmed.sum())
        self.base += float(piece.base.sum())
        for outcome, rows in by_outcome(piece):
            some = values[rows]
            before = self.outcomes.get(outcome, self._none)
            self.outcomes[outcome] = Population(
                before.decisions + len(rows),
                before.total + some.sum(axis=0),
                before.margins + float(piece.margins[rows].sum()),
            )
            absolute = self.absolute.get(outcome, self._none.total)
            self.absolute[outcome] = absolute + np.abs(some).sum(axis=0)


def summary(model: ModelWindow, adverse: Collection[str] = ()) -> ModelSummary:
    """What the attributions of one model's decisions say together.

    Args:
        model: the decisions.
        adverse: outcomes for which reasons are given; none is taken for adverse where empty.

    Raises:
        IntegrityError: when stored attributions are not what was written.
    """
    sums = Sums(model)
    names = sorted(sums.outcomes)
    among = {name: np.zeros(len(model.scorer.names)) for name in names}
    sides = {name: _side(sums, name, adverse) for name in names}
    for piece in model.pieces():
        for outcome, rows in by_outcome(piece):
            higher, reference = sides[outcome]
            if higher is not None:
                apart = piece.values[rows].astype("f8") - reference.mean
                among[outcome] += _among(apart if higher else -apart)
    whole = sums.of(names)
    bad = [name for name in names if name in adverse]
    counted = sums.of(bad).decisions
    shares = sum((among[name] for name in bad), np.zeros(len(model.scorer.names)))
    return ModelSummary(
        model.scorer.digest,
        model.scorer.method,
        model.scorer.unit,
        model.scorer.output,
        model.scorer.runtime,
        whole.decisions,
        sums.confirmed if model.scorer.is_score else None,
        sums.base / max(whole.decisions, 1),
        sums.error,
        _features(
            model,
            sum((sums.absolute[name] for name in names), np.zeros(len(model.scorer.names))),
            whole,
            shares / counted if counted else None,
        ),
        tuple(
            OutcomeSummary(
                name,
                sums.outcomes[name].decisions,
                name in adverse if adverse else None,
                sides[name][0],
                sides[name][1].decisions,
                _features(
                    model,
                    sums.absolute[name],
                    sums.outcomes[name],
                    None if sides[name][0] is None else among[name] / sums.outcomes[name].decisions,
                ),
            )
            for name in names
        ),
    )


def reference_of(
    window: Window,
    model: ModelWindow,
    adverse: Collection[str],
    snapshot: Snapshot,
    artifacts: Artifacts,
) -> Reference:
    """The decisions of a window that were not adverse, as a reference population of reasons.

    Medians are those of at most 200,000 of them, evenly spread.

    Args:
        window: the decisions.
        model: the one of its models whose decisions are meant.
        adverse: the adverse outcomes.
        snapshot: the lake.
        artifacts: its models.

    Raises:
        UsageError: when no outcome is named adverse, or all decisions or none are.
    """
    sums = Sums(model)
    higher, others = adverse_side(sums, adverse)
    if higher is None:
        raise UsageError(
            "The reference population are the decisions that were not adverse; there are none.",
            f"Outcomes are: {', '.join(sorted(sums.outcomes)) or 'none'}.",
            "Name the adverse ones: --adverse OUTCOME",
        )
    scorer = model.scorer
    kept = sorted(name for name in sums.outcomes if name not in adverse)
    since, until = (f"{from_micros(us):%Y-%m-%d %H:%M:%S}" for us in window.span)
    return Reference(
        f"{others.decisions:,} decisions of {window.point} with outcome {' or '.join(kept)} from"
        f" {since} to {until} UTC",
        dict(zip(scorer.names, others.mean.tolist(), strict=True)),
        _medians(window, model, kept, others.decisions, snapshot, artifacts),
        others.decisions,
        None,
        window.point,
        scorer.digest,
        scorer.method,
        scorer.unit,
        scorer.output,
        higher,
    )


def adverse_side(sums: Sums, adverse: Collection[str]) -> tuple[bool | None, Population]:
    """Whether adverse decisions are on the upper side of the score, and all the other decisions.

    The side is that of the mean margins; None where one of the two populations is empty.
    """
    others = sums.of([name for name in sums.outcomes if name not in adverse])
    bad = sums.of(adverse)
    if not others.decisions or not bad.decisions or bad.mean_margin == others.mean_margin:
        return None, others
    return bad.mean_margin > others.mean_margin, others


def by_outcome(piece: Piece) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Rows of a piece by their outcome."""
    for code in np.unique(piece.outcomes.codes).tolist():
        if code >= 0:
            yield piece.outcomes.values[code], np.flatnonzero(piece.outcomes.codes == code)


def _medians(
    window: Window,
    model: ModelWindow,
    outcomes: Collection[str],
    count: int,
    snapshot: Snapshot,
    artifacts: Artifacts,
) -> dict[str, float]:
    """The median of each numeric input over the decisions with ``outcomes``."""
    every = max(1, -(-count // _MEDIAN_ROWS_MAX))
    parts: list[NDArray[Any]] = []
    seen = 0
    with Scoring(snapshot, artifacts, window.point) as scoring:
        for part in model.parts:
            path = window.path_of(part.key["data_file"])
            for matrix, said in scoring.inputs(path, window.span, model.scorer):
                codes = [code for code, text in enumerate(said.values) if text in outcomes]
                rows = np.flatnonzero(np.isin(said.codes, codes))
                parts.append(matrix[rows[(-seen) % every :: every]])
                seen += len(rows)
    whole = np.concatenate(parts)
    known = ~np.isnan(whole).all(axis=0)
    return {
        name: float(np.nanmedian(whole[:, at]))
        for at, name in enumerate(model.scorer.names)
        if known[at]
    }


def _side(sums: Sums, outcome: str, adverse: Collection[str]) -> tuple[bool | None, Population]:
    """On which side of the score an outcome lies, and the population that it is compared with."""
    if not adverse:
        return adverse_side(sums, [outcome])
    higher, others = adverse_side(sums, adverse)
    if outcome in adverse:
        return higher, others
    return None if higher is None else not higher, sums.of(adverse)


def _among(points: Vector) -> Vector:
    """In how many rows each column has one of the four largest positive values.

    Of equal values the leftmost count, so that no row counts more than four.
    """
    found = np.zeros(points.shape[1])
    left, rows = points.copy(), np.arange(len(points))
    # Sorting every row would take five times as long as looking for so few.
    for _ in range(min(MOST, points.shape[1])):
        largest = left.argmax(axis=1)
        there = left[rows, largest] > 0
        found += np.bincount(largest[there], minlength=len(found))
        left[rows, largest] = -np.inf
    return found


def _features(
    model: ModelWindow, absolute: Vector, population: Population, shares: Vector | None
) -> tuple[FeatureSummary, ...]:
    count = max(population.decisions, 1)
    found = [
        FeatureSummary(
            name,
            float(absolute[at]) / count,
            float(population.total[at]) / count,
            None if shares is None else float(shares[at]),
        )
        for at, name in enumerate(model.scorer.names)
    ]
    return tuple(sorted(found, key=lambda each: (-each.mean_absolute, each.feature)))
