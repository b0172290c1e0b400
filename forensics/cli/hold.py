"""``forensics hold``."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

import click

from forensics.cli import diagnostics, output
from forensics.cli.options import TIME, json_option, lake_option, lake_path
from forensics.errors import UsageError

_TIME = "%Y-%m-%d %H:%M:%S"


@click.command("hold")
@click.argument("subject", required=False)
@click.option("--order", metavar="REF", help="The order or case that it rests on.")
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--until", type=TIME, help="Until this time; until it is released where not given.")
@click.option("--release", metavar="HOLD_ID", help="End this hold.")
@click.option(
    "--list", "listed", is_flag=True, help="Only say which are in force: on SUBJECT, or on anybody."
)
@lake_option
@json_option
def command(
    subject: str | None,
    order: str | None,
    reason: str | None,
    until: datetime | None,
    release: str | None,
    listed: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Keep the records of the person SUBJECT from being erased, on an order.

    A hold is a sealed record, and so is its end. The person is named by a token in both.
    """
    from forensics.api import open_lake
    from forensics.ingest.forget import hold, holds
    from forensics.lake.snapshot import take
    from forensics.lake.theirs import theirs

    root = open_lake(lake_path(lake)).root
    if not listed:
        if not subject:
            raise UsageError("A hold is on a person.", "", "forensics hold SUBJECT --order REF")
        if not order:
            raise UsageError("A hold rests on an order.", "", "Name it: --order REF")
        identifier = hold(root, subject, order, reason=reason, expires_at=until, releases=release)
        diagnostics.note(f"Released {release}." if release else f"Set {identifier}.")
        if not release and not theirs(take(root), subject).count:
            diagnostics.note("The lake holds no decision about that person as yet.")
    for one in holds(root, subject):
        if as_json:
            output.record(one)
            continue
        ends = f", until {one['expires_at']:{_TIME}}" if one["expires_at"] else ""
        whom = f"{one['subject']}   " if subject is None else ""
        output.text(
            f"{one['hold_id']}   {whom}{one['order']} · by {one['actor']} at "
            f"{one['occurred_at']:{_TIME}}{ends}"
        )
