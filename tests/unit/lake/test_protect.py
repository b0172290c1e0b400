"""What is personal is in no byte of a data file; what was received can be had again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from forensics.ingest.assemble import assemble
from forensics.ingest.interface import NO_OPTIONS
from forensics.integrity.leaf import leaf_hash
from forensics.lake import protect
from forensics.lake.subject_keys import key_store
from forensics.records.jsontext import dumps, loads
from forensics.testing import change_record, decision_record, outcome_record, override_record

PERSONAL = ["subject.id", "features.income", "raw_request", "steps.outputs", "my_own", "consumer"]


@pytest.fixture
def guarded(lake: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    names = ", ".join(f'"{name}"' for name in PERSONAL)
    (lake / "privacy.toml").write_text(f"personal = [{names}]\n", encoding="utf-8")
    return lake


def parsed(records: list[dict[str, Any]]) -> pa.Table:
    numbered = [(n, dumps(record).encode(), record) for n, record in enumerate(records, 1)]
    (table,) = assemble("test", numbered, {}, NO_OPTIONS).tables.values()
    return table


def secret(**changes: Any) -> dict[str, Any]:
    personal = {
        "subject": {"id": "anna-svensson", "purpose": "credit"},
        "features": {"income": 4711.25, "age": 40, "note": None},
        "raw_request": "name=anna-svensson",
        "steps": [
            {"id": "m", "kind": "model", "outputs": {"x": "anna-svensson"}},
            {"id": "r", "kind": "rules"},
        ],
        "consumer": {"name": "anna-svensson"},
        "my_own": "anna-svensson",
    }
    return decision_record(**personal | changes)


def test_personal_fields_are_in_no_column_and_all_others_stay(guarded: Path) -> None:
    records = [secret(), secret(steps=None), decision_record(subject=None)]
    table = parsed(records)
    kept = protect.protected(guarded, "decisions/credit_line", table)
    assert kept.schema == table.schema
    assert b"anna" not in repr(kept.drop_columns(["raw", "salt", "leaf"]).to_pylist()).encode()
    assert b"anna" not in b"".join(kept["raw"].to_pylist())
    for name in ("decision_id", "outcome", "score", "leaf", "salt", "model", "threshold"):
        assert kept[name] == table[name], name
    first, _, alone = kept.to_pylist()
    assert first["subject"]["purpose"] == "credit"
    assert first["subject"]["id"].startswith("~")
    assert (first["features"]["income"], first["features"]["age"]) == (None, 40.0)
    assert [step["id"] for step in first["steps"]] == ["m", "r"]
    assert [step["outputs"] for step in first["steps"]] == [None, None]
    assert kept.to_pylist()[1]["steps"] is None
    assert first["consumer"] is None
    assert alone["subject"] is None


def test_the_received_bytes_come_back_and_give_the_leaf(guarded: Path) -> None:
    records = [secret(), decision_record(subject=None)]
    table = parsed(records)
    kept = protect.protected(guarded, "decisions/credit_line", table)
    for row, record in zip(kept.to_pylist(), records, strict=True):
        raw, why = protect.opened(guarded, row["raw"])
        assert raw is not None
        assert why is None
        assert loads(raw.decode()) == record
        assert leaf_hash(row["salt"], raw) == row["leaf"]


def test_who_is_one_subject_has_one_token_and_one_key(guarded: Path) -> None:
    kept = protect.protected(guarded, "decisions/credit_line", parsed([secret(), secret()]))
    first, second = kept.to_pylist()
    assert first["subject"]["id"] == second["subject"]["id"]
    assert first["raw"][:26] == second["raw"][:26]
    assert first["raw"][26:38] != second["raw"][26:38], "a nonce is used once"


def test_without_its_key_a_record_is_read_by_nobody(guarded: Path) -> None:
    kept = protect.protected(guarded, "decisions/credit_line", parsed([secret()]))
    (row,) = kept.to_pylist()
    protect.key_store(guarded).destroy([row["subject"]["id"]], "e-1")
    assert protect.opened(guarded, row["raw"]) == (None, "erased: e-1")


def test_where_nothing_is_personal_records_stay_as_they_are(guarded: Path, lake: Path) -> None:
    table = parsed([decision_record()])
    assert protect.protected(guarded, "changes", table) is table
    (lake / "privacy.toml").write_text('personal = ["triage:features.x"]\n', encoding="utf-8")
    assert protect.protected(guarded, "decisions/credit_line", table) is table
    (lake / "privacy.toml").unlink()
    assert protect.protected(guarded, "decisions/credit_line", table) is table


def test_of_records_beside_decisions_those_that_name_a_person_are_encrypted(guarded: Path) -> None:
    """The policy names no field of changes; one of them says who it is about, and what."""
    plain = [change_record(change_id=f"c-{n}") for n in range(3)]
    named = change_record(change_id="c-9", subject={"id": "anna-svensson"}, my_own="anna-svensson")
    records = [plain[0], named, *plain[1:]]
    numbered = [(n, dumps(record).encode(), record) for n, record in enumerate(records, 1)]
    (table,) = assemble("test", numbered, {}, NO_OPTIONS).tables.values()
    kept = protect.protected(guarded, "changes", table)
    assert kept["change_id"] == table["change_id"]
    assert [raw[:1] == b"\0" for raw in kept["raw"].to_pylist()] == [False, True, False, False]
    assert b"anna" not in repr(kept.to_pylist()).encode()
    row = kept.to_pylist()[1]
    assert loads(row["extra"]) == {"subject": {"id": key_store(guarded).token("anna-svensson")}}
    raw, _ = protect.opened(guarded, row["raw"])
    assert raw is not None
    assert leaf_hash(row["salt"], raw) == row["leaf"]


def test_what_belongs_to_a_decision_is_encrypted_under_that_decisions_key(guarded: Path) -> None:
    text = 'personal = ["override.reason", "outcome.label"]\n'
    (guarded / "privacy.toml").write_text(text, encoding="utf-8")
    records = [
        override_record(decision_id="d", reason="anna-svensson called"),
        outcome_record(decision_id="d", label="anna-svensson"),
        outcome_record(decision_id="e", label="anna-svensson"),
    ]
    numbered = [(n, dumps(record).encode(), record) for n, record in enumerate(records, 1)]
    tables = assemble("test", numbered, {}, NO_OPTIONS).tables
    kept = [protect.protected(guarded, name, table) for name, table in tables.items()]
    rows = [row for table in kept for row in table.to_pylist()]
    assert b"anna" not in repr(rows).encode()
    first, second, other = (row["raw"][:26] for row in rows)
    assert first == second
    assert second != other
    store = key_store(guarded)
    assert store.destroy([store.token(protect.alone_decision("d"))], "e-1") == 1
    assert [protect.opened(guarded, row["raw"])[0] is None for row in rows] == [True, True, False]


def test_a_field_outside_the_contract_is_protected_where_it_alone_is_personal(
    guarded: Path,
) -> None:
    (guarded / "privacy.toml").write_text('personal = ["my_own"]\n', encoding="utf-8")
    kept = protect.protected(guarded, "decisions/credit_line", parsed([secret(subject=None)]))
    (row,) = kept.to_pylist()
    assert row["raw"].startswith(b"\0")
    assert row["extra"] is None
