"""Rows in files that people bring: told by content, and refused where a row could be misread."""

from __future__ import annotations

import io
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.errors import UsageError
from forensics.lake.rows import read_rows

ROWS: list[dict[str, Any]] = [
    {"income": 1500, "ratio": 0.25, "region": "north", "late": None, "owner": True},
    {"income": 2500, "ratio": 1.5, "region": "a, b", "late": None, "owner": False},
]


def as_parquet(rows: list[dict[str, Any]]) -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows), sink)
    return sink.getvalue()


@pytest.mark.parametrize(
    "data",
    [
        b'income,ratio,region,late,owner\n1500,0.25,north,,true\n2500,1.5,"a, b",,false\n',
        b"\xef\xbb\xbfincome,ratio,region,late,owner\r\n1500,0.25,north,,True\r\n"
        b'2500,1.5,"a, b",,False\r\n\r\n',
        b'[{"income":1500,"ratio":0.25,"region":"north","late":null,"owner":true},'
        b'{"income":2500,"ratio":1.5,"region":"a, b","late":null,"owner":false}]',
        b'{"income":1500,"ratio":0.25,"region":"north","late":null,"owner":true}\n'
        b'{"income":2500,"ratio":1.5,"region":"a, b","late":null,"owner":false}\n',
        b'{"columns":["income","ratio","region","late","owner"],'
        b'"data":[[1500,0.25,"north",null,true],[2500,1.5,"a, b",null,false]]}',
        as_parquet(ROWS),
    ],
    ids=["csv", "csv_of_a_spreadsheet", "json", "json_lines", "columns_and_data", "parquet"],
)
def test_every_form_gives_the_same_rows(data: bytes) -> None:
    assert read_rows(data, "rows") == ROWS


def test_numbers_keep_their_kind_and_the_rest_stays_text() -> None:
    (row,) = read_rows(b"a,b,c,d,e,f\n-3,1e3,007x,nan,2026-01-01,1_000\n", "rows")
    assert row["a"] == -3
    assert isinstance(row["a"], int)
    assert row["b"] == 1000.0
    assert row["c"] == "007x"
    assert row["d"] != row["d"]
    assert row["e"] == "2026-01-01"
    assert row["f"] == "1_000"


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"", "It has no rows"),
        (b"a,b\n", "It has no rows"),
        (b"a,b\n1\n", "record 2 has 1 cells"),
        (b"a,a\n1,2\n", "two columns have the same name"),
        (b'a,b\n"1,2\n', "no CSV"),
        (b"\xff\xfe\x00", "utf-8"),
        (b"[1, 2]", "no list of objects"),
        (b'[{"a": 1}, {"b": 1}]', "Row 2 differs from the first in a, b"),
        (b'{"columns": ["a"], "data": [[1, 2]]}', "zip()"),
        (b"PAR1 and no more", "cannot be read"),
        (as_parquet(ROWS)[:-20], "cannot be read"),
    ],
)
def test_what_could_be_misread_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_rows(data, "rows.csv")
    assert said in str(raised.value)
