"""``forensics timeline``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from forensics.cli import output
from forensics.cli.options import TIME, json_option, lake_option, lake_path

_BINS_MAX = 2_000


@click.command("timeline")
@click.option("--since", type=TIME, help="From this time on; else from the first decision.")
@click.option("--until", type=TIME, help="Before this time; else to the last decision.")
@click.option("--decision-point", "--point", metavar="NAME", help="Whose decisions.")
@click.option("--outcome", metavar="TEXT", help="Whose rate; else the second most frequent one's.")
@click.option(
    "--bins",
    type=click.IntRange(1, _BINS_MAX),
    help="So many of equal length; else of a round length, as many as fit.",
)
@click.option("--ascii", "ascii_only", is_flag=True, help="Draw with ASCII characters alone.")
@lake_option
@json_option
def command(
    since: datetime | None,
    until: datetime | None,
    decision_point: str | None,
    outcome: str | None,
    bins: int | None,
    ascii_only: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Show the rate of an outcome over time, with the changes marked on it.

    Says at which changes the rate jumped, and how sure that is: the rates of the stretches before
    and after each change are compared, up to the next change on either side and a day at most. That
    they coincide does not make one the cause of the other.
    """
    from forensics.api import open_lake
    from forensics.reconstruct.timeline import BINS
    from forensics.report.timeline import bins_for, screen

    width = min(output.width(), 160)
    found = open_lake(lake_path(lake)).timeline(
        since,
        until,
        decision_point=decision_point,
        outcome=outcome,
        bins=bins,
        at_most=BINS if as_json else bins_for(width),  # the same answer whoever asks
    )
    if as_json:
        output.value(found.to_dict())
        return
    output.lines(screen(found, width, ascii_only=ascii_only or not _draws_blocks()))


def _draws_blocks() -> bool:
    """Whether the terminal's, or the pipe's, encoding has the characters of the chart."""
    try:
        "▁█─·→".encode(sys.stdout.encoding or "utf-8")
    except (UnicodeEncodeError, LookupError):
        return False
    return True
