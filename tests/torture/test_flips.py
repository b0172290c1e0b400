"""Single flipped bits in every file that a lake has: none is silent.

One bit of one file is flipped, and put back afterwards. What is sealed, or has a checksum, must be
**named**: verification says which file is damaged. What is derived, or what other programs wrote,
has bytes that nobody asks: there a bit may also be **refused** by what reads it, or **do nothing**;
then every answer is, byte for byte, the one that it was before. All else is silent.

A whole verification takes seconds and reads all files, so each bit is first looked for with the
part of it that reads its file. One in :data:`_WHOLE_EACH`, and every bit that its part does not
find, is given to the command ``forensics verify`` as people run it, which has to end with 5 and
name the file too.
"""

from __future__ import annotations

import json
import logging
import random
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from forensics.errors import IntegrityError
from forensics.ingest.looks import land
from forensics.ingest.reread import differences
from forensics.integrity import note
from forensics.integrity.note import COSIGNATURE, Key, Signature
from forensics.lake import layout, looks, packs, seal_anchor, subject_keys, tables
from forensics.lake.snapshot import take
from forensics.lake.verify import beside, chain, lists, rows
from forensics.lake.verify.chain import Chain
from forensics.lake.verify.defects import Findings
from forensics.lake.verify.lists import Seen
from forensics.lake.verify.rows import Task
from forensics.server import landing, spool
from forensics.server.spool import Spool
from forensics.testing import (
    change_record,
    decision_record,
    declaration_record,
    outcome_record,
    override_record,
    run_event,
    write_lines,
)

Answers = dict[str, tuple[int, str]]
_log = logging.getLogger(__name__)
_WHOLE_EACH = 101
_POLICY = """\
personal = ["triage:features.diagnosis"]
[roles.doctor]
users = ["u-doctor"]
unmask = ["features.*"]
"""


@dataclass(frozen=True)
class Kind:
    """Files of one kind: where they are, and what may happen to a flipped bit in them."""

    files: Callable[[Path], list[Path]]
    #: Sealed or with a checksum: a bit has to be named.
    strict: bool = True
    #: Which bytes of a file.
    within: Callable[[Path], range] = field(default=lambda path: range(path.stat().st_size))


def pages(path: Path) -> range:
    return range(_footer(path))


def footers(path: Path) -> range:
    return range(_footer(path), path.stat().st_size)


def _footer(path: Path) -> int:
    """Where the footer of a Parquet file begins: its length stands before the last four bytes."""
    data = path.read_bytes()
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


def among(*patterns: str) -> Callable[[Path], list[Path]]:
    def files(lake: Path) -> list[Path]:
        found = {path for pattern in patterns for path in lake.glob(pattern) if path.is_file()}
        return sorted(path for path in found if path.stat().st_size)

    return files


_DECISIONS = among("decisions/*/part-*.parquet")
_OTHERS = among("[achold]*/part-*.parquet")

KINDS = {
    "pages of decisions": Kind(_DECISIONS, within=pages),
    "footers of decisions": Kind(_DECISIONS, within=footers),
    "pages of other records": Kind(_OTHERS, within=pages),
    "footers of other records": Kind(_OTHERS, within=footers),
    "tiles of hashes": Kind(among("log/tile/[0-9]*/**/*")),
    "bundles of entries": Kind(among("log/tile/entries/**/*")),
    "lists of leaves": Kind(among("log/segments/??/*")),
    "packs of lists": Kind(among("log/segments/*.pack", "log/segments/*.index")),
    "checkpoints": Kind(among("log/checkpoint", "log/anchors/*/checkpoint")),
    "keys": Kind(among("log/keys/*")),
    "artifacts": Kind(among("artifacts/sha256/*/*")),
    "quarantine": Kind(among("quarantine/*")),
    "spool, closed": Kind(among("spool/records/*.jsonl")),
    "spool, open": Kind(among("spool/records/*.open")),
    "looks that wait": Kind(among("spool/access*")),
    "Delta logs": Kind(among("**/_delta_log/*"), strict=False),
    "index and catalog": Kind(among("index/run-*", "index/catalog.json"), strict=False),
    "summaries": Kind(among("index/profile-*", "index/usage-*")),
    "settings": Kind(among("lake.toml", "privacy.toml", "keystore.id"), strict=False),
}


@dataclass
class Attacked:
    """A lake to which nothing else is done, and what its verification knows of it beforehand."""

    root: Path
    told: Chain
    remembered: bytes
    tasks: dict[Path, Task]
    packed: list[str]
    connection: Any

    @classmethod
    def of(cls, root: Path) -> Attacked:
        lake_id = layout.identity(root)
        told = chain.check(root, lake_id, (), ())
        assert not told.findings.broken
        tasks = {
            root / name / file.name: Task(
                name, file, told.files[f"{name}/{file.name}"], False, False
            )
            for name, table in take(root).tables.items()
            for file in table.files
        }
        remembered = (root / "log" / "checkpoint").read_bytes()
        packed = [name for path in packs.packs(root) for name, _ in packs.held(path)]
        return cls(root, told, remembered, tasks, packed, rows.connect(root))

    def part_names(self, path: Path) -> bool:
        """Whether the part of a verification that reads ``path`` names it as damaged."""
        found = Findings()
        inside = path.relative_to(self.root).parts
        if path in self.tasks:
            task = self.tasks[path]
            known = self.told.segments
            found = rows.check(self.root, known, task, differences, self.connection).findings
        elif path.suffix == ".index":
            beside.pack_indexes(self.root, found)
        elif inside[:2] == ("log", "segments"):
            seen = Seen()
            listed = self.packed if path.suffix == ".pack" else [path.name]
            for segment in listed:
                lists.load(self.root, segment, self.told.segments[segment], seen)
            found = seen.findings
        elif inside[0] == "log":
            earlier = [("the last verification", self.remembered)]
            found = chain.check(self.root, layout.identity(self.root), (), earlier).findings
        elif inside[0] == "artifacts":
            beside.artifacts(self.root, found)
        elif inside[0] == "quarantine":
            beside.quarantine(self.root, found)
        elif inside[0] == "spool":
            beside.spool(self.root, found)
        elif path.name.startswith(("profile", "usage")):
            beside.summaries(take(self.root), found)
        return any(path.name in str(defect.to_dict()) for defect in found.defects)


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory, run: Any) -> Iterator[Path]:
    """A lake with something of everything that a lake can have."""
    folder = tmp_path_factory.mktemp("flips")
    root = folder / "lake"
    with pytest.MonkeyPatch.context() as patched:
        patched.setenv("XDG_STATE_HOME", str(folder / "state"))
        patched.setenv("FORENSICS_KEY_DIR", str(folder / "keys"))
        patched.setenv("FORENSICS_KEY_STORE", str(folder / "store"))
        layout.create(root)
        (root / "privacy.toml").write_text(_POLICY, encoding="utf-8")
        patched.setattr(packs, "LISTS_MIN", 4)
        for number in range(3):
            _take_in(run, root, folder / f"r-{number}.jsonl", _records(number))
            if number == 1:
                packs.gather(root, chain.check(root, layout.identity(root), (), ()).segments.keys())
        _take_in(run, root, folder / "bad.jsonl", [b"no record"])
        (folder / "rules.json").write_text('{"rules": []}', encoding="utf-8")
        assert (
            run("ingest", "--format", "artifact", folder / "rules.json", "--lake", root).code == 0
        )
        assert run("hold", "s-03", "--order", "x", "--lake", root).code == 0
        looks.saw(root, ["d-1-3"])
        assert land(root) == 1
        tables.checkpoint(root, "changes")
        _anchor(root)
        _fill_spool(root)
        done = run("verify", "--lake", root)
        assert done.code == 0, done.out
        yield root


def _records(number: int) -> list[dict[str, Any]]:
    made = [
        decision_record(
            decision_id=f"d-{number}-{n}", request_id=f"r-{number}-{n}",
            model={"name": "pd", "version": f"v{number}"},
        )
        for n in range(12)
    ]  # fmt: skip
    made.append(change_record())
    if number == 1:
        at = datetime(2026, 10, 1, tzinfo=UTC)
        made += [
            override_record(decision_id="d-0-3"), outcome_record(decision_id="d-0-4"),
            declaration_record(), run_event("r1", at=at, inputs=["a"], outputs=["b"]),
        ]  # fmt: skip
    if number == 2:
        made += [
            decision_record(
                decision_point="triage", decision_id=f"t-{n}", request_id=f"u-{n}",
                features={"diagnosis": "x", "age": n},
            )
            for n in range(8)
        ]  # fmt: skip
    return made


def _take_in(run: Any, root: Path, path: Path, made: list[Any]) -> None:
    assert run("ingest", write_lines(path, made), "--lake", root).code in (0, 4)


def _anchor(root: Path) -> None:
    """Have a witness cosign the checkpoint, and go on."""
    private = Ed25519PrivateKey.generate()
    key = Key("witness.example", COSIGNATURE, private.public_key().public_bytes_raw())

    def cosign(url: str, kind: str, data: bytes) -> tuple[int, bytes]:
        text = note.parse(data.partition(b"\n\n")[2]).text
        time = (1_790_000_000).to_bytes(8, "big")
        signature = private.sign(f"cosignature/v1\ntime 1790000000\n{text}".encode())
        return 200, Signature(key.name, key.id, time + signature).line().encode()

    seal_anchor.witness(seal_anchor.advance(root), "http://witness", key, cosign)
    seal_anchor.advance(root)


def _fill_spool(root: Path) -> None:
    """Records and looks that wait: of a process that lives, one that died, and a closed file."""
    for _ in range(2):
        writing = Spool(root, rows_max=1_000, seconds_max=60)
        for _ in range(3):
            made = [json.dumps(decision_record()).encode() for _ in range(4)]
            writing.append({"records": made})
        (live,) = (root / "spool" / "records").glob("*.open")
        if not spool.closed(root):
            writing.close_due(all_of_them=True)
    shutil.copy(live, live.with_name("records-20260101T000000.000000Z-deadbeef.jsonl"))
    for number in range(3):
        looks.saw(root, [f"d-0-{number}"])


def answers(run: Any, root: Path) -> Answers:
    """What the lake says when it is asked: its exit status and its words."""
    questions = {
        "find": ("find",),
        "find some": ("find", "--where", "score < 0.3", "--limit", "7"),
        "trace": ("trace", "r-1-3", "--no-replay"),
        "trace personal": ("trace", "u-3", "--no-replay"),
        "timeline": ("timeline", "--point", "credit_line"),
        "as-of": ("as-of", "2026-10-01T00:00:30Z"),
        "audit": ("audit", "--since", "2026-10-01", "--until", "2026-10-02"),
    }
    subject_keys._stores.clear()
    path = root / "spool" / "access.log"
    waiting = path.read_bytes()
    found: Answers = {}
    for name, (command, *arguments) in questions.items():
        done = run(command, *arguments, "--lake", root, "--json")
        found[name] = (int(done.code), done.out)
    path.write_bytes(waiting)
    return found


@contextmanager
def flipped(path: Path, bit: int) -> Iterator[None]:
    """``path`` with one bit of it flipped, within."""
    data = path.read_bytes()
    other = bytearray(data)
    other[bit // 8] ^= 1 << bit % 8
    path.write_bytes(other)
    try:
        yield
    finally:
        path.write_bytes(data)


def outcome(attacked: Attacked, run: Any, kind: Kind, path: Path, right: Answers, n: int) -> str:
    """What came of a bit that is flipped in ``path`` now: see the module."""
    named = attacked.part_names(path)
    if named and n % _WHOLE_EACH:
        return "named"
    subject_keys._stores.clear()  # a process knows its key store from the first look on
    done = run("verify", "--lake", attacked.root, "--json")
    called = {"keystore.id": "The key store"}.get(path.name, path.name)
    if done.code == 5 and path.name in done.out:
        return "named"
    if kind.strict:
        return f"silent: verify ends with {done.code} and does not name it"
    if done.code != 0:
        return (
            "named" if called in done.out + done.err else "refused" if done.code != 4 else "silent"
        )
    said = answers(run, attacked.root)
    wrong = [name for name in right if said[name][0] in (0, 3, 4) and said[name] != right[name]]
    if wrong:
        return f"silent: other answers to {', '.join(wrong)}"
    if any(said[name][0] not in (0, 3, 4) for name in right):
        return "refused"
    return "does nothing" if _reads_the_same(run, attacked.root, path, right) else "silent"


def _reads_the_same(run: Any, root: Path, path: Path, right: Answers) -> bool:
    """Whether who reads a Delta log without our catalog would see the same too."""
    if "_delta_log" not in path.parts:
        return True
    kept = (root / "index" / "catalog.json").read_bytes()
    (root / "index" / "catalog.json").unlink()
    waiting = (root / "spool" / "access.log").read_bytes()
    done = run("find", "--lake", root, "--json")
    (root / "spool" / "access.log").write_bytes(waiting)
    (root / "index" / "catalog.json").write_bytes(kept)
    return done.code not in (0, 3, 4) or (int(done.code), done.out) == right["find"]


@pytest.mark.parametrize(
    ("strict", "count"),
    [
        (True, 80),
        (False, 6),
        pytest.param(True, 10_000, marks=pytest.mark.torture),
        pytest.param(False, 600, marks=pytest.mark.torture),
    ],
)
def test_no_flipped_bit_is_silent(
    whole: Path, run: Any, strict: bool, count: int, caplog: pytest.LogCaptureFixture
) -> None:
    """Bits are spread evenly over the kinds of files, those that may ignore some by themselves."""
    caplog.set_level(logging.INFO, __name__)
    attacked, right = Attacked.of(whole), answers(run, whole)
    assert {code for code, _ in right.values()} <= {0, 4}, right
    chosen = random.Random(f"flips {count}")
    silent = []
    names = [name for name, kind in KINDS.items() if kind.strict == strict]
    came_of: dict[str, Counter[str]] = {name: Counter() for name in names}
    for number in range(count):
        name = names[number % len(names)]
        kind = KINDS[name]
        path = chosen.choice(kind.files(whole))
        within = kind.within(path)
        bit = chosen.randrange(within.start * 8, within.stop * 8)
        with flipped(path, bit):
            what = outcome(attacked, run, kind, path, right, number)
        came_of[name][what.partition(":")[0]] += 1
        if what.startswith("silent"):
            silent.append(f"{path.relative_to(whole)} bit {bit}: {what}")
    for name, counts in came_of.items():
        _log.info("%s: %s", name, ", ".join(f"{n:,} {what}" for what, n in sorted(counts.items())))
    assert silent == []
    assert run("verify", "--lake", whole).code == 0


def test_what_is_damaged_in_the_spool_is_not_taken_in(whole: Path, tmp_path: Path) -> None:
    """What was acknowledged is either taken in as it was, or stays there and is named."""
    root = tmp_path / "lake"
    shutil.copytree(whole, root)
    told: list[Mapping[str, Any]] = []
    closed, dead = sorted(spool.closed(root), key=lambda path: "deadbeef" in path.name)
    (live,) = (path.with_suffix(".jsonl") for path in (root / "spool").glob("*/*.open"))
    with flipped(closed, 800), flipped(dead, 801):
        for path in (closed, dead):
            with pytest.raises(IntegrityError):
                spool.check(path)
        assert landing.sweep(root, told.append) == 2
    assert [event["file"] for event in told if event["event"] == "landed"] == [live.name]
    assert closed.exists()
    assert dead.exists()
    assert landing.sweep(root, told.append) == 0
    assert sum(event.get("landed", 0) for event in told) == 24, "the same record is taken in once"


def test_a_look_that_is_damaged_ends_in_quarantine_and_the_others_land(
    whole: Path, tmp_path: Path
) -> None:
    root = tmp_path / "lake"
    shutil.copytree(whole, root)
    path = root / "spool" / "access.log"
    before = len(list((root / "quarantine").iterdir()))
    text = path.read_bytes()
    path.write_bytes(text.replace(b'"d-0-1"', b'"d-0-0"'))
    assert land(root) == text.count(b"\n") - 1
    assert len(list((root / "quarantine").iterdir())) == before + 1
