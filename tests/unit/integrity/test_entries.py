"""What else the log says: keys that come and go, data files, ticks; each has one form."""

from __future__ import annotations

import subprocess
from pathlib import Path
from shutil import which

import pytest

from forensics.errors import IntegrityError
from forensics.integrity import note, signing, tick, timestamp
from forensics.integrity.file_note import FileNote
from forensics.integrity.key_change import KeyChange
from forensics.integrity.signing import FileSigner

ORIGIN = "decision-forensics/9c0e"


def change(action: str, signer: FileSigner, *by: FileSigner) -> tuple[KeyChange, note.Note]:
    made = KeyChange(ORIGIN, action, signer.key, 1)  # type: ignore[arg-type]
    signed = note.parse(signing.signed(made.text(), by)) if by else note.Note(made.text(), ())
    assert KeyChange.parse(ORIGIN, made.text()) == made
    return made, signed


def test_a_key_is_trusted_once_a_trusted_one_and_itself_say_so() -> None:
    old, new = signing.new_key(ORIGIN), signing.new_key(ORIGIN)
    made, signed = change("add", new, old, new)
    assert made.applied(signed, [old.key]) == [old.key, new.key]
    assert made.applied(signed, [old.key, new.key]) == [old.key, new.key]
    for by in ((new,), (old,)):
        made, signed = change("add", new, *by)
        with pytest.raises(IntegrityError):
            made.applied(signed, [old.key])


def test_a_key_is_retired_by_another_and_never_by_itself() -> None:
    old, new = signing.new_key(ORIGIN), signing.new_key(ORIGIN)
    made, signed = change("retire", old, new)
    assert made.applied(signed, [old.key, new.key]) == [new.key]
    for by in ((old,), (signing.new_key(ORIGIN),)):
        made, signed = change("retire", old, *by)
        with pytest.raises(IntegrityError):
            made.applied(signed, [old.key, new.key])


def test_entries_have_one_form_and_are_not_taken_for_one_another() -> None:
    key = signing.new_key(ORIGIN).key
    texts = {
        "key": KeyChange(ORIGIN, "add", key, 5).text(),
        "file": FileNote("decisions/p", "part-1.parquet", "ab" * 32, 7).text(ORIGIN),
        "tick": tick.text(ORIGIN, 5),
    }
    parsers = {"key": KeyChange.parse, "file": FileNote.parse, "tick": tick.parse}
    for kind, text in texts.items():
        for other, parse in parsers.items():
            assert (parse(ORIGIN, text) is not None) == (kind == other)
            assert parse("decision-forensics/other", text) is None
        for broken in (text + "more\n", text[:-2] + "\n", text.replace("\n", "\n\n", 1)):
            if broken.split("\n")[0] == text.split("\n")[0]:
                with pytest.raises(IntegrityError):
                    parsers[kind](ORIGIN, broken)


@pytest.mark.skipif(which("openssl") is None, reason="no openssl here")
@pytest.mark.parametrize("nonce", [0, 1, 127, 128, 2**64 - 1])
def test_openssl_reads_our_timestamp_queries(tmp_path: Path, nonce: int) -> None:
    (tmp_path / "query.tsq").write_bytes(timestamp.query(b"data", nonce))
    done = subprocess.run(
        ["openssl", "ts", "-query", "-in", tmp_path / "query.tsq", "-text"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "Hash Algorithm: sha256" in done.stdout
    assert "Certificate required: yes" in done.stdout
    (written,) = [line for line in done.stdout.splitlines() if line.startswith("Nonce: ")]
    assert int(written.removeprefix("Nonce: "), 16) == nonce
