"""A flipped bit in what the lake is read through: found, or no answer is another one for it.

Data, tiles, checkpoints and lists of leaves are in ``tests/hostile/test_attacks.py``: there every
bit is found. A Delta log says much that nobody asks, and an index is derived, so here a bit may do
nothing too; but then every answer is the one that it was before.
"""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import IntegrityError
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import layout
from forensics.lake.snapshot import take
from forensics.server import landing, spool
from forensics.server.spool import Spool
from forensics.testing import change_record, decision_record, override_record, write_lines

Answers = dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A lake of several commits; nobody writes to it."""
    folder = tmp_path_factory.mktemp("flips")
    layout.create(folder / "lake")
    for number in range(3):
        made = [
            decision_record(
                decision_id=f"d-{number}-{n}", request_id=f"r-{number}-{n}",
                model={"name": "pd", "version": f"v{number}"},
            )
            for n in range(20)
        ]  # fmt: skip
        more = [change_record(), override_record(decision_id=f"d-{number}-3")]
        lines = write_lines(folder / f"r-{number}.jsonl", [*made, *more])
        ingest(folder / "lake", open_source(lines))
    return folder / "lake"


@pytest.fixture
def lake(before: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    shutil.copytree(before, tmp_path / "lake")
    return tmp_path / "lake"


def answers(run: Any, lake: Path) -> Answers:
    """What the lake says when it is asked: its exit status and its words."""
    questions = {
        "find": ("find",),
        "find some": ("find", "--where", "score < 0.3", "--limit", "7"),
        "trace": ("trace", "r-1-3", "--no-replay"),
        "trace another": ("trace", "d-2-19", "--no-replay"),
        "timeline": ("timeline",),
        "as-of": ("as-of", "2026-10-01T00:00:30Z"),
        "audit": ("audit", "--since", "2026-10-01", "--until", "2026-10-02"),
    }
    found: Answers = {}
    for name, (command, *arguments) in questions.items():
        done = run(command, *arguments, "--lake", lake, "--json")
        found[name] = (int(done.code), done.out)
    return found


def flips(files: list[Path], count: int, seed: str) -> Iterator[tuple[str, Path, bytes]]:
    """So many files with one bit flipped, each put back afterwards."""
    chosen = random.Random(seed)
    for _ in range(count):
        path = chosen.choice(files)
        data = path.read_bytes()
        bit = chosen.randrange(len(data) * 8)
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        yield f"{path.name} bit {bit}", path, data
        path.write_bytes(data)


def delta_log(lake: Path) -> list[Path]:
    return sorted(lake.rglob("_delta_log/*.json"))


def derived(lake: Path) -> list[Path]:
    return sorted(path for path in (lake / "index").iterdir() if path.is_file())


@pytest.mark.parametrize("where", [delta_log, derived], ids=["_delta_log", "index"])
@pytest.mark.parametrize("count", [6, pytest.param(500, marks=pytest.mark.torture)])
def test_a_flipped_bit_is_found_or_changes_no_answer(
    where: Callable[[Path], list[Path]], count: int, lake: Path, run: Any, tmp_path: Path
) -> None:
    right = answers(run, lake)
    assert {code for code, _ in right.values()} <= {0, 4}, right
    silent, found, refused = [], 0, 0
    for flip, path, _ in flips(where(lake), count, where.__name__):
        if run("verify", "--lake", lake, "--json").code not in (0, 4):
            found += 1
            continue
        said = answers(run, lake)
        wrong = [name for name in right
                 if said[name][0] in (0, 3, 4) and said[name] != right[name]]  # fmt: skip
        refused += any(said[name][0] not in (0, 3, 4) for name in right)
        if wrong:
            silent.append(f"{path.parent.parent.name} {flip}: {wrong}")
            continue
        if where is delta_log:  # what another reader, or we without the catalog, would see
            kept = (lake / "index" / "catalog.json").read_bytes()
            (lake / "index" / "catalog.json").unlink()
            done = run("find", "--lake", lake, "--json")
            (lake / "index" / "catalog.json").write_bytes(kept)
            if done.code in (0, 3, 4) and (int(done.code), done.out) != right["find"]:
                silent.append(f"{path.parent.parent.name} {flip}: without the catalog")
    assert silent == []
    assert found + refused > 0


@pytest.mark.parametrize("count", [40, pytest.param(1_000, marks=pytest.mark.torture)])
def test_a_bit_flipped_in_the_spool_lets_nothing_of_its_file_in(count: int, tmp_path: Path) -> None:
    """What was acknowledged is either taken in as it was, or stays there and is named."""
    layout.create(tmp_path / "lake")
    writing = Spool(tmp_path / "lake", rows_max=1_000, seconds_max=60)
    for _ in range(3):
        writing.append({"records": [json.dumps(decision_record()).encode() for _ in range(5)]})
    writing.close_due(all_of_them=True)
    (path,) = spool.closed(tmp_path / "lake")
    spool.check(path)
    for flip, _, _ in flips([path], count, "spool"):
        with pytest.raises(IntegrityError):
            spool.check(path)
        assert path.exists(), flip
    told: list[Mapping[str, Any]] = []
    for _ in flips([path], 1, "landing"):
        assert landing.sweep(tmp_path / "lake", told.append) == 1
    assert (told[0]["event"], path.exists()) == ("failed", True)
    assert take(tmp_path / "lake").points() == []
    assert landing.sweep(tmp_path / "lake", told.append) == 0
    assert (told[1]["landed"], path.exists()) == (15, False)
