"""The index key of an id: a fixed hash, the same in Python and in SQL, for all time.

DuckDB's own ``hash()`` may change with its version; MD5 does not. It spreads ids and protects
nothing. Forty bits keep an entry small: among 1,000 million entries a look-up meets a foreign one
with a chance of 1 in 1,000, and every hit is compared with the id itself.
"""

from __future__ import annotations

import hashlib

BITS = 40
MASK = (1 << BITS) - 1

#: The same in SQL, for the text column or expression ``{}``.
SQL = f"(md5_number_lower({{}}) & {MASK})::BIGINT"


def key_of(identifier: str) -> int:
    """The index key of ``identifier``, 0 to 2**40 - 1."""
    digest = hashlib.md5(identifier.encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") & MASK


#: The columns that a look-up can name a record of each kind of table by.
_COLUMNS = {
    "decisions": ("request_id", "decision_id"),
    "overrides": ("decision_id",),
    "outcomes": ("decision_id",),
    "changes": (),
    "declarations": (),
    "access": (),
    "holds": (),
    "erasures": (),
    "policies": (),
    "lineage": ("event_id", "run_id"),
}


def key_columns(table: str) -> tuple[str, ...]:
    """The indexed columns of the table ``table``."""
    return _COLUMNS[table.split("/", 1)[0]]
