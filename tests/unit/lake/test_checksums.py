"""Evidence at rest: a flipped bit is told, by whatever reads with checks."""

from __future__ import annotations

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.errors import IntegrityError, UsageError
from forensics.ingest.run import Report
from forensics.lake.artifacts import ArtifactStore, digest_of
from forensics.lake.parquet import read_checked, write_table
from forensics.lake.snapshot import take
from forensics.testing import decision_record


@pytest.fixture
def file(tmp_path: Path) -> Path:
    rows = 4_000
    source = random.Random(3)
    table = pa.table(
        {
            "decision_id": [f"d-{row}" for row in range(rows)],
            "score": [source.random() for _ in range(rows)],
            "outcome": [source.choice(["APPROVE", "DECLINE"]) for _ in range(rows)],
            "raw": [source.randbytes(60) for _ in range(rows)],
        }
    )
    path = tmp_path / "file.parquet"
    write_table(table, path)
    return path


def test_a_flipped_bit_in_any_page_is_told(file: Path) -> None:
    good = read_checked(file)
    data = file.read_bytes()
    footer = int.from_bytes(data[-8:-4], "little") + 8
    chosen = random.Random(11)
    for _ in range(60):
        changed = bytearray(data)
        at = chosen.randrange(4, len(data) - footer)
        changed[at] ^= 1 << chosen.randrange(8)
        file.write_bytes(changed)
        # A bit of a page header that means nothing, e.g. in optional statistics, may differ.
        with suppress(IntegrityError):
            assert read_checked(file).equals(good), f"wrong rows without an error, byte {at}"


def test_a_flipped_bit_in_the_values_is_always_told(file: Path) -> None:
    metadata = pq.read_metadata(file)
    data = file.read_bytes()
    chosen = random.Random(5)
    for _ in range(40):
        column = metadata.row_group(0).column(chosen.randrange(metadata.num_columns))
        start, size = column.data_page_offset, column.total_compressed_size
        end = start + size - (start - (column.dictionary_page_offset or start))
        changed = bytearray(data)
        changed[chosen.randrange(start + 60, end)] ^= 1 << chosen.randrange(8)
        file.write_bytes(changed)
        with pytest.raises(IntegrityError):
            read_checked(file)


@pytest.mark.parametrize("length", [0, 3, 4, 100, -1, -8])
def test_a_file_that_was_cut_is_told(file: Path, length: int) -> None:
    file.write_bytes(file.read_bytes()[:length])
    with pytest.raises(IntegrityError, match="cannot be read as it was written"):
        read_checked(file)


def test_every_file_of_a_lake_has_page_checksums(
    lake: Path, take_in: Callable[..., Report]
) -> None:
    take_in([decision_record() for _ in range(20)])
    paths = [
        *map(Path, take(lake).paths("decisions/credit_line")),
        *(lake / "index").glob("*.par*"),
    ]
    assert len(paths) >= 3
    for path in paths:
        read_checked(path)
        column = pq.read_metadata(path).row_group(0).column(0)
        data = bytearray(path.read_bytes())
        data[column.data_page_offset + column.total_compressed_size - 1] ^= 1
        path.write_bytes(data)
        with pytest.raises(IntegrityError):
            read_checked(path)


def test_an_artifact_is_named_by_its_bytes_and_kept_once(lake: Path) -> None:
    store = ArtifactStore(lake)
    assert store.put(b"model") == store.put(b"model") == digest_of(b"model")
    assert store.read(digest_of(b"model")) == b"model"
    assert store.has(digest_of(b"model"))
    assert len([path for path in (lake / "artifacts").rglob("*") if path.is_file()]) == 1


def test_an_artifact_that_was_changed_is_never_handed_out(lake: Path) -> None:
    store = ArtifactStore(lake)
    digest = store.put(b"model")
    path = store.path(digest)
    assert path is not None
    path.write_bytes(b"modem")
    with pytest.raises(IntegrityError, match="other bytes"):
        store.read(digest)
    with pytest.raises(IntegrityError, match="other bytes"):
        store.path(digest)


def test_an_artifact_that_was_never_kept_is_none(lake: Path) -> None:
    store = ArtifactStore(lake)
    assert store.read(digest_of(b"absent")) is None
    assert store.path(digest_of(b"absent")) is None
    assert not store.has(digest_of(b"absent"))


@pytest.mark.parametrize(
    "digest", ["", "sha256:", "sha256:../../lake.toml", "sha256:" + "A" * 64, "md5:" + "0" * 64]
)
def test_what_is_no_digest_never_becomes_a_path(lake: Path, digest: str) -> None:
    with pytest.raises(UsageError, match="no artifact digest"):
        ArtifactStore(lake).read(digest)
