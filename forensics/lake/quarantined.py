"""Lines of the quarantine, encrypted: what could not be read may say anything about anybody."""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from forensics.errors import ForensicsError
from forensics.lake.subject_keys import key_store
from forensics.privacy import cipher

#: What the key is for.
_FOR = "\0quarantine"
#: The field that the others of a line are encrypted in; their id stays.
_SEALED = "encrypted"


def sealed(root: Path, fields: Mapping[str, Any]) -> dict[str, Any]:
    """A line's fields as they are kept: its id, and all others encrypted.

    Raises:
        LakeError: when the key store cannot be opened.
    """
    store = key_store(root)
    token = store.token(_FOR)
    key = store.keys_for([token])[token]
    data = cipher.encrypted(json.dumps(fields).encode(), key.key_id, cipher.aead(key.key))
    return {"id": fields["id"], _SEALED: base64.b64encode(data).decode()}


def opened(root: Path, fields: dict[str, Any]) -> tuple[dict[str, Any] | None, str]:
    """A line's fields as they were, or None and why nobody here can read them.

    Raises:
        IntegrityError: when they are not what was encrypted.
        ValueError: when they are no line of a quarantine.
    """
    if _SEALED not in fields:
        return fields, ""
    data = base64.b64decode(fields[_SEALED])
    key_id = cipher.key_id_of(data)
    if key_id is None:
        raise ValueError("no key is named")
    try:
        key = key_store(root).key(key_id)
    except ForensicsError as error:
        return None, error.what
    if key is None:
        return None, "its key is not in this key store."
    plain: dict[str, Any] = json.loads(cipher.decrypted(data, cipher.aead(key)))
    return plain, ""
