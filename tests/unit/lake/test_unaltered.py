"""What was altered in a data file is not sealed anew by a rewriting, and columns are compared."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from forensics.api import open_lake
from forensics.errors import IntegrityError
from forensics.ingest.reread import differences
from forensics.ingest.run import Report
from forensics.lake import read
from forensics.lake.compact import compact
from forensics.lake.parquet import read_checked, write_table
from forensics.lake.snapshot import take
from forensics.lake.verify.compared import compared
from forensics.lake.verify.defects import Defect
from forensics.lake.verify.one import prove
from forensics.lake.verify.whole import Options, verify
from forensics.testing import change_record, decision_record, override_record

TakeIn = Callable[..., Report]
POINT = "decisions/credit_line"
POLICY = 'personal = ["subject.id", "features.income", "steps.outputs", "note", "override.*"]\n'


@pytest.fixture(params=["in the clear", "encrypted"])
def held(
    request: pytest.FixtureRequest,
    lake: Path,
    take_in: TakeIn,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Path:
    """Eight decisions in four commits, with overrides of two of them and a change."""
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    if request.param == "encrypted":
        (lake / "privacy.toml").write_text(POLICY, encoding="utf-8")
    for n in range(4):
        take_in([
            decision_record(
                decision_id=f"d-{n}-{m}",
                subject={"id": f"s-{m}", "purpose": "credit"},
                features={"income": 4711.25 + n, "age": 40 + m, "list": [1.5, None]},
                steps=[{"id": "m", "kind": "model", "outputs": {"x": n}}],
                note={"a": 1},
            )
            for m in range(2)
        ])  # fmt: skip
    take_in([
        override_record(decision_id="d-0-0"), override_record(decision_id="d-0-1"), change_record()
    ])  # fmt: skip
    return lake


def alter(lake: Path, table: str, column: str, value: object) -> str:
    """Say something else in a column of the first record of a table's first file; its name."""
    file = take(lake).files(table)[0]
    path = lake / table / file.name
    records = read_checked(path)
    name, _, child = column.partition(".")
    values = records[name].to_pylist()
    values[0] = {**values[0], child: value} if child else value
    at = records.schema.get_field_index(name)
    field = records.schema.field(at)
    write_table(records.set_column(at, field, pa.array(values, field.type)), path)
    return f"{table}/{file.name}"


def verified(lake: Path) -> list[Defect]:
    return verify(lake, Options(), differences).findings.defects


def as_committed(lake: Path, location: str) -> None:
    """Have the table say the size that a file has now, which whoever alters the file can do too."""
    table, _, name = location.rpartition("/")
    size = (lake / location).stat().st_size
    for path in (lake / table / "_delta_log").glob("*.json"):
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        for line in lines:
            if line.get("add", {}).get("path") == name:
                line["add"]["size"] = size
        path.write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    shutil.rmtree(lake / "index")


def test_a_file_with_an_altered_column_is_not_merged_into_one_that_is_sealed(held: Path) -> None:
    location = alter(held, POINT, "outcome", "DECLINE")
    as_committed(held, location)
    with pytest.raises(IntegrityError, match="other bytes than when"):
        compact(held, grace_hours=0)
    assert (held / location).exists()
    kinds = [(defect.kind, defect.file) for defect in verified(held)]
    assert ("altered", location.rpartition("/")[2]) in kinds or ("altered", location) in kinds


def test_a_file_with_an_altered_column_is_not_written_anew_by_an_erasure(held: Path) -> None:
    alter(held, POINT, "outcome", "DECLINE")
    with open_lake(held) as opened, pytest.raises(IntegrityError, match="other bytes than when"):
        opened.erase("s-0", "DSAR-7")
    assert verified(held)


@pytest.mark.parametrize(
    ("table", "column", "value"),
    [
        (POINT, "outcome", "DECLINE"),
        (POINT, "environment", None),
        (POINT, "model.version", "v9"),
        (POINT, "features.age", 41.5),
        (POINT, "score", 0.75),
        (POINT, "subject.purpose", "marketing"),
        ("overrides", "final_outcome", "DECLINE"),
    ],
)
def test_what_a_column_says_is_what_the_bytes_say_also_of_encrypted_records(
    held: Path, table: str, column: str, value: object
) -> None:
    for one in (POINT, "overrides", "changes"):
        for file in take(held).files(one):
            records = read_checked(held / one / file.name)
            assert list(compared(held, one, records, differences)) == []
    alter(held, table, column, value)
    found = []
    for file in take(held).files(table):
        records = read_checked(held / table / file.name)
        found += [(records["leaf_index"][row].as_py(), of)
                  for row, of in compared(held, table, records, differences)]  # fmt: skip
    assert found == [(1, column)]


def test_without_its_key_an_encrypted_record_is_not_compared(
    held: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alter(held, POINT, "outcome", "DECLINE")
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "elsewhere"))
    records = read_checked(held / POINT / take(held).files(POINT)[0].name)
    plain = pc.all(pc.invert(pc.starts_with(records["raw"].cast(pa.binary()), b"\0"))).as_py()
    assert bool(list(compared(held, POINT, records, differences))) == plain


@pytest.mark.parametrize(
    ("column", "value"), [("raw", None), ("reading", '{"paths": 1}'), ("outcome", "DECLINE")]
)
def test_one_record_that_was_altered_is_said_to_be(held: Path, column: str, value: object) -> None:
    location = alter(held, POINT, column, value)
    as_committed(held, location)
    with pytest.raises(IntegrityError):
        verify_one(held, read_checked(held / location)["decision_id"][0].as_py())


def verify_one(lake: Path, identifier: str) -> None:
    snapshot = take(lake)
    for kept in read.records(snapshot, snapshot.locate(identifier)):
        prove(lake, kept, (), (), differences)


def renamed(lake: Path, location: str) -> str:
    """Give a file another name, which the log does not know, and have the table say so."""
    table, _, name = location.rpartition("/")
    new = f"part-{'a' * 32}.parquet"
    (lake / location).rename(lake / table / new)
    for path in (lake / table / "_delta_log").glob("*.json"):
        path.write_text(path.read_text(encoding="utf-8").replace(name, new), encoding="utf-8")
    return f"{table}/{new}"


def test_an_altered_file_under_another_name_is_sealed_by_nobody(
    held: Path, take_in: TakeIn
) -> None:
    location = alter(held, POINT, "outcome", "DECLINE")
    as_committed(held, location)
    renamed(held, location)
    take_in([decision_record(decision_id="later")])
    found = [(defect.kind, defect.id) for defect in verified(held)]
    assert ("misread", "d-0-0") in found
    with pytest.raises(IntegrityError, match="column outcome is not what was received"):
        compact(held, grace_hours=0, compare=differences)
    with open_lake(held) as opened, pytest.raises(IntegrityError, match="column outcome"):
        opened.erase("s-0", "DSAR-7")
    with pytest.raises(IntegrityError, match="the log does not name it"):
        compact(held, grace_hours=0)
    assert ("misread", "d-0-0") in [(defect.kind, defect.id) for defect in verified(held)]


def test_what_a_dead_process_rewrote_is_compared_and_sealed_by_the_next_compaction(
    held: Path, take_in: TakeIn
) -> None:
    file = take(held).files(POINT)[0].name
    as_committed(held, f"{POINT}/{file}")
    renamed(held, f"{POINT}/{file}")
    take_in([decision_record(decision_id="later")])
    found = verify(held, Options(), differences).findings
    assert not found.defects
    assert [g.records for g in found.gaps if "run forensics compact" in g.statement] == [2]
    compact(held, grace_hours=0, compare=differences)
    found = verify(held, Options(), differences).findings
    assert not found.defects
    assert not found.gaps
