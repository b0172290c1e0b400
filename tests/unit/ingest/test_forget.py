"""What is erased is in no byte of the lake; holds block it; proofs and everybody else stay."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.api import open_lake
from forensics.errors import LakeError, NotFoundError, UsageError
from forensics.ingest import quarantine
from forensics.ingest.forget import hold, holds, resume
from forensics.ingest.looks import land
from forensics.ingest.reread import differences
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake.compact import compact
from forensics.lake.erase import _without
from forensics.lake.parquet import read_checked, write_table
from forensics.lake.snapshot import take
from forensics.lake.subject_keys import key_store
from forensics.lake.verify.whole import Options, verify
from forensics.testing import (
    change_record,
    decision_record,
    declaration_record,
    outcome_record,
    override_record,
    run_event,
    write_lines,
)

TakeIn = Callable[..., Any]
ANNA = "anna-svensson-19810402"
SECRET = "0170-4711-secret"
#: Of somebody whose id begins as hers does.
OTHER = f"{ANNA}-the-other".encode()
POLICY = """
personal = ["subject.id", "features.phone", "override.reason", "outcome.source", "change.*"]
[roles.all]
users = ["root"]
unmask = ["*"]
"""


@pytest.fixture(autouse=True)
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    return tmp_path / "keys"


@pytest.fixture(params=["in the clear", "encrypted"])
def held(request: pytest.FixtureRequest, lake: Path, take_in: TakeIn) -> Path:
    """Three decisions about Anna among others, with what belongs to them or names her."""
    if request.param == "encrypted":
        (lake / "privacy.toml").write_text(POLICY, encoding="utf-8")
    about = [
        decision_record(
            decision_id=f"a-{n}",
            request_id=f"ra-{n}",
            subject={"id": ANNA},
            features={"phone": SECRET, "amount": 77_123.5 + n},
            raw_request=f"{ANNA} {SECRET}",
            note=SECRET,
            explanation={"reasons": [f"{SECRET} is too long"]},
        )
        for n in range(3)
    ]
    others = [
        decision_record(decision_id=f"b-{n}", request_id=f"rb-{n}", subject={"id": f"bo-{n}"})
        for n in range(40)
    ]
    take_in([*about, *others])
    take_in(
        [
            override_record(decision_id="a-0", reason=f"called {SECRET}"),
            override_record(decision_id="b-0", reason="called"),
            override_record(decision_id="b-1", subject={"id": ANNA}, reason=SECRET),
            outcome_record(decision_id="a-1", source=SECRET),
            outcome_record(decision_id="a-2", subject={"id": ANNA}, note=SECRET),
            outcome_record(decision_id="b-2"),
            change_record(change_id="c-1", reason=f"limit raised for {ANNA}", detail={"x": SECRET}),
            change_record(change_id="c-2", subject={"id": ANNA}, reason=SECRET),
            change_record(change_id="c-3", reason=f"not for {ANNA}-the-other"),
            declaration_record(),
            run_event("run-1", at=datetime(2026, 10, 1, tzinfo=UTC)),
        ]
    )
    hold(lake, ANNA, "court 12-1", releases=hold(lake, ANNA, "court 12-1"))
    with open_lake(lake) as opened:
        opened.trace("a-0", replay=False)
    land(lake)
    return lake


def contents(lake: Path) -> bytes:
    """Every byte of a lake, and every value of its Parquet files."""
    found = []
    for path in sorted(lake.rglob("*")):
        if path.is_file():
            found.append(path.read_bytes())
            if path.suffix == ".parquet":
                found.append(repr(pq.read_table(path).to_pylist()).encode())
    return b"\n".join(found)


def test_nothing_of_the_person_is_left_in_any_byte(held: Path) -> None:
    assert ANNA.encode() in contents(held) or (held / "privacy.toml").exists()
    with open_lake(held) as opened:
        done = opened.erase(ANNA, "DSAR-7", reason="asked for")
    assert (done.decisions, done.records, done.left) == (3, 6, ())
    assert set(take(held).tables) >= {
        "overrides", "outcomes", "changes", "declarations", "access", "holds", "erasures",
        "lineage",
    }  # fmt: skip
    left = contents(held).replace(OTHER, b"")
    for text in (ANNA, SECRET, "77123.5", "77124.5", "77125.5"):
        assert text.encode() not in left, text


def test_what_stays_is_that_it_was_when_and_by_what_and_on_what_order_it_went(held: Path) -> None:
    with open_lake(held) as opened:
        (before,) = opened.trace("a-0", replay=False)
        opened.erase(ANNA, "DSAR-7")
        (after,) = opened.trace("a-0", replay=False)
        rows = list(opened.find())
    assert after.decision.occurred_at == before.decision.occurred_at
    assert (after.decision.outcome, after.decision.model) == (
        before.decision.outcome,
        before.decision.model,
    )
    assert (after.integrity.leaf, after.integrity.segment) == (
        before.integrity.leaf,
        before.integrity.segment,
    )
    assert not after.decision.features
    assert {feature.evidence for feature in after.features} == {"redacted"}
    (finding,) = after.findings
    assert finding.kind == "erased"
    assert "DSAR-7" in finding.statement
    assert len(rows) == 43


def test_others_stay_as_they_are(held: Path) -> None:
    with open_lake(held) as opened:
        (before,) = opened.trace("b-0", replay=False)
        opened.erase(ANNA, "DSAR-7")
        (after,) = opened.trace("b-0", replay=False)
    assert after.decision.features == before.decision.features
    assert after.override == before.override
    assert after.integrity.verified


def test_the_same_records_do_not_come_back(held: Path, tmp_path: Path) -> None:
    record = decision_record(decision_id="c", subject={"id": ANNA})
    log = write_lines(tmp_path / "late.jsonl", [record])
    ingest(held, open_source(log))
    with open_lake(held) as opened:
        opened.erase(ANNA, "DSAR-7")
    again = ingest(held, open_source(log))
    assert (again.landed_total, again.already_present) == (0, 1)
    assert ANNA.encode() not in contents(held).replace(OTHER, b"")


def test_what_lies_in_quarantine_goes_too(held: Path, tmp_path: Path) -> None:
    bad = [decision_record(subject={"id": ANNA}, score="high"), decision_record(score="high")]
    ingest(held, open_source(write_lines(tmp_path / "bad.jsonl", bad)))
    assert len(quarantine.load(held)) == 2
    with open_lake(held) as opened:
        assert opened.erase(ANNA, "DSAR-7").quarantined == 1
    assert len(quarantine.load(held)) == 1


def test_compacted_and_summed_up_files_are_reached(held: Path) -> None:
    compact(held, grace_hours=0)
    with open_lake(held) as opened:
        opened.erase(ANNA, "DSAR-7")
    compact(held, grace_hours=0)
    left = contents(held).replace(OTHER, b"")
    assert ANNA.encode() not in left
    assert SECRET.encode() not in left


def test_a_hold_blocks_until_it_is_released_or_has_expired(held: Path) -> None:
    first = hold(held, ANNA, "court 12-114")
    expires_at = datetime.now(UTC) + timedelta(seconds=2)
    second = hold(held, ANNA, "court 12-115", expires_at=expires_at)
    with pytest.raises(UsageError, match="expired already"):
        hold(held, ANNA, "court 12-115", expires_at=datetime.now(UTC))
    time.sleep(max(0, (expires_at - datetime.now(UTC)).total_seconds()))
    with open_lake(held) as opened:
        with pytest.raises(LakeError, match="court 12-114"):
            opened.erase(ANNA, "DSAR-7")
        assert [one["hold_id"] for one in holds(held, ANNA)] == [first]
        assert not holds(held, "bo-1")
        with pytest.raises(NotFoundError):
            hold(held, "bo-1", "x", releases=first)
        with pytest.raises(NotFoundError):
            hold(held, ANNA, "x", releases=second)
        hold(held, ANNA, "court 12-116", releases=first)
        assert opened.erase(ANNA, "DSAR-7").decisions == 3


def test_holds_and_erasures_name_the_person_by_a_token_only(held: Path) -> None:
    hold(held, ANNA, "court 12-114", releases=hold(held, ANNA, "court 12-113"))
    with open_lake(held) as opened:
        token = opened.erase(ANNA, "DSAR-7").token
    for table in ("holds", "erasures"):
        rows = [row for path in take(held).paths(table) for row in pq.read_table(path).to_pylist()]
        assert {row["subject"] for row in rows} == {token}
        assert all(json.loads(row["raw"])["subject"] == token for row in rows)


def test_who_is_not_there_cannot_be_erased(held: Path) -> None:
    with open_lake(held) as opened:
        with pytest.raises(NotFoundError, match="no decision about"):
            opened.erase("nobody", "DSAR-7")
        opened.erase(ANNA, "DSAR-7")
        again = opened.erase(ANNA, "DSAR-8")
    assert again.decisions == 0


def test_of_records_beside_decisions_stays_that_they_were(held: Path) -> None:
    with open_lake(held) as opened:
        opened.erase(ANNA, "DSAR-7")
        (decision,) = opened.trace("a-0", replay=False)
        (other,) = opened.trace("b-0", replay=False)
        changes = {one.change_id: one for one in opened.changes()}
    assert decision.override is not None
    assert decision.override["final_outcome"]
    assert "reason" not in decision.override
    assert str(decision.override["redacted"]["*"]).startswith("erased: e-")
    assert other.override is not None
    assert other.override["reason"] == "called"
    assert (changes["c-1"].reason, changes["c-2"].reason) == (None, None)
    assert changes["c-1"].to_version
    assert changes["c-1"].detail["redacted"]
    assert str(changes["c-3"].reason).startswith("not for")


def test_who_is_only_named_beside_decisions_or_in_quarantine_can_be_erased(
    lake: Path, take_in: TakeIn, tmp_path: Path
) -> None:
    take_in([decision_record(), change_record(reason=f"for {ANNA}")])
    bad = write_lines(tmp_path / "bad.jsonl", [decision_record(subject={"id": "bo"}, score="x")])
    ingest(lake, open_source(bad))
    with open_lake(lake) as opened:
        assert opened.erase(ANNA, "DSAR-7").records == 1
        assert opened.erase("bo", "DSAR-8").quarantined == 1
    assert ANNA.encode() not in contents(lake)
    assert not verify(lake, Options(), differences).findings.broken


#: Where a process is killed: a function, whether before or after it, at which call, in which lake.
STEPS = [
    ("forensics.lake.erasing.write", "before", 1, "encrypted"),
    ("forensics.lake.erasing.write", "after", 1, "in the clear"),
    ("forensics.ingest.own_records.write", "after", 1, "encrypted"),
    ("forensics.privacy.keystore.KeyStore.destroy", "after", 1, "encrypted"),
    ("forensics.lake.tables.replace_files", "before", 1, "in the clear"),
    ("forensics.lake.tables.replace_files", "after", 1, "in the clear"),
    ("forensics.lake.tables.replace_files", "after", 3, "encrypted"),
    ("forensics.lake.writer.refreshed", "after", 2, "in the clear"),
    ("forensics.lake.writer.publish", "after", 2, "encrypted"),
    ("forensics.lake.tables.vacuum", "after", 1, "in the clear"),
    ("forensics.lake.derived.sweep", "after", 1, "in the clear"),
    ("forensics.ingest.quarantine.forget", "after", 1, "encrypted"),
    ("forensics.lake.erasing.remove", "before", 1, "in the clear"),
]
_KILLED = """
import importlib, os, signal, sys
from pathlib import Path
from forensics.ingest import forget
name, when, nth = sys.argv[1], sys.argv[2], int(sys.argv[3])
parts = name.split(".")
within = importlib.import_module(".".join(parts[:3]))
for part in parts[3:-1]:
    within = getattr(within, part)
real, calls = getattr(within, parts[-1]), []
def dies(*given, **named):
    calls.append(given)
    last = len(calls) == nth
    if last and when == "before":
        os.kill(os.getpid(), signal.SIGKILL)
    answer = real(*given, **named)
    if last:
        os.kill(os.getpid(), signal.SIGKILL)
    return answer
setattr(within, parts[-1], dies)
forget.erase(Path(sys.argv[4]), sys.argv[5], "DSAR-7")
"""


@pytest.mark.parametrize(
    ("step", "held"),
    [pytest.param(one[:3], one[3], id=f"{one[1]} {one[0]} {one[2]}") for one in STEPS],
    indirect=["held"],
)
def test_an_erasure_that_was_killed_is_unfinished_until_it_is_resumed(
    held: Path, tmp_path: Path, step: tuple[str, str, int]
) -> None:
    """At each step: verify says so and calls nothing altered, and no hold can come in between."""
    bad = write_lines(tmp_path / "bad.jsonl", [decision_record(subject={"id": ANNA}, score="x")])
    ingest(held, open_source(bad))
    arguments = [*map(str, step), str(held), ANNA]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *arguments], capture_output=True)
    assert killed.returncode == -9, killed.stderr.decode()
    found = verify(held, Options(), differences).findings
    assert not found.broken, found.defects
    unfinished = [
        gap.statement for gap in found.gaps if "forensics erase --resume" in gap.statement
    ]
    begun = step[:2] != ("forensics.lake.erasing.write", "before")
    assert len(unfinished) == begun
    assert ANNA.encode() not in (held / "erasing.json").read_bytes() if begun else True
    if begun:
        assert "DSAR-7" in unfinished[0]
        with pytest.raises(LakeError, match="are being erased"):
            hold(held, ANNA, "court 12-114")
        hold(held, "bo-1", "court 12-114")
        assert resume(held) is not None
    else:
        with open_lake(held) as opened:
            opened.erase(ANNA, "DSAR-7")
    left = contents(held).replace(OTHER, b"")
    assert ANNA.encode() not in left
    assert SECRET.encode() not in left
    found = verify(held, Options(), differences).findings
    assert (found.broken, found.gaps) == (False, []), (found.defects, found.gaps)
    assert resume(held) is None


def test_an_unfinished_erasure_is_finished_by_the_next_one_with_what_came_in_since(
    held: Path, tmp_path: Path
) -> None:
    arguments = ["forensics.lake.tables.replace_files", "after", "1", str(held), ANNA]
    killed = subprocess.run([sys.executable, "-c", _KILLED, *arguments], capture_output=True)
    assert killed.returncode == -9
    late = decision_record(subject={"id": ANNA}, raw_request=SECRET, request_id="late")
    ingest(held, open_source(write_lines(tmp_path / "late.jsonl", [late])))
    with open_lake(held) as opened:
        opened.erase("bo-1", "DSAR-8")
    left = contents(held).replace(OTHER, b"")
    assert ANNA.encode() not in left
    assert SECRET.encode() not in left
    found = verify(held, Options(), differences).findings
    assert (found.broken, found.gaps) == (False, []), found.defects


def test_saying_that_an_erasure_is_unfinished_hides_no_other_record(held: Path) -> None:
    """The file that says so is believed only of records that the erasure named."""
    arguments = ["forensics.lake.tables.replace_files", "after", "1", str(held), ANNA]
    subprocess.run([sys.executable, "-c", _KILLED, *arguments], capture_output=True)
    erasure_id = json.loads((held / "erasing.json").read_text())["erasure_id"]
    file = take(held).files("decisions/credit_line")[0]
    records = read_checked(held / "decisions/credit_line" / file.name)
    mask = pa.array([one == "b-7" for one in records["decision_id"].to_pylist()])
    changed = _without(records, mask, "decisions", erasure_id, key_store(held).token(ANNA))
    write_table(changed, held / "decisions/credit_line" / file.name)
    statements = [one.statement for one in verify(held, Options(), differences).findings.defects]
    assert any("are some that it did not" in one for one in statements), statements


def test_who_may_log_can_neither_release_a_hold_nor_feign_one(held: Path, tmp_path: Path) -> None:
    first = hold(held, ANNA, "court 12-114")
    (row,) = holds(held, ANNA)
    forged = [
        {"record": "hold", "hold_id": "h-x", "subject": "~x", "order": "x", "actor": "judge",
         "occurred_at": "2026-01-01T00:00:00Z", "releases": first},
        {"record": "erasure", "erasure_id": "e-x", "subject": "~x", "order": "x", "actor": "dpo",
         "occurred_at": "2026-01-01T00:00:00Z"},
    ]  # fmt: skip
    report = ingest(held, open_source(write_lines(tmp_path / "forged.jsonl", forged)))
    assert report.quarantined_total == 2
    assert holds(held, ANNA) == [row]


def test_an_id_that_json_escapes_is_found_in_quarantine(lake: Path, tmp_path: Path) -> None:
    name = 'p\u00e9ter "x"'
    good = decision_record(subject={"id": name})
    path = tmp_path / "bad.jsonl"
    path.write_text(
        json.dumps(good) + "\n" + json.dumps(decision_record(subject={"id": name}, score="high"))
        + "\n" + json.dumps(decision_record(subject={"id": name}, score="high"),
                            ensure_ascii=False) + "\n",
        encoding="utf-8",
    )  # fmt: skip
    ingest(lake, open_source(path))
    with open_lake(lake) as opened:
        assert opened.erase(name, "DSAR-7").quarantined == 2
    assert quarantine.load(lake) == []


def test_an_id_is_not_that_of_somebody_whose_id_begins_as_it_does(
    lake: Path, tmp_path: Path
) -> None:
    """Quarantine is all that is left of a record: nobody's goes with somebody else's."""
    people = ["s-4", "s-41", "s-4-1", "xs-4", "s-4\u00e5"]
    bad = [decision_record(subject={"id": one}, score="high") for one in people]
    ingest(lake, open_source(write_lines(tmp_path / "bad.jsonl", bad)))
    with open_lake(lake) as opened:
        with pytest.raises(NotFoundError):
            opened.erase("s", "DSAR-6")
        assert opened.erase("s-4", "DSAR-7").quarantined == 1
    assert len(quarantine.load(lake)) == 4


@pytest.mark.parametrize("name", ["s-4", 's "4"', "s\\4"])
def test_an_id_behind_what_json_escapes_is_found_in_changes(
    lake: Path, take_in: TakeIn, name: str
) -> None:
    reason = f"asked by:\n{name}\tby telephone"
    take_in([decision_record(), change_record(reason=reason), change_record(reason="s-41")])
    with open_lake(lake) as opened:
        assert opened.erase(name, "DSAR-7").records == 1
        assert sorted(str(one.reason) for one in opened.changes()) == ["None", "s-41"]


def test_what_is_not_reached_is_named_in_every_table_also_where_it_is_encrypted(
    held: Path, take_in: TakeIn
) -> None:
    take_in([
        decision_record(decision_id="g-1", subject={"id": "bo-1"}, guarantor=ANNA),
        override_record(decision_id="b-1", reason=f"as we did for\n{ANNA}"),
    ])  # fmt: skip
    with open_lake(held) as opened:
        left = opened.erase(ANNA, "DSAR-7").left
    assert {"decisions/credit_line (1 records)", "overrides (1 records)"} <= set(left)


class TestProof:
    def test_all_proofs_hold_after_an_erasure(self, held: Path) -> None:
        with open_lake(held) as opened:
            opened.erase(ANNA, "DSAR-7")
        for deep in (False, True):
            found = verify(held, Options(deep=deep), differences)
            assert not found.findings.broken, found.findings.defects
            assert (found.erased, found.findings.gaps) == (9, [])
        compact(held, grace_hours=0)
        assert not verify(held, Options(deep=True), differences).findings.broken

    def test_an_erasure_hides_nobody_else(self, held: Path) -> None:
        """Who writes to the lake may say of a record that it was erased, and is found out."""
        with open_lake(held) as opened:
            erasure_id = opened.erase(ANNA, "DSAR-7").erasure_id
        for said in (erasure_id, "e-never"):
            copy = held.with_name(f"forged-{said}")
            shutil.copytree(held, copy)
            snapshot = take(copy)
            file = snapshot.files("decisions/credit_line")[0]
            records = read_checked(copy / "decisions/credit_line" / file.name)
            mask = pa.array([one == "b-7" for one in records["decision_id"].to_pylist()])
            changed = _without(records, mask, "decisions", said, "~token")
            write_table(changed, copy / "decisions/credit_line" / file.name)
            found = verify(copy, Options(), differences)
            assert found.findings.broken
            statements = " ".join(defect.statement for defect in found.findings.defects)
            assert "erased" in statements, said

    def test_what_is_encrypted_is_proven_with_the_key_and_said_without(
        self, held: Path, keys: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        if not (held / "privacy.toml").exists():
            return
        found = verify(held, Options(deep=True), differences)
        assert (found.findings.broken, found.findings.gaps) == (False, [])
        monkeypatch.setenv("FORENSICS_KEY_STORE", str(keys) + "-elsewhere")
        found = verify(held, Options(), differences)
        assert not found.findings.broken
        (gap,) = found.findings.gaps
        assert gap.records == 43 + 9
        assert "The key store of this lake is not at" in gap.statement

    def test_quarantine_stays_provable(self, held: Path, tmp_path: Path) -> None:
        bad = [decision_record(subject={"id": ANNA}, score="high"), decision_record(score="high")]
        ingest(held, open_source(write_lines(tmp_path / "bad.jsonl", bad)))
        with open_lake(held) as opened:
            opened.erase(ANNA, "DSAR-7")
        assert not verify(held, Options(), differences).findings.broken
