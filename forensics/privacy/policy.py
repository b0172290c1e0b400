"""Which fields are personal, and who may see them in the clear: the lake's ``privacy.toml``.

    personal = ["subject.id", "raw_request", "features.income", "triage:features.diagnosis"]

    [roles.oncall]
    users = ["anna", "pager"]
    unmask = ["features.*"]

    [roles.compliance]
    users = ["m.lindqvist"]
    unmask = ["*"]

A path may begin with the name of a decision point and a colon; ``*`` stands for anything within
it. One that begins with ``override``, ``outcome`` or ``change`` is of such records, as
``override.reason``. A user without a role sees no personal field. Without the file nothing is
personal.
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
#: Records beside decisions: their fields that stay, since they are found and ordered by them, and
#: those that may be personal.
BESIDE: Mapping[str, tuple[frozenset[str], frozenset[str]]] = {
    kind: (frozenset(stays.split()), frozenset(may_be.split()))
    for kind, stays, may_be in (
        ("override", "override_id decision_id request_id decision_point occurred_at final_outcome "
         "expires_at recorded_at", "actor role authority scope reason original_outcome reversible"),
        ("outcome", "decision_id request_id decision_point occurred_at arrived_at",
         "label source"),
        ("change", "change_id occurred_at kind component decision_point environment from_version "
         "to_version from_digest to_digest features run_id traffic_share recorded_at expires_at",
         "actor reviewed_by reason detail"),
    )
}  # fmt: skip
#: What stands for all records in quarantine: who may see them may see whatever they say.
QUARANTINE = "quarantine"


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
        suspended: why nobody sees what is personal, whatever the roles say; None where they do.
    """

    personal: tuple[str, ...] = ()
    roles: Mapping[str, Role] = field(default_factory=dict)
    suspended: str | None = None

    @cached_property
    def is_open(self) -> bool:
        """Whether nothing is personal."""
        return not self.personal

    def is_personal(self, point: str, path: str) -> bool:
        """Whether a field of a decision point's records is personal, or lies within one that is."""
        return path.partition(".")[0] not in NEVER and matches(self.personal, point, path)

    def concerns(self, kind: str, point: str = "") -> bool:
        """Whether something of a kind of record can be personal; of any decision point's where "".

        Of records beside decisions only where a path names their kind: see :data:`BESIDE`.
        """
        for pattern in self.personal:
            of, colon, rest = pattern.partition(":")
            if colon and point and of != point:
                continue
            first = (rest if colon else pattern).partition(".")[0]
            named = first if first in BESIDE else "decision"
            if fnmatchcase(kind, first) if kind != "decision" else kind == named:
                return True
        return False

    def is_personal_in(self, kind: str, point: str, path: str) -> bool:
        """Whether a field of a record of any kind is personal.

        Fields that the contract of a kind does not have are so where they are in decisions.
        """
        if kind == "decision":
            return self.is_personal(point, path)
        first = path.partition(".")[0]
        stays, may_be = BESIDE.get(kind, (frozenset((first,)), frozenset()))
        if first in stays or first == "record":
            return False
        named = matches(self.personal, point, f"{kind}.{path}", anywhere=not point)
        return named or (
            first not in may_be and matches(self.personal, point, path, anywhere=not point)
        )

    def role_of(self, looker: Looker) -> Role | None:
        """The role that somebody looks in; None where they have none.

        Who has several says which, with ``FORENSICS_ROLE``; the first in the file where they do
        not. A role that the file does not give to a user cannot be taken.
        """
        if self.suspended is not None:
            return None
        theirs = [role for role in self.roles.values() if looker.actor in role.users]
        if looker.role is not None:
            return next((role for role in theirs if role.name == looker.role), None)
        return theirs[0] if theirs else None

    def may_see(self, looker: Looker, point: str, path: str) -> bool:
        """Whether somebody may see a field in the clear."""
        return self.may_see_in(looker, "decision", point, path)

    def may_see_in(self, looker: Looker, kind: str, point: str, path: str) -> bool:
        """Whether somebody may see a field of a record of any kind in the clear."""
        if not self.is_personal_in(kind, point, path):
            return True
        role = self.role_of(looker)
        if role is None:
            return False
        named = path if kind == "decision" else f"{kind}.{path}"
        return matches(role.unmask, point, named) or (
            kind != "decision"
            and path.partition(".")[0] not in BESIDE[kind][1]
            and matches(role.unmask, point, path)
        )

    def may_see_quarantine(self, looker: Looker) -> bool:
        """Whether somebody may see records in quarantine: a role for ``quarantine`` or for all."""
        if self.is_open:
            return True
        role = self.role_of(looker)
        return role is not None and matches(role.unmask, "", QUARANTINE)

    def rule(self, looker: Looker) -> str:
        """Why somebody may not see what they may not see."""
        if self.suspended is not None:
            return self.suspended
        role = self.role_of(looker)
        return f"role {role.name} may not see it" if role else f"{looker.actor} has no role"


def matches(patterns: Iterable[str], point: str, path: str, *, anywhere: bool = False) -> bool:
    """Whether a pattern names ``path`` of a decision point, or something that it lies within.

    Args:
        patterns: of paths.
        point: the decision point.
        path: of the field.
        anywhere: whether patterns of all decision points count.
    """
    parts = path.split(".")
    within = [".".join(parts[: at + 1]) for at in range(len(parts))]
    for pattern in patterns:
        of, colon, rest = pattern.partition(":")
        if colon and of != point and not anywhere:
            continue
        if any(fnmatchcase(one, rest if colon else pattern) for one in within):
            return True
    return False


#: The policy of a lake in which nothing is personal.
OPEN = Policy()


def policy(root: Path) -> Policy:
    """What the file of the lake at ``root`` says, whether or not that is in force.

    Raises:
        UsageError: when it is no policy: then nothing may be shown, and nothing taken in.
    """
    path = root / FILE
    data = written(root)
    return OPEN if data is None else parse(data, str(path))


def written(root: Path) -> bytes | None:
    """The bytes of a lake's policy; None where it has none."""
    try:
        return (root / FILE).read_bytes()
    except FileNotFoundError:
        return None


def parse(data: bytes, name: str) -> Policy:
    """The policy that some bytes are.

    Raises:
        UsageError: when they are none.
    """

    def refuse(why: str) -> UsageError:
        return UsageError(
            f"{name} is no privacy policy.", why, "Until it is mended nothing is shown."
        )

    try:
        said = tomllib.loads(data.decode())
    except ValueError as error:
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
    if first in BESIDE:
        _, may_be = BESIDE[first]
        if rest and "." not in rest and any(fnmatchcase(one, rest) for one in may_be):
            return None
        return f"of {first} records these can be: {', '.join(sorted(may_be))}."
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
