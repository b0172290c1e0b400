"""Starting: the lake is opened while Textual is being imported."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from forensics.errors import ForensicsError, UsageError
from forensics.lake.layout import identity
from forensics.records.looker import looking
from forensics_tui.kept import NOTHING, Store
from forensics_tui.looked import InContext
from forensics_tui.opening import Asked, Opened, open_lake


def run(asked: Asked, theme: Any = None, keys: Any = None) -> str:
    """Show the lake until the person leaves, and keep where they were for the next time.

    Args:
        asked: what is shown first.
        theme: the name of a theme; the dark one where None.
        keys: this person's keys by the ids of :mod:`forensics_tui.keys`.

    Returns:
        What a person should be told at the end: why nothing could be kept; else nothing.

    Raises:
        ModuleNotFoundError: when Textual is not installed.
        ForensicsError: when the lake cannot be opened, what was asked for is not in it, or there is
            no such theme or key.
    """
    with looking(how="tui"):
        with InContext(1) as pool:
            opening = pool.submit(opened, asked)
            from forensics_tui.app import ForensicsApp

            found, store = opening.result()
        app = ForensicsApp(found, theme, checked(keys), store.save)
        app.run()
    try:
        store.save(app.kept)
    except ForensicsError as error:
        from forensics_tui.inert import said

        return said(error)
    return ""


def opened(asked: Asked) -> tuple[Opened, Store]:
    """The lake, as the last session left it, and where this one is kept.

    Raises:
        ForensicsError: as :func:`forensics_tui.opening.open_lake`.
    """
    store = Store(identity(asked.root))
    kept, word = (NOTHING, "") if asked.fresh else store.load()
    found = open_lake(asked, kept)
    found.word = word
    return found, store


def checked(keys: Any) -> Mapping[str, str]:
    """The keys of a config file.

    Raises:
        UsageError: when nothing has such a name, or a key is no text.
    """
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
