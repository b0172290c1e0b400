"""Every look at a decision is recorded before anything is shown, and taken into the lake."""

from __future__ import annotations

import json
import multiprocessing
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.api import open_lake
from forensics.errors import LakeError
from forensics.ingest.looks import land
from forensics.lake import find, looks
from forensics.lake.snapshot import take
from forensics.records.looker import looking
from forensics.testing import decision_record

TakeIn = Callable[..., Any]


@pytest.fixture(autouse=True)
def nobody_has_looked() -> None:
    looks._last.clear()
    looks.unrecorded.clear()


def waiting(lake: Path) -> list[dict[str, Any]]:
    path = lake / "spool" / "access.log"
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    return [json.loads(line) for line in lines]


def seen(lake: Path, **asked: Any) -> list[dict[str, Any]]:
    with open_lake(lake) as opened:
        return opened.accesses(**asked)


def test_a_trace_is_a_look_by_the_systems_user(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(decision_id="d", request_id="r")])
    with open_lake(lake) as opened, looking(how="trace", case="INC-7", reason="declined at night"):
        opened.trace("r", replay=False)
    (look,) = seen(lake)
    assert look["decision_ids"] == ["d"]
    assert (look["how"], look["case"], look["reason"]) == ("trace", "INC-7", "declined at night")
    assert look["actor"] == __import__("pwd").getpwuid(os.getuid()).pw_name
    assert look["segment"]
    assert waiting(lake) == []


@pytest.mark.parametrize(
    "look_at",
    [
        lambda lake: lake.trace("r", replay=False),
        lambda lake: lake.explain("r"),
        lambda lake: lake.whatif("r", settings=["threshold=0.1"]),
        lambda lake: lake.diff("r", "r2"),
        lambda lake: list(lake.find()),
        lambda lake: lake.find().to_arrow(),
    ],
)
def test_every_way_to_see_a_decision_is_a_look(
    lake: Path, take_in: TakeIn, look_at: Callable[[Any], Any]
) -> None:
    take_in([decision_record(decision_id="d", request_id="r"),
             decision_record(decision_id="d2", request_id="r2")])  # fmt: skip
    with open_lake(lake) as opened:
        look_at(opened)
    shown = [id_ for look in waiting(lake) for id_ in look["decision_ids"]]
    assert "d" in shown


def test_what_a_person_may_be_named_by_is_not_kept_with_a_look(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(subject={"id": "anna-svensson"})])
    with open_lake(lake) as opened:
        list(opened.find(subject="anna-svensson"))
    (look,) = waiting(lake)
    assert "anna" not in json.dumps(look)
    assert look["question"].startswith("sha256:")


def test_many_decisions_are_named_each(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(decision_id=f"d-{n}") for n in range(2_500)])
    with open_lake(lake) as opened:
        rows = list(opened.find())
    named = [id_ for look in waiting(lake) for id_ in look["decision_ids"]]
    assert named == [row["decision_id"] for row in rows]


def test_of_very_many_how_many_and_from_when_is_kept(
    lake: Path, take_in: TakeIn, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(find, "_NAMED_MAX", 1_000)
    take_in([decision_record(decision_id=f"d-{n}") for n in range(2_500)])
    with open_lake(lake) as opened:
        list(opened.find())
    first, more, rest = waiting(lake)
    assert len(first["decision_ids"]) == 1_000
    assert "decisions" in more
    assert rest["decisions"] == 2_500
    assert rest["shown_from"] < rest["shown_to"]


def test_a_reason_in_any_bytes_is_kept(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(request_id="r")])
    with open_lake(lake) as opened, looking(reason="\udcff\udcfe why"):
        opened.trace("r", replay=False)
    (look,) = seen(lake)
    assert look["reason"].endswith(" why")


def test_looks_cannot_be_logged(lake: Path, take_in: TakeIn) -> None:
    look = {"record": "access", "access_id": "a", "actor": "dpo", "how": "trace",
            "occurred_at": "2026-11-02T03:14:07Z"}  # fmt: skip
    report = take_in([look, {**look, "record": None}, decision_record()])
    assert seen(lake) == []
    assert report is None or report.quarantined_total == 2


def test_a_look_that_goes_on_is_one_look(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(request_id="r"), decision_record(request_id="r2")])
    with open_lake(lake) as opened:
        for request in ("r", "r", "r2", "r2", "r"):
            opened.trace(request, replay=False)
    assert len(waiting(lake)) == 3


def test_looks_are_answered_by_decision_subject_actor_and_case(lake: Path, take_in: TakeIn) -> None:
    take_in(
        [
            decision_record(decision_id="d1", subject={"id": "anna"}),
            decision_record(decision_id="d2", subject={"id": "bo"}),
        ]
    )
    with open_lake(lake) as opened:
        with looking(actor="u1", case="A"):
            opened.trace("d1", replay=False)
        with looking(actor="u2", case="B"):
            opened.trace("d2", replay=False)
    assert [look["actor"] for look in seen(lake)] == ["u2", "u1"]
    for asked in ({"decision": "d1"}, {"subject": "anna"}, {"actor": "u1"}, {"case": "A"}):
        assert [look["decision_ids"] for look in seen(lake, **asked)] == [["d1"]], asked
    assert seen(lake, subject="anna", actor="u2") == []
    assert seen(lake, limit=1)[0]["actor"] == "u2"


def test_to_ask_who_looked_is_no_look(lake: Path, take_in: TakeIn) -> None:
    take_in([decision_record(decision_id="d")])
    assert seen(lake, decision="d") == []
    assert waiting(lake) == []


def _look_often(root: Path, number: int, times: int) -> None:
    for at in range(times):
        with looking(actor=f"u{number}"):
            looks.saw(root, [f"d-{number}-{at}"])


def test_no_look_of_many_processes_is_lost_while_they_are_taken_in(lake: Path) -> None:
    processes = [
        multiprocessing.get_context("fork").Process(target=_look_often, args=(lake, n, 60))
        for n in range(4)
    ]
    for process in processes:
        process.start()
    while any(process.is_alive() for process in processes):
        land(lake)
    for process in processes:
        process.join()
    land(lake)
    found = [id_ for look in seen(lake) for id_ in look["decision_ids"]]
    assert sorted(found) == sorted(f"d-{n}-{at}" for n in range(4) for at in range(60))


def test_a_claim_whose_process_died_is_taken_in_by_the_next(lake: Path) -> None:
    looks.saw(lake, ["d"])
    with pytest.raises(ZeroDivisionError), looks.claimed(lake):
        raise ZeroDivisionError
    assert looks.waiting(lake)
    assert land(lake) == 1
    assert land(lake) == 0
    assert take(lake).tables["access"].rows == 1


def test_a_lake_that_cannot_be_written_is_still_read_unless_it_says_that_it_must_not(
    lake: Path, take_in: TakeIn
) -> None:
    take_in([decision_record(request_id="r")])
    (lake / "spool").mkdir(exist_ok=True)
    (lake / "spool" / "access.log").mkdir()  # which no line can be written to, even by root
    with open_lake(lake) as opened:
        assert opened.trace("r", replay=False)
    assert looks.unrecorded
    text = (lake / "lake.toml").read_text(encoding="utf-8")
    (lake / "lake.toml").write_text(text + "\n[access]\nrequired = true\n", encoding="utf-8")
    looks._last.clear()
    with open_lake(lake) as opened, pytest.raises(LakeError, match="nothing is shown"):
        opened.trace("r", replay=False)
