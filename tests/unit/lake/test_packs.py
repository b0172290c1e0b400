"""A busy server seals every few seconds; that its lists are many costs no proof and no name."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from forensics.lake import packs, sealed
from forensics.testing import change_record, decision_record

SMALL = 5


@pytest.fixture(autouse=True)
def _own_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setenv("FORENSICS_KEY_DIR", str(tmp_path / "keys"))
    monkeypatch.setattr(packs, "LISTS_MIN", SMALL)


@pytest.fixture
def packed(lake: Path, take_in: Any, run: Any) -> Path:
    for number in range(SMALL):
        take_in([decision_record(request_id=f"r-{number}-{n}") for n in range(3)])
    assert run("compact", "--lake", lake).code == 0
    return lake


def lists(lake: Path) -> list[Path]:
    return list((lake / "log" / "segments").glob("??/*"))


def test_small_lists_are_put_together_and_every_proof_stays(
    lake: Path, take_in: Any, run: Any
) -> None:
    for number in range(SMALL - 1):
        take_in([decision_record(request_id=f"r-{number}-{n}") for n in range(3)])
    assert run("compact", "--lake", lake).code == 0
    assert (len(lists(lake)), packs.packs(lake)) == (SMALL - 1, []), "few stay as they are"
    take_in([decision_record(request_id="r-last")])
    before = {path.name: path.read_bytes() for path in lists(lake)}
    assert run("compact", "--lake", lake).code == 0
    (pack,) = packs.packs(lake)
    assert lists(lake) == []
    assert {name: place.read() for name, place in packs.held(pack)} == before
    assert all(sealed.kept(lake, name) == data for name, data in before.items())
    done = run("verify", "--lake", lake, "--json")
    assert (done.code, done.json["sealed_records"]) == (0, 3 * SMALL - 2), done.out
    assert run("verify", "r-0-1", "--lake", lake).code == 0
    assert run("trace", "r-0-1", "--no-replay", "--lake", lake, "--json").json["integrity"][
        "verified"
    ]


def test_packs_that_are_many_become_one(lake: Path, take_in: Any, run: Any) -> None:
    known = set()
    for _ in range(8):
        for _ in range(SMALL):
            take_in([change_record()])
        known |= {path.name for path in lists(lake)}
        assert run("compact", "--lake", lake).code == 0
    (pack,) = packs.packs(lake)
    assert {name for name, _ in packs.held(pack)} == known
    assert len(list((lake / "log" / "segments").glob("*.index"))) == 1
    assert run("verify", "--lake", lake).code == 0


@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_damaged_index_hides_no_list_and_is_named(packed: Path, run: Any, damage: str) -> None:
    (pack,) = packs.packs(packed)
    index = pack.with_suffix(".index")
    right = index.read_bytes()
    if damage == "gone":
        index.unlink()
    else:
        index.write_bytes(bytes([right[0] ^ 1]) + right[1:])
    done = run("verify", "--lake", packed, "--json")
    assert (done.code, done.json["sealed_records"]) == (5, 3 * SMALL)
    (defect,) = done.json["defects"]
    assert (defect["kind"], defect["file"]) == ("derived", f"log/segments/{index.name}")
    assert run("verify", "r-1-1", "--lake", packed).code == 0
    assert run("compact", "--lake", packed).code == 0
    assert index.read_bytes() == right


def test_a_damaged_list_in_a_pack_is_named_and_mended(
    packed: Path, run: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    (pack,) = packs.packs(packed)
    data = bytearray(pack.read_bytes())
    data[3] ^= 16
    pack.write_bytes(data)
    done = run("verify", "--lake", packed, "--json")
    assert (done.code, done.json["sealed_records"]) == (5, 3 * SMALL)
    (defect,) = done.json["defects"]
    assert defect["file"] == f"log/segments/{pack.name}"
    assert run("compact", "--mend-log", "--lake", packed).code == 0
    assert run("verify", "--lake", packed).code == 0
    (mended,) = lists(packed)
    right = mended.read_bytes()
    monkeypatch.setattr(packs, "_FAN_OUT", 1)  # the pack is written anew, with the mended list
    assert packs.gather(packed, {mended.name}) == 0
    assert lists(packed) == []
    assert sealed.kept(packed, mended.name) == right
    assert run("verify", "--lake", packed).code == 0
