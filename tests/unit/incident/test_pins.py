"""A pin says whether it still holds, what differs where it does not, and what it rests on."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from forensics.errors import UsageError
from forensics.incident.asking import Answers, ask
from forensics.incident.pins import Checked, Pin, Pinnable, Value, lake_version, pin, recheck
from forensics.incident.pointers import ABSENT, UNKNOWN
from forensics.incident.questions import Question
from forensics.lake.snapshot import take
from forensics.testing import change_record, decision_record, outcome_record

TakeIn = Callable[..., Any]
NOON = datetime(2026, 10, 5, 12, tzinfo=UTC)
WINDOW = {
    "decision_point": "credit_line",
    "since": "2026-10-05T12:00Z",
    "until": "2026-10-05T13:00Z",
}


def decided(number: int, **changes: Any) -> dict[str, Any]:
    at = (NOON + timedelta(seconds=number)).isoformat()
    return decision_record(
        decision_id=f"d{number}", request_id=f"r{number}", occurred_at=at, **changes
    )


@pytest.fixture
def pinned(lake: Path, take_in: TakeIn) -> Callable[..., Pin]:
    """Pin part of an answer about a lake of ten decisions, two of them declined."""
    take_in(decided(number, outcome="DECLINE" if number < 2 else "APPROVE") for number in range(10))

    def pinned(command: str, pointer: str, **arguments: Any) -> Pin:
        question = Question(command, arguments)
        return pin(take(lake), Pinnable(question, pointer, "as it was"), "a note")

    return pinned


def again(lake: Path, one: Pin) -> Checked:
    return recheck(take(lake), one)


def test_what_has_not_changed_holds(lake: Path, pinned: Callable[..., Pin]) -> None:
    for one in (
        pinned("trace", "/decision/outcome", id="r0", no_replay=True),
        pinned("trace", "", id="r0", no_replay=True),
        pinned("find", "/outcomes", count=True, **WINDOW),
        pinned("find", "/0/outcome", limit=1),
        pinned("timeline", "/rate", outcome="DECLINE", **WINDOW),
        pinned("timeline", "", outcome="DECLINE", **WINDOW),
        pinned("diff", "/differences", ids=("r0", "r2")),
        pinned("as-of", "", time="2026-10-05T12:00:05Z"),
        pinned("check", "/decisions", **WINDOW),
    ):
        checked = again(lake, one)
        assert (checked.status, checked.reason, checked.remark) == ("holds", None, None), one
        assert checked.differences == ()
        assert checked.now == one.value


def test_a_count_that_has_grown_differs_with_both_values(
    lake: Path, pinned: Callable[..., Pin], take_in: TakeIn
) -> None:
    outcomes = pinned("find", "/outcomes", count=True, **WINDOW)
    subjects = pinned("find", "/outcomes/DECLINE", count=True, **WINDOW)
    take_in([decided(20, outcome="APPROVE"), decided(21, outcome="REFER")])
    checked = again(lake, outcomes)
    assert checked.status == "differs"
    assert [tuple(each) for each in checked.differences] == [
        ("/APPROVE", 8, 9), ("/REFER", ABSENT, 1),
    ]  # fmt: skip
    assert checked.now == Value.of({"APPROVE": 9, "DECLINE": 2, "REFER": 1})
    same = again(lake, subjects)
    assert same.status == "holds"
    assert same.remark == "its window holds 12 decisions now and held 10 then"


def test_what_differs_in_a_large_value_is_named_by_its_members(
    lake: Path, pinned: Callable[..., Pin], take_in: TakeIn
) -> None:
    one = pinned("trace", "", id="r0", no_replay=True)
    assert one.value.text is None
    assert len(one.value.preview) < 200
    take_in([outcome_record(decision_id="d0", label="default")])
    checked = again(lake, one)
    assert checked.status == "differs"
    assert [(each.pointer, each.old) for each in checked.differences] == [("/decision", UNKNOWN)]
    assert checked.differences[0].new["outcome_label"]["label"] == "default"


def test_what_cannot_be_asked_any_more_is_gone(
    lake: Path, pinned: Callable[..., Pin], take_in: TakeIn
) -> None:
    first = pinned("trace", "/decision/outcome", id="r0", no_replay=True)
    lost = dataclasses.replace(first, question=Question("trace", {"id": "nobody"}))
    checked = again(lake, lost)
    assert checked.status == "gone"
    assert checked.now is None
    assert "No decision 'nobody'" in str(checked.reason)
    take_in([decision_record(decision_id="d0b", request_id="r0")])
    checked = again(lake, first)
    assert checked.status == "gone", "the answer is a list now"
    assert "there is no 'decision'" in str(checked.reason)


def test_an_item_of_a_list_is_found_again_when_others_have_come_before_it(
    lake: Path, pinned: Callable[..., Pin], take_in: TakeIn
) -> None:
    take_in([change_record(occurred_at="2026-10-05T12:00:05Z", change_id="c1")])
    one = pinned("timeline", "/moments/0/changes/0/statement", outcome="DECLINE", **WINDOW)
    assert one.among == {
        "/moments/0": {"at": "2026-10-05T12:00:05Z"}, "/moments/0/changes/0": {"change_id": "c1"},
    }  # fmt: skip
    take_in([change_record(occurred_at="2026-10-05T11:58:00Z", change_id="c0", component="x")])
    take_in([change_record(occurred_at="2026-10-05T12:02:00Z", change_id="c2", component="y")])
    wide = dataclasses.replace(
        one, question=Question("timeline", {**WINDOW, "since": "2026-10-05T11:50Z"})
    )
    checked = again(lake, wide)
    assert checked.status == "holds"
    assert checked.pointer == "/moments/1/changes/0/statement"


def test_an_item_that_is_in_its_list_no_more_is_gone(
    lake: Path, pinned: Callable[..., Pin]
) -> None:
    one = pinned("find", "/2/outcome", limit=3)
    assert one.among == {"/2": {"decision_id": "d7"}}
    fewer = dataclasses.replace(one, question=Question("find", {"limit": 2}))
    checked = again(lake, fewer)
    assert (checked.status, checked.reason) == (
        "gone", "nothing in the answer has decision_id 'd7' any more",
    )  # fmt: skip


def test_it_names_the_decisions_that_it_is_about(
    lake: Path, pinned: Callable[..., Pin], take_in: TakeIn
) -> None:
    def ids(one: Pin) -> list[str]:
        return [record.decision_id for record in one.records]

    assert ids(pinned("trace", "/decision", id="r3", no_replay=True)) == ["d3"]
    assert ids(pinned("diff", "", ids=("r1", "d5"))) == ["d1", "d5"]
    assert ids(pinned("find", "/1", limit=3)) == ["d8"]
    assert ids(pinned("find", "", limit=3)) == ["d7", "d8", "d9"]
    counted = pinned("find", "/decisions", count=True, **WINDOW)
    assert ids(counted) == []
    assert counted.window is not None
    assert counted.window.decisions == 10
    assert pinned("as-of", "", time="2026-10-05T12:00:05Z").window is None
    for record in pinned("diff", "", ids=("r1", "d5")).records:
        assert len(bytes.fromhex(record.leaf)) == 32


def rewrite(lake: Path, change: Callable[[dict[str, Any]], None]) -> None:
    """Change rows of the only file of decisions, as somebody with the right to write could."""
    (path,) = (lake / "decisions" / "credit_line").glob("*.parquet")
    table = pq.read_table(path)
    rows = table.to_pylist()
    for row in rows:
        change(row)
    pq.write_table(type(table).from_pylist(rows, schema=table.schema), path)


def test_a_record_whose_bytes_were_altered_is_told_though_the_value_is_the_same(
    lake: Path, pinned: Callable[..., Pin]
) -> None:
    traced = pinned("trace", "/decision/outcome", id="r0", no_replay=True)
    counted = pinned("find", "/decisions", count=True, **WINDOW)
    other = pinned("trace", "/decision/outcome", id="r1", no_replay=True)

    def change(row: dict[str, Any]) -> None:
        if row["decision_id"] == "d0":
            row["raw"] = row["raw"].replace(b'"score": 0.25', b'"score": 0.26')

    rewrite(lake, change)
    for one in (traced, counted):
        checked = again(lake, one)
        assert checked.status == "differs"
        assert checked.differences == ()
        assert "received bytes of d0 are not those of" in str(checked.reason)
    assert again(lake, other).status == "holds"


def test_a_record_that_was_replaced_with_its_leaf_is_told(
    lake: Path, pinned: Callable[..., Pin]
) -> None:
    from forensics.integrity.leaf import leaf_hash

    traced = pinned("trace", "/decision/outcome", id="r0", no_replay=True)
    counted = pinned("find", "/decisions", count=True, **WINDOW)

    def change(row: dict[str, Any]) -> None:
        if row["decision_id"] == "d0":
            row["raw"] = row["raw"].replace(b'"score": 0.25', b'"score": 0.26')
            row["leaf"] = leaf_hash(row["salt"], row["raw"])

    rewrite(lake, change)
    checked = again(lake, traced)
    assert checked.status == "differs"
    assert checked.reason == "the record of d0 is another than then"
    same = again(lake, counted)
    assert same.status == "holds"
    assert same.remark == "its window has 10 decisions as then, not the same"


def test_what_varies_with_the_machine_is_left_out(sample_lake: Path) -> None:
    snapshot = take(sample_lake)
    question = Question("trace", {"id": "7f3a-c1"})
    assert ask(snapshot, question)["replay"]["runtime"]["replayed"]
    one = pin(snapshot, Pinnable(question, "/replay/runtime", "its runtime"))
    assert one.value.text == '{"recorded":"xgboost 3.2.0"}'
    with pytest.raises(UsageError, match="cannot be pinned"):
        pin(snapshot, Pinnable(question, "/replay/runtime/replayed", "x"))


@pytest.mark.parametrize("pointer", ["/nothing", "decision", "/decision/outcome/0", "/~"])
def test_what_leads_nowhere_cannot_be_pinned(pinned: Callable[..., Pin], pointer: str) -> None:
    with pytest.raises(UsageError, match="leads to nothing"):
        pinned("trace", pointer, id="r0", no_replay=True)


def test_a_replayed_statement_holds_again(sample_lake: Path) -> None:
    snapshot = take(sample_lake)
    with Answers(snapshot) as answers:
        for pointer in ("/replay/verdict", "/attributions", "/counterfactuals", ""):
            pinnable = Pinnable(Question("trace", {"id": "7f3a-c1"}), pointer, "x")
            one = pin(snapshot, pinnable, answers=answers)
            assert recheck(snapshot, one).status == "holds"


def test_one_question_is_asked_once_for_many_pins(lake: Path, pinned: Callable[..., Pin]) -> None:
    one = pinned("find", "/decisions", count=True, **WINDOW)
    with Answers(take(lake)) as answers:
        first = answers.ask(one.question)
        assert answers.ask(Question("find", dict(one.question.arguments))) is first
        leaves = answers.leaves("credit_line", NOON, None, received=True)
        assert answers.leaves("credit_line", NOON, None, received=True) is leaves


def test_the_same_part_has_the_same_id_and_another_part_another(
    pinned: Callable[..., Pin],
) -> None:
    ids = [
        pinned("trace", pointer, id=name, no_replay=True).id
        for pointer in ("/decision/outcome", "/decision/score")
        for name in ("r0", "r1")
    ]
    assert len(set(ids)) == 4
    assert pinned("trace", "/decision/outcome", id="r0", no_replay=True).id == ids[0]


def test_a_statement_is_one_line_and_the_time_is_told(
    lake: Path, pinned: Callable[..., Pin]
) -> None:
    question = Question("find", {"count": True})
    one = pin(take(lake), Pinnable(question, "/decisions", " a\n b "), now=NOON)
    assert one.statement == "a b"
    assert one.taken_at == NOON
    assert one.lake_version == lake_version(take(lake)) > 0
    assert pinned("find", "/decisions", count=True).note == "a note"


def test_a_value_is_the_same_however_its_numbers_are_written() -> None:
    assert Value.of({"b": 1.0, "a": [1e2]}) == Value.of({"a": [100], "b": 1})
    assert Value.of(1) != Value.of(True)
    assert Value.of([0.1 + 0.2]) != Value.of([0.3])
