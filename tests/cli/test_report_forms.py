"""``forensics report subject, decision, adverse-action, audit``: documents that can be checked."""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import ForensicsError
from forensics.incident.pointers import ABSENT, resolve
from forensics.lake import looks
from forensics.records.jsontext import loads
from forensics.testing import decision_record, override_record

Run = Callable[..., Any]
TakeIn = Callable[..., Any]
PERSON = "s_7e96"
ADVERSE = "7f3a-c1"


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    looks._last.clear()


@pytest.fixture
def anna(lake: Path, take_in: TakeIn) -> Path:
    """Two decisions about Anna, one of them overridden, and one about somebody else."""
    take_in(
        [
            decision_record(decision_id="d-a1", request_id="r-a1", subject={"id": "anna"}),
            decision_record(
                decision_id="d-a2",
                request_id="r-a2",
                subject={"id": "anna", "purpose": "credit", "legal_basis": "contract"},
                outcome="DECLINE",
                explanation={"reasons": ["income too low"]},
            ),
            decision_record(decision_id="d-b", request_id="r-b", subject={"id": "bo"}),
            override_record(decision_id="d-a2"),
        ]
    )
    return lake


def known(document: Any) -> Iterator[dict[str, Any]]:
    """Everything in a document that has an evidence status."""
    if isinstance(document, dict):
        if "evidence" in document and "reference" in document:
            yield document
        for value in document.values():
            yield from known(value)
    elif isinstance(document, list):
        for value in document:
            yield from known(value)


def test_every_statement_is_where_its_reference_says(sample_lake: Path, run: Run) -> None:
    answers: dict[str, Any] = {}
    for asked in (("subject", PERSON), ("decision", ADVERSE), ("audit", "--days", "3")):
        ran = run("report", *asked, "--to", "json", "--lake", sample_lake)
        assert ran.code == 0, ran.err
        found = list(known(ran.json))
        assert len(found) >= 10
        for one in found:
            reference = one["reference"]
            assert one["evidence"] in ("recorded", "recomputed", "inferred", "missing", "redacted")
            if one["evidence"] in ("missing", "redacted"):
                assert one["reason"], one
            if reference["pointer"] is None:
                continue
            command = reference["command"]
            if command not in answers:
                words = shlex.split(command)
                said = run(*words[1:], "--lake", sample_lake)
                answers[command] = loads(said.out)
            value = resolve(answers[command], reference["pointer"])
            assert value is not ABSENT, (command, reference["pointer"])
            if one.get("about") in ("outcome", "score", "decisions", "required"):
                assert value == one["value"]
            if one.get("about") == "main_element" and one["value"]:
                assert value["feature"] == one["value"]["feature"]


def test_a_persons_report_says_what_it_covers_and_all_of_each_decision(
    sample_lake: Path, run: Run
) -> None:
    ran = run("report", "subject", PERSON, "--audit", "--lake", sample_lake)
    assert ran.code == 0
    assert ran.out.startswith(f"# Automated decisions about {PERSON}\n")
    for said in (
        "3 decisions about s\\_7e96 were found: 2 × REFER and 1 × DECLINE",
        "no independent count proves that none is",
        "None of them was erased",
        "In decision 1 something went wrong",
        "With 0.6217 instead, run again, the outcome is",
        "the outcome of credit line was DECLINE",
        "A computer model took part: pd, version v2",
        "counted most: it moved the score upwards",
        "and all else as it was, the outcome would have been REFER",
        "The purpose of using the data: credit decision",
        "gave exactly the same result, to the last digit",
        "The record is unaltered",
        "how long the data is kept",
        "Who looked at these decisions",
    ):
        assert said in ran.out.replace("s_7e96", "s\\_7e96"), said


def test_the_window_ends_with_the_last_decision_and_can_be_named(anna: Path, run: Run) -> None:
    ran = run("report", "subject", "anna", "--to", "json", "--lake", anna)
    assert ran.json["decisions"] == 2
    early = ("--since", "2020-01-01", "--until", "2020-02-01")
    ran = run("report", "subject", "anna", *early, "--lake", anna)
    assert (ran.code, ran.out) == (3, "")
    assert "That none was made does not follow" in ran.err
    assert run("report", "subject", "anna", "--days", "3", *early, "--lake", anna).code == 2
    assert run("report", "subject", "nobody", "--lake", anna).code == 3


def test_what_was_never_recorded_is_said_to_be_missing_and_is_status_4(
    anna: Path, run: Run
) -> None:
    ran = run("report", "subject", "anna", "--to", "json", "--lake", anna)
    assert ran.code == 4
    assert not ran.json["complete"]
    assert any("d-a1): replay: not replayable" in gap for gap in ran.json["gaps"])
    by = {}
    for one in known(ran.json):
        by.setdefault(one.get("about"), []).append(one)
    assert [one["evidence"] for one in by["override"]] == ["recorded", "missing"]
    assert [one["value"] for one in by["purpose"]] == ["credit", None]
    assert {one["evidence"] for one in by["replay"]} == {"missing"}
    assert by["given_reason"][0]["statement"] == "Reason given at the time: income too low"
    assert by["given_reason"][0]["reference"]["field"] == "explanation.reasons[0]"


def test_nothing_odd_is_said_of_a_decision_that_is_erased(anna: Path, run: Run) -> None:
    """What cannot be looked at any more has no clean bill."""
    assert "nothing odd was found" in run("trace", "d-a1", "--lake", anna).out
    assert run("erase", "anna", "--order", "DSAR-7", "--yes", "--lake", anna).code == 0
    ran = run("trace", "d-a1", "--lake", anna)
    assert "erased at" in ran.out
    assert "nothing odd" not in ran.out


def test_erased_decisions_are_counted_and_say_on_what_order(anna: Path, run: Run) -> None:
    assert run("erase", "anna", "--order", "DSAR-7", "--yes", "--lake", anna).code == 0
    ran = run("report", "subject", "anna", "--to", "json", "--lake", anna)
    assert ran.code == 0, "what is gone by order is no gap"
    assert (ran.json["decisions"], ran.json["erased"]) == (2, 2)
    erased = [one for one in known(ran.json) if one.get("about") == "erasure"]
    assert len(erased) == 2
    assert all("on the order DSAR-7" in one["statement"] for one in erased)
    assert "income too low" not in ran.out


def test_the_masks_of_a_role_apply_and_their_rule_is_named(anna: Path, run: Run) -> None:
    (anna / "privacy.toml").write_text('personal = ["features.amount"]\n', encoding="utf-8")
    for form in ("md", "html", "json"):
        for asked in (("subject", "anna"), ("decision", "r-a1")):
            ran = run("report", *asked, "--to", form, "--lake", anna)
            assert "has no role" in ran.out
            assert not any(f"1,{number:03}" in ran.out for number in range(400)), form
    ran = run("report", "subject", "anna", "--to", "json", "--lake", anna)
    withheld = [one for one in known(ran.json) if one.get("about") == "withheld"]
    assert withheld[0]["value"] == ["features.amount"]
    assert withheld[0]["evidence"] == "redacted"
    rows = [one for one in known(ran.json) if one.get("data") == "amount"]
    assert {(one["value"], one["evidence"]) for one in rows} == {("–", "redacted")}


def test_a_report_is_a_look_and_the_next_one_names_it(anna: Path, run: Run) -> None:
    first = run("--case", "DSAR-9", "report", "subject", "anna", "--lake", anna)
    assert "Nobody is recorded to have looked" in first.out
    looks._last.clear()
    second = run("report", "subject", "anna", "--lake", anna)
    assert "| report | DSAR-9 |" in second.out
    assert "not yet sealed" in second.out
    found = run("access", "--subject", "anna", "--json", "--lake", anna).rows
    assert {row["how"] for row in found} == {"report"}
    assert "DSAR-9" in {row["case"] for row in found}
    third = run("report", "subject", "anna", "--lake", anna)
    assert "| report | DSAR-9 | _recorded_ \\[" in third.out, "it has been sealed since"


def test_of_many_decisions_the_newest_are_explained_and_the_rest_is_said_to_be_not(
    lake: Path, take_in: TakeIn, run: Run
) -> None:
    take_in(decision_record(subject={"id": "anna"}) for _ in range(23))
    ran = run("report", "subject", "anna", "--to", "json", "--lake", lake)
    assert (ran.json["decisions"], ran.json["explained"]) == (23, 20)
    assert sum(one.get("about") == "replay" for one in known(ran.json)) == 20
    (said,) = (one for one in known(ran.json) if one.get("about") == "explained")
    assert said["statement"].startswith("The newest 20 were run again and explained; of the other")
    ran = run("report", "subject", "anna", "--all", "--to", "json", "--lake", lake)
    assert sum(one.get("about") == "replay" for one in known(ran.json)) == 23


def test_the_form_is_that_of_the_files_ending(anna: Path, run: Run, tmp_path: Path) -> None:
    pytest.importorskip("typst")
    begins = {"md": b"# Decision", "html": b"<!DOCTYPE html>", "pdf": b"%PDF-", "json": b'{"report'}
    for ending, first in begins.items():
        path = tmp_path / f"x.{ending}"
        ran = run("report", "decision", "r-a1", "-o", path, "--lake", anna)
        assert ran.out == ""
        assert path.read_bytes().startswith(first)
    assert json.loads((tmp_path / "x.json").read_text())["report"] == "decision"
    assert (
        run("report", "decision", "r-a1", "-o", tmp_path / "no" / "x.md", "--lake", anna).code == 2
    )


def test_an_audit_as_a_document_has_its_exit_status(anna: Path, run: Run, tmp_path: Path) -> None:
    ran = run("report", "audit", "--require", "C1", "--lake", anna)
    assert ran.code == 4
    assert "3 decisions are below C1, which is required" in ran.out
    assert "**3 decisions are not C1 or better, as is required.**" in ran.out
    count = tmp_path / "counts.csv"
    count.write_text("decision_point,since,until,decisions\n"
                     "credit_line,2026-10-01T00:00:00Z,2026-10-02T00:00:00Z,5\n")  # fmt: skip
    ran = run("report", "audit", "--count", count, "--lake", anna)
    assert ran.code == 4
    assert "**Decisions are missing from the lake.**" in ran.out
    ran = run("report", "subject", "anna", "--count", count, "--lake", anna)
    assert "Some decisions of this window are missing from the records" in ran.out


def test_a_notice_is_refused_unless_its_reasons_can_be_had(
    anna: Path, sample_lake: Path, run: Run
) -> None:
    ran = run("report", "adverse-action", "r-a2", "--adverse", "DECLINE", "--lake", anna)
    assert (ran.code, ran.out) == (4, "")
    assert "principal reasons cannot be had" in ran.err
    ran = run("report", "adverse-action", "r-a1", "--adverse", "DECLINE", "--lake", anna)
    assert (ran.code, ran.out) == (2, "")
    assert "APPROVE is not adverse" in ran.err
    ran = run("report", "adverse-action", "r-a2", "--lake", anna)
    assert ran.code == 2
    assert "Nothing says which outcomes are adverse" in ran.err
    assert run("report", "adverse-action", "x", "--adverse", "D", "--lake", anna).code == 3


def test_a_notice_has_at_most_four_reasons_in_the_lenders_words(
    sample_lake: Path, run: Run, tmp_path: Path
) -> None:
    words = tmp_path / "reasons.toml"
    words.write_text(
        'adverse = ["DECLINE"]\n[features.utilisation_3m]\ntext = "Balances are high"\n'
    )
    asked = ("report", "adverse-action", ADVERSE, "--templates", words, "--lake", sample_lake)
    ran = run(*asked, "--to", "json")
    assert ran.code == 4, "it must not be sent as it is"
    assert any("a reason has no wording" in gap for gap in ran.json["gaps"])
    assert any("something went wrong: utilisation_3m" in gap for gap in ran.json["gaps"])
    reasons = [one for one in known(ran.json) if one.get("about") == "principal_reason"]
    assert 1 <= len(reasons) <= 4
    assert reasons[0]["statement"] == "1. Balances are high"
    said = run(*shlex.split(reasons[0]["reference"]["command"])[1:], "--lake", sample_lake)
    for one in reasons:
        item = resolve(said.json, one["reference"]["pointer"])
        assert item["text"] in one["statement"]
    text = run(*asked).out
    assert "\\[name and address of the creditor\\]" in text
    assert text.index("Equal Credit Opportunity Act") < text.index("For the lender, not for the")


def test_principal_reasons_of_adverse_outcomes_stand_in_a_persons_report(
    sample_lake: Path, run: Run
) -> None:
    asked = ("report", "subject", PERSON, "--adverse", "DECLINE", "--to", "json")
    ran = run(*asked, "--lake", sample_lake)
    reasons = [one for one in known(ran.json) if one.get("about") == "principal_reason"]
    assert 1 <= len(reasons) <= 4
    assert reasons[0]["statement"].startswith("Principal reason 1: utilisation 3m (62.17)")
    assert {one["reference"]["decision_id"] for one in reasons} == {"d-897501328cc4f645"}


def test_the_evidence_goes_along_as_a_bundle_that_is_checked(
    anna: Path, run: Run, tmp_path: Path
) -> None:
    import zipfile

    out = tmp_path / "anna.zip"
    ran = run("report", "subject", "anna", "--bundle", out, "-o", tmp_path / "x.md", "--lake", anna)
    assert ran.code == 4, "these records have no model"
    assert f"Evidence of 2 decisions: {out}." in ran.err
    with zipfile.ZipFile(out) as archive:
        names = archive.namelist()
        (page,) = (name for name in names if name.endswith("report.html"))
        assert b"Automated decisions about anna" in archive.read(page)
    checked = run("verify", out, "--json")
    assert checked.code in (0, 4), checked.out
    with out.open("r+b") as stream:
        stream.seek(out.stat().st_size // 2)
        stream.write(b"altered?")
    assert run("verify", out).code == 5


def test_the_library_refuses_as_the_command_does(anna: Path) -> None:
    from forensics.api import open_lake

    with open_lake(anna) as opened, pytest.raises(ForensicsError, match="not adverse"):
        opened.adverse_action("r-a1", adverse=["DECLINE"])
