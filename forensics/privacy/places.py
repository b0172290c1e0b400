"""Where the keys of a lake are: never in the lake."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path


def usual_path(lake_id: str, environment: Mapping[str, str] = os.environ) -> Path:
    """Where the keys of a lake are, unless its policy names another place.

    ``FORENSICS_KEY_STORE`` names the folder, else it is in the user's data folder (XDG).
    """
    folder = environment.get("FORENSICS_KEY_STORE")
    if folder:
        return Path(folder).expanduser() / f"{lake_id}.keys"
    data = environment.get("XDG_DATA_HOME") or "~/.local/share"
    return Path(data).expanduser() / "decision-forensics" / "keys" / f"{lake_id}.keys"
