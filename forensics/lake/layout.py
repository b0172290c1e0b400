"""The folder of a lake: making one, and what its lake.toml says."""

from __future__ import annotations

import tomllib
import uuid
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from forensics.errors import LakeError
from forensics.lake.catalog import require_lake
from forensics.lake.files import sync, write_durably

FORMAT = 1
#: What lake.toml may say: a setting that nobody knows is a damaged one, or one that does nothing.
_KNOWN = frozenset(("id", "format", "created", "history", "access"))
_KNOWN_OF_ACCESS = frozenset(("required",))
FOLDERS = ("decisions", "index", "artifacts/sha256", "quarantine")


def create(root: Path) -> str:
    """Make an empty lake at ``root`` and return its id; an existing lake is left as it is.

    Raises:
        LakeError: when the folder holds something that is not a lake.
    """
    if (root / "lake.toml").is_file():
        return identity(root)
    if root.is_file() or (root.is_dir() and any(root.iterdir())):
        raise LakeError(
            f"{root} is not empty and holds no lake.", "", "Name a new or an empty folder."
        )
    for folder in FOLDERS:
        (root / folder).mkdir(parents=True, exist_ok=True)
    lake_id = str(uuid.uuid4())
    now = datetime.now(UTC).isoformat(timespec="seconds")
    text = f'# A lake of decision evidence.\nid = "{lake_id}"\nformat = {FORMAT}\ncreated = {now}\n'
    sync(root)
    write_durably(root / "lake.toml", text.encode())
    return lake_id


def identity(root: Path) -> str:
    """The id of the lake at ``root``.

    Raises:
        LakeError: when there is none, or a newer version of this program made it.
    """
    require_lake(root)
    try:
        data = tomllib.loads((root / "lake.toml").read_text(encoding="utf-8"))
    except ValueError as error:
        raise LakeError(
            f"{root / 'lake.toml'} cannot be read.", f"{error}.", "Restore it from a backup."
        ) from error
    if data.get("format") != FORMAT:
        raise LakeError(
            f"The lake at {root} has format {data.get('format')}.",
            f"This version reads format {FORMAT}.",
            "Use the version of forensics that made it, or a newer one.",
        )
    unknown = _unknown(data)
    if unknown or "id" not in data:
        raise LakeError(
            f"{root / 'lake.toml'} cannot be understood.",
            f"It says {min(unknown)!r}." if unknown else "It says no id.",
            f"It may say {', '.join(sorted(_KNOWN))}, and of access: required.",
        )
    return str(data["id"])


def _unknown(data: dict[str, Any]) -> set[str]:
    """What lake.toml says that it may not say."""
    access = data.get("access", {})
    of_access = access.keys() - _KNOWN_OF_ACCESS if isinstance(access, dict) else {"access"}
    return (data.keys() - _KNOWN) | of_access
