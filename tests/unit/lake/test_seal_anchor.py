"""Keys that come and go, ticks, timestamps by an openssl authority, witnesses that remember."""

from __future__ import annotations

import base64
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from forensics.errors import IntegrityError, LakeError, UsageError
from forensics.integrity import note, signing, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.note import COSIGNATURE, Key, Signature
from forensics.lake import layout, seal_anchor, seal_keys
from forensics.lake.log import Log
from forensics.testing import decision_record, write_lines


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(tmp_path / "keys"))


@pytest.fixture
def filled(lake: Path, take_in: Any) -> Path:
    take_in([decision_record(request_id=f"r-{n}") for n in range(9)])
    return lake


def published(lake: Path, tmp_path: Path, key: Key) -> Path:
    path = tmp_path / f"{key.hash}.vkey"
    path.write_text(f"{key}\n", encoding="utf-8")
    return path


def first_key(lake: Path) -> Key:
    return seal_keys.published(lake)[0]


def test_init_makes_a_key_that_only_its_owner_reads(tmp_path: Path, run: Any) -> None:
    done = run("init", tmp_path / "lake", "--json")
    path = seal_keys.private_path(done.json["id"])
    assert path.stat().st_mode & 0o777 == 0o600
    assert done.json["keys"] == [str(key) for key in seal_keys.published(tmp_path / "lake")]
    assert str(seal_keys.folder()) in run("init", tmp_path / "another").out
    again = run("init", tmp_path / "lake", "--json")
    assert again.json["keys"] == done.json["keys"]


def test_after_a_rotation_both_keys_prove_and_after_a_retirement_the_new_one(
    filled: Path, take_in: Any, run: Any, tmp_path: Path
) -> None:
    old = first_key(filled)
    done = run("keys", "rotate", "--lake", filled)
    assert done.code == 0, done.err
    new = Key.parse(done.out)
    take_in([decision_record()])
    olds, news = (published(filled, tmp_path, key) for key in (old, new))
    for key in (olds, news):
        assert run("verify", "--lake", filled, "--key", key).code == 0
    assert run("keys", "retire", old.hash, "--lake", filled).code == 0
    take_in([decision_record()])
    ours = Log(filled, seal_keys.origin_of(layout.identity(filled)))
    assert ours.note is not None
    assert [s.key_id for s in ours.note.signatures] == [new.id]
    for key in (olds, news):  # the old one vouched for the new one within the log
        assert run("verify", "--lake", filled, "--key", key).code == 0
        assert run("verify", "r-3", "--lake", filled, "--key", key).code == 0
    listed = run("keys", "list", "--lake", filled, "--json").rows
    assert {row["hash"]: row["signs_here"] for row in listed} == {old.hash: False, new.hash: True}
    assert run("keys", "retire", new.hash, "--lake", filled).code == 2, "somebody must sign"
    assert run("keys", "retire", old.hash, "--lake", filled).code == 2


def test_a_program_signs_from_the_first_record_on(tmp_path: Path, run: Any) -> None:
    held = signing.new_key("kms.example/key")
    signing.write(tmp_path / "held" / "hsm.key", "hsm", [held])
    program = tmp_path / "hsm.py"
    program.write_text(
        "import sys; from pathlib import Path; from forensics.integrity import signing, note\n"
        f"signer = signing.read(Path({str(tmp_path / 'held' / 'hsm.key')!r}))[0]\n"
        "line = note.Signature(signer.key.name, signer.key.id, signer.sign(sys.stdin.read()))\n"
        "print(line.line(), end='')\n",
        encoding="utf-8",
    )
    lake = tmp_path / "lake"
    command = f"{sys.executable} {program}"
    made = run("init", lake, "--sign-with", command, "--public-key", held.key)
    assert made.code == 0, made.err
    lines = write_lines(tmp_path / "one.jsonl", [decision_record()])
    assert run("ingest", lines, "--lake", lake).code == 0
    trusted = published(lake, tmp_path, held.key)
    done = run("verify", "--lake", lake, "--key", trusted, "--json")
    assert (done.code, done.json["log"]["keys"]) == (0, [str(held.key)]), done.out
    assert run("init", tmp_path / "other", "--sign-with", command).code == 2
    program.write_text("", encoding="utf-8")
    more = write_lines(tmp_path / "two.jsonl", [decision_record()])
    assert run("ingest", more, "--lake", lake).code == 0, "evidence does not wait for a key"
    assert run("verify", "--lake", lake, "--key", trusted).code == 4


def test_a_tick_grows_an_idle_log_and_says_when(filled: Path, run: Any, tmp_path: Path) -> None:
    kept = tmp_path / "kept.checkpoint"
    before = Checkpoint.parse(note.parse((filled / "log" / "checkpoint").read_bytes()).text).size
    done = run("anchor", "--lake", filled)
    kept.write_text(done.out, encoding="utf-8")
    assert Checkpoint.parse(note.parse(kept.read_bytes()).text).size == before + 1
    verified = run("verify", "--lake", filled, "--checkpoint", kept, "--json")
    assert verified.code == 0, verified.out
    assert verified.json["log"]["ticked"] is not None


def test_an_empty_lake_and_one_without_a_key_here_cannot_be_anchored(
    lake: Path, filled: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout.create(tmp_path / "empty")
    assert run("anchor", "--lake", tmp_path / "empty").code == 1
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(tmp_path / "nowhere"))
    assert run("anchor", "--lake", filled).code == 1
    assert run("keys", "rotate", "--lake", filled).code == 1


# A time-stamping authority of openssl's.

_CONFIG = """
[tsa]
default_tsa = t
[t]
serial = {folder}/serial
crypto_device = builtin
signer_cert = {folder}/tsa.pem
certs = {folder}/tsa.pem
signer_key = {folder}/tsa.key
signer_digest = sha256
default_policy = 1.2.3.4.1
digests = sha256
accuracy = secs:1
ordering = yes
tsa_name = yes
ess_cert_id_chain = no
ess_cert_id_alg = sha256
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


@pytest.fixture
def authority(tmp_path: Path) -> tuple[Path, Callable[[str, str, bytes], tuple[int, bytes]]]:
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    folder = tmp_path / "tsa"
    folder.mkdir()
    config = folder / "tsa.cnf"
    config.write_text(_CONFIG.format(folder=folder), encoding="utf-8")
    (folder / "serial").write_text("01\n", encoding="utf-8")
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2",
         "-config", config, "-keyout", folder / "tsa.key", "-out", folder / "tsa.pem"],
        check=True, capture_output=True,
    )  # fmt: skip

    def post(_: str, kind: str, data: bytes) -> tuple[int, bytes]:
        assert kind == "application/timestamp-query"
        (folder / "query.tsq").write_bytes(data)
        subprocess.run(
            ["openssl", "ts", "-reply", "-config", config, "-section", "t",
             "-queryfile", folder / "query.tsq", "-out", folder / "reply.tsr"],
            check=True, capture_output=True,
        )  # fmt: skip
        return 200, (folder / "reply.tsr").read_bytes()

    return folder / "tsa.pem", post


def openssl_accepts(authority: Path, folder: Path) -> bool:
    done = subprocess.run(
        ["openssl", "ts", "-verify", "-in", folder / "timestamp.tsr", "-data", folder / "stamped",
         "-CAfile", authority],
        capture_output=True, check=False,
    )  # fmt: skip
    return done.returncode == 0


def test_openssl_accepts_the_timestamp_of_a_checkpoint(
    filled: Path, authority: Any, run: Any, take_in: Any
) -> None:
    certificate, post = authority
    folder = seal_anchor.stamp(seal_anchor.advance(filled), "http://tsa", 7, post)
    assert openssl_accepts(certificate, folder)
    take_in([decision_record()])
    done = run("verify", "--lake", filled, "--json")
    assert (done.code, done.json["log"]["anchored"]) == (0, [int(folder.name)]), done.out
    stamped = folder / "stamped"
    stamped.write_bytes(stamped.read_bytes().replace(b"\n\n", b"\n \n"))
    assert not openssl_accepts(certificate, folder)
    assert run("verify", "--lake", filled).code == 5


def test_a_flipped_bit_in_what_others_signed_is_named(
    filled: Path, authority: Any, run: Any
) -> None:
    """Only their keys tell what a signature is worth; that it is the one that was kept, a sum."""
    witness, (_, post) = Witness(), authority
    folder = seal_anchor.stamp(seal_anchor.advance(filled), "http://tsa", 7, post)
    ours = Log(filled, seal_keys.origin_of(layout.identity(filled)))
    assert seal_anchor.witness(ours, "http://witness", witness.key, witness) == folder
    assert run("verify", "--lake", filled).code == 0
    kept = {path.name: path.read_bytes() for path in folder.iterdir()}
    assert set(kept) == {"checkpoint", "stamped", "timestamp.tsr", "SHA256SUMS"}
    for name, data in kept.items():
        (folder / name).write_bytes(data[:-5] + bytes([data[-5] ^ 1]) + data[-4:])
        done = run("verify", "--lake", filled, "--json")
        assert done.code == 5
        assert any(name in str(defect) for defect in done.json["defects"]), name
        (folder / name).write_bytes(data)
    (folder / "timestamp.tsr").unlink()
    assert run("verify", "--lake", filled).code == 5


def test_what_is_no_timestamp_of_the_checkpoint_is_refused(filled: Path, authority: Any) -> None:
    _, post = authority
    ours = seal_anchor.advance(filled)
    _, other = post("", "application/timestamp-query", seal_anchor.timestamp.query(b"other", 1))
    for status, reply in ((200, other), (200, b""), (200, b"\x30\x03\x02\x01\x02"), (200, b"\x30")):
        with pytest.raises(IntegrityError):
            seal_anchor.stamp(ours, "http://tsa", 1, lambda *_, a=(status, reply): a)
    with pytest.raises(LakeError):
        seal_anchor.stamp(ours, "http://tsa", 1, lambda *_: (503, b""))
    assert not seal_anchor.anchors(filled)


class Witness:
    """A witness as the specification describes it: remembers one tree, wants proof of growth."""

    def __init__(self) -> None:
        self.private = Ed25519PrivateKey.generate()
        public = self.private.public_key().public_bytes_raw()
        self.key = Key("witness.example", COSIGNATURE, public)
        self.size, self.root = 0, tree.EMPTY_ROOT

    def __call__(self, url: str, kind: str, data: bytes) -> tuple[int, bytes]:
        assert url.endswith("/add-checkpoint")
        head, _, body = data.partition(b"\n\n")
        first, *lines = head.decode().split("\n")
        old = int(first.removeprefix("old "))
        text = note.parse(body).text
        found = Checkpoint.parse(text)
        if old != self.size:
            return 409, f"{self.size}\n".encode()
        path = [base64.b64decode(line) for line in lines]
        if old and not tree.is_consistent(old, self.root, found.size, found.root, path):
            return 422, b"not a continuation"
        self.size, self.root = found.size, found.root
        now = int(time.time())
        signature = self.private.sign(f"cosignature/v1\ntime {now}\n{text}".encode())
        line = Signature(self.key.name, self.key.id, now.to_bytes(8, "big") + signature).line()
        return 200, line.encode()


def test_a_witness_cosigns_a_log_that_only_grows(filled: Path, take_in: Any, run: Any) -> None:
    witness = Witness()
    for _ in range(3):
        take_in([decision_record()])
        ours = seal_anchor.advance(filled)
        folder = seal_anchor.witness(ours, "http://witness", witness.key, witness)
        kept = note.parse((folder / "checkpoint").read_bytes())
        assert note.signers(kept, [witness.key]) == [witness.key]
    shutil.rmtree(filled / "log" / "anchors")  # what is known here is asked of the witness
    seal_anchor.witness(seal_anchor.advance(filled), "http://witness", witness.key, witness)
    assert run("verify", "--lake", filled).code == 0


def test_a_witness_refuses_a_log_that_was_forked(
    filled: Path, take_in: Any, tmp_path: Path
) -> None:
    witness = Witness()
    before = tmp_path / "before"
    shutil.copytree(filled, before)
    take_in([decision_record()])
    seal_anchor.witness(seal_anchor.advance(filled), "http://witness", witness.key, witness)
    for _ in range(5):  # another future of the same log, and a longer one
        forked = seal_anchor.advance(before)
    with pytest.raises(IntegrityError, match="another log"):
        seal_anchor.witness(forked, "http://witness", witness.key, witness)
    ours = seal_anchor.advance(filled)
    with pytest.raises(UsageError):
        seal_anchor.witness(ours, "http://witness", first_key(filled), witness)
    with pytest.raises(IntegrityError):
        seal_anchor.witness(
            ours, "http://witness", Key("witness.example", COSIGNATURE, bytes(32)), witness
        )


def test_nothing_but_the_web_is_asked(filled: Path) -> None:
    with pytest.raises(UsageError):
        seal_anchor.stamp(seal_anchor.advance(filled), "file:" + "//etc/hostname", 1)
