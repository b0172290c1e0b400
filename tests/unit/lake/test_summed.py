"""A bit of a summary that flips is found by whoever reads it, by verify, and mended by compact."""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forensics.api import open_lake
from forensics.errors import IntegrityError
from forensics.lake import summaries, summed
from forensics.lake.compact import compact
from forensics.lake.snapshot import take
from forensics.lake.usual import usual as usual_of
from forensics.lake.verify.whole import Options, verify
from forensics.testing import decision_record

TakeIn = Callable[..., Any]
KINDS = ("profile", "usage")


def one_file(lake: Path, kind: str) -> Path:
    (path,) = (lake / "index").glob(f"{kind}-*.parquet")
    return path


def read(lake: Path) -> None:
    snapshot = take(lake)
    usual_of(snapshot, "credit_line", 0, 1 << 20)
    summaries.in_use(snapshot, until_us=1 << 62)


@pytest.mark.parametrize("kind", KINDS)
def test_any_flipped_bit_is_found(lake: Path, take_in: TakeIn, kind: str) -> None:
    take_in([decision_record() for _ in range(30)])
    path = one_file(lake, kind)
    whole = path.read_bytes()
    random_ = random.Random(3)
    for _ in range(40):
        data = bytearray(whole)
        data[random_.randrange(len(data))] ^= 1 << random_.randrange(8)
        path.write_bytes(data)
        with pytest.raises(IntegrityError, match="not what was written"):
            read(lake)
    found = verify(lake, Options())
    assert any(defect.kind == "derived" for defect in found.findings.defects)
    path.write_bytes(whole)
    read(lake)
    assert not verify(lake, Options()).findings.broken


@pytest.mark.parametrize("kind", KINDS)
def test_compact_makes_a_damaged_one_again(lake: Path, take_in: TakeIn, kind: str) -> None:
    take_in([decision_record() for _ in range(30)])
    with open_lake(lake) as opened:
        before = opened.as_of(datetime(2026, 12, 1, tzinfo=UTC)).to_dict()
    path = one_file(lake, kind)
    path.write_bytes(path.read_bytes()[:-9] + b"\0" * 9)
    assert compact(lake).index_rebuilt
    read(lake)
    with open_lake(lake) as opened:
        assert opened.as_of(datetime(2026, 12, 1, tzinfo=UTC)).to_dict() == before


def test_files_of_older_versions_are_read_as_they_are(tmp_path: Path) -> None:
    (tmp_path / "usage-0123456789abcdef0123456789abcdef.parquet").write_bytes(b"old")
    (name,) = (path.name for path in tmp_path.iterdir())
    assert summed.paths(tmp_path, [name], "") == [str(tmp_path / name)]
    with pytest.raises(IntegrityError, match="cannot be read"):
        summed.paths(tmp_path, [f"usage-s{'0' * 40}.parquet"], "")
