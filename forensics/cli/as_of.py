"""``forensics as-of``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from forensics.cli import diagnostics, output
from forensics.cli.options import TIME, json_option, lake_option, lake_path, point_option


@click.command("as-of")
@click.argument("time", type=TIME)
@point_option
@click.option("--known-by", type=TIME, help="Answer from what was known by then.")
@lake_option
@json_option
def command(
    time: datetime,
    decision_point: str | None,
    known_by: datetime | None,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Show the whole state at TIME: versions, pipelines, flags, controls and overrides in force.

    By environment, and by region and replica where they differ, with the share of traffic, since
    when, what each replaced and who announced it. What ran is read from what decisions recorded
    before and after that second, and set beside what was announced. TIME is ISO 8601 in UTC, or an
    age such as `2h ago`.
    """
    from forensics.api import open_lake

    state = open_lake(lake_path(lake)).as_of(time, decision_point=decision_point, known_by=known_by)
    if as_json:
        output.value(state.to_dict())
        return
    from forensics.report.state import screen

    output.lines(screen(state, output.table_width()))
    if not state.live:
        diagnostics.note("No decision was recorded up to that time.")
