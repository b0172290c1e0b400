"""What is said of one decision in documents, in words that need no training.

Each function gives statements about one side of a reconstruction, as
:mod:`forensics.report.decision_evidence` does of how sure they are; ``forensics report subject``
and ``forensics report decision`` put them together.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from datetime import datetime
from math import fsum

from forensics.reconstruct.contract import to_dict
from forensics.reconstruct.reconstruction import Feature, Reconstruction
from forensics.records.plural import count_of
from forensics.report import character_charts, charts
from forensics.report.blocks import Chart
from forensics.report.decision_words import (
    gone,
    missing,
    moment,
    plain,
    said_value,
    share,
)
from forensics.report.document import Item, Reference, Row, Rows, Statement, joined
from forensics.report.words import age_words, number_words, short_digest, value_words

#: So many pieces of information are named as the main ones.
_MAIN = 5
_SEARCHED = {
    "optimal": "No smaller change, of what can change, gives another outcome; that is proven.",
    "gap": "A smaller change may exist; not all were tried.",
    "none_exists": "No change, of what can change, gives another outcome; that is proven.",
    "none_found": "No change was found that gives another outcome; one may exist.",
}


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
        for name in sorted(said.get("redacted") or {}):
            yield Statement(
                f"override {name}", f"Of that replacement {name} is withheld.".replace("*", "more"),
                "redacted", ref.at("/decision/override/redacted"), said["redacted"][name],
            )  # fmt: skip
        yield Statement(
            "override",
            f"A person ({said.get('actor') or 'not named'}) replaced this outcome by "
            f"{said.get('final_outcome')}{at}{why}.",
            "recorded",
            ref.at("/decision/override"),
            value=said.get("final_outcome"),
            strong=True,
        )
    later = found.outcome_label
    if later is not None and later.get("label") is None:
        withheld = later.get("redacted") or {}
        yield Statement(
            "outcome_label",
            "What turned out later is withheld.",
            "redacted",
            ref.at("/decision/outcome_label"),
            withheld.get("label") or withheld.get("*"),
        )
    elif later is not None:
        yield Statement(
            "outcome_label",
            f"What turned out later: {value_words(later.get('label'))}.",
            "recorded",
            ref.at("/decision/outcome_label"),
            value=later.get("label"),
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
        yield missing("model", "No model is named.", ref.at("/model"), "the record names none")
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
        yield gone(found, "score", "The score is not known.", ref.at("/decision/score"))
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
        yield missing(
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
        yield gone(
            found, "recipient", "Who received the outcome is not known.",
            ref.at("/decision/consumer"), "consumer",
        )  # fmt: skip
    for key, words in (("purpose", "purpose"), ("legal_basis", "legal basis")):
        value = found.decision.subject.get(key)
        where = ref.of(f"subject.{key}")
        if value is None:
            yield gone(
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
        yield gone(found, "data", "What data was used is not known.", ref.at("/features"),
                    "features")  # fmt: skip
        return
    places = Counter(
        _place(feature) or "a place that is not recorded" for feature in found.features
    )
    named = joined([f"{place} ({count})" for place, count in places.most_common()])
    yield Statement(
        "sources",
        f"{count_of(len(found.features), 'piece')} of information used, from {named}.",
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
            said_value(feature.value) if feature.evidence == "recorded" else "–",
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
        yield gone(
            found, "main_elements", "What counted most cannot be said.", ref.at("/attributions"),
            reason=found.attribution_reason or "nothing was attributed",
        )  # fmt: skip
        return
    whole = fsum(abs(value) for value in why.values.values()) or 1.0
    values = {f.name: f.value for f in found.features if f.evidence == "recorded"}
    for number, (name, value) in enumerate(list(why.values.items())[:main]):
        if not value:
            break
        shown = f" ({said_value(values[name])})" if name in values else ""
        side = "upwards" if value > 0 else "downwards"
        place = ("counted most", "came next", "came third")[number] if number < 3 else "followed"
        yield Statement(
            "main_element",
            f"{plain(name)}{shown} {place}: it moved the score {side}, and is "
            f"{share(abs(value) / whole)} of all that moved it.",
            why.evidence,
            ref.at(f"/attributions/values/{number}"),
            value={"feature": name, "contribution": value, "unit": why.unit},
        )
    rest = list(why.values.values())[main:]
    if rest:
        yield Statement(
            "main_element",
            f"{len(rest)} other pieces of information together are "
            f"{share(fsum(map(abs, rest)) / whole)} of all that moved it.",
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
        yield gone(
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
            _SEARCHED[found.search.status],
            "recomputed",
            ref.at("/counterfactual_search"),
            value=found.search.status,
        )


def given_reasons(found: Reconstruction, ref: Reference) -> Iterator[Statement]:
    """The reasons that were given at the time."""
    for number, text in enumerate(found.decision.explanation.get("reasons") or ()):
        where = ref.of(f"explanation.reasons[{number}]")
        yield Statement("given_reason", f"Reason given at the time: {text}", "recorded", where)
