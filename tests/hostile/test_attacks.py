"""Whoever can write to a lake can change it, but not unseen: each attack is found and named.

The attacker here knows the format, has this program, and can write every byte of the lake: files
are rewritten with sound checksums and committed to Delta, and the catalog and index made again.
What the attacker does not have is the key, and what lies outside: the checkpoint seen last.
"""

from __future__ import annotations

import base64
import json
import os
import random
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.cli import main
from forensics.integrity import note, signing, tiles, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.key_change import KeyChange
from forensics.integrity.leaf import leaf_hash
from forensics.lake import catalog, layout, log, sealed, tables, writer
from forensics.lake.catalog import DataFile
from forensics.lake.parquet import write_table
from forensics.lake.snapshot import take
from forensics.lake.verify import memory
from forensics.testing import change_record, decision_record, write_lines

POINT = "decisions/credit_line"


@dataclass(frozen=True)
class Expected:
    """What a verification must name: a kind of defect, and, of records, which one."""

    kinds: frozenset[str]
    id: str | None = None
    segment: str | None = None
    leaf_index: int | None = None


def expect(*kinds: str, **record: Any) -> Expected:
    return Expected(frozenset(kinds), **record)


class Attacker:
    """Does things to a lake. ``chosen`` picks the victims."""

    def __init__(self, root: Path, before: Path, chosen: random.Random) -> None:
        self.root, self.before, self.chosen = root, before, chosen
        self.log = root / "log"

    def file(self, table: str = POINT) -> DataFile:
        return self.chosen.choice(tables.state(self.root, table).files)

    def rewrite(self, change: Callable[[pa.Table], pa.Table], file: DataFile | None = None) -> None:
        """Exchange a file for a changed one, with everything derived from it made again."""
        file = file or self.file()
        records = change(pq.read_table(self.root / POINT / file.name))
        name = f"part-{self.chosen.randbytes(16).hex()}.parquet"
        size = write_table(records, self.root / POINT / name)
        added = writer.data_file(records, POINT, name, size)
        tables.replace_files(self.root, POINT, [file], [added])
        self.derive()

    def overwrite(self, change: Callable[[pa.Table], pa.Table]) -> None:
        """The same in place: under the name that the log knows, as large as it was or not."""
        file = self.file()
        path = self.root / POINT / file.name
        write_table(change(pq.read_table(path)), path)
        for entry in sorted((self.root / POINT / "_delta_log").glob("*.json")):
            text = entry.read_text(encoding="utf-8")
            entry.write_text(
                text.replace(f'"size":{file.size}', f'"size":{path.stat().st_size}'),
                encoding="utf-8",
            )
        self.derive()

    def derive(self) -> None:
        (self.root / "index" / "catalog.json").unlink(missing_ok=True)
        writer.publish(self.root, writer.refreshed(self.root, take(self.root)))

    def victim(self, records: pa.Table) -> tuple[int, dict[str, Any]]:
        row = self.chosen.randrange(1, records.num_rows - 1)
        return row, records.slice(row, 1).to_pylist()[0]


def put(records: pa.Table, row: int, **values: Any) -> pa.Table:
    """``records`` with other values in one row."""
    for name, value in values.items():
        column = records[name].to_pylist()
        column[row] = value
        at = records.schema.get_field_index(name)
        field = records.schema.field(at)
        records = records.set_column(at, field, pa.array(column, field.type))
    return records


ATTACKS: dict[str, Callable[[Attacker], Expected]] = {}


def attack(function: Callable[[Attacker], Expected]) -> Callable[[Attacker], Expected]:
    ATTACKS[function.__name__] = function
    return function


def one_row(
    *kinds: str, in_place: bool = False
) -> Callable[[Callable[[dict[str, Any]], dict[str, Any]]], Callable[[Attacker], Expected]]:
    """An attack on one record: gives the values to put into its row."""

    def wrap(values: Callable[[dict[str, Any]], dict[str, Any]]) -> Callable[[Attacker], Expected]:
        def run(attacker: Attacker) -> Expected:
            hit: dict[str, Any] = {}

            def change(records: pa.Table) -> pa.Table:
                row, record = attacker.victim(records)
                hit.update(record)
                return put(records, row, **values(record))

            (attacker.overwrite if in_place else attacker.rewrite)(change)
            return expect(*kinds, segment=hit["segment"], leaf_index=hit["leaf_index"])

        ATTACKS[values.__name__] = run
        return run

    return wrap


def with_outcome(record: dict[str, Any]) -> bytes:
    raw = json.loads(record["raw"])
    raw["outcome"] = "DECLINE"
    return json.dumps(raw).encode()


@one_row("altered")
def received_bytes_edited(record: dict[str, Any]) -> dict[str, Any]:
    return {"raw": with_outcome(record)}


@one_row("altered")
def received_bytes_and_leaf_edited(record: dict[str, Any]) -> dict[str, Any]:
    raw = with_outcome(record)
    return {"raw": raw, "leaf": leaf_hash(record["salt"], raw), "outcome": "DECLINE"}


@one_row("altered", in_place=True)
def received_bytes_and_leaf_edited_in_place(record: dict[str, Any]) -> dict[str, Any]:
    raw = with_outcome(record)
    return {"raw": raw, "leaf": leaf_hash(record["salt"], raw), "outcome": "DECLINE"}


@one_row("altered")
def leaf_edited(record: dict[str, Any]) -> dict[str, Any]:
    return {"leaf": sha256(record["leaf"]).digest()}


@one_row("altered")
def salt_exchanged(record: dict[str, Any]) -> dict[str, Any]:
    salt = bytes(16)
    return {"salt": salt, "leaf": leaf_hash(salt, record["raw"])}


@one_row("misread")
def typed_score_edited(record: dict[str, Any]) -> dict[str, Any]:
    return {"score": 0.99}


@one_row("misread", in_place=True)
def typed_score_edited_in_place(record: dict[str, Any]) -> dict[str, Any]:
    return {"score": 0.99}


@one_row("misread")
def typed_outcome_edited(record: dict[str, Any]) -> dict[str, Any]:
    return {"outcome": "DECLINE"}


@one_row("misread")
def typed_feature_edited(record: dict[str, Any]) -> dict[str, Any]:
    return {"features": {**record["features"], "amount": 7.0}}


@one_row("misread")
def typed_subject_edited(record: dict[str, Any]) -> dict[str, Any]:
    return {"subject": {**record["subject"], "id": "somebody"}}


@one_row("misread")
def id_column_edited(record: dict[str, Any]) -> dict[str, Any]:
    return {"decision_id": "d-other"}


@one_row("back_dated")
def time_of_receipt_back_dated(record: dict[str, Any]) -> dict[str, Any]:
    return {"ingested_at": record["ingested_at"] - timedelta(days=3)}


@one_row("back_dated")
def time_column_back_dated(record: dict[str, Any]) -> dict[str, Any]:
    return {"occurred_at": record["occurred_at"] - timedelta(seconds=1)}


@one_row("altered")
def record_back_dated_in_its_bytes_too(record: dict[str, Any]) -> dict[str, Any]:
    when = record["occurred_at"] - timedelta(seconds=1)
    raw = json.dumps({**json.loads(record["raw"]), "occurred_at": when.isoformat()}).encode()
    return {"raw": raw, "leaf": leaf_hash(record["salt"], raw), "occurred_at": when}


@one_row("back_dated")
def reading_exchanged(record: dict[str, Any]) -> dict[str, Any]:
    return {"reading": '{"paths":[["score","threshold"]],"constants":[],"columns":false}'}


@one_row("back_dated")
def source_exchanged(record: dict[str, Any]) -> dict[str, Any]:
    return {"source": "elsewhere.jsonl#1"}


@one_row("dropped")
def record_given_to_a_segment_that_is_none(record: dict[str, Any]) -> dict[str, Any]:
    return {"segment": "0" * 32}


@one_row("altered", "misread")
def values_kept_as_written_edited(record: dict[str, Any]) -> dict[str, Any]:
    return {"exact": [("score", "0.9999999999999999999999")]}


def rows_attack(
    *kinds: str,
) -> Callable[[Callable[..., pa.Table]], Callable[[Attacker], Expected]]:
    """An attack on the rows of a file: gives the rows to write, and fills in what it hit."""

    def wrap(change: Callable[..., pa.Table]) -> Callable[[Attacker], Expected]:
        def run(attacker: Attacker) -> Expected:
            hit: dict[str, Any] = {}
            attacker.rewrite(lambda records: change(attacker, records, hit))
            return expect(*kinds, segment=hit["segment"], leaf_index=hit["leaf_index"])

        ATTACKS[change.__name__] = run
        return run

    return wrap


def without(records: pa.Table, row: int) -> pa.Table:
    return pa.concat_tables([records.slice(0, row), records.slice(row + 1)])


@rows_attack("dropped")
def record_dropped(attacker: Attacker, records: pa.Table, hit: dict[str, Any]) -> pa.Table:
    row, record = attacker.victim(records)
    hit.update(record)
    return without(records, row)


@rows_attack("dropped")
def first_record_dropped(_: Attacker, records: pa.Table, hit: dict[str, Any]) -> pa.Table:
    hit.update(records.slice(0, 1).to_pylist()[0])
    return records.slice(1)


@rows_attack("dropped")
def last_record_dropped(_: Attacker, records: pa.Table, hit: dict[str, Any]) -> pa.Table:
    hit.update(records.slice(records.num_rows - 1).to_pylist()[0])
    return records.slice(0, records.num_rows - 1)


@rows_attack("dropped")
def record_dropped_and_the_rest_numbered_anew(
    attacker: Attacker, records: pa.Table, hit: dict[str, Any]
) -> pa.Table:
    row, record = attacker.victim(records)
    hit.update(record, leaf_index=records.num_rows)
    records = without(records, row)
    at = records.schema.get_field_index("leaf_index")
    return records.set_column(at, "leaf_index", pa.array(range(1, records.num_rows + 1)))


@rows_attack("inserted")
def record_doubled(attacker: Attacker, records: pa.Table, hit: dict[str, Any]) -> pa.Table:
    row, record = attacker.victim(records)
    hit.update(record)
    return pa.concat_tables([records.slice(0, row + 1), records.slice(row)])


@rows_attack("inserted")
def record_appended(attacker: Attacker, records: pa.Table, hit: dict[str, Any]) -> pa.Table:
    _, record = attacker.victim(records)
    raw = with_outcome(record)
    salt = attacker.chosen.randbytes(16)
    index = records.num_rows + 1
    hit.update(record, leaf_index=index)
    row = records.slice(records.num_rows - 1)
    new = put(row, 0, raw=raw, salt=salt, leaf=leaf_hash(salt, raw), leaf_index=index)
    return pa.concat_tables([records, new])


@rows_attack("reordered")
def records_exchanged(attacker: Attacker, records: pa.Table, hit: dict[str, Any]) -> pa.Table:
    row, record = attacker.victim(records)
    other = records.slice(row - 1, 1).to_pylist()[0]
    hit.update(record)
    names = ("raw", "salt", "leaf")
    records = put(records, row, **{name: other[name] for name in names})
    return put(records, row - 1, **{name: record[name] for name in names})


@rows_attack("reordered")
def leaf_numbers_exchanged(attacker: Attacker, records: pa.Table, hit: dict[str, Any]) -> pa.Table:
    row, record = attacker.victim(records)
    hit.update(record)
    records = put(records, row, leaf_index=record["leaf_index"] - 1)
    return put(records, row - 1, leaf_index=record["leaf_index"])


@attack
def segment_dropped(attacker: Attacker) -> Expected:
    file = attacker.file()
    segment = pq.read_table(attacker.root / POINT / file.name)["segment"][0].as_py()
    tables.replace_files(attacker.root, POINT, [file], [])
    (attacker.root / POINT / file.name).unlink()
    attacker.derive()
    return expect("dropped", segment=segment)


@attack
def data_file_deleted(attacker: Attacker) -> Expected:
    (attacker.root / POINT / attacker.file().name).unlink()
    return expect("altered", "dropped")


@attack
def data_file_cut_short(attacker: Attacker) -> Expected:
    path = attacker.root / POINT / attacker.file().name
    os.truncate(path, path.stat().st_size - 9)
    return expect("altered")


@attack
def data_files_exchanged(attacker: Attacker) -> Expected:
    one, two, *_ = tables.state(attacker.root, POINT).files
    paths = [attacker.root / POINT / file.name for file in (one, two)]
    data = [path.read_bytes() for path in paths]
    paths[0].write_bytes(data[1])
    paths[1].write_bytes(data[0])
    return expect("altered")


@attack
def footer_edited(attacker: Attacker) -> Expected:
    path = attacker.root / POINT / attacker.file().name
    data = bytearray(path.read_bytes())
    length = int.from_bytes(data[-8:-4], "little")
    at = data.index(b"parquet-cpp-arrow", len(data) - 8 - length)
    data[at] ^= 1
    path.write_bytes(data)
    return expect("altered")


@attack
def commit_taken_back(attacker: Attacker) -> Expected:
    newest = max((attacker.root / POINT / "_delta_log").glob("*.json"))
    newest.unlink()
    (attacker.root / "index" / "catalog.json").unlink()
    return expect("dropped")


@attack
def table_removed(attacker: Attacker) -> Expected:
    shutil.rmtree(attacker.root / "changes")
    (attacker.root / "index" / "catalog.json").unlink()
    return expect("dropped")


@attack
def records_landed_past_the_log(attacker: Attacker) -> Expected:
    """A whole file, sound in itself, that nobody sealed."""
    file = attacker.file()
    records = pq.read_table(attacker.root / POINT / file.name)
    for name in ("decision_id", "request_id"):
        at = records.schema.get_field_index(name)
        ids = [f"x-{number}" for number in range(records.num_rows)]
        records = records.set_column(at, name, pa.array(ids))
    at = records.schema.get_field_index("segment")
    records = records.set_column(at, "segment", pa.array(["1" * 32] * records.num_rows))
    size = write_table(records, attacker.root / POINT / "part-new.parquet")
    added = writer.data_file(records, POINT, "part-new.parquet", size)
    tables.add_files(attacker.root, POINT, records.schema, [added])
    attacker.derive()
    return expect("inserted", segment="1" * 32)


@attack
def checkpoint_edited(attacker: Attacker) -> Expected:
    path = attacker.log / "checkpoint"
    lines = path.read_text(encoding="utf-8").split("\n")
    lines[2] = base64.b64encode(bytes(32)).decode()
    path.write_text("\n".join(lines), encoding="utf-8")
    return expect("forged")


@attack
def checkpoint_removed(attacker: Attacker) -> Expected:
    (attacker.log / "checkpoint").unlink()
    return expect("rolled_back")


@attack
def log_removed(attacker: Attacker) -> Expected:
    shutil.rmtree(attacker.log)
    return expect("rolled_back")


@attack
def log_entry_edited(attacker: Attacker) -> Expected:
    path = max((attacker.log / "tile" / "entries" / "000.p").iterdir(), key=lambda p: int(p.name))
    data = bytearray(path.read_bytes())
    data[attacker.chosen.randrange(len(data))] ^= 4
    path.write_bytes(data)
    return expect("altered")


@attack
def log_tile_edited(attacker: Attacker) -> Expected:
    path = attacker.chosen.choice(list((attacker.log / "tile" / "0" / "000.p").iterdir()))
    data = bytearray(path.read_bytes())
    data[attacker.chosen.randrange(len(data))] ^= 1
    path.write_bytes(data)
    return expect("altered")


def a_list(attacker: Attacker) -> Path:
    return attacker.chosen.choice(sorted((attacker.log / "segments").glob("*/*")))


@attack
def list_of_leaves_edited(attacker: Attacker) -> Expected:
    path = a_list(attacker)
    data = bytearray(path.read_bytes())
    data[attacker.chosen.randrange(len(data))] ^= 1
    path.write_bytes(data)
    return expect("altered", segment=path.name)


@attack
def list_of_leaves_removed(attacker: Attacker) -> Expected:
    path = a_list(attacker)
    path.unlink()
    return expect("altered", segment=path.name)


@attack
def record_edited_with_its_list_of_leaves(attacker: Attacker) -> Expected:
    hit: dict[str, Any] = {}

    def change(records: pa.Table) -> pa.Table:
        row, record = attacker.victim(records)
        raw = with_outcome(record)
        leaf = leaf_hash(record["salt"], raw)
        path = sealed.path_of(attacker.root, record["segment"])
        path.write_bytes(path.read_bytes().replace(record["leaf"], leaf))
        hit.update(record)
        return put(records, row, raw=raw, leaf=leaf, outcome="DECLINE")

    attacker.rewrite(change)
    return expect("altered", segment=hit["segment"])


@attack
def public_key_added(attacker: Attacker) -> Expected:
    key = signing.new_key("decision-forensics/other").key
    (attacker.log / "keys" / f"{key.hash}.vkey").write_text(f"{key}\n", encoding="utf-8")
    return expect("forged")


def signed_anew(attacker: Attacker, entries: list[str]) -> None:
    """The log, whole and in order, under a key of the attacker's."""
    lake_id = layout.identity(attacker.root)
    origin = f"decision-forensics/{lake_id}"
    signer = signing.new_key(origin)
    texts = [KeyChange(origin, "add", signer.key, 0).text(), *entries]
    shutil.rmtree(attacker.log / "tile")
    shutil.rmtree(attacker.log / "keys")
    (attacker.log / "checkpoint").unlink()
    log.Log(attacker.root, origin).append(
        [signing.signed(text, [signer]) for text in texts], [signer]
    )
    (attacker.log / "keys").mkdir()
    (attacker.log / "keys" / f"{signer.key.hash}.vkey").write_text(f"{signer.key}\n", "utf-8")


def texts_of(attacker: Attacker) -> list[str]:
    ours = log.Log(attacker.root, f"decision-forensics/{layout.identity(attacker.root)}")
    return [note.parse(entry).text for entry in ours.entries()][1:]


@attack
def key_exchanged_and_everything_signed_anew(attacker: Attacker) -> Expected:
    signed_anew(attacker, texts_of(attacker))
    return expect("rolled_back")


@attack
def segment_taken_out_of_a_log_signed_anew(attacker: Attacker) -> Expected:
    texts = texts_of(attacker)
    texts.pop(attacker.chosen.randrange(len(texts)))
    signed_anew(attacker, texts)
    return expect("rolled_back")


@attack
def log_entries_reordered_and_signed_anew(attacker: Attacker) -> Expected:
    signed_anew(attacker, texts_of(attacker)[::-1])
    return expect("rolled_back")


@attack
def checkpoint_of_an_own_tree(attacker: Attacker) -> Expected:
    origin = f"decision-forensics/{layout.identity(attacker.root)}"
    text = Checkpoint(origin, 1, tree.leaf_hash(b"mine")).text()
    (attacker.log / "checkpoint").write_bytes(signing.signed(text, [signing.new_key(origin)]))
    return expect("forged", "rolled_back")


@attack
def old_backup_restored(attacker: Attacker) -> Expected:
    shutil.rmtree(attacker.root)
    shutil.copytree(attacker.before, attacker.root)
    return expect("rolled_back")


@attack
def log_taken_back_to_an_older_state(attacker: Attacker) -> Expected:
    shutil.rmtree(attacker.log)
    shutil.copytree(attacker.before / "log", attacker.log)
    return expect("rolled_back")


@attack
def log_of_another_lake(attacker: Attacker) -> Expected:
    other = attacker.root.with_name("other")
    layout.create(other)
    lines = write_lines(attacker.root.with_name("other.jsonl"), [decision_record()])
    assert main.run(["ingest", str(lines), "--lake", str(other)]) == 0
    shutil.rmtree(attacker.log)
    shutil.copytree(other / "log", attacker.log)
    return expect("forged")


@attack
def artifact_edited(attacker: Attacker) -> Expected:
    (path,) = (attacker.root / "artifacts" / "sha256").glob("*/*")
    data = bytearray(path.read_bytes())
    data[attacker.chosen.randrange(len(data))] ^= 1
    path.write_bytes(data)
    return expect("altered")


@attack
def quarantined_bytes_edited(attacker: Attacker) -> Expected:
    (path,) = (attacker.root / "quarantine").glob("*.jsonl")
    item = json.loads(path.read_text(encoding="utf-8"))
    item["raw"] = base64.b64encode(b"something else").decode()
    path.write_text(json.dumps(item) + "\n", encoding="utf-8")
    return expect("altered")


@attack
def file_hidden_by_the_catalog(attacker: Attacker) -> Expected:
    known = catalog.read(attacker.root)
    table = known.tables[POINT]
    less = catalog.Table(table.version, table.files[1:], table.features)
    catalog.write(attacker.root, known.with_table(POINT, less))
    return expect("derived")


@attack
def record_hidden_by_the_index(attacker: Attacker) -> Expected:
    known = catalog.read(attacker.root)
    run = attacker.chosen.choice(known.runs)
    path = attacker.root / "index" / run.name
    entries = pq.read_table(path)
    row = attacker.chosen.randrange(1, entries.num_rows - 1)
    rows = entries["row"].to_pylist()
    rows[row] = 0 if rows[row] else 1
    at = entries.schema.get_field_index("row")
    pq.write_table(
        entries.set_column(at, "row", pa.array(rows, pa.int32())), path, write_page_checksum=True
    )
    return expect("derived")


#: One lake for all attacks, and how it was before its last records came.
@pytest.fixture(scope="module")
def lakes(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("attacked")
    root, before = folder / "lake", folder / "before"
    layout.create(root)
    artifact = folder / "rules.json"
    artifact.write_text('{"rules": []}', encoding="utf-8")
    for number in range(3):
        made = [decision_record(score=0.1 + n / 100) for n in range(20)]
        lines = write_lines(folder / f"log-{number}.jsonl", [*made, change_record()])
        assert main.run(["ingest", str(lines), "--lake", str(root)]) == 0
        if number == 1:
            shutil.copytree(root, before)
    broken = write_lines(folder / "broken.jsonl", [b"no record"])
    assert main.run(["ingest", str(broken), "--lake", str(root)]) == 4
    assert main.run(["ingest", "--format", "artifact", str(artifact), "--lake", str(root)]) == 0
    return root, before


@pytest.fixture
def without_key(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The attacker's machine: no key of the lake is on it."""
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(tmp_path / "no-keys"))


SEEDS = [0, *(pytest.param(seed, marks=pytest.mark.torture) for seed in range(1, 20))]


@pytest.fixture
def victim(
    lakes: tuple[Path, Path], tmp_path: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> Path:
    """A copy of the lake that has been verified: its checkpoint is remembered elsewhere."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    root = tmp_path / "lake"
    shutil.copytree(lakes[0], root)
    done = run("verify", "--lake", root, "--json")
    assert (done.code, done.json["status"]) == (0, "whole"), done.out
    return root


@pytest.mark.parametrize("seed", SEEDS)
@pytest.mark.parametrize("name", sorted(ATTACKS))
@pytest.mark.usefixtures("without_key")
def test_an_attack_is_found_and_named(
    name: str, seed: int, victim: Path, lakes: tuple[Path, Path], run: Any
) -> None:
    chosen = random.Random(f"{name} {seed}")
    expected = ATTACKS[name](Attacker(victim, lakes[1], chosen))
    done = run("verify", "--lake", victim, "--json")
    assert done.code == 5, done.out + done.err
    defects = done.json["defects"]
    assert any(
        defect["kind"] in expected.kinds
        and (expected.segment is None or defect.get("segment") == expected.segment)
        and (expected.leaf_index is None or defect.get("leaf_index") == expected.leaf_index)
        for defect in defects
    ), (expected, defects)
    assert run("verify", "--lake", victim).code == 5
    remembered = memory.recall(layout.identity(lakes[0]))
    assert remembered == (lakes[0] / "log" / "checkpoint").read_bytes(), "no broken log is trusted"


def some_ids(victim: Path, expected: Expected) -> tuple[set[str], set[str]]:
    """Decisions that an attack concerns, by where it is, and some of the others."""
    hit, others = set(), set()
    for file in tables.state(victim, POINT).files:
        columns = ["request_id", "segment", "leaf_index"]
        for row in pq.read_table(victim / POINT / file.name, columns=columns).to_pylist():
            same = (row["segment"], row["leaf_index"]) == (expected.segment, expected.leaf_index)
            (hit if same else others).add(row["request_id"])
    return hit, set(sorted(others)[::15])


@pytest.mark.parametrize(
    "name", ["received_bytes_edited", "received_bytes_and_leaf_edited", "time_column_back_dated",
             "time_of_receipt_back_dated", "source_exchanged"],
)  # fmt: skip
@pytest.mark.usefixtures("without_key")
def test_the_proof_of_one_record_fails_where_the_attack_concerns_it(
    name: str, victim: Path, lakes: tuple[Path, Path], run: Any
) -> None:
    expected = ATTACKS[name](Attacker(victim, lakes[1], random.Random(5)))
    hit, others = some_ids(victim, expected)
    assert {run("verify", one, "--lake", victim).code for one in hit} == {5}
    assert {run("verify", one, "--lake", victim).code for one in others} == {0}


@pytest.mark.parametrize("name", ["checkpoint_edited", "old_backup_restored"])
@pytest.mark.usefixtures("without_key")
def test_no_record_is_proven_by_a_log_that_does_not_hold(
    name: str, victim: Path, lakes: tuple[Path, Path], run: Any
) -> None:
    expected = ATTACKS[name](Attacker(victim, lakes[1], random.Random(5)))
    _, some = some_ids(victim, expected)
    assert {run("verify", one, "--lake", victim).code for one in some} == {5}


@pytest.mark.parametrize(
    ("name", "column"),
    [("typed_score_edited", "score"), ("typed_score_edited_in_place", "score"),
     ("typed_outcome_edited", "outcome"), ("typed_feature_edited", "features.amount"),
     ("typed_subject_edited", "subject.id"), ("values_kept_as_written_edited", "exact")],
)  # fmt: skip
@pytest.mark.usefixtures("without_key")
def test_a_column_that_belies_its_bytes_is_named_by_the_proof_of_its_record_alone(
    name: str, column: str, victim: Path, lakes: tuple[Path, Path], run: Any
) -> None:
    expected = ATTACKS[name](Attacker(victim, lakes[1], random.Random(5)))
    (hit,), others = some_ids(victim, expected)
    done = run("verify", hit, "--lake", victim)
    assert done.code == 5
    assert f"its column {column} is not what" in done.err
    assert {run("verify", one, "--lake", victim).code for one in others} == {0}


def test_there_are_thirty_kinds_of_attack() -> None:
    assert len(ATTACKS) >= 30


@pytest.mark.usefixtures("without_key")
def test_a_log_signed_anew_is_refused_by_whoever_has_the_key(
    victim: Path, lakes: tuple[Path, Path], run: Any, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    """Also where nothing is remembered: the first verification on a new machine."""
    key = tmp_path / "trusted.vkey"
    shutil.copy(next((lakes[0] / "log" / "keys").iterdir()), key)
    attacker = Attacker(victim, lakes[1], random.Random(1))
    signed_anew(attacker, texts_of(attacker))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "another-state"))
    assert run("verify", "--lake", victim, "--key", key).code == 5
    assert run("verify", "--lake", lakes[0], "--key", key).code == 0


def test_compaction_changes_no_root(victim: Path, run: Any) -> None:
    before = {
        segment.name: segment.read_bytes() for segment in (victim / "log").glob("segments/*/*")
    }
    size = Checkpoint.parse(note.parse((victim / "log" / "checkpoint").read_bytes()).text).size
    assert run("compact", "--lake", victim, "--grace-hours", 0).code == 0
    after = {
        segment.name: segment.read_bytes() for segment in (victim / "log").glob("segments/*/*")
    }
    assert before == after
    done = run("verify", "--lake", victim, "--json")
    assert done.code == 0, done.out
    assert done.json["log"]["size"] > size, "the new files are noted"


@pytest.mark.parametrize("name", ["record_dropped", "received_bytes_and_leaf_edited"])
def test_an_attack_on_a_compacted_lake_is_named_too(
    victim: Path, lakes: tuple[Path, Path], run: Any, name: str, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    assert run("compact", "--lake", victim, "--grace-hours", 0).code == 0
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(tmp_path / "no-keys"))
    expected = ATTACKS[name](Attacker(victim, lakes[1], random.Random(3)))
    done = run("verify", "--lake", victim, "--json")
    assert done.code == 5
    named = [(d.get("segment"), d.get("leaf_index")) for d in done.json["defects"]]
    assert (expected.segment, expected.leaf_index) in named


def test_tiles_are_those_of_the_specification(victim: Path) -> None:
    ours = log.Log(victim, f"decision-forensics/{layout.identity(victim)}")
    hashes = b"".join(map(tree.leaf_hash, ours.entries()))
    tile = tiles.Tile(0, 0, ours.size)
    assert (victim / "log" / tile.path).read_bytes() == hashes
