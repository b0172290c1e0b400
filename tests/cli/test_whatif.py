"""``forensics whatif``: what it prints, and what its exit status says."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from forensics.testing import decision_record, write_lines

Run = Callable[..., Any]
POINT = ("--decision-point", "credit_line")


def test_the_blast_radius_of_a_threshold_is_shown_with_where_the_evidence_ends(
    sample_lake: Path, forensics_command: Run
) -> None:
    ran = forensics_command(
        "whatif", *POINT, "--set", "threshold=0.5", "--by", "age", "--lake", sample_lake
    )
    assert (ran.code, ran.err) == (4, ""), "36 decisions are not answered for"
    lines = ran.out.splitlines()
    assert lines[0] == "credit_line   30,000 decisions · the whole time of the lake"
    assert lines[1] == "with threshold = 0.5"
    assert lines[3] == "489 of 29,964 decisions would have another outcome (1.6 %)"
    assert lines[5].split() == ["recorded", "→", "APPROVE", "→", "DECLINE", "→", "REFER"]
    assert "REFER" in ran.out
    assert any(line.startswith("age ") for line in lines)
    for said in ("class C1", "downstream", "36 decisions do not replay to what was recorded"):
        assert said in ran.out
    assert all(len(line) <= 100 for line in lines)


def test_a_window_that_replays_whole_is_answered_whole(sample_lake: Path, run: Run) -> None:
    ran = run("whatif", *POINT, "--until", "2026-10-12", "--model", "pd@v2", "--lake", sample_lake,
              "--json")  # fmt: skip
    assert ran.code == 0
    answer = ran.json
    assert answer["answered"] == answer["decisions"]
    assert answer["change"]["model"]["name"].startswith("pd v2")
    assert sum(move["decisions"] for move in answer["moves"]) == answer["answered"]
    assert answer["changed"] == sum(
        move["decisions"] for move in answer["moves"] if move["before"] != move["after"]
    )
    assert answer["completeness"] == {"C1": answer["answered"]}
    assert answer["not_answered"] == {
        "diverged": 0, "not_replayable": [], "under_the_change": [],
    }  # fmt: skip
    assert set(answer["scores"]) == {"before", "after", "shift"}
    assert list(answer["scores"]["shift"]) == ["p05", "p25", "p50", "p75", "p95"]


def test_changes_are_combined_and_listed(sample_lake: Path, run: Run, tmp_path: Path) -> None:
    listed = tmp_path / "changed.parquet"
    ran = run("whatif", *POINT, "--since", "2026-10-21T02:00", "--until", "2026-10-21T06:00",
              "--set", "features.utilisation_3m = utilisation_3m / 100",
              "--set", "config.refer_threshold=0.3", "--where", "utilisation_3m > 5",
              "--export", listed, "--by", "region", "--lake", sample_lake, "--json")  # fmt: skip
    assert ran.code == 0
    assert f"decisions in {listed}" in ran.err
    table = pq.read_table(listed)
    assert table.num_rows == ran.json["changed"] > 0
    assert table.schema.names == [
        "request_id", "decision_id", "occurred_at", "before", "after", "score_before",
        "score_after", "rule_before", "rule_after",
    ]  # fmt: skip
    assert ran.json["change"]["statement"] == (
        "refer_threshold = 0.3, utilisation_3m = utilisation_3m / 100"
    )


def test_one_decision_is_shown_before_and_after(
    sample_lake: Path, truth: dict[str, Any], run: Run
) -> None:
    incident = truth["incidents"][0]
    setting = "features.utilisation_3m = utilisation_3m / 100"
    ran = run("whatif", incident["showcase"], "--set", setting, "--lake", sample_lake)
    assert (ran.code, ran.err) == (0, "")
    assert ran.out.startswith("DECLINE → APPROVE   credit_line")
    assert "decided by" in ran.out
    assert "evidence  class C1" in ran.out
    ran = run("whatif", incident["showcase"], "--set", setting, "--lake", sample_lake, "--json")
    restored = incident["showcase_restored"]
    assert ran.json["after"]["outcome"] == restored["outcome"]
    assert ran.json["after"]["score"] == restored["score"]
    assert ran.json["changes_outcome"] is True
    assert ran.json["completeness"]["class"] == "C1"


def test_4_when_the_decision_does_not_replay_to_what_was_recorded(
    sample_lake: Path, truth: dict[str, Any], lake: Path, tmp_path: Path, run: Run
) -> None:
    stale = next(i for i in truth["incidents"] if i["name"] == "stale_cache")["request_ids"][0]
    ran = run("whatif", stale, "--set", "threshold=0.9", "--lake", sample_lake)
    assert ran.code == 4
    assert "diverged" in ran.out
    record = decision_record()
    run("ingest", write_lines(tmp_path / "log", [record]), "--lake", lake)
    ran = run("whatif", record["request_id"], "--set", "threshold=0.9", "--lake", lake)
    assert ran.code == 4
    assert "the change cannot be answered: model.digest" in ran.out
    ran = run("whatif", *POINT, "--set", "threshold=0.9", "--lake", lake)
    assert ran.code == 4
    assert "not taken for unchanged" in " ".join(ran.out.split())


def test_2_when_the_question_cannot_be_asked_so(sample_lake: Path, run: Run) -> None:
    for arguments, said in (
        ((), "Name one decision"),
        (POINT, "Nothing is to be different"),
        (("7f3a-c1", "--set", "threshold=1", "--by", "age"), "--by is for a window"),
        ((*POINT, "--set", "threshhold=0.4"), "Nearest: threshold"),
        ((*POINT, "--model", "pd@v9"), "Known: pd@v1, pd@v2, pd@v3"),
        ((*POINT, "--rules", "/nowhere"), "No rule set '/nowhere'"),
        ((*POINT, "--set", "threshold=0.4", "--by", "nothing"), "cannot be grouped"),
        ((*POINT, "--set", "threshold=0.4", "--export", "x.xlsx"), "neither CSV nor Parquet"),
    ):
        ran = run("whatif", *arguments, "--lake", sample_lake)
        assert (ran.code, ran.out) == (2, ""), arguments
        assert said in ran.err


def test_3_when_there_is_nothing_to_ask_about(sample_lake: Path, run: Run) -> None:
    for arguments in ((*POINT, "--since", "2027-01-01"), ("no-such-id",)):
        ran = run("whatif", *arguments, "--set", "threshold=0.4", "--lake", sample_lake)
        assert (ran.code, ran.out) == (3, ""), arguments


def test_text_from_records_is_inert(lake: Path, tmp_path: Path, run: Run) -> None:
    record = decision_record(outcome="\x1b]0;x\x07", features={"amount": 1})
    run("ingest", write_lines(tmp_path / "log", [record]), "--lake", lake)
    for arguments in ((record["request_id"],), POINT):
        ran = run("whatif", *arguments, "--set", "features.amount=2", "--lake", lake)
        assert ran.code == 4
        assert "\x1b" not in ran.out


def test_find_answers_the_nearest_changes_of_one_decision(
    sample_lake: Path, truth: dict[str, Any], run: Run
) -> None:
    request = truth["incidents"][0]["showcase"]
    ran = run("whatif", request, "--find", "--json", "--lake", sample_lake)
    assert ran.code == 0
    assert ran.json["counterfactual_search"]["status"] in ("optimal", "gap")
    assert ran.json["counterfactuals"][0]["verified"] is True
    for refused in ((*POINT, "--find"), (request, "--find", "--set", "threshold=0.9")):
        assert run("whatif", *refused, "--lake", sample_lake).code == 2
