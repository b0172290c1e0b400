"""Personal fields on their way into the lake, and out of it.

Where a decision point has personal fields, the received bytes are kept encrypted under the key of
the record's subject, and the typed columns, which are there for scanning many, do without them: a
subject's id gives way to its token, everything else to nothing. The leaf commits to the bytes as
received, so that a proof holds whether or not anybody can read them.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from forensics.errors import LakeError, UsageError
from forensics.lake import sql
from forensics.lake.files import write_durably
from forensics.lake.layout import identity
from forensics.privacy import cipher
from forensics.privacy.keystore import KeyStore, master_key_command, usual_path
from forensics.privacy.masking import masked
from forensics.privacy.policy import NEVER, Policy, policy
from forensics.records.looker import current

if TYPE_CHECKING:
    import pyarrow as pa

    from forensics.lake.snapshot import Snapshot

#: What a reason begins with that ends in the id of an erasure.
ERASED = "erased: "
#: What a key is for where a record names no subject: that record alone. No id begins so.
_ALONE = "\0decision:"
#: Names the key store whose keys the lake's records are encrypted under.
_MARK = "keystore.id"


def key_store(root: Path) -> KeyStore:
    """The key store of a lake, opened once a process.

    Raises:
        LakeError: when it cannot be opened.
    """
    return _opened(root.resolve(), os.getpid())


@lru_cache(maxsize=8)
def _opened(root: Path, pid: int) -> KeyStore:
    path = usual_path(identity(root))
    mark = root / _MARK
    if mark.exists() and not path.exists():
        raise LakeError(
            f"The key store of this lake is not at {path}.",
            "Its keys were made elsewhere.",
            "Name its folder: FORENSICS_KEY_STORE",
        )
    store = KeyStore(path, master_key_command())
    said = store.token("\0store")
    if not mark.exists():
        write_durably(mark, said.encode() + b"\n")
    elif mark.read_text(encoding="utf-8").strip() != said:
        raise LakeError(
            f"The key store {path} is another one than this lake's.",
            f"{mark.name} names the one whose keys its records are encrypted under.",
            "Name its folder: FORENSICS_KEY_STORE",
        )
    return store


def protected(root: Path, table: str, records: pa.Table) -> pa.Table:
    """Records of a table as they are kept: as they are, where nothing of them is personal."""
    said = policy(root)
    kind, _, point = table.partition("/")
    if said.is_open or kind != "decisions" or not records.num_rows:
        return records
    if not any(said.is_personal(point, path) for path in _paths(records)):
        return records
    store = key_store(root)
    tokens = _tokens(store, records)
    masked = _masked(records, point, said, store)
    raws = records["raw"].to_pylist()
    keys = store.keys_for(tokens)
    ciphers = {token: cipher.aead(key.key) for token, key in keys.items()}
    sealed = [
        cipher.encrypted(raw, keys[token].key_id, ciphers[token])
        for raw, token in zip(raws, tokens, strict=True)
    ]
    at = masked.schema.get_field_index("raw")
    return masked.set_column(at, masked.schema.field(at), _binary(sealed))


def _binary(values: Sequence[bytes]) -> pa.Array:
    import pyarrow as pa

    return pa.array(values, pa.binary())


def _tokens(store: KeyStore, records: pa.Table) -> list[str]:
    """Of each record the token of its subject, or of itself where it names none."""
    import pyarrow.compute as pc

    subjects = pc.struct_field(records["subject"], "id").to_pylist()
    ids = records["decision_id"].to_pylist()
    known: dict[str, str] = {}
    found = []
    for subject, decision_id in zip(subjects, ids, strict=True):
        name = subject if subject is not None else _ALONE + decision_id
        if name not in known:
            known[name] = store.token(name)
        found.append(known[name])
    return found


def _paths(records: pa.Table) -> Iterable[str]:
    """Paths of all fields of the records, groups before what is in them."""
    import pyarrow as pa

    for column in records.schema:
        yield column.name
        of = column.type.value_type if pa.types.is_list(column.type) else column.type
        if pa.types.is_struct(of):
            for child in of:
                yield f"{column.name}.{child.name}"


def _masked(records: pa.Table, point: str, said: Policy, store: KeyStore) -> pa.Table:
    """The records without what is personal in them."""
    import pyarrow as pa

    def hidden(path: str) -> bool:
        return said.is_personal(point, path)

    columns: dict[str, pa.ChunkedArray] = {}
    for column in records.schema:
        name, type_, values = column.name, column.type, records[column.name]
        if name == "exact":
            values = pa.chunked_array([_without(values.combine_chunks(), hidden)], type_)
        elif name == "extra":
            values = pa.chunked_array([_extra(values.combine_chunks(), hidden)], type_)
        elif hidden(name) and name not in _KEPT:
            values = pa.chunked_array([pa.nulls(records.num_rows, type_)], type_)
        elif pa.types.is_struct(type_) and name not in _KEPT:
            chunks = [_struct(chunk, name, hidden, store) for chunk in values.chunks]
            values = pa.chunked_array(chunks, type_)
        elif pa.types.is_list(type_) and pa.types.is_struct(type_.value_type):
            chunks = [_list(chunk, name, hidden, store) for chunk in values.chunks]
            values = pa.chunked_array(chunks, type_)
        columns[name] = values
    return pa.table(columns, schema=records.schema)


#: What a record is found, checked and ordered by.
_KEPT = frozenset(("raw", "salt", "leaf", "segment", "leaf_index", "source", "ingested_at"))


def _struct(array: Any, name: str, hidden: Any, store: KeyStore) -> Any:
    import pyarrow as pa

    children = []
    for at, child in enumerate(array.type):
        path, values = f"{name}.{child.name}", array.field(at)
        if not hidden(path):
            children.append(values)
        elif path == "subject.id":
            tokens = [store.token(one) if one is not None else None for one in values.to_pylist()]
            children.append(pa.array(tokens, child.type))
        else:
            children.append(pa.nulls(len(array), child.type))
    mask = array.is_null() if array.null_count else None
    return pa.StructArray.from_arrays(children, fields=list(array.type), mask=mask)


def _list(array: Any, name: str, hidden: Any, store: KeyStore) -> Any:
    """A list of groups whose personal fields are null."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if not any(hidden(f"{name}.{child.name}") for child in array.type.value_type):
        return array
    flat = array.flatten()
    lengths = pc.list_value_length(array).to_pylist()
    offsets, at = [0], 0
    for length in lengths:
        at += length or 0
        offsets.append(at)
    marks: list[int | None] = [
        None if length is None else offset
        for length, offset in zip([*lengths, 0], offsets, strict=True)
    ]
    inner = _struct(flat, name, hidden, store)
    return pa.ListArray.from_arrays(pa.array(marks, pa.int32()), inner, type=array.type)


def _without(values: Any, hidden: Any) -> Any:
    """Exact values by path, without those of personal fields."""
    import pyarrow as pa

    kept = [
        None if one is None else [(path, text) for path, text in one if not hidden(path)]
        for one in values.to_pylist()
    ]
    return pa.array(kept, values.type)


def _extra(values: Any, hidden: Any) -> Any:
    """Fields outside the contract, without personal ones."""
    import pyarrow as pa

    from forensics.records.jsontext import dumps, loads

    texts: list[str | None] = []
    for text in values.to_pylist():
        if text is None:
            texts.append(None)
            continue
        kept = {path: value for path, value in loads(text).items() if not hidden(path)}
        texts.append(dumps(kept, strict=False) if kept else None)
    return pa.array(texts, values.type)


def keys_live(root: Path, table: str, name: str) -> bool:
    """Whether all keys are there that a staged file's records are encrypted under.

    A person may have been erased since it was staged.
    """
    if not name or not table.startswith("decisions/") or not (root / "privacy.toml").exists():
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
    if not (snapshot.root / "privacy.toml").exists():
        return source
    said, looker = policy(snapshot.root), current()
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
    if not (snapshot.root / "privacy.toml").exists():
        return []
    said = policy(snapshot.root)
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
    if (root / _MARK).exists():
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
    root: Path, table: str, record: dict[str, Any], sealed: Mapping[str, Any]
) -> Shown | None:
    """A decision's record without what whoever looks may not see; None for other records.

    Args:
        root: the lake.
        table: the record's table.
        record: by the contract's names.
        sealed: what the lake keeps with it; ``unreadable`` says why its bytes cannot be read.
    """
    said = policy(root)
    kind, _, point = table.partition("/")
    if kind != "decisions":
        return None
    if "unreadable" in sealed:  # only columns are left, in which nothing is personal
        rule = str(sealed["unreadable"])
        gone = ("*",) if rule.startswith(ERASED) else said.personal
        left = masked(Policy(said.personal), current(), point, record).record
        subject = record.get("subject")
        if subject:
            left["subject"] = subject  # a token
        return Shown(left, {"redacted": dict.fromkeys(gone, rule), "unmasked": ()})
    if said.is_open:
        return None

    def token(subject: str) -> str | None:
        return key_store(root).token(subject) if (root / _MARK).exists() else None

    seen = masked(said, current(), point, record, token)
    return Shown(seen.record, {"redacted": seen.redacted, "unmasked": seen.unmasked})
