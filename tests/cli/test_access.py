"""``forensics access``, ``hold`` and ``erase``: what they print, and their exit status."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.lake import looks
from forensics.records.looker import current
from forensics.testing import decision_record, write_lines

Run = Callable[..., Any]
TakeIn = Callable[..., Any]


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    looks._last.clear()


@pytest.fixture
def held(lake: Path, take_in: TakeIn) -> Path:
    take_in([decision_record(decision_id="d", request_id="r", subject={"id": "anna"})])
    return lake


def test_who_looked_for_which_case_is_answered(held: Path, run: Run) -> None:
    run("--case", "INC-7", "--reason", "at night", "trace", "r", "--no-replay", "--lake", held)
    ran = run("access", "r", "--lake", held)
    assert ran.code == 0
    assert ran.out.splitlines()[0].split() == [
        "when", "who", "how", "case", "reason", "decisions",
    ]  # fmt: skip
    assert "INC-7" in ran.out
    (row,) = run("access", "--subject", "anna", "--json", "--lake", held).rows
    assert (row["how"], row["case"], row["reason"]) == ("trace", "INC-7", "at night")
    assert row["decision_ids"] == ["d"]


def test_that_nobody_looked_is_status_3(held: Path, run: Run) -> None:
    ran = run("access", "--lake", held)
    assert (ran.code, ran.out) == (3, "")
    assert "Nobody looked" in ran.err
    assert run("access", "x", "--lake", held).code == 3


def test_erase_asks_unless_told_and_a_hold_forbids_it(held: Path, run: Run) -> None:
    ran = run("erase", "anna", "--order", "DSAR-7", "--lake", held)
    assert ran.code == 2
    assert "Say --yes" in ran.err
    run("hold", "anna", "--order", "court 12", "--reason", "appeal", "--lake", held)
    ran = run("erase", "anna", "--order", "DSAR-7", "--yes", "--lake", held)
    assert ran.code == 1
    assert "court 12" in ran.err
    (row,) = run("hold", "anna", "--list", "--json", "--lake", held).rows
    ran = run("hold", "anna", "--order", "court 13", "--release", row["hold_id"], "--lake", held)
    assert (ran.code, ran.out) == (0, "")
    ran = run("erase", "anna", "--order", "DSAR-7", "--yes", "--json", "--lake", held)
    assert ran.code == 0
    assert (ran.json["decisions"], ran.json["left"]) == (1, [])
    ran = run("trace", "r", "--lake", held)
    assert ran.code == 4
    assert "on the order DSAR-7" in ran.out
    assert run("erase", "bo", "--order", "x", "--yes", "--lake", held).code == 3


def test_what_stands_in_the_clear_elsewhere_is_named(held: Path, run: Run) -> None:
    (held / "notes.txt").write_text("call anna", encoding="utf-8")
    ran = run("erase", "anna", "--order", "DSAR-7", "--yes", "--lake", held)
    assert ran.code == 4
    assert "notes.txt" in ran.err


def test_a_hold_rests_on_an_order(held: Path, run: Run) -> None:
    assert run("hold", "anna", "--lake", held).code == 2
    assert run("hold", "anna", "--order", "x", "--release", "h-0", "--lake", held).code == 3
    assert run("hold", "anna", "--list", "--lake", held).out == ""
    assert run("hold", "--order", "x", "--lake", held).code == 2


def test_all_holds_are_listed_where_nobody_is_named(held: Path, run: Run) -> None:
    for who in ("anna", "bo"):
        run(
            "hold",
            who,
            "--order",
            f"court {who}",
            "--until",
            "2099-01-02T03:04:05Z",
            "--lake",
            held,
        )
    shown = run("hold", "--list", "--lake", held).out
    assert ("court anna" in shown, "court bo" in shown) == (True, True)
    assert shown.count("until 2099-01-02 03:04:05") == 2
    first, second = run("hold", "--list", "--json", "--lake", held).rows
    assert first["subject"] != second["subject"]
    assert first["expires_at"] == "2099-01-02T03:04:05Z"
    assert run("hold", "bo", "--list", "--json", "--lake", held).rows == [second]


def test_an_erasure_is_resumed_by_itself_and_needs_a_person_and_an_order(
    held: Path, run: Run
) -> None:
    ran = run("erase", "--resume", "--lake", held)
    assert (ran.code, ran.out) == (0, "")
    assert "No erasure is unfinished" in ran.err
    assert run("erase", "anna", "--resume", "--lake", held).code == 2
    assert run("erase", "anna", "--yes", "--lake", held).code == 2
    assert run("erase", "--order", "x", "--yes", "--lake", held).code == 2


def test_a_notice_of_what_was_erased_is_refused_for_that_reason(held: Path, run: Run) -> None:
    run("erase", "anna", "--order", "DSAR-7", "--yes", "--lake", held)
    ran = run("report", "adverse-action", "r", "--adverse", "APPROVE", "--lake", held)
    assert ran.code == 4
    assert "was erased" in ran.err
    assert "DSAR-7" in ran.err


POLICY = """personal = ["subject.id", "features.phone", "override.reason"]
[roles.clerk]
users = ["nobody"]
unmask = ["features.*"]
"""


def test_a_policy_is_sealed_and_what_is_changed_without_is_not_in_force(
    held: Path, run: Run, tmp_path: Path
) -> None:
    assert "there is no policy" in run("policy", "--lake", held).out
    assert "No policy was ever sealed" in run("policy", "--history", "--lake", held).err
    (held / "privacy.toml").write_text(POLICY, encoding="utf-8")
    ran = run("policy", "--lake", held)
    assert ran.code == 4
    assert "not sealed yet" in ran.out
    assert run("policy", "--seal", "--lake", held).code == 0
    (held / "privacy.toml").write_text(POLICY.replace("nobody", "mallory"), encoding="utf-8")
    ran = run("policy", "--json", "--lake", held)
    assert (ran.code, ran.json["in_force"], ran.json["sealed"]) == (4, False, False)
    assert "changed since it was sealed" in ran.json["problem"]
    assert run("verify", "--lake", held).code == 5
    assert run("policy", "--seal", "--lake", held).code == 2, "a reason is wanted"
    assert run("policy", "--seal", "--reason", "mallory is new", "--lake", held).code == 0
    newest, first = run("policy", "--history", "--json", "--lake", held).rows
    assert (newest["reason"], first["text"]) == ("mallory is new", POLICY)
    assert run("verify", "--lake", held).code == 0


def test_what_is_in_quarantine_is_shown_by_role_and_that_is_a_look(
    held: Path, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (held / "privacy.toml").write_text(POLICY, encoding="utf-8")
    bad = write_lines(tmp_path / "bad.jsonl", [decision_record(score="4711-secret")])
    run("ingest", bad, "--lake", held)
    stored = b"".join(path.read_bytes() for path in (held / "quarantine").iterdir())
    assert b"4711-secret" not in stored
    shown = run("ingest", "--quarantine", "--lake", held).out
    assert "score is text, expected a number" in shown
    assert "4711-secret" not in shown + run("ingest", "--quarantine", "--json", "--lake", held).out
    assert "4711-secret" not in run("ingest", "--retry", "all", "--lake", held).out
    everything = POLICY.replace("features.*", "quarantine").replace("nobody", current().actor)
    (held / "privacy.toml").write_text(everything, encoding="utf-8")
    run("policy", "--seal", "--reason", "who mends records", "--lake", held)
    assert "4711-secret" in run("ingest", "--quarantine", "--lake", held).out
    run("ingest", "--retry", "all", "--lake", held)
    rows = run("access", "--json", "--lake", held).rows
    assert ["quarantine"] in [row["unmasked"] for row in rows]
    assert [] in [row["unmasked"] for row in rows]
    assert run("verify", "--lake", held).code == 0
