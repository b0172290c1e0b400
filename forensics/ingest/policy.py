"""Puts a version of the privacy policy in force: a record of it, sealed like all others."""

from __future__ import annotations

import os
from pathlib import Path

from forensics.errors import UsageError
from forensics.ingest import own_records
from forensics.lake import policies
from forensics.lake.files import exclusive
from forensics.lake.subject_keys import is_marked, key_store
from forensics.privacy.policy import FILE, policy, written


def seal(root: Path, reason: str | None = None) -> str:
    """Put what ``privacy.toml`` says now in force; the id of the record of it.

    Args:
        root: the lake.
        reason: why it is otherwise than before.

    Raises:
        UsageError: when the file is no policy, or no text.
        LakeError: when the record cannot be written, or the lake's key store is not here.
    """
    policy(root)  # what is none must not come into force
    if is_marked(root):  # nor what only the lake would know of
        key_store(root)
    data = written(root)
    digest = policies.digest_of(data)
    identifier = own_records.named("p")
    try:
        text = None if data is None else data.decode()
    except UnicodeDecodeError as error:
        raise UsageError(f"{root / FILE} is no privacy policy.", f"{error}.") from error
    own_records.write(
        root,
        {
            "record": "policy", "policy_id": identifier, "digest": digest, "text": text,
            "reason": reason, "host": os.uname().nodename if hasattr(os, "uname") else None,
        },
    )  # fmt: skip
    policies.remember(root, digest)
    return identifier


def seal_first(root: Path) -> None:
    """Seal a lake's first policy, so that no later one goes unnoticed; costs two looks at files.

    Raises:
        UsageError: when the file is no policy: nothing is taken in then.
    """
    if not (root / FILE).exists() or (root / policies.TABLE).exists():
        return
    with exclusive(root / "spool" / ".policy.lock"):
        stands = policies.standing(root)
        if stands.last is None and stands.problem is None:
            seal(root, "the first of this lake")
