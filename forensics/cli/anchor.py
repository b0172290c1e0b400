"""``forensics anchor``."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from forensics.cli import diagnostics, output
from forensics.cli.options import json_option, lake_option, lake_path
from forensics.errors import UsageError


@click.command("anchor")
@click.option("--tsa", metavar="URL", help="Have the checkpoint timestamped there (RFC 3161).")
@click.option(
    "--witness", metavar="URL", help="Have it cosigned by the witness there (C2SP tlog-witness)."
)
@click.option("--witness-key", metavar="VKEY", help="The witness's public key.")
@lake_option
@json_option
def command(
    tsa: str | None, witness: str | None, witness_key: str | None, lake: Path | None, as_json: bool
) -> None:
    """Sign the log as it is now, and print the checkpoint: keep it where the lake is not.

    Seals what is waiting and adds the time, so that it is worth running when nothing comes in. With
    a kept checkpoint `forensics verify --checkpoint FILE` finds a log that was taken back.
    """
    from forensics.integrity.note import Key
    from forensics.lake import seal_anchor
    from forensics.lake.layout import identity
    from forensics.lake.verify import memory

    if (witness is None) != (witness_key is None):
        raise UsageError("--witness and --witness-key belong together.")
    key = Key.parse(witness_key) if witness_key else None
    root = lake_path(lake)
    ours = seal_anchor.advance(root)
    assert ours.note is not None
    note = ours.note.to_bytes()
    memory.remember(identity(root), note)
    anchored: dict[str, str] = {}
    if tsa is not None:
        anchored["timestamp"] = str(seal_anchor.stamp(ours, tsa, secrets.randbits(64)))
    if witness is not None and key is not None:
        anchored["witness"] = str(seal_anchor.witness(ours, witness, key))
    if as_json:
        output.value(
            {
                "origin": ours.origin,
                "size": ours.size,
                "root": ours.checkpoint.root.hex(),
                "checkpoint": note.decode(),
                "anchored": anchored,
            }
        )
        return
    output.text(note.decode().rstrip("\n"))
    for kind, where in anchored.items():
        diagnostics.note(f"Kept the {kind} in {where}")
