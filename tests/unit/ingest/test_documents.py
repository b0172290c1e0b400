"""JSON that is not one record a line: each is cut out to the byte, damage costs only itself."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from forensics.ingest import quarantine
from forensics.ingest.documents import Cutter, is_document
from forensics.ingest.interface import NO_OPTIONS
from forensics.ingest.retry import retry
from forensics.ingest.run import Report
from forensics.lake.snapshot import take
from forensics.testing import decision_record

TakeIn = Callable[..., Report]


def cut(text: bytes, size: int = 1 << 20) -> tuple[list[tuple[int, bytes]], list[str]]:
    """The records of a document that arrives in blocks, and what is missing."""
    cutter = Cutter()
    found = [item for at in range(0, len(text), size) for item in cutter.feed(text[at : at + size])]
    found += cutter.finish()
    return found, [reject.reason for reject in cutter.missing()]


RECORDS = [decision_record(note='}]{["\\', inner={"list": [1, {"a": []}]}) for _ in range(5)]
FORMS = {
    "an array on one line": json.dumps(RECORDS).encode(),
    "an indented array": json.dumps(RECORDS, indent=2).encode(),
    "an array with a record a line": b"[\n" + b",\n".join(
        json.dumps(record).encode() for record in RECORDS) + b"\n]\n",
    "indented records one after the other": b"\n".join(
        json.dumps(record, indent=4).encode() for record in RECORDS),
    "indented records with nothing between": b"".join(
        json.dumps(record, indent=4).encode() for record in RECORDS),
    "several arrays": json.dumps(RECORDS[:2], indent=1).encode() + json.dumps(RECORDS[2:]).encode(),
    "one indented record": json.dumps(RECORDS[0], indent=1).encode() + b"\n",
    "records without indentation": json.dumps(RECORDS, indent=0).encode(),
    "an array behind a BOM": b"\xef\xbb\xbf \r\n" + json.dumps(RECORDS).encode(),
    "CRLF": json.dumps(RECORDS, indent=2).replace("\n", "\r\n").encode(),
}  # fmt: skip


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("pack", [bytes, gzip.compress, zstandard.compress])
def test_a_document_of_decisions_lands_with_the_exact_bytes_of_each(
    lake: Path, take_in: TakeIn, tmp_path: Path, text: bytes, pack: Callable[[bytes], bytes]
) -> None:
    assert is_document(text[:4096])
    path = tmp_path / "decisions.json"
    path.write_bytes(pack(text))
    report = take_in(path)
    assert (report.landed_total, report.quarantined_total) == (text.count(b'"note"'), 0)
    snapshot = take(lake)
    (table,) = snapshot.tables
    for raw, source in snapshot.connection.execute(
        f"SELECT raw, source FROM read_parquet({snapshot.paths(table)})"
    ).fetchall():
        at = text.index(raw)
        assert json.loads(raw) in RECORDS
        line = text.removeprefix(b"\xef\xbb\xbf")[: at - text.startswith(b"\xef")].count(b"\n") + 1
        assert source == f"decisions.json#{line}"


@pytest.mark.parametrize("text", FORMS.values(), ids=FORMS.keys())
@pytest.mark.parametrize("size", [1, 2, 3, 61, 1000])
def test_where_blocks_end_changes_nothing(text: bytes, size: int) -> None:
    assert cut(text, size) == cut(text)


LINES = {
    "records": b'{"a": 1}\n{"a": 2}\n',
    "one record": b'{"a": 1}',
    "one record and a line end": b'{"a": 1}\n',
    "a torn line, then a record": b'{"a": 1,\n{"a": 2}\n',
    "a line torn in text": b'{"a": "x\n"b"\n',
    "a line torn at its first bracket": b'{\n{"a": 2}\n{"a": 3}\n',
    "prose": b"no JSON\n{\n",
    "nothing": b"",
    "white space": b" \n\n",
    "a long line whose end is not in sight": b'{"a": "' + b"x" * 5000,
}


@pytest.mark.parametrize("head", LINES.values(), ids=LINES.keys())
def test_json_lines_stay_json_lines_also_where_the_first_is_broken(head: bytes) -> None:
    assert not is_document(head)


@given(st.integers(0, len(FORMS["an indented array"]) - 1))
def test_a_cut_file_gives_every_whole_record_before_the_cut(length: int) -> None:
    text = FORMS["an indented array"]
    records, missing = cut(text[:length])
    whole = [raw for _, raw in cut(text)[0]]
    ends = [text.index(raw) + len(raw) for raw in whole]
    complete = sum(end <= length for end in ends)
    assert [raw for _, raw in records][:complete] == whole[:complete]
    assert len(records) <= complete + 1
    if length:
        assert (len(records) > complete) != bool(missing)


@given(st.data())
def test_a_bracket_too_many_in_indented_text_costs_one_record_alone(
    data: st.DataObject,
) -> None:
    name = data.draw(st.sampled_from(["an indented array", "indented records one after the other"]))
    text = FORMS[name]
    whole = [raw for _, raw in cut(text)[0]]
    hurt = data.draw(st.integers(0, len(whole) - 1))
    begin = text.index(whole[hurt]) + 1  # its own first bracket tells where a record begins
    at = data.draw(st.integers(begin, begin + len(whole[hurt]) - 2))
    more = data.draw(st.sampled_from([b"{", b"[", b"}", b"]"]))
    damaged = text[:at] + more + text[at:]
    found = [raw for _, raw in cut(damaged)[0]]
    assert [raw for raw in whole if raw in found] == [
        raw for number, raw in enumerate(whole) if number != hurt or raw in found
    ]


def test_a_torn_tail_is_one_reject_and_an_array_that_just_stops_is_said(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    text = FORMS["an indented array"]
    path = tmp_path / "cut.json"
    path.write_bytes(text[:-40])
    report = take_in(path)
    assert (report.landed_total, report.quarantined_total) == (4, 1)
    path.write_bytes(text[: text.rindex(b"\n]")])
    report = take_in(path)
    assert (report.landed_total, report.already_present) == (1, 4)
    assert list(report.quarantined) == [
        "not JSON: the array of line 1 has no end; the file may be cut"
    ]


def test_what_is_no_object_is_quarantined_by_line_and_the_rest_lands(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    record = json.dumps(RECORDS[0])
    path = tmp_path / "mixed.json"
    path.write_text(f'[1,\n"a, b]",\n{record},\n[{{}}], nul,\n}}\n null]', encoding="utf-8")
    assert take_in(path).landed_total == 1
    assert [(item.line, item.raw) for item in quarantine.load(lake)] == [
        (1, b"1"), (2, b'"a, b]"'), (4, b"[{}]"), (4, b"nul"), (5, b"}"), (6, b"null"),
    ]  # fmt: skip


def test_a_broken_record_of_many_lines_can_be_retried_as_it_is_and_mended(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    good = {**RECORDS[0], "decision_point": None}
    path = tmp_path / "one.json"
    path.write_text(json.dumps([good], indent=2), encoding="utf-8")
    assert take_in(path).quarantined_total == 1
    kept = quarantine.load(lake)
    assert json.loads(kept[0].raw) == good
    assert retry(lake, kept, NO_OPTIONS).quarantined_total == 1
    mended = json.dumps(RECORDS[0], indent=3).encode()
    assert retry(lake, kept, NO_OPTIONS, mended=mended).landed_total == 1
    assert quarantine.load(lake) == []


def test_a_document_on_standard_input_is_told_too(
    lake: Path, forensics_command: Callable[..., Any]
) -> None:
    text = gzip.compress(FORMS["an indented array"])
    ran = forensics_command("ingest", "-", "--lake", lake, "--json", input=text)
    assert (ran.code, ran.json["landed"]) == (0, 5), ran.err


def test_json_lines_that_look_like_a_document_can_be_named_for_what_they_are(
    lake: Path, tmp_path: Path, run: Callable[..., Any]
) -> None:
    path = tmp_path / "lines"
    path.write_text(f"[1]\n{json.dumps(RECORDS[0])}\n", encoding="utf-8")
    ran = run("ingest", path, "--lake", lake, "--json", "--format", "jsonl")
    assert ran.json["landed"] == 1
    assert list(ran.json["quarantined_by_reason"]) == ["a JSON array, expected an object"]
