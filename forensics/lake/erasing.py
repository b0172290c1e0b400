"""An erasure that is under way: written down before anything is done, gone when all is.

``LAKE/erasing.json`` names it, and the person, encrypted under a key of the key store. What a dead
process left undone is finished by whoever reads it next.
"""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, replace
from pathlib import Path

from forensics.errors import IntegrityError, LakeError
from forensics.lake.files import sync, write_durably
from forensics.lake.subject_keys import key_store
from forensics.privacy import cipher

FILE = "erasing.json"
#: What the key is for that the person's id is encrypted under.
_FOR = "\0erasing"


@dataclass(frozen=True, slots=True)
class Erasing:
    """An erasure under way. ``subject`` is the person's id, or what it is encrypted as."""

    erasure_id: str
    token: str
    order: str
    reason: str | None
    subject: str | bytes

    def again(self, erasure_id: str) -> Erasing:
        """The same on the same order, as another erasure."""
        return replace(self, erasure_id=erasure_id)

    def person(self, root: Path) -> str:
        """The person's id.

        Raises:
            LakeError: when the key that it is encrypted under is not here.
        """
        if isinstance(self.subject, str):
            return self.subject
        key_id = cipher.key_id_of(self.subject)
        key = key_store(root).key(key_id) if key_id is not None else None
        if key is None:
            raise LakeError(
                f"{root / FILE} names a person whom nobody here can tell.",
                "Its key is not in this key store.",
                "Name the key store's folder: FORENSICS_KEY_STORE",
            )
        return cipher.decrypted(self.subject, cipher.aead(key)).decode()


def read(root: Path) -> Erasing | None:
    """The erasure that is under way, or was when a process died; None where there is none.

    Raises:
        IntegrityError: when the file is not what was written.
    """
    try:
        said = json.loads((root / FILE).read_bytes())
        subject = base64.b64decode(said["subject"], validate=True)
        return Erasing(said["erasure_id"], said["token"], said["order"], said["reason"], subject)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise IntegrityError(
            f"{root / FILE} cannot be read.",
            f"An erasure was under way: {error}.",
            "Remove it, and erase the same person again: forensics erase SUBJECT --order REF",
        ) from error


def write(root: Path, begun: Erasing) -> None:
    """Write down what is to be done, durably."""
    store = key_store(root)
    token = store.token(_FOR)
    key = store.keys_for([token])[token]
    raw = begun.person(root).encode()
    said = {
        "erasure_id": begun.erasure_id,
        "token": begun.token,
        "order": begun.order,
        "reason": begun.reason,
        "subject": base64.b64encode(
            cipher.encrypted(raw, key.key_id, cipher.aead(key.key))
        ).decode(),
    }
    write_durably(root / FILE, json.dumps(said).encode() + b"\n")


def remove(root: Path) -> None:
    """Say that all is done."""
    (root / FILE).unlink(missing_ok=True)
    sync(root)
