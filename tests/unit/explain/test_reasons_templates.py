"""A lender's wording: read strictly, since a misspelt key would silently change a letter."""

from __future__ import annotations

import pytest

from forensics.errors import UsageError
from forensics.explain.templates import PLACEHOLDERS, filled, read_templates


def test_a_file_says_outcomes_side_reference_and_texts() -> None:
    found = read_templates(
        b'adverse = ["DECLINE", "REFER"]\nadverse_score = "low"\nreference = "sha256:00"\n'
        b'[features.income]\ntext = "Income"\ncode = "7"\n'
    )
    assert found.adverse == ("DECLINE", "REFER")
    assert found.higher_is_adverse is False
    assert found.reference == "sha256:00"
    assert found.features["income"].text == "Income"
    assert found.features["income"].code == "7"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (b"adverse = [", "cannot be read"),
        (b"\xff", "cannot be read"),
        (b'advers = ["DECLINE"]', "advers is not known"),
        (b'adverse = "DECLINE"', "adverse is no list"),
        (b"adverse = [1]", "adverse has something else than text"),
        (b'adverse_score = "up"', "adverse_score is 'up'"),
        (b"[features]\nincome = 3", "features.income is no table"),
        (b'[features.income]\ntxt = "x"', "features.income.txt is not known"),
        (b"[features.income]\ntext = 5", "features.income.text is no text"),
        (b'[features.income]\ngroup = "g"', "group 'g', which is not described"),
        (b'[features.income]\ntext = "{amount}"', "names {amount}"),
        (b'[features.income]\ntext = "{value.__class__}"', "names {value.__class__}"),
        (b'[features.income]\ntext = "{value[0]}"', "names {value[0]}"),
        (b'[features.income]\ntext = "{value!r}"', "has the format {value!r:}"),
        (b'[features.income]\ntext = "{value:>999999999}"', "has the format"),
        (b'[features.income]\ntext = "{value"', "is malformed"),
        (b'[rules.R1]\ntext = "{}"', "names {}"),
    ],
)
def test_what_is_wrong_is_named(text: bytes, said: str) -> None:
    with pytest.raises(UsageError) as raised:
        read_templates(text)
    assert said in str(raised.value)


def test_every_placeholder_can_be_filled() -> None:
    text = " ".join(f"{{{name}}}" for name in PLACEHOLDERS)
    read_templates(f'[features.x]\ntext = "{text}"'.encode())
    assert filled(text, dict.fromkeys(PLACEHOLDERS, 1)) == " ".join("1" * len(PLACEHOLDERS))


def test_braces_can_be_written() -> None:
    assert filled("{{{value}}}", {"value": 3}) == "{3}"


def test_numbers_are_short_unless_a_format_is_asked_for() -> None:
    assert filled("{value}", {"value": 0.1 + 0.2}) == "0.3"
    assert filled("{value}", {"value": 12_345_678}) == "12345678"
    assert filled("{value:,.2f}", {"value": 1234.5}) == "1,234.50"
    assert filled("{value}", {"value": True}) == "true"
    assert filled("{value}", {"value": float("nan")}) == "not known"


def test_a_number_format_on_text_is_an_error_and_no_wrong_letter() -> None:
    with pytest.raises(UsageError, match=r"cannot show 'none' as '\.2f'"):
        filled("{value:.2f}", {"value": "none"})
