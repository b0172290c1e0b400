"""A question is a command: the same answer, and a line that a shell runs."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from forensics.errors import NotFoundError, UsageError
from forensics.incident.asking import ask
from forensics.incident.questions import COMMANDS, Question, quoted
from forensics.lake.snapshot import take
from forensics.records.jsontext import dumps

Run = Callable[..., Any]
DAY = {"since": "2026-10-21T00:00:00Z", "until": "2026-10-22T00:00:00Z"}
QUESTIONS = [
    Question("trace", {"id": "7f3a-c1"}),
    Question("trace", {"id": "7f3a-c1", "no_replay": True}),
    Question("trace", {"id": "7f3a-c1", "counterfactuals": 3}),
    Question("find", {**DAY, "outcome": "DECLINE", "limit": 3}),
    Question("find", {**DAY, "where": "utilisation_3m > 5", "features": True, "limit": 2}),
    Question("find", {**DAY, "point": "credit_line", "oldest": True, "limit": 2}),
    Question("find", {**DAY, "count": True}),
    Question("find", {"subject": "nobody", "count": True}),
    Question("find", {"subject": "nobody"}),
    Question("timeline", DAY),
    Question("timeline", {**DAY, "outcome": "REFER", "bins": 5}),
    Question("as-of", {"time": "2026-10-21T02:41:00Z"}),
    Question("as-of", {"time": "2026-10-21T02:41:00Z", "known-by": "2026-10-21T02:00Z"}),
    Question("check", {"since": "2026-10-21T02:13Z", "until": "2026-10-21T04:00Z"}),
    Question("check", {**DAY, "kind": ("scale_jump", "stale_cache"), "limit": 1}),
    Question("diff", {"ids": ("7f3a-c1", "048b-d5")}),
    Question("lineage", {"node": "feature:credit_line.utilisation_3m"}),
    Question("lineage", {"node": "feature:credit_line.utilisation_3m", "upstream": True,
                         "depth": 1, "as_of": "2026-10-21T02:41Z"}),
    Question("lineage", {"node": "job:credit_platform/billing_features", "depth": "all"}),
]  # fmt: skip


def words(question: Question, root: Path) -> list[str]:
    """The words of a question's command after the program's name, as a shell takes them apart."""
    return shlex.split(question.line(root, as_json=True))[1:]


@pytest.mark.parametrize("question", QUESTIONS, ids=lambda q: q.line())
def test_the_answer_is_what_the_command_prints_byte_for_byte(
    question: Question, sample_lake: Path, run: Run
) -> None:
    ran = run(*words(question, sample_lake))
    answer = ask(take(sample_lake), question)
    many = isinstance(answer, list)
    printed = "".join(dumps(one) + "\n" for one in answer) if many else dumps(answer) + "\n"
    assert ran.out == printed


def test_every_command_that_can_be_pinned_is_compared() -> None:
    assert {question.command for question in QUESTIONS} == set(COMMANDS)


def test_a_request_with_several_decisions_gives_a_list_as_the_command_gives_lines(
    lake: Path, take_in: Callable[..., Any], run: Run
) -> None:
    from forensics.testing import decision_record

    take_in([decision_record(request_id="twice") for _ in range(2)])
    question = Question("trace", {"id": "twice", "no-replay": True})
    ran = run(*words(question, lake))
    answer = ask(take(lake), question)
    assert len(answer) == 2
    assert ran.out == "".join(dumps(one) + "\n" for one in answer)


def test_a_question_that_fails_fails_as_its_command_does(sample_lake: Path) -> None:
    snapshot = take(sample_lake)
    with pytest.raises(NotFoundError):
        ask(snapshot, Question("trace", {"id": "no-such"}))
    with pytest.raises(UsageError):
        ask(snapshot, Question("timeline", {"point": "no_such"}))
    with pytest.raises(UsageError):
        ask(snapshot, Question("find", {"where": "no_such_feature > 1"}))


def test_a_question_means_the_same_whatever_the_spelling_of_its_arguments() -> None:
    one = Question("find", {"until": "2026-10-02", "since": "2026-10-01", "point": "p"})
    other = Question(
        "find",
        {"decision_point": "p", "since": "2026-10-01T02:00:00+02:00", "until": "2026-10-02T00:00Z"},
    )
    assert one == other
    assert one.line() == other.line()
    assert Question("find", {"oldest": False}) == Question("find")


@pytest.mark.parametrize(
    ("command", "arguments"),
    [
        ("rm", {}),
        ("trace", {}),
        ("trace", {"id": "x", "verbose": True}),
        ("trace", {"id": "x", "counterfactuals": "many"}),
        ("find", {"since": "2h ago"}),
        ("find", {"since": "yesterday"}),
        ("find", {"since": 5}),
        ("find", {"oldest": "yes"}),
        ("find", {"subject": True}),
        ("diff", {"ids": ("only",)}),
        ("check", {"kind": (1, 2)}),
        ("as-of", {"decision-point": "p"}),
    ],
)
def test_what_cannot_be_asked_again_is_refused(command: str, arguments: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        Question(command, arguments)


HOSTILE = [
    "-x", "--", "a b", "$(id)", "`id`", "a'b", 'a"b', "a\\b", "!x", "*", "é→", "#x", "~",
    "\x1b[2J", "a\nb", "\u202ex", "\t'\\",
]  # fmt: skip


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("command", ["trace", "find"])
def test_a_shell_reads_every_text_of_a_line_as_it_was(command: str, text: str) -> None:
    name = {"trace": "id", "find": "subject"}[command]
    line = Question(command, {name: text}).line()
    assert line.isprintable()
    program = "import json, sys; print(json.dumps(sys.argv[1:]))"
    shown = f"{shlex.quote(sys.executable)} -c {shlex.quote(program)} {line.partition(' ')[2]}"
    done = subprocess.run(["bash", "-c", shown], capture_output=True, text=True, check=True)
    given = json.loads(done.stdout)
    assert given[0] == command
    assert given[-1].removeprefix("--subject=") == text


def test_a_word_that_needs_no_quotes_has_none() -> None:
    assert quoted("2026-10-21T02:13:00Z") == "2026-10-21T02:13:00Z"
    assert Question("trace", {"id": "7f3a-c1"}).line() == "forensics trace 7f3a-c1"


def test_what_matches_too_much_is_to_be_counted(
    lake: Path, take_in: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    from forensics.incident import asking
    from forensics.testing import decision_record

    take_in(decision_record() for _ in range(4))
    monkeypatch.setattr(asking, "ROWS_MAX", 3)
    with pytest.raises(UsageError, match="More than 3 decisions"):
        ask(take(lake), Question("find"))
    assert len(ask(take(lake), Question("find", {"limit": 3}))) == 3
    assert ask(take(lake), Question("find", {"count": True}))["decisions"] == 4
