"""``forensics init``."""

from __future__ import annotations

from pathlib import Path

import click

from forensics.cli import output
from forensics.cli.options import json_option, lake_option, lake_path


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@lake_option
@json_option
def command(directory: Path | None, lake: Path | None, as_json: bool) -> None:
    """Make an empty lake in DIRECTORY (else where --lake says); an existing one is left alone."""
    from forensics.lake import layout

    root = directory or lake_path(lake)
    existed = (root / "lake.toml").is_file()
    identity = layout.create(root)
    if as_json:
        output.value({"lake": str(root), "id": identity, "created": not existed})
    else:
        output.text(f"{'Lake is there already' if existed else 'Made lake'}: {root} ({identity})")
        if not existed:
            output.text(f"Take records in: forensics ingest FILE --lake {root}")
