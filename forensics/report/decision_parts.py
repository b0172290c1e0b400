"""What is said of one decision in documents, in words that need no training.

Each function gives statements about one side of a reconstruction; ``forensics report subject`` and
``forensics report decision`` put them together.
"""

from __future__ import annotations

import shlex
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from math import fsum
from os import PathLike
from typing import Any

from forensics.incident.questions import Question
from forensics.reconstruct.contract import to_dict
from forensics.reconstruct.reconstruction import Evidence, Feature, Reconstruction
from forensics.report import character_charts, charts
from forensics.report.blocks import Chart
from forensics.report.document import Item, Note, Reference, Row, Rows, Statement, joined
from forensics.report.words import age_words, number_words, short_digest, value_words

#: So many pieces of information are named as the main ones.
_MAIN = 5
_VERDICTS = {
    "bit_exact": "The recorded programs were run again now on the recorded data, and gave exactly "
    "the same result, to the last digit.",
    "within_ulp": "The recorded programs were run again now on the recorded data, and gave the "
    "same result but for a rounding in the last digit.",
    "same_outcome": "The recorded programs were run again now on the recorded data, and gave the "
    "same outcome with another score.",
    "diverged": "The recorded programs were run again now on the recorded data, and did not give "
    "the recorded result.",
    "not_replayable": "The decision cannot be run again.",
}
_CLASSES = {
    "C0": "The evidence is enough to run this decision again.",
    "C1": "The evidence is enough to run this decision again, and to say what a stricter rule "
    "would have decided.",
    "C2": "The evidence is enough to run this decision again, and to say what a stricter or a "
    "looser rule would have decided.",
    "none": "The evidence is not enough to run this decision again.",
}
_AGREES = ("bit_exact", "within_ulp")


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


def _share(part: float) -> str:
    """``40 %``."""
    return f"{part:.0%}".replace("%", " %")


def _value(value: Any) -> str:
    """A recorded value as people say it."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    return "no value" if value is None else value_words(value)


def title(found: Reconstruction) -> str:
    """What a decision was and when."""
    decision = found.decision
    when = decision.occurred_at
    return f"{plain(decision.decision_point)}: {decision.outcome}, {when.day} {when:%B %Y}"


def decided(found: Reconstruction, ref: Reference) -> Iterator[Statement]:
    """What was decided and when, whether a person replaced it, and what became of it."""
    decision = found.decision
    yield Statement(
        "outcome",
        f"On {moment(decision.occurred_at)} the outcome of {plain(decision.decision_point)} was "
        f"{decision.outcome}.",
        "recorded",
        ref.at("/decision/outcome"),
        value=decision.outcome,
        strong=True,
    )
    said = found.override
    if said is None:
        yield Statement(
            "override",
            "No person is recorded to have replaced this outcome.",
            "missing",
            ref.at("/decision/override"),
            "no override record names this decision",
        )
    else:
        when = said.get("occurred_at")
        at = f" on {moment(when)}" if isinstance(when, datetime) else ""
        why = f", for this reason: {said['reason']}" if said.get("reason") else ""
        yield Statement(
            "override",
            f"A person ({said.get('actor') or 'not named'}) replaced this outcome by "
            f"{said.get('final_outcome')}{at}{why}.",
            "recorded",
            ref.at("/decision/override"),
            value=said.get("final_outcome"),
            strong=True,
        )
    if found.outcome_label is not None:
        yield Statement(
            "outcome_label",
            f"What turned out later: {value_words(found.outcome_label.get('label'))}.",
            "recorded",
            ref.at("/decision/outcome_label"),
            value=found.outcome_label.get("label"),
        )


def decided_by(found: Reconstruction, ref: Reference) -> Iterator[Statement]:
    """Model, score, threshold and configuration."""
    decision = found.decision
    model, config = decision.model, decision.config
    if model:
        named = joined([*filter(None, (model.get("name"), model.get("version")))]) or "unnamed"
        named = named.replace(" and ", ", version ")
        digest = f" (file {short_digest(model['digest'])})" if model.get("digest") else ""
        yield Statement(
            "model",
            f"A computer model took part: {named}{digest}.",
            "recorded",
            ref.at("/model"),
            value=model.get("digest") or model.get("version"),
        )
    else:
        yield _missing("model", "No model is named.", ref.at("/model"), "the record names none")
    if decision.score is not None:
        against = ""
        if decision.threshold is not None:
            side = "reaches" if decision.score >= decision.threshold else "is below"
            against = f"; it {side} the threshold of {number_words(decision.threshold)}"
        yield Statement(
            "score",
            f"The score was {number_words(decision.score)}{against}.",
            "recorded",
            ref.at("/decision/score"),
            value=decision.score,
        )
    else:
        yield _gone(found, "score", "The score is not known.", ref.at("/decision/score"))
    if config:
        named = str(config.get("revision") or config.get("name") or "unnamed")
        digest = f" (file {short_digest(config['digest'])})" if config.get("digest") else ""
        yield Statement(
            "config",
            f"The rules and limits in force were those of configuration {named}{digest}.",
            "recorded",
            ref.at("/config"),
            value=config.get("digest") or config.get("revision"),
        )
    else:
        yield _missing(
            "config", "No configuration is named.", ref.at("/config"), "the record names none"
        )
    rule = found.replay.replayed.get("rule") if found.replay is not None else None
    if rule is not None and found.replay is not None:
        when = found.replay.replayed.get("rule_when")
        yield Statement(
            "rule",
            f"The rule that decided: {rule}{f', when {when}' if when else ''}.",
            "recomputed",
            ref.at("/replay/replayed/rule"),
            value=rule,
        )
    if decision.cache.get("hit"):
        yield Statement(
            "cache",
            "The answer was not worked out anew: it was kept from an earlier request.",
            "recorded",
            ref.at("/decision/cache"),
        )


def passed_on(found: Reconstruction, ref: Reference) -> Iterator[Statement]:
    """Who received the outcome, and for what purpose and on what ground data was used."""
    consumer = found.decision.consumer
    if consumer:
        received = (
            f" It reports that it received {consumer['received']}."
            if (consumer.get("received"))
            else ""
        )
        did = f" It reports that it did {consumer['action']}." if consumer.get("action") else ""
        yield Statement(
            "recipient",
            f"The outcome was passed to {plain(consumer.get('name') or 'a system without a name')}."
            f"{received}{did}",
            "recorded",
            ref.at("/decision/consumer"),
            value=consumer.get("name"),
        )
    else:
        yield _gone(
            found, "recipient", "Who received the outcome is not known.",
            ref.at("/decision/consumer"), "consumer",
        )  # fmt: skip
    for key, words in (("purpose", "purpose"), ("legal_basis", "legal basis")):
        value = found.decision.subject.get(key)
        where = ref.of(f"subject.{key}")
        if value is None:
            yield _gone(
                found, key, f"The {words} of using the data is not known.", where, f"subject.{key}"
            )
        else:
            yield Statement(
                key,
                f"The {words} of using the data: {plain(str(value))}.",
                "recorded",
                where,
                value=value,
            )


def data(found: Reconstruction, ref: Reference, *, full: bool = False) -> Iterator[Item]:
    """The pieces of information that were used, and where each came from.

    Args:
        found: the decision.
        ref: its source.
        full: also how old each was, the job that wrote it, and what was usual.
    """
    if not found.features:
        yield _gone(found, "data", "What data was used is not known.", ref.at("/features"),
                    "features")  # fmt: skip
        return
    places = Counter(
        _place(feature) or "a place that is not recorded" for feature in found.features
    )
    named = joined([f"{place} ({count})" for place, count in places.most_common()])
    yield Statement(
        "sources",
        f"{len(found.features)} pieces of information were used, from {named}.",
        "recorded",
        ref.at("/features"),
        value=dict(places),
    )
    head = ["data", "value", "came from", "true at"]
    if full:
        head += ["written by", "usual (1 % to 99 %)"]
    rows = []
    for number, feature in enumerate(found.features):
        where = ref.at(f"/features/{number}")
        cells = [
            feature.name if full else plain(feature.name),
            _value(feature.value) if feature.evidence == "recorded" else "–",
            (feature.source if full else _place(feature)) or "not recorded",
            _true_at(feature),
        ]
        if full:
            cells += [_job(feature), _usual(feature)]
        rows.append(Row(tuple(cells), feature.evidence, where, feature.reason))
    yield Rows("data", tuple(head), tuple(rows))


def _place(feature: Feature) -> str:
    """The dataset that a piece of information came from, in short."""
    return str((feature.origin and feature.origin.dataset) or feature.source or "")


def _true_at(feature: Feature) -> str:
    origin = feature.origin
    time = origin.event_time or origin.written_at if origin else None
    if time is None:
        return "not recorded"
    age = f" ({age_words(feature.age_s)} before)" if feature.age_s is not None else ""
    return f"{time:%Y-%m-%d %H:%M}{age}"


def _job(feature: Feature) -> str:
    origin = feature.origin
    if origin is None or not (origin.job or origin.run_id):
        return "not recorded"
    run = f" run {str(origin.run_id)[:8]} ({origin.evidence})" if origin.run_id else ""
    return f"{origin.job or ''}{run}".strip()


def _usual(feature: Feature) -> str:
    usual = feature.usual
    if usual is None or isinstance(feature.value, str | bool):
        return "–"
    return f"{number_words(usual.q01)} to {number_words(usual.q99)}"


def drove(found: Reconstruction, ref: Reference, *, main: int = _MAIN) -> Iterator[Item]:
    """What moved the score, in words, largest first."""
    why = found.attribution
    if why is None or not why.values:
        yield _gone(
            found, "main_elements", "What counted most cannot be said.", ref.at("/attributions"),
            reason=found.attribution_reason or "nothing was attributed",
        )  # fmt: skip
        return
    whole = fsum(abs(value) for value in why.values.values()) or 1.0
    values = {f.name: f.value for f in found.features if f.evidence == "recorded"}
    for number, (name, value) in enumerate(list(why.values.items())[:main]):
        if not value:
            break
        shown = f" ({_value(values[name])})" if name in values else ""
        side = "upwards" if value > 0 else "downwards"
        place = ("counted most", "came next", "came third")[number] if number < 3 else "followed"
        yield Statement(
            "main_element",
            f"{plain(name)}{shown} {place}: it moved the score {side}, and is "
            f"{_share(abs(value) / whole)} of all that moved it.",
            why.evidence,
            ref.at(f"/attributions/values/{number}"),
            value={"feature": name, "contribution": value, "unit": why.unit},
        )
    rest = list(why.values.values())[main:]
    if rest:
        yield Statement(
            "main_element",
            f"The other {len(rest)} pieces of information together are "
            f"{_share(fsum(map(abs, rest)) / whole)} of all that moved it.",
            why.evidence,
            ref.at("/attributions/values"),
        )


def chart(found: Reconstruction) -> Iterator[Chart]:
    """What moved the score, drawn."""
    if found.attribution is None or not found.attribution.values:
        return
    answer = to_dict(found)["attributions"]
    values = {f.name: f.value for f in found.features if f.evidence == "recorded"}
    yield Chart(charts.waterfall(answer, values), tuple(character_charts.waterfall(answer)))


def would_have_changed(found: Reconstruction, ref: Reference) -> Iterator[Statement]:
    """Which other data would have given another outcome, each of it replayed."""
    if not found.counterfactuals and found.search is None:
        yield _gone(
            found, "counterfactual", "What would have changed the outcome cannot be said.",
            ref.at("/counterfactual_search"),
            reason=found.search_reason or "it was not looked for",
        )  # fmt: skip
        return
    for number, item in enumerate(found.counterfactuals):
        changes = joined([plain(change.statement) for change in item.changes])
        yield Statement(
            "counterfactual",
            f"With {changes}, and all else as it was, the outcome would have been {item.outcome}.",
            "recomputed",
            ref.at(f"/counterfactuals/{number}"),
            value=item.outcome,
        )
    assert found.search is not None or found.counterfactuals
    if found.search is not None:
        yield Statement(
            "counterfactual_search",
            f"How thoroughly that was looked for: {found.search.statement}.",
            "recomputed",
            ref.at("/counterfactual_search"),
            value=found.search.status,
        )


def given_reasons(found: Reconstruction, ref: Reference) -> Iterator[Statement]:
    """The reasons that were given at the time."""
    for number, text in enumerate(found.decision.explanation.get("reasons") or ()):
        where = ref.of(f"explanation.reasons[{number}]")
        yield Statement("given_reason", f"Reason given at the time: {text}", "recorded", where)


def reliability(
    found: Reconstruction, ref: Reference, *, full: bool = False
) -> Iterator[Statement]:
    """How complete the evidence is, what is missing, whether replay agrees, and what is odd."""
    yield from _findings(found, ref, {"error": "Something went wrong"})
    replay = found.replay
    if replay is not None:
        evidence: Evidence = "missing" if replay.verdict == "not_replayable" else "recomputed"
        reason = f"it lacks {joined(replay.missing)}" if replay.missing else None
        yield Statement(
            "replay", _VERDICTS[replay.verdict], evidence, ref.at("/replay"), reason,
            value=replay.verdict,
        )  # fmt: skip
    class_ = found.completeness.class_
    named = f" (class {class_})" if class_ != "none" else ""
    yield Statement(
        "completeness", f"{_CLASSES[class_][:-1]}{named}.", "inferred", ref.at("/completeness"),
        value=class_,
    )  # fmt: skip
    for number, (name, why) in enumerate(found.completeness.missing):
        yield Statement(
            "missing", f"Not in the evidence: {name}; so {why}.", "missing",
            ref.at(f"/completeness/missing/{number}"), "it was not recorded", value=name,
        )  # fmt: skip
    for path, rule in _withheld(found):
        yield Statement(
            "withheld", f"Withheld here: {path}.", "redacted", ref, rule, value=path
        )  # fmt: skip
    yield _proof(found, ref)
    yield from _findings(found, ref, _LEADS if full else {"warning": "Odd"})


#: What a finding is led in by; errors come before all else.
_LEADS = {"warning": "Odd", "info": "To know", "not_checkable": "Could not be checked"}


def _findings(
    found: Reconstruction, ref: Reference, leads: Mapping[str, str]
) -> Iterator[Statement]:
    """What was found odd, of those severities that have a lead."""
    for number, finding in enumerate(found.findings):
        lead = leads.get(finding.severity)
        if lead is not None and finding.kind != "erased":
            yield Statement(
                "finding",
                f"{lead}: {finding.statement}.",
                finding.evidence,
                ref.at(f"/findings/{number}"),
                "there is nothing to check it with" if finding.evidence == "missing" else None,
                value=finding.kind,
                strong=finding.severity == "error",
            )


def _proof(found: Reconstruction, ref: Reference) -> Statement:
    integrity = found.integrity
    said = {
        True: "The record is unaltered: its bytes are the ones that were sealed.",
        False: "The record is NOT what was sealed.",
        None: "Whether the record is unaltered cannot be shown.",
    }[integrity.verified]
    return Statement(
        "integrity", said, "missing" if integrity.verified is None else "recomputed",
        ref.at("/integrity"), integrity.reason, value=integrity.verified,
    )  # fmt: skip


def erasure(found: Reconstruction) -> str | None:
    """What is known of its erasure; None where it was not erased."""
    return next((one.statement for one in found.findings if one.kind == "erased"), None)


def retention(found: Reconstruction, ref: Reference) -> Iterator[Statement]:
    """Whether the record is kept or was erased."""
    for number, finding in enumerate(found.findings):
        if finding.kind == "erased":
            yield Statement(
                "erasure",
                f"What the record said was erased: {finding.statement}.",
                finding.evidence,
                ref.at(f"/findings/{number}"),
                "no such erasure is recorded" if finding.evidence == "missing" else None,
            )
            return
    yield Statement(
        "erasure", "The record is kept; it was not erased.", "inferred", ref.at("/findings")
    )


def gaps(found: Reconstruction) -> Iterator[str]:
    """Why what is said of a decision is not the whole of it, in words after its name."""
    if erasure(found) is not None:
        return  # what is gone by order is no gap of the evidence
    if found.integrity.verified is False:
        yield "its record is not what was sealed"
    if found.replay is not None and found.replay.verdict not in _AGREES:
        yield f"replay: {found.replay.verdict.replace('_', ' ')}"
    elif found.completeness.class_ == "none":
        yield "the evidence is not enough to run it again"


def _withheld(found: Reconstruction) -> Iterator[tuple[str, str]]:
    redacted: Mapping[str, str] = found.decision.sealed.get("redacted") or {}
    for path, rule in redacted.items():
        yield ("all that it said" if path == "*" else path), rule


def _rule(found: Reconstruction, path: str) -> str | None:
    """The rule by which a field of the record is withheld; None where it is not."""
    from forensics.reconstruct.redacted import redaction

    return redaction(found.decision, path)


def _gone(
    found: Reconstruction,
    about: str,
    text: str,
    ref: Reference,
    path: str | None = None,
    reason: str = "the record does not say it",
) -> Statement:
    """What is not there: withheld by a rule, or missing for a reason."""
    rule = _rule(found, path or about)
    return Statement(about, text, "redacted" if rule else "missing", ref, rule or reason)


def _missing(about: str, text: str, ref: Reference, reason: str) -> Statement:
    return Statement(about, text, "missing", ref, reason)


def full_steps(found: Reconstruction, ref: Reference) -> Iterator[Item]:
    """The steps, with what they were given and answered."""
    rows = []
    for number, step in enumerate(to_dict(found)["steps"]):
        took = step["duration_ms"]
        told = value_words(step["outputs"]) if step["outputs"] is not None else "not recorded"
        cells = (
            f"{step['id'] or ''} {step['kind'] or ''}".strip() or "–",
            " ".join(str(step[key]) for key in ("component", "version") if step[key]) or "–",
            f"{number_words(took, 3)} ms" if took is not None else "–",
            f"{step['status'] or ''} {step['error'] or ''} {told}".strip(),
        )
        rows.append(Row(cells, "recorded", ref.at(f"/steps/{number}")))
    if rows:
        yield Rows("steps", ("step", "what ran", "took", "answered"), tuple(rows))
    else:
        yield _gone(found, "steps", "No steps are known.", ref.at("/steps"))


def full_changes(found: Reconstruction, ref: Reference, most: int = 20) -> Iterator[Item]:
    """What had changed before the decision, newest first."""
    rows = tuple(
        Row(
            (f"{change.occurred_at:%Y-%m-%d %H:%M:%S}", change.kind, change.statement),
            change.evidence,
            ref.at(f"/changes/{number}"),
        )
        for number, change in enumerate(found.changes[:most])
    )
    if rows:
        yield Rows("changes", ("when", "kind", "what"), rows)
        if len(found.changes) > most:
            yield Note(f"And {len(found.changes) - most:,} before these.")
    else:
        yield _missing("changes", "No change before it is known.", ref.at("/changes"),
                       "the lake holds none that concerns it")  # fmt: skip
