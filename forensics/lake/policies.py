"""Which privacy policy is in force: the one that was sealed last, if the file still says it.

``privacy.toml`` can be edited by whoever writes to the lake. So each version that comes into force
is a sealed record with the file's text, and its digest is kept beside the key store, outside the
lake. Where the three do not agree nobody sees anything that is personal by one of them, until
``forensics policy --seal`` says who wants it so and why. The first version of a lake is in force
unsealed until something is taken in, which seals it.
"""

from __future__ import annotations

import hashlib
from collections.abc import Hashable
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from forensics.errors import ForensicsError, IntegrityError
from forensics.integrity.leaf import leaf_hash
from forensics.lake import sealed, sql
from forensics.lake.files import write_durably
from forensics.lake.layout import identity
from forensics.lake.snapshot import Snapshot, take
from forensics.privacy.places import usual_path
from forensics.privacy.policy import FILE, OPEN, Policy, parse, policy, written
from forensics.records.jsontext import loads
from forensics.records.looker import current

TABLE = "policies"
#: What nobody may see where it is not known any more what was personal.
_EVERYTHING = ("subject.id", "*")
_TODO = "see forensics policy"


class Version(NamedTuple):
    """A version of the policy that was sealed; ``text`` is None where there was no file."""

    policy_id: str
    occurred_at: str
    digest: str
    text: str | None
    actor: str
    reason: str | None


class Standing(NamedTuple):
    """How a lake's policy stands.

    ``digest`` is the file's, ``last`` what was sealed last, ``problem`` why the file is not in
    force; ``is_sealed`` says that it is in force and sealed, or that there is none and never was.
    """

    digest: str
    last: Version | None
    problem: str | None
    is_sealed: bool


def digest_of(data: bytes | None) -> str:
    """The digest of a policy's bytes; of none where there is no file."""
    return "sha256:" + hashlib.sha256(data or b"").hexdigest()


def in_force(root: Path, snapshot: Snapshot | None = None) -> Policy:
    """What is personal in a lake, and who may see it.

    Args:
        root: the lake.
        snapshot: of it, whose connection is used; one is made where None and it is needed.

    Raises:
        UsageError: when the file is no policy: then nothing may be shown, and nothing taken in.
    """
    stamp = _stamp(root)
    if stamp is None:
        return OPEN
    known = _known.get(root)
    if known is None or known[0] != stamp:
        known = stamp, _in_force(root, snapshot)
        _known.clear()
        _known[root] = known
    return known[1]


def is_guarded(root: Path) -> bool:
    """Whether a lake has, or had, a policy: then :func:`in_force` has to be asked."""
    return _stamp(root) is not None


def eyes(root: Path) -> Hashable:
    """With whose eyes a lake is looked at now: what is kept of one look serves no other."""
    stamp, looker = _stamp(root), current()
    return None if stamp is None else (stamp, looker.actor, looker.role)


_Stamp = tuple[tuple[int, int] | None, int | None, str | None]
_known: dict[Path, tuple[_Stamp, Policy]] = {}


def _stamp(root: Path) -> _Stamp | None:
    """What changes when the policy may; None where there is none and never was."""
    file = _stat(root / FILE)
    table = _stat(root / TABLE / "_delta_log")
    kept = remembered(root)
    if file is None and table is None and kept is None:
        return None
    return file, table[0] if table is not None else None, kept


def _stat(path: Path) -> tuple[int, int] | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_mtime_ns, found.st_size


def _in_force(root: Path, snapshot: Snapshot | None) -> Policy:
    said = policy(root)
    stands = standing(root, snapshot)
    if stands.problem is None:
        return said
    known = stands.last is not None
    before = parse(stands.last.text.encode(), TABLE) if stands.last and stands.last.text else OPEN
    personal = dict.fromkeys((*said.personal, *before.personal, *(() if known else _EVERYTHING)))
    return Policy(tuple(personal), {}, f"{stands.problem}: {_TODO}")


def standing(root: Path, snapshot: Snapshot | None = None) -> Standing:
    """How the policy of a lake stands; see :class:`Standing`."""
    data, kept = written(root), remembered(root)
    digest = digest_of(data)
    try:
        last = newest(root, snapshot)
    except ForensicsError as error:
        return Standing(digest, None, f"the sealed policy cannot be read ({error.what})", False)
    if last is None:
        if kept is not None:
            return Standing(digest, None, "the record of the policy that was sealed is gone", False)
        return Standing(digest, None, None, data is None)
    if last.digest != digest:
        what = "has been changed" if data is not None else "is gone"
        return Standing(digest, last, f"{FILE} {what} since it was sealed", False)
    if kept is not None and kept != digest:
        problem = "the policy was sealed by somebody without this lake's key store"
        return Standing(digest, last, problem, False)
    return Standing(digest, last, None, True)


def newest(root: Path, snapshot: Snapshot | None = None) -> Version | None:
    """The version that was sealed last, read from the bytes that its leaf commits to.

    Raises:
        IntegrityError: when the record is not what was written.
    """
    if not (root / TABLE).exists():
        return None
    if snapshot is None or TABLE not in snapshot.tables:
        fresh = take(root)
        snapshot = fresh if snapshot is None else fresh.through(snapshot.connection)
    versions = history(snapshot, most=1)
    return versions[0] if versions else None


def history(snapshot: Snapshot, most: int | None = None) -> list[Version]:
    """The versions that were sealed, newest first.

    Raises:
        IntegrityError: when a record is not what was written.
    """
    paths = snapshot.paths(TABLE)
    if not paths:
        return []
    limit = "" if most is None else f" LIMIT {most}"
    with sql.reading("The table of policies"):
        rows = snapshot.connection.execute(
            "SELECT raw, salt, leaf, segment, leaf_index FROM "
            f"read_parquet({sql.literal(paths)}, union_by_name = true) "
            f"ORDER BY occurred_at DESC, policy_id DESC{limit}"
        ).fetchall()
    return [_version(snapshot.root, *row) for row in rows]


def _version(root: Path, raw: bytes, salt: bytes, leaf: bytes, segment: str, index: int) -> Version:
    if not (raw and salt) or leaf_hash(salt, raw) != leaf:
        raise IntegrityError("A record of the privacy policy is not what was written.")
    if sealed.is_listed(root, segment, index, leaf) is False:
        raise IntegrityError("A record of the privacy policy is not the one that was sealed.")
    said = loads(raw.decode())
    text = said.get("text")
    version = Version(
        said["policy_id"], said["occurred_at"], said["digest"], text, said["actor"],
        said.get("reason"),
    )  # fmt: skip
    if digest_of(text.encode() if text is not None else None) != version.digest:
        raise IntegrityError("A record of the privacy policy has another text than its digest.")
    return version


def remembered(root: Path) -> str | None:
    """The digest of the policy in force as the key store's folder has it; None where it has none.

    Raises:
        LakeError: when there is no lake.
    """
    path = _beside_keys(root)
    try:
        return path.read_text(encoding="ascii").strip() or None
    except (OSError, UnicodeDecodeError):
        return None


def remember(root: Path, digest: str) -> None:
    """Keep the digest of the policy in force where who only writes to the lake cannot."""
    path = _beside_keys(root)
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    write_durably(path, f"{digest}\n".encode())


def _beside_keys(root: Path) -> Path:
    try:
        stamp = (root / "lake.toml").stat()
    except OSError:
        return usual_path(identity(root)).with_suffix(".policy")
    return usual_path(_identity(root, stamp.st_mtime_ns, stamp.st_ino)).with_suffix(".policy")


@lru_cache(maxsize=16)
def _identity(root: Path, mtime_ns: int, inode: int) -> str:
    """The id of a lake, read once: whether a policy is in force is asked for each record."""
    return identity(root)
