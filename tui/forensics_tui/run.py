"""Starting: the lake is opened while Textual is being imported."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from forensics.errors import UsageError
from forensics_tui.opening import Asked, open_lake


def run(asked: Asked, theme: Any = None, keys: Any = None) -> None:
    """Show the lake until the person leaves.

    Args:
        asked: what is shown first.
        theme: the name of a theme; the dark one where None.
        keys: this person's keys by the ids of :mod:`forensics_tui.keys`.

    Raises:
        ModuleNotFoundError: when Textual is not installed.
        ForensicsError: when the lake cannot be opened, what was asked for is not in it, or there is
            no such theme or key.
    """
    with ThreadPoolExecutor(1) as pool:
        opening = pool.submit(open_lake, asked)
        from forensics_tui.app import ForensicsApp

        opened = opening.result()
    ForensicsApp(opened, theme, _checked(keys)).run()


def _checked(keys: Any) -> Mapping[str, str]:
    from forensics_tui.keys import ids

    if not isinstance(keys, dict):
        return {}
    known = ids()
    for name, key in keys.items():
        if name not in known or not isinstance(key, str) or not key:
            raise UsageError(
                f"The config file gives keys {key!r} to {name!r}.",
                "Nothing has that name." if name not in known else "Keys are text, as 'j,down'.",
                f"Names are: {', '.join(known)}.",
            )
    return keys
