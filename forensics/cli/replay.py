"""``forensics replay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import json_option, lake_option, lake_path, window_options
from forensics.errors import UsageError

if TYPE_CHECKING:
    from forensics.api import Lake

#: Options that concern a window alone, and those that concern one decision, as click knows them.
_OF_MANY = ("since", "until", "where", "limit", "workers", "export")
_OF_ONE = ("exact_runtime",)


@click.command("replay")
@click.argument("request_id", required=False)
@window_options
@click.option("--workers", type=click.IntRange(1, 64), help="Threads; by default one per core.")
@click.option(
    "--export",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="List the decisions that are not bit-exact in FILE.csv or FILE.parquet.",
)
@click.option(
    "--exact-runtime",
    is_flag=True,
    help="Run models with the library versions that were recorded, installed apart.",
)
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    request_id: str | None,
    decision_point: str | None,
    lake: Path | None,
    as_json: bool,
    exact_runtime: bool,
    **options: Any,
) -> None:
    """Run recorded decisions again: do the artifacts give what was recorded?

    REQUEST_ID is a request id or a decision id. With --decision-point all decisions of a window are
    replayed; the answer counts verdicts, and says of those that diverged where they first do and
    what they have in common.

    Exit status 0 when all are bit-exact or within one unit in the last place of the score, 4 when
    any is not, 3 when there is none, 5 when a data file or a record is not what was written.
    """
    from forensics.api import open_lake

    _check(ctx, request_id, decision_point)
    with open_lake(lake_path(lake)) as opened:
        if request_id is not None:
            status = _one(opened, request_id, exact_runtime, as_json)
        else:
            assert decision_point is not None
            status = _many(opened, decision_point, as_json, **options)
    ctx.exit(status)


def _check(ctx: click.Context, request_id: str | None, decision_point: str | None) -> None:
    """Refuse options that would be without effect."""
    if (request_id is None) == (decision_point is None):
        raise UsageError(
            "Name one decision, or a decision point.", "",
            "forensics replay REQUEST_ID, or forensics replay --decision-point NAME --since T",
        )  # fmt: skip
    refuse_unused(ctx, _OF_MANY if request_id is not None else _OF_ONE, request_id is not None)


def refuse_unused(ctx: click.Context, names: tuple[str, ...], is_one: bool) -> None:
    """Refuse options, as click knows them, that do not concern what was asked for.

    Raises:
        UsageError: when one of ``names`` was given.
    """
    for name in names:
        if ctx.get_parameter_source(name) is not click.core.ParameterSource.DEFAULT:
            what = "a window: --decision-point NAME" if is_one else "one decision"
            raise UsageError(f"--{name.replace('_', '-')} is for {what}.")


def _one(lake: Lake, request_id: str, exact_runtime: bool, as_json: bool) -> ExitCode:
    found = lake.trace(request_id, counterfactuals=0, exact_runtime=exact_runtime)
    status = ExitCode.ANSWERED
    for number, reconstruction in enumerate(found):
        whole = reconstruction.to_dict()
        if as_json:
            answer = {name: whole[name] for name in ("request_id", "decision", "replay")}
            (output.value if len(found) == 1 else output.record)(answer)
        else:
            from forensics.report.bulk import single

            if number:
                output.text()
            output.lines(single(reconstruction, output.width()))
        replay = reconstruction.replay
        if reconstruction.integrity.verified is False:
            status = ExitCode.INTEGRITY
        elif replay is None or replay.verdict not in ("bit_exact", "within_ulp"):
            status = max(status, ExitCode.INCOMPLETE)
    return status


def _many(
    lake: Lake, decision_point: str, as_json: bool, *, export: Path | None, **window: Any
) -> ExitCode:
    from forensics.report.bulk import screen

    with diagnostics.Progress(f"replay {decision_point}") as progress:

        def tell(done: int, total: int) -> None:
            progress.update(done, f"{done / total:.0%} of {total:,} decisions")

        found = lake.replay(decision_point, export=export, progress=tell, **window)
    if export is not None:
        rest = found.count - found.verdicts["bit_exact"]
        diagnostics.note(f"{rest:,} decisions in {export}")
    if as_json:
        output.value(found.to_dict())
    else:
        output.lines(screen(found, output.width()))
    return ExitCode.ANSWERED if found.is_exact else ExitCode.INCOMPLETE
