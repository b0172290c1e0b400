"""Who looks at the table of decisions is recorded, in whatever thread its rows are read."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import LakeError
from forensics.records.looker import Looker, current, looking
from forensics.testing import decision_record
from forensics_tui.looked import InContext

TakeIn = Callable[..., Any]


@pytest.fixture
def three(lake: Path, take_in: TakeIn) -> Path:
    take_in(
        decision_record(
            decision_id=f"d-{day}", request_id=f"r-{day}", occurred_at=f"2026-10-0{day}T00:00:00Z",
            features={"x": float(day)},
        )
        for day in (1, 2, 3)
    )  # fmt: skip
    return lake


def looks(lake: Path) -> list[dict[str, Any]]:
    """What waits to be taken into the lake."""
    path = lake / "spool" / "access.log"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def test_each_new_view_is_one_look_with_who_looks_and_at_what(three: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(three, size=(120, 40)) as seat:
            await seat.see("1 of 3")
            (first,) = looks(three)
            assert first["decision_ids"] == ["d-3", "d-2", "d-1"]
            assert (first["decision_point"], first["decisions"]) == ("credit_line", 3)
            assert first["shown_from"].startswith("2026-10-01T00:00:00")
            assert first["shown_to"].startswith("2026-10-03T00:00:00")
            await seat.press("j", "k", "G", "g")
            assert len(looks(three)) == 1
            await seat.search("x > 1.5")
            await seat.see("1 of 2")
            found = looks(three)[-1]
            assert found["decision_ids"] == ["d-3", "d-2"]
            assert found["question"] != first["question"]
            assert "x > 1.5" not in json.dumps(found)

    with looking(how="tui", case="INC-7", reason="declined at night"):
        asyncio.run(session())
    found = looks(three)
    assert {look["how"] for look in found} == {"tui"}
    assert {(look["case"], look["reason"]) for look in found} == {("INC-7", "declined at night")}


def test_rows_that_are_scrolled_to_are_named_before_they_are_shown(
    lake: Path, take_in: TakeIn, seated: Any
) -> None:
    take_in(decision_record(decision_id=f"d-{n}", request_id=f"r-{n}") for n in range(900))

    async def session() -> None:
        async with seated(lake, size=(120, 40)) as seat:
            await seat.see("1 of 900")
            (first,) = looks(lake)
            before = set(first["decision_ids"])
            await seat.press("G")
            await seat.see("900 of 900")
            await seat.see("r-0 ")
            later = {one for look in looks(lake)[1:] for one in look["decision_ids"]}
            assert "d-0" not in before
            assert "d-0" in later
            assert all(look["decisions"] < 900 for look in looks(lake)[1:])

    asyncio.run(session())


def test_a_view_that_finds_nothing_is_no_look(three: Path, seated: Any) -> None:
    async def session() -> None:
        async with seated(three, where="x > 9") as seat:
            await seat.see("of 0")

    asyncio.run(session())
    assert looks(three) == []


def test_where_looks_have_to_be_recorded_nothing_is_shown_without(
    three: Path, seated: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    toml = three / "lake.toml"
    toml.write_text(toml.read_text(encoding="utf-8") + "\n[access]\nrequired = true\n")

    async def opened() -> None:
        async with seated(three):
            raise AssertionError("it opened")

    async def filtered() -> None:
        async with seated(three) as seat:
            await seat.see("1 of 3")
            spool(three)
            await seat.search("x > 1.5")
            text = await seat.see("This look cannot be recorded")
            assert "1 of 2" not in text

    def spool(lake: Path) -> None:
        """A folder where the log would be: nobody can write to it, whoever runs the tests."""
        path = lake / "spool" / "access.log"
        path.unlink(missing_ok=True)
        path.mkdir(parents=True)

    asyncio.run(filtered())
    with pytest.raises(LakeError, match="cannot be recorded"):
        asyncio.run(opened())


def test_threads_know_who_looks() -> None:
    with looking(how="tui", case="INC-7") as looker, InContext(1) as pool:
        assert pool.submit(current).result() == looker
        with looking(case="INC-8"):
            told: Looker = pool.submit(current).result()
        assert told.case == "INC-8"
    with InContext(1) as pool:
        assert pool.submit(current).result().case is None
