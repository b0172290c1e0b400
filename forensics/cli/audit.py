"""``forensics audit``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import (
    audit_options,
    json_option,
    lake_option,
    lake_path,
    point_option,
    times_options,
)

if TYPE_CHECKING:
    from forensics.reconstruct.audit_answer import Class


@click.command("audit")
@click.option("--days", type=click.IntRange(min=1, max=3660), help="The last N days of decisions.")
@times_options
@point_option
@audit_options
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    days: int | None,
    since: datetime | None,
    until: datetime | None,
    decision_point: str | None,
    counts: tuple[Path, ...],
    metric: str | None,
    require: Class | None,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Say how complete the evidence of all decisions is, and whether any decision is missing.

    By decision point and day: how many can be reproduced (C0), how many can be asked what a
    stricter (C1) or a looser rule (C2) would have done, and which missing field costs most. Records
    that never came show as gaps in the numbers that writers give them, and against --count.

    --days ends with the day of the last decision unless --until is given.

    Exit status 0 when nothing is missing as far as anybody can tell and --require is met, 4 when
    not, 3 when the window holds no decision, 5 when a data file cannot be read.
    """
    from forensics.api import open_lake
    from forensics.report.audit import screen

    with open_lake(lake_path(lake)) as opened, diagnostics.Progress("audit") as progress:
        found = opened.audit(
            since=since,
            until=until,
            days=days,
            decision_point=decision_point,
            counts=counts,
            metric=metric,
            require=require,
            progress=progress.share,
        )
    if as_json:
        output.value(found.to_dict())
    else:
        output.lines(screen(found, output.width()))
    ctx.exit(ExitCode.ANSWERED if found.is_whole else ExitCode.INCOMPLETE)
