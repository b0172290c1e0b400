"""``forensics replay``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.one_or_window import refuse_unused, require_one
from forensics.cli.options import (
    json_option,
    lake_option,
    lake_path,
    window_options,
    workers_option,
)
from forensics.records.plural import count_of

if TYPE_CHECKING:
    from forensics.api import Lake

#: Options that concern a window alone, and those that concern one decision, as click knows them.
_OF_MANY = ("since", "until", "where", "limit", "workers", "export")
_OF_ONE = ("exact_runtime",)
_EXAMPLE = "forensics replay REQUEST_ID, or forensics replay --decision-point NAME --since T"


@click.command("replay")
@click.argument("request_id", required=False)
@window_options
@workers_option
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

    require_one(request_id, decision_point, _EXAMPLE)
    is_one = request_id is not None
    refuse_unused(ctx, _OF_MANY if is_one else _OF_ONE, is_one=is_one)
    with open_lake(lake_path(lake)) as opened:
        if request_id is not None:
            status = _one(opened, request_id, exact_runtime, as_json)
        else:
            assert decision_point is not None
            status = _many(opened, decision_point, as_json, **options)
    ctx.exit(status)


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
        found = lake.replay(decision_point, export=export, progress=progress.share, **window)
    if export is not None:
        rest = found.count - found.verdicts["bit_exact"]
        diagnostics.note(f"{count_of(rest, 'decision')} in {export}")
    if as_json:
        output.value(found.to_dict())
    else:
        output.lines(screen(found, output.width()))
    return ExitCode.ANSWERED if found.is_exact else ExitCode.INCOMPLETE
