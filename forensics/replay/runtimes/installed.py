"""Versions of installed packages that do not say theirs."""

from __future__ import annotations

import os


def installed_version(distribution: str, library: str) -> str:
    """The version of ``distribution``, e.g. ``zen_engine``, from what its installer left beside it.

    Args:
        distribution: its name as in file names, with underscores.
        library: folders of packages, joined by ``os.pathsep``.
    """
    for folder in library.split(os.pathsep):
        for name in os.listdir(folder):  # noqa: PTH208 - importing pathlib costs 5 ms
            if name.startswith(f"{distribution}-") and name.endswith(".dist-info"):
                return name.removesuffix(".dist-info").rpartition("-")[2]
    return "of unknown version"
