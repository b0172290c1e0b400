"""JSON documents and events made to hurt: each with a clear reason, none a crash."""

from __future__ import annotations

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import zstandard

from forensics.ingest import openlineage, quarantine
from forensics.ingest.documents import Cutter
from forensics.lake.snapshot import take
from forensics.testing import FIRST_TIME, decision_record, run_event, write_lines
from tests.hostile.test_naughty_strings import ESCAPES, assert_inert

Run = Callable[..., Any]


def document(*texts: bytes) -> bytes:
    """An array of decisions and other texts."""
    good = [json.dumps(decision_record(), indent=2).encode() for _ in range(2)]
    return b"[\n" + b",\n".join([good[0], *texts, good[1]]) + b"\n]"


HURT = {
    "depth a million": (b"[" * 1_000_000, "not JSON|deeper than 64"),
    "depth 65, closed": (b'{"a":' * 65 + b"1" + b"}" * 65, "deeper than 64"),
    "longer than any record": (b'{"a":"' + b"x" * (2 << 20) + b'"}', "bytes, more than 1,048,576"),
    "no UTF-8": (b'{"a":"\xff"}', "not UTF-8 at byte"),
    "a key twice": (b'{"a":1,\n"a":2}', "stands twice"),
    "NULs": (b"\x00\x00\x00", "not JSON"),
    "an escape sequence": (b"\x1b[2J\x07", "not JSON"),
    "text that ends nowhere": (b'{"a": "b\n}', "not JSON"),
}


@pytest.mark.parametrize(("bad", "reason"), HURT.values(), ids=HURT.keys())
def test_a_bad_record_in_an_array_is_quarantined_and_inert(
    lake: Path, tmp_path: Path, run: Run, bad: bytes, reason: str
) -> None:
    (tmp_path / "log").write_bytes(document(bad))
    ran = run("ingest", tmp_path / "log", "--lake", lake, "--json")
    # An array without end takes what follows with it, since nothing tells where it ends.
    endless = bad.count(b"[") > bad.count(b"]")
    assert (ran.code, ran.json["landed"]) == (4, 1 if endless else 2)
    kept = quarantine.load(lake)
    assert any(part in item.reason for item in kept for part in reason.split("|"))
    assert all(item.reason.isprintable() for item in kept)
    assert_inert(run("ingest", "--quarantine", "--lake", lake).out)


def test_a_record_without_end_is_kept_to_a_limit_and_the_next_one_is_found_again() -> None:
    good = json.dumps(decision_record(), indent=1).encode()
    endless = b'{\n "a": [' + b"1,\n " * (openlineage.EVENT_BYTES_MAX // 3) + b"1"
    cutter = Cutter()
    text = good + b"\n" + endless + b"\n" + good + b"\n" + good
    block = 1 << 20
    found = [
        item for at in range(0, len(text), block) for item in cutter.feed(text[at : at + block])
    ]
    found += cutter.finish()
    assert [raw == good for _, raw in found] == [True, False, True, True]
    assert openlineage.EVENT_BYTES_MAX < len(found[1][1]) < openlineage.EVENT_BYTES_MAX + 2 * block
    assert [line for line, _ in found][2:] == [
        text[: text.index(good, len(good)) + 1].count(b"\n") + 1,
        text[: text.rindex(good) + 1].count(b"\n") + 1,
    ]


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor(3).compress])
def test_a_few_bytes_that_unpack_to_very_many_are_one_reject(
    lake: Path, tmp_path: Path, run: Run, pack: Callable[[bytes], bytes]
) -> None:
    (tmp_path / "bomb").write_bytes(pack(b'[{"a": "' + b"x" * (96 << 20)))
    ran = run("ingest", tmp_path / "bomb", "--lake", lake, "--json", "--workers", 0)
    assert (ran.code, ran.json["landed"], ran.json["quarantined"]) == (4, 0, 1)


@pytest.mark.parametrize("pack", [gzip.compress, zstandard.ZstdCompressor(3).compress])
def test_of_a_cut_archive_the_records_before_the_cut_land(
    lake: Path, tmp_path: Path, run: Run, pack: Callable[[bytes], bytes]
) -> None:
    records = json.dumps([decision_record() for _ in range(50)], indent=2).encode()
    packed = pack(records) + pack(b"\n" + records)
    (tmp_path / "log").write_bytes(packed[:-20])
    ran = run("ingest", tmp_path / "log", "--lake", lake, "--json")
    assert ran.code == 2
    assert "cannot be read to its end" in ran.err
    assert len(run("find", "--lake", lake, "--json").rows) == 50


@pytest.fixture(scope="module")
def strings(corpus: Path) -> list[str]:
    naughty = json.loads((corpus / "hostile" / "blns" / "blns.json").read_text(encoding="utf-8"))
    return list(dict.fromkeys([*naughty, *ESCAPES]))


def event_with(text: str, number: int) -> dict[str, Any]:
    """An event with ``text`` wherever a sender's own words may stand."""
    data = {"namespace": text, "name": text, "facets": {
        "schema": {"fields": [{"name": text, "type": text}]}, text: {text: text},
        "version": {"datasetVersion": text},
        "symlinks": {"identifiers": [{"namespace": text, "name": text + "2", "type": text}]},
        "columnLineage": {"fields": {text: {"inputFields": [
            {"namespace": text, "name": text, "field": text}]}}},
        "dataQualityAssertions": {"assertions": [
            {"assertion": text, "success": True, "column": text, "name": text}]},
    }}  # fmt: skip
    told = run_event(f"r-{number}", at=FIRST_TIME, job=text, code=text, inputs=[data],
                     outputs=[data])  # fmt: skip
    told["producer"] = text
    told["job"]["namespace"] = text
    told["run"]["facets"] = {"errorMessage": {"message": text}}
    return told


def test_naughty_strings_in_events_come_back_to_the_letter(
    lake: Path, tmp_path: Path, run: Run, strings: list[str]
) -> None:
    from forensics.lineage import runs

    events = [event_with(text, number) for number, text in enumerate(strings)]
    path = write_lines(tmp_path / "events", events)
    ran = run("ingest", path, "--lake", lake, "--json", "--format", "openlineage")
    assert (ran.code, ran.json["landed"]) == (0, len(strings))
    snapshot = take(lake)
    for number, text in [*enumerate(strings)][::29]:
        (found,) = runs.by_id(snapshot, f"r-{number}")
        assert (found.job_name, found.producer, found.error) == (text, text, text)
        (output,) = found.outputs
        assert (output.columns, output.types, output.version) == ((text,), (text,), text)
        assert output.assertions[0].name == text
        dataset = f"{text}/{text}2"
        last = runs.writers(snapshot, dataset, before=FIRST_TIME.replace(year=2027), limit=99)
        assert found in last


def test_naughty_run_ids_are_found_if_they_are_printable_else_quarantined(
    lake: Path, tmp_path: Path, run: Run, strings: list[str]
) -> None:
    from forensics.lineage import runs

    path = write_lines(tmp_path / "events", [run_event(text, at=FIRST_TIME) for text in strings])
    ran = run("ingest", path, "--lake", lake, "--json")
    may = {text for text in strings if text.isprintable() and 1 <= len(text) <= 256}
    assert ran.json["landed"] == len(may)
    assert ran.json["quarantined"] == len(strings) - len(may) > 10
    assert_inert(run("ingest", "--quarantine", "--lake", lake).out)
    snapshot = take(lake)
    for text in sorted(may)[::25]:
        assert [found.run_id for found in runs.by_id(snapshot, text)] == [text]
