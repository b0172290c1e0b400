"""Principal reasons: only what was scored, at most four, against a population, in a fixed order."""

from __future__ import annotations

import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from forensics.errors import UsageError
from forensics.explain.reasons import (
    MOST,
    check_adverse,
    factors,
    is_prohibited,
    of_rule,
    of_score,
)
from forensics.explain.reference import Reference
from forensics.explain.templates import NO_TEMPLATES, read_templates

APPROVED = Reference(
    "approved decisions",
    {"income": -0.5, "utilisation": -0.25, "late": -0.5, "enquiries": 0.0},
    {"income": 40_000.0, "utilisation": 0.3},
    1_000,
)
CONTRIBUTIONS = {
    "income": -0.25,
    "utilisation": 1.0,
    "late": -0.75,
    "enquiries": 0.5,
    "unused": 0.0,
}
VALUES = {"income": 30_000, "utilisation": 0.9, "late": 0, "enquiries": 4, "unused": None}


def reasons(contributions: Any = CONTRIBUTIONS, **options: Any) -> tuple[Any, ...]:
    given_ = {"higher_is_adverse": True, **options}
    return of_score(contributions, VALUES, APPROVED, **given_)[0]


def test_reasons_are_the_points_that_exceed_the_references_largest_first() -> None:
    found = reasons()
    assert [(r.features[0], r.points) for r in found] == [
        ("utilisation", 1.25),
        ("enquiries", 0.5),
        ("income", 0.25),
    ]


def test_a_factor_that_counted_less_than_in_the_reference_is_none() -> None:
    assert "late" not in {name for reason in reasons() for name in reason.features}


def test_where_a_low_score_is_adverse_the_other_side_counts() -> None:
    (only,) = reasons(higher_is_adverse=False)
    assert (only.features, only.points) == (("late",), 0.25)


def test_a_feature_that_the_model_does_not_score_is_never_a_reason() -> None:
    assert all("unused" not in reason.features for reason in reasons())


def test_what_may_be_rounding_is_no_reason() -> None:
    assert factors({"a": 1e-7, "b": 1.0}, {}, higher_is_adverse=True, noise=1e-6) == [(1.0, ("b",))]


def test_there_are_four_at_most_even_where_more_are_asked_for() -> None:
    many = {f"f{at}": 1.0 + at for at in range(9)}
    assert [r.features[0] for r in reasons(many, most=9)] == ["f8", "f7", "f6", "f5"]
    assert len(reasons(many, most=2)) == 2


def test_a_tie_for_the_last_place_is_told() -> None:
    tied = dict.fromkeys("edcba", 1.0)
    found, warnings = of_score(tied, {}, APPROVED, higher_is_adverse=True)
    assert [reason.features[0] for reason in found] == ["a", "b", "c", "d"]
    assert any(warning.startswith("e counts as much") for warning in warnings)


@given(
    st.dictionaries(st.text("abcdef", min_size=1, max_size=3), st.integers(-4, 4), max_size=12),
    st.randoms(use_true_random=False),
)
def test_order_never_depends_on_the_order_of_features(
    values: dict[str, int], shuffled: random.Random
) -> None:
    named = {name: value / 4 for name, value in values.items()}
    other = list(named.items())
    shuffled.shuffle(other)
    first = factors(named, {}, higher_is_adverse=True)
    assert first == factors(dict(other), {}, higher_is_adverse=True)
    assert all(points > 0 for points, _ in first)
    assert sorted(first, key=lambda f: -f[0]) == first


def test_noise_in_the_last_digits_changes_no_order() -> None:
    exact = factors({"b": 0.3, "a": 0.3, "c": 0.1}, {}, higher_is_adverse=True)
    noisy = factors({"b": 0.3 + 3e-8, "a": 0.3, "c": 0.1}, {}, higher_is_adverse=True)
    assert [f[1] for f in exact] == [f[1] for f in noisy] == [("a",), ("b",), ("c",)]


TEMPLATES = read_templates(b"""
adverse = ["DECLINE"]
prohibited = ["postcode"]

[features.utilisation]
text_high = "Balances are {value:.0%} of limits (usual: {reference_value:.0%})"
text_low = "Too little credit is used"
code = "10"

[features.income]
text_high = "Income is high"
text_low = "Income is low ({value:,.0f})"

[features.enquiries]
group = "behaviour"

[features.late]
group = "behaviour"

[groups.behaviour]
text = "Recent credit behaviour"
code = "28"

[features.account_age]
prohibited = false

[rules.R1]
text = "Payments were missed"
code = "40"
""")


def test_templates_word_a_reason_by_its_side_of_the_references_median() -> None:
    texts = {reason.features[0]: reason.text for reason in reasons(templates=TEMPLATES)}
    assert texts["utilisation"] == "Balances are 90% of limits (usual: 30%)"
    assert texts["income"] == "Income is low (30,000)"


def test_without_a_template_the_text_says_so() -> None:
    found, warnings = of_score(CONTRIBUTIONS, VALUES, APPROVED, higher_is_adverse=True)
    assert found[0].text == "utilisation: 0.9 (no template for utilisation)"
    assert not any(reason.template for reason in found)
    assert "no template words utilisation, enquiries, income" in warnings


def test_features_of_a_group_are_one_reason_with_the_sum_of_their_points() -> None:
    contributions = {**CONTRIBUTIONS, "late": -0.4}
    found = {reason.text: reason for reason in reasons(contributions, templates=TEMPLATES)}
    group = found["Recent credit behaviour"]
    assert group.features == ("enquiries", "late")
    assert group.points == pytest.approx(0.6)
    assert group.code == "28"


def test_members_of_a_group_that_speak_for_the_person_count_against_it() -> None:
    found = reasons({**CONTRIBUTIONS, "late": -1.5}, templates=TEMPLATES)
    assert "Recent credit behaviour" not in {reason.text for reason in found}


def test_a_missing_value_is_not_said_as_a_number() -> None:
    found, _ = of_score(
        {"utilisation": 1.0},
        {"utilisation": None},
        APPROVED,
        higher_is_adverse=True,
        templates=read_templates(b'[features.utilisation]\ntext = "Balances: {value:.0%}"'),
    )
    assert found[0].text == "Balances: not known"


def test_a_prohibited_basis_is_never_a_reason_without_a_loud_warning() -> None:
    contributions = {"age": 2.0, "postcode": 1.0, "income": 0.1}
    found, warnings = of_score(
        contributions, {}, APPROVED, higher_is_adverse=True, templates=TEMPLATES
    )
    assert found[0].prohibited == ("age",)
    assert found[1].prohibited == ("postcode",)
    for name in ("age", "postcode"):
        assert any(w.startswith(f"{name} may stand for a prohibited basis") for w in warnings)


def test_a_prohibited_basis_that_is_scored_but_no_reason_is_told_too() -> None:
    _, warnings = of_score({"gender": -3.0, "income": 0.5}, {}, APPROVED, higher_is_adverse=True)
    assert any("the model scores gender" in warning for warning in warnings)


@pytest.mark.parametrize(
    "name",
    ["age", "applicant_age", "ageYears", "SEX", "sex_code", "maritalStatus", "national_origin",
     "is_married", "public_assistance_income", "DOB", "birth_date", "race", "ethnicity_code"],
)  # fmt: skip
def test_names_of_prohibited_bases_are_known(name: str) -> None:
    assert is_prohibited(name)


@pytest.mark.parametrize(
    "name",
    ["average_balance", "account_age", "age_of_oldest_line", "mortgage", "sextant", "racetrack_id",
     "months_late", "percentage", "origin_of_funds", "public_records"],
)  # fmt: skip
def test_names_that_only_contain_such_a_word_are_not_taken_for_one(name: str) -> None:
    assert not is_prohibited(name)


def test_templates_have_the_last_word_on_what_is_prohibited() -> None:
    cleared = read_templates(b"[features.age]\nprohibited = false")
    assert not is_prohibited("age", cleared)
    assert is_prohibited("postcode", TEMPLATES)


def test_a_deciding_rule_is_worded_by_template_then_by_the_rule_set_then_by_itself() -> None:
    assert of_rule("R1", "late > 2", "Late payments", TEMPLATES).text == "Payments were missed"
    assert of_rule("R1", "late > 2", "Late payments", TEMPLATES).code == "40"
    assert of_rule("R9", "late > 2", "Late payments", TEMPLATES).text == "Late payments"
    bare = of_rule("R9", "late > 2", None, NO_TEMPLATES)
    assert bare.text == "rule R9: late > 2 (no template for rule R9)"
    assert bare.kind == "rule"
    assert not bare.template


def test_no_reasons_are_given_for_a_decision_that_was_not_adverse() -> None:
    check_adverse("DECLINE", ["DECLINE", "REFER"])
    check_adverse("DECLINE", [])
    with pytest.raises(UsageError, match="APPROVE is not adverse"):
        check_adverse("APPROVE", ["DECLINE", "REFER"])


def test_the_most_is_what_the_law_names() -> None:
    assert MOST == 4
