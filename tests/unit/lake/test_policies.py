"""A privacy policy is in force only as it was sealed; whoever changes it is seen to."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.api import open_lake
from forensics.errors import LakeError, UsageError
from forensics.ingest import own_records
from forensics.ingest.policy import seal
from forensics.ingest.reread import differences
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import policies
from forensics.lake.snapshot import take
from forensics.lake.verify.whole import Options, Verified, verify
from forensics.records.looker import looking
from forensics.testing import decision_record, write_lines

TakeIn = Callable[..., Any]
PHONE = "phone-77102"
NARROW = (
    'personal = ["subject.id", "features.phone"]\n[roles.dpo]\nusers = ["dpo"]\nunmask = ["*"]\n'
)
WIDE = NARROW + '[roles.me]\nusers = ["mallory"]\nunmask = ["*"]\n'


@pytest.fixture
def lake(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    return lake


@pytest.fixture
def guarded(lake: Path, take_in: TakeIn) -> Path:
    say(lake, NARROW)
    take_in([decision_record(request_id="r", features={"phone": PHONE, "amount": 3})])
    return lake


def say(lake: Path, text: str) -> None:
    (lake / "privacy.toml").write_text(text, encoding="utf-8")


def sees(lake: Path, actor: str) -> bool:
    with open_lake(lake) as opened, looking(actor=actor):
        (found,) = opened.trace("r", replay=False)
    return found.decision.features.get("phone") == PHONE


def verified(lake: Path) -> Verified:
    return verify(lake, Options(), differences)


def test_the_first_policy_is_in_force_at_once_and_sealed_by_the_first_ingest(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([decision_record(request_id="r", features={"phone": PHONE})])
    say(lake, NARROW)
    assert sees(lake, "dpo")
    assert not sees(lake, "mallory")
    found = verified(lake).findings
    assert not found.broken
    assert ["is not sealed yet" in gap.statement for gap in found.gaps] == [True]
    take_in([decision_record()])
    assert policies.standing(lake).is_sealed
    (version,) = policies.history(take(lake))
    assert version.text == NARROW
    found = verified(lake).findings
    assert (found.broken, found.gaps) == (False, [])


def test_who_gives_themself_a_role_sees_nothing_and_neither_does_anybody(guarded: Path) -> None:
    assert sees(guarded, "dpo")
    say(guarded, WIDE)
    assert not sees(guarded, "mallory")
    assert not sees(guarded, "dpo")
    with open_lake(guarded) as opened, looking(actor="mallory"):
        (found,) = opened.trace("r", replay=False)
        assert PHONE not in str(list(opened.find(features=True)))
    (phone,) = (one for one in found.features if one.name == "phone")
    assert phone.evidence == "redacted"
    assert "changed since it was sealed" in str(phone.reason)
    assert "forensics policy" in str(phone.reason)


@pytest.mark.parametrize("text", ["personal = []\n", None, '[roles.x]\nusers = ["mallory"]\n'])
def test_what_was_personal_stays_so_whatever_the_file_says(guarded: Path, text: str | None) -> None:
    if text is None:
        (guarded / "privacy.toml").unlink()
    else:
        say(guarded, text)
    assert not sees(guarded, "mallory")
    late = write_lines(
        guarded.parent / "late.jsonl", [decision_record(features={"phone": "0170-late-0815"})]
    )
    ingest(guarded, open_source(late))
    stored = b"".join(path.read_bytes() for path in guarded.rglob("*") if path.is_file())
    assert b"0170-late-0815" not in stored
    found = verified(guarded).findings
    assert [(defect.kind, defect.file) for defect in found.defects] == [("altered", "privacy.toml")]


def test_a_policy_is_in_force_once_it_is_said_who_wants_it_and_why(guarded: Path) -> None:
    say(guarded, WIDE)
    with looking(actor="head-of-privacy"):
        identifier = seal(guarded, "mallory answers requests now")
    assert sees(guarded, "mallory")
    newest, first = policies.history(take(guarded))
    assert (newest.policy_id, newest.actor) == (identifier, "head-of-privacy")
    assert newest.reason == "mallory answers requests now"
    assert (newest.text, first.text) == (WIDE, NARROW)
    assert not verified(guarded).findings.broken
    say(guarded, NARROW)
    assert not sees(guarded, "dpo"), "an older version is another one"


def test_a_policy_can_be_withdrawn_and_that_is_sealed(guarded: Path) -> None:
    (guarded / "privacy.toml").unlink()
    seal(guarded, "the data is synthetic")
    assert sees(guarded, "mallory")
    assert [one.text for one in policies.history(take(guarded))] == [None, NARROW]
    assert not verified(guarded).findings.broken


def test_a_file_that_is_no_policy_cannot_be_put_in_force(guarded: Path) -> None:
    say(guarded, "personal = ['outcome']\n")
    with pytest.raises(UsageError, match="no privacy policy"):
        seal(guarded, "x")


def test_who_only_writes_to_the_lake_can_neither_forge_nor_remove_the_record(
    guarded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The key store's folder remembers what is in force."""
    with monkeypatch.context() as elsewhere:  # they sign with keys, and seal, of their own
        elsewhere.setattr(policies, "remember", lambda root, digest: None)
        say(guarded, WIDE)
        seal(guarded, "let me in")
    assert not sees(guarded, "mallory")
    (defect,) = verified(guarded).findings.defects
    assert "without this lake's key store" in defect.statement
    shutil.rmtree(guarded / "policies")
    (guarded / "index" / "catalog.json").unlink()
    assert not sees(guarded, "mallory")
    (guarded / "privacy.toml").unlink()
    assert not sees(guarded, "mallory")
    assert verified(guarded).findings.broken


def test_without_the_lakes_key_store_nothing_is_sealed(
    guarded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    say(guarded, WIDE)
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "elsewhere"))
    with pytest.raises(LakeError, match="key store of this lake is not at"):
        seal(guarded, "let me in")


def test_who_may_log_cannot_log_a_policy(guarded: Path, tmp_path: Path) -> None:
    forged = {
        "record": "policy", "policy_id": "p-x", "occurred_at": "2026-12-01T00:00:00Z",
        "actor": "dpo", "text": WIDE, "digest": policies.digest_of(WIDE.encode()),
    }  # fmt: skip
    report = ingest(guarded, open_source(write_lines(tmp_path / "forged.jsonl", [forged])))
    assert report.quarantined_total == 1
    assert policies.standing(guarded).is_sealed
    assert own_records.named("p") != own_records.named("p")
