"""``forensics access``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import TIME, json_option, lake_option, lake_path


@click.command("access")
@click.argument("decision", metavar="[REQUEST_ID]", required=False)
@click.option("--subject", metavar="ID", help="Looks at any decision about this person.")
@click.option("--actor", metavar="NAME", help="Looks of this user or token.")
@click.option("--case", metavar="REF", help="Looks for this case.")
@click.option("--since", type=TIME, help="From this time on: ISO 8601 in UTC, or `2h ago`.")
@click.option("--until", type=TIME, help="Before this time.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="The newest N of them.")
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    decision: str | None,
    subject: str | None,
    actor: str | None,
    case: str | None,
    since: datetime | None,
    until: datetime | None,
    limit: int | None,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Say who looked at what: every look at a decision is recorded and sealed as decisions are.

    Looks are those of trace, explain, whatif, diff, find, report, tui and the Python library. Who
    looks says what for: `forensics --case REF --reason TEXT trace …`, or FORENSICS_CASE and
    FORENSICS_REASON.

    Exit status 0 when somebody looked, 3 when nobody did.
    """
    from forensics.api import open_lake
    from forensics.report.access import screen

    with open_lake(lake_path(lake)) as opened:
        looks = opened.accesses(
            decision, subject=subject, actor=actor, case=case, since=since, until=until, limit=limit
        )
    if as_json:
        for look in looks:
            output.record(look)
    elif looks:
        output.lines(screen(looks, output.table_width()))
    if not looks:
        diagnostics.note("Nobody looked, as far as is recorded.")
    ctx.exit(ExitCode.ANSWERED if looks else ExitCode.NOT_FOUND)
