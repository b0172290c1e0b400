"""``forensics compact``."""

from __future__ import annotations

from pathlib import Path

import click

from forensics.cli import diagnostics, output
from forensics.cli.options import json_option, lake_option, lake_path
from forensics.records.plural import count_of


@click.command("compact")
@click.option(
    "--grace-hours",
    type=click.IntRange(min=0),
    default=24,
    show_default=True,
    help="Keep replaced files this long for readers that still use them.",
)
@click.option(
    "--mend-log",
    is_flag=True,
    help="First write again what of the log is damaged and can be told from the rest of it.",
)
@lake_option
@json_option
def command(grace_hours: int, mend_log: bool, lake: Path | None, as_json: bool) -> None:
    """Merge small files into large ones, and remove those that nothing refers to any more.

    Records, their bytes and their leaves stay as they are, so every proof stays valid.
    """
    from forensics.ingest.looks import land
    from forensics.ingest.reread import differences
    from forensics.lake.compact import compact

    root = lake_path(lake)
    mended = _mended(root) if mend_log else None
    land(root)
    with diagnostics.Progress("compact") as progress:
        done = compact(root, grace_hours=grace_hours, progress=progress.update, compare=differences)
    if as_json:
        output.value({**done.to_dict(), **({"log_mended": mended} if mend_log else {})})
    else:
        for path in mended or ():
            output.text(f"{path} was damaged; it was written again.")
        if done.index_rebuilt:
            output.text("The look-up index was damaged; it was made again from the tables.")
        output.text(
            f"{done.merged:,} files became {done.written:,}; {done.removed:,} old files removed; "
            f"{count_of(done.rows, 'record')} rewritten"
        )


def _mended(root: Path) -> list[str]:
    from forensics.lake.verify.mend import mend

    return mend(root)
