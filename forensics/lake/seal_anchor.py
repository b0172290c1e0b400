"""What is done with a lake's log from time to time: ticks, keys that come and go, anchors.

An anchor is somebody else's word about a checkpoint: a timestamp of RFC 3161, or the cosignature of
a witness who has seen that the log only ever grew. It lies in ``log/anchors/<size>``: the
checkpoint as it was, with what others signed below it, and the timestamp beside it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path

from forensics.errors import IntegrityError, LakeError, UsageError
from forensics.integrity import note as notes
from forensics.integrity import signing, tick, tiles, timestamp, tree
from forensics.integrity.checkpoint import Checkpoint
from forensics.integrity.key_change import KeyChange
from forensics.integrity.note import COSIGNATURE, Key, Note
from forensics.integrity.signing import CommandSigner, FileSigner
from forensics.lake import layout, seal_keys, writer
from forensics.lake.anchored import keep
from forensics.lake.files import exclusive
from forensics.lake.log import Log, exists
from forensics.lake.snapshot import take

#: Sends bytes to an address, with their type, and gives the answer's status and bytes.
Post = Callable[[str, str, bytes], tuple[int, bytes]]
_PATIENCE_SECONDS = 30
_ANSWER_BYTES_MAX = 1 << 20


def advance(root: Path) -> Log:
    """Seal what is waiting, add a tick, and give the log as it then is.

    Raises:
        LakeError: when nothing was ever sealed, or nobody can sign here.
    """
    lake_id = layout.identity(root)
    with exclusive(root / ".lock"):
        writer.publish(root, writer.refreshed(root, take(root)))
        ours = Log(root, seal_keys.origin_of(lake_id))
        signers = _signers(lake_id)
        if ours.size == 0:
            raise LakeError("Nothing in this lake was sealed yet.", "", "Take records in first.")
        text = tick.text(ours.origin, time.time_ns() // 1000)
        ours.append([signing.signed(text, signers)], signers)
    return ours


def add_key(root: Path, signer: FileSigner | CommandSigner | None = None) -> Key:
    """Let another key sign from now on, beside those that do; a new one where none is given.

    Raises:
        LakeError: when nobody can sign here, who could vouch for it.
    """
    lake_id = layout.identity(root)
    origin = seal_keys.origin_of(lake_id)
    signer = signer or signing.new_key(origin)
    with exclusive(root / ".lock"):
        ours = Log(root, origin)
        before = _signers(lake_id)
        both = [*before, signer]
        if ours.size == 0:
            raise LakeError("Nothing in this lake was sealed yet.", "", "Take records in first.")
        change = KeyChange(origin, "add", signer.key, time.time_ns() // 1000)
        ours.append([signing.signed(change.text(), both)], both)
        seal_keys.publish(root, signer.key)
        signing.write(seal_keys.private_path(lake_id), lake_id, both)
    return signer.key


def retire_key(root: Path, hash_: str) -> Key:
    """Let a key sign no longer; what it has signed stays valid.

    Raises:
        UsageError: when it does not sign, or is the only one that does.
    """
    lake_id = layout.identity(root)
    with exclusive(root / ".lock"):
        ours = Log(root, seal_keys.origin_of(lake_id))
        before = _signers(lake_id)
        going = [signer for signer in before if signer.key.hash == hash_]
        staying = [signer for signer in before if signer.key.hash != hash_]
        if not going or not staying:
            why = "It is the only one." if going else "It does not sign here."
            raise UsageError(f"The key {hash_} cannot be retired.", why, "forensics keys rotate")
        change = KeyChange(ours.origin, "retire", going[0].key, time.time_ns() // 1000)
        ours.append([signing.signed(change.text(), staying)], staying)
        signing.write(seal_keys.private_path(lake_id), lake_id, staying)
    return going[0].key


def use_signer(root: Path, signer: CommandSigner) -> None:
    """Let a program sign for a lake in which nothing was sealed yet.

    Raises:
        UsageError: when something was, or a key is there already.
    """
    lake_id = layout.identity(root)
    if exists(root) or seal_keys.signers(lake_id):
        raise UsageError("This lake has a key already.", "", "forensics keys rotate --command …")
    signing.write(seal_keys.private_path(lake_id), lake_id, [signer])
    seal_keys.publish(root, signer.key)


def stamp(ours: Log, url: str, nonce: int, post: Post | None = None) -> Path:
    """Have the checkpoint timestamped by the authority at ``url``; where the reply is kept.

    Raises:
        IntegrityError: when the reply is none of this checkpoint.
        LakeError: when the authority cannot be asked.
    """
    assert ours.note is not None
    data = ours.note.to_bytes()
    status, reply = (post or _post)(url, timestamp.CONTENT_TYPE, timestamp.query(data, nonce))
    if status != 200:
        raise LakeError(f"The time-stamping authority at {url} answered {status}.")
    timestamp.check(reply, data)
    folder = _folder(ours)
    first = {} if (folder / "checkpoint").exists() else {"checkpoint": data}
    keep(folder, {**first, "stamped": data, "timestamp.tsr": reply})
    return folder


def witness(ours: Log, url: str, key: Key, post: Post | None = None) -> Path:
    """Have the checkpoint cosigned by the witness at ``url`` (C2SP tlog-witness).

    Args:
        ours: the log.
        url: the witness, without ``add-checkpoint``.
        key: its key, of the kind for cosignatures.
        post: how to send.

    Raises:
        IntegrityError: when the answer is no cosignature, or the witness saw another log.
        LakeError: when the witness cannot be asked.
        UsageError: when ``key`` is none for cosignatures.
    """
    assert ours.note is not None
    if key.algorithm != COSIGNATURE:
        raise UsageError(f"The key {key.hash} is none of a witness.", "Its kind must be 4.")
    address, send = f"{url.rstrip('/')}/add-checkpoint", post or _post
    status, answer = send(address, "text/plain", _request(ours, _seen_by(ours, key)))
    if status == 409 and answer.strip().isdigit():  # it says which size it saw last
        status, answer = send(address, "text/plain", _request(ours, int(answer)))
    if status != 200:
        words = answer.decode("utf-8", "replace").strip()[:200]
        if status in (409, 422):
            raise IntegrityError(f"The witness {key.name} has seen another log.", words)
        raise LakeError(f"The witness at {url} answered {status}.", words)
    lines = answer.decode("utf-8", "replace").splitlines()
    given = [notes.parse_signature(line) for line in lines if line]
    theirs = [s for s in given if (s.name, s.key_id) == (key.name, key.id)]
    if not theirs or not notes.is_valid(key, ours.note.text, theirs[0].data):
        raise IntegrityError(f"What the witness {key.name} gave is not its cosignature.")
    folder = _folder(ours)
    path = folder / "checkpoint"
    kept = notes.parse(path.read_bytes()) if path.exists() else ours.note
    others = tuple(s for s in kept.signatures if (s.name, s.key_id) != (key.name, key.id))
    keep(folder, {"checkpoint": Note(kept.text, (*others, theirs[0])).to_bytes()})
    return folder


def anchors(root: Path) -> list[Path]:
    """The folders of all anchors, oldest first."""
    found = [p for p in (root / "log" / "anchors").glob("[0-9]*") if p.name.isdigit()]
    return sorted(found, key=lambda path: int(path.name))


def _request(ours: Log, old: int) -> bytes:
    assert ours.note is not None
    if not 0 <= old <= ours.size:
        raise IntegrityError(f"A witness saw {old:,} entries; the log has {ours.size:,}.")
    complete = tiles.complete(ours.size, ours.read)
    path = tree.consistency(complete, old, ours.size) if 0 < old < ours.size else []
    lines = [f"old {old}", *(_encoded(hash_) for hash_ in path)]
    return "".join(f"{line}\n" for line in lines).encode() + b"\n" + ours.note.to_bytes()


def _encoded(hash_: bytes) -> str:
    import base64

    return base64.b64encode(hash_).decode()


def _seen_by(ours: Log, key: Key) -> int:
    """The size of the last checkpoint that a witness cosigned, as far as is known here."""
    for folder in anchors(ours.folder.parent)[::-1]:
        note = notes.parse((folder / "checkpoint").read_bytes())
        if any((s.name, s.key_id) == (key.name, key.id) for s in note.signatures):
            return Checkpoint.parse(note.text).size
    return 0


def _folder(ours: Log) -> Path:
    folder = ours.folder / "anchors" / str(ours.size)
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _signers(lake_id: str) -> Sequence[FileSigner | CommandSigner]:
    signers = seal_keys.signers(lake_id)
    if not signers:
        raise LakeError(
            "Nobody can sign for this lake here.",
            f"There is no {seal_keys.private_path(lake_id)}.",
            "Run it where the key is, or name its folder in FORENSICS_KEY_DIR.",
        )
    return signers


def _post(url: str, kind: str, data: bytes) -> tuple[int, bytes]:
    import urllib.error
    import urllib.request

    if not url.startswith(("http://", "https://")):
        raise UsageError(f"{url!r} is no address.", "", "It begins with https:// or http://.")
    request = urllib.request.Request(url, data, {"Content-Type": kind})  # noqa: S310
    try:
        with urllib.request.urlopen(request, timeout=_PATIENCE_SECONDS) as answer:  # noqa: S310
            return answer.status, answer.read(_ANSWER_BYTES_MAX)
    except urllib.error.HTTPError as error:
        return error.code, error.read(_ANSWER_BYTES_MAX)
    except OSError as error:
        raise LakeError(f"{url} cannot be reached.", f"{error}.", "Try again later.") from error
