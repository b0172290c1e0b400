"""Quarantine: one bad line costs nothing but itself, and its bytes are kept until it is mended."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.errors import NotFoundError, UsageError
from forensics.ingest import quarantine
from forensics.ingest.interface import Options
from forensics.ingest.retry import retry
from forensics.ingest.run import Report
from forensics.records.looker import looking
from forensics.testing import decision_record, write_lines

TakeIn = Callable[..., Report]


def test_bad_lines_are_kept_with_their_bytes_line_and_reason_and_the_rest_lands(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    file = write_lines(
        tmp_path / "log.jsonl",
        [decision_record(), b'{"broken":', decision_record(), b"\xff\x00", decision_record()],
    )
    report = take_in(file)
    assert (report.landed_total, report.quarantined_total) == (3, 2)
    kept = sorted(quarantine.load(lake), key=lambda item: item.line)
    assert [(item.source, item.line, item.raw) for item in kept] == [
        ("log.jsonl", 2, b'{"broken":'), ("log.jsonl", 4, b"\xff\x00"),
    ]  # fmt: skip
    assert all(item.reason for item in kept)


def test_the_same_bad_lines_met_again_are_not_kept_twice(lake: Path, take_in: TakeIn,
                                                         tmp_path: Path) -> None:  # fmt: skip
    file = write_lines(tmp_path / "log.jsonl", [decision_record(), b"nonsense"])
    assert [take_in(file).quarantined_total for _ in range(3)] == [1, 1, 1]
    assert len(quarantine.load(lake)) == 1


def test_a_bad_line_met_again_in_a_grown_file_is_not_kept_twice(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    file = write_lines(tmp_path / "log.jsonl", [b"nonsense", decision_record()])
    take_in(file)
    with file.open("ab") as stream:
        stream.write(b"more nonsense\n")
    take_in(file)
    assert sorted(item.raw for item in quarantine.load(lake)) == [b"more nonsense", b"nonsense"]


def test_a_mended_record_lands_and_leaves_the_quarantine(lake: Path, take_in: TakeIn) -> None:
    record = decision_record()
    take_in([json.dumps({**record, "occurred_at": "yesterday"})])
    (kept,) = quarantine.load(lake)
    assert "yesterday" in kept.reason
    report = retry(lake, [kept], Options(), mended=json.dumps(record).encode())
    assert report.landed_total == 1
    assert quarantine.load(lake) == []
    (found,) = forensics.open(lake).trace(record["request_id"], replay=False)
    assert found.integrity.verified
    with pytest.raises(NotFoundError, match="left the quarantine"):
        quarantine.load(lake, kept.id)


def test_a_retry_that_fails_again_leaves_the_record_where_it_is(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([b"nonsense"])
    (kept,) = quarantine.load(lake)
    report = retry(lake, [kept], Options())
    assert (report.landed_total, report.quarantined_total) == (0, 1)
    assert [item.raw for item in quarantine.load(lake)] == [b"nonsense"]


def test_who_may_not_see_a_record_cannot_have_its_fields_named_otherwise(
    lake: Path, take_in: TakeIn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what is personal would land in a field that everybody sees."""
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    text = 'personal = ["features.illness"]\n[roles.dpo]\nusers = ["dpo"]\nunmask = ["*"]\n'
    (lake / "privacy.toml").write_text(text, encoding="utf-8")
    record = decision_record(features={"illness": "asthma"}, score="high")
    take_in([record])
    (kept,) = quarantine.load(lake)
    other = Options(paths=(("outcome", "features.illness"), ("score", "threshold")))
    with looking(actor="mallory"):
        with pytest.raises(UsageError, match="cannot be named otherwise by you"):
            retry(lake, [kept], other)
        assert retry(lake, [kept], Options()).quarantined_total == 1
        mended = json.dumps({**record, "score": 0.5}).encode()
        assert retry(lake, [kept], Options(), mended=mended).landed_total == 1
    again = decision_record(features={"illness": "none"}, score="high")
    take_in([again])
    (kept,) = quarantine.load(lake)
    with looking(actor="dpo"):
        assert retry(lake, [kept], Options(paths=(("score", "threshold"),))).landed_total == 1


def test_an_unknown_quarantine_id_is_not_found(lake: Path) -> None:
    with pytest.raises(NotFoundError, match="q-0000"):
        quarantine.load(lake, "q-0000")


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"decision_point": None}, "decision_point is missing"),
        ({"decision_point": "Credit/Line"}, 'decision_point is text "Credit/Line"'),
        ({"decision_point": "../x"}, "decision_point is text"),
        ({"outcome": None}, "outcome is missing"),
        ({"outcome": True}, "outcome is boolean true, expected text"),
        ({"occurred_at": 1760000000}, "occurred_at is number 1760000000"),
        ({"occurred_at": "2026-10-21T02:13:04"}, "names no time zone"),
        ({"occurred_at": "0001-01-01T00:00:00+10:00"}, "beyond the years"),
        ({"occurred_at": "2026-02-30T00:00:00Z"}, "expected a time"),
        ({"request_id": "", "decision_id": None}, "expected 1 to 256 characters"),
        ({"request_id": "x" * 257}, "expected 1 to 256 characters"),
        ({"request_id": "a\nb"}, "control or invisible characters"),
        ({"request_id": "a\u202eb"}, "control or invisible characters"),
        ({"score": "high"}, 'score is text "high", expected a number'),
        ({"score": True}, "score is boolean true, expected a number"),
        ({"features": [1]}, "features is a list, expected an object"),
        ({"features": {"": 1}}, "feature name"),
        ({"features": {"a\x1b[2J": 1}}, "feature name"),
        ({"model": "pd v1"}, "model is text"),
        ({"model": {"digest": "abc"}}, "model.digest"),
        ({"record": "verdict"}, "expected one of decision, change"),
        ({"record": ["decision"]}, "record is a list"),
        ({"steps": {"id": 1}}, "steps is an object"),
        ({"writer": {"sequence": 2**64}}, "more than 64 bits"),
        ({"writer": {"sequence": 1.5}}, "expected an integer"),
    ],
)
def test_what_is_wrong_is_said_with_the_field_and_the_value(
    take_in: TakeIn, change: dict[str, Any], reason: str
) -> None:
    report = take_in([decision_record(**change), decision_record()])
    assert report.landed_total == 1
    (item,) = report.examples
    assert reason in item.reason
    assert item.reason.isprintable()


def test_reasons_are_counted_by_kind_and_not_by_value(take_in: TakeIn) -> None:
    report = take_in([decision_record(score=f"word {at}") for at in range(20)])
    assert list(report.quarantined.values()) == [20]
