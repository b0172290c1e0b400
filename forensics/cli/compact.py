"""``forensics compact``."""

from __future__ import annotations

from pathlib import Path

import click

from forensics.cli import diagnostics, output
from forensics.cli.options import json_option, lake_option, lake_path


@click.command("compact")
@click.option(
    "--grace-hours",
    type=click.IntRange(min=0),
    default=24,
    show_default=True,
    help="Keep replaced files this long for readers that still use them.",
)
@lake_option
@json_option
def command(grace_hours: int, lake: Path | None, as_json: bool) -> None:
    """Merge small files into large ones, and remove those that nothing refers to any more.

    Records, their bytes and their leaves stay as they are, so every proof stays valid.
    """
    from forensics.ingest.looks import land
    from forensics.lake.compact import compact

    root = lake_path(lake)
    land(root)
    with diagnostics.Progress("compact") as progress:
        done = compact(root, grace_hours=grace_hours, progress=progress.update)
    if as_json:
        output.value(done.to_dict())
    else:
        if done.index_rebuilt:
            output.text("The look-up index was damaged; it was made again from the tables.")
        output.text(
            f"{done.merged:,} files became {done.written:,}; {done.removed:,} old files removed; "
            f"{done.rows:,} records rewritten"
        )
