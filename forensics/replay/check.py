"""Whether decisions of a model can be replayed here, and whether it answers what is expected.

A model is loaded and run just as for a decision: what would stop a decision's replay is a reason.
"""

from __future__ import annotations

from array import array
from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from forensics.errors import DependencyError, ReplayError, UsageError
from forensics.lake.artifacts import digest_of
from forensics.replay.check_compare import TOLERANCE, Comparison, compare
from forensics.replay.check_rows import (
    MISSING,
    by_position,
    encode,
    feature_names,
    read_csv,
    read_rows,
)
from forensics.replay.client import ModelDescription, ModelWorker

#: Rows that the model is given at once.
_BATCH_ROWS = 20_000


@dataclass(frozen=True, slots=True)
class Check:
    """What is known of a model file after it was tried.

    ``reasons`` say why decisions of it cannot be replayed here; there are none when they can.
    ``notes`` are what else there is to know. ``rows`` is None where none were given.
    """

    file: str
    digest: str
    description: ModelDescription | None
    reasons: tuple[str, ...]
    notes: tuple[str, ...] = ()
    rows: int | None = None
    tolerance: float | None = None
    comparisons: tuple[Comparison, ...] = ()

    @property
    def replayable(self) -> bool:
        """Whether decisions of this model can be replayed here."""
        return not self.reasons

    def to_dict(self) -> dict[str, Any]:
        """All of it as plain mappings, the description's fields beside the others."""
        found: dict[str, Any] = {"file": self.file, "digest": self.digest}
        if self.description is not None:
            found |= described(self.description)
        return found | {
            "replayable": self.replayable,
            "reasons": list(self.reasons),
            "notes": list(self.notes),
            "rows": self.rows,
            "tolerance": self.tolerance,
            "comparisons": [asdict(comparison) for comparison in self.comparisons],
        }


def described(description: ModelDescription) -> dict[str, Any]:
    """What a person wants to know of a model, as plain values."""
    names = feature_names(description)
    return {
        "runtime": description.runtime,
        "file_version": description.file_version,
        "objective": description.objective,
        "features": list(description.features),
        "width": description.width,
        "texts": [names[at] for at in description.texts],
        "outputs": description.outputs,
        "classes": list(description.classes),
        "rounds": description.rounds,
        "kinds": list(description.kinds),
    }


def check_model(
    model: Path,
    *,
    rows: Path | None = None,
    expect: Path | None = None,
    tolerance: float | None = None,
    trees: int = 0,
    missing: Collection[str] = MISSING,
    packages: Path | None = None,
) -> Check:
    """Loads ``model``, runs it on ``rows`` and compares the answers with ``expect``.

    Args:
        model: a model file.
        rows: a CSV file with a column for each feature, or a folder of a test of ONNX.
        expect: a CSV file with what the model should answer to each row: ``probability(LABEL)`` by
            class, ``output(N)`` by position from 0, or one column of values.
        tolerance: see :data:`TOLERANCE`, which holds where it is None.
        trees: boosting rounds to use; all where 0.
        missing: texts of the CSV files that stand for a missing value.
        packages: a folder with the model's library: see :mod:`forensics.replay.environments`.

    Raises:
        UsageError: when a file cannot be read, or does not fit the others.
    """
    if expect is not None and rows is None:
        raise UsageError("Expected values need rows.", "", "Give --rows too.")
    digest = digest_of(_bytes(model))
    description: ModelDescription | None = None
    try:
        with ModelWorker(model, packages=packages) as worker:
            description = worker.describe()
            reasons, notes = suitable(description)
            tried = Check(model.name, digest, description, reasons, notes)
            if rows is None:
                return tried
            given, expected = read_rows(rows, description)
            if expect is not None:
                expected = read_csv(expect)
            if expected is not None and expected.rows != given.rows:
                raise UsageError(
                    f"{(expect or rows).name} has {expected.rows:,} rows, {rows.name} has"
                    f" {given.rows:,}.",
                    "Each row needs one expected answer.",
                )
            if by_position(given, description):
                notes = (*notes, "columns were taken as features in their order")
            matrix, texts, unfit = encode(given, description, missing)
            if unfit:
                return replace(tried, reasons=(*reasons, *unfit), notes=notes, rows=given.rows)
            answers = _answers(worker, matrix, given.rows, texts, trees)
    except (ReplayError, DependencyError) as error:
        return Check(model.name, digest, description, (str(error),))
    tried = replace(tried, notes=notes, rows=given.rows)
    if expected is None:
        return tried
    if tolerance is None:
        tolerance = TOLERANCE[description.score_dtype]
    comparisons, passed_over = compare(expected, answers, description, tolerance)
    if passed_over:
        notes = (*notes, f"not compared: {', '.join(passed_over)}")
    differing = [found.column for found in comparisons if not found.within]
    if differing:
        reasons = (*reasons, f"it does not answer what is expected: {', '.join(differing)}")
    return replace(
        tried, reasons=reasons, notes=notes, tolerance=tolerance, comparisons=comparisons
    )


def suitable(description: ModelDescription) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Why decisions of such a model cannot be replayed, and what they must record to be."""
    reasons = () if "value" in description.kinds else ("it gives no value",)
    notes = []
    if not description.features:
        last = description.width - 1
        notes.append(f"the file names no features: decisions record them as f0 to f{last}")
    if description.outputs > 2:
        known = ", ".join(description.classes) or f"0 to {description.outputs - 1}"
        notes.append(f"the decision logic must say which output it takes: {known}")
    return reasons, tuple(notes)


def _answers(
    worker: ModelWorker,
    matrix: array[float],
    rows: int,
    texts: Mapping[int, Sequence[str]],
    trees: int,
) -> list[array[float]]:
    """The model's answers, one array for each of its outputs."""
    description = worker.describe()
    width, outputs = description.width, description.outputs
    found: list[array[float]] = [array(description.score_dtype) for _ in range(outputs)]
    # As a decision is replayed, before many are: what cannot run alone must not seem to run.
    if rows:
        worker.predict(matrix[:width], 1, trees=trees, texts=texts)
    for start in range(0, rows, _BATCH_ROWS):
        end = min(start + _BATCH_ROWS, rows)
        part = matrix[start * width : end * width]
        (values,) = worker.predict(part, end - start, trees=trees, texts=texts)
        for at in range(outputs):
            found[at].extend(values[at::outputs])
    return found


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UsageError(f"{path} cannot be read.", f"{error.strerror}.") from error
