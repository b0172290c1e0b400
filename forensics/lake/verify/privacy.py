"""The privacy policy against the one that was sealed, and erasures that were begun and not done."""

from __future__ import annotations

from collections.abc import Iterable

from forensics.errors import ForensicsError
from forensics.lake import erasing, policies
from forensics.lake.snapshot import Snapshot
from forensics.lake.theirs import theirs
from forensics.lake.verify.defects import Defect, Findings
from forensics.privacy.policy import FILE


def policy(snapshot: Snapshot, findings: Findings) -> None:
    """See that the privacy policy is the one that was sealed last."""
    stands = policies.standing(snapshot.root, snapshot)
    if stands.problem is not None:
        last = stands.last
        since = f" {last.actor} sealed {last.policy_id} at {last.occurred_at}." if last else ""
        what = (
            f"The privacy policy is not the sealed one: {stands.problem}.{since} Nobody sees what "
            "is personal until a policy is sealed: forensics policy"
        )
        findings.add(Defect("altered", what, table=policies.TABLE, file=FILE))
    elif not stands.is_sealed:
        findings.gap(
            f"{FILE} is not sealed yet: the next ingest seals it, or forensics policy --seal"
        )


def unfinished(snapshot: Snapshot, findings: Findings) -> None:
    """Say that an erasure was begun, and not finished."""
    try:
        begun = erasing.read(snapshot.root)
    except ForensicsError as error:
        findings.gap(f"{error.what} {error.why}")
        return
    if begun is not None:
        findings.gap(
            f"Erasure {begun.erasure_id} on the order {begun.order} is unfinished: what it erases "
            "may still be there. Finish it: forensics erase --resume"
        )


def is_under_way(snapshot: Snapshot, token: str, told: Iterable[str]) -> bool:
    """Whether records are erased in part because an erasure of that person is unfinished.

    The file that says so is believed only so far as all that the lake holds of the person, erased
    and not, is what an erasure said that it erases: so it hides no other.

    Args:
        snapshot: the lake.
        token: of the person.
        told: the digests of leaves that the person's erasures said.
    """
    try:
        begun = erasing.read(snapshot.root)
        if begun is None or begun.token != token:
            return False
        held = theirs(snapshot, begun.person(snapshot.root))
    except ForensicsError:
        return False
    return held.token == token and held.leaves in set(told)
