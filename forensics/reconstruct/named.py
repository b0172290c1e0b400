"""The decisions that an id names; and what is said of an id that names none."""

from __future__ import annotations

from forensics.errors import ForensicsError, IntegrityError, NotFoundError
from forensics.lake import looks, read
from forensics.lake.read import Kept
from forensics.lake.snapshot import Location, Snapshot, index_advice
from forensics.reconstruct.nearest import nearest_ids
from forensics.records.decision import Decision
from forensics.records.times import from_micros


def named(
    snapshot: Snapshot, located: list[Location], identifier: str, *, look: bool = True
) -> list[tuple[Kept, Decision]]:
    """The decisions among ``located`` that bear ``identifier``, oldest first; at least one.

    Args:
        snapshot: the lake.
        located: where the index says that records with that id are.
        identifier: a request id or a decision id. One request may have several decisions.
        look: record that somebody looks at them.

    Raises:
        NotFoundError: when no decision has that id; it names the nearest.
        IntegrityError: when a file or the index is damaged, so that nobody can tell.
    """
    found = decisions(snapshot, located, identifier, look=look)
    if not found:
        # The index may know an id whose row is gone from its file.
        snapshot.check_files({f"{place.table}/{place.file}" for place in located})
        raise _not_found(snapshot, identifier)
    return found


def decisions(
    snapshot: Snapshot, located: list[Location], identifier: str, *, look: bool = True
) -> list[tuple[Kept, Decision]]:
    """As :func:`named`, and none where no decision has that id."""
    wanted = [location for location in located if location.table.startswith("decisions/")]
    found = []
    for kept in read.records(snapshot, wanted):
        decision = read.decision(kept, snapshot.tables[kept.location.table].features)
        if identifier in (decision.request_id, decision.decision_id, *kept.named):
            found.append((kept, decision))
    if look and found:
        looks.saw(
            snapshot.root,
            (decision.decision_id for _, decision in found),
            unmasked={path for _, one in found for path in one.sealed.get("unmasked") or ()},
        )
    return sorted(found, key=lambda item: (item[1].occurred_at, item[1].decision_id))


def _not_found(snapshot: Snapshot, identifier: str) -> ForensicsError:
    """The error for an id that no decision has: where was looked, and what is nearest.

    That it has none is only said after the index, which said so, was found undamaged.
    """
    window = snapshot.window_us()
    where = f"No decision {identifier!r} in lake {snapshot.root}"
    if window is None:
        return NotFoundError(
            f"{where}.", "It holds no decisions yet.", "Take some in: forensics ingest FILE"
        )
    first, last = (f"{from_micros(us):%Y-%m-%d %H:%M}" for us in window)
    from forensics.lake.index import check

    nearest = nearest_ids(snapshot, identifier)
    try:
        check(snapshot.root, snapshot.known.runs)
        damaged = identifier in nearest
    except IntegrityError:
        damaged = True
    if damaged:
        return IntegrityError(
            f"The look-up index of lake {snapshot.root} is damaged; it knows no {identifier!r}.",
            "The records themselves are not concerned: the index is derived from them.",
            index_advice(snapshot.root),
        )
    hint = f"Nearest ids: {', '.join(nearest)}." if nearest else "No id is near it."
    return NotFoundError(
        f"{where} (decisions from {first} to {last} UTC).",
        hint,
        f"Search by time or subject: forensics find --lake {snapshot.root} --since T --subject S",
        nearest=tuple(nearest),
    )
