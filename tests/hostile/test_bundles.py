"""Bundles that somebody made to harm or deceive: each is refused in words, and nothing unpacked."""

from __future__ import annotations

import hashlib
import io
import json
import random
import stat
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import ForensicsError, IntegrityError, UsageError
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout
from forensics.lake.snapshot import take
from forensics.lake.verify import bundle_check, bundle_zip
from forensics.lake.verify.bundle_zip import Archive
from forensics.report.bundle import bundle
from forensics.testing import decision_record, write_lines


@pytest.fixture(scope="module")
def sound(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle that is whole."""
    folder = tmp_path_factory.mktemp("sound")
    layout.create(folder / "lake")
    lines = write_lines(folder / "r.jsonl", [decision_record(decision_id=f"d-{n}") for n in "abc"])
    ingest(folder / "lake", open_source(lines))
    bundle(take(folder / "lake"), ["d-a", "d-b"], folder / "bundle.zip")
    return folder / "bundle.zip"


def members(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def packed(files: list[tuple[zipfile.ZipInfo | str, bytes]], **options: Any) -> bytes:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", **options) as archive:
        for name, data in files:
            archive.writestr(name, data)
    return stream.getvalue()


def with_name(name: str, attributes: int = 0) -> Callable[[Path], bytes]:
    """The sound bundle with one file more, called ``name``."""

    def make(sound: Path) -> bytes:
        info = zipfile.ZipInfo(name)
        info.external_attr = attributes
        return packed([*members(sound).items(), (info, b"x")])

    return make


HOSTILE: dict[str, tuple[Callable[[Path], bytes], str]] = {
    "a path that leads out": (with_name("../../evil"), "no name of a file"),
    "a path that leads out from within": (with_name("records/../../evil"), "no name of a file"),
    "an absolute path": (with_name("/etc/passwd"), "no name of a file"),
    "a path of Windows": (with_name("C:\\evil"), "no name of a file"),
    "a device of Windows": (with_name("records/NUL.txt"), "no name of a file"),
    "a name with an end in a dot": (with_name("records/x."), "no name of a file"),
    "an empty part of a name": (with_name("records//x"), "no name of a file"),
    "a folder": (with_name("records/x/"), "no name of a file"),
    "an escape sequence in a name": (with_name("\x1b[2Jx"), "no name of a file"),
    "a name in another script": (with_name("rеcords/x"), "no name of a file"),
    "a name too long": (with_name("x" * 300), "no name of a file"),
    "a link": (with_name("link", (stat.S_IFLNK | 0o777) << 16), "a link"),
    "a device": (with_name("null", (stat.S_IFCHR | 0o666) << 16), "a link"),
    "a name in other case": (with_name("manifest.json"), "differs from another in case alone"),
    "a file within a file": (with_name("MANIFEST.json/x"), "lies within a file"),
    "a file that is a folder too": (with_name("records"), "a file and a folder"),
    "nothing": (lambda _: b"", "too short"),
    "no archive": (lambda _: b"hello" * 20, "does not end as a zip"),
    "no files": (lambda _: packed([]), "has 0 files"),
    "an archive that ends early": (lambda s: s.read_bytes()[:-9], "does not end as a zip"),
    "data behind the end": (lambda s: s.read_bytes() + b"x", "does not end as a zip"),
    "data before the beginning": (lambda s: b"MZ" + s.read_bytes(), "not where it says"),
}


def hostile(why: str) -> Callable[[Callable[[Path], bytes]], Callable[[Path], bytes]]:
    def wrap(make: Callable[[Path], bytes]) -> Callable[[Path], bytes]:
        HOSTILE[make.__name__.replace("_", " ")] = (make, why)
        return make

    return wrap


@hostile("more than once")
def a_name_twice(sound: Path) -> bytes:
    with pytest.warns(UserWarning, match="Duplicate"):
        return packed([*members(sound).items(), ("MANIFEST.json", b"{}")])


@hostile("does not end as a zip")
def a_comment_behind_the_end(sound: Path) -> bytes:
    stream = io.BytesIO(sound.read_bytes())
    with zipfile.ZipFile(stream, "a") as archive:
        archive.comment = b"PK\5\6 another end"
    return stream.getvalue()


@hostile("unpacks to more than 100 times")
def a_bomb(sound: Path) -> bytes:
    files = [*members(sound).items(), ("bomb", bytes(50 << 20))]
    return packed(files, compression=zipfile.ZIP_DEFLATED)


def patched(data: bytes, name: bytes, at: int, value: bytes, *, local: bool) -> bytes:
    """An archive with another value at an offset within one file's header."""
    found = bytearray(data)
    magic, name_at = (b"PK\3\4", 30) if local else (b"PK\1\2", 46)
    start = found.find(magic)
    while start >= 0 and found[start + name_at : start + name_at + len(name)] != name:
        start = found.find(magic, start + 1)
    assert start >= 0
    found[start + at : start + at + len(value)] = value
    return bytes(found)


@hostile("is encrypted")
def an_encrypted_file(sound: Path) -> bytes:
    data = patched(sound.read_bytes(), b"CHECK.md", 6, b"\1", local=True)
    return patched(data, b"CHECK.md", 8, b"\1", local=False)


@hostile("another file in the directory than where it stands")
def another_name_where_it_stands(sound: Path) -> bytes:
    return patched(sound.read_bytes(), b"CHECK.md", 30, b"CHECK.mx", local=True)


@hostile("another file in the directory than where it stands")
def another_size_where_it_stands(sound: Path) -> bytes:
    return patched(sound.read_bytes(), b"CHECK.md", 22, b"\1", local=True)


@hostile("more than 100 times")
def a_size_that_is_not_true(sound: Path) -> bytes:
    size = struct.pack("<L", 1 << 31)
    data = patched(sound.read_bytes(), b"CHECK.md", 22, size, local=True)
    return patched(data, b"CHECK.md", 24, size, local=False)


@hostile("does not stand where the file before it ends")
def two_names_for_the_same_bytes(sound: Path) -> bytes:
    return patched(sound.read_bytes(), b"check/go.mod", 42, bytes(4), local=False)


@hostile("packed in a way")
def a_method_of_packing_that_few_know(sound: Path) -> bytes:
    return packed(list(members(sound).items()), compression=zipfile.ZIP_LZMA)


@hostile("packed in a way")
def a_file_whose_sizes_come_after_it(sound: Path) -> bytes:
    class Stream(io.RawIOBase):
        data = b""

        def writable(self) -> bool:
            return True

        def write(self, data: Any) -> int:
            self.data += bytes(data)
            return len(data)

    stream = Stream()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, data in members(sound).items():
            archive.writestr(name, data)
    return stream.data


@hostile("packed in a way")
def an_extra_field(sound: Path) -> bytes:
    info = zipfile.ZipInfo("x")
    info.extra = struct.pack("<HH4s", 0x7075, 4, b"evil")
    return packed([*members(sound).items(), (info, b"")])


@hostile("not where it says")
def several_disks(sound: Path) -> bytes:
    data = bytearray(sound.read_bytes())
    data[-18] = 1
    return bytes(data)


@hostile("bytes that belong to no file")
def a_file_that_the_directory_does_not_know(sound: Path) -> bytes:
    """What a reader that goes through the local headers would see, and no other."""
    files = list(members(sound).items())
    whole, less = packed(files), packed(files[:-1])
    directory = less[less.index(b"PK\1\2") :]
    end = whole.index(b"PK\1\2")
    size = len(directory) - 22
    return whole[:end] + directory[:-10] + struct.pack("<LLH", size, end, 0)


@hostile("no evidence bundle")
def an_archive_of_something_else(_: Path) -> bytes:
    return packed([("readme.txt", b"hello")])


@pytest.mark.parametrize("what", sorted(HOSTILE))
def test_a_hostile_archive_is_refused_in_words(
    what: str, sound: Path, run: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    make, why = HOSTILE[what]
    folder = tmp_path / "here"
    folder.mkdir()
    monkeypatch.chdir(folder)
    path = tmp_path / "hostile.zip"
    path.write_bytes(make(sound))
    done = run("verify", path)
    assert done.code == 5, done.out + done.err
    assert why in " ".join(done.err.split()), done.err
    assert "\x1b" not in done.err
    assert list(folder.iterdir()) == [], "nothing was unpacked"


def test_a_bomb_in_a_file_that_is_itself_an_archive_is_never_opened(
    sound: Path, tmp_path: Path
) -> None:
    bomb = packed([("b", bytes(30 << 20))], compression=zipfile.ZIP_DEFLATED)
    nested = packed([("bomb.zip", bomb)])
    files = {**members(sound), "nested.zip": nested}
    bundle_zip.write(tmp_path / "b.zip", files)
    with Archive(tmp_path / "b.zip") as archive:
        assert archive.read("nested.zip") == nested
    done = bundle_check.check(tmp_path / "b.zip")
    assert done.findings.counts == {"inserted": 1}


def test_many_files_that_are_small_when_packed_are_too_large_together(
    sound: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bundle_zip, "TOTAL_BYTES_MAX", 1 << 20)
    half = random.Random(1).randbytes(6 << 10) * 100  # packs some 90 times
    files = [*members(sound).items(), ("one", half), ("two", half)]
    path = tmp_path / "b.zip"
    path.write_bytes(packed(files, compression=zipfile.ZIP_DEFLATED))
    with pytest.raises(IntegrityError, match="unpacks to more than"):
        Archive(path)


@pytest.mark.parametrize("data", [b"", b"x", bytes(5_000_000), b"ab" * 40_000])
def test_what_is_written_can_be_read(data: bytes, tmp_path: Path) -> None:
    """Also what packs so well that a reader would take it for a bomb."""
    (tmp_path / "file").write_bytes(data)
    bundle_zip.write(tmp_path / "b.zip", {"a": data, "b": tmp_path / "file", "c/d": b"1"})
    with Archive(tmp_path / "b.zip") as archive:
        assert (archive.read("a"), archive.read("b"), archive.read("c/d")) == (data, data, b"1")
    with zipfile.ZipFile(tmp_path / "b.zip") as opened:
        assert opened.testzip() is None


def test_a_packed_file_that_is_another_one_than_the_directory_says_is_refused(
    tmp_path: Path,
) -> None:
    text = b"all the same " * 50 + random.Random(4).randbytes(500)
    raw = packed([("a", text)], compression=zipfile.ZIP_DEFLATED)
    path = tmp_path / "b.zip"

    def refuses(data: bytes) -> None:
        path.write_bytes(data)
        with Archive(path) as archive, pytest.raises(IntegrityError):
            archive.read("a")

    crc = struct.pack("<L", zlib.crc32(text) ^ 1)
    refuses(patched(patched(raw, b"a", 14, crc, local=True), b"a", 16, crc, local=False))
    for size in (len(text) - 1, len(text) + 1):
        said = struct.pack("<L", size)
        refuses(patched(patched(raw, b"a", 22, said, local=True), b"a", 24, said, local=False))
    for at in range(31, raw.index(b"PK\1\2"), 7):
        data = bytearray(raw)
        data[at] ^= 0x10
        refuses(bytes(data))


def test_what_is_no_file_is_not_read(tmp_path: Path, run: Any) -> None:
    import os

    folder = tmp_path / "folder.zip"
    folder.mkdir()
    assert run("verify", folder).code == 2
    pipe = tmp_path / "pipe.zip"
    os.mkfifo(pipe)
    descriptor = os.open(pipe, os.O_RDWR)  # a reader would wait for a writer for ever
    try:
        with pytest.raises(UsageError):
            Archive(pipe)
    finally:
        os.close(descriptor)


#: What a manifest may be made to say.
MANIFESTS: dict[str, Callable[[dict[str, Any]], Any]] = {
    "another form": lambda said: {**said, "bundle": "decision-forensics/bundle/9"},
    "no form": lambda said: {k: v for k, v in said.items() if k != "bundle"},
    "a list": lambda said: [said],
    "a field more": lambda said: {**said, "more": 1},
    "a field less": lambda said: {k: v for k, v in said.items() if k != "records"},
    "records that are a list": lambda said: {**said, "records": []},
    "files that are numbers": lambda said: {**said, "files": {"CHECK.md": 3}},
    "a path that leads out": lambda said: {
        **said, "files": {**said["files"], "../x": {"sha256": "0", "size": 0}}
    },
    "a record elsewhere": lambda said: {
        **said, "records": {"records/../../x": next(iter(said["records"].values()))}
    },
    "a segment that leads out": lambda said: {
        **said, "records": {"x": {**next(iter(said["records"].values())), "segment": "../" * 10}}
    },
    "a decision of a record that is not there": lambda said: {
        **said, "decisions": [{**said["decisions"][0], "record": "records/none"}]
    },
    "a decision that is a number": lambda said: {**said, "decisions": [3]},
    "a number as an id": lambda said: {
        **said, "decisions": [{**said["decisions"][0], "decision_id": 3}]
    },
    "somebody who is a number": lambda said: {**said, "made_by": {"actor": 3}},
    "nobody": lambda said: {**said, "made_by": None},
    "a lake that is a list": lambda said: {**said, "lake": []},
}  # fmt: skip


def with_manifest(sound: Path, manifest: bytes, target: Path) -> Path:
    bundle_zip.write(target, {**members(sound), "MANIFEST.json": manifest})
    return target


@pytest.mark.parametrize("what", sorted(MANIFESTS))
def test_a_hostile_manifest_is_refused(what: str, sound: Path, run: Any, tmp_path: Path) -> None:
    said = MANIFESTS[what](json.loads(members(sound)["MANIFEST.json"]))
    path = with_manifest(sound, json.dumps(said).encode(), tmp_path / "b.zip")
    done = run("verify", path)
    assert (done.code, "manifest cannot be read" in done.err) == (5, True), done.out + done.err


@pytest.mark.parametrize(
    "text", [b"", b"{", b"\xff", b"[" * 100_000, b'{"a": NaN}', b'{"bundle": 1, "bundle": 2}']
)
def test_a_manifest_that_is_no_json_is_refused(
    text: bytes, sound: Path, run: Any, tmp_path: Path
) -> None:
    assert run("verify", with_manifest(sound, text, tmp_path / "b.zip")).code == 5


def test_what_a_manifest_says_cannot_command_a_terminal(
    sound: Path, run: Any, tmp_path: Path
) -> None:
    said = json.loads(members(sound)["MANIFEST.json"])
    evil = "\x1b]0;evil\x07\x1b[2J\u202e"
    said["made_by"] = {"actor": evil, "role": None}
    said["left_out"] = [{"what": evil, "why": "erased", "detail": evil, "of": ""}]
    done = run("verify", with_manifest(sound, json.dumps(said).encode(), tmp_path / "b.zip"))
    assert done.code == 4
    assert not {"\x1b", "\x07", "\u202e"} & set(done.out)


@pytest.mark.parametrize("seed", range(4))
def test_random_damage_never_ends_in_anything_but_words(
    seed: int, sound: Path, tmp_path: Path
) -> None:
    """Files of the bundle are cut, flipped and exchanged, with a manifest that fits."""
    chosen = random.Random(seed)
    whole = members(sound)
    said = json.loads(whole.pop("MANIFEST.json"))
    ours = [name for name in whole if not name.startswith(("check/", "CHECK"))]
    trusted = tmp_path / "b.zip"
    for _ in range(60):
        files, name = dict(whole), chosen.choice(ours)
        data = bytearray(files[name])
        what = chosen.randrange(3)
        if what == 0:
            data[chosen.randrange(len(data))] ^= 1 << chosen.randrange(8)
        elif what == 1:
            del data[chosen.randrange(len(data)) :]
        else:
            data = bytearray(files[chosen.choice(ours)])
        if bytes(data) == files[name]:
            continue
        files[name] = bytes(data)
        said["files"] = {
            one: {"sha256": hashlib.sha256(of).hexdigest(), "size": len(of)}
            for one, of in files.items()
        }
        bundle_zip.write(trusted, {**files, "MANIFEST.json": json.dumps(said).encode()})
        try:
            done = bundle_check.check(trusted)
        except ForensicsError:
            continue
        # A key's other form, PEM, is for openssl alone and proves nothing here.
        assert done.findings.broken or name.endswith(".pem"), name


def test_a_flipped_bit_of_an_archive_is_found_or_changes_no_byte_of_a_file(
    sound: Path, tmp_path: Path
) -> None:
    """Some bits say nothing: which version packed a file, or what fills the last byte up."""
    chosen = random.Random(9)
    whole = sound.read_bytes()
    path = tmp_path / "b.zip"
    with Archive(sound) as archive:
        before = {name: archive.read(name) for name in archive.members}
    harmless = 0
    for _ in range(400):
        bit = chosen.randrange(len(whole) * 8)
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            done = bundle_check.check(path)
        except ForensicsError:
            continue
        if not (done.findings.broken or done.findings.gaps):
            harmless += 1
            with Archive(path) as archive:
                assert {name: archive.read(name) for name in archive.members} == before, bit
    assert harmless < 40
