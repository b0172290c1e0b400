"""Every example is what its folder says, and each invalid one for one reason only."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from forensics_schemas import KINDS, json_schema

EXAMPLES = Path(__file__).parents[2] / "schemas" / "examples"


def examples(folder: str) -> list:
    paths = sorted((EXAMPLES / folder).glob("*/*.json"))
    return [pytest.param(path, id=f"{path.parent.name}-{path.stem}") for path in paths]


def errors(path: Path) -> list[str]:
    record = json.loads(path.read_text(encoding="utf-8"))
    validator = Draft202012Validator(json_schema(path.parent.name))
    return [f"{error.json_path}: {error.message}" for error in validator.iter_errors(record)]


@pytest.mark.parametrize("path", examples("valid"))
def test_a_valid_example_is_accepted(path: Path) -> None:
    assert errors(path) == []


@pytest.mark.parametrize("path", examples("invalid"))
def test_an_invalid_example_is_refused_for_exactly_one_defect(path: Path) -> None:
    assert len(errors(path)) == 1


@pytest.mark.parametrize("folder", ["valid", "invalid"])
@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_examples(folder: str, kind: str) -> None:
    assert list((EXAMPLES / folder / kind).glob("*.json"))


def test_every_field_of_the_decision_contract_occurs_in_an_example() -> None:
    full = json.loads((EXAMPLES / "valid" / "decision" / "full.json").read_text(encoding="utf-8"))
    assert json_schema("decision")["properties"].keys() == full.keys()
