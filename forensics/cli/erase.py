"""``forensics erase``."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import json_option, lake_option, lake_path
from forensics.errors import UsageError


@click.command("erase")
@click.argument("subject")
@click.option("--order", required=True, metavar="REF", help="The order or request it rests on.")
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--yes", is_flag=True, help="Do not ask: what is erased cannot be had again.")
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    subject: str,
    order: str,
    reason: str | None,
    yes: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Erase what the lake says of the person SUBJECT, and keep the proof that it was there.

    The key of the person's records is destroyed, and every data file that holds them is written
    anew without what they say. What stays: that there were such decisions, when, with what outcome,
    by which model and configuration, and their leaves in the log. The erasure is itself a sealed
    record. A hold blocks it: `forensics hold`.

    Exit status 0 when all was reached, 4 when the person's id still stands in files that erasing
    does not reach, 1 when a hold is in force, 3 when there is no decision about that person.
    """
    from forensics.api import open_lake

    root = lake_path(lake)
    opened = open_lake(root)
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("Erasing cannot be undone.", "Nobody can be asked.", "Say --yes.")
        click.confirm("Erase what the lake says of that person? It cannot be undone.", abort=True,
                      err=True)  # fmt: skip
    done = opened.erase(subject, order, reason=reason)
    if as_json:
        output.value(done.to_dict())
    else:
        output.text(f"{done.erasure_id}   {done.decisions:,} decisions on the order {done.order}")
        output.text(f"  {done.keys} keys destroyed · {done.files} data files written anew · "
                    f"{done.records} overrides and outcome labels · {done.quarantined} in "
                    "quarantine")  # fmt: skip
        after = (
            "these decisions can no longer be explained, replayed or shown to anybody; their "
            "leaves stay in the log"
            if done.decisions
            else "they had been erased before"
        )
        output.text(f"  {after}")
        output.text("  not reached: backups of the lake and of the key store, exports, "
                    "postmortems, and histories of features")  # fmt: skip
    for name in done.left:
        diagnostics.note(f"The id still stands in {name}.")
    ctx.exit(ExitCode.INCOMPLETE if done.left else ExitCode.ANSWERED)
