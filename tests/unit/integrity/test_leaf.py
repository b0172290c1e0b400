"""The leaf: one form for all time, so that a proof made today is one in ten years."""

from __future__ import annotations

import hashlib

from hypothesis import given
from hypothesis import strategies as st

from forensics.ingest.arrow_records import take_in
from forensics.ingest.interface import Options
from forensics.integrity.leaf import HEADER, SALT_BYTES, leaf_hash
from forensics.testing import decision_record

SALT = bytes(range(SALT_BYTES))


def test_the_form_never_changes() -> None:
    assert HEADER == b"decision-forensics/leaf/1\n"
    assert leaf_hash(SALT, b'{"a":1}').hex() == PINNED


@given(st.binary(max_size=200))
def test_it_is_the_rfc_6962_leaf_of_header_and_salted_digest(raw: bytes) -> None:
    inner = hashlib.sha256(SALT + raw).digest()
    assert leaf_hash(SALT, raw) == hashlib.sha256(b"\x00" + HEADER + inner).digest()


@given(st.binary(max_size=50), st.binary(max_size=50), st.binary(min_size=16, max_size=16))
def test_another_salt_or_other_bytes_give_another_leaf(a: bytes, b: bytes, salt: bytes) -> None:
    assert (leaf_hash(SALT, a) == leaf_hash(SALT, b)) == (a == b)
    assert (leaf_hash(SALT, a) == leaf_hash(salt, a)) == (salt == SALT)


def test_sql_makes_the_same_leaves_as_python() -> None:
    import pyarrow as pa

    rows = pa.Table.from_pylist([decision_record(outcome=text) for text in ("A", "ü'\"\\", "\x00")])
    rows = rows.set_column(
        rows.schema.get_field_index("occurred_at"),
        "occurred_at",
        rows["occurred_at"].cast(pa.timestamp("us", "UTC")),
    )
    (table,) = take_in("rows", 1, rows, {}, Options()).tables.values()
    kept = table.select(["raw", "salt", "leaf"]).to_pylist()
    assert [leaf_hash(row["salt"], row["raw"]) for row in kept] == [row["leaf"] for row in kept]
    assert len({row["salt"] for row in kept}) == 3
    assert {len(row["salt"]) for row in kept} == {SALT_BYTES}


PINNED = "a29880de64171ba31b628256907e2d17395100832ce150af3c396f76031f67c2"
