"""``forensics tui``."""

from __future__ import annotations

import sys
from datetime import datetime
from pathlib import Path

import click

from forensics.cli import diagnostics
from forensics.cli.options import config, lake_option, lake_path, point_option, times_options
from forensics.errors import DependencyError, UsageError

#: The packages that it needs, with the extra that brings each.
_PACKAGES = {"textual": "tui", "rich": "tui", "textual_serve": "web", "aiohttp": "web"}


@click.command("tui")
@click.argument("request_id", required=False)
@point_option
@times_options
@click.option("--where", metavar="SQL", help="Begin with this condition, as `find --where` takes.")
@click.option(
    "--light", is_flag=True, help="Dark text on a light ground; else `theme` in the config file."
)
@click.option(
    "--fresh",
    is_flag=True,
    help="Begin as if for the first time, not where the last session ended.",
)
@click.option(
    "--web", is_flag=True, help="Show it in a browser of this machine instead of the terminal."
)
@click.option(
    "--port",
    type=click.IntRange(0, 65_535),
    metavar="N",
    help="With --web: the port to listen on; else the system chooses.",
)
@lake_option
def command(
    request_id: str | None,
    decision_point: str | None,
    since: datetime | None,
    until: datetime | None,
    where: str | None,
    light: bool,
    fresh: bool,
    web: bool,
    port: int | None,
    lake: Path | None,
) -> None:
    """Look through decisions in the terminal, and into each of them.

    With REQUEST_ID it begins with that decision, else where the last session on this lake ended.
    `?` shows the keys of each place. Needs the extra `tui`; with --web the extra `web`, and the
    address that it says is for this machine only and holds a secret.
    """
    if port is not None and not web:
        raise UsageError("--port is for --web.")
    # Textual draws on standard error, so that standard output stays what it was.
    if not web and not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(
            "The terminal UI needs a terminal.",
            "Standard input or standard error is none.",
            "In scripts use forensics find and forensics trace.",
        )
    from forensics_tui.opening import Asked

    chosen = config().get("tui")
    chosen = chosen if isinstance(chosen, dict) else {}
    postmortems = chosen.get("postmortems")
    asked = Asked(
        lake_path(lake),
        request_id,
        decision_point,
        _micros(since),
        _micros(until),
        where,
        "forensics-light" if light else None,
        fresh,
        Path(str(postmortems)).expanduser() if postmortems else None,
    )
    try:
        if web:
            from forensics_tui.web import serve

            serve(asked, port or 0, diagnostics.note, chosen.get("theme"), chosen.get("keys"))
        else:
            from forensics_tui.run import run

            if word := run(asked, chosen.get("theme"), chosen.get("keys")):
                diagnostics.note(word)
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in _PACKAGES:
            raise
        extra = _PACKAGES[missing]
        raise DependencyError(
            f"The terminal UI needs the package {missing}.",
            "It is not installed.",
            f"Install it: pip install 'decision-forensics[{extra}]'",
        ) from None


def _micros(time: datetime | None) -> int | None:
    from forensics.records.times import to_micros

    return to_micros(time) if time is not None else None
