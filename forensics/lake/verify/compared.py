"""Columns against received bytes, also of records that are encrypted.

Columns of an encrypted record do without what was personal when it came in: a null says nothing
then, and of groups within lists, exact values and fields outside the contract some may be gone.
Everything else that a column says has to be what the bytes say.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa

from forensics.lake import catalog
from forensics.lake.protect import opened
from forensics.privacy.policy import BESIDE, NEVER

#: Compares typed columns with received bytes: given a table's name and records, it yields the row,
#: the column, and what is wrong with it.
Compare = Callable[[str, pa.Table], Iterator[tuple[int, str]]]

#: What every received record that cannot be read as it is begins with.
_SPECIAL = b"\0"
_IN_PART = frozenset(("subject.id", "extra", "exact"))


def compared(
    root: Path, table: str, records: pa.Table, compare: Compare
) -> Iterator[tuple[int, str]]:
    """Rows of ``records`` and the columns in which they do not say what their bytes say.

    Of encrypted records only those are compared whose key is here.

    Raises:
        IntegrityError: when encrypted bytes are not what was written.
    """
    raws = records["raw"].to_pylist()
    encrypted = {row for row, raw in enumerate(raws) if raw is not None and raw[:1] == _SPECIAL}
    if encrypted:
        for row in encrypted:
            raws[row] = opened(root, raws[row])[0] or raws[row]
        at = records.schema.get_field_index("raw")
        field = records.schema.field(at)
        plain = records.set_column(at, field, pa.array(raws, field.type))
    else:
        plain = records
    for row, column in compare(table, plain):
        if row not in encrypted or _says(table, records, row, column):
            yield row, column


def _says(table: str, records: pa.Table, row: int, column: str) -> bool:
    """Whether a column of an encrypted record says what masking alone does not explain."""
    name, _, child = column.partition(".")
    kind = catalog.kind_of(table)
    stays = NEVER if kind == "decision" else BESIDE[kind][0] if kind in BESIDE else frozenset()
    if name in stays or name not in records.schema.names:
        return True
    if column in _IN_PART or pa.types.is_list(records.schema.field(name).type):
        return False
    value = records[name][row].as_py()
    return (value.get(child) if child and isinstance(value, dict) else value) is not None
