"""The proof of one record as files that other programs check: no code of ours is needed."""

from __future__ import annotations

import base64
from hashlib import sha256
from pathlib import Path

from forensics.integrity.leaf import HEADER
from forensics.integrity.proof import SUFFIX
from forensics.lake.verify.one import Proven

#: Ed25519 public keys in DER begin so (RFC 8410); the 32 bytes follow.
_DER = bytes.fromhex("302a300506032b6570032100")


def write(folder: Path, proven: Proven) -> None:
    """Write the proof of one record to ``folder``."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, data in files(proven).items():
        (folder / name).write_bytes(data)


def files(proven: Proven) -> dict[str, bytes]:
    """The files by name."""
    inner = HEADER + sha256(proven.salt + proven.raw).digest()
    keys = "".join(f"{key}\n" for key in dict.fromkeys((*proven.keys, *proven.published)))
    found = {
        "record.json": proven.raw,
        "salt.bin": proven.salt,
        "record.entry": inner,
        f"record{SUFFIX}": proven.record_proof.to_bytes(),
        "manifest.txt": proven.listed.manifest_bytes,
        f"manifest{SUFFIX}": proven.manifest_proof.to_bytes(),
        "segment.entry": proven.entry,
        f"segment{SUFFIX}": proven.segment_proof.to_bytes(),
        "keys.txt": keys.encode(),
        "README.md": _README.encode(),
    }
    for key in dict.fromkeys((*proven.keys, *proven.published)):
        encoded = base64.b64encode(_DER + key.public).decode()
        pem = f"-----BEGIN PUBLIC KEY-----\n{encoded}\n-----END PUBLIC KEY-----\n"
        found[f"key-{key.hash}.pem"] = pem.encode()
    return found


_README = """# Proof of one record

These files show that `record.json` was sealed in a transparency log, under which number, and by
which key. Everything is in public formats: signed notes, checkpoints and proofs of C2SP
(c2sp.org/signed-note, tlog-checkpoint, tlog-proof), trees of RFC 6962, Ed25519, SHA-256.

1. `record.entry` must be the text `decision-forensics/leaf/1`, a newline, and the SHA-256 of the 16
   bytes of `salt.bin` followed by the bytes of `record.json`:
   `cat salt.bin record.json | sha256sum` and `tail -c 32 record.entry | xxd -p -c 32` agree.
2. `record.tlog-proof` shows that the leaf `record.entry` is in the tree of its segment, whose
   checkpoint stands in the same file; `manifest.tlog-proof` shows the same for `manifest.txt`,
   which is leaf 0 and says how many records the segment has, and when it was sealed.
3. That checkpoint, byte for byte, is `segment.entry`. `segment.tlog-proof` shows that it is a leaf
   of the log, whose signed checkpoint stands in the same file.
4. The checkpoints are signed by a key of `keys.txt`. Compare the key with one that you got from
   elsewhere: a key that comes with a proof proves nothing.

Go's `golang.org/x/mod/sumdb/note` and `sumdb/tlog` check 2 to 4: `note.Open` with the key,
`tlog.CheckRecord(path, size, root, index, tlog.RecordHash(entry))`. OpenSSL checks a signature:
the text is what stands before the blank line, the signature is what follows the first 4 bytes of
the base64 at the end of the line that begins with a dash:
`openssl pkeyutl -verify -pubin -inkey key-….pem -rawin -in text -sigfile signature`.
"""
