"""``forensics check``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import json_option, lake_option, lake_path, point_option, times_options

_EXAMPLES = 3


@click.command("check")
@point_option
@times_options
@click.option(
    "--kind", "kinds", multiple=True, metavar="NAME", help="Only this detector; may be repeated."
)
@click.option(
    "--limit",
    type=click.IntRange(min=0, max=1000),
    default=_EXAMPLES,
    show_default=True,
    help="Name at most N decisions as examples of each thing that is found.",
)
@click.option("--replay", is_flag=True, help="Run the decisions again too: takes longer.")
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    decision_point: str | None,
    since: datetime | None,
    until: datetime | None,
    kinds: tuple[str, ...],
    limit: int,
    replay: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Check all decisions of a window: what is wrong, how often, and since when.

    Every detector judges every decision by its columns, without tracing them one by one; what is
    found is counted, with examples to trace. What nobody can tell for want of evidence is counted
    too, with the reason.

    Exit status 0 when all could be checked and nothing of warning severity or above was found, 4
    when not, 3 when the window holds no decision, 5 when a data file cannot be read.
    """
    from forensics.api import open_lake
    from forensics.report.check import screen

    with open_lake(lake_path(lake)) as opened, diagnostics.Progress("check") as progress:
        found = opened.check(
            since=since,
            until=until,
            decision_point=decision_point,
            kinds=kinds,
            examples=limit,
            replay=replay,
            progress=progress.share,
        )
    if as_json:
        output.value(found.to_dict())
    else:
        output.lines(screen(found, output.width()))
    ctx.exit(ExitCode.ANSWERED if found.is_clean else ExitCode.INCOMPLETE)
