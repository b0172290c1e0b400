"""How a decision is said in documents: names, times and values, and what is not there."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from datetime import datetime
from os import PathLike
from typing import Any

from forensics.incident.questions import Question
from forensics.reconstruct.reconstruction import Reconstruction
from forensics.report.document import Reference, Statement
from forensics.report.words import value_words


def reference(found: Reconstruction, *, counterfactuals: int = 1) -> Reference:
    """The source of all that is said of a decision: the command that prints its reconstruction."""
    arguments: dict[str, Any] = {"id": found.decision.decision_id}
    if counterfactuals != 1:
        arguments["counterfactuals"] = counterfactuals
    leaf = found.integrity.leaf
    return Reference(
        Question("trace", arguments).line(as_json=True),
        decision_id=found.decision.decision_id,
        leaf=leaf.hex() if leaf is not None else None,
    )


def options_of_reasons(
    templates: str | PathLike[str] | None, reference: str | None, adverse: Sequence[str]
) -> tuple[str, ...]:
    """The options of ``forensics explain`` that say how principal reasons are found."""
    words: list[str] = []
    for name, value in (("--templates", templates), ("--reference", reference)):
        words += [name, str(value)] if value is not None else []
    return (*words, *(word for one in adverse for word in ("--adverse", one)))


def explained(decision_id: str, options: Sequence[str], leaf: str | None = None) -> Reference:
    """The source of principal reasons: the command that prints them."""
    named = ["--", decision_id] if decision_id.startswith("-") else [decision_id]
    words = ["forensics", "explain", "--reasons", *options, "--json", *named]
    return Reference(shlex.join(words), None, decision_id, leaf)


def moment(time: datetime) -> str:
    """``21 October 2026 at 02:41:07 UTC``."""
    return f"{time.day} {time:%B %Y} at {time:%H:%M:%S} UTC"


def plain(name: str) -> str:
    """A name of the system's as people would read it."""
    return name.replace("_", " ")


def share(part: float) -> str:
    """``40 %``."""
    return f"{part:.0%}".replace("%", " %")


def said_value(value: Any) -> str:
    """A recorded value as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "no value" if value is None else value_words(value)


def valued(name: str, value: Any) -> str:
    """A piece of information with its value."""
    return f"{plain(name)} ({said_value(value)})"


def title(found: Reconstruction) -> str:
    """What a decision was and when."""
    decision = found.decision
    when = decision.occurred_at
    return f"{plain(decision.decision_point)}: {decision.outcome}, {when.day} {when:%B %Y}"


def rule_for(found: Reconstruction, path: str) -> str | None:
    """The rule by which a field of the record is withheld; None where it is not."""
    from forensics.reconstruct.redacted import redaction

    return redaction(found.decision, path)


def gone(
    found: Reconstruction,
    about: str,
    text: str,
    ref: Reference,
    path: str | None = None,
    reason: str = "the record does not say it",
) -> Statement:
    """What is not there: withheld by a rule, or missing for a reason."""
    rule = rule_for(found, path or about)
    return Statement(about, text, "redacted" if rule else "missing", ref, rule or reason)


def missing(about: str, text: str, ref: Reference, reason: str) -> Statement:
    """What is not there, and why."""
    return Statement(about, text, "missing", ref, reason)
