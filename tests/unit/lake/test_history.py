"""Past values are looked up as they were known then, and only where the lake allows."""

from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from forensics.errors import UsageError
from forensics.lake.history import as_of
from forensics.lake.layout import create


def at(hour: int) -> datetime:
    return datetime(2026, 10, 1, hour, tzinfo=UTC)


@pytest.fixture
def lake(tmp_path: Path) -> Path:
    create(tmp_path / "lake")
    return tmp_path / "lake"


def write(folder: Path, rows: list[tuple[str, int, int, float]]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    columns = zip(*rows, strict=True)
    client, hours, written, values = (list(column) for column in columns)
    table = pa.table(
        {
            "client": client,
            "as_of": [at(hour).replace(tzinfo=None) for hour in hours],
            "written_at": pa.array([at(hour) for hour in written], pa.timestamp("us", "UTC")),
            "use": values,
        }
    )
    pq.write_table(table, folder / "part.parquet")


def look(lake: Path, pattern: str, hour: int, *, written: str | None = "written_at"):
    return as_of(
        lake, pattern, key="client", time="as_of", written=written, columns=["use"],
        subject="s-1", at=at(hour),
    )  # fmt: skip


ROWS = [("s-1", 1, 2, 0.1), ("s-1", 3, 9, 0.3), ("s-2", 1, 1, 9.0), ("s-1", 5, 6, 0.5)]


def test_the_newest_value_that_was_true_and_written_by_then(lake: Path) -> None:
    write(lake / "history", ROWS)
    assert look(lake, "history/*.parquet", 1) is None
    assert look(lake, "history/*.parquet", 4).values == {"use": 0.1}
    assert look(lake, "history/*.parquet", 4, written=None).values == {"use": 0.3}
    late = look(lake, "history/*.parquet", 12)
    assert (late.values, late.true_from, late.written) == ({"use": 0.5}, at(5), at(6))


def test_a_folder_outside_needs_leave(lake: Path) -> None:
    write(lake.parent / "elsewhere", ROWS)
    with pytest.raises(UsageError, match="outside"):
        look(lake, "../elsewhere/*.parquet", 12)
    with pytest.raises(UsageError, match="outside"):
        look(lake, str(lake.parent / "elsewhere" / "part.parquet"), 12)
    (lake / "link").symlink_to(lake.parent / "elsewhere")
    with pytest.raises(UsageError, match="outside"):
        look(lake, "link/part.parquet", 12)
    with (lake / "lake.toml").open("a") as settings:
        settings.write('history = ["../elsewhere"]\n')
    assert look(lake, "../elsewhere/*.parquet", 12).values == {"use": 0.5}


def test_what_is_not_there_is_named(lake: Path) -> None:
    with pytest.raises(UsageError, match="no files"):
        look(lake, "history/*.parquet", 12)
    write(lake / "history", ROWS)
    with pytest.raises(UsageError, match="no column 'seen'"):
        look(lake, "history/*.parquet", 12, written="seen")
