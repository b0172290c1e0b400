"""``forensics model``: artifacts in the lake, and whether decisions with them can be replayed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import json_option, lake_option, lake_path
from forensics.records.plural import count_of

if TYPE_CHECKING:
    from forensics.replay.artifact_kinds import Artifact
    from forensics.replay.check import Check
    from forensics.replay.check_compare import Comparison
    from forensics.replay.client import ModelDescription
    from forensics.report.spans import Line

_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_FEATURES_SHOWN = 12


@click.group("model")
def command() -> None:
    """Keep model files and decision logic in the lake, and tell whether they can be replayed."""


@command.command("add")
@click.argument("file", type=_FILE)
@lake_option
@json_option
@click.pass_context
def add(ctx: click.Context, file: Path, lake: Path | None, as_json: bool) -> None:
    """Keep FILE in the lake and print its digest, which decisions record.

    FILE is a model (XGBoost, LightGBM, CatBoost, ONNX, scikit-learn by skops, linear), a rule set
    or decision logic, a ZEN or CEL rule file, or a configuration. It is loaded, or its expressions
    are checked, before it is kept. A pickle, what is of no known format, and rules that are not
    whole or not harmless are refused: exit status 1, and nothing is kept. Exit status 4 when it was
    kept and decisions with it cannot be replayed here.
    """
    from forensics.api import open_lake
    from forensics.replay.artifact_kinds import identify

    artifacts = open_lake(lake_path(lake)).artifacts
    data = file.read_bytes()
    artifact = identify(file, data)
    digest = artifacts.put(data)
    absent = [need for need in artifact.needs if not artifacts.has(need)]
    reasons = (*artifact.reasons, *(f"artifact {need} is not in the lake" for need in absent))
    if as_json:
        found = {"file": file.name, "digest": digest, **artifact.to_dict()}
        if artifact.description is not None:
            from forensics.replay.check import described

            found |= described(artifact.description)
        output.value({**found, "replayable": not reasons, "reasons": list(reasons)})
    else:
        output.lines(_fitting(_added(file.name, digest, artifact, reasons)))
    ctx.exit(ExitCode.INCOMPLETE if reasons else ExitCode.ANSWERED)


@command.command("check")
@click.argument("file", type=_FILE)
@click.option(
    "--rows",
    type=click.Path(exists=True, path_type=Path),
    metavar="ROWS",
    help="Run it on these rows: a CSV file with a column for each feature, or a folder with a test"
    " of ONNX (input_0.pb, output_0.pb).",
)
@click.option(
    "--expect",
    type=_FILE,
    metavar="CSV",
    help="Compare the answers with these: columns probability(LABEL), output(N), or one of values.",
)
@click.option(
    "--tolerance",
    type=click.FloatRange(min=0),
    metavar="X",
    help="Largest difference that is none, relative to the expected value, absolute where that is"
    " below 1; else 1e-6 for answers in float32, 1e-12 in float64.",
)
@click.option("--trees", type=click.IntRange(min=1), metavar="N", help="Use the first N rounds.")
@click.option(
    "--missing",
    multiple=True,
    metavar="TEXT",
    help="A text that stands for a missing value, instead of: nothing, N/A, NA, NaN, nan, null.",
)
@json_option
@click.pass_context
def check(
    ctx: click.Context,
    file: Path,
    rows: Path | None,
    expect: Path | None,
    tolerance: float | None,
    trees: int | None,
    missing: tuple[str, ...],
    as_json: bool,
) -> None:
    """Tell before a deploy whether decisions of the model in FILE will be replayable here.

    The model is loaded as a replay loads it. With --rows it is run, with --expect its answers are
    compared and the largest difference is told. Exit status 4, with the reason, when it is refused,
    cannot take the rows, or answers something else.
    """
    from forensics.replay.check import check_model
    from forensics.replay.check_rows import MISSING

    found = check_model(
        file,
        rows=rows,
        expect=expect,
        tolerance=tolerance,
        trees=trees or 0,
        missing=missing or MISSING,
    )
    if as_json:
        output.value(found.to_dict())
    else:
        output.lines(_fitting(_checked(found)))
    ctx.exit(ExitCode.ANSWERED if found.replayable else ExitCode.INCOMPLETE)


def _fitting(lines: Iterable[Line]) -> Iterator[Line]:
    """Lines whose last words go on below where they are wider than a person's screen."""
    from forensics.report.spans import Span, plain, wrapped

    width = output.table_width()
    for line in lines:
        if len(plain(line)) <= width:
            yield line
            continue
        *lead, last = line
        first, *rest = wrapped(last.text, max(width - max(len(plain(lead)), 4), 20))
        yield [*lead, Span(first, last.style)]
        for words in rest:
            yield [Span(f"    {words}", last.style)]


def _added(name: str, digest: str, artifact: Artifact, reasons: tuple[str, ...]) -> Iterator[Line]:
    from forensics.report.spans import span

    yield [span(digest, "bold"), span(f"  {name}")]
    yield [span(artifact.summary)]
    if artifact.description is not None:
        yield from _described(artifact.description)
    if artifact.uses:
        yield [span("uses  ", "dim"), span(", ".join(artifact.uses))]
    yield from _verdict("with it", reasons)


def _checked(found: Check) -> Iterator[Line]:
    from forensics.report.spans import span

    yield [span(found.file, "bold"), span(f"  {found.digest}", "dim")]
    if found.description is not None:
        yield from _described(found.description)
    if found.rows is not None:
        ran = found.replayable or bool(found.comparisons)
        yield [span(count_of(found.rows, "row") + (" run" if ran else ""))]
    for comparison in found.comparisons:
        yield from _compared(comparison)
    if found.tolerance is not None:
        yield [span(f"tolerance {found.tolerance:g}", "dim")]
    for note in found.notes:
        yield [span(f"· {note}", "dim")]
    yield from _verdict("of this model", found.reasons)


def _described(description: ModelDescription) -> Iterator[Line]:
    from forensics.report.spans import span

    written = description.file_version or "a version it does not name"
    yield [span(f"run by {description.runtime}, written by {written}")]
    parts = [count_of(description.width, "feature")]
    if description.objective:
        parts.insert(0, description.objective)
    if description.rounds:
        parts.append(count_of(description.rounds, "round"))
    if description.outputs > 1:
        parts.append(f"{description.outputs} outputs")
    if description.classes:
        parts.append(f"classes {', '.join(description.classes)}")
    parts.append(f"answers {', '.join(description.kinds)}")
    yield [span(" · ".join(parts))]
    names = [
        f"{name} (text)" if at in description.texts else name
        for at, name in enumerate(description.features)
    ]
    if names:
        more = len(names) - _FEATURES_SHOWN
        shown = ", ".join(names[:_FEATURES_SHOWN]) + (f" and {more:,} more" if more > 0 else "")
        yield [span("features  ", "dim"), span(shown)]


def _compared(comparison: Comparison) -> Iterator[Line]:
    from forensics.report.spans import span

    mark = span("✓ ", "good") if comparison.within else span("✗ ", "bad")
    count = f"{comparison.bit_equal:,} of {comparison.count:,} are equal"
    yield [mark, span(f"{comparison.column}: {count}")]
    if comparison.worst_row is None:
        return
    said = f"expected {comparison.expected!r}, answered {comparison.answered!r}"
    if comparison.largest_absolute is not None:
        said = (
            f"largest difference {comparison.largest_absolute:.3g}, relative"
            f" {comparison.largest_relative:.3g}, {comparison.largest_ulps:,} units in the last"
            f" place; row {comparison.worst_row:,}: {said}"
        )
    else:
        said = f"row {comparison.worst_row:,}: {said}"
    yield [span(f"    {said}")]


def _verdict(of: str, reasons: tuple[str, ...]) -> Iterator[Line]:
    from forensics.report.spans import span

    if not reasons:
        yield [span("✓ ", "good"), span(f"Decisions {of} can be replayed here.")]
    for reason in reasons:
        yield [span("✗ ", "bad"), span(f"Decisions {of} cannot be replayed here: {reason}")]
