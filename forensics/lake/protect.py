"""Personal fields on their way into the lake, and out of it.

Where a decision point has personal fields, the received bytes are kept encrypted under the key of
the record's subject, and the typed columns, which are there for scanning many, do without them: a
subject's id gives way to its token, everything else to nothing. So are overrides, outcome labels
and changes that the policy names, or that name a person: under the key of that person, else of the
decision that they belong to. The leaf commits to the bytes as received, so that a proof holds
whether or not anybody can read them.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from forensics.errors import LakeError, UsageError
from forensics.lake import catalog, policies, sql
from forensics.lake.hide import Hidden, without_personal
from forensics.lake.subject_keys import is_marked, key_store
from forensics.privacy import cipher
from forensics.privacy.masking import masked
from forensics.privacy.policy import BESIDE, NEVER, Policy
from forensics.records.jsontext import loads
from forensics.records.looker import current

if TYPE_CHECKING:
    import pyarrow as pa

    from forensics.lake.snapshot import Snapshot
    from forensics.privacy.keystore import KeyStore

#: What a reason begins with that ends in the id of an erasure.
ERASED = "erased: "


def protected(root: Path, table: str, records: pa.Table) -> pa.Table:
    """Records of a table as they are kept: as they are, where nothing of them is personal."""
    said = policies.in_force(root)
    kind, point = catalog.kind_of(table), table.partition("/")[2]
    if said.is_open or not records.num_rows or kind not in ("decision", *BESIDE):
        return records

    def hidden(path: str) -> bool:
        return said.is_personal_in(kind, point, path)

    if said.concerns(kind, point):
        return _encrypted(key_store(root), kind, records, hidden)
    import pyarrow as pa
    import pyarrow.compute as pc

    named = [_names(text, hidden) for text in records["extra"].to_pylist()]
    if not any(named):
        return records
    # Some say what is personal in fields that their contract does not have: those are, and no more.
    mask = pa.array(named)
    some = _encrypted(key_store(root), kind, records.filter(mask), hidden)
    whole = pa.concat_tables([records.filter(pc.invert(mask)), some])
    order = sorted(range(len(named)), key=lambda row: (named[row], row))
    back = sorted(range(len(order)), key=order.__getitem__)
    return whole.take(pa.array(back, pa.int64())).combine_chunks()


def _names(text: str | None, hidden: Hidden) -> bool:
    """Whether fields outside of the contract, as JSON, have a personal one among them."""
    if text is None:
        return False
    said = loads(text)
    return any(
        hidden(name) or (isinstance(value, dict) and any(hidden(f"{name}.{one}") for one in value))
        for name, value in said.items()
    )


def _encrypted(store: KeyStore, kind: str, records: pa.Table, hidden: Hidden) -> pa.Table:
    import pyarrow as pa

    masked = without_personal(records, hidden, store)
    tokens = _tokens(store, kind, records)
    raws = records["raw"].to_pylist()
    keys = store.keys_for(tokens)
    ciphers = {token: cipher.aead(key.key) for token, key in keys.items()}
    sealed = [
        cipher.encrypted(raw, keys[token].key_id, ciphers[token])
        for raw, token in zip(raws, tokens, strict=True)
    ]
    at = masked.schema.get_field_index("raw")
    return masked.set_column(at, masked.schema.field(at), pa.array(sealed, pa.binary()))


def _tokens(store: KeyStore, kind: str, records: pa.Table) -> list[str]:
    """Of each record the token of its subject, or of what it belongs to where it names none."""
    import pyarrow.compute as pc

    if kind == "decision":
        subjects = pc.struct_field(records["subject"], "id").to_pylist()
    else:
        subjects = [subject_in(text) for text in records["extra"].to_pylist()]
    alone = alone_change if kind == "change" else alone_decision
    ids = records["change_id" if kind == "change" else "decision_id"].to_pylist()
    known: dict[str, str] = {}
    found = []
    for subject, id_ in zip(subjects, ids, strict=True):
        name = subject if subject is not None else alone(id_)
        if name not in known:
            known[name] = store.token(name)
        found.append(known[name])
    return found


def subject_in(text: str | None) -> str | None:
    """The person whom a record names outside of its contract; None where it names none."""
    said = loads(text).get("subject") if text is not None and '"subject"' in text else None
    value = said.get("id") if isinstance(said, dict) else None
    return str(value) if value is not None else None


def alone_decision(decision_id: str) -> str:
    """What the key is for of a decision about nobody, and of what belongs to a decision."""
    return f"\0decision:{decision_id}"


def alone_change(change_id: str) -> str:
    """What the key is for of a change that names nobody."""
    return f"\0change:{change_id}"


def keys_live(root: Path, table: str, name: str) -> bool:
    """Whether all keys are there that a staged file's records are encrypted under.

    A person may have been erased since it was staged.
    """
    if not name or not policies.is_guarded(root):
        return True
    if catalog.kind_of(table) not in ("decision", *BESIDE):
        return True
    import pyarrow.parquet as pq

    raws = pq.read_table(root / table / name, columns=["raw"])["raw"].to_pylist()
    ids = {cipher.key_id_of(raw) for raw in raws if raw is not None} - {None}
    store = key_store(root) if ids else None
    return all(store.key(key_id) is not None for key_id in ids if store and key_id)


def opened(root: Path, raw: bytes) -> tuple[bytes | None, str | None]:
    """Received bytes as they were received, or None and why nobody here can read them.

    Raises:
        IntegrityError: when they are not what was encrypted.
    """
    erasure = cipher.erasure_of(raw)
    if erasure is not None:
        return None, ERASED + erasure
    key_id = cipher.key_id_of(raw)
    if key_id is None:
        return raw, None
    try:
        store = key_store(root)
    except LakeError as error:
        return None, f"its key is not here: {error.what}"
    key = store.key(key_id)
    if key is not None:
        return cipher.decrypted(raw, cipher.aead(key)), None
    erasure = store.erasure_of(key_id)
    return None, ERASED + erasure if erasure else "its key is not in this key store"


def received(root: Path, raw: bytes) -> bytes:
    """Received bytes of a record whose key is there; those of others stay as they are."""
    return opened(root, raw)[0] or raw if raw.startswith(b"\0") else raw


def columns_seen(snapshot: Snapshot, point: str, source: str) -> str:
    """A query for a decision point's rows without what whoever looks may not see in them.

    Args:
        snapshot: the lake.
        point: the decision point.
        source: a query that answers all columns of its table.
    """
    if not policies.is_guarded(snapshot.root):
        return source
    said, looker = policies.in_force(snapshot.root, snapshot), current()
    features = snapshot.tables[f"decisions/{point}"].features
    columns: dict[str, str] = {}
    for name, within in _groups(features).items():
        hidden = [one for one in within if not said.may_see(looker, point, f"{name}.{one}")]
        if not said.may_see(looker, point, name):
            columns[name] = f"CASE WHEN false THEN {name} END"
        elif hidden:
            nulls = ", ".join(
                f"{sql.identifier(one)} := CASE WHEN false THEN {name}[{sql.literal(one)}] END"
                for one in hidden
            )
            columns[name] = f"struct_update({name}, {nulls})"
    if not columns:
        return source
    replaced = ", ".join(f"{made} AS {name}" for name, made in columns.items())
    return f"SELECT * REPLACE ({replaced}) FROM ({source})"


def hidden_features(snapshot: Snapshot, point: str) -> list[str]:
    """Features of a decision point that are personal, so that its columns do not have them."""
    if not policies.is_guarded(snapshot.root):
        return []
    said = policies.in_force(snapshot.root, snapshot)
    names = snapshot.tables[f"decisions/{point}"].features
    return [name for name in names if said.is_personal(point, f"features.{name}")]


def require_columns(snapshot: Snapshot, point: str) -> None:
    """See that many decisions of a point can be run at once, which takes all features as columns.

    Raises:
        UsageError: when some of its features are personal.
    """
    if hidden := hidden_features(snapshot, point):
        some = ", ".join(f"features.{name}" for name in hidden[:5])
        raise UsageError(
            f"Decisions of {point} cannot be run many at once.",
            f"Columns do not have what is personal: {some}"
            + (f" and {len(hidden) - 5} more." if len(hidden) > 5 else "."),
            "One at a time they can, by a role that may see it: forensics trace ID",
        )


def subject_is(root: Path, subject: str) -> str:
    """The SQL condition that a decision is about somebody, by id or by token."""
    names = [subject]
    if is_marked(root):
        names.append(key_store(root).token(subject))
    return f"subject.id IN ({', '.join(map(sql.literal, names))})"


def _groups(features: Iterable[str]) -> dict[str, list[str]]:
    """The columns that can be asked for, with what is in them."""
    from forensics_schemas.arrow import SCHEMAS

    found: dict[str, list[str]] = {}
    for field in SCHEMAS["decision"]:
        if field.name not in NEVER:
            children = range(field.type.num_fields) if _is_struct(field.type) else ()
            found[field.name] = [field.type.field(at).name for at in children]
    return found | ({"features": list(features)} if features else {})


def _is_struct(type_: Any) -> bool:
    import pyarrow as pa

    return bool(pa.types.is_struct(type_))


class Shown(NamedTuple):
    """A record as whoever looks may see it, and what is said of that with it."""

    record: dict[str, Any]
    facts: dict[str, Any]


def shown(
    root: Path, said: Policy, table: str, record: dict[str, Any], sealed: Mapping[str, Any]
) -> Shown | None:
    """A record without what whoever looks may not see; None where they may see all of it.

    Args:
        root: the lake.
        said: the policy in force.
        table: the record's table.
        record: by the contract's names.
        sealed: what the lake keeps with it; ``unreadable`` says why its bytes cannot be read.
    """
    kind = catalog.kind_of(table)
    if kind not in ("decision", *BESIDE):
        return None
    point = table.partition("/")[2] or str(record.get("decision_point") or "")
    if "unreadable" in sealed:  # only columns are left, in which nothing is personal
        rule = str(sealed["unreadable"])
        gone = ("*",) if rule.startswith(ERASED) else _withheld(said, kind)
        left = masked(Policy(said.personal), current(), point, record, kind=kind).record
        subject = record.get("subject")
        if subject:
            left["subject"] = subject  # a token
        return Shown(left, {"redacted": dict.fromkeys(gone, rule), "unmasked": ()})
    if said.is_open:
        return None

    def token(subject: str) -> str | None:
        return key_store(root).token(subject) if is_marked(root) else None

    seen = masked(said, current(), point, record, token, kind=kind)
    return Shown(seen.record, {"redacted": seen.redacted, "unmasked": seen.unmasked})


def _withheld(said: Policy, kind: str) -> tuple[str, ...]:
    """What is personal in records of a kind, as paths within them."""
    if kind == "decision":
        return tuple(one for one in said.personal if one.partition(".")[0] not in BESIDE)
    of = (one.rpartition(":")[2] for one in said.personal)
    return tuple(one.removeprefix(f"{kind}.") for one in of if one.startswith(f"{kind}."))
