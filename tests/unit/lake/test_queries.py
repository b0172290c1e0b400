"""The texts of queries: what is put into one is SQL in one place only, never in its comments."""

from __future__ import annotations

import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from forensics.lake import sql
from forensics.lake.snapshot import take
from forensics.reconstruct.as_of import as_of
from forensics.testing import decision_record

QUERIES = sorted((Path(sql.__file__).parent / "queries").glob("*.sql"))


@pytest.mark.parametrize("file", QUERIES, ids=lambda file: file.stem)
def test_no_part_of_a_query_lands_in_a_comment(file: Path) -> None:
    names = set(re.findall(r"(?<!\{)\{(\w+)\}", file.read_text(encoding="utf-8")))
    parts = {name: f"'break\nBROKEN {name}'" for name in names}
    text = sql.query(file.stem, **parts)
    comments = [line for line in text.split("\n") if line.lstrip().startswith("--")]
    assert not [line for line in comments if "break" in line]
    assert not text.startswith("--")


@pytest.mark.parametrize("name", ["a\nb", "a\rb", "x\n') OR true --", "\n; SELECT 1"])
def test_line_breaks_in_logged_names_are_no_sql(lake: Path, take_in: Any, name: str) -> None:
    take_in(
        decision_record(
            request_id=f"r{minute}",
            occurred_at=f"2026-10-01T00:{minute:02d}:00Z",
            model={"name": name, "version": name},
        )
        for minute in range(30)
    )
    state = as_of(take(lake), datetime(2026, 10, 1, 0, 15, tzinfo=UTC))
    (model,) = (live for live in state.live if live.kind == "model")
    assert (model.name, model.version, model.decisions) == (name, name, 30)
