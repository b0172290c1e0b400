"""``forensics tui``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from forensics.cli.options import TIME, config, lake_option, lake_path
from forensics.errors import DependencyError, UsageError


@click.command("tui")
@click.argument("request_id", required=False)
@click.option("--decision-point", "--point", metavar="NAME", help="Only this decision point.")
@click.option("--since", type=TIME, help="From this time on: ISO 8601 in UTC, or `2h ago`.")
@click.option("--until", type=TIME, help="Before this time.")
@click.option("--where", metavar="SQL", help="Begin with this condition, as `find --where` takes.")
@click.option(
    "--light", is_flag=True, help="Dark text on a light ground; else `theme` in the config file."
)
@lake_option
def command(
    request_id: str | None,
    decision_point: str | None,
    since: datetime | None,
    until: datetime | None,
    where: str | None,
    light: bool,
    lake: Path | None,
) -> None:
    """Look through decisions in the terminal, and into each of them.

    With REQUEST_ID it begins with that decision. `?` shows the keys of each place. Needs the extra
    `tui`.
    """
    # Textual draws on standard error, so that standard output stays what it was.
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "The terminal UI needs a terminal.",
            "Standard input or standard error is none.",
            "In scripts use forensics find and forensics trace.",
        )
    from forensics_tui.opening import Asked
    from forensics_tui.run import run

    asked = Asked(
        lake_path(lake),
        request_id,
        decision_point,
        _micros(since),
        _micros(until),
        where,
    )
    chosen = config().get("tui")
    chosen = chosen if isinstance(chosen, dict) else {}
    theme = "forensics-light" if light else chosen.get("theme")
    try:
        run(asked, theme, chosen.get("keys"))
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in ("textual", "rich"):
            raise
        raise DependencyError(
            "The terminal UI needs the package textual.",
            "It is not installed.",
            "Install it: pip install 'decision-forensics[tui]'",
        ) from None


def _micros(time: datetime | None) -> int | None:
    from forensics.lake.read import to_micros

    return to_micros(time) if time is not None else None
