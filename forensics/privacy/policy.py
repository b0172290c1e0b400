"""Which fields are personal, and who may see them in the clear: the lake's ``privacy.toml``.

    personal = ["subject.id", "raw_request", "features.income", "triage:features.diagnosis"]

    [roles.oncall]
    users = ["anna", "pager"]
    unmask = ["features.*"]

    [roles.compliance]
    users = ["m.lindqvist"]
    unmask = ["*"]

A path may begin with the name of a decision point and a colon; ``*`` stands for anything within
it. A user without a role sees no personal field. Without the file nothing is personal.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any

from forensics.errors import UsageError
from forensics.records.looker import Looker

FILE = "privacy.toml"
#: Fields that a record is found and ordered by; they are never hidden.
NEVER = frozenset(
    ("decision_point", "decision_id", "request_id", "occurred_at", "outcome", "environment",
     "record", "model", "config")
)  # fmt: skip
_KEYS = frozenset(("personal", "roles", "key_store", "master_key_command"))


@dataclass(frozen=True, slots=True)
class Role:
    """Users, and the paths of personal fields that they may see."""

    name: str
    users: frozenset[str]
    unmask: tuple[str, ...]


@dataclass(frozen=True)
class Policy:
    """What is personal, and who may see it.

    Args:
        personal: paths, or patterns of them, each with a decision point before a colon or without.
        roles: by name.
        key_store: where the keys are; the usual place where None.
        master_key_command: prints the master key in hexadecimal; a file beside the keys has it
            where None.
    """

    personal: tuple[str, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    key_store: Path | None = None
    master_key_command: tuple[str, ...] | None = None

    @cached_property
    def is_open(self) -> bool:
        """Whether nothing is personal."""
        return not self.personal

    def is_personal(self, point: str, path: str) -> bool:
        """Whether a field of a decision point's records is personal, or lies within one that is."""
        return matches(self.personal, point, path)

    def personal_at(self, point: str, paths: Iterable[str]) -> list[str]:
        """Those of ``paths`` that are personal."""
        return [path for path in paths if self.is_personal(point, path)]

    def role_of(self, looker: Looker) -> Role | None:
        """The role that somebody looks in; None where they have none.

        Who has several says which, with ``FORENSICS_ROLE``; the first in the file where they do
        not. A role that the file does not give to a user cannot be taken.
        """
        theirs = [role for role in self.roles.values() if looker.actor in role.users]
        if looker.role is not None:
            return next((role for role in theirs if role.name == looker.role), None)
        return theirs[0] if theirs else None

    def may_see(self, looker: Looker, point: str, path: str) -> bool:
        """Whether somebody may see a field in the clear."""
        if not self.is_personal(point, path):
            return True
        role = self.role_of(looker)
        return role is not None and matches(role.unmask, point, path)


def matches(patterns: Iterable[str], point: str, path: str) -> bool:
    """Whether a pattern names ``path`` of a decision point, or something that it lies within."""
    parts = path.split(".")
    within = [".".join(parts[: at + 1]) for at in range(len(parts))]
    for pattern in patterns:
        of, colon, rest = pattern.partition(":")
        if colon and of != point:
            continue
        if any(fnmatchcase(one, rest if colon else pattern) for one in within):
            return True
    return False


#: The policy of a lake in which nothing is personal.
OPEN = Policy()
_read: dict[Path, tuple[tuple[int, int], Policy]] = {}


def policy(root: Path) -> Policy:
    """The policy of the lake at ``root``.

    Raises:
        UsageError: when its file is no policy: then nothing may be shown, and nothing taken in.
    """
    path = root / FILE
    try:
        stat = path.stat()
    except FileNotFoundError:
        return OPEN
    stamp = stat.st_mtime_ns, stat.st_size
    known = _read.get(path)
    if known is None or known[0] != stamp:
        known = stamp, _policy(path)
        _read[path] = known
    return known[1]


def _policy(path: Path) -> Policy:
    def refuse(why: str) -> UsageError:
        return UsageError(
            f"{path} is no privacy policy.", why, "Until it is mended nothing is shown."
        )

    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise refuse(f"{error}.") from error
    if unknown := sorted(said.keys() - _KEYS):
        raise refuse(f"It says {unknown[0]!r}; known are {', '.join(sorted(_KEYS))}.")
    personal = _texts(said.get("personal", []), "personal", refuse)
    for path_ in personal:
        first = path_.partition(":")[2] or path_
        if first.split(".")[0] in NEVER or first == "*":
            raise refuse(
                f"{path_!r} cannot be personal: records are found and replayed by it. "
                "Put a pseudonym there, and what it stands for elsewhere."
            )
    roles = {}
    for name, of in said.get("roles", {}).items():
        if not isinstance(of, dict) or of.keys() - {"users", "unmask"}:
            raise refuse(f"Role {name!r} has users and unmask, and nothing else.")
        users = _texts(of.get("users", []), f"roles.{name}.users", refuse)
        unmask = _texts(of.get("unmask", []), f"roles.{name}.unmask", refuse)
        roles[name] = Role(name, frozenset(users), unmask)
    store = said.get("key_store")
    if store is not None and not isinstance(store, str):
        raise refuse("key_store is no path.")
    command = said.get("master_key_command")
    return Policy(
        personal,
        roles,
        Path(store).expanduser() if store is not None else None,
        _texts(command, "master_key_command", refuse) if command is not None else None,
    )


def _texts(value: Any, name: str, refuse: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise refuse(f"{name} is no list of texts.")
    return tuple(value)
