"""``forensics erase``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import diagnostics, output
from forensics.cli.exit_codes import ExitCode
from forensics.cli.options import json_option, lake_option, lake_path
from forensics.errors import UsageError
from forensics.records.plural import count_of

if TYPE_CHECKING:
    from forensics.ingest.forget import Erasure


@click.command("erase")
@click.argument("subject", required=False)
@click.option("--order", metavar="REF", help="The order or request it rests on.")
@click.option("--reason", metavar="TEXT", help="Why.")
@click.option("--resume", is_flag=True, help="Finish the erasure that a process began and did not.")
@click.option("--yes", is_flag=True, help="Do not ask: what is erased cannot be had again.")
@lake_option
@json_option
@click.pass_context
def command(
    ctx: click.Context,
    /,
    subject: str | None,
    order: str | None,
    reason: str | None,
    resume: bool,
    yes: bool,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Erase what the lake says of the person SUBJECT, and keep the proof that it was there.

    The key of the person's records is destroyed, and every data file that holds them is written
    anew without what they say. What stays: that there were such decisions, when, with what outcome,
    by which model and configuration, and their leaves in the log. The erasure is itself a sealed
    record. A hold blocks it: `forensics hold`. An erasure that did not end, since its process died,
    is finished by --resume, or by the next erasure.

    Exit status 0 when all was reached, 4 when the person's id still stands in files that erasing
    does not reach, 1 when a hold is in force, 3 when there is no decision about that person.
    """
    from forensics.api import open_lake

    root = lake_path(lake)
    opened = open_lake(root)
    if resume:
        from forensics.ingest.forget import resume as resume_

        if subject or order:
            raise UsageError("What is resumed has its person and order.", "", "Say --resume alone.")
        finished = resume_(opened.root)
        if finished is None:
            diagnostics.note("No erasure is unfinished.")
            return
        ctx.exit(_tell(finished, as_json))
    if not subject or not order:
        raise UsageError(
            "An erasure is of a person, on an order.", "", "forensics erase SUBJECT --order REF"
        )
    if not yes:
        if not sys.stdin.isatty():
            raise UsageError("Erasing cannot be undone.", "Nobody can be asked.", "Say --yes.")
        click.confirm("Erase what the lake says of that person? It cannot be undone.", abort=True,
                      err=True)  # fmt: skip
    done = opened.erase(subject, order, reason=reason)
    ctx.exit(_tell(done, as_json))


def _tell(done: Erasure, as_json: bool) -> ExitCode:
    """Say what was erased; the exit status."""
    if as_json:
        output.value(done.to_dict())
    else:
        erased = count_of(done.decisions, "decision")
        output.text(f"{done.erasure_id}   {erased} on the order {done.order}")
        output.text(f"  {done.keys} keys destroyed · {done.files} data files written anew · "
                    f"{done.records} records beside them · {done.quarantined} in "
                    "quarantine")  # fmt: skip
        if done.decisions:
            output.text("  these decisions can no longer be explained, replayed or shown to "
                        "anybody; their leaves stay in the log")  # fmt: skip
        elif not (done.records or done.quarantined):
            output.text("  they had been erased before")
        output.text("  not reached: backups of the lake and of the key store, exports, "
                    "postmortems, and histories of features")  # fmt: skip
    for name in done.left:
        diagnostics.note(f"The id still stands in {name}.")
    return ExitCode.INCOMPLETE if done.left else ExitCode.ANSWERED
