"""Where the keys of a lake are: the private ones outside it, the public ones within its log."""

from __future__ import annotations

import os
from pathlib import Path

from forensics.integrity import signing
from forensics.integrity.note import Key
from forensics.integrity.signing import CommandSigner, FileSigner
from forensics.lake.files import write_durably


def origin_of(lake_id: str) -> str:
    """The name of a lake's log and of its keys."""
    return f"decision-forensics/{lake_id}"


def folder() -> Path:
    """Where private keys are: FORENSICS_KEY_DIR, else beside the config file."""
    if named := os.environ.get("FORENSICS_KEY_DIR"):
        return Path(named)
    base = os.environ.get("XDG_CONFIG_HOME")
    config = Path(base) if base else Path.home() / ".config"
    return config / "decision-forensics" / "keys"


def private_path(lake_id: str) -> Path:
    """The key file of a lake."""
    return folder() / f"{lake_id}.key"


def signers(lake_id: str) -> list[FileSigner | CommandSigner]:
    """Who signs for a lake here; nobody where there is no key file.

    Raises:
        UsageError: when the key file cannot be used.
    """
    return signing.read(private_path(lake_id))


def create(root: Path, lake_id: str) -> FileSigner:
    """Make a lake's first key; its public part goes into the lake."""
    signer = signing.new_key(origin_of(lake_id))
    signing.write(private_path(lake_id), lake_id, [signer])
    publish(root, signer.key)
    return signer


def publish(root: Path, key: Key) -> None:
    """Put a public key where readers of the lake look for it; they should get it elsewhere too."""
    path = public_folder(root) / f"{key.hash}.vkey"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_durably(path, f"{key}\n".encode())


def public_folder(root: Path) -> Path:
    """Where the public keys of a lake are."""
    return root / "log" / "keys"


def published(root: Path) -> list[Key]:
    """The public keys that the lake itself names; nothing but the lake vouches for them.

    Raises:
        UsageError: when one of them is no key.
    """
    paths = sorted(public_folder(root).glob("*.vkey"))
    return [key for path in paths for key in read_keys(path)]


def read_keys(path: Path) -> list[Key]:
    """The keys of a file with one vkey on each line.

    Raises:
        UsageError: when it cannot be read, or a line is no key.
    """
    from forensics.errors import UsageError

    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The key file {path} cannot be read.", f"{error}.") from error
    lines = [line.strip() for line in text.splitlines()]
    return [Key.parse(line) for line in lines if line and not line.startswith("#")]
