"""A new postmortem counts its impact from the lake, and everything counted can be asked again."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import NotFoundError, UsageError
from forensics.incident.asking import Answers
from forensics.incident.document import Document, Prose
from forensics.incident.pins import recheck
from forensics.incident.template import template
from forensics.lake.snapshot import take
from forensics.testing import decision_record

SINCE = datetime(2026, 10, 21, 2, 13, tzinfo=UTC)
UNTIL = datetime(2026, 10, 21, 5, 41, tzinfo=UTC)
NOW = datetime(2026, 11, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def incident(sample_lake: Path) -> Document:
    return template(take(sample_lake), SINCE, UNTIL, now=NOW)


def test_it_has_every_section_and_what_is_to_be_filled_in(incident: Document) -> None:
    headings = [line[3:] for line in incident.text.split("\n") if line.startswith("## ")]
    assert headings == [
        "Summary", "Impact", "Timeline", "Root cause", "One decision", "What went well",
        "What went badly", "Actions",
    ]  # fmt: skip
    assert incident.front["since"] == SINCE
    assert incident.front["decision_point"] == "credit_line"


def test_the_impact_is_what_the_truth_says(incident: Document, truth: dict[str, Any]) -> None:
    fault = next(each for each in truth["incidents"] if each["name"] == "billing_scale_jump")
    by_pointer = {pin.pointer: pin for pin in incident.pins}
    assert by_pointer["/decisions"].value.text == str(len(fault["request_ids"]))
    rates = [pin for pin in incident.pins if pin.pointer == "/rate"]
    assert float(rates[0].value.text or 0) == pytest.approx(
        truth["decline_rates"]["scale_jump"], abs=1e-4
    )
    assert float(rates[1].value.text or 1) < 0.2
    assert "DECLINE" in incident.title


def test_the_timeline_tells_the_change_the_finding_and_the_end_in_order(incident: Document) -> None:
    said = [pin.statement for pin in incident.pins]
    begins = next(
        n for n, s in enumerate(said) if "billing_features 88ac → 3e1f" in s and ": pipe" in s
    )
    found = next(n for n, s in enumerate(said) if "107 decisions (100 %) with scale jump" in s)
    ends = next(n for n, s in enumerate(said) if "billing_features 3e1f → 88ac" in s)
    assert begins < found < ends
    assert "went from 19.4 % to 40.2 %" in said[begins]


def test_one_decision_is_shown_that_would_have_ended_otherwise(incident: Document) -> None:
    said = [pin.statement for pin in incident.pins]
    assert any("the outcome is APPROVE, replayed" in each for each in said)
    assert any(each.startswith("Scale jump: utilisation_3m = ") for each in said)


def test_every_counted_line_is_a_pin_that_holds(incident: Document, sample_lake: Path) -> None:
    prose = "".join(part.text for part in incident.parts if isinstance(part, Prose))
    assert not any(character.isdigit() for character in prose)
    snapshot = take(sample_lake)
    with Answers(snapshot) as answers:
        found = {pin.id: recheck(snapshot, pin, answers=answers).status for pin in incident.pins}
    assert set(found.values()) == {"holds"}
    assert len(found) == len(incident.pins) > 10


def test_it_is_the_same_for_the_same_lake(incident: Document, sample_lake: Path) -> None:
    assert template(take(sample_lake), SINCE, UNTIL, "credit_line", now=NOW).text == incident.text


def test_it_comes_back_from_its_file_as_it_was(incident: Document) -> None:
    assert Document.of(incident.text) == incident


def test_a_window_without_a_past_and_without_findings_is_counted_too(
    lake: Path, take_in: Callable[..., Any]
) -> None:
    at = datetime(2026, 10, 5, 12, tzinfo=UTC)
    take_in(decision_record(occurred_at=(at + timedelta(seconds=n)).isoformat()) for n in range(5))
    made = template(take(lake), at, at + timedelta(hours=1), now=NOW)
    assert [pin.value.text for pin in made.pins][:3] == ["5", "5", '{"APPROVE":5}']
    assert "## One decision" not in made.text


def test_hostile_outcomes_are_inert_and_hold(lake: Path, take_in: Callable[..., Any]) -> None:
    at = datetime(2026, 10, 5, 12, tzinfo=UTC)
    outcome = "\x1b[2J\u202e```\n+++\n<script>~1/"
    times = [(at + timedelta(seconds=n)).isoformat() for n in range(5)]
    take_in(decision_record(occurred_at=time, outcome=outcome) for time in times)
    made = template(take(lake), at, at + timedelta(hours=1), now=NOW)
    assert all(line.isprintable() for line in made.text.split("\n"))
    assert Document.of(made.text).pins == made.pins
    for pin in made.pins:
        assert recheck(take(lake), pin).status == "holds"


def test_what_cannot_be_counted_is_refused(sample_lake: Path) -> None:
    snapshot = take(sample_lake)
    with pytest.raises(UsageError, match="ends at"):
        template(snapshot, UNTIL, SINCE)
    with pytest.raises(UsageError, match="No decision point 'x'"):
        template(snapshot, SINCE, UNTIL, "x")
    with pytest.raises(NotFoundError, match="No decision of credit_line"):
        template(snapshot, SINCE + timedelta(days=900), UNTIL + timedelta(days=900))
