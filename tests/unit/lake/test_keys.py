"""The index key: one hash, in Python and in SQL, for all ids and for all time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.lake.keys import BITS, SQL, key_of
from forensics.lake.sql import connect

CONNECTION = connect(threads=1)


def key_in_sql(identifier: str) -> int:
    found = CONNECTION.execute(f"SELECT {SQL.format('$1')}", [identifier]).fetchone()
    assert found is not None
    return int(found[0])


@given(st.text(st.characters(exclude_categories=("Cs",)), max_size=300))
def test_python_and_sql_agree_on_any_text(identifier: str) -> None:
    assert key_of(identifier) == key_in_sql(identifier)


@pytest.mark.parametrize(
    "identifier",
    [
        "",
        " ",
        "'",
        "''; DROP TABLE x; --",
        "\\",
        "e\u0301",
        "\u00e9",
        "💥",
        "‮",
        "a" * 256,
        "\n",
        "$1",
        "{}",
    ],
)
def test_python_and_sql_agree_on_naughty_text(identifier: str) -> None:
    assert key_of(identifier) == key_in_sql(identifier)


def test_a_key_has_forty_bits() -> None:
    keys = [key_of(f"r-{number}") for number in range(20_000)]
    assert all(0 <= key < 1 << BITS for key in keys)
    assert len(set(keys)) > 19_990


def test_keys_never_change_since_indexes_are_kept() -> None:
    assert (key_of("7f3a-c1"), key_of("")) == (key_in_sql("7f3a-c1"), key_in_sql(""))
    assert {name: key_of(name) for name in PINNED} == PINNED


PINNED = {
    "7f3a-c1": 294_638_535_111,
    "": 1_016_163_041_513,
    "r-1": 337_248_883_365,
    "ключ": 30_599_654_034,
}
