"""The same work gives the same answer: on a slow machine, beside other load, for any hash seed."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from decisions import forest

from forensics.explain.search import effort
from forensics.explain.search.effort import Effort, units_of
from forensics.explain.search.engine import search
from forensics.explain.search.problem import Found
from forensics.lake.sql import Connection, connect

#: Too little for a proof of most of the forests below, enough for some bounds.
_UNITS = units_of(0.05)


def found_in(seed: int, connection: Connection, **options: Any) -> Found:
    written = forest(seed)
    options = {"units": _UNITS, "verify": written.verifier(connection), **options}
    return search(written.problem(connection), wanted={"APPROVE"}, **options)


@pytest.fixture(scope="module")
def undisturbed(connection: Connection) -> list[Found]:
    return [found_in(seed, connection) for seed in range(8)]


def test_the_work_ends_most_of_these_searches_before_their_proof(undisturbed: list[Found]) -> None:
    """Otherwise the tests below would say nothing."""
    gaps = [found for found in undisturbed if found.status == "gap"]
    assert len(gaps) >= 4
    assert all(found.answers and not found.cut_short for found in gaps)
    assert any(found.lower_bound for found in gaps)


def test_the_same_problem_twice_is_answered_alike(
    undisturbed: list[Found], connection: Connection
) -> None:
    assert [found_in(seed, connection) for seed in range(8)] == undisturbed


def test_a_slow_machine_finds_the_same(
    undisturbed: list[Found], connection: Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By its clock everything takes thirty times as long."""
    began = time.perf_counter()
    monkeypatch.setattr(
        effort, "perf_counter", lambda: began + 30.0 * (time.perf_counter() - began)
    )
    assert [found_in(seed, connection, guard_s=1e6) for seed in range(8)] == undisturbed


def test_beside_other_load_the_same_is_found(
    undisturbed: list[Found], connection: Connection
) -> None:
    ended = threading.Event()

    def load() -> None:
        while not ended.is_set():
            sum(range(5_000))

    threads = [threading.Thread(target=load) for _ in range(3)]
    for thread in threads:
        thread.start()
    try:
        again = [found_in(seed, connection) for seed in range(3)]
    finally:
        ended.set()
        for thread in threads:
            thread.join()
    assert again == undisturbed[:3]


def test_the_seed_of_hashes_has_no_part_in_it(undisturbed: list[Found]) -> None:
    printed = []
    for seed in ("0", "1", "4711"):
        done = subprocess.run(
            [sys.executable, __file__], capture_output=True, text=True, check=True,
            env={"PYTHONHASHSEED": seed, "PYTHONPATH": str(Path(__file__).parent)},
        )  # fmt: skip
        printed.append(done.stdout)
    assert printed == [f"{undisturbed[:3]!r}\n"] * 3


def test_more_work_proves_no_less(undisturbed: list[Found], connection: Connection) -> None:
    for seed, hasty in enumerate(undisturbed[:4]):
        long = found_in(seed, connection, units=4 * _UNITS, prove=True, limit=1)
        assert long.units >= hasty.units or long.status == "optimal"
        assert (long.lower_bound or 0.0) >= (hasty.lower_bound or 0.0) - 1e-9
        assert long.answers[0].cost <= hasty.answers[0].cost + 1e-9


def test_a_search_that_the_clock_ends_says_so(connection: Connection) -> None:
    """Where one step takes absurdly long, as no work was counted that would end it."""
    found = found_in(0, connection, units=None, guard_s=0.0)
    assert found.cut_short
    assert found.status == "gap"
    assert found.answers


def test_work_is_counted_and_the_clock_watches_from_afar(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(effort, "perf_counter", lambda: now[0])
    work = Effort(units_of(2.0))
    assert not work.is_over(work.units)
    work.spend(10)
    few = work.spent
    work.spend(10, 1_000_000)
    assert 0 < few < work.spent - few
    assert work.is_over(few)
    assert not work.is_over(work.units)
    now[0] += 5 * 2.0
    assert not work.is_over(work.units)
    assert not work.cut_short
    now[0] += 1_000.0
    assert work.is_over(work.units)
    assert work.cut_short


if __name__ == "__main__":
    with connect(threads=1) as opened:
        sys.stdout.write(f"{[found_in(seed, opened) for seed in range(3)]!r}\n")
