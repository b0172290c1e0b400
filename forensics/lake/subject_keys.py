"""The key store of a lake: found by the lake's id, and known by a mark that the lake bears."""

from __future__ import annotations

import os
from pathlib import Path

from forensics.errors import LakeError
from forensics.lake.files import write_durably
from forensics.lake.layout import identity
from forensics.privacy.keystore import KeyStore, master_key_command
from forensics.privacy.places import usual_path

#: Names the key store whose keys the lake's records are encrypted under.
MARK = "keystore.id"


#: What tells that a store is another one: its file, the lake's, and where stores are said to be.
_State = tuple[object, ...]
#: Of each lake the store that this process has opened, with how things were then.
_stores: dict[tuple[Path, int], tuple[_State, KeyStore]] = {}


def key_store(root: Path) -> KeyStore:
    """The key store of a lake, opened once a process, and again where another file is in its place.

    Raises:
        LakeError: when it cannot be opened.
    """
    known = _stores.get((root, os.getpid()))
    if known is not None and known[0] == _state(root, known[1].path):
        return known[1]
    store = _opened(root, usual_path(identity(root)))
    _stores[root, os.getpid()] = _state(root, store.path), store
    return store


def _state(root: Path, path: Path) -> _State:
    """Two looks at files, since this is asked for each record."""
    say = os.environ.get
    return _file(path), _file(root / "lake.toml"), say("FORENSICS_KEY_STORE"), say("XDG_DATA_HOME")


def _file(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino


def _opened(root: Path, path: Path) -> KeyStore:
    mark = root / MARK
    if mark.exists() and not path.exists():
        raise LakeError(
            f"The key store of this lake is not at {path}.",
            "Its keys were made elsewhere.",
            "Name its folder: FORENSICS_KEY_STORE",
        )
    store = KeyStore(path, master_key_command())
    said = store.token("\0store")
    if not mark.exists():
        write_durably(mark, said.encode() + b"\n")
    elif mark.read_bytes().strip() != said.encode():
        raise LakeError(
            f"The key store {path} is another one than this lake's.",
            f"{mark.name} names the one whose keys its records are encrypted under.",
            "Name its folder: FORENSICS_KEY_STORE",
        )
    return store


def is_marked(root: Path) -> bool:
    """Whether the lake has a key store."""
    return (root / MARK).exists()
