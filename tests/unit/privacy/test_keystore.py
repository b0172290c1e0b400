"""Keys are kept outside of the lake, wrapped, and gone for good once they are destroyed."""

from __future__ import annotations

import multiprocessing
import os
from pathlib import Path

import pytest

from forensics.errors import IntegrityError, LakeError
from forensics.privacy import cipher
from forensics.privacy.keystore import KeyStore
from forensics.privacy.places import usual_path

RAW = b'{"income": 4711}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "lake.keys"


def test_a_subject_has_one_key_however_often_it_is_asked_for(path: Path) -> None:
    store = KeyStore(path)
    token = store.token("anna")
    first = store.keys_for([token, token])[token]
    assert store.keys_for([token])[token] == first
    assert KeyStore(path).keys_for([token])[token] == first
    assert KeyStore(path).token("anna") == token
    assert store.key(first.key_id) == first.key


def test_the_files_name_nobody_and_hold_no_key_in_the_clear(path: Path) -> None:
    store = KeyStore(path)
    keys = store.keys_for([store.token(f"anna-{n}") for n in range(20)])
    store.close()
    held = b"".join(file.read_bytes() for file in path.parent.iterdir())
    assert b"anna" not in held
    assert not any(key.key in held for key in keys.values())


def test_a_destroyed_key_is_in_no_byte_of_the_files_and_opens_nothing(path: Path) -> None:
    store = KeyStore(path)
    anna, bo = store.token("anna"), store.token("bo")
    keys = store.keys_for([anna, bo])
    sealed = cipher.encrypted(RAW, keys[anna].key_id, cipher.aead(keys[anna].key))
    (wrapped,) = store._database.execute(
        "SELECT wrapped FROM keys WHERE token = ?", (anna,)
    ).fetchone()
    assert wrapped in path.read_bytes()
    assert store.destroy([anna], "e-1") == 1
    assert store.destroy([anna], "e-2") == 0
    assert store.key(keys[anna].key_id) is None
    assert store.erasure_of(cipher.key_id_of(sealed) or b"") == "e-1"
    store.close()
    assert not any(wrapped in file.read_bytes() for file in path.parent.iterdir())
    again = KeyStore(path)
    assert again.keys_for([bo])[bo] == keys[bo]
    assert again.keys_for([anna])[anna].key_id != keys[anna].key_id, "who comes back is new"


def test_the_master_key_is_for_its_owner_only(path: Path) -> None:
    KeyStore(path).close()
    master = path.with_suffix(".master")
    assert master.stat().st_mode & 0o777 == 0o600
    master.chmod(0o644)
    with pytest.raises(LakeError, match="read by others"):
        KeyStore(path)


def test_another_master_key_is_found_out(path: Path) -> None:
    KeyStore(path).close()
    path.with_suffix(".master").write_text("ab" * 32)
    with pytest.raises(IntegrityError, match="cannot be unwrapped"):
        KeyStore(path)


def test_a_command_can_hold_the_master_key(path: Path) -> None:
    command = ["/bin/echo", "cd" * 32]
    key = KeyStore(path, command).keys_for(["~a"])["~a"]
    assert not path.with_suffix(".master").exists()
    assert KeyStore(path, command).keys_for(["~a"])["~a"] == key
    for wrong in (["/bin/echo", "12"], ["/bin/false"], ["/nowhere"]):
        with pytest.raises(LakeError):
            KeyStore(path, wrong)


def _ask(path: Path, tokens: list[str], queue: object) -> None:
    store = KeyStore(path)
    queue.put({token: key.key_id for token, key in store.keys_for(tokens).items()})  # type: ignore[attr-defined]


def test_processes_that_ask_at_once_get_the_same_keys(path: Path) -> None:
    KeyStore(path).close()
    tokens = [f"~{n}" for n in range(1_500)]
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    processes = [context.Process(target=_ask, args=(path, tokens, queue)) for _ in range(3)]
    for process in processes:
        process.start()
    answers = [queue.get(timeout=120) for _ in processes]
    for process in processes:
        process.join()
    assert answers[0] == answers[1] == answers[2]
    assert len(answers[0]) == len(tokens)


def test_an_envelope_opens_under_its_key_and_to_no_other_bytes() -> None:
    key_id, key = os.urandom(16), cipher.aead(os.urandom(32))
    sealed = cipher.encrypted(RAW, key_id, key)
    assert cipher.key_id_of(sealed) == key_id
    assert cipher.decrypted(sealed, key) == RAW
    assert RAW not in sealed
    for at in range(len(sealed)):
        changed = bytearray(sealed)
        changed[at] ^= 1
        with pytest.raises(IntegrityError):
            cipher.decrypted(bytes(changed), key)
    with pytest.raises(IntegrityError):
        cipher.decrypted(sealed, cipher.aead(os.urandom(32)))
    with pytest.raises(IntegrityError):
        cipher.decrypted(sealed[:30], key)
    assert cipher.key_id_of(RAW) is None
    assert cipher.erasure_of(cipher.erased("e-9")) == "e-9"
    assert cipher.erasure_of(RAW) is None


def test_where_keys_are_is_outside_of_the_lake() -> None:
    assert usual_path("x", {"FORENSICS_KEY_STORE": "/k"}) == Path("/k/x.keys")
    assert usual_path("x", {"XDG_DATA_HOME": "/d"}) == Path("/d/decision-forensics/keys/x.keys")
