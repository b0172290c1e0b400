"""What can be pinned of a state: each part in plain words."""

from __future__ import annotations

from collections.abc import Collection

from forensics.incident.pins import Pinnable
from forensics.incident.questions import Question
from forensics.reconstruct.changes import Change
from forensics.reconstruct.state import Live, Pipeline, State
from forensics.records.safe_text import safe_text
from forensics.report.words import short_digest

_PINS_MAX = 60


def of_state(
    state: State, question: Question, when: str, differing: Collection[object]
) -> list[Pinnable]:
    """Everything that was in force, what differs first.

    Args:
        state: what was in force.
        question: which gives it again.
        when: how each statement begins.
        differing: the parts of it that another state does not have so.
    """
    parts: list[tuple[Live | Pipeline | Change, str, str]] = [
        *((live, f"/live/{at}", _live_words(live)) for at, live in enumerate(state.live)),
        *(
            (pipeline, f"/pipelines/{at}", _pipeline_words(pipeline))
            for at, pipeline in enumerate(state.pipelines)
        ),
        *(
            (change, f"/controls/{at}", _control_words(change))
            for at, change in enumerate(state.controls)
        ),
    ]
    parts.sort(key=lambda one: not any(one[0] is other for other in differing))
    return [
        Pinnable(question, pointer, safe_text(f"{when} {words}"))
        for _, pointer, words in parts[:_PINS_MAX]
    ]


def _live_words(live: Live) -> str:
    name = f"{live.kind} {live.name}" if live.name else live.kind
    version = live.version or short_digest(live.digest)
    how = {"live": "was", "announced": "was announced to be", "last_seen": "was last seen as"}
    since = f", since {live.since:%Y-%m-%d %H:%M:%S}" if live.since_known else ""
    before = live.replaced_version or short_digest(live.replaced_digest)
    replaced = f", before {before}" if before and before != version else ""
    by = live.announced.actor if live.announced and live.announced.actor else ""
    who = f", announced by {by}" if by else ", announced by nobody" if not live.announced else ""
    return (
        f"{name} of {live.decision_point} in {live.environment} {how[live.status]} {version}"
        f"{since}{replaced}{who}"
    )


def _pipeline_words(pipeline: Pipeline) -> str:
    code = f" code {pipeline.code_version}" if pipeline.code_version else ""
    run = f", run {pipeline.run_id[:8]}" if pipeline.run_id else ""
    failed = f", failing: {pipeline.failed}" if pipeline.failed else ""
    return f"pipeline {pipeline.job} had{code or ' no known code'}{run}{failed}"


def _control_words(change: Change) -> str:
    by = f" by {change.actor}" if change.actor else ""
    value = change.to_version or change.what or "set"
    return f"{change.kind} {change.component} was {value}{by}"
