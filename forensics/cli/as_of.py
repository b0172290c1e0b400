"""``forensics as-of``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from forensics.cli import diagnostics, output
from forensics.cli.options import TIME, json_option, lake_option, lake_path


@click.command("as-of")
@click.argument("time", type=TIME)
@click.option("--decision-point", "--point", metavar="NAME", help="Only this decision point.")
@lake_option
@json_option
def command(time: datetime, decision_point: str | None, lake: Path | None, as_json: bool) -> None:
    """Show which model, configuration and artifact versions were live at TIME.

    By environment, with the share of traffic, since when, and what each replaced. It is worked out
    from what decisions recorded and set beside the changes that were announced. TIME is ISO 8601 in
    UTC, or an age such as `2h ago`.
    """
    from forensics.api import open_lake

    state = open_lake(lake_path(lake)).as_of(time, decision_point=decision_point)
    if as_json:
        output.value(state.to_dict())
        return
    from forensics.report.state import screen

    output.lines(screen(state, output.table_width()))
    if not state.live:
        diagnostics.note("No decision was recorded up to that time.")
