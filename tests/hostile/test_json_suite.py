"""JSONTestSuite by Nicolas Seriot: what a parser must take, must refuse, and may do as it likes."""

from __future__ import annotations

import json
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.ingest import quarantine
from forensics.ingest.run import Report
from forensics.testing import decision_record

TakeIn = Callable[..., Report]

#: Python's NaN and infinities are no JSON, but what loggers write: they are taken, and kept.
TAKEN_ON_PURPOSE = {
    "n_number_NaN.json", "n_number_infinity.json", "n_number_minus_infinity.json",
}  # fmt: skip


@pytest.fixture(scope="module")
def suite(corpus: Path) -> dict[str, bytes]:
    """Every case by name."""
    with tarfile.open(corpus / "hostile" / "JSONTestSuite.tar.xz") as archive:
        cases = {
            Path(member.name).name: archive.extractfile(member).read()  # type: ignore[union-attr]
            for member in archive.getmembers()
            if member.isfile() and "test_parsing" in member.name
        }
    assert len(cases) > 300
    return cases


def one_line(case: bytes) -> bytes:
    """A case as the one line that it can be; JSON allows a line end wherever it allows a blank."""
    return case.replace(b"\r\n", b" ").replace(b"\n", b" ")


def with_feature(case: bytes) -> tuple[str, bytes]:
    record = decision_record(features={"x": "HERE"})
    return record["request_id"], json.dumps(record).encode().replace(b'"HERE"', one_line(case))


def test_as_whole_lines_none_crashes_none_is_taken_for_a_decision_and_the_rest_lands(
    lake: Path, take_in: TakeIn, suite: dict[str, bytes]
) -> None:
    good = [decision_record() for _ in range(3)]
    lines: list[Any] = [good[0], *map(one_line, suite.values()), good[1]]
    report = take_in([*lines, good[2]])
    assert report.landed_total == 3
    blank = sum(not one_line(case).strip() for case in suite.values())
    assert report.quarantined_total == len(suite) - blank
    assert all(item.reason.isprintable() for item in quarantine.load(lake))
    kept = {item.raw.rstrip(b"\r") for item in quarantine.load(lake)}
    assert {one_line(c).rstrip(b"\r") for c in suite.values() if one_line(c).strip()} == kept


def test_as_whole_files_none_crashes_and_each_is_answered(
    lake: Path, tmp_path: Path, run: Callable[..., Any], suite: dict[str, bytes]
) -> None:
    paths = []
    for name, case in suite.items():
        (tmp_path / name).write_bytes(case)
        paths.append(tmp_path / name)
    ran = run("ingest", *paths, "--lake", lake, "--json")
    assert ran.code == 4
    assert ran.json["landed"] == 0
    assert ran.json["quarantined"] > 300


@pytest.mark.parametrize("first", ["text", "number", "list", "nothing"])
def test_as_feature_values_what_is_no_json_is_quarantined_and_what_is_lands_or_says_why(
    lake: Path, take_in: TakeIn, suite: dict[str, bytes], first: str
) -> None:
    values = {"text": ["word"], "number": [1.5], "list": [[1.5]], "nothing": []}[first]
    before = [decision_record(features={"x": value}) for value in values]
    cases = {name: with_feature(case) for name, case in suite.items()}
    good = decision_record(features={"y": 1})
    report = take_in([*before, *(line for _, line in cases.values()), good])
    reasons = {item.raw: item.reason for item in quarantine.load(lake)}
    found = {row["request_id"] for row in forensics.open(lake).find()}
    assert good["request_id"] in found
    assert report.landed_total == len(found)
    for name, (request, line) in cases.items():
        landed = request in found
        assert landed != (line in reasons), f"{name} both landed and did not"
        if not landed:
            assert reasons[line].isprintable(), name
        if name.startswith("n_") and not _harmless_here(name, suite[name]):
            assert not landed, f"{name} is no JSON and was taken"
        if name.startswith("y_") and not landed:
            assert "feature" in reasons[line] or "twice" in reasons[line] or (
                "surrogate" in reasons[line]
            ), f"{name}: {reasons[line]}"  # fmt: skip


def _harmless_here(name: str, case: bytes) -> bool:
    """Whether a case stops being broken once it stands inside a line, or is taken on purpose."""
    if name in TAKEN_ON_PURPOSE or b"NaN" in case or b"Infinity" in case:
        return True
    try:
        json.loads(b'{"x":' + one_line(case) + b"}")
    except (ValueError, RecursionError):
        return False
    return True


def test_what_lands_comes_back_as_it_was_written(
    lake: Path, take_in: TakeIn, suite: dict[str, bytes]
) -> None:
    cases = {n: with_feature(c) for n, c in suite.items() if n.startswith("y_number")}
    assert len(cases) > 15
    numbers = {}
    for name, (request, line) in cases.items():
        (numbers[name],) = json.loads(suite[name])
        line = line.replace(one_line(suite[name]), one_line(suite[name]).strip()[1:-1])
        take_in([line])
        (traced,) = forensics.open(lake).trace(request, replay=False)
        said = traced.decision.features["x"]
        assert float(said) == float(numbers[name]), name
