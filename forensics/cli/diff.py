"""``forensics diff``."""

from __future__ import annotations

from pathlib import Path

import click

from forensics.cli import output
from forensics.cli.options import json_option, lake_option, lake_path


@click.command("diff")
@click.argument("a")
@click.argument("b")
@lake_option
@json_option
def command(a: str, b: str, lake: Path | None, as_json: bool) -> None:
    """Compare decisions A and B: outcome, versions, configuration, inputs and path.

    A and B are request ids or decision ids; of a request with several decisions the first is taken.
    """
    from forensics.api import open_lake

    found = open_lake(lake_path(lake)).diff(a, b)
    if as_json:
        output.value(found.to_dict())
        return
    from forensics.report.state import difference

    output.lines(difference(found, output.table_width()))
