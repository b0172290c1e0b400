"""Replay of a window: what it counts, how it can be shared out, and what it refuses."""

from __future__ import annotations

import copy
import pickle
import random
import shutil
import threading
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import write_deltalake

import forensics
from forensics.errors import IntegrityError, NotFoundError, UsageError
from forensics.ingest.run import run as ingest
from forensics.ingest.sources import open_source
from forensics.lake.batches import BATCH_ROWS
from forensics.lake.compact import compact
from forensics.lake.snapshot import take
from forensics.records.jsontext import dumps
from forensics.replay.bulk.answer import replay_window
from forensics.replay.bulk.census import Census, count_segment
from forensics.replay.bulk.engine import Engine, Stopped
from forensics.replay.bulk.run import Threads, Window, part_rows, tasks
from forensics.replay.bulk.segment import SegmentReplayer, replay_segment
from forensics.replay.bulk.tally import Tally
from forensics.replay.bulk.task import opened
from forensics.testing import write_lines

from both import at_once, one_by_one  # isort: skip
from lakes import POINT, lake_of  # isort: skip

Record = dict[str, Any]
START = datetime(2026, 10, 1, tzinfo=UTC)


@pytest.fixture
def small(tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]) -> Path:
    """A lake of 60 decisions a minute apart, all of which replay."""
    return lake_of(tmp_path / "lake", artifacts, logic_records)


def test_the_samples_stale_answers_are_all_that_diverges_and_what_they_share_is_said(
    sample_lake: Path, truth: dict[str, Any]
) -> None:
    stale = next(i for i in truth["incidents"] if i["name"] == "stale_cache")
    with forensics.open(sample_lake) as lake:
        found = lake.replay(POINT)
        assert found.count == truth["decisions"]
        assert found.verdicts == {
            "bit_exact": found.count - 36,
            "within_ulp": 0,
            "same_outcome": 0,
            "diverged": 36,
            "not_replayable": 0,
        }
        (cache,) = found.diverging
        assert (cache.step, cache.count, found.missing) == ("cache", 36, None)
        best = cache.common[0]
        old = truth["models"]["v1"].removeprefix("sha256:")[:6]
        assert best.statement == (
            f"all 36: cache entry of model pd v1 ({old}) (no other in the window)"
        )
        (way,) = cache.ways
        assert way.example in stale["request_ids"]
        assert "bit for bit" in way.statement
        assert lake.trace(str(way.example))[0].replay.first_divergence.statement == way.statement


def test_the_list_names_exactly_the_decisions_that_diverge(
    sample_lake: Path, truth: dict[str, Any], tmp_path: Path
) -> None:
    stale = next(i for i in truth["incidents"] if i["name"] == "stale_cache")
    snapshot = take(sample_lake)
    for name in ("list.csv", "list.parquet"):
        replay_window(snapshot, Window(POINT), export=tmp_path / name)
    table = pq.read_table(tmp_path / "list.parquet")
    assert set(table["request_id"].to_pylist()) == set(stale["request_ids"])
    assert set(table["verdict"].to_pylist()) == {"diverged"}
    lines = (tmp_path / "list.csv").read_text().splitlines()
    assert len(lines) == 37
    assert lines[0].startswith("request_id,decision_id,occurred_at,verdict,step")
    assert not list(tmp_path.glob(".*"))


def test_parts_of_files_add_up_to_the_window_wherever_they_are_replayed(sample_lake: Path) -> None:
    snapshot = take(sample_lake)
    whole = replay_window(snapshot, Window(POINT), workers=1)
    todo = list(tasks(snapshot, Window(POINT), workers=64))
    tally, census = Tally(), Census()
    for task in todo:
        sent = pickle.loads(pickle.dumps(task))
        tally.add(pickle.loads(pickle.dumps(replay_segment(sent))).tally)
        census.add(pickle.loads(pickle.dumps(count_segment(sent))))
    assert (tally.exact, tally.count) == (whole.verdicts["bit_exact"], whole.count)
    assert census.hours.total() == whole.count
    assert census.attributes["region"].total() == whole.count


@pytest.mark.parametrize("workers", [1, 2, 7])
def test_parts_become_smaller_towards_the_end(workers: int) -> None:
    left, sizes = 3_000_000, []
    while left > 0:
        sizes.append(part_rows(left, workers))
        left -= sizes[-1]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] == BATCH_ROWS
    assert sizes[-1] == BATCH_ROWS // 8


def test_a_model_is_loaded_while_the_decisions_that_it_scored_are_read(small: Path) -> None:
    snapshot = take(small)
    (task,) = tasks(snapshot, Window(POINT))
    with Engine(small, POINT, task.types) as engine:
        engine.start(opened(engine, task), task.first)
        (started,) = engine.workers._running.values()
        found = SegmentReplayer(engine).replay(task)
        assert list(engine.workers._running.values()) == [started]
        assert started.usable
    assert found.tally.exact == 60


@pytest.mark.parametrize("workers", [1, 3])
def test_a_window_holds_what_find_finds_in_it(sample_lake: Path, workers: int) -> None:
    since, until = datetime(2026, 10, 12, 9, 32, tzinfo=UTC), datetime(2026, 10, 20, tzinfo=UTC)
    where = "features.age > 30 and (environment = 'canary' or region = 'eu-west-1')"
    with forensics.open(sample_lake) as lake:
        for window in (
            {"since": since, "until": until},
            {"since": since},
            {"until": until, "where": where},
            {"where": "model_version = 'v3' and score < 0.5 and cache_hit"},
        ):
            wanted = sum(1 for _ in lake.find(decision_point=POINT, **window))
            found = lake.replay(POINT, workers=workers, **window)
            assert found.count == wanted


def test_the_ends_of_a_window_are_the_first_included_and_the_last_not(small: Path) -> None:
    snapshot = take(small)
    minute = timedelta(minutes=1)
    for since, until, count in (
        (START + 10 * minute, START + 20 * minute, 10),
        (None, START + minute, 1),
        (START + 59 * minute, None, 1),
    ):
        assert replay_window(snapshot, Window(POINT, since, until)).count == count


def test_a_limit_is_kept(small: Path) -> None:
    snapshot = take(small)
    for limit in (1, 7, 60, 1_000):
        assert replay_window(snapshot, Window(POINT, limit=limit)).count == min(limit, 60)
    assert replay_window(snapshot, Window(POINT, where="income > 30000", limit=3)).count == 3


def test_an_empty_window_is_not_found_and_an_unknown_point_is_no_question(small: Path) -> None:
    snapshot = take(small)
    with pytest.raises(NotFoundError, match="No decision of credit_line since 2030"):
        replay_window(snapshot, Window(POINT, since=datetime(2030, 1, 1, tzinfo=UTC)))
    with pytest.raises(NotFoundError):
        replay_window(snapshot, Window(POINT, where="income < -1"))
    with pytest.raises(UsageError, match="No decision point 'other'"):
        replay_window(snapshot, Window("other"))
    with pytest.raises(UsageError, match="Nothing is called 'incom'"):
        replay_window(snapshot, Window(POINT, where="incom > 1"))
    with pytest.raises(UsageError, match="before it begins"):
        replay_window(snapshot, Window(POINT, START, START - timedelta(days=1)))


def test_what_cannot_be_replayed_is_told_by_what_is_missing(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    records = copy.deepcopy(logic_records)
    for number, one in enumerate(records):
        if number % 3 == 0:
            del one["features"]["income"]
        if number % 3 == 1:
            one["model"]["digest"] = "sha256:" + "1" * 64
            one["steps"] = [step for step in one["steps"] if step["kind"] != "model"]
    found = replay_window(take(lake_of(tmp_path / "lake", artifacts, records)), Window(POINT))
    assert found.verdicts["not_replayable"] == 40
    assert found.missing is not None
    reasons = {way.reason: way.count for way in found.missing.ways}
    assert sum(reasons.values()) == 40
    assert any("features.income" in reason for reason in reasons)
    assert any(f"artifact sha256:{'1' * 64} (model file)" in reason for reason in reasons)
    for way in found.missing.ways:
        assert way.statement.startswith("missing: ")


def test_no_verdict_is_without_a_reason(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    records = copy.deepcopy(logic_records)
    for number, one in enumerate(records):
        if number % 5 == 0:
            one["outcome"] = "ELSE"
        if number % 5 == 1:
            one["score"] = 0.99
            del one["score_bytes"]
        if number % 5 == 2:
            one["config"]["values"]["threshold"] = 0.6
    found = replay_window(take(lake_of(tmp_path / "lake", artifacts, records)), Window(POINT))
    explained = found.verdicts["bit_exact"] + found.verdicts["within_ulp"]
    explained += sum(one.count for one in found.diverging)
    explained += found.missing.count if found.missing else 0
    assert explained == found.count == 60
    for one in found.diverging:
        assert one.step in ("config", "policy", "pd", "model", "raw")
        assert all(way.statement for way in one.ways)


def _flipped(lake: Path, at: int, bit: int) -> str:
    (path,) = map(Path, take(lake).paths(f"decisions/{POINT}"))
    data = bytearray(path.read_bytes())
    data[at] ^= 1 << bit
    path.write_bytes(data)
    return path.name


def test_a_flipped_bit_is_an_error_that_names_the_file(small: Path) -> None:
    (path,) = map(Path, take(small).paths(f"decisions/{POINT}"))
    good, metadata = path.read_bytes(), pq.read_metadata(path)
    chosen = random.Random(4)
    group = metadata.row_group(0)
    columns = {group.column(at).path_in_schema: group.column(at) for at in range(group.num_columns)}
    needed = ["features.income", "features.months_late", "score_bytes", "outcome", "model.digest",
              "steps.list.element.outputs", "steps.list.element.kind", "config.values"]  # fmt: skip
    for name in needed:
        column = columns[name]
        end = column.total_compressed_size + (
            column.dictionary_page_offset or column.data_page_offset
        )
        for _ in range(4):
            path.write_bytes(good)
            file = _flipped(small, chosen.randrange(end - 12, end), chosen.randrange(8))
            with pytest.raises(IntegrityError, match=file):
                replay_window(take(small), Window(POINT))
    path.write_bytes(good)
    assert replay_window(take(small), Window(POINT)).is_exact


def test_damage_anywhere_gives_an_error_or_the_same_verdicts(small: Path) -> None:
    (path,) = map(Path, take(small).paths(f"decisions/{POINT}"))
    good = path.read_bytes()
    footer = int.from_bytes(good[-8:-4], "little") + 8
    chosen = random.Random(8)
    for _ in range(40):
        path.write_bytes(good)
        _flipped(small, chosen.randrange(4, len(good) - footer), chosen.randrange(8))
        with suppress(IntegrityError):
            assert replay_window(take(small), Window(POINT)).is_exact
    path.unlink()
    with pytest.raises(IntegrityError, match="cannot be read as it was written"):
        replay_window(take(small), Window(POINT))


def test_features_that_came_and_went_are_seen_alike_before_and_after_compaction(
    tmp_path: Path, logic_records: list[Record], artifacts: list[bytes]
) -> None:
    first, second = copy.deepcopy(logic_records[:30]), copy.deepcopy(logic_records[30:])
    for one in first:
        one["features"]["since_then_gone"] = 1
        del one["features"]["enquiries"]
    for number, one in enumerate(second):
        if number % 2:
            one["features"]["new"] = "text"
    lake = lake_of(tmp_path / "lake", artifacts, first)
    ingest(lake, open_source(write_lines(tmp_path / "second.jsonl", map(dumps, second))))
    for _ in range(2):
        together = at_once(lake, POINT)
        assert dict(one_by_one(lake, POINT)) == together
        verdicts = Counter(said.verdict for said in together.values())
        assert verdicts == {"not_replayable": 30, "bit_exact": 30}
        compact(lake, grace_hours=0)
    assert len(take(lake).paths(f"decisions/{POINT}")) == 1


def test_rows_of_another_program_are_replayed_from_their_columns(small: Path) -> None:
    (path,) = take(small).paths(f"decisions/{POINT}")
    table = pq.read_table(path).slice(0, 20)
    ours = ("raw", "salt", "leaf", "segment", "leaf_index", "source", "reading", "exact", "extra")
    for name in ours:
        if name in table.schema.names:
            at = table.schema.get_field_index(name)
            table = table.set_column(at, name, pa.nulls(20, table.schema.field(at).type))
    write_deltalake(str(small / "decisions" / POINT), table, mode="append")
    together = at_once(small, POINT)
    assert dict(one_by_one(small, POINT)) == together
    assert Counter(said.verdict for said in together.values()) == {"bit_exact": 80}


def test_an_interrupt_ends_all_threads_and_their_models(sample_lake: Path) -> None:
    before = threading.active_count()

    def interrupt(done: int, total: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        replay_window(take(sample_lake), Window(POINT), workers=2, progress=interrupt)
    assert threading.active_count() == before


def test_what_a_thread_raises_reaches_who_waits(sample_lake: Path) -> None:
    def make(engine: Any) -> Callable[..., int]:
        def run(task: Any, told: Any) -> int:
            if task.first:
                raise RuntimeError("broken")
            engine.check()
            return 1

        return run

    snapshot = take(sample_lake)
    threads = Threads(snapshot, Window(POINT), make, 2)
    todo = iter([t for t in tasks(snapshot, Window(POINT), workers=64) for _ in range(3)])
    with pytest.raises((RuntimeError, Stopped), match="broken"):
        for _ in threads.run(iter(_with_first(todo))):
            pass


def _with_first(todo: Any) -> list[Any]:
    from dataclasses import replace

    return [replace(task, first=number) for number, task in enumerate(todo)]


def test_the_answer_is_the_same_with_any_number_of_threads(sample_lake: Path) -> None:
    snapshot = take(sample_lake)
    answers = [replay_window(snapshot, Window(POINT), workers=n).to_dict() for n in (1, 2)]
    for answer in answers:
        for one in answer["diverging"]:
            for way in one["ways"]:  # any of them is an example
                way.pop("example")
                way.pop("statement")
    assert answers[0] == answers[1]


def test_nothing_of_the_lake_is_changed(small: Path) -> None:
    def state() -> dict[str, int]:
        return {str(p): p.stat().st_mtime_ns for p in small.rglob("*") if p.is_file()}

    before = state()
    replay_window(take(small), Window(POINT))
    assert state() == before
    assert shutil.disk_usage(small).free > 0
