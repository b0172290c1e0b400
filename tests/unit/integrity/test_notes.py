"""Notes, checkpoints, proofs, manifests: what was written is read, all else is refused."""

from __future__ import annotations

import os
import random
import sys
from pathlib import Path

import pytest

from forensics.errors import ForensicsError, IntegrityError, UsageError
from forensics.integrity import note, signing, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.manifest import Manifest, iso, micros
from forensics.integrity.proof import Proof

#: From the documentation of Go's sumdb/note.
GO_KEY = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW"
GO_NOTE = (
    "If you think cryptography is the answer to your problem,\n"
    "then you don't know what your problem is.\n"
    "\n"
    "\u2014 PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdng"
    "otpRZb6KE6RyyBwJnAM=\n"
)
MANIFEST = Manifest(
    lake="9c0e", segment="ab" * 16, table="decisions/credit_line", records=7, first=1, last=2,
    received_first=3, received_last=4, rows="cd" * 32, sealed=5, late=False, previous=None,
)  # fmt: skip


def test_a_note_that_go_signed_is_accepted() -> None:
    key = note.Key.parse(GO_KEY)
    assert str(key) == GO_KEY
    assert note.signers(note.parse(GO_NOTE.encode()), [key]) == [key]


def test_what_was_signed_here_is_read_back_and_vouched_for() -> None:
    one, two = signing.new_key("lake/one"), signing.new_key("lake/two")
    data = signing.signed("text\n\nmore\n", [one, two])
    read = note.parse(data)
    assert read.text == "text\n\nmore\n"
    assert read.to_bytes() == data
    assert note.signers(read, [two.key, one.key]) == [one.key, two.key]
    assert note.signers(read, [signing.new_key("lake/one").key]) == []


def test_no_flipped_bit_of_a_note_passes() -> None:
    signer = signing.new_key("lake/one")
    data = signing.signed("origin\n12\nroot\n", [signer])
    for at in range(len(data) * 8):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        try:
            vouched = note.signers(note.parse(bytes(flipped)), [signer.key])
        except IntegrityError:
            continue
        assert vouched == [], f"bit {at}"


@pytest.mark.parametrize(
    "text",
    ["", "text\n", "text\n\n", "text\n\n— name\n", "text\n\n- name AAAAAAA=\n",
     "text\n\n— name AA==\n", "text\n\n— na+me AAAAAAA=\n", "te\x01xt\n\n— name AAAAAAA=\n",
     "text\n\n— name AAAAAAA="],
)  # fmt: skip
def test_what_is_no_note_is_refused(text: str) -> None:
    with pytest.raises(IntegrityError):
        note.parse(text.encode())


@pytest.mark.parametrize("vkey", ["", "name", "name+00000000+AAAA", "na me+c74f20a3+AQ==",
                                  GO_KEY.replace("c74f", "c74e")])  # fmt: skip
def test_what_is_no_key_is_refused(vkey: str) -> None:
    with pytest.raises(UsageError):
        note.Key.parse(vkey)


def test_a_cosignature_binds_its_time() -> None:
    from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

    private = Ed25519PrivateKey.generate()
    key = note.Key("witness", note.COSIGNATURE, private.public_key().public_bytes_raw())
    text = "origin\n1\nroot\n"
    stamp = (1_700_000_000).to_bytes(8, "big")
    data = stamp + private.sign(b"cosignature/v1\ntime 1700000000\n" + text.encode())
    assert note.is_valid(key, text, data)
    assert not note.is_valid(key, text, (1_700_000_001).to_bytes(8, "big") + data[8:])
    assert note.Key.parse(str(key)) == key


def test_a_checkpoint_has_one_form() -> None:
    checkpoint = Checkpoint("origin", 12, bytes(32))
    assert Checkpoint.parse(checkpoint.text()) == checkpoint
    for text in (
        "origin\n012\n" + checkpoint.text().split("\n")[2] + "\n",
        checkpoint.text() + "more\n", "origin\n12\nAAAA\n", "\n" + checkpoint.text(), "origin\n",
    ):  # fmt: skip
        with pytest.raises(IntegrityError):
            Checkpoint.parse(text)


def test_a_manifest_has_one_form() -> None:
    assert Manifest.parse(MANIFEST.text().encode()) == MANIFEST
    for old, new in (("records 7", "records 07"), ("late", ""), ("previous none", "previous x"),
                     ("+00", ""), ("first 1970-01-01T00", "first 1970-01-01 00")):  # fmt: skip
        text = MANIFEST.text().replace(old, new)
        if text != MANIFEST.text():
            with pytest.raises(IntegrityError):
                Manifest.parse(text.encode())


@pytest.mark.parametrize("time_us", [0, 1, -1, 1_791_000_000_123_456, 2**62, -(2**62)])
def test_times_are_read_as_they_were_written(time_us: int) -> None:
    assert micros(iso(time_us)) == time_us


def proof_of(index: int, count: int, signer: signing.FileSigner) -> tuple[bytes, Proof]:
    hashes = [tree.leaf_hash(bytes([number])) for number in range(count)]
    packed = b"".join(hashes)
    text = Checkpoint("origin", count, tree.root(packed)).text()
    path = tuple(tree.inclusion(tree.in_memory(packed), index, count))
    return hashes[index], Proof(index, path, signing.signed(text, [signer]))


def test_a_proof_holds_for_its_leaf_under_trusted_keys_and_no_flipped_bit_passes() -> None:
    signer = signing.new_key("lake")
    leaf, proof = proof_of(4, 11, signer)
    data = proof.to_bytes()
    assert Proof.parse(data) == proof
    assert proof.check(leaf, [signer.key], "origin").size == 11
    for arguments in (
        (leaf, [signing.new_key("lake").key], "origin"),
        (leaf, [signer.key], "another"),
        (tree.leaf_hash(b"other"), [signer.key], "origin"),
    ):
        with pytest.raises(IntegrityError):
            proof.check(*arguments)
    for at in random.Random(6).sample(range(len(data) * 8), 1_500):
        flipped = bytearray(data)
        flipped[at // 8] ^= 1 << at % 8
        with pytest.raises(IntegrityError):
            Proof.parse(bytes(flipped)).check(leaf, [signer.key], "origin")


def test_a_key_file_is_its_owners_alone_and_read_as_written(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "lake.key"
    signers = [signing.new_key("lake"), signing.new_key("lake")]
    signing.write(path, "lake", signers)
    assert path.stat().st_mode & 0o777 == 0o600
    assert signing.read(path) == signers
    assert "seed" not in repr(signers[0])
    path.chmod(0o644)
    with pytest.raises(UsageError, match="read by others"):
        signing.read(path)


def test_a_program_may_hold_the_key(tmp_path: Path) -> None:
    held = signing.new_key("lake")
    (tmp_path / "seed.key").touch(0o600)
    signing.write(tmp_path / "seed.key", "lake", [held])
    program = tmp_path / "sign.py"
    program.write_text(
        "import sys; from pathlib import Path; from forensics.integrity import signing, note\n"
        "signer = signing.read(Path(sys.argv[1]))[0]\n"
        "data = signer.sign(sys.stdin.read())\n"
        "print(note.Signature(signer.key.name, signer.key.id, data).line(), end='')\n",
        encoding="utf-8",
    )
    command = (sys.executable, str(program), str(tmp_path / "seed.key"))
    path = tmp_path / "lake.key"
    signing.write(path, "lake", [signing.CommandSigner(held.key, command)])
    (signer,) = signing.read(path)
    read = note.parse(signing.signed("text\n", [signer]))
    assert note.signers(read, [held.key]) == [held.key]
    for broken in (("false",), ("/nonexistent",), ("echo", "nothing")):
        with pytest.raises(ForensicsError):
            signing.CommandSigner(held.key, broken).sign("text\n")
    other = signing.new_key("lake")
    with pytest.raises(UsageError, match="no signature by"):
        signing.CommandSigner(other.key, command).sign("text\n")


@pytest.mark.skipif(os.name != "posix", reason="modes are POSIX")
def test_a_new_key_file_was_never_readable_by_others(tmp_path: Path) -> None:
    before = os.umask(0)
    try:
        signing.write(tmp_path / "keys" / "lake.key", "lake", [signing.new_key("lake")])
    finally:
        os.umask(before)
    assert (tmp_path / "keys").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "keys" / "lake.key").stat().st_mode & 0o777 == 0o600
