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
_KEYS = frozenset(("personal", "roles"))


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
    """

    personal: tuple[str, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)

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
        if why := _unusable(path_.partition(":")[2] or path_):
            raise refuse(f"{path_!r} cannot be personal: {why}")
    roles = {}
    for name, of in said.get("roles", {}).items():
        if not isinstance(of, dict) or of.keys() - {"users", "unmask"}:
            raise refuse(f"Role {name!r} has users and unmask, and nothing else.")
        users = _texts(of.get("users", []), f"roles.{name}.users", refuse)
        unmask = _texts(of.get("unmask", []), f"roles.{name}.unmask", refuse)
        roles[name] = Role(name, frozenset(users), unmask)
    return Policy(personal, roles)


#: Groups of the record contract, with what is in them.
_GROUPS: dict[str, frozenset[str]] = {
    name: frozenset(fields.split())
    for name, fields in {
        "writer": "id sequence boot_id monotonic_ns",
        "subject": "id purpose legal_basis erasure_key_id",
        "execution": "code_version dependency_digest seed pure calls",
        "feature_sources": "view features dataset event_time status job run_id",
        "candidates": "id value",
        "consumer": "name received action at",
        "cache": "hit key_digest written_at model_digest config_digest",
        "steps": "id parent kind component version digest started_at ended_at inputs outputs "
        "status error",
        "explanation": "method unit base_value attributions reasons background_digest "
        "explainer_version",
        "capture": "emitter sdk_version sampling_rate dropped masked erased",
    }.items()
}


def _unusable(path: str) -> str | None:
    """Why a path protects nothing, or must not; None where it can be used."""
    first, dot, rest = path.partition(".")
    if first in NEVER or path == "*":
        return (
            "records are found and replayed by it. Put a pseudonym there, and what it stands for "
            "elsewhere."
        )
    if first == "subject" and rest != "id" and rest in ("", "*"):
        return "a person is found by subject.id; name that, and other fields of it one by one."
    if not dot or first == "features":
        return None
    if first not in _GROUPS:
        return (
            f"a record has no group {first!r}; of a field outside the contract name all: {first!r}."
        )
    if "." in rest:
        return f"what is within a field is protected as a whole: {first}.{rest.partition('.')[0]}."
    if not any(fnmatchcase(one, rest) for one in _GROUPS[first]):
        return f"{first} has no field {rest!r}; it has {', '.join(sorted(_GROUPS[first]))}."
    return None


def _texts(value: Any, name: str, refuse: Any) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(one, str) and one for one in value):
        raise refuse(f"{name} is no list of texts.")
    return tuple(value)
