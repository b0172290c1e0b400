"""``forensics init``."""

from __future__ import annotations

from pathlib import Path

import click

from forensics.cli import output
from forensics.cli.options import json_option, lake_option, lake_path


@click.command("init")
@click.argument("directory", type=click.Path(path_type=Path), required=False)
@click.option(
    "--sign-with", "program", metavar="PROGRAM", help="Sign by a program, e.g. of a KMS or HSM."
)
@click.option("--public-key", metavar="VKEY", help="The public key that the program signs with.")
@lake_option
@json_option
def command(
    directory: Path | None,
    program: str | None,
    public_key: str | None,
    lake: Path | None,
    as_json: bool,
) -> None:
    """Make an empty lake in DIRECTORY (else where --lake says); an existing one is left alone.

    Its log is signed with a key that is made now and kept outside of it: in FORENSICS_KEY_DIR, else
    beside the config file.
    """
    from forensics.cli.keys import signer_of
    from forensics.lake import layout, seal_anchor, seal_keys

    root = directory or lake_path(lake)
    signer = signer_of(program, public_key)
    existed = (root / "lake.toml").is_file()
    identity = layout.create(root)
    if signer is not None:
        seal_anchor.use_signer(root, signer)
    elif not existed:
        seal_keys.create(root, identity)
    keys = [str(each.key) for each in seal_keys.signers(identity)]
    if as_json:
        output.value({"lake": str(root), "id": identity, "created": not existed, "keys": keys})
    else:
        output.text(f"{'Lake is there already' if existed else 'Made lake'}: {root} ({identity})")
        if not existed:
            output.text(f"Its log is signed with: {seal_keys.private_path(identity)}")
            output.text(f"Take records in: forensics ingest FILE --lake {root}")
