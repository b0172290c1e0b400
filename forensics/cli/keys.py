"""``forensics keys``."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import TYPE_CHECKING

import click

from forensics.cli import output
from forensics.cli.options import json_option, lake_option, lake_path
from forensics.errors import UsageError

if TYPE_CHECKING:
    from forensics.integrity.signing import CommandSigner


@click.group("keys")
def command() -> None:
    """The keys that sign a lake's log: list them, let another one sign, retire one."""


@command.command("list")
@lake_option
@json_option
def list_(lake: Path | None, as_json: bool) -> None:
    """List the public keys of the lake, and which of them can sign here."""
    from forensics.lake import seal_keys
    from forensics.lake.layout import identity

    root = lake_path(lake)
    lake_id = identity(root)
    here = {signer.key for signer in seal_keys.signers(lake_id)}
    for key in dict.fromkeys((*seal_keys.published(root), *here)):
        if as_json:
            output.record({"key": str(key), "hash": key.hash, "signs_here": key in here})
        else:
            output.text(f"{key}  {'signs here' if key in here else ''}".rstrip())


@command.command("rotate")
@click.option("--command", "program", metavar="PROGRAM", help="Sign by a program, e.g. of a KMS.")
@click.option("--public-key", metavar="VKEY", help="The public key that the program signs with.")
@lake_option
def rotate(program: str | None, public_key: str | None, lake: Path | None) -> None:
    """Let a new key sign, beside the one that does; retire that once all know the new one."""
    from forensics.lake import seal_anchor

    root = lake_path(lake)
    key = seal_anchor.add_key(root, signer_of(program, public_key))
    output.text(str(key))


@command.command("retire")
@click.argument("key_hash", metavar="HASH")
@lake_option
def retire(key_hash: str, lake: Path | None) -> None:
    """Let the key with this HASH sign no longer; what it signed stays valid."""
    from forensics.lake import seal_anchor

    key = seal_anchor.retire_key(lake_path(lake), key_hash)
    output.text(f"Retired {key}")


def signer_of(program: str | None, public_key: str | None) -> CommandSigner | None:
    """The signer that ``--command`` and ``--public-key`` name; None where they do not.

    Raises:
        UsageError: when one of them is missing or wrong.
    """
    from forensics.integrity.note import Key
    from forensics.integrity.signing import CommandSigner

    if program is None and public_key is None:
        return None
    if not program or not public_key:
        raise UsageError("A signing program and its public key belong together.")
    return CommandSigner(Key.parse(public_key), tuple(shlex.split(program)))
