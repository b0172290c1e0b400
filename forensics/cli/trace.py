"""``forensics trace``."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import counterfactuals_option, json_option, lake_option, lake_path

if TYPE_CHECKING:
    from forensics.reconstruct.reconstruction import Reconstruction


@click.command("trace")
@click.argument("request_id")
@click.option("--no-replay", is_flag=True, help="Only what was recorded: run no artifact.")
@click.option("--features", is_flag=True, help="Every feature with its age and source.")
@counterfactuals_option
@click.option(
    "--exact-runtime",
    is_flag=True,
    help="Run models with the recorded versions of their libraries; installs them when new.",
)
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    request_id: str,
    no_replay: bool,
    features: bool,
    counterfactuals: int,
    exact_runtime: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Reconstruct a decision: what was decided, by what, from what, why, and what would change it.

    REQUEST_ID is a request id or a decision id. A request with several decisions shows all; with
    --json they stand on one line each. Exit status 4 when evidence is incomplete or replay does not
    give the recorded answer, 5 when the record is not what was sealed.
    """
    from forensics.api import open_lake

    found = open_lake(lake_path(lake)).trace(
        request_id,
        replay=not no_replay,
        counterfactuals=counterfactuals,
        exact_runtime=exact_runtime,
    )
    for number, reconstruction in enumerate(found):
        if as_json:
            if len(found) == 1:
                output.value(reconstruction.to_dict())
            else:
                output.record(reconstruction.to_dict())
            continue
        from forensics.report import text

        if number:
            output.text()
            output.text("─" * min(output.width(), 100))
        output.lines(text.screen(reconstruction, output.width()))
        if features:
            output.text()
            output.lines(text.features(reconstruction, output.table_width()))
    if len(found) > 1 and not as_json:
        diagnostics.note(f"{len(found)} decisions bear this id; all are shown.")
    ctx.exit(max(map(_status, found)))


def _status(reconstruction: Reconstruction) -> ExitCode:
    altered = any(finding.kind == "altered_artifact" for finding in reconstruction.findings)
    if altered or reconstruction.integrity.verified is False:
        return ExitCode.INTEGRITY
    replay = reconstruction.replay
    agrees = replay is None or replay.verdict in ("bit_exact", "within_ulp")
    if not agrees or reconstruction.completeness.class_ == "none":
        return ExitCode.INCOMPLETE
    return ExitCode.ANSWERED
