"""Indexes and summaries stay few and right however many commits there are."""

from __future__ import annotations

import shutil
from collections import Counter
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

import forensics
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake import index, layout, summaries
from forensics.lake.compact import compact
from forensics.lake.snapshot import take
from forensics.lake.usual import usual as usual_of
from forensics.testing import FIRST_TIME, decision_record, write_lines

COMMITS = 20
EACH = 12


def at(number: int) -> str:
    return (FIRST_TIME + timedelta(minutes=7 * number)).isoformat()


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[dict[str, Any]]]:
    """Twenty commits over a day and a bit; the model changes midway, one in four is a canary."""
    folder = tmp_path_factory.mktemp("summaries")
    layout.create(folder / "lake")
    made = [
        decision_record(
            occurred_at=at(number),
            model={"name": "pd", "version": "v1" if number < 120 else "v2"},
            environment="canary" if number % 4 == 0 else "production",
            features={"x": float(number), "gap": None if number % 2 else 1.0, "word": "a"},
        )
        for number in range(COMMITS * EACH)
    ]
    for start in range(0, len(made), EACH):
        lines = write_lines(folder / f"records-{start}.jsonl", made[start : start + EACH])
        ingest(folder / "lake", open_source(lines))
    return folder / "lake", made


@pytest.fixture
def lake(built: tuple[Path, list[dict[str, Any]]], tmp_path: Path) -> Path:
    """A copy of them for each test."""
    return Path(shutil.copytree(built[0], tmp_path / "lake"))


@pytest.fixture
def decisions(built: tuple[Path, list[dict[str, Any]]]) -> list[dict[str, Any]]:
    return built[1]


def test_their_files_stay_few_and_every_look_up_is_right(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    known = take(lake).known
    assert len(known.runs) < COMMITS / 2
    assert max(run.level for run in known.runs) == 1
    assert len(known.profiles) < COMMITS
    assert len(known.usages) < COMMITS
    asked = forensics.open(lake)
    for decision in decisions[::7]:
        for identifier in (decision["request_id"], decision["decision_id"]):
            (found,) = asked.trace(identifier, replay=False)
            assert found.decision.decision_id == decision["decision_id"]


def test_an_index_has_one_entry_for_each_id_of_each_record(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    assert sum(run.entries for run in take(lake).known.runs) == 2 * len(decisions)


def test_what_is_usual_is_what_the_days_held(lake: Path, decisions: list[dict[str, Any]]) -> None:
    snapshot = take(lake)
    day = FIRST_TIME.toordinal() - datetime(1970, 1, 1).toordinal()  # noqa: DTZ001
    usual = usual_of(snapshot, "credit_line", day, day + 1)
    assert set(usual) == {"x", "gap"}
    x = usual["x"]
    assert (x.days, x.rows, x.low, x.high) == (2, 240, 0, 239)
    assert 0 <= x.q01 < x.median < x.q99 <= 239
    assert (usual["gap"].rows, usual["gap"].low, usual["gap"].high) == (120, 1, 1)
    first = usual_of(snapshot, "credit_line", day, day)["x"]
    per_day = Counter(decision["occurred_at"][:10] for decision in decisions)
    assert (first.days, first.rows) == (1, per_day[FIRST_TIME.date().isoformat()])
    assert usual_of(snapshot, "elsewhere", day, day) == {}


def test_what_was_in_use_is_counted_once_by_hour_environment_and_version(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    used = summaries.in_use(take(lake), until_us=2**62)
    counted: Counter[tuple[Any, ...]] = Counter()
    for item in used:
        counted[item.kind, item.environment, item.version] += item.decisions
    expected: Counter[tuple[Any, ...]] = Counter()
    for decision in decisions:
        expected["model", decision["environment"], decision["model"]["version"]] += 1
        expected["decisions", decision["environment"], None] += 1
    assert counted == expected
    keys = [(u.hour, u.environment, u.kind, u.version) for u in used]
    assert len(keys) == len(set(keys)), "one row for each, however many commits"


def test_each_feature_is_counted_by_the_days_that_had_it(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    counted = {
        (use.name, use.version): use
        for use in summaries.tenures(take(lake), "credit_line")
        if use.kind == "feature" and use.environment == "production"
    }
    here = [d for d in decisions if d["environment"] == "production"]
    with_gap = [d for d in here if d["features"]["gap"] is not None]
    assert {key: use.decisions for key, use in counted.items()} == {
        ("x", "float64"): len(here),
        ("word", "string"): len(here),
        **({("gap", "float64"): len(with_gap)} if with_gap else {}),
    }


def test_merging_files_of_a_lake_without_an_index_loses_no_summary(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    before = summaries.tenures(take(lake), "credit_line")
    shutil.rmtree(lake / "index")
    compact(lake)
    assert summaries.tenures(take(lake), "credit_line") == before
    day = FIRST_TIME.toordinal() - datetime(1970, 1, 1).toordinal()  # noqa: DTZ001
    assert usual_of(take(lake), "credit_line", day, day + 1)["x"].rows == len(decisions)


@pytest.mark.parametrize("number", [61, 119, 121, 239])
def test_as_of_tells_the_version_that_was_live(
    lake: Path, decisions: list[dict[str, Any]], number: int
) -> None:
    state = forensics.open(lake).as_of(datetime.fromisoformat(at(number)))
    live = {v.version for v in state.live if v.kind == "model" and v.environment == "production"}
    assert ("v1" if number < 120 else "v2") in live
    if number in (61, 239):
        assert len(live) == 1


def test_merging_runs_drops_entries_of_files_that_are_gone(
    lake: Path, decisions: list[dict[str, Any]]
) -> None:
    snapshot = take(lake)
    live = set(sorted(snapshot.live)[:5])
    (merged,) = index.merge(lake / "index", snapshot.known.runs, live, level=2)
    assert merged.entries == 2 * 5 * EACH
    assert merged.level == 2
