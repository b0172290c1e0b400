"""Principal reasons for an adverse decision: the factors that cost most against a population.

Method "points below reference": each feature's contribution to the score, less the mean of its
contributions to the decisions of a pinned reference population, counted towards the adverse side.
The largest at most four are the reasons. It is the first of the two methods that the Official
Interpretations of Regulation B name (12 CFR 1002, Supplement I, comment 9(b)(2)-5), "the factors
for which the applicant's score fell furthest below the average score for each of those factors",
for a population of those who passed; with all applicants as the population it is the second.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import fsum, isfinite
from typing import Any, Literal

from forensics.errors import UsageError
from forensics.explain.reference import Reference
from forensics.explain.templates import NO_TEMPLATES, Templates, Wording, filled

METHOD = "points below reference"
#: Comment 9(b)(2)-1 to Regulation B: more than four reasons are not likely to be helpful.
MOST = 4

#: Differences that are equal up to this count as tied: libraries and batch sizes may differ in it.
_TIE = 1e-6


@dataclass(frozen=True, slots=True)
class Reason:
    """One principal reason: a factor of the score, or the rule that decided.

    ``points`` is how much more than in the reference the features count towards the adverse side,
    in the unit of the contributions; None for a rule. ``features`` are those of the factor, largest
    first. ``template`` is whether ``text`` is a lender's; else it is made from names.
    """

    kind: Literal["rule", "score"]
    text: str
    code: str | None
    template: bool
    features: tuple[str, ...] = ()
    values: Mapping[str, Any] = field(default_factory=dict)
    points: float | None = None
    rule: str | None = None
    prohibited: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping."""
        return {name: getattr(self, name) for name in Reason.__slots__}


@dataclass(frozen=True, slots=True)
class Reasons:
    """The principal reasons for one decision, most important first, and what they rest on.

    ``decided_by`` is ``score``, or the name of the rule whose outcome no score could have changed.
    ``reference`` says which population the factors are relative to; None where none is compared.
    ``warnings`` are to be read before anything here is sent to anybody.
    """

    items: tuple[Reason, ...]
    outcome: str
    decided_by: str
    method: str
    reference: str | None
    reference_digest: str | None
    unit: str
    warnings: tuple[str, ...] = ()
    #: Reasons that were given at the time, as recorded.
    recorded: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, Any]:
        """This as a plain mapping, in the terms of ``forensics explain --json``."""
        found = {name: getattr(self, name) for name in Reasons.__slots__ if name != "items"}
        items = [reason.to_dict() for reason in self.items]
        return {"items": items, **found, "evidence": "recomputed"}


def factors(
    contributions: Mapping[str, float],
    reference: Mapping[str, float],
    *,
    higher_is_adverse: bool,
    noise: float = 0.0,
    groups: Mapping[str, str] | None = None,
) -> list[tuple[float, tuple[str, ...]]]:
    """Points towards the adverse side with the features that they come from, most first.

    Features of one group are one factor with the sum of their points. Only factors with more than
    ``noise`` points are there. Those that are equal up to a millionth stand in the order of names.

    Args:
        contributions: of each feature to the score of one decision.
        reference: the mean contribution of each feature in the reference population.
        higher_is_adverse: whether an adverse outcome is on the upper side of the score.
        noise: how far the contributions may be off.
        groups: group by feature, for features that are one factor.
    """
    sign = 1.0 if higher_is_adverse else -1.0
    members: dict[tuple[str, str], list[tuple[float, str]]] = {}
    for name, value in contributions.items():
        points = sign * (value - reference.get(name, 0.0))
        group = (groups or {}).get(name)
        key = ("feature", name) if group is None else ("group", group)
        members.setdefault(key, []).append((points, name))
    found = []
    for each in members.values():
        points = fsum(part for part, _ in each)
        if isfinite(points) and points > max(noise, 0.0):
            each.sort(key=lambda part: (-round(part[0] / _TIE), part[1]))
            found.append((points, tuple(name for _, name in each)))
    found.sort(key=lambda factor: (-round(factor[0] / _TIE), factor[1]))
    return found


def of_score(
    contributions: Mapping[str, float],
    values: Mapping[str, Any],
    reference: Reference,
    *,
    higher_is_adverse: bool,
    noise: float = 0.0,
    templates: Templates = NO_TEMPLATES,
    facts: Mapping[str, Any] | None = None,
    most: int = MOST,
) -> tuple[tuple[Reason, ...], tuple[str, ...]]:
    """The factors of the score as reasons, and warnings about them.

    Args:
        contributions: as for :func:`factors`.
        values: the decision's features.
        reference: the population compared with.
        higher_is_adverse: as for :func:`factors`.
        noise: as for :func:`factors`.
        templates: the lender's wording.
        facts: ``outcome``, ``score`` and ``threshold`` for placeholders.
        most: how many to give, four at most.

    Raises:
        UsageError: when a template cannot show a value.
    """
    groups = {n: w.group for n, w in templates.features.items() if w.group is not None}
    found = factors(
        contributions,
        reference.contributions,
        higher_is_adverse=higher_is_adverse,
        noise=noise,
        groups=groups,
    )
    most = min(most, MOST)
    kept = found[:most]
    reasons = tuple(
        _reason(points, names, values, reference, templates, facts or {}) for points, names in kept
    )
    warnings = [
        f"{reason.features[0]} may stand for a prohibited basis; never give it as a reason, nor"
        " score it, before counsel has agreed"
        for reason in reasons
        if reason.prohibited
    ]
    hidden = [name for name in contributions if is_prohibited(name, templates)]
    hidden = [name for name in hidden if not any(name in r.prohibited for r in reasons)]
    scored = [name for name in hidden if contributions[name]]
    if scored:
        warnings.append(f"the model scores {', '.join(scored)}, which may be a prohibited basis")
    if len(found) > most and round(found[most][0] / _TIE) == round(kept[-1][0] / _TIE):
        warnings.append(
            f"{found[most][1][0]} counts as much as the last reason and is left out by its name"
        )
    bare = [reason.features[0] for reason in reasons if not reason.template]
    if bare:
        warnings.append(f"no template words {', '.join(bare)}")
    return reasons, tuple(warnings)


def of_rule(
    rule: str,
    when: str | None,
    reason: str | None,
    templates: Templates = NO_TEMPLATES,
    facts: Mapping[str, Any] | None = None,
) -> Reason:
    """The rule that decided as a reason, in the template's words, the rule set's, or its own.

    Args:
        rule: the rule's name.
        when: its condition; None for the default.
        reason: what the rule set says it is for.
        templates: the lender's wording.
        facts: as for :func:`of_score`.
    """
    wording = templates.rules.get(rule, Wording())
    text = reason or f"rule {rule}: {when or 'no other rule held'} (no template for rule {rule})"
    if wording.text is not None:
        text = filled(wording.text, {**(facts or {}), "feature": rule})
    return Reason("rule", text, wording.code, wording.text is not None, rule=rule)


def _reason(
    points: float,
    names: tuple[str, ...],
    values: Mapping[str, Any],
    reference: Reference,
    templates: Templates,
    facts: Mapping[str, Any],
) -> Reason:
    first = names[0]
    wording = templates.features.get(first, Wording())
    value, usual = values.get(first), reference.medians.get(first)
    group = templates.groups.get(wording.group) if wording.group is not None else None
    text = _text(wording, value, usual)
    if group is not None and group.text is not None:
        text = group.text
    has_template = text is not None
    if text is None:
        known = value if value is None or value == value else None
        said = "not known" if known is None else filled("{value}", {"value": known})
        text = f"{first}: {said} (no template for {first})"
    else:
        fields = {"feature": first, "value": value, "reference_value": usual, "points": points}
        text = filled(text, {**facts, **fields})
    return Reason(
        "score",
        text,
        (group.code if group is not None else None) or wording.code,
        has_template,
        names,
        {name: values.get(name) for name in names},
        points,
        prohibited=tuple(name for name in names if is_prohibited(name, templates)),
    )


def _text(wording: Wording, value: Any, usual: float | None) -> str | None:
    if value is None or value != value:
        return wording.text_missing or wording.text
    if usual is not None and isinstance(value, (int, float)):
        if value > usual and wording.text_high is not None:
            return wording.text_high
        if value < usual and wording.text_low is not None:
            return wording.text_low
    return wording.text


#: Words of 12 CFR 1002.2(z) and of the Fair Housing Act, each a set that a feature's name contains.
_PROHIBITED = tuple(
    frozenset(words.split())
    for words in (
        "race", "racial", "ethnic", "ethnicity", "color", "colour", "religion", "religious",
        "nationality", "national origin", "sex", "gender", "marital", "marriage", "married",
        "divorced", "widowed", "age", "birthdate", "birth date", "dob", "birthday",
        "public assistance", "welfare", "pregnant", "pregnancy", "disability", "disabled",
        "handicap", "familial",
    )
)  # fmt: skip
#: With other words than these, "age" is that of an account, a card or a file.
_OF_A_PERSON = frozenset((
    "age", "applicant", "coapplicant", "borrower", "coborrower", "customer", "client", "subject",
    "person", "user", "member", "years", "year", "yrs", "in", "at", "application", "band", "group",
    "bucket", "category",
))  # fmt: skip
_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")


def is_prohibited(feature: str, templates: Templates = NO_TEMPLATES) -> bool:
    """Whether a feature stands, or by its name may stand, for a basis that law prohibits.

    The templates have the last word: ``prohibited = false`` clears a feature whose name misleads.
    """
    said = templates.features.get(feature, Wording()).prohibited
    if said is not None:
        return said
    if feature in templates.prohibited:
        return True
    words = {word.lower() for word in _WORD.findall(feature)}
    for basis in _PROHIBITED:
        if basis <= words and (basis != {"age"} or words <= _OF_A_PERSON):
            return True
    return False


def check_adverse(outcome: str, adverse: Iterable[str]) -> None:
    """Refuse to give reasons for a decision that was not adverse.

    Args:
        outcome: what was decided.
        adverse: the adverse outcomes; any outcome is taken for one where none is named.

    Raises:
        UsageError: when the outcome is none of them.
    """
    named = tuple(adverse)
    if named and outcome not in named:
        raise UsageError(
            f"The outcome {outcome} is not adverse.",
            f"Adverse are: {', '.join(named)}.",
            "Reasons are given for adverse decisions; leave --reasons away to see what drove it.",
        )
